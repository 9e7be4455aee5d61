//! Places in the pool under the client: the bounded queue, ages and announced time-outs, connections ahead of time, what an
//! idle connection must not carry into the next answer, and why a request got the connection that it got.

mod client;

use chttpcore::client::Settings;
use chttpcore::net::backend::mock::{Closed, Script};
use chttpcore::pool::{Gone, Limits, Reason};
use client::*;

fn ok() -> Script {
    Script::new().expect_head().send(OK).again()
}

fn slow(ns: u64) -> Script {
    Script::new().expect_head().delay(ns).send(OK).again()
}

fn limited(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = settings();
    change(&mut settings.pool);
    settings
}

fn closed(w: &World, why: Gone) -> u64 {
    w.engine.stats().pool.closed[why as usize]
}

fn answer(fields: &str) -> Script {
    Script::new().expect_head().send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nhi")).again()
}

#[test]
fn one_too_many_fails_at_once_and_the_others_wait() {
    let change = |l: &mut Limits| (l.per_origin, l.waiting_max) = (2, 3);
    let mut w = World::scripted(limited(change), slow(10 * MS));
    let xids: Vec<u64> = (0..9).map(|_| w.submit(&get())).collect();
    w.settle();
    for xid in &xids[5..] {
        assert_eq!(w.log(*xid).code(), e::CHTTP_E_TOO_MANY_WAITING);
    }
    assert_eq!(w.engine.stats().pool.queued, 3);
    w.finish_all();
    let ends: Vec<u64> = xids[..5].iter().map(|x| w.log(*x).end.as_ref().unwrap().at).collect();
    assert!(ends.is_sorted(), "first come, first served");
    xids[2..5].iter().for_each(|x| assert_eq!(w.log(*x).reason, Reason::TakenOver));
    // Nobody waits now, and the queue is open again.
    w.run(&get()).assert_ok(200, b"hi");
    w.close();

    let mut w = World::scripted(limited(|l| (l.per_origin, l.waiting_max) = (1, 0)), slow(10 * MS));
    let first = w.submit(&get());
    assert_eq!(w.run(&get()).code(), e::CHTTP_E_TOO_MANY_WAITING);
    w.finish(first).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn whoever_waits_has_a_deadline_of_his_own() {
    let mut w = World::scripted(limited(|l| l.per_origin = 1), slow(SECOND));
    let first = w.submit(&get());
    let pool = |ns| Ask { timeouts: chttpcore::client::settings::Timeouts { pool: ns, ..get().timeouts }, ..get() };
    let xids: Vec<u64> = [500 * MS, 10 * MS, 5 * SECOND].map(|ns| w.submit(&pool(ns))).into();
    w.pass(100 * MS);
    assert_eq!(w.log(xids[1]).code(), e::CHTTP_E_TIMEOUT_POOL);
    assert!(w.log(xids[0]).end.is_none());
    w.finish_all();
    assert_eq!(w.log(xids[0]).code(), e::CHTTP_E_TIMEOUT_POOL);
    w.log(first).assert_ok(200, b"hi");
    w.log(xids[2]).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_connection_goes_at_its_greatest_age() {
    let mut w = World::scripted(limited(|l| l.age_ns = 10 * SECOND), slow(SECOND));
    for _ in 0..3 {
        w.run(&get()).assert_ok(200, b"hi");
        w.pass(2 * SECOND);
    }
    // It is in use when it is due: the exchange ends in peace, and nobody else gets the connection.
    let last = w.submit(&get());
    let behind = w.submit(&get());
    w.finish(last).assert_ok(200, b"hi");
    assert_eq!((w.opened(), closed(&w, Gone::Age)), (2, 1));
    assert_eq!(w.conn(0).closed, Some(Closed::Orderly));
    w.finish(behind).assert_ok(200, b"hi");
    // Idle, it goes by the clock.
    w.pass(20 * SECOND);
    assert_eq!((w.open(), closed(&w, Gone::Age)), (0, 2));
    assert_eq!(w.run(&get()).reason, Reason::Age);
    w.close();
}

#[test]
fn what_the_server_announces_is_obeyed() {
    for (fields, kept) in [
        ("", 60 * SECOND),
        ("Keep-Alive: timeout=5\r\n", 4 * SECOND),
        ("keep-alive: max=9, TIMEOUT=5\r\n", 4 * SECOND),
        ("Keep-Alive: timeout=1\r\n", SECOND / 2),
        ("Keep-Alive: timeout=1000\r\n", 60 * SECOND),
        ("Keep-Alive: timeout=18446744073709551616\r\n", 60 * SECOND),
        ("Keep-Alive: timeout=-5, time=3, timeout\r\n", 60 * SECOND),
    ] {
        let mut w = World::serving(answer(fields));
        w.run(&get()).assert_ok(200, b"hi");
        w.pass(kept - 10 * MS);
        assert_eq!(w.open(), 1, "{fields:?}");
        assert!(w.run(&get()).is_reused());
        w.pass(kept + 10 * MS);
        assert_eq!((w.open(), closed(&w, Gone::Idle)), (0, 1), "{fields:?}");
        assert_eq!(w.run(&get()).reason, Reason::Idle);
        w.close();
    }
    let mut w = World::serving(answer("Keep-Alive: timeout=0\r\n"));
    w.run(&get()).assert_ok(200, b"hi");
    assert_eq!((w.open(), closed(&w, Gone::Spent)), (0, 1));
    w.close();
}

/// Response desync: what a peer sends to an idle connection is not the answer to what is asked next, also when nobody has
/// looked at the socket in between.
#[test]
fn what_came_unasked_is_no_answer() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    for unasked in [evil, "x", "\r\n"] {
        let mut w = World::serving(ok());
        w.then(Script::new().expect_head().send(OK).delay(20 * MS).send(unasked).again());
        w.run(&get()).assert_ok(200, b"hi");
        w.net.advance(30 * MS);
        let log = w.run(&get());
        log.assert_ok(200, b"hi");
        assert_eq!(log.reason, Reason::Peer);
        assert_eq!((w.opened(), closed(&w, Gone::Peer)), (2, 1), "{unasked:?}");
        assert_eq!(w.conn(0).heads.len(), 1, "nothing was sent on it");
        w.close();
    }
    // The same for an end: a POST could not be sent again.
    for ended in [
        Script::new().expect_head().send(OK).delay(20 * MS).fin(),
        Script::new().expect_head().send(OK).delay(20 * MS).rst(),
    ] {
        let mut w = World::serving(Script::new().expect_head().expect_bytes(4).send(OK).again());
        w.then(ended);
        w.run(&get()).assert_ok(200, b"hi");
        w.net.advance(30 * MS);
        w.run(&Ask { load: whole("body"), ..ask("POST", HOST) }).assert_ok(200, b"hi");
        assert_eq!(w.engine.stats().tally.retried, 0);
        w.close();
    }
}

#[test]
fn connections_ahead_of_time() {
    let mut w = World::scripted(limited(|l| l.per_origin = 5), ok());
    let ahead = |w: &mut World, n| {
        w.engine.preconnect(get().build(0), n).unwrap();
        w.settle();
    };
    ahead(&mut w, 3);
    assert_eq!((w.pool(), w.opened()), ((3, 3, 0), 3));
    assert_eq!(w.conn(0).heads.len(), 0);
    ahead(&mut w, 3);
    assert_eq!(w.opened(), 3, "so many are idle");
    ahead(&mut w, 100);
    assert_eq!(w.opened(), 5, "the limit of the origin");
    let log = w.run(&get());
    assert_eq!((log.reason, log.is_reused()), (Reason::Prepared, false));
    assert_eq!(w.run(&get()).reason, Reason::Reused, "last in, first out");
    w.pass(61 * SECOND);
    assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
    w.close();

    // One that waits gets it, and nobody else's connection is given up for it.
    let mut w = World::new(pooled(2, 2));
    for n in 1..=2 {
        w.net.listen(inet(&format!("10.0.0.{n}:80"))).always(ok());
    }
    w.run(&ask("GET", "http://10.0.0.1/"));
    w.engine.preconnect(ask("GET", "http://10.0.0.2/").build(0), 2).unwrap();
    w.settle();
    assert_eq!((w.opened(), w.pool()), (2, (2, 2, 0)));
    // Where nobody listens, no trace is left.
    w.engine.preconnect(ask("GET", "http://10.9.9.9/").build(0), 2).unwrap();
    w.settle();
    w.pass(61 * SECOND);
    assert_eq!(w.engine.stats().origins, 0);
    w.engine.preconnect(ask("GET", "http://10.9.9.9/").build(0), 2).unwrap();
    w.pass(SECOND);
    assert_eq!((w.engine.stats().origins, w.engine.stats().tally.connect_failures), (0, 2));
    w.close();
}

/// A prepared connection may have been closed by its peer as well.
#[test]
fn a_stale_connection_that_never_served_costs_a_replay_too() {
    let mut w = World::serving(ok());
    w.then(Script::new().expect_head().fin());
    w.engine.preconnect(get().build(0), 1).unwrap();
    w.settle();
    let log = w.run(&get());
    log.assert_ok(200, b"hi");
    assert_eq!((log.reason, w.engine.stats().tally.retried), (Reason::Stale, 1));
    w.close();
}

/// Were the second attempt made on another kept connection, it could meet the same end.
#[test]
fn a_replay_gets_a_connection_that_is_new() {
    let stale = || Script::new().expect_head().delay(MS).send(OK).expect_head().delay(MS).fin();
    let mut w = World::scripted(limited(|l| l.per_origin = 8), ok());
    for _ in 0..8 {
        w.then(stale());
    }
    for _ in 0..8 {
        w.submit(&get());
    }
    w.finish_all();
    assert_eq!(w.pool(), (8, 8, 0));
    let xids: Vec<u64> = (0..12).map(|_| w.submit(&get())).collect();
    w.finish_all();
    for xid in &xids {
        w.log(*xid).assert_ok(200, b"hi");
    }
    assert_eq!(xids.iter().filter(|x| w.log(**x).reason == Reason::Stale).count(), 8);
    w.close();
}

#[test]
fn each_reason_has_its_story() {
    let mut w = World::scripted(pooled(1, 1), slow(MS));
    w.net.listen(inet("10.0.0.2:80")).always(slow(MS));
    let other = ask("GET", "http://10.0.0.2/");
    assert_eq!(w.run(&get()).reason, Reason::First);
    assert_eq!(w.run(&get()).reason, Reason::Reused);
    assert_eq!(w.run(&other).reason, Reason::First, "an idle one gives way");
    assert_eq!(w.run(&get()).reason, Reason::Evicted);
    assert_eq!(w.run(&Ask { close: true, ..get() }).reason, Reason::Reused);
    assert_eq!(w.run(&get()).reason, Reason::Spent);
    let (first, second) = (w.submit(&get()), w.submit(&other));
    w.finish_all();
    assert_eq!((w.log(first).reason, w.log(second).reason), (Reason::Reused, Reason::Waited));
    let cancelled = w.submit(&other);
    w.engine.cancel(cancelled).unwrap();
    assert_eq!(w.run(&other).reason, Reason::Failed);
    w.close();
    let mut w = World::scripted(pooled(2, 2), slow(MS));
    let xids = [w.submit(&get()), w.submit(&get()), w.submit(&get())];
    w.finish_all();
    assert_eq!(xids.map(|x| w.log(x).reason), [Reason::First, Reason::Busy, Reason::TakenOver]);
    w.close();
}
