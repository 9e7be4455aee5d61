//! The rules of RFC 9113 for one connection, frame by frame: windows in both directions, streams that are no more, settings.

mod h2_support;

use bytes::Bytes;
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::h2::{H2, Limits};
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Cancelled, Data, Fault, Fields, Follows, Head, Out, Protocol, Sink, StreamKey, Tick};
use h2_support::*;
use std::sync::Arc;

const STATUS: (&str, &str) = (":status", "200");
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;

/// What was told, in words.
#[derive(Default)]
struct Told {
    words: Vec<String>,
    credit: u64,
    input: Vec<u8>,
}

impl Told {
    fn say(&mut self, s: StreamKey, what: &str) {
        self.words.push(format!("{} {what}", s.0));
    }
}

fn text(fields: Fields<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields.iter().map(|(name, value)| format!(" {}={}", text(name), text(value))).collect()
}

impl Sink for Told {
    fn informational(&mut self, s: StreamKey, head: &Head<'_>) {
        self.say(s, &format!("{}{}", head.status, text(head.fields)));
    }
    fn head(&mut self, s: StreamKey, head: &Head<'_>, _: Follows) {
        self.say(s, &format!("{}{}", head.status, text(head.fields)));
    }
    fn credit(&mut self, _: StreamKey) -> u64 {
        self.credit
    }
    fn data(&mut self, s: StreamKey, data: Data) {
        self.credit -= data.len() as u64;
        let bytes = match data {
            Data::Input(range) => self.input[range].to_vec(),
            Data::Owned(bytes) => bytes.to_vec(),
        };
        self.say(s, &format!("+{}", bytes.len()));
    }
    fn trailers(&mut self, s: StreamKey, fields: Fields<'_>) {
        self.say(s, &format!("trailers{}", text(fields)));
    }
    fn end(&mut self, s: StreamKey) {
        self.say(s, "end");
    }
    fn failed(&mut self, s: StreamKey, why: Fault) {
        self.say(s, &format!("{why:?}"));
    }
    fn writable(&mut self, s: StreamKey) {
        self.say(s, "writable");
    }
}

struct Talk {
    h2: H2,
    told: Told,
    out: Out,
}

impl Talk {
    fn new(limits: Limits) -> Talk {
        let told = Told { credit: u64::MAX, ..Told::default() };
        let mut talk = Talk { h2: H2::new(Arc::new(limits), None), told, out: Out::new() };
        let said = talk.said();
        assert_eq!(&said[..PREFACE.len()], PREFACE);
        talk.hear(hello(&[]));
        talk.frames();
        talk
    }

    fn open(&mut self, body: BodyLen) -> StreamKey {
        let url = Url::parse(b"http://a/").unwrap();
        let mut spec = Spec::new(b"POST", &url);
        spec.body = body;
        let head = encode(&spec, std::iter::empty::<(&[u8], &[u8])>()).unwrap();
        self.h2.open(Tick(0), &head.request(), &mut self.out).unwrap()
    }

    fn hear(&mut self, input: Vec<u8>) {
        assert_eq!(self.try_hear(input), Ok(()));
    }

    fn try_hear(&mut self, input: Vec<u8>) -> Result<(), Fault> {
        self.told.input = input;
        let input = self.told.input.clone();
        self.h2.recv(Tick(0), &input, &mut self.told, &mut self.out).map(|used| assert_eq!(used, input.len()))
    }

    fn said(&mut self) -> Vec<u8> {
        while self.h2.unsaid() {
            self.h2.recv(Tick(0), &[], &mut self.told, &mut self.out).unwrap();
        }
        let said = self.out.segments().flatten().copied().collect();
        self.out.clear();
        said
    }

    /// What was sent since the last call.
    fn frames(&mut self) -> Vec<Frame> {
        let said = self.said();
        frames(&[PREFACE, &said].concat())
    }

    /// The same as types, streams and, of those that have one, numbers.
    fn sent(&mut self) -> Vec<(u8, u32, u32)> {
        let number = |f: &Frame| match f.kind {
            DATA => f.payload.len() as u32,
            RST_STREAM | WINDOW_UPDATE => f.word(0),
            GOAWAY => f.word(4),
            _ => 0,
        };
        self.frames().iter().map(|f| (f.kind, f.stream, number(f))).collect()
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told.words)
    }

    /// Hand over as much as there is room for.
    fn feed(&mut self, s: StreamKey, len: usize) -> usize {
        self.h2.want_room(s, true);
        let n = len.min(self.h2.body_room(s) as usize);
        self.h2.body(s, Bytes::from(vec![b'x'; n]), false, &mut self.out).unwrap();
        self.h2.want_room(s, n < len);
        n
    }
}

fn ends_with(talk: &mut Talk, input: Vec<u8>, code: u32) {
    assert_eq!(talk.try_hear(input), Err(Fault::Frame(code)));
    let said: Vec<u8> = talk.out.segments().flatten().copied().collect();
    assert_eq!(frames(&[PREFACE, &said].concat()).last().map(|f| (f.kind, f.word(4))), Some((GOAWAY, code)));
    assert!(!talk.h2.reusable() && talk.h2.capacity() == 0);
}

#[test]
fn fields_are_told_in_the_order_of_the_wire() {
    let mut talk = Talk::new(Limits::default());
    talk.open(BodyLen::None);
    let fields = [STATUS, ("b", "1"), ("a", "2"), ("b", "3"), ("set-cookie", "x"), ("a", ""), ("set-cookie", "y")];
    talk.hear(headers(1, false, &fields));
    talk.hear(headers(1, true, &[("z", "1"), ("y", "2"), ("z", "3")]));
    assert_eq!(talk.told(), ["0 200 b=1 a=2 b=3 set-cookie=x a= set-cookie=y", "0 trailers z=1 y=2 z=3", "0 end"]);
}

#[test]
fn blanks_around_a_value_are_cut_off_as_in_http1() {
    let mut talk = Talk::new(Limits::default());
    talk.open(BodyLen::None);
    talk.hear(headers(1, false, &[STATUS, ("a", " \tx y\t"), ("b", " "), ("content-length", "2 ")]));
    talk.hear([data(1, false, b"hi"), headers(1, true, &[("sum", "7\t")])].concat());
    assert_eq!(talk.told(), ["0 200 a=x y b= content-length=2", "0 +2", "0 trailers sum=7", "0 end"]);
    // `:status` is no field that a server copies from somewhere.
    talk.open(BodyLen::None);
    talk.hear(headers(3, true, &[(":status", "200 ")]));
    assert_eq!(talk.told(), ["0 Message(1)"]);
}

#[test]
fn a_body_goes_out_within_both_windows_and_frames_that_the_peer_takes() {
    let mut talk = Talk::new(Limits::default());
    let (one, two) = (talk.open(BodyLen::Unknown), talk.open(BodyLen::Unknown));
    talk.frames();
    // The window of the connection is 65,535 bytes.
    assert_eq!((talk.feed(one, 40_000), talk.feed(two, 40_000)), (40_000, 25_535));
    assert_eq!(
        talk.sent(),
        [(DATA, 1, 16_384), (DATA, 1, 16_384), (DATA, 1, 7_232), (DATA, 3, 16_384), (DATA, 3, 9_151)]
    );
    assert_eq!((talk.feed(one, 1), talk.feed(two, 1)), (0, 0));
    talk.hear(window_update(0, 300_000));
    assert_eq!(talk.told(), ["1 writable", "0 writable"], "who was left with less has waited longer");
    // Now their own windows are the smaller ones.
    assert_eq!((talk.feed(one, 40_000), talk.feed(two, 50_000)), (25_535, 40_000));
    talk.frames();
    talk.hear([window_update(1, 5), window_update(3, 7)].concat());
    assert_eq!((talk.feed(one, 10), talk.feed(two, 10)), (5, 7));
    // MAX_FRAME_SIZE.
    talk.hear([hello(&[(5, 20_000)]), window_update(1, 30_000)].concat());
    talk.frames();
    talk.feed(one, 30_000);
    assert_eq!(talk.sent(), [(DATA, 1, 20_000), (DATA, 1, 10_000)]);
}

#[test]
fn a_window_below_zero_has_to_be_filled_before_anything_is_sent() {
    let mut talk = Talk::new(Limits::default());
    let s = talk.open(BodyLen::Unknown);
    assert_eq!(talk.feed(s, 30_000), 30_000);
    talk.frames();
    talk.hear(hello(&[(INITIAL_WINDOW_SIZE, 10_000)]));
    assert_eq!(talk.feed(s, 1), 0);
    talk.hear(window_update(1, 20_000));
    assert_eq!((talk.feed(s, 1), talk.told()), (0, vec![]));
    talk.hear(window_update(1, 100));
    assert_eq!((talk.told(), talk.feed(s, 1_000)), (vec!["0 writable".to_owned()], 100));
    talk.hear(hello(&[(INITIAL_WINDOW_SIZE, 10_050)]));
    assert_eq!(talk.feed(s, 1_000), 50);
    // Room that was there and is not any more is told of again.
    talk.hear(window_update(1, 500));
    talk.h2.want_room(s, true);
    assert_eq!(talk.h2.body_room(s), 500);
    talk.hear(hello(&[(INITIAL_WINDOW_SIZE, 0)]));
    assert_eq!(talk.h2.body_room(s), 0);
    talk.told();
    talk.hear(hello(&[(INITIAL_WINDOW_SIZE, 20_000)]));
    assert_eq!(talk.told(), ["0 writable"]);
}

#[test]
fn windows_that_are_too_large_are_errors() {
    let mut talk = Talk::new(Limits::default());
    let (one, _) = (talk.open(BodyLen::Unknown), talk.open(BodyLen::Unknown));
    talk.frames();
    talk.hear(window_update(1, u32::MAX >> 1));
    assert_eq!(talk.told(), [format!("{} Message(3)", one.0)]);
    assert_eq!(talk.sent(), [(RST_STREAM, 1, FLOW_CONTROL_ERROR)]);
    talk.hear(window_update(3, 0));
    assert_eq!(talk.sent(), [(RST_STREAM, 3, PROTOCOL_ERROR)]);
    talk.open(BodyLen::Unknown);
    talk.hear(window_update(5, 10_000));
    ends_with(&mut talk, hello(&[(INITIAL_WINDOW_SIZE, u32::MAX >> 1)]), FLOW_CONTROL_ERROR);
}

#[test]
fn what_was_taken_is_released_in_large_steps_and_what_is_held_is_not() {
    let limits =
        Limits { stream_window: 40_000, stream_window_max: 0, connection_window: 100_000, ..Limits::default() };
    let mut talk = Talk::new(limits);
    let s = talk.open(BodyLen::None);
    talk.hear([headers(1, false, &[STATUS]), data(1, false, &[0; 9_000])].concat());
    assert_eq!(talk.sent(), [(HEADERS, 1, 0)]);
    talk.hear(data(1, false, &[0; 1_000]));
    assert_eq!(talk.sent(), [(WINDOW_UPDATE, 1, 10_000)]);
    // Without credit nothing of the stream is released, but all of the connection.
    talk.told.credit = 0;
    talk.told();
    talk.hear([data(1, false, &[0; 16_000]), data(1, false, &[0; 4_000])].concat());
    assert_eq!(talk.sent(), [(WINDOW_UPDATE, 0, 30_000)]);
    talk.told.credit = 19_999;
    talk.h2.credit(s, &mut talk.out);
    assert_eq!(talk.sent(), [(WINDOW_UPDATE, 1, 19_999)]);
    talk.hear(rst(1, INTERNAL_ERROR));
    assert_eq!(talk.told(), ["0 +19999"], "the end comes behind what came before it");
    talk.told.credit = 1;
    talk.h2.credit(s, &mut talk.out);
    assert_eq!(talk.sent(), []);
    assert_eq!(talk.told(), ["0 +1", "0 StreamReset(2)"]);
    // A length that is known, and within the window, needs no more of it.
    talk.told.credit = u64::MAX;
    talk.open(BodyLen::None);
    talk.hear(headers(3, false, &[STATUS, ("content-length", "35000")]));
    talk.frames();
    for _ in 0..2 {
        talk.hear(data(3, false, &[0; 15_000]));
    }
    assert!(talk.sent().iter().all(|&(_, stream, _)| stream == 0));
}

#[test]
fn streams_that_are_no_more_may_send_what_was_under_way() {
    let limits = Limits { stream_window: 10_000, stream_window_max: 0, ..Limits::default() };
    let mut talk = Talk::new(limits);
    let s = talk.open(BodyLen::None);
    talk.hear([headers(1, false, &[STATUS]), data(1, false, &[0; 100])].concat());
    talk.frames();
    assert_eq!(talk.h2.cancel(s, &mut talk.out), Cancelled::Kept);
    assert_eq!(talk.sent(), [(RST_STREAM, 1, CANCEL)]);
    talk.told();
    // Trailers, resets, windows and bodies of it are nobody's. The table of the compression is in step.
    let indexed = [&[0x40, 1][..], b"a", &[1], b"b"].concat();
    talk.hear(
        [
            frame(DATA, PADDED, 1, &[200; 9_000]),
            window_update(1, 1),
            frame(PRIORITY, 0, 1, &[0; 4]),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &indexed),
            rst(1, CANCEL),
        ]
        .concat(),
    );
    talk.open(BodyLen::None);
    talk.hear(frame(HEADERS, END_HEADERS | END_STREAM, 3, &[0x88, 0xbe]));
    assert_eq!(talk.told(), ["0 200 a=b", "0 end"]);
    // What its window allowed, as much again for an update that may have been under way, a head, and 64 KiB.
    let left = 9_900 + 10_000 + 2 * 300 * 1024 + 65_536 - 9_000 - 34;
    (0..left / 10_000).for_each(|_| talk.hear(data(1, false, &[0; 10_000])));
    talk.hear(data(1, false, &vec![0; left % 10_000]));
    ends_with(&mut talk, data(1, false, b"x"), STREAM_CLOSED);
    // Who has ended a stream has no more to say on it.
    let mut talk = Talk::new(Limits::default());
    talk.open(BodyLen::None);
    talk.hear(ok(1, b"hi"));
    (0..4).for_each(|_| talk.hear(data(1, false, &[0; 16_384])));
    ends_with(&mut talk, data(1, false, b"x"), STREAM_CLOSED);
}

#[test]
fn a_tunnel_that_ends_on_both_sides_is_over() {
    let mut talk = Talk::new(Limits::default());
    let url = Url::parse(b"http://a/").unwrap();
    let open = |talk: &mut Talk| {
        let head = encode(&Spec::new(b"CONNECT", &url), std::iter::empty::<(&[u8], &[u8])>()).unwrap();
        talk.h2.open(Tick(0), &head.request(), &mut talk.out).unwrap()
    };
    let s = open(&mut talk);
    talk.hear([headers(1, false, &[STATUS]), data(1, true, b"bye")].concat());
    assert_eq!(talk.told(), ["0 200", "0 +3", "0 end"]);
    assert_eq!(talk.feed(s, 5), 5);
    talk.h2.body(s, Bytes::new(), true, &mut talk.out).unwrap();
    talk.hear(rst(1, 0));
    talk.frames();
    assert_eq!(talk.h2.cancel(s, &mut talk.out), Cancelled::Kept);
    assert_eq!((talk.told(), talk.sent()), (vec![], vec![]));
    // It has no fields (RFC 9113 section 8.5).
    let s = open(&mut talk);
    talk.hear([headers(3, false, &[STATUS]), headers(3, true, &[("a", "b")])].concat());
    assert_eq!(talk.told(), [format!("{} 200", s.0), format!("{} Message(1)", s.0)]);
}

#[test]
fn goaway_may_name_an_earlier_stream_and_no_later_one() {
    let mut talk = Talk::new(Limits::default());
    for _ in 0..3 {
        talk.open(BodyLen::None);
    }
    talk.hear(goaway(3, 0));
    assert_eq!((talk.told(), talk.h2.take_goaway()), (vec!["2 Unprocessed(0)".to_owned()], true));
    talk.hear(goaway(1, 0));
    assert_eq!((talk.told(), talk.h2.take_goaway()), (vec!["1 Unprocessed(0)".to_owned()], false));
    talk.hear(ok(1, b"hi"));
    assert_eq!(talk.told(), ["0 200 server=hand", "0 +2", "0 end"]);
    ends_with(&mut talk, goaway(3, 0), PROTOCOL_ERROR);
}

#[test]
fn a_peer_without_a_table_gets_none() {
    let mut talk = Talk::new(Limits::default());
    let block = |talk: &mut Talk| {
        talk.open(BodyLen::None);
        talk.frames().into_iter().find(|f| f.kind == HEADERS).unwrap().payload
    };
    let first = block(&mut talk);
    assert!(block(&mut talk).len() < first.len());
    talk.hear(hello(&[(1, 0)]));
    talk.frames();
    let without = block(&mut talk);
    assert_eq!(without[0], 0x20, "a table of no bytes");
    assert_eq!(block(&mut talk), without[1..]);
}

#[test]
fn an_answer_that_has_come_was_processed_whatever_goaway_says() {
    let mut talk = Talk::new(Limits::default());
    let whole = talk.open(BodyLen::None);
    talk.open(BodyLen::None);
    talk.told.credit = 1;
    talk.hear([ok(1, b"hi"), headers(3, false, &[STATUS]), data(3, false, b"ho")].concat());
    talk.hear(goaway(0, 0));
    assert_eq!(talk.told(), ["0 200 server=hand", "0 +1", "1 200"]);
    // What is held comes before the end.
    talk.told.credit = 100;
    talk.h2.credit(whole, &mut talk.out);
    talk.h2.credit(StreamKey(1), &mut talk.out);
    talk.frames();
    assert_eq!(talk.told(), ["0 +1", "0 end", "1 +2", "1 GoneAway(0)"]);
}

#[test]
fn a_stream_that_is_over_keeps_no_window_from_the_others() {
    let mut talk = Talk::new(Limits::default());
    let (one, two) = (talk.open(BodyLen::Unknown), talk.open(BodyLen::Unknown));
    talk.h2.want_room(one, true);
    assert_eq!(talk.h2.body_room(one), 65_535);
    // Its answer is whole, and waits for credit; nobody takes its body any more.
    talk.told.credit = 0;
    talk.hear([ok(1, b"hi"), rst(1, 0)].concat());
    assert_eq!(talk.feed(two, 1_000), 1_000);
}

#[test]
fn heads_of_streams_that_were_cancelled_are_no_offence_under_small_windows() {
    let limits = Limits { stream_window: 1 << 10, stream_window_max: 0, ..Limits::default() };
    let mut talk = Talk::new(limits);
    for n in 0..100 {
        let (s, id) = (talk.open(BodyLen::None), 2 * n + 1);
        talk.h2.cancel(s, &mut talk.out);
        talk.hear([headers(id, false, &[STATUS, ("a", &"x".repeat(4_000))]), data(id, true, &[0; 1_000])].concat());
    }
}

#[test]
fn each_piece_that_is_sent_may_be_answered_with_two_windows() {
    let mut talk = Talk::new(Limits::default());
    let s = talk.open(BodyLen::Unknown);
    for _ in 0..5_000 {
        assert_eq!(talk.feed(s, 1), 1);
        talk.frames();
        talk.hear([window_update(1, 1), window_update(0, 1)].concat());
    }
    // Without such a reason it is a flood.
    let most = window_update(0, 1).repeat(2_000);
    assert_eq!(talk.try_hear(most), Err(Fault::Flood));
}

/// Answers to PING pile up here, however much of a body it sends beside them.
#[test]
fn a_peer_that_sends_on_and_reads_nothing_is_a_flood() {
    for (unsent, verdict) in [(0, Ok(())), (2 << 20, Err(Fault::Flood))] {
        let mut talk = Talk::new(Limits::default());
        talk.open(BodyLen::None);
        talk.hear(headers(1, false, &[STATUS]));
        let mut heard = Ok(());
        for _ in 0..2_000 {
            talk.h2.output_waits(unsent);
            heard =
                heard.and_then(|()| talk.try_hear([data(1, false, &[0; 300]), frame(PING, 0, 0, &[0; 8])].concat()));
        }
        assert_eq!(heard, verdict, "{unsent}");
    }
}

#[test]
fn frames_that_say_nothing_of_streams_that_are_no_more_are_a_flood() {
    for nothing in [frame(HEADERS, END_HEADERS | END_STREAM, 1, &[]), data(1, true, &[])] {
        let mut talk = Talk::new(Limits::default());
        talk.open(BodyLen::None);
        talk.hear(ok(1, b"hi"));
        assert_eq!(talk.try_hear(nothing.repeat(2_000)), Err(Fault::Flood));
    }
}

/// Streams without credit have stopped the others; one of them was whole, and is cancelled.
#[test]
fn memory_that_is_given_up_opens_the_window_again() {
    let limits = Limits { stream_window: 1 << 30, stream_window_max: 0, ..Limits::default() };
    let mut talk = Talk::new(limits);
    let s = talk.open(BodyLen::None);
    talk.told.credit = 0;
    talk.hear(headers(1, false, &[STATUS]));
    let piece = data(1, false, &[0; 16 << 10]).repeat(64);
    (0..256 + 15).for_each(|_| talk.hear(piece.clone()));
    talk.hear(data(1, true, b""));
    talk.frames();
    assert_eq!(talk.h2.cancel(s, &mut talk.out), Cancelled::Kept);
    assert!(matches!(talk.sent()[..], [(WINDOW_UPDATE, 0, by)] if by >= 15 << 20));
}
