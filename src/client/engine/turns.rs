//! Taking the turn, and letting go of it.

use super::{DOWN, Engine};
use crate::client::logging;
use crate::client::turn::Core;
use crate::error as e;
use crate::net::backend::Backend;
use crate::queue::Queue;
use crate::queue::inside::Inside;
use crate::sync::MutexGuard;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// An engine that was not driven for this long looks at its sockets before it uses one again.
const STALE_NS: u64 = 1_000_000_000;

/// The turn. Letting go of it raises the queues that got events; not before, because whoever is woken may run at once and
/// want the turn.
pub(super) struct Turn<'a, B: Backend> {
    core: Option<MutexGuard<'a, Core<B>>>,
    /// The queue that the holder drains next.
    pub(super) drainer: Option<&'a Queue>,
    telling: &'a Inside,
}

impl<B: Backend> std::ops::Deref for Turn<'_, B> {
    type Target = Core<B>;

    fn deref(&self) -> &Core<B> {
        self.core.as_ref().expect("held until it is dropped")
    }
}

impl<B: Backend> std::ops::DerefMut for Turn<'_, B> {
    fn deref_mut(&mut self) -> &mut Core<B> {
        self.core.as_mut().expect("held until it is dropped")
    }
}

impl<B: Backend> Drop for Turn<'_, B> {
    fn drop(&mut self) {
        if let Some(mut core) = self.core.take() {
            let calls = core.take_calls();
            let told = core.client.log.take();
            // Before the turn is let go, so that `stop` knows of it.
            let _telling = told.as_ref().map(|_| self.telling.enter());
            drop(core);
            if let Some(calls) = calls {
                calls.raise(self.drainer);
            }
            if let Some((logging::Call(call), lines)) = told {
                lines.iter().for_each(|line| call(line));
            }
        }
    }
}

impl<B: Backend> Engine<B> {
    pub(super) fn lock(&self) -> Turn<'_, B> {
        Turn { core: Some(self.core.lock()), drainer: None, telling: &self.telling }
    }

    pub(super) fn try_lock(&self) -> Option<Turn<'_, B>> {
        let core = self.core.try_lock()?;
        Some(Turn { core: Some(core), drainer: None, telling: &self.telling })
    }

    /// A connection that nobody looked after may be dead by now: look before it is used.
    pub(super) fn refresh<'a>(&'a self, mut core: Turn<'a, B>) -> Turn<'a, B> {
        if self.settings.own_thread || core.client.pool.counts().idle == 0 {
            return core;
        }
        let looked = self.looked_at.load(Ordering::Relaxed);
        if core.io.backend().now().0.saturating_sub(looked) < STALE_NS {
            return core;
        }
        let Some(mut sleeper) = self.sleeper.try_lock() else { return core };
        drop(core);
        self.look(&mut sleeper, None, Some(Duration::ZERO)).ok();
        self.let_go(sleeper);
        self.lock()
    }

    /// A turn on a thread that did not sleep for it: an application's thread that submits.
    pub(super) fn take_turn<'a>(&'a self, mut core: Turn<'a, B>, work: impl FnOnce(&mut Core<B>)) {
        self.turn(&mut core, work);
        loop {
            if self.settings.own_thread {
                let next = core.next().0;
                let wake = core.io.has_runnable() || next < self.sleep_until.load(Ordering::SeqCst);
                drop(core);
                // The thread itself is awake, inside a function of the application.
                if wake && !self.is_own_thread() {
                    self.mail.alarm();
                }
                fence(Ordering::SeqCst);
                // The thread reads what came meanwhile: whoever sent it saw the thread asleep, or it was awake.
                return;
            }
            self.settle(&mut core, false, false);
            drop(core);
            fence(Ordering::SeqCst);
            if self.mail.is_empty() {
                return;
            }
            match self.try_lock() {
                Some(again) => core = again,
                None => return,
            }
            self.turn(&mut core, |_| {});
        }
    }

    /// In the caller-driven drive: leave the descriptor as the contract wants it.
    pub(super) fn settle(&self, core: &mut Core<B>, left: bool, fresh: bool) {
        let (mut events, mut news) = (false, false);
        for queue in self.queues.lock().iter().filter_map(Weak::upgrade) {
            news |= queue.take_news();
            events |= !queue.is_empty() || queue.is_woken();
        }
        // An engine that has ended does no work, and reads no mail.
        let work = !self.is_stopped() && (core.io.has_runnable() || !self.mail.doze());
        let left = left || work || events;
        core.settle(left, left && (fresh || events && news));
    }

    /// Take a turn: mail, then `work`, then the events. A panic ends the engine, not the process.
    pub(super) fn turn(&self, core: &mut Core<B>, work: impl FnOnce(&mut Core<B>)) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            core.io.tick();
            core.read_mail(&self.mail);
            work(core);
            core.talk();
            core.publish();
        }));
        if outcome.is_err() && self.state.swap(DOWN, Ordering::SeqCst) != DOWN {
            self.ids.close();
            // The engine's own thread may be asleep, and has to end.
            self.mail.alarm();
            self.standby.wake();
            let mut queues: Vec<Arc<Queue>> = self.queues.lock().iter().filter_map(Weak::upgrade).collect();
            queues.extend(self.perform_queues.lock().iter().cloned());
            if catch_unwind(AssertUnwindSafe(|| core.collapse(&queues, &self.mail, true))).is_err() {
                // The sockets are beyond repair; the application is told all the same.
                drop(catch_unwind(AssertUnwindSafe(|| core.collapse(&queues, &self.mail, false))));
            }
        }
    }

    /// The last turn. Whoever leaves mail from here on sees that the engine is stopped, and takes a turn for it.
    pub(super) fn end(&self, core: &mut Core<B>) {
        fence(Ordering::SeqCst);
        if !core.is_closed() {
            self.turn(core, |core| core.shut_down(e::CHTTP_E_ENGINE_CLOSED));
        }
    }

    /// The engine was stopped, and whoever is to take its last turn may not have come to it: be the first. Then the terminal
    /// events are there.
    pub(super) fn see_end(&self) {
        self.end(&mut self.lock());
    }
}
