//! Deadlines on the virtual clock: each has its code, none comes early, none later than a turn after its moment.

mod client;

use chttpcore::client::settings::Timeouts;
use chttpcore::net::backend::mock::Script;
use chttpcore::net::resolver::Resolver;
use client::*;
use std::ffi::CStr;
use std::sync::Arc;

/// A turn may come this late; the wheel sorts by about a millisecond.
const LATE: u64 = 2 * MS;
const T: u64 = 500 * MS;

#[track_caller]
fn assert_on_time(w: &World, xid: u64, code: i32, due: u64) {
    let end = w.log(xid).end.as_ref().expect("ended");
    assert_eq!(end.error, code, "{}", end.message);
    assert!((due..=due + LATE).contains(&end.at), "due at {due}, ended at {}", end.at);
}

/// One request with these time-outs against this script must end with `code`, `due` nanoseconds after its submission.
#[track_caller]
fn ends(ask: &Ask, script: Script, code: i32, due: u64) {
    let mut w = World::serving(script);
    let start = w.net.now().0;
    let xid = w.submit(ask);
    w.finish(xid);
    assert_on_time(&w, xid, code, start + due);
    assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
    w.close();
}

fn within(timeouts: Timeouts) -> Ask {
    Ask { timeouts, ..get() }
}

#[test]
fn connect() {
    let ask = within(Timeouts { connect: T, ..never() });
    ends(&ask, Script::new().black_hole(), e::CHTTP_E_TIMEOUT_CONNECT, T);
    ends(&ask, Script::new().connect_delay(T + MS), e::CHTTP_E_TIMEOUT_CONNECT, T);
}

#[test]
fn total_holds_in_every_phase() {
    let ask = within(Timeouts { total: T, ..never() });
    let head = || Script::new().expect_head();
    for script in [
        Script::new().black_hole(),
        Script::new(),
        Script::new().stop_reading(),
        head(),
        head().send("HTTP/1.1 2"),
        head().send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        head().send("HTTP/1.1 200 OK\r\n\r\nabc"),
    ] {
        ends(&ask, script, e::CHTTP_E_TIMEOUT_TOTAL, T);
    }
}

/// A byte every 100 ms, in every part of an answer.
#[test]
fn total_holds_under_a_drip() {
    let answers = [
        format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(50)),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(50)),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{}", "x".repeat(50)),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1;aaaaaaaaaaaaaaaaaaaaa\r\nx\r\n".to_owned(),
        "HTTP/1.1 103 x\r\n\r\n".repeat(10),
    ];
    for answer in answers {
        for (total, read, first_byte) in [(3 * SECOND, u64::MAX, u64::MAX), (3 * SECOND, 150 * MS, 150 * MS)] {
            let mut script = Script::new().expect_head();
            for byte in answer.bytes() {
                script = script.delay(100 * MS).send(vec![byte]);
            }
            let ask = within(Timeouts { total, read, first_byte, ..never() });
            ends(&ask, script, e::CHTTP_E_TIMEOUT_TOTAL, total);
        }
    }
}

#[test]
fn pool() {
    let mut w = World::scripted(pooled(1, 9), Script::new().expect_head());
    w.submit(&get());
    w.pass(100 * MS);
    let start = w.net.now().0;
    let xid = w.submit(&within(Timeouts { pool: T, ..never() }));
    w.finish(xid);
    assert_on_time(&w, xid, e::CHTTP_E_TIMEOUT_POOL, start + T);
    assert_eq!(w.pool(), (1, 0, 0));
    w.close();
}

#[test]
fn dns() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let lookup = move |_: &CStr, _| {
        gate.lock().unwrap().recv().ok();
        Err(chttpcore::net::resolver::ResolveError::NotFound)
    };
    let mut w = World::with_resolver(settings(), Resolver::with_lookup(Arc::new(lookup)));
    let start = w.net.now().0;
    let xid = w.submit(&Ask { url: "http://slow.test/".into(), ..within(Timeouts { dns: T, ..never() }) });
    w.finish(xid);
    assert_on_time(&w, xid, e::CHTTP_E_TIMEOUT_DNS, start + T);
    drop(release);
    w.close();
}

#[test]
fn first_byte_and_read() {
    let head = || Script::new().expect_head();
    let first = within(Timeouts { first_byte: T, ..never() });
    ends(&first, head(), e::CHTTP_E_TIMEOUT_FIRST_BYTE, T);
    let read = within(Timeouts { read: T, ..never() });
    ends(&read, head(), e::CHTTP_E_TIMEOUT_READ, T);
    ends(&read, head().delay(T - MS).send("H"), e::CHTTP_E_TIMEOUT_READ, 2 * T - MS);
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    ends(&read, head().delay(MS).send(start), e::CHTTP_E_TIMEOUT_READ, T + MS);
    ends(&read, head().send(start).delay(T - MS).send("x"), e::CHTTP_E_TIMEOUT_READ, 2 * T - MS);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    ends(&read, head().send(chunked).delay(T - MS).send("0"), e::CHTTP_E_TIMEOUT_READ, 2 * T - MS);
    let tunnel = Ask { load: Load::Tunnel, ..ask("CONNECT", HOST) };
    ends(&Ask { timeouts: first.timeouts, ..tunnel.clone() }, head(), e::CHTTP_E_TIMEOUT_FIRST_BYTE, T);
    ends(&Ask { timeouts: read.timeouts, ..tunnel }, head(), e::CHTTP_E_TIMEOUT_READ, T);
}

/// Once the first byte of an answer is there, its deadline is no more.
#[test]
fn first_byte_is_about_the_first_byte() {
    let script = Script::new().expect_head().delay(T - MS).send("H").delay(T).send(&OK[1..]);
    let mut w = World::serving(script);
    w.run(&within(Timeouts { first_byte: T, read: 2 * T, ..never() })).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn read_counts_although_the_upload_goes_on() {
    let script = Script::new().expect_head().delay(MS).send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    let mut w = World::serving(script);
    let start = w.net.now().0;
    let xid = w.submit(&Ask { timeouts: Timeouts { read: T, ..never() }, ..post(Load::Stream(None)) });
    w.finish(xid);
    assert_on_time(&w, xid, e::CHTTP_E_TIMEOUT_READ, start + MS + T);
    assert!(w.log(xid).is_partial());
    w.close();
}

#[test]
fn write() {
    let big = Load::Whole(vec![0; 10_000].into());
    let ask = Ask { timeouts: Timeouts { write: T, ..never() }, ..post(big) };
    let taking = Script::new().short_writes(1000).expect_bytes(1);
    ends(&ask, taking.clone().stop_reading(), e::CHTTP_E_TIMEOUT_WRITE, T);
    // The clock starts anew with each byte that is taken.
    let stalls = taking.stop_reading().delay(T - MS).resume_reading().expect_bytes(1000).stop_reading();
    ends(&ask, stalls, e::CHTTP_E_TIMEOUT_WRITE, 2 * T - MS);
}

#[test]
fn a_slow_but_steady_reader_is_no_write_timeout() {
    let mut script = Script::new().short_writes(1000).expect_bytes(1000).stop_reading();
    for _ in 0..10 {
        script = script.delay(T - MS).resume_reading().expect_bytes(1000).stop_reading();
    }
    let mut w = World::serving(script.resume_reading().expect_bytes(1000).send(OK));
    let load = Load::Whole(vec![0; 12_000].into());
    let xid = w.submit(&Ask { timeouts: Timeouts { write: T, ..never() }, ..post(load) });
    w.finish(xid).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_paused_exchange_meets_no_read_timeout_but_its_total_one() {
    let body = "x".repeat(100_000);
    let script = Script::new().expect_head().send(format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{body}"));
    let mut w = World::serving(script);
    w.hold = true;
    let start = w.net.now().0;
    let ask = Ask { credit: 1000, ..within(Timeouts { read: T, total: 100 * T, ..never() }) };
    let (kept, released) = (w.submit(&ask), w.submit(&ask));
    for _ in 0..50 {
        w.pass(2 * T - MS);
        w.release(released);
    }
    w.hold = false;
    w.release(released);
    w.pass(100 * T);
    assert_on_time(&w, kept, e::CHTTP_E_TIMEOUT_TOTAL, start + 100 * T);
    w.release(kept);
    w.close();
}

/// After credit came back the read deadline is in force again.
#[test]
fn a_resumed_exchange_meets_its_read_timeout() {
    let script = Script::new().expect_head().send("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\nabc");
    let mut w = World::serving(script);
    w.hold = true;
    let xid = w.submit(&Ask { credit: 1, ..within(Timeouts { read: T, ..never() }) });
    for _ in 0..3 {
        w.pass(5 * T);
        assert!(w.log(xid).end.is_none());
        w.release(xid);
    }
    w.settle();
    w.release(xid);
    let resumed = w.net.now().0;
    w.finish(xid);
    assert_eq!(w.log(xid).body, b"abc");
    assert_on_time(&w, xid, e::CHTTP_E_TIMEOUT_READ, resumed + T);
    w.close();
}

/// The dial outlives whoever asked for it; who takes it over has deadlines of its own.
#[test]
fn an_inherited_dial_does_not_shorten_the_deadline_of_its_heir() {
    let mut w = World::scripted(pooled(1, 9), Script::new().black_hole());
    let timeouts = Timeouts { dns: 10 * MS, connect: T, ..never() };
    let first = w.submit(&within(timeouts));
    w.pass(400 * MS);
    let heir = w.submit(&within(timeouts));
    w.engine.cancel(first).unwrap();
    let inherited = w.net.now().0;
    w.finish(heir);
    assert_on_time(&w, heir, e::CHTTP_E_TIMEOUT_CONNECT, inherited + T);
    w.close();
}

/// Two deadlines run out in one turn: what the first one frees must not fall to the second.
#[test]
fn a_late_turn_does_not_fail_a_dial_that_began_in_it() {
    let mut w = World::scripted(pooled(1, 9), Script::new().expect_head().send(OK).again());
    w.then(Script::new().black_hole());
    let first = w.submit(&within(Timeouts { dns: 0, connect: T, ..never() }));
    let second = w.submit(&within(Timeouts { dns: 0, connect: T, ..never() }));
    w.settle();
    w.net.advance(10 * T);
    w.settle();
    assert_eq!(w.log(first).code(), e::CHTTP_E_TIMEOUT_CONNECT);
    w.finish(second).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn a_served_exchange_leaves_no_deadline_behind() {
    let mut w = World::serving(Script::new().expect_head().delay(MS).send(OK).again());
    let all = Timeouts { pool: T, dns: T, connect: T, tls: T, write: T, first_byte: T, read: T, total: T, expect: T };
    for _ in 0..20 {
        w.run(&within(all)).assert_ok(200, b"hi");
    }
    w.pass(2 * T);
    assert_eq!(w.pool(), (1, 1, 0));
    w.close();
}
