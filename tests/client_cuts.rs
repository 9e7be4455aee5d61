//! Answers that are cut: short, by FIN and by RST at every byte, and in pieces, which must change nothing.

mod client;

use chttpcore::net::backend::mock::Script;
use chttpcore::queue::event::kind;
use client::*;

const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nA: b\r\n\r\n0123456789";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n0123\r\n6\r\n456789\r\n0\r\nT: u\r\n\r\n";
const CLOSE: &str = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n0123456789";
const INFORMED: &str = "HTTP/1.1 103 Early Hints\r\nL: m\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";

fn head_len(answer: &str) -> usize {
    answer.find("\r\n\r\n").unwrap() + 4
}

/// What a FIN after `cut` bytes must be called.
fn code_of_fin(answer: &str, cut: usize) -> i32 {
    let head = head_len(answer);
    match answer {
        _ if cut == answer.len() => 0,
        _ if cut == 0 => e::CHTTP_E_CLOSED_BEFORE_HEAD,
        INFORMED => e::CHTTP_E_TRUNCATED_HEAD,
        _ if cut < head => e::CHTTP_E_TRUNCATED_HEAD,
        LENGTH => e::CHTTP_E_TRUNCATED_BODY,
        CLOSE => 0,
        _ if cut < answer.find("0\r\nT").unwrap() + 3 => e::CHTTP_E_TRUNCATED_CHUNK,
        _ => e::CHTTP_E_TRUNCATED_TRAILERS,
    }
}

#[test]
fn truncation_at_every_byte() {
    for answer in [LENGTH, CHUNKED, CLOSE, INFORMED] {
        for cut in 0..=answer.len() {
            for reset in [false, true] {
                for collects in [false, true] {
                    let sent = Script::new().expect_head().send(&answer.as_bytes()[..cut]);
                    let mut w = World::serving(if reset { sent.rst() } else { sent.fin() });
                    let log = w.run(&Ask { collect: collects, ..get() });
                    let whole = cut == answer.len() && answer != CLOSE;
                    let code = match reset {
                        _ if whole => 0,
                        true => e::CHTTP_E_CONNECTION_LOST,
                        false => code_of_fin(answer, cut),
                    };
                    let context = format!("{reset} at {cut} of {answer:?}");
                    assert_eq!(log.code(), code, "{context}");
                    let answered = answer != INFORMED && cut >= head_len(answer);
                    assert_eq!(log.is_partial(), code != 0 && answered, "{context}");
                    assert!(b"0123456789".starts_with(&log.body), "{context}");
                    if answered && answer != CHUNKED {
                        assert_eq!(log.body.len(), cut - head_len(answer), "{context}");
                    }
                    assert_eq!((w.open(), w.pool(), w.opened()), (0, (0, 0, 0), 1), "{context}");
                    w.close();
                }
            }
        }
    }
}

/// What an application can tell apart, whatever the cuts.
type Verdict = (i32, u16, Vec<u8>, Vec<u16>, Vec<(String, String)>, Vec<u16>, Vec<(String, String)>);

fn verdict(log: &Log) -> Verdict {
    let l = log;
    (l.code(), l.status, l.body.clone(), l.shape(), l.fields.clone(), l.informational.clone(), l.trailers.clone())
}

#[test]
fn the_verdict_does_not_depend_on_cuts() {
    let bad = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n01234",
    ];
    for answer in [LENGTH, CHUNKED, CLOSE, INFORMED].into_iter().chain(bad) {
        for (collects, credit) in [(false, 1 << 20), (true, 1 << 20), (false, 3)] {
            let ask = Ask { collect: collects, credit, ..get() };
            let run = |script: Script| {
                let mut w = World::serving(script.fin());
                let found = verdict(w.run(&ask));
                assert_eq!(w.open(), 0);
                w.close();
                found
            };
            let head = || Script::new().expect_head();
            let whole = run(head().send(answer));
            for every in 1..=answer.len() {
                assert_eq!(run(head().send_split(answer, every)), whole, "pieces of {every}: {answer:?}");
            }
            for cut in 1..answer.len() {
                assert_eq!(run(head().send_cut(answer, &[cut])), whole, "cut at {cut}: {answer:?}");
            }
        }
    }
}

#[test]
fn short_writes_change_nothing_of_a_request() {
    let wire = |short: usize| {
        let mut w = World::serving(Script::new().short_writes(short).expect_head().expect_bytes(2000).send(OK));
        w.run(&post(Load::Whole(vec![b'x'; 2000].into()))).assert_ok(200, b"hi");
        let sent = w.conn(0).sent;
        w.close();
        sent
    };
    let whole = wire(usize::MAX);
    for short in [1, 2, 16, 17, 100, 1000, 2050] {
        assert_eq!(wire(short), whole, "{short}");
    }
}

#[test]
fn an_answer_larger_than_a_turn_is_served_beside_others() {
    let big = format!("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n{}", "x".repeat(3_000_000));
    let mut w = World::serving(Script::new().expect_head().send(big));
    w.net.listen(inet("127.0.0.2:80")).always(Script::new().expect_head().send(OK).again());
    let large = w.submit(&Ask { credit: u64::MAX, ..get() });
    let small = w.submit(&ask("GET", "http://127.0.0.2/"));
    w.until(|w| w.log(small).end.is_some());
    let log = w.finish(large);
    assert_eq!((log.code(), log.body.len()), (0, 3_000_000));
    assert!(log.count(kind::BODY) > 10);
    w.close();
}
