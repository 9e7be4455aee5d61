//! Sleeping for readiness: the engine's own thread, and the callers that do without one.
//!
//! Driven by the caller, one of those who wait leads: it sleeps on the sockets and takes the turns. The others follow: each
//! sleeps on a descriptor of its queue until it has events or is offered the lead. Whoever leaves hands the lead on.

use super::calling::Hands;
use super::standby::Pace;
use super::{DOWN, Engine, REACTOR_OF, RUNNING, STOPPING, Sleeper};
use crate::net::backend::{Backend, Clock, Waiter};
use crate::proto::Tick;
use crate::queue::{Drained, Event, Queue};
use crate::sync::MutexGuard;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

impl<B: Backend> Engine<B> {
    /// Take events without waiting.
    pub fn drain(&self, queue: &Queue, max: usize, mut take: impl FnMut(Event)) -> Drained {
        if self.has_active_thread() {
            return queue.drain(max, take);
        }
        let Some(mut sleeper) = self.sleeper.try_lock().or_else(|| self.pass_by()) else {
            // Another thread leads; it keeps the descriptor as it must be for what is left.
            let drained = queue.drain(max, take);
            if self.settings.own_thread {
                self.standby.recall();
            } else if drained.left {
                self.mail.alarm();
            }
            return drained;
        };
        // The sockets are looked at before the descriptor is left in peace: one edge may have told of them and of events.
        // After the end too: what made the descriptor readable has to be taken, or a loop would spin on it.
        let first = queue.is_empty();
        if first && !self.fetch(queue) {
            self.look(&mut sleeper, Some(queue), Some(Duration::ZERO)).ok();
        }
        let mut drained = queue.drain(max, &mut take);
        if !first && !drained.left {
            self.look(&mut sleeper, Some(queue), Some(Duration::ZERO)).ok();
            let more = queue.drain(max - drained.count, take);
            drained = Drained { count: drained.count + more.count, left: more.left, woken: drained.woken | more.woken };
        }
        self.leave(drained.left, true);
        self.let_go(sleeper);
        self.standby.drained(drained);
        drained
    }

    /// Take a turn with what came to the only connection, if there is but one. Whether anything did.
    fn fetch(&self, queue: &Queue) -> bool {
        if !self.has_sole.load(Ordering::Relaxed) {
            return false;
        }
        let mut core = self.lock();
        self.standby.note();
        core.drainer = Some(queue);
        let mut came = false;
        self.turn(&mut core, |core| came = core.fetch());
        came
    }

    /// The end of a caller's lead: the descriptor shows what is left.
    fn leave(&self, left: bool, fresh: bool) {
        if self.settings.own_thread {
            self.leave_ready();
        } else {
            self.settle(&mut self.lock(), left, fresh);
        }
    }

    /// A drain finds somebody else in the lead, who is to say when he goes, unless he is gone by now: the edge that brought us
    /// here may have told of sockets that he does not look at any more.
    fn pass_by(&self) -> Option<MutexGuard<'_, Sleeper<B::Waiter>>> {
        self.passed_by.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.sleeper.try_lock()
    }

    /// Wait until events come, at most to `timeout`. `Interrupted` after a signal handler ran.
    pub fn wait(
        &self,
        queue: &Arc<Queue>,
        max: usize,
        timeout: Option<Duration>,
        take: impl FnMut(Event),
    ) -> io::Result<Drained> {
        if !self.has_active_thread() && !queue.is_empty() {
            self.glance(queue);
        }
        let outcome = self.wait_for(queue, max, timeout, take);
        // Who leaves hands on what was meant for more than him: the end of the engine, and the lead, which he had, or was
        // offered while he had reason to go.
        if !self.settings.own_thread {
            if let Some(sleeper) = self.sleeper.try_lock() {
                self.let_go(sleeper);
            }
        } else if self.is_stopped() && queue.has_sleepers() {
            queue.wakeup();
        }
        outcome
    }

    /// Look at the sockets, if nobody else does. Whoever finds events does not sleep, and who always finds some, because he
    /// posts them himself, would never come to look.
    fn glance(&self, queue: &Queue) {
        if let Some(mut sleeper) = self.sleeper.try_lock() {
            self.look(&mut sleeper, Some(queue), Some(Duration::ZERO)).ok();
            self.let_go(sleeper);
        }
    }

    fn wait_for(
        &self,
        queue: &Arc<Queue>,
        max: usize,
        timeout: Option<Duration>,
        mut take: impl FnMut(Event),
    ) -> io::Result<Drained> {
        let deadline = timeout.map(|t| self.clock.after(t));
        loop {
            let stopped = self.is_stopped();
            let drained = if stopped {
                self.wake_followers();
                self.see_end();
                self.drain(queue, max, &mut take)
            } else if self.has_active_thread() {
                queue.drain(max, &mut take)
            } else {
                self.lead(queue, max, deadline, &mut take)?
            };
            let now = self.clock.now();
            if drained.count > 0 || drained.woken || stopped || deadline.is_some_and(|d| d <= now) || max == 0 {
                return Ok(drained);
            }
            let left = deadline.map(|d| Duration::from_nanos(d.0 - now.0));
            if self.has_active_thread() {
                queue.doze();
                queue.sleep(!self.is_stopped(), left)?;
            }
        }
    }

    fn left(&self, deadline: Option<Tick>) -> Option<Duration> {
        deadline.map(|d| self.clock.until(d))
    }

    /// The caller-driven drive: lead for one sleep, or follow. Events of the queue are taken before and after.
    fn lead(
        &self,
        queue: &Arc<Queue>,
        max: usize,
        deadline: Option<Tick>,
        take: &mut impl FnMut(Event),
    ) -> io::Result<Drained> {
        let Some(mut sleeper) = self.sleeper.try_lock() else {
            if self.settings.own_thread {
                // Two who wait are served by the thread, which comes to know of it.
                self.standby.recall();
                return self.doze(queue, max, deadline, take);
            }
            return self.follow(queue, max, deadline, take);
        };
        let drained = queue.drain(max, &mut *take);
        let outcome = if drained.count > 0 {
            Ok(drained)
        } else {
            // A wake-up ends the wait and not the work: were there one before every wait, nothing would move.
            let timeout = if drained.woken { Some(Duration::ZERO) } else { self.left(deadline) };
            self.look(&mut sleeper, Some(queue), timeout).map(|()| {
                let came = queue.drain(max, take);
                Drained { woken: came.woken || drained.woken, ..came }
            })
        };
        let left = outcome.as_ref().is_ok_and(|d| d.left);
        self.leave(left, left);
        drop(sleeper);
        self.standby.let_go();
        outcome.inspect(|&drained| self.standby.drained(drained))
    }

    /// Sleep until the queue is raised, by whoever leads.
    fn doze(
        &self,
        queue: &Queue,
        max: usize,
        deadline: Option<Tick>,
        take: &mut impl FnMut(Event),
    ) -> io::Result<Drained> {
        queue.doze();
        queue.sleep(!self.is_stopped(), self.left(deadline))?;
        Ok(queue.drain(max, take))
    }

    fn follow(
        &self,
        queue: &Arc<Queue>,
        max: usize,
        deadline: Option<Tick>,
        take: &mut impl FnMut(Event),
    ) -> io::Result<Drained> {
        let drained = queue.drain(max, &mut *take);
        if drained.count > 0 || drained.woken {
            return Ok(drained);
        }
        // Announced first: whoever finds us in the list and offers the lead has to be heard.
        queue.doze();
        self.followers.lock().push(queue.clone());
        // The lead may have become free before we stood in the list.
        let taken = self.sleeper.try_lock().is_none() && !self.is_stopped();
        let left = self.left(deadline);
        let slept = queue.sleep(taken, left);
        let mut followers = self.followers.lock();
        if let Some(at) = followers.iter().position(|q| Arc::ptr_eq(q, queue)) {
            followers.swap_remove(at);
        }
        drop(followers);
        slept.map(|()| queue.drain(max, take))
    }

    /// Stop leading; somebody who follows takes over.
    pub(super) fn let_go(&self, sleeper: MutexGuard<'_, Sleeper<B::Waiter>>) {
        drop(sleeper);
        self.standby.let_go();
        if self.passed_by.load(Ordering::SeqCst) && self.passed_by.swap(false, Ordering::SeqCst) {
            self.mail.alarm();
        }
        if let Some(queue) = self.followers.lock().first() {
            queue.offer_turn();
        }
    }

    /// Nobody will lead any more: all who wait for it go their way.
    pub(super) fn wake_followers(&self) {
        for queue in self.followers.lock().iter() {
            queue.offer_turn();
        }
    }

    /// Sleep for readiness and take a turn with what came. `queue` is the one whose events the thread waits for.
    pub(super) fn look<'a>(
        &'a self,
        sleeper: &mut Sleeper<B::Waiter>,
        queue: Option<&'a Queue>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        let lead = |leads| queue.into_iter().for_each(|q| q.lead(leads));
        let mut timeout = timeout;
        let sleeps = timeout != Some(Duration::ZERO);
        if sleeps {
            let mut core = self.lock();
            if !self.mail.is_empty() {
                self.turn(&mut core, |_| {});
            }
            // A turn of another thread may have published events of this queue; those to come will be heard.
            lead(true);
            let news = queue.is_some_and(|q| !q.is_empty() || q.is_woken());
            let busy = core.io.has_runnable() || !self.mail.doze() || news || self.is_stopped();
            let due = core.next();
            // Before another thread takes the turn: it compares its deadlines with this one.
            self.sleep_until.store(due.0, Ordering::SeqCst);
            drop(core);
            if busy {
                timeout = Some(Duration::ZERO);
            } else if due != Tick::NEVER {
                let until = self.clock.until(due);
                timeout = Some(timeout.map_or(until, |t| t.min(until)));
            }
        }
        let Sleeper { waiter, ready } = sleeper;
        ready.clear();
        let waited = waiter.wait(ready, timeout);
        if sleeps {
            lead(false);
            self.sleep_until.store(0, Ordering::SeqCst);
        }
        self.standby.note();
        let mut core = self.lock();
        // Whoever was interrupted goes without a look at the queue, and leaves it to others.
        core.drainer = queue.filter(|_| waited.is_ok());
        self.turn(&mut core, |core| core.dispatch(ready));
        self.looked_at.store(core.io.now().0, Ordering::Relaxed);
        self.has_sole.store(core.io.has_sole(), Ordering::Relaxed);
        waited
    }

    /// The engine's own thread.
    pub(super) fn run(&self) {
        REACTOR_OF.set(std::ptr::from_ref(self) as usize);
        let (mut pace, mut hands) = (Pace::default(), Hands::default());
        while self.state.load(Ordering::SeqCst) == RUNNING && self.serve(&mut pace, &mut hands).is_ok() {
            self.stand_by(&mut pace);
        }
        let mut core = self.lock();
        // After a panic there is nothing left to end in order.
        if self.state.compare_exchange(RUNNING, STOPPING, Ordering::SeqCst, Ordering::SeqCst) != Err(DOWN) {
            self.end(&mut core);
        }
        drop(core);
        self.linger(&mut hands);
    }

    /// Lead until the application might do it as well, or the engine is to end.
    fn serve(&self, pace: &mut Pace, hands: &mut Hands) -> io::Result<()> {
        let mut sleeper = self.sleeper.lock();
        while self.state.load(Ordering::SeqCst) == RUNNING {
            let Sleeper { waiter, ready } = &mut *sleeper;
            let timeout = {
                let core = self.lock();
                if core.io.has_runnable() || !self.mail.doze() || self.calling.has_events() {
                    Some(Duration::ZERO)
                } else {
                    let next = core.next();
                    self.sleep_until.store(next.0, Ordering::SeqCst);
                    (next != Tick::NEVER).then(|| self.clock.until(next))
                }
            };
            ready.clear();
            // A signal cannot come to this thread, and any other failure would come again: the turn decides.
            let waited = waiter.wait(ready, timeout);
            self.mail.awake();
            self.sleep_until.store(0, Ordering::SeqCst);
            let mut core = self.lock();
            self.turn(&mut core, |core| core.dispatch(ready));
            let now = core.io.now().0;
            let quick = pace.is_quick(now, core.calls()) && !core.io.has_runnable();
            drop(core);
            if self.calling.is_wanted() {
                drop(sleeper);
                self.deliver(hands);
                sleeper = self.sleeper.lock();
            }
            waited.or_else(|error| if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) })?;
            if quick {
                break;
            }
        }
        Ok(())
    }
}
