//! What the application has its own loop for: watches of its descriptors, and timers.
//!
//! Each has one terminal event, as an exchange has: the event of one that is for once, or else the one that tells why it
//! ended. What goes on gives out a lease with each event, and is not looked at again before that is released.
#![forbid(unsafe_code)]

use super::Client;
use super::ids::{self, SLOTS_MAX};
use super::lease::{Again, Lease};
use crate::error as e;
use crate::mem::{Key, Slab};
use crate::net::backend::{Backend, Edge, Interest};
use crate::net::reactor::Io;
use crate::net::watch::WatchId;
use crate::net::wheel::TimerId;
use crate::proto::Tick;
use crate::queue::event::{flag, kind};
use crate::queue::{Event, Queue};
use std::io;
use std::sync::{Arc, Weak};

/// Set in each id of a source, so that it is no exchange's.
pub const SOURCE: u64 = 1 << 62;

/// `arg` of a watch's event.
pub mod ready {
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const HANGUP: u32 = 4;
}

/// Why there is no watch, or no timer.
#[derive(Debug)]
pub enum Refused {
    /// The engine has ended.
    Closed,
    /// There are as many as may be.
    Full,
    NotFound,
    Unwatchable(io::Error),
}

/// What a watch is for.
#[derive(Clone, Copy)]
pub struct Wanted {
    pub interest: Interest,
    /// Its first event is its last.
    pub once: bool,
}

/// When a timer runs out.
#[derive(Clone, Copy)]
pub struct Period {
    pub first_ns: u64,
    /// 0 for once.
    pub every_ns: u64,
}

struct Source {
    queue: Arc<Queue>,
    token: u64,
    /// The next event is the last.
    once: bool,
    /// An event was given out, and not released.
    out: bool,
    what: What,
}

enum What {
    Watch { id: WatchId, fd: i32 },
    Timer(Timer),
}

struct Timer {
    /// Among timers of one moment, who was started first runs out first.
    number: u64,
    at: Tick,
    every_ns: u64,
    running: Option<TimerId>,
}

pub struct Sources {
    table: Slab<Source>,
    /// Timers that have run out in this turn: moment, number, id.
    due: Vec<(Tick, u64, u64)>,
    timers_started: u64,
    again: Weak<dyn Again>,
}

pub const fn is_source(id: u64) -> bool {
    id >> (u64::BITS - 8) == SOURCE >> (u64::BITS - 8)
}

fn id_of(key: Key) -> u64 {
    SOURCE | ids::pack(key)
}

fn key_of(id: u64) -> Option<Key> {
    if is_source(id) { ids::unpack(id & !SOURCE) } else { None }
}

impl Sources {
    /// With generations from `first` on.
    pub fn new(again: Weak<dyn Again>, first: u32) -> Sources {
        Sources { table: Slab::starting_at(first), due: Vec::new(), timers_started: 0, again }
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Source> {
        self.table.get_mut(key_of(id)?)
    }

    pub fn watch_count(&self) -> usize {
        self.table.iter().filter(|source| matches!(source.what, What::Watch { .. })).count()
    }

    pub fn tidy(&mut self) {
        self.table.tidy();
        self.due.shrink_to(super::SPARE);
    }

    fn start_timer(&mut self) -> u64 {
        self.timers_started += 1;
        self.timers_started
    }
}

impl Timer {
    /// Only what will run out some time keeps anybody waiting.
    fn run<B: Backend>(&mut self, io: &mut Io<B>, id: u64) {
        if self.running.is_none() && self.at != Tick::NEVER {
            self.running = Some(io.wheel.insert(self.at, id));
        }
    }

    /// It has run out, once or more often by now: how often, and for which moment at last.
    fn pass(&mut self, now: Tick) -> (u32, Tick) {
        let late = now.0.saturating_sub(self.at.0);
        let missed = late.checked_div(self.every_ns).unwrap_or(0);
        let last = self.at.after(missed * self.every_ns);
        self.at = last.after(self.every_ns);
        (u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1), last)
    }
}

impl Client {
    /// What every new source goes through.
    fn check_room(&self) -> Result<(), Refused> {
        if self.closed.is_some() {
            return Err(Refused::Closed);
        }
        if self.sources.table.len() >= self.settings.exchanges_max.min(SLOTS_MAX) as usize {
            return Err(Refused::Full);
        }
        Ok(())
    }

    fn add_source(&mut self, queue: &Arc<Queue>, token: u64, once: bool, what: What) -> u64 {
        queue.expect(1);
        let key = self.sources.table.insert(Source { queue: queue.clone(), token, once, out: false, what });
        self.ids.note(key.generation);
        id_of(key)
    }

    pub fn watch_fd<B: Backend>(
        &mut self,
        io: &mut Io<B>,
        queue: &Arc<Queue>,
        token: u64,
        fd: i32,
        wanted: Wanted,
    ) -> Result<u64, Refused> {
        self.check_room()?;
        let owner = id_of(self.sources.table.next_key());
        let (id, over) = io.watch(fd, wanted.interest, owner).map_err(Refused::Unwatchable)?;
        let added = self.add_source(queue, token, wanted.once, What::Watch { id, fd });
        debug_assert_eq!(owner, added);
        if let Some(over) = over {
            self.lose_source(io, over, &io::Error::from_raw_os_error(libc::EBADF));
        }
        Ok(added)
    }

    pub fn watch_for<B: Backend>(&mut self, io: &mut Io<B>, id: u64, wanted: Wanted) -> Result<(), Refused> {
        let source = self.sources.get_mut(id).ok_or(Refused::NotFound)?;
        let What::Watch { id: watch, .. } = source.what else { return Err(Refused::NotFound) };
        source.once = wanted.once;
        let idle = !source.out;
        if let Err(error) = io.watch_for(watch, wanted.interest, idle) {
            self.lose_source(io, id, &error);
        }
        Ok(())
    }

    pub fn start_timer<B: Backend>(
        &mut self,
        io: &mut Io<B>,
        queue: &Arc<Queue>,
        token: u64,
        period: Period,
    ) -> Result<u64, Refused> {
        self.check_room()?;
        let timer = Timer { number: 0, at: Tick::NEVER, every_ns: 0, running: None };
        let id = self.add_source(queue, token, false, What::Timer(timer));
        self.restart_timer(io, id, period)?;
        Ok(id)
    }

    pub fn restart_timer<B: Backend>(&mut self, io: &mut Io<B>, id: u64, period: Period) -> Result<(), Refused> {
        let number = self.sources.start_timer();
        let source = self.sources.get_mut(id).ok_or(Refused::NotFound)?;
        let What::Timer(timer) = &mut source.what else { return Err(Refused::NotFound) };
        if let Some(running) = timer.running.take() {
            io.wheel.cancel(running);
        }
        source.once = period.every_ns == 0;
        (timer.number, timer.at, timer.every_ns) = (number, io.now().after(period.first_ns), period.every_ns);
        if !source.out {
            timer.run(io, id);
        }
        Ok(())
    }

    /// The event that was given out is released.
    pub fn source_again<B: Backend>(&mut self, io: &mut Io<B>, id: u64) {
        let Some(source) = self.sources.get_mut(id) else { return };
        source.out = false;
        match &mut source.what {
            What::Watch { id: watch, .. } => {
                if let Err(error) = io.watch_again(*watch) {
                    self.lose_source(io, id, &error);
                }
            }
            What::Timer(timer) => timer.run(io, id),
        }
    }

    /// A watched descriptor is ready.
    pub(super) fn source_ready<B: Backend>(&mut self, io: &mut Io<B>, id: u64, edge: Edge) {
        if !edge.readable && !edge.writable {
            return self.source_again(io, id);
        }
        let bit = |is: bool, bit| if is { bit } else { 0 };
        let arg = bit(edge.readable, ready::READ) | bit(edge.writable, ready::WRITE) | bit(edge.hangup, ready::HANGUP);
        self.tell_source(io, id, Event { arg, ..Event::default() });
    }

    /// A timer has run out. It is told with all others of the turn, in their order.
    pub(super) fn source_expired(&mut self, id: u64) {
        if let Some(Source { what: What::Timer(timer), .. }) = self.sources.get_mut(id) {
            timer.running = None;
            let due = (timer.at, timer.number, id);
            self.sources.due.push(due);
        }
    }

    /// Tell of the timers that have run out in this turn.
    pub(super) fn tell_timers<B: Backend>(&mut self, io: &mut Io<B>) {
        if self.sources.due.is_empty() {
            return;
        }
        let mut due = std::mem::take(&mut self.sources.due);
        due.sort_unstable();
        for (_, _, id) in due.drain(..) {
            if let Some(Source { what: What::Timer(timer), .. }) = self.sources.get_mut(id) {
                let (arg, at) = timer.pass(io.now());
                self.tell_source(io, id, Event { arg, aux: at.0, ..Event::default() });
            }
        }
        self.sources.due = due;
    }

    /// An event of a source that goes on, or of one that is for once.
    fn tell_source<B: Backend>(&mut self, io: &mut Io<B>, id: u64, event: Event) {
        let Some(source) = self.sources.get_mut(id) else { return };
        if source.once {
            return self.finish_source(io, id, event);
        }
        let Some(lease) = Lease::block(&self.sources.again, id, &mut self.memory) else {
            return self.end_source(io, id, e::CHTTP_E_NOMEM);
        };
        let Some(source) = self.sources.get_mut(id) else { return };
        source.out = true;
        let mut event = source.addressed(id, event);
        event.obj = Some(lease);
        self.outbox.push(&source.queue, event);
    }

    /// The last event of a source.
    fn finish_source<B: Backend>(&mut self, io: &mut Io<B>, id: u64, event: Event) {
        let Some(source) = self.take_source(io, id) else { return };
        let mut event = source.addressed(id, event);
        event.flags |= flag::TERMINAL;
        self.outbox.push(&source.queue, event);
    }

    /// Its descriptor is not there any more.
    fn lose_source<B: Backend>(&mut self, io: &mut Io<B>, id: u64, why: &io::Error) {
        let os_errno = why.raw_os_error().unwrap_or(0);
        self.finish_source(io, id, Event { error: e::CHTTP_E_IO, os_errno, ..Event::default() });
    }

    /// End a source, and tell why.
    pub fn end_source<B: Backend>(&mut self, io: &mut Io<B>, id: u64, error: i32) {
        self.finish_source(io, id, Event { error, ..Event::default() });
    }

    pub fn has_source(&self, id: u64) -> bool {
        key_of(id).is_some_and(|key| self.sources.table.get(key).is_some())
    }

    pub(super) fn end_sources<B: Backend>(&mut self, io: &mut Io<B>, error: i32) {
        for id in self.source_ids(|_| true) {
            self.end_source(io, id, error);
        }
    }

    /// After a panic: nothing is trusted but the table, and what it says is told.
    pub(super) fn collapse_sources(&mut self, error: i32) {
        for id in self.source_ids(|_| true) {
            if let Some(source) = key_of(id).and_then(|key| self.sources.table.remove(key)) {
                let event = Event { error, flags: flag::TERMINAL, ..Event::default() };
                self.outbox.push(&source.queue, source.addressed(id, event));
            }
        }
    }

    /// A queue was destroyed, and nobody hears of the end of its sources.
    pub(super) fn forget_sources<B: Backend>(&mut self, io: &mut Io<B>, queue: &Arc<Queue>) {
        for id in self.source_ids(|source| Arc::ptr_eq(&source.queue, queue)) {
            self.take_source(io, id);
        }
    }

    fn source_ids(&self, which: impl Fn(&Source) -> bool) -> Vec<u64> {
        let table = &self.sources.table;
        table.keys().filter(|key| table.get(*key).is_some_and(&which)).map(id_of).collect()
    }

    fn take_source<B: Backend>(&mut self, io: &mut Io<B>, id: u64) -> Option<Source> {
        let source = self.sources.table.remove(key_of(id)?)?;
        match &source.what {
            What::Watch { id, .. } => io.unwatch(*id),
            What::Timer(timer) => {
                if let Some(running) = timer.running {
                    io.wheel.cancel(running);
                }
            }
        }
        Some(source)
    }
}

impl Source {
    fn addressed(&self, id: u64, event: Event) -> Event {
        let (kind, aux) = match self.what {
            What::Watch { fd, .. } => (kind::WATCH, u64::from(fd.cast_unsigned())),
            What::Timer(_) => (kind::TIMER, event.aux),
        };
        Event { kind, aux, xid: id, token: self.token, ..event }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_that_were_missed_are_counted_and_the_grid_stays() {
        let mut timer = Timer { number: 1, at: Tick(1000), every_ns: 100, running: None };
        assert_eq!(timer.pass(Tick(1000)), (1, Tick(1000)));
        assert_eq!(timer.pass(Tick(1105)), (1, Tick(1100)));
        assert_eq!(timer.pass(Tick(1499)), (3, Tick(1400)));
        assert_eq!(timer.at, Tick(1500));
        let mut fast = Timer { number: 1, at: Tick(0), every_ns: 1, running: None };
        assert_eq!(fast.pass(Tick(u64::MAX - 1)), (u32::MAX, Tick(u64::MAX - 1)));
        let mut once = Timer { number: 1, at: Tick(7), every_ns: 0, running: None };
        assert_eq!(once.pass(Tick(900)), (1, Tick(7)));
    }

    #[test]
    fn ids_of_sources_are_no_exchanges() {
        let key = Key { slot: SLOTS_MAX - 1, generation: u32::MAX };
        assert_eq!(key_of(id_of(key)), Some(key));
        assert!(key_of(ids::pack(key)).is_none() && ids::unpack(id_of(key)).is_none());
        assert!(!is_source(u64::MAX) && !is_source(super::super::DIAL_TIMER | 3));
    }
}
