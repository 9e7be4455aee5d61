//! The completion queue: where a reactor publishes events and an application takes them.
//!
//! Two vectors under two locks: publishers append to the back, drainers empty the front and swap it with the back when
//! it runs dry, so that a drain of many events holds the publishers' lock for an instant. Whether there are any is asked
//! far more often than they are moved, so each side keeps a count that is read without its lock.
//!
//! Invariant (the poll-fd rules 3, 5 and 6 of the contract): whenever an event waits and nobody is inside `drain`, the
//! signal is up. It is raised once when the queue leaves the empty state and once after a drain that left something.
#![forbid(unsafe_code)]

pub mod callee;
pub mod event;
pub mod inside;
mod notifier;
pub mod runs;
pub mod signal;

pub use callee::Callee;
pub use event::Event;
pub use notifier::Notifier;
pub use runs::Runs;
pub use signal::Signal;

use crate::sync::Mutex;
use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Default)]
struct Back {
    events: Vec<Event>,
    /// The signal was announced and no drain has begun since.
    raised: bool,
    /// Raises of a descriptor that were announced and that no drain has read yet: it may read before they are written.
    owed: u64,
    /// Destroyed by the application: events are dropped.
    closed: bool,
}

/// Events that a drain has begun to take: those from `next` on are left.
#[derive(Default)]
struct Front {
    events: Vec<Event>,
    next: usize,
}

impl Front {
    fn len(&self) -> usize {
        self.events.len() - self.next
    }

    fn take(&mut self, count: usize, mut take: impl FnMut(Event)) {
        if count == self.events.len() {
            return self.events.drain(..).for_each(take);
        }
        let end = self.next + count;
        self.events[self.next..end].iter_mut().for_each(|event| take(std::mem::take(event)));
        self.next = end;
        if end == self.events.len() {
            self.events.clear();
            self.next = 0;
        }
    }
}

pub struct Queue {
    signal: Signal,
    back: Mutex<Back>,
    /// Events of the back. When they move to the front, they are counted there first.
    behind: AtomicUsize,
    front: Mutex<Front>,
    ahead: AtomicUsize,
    /// Where `wakeup` stands: see `WOKEN`.
    wakeup: AtomicU8,
    /// Terminal events that are still to come.
    expected: AtomicU64,
    runs: Runs,
}

/// A wake-up is announced, then the signal is raised, then it is in effect. A drain takes it back only in the last state:
/// if it did so earlier, the write that follows would leave the signal up with nobody to lower it.
const WAKING: u8 = 1;
const WOKEN: u8 = 2;

/// What a drain found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    pub count: usize,
    /// Events remain, and the signal is up for them.
    pub left: bool,
    /// `wakeup` was called since the last drain.
    pub woken: bool,
}

impl Queue {
    pub fn new(signal: Signal) -> Queue {
        Queue {
            signal,
            back: Mutex::default(),
            behind: AtomicUsize::new(0),
            front: Mutex::default(),
            ahead: AtomicUsize::new(0),
            wakeup: AtomicU8::new(0),
            expected: AtomicU64::new(0),
            runs: Runs::default(),
        }
    }

    /// The descriptor to poll, if the queue has one of its own.
    pub fn fd(&self) -> Option<RawFd> {
        self.signal.fd()
    }

    /// What a forked child makes a queue with that stands for this one. Nothing is read that a lock protects.
    pub fn notifier(&self) -> Notifier {
        self.signal.notifier()
    }

    /// In a forked child: close the descriptors, and leave everything else as it is.
    pub fn abandon(&self) {
        self.signal.abandon();
    }

    /// The function that its events go to, if there is one. Nobody else takes them then.
    pub fn callee(&self) -> Option<&Callee> {
        self.signal.callee()
    }

    /// Move all of `staged` into the queue. Whether `raise` must follow.
    ///
    /// Raising is a step of its own, so that nobody holds a lock meanwhile: whoever is woken runs at once, perhaps on this
    /// very processor, and would have to wait for that lock.
    #[must_use]
    pub fn publish(&self, staged: &mut Vec<Event>) -> bool {
        let mut back = self.back.lock();
        if back.closed {
            drop(back);
            staged.clear();
            return false;
        }
        if staged.is_empty() {
            return false;
        }
        if back.events.is_empty() {
            std::mem::swap(&mut back.events, staged);
        } else {
            back.events.append(staged);
        }
        self.behind.store(back.events.len(), Ordering::SeqCst);
        if std::mem::replace(&mut back.raised, true) {
            return false;
        }
        if self.signal.is_late() {
            back.owed += u64::from(self.signal.is_counted());
            return true;
        }
        self.signal.raise();
        false
    }

    /// Something began that will end with a terminal event, or so many things.
    pub fn expect(&self, count: usize) {
        self.expected.fetch_add(count as u64, Ordering::SeqCst);
    }

    /// So many terminal events were published.
    pub fn ended(&self, count: usize) {
        self.expected.fetch_sub(count as u64, Ordering::SeqCst);
    }

    /// Whether events wait, or will come.
    pub fn is_live(&self) -> bool {
        // In this order: what is expected no more was published before.
        self.expected.load(Ordering::SeqCst) > 0 || !self.is_empty()
    }

    /// Who runs the queue, and whether they are to stop.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// End all runs in progress, or else the next one. Safe in a signal handler.
    pub fn stop(&self) {
        if self.runs.stop() {
            self.wakeup();
        }
    }

    /// A wake-up was taken. If it was meant for others, who run the queue and are to stop, wake them.
    pub fn pass_on(&self, drained: Drained) {
        if drained.woken && self.runs.are_stopping() {
            self.wakeup();
        }
    }

    /// Make the descriptor readable, after a `publish` that asked for it.
    pub fn raise(&self) {
        self.signal.raise();
    }

    /// Instead of `raise`, by a thread that is about to drain and has nobody to call but itself.
    pub fn withdraw(&self) {
        let mut back = self.back.lock();
        back.owed = back.owed.saturating_sub(1);
        back.raised = false;
    }

    /// Let the descriptor show the readiness of `other`, an epoll set, too, until `part`.
    pub fn join(&self, other: RawFd) -> io::Result<()> {
        self.signal.join(other)
    }

    /// Whether `join` does anything.
    pub fn can_join(&self) -> bool {
        self.signal.can_join()
    }

    pub fn part(&self, other: RawFd) {
        self.signal.part(other);
    }

    /// Hand at most `max` events to `take`, oldest first.
    ///
    /// Clears readiness first and raises it again if anything is left, so that both "drain once for each wake-up" and
    /// "drain until nothing comes" work.
    pub fn drain(&self, max: usize, take: impl FnMut(Event)) -> Drained {
        let mut front = self.front.lock();
        let (woken, behind);
        {
            let mut back = self.back.lock();
            woken = self.wakeup.compare_exchange(WOKEN, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok();
            if back.raised || woken || back.owed > 0 {
                back.raised = false;
                back.owed = back.owed.saturating_sub(self.signal.lower());
            }
            if front.len() == 0 && !back.events.is_empty() {
                std::mem::swap(&mut front.events, &mut back.events);
                self.ahead.store(front.len(), Ordering::SeqCst);
                self.behind.store(0, Ordering::SeqCst);
            }
            // Published while the front held what a drain had left: the signal that was lowered above stood for it too.
            behind = !back.events.is_empty();
        }
        let count = front.len().min(max);
        if count > 0 {
            // What is being handed over waits no more.
            self.ahead.store(front.len() - count, Ordering::SeqCst);
            front.take(count, take);
        }
        let mut left = behind || front.len() > 0;
        if left || count == max {
            let mut back = self.back.lock();
            left |= !back.events.is_empty();
            if left && !back.raised {
                back.raised = true;
                back.owed += u64::from(self.signal.is_counted());
                self.signal.raise();
            }
        }
        Drained { count, left, woken }
    }

    /// Events that wait. The back is asked first, so that those that move to the front meanwhile are not missed.
    pub fn len(&self) -> usize {
        self.behind.load(Ordering::SeqCst) + self.ahead.load(Ordering::SeqCst)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Announce a sleep: from here on the signal is heard. `sleep` must follow.
    pub fn doze(&self) {
        self.signal.doze();
    }

    /// The announced sleep, if there is `reason` for one and no event: until the signal is up. `Interrupted` after a signal
    /// handler ran.
    pub fn sleep(&self, reason: bool, timeout: Option<Duration>) -> io::Result<()> {
        self.signal.sleep(reason && self.is_empty() && !self.is_woken(), timeout)
    }

    /// Whether a thread sleeps here.
    pub fn has_sleepers(&self) -> bool {
        self.signal.has_sleepers()
    }

    /// A thread that waits here begins or ends to sleep for the whole engine.
    pub fn lead(&self, leads: bool) {
        self.signal.lead(leads);
    }

    /// Whether events came that the engine's descriptor has not shown yet.
    pub fn take_news(&self) -> bool {
        self.signal.take_news()
    }

    /// Wake a thread that sleeps here, so that it takes the turn.
    pub fn offer_turn(&self) {
        self.signal.unpark();
    }

    /// Whether `wakeup` is under way or in effect.
    pub fn is_woken(&self) -> bool {
        self.wakeup.load(Ordering::SeqCst) != 0
    }

    /// Make one `wait` return early. Safe in a signal handler: two atomic operations and one write.
    pub fn wakeup(&self) {
        loop {
            self.wakeup.store(WAKING, Ordering::SeqCst);
            self.signal.wake();
            match self.wakeup.compare_exchange(WAKING, WOKEN, Ordering::SeqCst, Ordering::SeqCst) {
                // Another call was as quick, and its wake-up was taken meanwhile: whoever was woken by ours found none.
                Err(0) => {}
                _ => return,
            }
        }
    }

    /// Keep room for `spare` events, or as many as wait.
    pub fn tidy(&self, spare: usize) {
        self.back.lock().events.shrink_to(spare);
        // A thread that drains just now will find other occasions.
        if let Some(mut front) = self.front.try_lock() {
            front.events.shrink_to(spare);
        }
    }

    /// Drop what waits and everything that is published from now on. Waits for a call of the queue's function to return.
    pub fn close(&self) {
        let waiting = {
            let mut back = self.back.lock();
            back.closed = true;
            self.behind.store(0, Ordering::SeqCst);
            std::mem::take(&mut back.events)
        };
        let front = {
            let mut front = self.front.lock();
            self.ahead.store(0, Ordering::SeqCst);
            std::mem::take(&mut *front)
        };
        // No lock is held: what goes with an event may be told of it, and look at the queue.
        drop((waiting, front));
        self.signal.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sys;
    use std::sync::Arc;

    fn queue() -> Queue {
        Queue::new(Signal::polled(Arc::new(Nobody), &Arc::default()).unwrap())
    }

    struct Nobody;

    impl crate::net::backend::Notify for Nobody {
        fn notify(&self) {}
    }

    fn readable(queue: &Queue) -> bool {
        sys::poll_readable(queue.fd().unwrap(), Some(Duration::ZERO)).unwrap()
    }

    #[test]
    fn what_is_published_behind_a_partial_drain_keeps_the_signal_up() {
        let queue = queue();
        let publish = |n: usize| {
            if queue.publish(&mut (0..n).map(|_| Event::default()).collect()) {
                queue.raise();
            }
        };
        publish(3);
        assert_eq!(queue.drain(2, drop), Drained { count: 2, left: true, woken: false });
        publish(1);
        let mut count = 0;
        while readable(&queue) {
            let drained = queue.drain(2, drop);
            count += drained.count;
            assert_eq!(drained.left, readable(&queue));
        }
        assert!(count == 2 && queue.is_empty());
    }

    #[test]
    fn a_drain_between_publish_and_raise_leaves_no_signal_up() {
        let queue = queue();
        assert!(queue.publish(&mut vec![Event::default()]));
        assert_eq!(queue.drain(9, drop), Drained { count: 1, left: false, woken: false });
        queue.wakeup();
        assert!(queue.publish(&mut vec![Event::default()]), "a new non-empty period");
        assert!(!queue.publish(&mut vec![Event::default()]));
        assert_eq!(queue.drain(9, drop), Drained { count: 2, left: false, woken: true });
        queue.raise();
        queue.raise();
        assert!(readable(&queue), "spurious, once");
        assert_eq!(queue.drain(9, drop).count, 0);
        assert!(!readable(&queue));
    }
}
