//! Frames, messages, UTF-8 and close codes of RFC 6455 as tables, whole and split everywhere, and against another
//! implementation.

use bytes::BytesMut;
use chttpcore::proto::ws::frame::{self, Head};
use chttpcore::proto::ws::{Control, Item, Kind, Limits, Reader, Rule, Utf8, close};
use std::io::Cursor;
use tungstenite::protocol::frame::coding::{Control as TheirControl, Data, OpCode};
use tungstenite::protocol::frame::{FrameHeader, coding::CloseCode};

const NONE: Limits = Limits { frame: u64::MAX, message: u64::MAX };

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

#[test]
fn heads_and_what_is_wrong_with_them() {
    let ok = |fin, rsv1, opcode, len, size| Ok(Some(Head { fin, rsv1, opcode, len, size }));
    let table = [
        // RFC 6455 section 5.7.
        ("81 05 48656c6c6f", ok(true, false, 1, 5, 2)),
        ("01 03 48656c", ok(false, false, 1, 3, 2)),
        ("80 02 6c6f", ok(true, false, 0, 2, 2)),
        ("89 05 48656c6c6f", ok(true, false, 9, 5, 2)),
        ("82 7e 0100", ok(true, false, 2, 256, 4)),
        ("82 7f 0000000000010000", ok(true, false, 2, 65_536, 10)),
        // Borders of the three forms.
        ("82 7d", ok(true, false, 2, 125, 2)),
        ("82 7e 007e", ok(true, false, 2, 126, 4)),
        ("82 7e ffff", ok(true, false, 2, 65_535, 4)),
        ("82 7f 7fffffffffffffff", ok(true, false, 2, u64::MAX >> 1, 10)),
        ("c1 00", ok(true, true, 1, 0, 2)),
        ("88 00", ok(true, false, 8, 0, 2)),
        // Not whole.
        ("", Ok(None)),
        ("81", Ok(None)),
        ("81 7e 01", Ok(None)),
        ("81 7f 00000000000100", Ok(None)),
        // Not in the shortest form, or negative.
        ("82 7e 007d", Err(Rule::Length)),
        ("82 7e 0000", Err(Rule::Length)),
        ("82 7f 000000000000ffff", Err(Rule::Length)),
        ("82 7f 8000000000000000", Err(Rule::Length)),
        ("82 7f ffffffffffffffff", Err(Rule::Length)),
        // A server does not mask.
        ("81 85 37fa213d", Err(Rule::Masked)),
        ("81 ff", Err(Rule::Masked)),
        ("a1 00", Err(Rule::ReservedBit)),
        ("91 00", Err(Rule::ReservedBit)),
        ("f1 00", Err(Rule::ReservedBit)),
        ("c9 00", Err(Rule::ReservedBit)),
        ("83 00", Err(Rule::Opcode)),
        ("87 00", Err(Rule::Opcode)),
        ("8b 00", Err(Rule::Opcode)),
        ("8f 00", Err(Rule::Opcode)),
        // Control frames: in one piece, and short.
        ("09 00", Err(Rule::ControlFrame)),
        ("08 00", Err(Rule::ControlFrame)),
        ("89 7e", Err(Rule::ControlFrame)),
        ("8a 7f", Err(Rule::ControlFrame)),
    ];
    for (bytes, want) in table {
        assert_eq!(Head::parse(&hex(bytes)), want, "{bytes}");
    }
}

/// All first bytes and all second ones: a verdict for each, and the one that the RFC wants.
#[test]
fn every_pair_of_bytes_has_its_verdict() {
    for first in 0..=255_u8 {
        for second in 0..=255_u8 {
            let mut bytes = vec![first, second];
            bytes.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
            let opcode = first & 15;
            let control = opcode >= 8;
            let want = if first & 0x30 != 0 {
                Some(Rule::ReservedBit)
            } else if second & 0x80 != 0 {
                Some(Rule::Masked)
            } else if !matches!(opcode, 0..=2 | 8..=10) {
                Some(Rule::Opcode)
            } else if control && first & 0x40 != 0 {
                Some(Rule::ReservedBit)
            } else if control && (first & 0x80 == 0 || second > 125) {
                Some(Rule::ControlFrame)
            } else if second == 126 {
                Some(Rule::Length)
            } else {
                None
            };
            assert_eq!(Head::parse(&bytes).err(), want, "{first:02x} {second:02x}");
        }
    }
}

/// What came of some bytes, in a form that does not depend on cuts.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    Message(Kind, bool, Vec<u8>),
    Control(Control, Vec<u8>),
    Broken(Rule),
}

fn read(pieces: &[&[u8]], limits: Limits, deflate: bool) -> Vec<Seen> {
    let mut reader = Reader::new(limits, deflate);
    let (mut seen, mut message) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (taken, item) = match reader.read(rest) {
                Ok(found) => found,
                Err(rule) => {
                    seen.push(Seen::Broken(rule));
                    return seen;
                }
            };
            match item {
                Item::Nothing => assert_eq!(taken, rest.len()),
                Item::Data { kind, compressed, range, start, end, .. } => {
                    assert_eq!(start, message.is_empty() && start);
                    message.extend_from_slice(&rest[range]);
                    if end {
                        seen.push(Seen::Message(kind, compressed, std::mem::take(&mut message)));
                    }
                }
                Item::Control(control) => seen.push(Seen::Control(control, reader.payload().to_vec())),
            }
            rest = &rest[taken..];
        }
    }
    seen
}

/// The same however the bytes are cut in two, or in single bytes.
fn in_every_cut(bytes: &[u8], limits: Limits, deflate: bool) -> Vec<Seen> {
    let whole = read(&[bytes], limits, deflate);
    for at in 0..=bytes.len() {
        assert_eq!(read(&[&bytes[..at], &bytes[at..]], limits, deflate), whole, "cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(&single, limits, deflate), whole, "byte by byte");
    whole
}

#[test]
fn messages_and_control_frames_however_they_are_cut() {
    let text = |payload: &str| Seen::Message(Kind::Text, false, payload.as_bytes().to_vec());
    let binary = |payload: &[u8]| Seen::Message(Kind::Binary, false, payload.to_vec());
    let control = |control, payload: &[u8]| Seen::Control(control, payload.to_vec());
    let long = format!("82 7e 0100 {}", "ab".repeat(256));
    let table: Vec<(&str, Vec<Seen>)> = vec![
        ("81 05 48656c6c6f", vec![text("Hello")]),
        ("01 03 48656c 80 02 6c6f", vec![text("Hello")]),
        ("01 03 48656c 89 01 70 80 02 6c6f", vec![control(Control::Ping, b"p"), text("Hello")]),
        ("8a 05 48656c6c6f", vec![control(Control::Pong, b"Hello")]),
        (&long, vec![binary(&[0xab; 256])]),
        ("81 00 82 00", vec![text(""), binary(b"")]),
        ("01 00 00 00 80 00", vec![text("")]),
        // A character over three fragments.
        ("01 01 e2 00 01 82 80 01 ac", vec![text("€")]),
        ("88 00 81 01 61", vec![control(Control::Close(1005), b"")]),
        ("88 05 03e8 627965 ffff", vec![control(Control::Close(1000), b"bye")]),
        ("88 02 0fa0", vec![control(Control::Close(4000), b"")]),
        // What is broken, behind what is not.
        ("81 01 61 80 01 62", vec![text("a"), Seen::Broken(Rule::Fragment)]),
        ("01 01 61 81 01 62", vec![Seen::Broken(Rule::Fragment)]),
        ("01 01 61 02 01 62", vec![Seen::Broken(Rule::Fragment)]),
        ("00 01 61", vec![Seen::Broken(Rule::Fragment)]),
        ("c1 01 61", vec![Seen::Broken(Rule::ReservedBit)]),
        ("88 01 03", vec![Seen::Broken(Rule::CloseFrame)]),
        ("88 02 03ed", vec![Seen::Broken(Rule::CloseFrame)]),
        ("88 02 03ee", vec![Seen::Broken(Rule::CloseFrame)]),
        ("88 04 03e8 c328", vec![Seen::Broken(Rule::Utf8)]),
        ("81 02 c328", vec![Seen::Broken(Rule::Utf8)]),
        ("81 01 e2", vec![Seen::Broken(Rule::Utf8)]),
        // Told before the rest of the frame is there.
        ("81 7d c328", vec![Seen::Broken(Rule::Utf8)]),
        ("01 02 e282 80 01 28", vec![Seen::Broken(Rule::Utf8)]),
    ];
    for (bytes, want) in table {
        assert_eq!(in_every_cut(&hex(bytes), NONE, false), want, "{bytes}");
    }
}

#[test]
fn compressed_messages_are_marked_by_their_first_frame_alone() {
    let message = Seen::Message(Kind::Text, true, hex("f248cdc9c90700"));
    assert_eq!(in_every_cut(&hex("c1 07 f248cdc9c90700"), NONE, true), std::slice::from_ref(&message));
    assert_eq!(in_every_cut(&hex("41 03 f248cd 80 04 c9c90700"), NONE, true), [message]);
    let broken = [Seen::Broken(Rule::ReservedBit)];
    assert_eq!(in_every_cut(&hex("41 03 f248cd c0 04 c9c90700"), NONE, true), broken);
    assert_eq!(in_every_cut(&hex("c9 00"), NONE, true), broken);
    // Bytes that are no text yet are not taken for one.
    assert_eq!(in_every_cut(&hex("c1 01 ff"), NONE, true), [Seen::Message(Kind::Text, true, vec![0xff])]);
}

#[test]
fn limits_are_told_at_the_head() {
    let limits = Limits { frame: 10, message: 15 };
    let broken = |rule| vec![Seen::Broken(rule)];
    assert_eq!(in_every_cut(&hex("82 0b"), limits, false), broken(Rule::FrameTooLarge));
    assert_eq!(in_every_cut(&hex("82 7f 7fffffffffffffff"), limits, false), broken(Rule::FrameTooLarge));
    assert_eq!(in_every_cut(&hex("02 0a 00000000000000000000 80 06"), limits, false), broken(Rule::MessageTooLarge));
    // Each message has it for itself, and control frames have none of it.
    let fits = hex("02 0a 00000000000000000000 89 01 00 80 05 0000000000");
    let twice = [&fits[..], &fits[..]].concat();
    assert_eq!(in_every_cut(&twice, limits, false).len(), 4);
    assert_eq!(in_every_cut(&hex("82 7f 7fffffffffffffff"), NONE, false), []);
}

#[test]
fn text_is_judged_as_a_whole_would_be() {
    let samples: Vec<Vec<u8>> = vec![
        "κόσμε €𝄞 日本語".as_bytes().to_vec(),
        hex("cebae1bdb9cf83cebcceb5eda080656469746564"),
        hex("f4908080"),
        hex("f0808080"),
        hex("e08080"),
        hex("c0af"),
        hex("ff"),
        hex("80"),
        hex("f48fbfbf"),
        hex("ed9fbfee8080"),
        hex("e282"),
        hex("f09f98"),
    ];
    for sample in samples {
        let want = std::str::from_utf8(&sample);
        for first in 0..=sample.len() {
            for second in first..=sample.len() {
                let mut utf8 = Utf8::default();
                let pieces = [&sample[..first], &sample[first..second], &sample[second..]];
                let mut verdict = Ok(());
                let mut at = 0;
                for piece in pieces {
                    at += piece.len();
                    utf8 = Utf8::unpack(utf8.pack());
                    verdict = utf8.check(piece);
                    if verdict.is_err() {
                        break;
                    }
                    // Fail fast: nothing is let through that no continuation would make valid.
                    let so_far = std::str::from_utf8(&sample[..at]);
                    assert!(so_far.is_ok() || so_far.is_err_and(|e| e.error_len().is_none()), "{sample:02x?} at {at}");
                }
                let verdict = verdict.and_then(|()| utf8.finish());
                assert_eq!(verdict.is_ok(), want.is_ok(), "{sample:02x?} cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn every_close_code() {
    for code in 0..=u16::MAX {
        let wanted = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(close::may_be_sent(code), wanted, "{code}");
        let body = [&code.to_be_bytes()[..], b"why"].concat();
        let parsed = close::parse(&body);
        assert_eq!(parsed, if wanted { Ok((code, "why")) } else { Err(Rule::CloseFrame) });
        // They know the registered ones, and let those of libraries and applications pass.
        if wanted && code < 3000 && code != 1014 {
            assert!(CloseCode::from(code).is_allowed(), "{code}");
        }
    }
    assert_eq!(close::parse(b""), Ok((1005, "")));
    assert_eq!(close::body(1005, "").1, 0);
    let (body, len) = close::body(1000, &"x".repeat(123));
    assert_eq!((len, &body[..3]), (125, &[3, 0xe8, b'x'][..]));
}

#[test]
fn another_implementation_reads_what_we_write_and_we_what_it_writes() {
    let key = [1, 2, 3, 4];
    for (ours, theirs) in [
        (frame::TEXT, OpCode::Data(Data::Text)),
        (frame::BINARY, OpCode::Data(Data::Binary)),
        (frame::CONTINUATION, OpCode::Data(Data::Continue)),
        (frame::CLOSE, OpCode::Control(TheirControl::Close)),
        (frame::PING, OpCode::Control(TheirControl::Ping)),
        (frame::PONG, OpCode::Control(TheirControl::Pong)),
    ] {
        for len in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 100_000] {
            if ours >= frame::CLOSE && len > frame::CONTROL_MAX {
                continue;
            }
            let payload: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            for fin in [true, false] {
                if ours >= frame::CLOSE && !fin {
                    continue;
                }
                let mut out = BytesMut::new();
                frame::put(&mut out, if fin { frame::FIN } else { 0 } | ours, &payload, key);
                let mut cursor = Cursor::new(&out[..]);
                let (head, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
                assert_eq!((head.is_final, head.opcode, head.mask, length), (fin, theirs, Some(key), len as u64));
                let masked = &out[cursor.position() as usize..];
                assert!(masked.iter().zip(&payload).enumerate().all(|(i, (m, p))| m ^ key[i % 4] == *p));
                let head = FrameHeader { is_final: fin, opcode: theirs, ..FrameHeader::default() };
                let mut written = Vec::new();
                head.format(len as u64, &mut written).unwrap();
                let parsed = Head::parse(&written).unwrap().unwrap();
                assert_eq!((parsed.fin, parsed.opcode, parsed.len), (fin, ours, len as u64));
                assert_eq!(parsed.size, written.len());
            }
        }
    }
}
