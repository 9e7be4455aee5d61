//! The sending side and the life of a connection: uploads, tunnels, cancel, credit, reuse.

mod h1_support;

use bytes::Bytes;
use chttpcore::proto::h1::encode::{Spec, encode, trailers};
use chttpcore::proto::h1::{H1, Limits};
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Cancelled, Eof, Fault, Out, Protocol, StreamKey, Tick};
use h1_support::{Ask, Recorder, ask, chunk, sent};
use std::sync::Arc;

const FIRST: StreamKey = StreamKey(1);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn fresh() -> H1 {
    H1::new(Arc::new(Limits::default()))
}

fn open(h1: &mut H1, body: BodyLen) -> StreamKey {
    let url = Url::parse(b"http://a/").unwrap();
    let head = encode(&Spec { body, ..Spec::new(b"PUT", &url) }, []).unwrap();
    let mut out = Out::new();
    let key = h1.open(Tick(0), &head.request(), &mut out).unwrap();
    assert_eq!(out.segments().collect::<Vec<_>>(), [&head.bytes[..]]);
    key
}

fn answer(h1: &mut H1, input: &[u8]) -> Result<usize, Fault> {
    let mut sink = Recorder::new(u64::MAX);
    sink.hears(input);
    h1.recv(Tick(0), input, &mut sink, &mut Out::new())
}

#[test]
fn keys_count_the_requests() {
    let mut h1 = fresh();
    for n in 1..5 {
        assert_eq!(h1.capacity(), 1);
        assert_eq!(open(&mut h1, BodyLen::None), StreamKey(n));
        assert!(!h1.reusable() && h1.capacity() == 0);
        assert_eq!(answer(&mut h1, OK), Ok(OK.len()));
    }
    assert_eq!(h1.deadline(), Tick::NEVER);
    assert_eq!(h1.eof(Tick(0), Eof::Clean, &mut Recorder::new(0)), Ok(()));
    assert!(!h1.reusable());
}

#[test]
fn known_length() {
    let mut h1 = fresh();
    let key = open(&mut h1, BodyLen::Known(5));
    let mut out = Out::new();
    assert_eq!(h1.body_room(key), u64::MAX);
    h1.body(key, chunk("he"), false, &mut out).unwrap();
    h1.body(key, chunk("llo"), false, &mut out).unwrap();
    assert_eq!(h1.body_room(key), 0);
    h1.body(key, chunk(""), true, &mut out).unwrap();
    assert_eq!(sent(&out), "hello");
    assert_eq!(answer(&mut h1, OK), Ok(OK.len()));
    assert!(h1.reusable());
}

/// More or less than announced is refused before it reaches the wire, and the connection is done for.
#[test]
fn wrong_length() {
    for (body, pieces) in [
        (BodyLen::Known(3), &[("abcd", true)][..]),
        (BodyLen::Known(3), &[("ab", false), ("cd", false)]),
        (BodyLen::Known(3), &[("ab", true)]),
        (BodyLen::Known(3), &[("abc", false), ("d", true)]),
        (BodyLen::Known(3), &[("", true)]),
        (BodyLen::None, &[("a", true)]),
        (BodyLen::Unknown, &[("a", true), ("b", true)]),
    ] {
        let mut h1 = fresh();
        let key = open(&mut h1, body);
        let (last, good) = pieces.split_last().unwrap();
        for (text, end) in good {
            h1.body(key, chunk(text), *end, &mut Out::new()).unwrap();
        }
        let mut out = Out::new();
        assert_eq!(h1.body(key, chunk(last.0), last.1, &mut out), Err(Fault::BodyLength), "{pieces:?}");
        assert!(out.is_empty() && !h1.reusable());
        assert_eq!(answer(&mut h1, OK), Err(Fault::UnexpectedData));
    }
}

#[test]
fn chunks_and_trailers() {
    let mut h1 = fresh();
    let key = open(&mut h1, BodyLen::Unknown);
    let mut out = Out::new();
    let large = Bytes::from(vec![b'x'; 0x1a2b]);
    h1.body(key, large.clone(), false, &mut out).unwrap();
    h1.body(key, chunk(""), false, &mut out).unwrap();
    h1.body(key, chunk("end"), true, &mut out).unwrap();
    let segments: Vec<&[u8]> = out.segments().collect();
    assert_eq!(segments, [b"1a2b\r\n", &large[..], b"\r\n3\r\n", b"end", b"\r\n0\r\n\r\n"]);
    assert_eq!(segments[1].as_ptr(), large.as_ptr(), "chunk data is not copied");
    assert_eq!(answer(&mut h1, OK), Ok(OK.len()));
    assert!(h1.reusable());

    let key = open(&mut h1, BodyLen::Unknown);
    let mut out = Out::new();
    h1.body(key, chunk("a"), false, &mut out).unwrap();
    h1.body_trailers(key, &trailers([(&b"T"[..], &b"u"[..])]).unwrap(), &mut out).unwrap();
    assert_eq!(sent(&out), r"1\r\na\r\n0\r\nT: u\r\n\r\n");
    assert_eq!(answer(&mut h1, OK), Ok(OK.len()));
    assert!(h1.reusable());

    let key = open(&mut h1, BodyLen::Known(1));
    assert_eq!(h1.body_trailers(key, b"T: u\r\n", &mut Out::new()), Err(Fault::BodyLength));
}

/// An answer before the request's end: what was still to be sent is dropped, and nothing follows on this connection.
#[test]
fn early_answer() {
    let mut h1 = fresh();
    let key = open(&mut h1, BodyLen::Unknown);
    let mut out = Out::new();
    h1.body(key, chunk("a"), false, &mut out).unwrap();
    let sent_before = out.len();
    answer(&mut h1, OK).unwrap();
    assert!(!h1.reusable());
    assert_eq!(h1.body_room(key), 0);
    h1.body(key, chunk("b"), true, &mut out).unwrap();
    h1.body_trailers(key, b"", &mut out).unwrap();
    assert_eq!(out.len(), sent_before);

    // While the answer goes on, so may the request; both done, the connection persists.
    let mut h1 = fresh();
    let key = open(&mut h1, BodyLen::Known(1));
    answer(&mut h1, b"HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nn").unwrap();
    h1.body(key, chunk("a"), true, &mut out).unwrap();
    answer(&mut h1, b"o").unwrap();
    assert!(h1.reusable());
}

#[test]
fn tunnels_are_raw() {
    for (who, accept) in [(Ask::Connect, "200 OK"), (Ask::Upgrade, "101 x")] {
        let mut h1 = ask(who, &Limits::default());
        assert_eq!(h1.body_room(FIRST), 0, "nothing to send before the tunnel stands");
        let head = format!("HTTP/1.1 {accept}\r\n\r\n");
        let mut sink = Recorder::new(0);
        let input = [head.as_bytes(), b"early"].concat();
        // Bytes behind the head belong to the tunnel and wait for credit.
        assert_eq!(h1.recv(Tick(0), &input, &mut sink, &mut Out::new()), Ok(head.len()));
        assert_eq!(h1.body_room(FIRST), u64::MAX);
        let mut out = Out::new();
        h1.body(FIRST, chunk("raw"), false, &mut out).unwrap();
        h1.body(FIRST, chunk("end"), true, &mut out).unwrap();
        assert_eq!(sent(&out), "rawend");
        assert_eq!(h1.body(FIRST, chunk("x"), true, &mut out), Err(Fault::BodyLength));
    }
}

#[test]
fn cancel() {
    let mut h1 = fresh();
    let key = open(&mut h1, BodyLen::None);
    answer(&mut h1, OK).unwrap();
    assert_eq!(h1.cancel(key, &mut Out::new()), Cancelled::Kept, "it had ended");
    open(&mut h1, BodyLen::None);
    assert_eq!(h1.cancel(key, &mut Out::new()), Cancelled::Kept, "another request has the connection");
    assert_eq!(h1.cancel(StreamKey(2), &mut Out::new()), Cancelled::Close);
    assert!(!h1.reusable() && h1.capacity() == 0);
    assert_eq!(answer(&mut h1, OK), Err(Fault::UnexpectedData));
}

#[test]
fn credit_is_never_overdrawn() {
    let mut h1 = ask(Ask::Get, &Limits::default());
    let input = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let mut sink = Recorder::new(4);
    sink.hears(input);
    let mut out = Out::new();
    let n = h1.recv(Tick(0), input, &mut sink, &mut out).unwrap();
    assert_eq!(&input[n..], b"e\r\n0\r\n\r\n");
    assert_eq!(sink.credit, 0);
    assert_eq!(h1.recv(Tick(0), &input[n..], &mut sink, &mut out), Ok(0));
    sink.credit = 1;
    sink.hears(&input[n..]);
    h1.credit(FIRST, &mut out);
    // The end of a message needs no credit.
    assert_eq!(h1.recv(Tick(0), &input[n..], &mut sink, &mut out), Ok(input.len() - n));
    assert!(h1.reusable() && out.is_empty());
}

#[test]
fn input_behind_the_end_is_left() {
    let mut h1 = ask(Ask::Get, &Limits::default());
    let two = OK.repeat(2);
    assert_eq!(answer(&mut h1, &two), Ok(OK.len()));
    assert!(!h1.reusable());
    assert_eq!(answer(&mut h1, &two[OK.len()..]), Err(Fault::UnexpectedData));
}
