//! Servers that break the rules of HTTP/2, or bend them: each ends its stream or its connection with a reason, costs
//! little, and leaves the engine serving others.

mod client;
mod h2_support;

use chttpcore::client::Settings;
use chttpcore::net::backend::mock::Script;
use chttpcore::pool::Http;
use client::*;
use h2_support::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What the thread of a test has taken and not given back, and the most of it: the whole client runs on it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    MOST.set(MOST.get().max(live));
}

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise, here and below.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What a hostile server may cost, beside what the script says and the record of it: several copies on its way.
const MEMORY: i64 = 4 << 20;
const COPIES: i64 = 6;

/// How much more memory than before was in use at a time while `act` was running.
fn most_of(act: impl FnOnce()) -> i64 {
    let before = LIVE.get();
    MOST.set(before);
    act();
    MOST.get() - before
}

fn get2() -> Ask {
    Ask { http: Http::Two, ..get() }
}

/// What a server says to the first request of a connection, whole or in pieces.
fn saying(words: Vec<u8>, every: usize) -> Script {
    paced(hello(&[]), every, 0, move || {
        let words = words.clone();
        Box::new(move |frame, out| {
            if frame.asks() && frame.stream == 1 {
                out.extend_from_slice(&words);
            } else if frame.asks() {
                out.extend(ok(frame.stream, b"hi"));
            }
        })
    })
}

const STATUS: (&str, &str) = (":status", "200");

/// The stream fails with this code and HTTP/2 error, and the connection serves on.
fn stream_fails(name: &str, words: Vec<u8>, code: i32) {
    let small = words.len() < 10_000;
    for every in if small { [usize::MAX, 1, 7] } else { [usize::MAX, 5_000, 20_001] } {
        let mut w = World::serving(saying(words.clone(), every));
        let most = most_of(|| {
            w.run(&get2());
        });
        assert!(most < MEMORY + COPIES * words.len() as i64, "{name}: {most} bytes for {}", words.len());
        let log = w.logs.values().next().unwrap();
        assert_eq!(log.code(), code, "{name}: {:?}", log.end);
        w.run(&get2()).assert_ok(200, b"hi");
        assert_eq!(w.opened(), 1, "{name}: the connection stays");
        w.close();
    }
}

/// The connection is closed with this code, having sent GOAWAY with this error; another one is made.
fn connection_fails(name: &str, words: Vec<u8>, code: i32, said: Option<u32>) {
    for every in [usize::MAX, 1_001] {
        let mut w = World::new(client::settings());
        w.then(saying(words.clone(), every));
        w.net.listen(inet("127.0.0.1:80")).always(each(hello(&[]), |stream| ok(stream, b"hi")));
        let both = [w.submit(&get2()), w.submit(&get2())];
        let most = most_of(|| {
            w.until(|w| w.logs[&both[0]].end.is_some());
            w.settle();
        });
        assert!(most < MEMORY + COPIES * words.len() as i64, "{name}: {most} bytes for {}", words.len());
        let log = w.log(both[0]);
        assert_eq!(log.code(), code, "{name}: {:?}", log.end);
        assert_eq!(w.pool().0, 0, "{name}: the connection is gone");
        let frames = frames(&w.conn(0).sent);
        let goaway = frames.iter().find(|f| f.kind == GOAWAY).map(|f| f.word(4));
        assert_eq!(goaway, said, "{name}");
        let replies = frames.iter().filter(|f| f.flags & ACK != 0 && matches!(f.kind, PING | SETTINGS)).count();
        assert!(replies <= 1_010, "{name}: {replies} replies");
        w.run(&get2()).assert_ok(200, b"hi");
        w.close();
    }
}

#[test]
fn malformed_messages_cost_their_stream() {
    let cases: &[(&str, Vec<u8>)] = &[
        ("no status", headers(1, true, &[("a", "b")])),
        ("two of them", headers(1, true, &[STATUS, STATUS])),
        ("behind a field", headers(1, true, &[("a", "b"), STATUS])),
        ("connection", headers(1, true, &[STATUS, ("connection", "close")])),
        ("keep-alive", headers(1, true, &[STATUS, ("keep-alive", "timeout=5")])),
        ("transfer-encoding", headers(1, true, &[STATUS, ("transfer-encoding", "chunked")])),
        ("upgrade", headers(1, true, &[STATUS, ("upgrade", "x")])),
        ("te", headers(1, true, &[STATUS, ("te", "gzip")])),
        ("length of no body", headers(1, true, &[STATUS, ("content-length", "5")])),
        ("no length", headers(1, true, &[STATUS, ("content-length", "x")])),
        ("two lengths", headers(1, false, &[STATUS, ("content-length", "5"), ("content-length", "6")])),
        ("too long", [headers(1, false, &[STATUS, ("content-length", "1")]), data(1, true, b"hi")].concat()),
        ("too short", [headers(1, false, &[STATUS, ("content-length", "3")]), data(1, true, b"hi")].concat()),
        (
            "trailers without an end",
            [headers(1, false, &[STATUS]), data(1, false, b"hi"), headers(1, false, &[("a", "b")])].concat(),
        ),
        ("an informational end", headers(1, true, &[(":status", "103")])),
        ("no number", headers(1, true, &[(":status", "2x0")])),
        ("of four digits", headers(1, true, &[(":status", "2000")])),
        ("too low", headers(1, true, &[(":status", "099")])),
        ("an unknown pseudo-field", headers(1, true, &[STATUS, (":what", "x")])),
        ("of a request", headers(1, true, &[STATUS, (":method", "GET")])),
        ("that is no method", headers(1, true, &[STATUS, (":method", "G E T")])),
        ("from the table", frame(HEADERS, END_HEADERS, 1, &[0x88, 0x84])),
        ("upper case", headers(1, true, &[STATUS, ("Server", "x")])),
        ("blank in a name", headers(1, true, &[STATUS, ("a b", "c")])),
        ("no name", headers(1, true, &[STATUS, ("", "c")])),
        ("line feed", headers(1, true, &[STATUS, ("a", "b\nc: d")])),
        ("carriage return", headers(1, true, &[STATUS, ("a", "b\rc")])),
        ("NUL", headers(1, true, &[STATUS, ("a", "b\0c")])),
        ("in an informational head", [headers(1, false, &[(":status", "103"), ("A", "b")]), ok(1, b"hi")].concat()),
        (
            "a status in trailers",
            [headers(1, false, &[STATUS]), data(1, false, b"hi"), headers(1, true, &[STATUS])].concat(),
        ),
        (
            "a path in trailers",
            [headers(1, false, &[STATUS]), data(1, false, b"hi"), headers(1, true, &[("a", "b"), (":path", "/")])]
                .concat(),
        ),
        (
            "upper case in trailers",
            [headers(1, false, &[STATUS]), data(1, false, b"hi"), headers(1, true, &[("A", "b")])].concat(),
        ),
        (
            "padded, in pieces",
            [
                frame(
                    HEADERS,
                    PADDED | 0x20,
                    1,
                    &[&[2, 0, 0, 0, 0, 0, 0x88][..], &block(&[("A", "b")])[..3], &[0, 0]].concat(),
                ),
                frame(CONTINUATION, 0, 1, &block(&[("A", "b")])[3..]),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ]
            .concat(),
        ),
    ];
    for (name, words) in cases {
        stream_fails(name, words.clone(), e::CHTTP_E_H2_MESSAGE);
    }
}

/// What is wrong and was put into the table is wrong wherever it is referred to, and the table stays what it is.
#[test]
fn what_is_wrong_in_the_table_costs_those_who_refer_to_it() {
    let indexed = |fields: &[(&str, &str)]| {
        let mut block = block(fields);
        block[0] = 0x40;
        block
    };
    let head = |stream, block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, stream, &[&[0x88], block].concat());
    let mut w = World::serving(server(hello(&[]), move || {
        Box::new(move |frame, out| {
            if !frame.asks() {
                return;
            }
            out.extend(match frame.stream {
                1 => head(1, &indexed(&[("good", "one")])),
                3 => head(3, &indexed(&[("Bad", "two")])),
                5 => head(5, &indexed(&[("also", "b\ra\nd")])),
                // The oldest of three entries, then the others.
                7 => head(7, &[0xc0]),
                9 => head(9, &[0xbf]),
                11 => head(11, &[0xbe]),
                // The name of the last is good.
                13 => head(13, &[0x0f, 62 - 15, 2, b'o', b'k']),
                stream => head(stream, &[0x0f, 63 - 15, 2, b'o', b'k']),
            });
        })
    }));
    let field = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for expected in [
        Ok(field("good", "one")),
        Err(()),
        Err(()),
        Ok(field("good", "one")),
        Err(()),
        Err(()),
        Ok(field("also", "ok")),
        Err(()),
    ] {
        let log = w.run(&get2());
        match expected {
            Ok(fields) => assert_eq!((log.code(), &log.fields), (0, &fields)),
            Err(()) => assert_eq!(log.code(), e::CHTTP_E_H2_MESSAGE),
        }
    }
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn limits_of_heads_name_themselves() {
    let informational: Vec<u8> = (0..17).flat_map(|_| headers(1, false, &[(":status", "103")])).collect();
    stream_fails("informational", informational, e::CHTTP_E_TOO_MANY_INFORMATIONAL);
    stream_fails("101", headers(1, false, &[(":status", "101")]), e::CHTTP_E_UNSOLICITED_UPGRADE);
    // A section in several frames.
    let long = |count: usize, len: usize| {
        let value = "x".repeat(len);
        let mut fields = vec![STATUS];
        fields.resize(count + 1, ("a", &value[..]));
        let block = block(&fields);
        let mut pieces = block.chunks(16_384).peekable();
        let mut out = frame(HEADERS, 1, 1, pieces.next().unwrap());
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().is_none();
            out.extend(frame(CONTINUATION, if last { END_HEADERS } else { 0 }, 1, piece));
        }
        out
    };
    stream_fails("a long line", long(1, 110_000), e::CHTTP_E_LINE_TOO_LONG);
    stream_fails("a large head", long(8, 50_000), e::CHTTP_E_HEAD_TOO_LARGE);
    stream_fails("many fields", long(5_500, 1), e::CHTTP_E_TOO_MANY_FIELDS);
    stream_fails("a much larger head", long(13, 50_000), e::CHTTP_E_HEAD_TOO_LARGE);
    // An entry of 4 KB in the table, and 12,000 references to it.
    let entry = [
        &[0x88, 0x40, 1, b'a', 0x7f, 0x80 | ((3900 - 127) % 128) as u8, ((3900 - 127) / 128) as u8][..],
        &[b'x'; 3900],
    ];
    let bomb = [&entry.concat()[..], &[0xbe; 12_000]].concat();
    let bomb = frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
    connection_fails("a bomb of references", bomb, e::CHTTP_E_H2_FLOOD, Some(ENHANCE_YOUR_CALM));
    connection_fails("a monstrous head", long(80, 50_000), e::CHTTP_E_H2_FLOOD, Some(ENHANCE_YOUR_CALM));
}

#[test]
fn floods_end_the_connection() {
    let many = |words: Vec<u8>| words.repeat(5_000);
    let begun = headers(1, false, &[STATUS]);
    for (name, words) in [
        ("PING", many(frame(PING, 0, 0, &[0; 8]))),
        ("unasked answers to PING", many(frame(PING, ACK, 0, &[0; 8]))),
        ("SETTINGS", many(hello(&[(INITIAL_WINDOW_SIZE, 1)]))),
        ("empty SETTINGS", many(hello(&[]))),
        ("empty DATA", [begun.clone(), many(data(1, false, b""))].concat()),
        ("WINDOW_UPDATE", many(window_update(0, 1))),
        ("WINDOW_UPDATE of the stream", many(window_update(1, 1))),
        ("PRIORITY", many(frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]))),
        ("unknown frames", many(frame(0x77, 0, 0, b"x"))),
        ("GOAWAY", many(goaway(9, 0))),
        ("RST_STREAM of what was reset", many(rst(1, CANCEL))),
    ] {
        if name.starts_with("RST") {
            // The first of them is the stream's end.
            let mut w = World::new(client::settings());
            w.then(saying(words, usize::MAX));
            assert_eq!(w.run(&get2()).code(), e::CHTTP_E_H2_STREAM_RESET);
            w.settle();
            assert_eq!(w.pool().0, 0);
            w.close();
            continue;
        }
        connection_fails(name, words, e::CHTTP_E_H2_FLOOD, Some(ENHANCE_YOUR_CALM));
    }
    // A field section without an end.
    let open = frame(HEADERS, 0, 1, &block(&[STATUS]));
    let continued = [open.clone(), frame(CONTINUATION, 0, 1, &block(&[("a", "b")])).repeat(5_000)].concat();
    connection_fails("CONTINUATION", continued, e::CHTTP_E_H2_FLOOD, Some(ENHANCE_YOUR_CALM));
    let empty = [open, frame(CONTINUATION, 0, 1, &[]).repeat(5_000)].concat();
    connection_fails("empty CONTINUATION", empty, e::CHTTP_E_H2_FLOOD, Some(ENHANCE_YOUR_CALM));
    // Padding and nothing else: its length, then zeros.
    let padded = [begun, many(frame(DATA, PADDED, 1, &[3, 0, 0, 0]))].concat();
    connection_fails("padded DATA", padded, e::CHTTP_E_H2_FLOOD, Some(ENHANCE_YOUR_CALM));
}

#[test]
fn frames_against_the_rules_end_the_connection() {
    let begun = headers(1, false, &[STATUS]);
    let push = [&4_u32.to_be_bytes()[..], &block(&[(":method", "GET")])].concat();
    for (name, words, said) in [
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &push), PROTOCOL_ERROR),
        ("a stream of the server", headers(2, true, &[STATUS]), PROTOCOL_ERROR),
        ("a stream nobody opened", headers(99, true, &[STATUS]), PROTOCOL_ERROR),
        ("DATA of a stream nobody opened", data(99, true, b"x"), PROTOCOL_ERROR),
        ("DATA of no stream", data(0, true, b"x"), PROTOCOL_ERROR),
        ("DATA before the head", data(1, true, b"x"), PROTOCOL_ERROR),
        (
            "an interleaved section",
            [frame(HEADERS, 0, 1, &block(&[STATUS])), data(1, true, b"x")].concat(),
            PROTOCOL_ERROR,
        ),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
        ("a short PING", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL_ERROR),
        ("a table index that is none", frame(HEADERS, 5, 1, &[0xff, 0xff, 0xff, 0x0f]), COMPRESSION_ERROR),
        ("a number without an end", frame(HEADERS, 5, 1, &[0xff; 40]), COMPRESSION_ERROR),
        ("a table over its limit", frame(HEADERS, 5, 1, &[0x3f, 0xe2, 0x1f, 0x88]), COMPRESSION_ERROR),
        ("EOS in a string", frame(HEADERS, 5, 1, &[0x88, 0, 0x84, 0xff, 0xff, 0xff, 0xff, 0]), COMPRESSION_ERROR),
        ("a string over its end", frame(HEADERS, 5, 1, &[0x88, 0, 1, b'a', 9, b'b']), COMPRESSION_ERROR),
        ("a window over its greatest", [begun.clone(), window_update(0, u32::MAX >> 1)].concat(), 3),
        ("an empty window update", window_update(0, 0), PROTOCOL_ERROR),
    ] {
        connection_fails(name, words, e::CHTTP_E_H2_PROTOCOL, Some(said));
    }
    let mut w = World::serving(saying(frame(DATA, 0, 1, &vec![0; 16_385]), usize::MAX));
    assert_eq!(w.run(&get2()).code(), e::CHTTP_E_H2_PROTOCOL, "an oversize frame");
    w.close();
}

#[test]
fn more_than_the_window_is_an_error_of_flow_control() {
    let limits = chttpcore::proto::h2::Limits { stream_window: 20_000, ..Default::default() };
    let mut words = headers(1, false, &[STATUS]);
    for _ in 0..3 {
        words.extend(data(1, false, &[0; 16_000]));
    }
    let mut w = World::scripted(Settings { h2: limits, ..client::settings() }, saying(words, usize::MAX));
    let log = w.run(&get2());
    assert_eq!((log.code(), log.is_partial()), (e::CHTTP_E_H2_MESSAGE, true));
    w.close();
}

#[test]
fn what_is_no_http2_is_said_to_be_none() {
    for words in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\0\0\0\0\0\0\0\0\0"] {
        for every in [1, 100] {
            let mut w = World::serving(Script::new().expect(PREFACE).send_split(words, every));
            let log = w.run(&get2());
            assert_eq!(log.code(), e::CHTTP_E_H2_NOT_SPOKEN);
            w.close();
        }
    }
}

#[test]
fn ten_thousand_resets_leave_the_window_whole() {
    let mut w = World::serving(server(hello(&[]), || {
        Box::new(|frame, out| {
            if !frame.asks() {
                return;
            }
            let stream = frame.stream;
            out.extend(headers(stream, false, &[STATUS]));
            if stream % 200 == 199 {
                out.extend(data(stream, true, &pattern(10_000)));
            } else {
                out.extend(data(stream, false, &[7; 2_000]));
                // Padding counts for flow control.
                out.extend(h2_support::frame(DATA, PADDED, stream, &[50; 60]));
                out.extend(rst(stream, 2));
            }
        })
    }));
    for round in 0..20 {
        let xids: Vec<u64> = (0..100).map(|_| w.submit(&get2())).collect();
        w.finish_all();
        w.log(xids[99]).assert_ok(200, &pattern(10_000));
        assert_eq!(w.log(xids[round]).code(), e::CHTTP_E_H2_STREAM_RESET);
    }
    assert_eq!(w.opened(), 1);
    w.close();
}

/// What comes in small pieces and is held for want of credit does not keep the memory that each was received into.
#[test]
fn what_is_held_in_small_pieces_takes_no_more_than_a_few_times_its_size() {
    const LEN: usize = 3 << 20;
    let answer = move || -> Answer {
        Box::new(|frame, out| {
            if frame.asks() {
                out.extend(headers(frame.stream, false, &[STATUS]));
                pattern(LEN).chunks(16_000).for_each(|piece| out.extend(data(frame.stream, false, piece)));
                out.extend(data(frame.stream, true, &[]));
            }
        })
    };
    let mut w = World::serving(paced(hello(&[]), 4_500, 0, answer));
    w.hold = true;
    let most = most_of(|| {
        let xid = w.submit(&Ask { credit: 1_000, ..get2() });
        w.settle();
        assert!(w.log(xid).end.is_none());
    });
    assert!(most < MEMORY + COPIES * LEN as i64, "{most} bytes");
    w.hold = false;
    w.close();
}

#[test]
fn no_streams_at_all_is_waiting_and_no_storm() {
    let mut w =
        World::scripted(client::settings(), each(hello(&[(MAX_CONCURRENT_STREAMS, 0)]), |stream| ok(stream, b"hi")));
    // The first leaves before the server has said so.
    w.run(&get2()).assert_ok(200, b"hi");
    let opened = w.opened();
    let timeouts = chttpcore::client::settings::Timeouts { total: SECOND, ..never() };
    let log = w.run(&Ask { timeouts, ..get2() });
    assert!(log.code() == 0 || log.code() == e::CHTTP_E_TIMEOUT_TOTAL);
    assert!(w.opened() <= opened + 2);
    w.close();
}
