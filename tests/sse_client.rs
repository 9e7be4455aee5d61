//! Streams of events through the whole client, on the scripted network and its clock: what is told, how a stream goes on
//! after its connection, when it does not, and what a hostile server gets out of it.

mod client;

use bytes::Bytes;
use chttpcore::client::Settings;
use chttpcore::client::events::Sse;
use chttpcore::client::settings::Timeouts;
use chttpcore::net::backend::mock::Script;
use chttpcore::proto::sse::Limits;
use chttpcore::queue::event::{flag, kind};
use client::*;
use flate2::{Compress, Compression, FlushCompress};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A stream that does not go on.
fn once() -> Sse {
    Sse { reconnect: false, ..Sse::default() }
}

fn stream(sse: Sse) -> Ask {
    Ask { sse: Some(sse), ..get() }
}

/// What the server sends behind the head, and its end.
fn serve(head: &str, body: impl AsRef<[u8]>) -> Script {
    Script::new().expect_head().send([head.as_bytes(), body.as_ref()].concat())
}

fn data(log: &Log) -> Vec<&str> {
    log.events.iter().map(|e| e.data.as_str()).collect()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0; plain.len() + 1024];
    let mut compress = Compress::new_gzip(Compression::best(), 15);
    compress.compress(plain, &mut out, FlushCompress::Finish).unwrap();
    assert_eq!(compress.total_in() as usize, plain.len());
    out.truncate(compress.total_out() as usize);
    out
}

fn coded(coding: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: {coding}\r\n\r\n")
}

/// So many connections are refused.
fn refuse(w: &World, times: usize) {
    for _ in 0..times {
        w.then(Script::new().refuse());
    }
}

#[test]
fn events_are_told_one_by_one() {
    let body = "retry: 7\nid: 1\nevent: add\ndata: a\ndata: b\n\ndata\n\nid\nevent:\ndata: …\n\n:end\n";
    let mut w = World::serving(serve(HEAD, body).fin());
    let log = w.run(&stream(once()));
    log.assert_ok(200, b"");
    let told =
        |kind: &str, data: &str, id: &str, retry| Told { kind: kind.into(), data: data.into(), id: id.into(), retry };
    assert_eq!(log.events, [told("add", "a\nb", "1", Some(7)), told("", "", "1", None), told("", "…", "", None)]);
    assert_eq!(log.kinds, [kind::HEADERS, kind::SSE, kind::SSE, kind::SSE, kind::DONE]);
    let head = String::from_utf8(w.conn(0).heads[0].clone()).unwrap();
    assert!(head.contains("\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n"), "{head}");
    assert!(!head.contains("Last-Event-ID") && !head.contains("Accept-Encoding"), "{head}");
    w.close();
}

#[test]
fn what_the_caller_says_stands() {
    let mut w = World::serving(serve(HEAD, "").fin());
    let fields = vec![("accept", "text/event-stream, */*"), ("CACHE-CONTROL", "max-age=0"), ("Accept-Encoding", "br")];
    let sse = Sse { compressed: true, last_id: b"a b"[..].into(), ..once() };
    w.run(&Ask { fields, ..stream(sse) }).assert_ok(200, b"");
    let head = String::from_utf8(w.conn(0).heads[0].clone()).unwrap().to_ascii_lowercase();
    for name in ["\r\naccept:", "cache-control:", "accept-encoding:"] {
        assert_eq!(head.matches(name).count(), 1, "{head}");
    }
    assert!(head.ends_with("\r\nlast-event-id: a b\r\n\r\n"), "{head}");
    w.close();
}

/// Cut at every byte of the answer, each as an end of the connection: what is whole is told, and nothing twice.
#[test]
fn cut_at_every_byte() {
    let events = "id: 1\ndata: one\n\nid: 2\ndata: two\n\n";
    let chunk = |s: &str| format!("{:x}\r\n{s}\r\n", s.len());
    let (first, second) = events.split_at(20);
    let answer = format!("{CHUNKED}{}{}0\r\n\r\n", chunk(first), chunk(second));
    for cut in 1..answer.len() {
        for reset in [false, true] {
            let end = |script: Script| if reset { script.rst() } else { script.fin() };
            let mut w = World::new(settings());
            w.then(end(Script::new().expect_head().send(answer[..cut].to_owned())));
            w.then(Script::new().expect_head().send("HTTP/1.1 204 No Content\r\n\r\n"));
            let xid = w.submit(&stream(Sse::default()));
            w.finish(xid);
            let log = w.log(xid);
            assert_eq!((log.code(), log.status), (0, 204), "cut at {cut}");
            assert_eq!(log.rests.len(), 1, "cut at {cut}");
            let last_id = log.events.last().map_or(String::new(), |e| e.id.clone());
            assert_eq!(log.rests[0].last_id, last_id, "cut at {cut}");
            assert!(["", "1", "2"].contains(&last_id.as_str()));
            assert_eq!(data(log), ["one", "two"][..log.events.len()], "cut at {cut}");
            let head = String::from_utf8(w.conn(1).heads[0].clone()).unwrap();
            assert_eq!(head.contains(&format!("Last-Event-ID: {last_id}\r\n")), !last_id.is_empty(), "{head}");
            w.close();
        }
    }
}

/// How the answer is cut into segments makes no difference.
#[test]
fn segments_make_no_difference() {
    let body: String =
        (0..50).map(|n| format!("id: {n}\r\nevent: e{}\r\ndata: {}\r\n\r\n", n % 3, "x".repeat(n * 7))).collect();
    let gz = gzip(body.as_bytes());
    let plain = [HEAD.as_bytes(), body.as_bytes()].concat();
    let coded = [coded("gzip").as_bytes(), &gz].concat();
    let mut expected: Option<Vec<Told>> = None;
    for answer in [plain, coded] {
        for every in [1, 3, 1000, 1 << 20] {
            for credit in [256, 3000, 1 << 20] {
                let script = Script::new().expect_head().send_split(answer.clone(), every).fin();
                let mut w = World::serving(script);
                let log = w.run(&Ask { credit, ..stream(once()) });
                log.assert_ok(200, b"");
                assert_eq!(log.events, *expected.get_or_insert_with(|| log.events.clone()), "{every} {credit}");
                assert_eq!(log.events.len(), 50);
                w.close();
            }
        }
    }
}

#[test]
fn a_stream_lives_through_its_connections() {
    let mut w = World::new(settings());
    w.then(serve(HEAD, "id: 1\ndata: a\n\n").fin());
    w.then(Script::new().refuse());
    w.then(serve(CHUNKED, "11\r\nid: 2\ndata: b\n\nid\r\n").rst());
    w.then(serve(CHUNKED, "f\r\nid: 3\ndata: c\n\n\r\n0\r\n\r\n").expect_head().send("HTTP/1.1 204 x\r\n\r\n"));
    let xid = w.submit(&stream(Sse::default()));
    w.finish(xid);
    let log = w.log(xid);
    assert_eq!((log.code(), log.status, data(log)), (0, 204, vec!["a", "b", "c"]));
    let whys: Vec<_> = log.rests.iter().map(|r| (r.attempt, r.why, r.last_id.as_str())).collect();
    let expected = [
        (1, e::CHTTP_E_SSE_ENDED, "1"),
        (2, e::CHTTP_E_CONNECT_REFUSED, "1"),
        (1, e::CHTTP_E_CONNECTION_LOST, "2"),
        (1, e::CHTTP_E_SSE_ENDED, "3"),
    ];
    assert_eq!(whys, expected);
    let head = |n: usize, m: usize| String::from_utf8(w.conn(n).heads[m].clone()).unwrap();
    for (n, m, id) in [(2, 0, 1), (3, 0, 2), (3, 1, 3)] {
        assert!(head(n, m).ends_with(&format!("\r\nLast-Event-ID: {id}\r\n\r\n")), "{}", head(n, m));
        assert_eq!(head(n, m).matches("Last-Event-ID").count(), 1);
    }
    assert_eq!(log.count(kind::HEADERS), 4, "one for each connection that answered");
    // The last connection was used again, and is idle now.
    assert_eq!((w.opened(), w.pool()), (4, (1, 1, 0)));
    w.close();
}

/// The waits: what the server names, else the setting; doubled in a row; bounded; with up to a quarter on top.
#[test]
fn waits_grow_and_start_anew_when_something_comes() {
    let sse = Sse { retry_ns: 200 * MS, retry_max_ns: 2 * SECOND, ..Sse::default() };
    let mut w = World::new(settings());
    refuse(&w, 6);
    w.then(serve(HEAD, "retry: 50\n\n").fin());
    refuse(&w, 8);
    w.then(serve(HEAD, "retry: 99999999999999999\n:\n").fin());
    w.then(serve(HEAD, "retry: 0\n:\n").fin());
    w.then(Script::new().refuse());
    w.then(Script::new().expect_head().send("HTTP/1.1 204 x\r\n\r\n"));
    let xid = w.submit(&stream(sse));
    w.finish(xid);
    let log = w.log(xid);
    log.assert_ok(204, b"");
    let waits = [
        200, 400, 800, 1600, 2000, 2000, // refused six times
        50,   // named
        200, 400, 800, 1600, 2000, 2000, 2000, 2000, // the second one waits for 100 ms at least
        2000, // bounded
        0,    // named
        200,  // in a row, whatever was named
    ];
    assert_eq!(log.rests.len(), waits.len());
    for (rest, wait) in log.rests.iter().zip(waits) {
        let least = wait * MS;
        assert!((least..=least + least / 4).contains(&rest.delay), "{rest:?}, {wait} ms");
    }
    for pair in log.rests.windows(2) {
        assert_eq!(pair[1].at, pair[0].at + pair[0].delay, "it waits for as long as it said: {pair:?}");
    }
    assert!(log.rests.iter().any(|r| r.delay % MS != 0), "something is left to chance");
    w.close();
}

#[test]
fn attempts_are_bounded_in_a_row() {
    let sse = Sse { retry_ns: MS, attempts_max: 3, ..Sse::default() };
    let mut w = World::new(settings());
    refuse(&w, 3);
    w.then(serve(HEAD, ":\n").fin());
    refuse(&w, 4);
    let xid = w.submit(&stream(sse.clone()));
    w.finish(xid);
    let log = w.log(xid);
    assert_eq!((log.code(), log.rests.len()), (e::CHTTP_E_CONNECT_REFUSED, 6));
    // A server that ends each stream at once, in due form.
    let mut w = World::serving(serve(HEAD, "").fin());
    let log = w.run(&stream(sse));
    assert_eq!((log.code(), log.rests.len()), (e::CHTTP_E_SSE_ENDED, 3));
    w.close();
}

#[test]
fn a_stream_that_does_not_go_on_ends_with_its_answer() {
    for (script, code) in [
        (serve(HEAD, "data: x\n\n").fin(), 0),
        (serve(CHUNKED, "9\r\ndata: x\n\n\r\n0\r\n\r\n"), 0),
        (serve(CHUNKED, "9\r\ndata: x\n\n\r\n").fin(), e::CHTTP_E_TRUNCATED_CHUNK),
        (serve(HEAD, "data: x\n\n").rst(), e::CHTTP_E_CONNECTION_LOST),
    ] {
        let mut w = World::serving(script);
        let log = w.run(&stream(once()));
        assert_eq!((log.code(), data(log), log.rests.len()), (code, vec!["x"], 0));
        w.close();
    }
}

#[test]
fn other_answers_are_refused_and_can_be_read() {
    let typed = |t: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: {t}\r\nContent-Length: 9\r\n\r\n");
    let status = |s: u16| format!("HTTP/1.1 {s} x\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\n");
    let none = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned();
    let cases = [
        (typed("text/html"), e::CHTTP_E_SSE_CONTENT_TYPE),
        (typed("text/event-streams"), e::CHTTP_E_SSE_CONTENT_TYPE),
        (typed("text/x-bogus"), e::CHTTP_E_SSE_CONTENT_TYPE),
        (typed("text/event-stream x"), e::CHTTP_E_SSE_CONTENT_TYPE),
        (typed(""), e::CHTTP_E_SSE_CONTENT_TYPE),
        (none, e::CHTTP_E_SSE_CONTENT_TYPE),
        (status(201), e::CHTTP_E_SSE_STATUS),
        (status(302), e::CHTTP_E_SSE_STATUS),
        (status(404), e::CHTTP_E_SSE_STATUS),
        (status(500), e::CHTTP_E_SSE_STATUS),
        (status(503), e::CHTTP_E_SSE_STATUS),
        (coded("br").replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\n"), e::CHTTP_E_CONTENT_CODING),
    ];
    for (head, code) in cases {
        let mut w = World::serving(serve(&head, "data: x\n\n").again());
        let log = w.run(&stream(Sse::default()));
        assert_eq!((log.code(), log.refused, log.rests.len()), (code, code, 0), "{head}");
        assert_eq!((log.body.as_slice(), log.events.len()), (&b"data: x\n\n"[..], 0), "{head}");
        assert!(log.is_partial());
        assert_eq!(w.pool(), (1, 1, 0), "the answer is whole, and its connection can be used");
        w.close();
    }
    for valid in ["text/event-stream;", "TEXT/Event-Stream ; x=bogus", "text/event-stream;charset=utf-8"] {
        let mut w = World::serving(serve(&typed(valid), "data: x\n\n"));
        let log = w.run(&stream(once()));
        assert_eq!((log.code(), log.refused, data(log)), (0, 0, vec!["x"]), "{valid}");
        w.close();
    }
}

/// An answer that was refused and is cut is refused still.
#[test]
fn a_refused_answer_that_is_cut_is_not_asked_for_again() {
    let mut w = World::serving(serve("HTTP/1.1 404 x\r\nContent-Length: 9\r\n\r\n", "data").fin());
    let log = w.run(&stream(Sse::default()));
    assert_eq!((log.code(), log.refused, log.rests.len()), (e::CHTTP_E_TRUNCATED_BODY, e::CHTTP_E_SSE_STATUS, 0));
    w.close();
}

#[test]
fn statuses_of_servers_that_are_away_can_be_retried() {
    let sse = Sse { retry_ns: MS, retry_status: true, ..Sse::default() };
    let mut w = World::new(settings());
    let away = |s: u16| format!("HTTP/1.1 {s} x\r\nContent-Length: 4\r\n\r\n");
    for status in [408, 429, 500, 502, 503, 504] {
        w.then(serve(&away(status), "away").fin());
    }
    w.then(serve(&away(503), "cut").rst());
    w.then(serve(&away(404), "gone").fin());
    let xid = w.submit(&stream(sse));
    w.finish(xid);
    let log = w.log(xid);
    let whys: Vec<_> = log.rests.iter().map(|r| r.why).collect();
    assert_eq!(whys[..6], [e::CHTTP_E_SSE_STATUS; 6]);
    assert_eq!((whys.len(), log.code(), log.status), (7, e::CHTTP_E_SSE_STATUS, 404));
    assert_eq!(log.body, b"awayawayawayawayawayawaycutgone");
    w.close();
}

#[test]
fn an_answer_may_say_when_to_come_again() {
    let sse = Sse { retry_ns: 100 * MS, retry_max_ns: 10 * SECOND, retry_status: true, ..Sse::default() };
    let away = |field: &str| format!("HTTP/1.1 503 x\r\n{field}\r\nContent-Length: 0\r\n\r\n");
    let mut w = World::new(settings());
    let answers = [
        ("Retry-After: 4", 4_000),
        ("retry-after: 0", 200),
        ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT", 400),
        ("Retry-After: -1", 800),
        ("Retry-After: 3600", 10_000),
        ("Retry-After: 99999999999999999999999", 10_000),
        // What one answer says is not for the next one.
        ("X: y", 6_400),
    ];
    for (field, _) in answers {
        w.then(serve(&away(field), "").fin());
    }
    w.then(Script::new().expect_head().send("HTTP/1.1 204 x\r\n\r\n"));
    let xid = w.submit(&stream(sse));
    w.finish(xid);
    let log = w.log(xid);
    log.assert_ok(204, b"");
    assert_eq!(log.rests.len(), answers.len());
    for (rest, (field, wait)) in log.rests.iter().zip(answers) {
        let least = wait * MS;
        assert!((least..=least + least / 4).contains(&rest.delay), "{field}: {rest:?}, {wait} ms");
    }
    let told = w.engine.stats().told;
    assert_eq!((told.events, told.reconnections), (0, answers.len() as u64));
    w.close();
}

/// The failures that another connection would meet, too.
#[test]
fn hopeless_failures_end_the_stream() {
    let limits = Limits { line_max: 100, event_max: 150 };
    let sse = Sse { limits, ..Sse::default() };
    for (script, code) in [
        (serve(HEAD, "data: a\n\n".to_owned() + &"x".repeat(101)), e::CHTTP_E_SSE_LINE_TOO_LONG),
        (serve(HEAD, "data: a\n\n".to_owned() + &"data: 90\n".repeat(60)), e::CHTTP_E_SSE_EVENT_TOO_LARGE),
        (serve("HTTP/1.1 200 OK\r\nA : c\r\n\r\n", ""), e::CHTTP_E_SPACE_BEFORE_COLON),
        (serve(CHUNKED, "zz\r\n"), e::CHTTP_E_CHUNK_SIZE),
        (serve(&coded("gzip"), "data: a\n\n"), e::CHTTP_E_CONTENT_CODING),
    ] {
        let mut w = World::serving(script);
        let log = w.run(&stream(sse.clone()));
        assert_eq!((log.code(), log.rests.len()), (code, 0));
        let expected =
            if code == e::CHTTP_E_SSE_LINE_TOO_LONG || code == e::CHTTP_E_SSE_EVENT_TOO_LARGE { 1 } else { 0 };
        assert_eq!(log.events.len(), expected, "what came before stands");
        assert_eq!(w.open(), 0);
        w.close();
    }
}

#[test]
fn a_name_that_never_was_is_not_asked_for_again() {
    let mut w = World::new(settings());
    let log = w.run(&Ask { url: "http://nowhere.test/".into(), ..stream(Sse::default()) });
    assert_eq!((log.code(), log.rests.len()), (e::CHTTP_E_NAME_NOT_FOUND, 0));
    w.close();
}

#[test]
fn silence_is_a_lost_connection() {
    let timeouts = Timeouts { read: 30 * SECOND, first_byte: 5 * SECOND, ..never() };
    let sse = Sse { retry_ns: SECOND, ..Sse::default() };
    let mut w = World::new(settings());
    w.then(serve(HEAD, "data: a\n\n").delay(20 * SECOND).send(":\n"));
    w.then(Script::new().expect_head());
    w.then(Script::new().expect_head().send("HTTP/1.1 204 x\r\n\r\n"));
    let xid = w.submit(&Ask { timeouts, ..stream(sse) });
    w.finish(xid);
    let log = w.log(xid);
    let whys: Vec<_> = log.rests.iter().map(|r| r.why).collect();
    assert_eq!((log.code(), whys), (0, vec![e::CHTTP_E_TIMEOUT_READ, e::CHTTP_E_TIMEOUT_FIRST_BYTE]));
    let start = w.net.now().0 - log.end.as_ref().unwrap().elapsed;
    assert_eq!(log.rests[0].at - start, 50 * SECOND, "from the comment on, which is a sign of life");
    assert_eq!(log.rests[1].at, log.rests[0].at + log.rests[0].delay + 5 * SECOND);
    w.close();
}

#[test]
fn a_total_time_is_for_all_connections() {
    let timeouts = Timeouts { total: 10 * SECOND, ..never() };
    for script in [serve(HEAD, "data: a\n\n").fin(), serve(HEAD, "data: a\n\n"), Script::new().refuse()] {
        let mut w = World::serving(script);
        let log = w.run(&Ask { timeouts, ..stream(Sse::default()) });
        assert_eq!((log.code(), log.end.as_ref().unwrap().elapsed), (e::CHTTP_E_TIMEOUT_TOTAL, 10 * SECOND));
        w.close();
    }
}

#[test]
fn cancel_at_any_time() {
    let busy = || serve(HEAD, "data: a\n\n");
    for (state, script) in [
        ("connecting", Script::new().black_hole()),
        ("waiting", Script::new().expect_head()),
        ("open", busy()),
        ("resting", busy().fin()),
        ("refused", Script::new().refuse()),
    ] {
        let mut w = World::serving(script);
        let xid = w.submit(&stream(Sse::default()));
        w.settle();
        let phase = match state {
            "connecting" => Phase::Connecting,
            "waiting" => Phase::Waiting,
            "open" => Phase::Receiving,
            _ => Phase::Reconnecting,
        };
        w.engine.cancel(xid).unwrap();
        w.settle();
        let log = w.log(xid);
        assert_eq!(log.code(), e::CHTTP_E_CANCELLED, "{state}");
        assert_eq!(log.end.as_ref().unwrap().why.unwrap().0, phase, "{state}");
        let opened = w.opened();
        w.pass(100 * SECOND);
        assert_eq!((w.opened(), w.pool()), (opened, (0, 0, 0)), "nobody comes back");
        w.close();
    }
}

#[test]
fn the_end_of_engine_and_queue_finds_streams_that_rest() {
    let mut w = World::serving(Script::new().refuse());
    let xid = w.submit(&stream(Sse::default()));
    w.settle();
    w.stop();
    while w.turn() {}
    assert_eq!(w.log(xid).code(), e::CHTTP_E_ENGINE_CLOSED);
    w.close();
    let mut w = World::serving(Script::new().refuse());
    w.submit(&stream(Sse::default()));
    w.settle();
    w.renew_queue();
    w.pass(100 * SECOND);
    assert_eq!(w.engine.stats().exchanges, 0);
    w.close();
}

/// A POST, with bodies in all forms that can be sent again.
#[test]
fn bodies_are_sent_again() {
    let sse = Sse { retry_ns: MS, ..Sse::default() };
    let large: Bytes = vec![b'x'; 100_000].into();
    for (load, len) in [(whole("hello"), 5), (Load::Borrowed(large.clone()), 100_000)] {
        let mut w = World::new(settings());
        w.then(Script::new().expect_head().expect_bytes(len).send(format!("{HEAD}id: 1\ndata: a\n\n")).fin());
        w.then(Script::new().expect_head().expect_bytes(len / 2).rst());
        w.then(Script::new().expect_head().expect_bytes(len).send(format!("{HEAD}data: b\n\n")).fin());
        w.then(Script::new().expect_head().expect_bytes(len).send("HTTP/1.1 204 x\r\n\r\n"));
        let xid = w.submit(&Ask { sse: Some(sse.clone()), ..post(load) });
        w.finish(xid);
        let log = w.log(xid);
        assert_eq!((log.code(), data(log), log.rests.len()), (0, vec!["a", "b"], 3));
        // The memory is given back at the end, and once.
        let written = log.kinds.iter().position(|&k| k == kind::WRITE_DONE);
        assert_eq!(written, (len > 5).then(|| log.kinds.len() - 2));
        for n in [0, 2, 3] {
            let sent = w.conn(n).sent;
            assert!(sent.ends_with(if len == 5 { b"hello" } else { &large }), "connection {n}");
        }
        w.close();
    }
    // What does not go on gives its memory back as soon as it is sent.
    let mut w = World::serving(Script::new().expect_head().expect_bytes(100_000).send(HEAD));
    let xid = w.submit(&Ask { sse: Some(once()), ..post(Load::Borrowed(large)) });
    w.settle();
    assert!(w.log(xid).has(kind::WRITE_DONE));
    w.close();
}

/// Reading stops when the application keeps events, and goes on when it lets them go.
#[test]
fn credit_stops_the_reading() {
    let body: String = (0..5000).map(|n| format!("data: {n}\n\n")).collect();
    for (head, body) in [(HEAD.to_owned(), body.clone().into_bytes()), (coded("gzip"), gzip(body.as_bytes()))] {
        let mut w = World::serving(serve(&head, body).fin());
        w.hold = true;
        let is_coded = head.contains("gzip");
        let credit = 64 << 10;
        let xid = w.submit(&Ask { credit, ..stream(once()) });
        // A piece of a coded stream is decoded whole.
        w.logs.get_mut(&xid).unwrap().overdraft = if is_coded { 512 << 10 } else { 16 * 256 };
        w.pass(SECOND);
        let came = w.log(xid).events.len();
        assert!(came >= 256 && came < if is_coded { 2500 } else { 300 }, "{came} events on a credit of 256");
        assert!(w.log(xid).end.is_none());
        while w.log(xid).end.is_none() {
            w.release(xid);
            w.pass(SECOND);
        }
        let log = w.log(xid);
        assert!(log.events.iter().enumerate().all(|(n, e)| e.data == n.to_string()) && log.events.len() == 5000);
        w.close();
    }
}

/// One event that is kept holds the credit of those that came with it, and not more.
#[test]
fn an_event_that_is_kept_holds_little() {
    let body: String = (0..1000).map(|n| format!("data: {n}\n\n")).collect();
    let mut w = World::serving(serve(HEAD, body).fin());
    w.hold = true;
    let xid = w.submit(&Ask { credit: 32 * 256, ..stream(once()) });
    w.logs.get_mut(&xid).unwrap().overdraft = u64::MAX / 2;
    let mut kept = Vec::new();
    while w.log(xid).end.is_none() {
        w.settle();
        let held = &mut w.logs.get_mut(&xid).unwrap().held;
        if kept.is_empty() && !held.is_empty() {
            kept.push(held.remove(0));
        }
        held.clear();
        w.pass(SECOND);
    }
    assert_eq!(w.log(xid).events.len(), 1000);
    assert_eq!(bytes_of(&kept[0].0), b"0");
    w.close();
    // It outlives the engine.
    assert_eq!(told(&kept[0].0).data, "0");
}

#[test]
fn coded_streams_are_whole_or_lost() {
    let body = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n";
    let gz = gzip(body);
    for cut in 0..gz.len() {
        let mut w = World::serving(serve(&coded("gzip"), &gz[..cut]).fin());
        let log = w.run(&stream(once()));
        let code = if cut == 0 { 0 } else { e::CHTTP_E_CONTENT_TRUNCATED };
        assert_eq!(log.code(), code, "cut at {cut}");
        w.close();
    }
    let mut w = World::new(settings());
    w.then(serve(&coded("gzip"), &gz[..gz.len() - 1]).fin());
    w.then(serve(&coded("x-gzip"), &gz).fin());
    w.then(serve(HEAD, body).fin());
    w.then(Script::new().expect_head().send("HTTP/1.1 204 x\r\n\r\n"));
    let xid = w.submit(&stream(Sse { compressed: true, ..Sse::default() }));
    w.finish(xid);
    let log = w.log(xid);
    let whys: Vec<_> = log.rests.iter().map(|r| r.why).collect();
    assert_eq!(whys, [e::CHTTP_E_CONTENT_TRUNCATED, e::CHTTP_E_SSE_ENDED, e::CHTTP_E_SSE_ENDED]);
    assert_eq!(data(log), ["a", "b", "a", "b", "a", "b"]);
    assert!(String::from_utf8_lossy(&w.conn(0).heads[0]).contains("\r\nAccept-Encoding: gzip, deflate\r\n"));
    w.close();
}

/// A thousand times as long as it came: it takes time, and neither memory nor the turns of others.
#[test]
fn a_bomb_of_comments_is_worked_off_in_small_pieces() {
    let gz = gzip(&vec![b'\n'; 4 << 20]);
    assert!(gz.len() < 5 << 10);
    let mut w = World::serving(serve(&coded("gzip"), &gz).fin());
    let xid = w.submit(&stream(once()));
    w.settle();
    assert!(w.log(xid).end.is_none(), "not in one go");
    w.finish(xid);
    let log = w.log(xid);
    assert_eq!((log.code(), log.events.len()), (0, 0));
    assert!(log.end.as_ref().unwrap().at >= 3 * MS);
    w.close();
    // An endless line in it is refused at its bound.
    let gz = gzip(&vec![b'x'; 4 << 20]);
    let mut w = World::serving(serve(&coded("gzip"), &gz).fin());
    let log = w.run(&stream(Sse::default()));
    assert_eq!(log.code(), e::CHTTP_E_SSE_LINE_TOO_LONG);
    w.close();
    // A flood of events stops with the credit.
    let gz = gzip("data\n\n".repeat(200_000).as_bytes());
    let mut w = World::serving(serve(&coded("gzip"), &gz).fin());
    w.hold = true;
    let xid = w.submit(&stream(once()));
    w.logs.get_mut(&xid).unwrap().overdraft = u64::MAX / 2;
    w.pass(10 * SECOND);
    assert!(w.log(xid).end.is_none());
    assert!(w.log(xid).events.len() < 60_000, "{}", w.log(xid).events.len());
    w.engine.cancel(xid).unwrap();
    w.settle();
    w.close();
}

#[test]
fn hostile_lines_within_bounds() {
    let mib = "x".repeat((1 << 20) - 6);
    let mut w = World::serving(serve(HEAD, format!("data: {mib}\n\nid: \0\ndata: y\n\nretry: 1e9\n\n")).fin());
    let log = w.run(&stream(once()));
    log.assert_ok(200, b"");
    assert_eq!((log.events[0].data.len(), log.events[1].data.as_str()), (mib.len(), "y"));
    assert!(log.events.iter().all(|e| e.id.is_empty() && e.retry.is_none()));
    w.close();
    // An id that cannot stand in a head is told, and not sent.
    let mut w = World::new(settings());
    w.then(serve(HEAD, "id: 1\ndata: a\n\nid: \x01\ndata: b\n\n").fin());
    w.then(serve(HEAD, "id: …\ndata: c\n\n").fin());
    w.then(Script::new().expect_head().send("HTTP/1.1 204 x\r\n\r\n"));
    let xid = w.submit(&stream(Sse::default()));
    w.finish(xid);
    let log = w.log(xid);
    assert_eq!(log.events[1].id, "\x01");
    assert!(!String::from_utf8_lossy(&w.conn(1).heads[0]).contains("Last-Event-ID"));
    assert!(String::from_utf8_lossy(&w.conn(2).heads[0]).contains("\r\nLast-Event-ID: …\r\n"));
    w.close();
}

/// Many streams, of which connections die again and again, in disorder: everybody gets everything, and the books agree.
#[test]
fn a_crowd_in_disorder() {
    for seed in 1..6 {
        let mut w = World::new(Settings { ..pooled(64, 256) });
        w.net.chaos(seed);
        for n in 0..400u32 {
            let body = format!("id: {n}\ndata: {n}\n\ndata: {}", "y".repeat(n as usize % 50));
            let script = serve(HEAD, body);
            w.then(if n % 3 == 0 { script.rst() } else { script.fin() });
            if n % 5 == 0 {
                w.then(Script::new().refuse());
            }
        }
        w.net.listen(inet("127.0.0.1:80")).always(Script::new().expect_head().send("HTTP/1.1 204 x\r\n\r\n").again());
        let sse = Sse { retry_ns: 10 * MS, retry_max_ns: SECOND, ..Sse::default() };
        let xids: Vec<u64> = (0..40).map(|_| w.submit(&stream(sse.clone()))).collect();
        w.finish_all();
        let mut all: Vec<u32> = Vec::new();
        for xid in xids {
            let log = w.log(xid);
            assert_eq!((log.code(), log.status), (0, 204));
            assert_eq!(log.end.as_ref().unwrap().flags & flag::TERMINAL, flag::TERMINAL);
            all.extend(log.events.iter().map(|e| e.data.parse::<u32>().unwrap()));
        }
        all.sort_unstable();
        // A reset may overtake what was sent before it.
        assert!(all.windows(2).all(|w| w[0] < w[1]) && all.len() > 200, "nothing twice: {}", all.len());
        w.close();
    }
}
