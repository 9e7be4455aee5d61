//! What threads that wait cost: they sleep, and leave nothing behind. The process counts, so one test at a time.

mod stress_support;

use chttpcore::net::sys;
use chttpcore::queue::Queue;
use parking_lot::Mutex;
use std::io::{Read, Write};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use stress_support::*;

static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn queues_of_performers_are_given_up() {
    const MANY: usize = 40;
    let _alone = ALONE.lock();
    for own_thread in [false, true] {
        let all = Arc::new(Barrier::new(MANY));
        let port = serve(move |stream| {
            let mut bytes = [0; 4096];
            while stream.read(&mut bytes)? > 0 {
                // Nobody is answered before all have asked.
                all.wait();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            }
            Ok(())
        });
        let engine = engine(settings(own_thread));
        let round = || {
            together((0..MANY).map(|_| {
                let engine = engine.clone();
                job(move || {
                    let done = engine.perform(request(&engine, port, "/", None), None, |event| event.error == 0);
                    assert_eq!(done, Ok(()));
                })
            }));
            std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
        };
        let before = round();
        (0..9).for_each(|_| assert!(round() > 0));
        let after = round();
        assert!(after < before + MANY, "{before} descriptors became {after}");
        engine.stop(true);
    }
}

/// Many who wait on one queue do not keep each other awake.
#[test]
fn those_who_wait_on_one_queue_sleep() {
    let _alone = ALONE.lock();
    for own_thread in [false, true] {
        let engine = engine(settings(own_thread));
        let queue = engine.queue().expect("a queue");
        let waiter = |queue: Arc<Queue>, engine: Arc<Client>| {
            job(move || {
                engine.wait(&queue, 8, Some(Duration::from_millis(400)), |_| ()).expect("no signal comes");
            })
        };
        let mut jobs: Vec<_> = (0..24).map(|_| waiter(queue.clone(), engine.clone())).collect();
        let theirs = (queue.clone(), engine.clone());
        jobs.push(job(move || {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(5));
                theirs.0.offer_turn();
            }
        }));
        let before = sys::Counters::snapshot().poll_calls;
        together(jobs);
        let calls = sys::Counters::snapshot().poll_calls - before;
        assert!(calls < 3_000, "{calls} calls of poll to sleep for less than half a second");
        engine.stop(true);
    }
}
