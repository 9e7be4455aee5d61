//! Whole exchanges: methods, bodies of every framing, 1xx, uploads, and the one-event form. RFC 9110, RFC 9112.

mod client;

use chttpcore::queue::event::kind;
use client::*;

use chttpcore::client::upload::Piece;
use chttpcore::net::backend::mock::Script;

fn answering(answer: &str) -> Script {
    Script::new().expect_head().send(answer.to_owned()).again()
}

const HEAD_BODY_DONE: [u16; 3] = [kind::HEADERS, kind::BODY, kind::DONE];

#[test]
fn every_method_on_one_connection() {
    let mut w = World::serving(answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n\r\n"));
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"] {
        let log = w.run(&ask(method, HOST));
        log.assert_ok(200, b"");
        assert_eq!(log.shape(), [kind::HEADERS, kind::DONE], "{method}");
        assert_eq!(log.fields[1], ("X-A".to_owned(), "b".to_owned()));
        assert_eq!(log.is_reused(), method != "GET");
        w.run(&collect(ask(method, HOST))).assert_ok(200, b"");
    }
    assert_eq!(w.opened(), 1);
    assert!(w.conn(0).heads[0].starts_with(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"));
    w.close();
}

#[test]
fn bodies_of_every_framing() {
    let cases: &[(&str, &str, bool)] = &[
        ("Content-Length: 5\r\n\r\nhello", "hello", true),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello", true),
        ("Transfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nhe\r\n003;x\r\nllo\r\n0;y\r\n\r\n", "hello", true),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", true),
        ("Content-Length: 5\r\nConnection: close\r\n\r\nhello", "hello", false),
        ("Content-Length: 0\r\n\r\n", "", true),
    ];
    for &(rest, body, reusable) in cases {
        let mut w = World::serving(answering(&format!("HTTP/1.1 200 OK\r\n{rest}")));
        for ask in [get(), collect(get())] {
            let collects = ask.collect;
            let log = w.run(&ask);
            log.assert_ok(200, body.as_bytes());
            match (collects, body) {
                (true, _) => assert_eq!(log.shape(), [kind::RESPONSE], "{rest}"),
                (false, "") => assert_eq!(log.shape(), [kind::HEADERS, kind::DONE], "{rest}"),
                (false, _) => assert_eq!(log.shape(), HEAD_BODY_DONE, "{rest}"),
            }
            assert_eq!(w.pool(), if reusable { (1, 1, 0) } else { (0, 0, 0) }, "{rest}");
        }
        assert_eq!(w.opened(), if reusable { 1 } else { 2 }, "{rest}");
        w.close();
    }
}

#[test]
fn a_body_may_end_with_the_connection() {
    for collects in [false, true] {
        let mut w = World::serving(Script::new().expect_head().send("HTTP/1.0 200 OK\r\n\r\nhel").send("lo").fin());
        w.run(&Ask { collect: collects, ..get() }).assert_ok(200, b"hello");
        assert_eq!(w.pool(), (0, 0, 0));
        w.close();
    }
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n"),
    ] {
        let mut w = World::serving(answering(answer));
        for collect in [true, false, true] {
            let log = w.run(&Ask { collect, ..ask(method, HOST) });
            assert_eq!((log.code(), log.body.len()), (0, 0), "{answer}");
        }
        assert_eq!(w.opened(), 1, "{answer}");
        w.close();
    }
}

#[test]
fn trailers_and_informational_answers_are_events() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                  HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nSum: 1\r\nSum: 2\r\n\r\n";
    let mut w = World::serving(answering(answer));
    for ask in [get(), collect(get())] {
        let log = w.run(&ask);
        log.assert_ok(200, b"x");
        let (i, h, b, t, d) = (kind::INFORMATIONAL, kind::HEADERS, kind::BODY, kind::TRAILERS, kind::DONE);
        assert_eq!(log.shape(), [i, i, h, b, t, d]);
        assert_eq!(log.informational, [103, 102]);
        let sum = |v: &str| ("Sum".to_owned(), v.to_owned());
        assert_eq!(log.trailers, [sum("1"), sum("2")]);
    }
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn an_answer_of_exactly_the_collected_size_is_one_event_however_it_is_cut() {
    let body = "x".repeat(300);
    let length = format!("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n{body}");
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n{body}\r\n0\r\n\r\n");
    let close = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}");
    for answer in [&length, &chunked, &close] {
        for every in [1, 7, answer.len() - 7, answer.len() - 5, answer.len() - 2, answer.len()] {
            for (collect_max, expected) in [(300, vec![kind::RESPONSE]), (299, HEAD_BODY_DONE.to_vec())] {
                let script = Script::new().expect_head().send_split(answer.clone(), every);
                let mut w = World::serving(if *answer == close { script.fin() } else { script });
                let log = w.run(&Ask { collect_max, ..collect(get()) });
                log.assert_ok(200, body.as_bytes());
                assert_eq!(log.shape(), expected, "max {collect_max}, pieces of {every}: {}", &answer[17..50]);
                w.close();
            }
        }
    }
}

#[test]
fn large_answers_arrive_whole_in_both_forms() {
    let body: Vec<u8> = (0..700_000u32).map(|i| ((i * 31) >> 3) as u8).collect();
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n".to_vec();
    answer.extend_from_slice(&body);
    for every in [1000, 4096, 65_536, 100_000, 1 << 20] {
        let mut w = World::serving(Script::new().expect_head().send_split(answer.clone(), every).again());
        w.run(&get()).assert_ok(200, &body);
        w.run(&collect(get())).assert_ok(200, &body);
        w.run(&Ask { collect_max: 5000, ..collect(get()) }).assert_ok(200, &body);
        assert_eq!(w.opened(), 1);
        w.close();
    }
}

#[test]
fn whole_and_borrowed_uploads() {
    for borrowed in [false, true] {
        for short in [1, 3, usize::MAX] {
            let script = Script::new().short_writes(short).expect_head().expect(&b"hello body"[..]).send(OK).again();
            let mut w = World::serving(script);
            let bytes = bytes::Bytes::from_static(b"hello body");
            let load = if borrowed { Load::Borrowed(bytes) } else { Load::Whole(bytes) };
            for _ in 0..2 {
                let log = w.run(&post(load.clone()));
                log.assert_ok(200, b"hi");
                assert_eq!(log.count(kind::WRITE_DONE), usize::from(borrowed));
            }
            assert_eq!(w.opened(), 1);
            w.close();
        }
    }
}

#[test]
fn a_borrowed_body_is_given_back_before_every_kind_of_end() {
    let load = Load::Borrowed(bytes::Bytes::from(vec![7; 10_000]));
    let silent = || Script::new().short_writes(100).expect_head().stop_reading();
    for ending in ["cancel", "rst", "timeout", "early answer", "stop"] {
        let script = match ending {
            "rst" => silent().delay(MS).rst(),
            "early answer" => silent().delay(MS).send(OK),
            _ => silent(),
        };
        let mut w = World::serving(script);
        let mut ask = post(load.clone());
        ask.timeouts.write = 10 * MS;
        let xid = w.submit(&ask);
        w.settle();
        assert!(!w.log(xid).has(kind::WRITE_DONE), "{ending}: nothing is sent yet");
        match ending {
            "cancel" => w.engine.cancel(xid).unwrap(),
            "stop" => w.stop(),
            _ => {}
        }
        w.pass(SECOND);
        let log = w.log(xid);
        assert_eq!(log.count(kind::WRITE_DONE), 1, "{ending}");
        assert!(log.end.is_some());
        w.close();
    }
}

#[test]
fn streamed_uploads_of_known_and_unknown_length() {
    for (load, wire) in
        [(Load::Stream(Some(8)), &b"abcdefgh"[..]), (Load::Stream(None), &b"3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"[..])]
    {
        for short in [1, 4, usize::MAX] {
            let script = Script::new().short_writes(short).expect_head().expect(wire).send(OK).again();
            let mut w = World::serving(script);
            let xid = w.submit(&post(load.clone()));
            w.settle();
            for piece in ["abc", "", "defgh"] {
                w.write(xid, piece).unwrap();
                w.settle();
            }
            w.end(xid);
            w.finish(xid).assert_ok(200, b"hi");
            // And all at once, with no turn in between.
            let xid = w.submit(&post(load.clone()));
            for piece in ["abc", "defgh"] {
                w.write(xid, piece).unwrap();
            }
            w.end(xid);
            w.finish(xid).assert_ok(200, b"hi");
            assert_eq!(w.opened(), 1);
            w.close();
        }
    }
}

#[test]
fn request_trailers_end_a_chunked_upload() {
    let wire = &b"1\r\na\r\n0\r\nSum: 9\r\n\r\n"[..];
    let mut w = World::serving(Script::new().expect_head().expect(wire).send(OK).again());
    let xid = w.submit(&post(Load::Stream(None)));
    w.write(xid, "a").unwrap();
    w.engine.end_body(xid, Piece::Trailers(b"Sum: 9\r\n".to_vec())).unwrap();
    w.finish(xid).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn too_much_and_too_little_of_a_known_length_is_the_callers_error() {
    for pieces in [&["abcd"][..], &["ab", "cd"], &["ab"]] {
        let mut w = World::serving(Script::new().expect_head());
        let xid = w.submit(&post(Load::Stream(Some(3))));
        for &piece in pieces {
            w.write(xid, piece).ok();
        }
        w.engine.end_body(xid, Piece::End).ok();
        assert_eq!(w.finish(xid).code(), e::CHTTP_E_BODY_LENGTH);
        assert_eq!(w.open(), 0);
        w.close();
    }
}

#[test]
fn a_streamed_upload_is_held_back_and_released() {
    let script =
        Script::new().expect_head().stop_reading().delay(SECOND).resume_reading().expect_bytes(400_000).send(OK);
    let mut w = World::scripted(chttpcore::client::Settings { send_buffer: 100_000, ..settings() }, script);
    let xid = w.submit(&post(Load::Stream(Some(400_000))));
    w.settle();
    let mut sent = 0;
    let mut refusals = 0;
    while sent < 400_000 {
        match w.write(xid, vec![b'x'; 10_000]) {
            Ok(()) => sent += 10_000,
            Err(code) => {
                assert_eq!(code, e::CHTTP_E_AGAIN);
                assert!(sent >= 100_000, "the whole buffer is usable");
                refusals += 1;
                let before = w.log(xid).count(kind::WRITABLE);
                w.until(|w| w.log(xid).count(kind::WRITABLE) > before);
            }
        }
        w.settle();
    }
    w.end(xid);
    let log = w.finish(xid);
    log.assert_ok(200, b"hi");
    assert!(refusals > 0);
    assert_eq!(log.count(kind::WRITABLE), refusals);
    w.close();
}

#[test]
fn one_write_larger_than_the_buffer_passes_when_it_is_empty() {
    let script = Script::new().expect_head().short_writes(5000).expect_bytes(90_000).send(OK);
    let mut w = World::scripted(chttpcore::client::Settings { send_buffer: 1000, ..settings() }, script);
    let xid = w.submit(&post(Load::Stream(Some(90_000))));
    w.write(xid, vec![0; 90_000]).unwrap();
    assert_eq!(w.write(xid, "x"), Err(e::CHTTP_E_AGAIN));
    w.until(|w| w.log(xid).has(kind::WRITABLE));
    w.end(xid);
    w.finish(xid).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn an_early_refusal_during_an_upload_is_delivered_and_the_connection_is_not_used_again() {
    let early = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig";
    for load in [Load::Stream(None), Load::Stream(Some(100)), Load::Whole(vec![1; 500_000].into())] {
        let mut w = World::serving(answering(OK));
        w.then(Script::new().short_writes(300).expect_head().send(early).stop_reading());
        let xid = w.submit(&post(load));
        w.write(xid, "abc").ok();
        w.settle();
        w.log(xid).assert_ok(413, b"big");
        assert_eq!(w.write(xid, "more"), Err(e::CHTTP_E_NOT_FOUND));
        assert_eq!(w.open(), 0);
        w.run(&get()).assert_ok(200, b"hi");
        w.close();
    }
}

#[test]
fn an_upload_waits_for_100_continue() {
    let go = "HTTP/1.1 100 Continue\r\n\r\n";
    let script = Script::new().expect_head().delay(300 * MS).send(go).expect(&b"body"[..]).send(OK).again();
    let mut w = World::serving(script);
    let xid = w.submit(&Ask { expect: true, ..post(whole("body")) });
    w.pass(299 * MS);
    assert_eq!(w.conn(0).unread, b"");
    let log = w.finish(xid);
    log.assert_ok(200, b"hi");
    assert_eq!(log.informational, [100]);
    // The same for a stream: what was written meanwhile is kept.
    let xid = w.submit(&Ask { expect: true, ..post(Load::Stream(Some(4))) });
    w.write(xid, "bo").unwrap();
    w.write(xid, "dy").unwrap();
    w.end(xid);
    w.finish(xid).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn a_silent_server_gets_the_body_after_the_wait() {
    let mut w = World::serving(Script::new().expect_head().expect(&b"body"[..]).send(OK));
    let start = w.net.now().0;
    w.run(&Ask { expect: true, ..post(whole("body")) }).assert_ok(200, b"hi");
    let waited = w.net.now().0 - start;
    assert!((SECOND..=SECOND + 2 * MS).contains(&waited), "{waited}");
    w.close();
}

#[test]
fn a_refused_expectation_sends_no_body_however_slowly_it_is_refused() {
    let refusal = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 4\r\n\r\n";
    for pause in [0, 3 * SECOND] {
        let mut w = World::serving(answering(OK));
        w.then(Script::new().expect_head().send(refusal).delay(pause).send("nope"));
        let log = w.run(&Ask { expect: true, ..post(whole("body")) });
        log.assert_ok(417, b"nope");
        let conn = w.conn(0);
        assert_eq!(conn.unread, b"", "no byte of the body was sent after {pause}");
        assert!(conn.closed.is_some());
        w.run(&get()).assert_ok(200, b"hi");
        assert_eq!(w.opened(), 2);
        w.close();
    }
}
