//! The pool's books by themselves: who gets which place, in which order, and what becomes of connections.

use chttpcore::mem::Key;
use chttpcore::net::connection::ConnId;
use chttpcore::pool::{
    Address, Bind, Checkout, Gone, Http, Limits, OriginId, OriginKey, Pool, Reason, Scheme, WaiterId,
};
use chttpcore::proto::Tick;
use chttpcore::proto::tls::{self, Tls};
use std::sync::Arc;
use std::time::Instant;

fn pool(per_origin: u32, total: u32) -> Pool {
    Pool::new(Limits { per_origin, total, idle_ns: 100, age_ns: u64::MAX, waiting_max: 5 })
}

fn key(host: &str) -> OriginKey {
    OriginKey {
        scheme: Scheme::Http,
        host: host.into(),
        port: 80,
        to: None,
        bind: Bind::default(),
        tls: None,
        http: Http::default(),
    }
}

fn tls() -> Arc<Tls> {
    Arc::new(Tls::new(tls::Settings { insecure: true, ..Default::default() }).unwrap())
}

fn conn(slot: u32) -> ConnId {
    Key { slot, generation: 1 }
}

/// A request comes and finds no idle connection.
fn come(p: &mut Pool, origin: OriginId, who: u64) -> (WaiterId, Checkout) {
    let id = p.enqueue(origin, who, false);
    let found = p.book(origin);
    if found == Checkout::Wait {
        p.queue_is_full();
    } else {
        p.supplied(id);
    }
    p.audit();
    (id, found)
}

/// `count` connections of an origin, all of them busy.
fn busy(p: &mut Pool, origin: OriginId, from: u32, count: u32) {
    for n in from..from + count {
        assert_eq!(come(p, origin, u64::from(n)).1, Checkout::Dial);
        p.opened(origin, conn(n), Tick(0), 1);
        assert_eq!(p.next_waiter(origin, false), Some(u64::from(n)));
    }
    p.audit();
}

#[test]
fn caps_hold_and_waiters_are_served_in_order() {
    let mut p = pool(2, 3);
    let a = p.origin(&key("a"));
    busy(&mut p, a, 0, 2);
    let waiting: Vec<WaiterId> = (3..8)
        .map(|who| come(&mut p, a, who))
        .map(|(id, found)| {
            assert_eq!(found, Checkout::Wait);
            id
        })
        .collect();
    assert!(!p.queue_is_full());
    assert_eq!((p.counts().queued, p.counts().waiting), (5, 5));
    let (extra, _) = come(&mut p, a, 9);
    assert!(p.queue_is_full(), "five may wait");
    p.abandon(extra);
    p.abandon(waiting[1]);
    let order: Vec<u64> = std::iter::from_fn(|| p.next_waiter(a, true)).collect();
    assert_eq!(order, [3, 5, 6, 7]);
    assert_eq!(p.counts().queued_max, 6);
    p.audit();
}

#[test]
fn one_that_met_a_stale_connection_gets_a_fresh_one_and_gets_it_first() {
    let mut p = pool(2, 9);
    let a = p.origin(&key("a"));
    busy(&mut p, a, 0, 2);
    come(&mut p, a, 7);
    let again = p.enqueue(a, 0, true);
    p.closed(conn(0), Gone::Peer);
    assert_eq!(p.book(a), Checkout::Dial);
    p.supplied(again);
    p.audit();
    assert_eq!(p.next_waiter(a, true), Some(7), "a used connection is not for it");
    p.opened(a, conn(3), Tick(0), 1);
    assert_eq!(p.next_waiter(a, false), Some(0));
    p.audit();
    // Where all places are taken by idle connections, the oldest goes.
    for n in [1, 3] {
        p.checkin(conn(n), Tick(9), None).unwrap();
    }
    p.enqueue(a, 8, true);
    assert_eq!(p.book_next(), Some((a, 8, Checkout::EvictAndDial(conn(1)))));
}

#[test]
fn the_last_idle_connection_is_taken_first_and_the_oldest_expires() {
    let mut p = pool(3, 3);
    let a = p.origin(&key("a"));
    busy(&mut p, a, 1, 3);
    for n in 1..=3 {
        p.checkin(conn(n), Tick(u64::from(n) * 10), None).unwrap();
    }
    assert_eq!(p.youngest(a), Some((conn(3), Tick(30))));
    p.take(conn(3));
    assert_eq!(p.next_due(), Tick(110));
    let mut closed = Vec::new();
    p.expire(Tick(115), |c| closed.push(c));
    assert_eq!(closed, [conn(1)]);
    assert_eq!(p.next_due(), Tick(120));
    let counts = p.counts();
    assert_eq!((counts.open, counts.idle, counts.opened, counts.closed[Gone::Idle as usize]), (2, 1, 3, 1));
    p.audit();
}

#[test]
fn servers_and_age_shorten_the_time() {
    const SECOND: u64 = 1_000_000_000;
    let mut p =
        Pool::new(Limits { per_origin: 9, total: 9, idle_ns: 60 * SECOND, age_ns: 90 * SECOND, waiting_max: 0 });
    let a = p.origin(&key("a"));
    busy(&mut p, a, 0, 5);
    for (n, hint, due) in [(0, None, 60), (1, Some(5), 4), (2, Some(100), 60)] {
        p.checkin(conn(n), Tick(0), hint.map(|s: u64| s * SECOND)).unwrap();
        p.take(conn(n));
        p.give(conn(n));
        p.checkin(conn(n), Tick(0), hint.map(|s: u64| s * SECOND)).unwrap();
        let mut last = None;
        p.expire(Tick(due * SECOND - 1), |c| last = Some(c));
        assert_eq!(last, None, "{n}");
        p.expire(Tick(due * SECOND), |c| last = Some(c));
        assert_eq!(last, Some(conn(n)));
        p.audit();
    }
    assert_eq!(p.checkin(conn(3), Tick(0), Some(0)), Err(Gone::Spent));
    // Half a second of one, and what is left of the age.
    p.checkin(conn(3), Tick(0), Some(SECOND)).unwrap();
    assert_eq!(p.next_due(), Tick(SECOND / 2));
    p.checkin(conn(4), Tick(80 * SECOND), None).unwrap();
    p.expire(Tick(89 * SECOND), drop);
    assert!(!p.is_aged(conn(4), Tick(89 * SECOND)) && p.is_aged(conn(4), Tick(90 * SECOND)));
    p.expire(Tick(90 * SECOND), drop);
    assert_eq!(p.counts().closed[Gone::Age as usize], 1);
    assert_eq!(p.counts().open, 0);
    p.audit();
}

#[test]
fn a_full_pool_gives_up_an_idle_connection_of_another_origin() {
    let mut p = pool(2, 2);
    let a = p.origin(&key("a"));
    busy(&mut p, a, 0, 2);
    let b = p.origin(&key("b"));
    assert_eq!(come(&mut p, b, 7).1, Checkout::Wait);
    assert_eq!(p.book_next(), None, "no place is free");
    p.checkin(conn(1), Tick(1), None).unwrap();
    assert_eq!(p.book_next(), Some((b, 7, Checkout::EvictAndDial(conn(1)))));
    let (id, _) = come(&mut p, b, 8);
    p.closed(conn(0), Gone::Failed);
    assert_eq!(p.key(a), None, "nobody needs it");
    p.abandon(id);
    let again = p.origin(&key("a"));
    assert_eq!(p.why_new(again), Reason::Failed, "it is remembered why the last one went");
}

#[test]
fn places_go_to_whoever_has_waited_longest() {
    let mut p = pool(1, 2);
    for (n, host) in [(0, "a"), (1, "b")] {
        let origin = p.origin(&key(host));
        busy(&mut p, origin, n, 1);
    }
    for (who, host) in [(10, "e"), (11, "a"), (12, "c"), (13, "d"), (14, "c")] {
        let origin = p.origin(&key(host));
        assert_eq!(come(&mut p, origin, who).1, Checkout::Wait);
    }
    p.closed(conn(0), Gone::Spent);
    let mut served = Vec::new();
    for n in 20..24 {
        let (origin, who, found) = p.book_next().expect("a place is free");
        assert_eq!(found, Checkout::Dial);
        p.opened(origin, conn(n), Tick(0), 1);
        assert_eq!(p.next_waiter(origin, false), Some(who));
        p.audit();
        served.push(who);
        p.closed(conn(n), Gone::Spent);
    }
    assert_eq!(served, [10, 11, 12, 13]);
}

#[test]
fn origins_that_differ_in_one_field_are_different() {
    let mut p = pool(1, 9);
    let base = key("a");
    let ids = [
        base.clone(),
        OriginKey { host: "b".into(), ..base.clone() },
        OriginKey { port: 81, ..base.clone() },
        OriginKey { http: Http::One, ..base.clone() },
        OriginKey { http: Http::Two, ..base.clone() },
        OriginKey { scheme: Scheme::Https, ..base.clone() },
        OriginKey { to: Some(Address::Unix("/s".into())), ..base.clone() },
        OriginKey { to: Some(Address::Unix("/t".into())), ..base.clone() },
        OriginKey { to: Some(Address::Inet(([127, 0, 0, 1], 80).into())), ..base.clone() },
        OriginKey { to: Some(Address::Inet(([127, 0, 0, 1], 81).into())), ..base.clone() },
        OriginKey { bind: Bind { interface: Some("lo".into()), local: None }, ..base.clone() },
        OriginKey { bind: Bind { interface: Some("lo1".into()), local: None }, ..base.clone() },
        OriginKey { bind: Bind { interface: None, local: Some([127, 0, 0, 1].into()) }, ..base.clone() },
        OriginKey { bind: Bind { interface: None, local: Some([127, 0, 0, 2].into()) }, ..base.clone() },
        OriginKey { tls: Some(tls()), ..base.clone() },
        OriginKey { tls: Some(tls()), ..base.clone() },
    ]
    .map(|k| p.origin(&k));
    for (i, a) in ids.iter().enumerate() {
        for b in &ids[i + 1..] {
            assert_ne!(a, b);
        }
    }
    assert_eq!(p.origin(&base), ids[0]);
}

/// Ten times as many of everything cost ten times as much, and not a hundred times.
#[test]
fn nothing_walks_over_everything() {
    let run = |origins: u32, each: u32| {
        let mut p = Pool::new(Limits {
            per_origin: each,
            total: origins * each,
            idle_ns: 1_000,
            age_ns: u64::MAX,
            waiting_max: u64::MAX,
        });
        let ids: Vec<OriginId> = (0..origins).map(|n| p.origin(&key(&n.to_string()))).collect();
        let start = Instant::now();
        for n in 0..origins * each {
            let origin = ids[(n % origins) as usize];
            let id = p.enqueue(origin, u64::from(n), false);
            assert_eq!(p.book(origin), Checkout::Dial);
            p.supplied(id);
            p.opened(origin, conn(n), Tick(0), 1);
            p.next_waiter(origin, false);
        }
        let waiting: Vec<WaiterId> =
            (0..origins * each).map(|n| p.enqueue(ids[(n % origins) as usize], 1, false)).collect();
        for id in waiting.into_iter().rev() {
            assert_eq!(p.book_next(), None);
            p.abandon(id);
        }
        for n in 0..origins * each {
            p.checkin(conn(n), Tick(u64::from(n % 7)), None).unwrap();
        }
        // From the middle, by the clock, and by eviction.
        for n in (0..origins * each).step_by(2) {
            p.closed(conn(n), Gone::Peer);
        }
        p.expire(Tick(1_003), drop);
        p.audit();
        p.drain_idle(drop);
        assert_eq!(p.origin_count(), 0);
        start.elapsed()
    };
    run(10, 100);
    let few = run(100, 100);
    let many = run(1_000, 100);
    assert!(many < few * 40, "{few:?} for 10 000 connections, {many:?} for 100 000");
    let deep = run(10, 10_000);
    assert!(deep < few * 40, "{few:?} for 10 000 connections, {deep:?} for 100 000 to ten origins");
}
