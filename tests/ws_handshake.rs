//! The opening handshake of RFC 6455 and the negotiation of RFC 7692 as tables; and compression itself.

use bytes::BytesMut;
use chttpcore::proto::ws::Rule;
use chttpcore::proto::ws::deflate::{Deflater, Inflater, Offer, Params, Room, Shelf, agreed};
use chttpcore::proto::ws::handshake::{self, Agreed, Asked, Wrong};
use chttpcore::proto::{Field, Fields};
use std::sync::Arc;

const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn judge<'a>(asked: &Asked<'a>, lines: &[(&str, &str)]) -> Result<Agreed<'a>, Rule> {
    explained(asked, lines).map_err(|wrong| wrong.rule)
}

fn explained<'a>(asked: &Asked<'a>, lines: &[(&str, &str)]) -> Result<Agreed<'a>, Wrong> {
    let (mut bytes, mut table) = (Vec::new(), Vec::new());
    for (name, value) in lines {
        let at = bytes.len() as u32;
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
        let (name, value) = (name.len() as u32, value.len() as u32);
        table.push(Field { name: at, name_len: name, value: at + name, value_len: value });
    }
    handshake::judge(asked, Fields { bytes: &bytes, table: &table })
}

#[test]
fn the_answer_to_the_sample_key() {
    let key = handshake::parse_key(KEY).unwrap();
    assert_eq!(handshake::accept(&key), *ACCEPT.as_bytes());
    assert_eq!(handshake::key(*b"the sample nonce"), *KEY);
    for bad in ["", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ", "AAAA", "dGhlIHNhbXBsZSBub25jZS4=", "!!!!"] {
        assert_eq!(handshake::parse_key(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn an_answer_must_switch_to_what_was_asked_for() {
    let key = handshake::parse_key(KEY).unwrap();
    let asked = Asked { key: Some(&key), protocols: "chat.v2, chat", deflate: None };
    let good = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)];
    assert_eq!(judge(&asked, &good), Ok(Agreed::default()));
    let other_case =
        [("upgrade", "WebSocket"), ("CONNECTION", "keep-alive, upgrade"), ("sec-websocket-accept", ACCEPT)];
    assert_eq!(judge(&asked, &other_case), Ok(Agreed::default()));
    // Each of the three is needed, once, and right.
    for at in 0..3 {
        let mut lines = good.to_vec();
        let line = lines.remove(at);
        assert_eq!(judge(&asked, &lines), Err(Rule::Accept), "without {}", line.0);
        lines.push((line.0, "other"));
        assert_eq!(judge(&asked, &lines), Err(Rule::Accept), "{} is other", line.0);
    }
    let lines = [&good[..], &[("Sec-WebSocket-Accept", ACCEPT)]].concat();
    assert_eq!(judge(&asked, &lines), Err(Rule::Accept));
    let lower = ACCEPT.to_lowercase();
    let lines = [&good[..2], &[("Sec-WebSocket-Accept", &lower[..])]].concat();
    assert_eq!(judge(&asked, &lines), Err(Rule::Accept));
    // Subprotocols: one of those that were asked for, letter by letter.
    let with = |name: &'static str, value: &'static str| [&good[..], &[(name, value)]].concat();
    let chosen = judge(&asked, &with("Sec-WebSocket-Protocol", "chat")).unwrap();
    assert_eq!(chosen.protocol, Some("chat"));
    for other in ["CHAT", "chat, chat.v2", "", "super", "chat.v2,"] {
        assert_eq!(judge(&asked, &with("Sec-WebSocket-Protocol", other)), Err(Rule::Subprotocol), "{other}");
    }
    let twice = [&with("Sec-WebSocket-Protocol", "chat")[..], &[("Sec-WebSocket-Protocol", "chat")]].concat();
    assert_eq!(judge(&asked, &twice), Err(Rule::Subprotocol));
    let unasked = Asked { protocols: "", ..asked };
    assert_eq!(judge(&unasked, &with("Sec-WebSocket-Protocol", "chat")), Err(Rule::Subprotocol));
    // Extensions: nothing was offered.
    assert_eq!(judge(&asked, &with("Sec-WebSocket-Extensions", "permessage-deflate")), Err(Rule::Extension));
    let offer = Offer::default();
    let offering = Asked { deflate: Some(&offer), ..asked };
    assert!(judge(&offering, &with("Sec-WebSocket-Extensions", "permessage-deflate")).unwrap().deflate.is_some());
    for other in ["x-foo", "permessage-deflate, x-foo", "permessage-deflate, permessage-deflate", ""] {
        assert_eq!(judge(&offering, &with("Sec-WebSocket-Extensions", other)), Err(Rule::Extension), "{other}");
    }
    // Over HTTP/2 there is no key, and nothing is said of Upgrade (RFC 8441 section 5).
    assert_eq!(judge(&Asked { key: None, ..asked }, &[]), Ok(Agreed::default()));
}

#[test]
fn what_is_wrong_is_named_with_its_value() {
    let key = handshake::parse_key(KEY).unwrap();
    let offer = Offer::default();
    let asked = Asked { key: Some(&key), protocols: "chat", deflate: Some(&offer) };
    let good = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", ACCEPT)];
    let what = |lines: &[(&str, &str)]| explained(&asked, lines).unwrap_err().what;
    for (at, value, words) in [
        (0, "h2c\u{1b}[0m", "Upgrade: `h2c\\x1b[0m` is not `websocket` (RFC 6455 section 4.1)"),
        (1, "keep-alive", "Connection: `keep-alive` does not say `upgrade` (RFC 6455 section 4.1)"),
        (2, "nonsense", "Sec-WebSocket-Accept: `nonsense` does not answer the key (RFC 6455 section 4.1)"),
    ] {
        let mut lines = good.to_vec();
        lines[at].1 = value;
        assert_eq!(what(&lines), words);
        lines[at] = (good[at].0, good[at].1);
        lines.remove(at);
        let said = what(&lines);
        assert!(said.starts_with(good[at].0) && (at == 1 || said.contains("is missing")), "{said}");
    }
    let with = |name: &'static str, value: &'static str| [&good[..], &[(name, value)]].concat();
    let long = "x".repeat(1000).leak();
    for (name, value, words) in [
        ("Upgrade", "websocket", "comes behind another one"),
        ("Content-Length", "0", "Content-Length: `0` does not go with 101"),
        ("transfer-encoding", "chunked", "Transfer-Encoding: `chunked` does not go with 101"),
        ("Sec-WebSocket-Protocol", "super", "Sec-WebSocket-Protocol: `super` was not asked for"),
        ("Sec-WebSocket-Extensions", "x-foo", "`x-foo` does not answer what was offered"),
        ("Sec-WebSocket-Protocol", long, "xxx...` was not asked for"),
    ] {
        let said = what(&with(name, value));
        assert!(said.contains(words) && said.len() < 200, "{said}");
    }
    // Over HTTP/2 a length means nothing there (RFC 9110 section 9.3.6).
    assert_eq!(judge(&Asked { key: None, ..asked }, &[("content-length", "0")]), Ok(Agreed::default()));
}

#[test]
fn subprotocols_are_tokens_each_once() {
    for good in ["chat", "chat, superchat", "a,b,c", "v10.stomp ,\tmqtt"] {
        assert!(handshake::check_protocols(good).is_ok(), "{good}");
    }
    for bad in ["", ",", "a,", "a b", "a;b", "a\r\nX: y", "a\0", "ä", "a,a", "a, b, a"] {
        assert!(handshake::check_protocols(bad).is_err(), "{bad}");
    }
}

#[test]
fn offers_are_written_as_they_are_meant() {
    let offer = Offer::default();
    assert_eq!(offer.text(), "permessage-deflate; client_max_window_bits");
    let all =
        Offer { client_no_context_takeover: true, server_no_context_takeover: true, client_bits: 8, server_bits: 10 };
    assert_eq!(
        all.text(),
        "permessage-deflate; client_max_window_bits=8; server_max_window_bits=10; client_no_context_takeover; \
         server_no_context_takeover"
    );
}

#[test]
fn what_a_server_may_answer_to_an_offer() {
    let plain = Offer::default();
    let params = |no_ours, no_theirs, ours, theirs| {
        Some(Params {
            client_no_context_takeover: no_ours,
            server_no_context_takeover: no_theirs,
            client_bits: ours,
            server_bits: theirs,
        })
    };
    let good = [
        ("permessage-deflate", params(false, false, 15, 15)),
        ("permessage-deflate; server_no_context_takeover", params(false, true, 15, 15)),
        ("permessage-deflate ;client_no_context_takeover", params(true, false, 15, 15)),
        ("permessage-deflate; client_max_window_bits=8", params(false, false, 8, 15)),
        ("permessage-deflate; client_max_window_bits=\"10\"", params(false, false, 10, 15)),
        ("permessage-deflate; server_max_window_bits=8", params(false, false, 15, 8)),
        (
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=9; client_no_context_takeover",
            params(true, false, 9, 15),
        ),
    ];
    for (answer, want) in good {
        assert_eq!(agreed(&plain, answer.as_bytes()), want, "{answer}");
    }
    for bits in ["", "7", "16", "99", "08", "8x", "+9", "-9", "9.0", " 9", "\"9", "1000000000000", "\"\"", "0"] {
        for name in ["client_max_window_bits", "server_max_window_bits"] {
            let answer = format!("permessage-deflate; {name}={bits}");
            assert_eq!(agreed(&plain, answer.as_bytes()), None, "{answer}");
        }
    }
    for bad in [
        "",
        "permessage-deflate;",
        "Permessage-Deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits=9; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=9; server_max_window_bits=10",
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "x-webkit-deflate-frame",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate\u{e9}",
    ] {
        assert_eq!(agreed(&plain, bad.as_bytes()), None, "{bad}");
    }
    // What was demanded has to be there, and not wider.
    let narrow = Offer { client_bits: 10, server_bits: 10, server_no_context_takeover: true, ..plain };
    let answer = |rest: &str| agreed(&narrow, format!("permessage-deflate{rest}").as_bytes());
    assert_eq!(answer(""), None);
    assert_eq!(answer("; server_no_context_takeover"), None);
    assert_eq!(answer("; server_max_window_bits=10"), None);
    assert_eq!(answer("; server_no_context_takeover; server_max_window_bits=11"), None);
    assert_eq!(answer("; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11"), None);
    assert_eq!(answer("; server_no_context_takeover; server_max_window_bits=9"), params(false, true, 10, 9));
}

struct To {
    bytes: Vec<u8>,
    room: Vec<u8>,
    max: usize,
}

impl Room for To {
    fn room(&mut self) -> Result<&mut [u8], Rule> {
        Ok(&mut self.room)
    }

    fn wrote(&mut self, len: usize) -> Result<(), Rule> {
        self.bytes.extend_from_slice(&self.room[..len]);
        if self.bytes.len() > self.max { Err(Rule::MessageTooLarge) } else { Ok(()) }
    }
}

const KEPT: Params =
    Params { client_no_context_takeover: false, server_no_context_takeover: false, client_bits: 15, server_bits: 15 };

/// Inflate the pieces of one message into room of `room` bytes.
fn inflate(inflater: &mut Inflater, pieces: &[&[u8]], room: usize) -> Result<Vec<u8>, Rule> {
    let mut to = To { bytes: Vec::new(), room: vec![0; room], max: usize::MAX };
    for (i, piece) in pieces.iter().enumerate() {
        inflater.piece(piece, i + 1 == pieces.len(), &mut to)?;
    }
    Ok(to.bytes)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

#[test]
fn the_examples_of_the_rfc_inflate_however_they_are_cut() {
    let examples = [
        // RFC 7692 section 7.2.3.1 to 7.2.3.6.
        ("f2 48 cd c9 c9 07 00", "Hello"),
        ("00 05 00 fa ff 48 65 6c 6c 6f 00", "Hello"),
        ("f3 48 cd c9 c9 07 00 00", "Hello"),
        ("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", "Hello"),
        ("00", ""),
    ];
    for (bytes, want) in examples {
        let bytes = hex(bytes);
        for room in [1, 2, 5, 6, 100] {
            for at in 0..=bytes.len() {
                let got = inflate(&mut Inflater::new(&KEPT, &Arc::default()), &[&bytes[..at], &bytes[at..]], room);
                assert_eq!(got, Ok(want.as_bytes().to_vec()), "{bytes:02x?} cut at {at} with room for {room}");
            }
        }
    }
    // The second message refers to the first.
    let mut kept = Inflater::new(&KEPT, &Arc::default());
    assert_eq!(inflate(&mut kept, &[&hex("f2 48 cd c9 c9 07 00")], 64), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut kept, &[&hex("f2 00 11 00 00")], 64), Ok(b"Hello".to_vec()));
    let mut forgotten = Inflater::new(&Params { server_no_context_takeover: true, ..KEPT }, &Arc::default());
    assert_eq!(inflate(&mut forgotten, &[&hex("f2 48 cd c9 c9 07 00")], 64), Ok(b"Hello".to_vec()));
    assert_eq!(inflate(&mut forgotten, &[&hex("f2 00 11 00 00")], 64), Err(Rule::Deflate));
}

#[test]
fn nonsense_is_told_and_a_bomb_is_stopped() {
    for bad in ["07", "ff", "06 ff ff ff", "00 05 00 00 00 48"] {
        assert_eq!(inflate(&mut Inflater::new(&KEPT, &Arc::default()), &[&hex(bad)], 64), Err(Rule::Deflate), "{bad}");
    }
    let mut bomb = BytesMut::new();
    Deflater::new(&KEPT, &Arc::default()).unwrap().piece(&vec![0; 32 << 20], true, &mut bomb).unwrap();
    assert!(bomb.len() < 64 << 10);
    let mut to = To { bytes: Vec::new(), room: vec![0; 4096], max: 1 << 20 };
    assert_eq!(Inflater::new(&KEPT, &Arc::default()).piece(&bomb, true, &mut to), Err(Rule::MessageTooLarge));
    assert!(to.bytes.len() <= (1 << 20) + 4096);
}

#[test]
fn what_we_compress_inflates_with_every_window_and_takeover() {
    let mut seed = 1_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let messages: Vec<Vec<u8>> = (0..12)
        .map(|i| match i % 4 {
            0 => vec![b'x'; i * 1000],
            1 => (0..i * 3000).map(|_| noise()).collect(),
            2 => "the same words again and again ".repeat(i * 40).into_bytes(),
            _ => Vec::new(),
        })
        .collect();
    // One for all: what it has seen of another message, or with another window, must not be in the next.
    // One for all: what a message left there is not seen by the next.
    let shelf = Arc::<Shelf>::default();
    for bits in 9..=15 {
        for no_takeover in [false, true] {
            let ours = Params { client_bits: bits, client_no_context_takeover: no_takeover, ..KEPT };
            let theirs = Params { server_bits: bits, server_no_context_takeover: no_takeover, ..KEPT };
            let (mut deflater, mut inflater) = (Deflater::new(&ours, &shelf).unwrap(), Inflater::new(&theirs, &shelf));
            for message in &messages {
                // In one piece, and in three.
                for pieces in [1, 3] {
                    let mut packed = BytesMut::new();
                    let size = message.len().div_ceil(pieces).max(1);
                    let mut chunks: Vec<&[u8]> = message.chunks(size).collect();
                    chunks.resize(pieces, &[]);
                    for (i, piece) in chunks.iter().enumerate() {
                        deflater.piece(piece, i + 1 == pieces, &mut packed).unwrap();
                    }
                    assert!(!packed.is_empty(), "a frame of a compressed message has a block");
                    assert_eq!(inflate(&mut inflater, &[&packed], 777), Ok(message.clone()), "{bits} bits");
                }
            }
        }
    }
    // zlib has no window of 8 bits: then nothing is compressed.
    assert!(Deflater::new(&Params { client_bits: 8, ..KEPT }, &Arc::default()).is_none());
}
