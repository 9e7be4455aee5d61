//! Queues whose events go to a function of the application, on the engine's thread.
//!
//! Between two turns, when it holds no lock, the thread hands each such queue's function one batch; it does not sleep while
//! one of them has events. The function may submit, cancel and write: what comes of it is published as ever, and delivered in
//! the next round, so that no call is inside another. It is never called but here: whoever has joined the thread, or closed
//! the queue, can be sure of that.
//!
//! After the end there are still the terminal events; and after a panic, events of submissions that met it. The thread stays
//! for them until the application has given the engine up.

use super::{Engine, Mail};
use crate::diag::Level;
use crate::net::backend::{Backend, Notify};
use crate::net::mailbox::Mailbox;
use crate::net::sys;
use crate::queue::callee::BATCH;
use crate::queue::event::kind;
use crate::queue::{Event, Queue};
use crate::sync::{Condvar, Mutex};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

#[derive(Default)]
struct Rung {
    rung: bool,
    /// The application has given the engine up.
    over: bool,
}

/// What wakes the thread for events: by the mailbox while it takes turns, by the condition when they are over.
pub(super) struct Bell {
    mail: Arc<Mailbox<Mail>>,
    state: Mutex<Rung>,
    heard: Condvar,
}

impl Notify for Bell {
    fn notify(&self) {
        self.state.lock().rung = true;
        self.heard.notify_one();
        self.mail.ring();
    }
}

impl Bell {
    /// Sleep until it rings. Whether the engine was given up.
    fn wait(&self) -> bool {
        let mut state = self.heard.wait_while(self.state.lock(), |state| !state.rung && !state.over);
        state.rung = false;
        state.over
    }
}

pub(super) struct Calling {
    bell: Arc<Bell>,
    queues: Mutex<Vec<Weak<Queue>>>,
    /// How many they are: most engines have none.
    count: AtomicUsize,
}

/// What a round of calls works with.
#[derive(Default)]
pub(super) struct Hands {
    queues: Vec<Arc<Queue>>,
    events: Vec<Event>,
}

impl Calling {
    pub fn new(mail: Arc<Mailbox<Mail>>) -> Calling {
        let bell = Arc::new(Bell { mail, state: Mutex::default(), heard: Condvar::default() });
        Calling { bell, queues: Mutex::default(), count: AtomicUsize::new(0) }
    }

    pub fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    pub fn add(&self, queue: &Arc<Queue>) {
        let mut queues = self.queues.lock();
        queues.push(Arc::downgrade(queue));
        self.count.store(queues.len(), Ordering::SeqCst);
    }

    pub fn remove(&self, queue: &Arc<Queue>) {
        let mut queues = self.queues.lock();
        queues.retain(|q| q.strong_count() > 0 && !std::ptr::eq(q.as_ptr(), Arc::as_ptr(queue)));
        self.count.store(queues.len(), Ordering::SeqCst);
    }

    /// Whether there are such queues.
    pub fn is_wanted(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Whether one of them has events.
    pub fn has_events(&self) -> bool {
        self.is_wanted() && self.queues.lock().iter().filter_map(Weak::upgrade).any(|q| !q.is_empty())
    }

    /// The application has given the engine up: the thread need not stay.
    pub fn give_up(&self) {
        self.bell.state.lock().over = true;
        self.bell.heard.notify_one();
    }
}

impl<B: Backend> Engine<B> {
    /// Hand each function one batch. Whether any was called. The thread holds no lock.
    pub(super) fn deliver(&self, hands: &mut Hands) -> bool {
        let Hands { queues, events } = hands;
        queues.extend(self.calling.queues.lock().iter().filter_map(Weak::upgrade));
        let mut called = false;
        for queue in queues.drain(..) {
            let Some(callee) = queue.callee() else { continue };
            let inside = callee.enter();
            queue.drain(BATCH, |event| events.push(event));
            if events.is_empty() {
                continue;
            }
            called = true;
            let count = events.len();
            // A call for nothing but lines would, if it is slow, be the reason for its successor.
            let counts = events.iter().any(|event| event.kind != kind::LOG);
            let began = sys::monotonic_ns();
            callee.call(events.drain(..));
            let took = sys::monotonic_ns() - began;
            drop(inside);
            let limit = self.settings.slow_callback_ns;
            if counts && limit > 0 && took > limit {
                self.tell_slow(callee.name(), count, took, limit);
            }
        }
        called
    }

    fn tell_slow(&self, name: &str, count: usize, took: u64, limit: u64) {
        let ms = |ns: u64| ns as f64 / 1e6;
        self.turn(&mut self.lock(), |core| {
            let now = core.io.now();
            core.client.log.add(Level::Warning, now, 0, || {
                let (took, limit, s) = (ms(took), ms(limit), if count == 1 { "" } else { "s" });
                format!("the callback {name} took {took:.1} ms, over {limit:.1} ms, for {count} event{s}: nothing else moved")
            });
        });
    }

    /// The end was published. What comes late is delivered too, until the application has given the engine up.
    pub(super) fn linger(&self, hands: &mut Hands) {
        let mut over = !self.calling.is_wanted();
        loop {
            while self.deliver(hands) {}
            if over {
                return;
            }
            over = self.calling.bell.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DOWN;
    use super::*;
    use crate::client::Settings;
    use crate::net::backend::mock::MockNet;
    use crate::queue::{Callee, Notifier};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn after_a_panic_events_are_delivered_until_the_engine_is_given_up() {
        let engine = Engine::new(Settings::default(), MockNet::new().backend()).unwrap();
        let (tell, told) = channel();
        let function = move |events: &mut dyn Iterator<Item = Event>| tell.send(events.count()).unwrap();
        let queue = engine.queue_with(Notifier::Call(Callee::new("late", Arc::new(function)))).unwrap();
        engine.state.store(DOWN, Ordering::SeqCst);
        engine.mail.alarm();
        // Each comes when the thread has had time to go.
        for _ in 0..100 {
            assert!(queue.publish(&mut vec![Event::default()]));
            queue.raise();
            assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(1));
        }
        engine.stop(true);
        assert!(engine.thread.lock().is_none());
    }
}
