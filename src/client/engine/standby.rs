//! The engine's thread stands by: an application that takes each answer at once does the engine's work itself.
//!
//! One request at a time costs a thread of the engine more than the request: the answer wakes it, and it wakes the
//! application. So when answers come singly, in quick succession, and each is taken before the next comes, the thread lets the
//! application have the lead: the queue's descriptor shows the readiness of the engine's sockets, and whoever drains or waits
//! takes the turn, as in the caller-driven drive.
//!
//! The thread stays responsible. It looks every `TICK` whether somebody led in the meantime, and if not, takes the lead back;
//! so no timer, no mail and no readiness is ever later than that. It also takes it back from a crowd (two queues, two threads)
//! and when answers come in numbers, where a thread of its own is worth having.
//!
//! States: the thread leads (`ACTIVE`); it looks every tick (`TICKING`); a caller sleeps in the lead, so that there is nothing
//! to look after until he lets go, and wakes the thread (`PARKED`).

use super::{Engine, RUNNING};
use crate::client::outbox::Calls;
use crate::net::backend::Backend;
use crate::net::sys;
use crate::queue::{Drained, Queue};
use crate::sync::Mutex;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::thread::{self, Thread};
use std::time::Duration;

pub(super) const ACTIVE: u8 = 0;
const TICKING: u8 = 1;
const PARKED: u8 = 2;

const TICK: Duration = Duration::from_millis(1);
/// Answers in a turn that make a crowd.
const FEW: u32 = 2;
/// Turns with few answers, one after the other, after which the application gets the lead.
const STREAK: u32 = 32;
/// The longest pause within a streak. Ticks cost as much as they save if fewer answers come.
const PAUSE_NS: u64 = 250_000;
/// Events that one drain takes, and drains with so many in a row, after which the thread takes the lead back.
const MANY: usize = 16;
const RUSH: u32 = 32;
/// The lead stays with the thread for so long after a crowd.
const HOLD_OFF_NS: u64 = 100_000_000;

/// What the thread and its deputies tell each other.
#[derive(Default)]
pub(super) struct Standby {
    state: AtomicU8,
    /// Times that callers have led.
    led: AtomicU64,
    /// The lead is wanted back at once.
    recalled: AtomicBool,
    rush: AtomicU32,
    /// The engine's thread.
    thread: Mutex<Option<Thread>>,
}

impl Standby {
    /// Whether callers may lead an engine that has a thread.
    pub fn is_on(&self) -> bool {
        self.state.load(Ordering::SeqCst) != ACTIVE
    }

    /// A caller leads.
    pub fn note(&self) {
        self.led.fetch_add(1, Ordering::Relaxed);
    }

    /// A caller lets go of the lead; a thread that relied on him looks after things again.
    pub fn let_go(&self) {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) == PARKED {
            self.wake();
        }
    }

    /// Ask for the lead.
    pub fn recall(&self) {
        if self.is_on() && !self.recalled.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wake the thread, wherever it stands by.
    pub fn wake(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// A caller drained so much. Answers that come in numbers are better worked on beside the application.
    pub fn drained(&self, drained: Drained) {
        if drained.count < MANY {
            self.rush.store(0, Ordering::Relaxed);
        } else if self.rush.fetch_add(1, Ordering::Relaxed) == RUSH {
            self.recall();
        }
    }
}

/// How answers come, as the thread sees it.
#[derive(Default)]
pub(super) struct Pace {
    streak: u32,
    last: u64,
    hold_off: u64,
}

impl Pace {
    /// A turn of the thread's is over. Whether it is time to stand by.
    pub fn is_quick(&mut self, now: u64, calls: &Calls) -> bool {
        let paused = now.saturating_sub(self.last) > PAUSE_NS;
        self.last = now;
        if calls.behind() || paused || calls.answers() > FEW || now < self.hold_off {
            self.streak = 0;
        } else {
            self.streak += u32::from(!calls.is_empty());
        }
        self.streak >= STREAK
    }
}

impl<B: Backend> Engine<B> {
    /// The queue whose application may lead: there is but one, or none.
    fn sole_queue(&self) -> Option<Weak<Queue>> {
        let queues = self.queues.lock();
        let mut live = queues.iter().filter(|q| q.strong_count() > 0);
        match (live.next(), live.next()) {
            // A queue whose descriptor cannot show ours keeps the thread at work.
            (queue, None) if queue.and_then(Weak::upgrade).is_none_or(|q| q.can_join()) => {
                Some(queue.cloned().unwrap_or_default())
            }
            _ => None,
        }
    }

    /// The thread's absence. It holds neither the turn nor the lead.
    pub(super) fn stand_by(&self, pace: &mut Pace) {
        pace.streak = 0;
        let Some(queue) = self.sole_queue() else { return };
        let Some(fd) = self.poll_fd else { return };
        // The queue may be gone at any moment, with its descriptor; that must not be put off by us.
        if queue.upgrade().is_some_and(|q| q.join(fd).is_err()) {
            return;
        }
        self.standby.recalled.store(false, Ordering::SeqCst);
        self.standby.rush.store(0, Ordering::Relaxed);
        self.standby.thread.lock().get_or_insert_with(thread::current);
        self.standby.state.store(TICKING, Ordering::SeqCst);
        self.leave_ready();
        let mut crowd = self.sole_queue().is_none_or(|now| !now.ptr_eq(&queue));
        while !crowd && self.state.load(Ordering::SeqCst) == RUNNING {
            let led = self.standby.led.load(Ordering::Relaxed);
            thread::park_timeout(TICK);
            crowd = self.standby.recalled.load(Ordering::SeqCst);
            if crowd || self.standby.led.load(Ordering::Relaxed) != led {
                continue;
            }
            if self.sleeper.try_lock().is_some() {
                break;
            }
            // Somebody sleeps in the lead. He looks for us, or has let go before we look for him.
            self.standby.state.store(PARKED, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let gone = self.sleeper.try_lock().is_some();
            if !gone && self.state.load(Ordering::SeqCst) == RUNNING && !self.standby.recalled.load(Ordering::SeqCst) {
                thread::park();
            }
            self.standby.state.store(TICKING, Ordering::SeqCst);
        }
        self.standby.state.store(ACTIVE, Ordering::SeqCst);
        if let Some(queue) = queue.upgrade() {
            queue.part(fd);
        }
        if crowd {
            pace.hold_off = sys::monotonic_ns() + HOLD_OFF_NS;
        }
        // A caller who sleeps in the lead is to let go of it.
        self.mail.alarm();
    }

    /// A caller is done with his turn, and the thread stands by: the descriptor shows what is left to do.
    pub(super) fn leave_ready(&self) {
        let runnable = self.lock().io.has_runnable();
        if !self.mail.doze() || runnable {
            self.mail.alarm();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_leads_after_a_streak_of_single_answers() {
        let mut pace = Pace::default();
        let mut now = 0;
        let mut turns = |pace: &mut Pace, calls: &Calls, n: u32, gap: u64| {
            (0..n)
                .filter(|_| {
                    now += gap;
                    pace.is_quick(now, calls)
                })
                .count()
        };
        let single = Calls::of(1, false);
        assert_eq!(turns(&mut pace, &single, STREAK, 50_000), 1);
        pace.streak = 0;
        assert_eq!(turns(&mut pace, &single, 1000, PAUSE_NS + 1), 0, "too slow");
        assert_eq!(turns(&mut pace, &Calls::of(FEW + 1, false), 1000, 50_000), 0, "too many");
        assert_eq!(turns(&mut pace, &Calls::of(1, true), 1000, 50_000), 0, "taken late");
        assert_eq!(turns(&mut pace, &Calls::of(0, false), 1000, 50_000), 0, "nothing to take");
        pace.hold_off = u64::MAX;
        assert_eq!(turns(&mut pace, &single, 1000, 50_000), 0, "after a crowd");
    }
}
