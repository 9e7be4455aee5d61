//! Every case that the list of the Autobahn test suite names (1.* to 7.*, 9.*, 10.*, and 12.*, 13.* for compression), written
//! anew as tables, with its number, and run against the whole client on the virtual network: an application that sends back
//! what it receives. A check at the end sees to it that no number is missing.
//!
//! 9.*, 12.* and 13.* are about speed and bulk: the sizes and the cuts are those of the list, the number of messages is
//! smaller.

mod client;
mod ws_support;

use chttpcore::client::websocket::Choices;
use chttpcore::proto::ws::close as codes;
use chttpcore::proto::ws::deflate::{Deflater, Inflater, Offer, Params, Room};
use chttpcore::proto::ws::{Limits, Rule};
use chttpcore::queue::event::kind;
use client::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use ws_support::*;

/// What has to come of a case.
#[derive(Clone, Debug)]
enum Want {
    /// These frames come from the client, in this order, and a Close frame ends it in order.
    Frames(Vec<(u8, Vec<u8>)>),
    /// The same frames may have come when it failed with this code; the server is told this close code.
    Fails(Vec<(u8, Vec<u8>)>, i32, u16),
    /// The server ends it with a Close frame; we answer with this body.
    Closed(Vec<(u8, Vec<u8>)>, Vec<u8>),
}

struct Case {
    number: String,
    says: Vec<u8>,
    /// What follows once the client has sent so many frames.
    then: Option<(usize, Vec<u8>)>,
    /// Each read gets at most so many bytes.
    every: usize,
    want: Want,
}

fn case(number: impl Into<String>, says: Vec<Vec<u8>>, want: Want) -> Case {
    Case { number: number.into(), says: says.concat(), then: None, every: usize::MAX, want }
}

impl Case {
    fn then(mut self, count: usize, says: Vec<Vec<u8>>) -> Case {
        self.then = Some((count, says.concat()));
        self
    }
}

fn echo_of(kind: u8, payload: impl Into<Vec<u8>>) -> Want {
    Want::Frames(vec![(FIN | kind, payload.into())])
}

/// The fields of the answer when compression is agreed on.
struct Agreed {
    offer: Offer,
    fields: &'static str,
}

fn run(case: &Case) {
    let want = &case.want;
    let mut then: Vec<(usize, Vec<u8>)> = case.then.clone().into_iter().collect();
    if let Want::Frames(wanted) = want {
        then.push((wanted.len(), close(1000, "")));
    }
    let server = Server { every: case.every, then, ..Server::saying(case.says.clone()) };
    let mut w = server.world();
    w.net.set_recording(false);
    let choices = Choices { limits: Limits { frame: u64::MAX, message: u64::MAX }, ..Choices::default() };
    let xid = w.submit(&websocket(setup(choices)));
    echo(&mut w, xid);
    let number = &case.number;
    let end = w.log(xid).end.clone().unwrap_or_else(|| panic!("{number}: it did not end"));
    let mut frames: Vec<(u8, Vec<u8>)> = server.frames().into_iter().map(|f| (f.first, f.payload)).collect();
    let last = frames.pop();
    match want {
        Want::Frames(wanted) => {
            assert_eq!(end.error, 0, "{number}: {}", end.message);
            assert_same(number, &frames, wanted);
            assert_eq!(last, Some((FIN | CLOSE, 1000_u16.to_be_bytes().to_vec())), "{number}");
        }
        Want::Closed(wanted, body) => {
            assert_eq!(end.error, 0, "{number}: {}", end.message);
            assert_same(number, &frames, wanted);
            assert_eq!(last, Some((FIN | CLOSE, body.clone())), "{number}");
        }
        Want::Fails(wanted, code, close) => {
            assert_eq!(end.error, *code, "{number}: {}", end.message);
            assert_same(number, &frames, wanted);
            assert_eq!(last, Some((FIN | CLOSE, close.to_be_bytes().to_vec())), "{number}");
        }
    }
    w.close();
}

fn assert_same(number: &str, frames: &[(u8, Vec<u8>)], wanted: &[(u8, Vec<u8>)]) {
    let shape = |frames: &[(u8, Vec<u8>)]| frames.iter().map(|(first, p)| (*first, p.len())).collect::<Vec<_>>();
    assert_eq!(shape(frames), shape(wanted), "{number}");
    assert!(frames == wanted, "{number}: the bytes differ");
}

fn fails(code: i32) -> Want {
    Want::Fails(Vec::new(), code, if code == e::CHTTP_E_WS_UTF8 { 1007 } else { 1002 })
}

/// In pieces of `n` bytes: a message in fragments.
fn fragments(kind: u8, payload: &[u8], n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let count = payload.len().div_ceil(n).max(1);
    for i in 0..count {
        let piece = &payload[(i * n).min(payload.len())..((i + 1) * n).min(payload.len())];
        let opcode = if i == 0 { kind } else { 0 };
        out.extend(frame(if i + 1 == count { FIN | opcode } else { opcode }, piece));
    }
    out
}

fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, kind, byte) in [(1, TEXT, b'*'), (2, BINARY, 0xfe)] {
        for (i, len) in [0, 125, 126, 127, 128, 65_535, 65_536, 65_536].into_iter().enumerate() {
            let payload = vec![byte; len];
            let mut case =
                case(format!("1.{group}.{}", i + 1), vec![frame(FIN | kind, &payload)], echo_of(kind, payload.clone()));
            // The last one comes in chops.
            case.every = if i == 7 { 997 } else { usize::MAX };
            cases.push(case);
        }
    }
    cases
}

fn pings() -> Vec<Case> {
    let pong = |payload: &[u8]| echo_of(PONG, payload);
    let odd = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    let long = vec![0xfe; 125];
    let one = |n: &str, payload: &[u8]| case(n, vec![frame(FIN | PING, payload)], pong(payload));
    let mut cases = vec![one("2.1", b""), one("2.2", b"Hello, world!"), one("2.3", &odd), one("2.4", &long)];
    cases.push(case("2.5", vec![frame(FIN | PING, &[0xfe; 126])], fails(e::CHTTP_E_WS_CONTROL_FRAME)));
    let mut chopped = one("2.6", &long);
    chopped.every = 1;
    cases.push(chopped);
    let ping = frame(FIN | PING, b"ping");
    cases.push(case("2.7", vec![frame(FIN | PONG, b"")], Want::Frames(vec![])));
    cases.push(case("2.8", vec![frame(FIN | PONG, b"unasked")], Want::Frames(vec![])));
    cases.push(case("2.9", vec![frame(FIN | PONG, b"unasked"), ping], pong(b"ping")));
    let ten: Vec<Vec<u8>> = (0..10).map(|i| format!("payload-{i}").into_bytes()).collect();
    for (number, every) in [("2.10", usize::MAX), ("2.11", 1)] {
        let pings = ten.iter().map(|p| frame(FIN | PING, p)).collect();
        let pongs = ten.iter().map(|p| (FIN | PONG, p.clone())).collect();
        cases.push(Case { every, ..case(number, pings, Want::Frames(pongs)) });
    }
    cases
}

fn reserved() -> Vec<Case> {
    let hello = || text("Hello, world!");
    let bad = |rsv: u8, opcode: u8| frame(FIN | rsv << 4 | opcode, b"Hello, world!");
    let ping = || frame(FIN | PING, b"");
    let echoed = vec![(FIN | TEXT, b"Hello, world!".to_vec())];
    let rsv = e::CHTTP_E_WS_RESERVED_BIT;
    let after = || Want::Fails(echoed.clone(), rsv, 1002);
    let mut cases = vec![
        case("3.1", vec![bad(1 << 2, TEXT)], fails(rsv)),
        case("3.2", vec![hello()], after()).then(1, vec![bad(2, TEXT), ping()]),
        case("3.3", vec![hello()], after()).then(1, vec![bad(3, TEXT), ping()]),
        Case { every: 1, ..case("3.4", vec![hello()], after()).then(1, vec![bad(4, TEXT), ping()]) },
        case("3.5", vec![bad(5, BINARY)], fails(rsv)),
        case("3.6", vec![bad(6, PING)], fails(rsv)),
        case("3.7", vec![bad(7, CLOSE)], fails(rsv)),
    ];
    for (group, opcodes) in [(1, 3..=7), (2, 11..=15)] {
        for (i, opcode) in opcodes.enumerate() {
            let bad = frame(FIN | opcode, if i % 2 == 1 { b"reserved opcode" } else { b"" });
            let number = format!("4.{group}.{}", i + 1);
            let code = e::CHTTP_E_WS_OPCODE;
            cases.push(match i {
                0 | 1 => case(number, vec![bad], fails(code)),
                _ => Case {
                    every: if i == 3 { 1 } else { usize::MAX },
                    ..case(number, vec![hello()], Want::Fails(echoed.clone(), code, 1002)).then(1, vec![bad, ping()])
                },
            });
        }
    }
    cases
}

fn fragmentation() -> Vec<Case> {
    let whole = || echo_of(TEXT, "fragment1fragment2");
    let (one, two) = (|| frame(TEXT, b"fragment1"), || frame(FIN, b"fragment2"));
    let ping = || frame(FIN | PING, b"ping payload");
    let pong = || (FIN | PONG, b"ping payload".to_vec());
    let with_pong = || Want::Frames(vec![pong(), (FIN | TEXT, b"fragment1fragment2".to_vec())]);
    let control = || fails(e::CHTTP_E_WS_CONTROL_FRAME);
    let fragment = || fails(e::CHTTP_E_WS_FRAGMENT);
    let stray = |fin: u8| frame(fin, b"non-continuation payload");
    let hello = || text("Hello, world!");
    let mut cases = vec![
        case("5.1", vec![frame(PING, b"fragment1"), two()], control()),
        case("5.2", vec![frame(PONG, b"fragment1"), two()], control()),
    ];
    // In one chop, frame by frame, octet by octet.
    for (i, every) in [usize::MAX, 11, 1].into_iter().enumerate() {
        cases.push(Case { every, ..case(format!("5.{}", i + 3), vec![one(), two()], whole()) });
        cases.push(Case { every, ..case(format!("5.{}", i + 6), vec![one(), ping(), two()], with_pong()) });
        cases.push(Case { every, ..case(format!("5.{}", i + 9), vec![stray(FIN), hello()], fragment()) });
        cases.push(Case { every, ..case(format!("5.{}", i + 12), vec![stray(0), hello()], fragment()) });
    }
    let echoed = Want::Fails(vec![(FIN | TEXT, b"fragment1fragment2".to_vec())], e::CHTTP_E_WS_FRAGMENT, 1002);
    let rest = vec![frame(0, b"fragment3"), frame(FIN | TEXT, b"fragment4")];
    cases.push(case("5.15", vec![one(), two()], echoed).then(1, rest));
    cases.push(case(
        "5.16",
        vec![frame(0, b"fragment1"), frame(TEXT, b"fragment2"), frame(FIN, b"fragment3")],
        fragment(),
    ));
    cases.push(case(
        "5.17",
        vec![frame(FIN, b"fragment1"), frame(TEXT, b"fragment2"), frame(FIN, b"fragment3")],
        fragment(),
    ));
    cases.push(case("5.18", vec![one(), frame(FIN | TEXT, b"fragment2")], fragment()));
    let parts = |ping_each: bool| {
        let mut says = vec![frame(TEXT, b"fragment1"), frame(0, b"fragment2"), frame(FIN | PING, b"pongme 1!")];
        says.extend([frame(0, b"fragment3"), frame(0, b"fragment4")]);
        says.extend([frame(FIN | PING, b"pongme 2!"), frame(FIN, b"fragment5")]);
        (says, if ping_each { 3 } else { usize::MAX })
    };
    for (number, slow) in [("5.19", false), ("5.20", true)] {
        let (says, every) = parts(slow);
        let pong = |n: u8| (FIN | PONG, format!("pongme {n}!").into_bytes());
        let whole = (FIN | TEXT, b"fragment1fragment2fragment3fragment4fragment5".to_vec());
        cases.push(Case { every, ..case(number, says, Want::Frames(vec![pong(1), pong(2), whole])) });
    }
    cases
}

/// Bytes, and whether they are UTF-8.
type Sequence = (bool, Vec<u8>);

/// Valid and invalid sequences of UTF-8, by their group of the list from 6.5 on.
fn sequences() -> Vec<(u32, Vec<Sequence>)> {
    let ok = |hex: &str| (true, bytes(hex));
    let no = |hex: &str| (false, bytes(hex));
    let sentence = "Hello-µ@ßöäüàá-UTF-8!!";
    let kosme = "cebae1bdb9cf83cebcceb5";
    // Of a valid text, every start that ends inside a character is none.
    let mut prefixes = vec![(true, Vec::new())];
    for end in 1..=bytes(kosme).len() {
        let start = bytes(kosme)[..end].to_vec();
        prefixes.push((std::str::from_utf8(&start).is_ok(), start));
    }
    prefixes.remove(0);
    let first = ["00", "c280", "e0a080", "f0908080"].map(ok).to_vec();
    let first_long = ["f888808080", "fc8480808080"].map(no).to_vec();
    let last = ["7f", "dfbf", "efbfbf", "f48fbfbf"].map(ok).to_vec();
    let last_long = ["fbbfbfbfbf", "fdbfbfbfbfbf"].map(no).to_vec();
    let others = vec![ok("ed9fbf"), ok("ee8080"), ok("efbfbd"), no("f4908080"), no("f7bfbfbf")];
    let continuations = (1..=8).map(|n| {
        let bytes = (0..n).map(|i| if i % 2 == 0 { 0x80 } else { 0xbf }).collect();
        (false, if n <= 2 { if n == 1 { vec![0x80] } else { vec![0xbf] } } else { bytes })
    });
    // Starts of sequences, each before a space.
    let lonely = |range: std::ops::RangeInclusive<u8>| (false, range.flat_map(|b| [b, b' ']).collect::<Vec<u8>>());
    let starts =
        vec![lonely(0xc0..=0xdf), lonely(0xe0..=0xef), lonely(0xf0..=0xf7), lonely(0xf8..=0xfb), lonely(0xfc..=0xfd)];
    let last_missing =
        ["c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf"];
    let all_missing = no(&last_missing.concat());
    let surrogates = ["eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"];
    let pairs = [
        "eda080edb080",
        "eda080edbfbf",
        "edadbfedb080",
        "edadbfedbfbf",
        "edae80edb080",
        "edae80edbfbf",
        "edafbfedb080",
        "edafbfedbfbf",
    ];
    // The last two code points of each plane are no characters, and valid all the same.
    let mut nonchars = vec!["efbfbe".to_owned(), "efbfbf".to_owned()];
    for plane in 1..=16_u32 {
        for end in [0xfffe, 0xffff] {
            let c = char::from_u32(plane << 16 | end).unwrap();
            nonchars.push(c.to_string().bytes().map(|b| format!("{b:02x}")).collect());
        }
    }
    let replacement = ["efbfb9", "efbfba", "efbfbb", "efbfbc", "efbfbd", "efbfbe", "efbfbf"];
    let mut longest = vec![(true, sentence.as_bytes().to_vec())];
    longest.extend([(true, "Ã".as_bytes().to_vec()), (true, "𝄞𝄞".as_bytes().to_vec())]);
    longest.extend([(true, "κόσμε".as_bytes().to_vec()), (true, "日本語".as_bytes().to_vec())]);
    vec![
        (5, longest),
        (6, prefixes),
        (7, first),
        (8, first_long),
        (9, last),
        (10, [last_long, vec![no("f7bfbfbf")]].concat()),
        (11, others),
        (12, continuations.collect()),
        (13, starts),
        (14, last_missing.map(no).to_vec()),
        (15, vec![all_missing]),
        (16, ["fe", "ff", "fefeffff"].map(no).to_vec()),
        (17, ["c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"].map(no).to_vec()),
        (18, ["c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"].map(no).to_vec()),
        (19, ["c080", "e08080", "f0808080", "f880808080", "fc8080808080"].map(no).to_vec()),
        (20, surrogates.map(no).to_vec()),
        (21, pairs.map(no).to_vec()),
        (22, nonchars.iter().map(|hex| ok(hex)).collect()),
        (23, replacement.map(ok).to_vec()),
    ]
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn utf8() -> Vec<Case> {
    let bad = || fails(e::CHTTP_E_WS_UTF8);
    let (kosme, tail) = (bytes("cebae1bdb9cf83cebcceb5"), bytes("656469746564"));
    let invalid = [&kosme[..], &bytes("eda080"), &tail].concat();
    let early = [&kosme[..], &bytes("f4908080"), &tail].concat();
    let text = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
    let mut cases = vec![
        case("6.1.1", vec![frame(FIN | TEXT, b"")], echo_of(TEXT, "")),
        case("6.1.2", vec![frame(TEXT, b""), frame(0, b""), frame(FIN, b"")], echo_of(TEXT, "")),
        case("6.1.3", vec![frame(TEXT, b""), frame(0, b"middle"), frame(FIN, b"")], echo_of(TEXT, "middle")),
        case("6.2.1", vec![frame(FIN | TEXT, text)], echo_of(TEXT, text)),
        case("6.2.2", vec![fragments(TEXT, text, 12)], echo_of(TEXT, text)),
        case("6.2.3", vec![fragments(TEXT, text, 1)], echo_of(TEXT, text)),
        case("6.2.4", vec![fragments(TEXT, &kosme, 1)], echo_of(TEXT, kosme.clone())),
        case("6.3.1", vec![frame(FIN | TEXT, &invalid)], bad()),
        case("6.3.2", vec![fragments(TEXT, &invalid, 1)], bad()),
    ];
    // Fail fast: what follows the first bad byte never comes, and it is told all the same.
    let head = early.len() - tail.len();
    let unfinished = |len: usize| {
        let mut frame = frame(FIN | TEXT, &early);
        frame.truncate(2 + len);
        frame
    };
    cases.push(case("6.4.1", vec![frame(TEXT, &kosme), frame(0, &early[kosme.len()..head])], bad()));
    cases.push(case(
        "6.4.2",
        vec![frame(TEXT, &early[..kosme.len() + 1]), frame(0, &early[kosme.len() + 1..kosme.len() + 2])],
        bad(),
    ));
    cases.push(case("6.4.3", vec![unfinished(head)], bad()));
    cases.push(Case { every: 1, ..case("6.4.4", vec![unfinished(kosme.len() + 2)], bad()) });
    for (group, list) in sequences() {
        for (i, (valid, payload)) in list.into_iter().enumerate() {
            let want = if valid { echo_of(TEXT, payload.clone()) } else { bad() };
            cases.push(case(format!("6.{group}.{}", i + 1), vec![frame(FIN | TEXT, &payload)], want));
        }
    }
    cases
}

fn closing() -> Vec<Case> {
    let hello = || text("Hello World!");
    let echoed = || vec![(FIN | TEXT, b"Hello World!".to_vec())];
    let normal = || 1000_u16.to_be_bytes().to_vec();
    let reason = |len: usize| close(1000, &"*".repeat(len));
    let closed = |frames: Vec<(u8, Vec<u8>)>| Want::Closed(frames, normal());
    let empty = || frame(FIN | CLOSE, b"");
    let mut cases = vec![
        case("7.1.1", vec![hello()], closed(echoed())).then(1, vec![close(1000, "")]),
        case("7.1.2", vec![close(1000, ""), close(1000, "")], closed(vec![])),
        case("7.1.3", vec![close(1000, ""), frame(FIN | PING, b"")], closed(vec![])),
        case("7.1.4", vec![close(1000, ""), hello()], closed(vec![])),
        case("7.1.5", vec![frame(TEXT, b"fragment1"), close(1000, ""), frame(FIN, b"fragment2")], closed(vec![])),
        case("7.1.6", vec![hello(), fragments(TEXT, &vec![b'B'; 256 << 10], 64 << 10)], {
            let mut frames = echoed();
            frames.push((FIN | TEXT, vec![b'B'; 256 << 10]));
            closed(frames)
        })
        .then(2, vec![close(1000, ""), frame(FIN | PING, b"")]),
        case("7.3.1", vec![empty()], Want::Closed(vec![], vec![])),
        case("7.3.2", vec![frame(FIN | CLOSE, b"a")], fails(e::CHTTP_E_WS_CLOSE_FRAME)),
        case("7.3.3", vec![close(1000, "")], closed(vec![])),
        case("7.3.4", vec![close(1000, "Hello World!")], closed(vec![])),
        case("7.3.5", vec![reason(codes::REASON_MAX)], closed(vec![])),
        case("7.3.6", vec![reason(codes::REASON_MAX + 1)], fails(e::CHTTP_E_WS_CONTROL_FRAME)),
        case(
            "7.5.1",
            vec![frame(FIN | CLOSE, &[&normal()[..], &bytes("cebae1bdb9cf83cebcceb5eda080656469746564")].concat())],
            fails(e::CHTTP_E_WS_UTF8),
        ),
    ];
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999_u16];
    for (i, code) in valid.into_iter().enumerate() {
        let want = Want::Closed(vec![], code.to_be_bytes().to_vec());
        cases.push(case(format!("7.7.{}", i + 1), vec![close(code, "good")], want));
    }
    for (i, code) in [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999].into_iter().enumerate() {
        cases.push(case(format!("7.9.{}", i + 1), vec![close(code, "bad")], fails(e::CHTTP_E_WS_CLOSE_FRAME)));
    }
    for (i, code) in [5000, 65_535].into_iter().enumerate() {
        cases.push(case(format!("7.13.{}", i + 1), vec![close(code, "nobody's")], fails(e::CHTTP_E_WS_CLOSE_FRAME)));
    }
    cases
}

/// Large messages: whole, in fragments, in chops.
fn bulk() -> Vec<Case> {
    const KIB: usize = 1 << 10;
    const MIB: usize = 1 << 20;
    let mut cases = Vec::new();
    for (group, kind) in [(1, TEXT), (2, BINARY)] {
        for (i, len) in [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB].into_iter().enumerate() {
            let payload = vec![b'*'; len];
            let number = format!("9.{group}.{}", i + 1);
            cases.push(case(number, vec![frame(FIN | kind, &payload)], echo_of(kind, payload)));
        }
    }
    for (group, kind) in [(3, TEXT), (4, BINARY)] {
        let sizes = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
        for (i, size) in sizes.into_iter().enumerate() {
            let payload = vec![b'*'; 4 * MIB];
            let number = format!("9.{group}.{}", i + 1);
            cases.push(case(number, vec![fragments(kind, &payload, size)], echo_of(kind, payload)));
        }
    }
    for (group, kind) in [(5, TEXT), (6, BINARY)] {
        for (i, every) in [64, 128, 256, 512, KIB, 2 * KIB].into_iter().enumerate() {
            let payload = vec![b'*'; MIB];
            let number = format!("9.{group}.{}", i + 1);
            cases.push(Case { every, ..case(number, vec![frame(FIN | kind, &payload)], echo_of(kind, payload)) });
        }
    }
    // A message after the other, of each size.
    for (group, kind) in [(7, TEXT), (8, BINARY)] {
        for (i, size) in [0, 16, 64, 256, KIB, 4 * KIB].into_iter().enumerate() {
            let payload = vec![b'*'; size];
            let (says, want) = (0..100).map(|_| (frame(FIN | kind, &payload), (FIN | kind, payload.clone()))).unzip();
            cases.push(case(format!("9.{group}.{}", i + 1), says, Want::Frames(want)));
        }
    }
    // Automatic fragmentation is the sender's business: the message comes back whole.
    let payload = vec![b'*'; 65_536];
    cases.push(case("10.1.1", vec![fragments(TEXT, &payload, 1300)], echo_of(TEXT, payload)));
    cases
}

fn uncompressed() -> Vec<Case> {
    [framing(), pings(), reserved(), fragmentation(), utf8(), closing(), bulk()].concat_all()
}

trait ConcatAll {
    fn concat_all(self) -> Vec<Case>;
}

impl<const N: usize> ConcatAll for [Vec<Case>; N] {
    fn concat_all(self) -> Vec<Case> {
        self.into_iter().flatten().collect()
    }
}

/// The sizes and cuts of 12.* and 13.*: bytes of a message, and into frames of how many bytes it is cut.
const SIZES: [(usize, usize); 18] = [
    (16, 0),
    (64, 0),
    (256, 0),
    (1 << 10, 0),
    (4 << 10, 0),
    (8 << 10, 0),
    (16 << 10, 0),
    (32 << 10, 0),
    (64 << 10, 0),
    (128 << 10, 0),
    (8 << 10, 256),
    (16 << 10, 256),
    (32 << 10, 256),
    (64 << 10, 256),
    (128 << 10, 256),
    (128 << 10, 1 << 10),
    (128 << 10, 4 << 10),
    (128 << 10, 32 << 10),
];

/// The five kinds of data of 12.*, in spirit: records, noise, prose, digits, one byte over and over.
fn payload(data: usize, size: usize, salt: usize) -> (u8, Vec<u8>) {
    let mut seed = (data * 7919 + salt + 1) as u32;
    let mut noise = move || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed
    };
    let words = ["alpha", "beta", "gamma", "delta", "κόσμε", "日本語"];
    let mut out = String::new();
    match data {
        0 => {
            while out.len() < size {
                out += &format!("{{\"id\":{},\"name\":\"{}\"}},", noise() % 1000, words[noise() as usize % 6]);
            }
        }
        1 => return (BINARY, (0..size).map(|_| noise() as u8).collect()),
        2 => {
            while out.len() < size {
                out += words[noise() as usize % 6];
                out += " ";
            }
        }
        3 => {
            while out.len() < size {
                out += &noise().to_string();
            }
        }
        _ => return (BINARY, vec![data as u8; size]),
    }
    while !out.is_char_boundary(size) {
        out.insert(0, ' ');
    }
    out.truncate(size);
    (TEXT, out.into_bytes())
}

struct Inflated(Vec<u8>, [u8; 4096]);

impl Room for Inflated {
    fn room(&mut self) -> Result<&mut [u8], Rule> {
        Ok(&mut self.1)
    }

    fn wrote(&mut self, len: usize) -> Result<(), Rule> {
        self.0.extend_from_slice(&self.1[..len]);
        Ok(())
    }
}

/// Params as the server sees them: what is ours is the other side's.
fn swapped(p: &Params) -> Params {
    Params {
        client_no_context_takeover: p.server_no_context_takeover,
        server_no_context_takeover: p.client_no_context_takeover,
        client_bits: p.server_bits,
        server_bits: p.client_bits,
    }
}

fn compressed(number: &str, agreed: &Agreed, data: usize, (size, cut): (usize, usize)) {
    let params = chttpcore::proto::ws::deflate::agreed(&agreed.offer, agreed.fields.as_bytes()).unwrap();
    let mut deflater = Deflater::new(&swapped(&params), &Arc::default()).unwrap();
    // The list has 1,000 of each size, 10 GB in all. What messages have in common is the window, 32 KiB at most: as many are
    // sent as fill it twice, so that it has to be moved on. More would only be more of the same.
    let count = ((64 << 10) / size).clamp(3, 1_000);
    let messages: Vec<(u8, Vec<u8>)> = (0..count).map(|i| payload(data, size, i)).collect();
    let mut first = Vec::new();
    for (kind, message) in &messages {
        let pieces: Vec<&[u8]> = if cut == 0 { vec![message] } else { message.chunks(cut).collect() };
        for (i, piece) in pieces.iter().enumerate() {
            let end = i + 1 == pieces.len();
            let mut packed = bytes::BytesMut::new();
            deflater.piece(piece, end, &mut packed).unwrap();
            let opcode = if i == 0 { 0x40 | kind } else { 0 };
            first.extend(frame(if end { FIN | opcode } else { opcode }, &packed));
        }
    }
    let then = vec![(messages.len(), close(1000, ""))];
    let fields = format!("Sec-WebSocket-Extensions: {}\r\n", agreed.fields);
    let server = Server { fields, then, ..Server::saying(first) };
    let mut w = server.world();
    w.net.set_recording(false);
    let xid = w.submit(&deflating(agreed.offer));
    echo(&mut w, xid);
    assert_eq!(w.log(xid).code(), 0, "{number}");
    let mut inflater = Inflater::new(&swapped(&params), &Arc::default());
    let mut frames = server.frames();
    assert_eq!(frames.pop().map(|f| f.first), Some(FIN | CLOSE), "{number}");
    assert_eq!(frames.len(), messages.len(), "{number}");
    for (said, (kind, message)) in frames.iter().zip(&messages) {
        assert_eq!(said.first, FIN | 0x40 | kind, "{number}");
        let mut inflated = Inflated(Vec::new(), [0; 4096]);
        inflater.piece(&said.payload, true, &mut inflated).unwrap();
        assert!(inflated.0 == *message, "{number}");
    }
    w.close();
}

fn agreements() -> [Agreed; 7] {
    let offer = Offer::default();
    let no_takeover = Offer { server_no_context_takeover: true, ..offer };
    [
        Agreed { offer, fields: "permessage-deflate" },
        Agreed { offer: no_takeover, fields: "permessage-deflate; server_no_context_takeover" },
        Agreed { offer: Offer { server_bits: 9, ..offer }, fields: "permessage-deflate; server_max_window_bits=9" },
        Agreed { offer: Offer { server_bits: 15, ..offer }, fields: "permessage-deflate; server_max_window_bits=15" },
        Agreed {
            offer: Offer { server_bits: 9, ..no_takeover },
            fields: "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        },
        Agreed {
            offer: Offer { server_bits: 15, ..no_takeover },
            fields: "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
        },
        Agreed {
            offer: Offer { client_bits: 9, client_no_context_takeover: true, ..no_takeover },
            fields: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits=9",
        },
    ]
}

fn compression(mut run: impl FnMut(String, &Agreed, usize, (usize, usize))) {
    let agreements = agreements();
    for data in 0..5 {
        for (i, size) in SIZES.into_iter().enumerate() {
            run(format!("12.{}.{}", data + 1, i + 1), &agreements[0], data, size);
        }
    }
    for (group, agreed) in agreements.iter().enumerate() {
        for (i, size) in SIZES.into_iter().enumerate() {
            run(format!("13.{}.{}", group + 1, i + 1), agreed, i % 5, size);
        }
    }
}

fn run_all(cases: Vec<Case>) {
    cases.iter().for_each(run);
}

#[test]
fn cases_1_framing() {
    run_all(framing());
}

#[test]
fn cases_2_pings() {
    run_all(pings());
}

#[test]
fn cases_3_and_4_reserved_bits_and_opcodes() {
    run_all(reserved());
}

#[test]
fn cases_5_fragmentation() {
    run_all(fragmentation());
}

#[test]
fn cases_6_utf8() {
    run_all(utf8());
}

#[test]
fn cases_7_closing() {
    run_all(closing());
}

#[test]
fn cases_9_and_10_bulk() {
    run_all(bulk());
}

#[test]
fn cases_12_and_13_compression() {
    compression(|number, agreed, data, size| compressed(&number, agreed, data, size));
}

/// How many cases each group of the list has.
const LIST: &[(&str, usize)] = &[
    ("1.1", 8),
    ("1.2", 8),
    ("2", 11),
    ("3", 7),
    ("4.1", 5),
    ("4.2", 5),
    ("5", 20),
    ("6.1", 3),
    ("6.2", 4),
    ("6.3", 2),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 11),
    ("6.7", 4),
    ("6.8", 2),
    ("6.9", 4),
    ("6.10", 3),
    ("6.11", 5),
    ("6.12", 8),
    ("6.13", 5),
    ("6.14", 10),
    ("6.15", 1),
    ("6.16", 3),
    ("6.17", 5),
    ("6.18", 5),
    ("6.19", 5),
    ("6.20", 7),
    ("6.21", 8),
    ("6.22", 34),
    ("6.23", 7),
    ("7.1", 6),
    ("7.3", 6),
    ("7.5", 1),
    ("7.7", 13),
    ("7.9", 9),
    ("7.13", 2),
    ("9.1", 6),
    ("9.2", 6),
    ("9.3", 9),
    ("9.4", 9),
    ("9.5", 6),
    ("9.6", 6),
    ("9.7", 6),
    ("9.8", 6),
    ("10.1", 1),
    ("12.1", 18),
    ("12.2", 18),
    ("12.3", 18),
    ("12.4", 18),
    ("12.5", 18),
    ("13.1", 18),
    ("13.2", 18),
    ("13.3", 18),
    ("13.4", 18),
    ("13.5", 18),
    ("13.6", 18),
    ("13.7", 18),
];

#[test]
fn no_number_of_the_list_is_missing() {
    let mut ours: Vec<String> = uncompressed().into_iter().map(|case| case.number).collect();
    compression(|number, _, _, _| ours.push(number));
    let listed: BTreeSet<String> =
        LIST.iter().flat_map(|(group, count)| (1..=*count).map(move |i| format!("{group}.{i}"))).collect();
    assert_eq!(listed.len(), 517);
    assert_eq!(ours.len(), 517, "a number is there twice");
    assert_eq!(ours.into_iter().collect::<BTreeSet<_>>(), listed);
}

/// The kinds of events of an echo, once, so that the driver above is known to see them.
#[test]
fn the_driver_sees_what_the_application_is_told() {
    let server = Server::saying([text("a"), close(1000, "bye")].concat());
    let mut w = server.world();
    let xid = w.submit(&plain());
    echo(&mut w, xid);
    let kinds: Vec<u16> = w.log(xid).said.iter().map(|(kind, ..)| *kind).collect();
    assert_eq!(kinds, [kind::WS_OPEN, kind::WS_MESSAGE, kind::WS_CLOSE]);
    assert_eq!(w.log(xid).said[2].3, b"bye");
    w.close();
}
