//! The engine's thread stands by while a quick application leads. However the lead changes hands, and whenever the application
//! stops to look, every answer comes, every deadline is kept, and the end of the engine reaches all.

mod stress_support;

use chttpcore::client::settings::Timeouts;
use chttpcore::error as e;
use chttpcore::net::sys;
use chttpcore::queue::{Event, Queue};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stress_support::{Client, STUCK, engine, job, request, serve, server, settings, together};

/// More than it takes until the application leads.
const STREAK: usize = 60;

#[derive(Clone, Copy, Debug)]
enum Via {
    /// `poll()` on the descriptor, then a drain.
    Poll,
    /// An edge-triggered epoll set, and one drain for each edge.
    Edge,
    Wait,
    Perform,
}

const WAYS: [Via; 4] = [Via::Poll, Via::Edge, Via::Wait, Via::Perform];

struct App {
    engine: Arc<Client>,
    queue: Arc<Queue>,
    edges: std::os::fd::OwnedFd,
    port: u16,
}

impl App {
    fn new(engine: &Arc<Client>, port: u16) -> App {
        let queue = engine.queue().expect("a queue");
        let edges = sys::epoll_create().expect("epoll");
        let fd = engine.fd(&queue).expect("a descriptor");
        sys::epoll_add(edges.as_raw_fd(), fd, libc::EPOLLIN | libc::EPOLLET, 7).expect("it can be polled");
        App { engine: engine.clone(), queue, edges, port }
    }

    /// Events that come now or soon, given to `take`; how many.
    fn next(&self, via: Via, take: impl FnMut(Event)) -> usize {
        match via {
            Via::Poll => {
                let fd = self.engine.fd(&self.queue).expect("a descriptor");
                assert!(sys::poll_readable(fd, Some(STUCK)).expect("no signal comes"), "nothing shows what waits");
            }
            Via::Edge => {
                let mut events = [sys::EpollEvent { events: 0, u64: 0 }; 1];
                let n = sys::epoll_wait(self.edges.as_raw_fd(), &mut events, Some(STUCK)).expect("no signal comes");
                assert_eq!(n, 1, "no edge tells of what waits");
            }
            Via::Wait | Via::Perform => {
                return self.engine.wait(&self.queue, 8, Some(STUCK), take).expect("no signal comes").count;
            }
        }
        self.engine.drain(&self.queue, 8, take).count
    }

    /// One request and its answer; its error code.
    fn ask(&self, via: Via) -> i32 {
        let mut code = None;
        let mut take = |event: Event| code = Some(event.error);
        let request = request(&self.engine, self.port, "/", None);
        if let Via::Perform = via {
            self.engine
                .perform(request, Some(STUCK), |event| {
                    take(event);
                    true
                })
                .expect("an answer");
        } else {
            self.engine.submit(&self.queue, std::iter::once(request), |_| ()).expect("accepted");
            while self.next(via, &mut take) == 0 {}
        }
        code.expect("an event")
    }
}

#[test]
fn every_way_to_wait_after_every_other() {
    let port = server();
    let engine = engine(settings(true));
    let app = App::new(&engine, port);
    for round in 0..40 {
        for via in [WAYS[round % 4], WAYS[round / 4 % 4]] {
            for _ in 0..STREAK {
                assert_eq!(app.ask(via), 0, "{via:?}");
            }
        }
        if round % 4 == 0 {
            // The thread takes the lead back, or is about to.
            std::thread::sleep(Duration::from_micros(300 * (round as u64 % 8)));
        }
    }
    engine.stop(true);
    engine.audit();
}

/// What is due after the application has stopped to look is due all the same.
#[test]
fn deadlines_are_kept_when_the_application_stops_to_look() {
    let quick = server();
    let silent = serve(|stream| std::io::copy(stream, &mut std::io::sink()).map(drop));
    let engine = engine(settings(true));
    let app = App::new(&engine, quick);
    for round in 0..60 {
        let via = WAYS[round % 4];
        for _ in 0..STREAK {
            assert_eq!(app.ask(via), 0);
        }
        let mut late = request(&engine, silent, "/", None);
        late.timeouts = Timeouts { total: 3_000_000, ..late.timeouts };
        engine.submit(&app.queue, std::iter::once(late), |_| ()).expect("accepted");
        // Only the descriptor is looked at, which is enough by the contract.
        let fd = engine.fd(&app.queue).expect("a descriptor");
        let mut code = None;
        while code.is_none() {
            assert!(sys::poll_readable(fd, Some(STUCK)).expect("no signal comes"), "the deadline is forgotten");
            engine.drain(&app.queue, 8, |event| code = Some(event.error));
        }
        assert_eq!(code, Some(e::CHTTP_E_TIMEOUT_TOTAL));
    }
    engine.stop(true);
}

/// A signal ends a wait, and while its handler runs a deadline passes: the descriptor shows what the last turn published.
#[test]
fn what_comes_with_a_signal_is_shown() {
    extern "C" fn slow(_: libc::c_int) {
        // SAFETY: may be called in a signal handler.
        unsafe { libc::usleep(10_000) };
    }
    // SAFETY: the handler is safe to run at any time.
    unsafe { libc::signal(libc::SIGUSR1, slow as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    let quick = server();
    let silent = serve(|stream| std::io::copy(stream, &mut std::io::sink()).map(drop));
    let engine = engine(settings(true));
    let app = App::new(&engine, quick);
    let fd = engine.fd(&app.queue).expect("a descriptor");
    for _ in 0..40 {
        for _ in 0..STREAK {
            assert_eq!(app.ask(Via::Wait), 0);
        }
        let mut late = request(&engine, silent, "/", None);
        late.timeouts = Timeouts { total: 4_000_000, ..late.timeouts };
        engine.submit(&app.queue, std::iter::once(late), |_| ()).expect("accepted");
        // SAFETY: no promise is asked for.
        let victim = unsafe { libc::pthread_self() };
        let pest = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(2));
            // SAFETY: that thread waits for this one.
            unsafe { libc::pthread_kill(victim, libc::SIGUSR1) };
        });
        let mut code = None;
        let waited = engine.wait(&app.queue, 8, Some(STUCK), |event| code = Some(event.error));
        while code.is_none() {
            assert!(
                sys::poll_readable(fd, Some(STUCK)).unwrap_or(true),
                "nothing shows what came; the wait was {waited:?}"
            );
            engine.drain(&app.queue, 8, |event| code = Some(event.error));
        }
        assert_eq!(code, Some(e::CHTTP_E_TIMEOUT_TOTAL));
        pest.join().expect("it only sends a signal");
    }
    engine.stop(true);
}

/// A second queue, or a second thread, finds the lead taken, and is served all the same.
#[test]
fn a_crowd_gathers_while_one_leads() {
    let port = server();
    for round in 0..30 {
        let engine = engine(settings(true));
        let quick = Arc::new(AtomicBool::new(true));
        let mut jobs = Vec::new();
        for at in 0..3 {
            let (engine, quick) = (engine.clone(), quick.clone());
            jobs.push(job(move || {
                let app = App::new(&engine, port);
                if at > 0 {
                    // In the middle of what the first does.
                    while quick.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                }
                for n in 0..3 * STREAK {
                    assert_eq!(app.ask(WAYS[(round + at) % 4]), 0);
                    if n == STREAK {
                        quick.store(false, Ordering::SeqCst);
                    }
                }
                engine.forget(&app.queue);
            }));
        }
        together(jobs);
        engine.audit();
        engine.stop(true);
    }
}

/// The engine ends, or its queue does, wherever the lead is.
#[test]
fn an_end_comes_while_one_leads() {
    let port = server();
    for round in 0..60 {
        let engine = engine(settings(true));
        let app = App::new(&engine, port);
        let via = WAYS[round % 4];
        let led = Arc::new(AtomicBool::new(false));
        let (stopper, watched) = (engine.clone(), led.clone());
        let stop = job(move || {
            while !watched.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            stopper.stop(true);
        });
        let ask = job(move || {
            let mut n = 0;
            loop {
                let request = request(&app.engine, app.port, "/", None);
                let submitted = if let Via::Perform = via {
                    app.engine.perform(request, Some(STUCK), |_| true)
                } else {
                    app.engine.submit(&app.queue, std::iter::once(request), |_| ())
                };
                if submitted.is_err() {
                    break;
                }
                let mut ended = matches!(via, Via::Perform);
                while !ended {
                    app.next(via, |event| ended = event.kind == 6 || event.kind == 5);
                }
                n += 1;
                if n == STREAK {
                    led.store(true, Ordering::SeqCst);
                }
            }
            if round % 2 == 0 {
                app.engine.forget(&app.queue);
            }
        });
        together([stop, ask]);
    }
}
