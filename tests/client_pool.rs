//! The pool under the client: caps, waiters, reuse, idle connections, and requests that met a stale connection.

mod client;

use chttpcore::net::backend::mock::{Closed, Script};
use chttpcore::queue::event::kind;
use client::*;

fn ok() -> Script {
    Script::new().expect_head().send(OK).again()
}

/// Answers after a while.
fn slow(ns: u64) -> Script {
    Script::new().expect_head().delay(ns).send(OK).again()
}

fn at(origin: u16) -> Ask {
    ask("GET", &format!("http://10.0.0.{origin}/"))
}

fn origins(w: &World, count: u16, script: &Script) {
    for n in 1..=count {
        w.net.listen(inet(&format!("10.0.0.{n}:80"))).always(script.clone());
    }
}

#[test]
fn the_cap_of_an_origin_holds_and_waiters_are_served_in_order() {
    let mut w = World::scripted(pooled(2, 100), slow(10 * MS));
    let xids: Vec<u64> = (0..9).map(|_| w.submit(&get())).collect();
    assert_eq!(w.pool(), (2, 0, 9));
    w.settle();
    assert_eq!(w.pool(), (2, 0, 7));
    w.finish_all();
    let ends: Vec<u64> = xids.iter().map(|x| w.log(*x).end.as_ref().unwrap().at).collect();
    assert!(ends.is_sorted(), "{ends:?}");
    assert_eq!(w.opened(), 2);
    assert_eq!(w.pool(), (2, 2, 0));
    w.close();
}

#[test]
fn the_total_cap_holds_over_origins_and_nobody_is_forgotten() {
    let mut w = World::new(pooled(2, 3));
    origins(&w, 8, &slow(MS));
    for n in 0..40 {
        w.submit(&at(1 + n % 8));
    }
    w.settle();
    assert_eq!(w.pool().0, 3);
    let start = w.net.now().0;
    w.finish_all();
    assert!(w.net.now().0 - start < SECOND, "places are passed on at once, not when a time-out frees them");
    w.close();
}

#[test]
fn an_idle_connection_gives_way_to_another_origin_that_waits() {
    let mut w = World::new(pooled(1, 1));
    origins(&w, 2, &slow(MS));
    let first = w.submit(&at(1));
    let second = w.submit(&at(2));
    w.pass(10 * MS);
    w.log(first).assert_ok(200, b"hi");
    w.log(second).assert_ok(200, b"hi");
    // And when the place is taken by an idle connection already.
    w.run(&at(1)).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 3);
    assert_eq!(w.open(), 1);
    w.close();
}

#[test]
fn a_free_place_goes_to_an_origin_that_needs_it_past_one_that_dials_already() {
    let mut w = World::new(pooled(2, 2));
    w.net.listen(inet("10.0.0.1:80")).always(Script::new().black_hole());
    w.net.listen(inet("10.0.0.2:80")).always(Script::new().expect_head().delay(MS).send(OK).fin());
    w.net.listen(inet("10.0.0.3:80")).always(ok());
    let hole = w.submit(&at(1));
    let busy = w.submit(&Ask { close: true, ..at(2) });
    let waits = w.submit(&at(3));
    w.pass(10 * MS);
    w.log(busy).assert_ok(200, b"hi");
    w.log(waits).assert_ok(200, b"hi");
    assert!(w.log(hole).end.is_none());
    w.close();
}

#[test]
fn the_last_connection_in_is_the_first_out() {
    let mut w = World::serving(slow(MS));
    for _ in 0..3 {
        w.submit(&get());
    }
    w.finish_all();
    assert_eq!(w.pool(), (3, 3, 0));
    for _ in 0..4 {
        assert!(w.run(&get()).is_reused());
    }
    let served: Vec<usize> = (0..3).map(|n| w.conn(n).heads.len()).collect();
    assert_eq!(served.iter().sum::<usize>(), 7);
    assert!(served.contains(&5), "{served:?}");
    w.close();
}

#[test]
fn idle_connections_are_closed_after_their_time_and_origins_are_forgotten() {
    let mut w = World::new(pooled(8, 8));
    origins(&w, 2, &ok());
    w.run(&at(1));
    w.pass(30 * SECOND);
    w.run(&at(2));
    w.pass(30 * SECOND - MS);
    assert_eq!(w.open(), 2);
    w.pass(2 * MS);
    assert_eq!((w.open(), w.pool()), (1, (1, 1, 0)));
    w.pass(30 * SECOND);
    assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
    w.run(&at(1)).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_connection_that_the_server_closed_is_not_used() {
    let mut w = World::serving(Script::new().expect_head().send(OK).delay(MS).fin());
    w.run(&get());
    assert_eq!(w.pool(), (1, 1, 0));
    w.pass(2 * MS);
    assert_eq!((w.pool(), w.open()), ((0, 0, 0), 0));
    assert!(!w.run(&get()).is_reused());
    w.close();
}

#[test]
fn a_stale_connection_costs_an_idempotent_request_one_replay() {
    for ending in [
        Script::new().expect_head().send(OK).expect_head().fin(),
        Script::new().expect_head().send(OK).expect_head().rst(),
    ] {
        for (method, load, again) in [
            ("GET", Load::None, true),
            ("DELETE", Load::None, true),
            ("PUT", whole("body"), true),
            ("PUT", Load::Borrowed(bytes::Bytes::from_static(b"body")), false),
            ("POST", whole("body"), false),
            ("PATCH", Load::None, false),
        ] {
            let mut w = World::serving(Script::new().expect_head().expect_bytes(4).send(OK).again());
            if matches!(load, Load::None) {
                w.net.listen(inet("127.0.0.1:80")).always(ok());
            }
            w.then(ending.clone());
            w.run(&get()).assert_ok(200, b"hi");
            let log = w.run(&Ask { load: load.clone(), ..ask(method, HOST) });
            if again {
                log.assert_ok(200, b"hi");
            } else {
                assert!([e::CHTTP_E_CLOSED_BEFORE_HEAD, e::CHTTP_E_CONNECTION_LOST].contains(&log.code()), "{method}");
                assert_eq!(log.end.as_ref().unwrap().why.unwrap().1, 1, "one attempt");
            }
            assert_eq!(w.opened(), 1 + u32::from(again), "{method}");
            assert_eq!(w.engine.stats().tally.retried, u64::from(again));
            w.close();
        }
    }
}

/// Memory that was given back with WRITE_DONE may be gone: a second try must not read it.
#[test]
fn a_borrowed_body_is_not_replayed_after_it_was_given_back() {
    let mut w = World::serving(Script::new().expect_head().expect_bytes(4).send(OK).again());
    w.then(Script::new().expect_head().send(OK).expect_head().delay(MS).rst());
    w.run(&get()).assert_ok(200, b"hi");
    let xid = w.submit(&Ask { load: Load::Borrowed(bytes::Bytes::from_static(b"body")), ..ask("PUT", HOST) });
    w.settle();
    assert!(w.log(xid).has(kind::WRITE_DONE));
    w.finish(xid);
    assert_eq!(w.opened(), 1, "nothing is sent again after WRITE_DONE");
    w.close();
}

#[test]
fn a_stream_is_not_replayed_once_a_piece_of_it_was_sent() {
    let mut w = World::serving(Script::new().expect_head().expect(&b"4\r\nbody\r\n0\r\n\r\n"[..]).send(OK).again());
    w.then(Script::new().expect_head().send(OK).expect_head().expect_bytes(9).delay(MS).rst());
    w.run(&get()).assert_ok(200, b"hi");
    let xid = w.submit(&Ask { load: Load::Stream(None), ..ask("PUT", HOST) });
    w.write(xid, "body").unwrap();
    w.settle();
    assert_eq!(w.finish(xid).code(), e::CHTTP_E_CONNECTION_LOST);
    assert_eq!(w.opened(), 1);
    // Without a piece sent, the stream is still whole.
    w.then(Script::new().expect_head().send(OK).expect_head().delay(MS).rst());
    w.run(&get()).assert_ok(200, b"hi");
    let xid = w.submit(&Ask { load: Load::Stream(None), ..ask("PUT", HOST) });
    w.pass(2 * MS);
    w.write(xid, "body").unwrap();
    w.end(xid);
    w.finish(xid).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_replay_happens_once() {
    let mut w = World::serving(Script::new().expect_head().rst());
    w.then(Script::new().expect_head().send(OK).expect_head().rst());
    w.run(&get()).assert_ok(200, b"hi");
    let log = w.run(&get());
    assert_eq!(log.code(), e::CHTTP_E_CONNECTION_LOST);
    assert_eq!(log.end.as_ref().unwrap().why.unwrap().1, 2);
    assert_eq!(w.opened(), 2);
    // A fresh connection that fails is no reason for another try.
    assert_eq!(w.run(&get()).code(), e::CHTTP_E_CONNECTION_LOST);
    assert_eq!(w.opened(), 3);
    w.close();
}

#[test]
fn nothing_is_replayed_after_a_byte_of_an_answer() {
    for bytes in ["H", "HTTP/1.1 102 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"] {
        let mut w = World::serving(ok());
        w.then(Script::new().expect_head().send(OK).expect_head().send(bytes).rst());
        w.run(&get()).assert_ok(200, b"hi");
        assert_eq!(w.run(&get()).code(), e::CHTTP_E_CONNECTION_LOST);
        assert_eq!(w.opened(), 1);
        w.close();
    }
}

#[test]
fn an_idle_connection_that_speaks_is_dropped() {
    for bytes in ["HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "x", "\r\n"] {
        let mut w = World::serving(ok());
        w.then(Script::new().expect_head().send(OK).delay(MS).send(bytes));
        w.run(&get()).assert_ok(200, b"hi");
        w.pass(2 * MS);
        assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)), "{bytes:?}");
        w.run(&get()).assert_ok(200, b"hi");
        assert_eq!(w.opened(), 2);
        w.close();
    }
    // Bytes behind the answer, in the same arrival.
    let mut w = World::serving(Script::new().expect_head().send(format!("{OK}HTTP/1.1 200 OK\r\n\r\n")).again());
    for _ in 0..2 {
        w.run(&get()).assert_ok(200, b"hi");
        assert_eq!(w.open(), 0);
    }
    w.close();
}

#[test]
fn connection_close_is_honoured_on_both_sides() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    let mut w = World::serving(ok());
    w.then(Script::new().expect_head().send(closing).again());
    w.run(&get()).assert_ok(200, b"hi");
    assert_eq!(w.open(), 0);
    w.run(&Ask { close: true, ..get() }).assert_ok(200, b"hi");
    assert_eq!(w.open(), 0);
    assert_eq!(w.conn(1).closed, Some(Closed::Orderly));
    assert!(String::from_utf8(w.conn(1).heads[0].clone()).unwrap().contains("Connection: close"));
    w.close();
}

#[test]
fn a_thousand_idle_peers_close_at_once() {
    let mut w =
        World::scripted(pooled(2000, 2000), Script::new().expect_head().delay(MS).send(OK).delay(10 * MS).fin());
    for _ in 0..1000 {
        w.submit(&get());
    }
    w.finish_all();
    assert_eq!(w.pool(), (1000, 1000, 0));
    w.pass(20 * MS);
    assert_eq!((w.pool(), w.open()), ((0, 0, 0), 0));
    w.run(&get()).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_dial_that_is_not_needed_any_more_becomes_an_idle_connection() {
    let mut w = World::serving(Script::new().connect_delay(5 * MS).expect_head().send(OK).again());
    w.then(ok());
    let first = w.submit(&get());
    // Dialled while the first is busy with its own; the first connection is free before.
    let second = w.submit(&get());
    w.settle();
    assert!(w.log(first).end.is_some() && w.log(second).end.is_some());
    w.pass(10 * MS);
    assert_eq!(w.pool(), (2, 2, 0));
    assert_eq!(w.conn(1).heads.len(), 0);
    w.close();
}

#[test]
fn refused_origins_leave_no_trace() {
    let mut w = World::new(settings());
    for n in 0..2000u32 {
        let url = format!("http://10.1.{}.{}/", n / 250, n % 250);
        let log = w.run(&ask("GET", &url));
        assert_eq!(log.code(), e::CHTTP_E_CONNECT_REFUSED);
    }
    assert_eq!(w.engine.stats().origins, 0, "an origin without connections and waiters is forgotten");
    w.close();
}

#[test]
fn ids_are_all_or_none() {
    let mut w = World::scripted(chttpcore::client::Settings { exchanges_max: 3, ..settings() }, slow(MS));
    w.submit(&get());
    let requests: Vec<_> = (0..3).map(|n| get().build(n)).collect();
    let refused = w.engine.submit(&w.queue, requests.into_iter(), |_| panic!("no id is given"));
    assert_eq!(refused, Err(e::CHTTP_E_TOO_MANY_EXCHANGES));
    w.submit(&get());
    w.submit(&get());
    assert_eq!(w.try_submit(&get()), Err(e::CHTTP_E_TOO_MANY_EXCHANGES));
    w.finish_all();
    w.submit(&get());
    w.finish_all();
    w.close();
}
