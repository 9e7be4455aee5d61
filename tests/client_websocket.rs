//! WebSockets on the virtual network and clock: messages both ways, closing, limits, time, credit. After each turn the books
//! are audited.

mod client;
mod ws_support;

use chttpcore::client::Settings;
use chttpcore::client::websocket::Choices;
use chttpcore::net::backend::mock::Script;
use chttpcore::proto::ws::Limits;
use chttpcore::proto::ws::deflate::{Deflater, Offer, Params};
use chttpcore::queue::event::kind;
use client::*;
use std::collections::HashSet;
use std::sync::Arc;
use ws_support::*;

/// A turn may come this late; the wheel sorts by about a millisecond.
const LATE: u64 = 2 * MS;

/// What a server says that agrees to [`KEY`].
fn switched(fields: &str) -> Vec<u8> {
    switching(&format!("Sec-WebSocket-Key: {KEY}"), fields).into_bytes()
}

/// A server that agrees, and says `bytes` in pieces of `every`.
fn script(bytes: &[u8], every: usize) -> Script {
    Script::new().expect_head().send_split([&switched("")[..], bytes].concat(), every)
}

fn choosing(change: impl FnOnce(&mut Choices)) -> Ask {
    let mut choices = Choices::default();
    change(&mut choices);
    websocket(setup(choices))
}

fn messages(log: &Log) -> Vec<(u32, bool, Vec<u8>)> {
    let said = log.said.iter().filter(|(what, ..)| *what == kind::WS_MESSAGE);
    said.map(|(_, arg, fin, bytes)| (*arg, *fin, bytes.clone())).collect()
}

/// The body of a fragmented message, and its pieces.
fn joined(log: &Log) -> (Vec<u8>, usize) {
    let pieces = messages(log);
    assert!(pieces.iter().rev().skip(1).all(|(_, fin, _)| !fin), "only the last piece is the last");
    (pieces.iter().flat_map(|(.., bytes)| bytes.clone()).collect(), pieces.len())
}

#[test]
fn messages_go_both_ways() {
    let server = Server::saying([text("hello"), frame(FIN | BINARY, &[0; 70_000])].concat());
    let mut w = server.world();
    let xid = w.submit(&plain());
    w.settle();
    let log = w.log(xid);
    assert_eq!(log.status, 101);
    assert_eq!(log.said[0], (kind::WS_OPEN, 0, false, Vec::new()));
    assert_eq!(messages(log), [(1, true, b"hello".to_vec()), (2, true, vec![0; 70_000])]);
    send(&w, xid, FIN | TEXT, b"hi").unwrap();
    send(&w, xid, FIN | BINARY, &[7; 100_000]).unwrap();
    send(&w, xid, FIN | CLOSE, &1000_u16.to_be_bytes()).unwrap();
    assert_eq!(send(&w, xid, FIN | TEXT, b"late"), Err(e::CHTTP_E_BAD_STATE));
    let log = w.finish(xid);
    assert_eq!(log.code(), 0);
    assert_eq!(log.said[3], (kind::WS_CLOSE, 1000, false, Vec::new()));
    let frames = server.frames();
    assert_eq!((frames[0].first, &frames[0].payload[..]), (FIN | TEXT, &b"hi"[..]));
    assert_eq!((frames[1].first, frames[1].payload.len()), (FIN | BINARY, 100_000));
    assert_eq!((frames[2].first, &frames[2].payload[..]), (FIN | CLOSE, &1000_u16.to_be_bytes()[..]));
    w.close();
}

#[test]
fn what_is_said_early_waits_for_the_opening() {
    let server = Server { delay: SECOND, ..Server::default() };
    let mut w = server.world();
    let xid = w.submit(&plain());
    send(&w, xid, FIN | TEXT, b"early").unwrap();
    send(&w, xid, FIN | CLOSE, b"").unwrap();
    assert_eq!(w.finish(xid).code(), 0);
    let frames: Vec<u8> = server.frames().iter().map(|f| f.first).collect();
    assert_eq!(frames, [FIN | TEXT, FIN | CLOSE]);
    w.close();
}

#[test]
fn a_refusal_is_an_answer() {
    for (status, body) in [(200, "no"), (401, "who are you"), (302, ""), (426, "later")] {
        let answer = format!("HTTP/1.1 {status} X\r\nLocation: /x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut w = World::serving(Script::new().expect_head().send(answer));
        let xid = w.submit(&plain());
        send(&w, xid, FIN | TEXT, b"early").unwrap();
        w.finish(xid).assert_ok(status, body.as_bytes());
        assert!(!w.log(xid).has(kind::WS_OPEN));
        // Nothing was sent behind the head, and the connection serves on.
        assert_eq!(w.pool(), (1, 1, 0));
        w.close();
    }
}

#[test]
fn a_handshake_that_comes_byte_by_byte_is_not_waited_for() {
    let mut script = Script::new().expect_head();
    for byte in "HTTP/1.1 101 Switching Protocols\r\nX: ".bytes().chain(std::iter::repeat_n(b'y', 1000)) {
        script = script.send(vec![byte]).delay(SECOND / 20);
    }
    let mut w = World::serving(script);
    let mut ask = choosing(|_| {});
    ask.timeouts.read = 3 * SECOND;
    let start = w.net.now().0;
    let log = w.run(&ask);
    assert_eq!(log.code(), e::CHTTP_E_TIMEOUT_READ);
    let took = log.end.as_ref().unwrap().at - start;
    assert!((3 * SECOND..3 * SECOND + 2 * LATE).contains(&took), "{took}");
    w.close();
}

#[test]
fn an_answer_that_is_wrong_ends_it() {
    let good = String::from_utf8(switched("")).unwrap();
    let with = |field: &str| String::from_utf8(switched(&format!("{field}\r\n"))).unwrap();
    let cases = [
        (good.replace("s3pPLM", "S3pPLM"), e::CHTTP_E_WS_ACCEPT, "`S3pPLMBiTxaQ9kYGzzhZRbK+xOo=` does not answer"),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), e::CHTTP_E_WS_ACCEPT, "Upgrade: `h2c` is not"),
        (good.replace("HTTP/1.1", "HTTP/1.0"), e::CHTTP_E_WS_ACCEPT, "HTTP/1.0"),
        (with("Content-Length: 0"), e::CHTTP_E_WS_ACCEPT, "Content-Length: `0` does not go with 101"),
        (with("Content-Length: 10"), e::CHTTP_E_WS_ACCEPT, "Content-Length: `10` does not go with 101"),
        (with("Transfer-Encoding: chunked"), e::CHTTP_E_WS_ACCEPT, "Transfer-Encoding: `chunked` does not go"),
        (with("Sec-WebSocket-Protocol: chat"), e::CHTTP_E_WS_PROTOCOL, "Protocol: `chat` was not asked for"),
        (with("Sec-WebSocket-Extensions: permessage-deflate"), e::CHTTP_E_WS_EXTENSION, "was not offered"),
    ];
    for (answer, code, words) in cases {
        for every in [1, usize::MAX] {
            let bytes = [answer.as_bytes(), &text("never seen")].concat();
            let mut w = World::serving(Script::new().expect_head().send_split(bytes, every));
            let log = w.run(&plain());
            assert_eq!(log.code(), code);
            assert_eq!(log.kinds, [kind::DONE]);
            let end = log.end.as_ref().unwrap();
            assert!(end.message.contains(words), "{}", end.message);
            w.close();
        }
    }
}

/// Each rule, with its error and the code that the server is told, however the bytes are cut; and the engine goes on.
#[test]
fn each_rule_has_its_error_and_its_close_code() {
    let small = Limits { frame: 1000, message: 1500 };
    let two = [frame(BINARY, &[0; 1000]), frame(0, &[0; 501])].concat();
    let cases: Vec<(Vec<u8>, i32, u16)> = vec![
        (vec![0x81, 0x85, 1, 2, 3, 4, 5], e::CHTTP_E_WS_MASKED, 1002),
        (vec![0xa1, 0], e::CHTTP_E_WS_RESERVED_BIT, 1002),
        (vec![0xc1, 0], e::CHTTP_E_WS_RESERVED_BIT, 1002),
        (vec![0x83, 0], e::CHTTP_E_WS_OPCODE, 1002),
        (vec![0x09, 0], e::CHTTP_E_WS_CONTROL_FRAME, 1002),
        (vec![0x89, 126, 0, 126], e::CHTTP_E_WS_CONTROL_FRAME, 1002),
        (vec![0x80, 0], e::CHTTP_E_WS_FRAGMENT, 1002),
        (vec![0x82, 126, 0, 5], e::CHTTP_E_WS_LENGTH, 1002),
        (vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], e::CHTTP_E_WS_LENGTH, 1002),
        (text("\u{7f}").into_iter().map(|b| if b == 0x7f { 0xff } else { b }).collect(), e::CHTTP_E_WS_UTF8, 1007),
        (frame(FIN | CLOSE, &[3]), e::CHTTP_E_WS_CLOSE_FRAME, 1002),
        (close(1005, ""), e::CHTTP_E_WS_CLOSE_FRAME, 1002),
        (close(1006, ""), e::CHTTP_E_WS_CLOSE_FRAME, 1002),
        (frame(FIN | CLOSE, &[3, 0xe8, 0xff]), e::CHTTP_E_WS_UTF8, 1007),
        (frame(FIN | BINARY, &[0; 1001]), e::CHTTP_E_WS_FRAME_TOO_LARGE, 1009),
        (vec![0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], e::CHTTP_E_WS_FRAME_TOO_LARGE, 1009),
        (two, e::CHTTP_E_WS_MESSAGE_TOO_LARGE, 1009),
    ];
    for (bytes, code, close) in cases {
        for every in [1, 7, usize::MAX] {
            let all = [text("first"), bytes.clone(), text("never")].concat();
            let mut w = World::serving(script(&all, every).expect_bytes(8).expect_fin());
            let xid = w.submit(&choosing(|c| c.limits = small));
            let log = w.finish(xid);
            assert_eq!(log.code(), code, "{bytes:02x?}");
            assert_eq!(messages(log), [(1, true, b"first".to_vec())]);
            let mut sent = w.conn(0).sent;
            let end = sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
            sent.drain(..end + 4);
            let said = unmask(&mut sent);
            assert_eq!((said[0].first, &said[0].payload[..]), (FIN | CLOSE, &close.to_be_bytes()[..]));
            assert_eq!(said.len(), 1);
            w.close();
        }
    }
}

#[test]
fn an_end_without_a_close_frame_is_an_error() {
    let mut w = World::serving(script(&text("a"), usize::MAX).fin());
    let log = w.run(&plain());
    assert_eq!((log.code(), messages(log).len()), (e::CHTTP_E_WS_ABNORMAL, 1));
    assert!(log.is_partial());
    w.close();
    let mut w = World::serving(script(&[1, 1], usize::MAX).rst());
    assert_eq!(w.run(&plain()).code(), e::CHTTP_E_CONNECTION_LOST);
    w.close();
    // Behind the server's Close frame every end is in order.
    for end in [Script::fin, Script::rst] {
        let mut w = World::serving(end(script(&close(1001, "going"), usize::MAX)));
        let log = w.run(&plain());
        assert_eq!(log.code(), 0);
        assert_eq!(log.said[1], (kind::WS_CLOSE, 1001, false, b"going".to_vec()));
        w.close();
    }
}

/// The connection ends behind every byte, in order and by a reset; and the application cancels there. Exactly one terminal
/// event, and the books are right.
#[test]
fn it_may_end_at_any_moment() {
    let frames = [text("hello"), frame(FIN | PING, b"p"), frame(BINARY, b"ab"), frame(FIN, b"c"), close(1000, "bye")];
    let all = [switched(""), frames.concat()].concat();
    for len in 0..=all.len() {
        for end in 0..3 {
            let script = Script::new().expect_head().send(all[..len].to_vec());
            let script = match end {
                0 => script.fin(),
                1 => script.rst(),
                _ => script,
            };
            let mut w = World::serving(script);
            let xid = w.submit(&plain());
            w.settle();
            send(&w, xid, FIN | TEXT, b"x").ok();
            w.settle();
            if end == 2 {
                w.engine.cancel(xid).ok();
            }
            let log = w.finish(xid);
            let whole = len == all.len();
            assert_eq!(log.code() == 0, whole && end < 2, "{len} bytes, end {end}");
            w.close();
        }
    }
}

#[test]
fn a_websocket_stops_without_credit_and_goes_on_with_it() {
    // Small messages count 256 each, so that a flood of them is bounded too.
    let count = 2000;
    let flood: Vec<u8> = (0..count).flat_map(|i| text(&format!("{i:04}"))).collect();
    let mut w = World::serving(script(&flood, usize::MAX));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 10_000, ..plain() });
    w.settle();
    let got = messages(w.log(xid)).len();
    assert_eq!(got, 40, "40 times 256 are a little more than the credit");
    w.hold = false;
    w.release(xid);
    w.until(|w| messages(w.log(xid)).len() == count);
    let wanted: Vec<Vec<u8>> = (0..count).map(|i| format!("{i:04}").into_bytes()).collect();
    assert!(messages(w.log(xid)).iter().map(|(.., bytes)| bytes).eq(&wanted));
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
    // A message may be larger than the credit.
    let mut w = World::serving(script(&[frame(FIN | BINARY, &[1; 50_000]), text("next")].concat(), 1000));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 10_000, ..plain() });
    w.settle();
    assert_eq!(messages(w.log(xid)).len(), 1);
    w.hold = false;
    w.release(xid);
    w.until(|w| messages(w.log(xid)).len() == 2);
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn the_send_buffer_is_bounded_and_tells_when_there_is_room() {
    let stuck = script(b"", usize::MAX).stop_reading().delay(SECOND).resume_reading();
    let mut w = World::scripted(Settings { send_buffer: 10_000, ..settings() }, stuck);
    let xid = w.submit(&plain());
    w.settle();
    let mut taken = 0;
    loop {
        match send(&w, xid, FIN | BINARY, &[0; 986]) {
            Ok(()) => taken += 1,
            Err(code) => {
                assert_eq!(code, e::CHTTP_E_AGAIN);
                break;
            }
        }
    }
    assert_eq!(taken, 10, "each counts 14 bytes more than it has");
    assert_eq!(send(&w, xid, FIN | TEXT, b""), Err(e::CHTTP_E_AGAIN));
    w.until(|w| w.log(xid).has(kind::WRITABLE));
    assert_eq!(w.log(xid).count(kind::WRITABLE), 1);
    send(&w, xid, FIN | TEXT, b"").unwrap();
    // A message larger than the buffer is taken when it is empty.
    w.pass(SECOND);
    send(&w, xid, FIN | BINARY, &[0; 50_000]).unwrap();
    // Closing waits for nothing.
    send(&w, xid, FIN | CLOSE, b"").unwrap();
    w.settle();
    let mut sent = w.conn(0).sent;
    let end = sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    sent.drain(..end + 4);
    assert_eq!(unmask(&mut sent).len(), 13);
    assert!(sent.is_empty());
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

/// A server that asks and does not listen: what is owed to it is bounded, and the last question is answered.
#[test]
fn a_flood_of_pings_is_answered_as_far_as_the_server_listens() {
    let mut flood: Vec<u8> = (0..20_000).flat_map(|i| frame(FIN | PING, format!("{i:05}").as_bytes())).collect();
    flood.extend(text("end"));
    let all = [&switched("")[..], &flood].concat();
    let deaf = Script::new().expect_head().stop_reading().send(all).delay(SECOND).resume_reading();
    let mut w = World::serving(deaf);
    let xid = w.submit(&plain());
    w.until(|w| messages(w.log(xid)).len() == 1);
    w.pass(2 * SECOND);
    let mut sent = w.conn(0).sent;
    let end = sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    sent.drain(..end + 4);
    let pongs = unmask(&mut sent);
    assert!(pongs.iter().all(|pong| pong.first == FIN | PONG));
    assert_eq!(pongs.last().unwrap().payload, b"19999");
    assert!(pongs.len() < 20_000, "{}", pongs.len());
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn each_frame_has_a_mask_of_its_own_that_looks_random() {
    let server = Server::default();
    let mut w = server.world();
    let xid = w.submit(&plain());
    w.settle();
    for _ in 0..1000 {
        send(&w, xid, FIN | TEXT, b"the same text").unwrap();
        w.settle();
    }
    let masks: Vec<[u8; 4]> = server.frames().iter().map(|f| f.mask).collect();
    assert_eq!(masks.len(), 1000);
    let distinct: HashSet<_> = masks.iter().collect();
    // Two of a thousand agree once in ten thousand runs.
    assert!(distinct.len() >= 999, "{}", distinct.len());
    for bit in 0..32 {
        let ones = masks.iter().filter(|mask| u32::from_be_bytes(**mask) >> bit & 1 == 1).count();
        // Ten standard deviations.
        assert!((342..=658).contains(&ones), "bit {bit} is set {ones} times");
    }
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn fragments_come_as_they_arrive() {
    let payload: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
    let message = [frame(BINARY, &payload[..60_000]), frame(FIN | PING, b""), frame(FIN, &payload[60_000..])].concat();
    for every in [997, 10_000, usize::MAX] {
        let mut w = World::serving(script(&message, every));
        let xid = w.submit(&choosing(|c| c.fragments = true));
        w.settle();
        let (got, pieces) = joined(w.log(xid));
        assert_eq!(got, payload);
        assert!(pieces >= 2);
        assert!(messages(w.log(xid)).last().unwrap().1);
        w.engine.cancel(xid).unwrap();
        w.finish(xid);
        w.close();
    }
    // A piece is told when it is there, not when its frame is whole.
    let mut w = World::serving(script(&message[..20_000], usize::MAX));
    let xid = w.submit(&choosing(|c| c.fragments = true));
    w.settle();
    assert_eq!(joined(w.log(xid)).0, payload[..19_996]);
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn a_message_of_many_tiny_fragments_costs_what_it_holds() {
    let count = 100_000;
    let mut all = frame(TEXT, b"a");
    (0..count).for_each(|_| all.extend(frame(0, b"b")));
    all.extend(frame(FIN, b"c"));
    let mut w = World::serving(script(&all, usize::MAX));
    w.net.set_recording(false);
    let xid = w.submit(&plain());
    w.settle();
    let got = messages(w.log(xid));
    assert_eq!((got.len(), got[0].2.len()), (1, count + 2));
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

fn packed(payload: &[u8]) -> Vec<u8> {
    let params = Params {
        client_no_context_takeover: false,
        server_no_context_takeover: false,
        client_bits: 15,
        server_bits: 15,
    };
    let mut out = bytes::BytesMut::new();
    Deflater::new(&params, &Arc::default()).unwrap().piece(payload, true, &mut out).unwrap();
    out.to_vec()
}

fn compressing(bytes: &[u8]) -> Script {
    let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    Script::new().expect_head().send([&switched(fields)[..], bytes].concat())
}

#[test]
fn what_a_message_inflates_to_is_bounded() {
    let bomb = frame(FIN | 0x40 | BINARY, &packed(&vec![0; 64 << 20]));
    assert!(bomb.len() < 100_000);
    // Whole: by the limit of a message.
    let mut w = World::serving(compressing(&bomb).expect_bytes(8));
    let xid = w.submit(&deflating(Offer::default()));
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_WS_MESSAGE_TOO_LARGE);
    w.close();
    // In pieces: by the credit, and by what a kilobyte inflates to.
    let mut w = World::serving(compressing(&bomb));
    w.hold = true;
    let mut ask = deflating(Offer::default());
    ask.credit = 100_000;
    if let Load::WebSocket(setup) = &mut ask.load {
        setup.choices.fragments = true;
        setup.choices.limits.message = u64::MAX;
    }
    let xid = w.submit(&ask);
    w.settle();
    let got = joined(w.log(xid)).0.len();
    assert!((100_000..100_000 + (1100 << 10)).contains(&got), "{got}");
    w.hold = false;
    w.release(xid);
    w.until(|w| messages(w.log(xid)).last().is_some_and(|(_, fin, _)| *fin));
    assert_eq!(joined(w.log(xid)).0.len(), 64 << 20);
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn compressed_text_is_checked_and_nonsense_is_told() {
    for (payload, code, close) in [
        (packed(b"fine\xff"), e::CHTTP_E_WS_UTF8, 1007_u16),
        (packed("cut \u{20ac}".as_bytes()[..6].as_ref()), e::CHTTP_E_WS_UTF8, 1007),
        (vec![0xff, 0xff, 0xff], e::CHTTP_E_WS_DEFLATE, 1007),
    ] {
        let mut w = World::serving(compressing(&frame(FIN | 0x40 | TEXT, &payload)).expect_bytes(8));
        let xid = w.submit(&deflating(Offer::default()));
        let log = w.finish(xid);
        assert_eq!(log.code(), code);
        let mut sent = w.conn(0).sent;
        let end = sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        sent.drain(..end + 4);
        assert_eq!(unmask(&mut sent)[0].payload, close.to_be_bytes());
        w.close();
    }
}

#[test]
fn what_was_agreed_on_is_told() {
    let fields = "Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: permessage-deflate; \
                  client_no_context_takeover; client_max_window_bits=10\r\n";
    let server = Server { fields: fields.into(), ..Server::default() };
    let mut w = server.world();
    let mut ask = deflating(Offer::default());
    if let Load::WebSocket(setup) = &mut ask.load {
        setup.protocols = "a, b".into();
    }
    let xid = w.submit(&ask);
    w.settle();
    let aux = 1 | 2 | 10 << 8 | 15 << 16;
    assert_eq!(w.log(xid).said[0], (kind::WS_OPEN, aux, false, b"b".to_vec()));
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn silence_is_asked_about_unless_nobody_could_hear_the_answer() {
    let deaf = || script(b"", usize::MAX);
    let ask = choosing(|c| (c.heartbeat, c.pong_timeout) = (10 * SECOND, 3 * SECOND));
    let mut w = World::serving(deaf());
    let start = w.net.now().0;
    let log = w.run(&ask);
    assert_eq!(log.code(), e::CHTTP_E_TIMEOUT_PONG);
    let took = log.end.as_ref().unwrap().at - start;
    assert!((13 * SECOND..13 * SECOND + 2 * LATE).contains(&took), "{took}");
    w.close();
    // Without credit a PONG would not be read.
    let mut w = World::serving(script(&frame(FIN | BINARY, &[0; 5000]), usize::MAX));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 1000, ..ask.clone() });
    w.pass(100 * SECOND);
    assert!(w.log(xid).end.is_none());
    w.hold = false;
    w.release(xid);
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_TIMEOUT_PONG);
    w.close();
    // Whatever comes is a sign of life.
    let server = Server {
        answer: Arc::new(|said| if said.first & 15 == PING { text("alive") } else { Vec::new() }),
        ..Server::default()
    };
    let mut w = server.world();
    let xid = w.submit(&ask);
    w.pass(105 * SECOND);
    assert!(w.log(xid).end.is_none());
    assert_eq!(messages(w.log(xid)).len(), 10);
    w.engine.cancel(xid).unwrap();
    w.finish(xid);
    w.close();
}

#[test]
fn control_frames_are_told_if_asked_for_and_answered_unless_not() {
    let ping = || frame(FIN | PING, b"you?");
    for (tells, manual) in [(false, false), (true, false), (false, true), (true, true)] {
        let server = Server::saying([ping(), frame(FIN | PONG, b"me")].concat());
        let mut w = server.world();
        let xid = w.submit(&choosing(|c| (c.tells_control, c.manual_pong) = (tells, manual)));
        w.settle();
        assert_eq!(w.log(xid).has(kind::WS_PING), tells || manual);
        assert_eq!(w.log(xid).has(kind::WS_PONG), tells);
        assert_eq!(server.frames().len(), usize::from(!manual));
        send(&w, xid, FIN | PONG, b"you?").unwrap();
        w.settle();
        let frames = server.frames();
        let last = frames.last().unwrap();
        assert_eq!((last.first, &last.payload[..]), (FIN | PONG, &b"you?"[..]));
        w.engine.cancel(xid).unwrap();
        w.finish(xid);
        w.close();
    }
}

#[test]
fn time_runs_out_for_closing_as_it_was_set() {
    let ask = choosing(|c| c.close_timeout = 4 * SECOND);
    for (answers, code) in [(false, e::CHTTP_E_TIMEOUT_CLOSE), (true, 0)] {
        let bytes = if answers { close(1000, "") } else { Vec::new() };
        let mut w = World::serving(script(b"", usize::MAX).expect_bytes(6).delay(SECOND).send(bytes));
        let xid = w.submit(&ask);
        w.settle();
        let start = w.net.now().0;
        send(&w, xid, FIN | CLOSE, b"").unwrap();
        let log = w.finish(xid);
        assert_eq!(log.code(), code);
        let took = log.end.as_ref().unwrap().at - start;
        assert!((4 * SECOND..4 * SECOND + LATE).contains(&took), "{took}");
        w.close();
    }
}

/// Messages come after our Close frame until the server's own.
#[test]
fn what_could_not_be_heard_is_not_late() {
    // The answer to our Close frame stands behind messages that the application does not take.
    let bulk = [text(&"x".repeat(30_000)), text(&"y".repeat(30_000)), close(1000, "")].concat();
    let mut w = World::serving(Script::new().expect_head().send(switched("")).delay(MS).send(bulk));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 10_000, ..choosing(|c| c.close_timeout = SECOND) });
    w.settle();
    send(&w, xid, FIN | CLOSE, &1000_u16.to_be_bytes()).unwrap();
    w.pass(20 * SECOND);
    assert!(w.log(xid).end.is_none());
    w.hold = false;
    w.release(xid);
    let log = w.finish(xid);
    assert_eq!((log.code(), messages(log).len(), log.count(kind::WS_CLOSE)), (0, 2, 1));
    w.close();
    // A server that does not answer has what is left of its time behind that.
    let mut w =
        World::serving(Script::new().expect_head().send(switched("")).delay(300 * MS).send(text(&"x".repeat(30_000))));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 10_000, ..choosing(|c| c.close_timeout = SECOND) });
    w.settle();
    send(&w, xid, FIN | CLOSE, &1000_u16.to_be_bytes()).unwrap();
    w.pass(10 * SECOND);
    assert!(w.log(xid).end.is_none());
    let before = w.net.now().0;
    w.hold = false;
    w.release(xid);
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_TIMEOUT_CLOSE);
    let took = w.net.now().0 - before;
    assert!((600 * MS..800 * MS).contains(&took), "{took} ns");
    w.close();
}

#[test]
fn the_server_may_finish_what_it_was_saying() {
    let script =
        script(b"", usize::MAX).expect_bytes(6).send([text("one"), text("two"), close(1000, "")].concat()).fin();
    let mut w = World::serving(script);
    let xid = w.submit(&plain());
    w.settle();
    send(&w, xid, FIN | CLOSE, b"").unwrap();
    let log = w.finish(xid);
    assert_eq!((log.code(), messages(log).len()), (0, 2));
    w.close();
}

#[test]
fn a_connection_is_never_shared_with_requests_but_may_come_from_one() {
    let mut w = World::new(settings());
    let then = Script::new().expect_head().send(OK).expect_head().send(switched("")).send(text("hi"));
    w.net.listen(inet("127.0.0.1:80")).connection(then).connection(Script::new().expect_head().send(OK));
    w.run(&get()).assert_ok(200, b"hi");
    let xid = w.submit(&plain());
    w.settle();
    assert_eq!(messages(w.log(xid)).len(), 1);
    w.run(&get()).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 2);
    w.engine.cancel(xid).unwrap();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CANCELLED);
    w.close();
}

#[test]
fn chaos_on_the_way_changes_nothing() {
    for seed in 0..40 {
        let echo = Arc::new(
            |said: &Said| {
                if said.first & 15 == CLOSE { Vec::new() } else { frame(said.first, &said.payload) }
            },
        );
        let server = Server { answer: echo, ..Server::default() };
        let mut w = server.world();
        w.net.chaos(seed);
        let xid = w.submit(&plain());
        let sizes = [0, 1, 125, 126, 127, 1000, 65_535, 65_536, 100_000];
        for (i, size) in sizes.iter().enumerate() {
            let byte = b'a' + i as u8;
            while send(&w, xid, FIN | TEXT, &vec![byte; *size]) == Err(e::CHTTP_E_AGAIN) {
                w.until(|w| w.log(xid).has(kind::WRITABLE));
                w.pass(SECOND);
            }
        }
        w.until(|w| messages(w.log(xid)).len() == sizes.len());
        for (i, (_, _, bytes)) in messages(w.log(xid)).iter().enumerate() {
            assert_eq!(*bytes, vec![b'a' + i as u8; sizes[i]], "seed {seed}");
        }
        send(&w, xid, FIN | CLOSE, b"").unwrap();
        assert_eq!(w.finish(xid).code(), 0);
        w.close();
    }
}
