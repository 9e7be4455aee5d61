//! How virtual time passes: by whoever drives the test, or by waits that may take it.

use super::{Inner, MockNet, World};
use crate::net::backend::Clock;
use crate::proto::Tick;
use std::cmp::Reverse;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The clock of a world.
#[derive(Clone)]
pub struct MockClock(pub(super) Arc<Inner>);

impl Clock for MockClock {
    fn now(&self) -> Tick {
        Tick(self.0.world.lock().now)
    }
}

impl MockNet {
    pub fn now(&self) -> Tick {
        Tick(self.0.world.lock().now)
    }

    /// Let time pass; peers act at their moments on the way.
    pub fn advance(&self, ns: u64) {
        let world = &mut *self.0.world.lock();
        let until = world.now.saturating_add(ns);
        world.pass(until);
    }

    /// From now on a wait that may take time lets it pass, to its end or to what is ready first.
    pub fn let_waits_pass(&self) {
        self.0.world.lock().passing = true;
    }

    /// The next moment at which something happens by itself: a peer acts, or the client's armed moment comes.
    /// Not later than `now` if something is ready already.
    pub fn next_event(&self) -> Tick {
        let world = self.0.world.lock();
        if world.ready() || self.0.notified.load(Ordering::Acquire) { Tick(world.now) } else { world.next() }
    }

    /// Whether a turn of the client has something to do now: an edge, a notification, work left over, a deadline.
    pub fn runnable(&self) -> bool {
        self.next_event() <= self.now()
    }
}

impl World {
    fn next(&self) -> Tick {
        let peers = self.timers.peek().map_or(Tick::NEVER, |Reverse((at, _))| Tick(*at));
        peers.min(self.armed)
    }

    fn pass(&mut self, until: u64) {
        while let Some(&Reverse((at, conn))) = self.timers.peek()
            && at <= until
        {
            self.timers.pop();
            self.now = self.now.max(at);
            self.run(conn);
        }
        self.now = until;
    }

    /// Let time pass until something is ready, for at most `timeout`. EDEADLK if nothing ever will be.
    pub(super) fn sleep(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !self.passing {
            return Ok(());
        }
        let ns = timeout.map_or(u64::MAX, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX));
        let deadline = Tick(self.now).after(ns);
        while !self.ready() && self.now < deadline.0 {
            let next = self.next().min(deadline);
            if next == Tick::NEVER {
                return Err(io::Error::from_raw_os_error(libc::EDEADLK));
            }
            self.pass(next.0);
        }
        Ok(())
    }
}
