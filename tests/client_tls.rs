//! TLS handshakes with the whole client on the virtual clock: deadlines hold however slowly the peer speaks, and whatever
//! ends an exchange may do so at every point of a handshake. After each turn the books are audited.

mod client;
mod tls_support;

use chttpcore::client::settings::Timeouts;
use chttpcore::net::backend::mock::{Closed, Player, Script};
use chttpcore::pool::Http;
use chttpcore::proto::tls::Tls;
use chttpcore::queue::event::kind;
use client::*;
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::sync::Arc;
use tls_support::{Authority, VERSIONS, tls};

/// A turn may come this late; the wheel sorts by about a millisecond.
const LATE: u64 = 2 * MS;
const T: u64 = 3 * SECOND;
const AT: &str = "127.0.0.1:443";

/// A client's settings and a server for 127.0.0.1.
fn known(version: &'static SupportedProtocolVersion) -> (Arc<Tls>, Arc<ServerConfig>) {
    let authority = Authority::new("Test CA");
    (tls(authority.trusted()), Arc::new(authority.leaf(&["127.0.0.1"]).server(&[version])))
}

/// A TLS server that answers every request.
fn player(config: &Arc<ServerConfig>) -> Player {
    let mut tls = ServerConnection::new(config.clone()).unwrap();
    let mut head = Vec::new();
    Box::new(move |mut heard| {
        while !heard.is_empty() && tls.read_tls(&mut heard).is_ok() {
            if let Ok(state) = tls.process_new_packets() {
                let at = head.len();
                head.resize(at + state.plaintext_bytes_to_read(), 0);
                tls.reader().read_exact(&mut head[at..]).unwrap();
            }
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            tls.writer().write_all(OK.as_bytes()).unwrap();
        }
        let mut says = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut says).unwrap();
        }
        says
    })
}

fn serving(server: &Arc<ServerConfig>, every: usize, delay: u64) -> Script {
    let server = server.clone();
    Script::new().play(every, delay, move || player(&server))
}

fn secure(tls: &Arc<Tls>) -> Ask {
    Ask { tls: Some(tls.clone()), ..ask("GET", "https://127.0.0.1/") }
}

fn world(script: Script) -> World {
    let w = World::new(settings());
    w.net.listen(inet(AT)).always(script);
    w
}

#[test]
fn a_handshake_in_pieces_of_any_length() {
    for version in VERSIONS {
        let (tls, server) = known(version);
        for (every, delay) in [(usize::MAX, 0), (1, 0), (7, 0), (1000, MS), (1, MS)] {
            let mut w = world(serving(&server, every, delay));
            for _ in 0..3 {
                w.run(&secure(&tls)).assert_ok(200, b"hi");
            }
            assert_eq!((w.opened(), w.pool()), (1, (1, 1, 0)));
            w.close();
        }
    }
}

/// The first bytes of the answer come with the server's part of the handshake, the others much later: they were heard.
#[test]
fn first_bytes_that_come_with_the_handshake_are_the_first() {
    let (tls, server) = known(VERSIONS[1]);
    let mut server = ServerConfig::clone(&server);
    server.send_half_rtt_data = true;
    let server = Arc::new(server);
    let script = Script::new().play(usize::MAX, T + MS, move || {
        let mut tls = ServerConnection::new(server.clone()).unwrap();
        let mut parts = OK.split_inclusive(' ').collect::<Vec<_>>().into_iter();
        Box::new(move |mut heard: &[u8]| {
            let mut says = Vec::new();
            if heard.is_empty() {
                return says;
            }
            while !heard.is_empty() {
                tls.read_tls(&mut heard).unwrap();
                tls.process_new_packets().unwrap();
            }
            let part: String =
                if tls.is_handshaking() { parts.next().into_iter().collect() } else { parts.by_ref().collect() };
            tls.writer().write_all(part.as_bytes()).unwrap();
            while tls.wants_write() {
                tls.write_tls(&mut says).unwrap();
            }
            says
        })
    });
    let mut w = world(script);
    let timeouts = Timeouts { first_byte: T, read: 2 * T, ..never() };
    w.run(&Ask { timeouts, ..secure(&tls) }).assert_ok(200, b"hi");
    w.close();
}

/// An answer to no request ends the connection that it came on, also one that came with the handshake.
#[test]
fn an_answer_that_nobody_asked_for_is_nobodys() {
    let (tls, server) = known(VERSIONS[1]);
    let mut hasty = ServerConfig::clone(&server);
    hasty.send_half_rtt_data = true;
    let hasty = Arc::new(hasty);
    let script = Script::new().play(usize::MAX, 0, move || {
        let mut tls = ServerConnection::new(hasty.clone()).unwrap();
        Box::new(move |mut heard: &[u8]| {
            let mut says = Vec::new();
            if !heard.is_empty() && tls.read_tls(&mut heard).is_ok() && tls.process_new_packets().is_ok() {
                tls.writer().write_all(OK.replace("hi", "no").as_bytes()).unwrap();
                tls.write_tls(&mut says).unwrap();
            }
            says
        })
    });
    let mut w = World::new(settings());
    w.net.listen(inet(AT)).connection(script).always(serving(&server, usize::MAX, 0));
    w.engine.preconnect(secure(&tls).build(0), 1).unwrap();
    w.settle();
    assert_eq!((w.opened(), w.open(), w.pool()), (1, 0, (0, 0, 0)));
    w.run(&secure(&tls)).assert_ok(200, b"hi");
    w.close();
}

#[test]
fn deadlines_hold_in_a_handshake() {
    // Nothing at all; a record that never ends; a real handshake, too slow; nobody takes our first message.
    let endless = || {
        let mut script = Script::new();
        for byte in [0x16, 3, 3, 0x40, 0].into_iter().chain([2; 200]) {
            script = script.delay(100 * MS).send(vec![byte]);
        }
        script
    };
    let deaf = Script::new().short_writes(10).expect_bytes(1).stop_reading();
    for version in VERSIONS {
        let (tls, server) = known(version);
        for script in [Script::new(), endless(), serving(&server, 1, 100 * MS), deaf.clone()] {
            for (timeouts, code) in [
                (Timeouts { tls: T, ..never() }, e::CHTTP_E_TIMEOUT_TLS),
                (Timeouts { total: T, ..never() }, e::CHTTP_E_TIMEOUT_TOTAL),
                (
                    Timeouts { tls: T, total: 2 * T, connect: MS, read: MS, first_byte: MS, ..never() },
                    e::CHTTP_E_TIMEOUT_TLS,
                ),
            ] {
                let mut w = world(script.clone());
                let due = w.net.now().0 + T;
                let xid = w.submit(&Ask { timeouts, ..secure(&tls) });
                let end = w.finish(xid).end.clone().expect("ended");
                assert_eq!(end.error, code, "{}", end.message);
                assert!((due..=due + LATE).contains(&end.at), "due at {due}, ended at {}", end.at);
                assert_eq!(end.why.map(|(phase, ..)| phase), Some(Phase::Securing));
                assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
                assert_eq!(w.conn(0).closed, Some(Closed::Reset));
                w.close();
            }
        }
    }
}

/// The dial of one that is gone passes to one that waits, with that one's own deadline.
#[test]
fn a_handshake_that_is_inherited() {
    let (tls, server) = known(VERSIONS[1]);
    let timeouts = Timeouts { tls: T, ..never() };
    for slow in [false, true] {
        let script = if slow { Script::new() } else { serving(&server, 100, 100 * MS) };
        let mut w = World::new(pooled(1, 9));
        w.net.listen(inet(AT)).always(script);
        let first = w.submit(&Ask { timeouts, ..secure(&tls) });
        let heir = w.submit(&Ask { timeouts, ..secure(&tls) });
        w.pass(200 * MS);
        w.engine.cancel(first).unwrap();
        let inherited = w.net.now().0;
        w.finish(heir);
        let end = w.log(heir).end.clone().expect("ended");
        if slow {
            assert_eq!(end.error, e::CHTTP_E_TIMEOUT_TLS);
            assert!((inherited + T..=inherited + T + LATE).contains(&end.at), "{} and {}", inherited, end.at);
        } else {
            assert_eq!((end.error, w.opened()), (0, 1), "{}", end.message);
        }
        w.close();
    }
}

/// Handshakes of one origin at a time, and how long a line of others may stand still.
const AT_ONCE: usize = 256;
const PAUSE: u64 = 100 * MS;

/// Connections on which the client has begun its handshake.
fn begun(w: &World) -> usize {
    (0..w.opened() as usize).filter(|&n| !w.conn(n).sent.is_empty()).count()
}

#[test]
fn handshakes_of_one_origin_stand_in_line() {
    const MORE: usize = 30;
    let (tls, _) = known(VERSIONS[1]);
    let all = (AT_ONCE + MORE) as u32;
    let mut w = World::new(pooled(all, 2 * all));
    for port in [443, 444] {
        w.net.listen(inet(&format!("127.0.0.1:{port}"))).always(Script::new());
    }
    let timeouts = Timeouts { tls: T, ..never() };
    let start = w.net.now().0;
    let xids: Vec<u64> = (0..all).map(|_| w.submit(&Ask { timeouts, http: Http::One, ..secure(&tls) })).collect();
    w.settle();
    assert_eq!((w.opened(), begun(&w)), (all, AT_ONCE), "all are connected");
    // Another origin has a line of its own.
    let other = w.submit(&Ask { timeouts, ..Ask { tls: Some(tls.clone()), ..ask("GET", "https://127.0.0.1:444/") } });
    w.settle();
    assert_eq!(begun(&w), AT_ONCE + 1);
    // One in line leaves it; one under way makes room, and then the line does not stand still.
    w.pass(PAUSE / 2);
    w.engine.cancel(xids[all as usize - 1]).unwrap();
    w.settle();
    assert_eq!(begun(&w), AT_ONCE + 1);
    w.engine.cancel(xids[0]).unwrap();
    w.settle();
    assert_eq!(begun(&w), AT_ONCE + 2);
    w.pass(PAUSE - 2 * MS);
    assert_eq!(begun(&w), AT_ONCE + 2);
    w.pass(2 * LATE);
    assert_eq!(begun(&w), all as usize, "a line that stands still becomes wider; one has left");
    w.finish_all();
    // The time for a handshake begins with it.
    let in_time = |w: &World, xid: u64, from: u64| {
        let end = w.log(xid).end.clone().expect("ended");
        assert_eq!(end.error, e::CHTTP_E_TIMEOUT_TLS, "{}", end.message);
        assert!((from + T..=from + T + 4 * LATE).contains(&end.at), "{} for {from}", end.at);
    };
    in_time(&w, xids[1], start);
    in_time(&w, other, start);
    in_time(&w, xids[AT_ONCE], start + PAUSE / 2);
    in_time(&w, xids[AT_ONCE + 1], start + PAUSE / 2 + PAUSE);
    assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
    w.close();
}

#[test]
fn the_end_of_the_engine_is_no_ones_turn() {
    let (tls, _) = known(VERSIONS[1]);
    let all = 2 * AT_ONCE as u32;
    let mut w = World::new(pooled(all, all));
    w.net.listen(inet(AT)).always(Script::new());
    for _ in 0..all {
        w.submit(&Ask { http: Http::One, ..secure(&tls) });
    }
    w.settle();
    assert_eq!((w.opened(), begun(&w)), (all, AT_ONCE));
    w.stop();
    assert_eq!(begun(&w), AT_ONCE, "a handshake began for an engine that ends");
    w.close();
}

#[test]
fn a_line_of_handshakes_comes_to_its_end() {
    let (tls, server) = known(VERSIONS[1]);
    let all = 3 * AT_ONCE;
    for (every, delay) in [(usize::MAX, 0), (1000, 7 * MS)] {
        let mut w = World::new(pooled(all as u32, all as u32));
        w.net.listen(inet(AT)).always(serving(&server, every, delay));
        let xids: Vec<u64> = (0..all).map(|_| w.submit(&secure(&tls))).collect();
        // Some go, in line and out of it.
        for xid in xids.iter().step_by(5) {
            w.engine.cancel(*xid).unwrap();
        }
        w.finish_all();
        for (n, xid) in xids.iter().enumerate().filter(|(n, _)| n % 5 != 0) {
            assert_eq!(w.log(*xid).end.as_ref().map(|end| end.error), Some(0), "{n}");
        }
        w.pass(SECOND);
        let (open, idle, waiting) = w.pool();
        assert_eq!((open, waiting), (idle, 0));
        assert!(idle < all as u32, "whoever was served does not stay in line: {idle}");
        w.close();
    }
}

/// What an exchange meets in the middle of a handshake.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Blow {
    Cancel,
    Stop,
    /// Its queue is gone.
    Queue,
}

/// Runs a request for so many turns, each of which brings a piece of the handshake, and then deals the blow. Whether the
/// exchange was still under way.
fn strike(tls: &Arc<Tls>, server: &Arc<ServerConfig>, turns: usize, blow: Blow) -> bool {
    let mut w = world(serving(server, 10, 0));
    let xid = w.submit(&secure(tls));
    for _ in 0..turns {
        w.turn();
    }
    let live = w.log(xid).end.is_none();
    match blow {
        Blow::Cancel if live => {
            w.engine.cancel(xid).unwrap();
            w.settle();
            assert_eq!(w.log(xid).code(), e::CHTTP_E_CANCELLED);
            assert_eq!((w.open(), w.pool()), (0, (0, 0, 0)));
            // Nothing of it is left to the next one.
            w.run(&secure(tls)).assert_ok(200, b"hi");
        }
        Blow::Cancel => assert_eq!(w.engine.cancel(xid), Err(e::CHTTP_E_NOT_FOUND)),
        Blow::Stop => {}
        Blow::Queue => {
            w.renew_queue();
            assert_eq!((w.open(), w.pool()), if live { (0, (0, 0, 0)) } else { (1, (1, 1, 0)) });
            w.run(&secure(tls)).assert_ok(200, b"hi");
        }
    }
    w.close();
    live
}

#[test]
fn an_exchange_may_end_at_every_point_of_a_handshake() {
    for version in VERSIONS {
        let (tls, server) = known(version);
        for blow in [Blow::Cancel, Blow::Stop, Blow::Queue] {
            let mut turns = 0;
            while strike(&tls, &server, turns, blow) {
                turns += 1;
            }
            assert!(turns > 10, "{version:?}, {blow:?}: over after {turns} turns");
        }
    }
}

#[test]
fn a_peer_may_fall_silent_at_every_point_of_a_handshake() {
    for version in VERSIONS {
        let (tls, server) = known(version);
        let mut whole = false;
        let mut cut = 0;
        while !whole {
            let server = server.clone();
            let script = Script::new().play(usize::MAX, 0, move || {
                let (mut play, mut left) = (player(&server), cut);
                Box::new(move |heard: &[u8]| {
                    let mut says = play(heard);
                    says.truncate(left);
                    left -= says.len();
                    says
                })
            });
            let mut w = world(script);
            let xid = w.submit(&Ask { timeouts: Timeouts { tls: T, read: T, ..never() }, ..secure(&tls) });
            let log = w.finish(xid);
            whole = log.code() == 0;
            let known = [0, e::CHTTP_E_TIMEOUT_TLS, e::CHTTP_E_TIMEOUT_READ].contains(&log.code());
            assert!(known, "silent after {cut} bytes: {:?}", log.end);
            w.close();
            cut += 13;
        }
        assert!(cut > 300, "{version:?}: whole after {cut} bytes");
    }
}

/// A peer that takes everything at once gets a large body in many turns: others have theirs in between.
#[test]
fn a_large_body_leaves_room_for_others() {
    const LEN: usize = 8 << 20;
    for version in VERSIONS {
        let (tls, server) = known(version);
        let mut w = world(serving(&server, usize::MAX, 0));
        let mut body = vec![7; LEN];
        body[LEN - 4..].copy_from_slice(b"\r\n\r\n");
        let load = Load::Borrowed(body.into());
        let xid = w.submit(&Ask { load, method: "POST", ..secure(&tls) });
        let (mut sent, mut turns) = (0, 0);
        while w.log(xid).end.is_none() {
            assert!(!w.log(xid).has(kind::WRITE_DONE) || sent > LEN);
            w.turn();
            let now = w.net.connection(0).map_or(0, |c| c.sent.len());
            assert!(now - sent <= 2 << 20, "{} bytes in one turn", now - sent);
            sent = now;
            turns += 1;
            assert!(turns < 1000, "it stands still after {sent} bytes");
        }
        w.log(xid).assert_ok(200, b"hi");
        assert!(w.log(xid).has(kind::WRITE_DONE));
        // The connection is as good as new.
        w.run(&secure(&tls)).assert_ok(200, b"hi");
        assert_eq!(w.opened(), 1);
        w.close();
    }
}
