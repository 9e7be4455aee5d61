//! Warm requests through the engine on the scripted network, for an instruction counter: `bench/instructions.sh` runs this
//! under callgrind with two numbers of requests and divides the difference, so that start and warm-up cancel out.
//!
//! A request here is what it is in the C interface: URL and head are checked and encoded, the request is submitted, one
//! drain brings the RESPONSE event, and the event is released. The network's own work is counted too. A third number of 2
//! speaks HTTP/2; one of 6455 counts messages of a WebSocket that sends them back, and one of 3 events of a stream (44 bytes
//! each), instead of requests.

use chttpcore::client::events::Sse;
use chttpcore::client::upload::Source;
use chttpcore::client::websocket::{Frame, Setup};
use chttpcore::client::{Engine, Request, Settings};
use chttpcore::net::backend::Address;
use chttpcore::net::backend::mock::{MockBackend, MockNet, Script};
use chttpcore::pool::{Bind, Http, OriginKey};
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::url::Url;
use chttpcore::proto::ws::handshake::parse_key;
use chttpcore::queue::event::{flag, kind};

/// What nginx says to `return 200 "x"`.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
    Content-Type: application/octet-stream\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx";

fn main() {
    // `cargo bench` passes `--bench`.
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let (requests, in_flight) = (numbers.next().unwrap_or(1000), numbers.next().unwrap_or(1));
    let version = numbers.next();
    if version == Some(3) {
        return events(requests);
    }
    if version == Some(6455) {
        return echoes(requests, in_flight);
    }
    let http = if version == Some(2) { Http::Two } else { Http::Agreed };
    let net = MockNet::new();
    net.set_recording(false);
    net.listen(Address::Inet("127.0.0.1:80".parse().expect("an address"))).always(if http == Http::Two {
        http2()
    } else {
        Script::new().expect_head().send(ANSWER).again()
    });
    let settings = Settings { own_thread: false, ..Settings::default() };
    let engine = Engine::new(settings, net.backend()).expect("an engine");
    let queue = engine.queue().expect("a queue");
    let submit = |n: usize| {
        for _ in 0..n {
            engine.submit(&queue, std::iter::once(request(&engine, http)), |_| {}).expect("accepted");
        }
    };
    let (mut submitted, mut ended) = (in_flight.min(requests), 0);
    submit(submitted);
    while ended < requests {
        let mut now = 0;
        engine.drain(&queue, 256, |event| {
            assert!(event.kind == kind::RESPONSE && event.flags & flag::TERMINAL != 0 && event.arg == 200);
            now += 1;
        });
        ended += now;
        let next = now.min(requests - submitted);
        submitted += next;
        submit(next);
    }
    engine.stop(true);
}

/// So many WebSockets with one message of 16 bytes under way on each, which is a text: sent, received, released.
fn echoes(messages: usize, sockets: usize) {
    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let net = MockNet::new();
    net.set_recording(false);
    let script = Script::new().expect_head().send(SWITCH).play(usize::MAX, 0, || {
        // Masked frames of 22 bytes; what comes back says the same each time.
        Box::new(|heard| b"\x81\x10sixteen bytes...".repeat(heard.len() / 22))
    });
    net.listen(Address::Inet("127.0.0.1:80".parse().expect("an address"))).always(script);
    let settings = Settings { own_thread: false, ..Settings::default() };
    let engine = Engine::new(settings, net.backend()).expect("an engine");
    let queue = engine.queue().expect("a queue");
    for _ in 0..sockets {
        let mut request = request(&engine, Http::One);
        let url = Url::parse(b"http://127.0.0.1/x").expect("a URL");
        let fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")];
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        request.head = encode(&Spec::new(b"GET", &url), fields).expect("a valid head");
        request.body = Source::Stream;
        request.collect = false;
        let choices = engine.settings().ws.clone();
        let key = parse_key(KEY).expect("a key");
        request.websocket = Some(Box::new(Setup { key: Some(key), protocols: Box::default(), deflate: None, choices }));
        engine.submit(&queue, std::iter::once(request), |_| {}).expect("accepted");
    }
    let frame = Frame { opcode: 1, fin: true, plain: false, payload: &b"sixteen bytes..."[..] };
    let (mut ready, mut sent, mut ended) = (Vec::with_capacity(256), 0, 0);
    while ended < messages {
        engine.drain(&queue, 256, |event| {
            assert!(matches!(event.kind, kind::WS_OPEN | kind::WS_MESSAGE), "{}", event.kind);
            ended += usize::from(event.kind == kind::WS_MESSAGE);
            ready.push(event.xid);
        });
        for xid in ready.drain(..) {
            if sent < messages {
                sent += 1;
                engine.send_frame(xid, &frame).expect("there is room");
            }
        }
    }
    engine.stop(true);
}

/// One stream of events.
fn events(count: usize) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let body: String =
        (0..count).map(|n| format!("id: {n:05}\ndata: {{\"n\":{n:06},\"some\":\"text\"}}\n\n")).collect();
    let net = MockNet::new();
    net.set_recording(false);
    let script = Script::new().expect_head().send([head, &body].concat()).fin();
    net.listen(Address::Inet("127.0.0.1:80".parse().expect("an address"))).always(script);
    let settings = Settings { own_thread: false, ..Settings::default() };
    let engine = Engine::new(settings, net.backend()).expect("an engine");
    let queue = engine.queue().expect("a queue");
    let sse = Sse { reconnect: false, ..Sse::default() };
    let mut request = request(&engine, Http::Agreed);
    request.collect = false;
    request.sse = Some(Box::new(sse));
    engine.submit(&queue, std::iter::once(request), |_| {}).expect("accepted");
    let (mut told, mut over) = (0, false);
    while !over {
        engine.drain(&queue, 256, |event| {
            told += usize::from(event.kind == kind::SSE);
            over |= event.flags & flag::TERMINAL != 0;
        });
    }
    assert_eq!(told, count);
    engine.stop(true);
}

/// A server that answers each HEADERS frame with the same, as short as nginx says it.
fn http2() -> Script {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    // :status 200; server, date, content-type and content-length as literals with indexed names.
    let mut head = vec![0x88];
    let fields = [
        (54 - 15, "nginx"),
        (33 - 15, "Mon, 01 Jan 2024 00:00:00 GMT"),
        (31 - 15, "application/octet-stream"),
        (28 - 15, "1"),
    ];
    for (name, value) in fields {
        head.extend([0x0f, name, value.len() as u8]);
        head.extend(value.as_bytes());
    }
    Script::new().play(usize::MAX, 0, move || {
        let (head, mut greeted, mut inbox) = (head.clone(), false, Vec::new());
        Box::new(move |bytes| {
            inbox.extend_from_slice(bytes);
            let mut out = Vec::with_capacity(256);
            if !greeted && inbox.len() >= PREFACE {
                inbox.drain(..PREFACE);
                greeted = true;
                out.extend([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
            }
            let mut at = 0;
            while greeted && inbox.len() >= at + 9 {
                let len = usize::from(inbox[at]) << 16 | usize::from(inbox[at + 1]) << 8 | usize::from(inbox[at + 2]);
                if inbox.len() < at + 9 + len {
                    break;
                }
                match (inbox[at + 3], inbox[at + 4] & 1) {
                    (SETTINGS, 0) => out.extend([0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]),
                    (HEADERS, _) => {
                        let stream = &inbox[at + 5..at + 9];
                        out.extend([0, 0, head.len() as u8, HEADERS, 4]);
                        out.extend_from_slice(stream);
                        out.extend_from_slice(&head);
                        out.extend([0, 0, 1, 0, 1]);
                        out.extend_from_slice(stream);
                        out.push(b'x');
                    }
                    _ => {}
                }
                at += 9 + len;
            }
            inbox.drain(..at);
            out
        })
    })
}

fn request(engine: &Engine<MockBackend>, http: Http) -> Box<Request> {
    let url = Url::parse(b"http://127.0.0.1/x").expect("a URL");
    let head = encode(&Spec::new(b"GET", &url), std::iter::empty::<(&[u8], &[u8])>()).expect("a valid head");
    let settings = engine.settings();
    Box::new(Request {
        token: 0,
        head,
        origin: OriginKey {
            scheme: url.scheme(),
            host: url.host().into(),
            port: url.port(),
            to: None,
            bind: Bind::default(),
            tls: None,
            http,
        },
        body: Source::None,
        collect: true,
        close: false,
        duplex: false,
        recv_credit: settings.recv_credit,
        collect_max: settings.collect_max,
        timeouts: settings.timeouts,
        websocket: None,
        sse: None,
    })
}
