//! The connection pool: which connection a request gets, and who waits for one.
//!
//! The pool moves no bytes and knows no sockets: it keeps books. Each origin has its idle connections (taken last in, first
//! out, so that the surplus grows old), its waiters (first in, first out) and its count of connections. Invariants, checked
//! by `audit`: an origin's `open` is its dials plus its busy and idle connections; the sum over origins is `total`; neither
//! exceeds its cap.
#![forbid(unsafe_code)]

pub mod key;

pub use key::{OriginKey, Scheme};

use crate::mem::{Key, Slab};
use crate::net::connection::ConnId;
use crate::proto::Tick;
use std::collections::{HashMap, VecDeque};

/// Names an origin in the pool.
pub type OriginId = Key;

#[derive(Clone, Debug)]
pub struct Limits {
    pub per_origin: u32,
    pub total: u32,
    /// How long a connection may stay idle, in nanoseconds.
    pub idle_ns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checkout {
    /// Take this idle connection.
    Reuse(ConnId),
    /// Make a new connection; its place is booked.
    Dial,
    /// Close this idle connection of another origin, then make a new one; its place is booked.
    EvictAndDial(ConnId),
    /// All places are taken: wait.
    Wait,
}

struct Idle {
    conn: ConnId,
    since: Tick,
}

struct Origin {
    key: OriginKey,
    idle: VecDeque<Idle>,
    waiters: VecDeque<u64>,
    open: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub open: u32,
    pub idle: u32,
    pub waiting: u32,
}

pub struct Pool {
    limits: Limits,
    origins: Slab<Origin>,
    by_key: HashMap<OriginKey, OriginId>,
    /// The origin that was asked for last: most requests go where the one before them went, and need no hashing.
    recent: Option<OriginId>,
    total: u32,
    idle: u32,
    waiting: u32,
}

impl Pool {
    pub fn new(limits: Limits) -> Pool {
        Pool { limits, origins: Slab::default(), by_key: HashMap::new(), recent: None, total: 0, idle: 0, waiting: 0 }
    }

    pub fn counts(&self) -> Counts {
        Counts { open: self.total, idle: self.idle, waiting: self.waiting }
    }

    /// The origin of a key. The key is cloned only when the origin is new.
    pub fn origin(&mut self, key: &OriginKey) -> OriginId {
        if let Some(id) = self.recent
            && self.origins.get(id).is_some_and(|o| o.key == *key)
        {
            return id;
        }
        if let Some(&id) = self.by_key.get(key) {
            self.recent = Some(id);
            return id;
        }
        let origin = Origin { key: key.clone(), idle: VecDeque::new(), waiters: VecDeque::new(), open: 0 };
        let id = self.origins.insert(origin);
        self.by_key.insert(key.clone(), id);
        id
    }

    pub fn key(&self, origin: OriginId) -> Option<&OriginKey> {
        self.origins.get(origin).map(|o| &o.key)
    }

    /// Find a connection for a request. Unless one is idle, the request stands in the queue afterwards.
    pub fn checkout(&mut self, origin: OriginId, waiter: u64) -> Checkout {
        let Some(o) = self.origins.get_mut(origin) else { return Checkout::Wait };
        if let Some(idle) = o.idle.pop_back() {
            self.idle -= 1;
            return Checkout::Reuse(idle.conn);
        }
        o.waiters.push_back(waiter);
        self.waiting += 1;
        self.book(origin)
    }

    /// Put a request back to the front of the queue: its connection was stale. It still has to `book`.
    pub fn requeue(&mut self, origin: OriginId, waiter: u64) {
        if let Some(o) = self.origins.get_mut(origin) {
            o.waiters.push_front(waiter);
            self.waiting += 1;
        }
    }

    /// Book a place for a new connection, if there is one.
    pub fn book(&mut self, origin: OriginId) -> Checkout {
        let Some(o) = self.origins.get_mut(origin) else { return Checkout::Wait };
        if o.open >= self.limits.per_origin {
            return Checkout::Wait;
        }
        if self.total < self.limits.total {
            o.open += 1;
            self.total += 1;
            return Checkout::Dial;
        }
        let Some(victim) = self.oldest_idle(origin) else { return Checkout::Wait };
        self.origins.get_mut(origin).expect("found above").open += 1;
        self.total += 1;
        Checkout::EvictAndDial(victim)
    }

    /// Take the connection that has been idle longest in another origin off the books.
    fn oldest_idle(&mut self, except: OriginId) -> Option<ConnId> {
        let oldest = self
            .origins
            .keys()
            .filter(|&k| k != except)
            .filter_map(|k| Some((self.origins.get(k)?.idle.front()?.since, k)))
            .min_by_key(|&(since, _)| since)?
            .1;
        let o = self.origins.get_mut(oldest)?;
        let idle = o.idle.pop_front()?;
        o.open -= 1;
        self.total -= 1;
        self.idle -= 1;
        self.tidy(oldest);
        Some(idle.conn)
    }

    /// The first request in the queue for which `live` holds; others are gone and are dropped on the way.
    pub fn next_waiter(&mut self, origin: OriginId, mut live: impl FnMut(u64) -> bool) -> Option<u64> {
        let o = self.origins.get_mut(origin)?;
        while let Some(waiter) = o.waiters.pop_front() {
            self.waiting -= 1;
            if live(waiter) {
                return Some(waiter);
            }
        }
        None
    }

    /// Origins that are remembered.
    pub fn origin_count(&self) -> usize {
        self.origins.len()
    }

    /// Look at the queue without taking from it.
    pub fn waiters(&self, origin: OriginId) -> impl Iterator<Item = u64> {
        self.origins.get(origin).into_iter().flat_map(|o| o.waiters.iter().copied())
    }

    /// A request gives up waiting.
    pub fn abandon(&mut self, origin: OriginId, waiter: u64) {
        if let Some(o) = self.origins.get_mut(origin)
            && let Some(at) = o.waiters.iter().position(|&w| w == waiter)
        {
            o.waiters.remove(at);
            self.waiting -= 1;
            self.tidy(origin);
        }
    }

    /// A connection that nobody waits for becomes idle.
    pub fn checkin(&mut self, origin: OriginId, conn: ConnId, now: Tick) {
        if let Some(o) = self.origins.get_mut(origin) {
            o.idle.push_back(Idle { conn, since: now });
            self.idle += 1;
        }
    }

    /// A connection or a dial of this origin is gone. `idle` if it was in the idle list.
    pub fn closed(&mut self, origin: OriginId, conn: Option<ConnId>) {
        let Some(o) = self.origins.get_mut(origin) else { return };
        if let Some(conn) = conn
            && let Some(at) = o.idle.iter().position(|i| i.conn == conn)
        {
            o.idle.remove(at);
            self.idle -= 1;
        }
        o.open -= 1;
        self.total -= 1;
        self.tidy(origin);
    }

    /// Forget an origin that has neither connections nor waiters.
    fn tidy(&mut self, origin: OriginId) {
        if self.origins.get(origin).is_some_and(|o| o.open == 0 && o.waiters.is_empty())
            && let Some(gone) = self.origins.remove(origin)
        {
            self.by_key.remove(&gone.key);
        }
    }

    /// Who may book the next place: of all origins below their cap, the waiter that stands there longest. `since` says
    /// when a waiter began to wait, and nothing of one that has a place already. To book may fail all the same.
    pub fn next_in_need(&self, mut since: impl FnMut(u64) -> Option<Tick>) -> Option<(OriginId, u64)> {
        if self.waiting == 0 || self.total >= self.limits.total && self.idle == 0 {
            return None;
        }
        let below_cap = |&(_, o): &(OriginId, &Origin)| o.open < self.limits.per_origin;
        let origins = self.origins.keys().filter_map(|k| Some((k, self.origins.get(k)?)));
        let first = |(k, o): (OriginId, &Origin)| o.waiters.iter().find_map(|&w| Some((since(w)?, k, w)));
        origins.filter(below_cap).filter_map(first).min_by_key(|&(at, ..)| at).map(|(_, k, w)| (k, w))
    }

    /// Take connections that have been idle too long off the books. Returns when to look again.
    pub fn expire(&mut self, now: Tick, mut close: impl FnMut(ConnId)) -> Tick {
        let mut next = Tick::NEVER;
        let keys: Vec<OriginId> = self.origins.keys().collect();
        for key in keys {
            let Some(o) = self.origins.get_mut(key) else { continue };
            while let Some(idle) = o.idle.front() {
                let due = idle.since.after(self.limits.idle_ns);
                if due > now {
                    next = next.min(due);
                    break;
                }
                close(idle.conn);
                o.idle.pop_front();
                o.open -= 1;
                self.total -= 1;
                self.idle -= 1;
            }
            self.tidy(key);
        }
        next
    }

    /// Every idle connection, taken off the books.
    pub fn drain_idle(&mut self, mut close: impl FnMut(ConnId)) {
        let keys: Vec<OriginId> = self.origins.keys().collect();
        for key in keys {
            let Some(o) = self.origins.get_mut(key) else { continue };
            for idle in o.idle.drain(..) {
                close(idle.conn);
                o.open -= 1;
                self.total -= 1;
                self.idle -= 1;
            }
            self.tidy(key);
        }
    }

    /// Check that the books agree with each other. For tests and debug builds.
    pub fn audit(&self) {
        let (mut open, mut idle, mut waiting) = (0, 0, 0);
        for o in self.origins.iter() {
            assert!(o.idle.len() as u32 <= o.open && o.open <= self.limits.per_origin);
            assert!(o.open > 0 || !o.waiters.is_empty(), "an origin that nobody needs");
            open += o.open;
            idle += o.idle.len() as u32;
            waiting += o.waiters.len() as u32;
        }
        assert_eq!(Counts { open, idle, waiting }, self.counts());
        assert!(open <= self.limits.total);
        assert_eq!(self.by_key.len(), self.origins.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(per_origin: u32, total: u32) -> Pool {
        Pool::new(Limits { per_origin, total, idle_ns: 100 })
    }

    fn key(host: &str) -> OriginKey {
        OriginKey { scheme: Scheme::Http, host: host.into(), port: 80, unix: None }
    }

    fn conn(slot: u32) -> ConnId {
        Key { slot, generation: 1 }
    }

    #[test]
    fn caps_hold_and_waiters_are_served_in_order() {
        let mut p = pool(2, 3);
        let a = p.origin(&key("a"));
        assert_eq!(p.checkout(a, 1), Checkout::Dial);
        assert_eq!(p.checkout(a, 2), Checkout::Dial);
        assert_eq!(p.checkout(a, 3), Checkout::Wait);
        p.audit();
        assert_eq!(p.next_waiter(a, |w| w != 1), Some(2), "1 is gone");
        assert_eq!(p.next_waiter(a, |_| true), Some(3));
        assert_eq!(p.next_waiter(a, |_| true), None);
        p.audit();
    }

    #[test]
    fn the_last_idle_connection_is_taken_first_and_the_oldest_expires() {
        let mut p = pool(3, 3);
        let a = p.origin(&key("a"));
        for w in 0..3 {
            assert_eq!(p.checkout(a, w), Checkout::Dial);
            p.next_waiter(a, |_| true);
        }
        p.checkin(a, conn(1), Tick(10));
        p.checkin(a, conn(2), Tick(20));
        p.checkin(a, conn(3), Tick(30));
        assert_eq!(p.checkout(a, 9), Checkout::Reuse(conn(3)));
        let mut closed = Vec::new();
        assert_eq!(p.expire(Tick(115), |c| closed.push(c)), Tick(120));
        assert_eq!(closed, [conn(1)]);
        assert_eq!(p.counts(), Counts { open: 2, idle: 1, waiting: 0 });
        p.audit();
    }

    #[test]
    fn a_full_pool_gives_up_an_idle_connection_of_another_origin() {
        let mut p = pool(2, 2);
        let (a, b) = (p.origin(&key("a")), p.origin(&key("b")));
        for w in 0..2 {
            p.checkout(a, w);
            p.next_waiter(a, |_| true);
        }
        assert_eq!(p.checkout(b, 7), Checkout::Wait);
        let since = |w| Some(Tick(w));
        assert_eq!(p.next_in_need(since), None, "no place is free");
        p.checkin(a, conn(1), Tick(1));
        assert_eq!(p.next_in_need(since), Some((b, 7)));
        assert_eq!(p.book(b), Checkout::EvictAndDial(conn(1)));
        p.audit();
        p.checkout(b, 8);
        p.closed(a, None);
        assert_eq!(p.next_in_need(|w| since(w).filter(|_| w != 7)), Some((b, 8)));
        assert_eq!(p.key(a), None, "nobody needs it");
    }

    #[test]
    fn origins_that_differ_in_one_field_are_different() {
        let mut p = pool(1, 9);
        let base = key("a");
        let ids = [
            base.clone(),
            OriginKey { host: "b".into(), ..base.clone() },
            OriginKey { port: 81, ..base.clone() },
            OriginKey { unix: Some(std::path::Path::new("/s").into()), ..base.clone() },
        ]
        .map(|k| p.origin(&k));
        for (i, a) in ids.iter().enumerate() {
            for b in &ids[i + 1..] {
                assert_ne!(a, b);
            }
        }
        assert_eq!(p.origin(&base), ids[0]);
    }
}
