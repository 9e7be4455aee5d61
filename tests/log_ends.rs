//! The log's function and the end of the engine: after the end it is not called any more, on whatever thread.

mod stress_support;

use chttpcore::client::Settings;
use chttpcore::client::logging::Call;
use chttpcore::diag::Level;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stress_support::{engine, request, server, settings};

/// A thread that waits is in the middle of the function when another one ends the engine.
#[test]
fn the_end_waits_for_the_function_on_other_threads() {
    let port = server();
    for own_thread in [false, true] {
        for _ in 0..20 {
            let (called, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
            let (tell, over) = (called.clone(), ended.clone());
            let here = std::thread::current().id();
            let function = move |_: &_| {
                if std::thread::current().id() == here {
                    return;
                }
                tell.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                assert!(!over.load(Ordering::SeqCst), "called after the end");
            };
            let log = Some(Call(Arc::new(function)));
            let engine = engine(Settings { log_level: Level::Debug, log, ..settings(own_thread) });
            let queue = engine.queue().expect("a queue");
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    while !engine.is_over(&queue) {
                        engine.wait(&queue, 8, None, drop).expect("no signal comes");
                    }
                });
                let sent = request(&engine, port, "/", None);
                engine.submit(&queue, std::iter::once(sent), |_| ()).expect("accepted");
                while !called.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                engine.stop(true);
                ended.store(true, Ordering::SeqCst);
                waiter.join().expect("the function was not called too late");
            });
        }
    }
}
