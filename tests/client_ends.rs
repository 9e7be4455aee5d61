//! The ends that nobody planned: cancel, stop, a destroyed queue and a panic, in every state of an exchange.

mod client;

use chttpcore::client::{Engine, Settings};
use chttpcore::net::backend::mock::Script;
use chttpcore::net::resolver::Resolver;
use chttpcore::queue::event::{flag, kind};
use chttpcore::queue::{Callee, Notifier};
use client::*;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};

/// A lookup that never ends before the sender is dropped.
fn stuck() -> (Sender<()>, Resolver) {
    let (release, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let lookup = move |_: &CStr, _| {
        gate.lock().unwrap().recv().ok();
        Err(chttpcore::net::resolver::ResolveError::Temporary)
    };
    (release, Resolver::with_lookup(Arc::new(lookup)))
}

const STATES: [&str; 13] = [
    "queued",
    "resolving",
    "connecting",
    "sending",
    "streaming",
    "held",
    "waiting",
    "informed",
    "in head",
    "in body",
    "paused",
    "collecting",
    "tunnel",
];

/// A world with one exchange in this state, and others around it.
fn in_state(state: &str) -> (World, u64, Sender<()>) {
    let (release, resolver) = stuck();
    let mut w = World::with_resolver(pooled(2, 8), resolver);
    w.hold = true;
    let head = || Script::new().expect_head();
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nsome";
    let script = match state {
        "connecting" => Script::new().black_hole(),
        "sending" => Script::new().short_writes(100).expect_head().stop_reading(),
        "informed" => head().send("HTTP/1.1 103 x\r\n\r\n"),
        "in head" => head().send("HTTP/1.1 200 OK\r\nA:"),
        "in body" | "collecting" => head().send(long),
        "paused" => head().send(format!("{long}{}", "x".repeat(4000))),
        "tunnel" => head().send("HTTP/1.1 200 OK\r\n\r\nleft over"),
        _ => head(),
    };
    w.net.listen(inet("127.0.0.1:80")).always(script);
    w.net.listen(inet("127.0.0.2:80")).always(head().send(OK).again());
    let ask = match state {
        "resolving" => ask("GET", "http://stuck.test/"),
        "sending" => post(Load::Borrowed(vec![0; 100_000].into())),
        "streaming" => post(Load::Stream(None)),
        "held" => Ask { expect: true, ..post(whole("body")) },
        "paused" => Ask { credit: 500, ..get() },
        "collecting" => collect(get()),
        "tunnel" => Ask { load: Load::Tunnel, ..ask("CONNECT", HOST) },
        _ => get(),
    };
    if state == "queued" {
        w.submit(&get());
        w.submit(&get());
    }
    let xid = w.submit(&ask);
    w.settle();
    if state == "streaming" {
        w.write(xid, "piece").unwrap();
        w.settle();
    }
    assert!(w.log(xid).end.is_none(), "{state}");
    (w, xid, release)
}

fn phase_of(state: &str) -> Phase {
    match state {
        "queued" => Phase::Queued,
        "resolving" => Phase::Resolving,
        "connecting" => Phase::Connecting,
        "sending" | "streaming" | "held" => Phase::Sending,
        "waiting" => Phase::Waiting,
        _ => Phase::Receiving,
    }
}

fn is_answered(state: &str) -> bool {
    matches!(state, "in body" | "paused" | "collecting" | "tunnel")
}

#[test]
fn cancel_in_every_state() {
    for state in STATES {
        let (mut w, xid, _release) = in_state(state);
        let opened = w.opened();
        let before = w.pool();
        w.engine.cancel(xid).unwrap();
        w.settle();
        let log = w.log(xid);
        assert_eq!((log.code(), log.is_partial()), (e::CHTTP_E_CANCELLED, is_answered(state)), "{state}");
        assert_eq!(log.end.as_ref().unwrap().why.unwrap().0, phase_of(state), "{state}");
        assert_eq!(log.body.is_empty(), !is_answered(state), "{state}: what was received is handed over");
        assert_eq!(w.engine.cancel(xid), Err(e::CHTTP_E_NOT_FOUND));
        assert_eq!(w.write(xid, "x"), Err(e::CHTTP_E_NOT_FOUND));
        let after = if state == "queued" { (before.0, 0, before.2 - 1) } else { (0, 0, 0) };
        assert_eq!(w.pool(), after, "{state}");
        assert_eq!(w.opened(), opened);
        w.run(&ask("GET", "http://127.0.0.2/")).assert_ok(200, b"hi");
        w.close();
    }
}

#[test]
fn stop_in_every_state() {
    for state in STATES {
        let (mut w, xid, _release) = in_state(state);
        // One more that waits for a place.
        let second = w.submit(&get());
        let third = w.submit(&get());
        w.stop();
        assert_eq!(w.try_submit(&get()), Err(e::CHTTP_E_ENGINE_DOWN));
        assert_eq!(w.open(), 0);
        w.cap = 1;
        w.settle();
        for xid in [xid, second, third] {
            assert_eq!(w.log(xid).code(), e::CHTTP_E_ENGINE_CLOSED, "{state}");
        }
        assert_eq!(w.log(xid).is_partial(), is_answered(state), "{state}");
        w.close();
    }
}

#[test]
fn a_forgotten_queue_takes_its_exchanges_along_in_silence() {
    for state in STATES {
        let (mut w, _, _release) = in_state(state);
        w.engine.forget(&w.queue);
        w.engine.audit();
        assert_eq!((w.open(), w.pool(), w.engine.stats().exchanges), (0, (0, 0, 0), 0), "{state}");
        assert!(!w.turn(), "{state}: not a word");
        w.logs.clear();
        // Its place may be taken by a new queue.
        w.queue = w.engine.queue().unwrap();
        w.run(&ask("GET", "http://127.0.0.2/")).assert_ok(200, b"hi");
        w.close();
    }
}

#[test]
fn bytes_outlive_the_engine() {
    for state in ["in body", "paused", "tunnel"] {
        let (mut w, xid, _release) = in_state(state);
        let held = std::mem::take(&mut w.logs.get_mut(&xid).unwrap().held);
        assert!(!held.is_empty());
        let seen = w.log(xid).body.clone();
        w.stop();
        w.settle();
        drop(w);
        let bytes: Vec<u8> = held.iter().flat_map(|(event, _)| bytes_of(event).to_vec()).collect();
        assert_eq!(bytes, seen, "{state}");
    }
}

#[test]
fn cancel_all_while_others_are_served() {
    let mut w = World::scripted(pooled(4, 8), Script::new().expect_head().delay(MS).send(OK).again());
    let xids: Vec<u64> = (0..60).map(|_| w.submit(&get())).collect();
    for (n, xid) in xids.iter().enumerate() {
        if n % 3 == 0 {
            w.engine.cancel(*xid).unwrap();
        }
        if n % 5 == 0 {
            w.pass(MS / 2);
        }
    }
    w.finish_all();
    for (n, xid) in xids.iter().enumerate() {
        let code = w.log(*xid).code();
        assert!(code == 0 || n % 3 == 0 && code == e::CHTTP_E_CANCELLED);
    }
    assert_eq!(w.pool().2, 0);
    w.close();
}

#[test]
fn ids_that_never_were_or_are_over_are_not_found() {
    let mut w = World::serving(Script::new().expect_head().send(OK).again());
    let xid = w.submit(&get());
    w.finish(xid);
    let second = w.submit(&get());
    assert_ne!(xid, second, "the slot has a new generation");
    for stale in [0, 1, xid, u64::MAX, second ^ (1 << 24), second | (1 << 60)] {
        assert_eq!(w.engine.cancel(stale), Err(e::CHTTP_E_NOT_FOUND), "{stale:x}");
        assert_eq!(w.write(stale, "x"), Err(e::CHTTP_E_NOT_FOUND), "{stale:x}");
    }
    w.finish(second).assert_ok(200, b"hi");
    w.close();
}

/// The heir of a cancelled dial gets its connection.
#[test]
fn a_cancelled_dial_is_inherited() {
    let mut w = World::scripted(pooled(1, 8), Script::new().connect_delay(SECOND).expect_head().send(OK).again());
    let first = w.submit(&get());
    let second = w.submit(&get());
    w.pass(SECOND / 2);
    w.engine.cancel(first).unwrap();
    w.pass(SECOND / 2 + MS);
    w.log(second).assert_ok(200, b"hi");
    assert_eq!(w.opened(), 1);
    w.close();
}

#[test]
fn a_panic_ends_the_engine_and_tells_everybody() {
    silence();
    for state in STATES {
        let (mut w, xid, _release) = in_state(state);
        w.net.listen(inet("127.0.0.3:80")).always(Script::new().expect_head().panic());
        let bad = w.submit(&ask("GET", "http://127.0.0.3/"));
        w.settle();
        assert!(w.down, "{state}");
        for xid in [xid, bad] {
            assert_eq!(w.log(xid).code(), e::CHTTP_E_PANIC, "{state}");
        }
        assert_eq!(w.log(xid).is_partial(), is_answered(state), "{state}");
        assert_eq!(w.log(xid).has(kind::WRITE_DONE), state == "sending", "{state}");
        assert_eq!(w.try_submit(&get()), Err(e::CHTTP_E_ENGINE_DOWN));
        assert_eq!(w.engine.cancel(xid), Err(e::CHTTP_E_NOT_FOUND));
        assert_eq!(w.open(), 0);
        w.close();
    }
}

/// The panic comes while the submission looks after the sockets: it is refused, or it would have no end.
#[test]
fn a_submission_that_meets_the_panic_is_refused() {
    silence();
    let mut w = World::serving(Script::new().expect_head().send(OK).delay(5 * SECOND).panic());
    w.run(&get()).assert_ok(200, b"hi");
    // Nobody looks after the idle connection until the next submission does.
    w.net.advance(6 * SECOND);
    assert_eq!(w.try_submit(&get()), Err(e::CHTTP_E_ENGINE_DOWN));
    w.settle();
    assert!(w.down);
    w.close();
}

/// Whoever was given an id gets a terminal event, however the submission and the stop meet.
#[test]
fn submissions_that_race_with_the_stop_have_an_end() {
    for own_thread in [false, true] {
        for _ in 0..200 {
            let net = chttpcore::net::backend::mock::MockNet::new();
            net.listen(inet("127.0.0.1:80")).always(Script::new().expect_head());
            let settings = Settings { own_thread, ..settings() };
            let engine = Engine::new(settings, net.backend()).unwrap();
            let queue = engine.queue().unwrap();
            let mut accepted = 0;
            std::thread::scope(|scope| {
                let submitter = scope.spawn(|| {
                    let mut accepted = 0;
                    for n in 0..1000 {
                        if engine.submit(&queue, std::iter::once(get().build(n)), |_| {}).is_err() {
                            break;
                        }
                        accepted += 1;
                    }
                    accepted
                });
                scope.spawn(|| {
                    while engine.stats().exchanges < 2 {
                        std::hint::spin_loop();
                    }
                    engine.stop(true);
                });
                accepted = submitter.join().unwrap();
            });
            let mut ended = 0;
            let terminal = |event: chttpcore::queue::Event| u64::from(event.flags & flag::TERMINAL != 0);
            while engine.drain(&queue, 100, |event| ended += terminal(event)).count > 0 {}
            assert_eq!(ended, accepted);
            assert_eq!(engine.stats().exchanges, 0);
            assert_eq!(net.totals().open(), 0);
        }
    }
}

/// The same for a queue with a function, which gets all of it, and the news of the panic, before the stop returns.
#[test]
fn a_panic_is_told_by_callback_too() {
    silence();
    for _ in 0..20 {
        let net = chttpcore::net::backend::mock::MockNet::new();
        net.listen(inet("127.0.0.1:80")).always(Script::new().expect_head());
        net.listen(inet("127.0.0.3:80")).always(Script::new().expect_head().panic());
        let engine = Engine::new(Settings { own_thread: true, ..settings() }, net.backend()).unwrap();
        let count = Arc::new([const { AtomicU32::new(0) }; 2]);
        let counting = count.clone();
        let function = move |events: &mut dyn Iterator<Item = chttpcore::queue::Event>| {
            for event in events {
                assert!(event.kind != kind::ENGINE_DOWN || event.error == e::CHTTP_E_PANIC);
                counting[0].fetch_add(u32::from(event.flags & flag::TERMINAL != 0), Ordering::SeqCst);
                counting[1].fetch_add(u32::from(event.kind == kind::ENGINE_DOWN), Ordering::SeqCst);
            }
        };
        let callee = Callee::new("told", Arc::new(function));
        let queue = engine.queue_with(Notifier::Call(callee)).unwrap();
        let submit = || {
            let ask = |n| if n == 50 { ask("GET", "http://127.0.0.3/") } else { get() };
            (0..2_000).take_while(|&n| engine.submit(&queue, std::iter::once(ask(n).build(n)), |_| {}).is_ok()).count()
        };
        let accepted = std::thread::scope(|scope| {
            let submitters = [scope.spawn(submit), scope.spawn(submit)];
            while !engine.is_stopped() {
                std::thread::yield_now();
            }
            submitters.map(|s| s.join().unwrap()).iter().sum::<usize>()
        });
        engine.stop(true);
        let [ended, down] = [&count[0], &count[1]].map(|n| n.load(Ordering::SeqCst));
        assert_eq!((ended as usize, down), (accepted, 1));
        assert_eq!(engine.stats().exchanges, 0);
    }
}

/// The same when they meet a panic. What is submitted while the turn unwinds is mail that no other turn looks at.
#[test]
fn submissions_that_race_with_a_panic_have_an_end() {
    silence();
    for own_thread in [false, true] {
        for _ in 0..20 {
            let net = chttpcore::net::backend::mock::MockNet::new();
            net.listen(inet("127.0.0.1:80")).always(Script::new().expect_head());
            net.listen(inet("127.0.0.3:80")).always(Script::new().expect_head().panic());
            let engine = Engine::new(Settings { own_thread, ..settings() }, net.backend()).unwrap();
            let queue = engine.queue().unwrap();
            let (mut accepted, mut ended, mut down) = (0, 0, false);
            let mut take = |event: chttpcore::queue::Event| {
                down |= event.kind == kind::ENGINE_DOWN;
                ended += u32::from(event.flags & flag::TERMINAL != 0);
            };
            let submit = || {
                let mut accepted = 0;
                for n in 0..2_000 {
                    let ask = if n == 50 { ask("GET", "http://127.0.0.3/") } else { get() };
                    if engine.submit(&queue, std::iter::once(ask.build(n)), |_| {}).is_err() {
                        break;
                    }
                    accepted += 1;
                }
                accepted
            };
            std::thread::scope(|scope| {
                let submitters = [scope.spawn(submit), scope.spawn(submit)];
                while !engine.is_stopped() {
                    engine.drain(&queue, 100, &mut take);
                }
                accepted = submitters.map(|s| s.join().unwrap()).iter().sum();
            });
            engine.stop(true);
            while engine.drain(&queue, 100, &mut take).count > 0 {}
            assert_eq!((ended, engine.stats().exchanges), (accepted, 0), "own thread: {own_thread}");
            assert!(down);
        }
    }
}
