//! Warm requests through the engine on the scripted network, for an instruction counter: `bench/instructions.sh` runs this
//! under callgrind with two numbers of requests and divides the difference, so that start and warm-up cancel out.
//!
//! A request here is what it is in the C interface: URL and head are checked and encoded, the request is submitted, one
//! drain brings the RESPONSE event, and the event is released. The network's own work is counted too.

use chttpcore::client::upload::Source;
use chttpcore::client::{Engine, Request, Settings};
use chttpcore::net::backend::Address;
use chttpcore::net::backend::mock::{MockBackend, MockNet, Script};
use chttpcore::pool::{Bind, OriginKey};
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::url::Url;
use chttpcore::queue::event::{flag, kind};

/// What nginx says to `return 200 "x"`.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n\
    Content-Type: application/octet-stream\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx";

fn main() {
    // `cargo bench` passes `--bench`.
    let mut numbers = std::env::args().skip(1).filter_map(|a| a.parse::<usize>().ok());
    let (requests, in_flight) = (numbers.next().unwrap_or(1000), numbers.next().unwrap_or(1));
    let net = MockNet::new();
    net.set_recording(false);
    net.listen(Address::Inet("127.0.0.1:80".parse().expect("an address")))
        .always(Script::new().expect_head().send(ANSWER).again());
    let settings = Settings { own_thread: false, ..Settings::default() };
    let engine = Engine::new(settings, net.backend()).expect("an engine");
    let queue = engine.queue().expect("a queue");
    let submit = |n: usize| {
        for _ in 0..n {
            engine.submit(&queue, std::iter::once(request(&engine)), |_| {}).expect("accepted");
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

fn request(engine: &Engine<MockBackend>) -> Box<Request> {
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
            http: Default::default(),
        },
        body: Source::None,
        collect: true,
        close: false,
        recv_credit: settings.recv_credit,
        collect_max: settings.collect_max,
        timeouts: settings.timeouts,
    })
}
