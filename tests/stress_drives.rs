//! Several threads in one engine: nobody sleeps while there is something for him, or while nobody leads.

mod stress_support;

use chttpcore::net::sys;
use chttpcore::queue::{Event, Queue};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use stress_support::*;

fn perform(engine: &Client, port: u16) {
    let mut answers = 0;
    let done = engine.perform(request(engine, port, "/", None), None, |event| {
        assert_eq!((event.error, event.arg), (0, 200));
        answers += 1;
        true
    });
    assert_eq!((done, answers), (Ok(()), 1));
}

/// Whoever has his answer leaves; one of those who wait on has to take the lead.
#[test]
fn the_lead_is_handed_on() {
    let port = server();
    for round in 0..60 {
        let engine = engine(settings(false));
        together((0..6).map(|i| {
            let engine = engine.clone();
            job(move || (0..1 + (i * 5 + round) % 9).for_each(|_| perform(&engine, port)))
        }));
        engine.stop(true);
    }
}

/// An exchange may end in a turn that another thread takes: whoever leads meanwhile is woken for it.
#[test]
fn a_failure_found_by_another_thread_wakes_the_one_it_concerns() {
    let silent = serve(|stream| std::io::copy(stream, &mut std::io::sink()).map(drop));
    for own_thread in [false, true] {
        for _ in 0..20 {
            let mut settings = settings(own_thread);
            settings.pool.total = 1;
            let engine = engine(settings);
            let (hog, performer) = (engine.clone(), engine.clone());
            let taken = Arc::new(Barrier::new(2));
            let taken_too = taken.clone();
            together([
                job(move || {
                    // Takes the only place, and gives it back when the other is asleep, as far as one can know.
                    let request = request(&hog, silent, "/", None);
                    let (mut xid, queue) = (0, hog.queue().expect("the first one"));
                    hog.submit(&queue, std::iter::once(request), |id| xid = id).expect("accepted");
                    taken.wait();
                    std::thread::sleep(Duration::from_millis(10));
                    hog.cancel(xid).expect("it is live");
                }),
                job(move || {
                    taken_too.wait();
                    let mut code = 0;
                    let request = request(&performer, 1, "/", Some(nobody()));
                    let see = |event: Event| {
                        code = event.error;
                        true
                    };
                    assert_eq!(performer.perform(request, None, see), Ok(()));
                    assert_eq!(code, chttpcore::error::CHTTP_E_CONNECT_REFUSED);
                }),
            ]);
            engine.stop(true);
        }
    }
}

/// All who wait are let go when the engine ends, also several on one queue.
#[test]
fn the_end_of_the_engine_reaches_everybody() {
    for round in 0..100 {
        let own_thread = round % 2 == 0;
        let engine = engine(settings(own_thread));
        let queue = engine.queue().expect("a queue");
        let waiting = Arc::new(AtomicUsize::new(0));
        let wait = |queue: Arc<Queue>| {
            let (engine, waiting) = (engine.clone(), waiting.clone());
            job(move || {
                waiting.fetch_add(1, Ordering::SeqCst);
                engine.wait(&queue, 8, None, |_| ()).expect("no signal comes");
            })
        };
        let mut jobs: Vec<_> = (0..4).map(|_| wait(queue.clone())).collect();
        let (stopper, waiting) = (engine.clone(), waiting.clone());
        jobs.push(job(move || {
            while waiting.load(Ordering::SeqCst) < 4 {
                std::thread::yield_now();
            }
            // From here on they may or may not be asleep, and both must end well.
            if round % 4 < 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            stopper.stop(true);
        }));
        together(jobs);
    }
}

/// An application that watches the descriptor edge-triggered and drains once for each edge.
struct EdgeLoop {
    outer: std::os::fd::OwnedFd,
}

impl EdgeLoop {
    fn new(engine: &Client, queue: &Queue) -> EdgeLoop {
        let outer = sys::epoll_create().expect("epoll");
        let fd = engine.fd(queue).expect("a descriptor");
        sys::epoll_add(outer.as_raw_fd(), fd, libc::EPOLLIN | libc::EPOLLET, 7).expect("it can be polled");
        EdgeLoop { outer }
    }

    fn next(&self) {
        let mut events = [sys::EpollEvent { events: 0, u64: 0 }; 1];
        let n = sys::epoll_wait(self.outer.as_raw_fd(), &mut events, Some(STUCK)).expect("no signal comes");
        assert_eq!(n, 1, "events wait, and no edge tells of them");
    }
}

/// Readiness that a drain had no reason to look at is not forgotten.
#[test]
fn one_drain_for_each_edge_is_enough() {
    let port = server();
    for own_thread in [false, true] {
        let engine = engine(settings(own_thread));
        let queue = engine.queue().expect("a queue");
        let edges = EdgeLoop::new(&engine, &queue);
        for round in 0..300 {
            // One fails at once; the answer to the other arrives before the application comes to look.
            let mut requests = vec![request(&engine, port, "/", None), request(&engine, 1, "/", Some(nobody()))];
            if round % 2 == 1 {
                requests.reverse();
            }
            engine.submit(&queue, requests.into_iter(), |_| ()).expect("accepted");
            if round % 3 == 0 {
                std::thread::sleep(Duration::from_micros(500));
            }
            let mut ended = 0;
            while ended < 2 {
                edges.next();
                ended += engine.drain(&queue, 64, |_| ()).count;
            }
        }
        engine.stop(true);
    }
}

/// More connections become ready at once than one call of the kernel reports.
#[test]
fn one_drain_for_each_edge_is_enough_for_hundreds_of_connections() {
    const MANY: usize = 400;
    for own_thread in [false, true] {
        let all = Arc::new(Barrier::new(MANY));
        let (first, once) = (all.clone(), Arc::new(AtomicUsize::new(0)));
        let port = serve(move |stream| {
            use std::io::{Read, Write};
            let mut bytes = [0; 4096];
            stream.read_exact(&mut bytes[..16])?;
            // All at once.
            first.wait();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            once.fetch_add(1, Ordering::SeqCst);
            while stream.read(&mut bytes)? > 0 {}
            Ok(())
        });
        let mut settings = settings(own_thread);
        settings.pool.per_origin = MANY as u32;
        let engine = engine(settings);
        let queue = engine.queue().expect("a queue");
        let edges = EdgeLoop::new(&engine, &queue);
        let requests: Vec<_> = (0..MANY).map(|_| request(&engine, port, "/", None)).collect();
        engine.submit(&queue, requests.into_iter(), |_| ()).expect("accepted");
        let mut ended = 0;
        while ended < MANY {
            edges.next();
            // A slow application: the rest becomes ready meanwhile.
            std::thread::sleep(Duration::from_millis(20));
            ended += engine.drain(&queue, 4 * MANY, |_| ()).count;
        }
        engine.stop(true);
    }
}
