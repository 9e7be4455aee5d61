//! Queues whose events go to a function, under load: calls come one at a time and not after the queue's end or the engine's,
//! and no event is lost, however the ends and the submissions meet.

mod stress_support;

use chttpcore::queue::event::flag;
use chttpcore::queue::{Callee, Event, Notifier, Queue};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use stress_support::{Client, STUCK, engine, job, nobody, request, server, settings, together};

/// What the function of a queue knows.
#[derive(Default)]
struct Side {
    queue: OnceLock<Arc<Queue>>,
    accepted: AtomicUsize,
    ended: AtomicUsize,
    /// No call may come any more.
    over: AtomicBool,
}

/// What must not be, on whatever queue. A panic inside would be the thread's, and nobody's to see.
#[derive(Default)]
struct Watch {
    inside: AtomicBool,
    nested: AtomicUsize,
    late: AtomicUsize,
}

impl Watch {
    fn check(&self) {
        assert_eq!(self.nested.load(Ordering::SeqCst), 0, "a call inside another");
        assert_eq!(self.late.load(Ordering::SeqCst), 0, "a call after the end");
    }
}

fn submit(engine: &Client, side: &Side, port: u16) -> bool {
    // One in three ends at once, on the thread that submits it.
    let unix = side.accepted.load(Ordering::SeqCst).is_multiple_of(3).then(nobody);
    let queue = side.queue.get().expect("it was made");
    // Counted before: the end may come before the submit returns.
    side.accepted.fetch_add(1, Ordering::SeqCst);
    let accepted = engine.submit(queue, std::iter::once(request(engine, port, "/", unix)), drop).is_ok();
    if !accepted {
        side.accepted.fetch_sub(1, Ordering::SeqCst);
    }
    accepted
}

/// A queue whose function answers each end with a request, `chain` times.
fn called(engine: &Arc<Client>, watch: &Arc<Watch>, port: u16, chain: usize) -> Arc<Side> {
    let side = Arc::new(Side::default());
    let (theirs, client, watch) = (Arc::downgrade(&side), Arc::downgrade(engine), watch.clone());
    let function = move |events: &mut dyn Iterator<Item = Event>| {
        watch.nested.fetch_add(usize::from(watch.inside.swap(true, Ordering::SeqCst)), Ordering::SeqCst);
        let live = theirs.upgrade().zip(client.upgrade()).filter(|(side, _)| !side.over.load(Ordering::SeqCst));
        let Some((side, client)) = live else {
            watch.late.fetch_add(1, Ordering::SeqCst);
            return;
        };
        for event in events.filter(|event| event.flags & flag::TERMINAL != 0) {
            if side.ended.fetch_add(1, Ordering::SeqCst) < chain {
                submit(&client, &side, port);
            }
            drop(event);
        }
        watch.inside.store(false, Ordering::SeqCst);
    };
    let queue = engine.queue_with(Notifier::Call(Callee::new("stress", Arc::new(function)))).expect("a queue");
    assert!(side.queue.set(queue).is_ok());
    side
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < STUCK, "{what} does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Threads submit to two queues whose functions submit themselves; others come and go, with exchanges under way.
#[test]
fn queues_come_and_go_among_submitters() {
    let port = server();
    let engine = engine(settings(true));
    let watch = Arc::new(Watch::default());
    let sides = [called(&engine, &watch, port, 500), called(&engine, &watch, port, 500)];
    let submitter = |i: usize| {
        let (engine, side) = (engine.clone(), sides[i % 2].clone());
        job(move || (0..200).for_each(|_| assert!(submit(&engine, &side, port))))
    };
    let guests = |_| {
        let (engine, watch) = (engine.clone(), watch.clone());
        job(move || {
            for n in 0..50 {
                let guest = called(&engine, &watch, port, 20);
                (0..3).for_each(|_| assert!(submit(&engine, &guest, port)));
                if n % 2 == 0 {
                    until("an answer", || guest.ended.load(Ordering::SeqCst) > 0);
                }
                engine.forget(guest.queue.get().expect("it was made"));
                guest.over.store(true, Ordering::SeqCst);
            }
        })
    };
    together((0..4).map(submitter).chain((0..2).map(guests)));
    for side in &sides {
        until("the last event", || side.ended.load(Ordering::SeqCst) >= 900);
        assert_eq!(side.accepted.load(Ordering::SeqCst), 900);
    }
    engine.stop(true);
    engine.audit();
    for side in &sides {
        side.over.store(true, Ordering::SeqCst);
        assert_eq!(side.ended.load(Ordering::SeqCst), 900, "one end for each");
    }
    watch.check();
}

/// The stop meets functions that go on submitting, and a thread that waits on an ordinary queue.
#[test]
fn the_stop_lets_every_event_be_delivered() {
    let port = server();
    for round in 0..60 {
        let engine = engine(settings(true));
        let watch = Arc::new(Watch::default());
        let sides = [0; 2].map(|_| called(&engine, &watch, port, usize::MAX));
        let plain = engine.queue().expect("a queue");
        for side in &sides {
            (0..4).for_each(|_| assert!(submit(&engine, side, port)));
        }
        let (waiter, stopper) = (engine.clone(), engine.clone());
        let known = sides.clone();
        together([
            job(move || {
                while !waiter.is_over(&plain) {
                    waiter.wait(&plain, 8, None, drop).expect("no signal comes");
                }
            }),
            job(move || {
                until("an answer", || known[0].ended.load(Ordering::SeqCst) > round);
                stopper.stop(true);
                known.iter().for_each(|side| side.over.store(true, Ordering::SeqCst));
            }),
        ]);
        for side in &sides {
            assert_eq!(side.ended.load(Ordering::SeqCst), side.accepted.load(Ordering::SeqCst));
        }
        watch.check();
    }
}

/// The engine's thread stands by for one who takes answers singly. A queue with a function calls it back, and keeps it.
#[test]
fn the_thread_comes_back_for_a_function() {
    let port = server();
    for _ in 0..10 {
        let engine = engine(settings(true));
        let perform = |n| {
            for _ in 0..n {
                engine.perform(request(&engine, port, "/", None), None, |_| true).expect("an answer");
            }
        };
        perform(100);
        let side = called(&engine, &Arc::default(), port, 100);
        assert!(submit(&engine, &side, port));
        perform(100);
        until("the last of a chain", || side.ended.load(Ordering::SeqCst) == 101);
        engine.stop(true);
    }
}
