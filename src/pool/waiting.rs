//! Requests that wait for a connection.

use super::list::{Linked, Links, List};
use super::{Checkout, OriginId, Pool};
use crate::mem::Key;

/// Names a waiter.
pub type WaiterId = Key;

/// Lists of waiters: all of an origin, and those that have no dial of their own.
pub(super) const ALL: usize = 0;
pub(super) const NEED: usize = 1;

pub(super) struct Waiter {
    /// Whose it is, for the room above.
    who: u64,
    origin: OriginId,
    /// It wants a connection that was never used.
    fresh: bool,
    /// When its need began, as a number that grows.
    pub turn: u64,
    links: [Links; 2],
}

impl Linked for Waiter {
    fn links(&mut self, list: usize) -> &mut Links {
        &mut self.links[list]
    }
}

impl Pool {
    /// Stand at the end of an origin's queue, in need of a place. With `fresh`, only a connection that was never used will
    /// do: the request has met one that its peer had closed, and others may be like it.
    pub fn enqueue(&mut self, origin: OriginId, who: u64, fresh: bool) -> WaiterId {
        let id = self.waiters.insert(Waiter { who, origin, fresh, turn: 0, links: [Links::NONE; 2] });
        if let Some(o) = self.origins.get_mut(origin) {
            let list = if fresh { &mut o.fresh } else { &mut o.waiters };
            list.push_back(&mut self.waiters, id.slot);
        }
        self.enter_need(id);
        id
    }

    /// A waiter has lost its dial.
    pub fn need(&mut self, id: WaiterId) {
        self.enter_need(id);
        self.queued_max = self.queued_max.max(self.queued);
    }

    fn enter_need(&mut self, id: WaiterId) {
        let Some(waiter) = self.waiters.get_mut(id).filter(|w| !w.links[NEED].is_linked()) else { return };
        self.turn += 1;
        waiter.turn = self.turn;
        let origin = waiter.origin;
        if let Some(o) = self.origins.get_mut(origin) {
            o.need.push_back(&mut self.waiters, id.slot);
            self.queued += 1;
            self.feed(origin);
        }
    }

    /// A dial is made for a waiter.
    pub fn supplied(&mut self, id: WaiterId) {
        let Some(origin) = self.waiters.get(id).map(|w| w.origin) else { return };
        if let Some(o) = self.origins.get_mut(origin)
            && o.need.remove(&mut self.waiters, id.slot)
        {
            self.queued -= 1;
            self.feed(origin);
        }
    }

    /// A request has come and found no place: whether it is one too many.
    pub fn queue_is_full(&mut self) -> bool {
        let full = u64::from(self.queued) > self.limits.waiting_max;
        self.queued_max = self.queued_max.max(self.queued);
        full
    }

    /// The first in the queue, taken from it, when a connection is free; `used` if that has served before.
    pub fn next_waiter(&mut self, origin: OriginId, used: bool) -> Option<u64> {
        let o = self.origins.get(origin)?;
        let at = o.fresh.first().filter(|_| !used).or(o.waiters.first())?;
        let who = self.waiters.at(at)?.who;
        self.leave(self.waiters.key_at(at)?);
        Some(who)
    }

    /// A waiter without a dial, to inherit one.
    pub fn heir(&self, origin: OriginId) -> Option<u64> {
        let at = self.origins.get(origin)?.need.first()?;
        self.waiters.at(at).map(|w| w.who)
    }

    /// A request gives up waiting.
    pub fn abandon(&mut self, id: WaiterId) {
        if let Some(origin) = self.waiters.get(id).map(|w| w.origin) {
            self.leave(id);
            self.tidy_origin(origin);
        }
    }

    fn leave(&mut self, id: WaiterId) {
        self.supplied(id);
        let Some(&Waiter { origin, fresh, .. }) = self.waiters.get(id) else { return };
        if let Some(o) = self.origins.get_mut(origin) {
            let list: &mut List<ALL> = if fresh { &mut o.fresh } else { &mut o.waiters };
            list.remove(&mut self.waiters, id.slot);
        }
        self.waiters.remove(id);
        self.feed(origin);
    }

    /// Book a place for whoever has been in need of one longest, of all origins that could have one.
    pub fn book_next(&mut self) -> Option<(OriginId, u64, Checkout)> {
        if self.total >= self.limits.total && self.idle.is_empty() {
            return None;
        }
        let (_, &origin) = self.hungry.first_key_value()?;
        let who = self.heir(origin)?;
        match self.book(origin) {
            Checkout::Wait => None,
            found => Some((origin, who, found)),
        }
    }
}
