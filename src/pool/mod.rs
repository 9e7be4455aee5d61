//! The connection pool: which connection a request gets, and who waits for one.
//!
//! The pool moves no bytes and knows no sockets: it keeps books. A place is booked for each dial and each connection. Each
//! origin has its idle connections (taken last in, first out, so that the surplus grows old) and its waiters (first in,
//! first out). A waiter with a dial of its own takes whatever comes first; one without is in need of a place.
//!
//! Everything here costs the same, or a logarithm, with one connection and with a hundred thousand.
//!
//! Invariants, checked by `audit`:
//! - an origin's `open` is its dials plus its busy and idle connections; the sum over origins is `total`; neither exceeds its
//!   cap;
//! - connections that were opened are open, or were closed for one of the reasons in [`Gone`];
//! - `hungry` names exactly the origins with a waiter in need that could have a place of their own, by how long it waits.
#![forbid(unsafe_code)]

pub mod key;
mod list;
mod seats;
mod waiting;
pub mod why;

pub use key::{Address, Bind, Http, OriginKey, Scheme};
pub use waiting::WaiterId;
pub use why::{Gone, Reason};

use crate::mem::{Key, Slab, Table};
use crate::net::connection::ConnId;
use crate::proto::Tick;
use list::List;
use seats::{Due, OLDER, ROOMY, SHELF, Seat};
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::BuildHasher;
use waiting::{ALL, NEED, Waiter};

/// Names an origin in the pool.
pub type OriginId = Key;

/// Origins whose last connection is remembered when they are forgotten.
const MEMO: usize = 256;

#[derive(Clone, Debug)]
pub struct Limits {
    pub per_origin: u32,
    pub total: u32,
    /// How long a connection may stay idle, in nanoseconds.
    pub idle_ns: u64,
    /// How old a connection may be when it is used, in nanoseconds.
    pub age_ns: u64,
    /// Requests that may wait for a place.
    pub waiting_max: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checkout {
    /// Make a new connection; its place is booked.
    Dial,
    /// Close this idle connection, then make a new one; its place is booked.
    EvictAndDial(ConnId),
    /// All places are taken: wait.
    Wait,
}

struct Origin {
    key: OriginKey,
    idle: List<SHELF>,
    roomy: List<ROOMY>,
    waiters: List<ALL>,
    /// Those that want a connection which was never used: they have met a stale one.
    fresh: List<ALL>,
    need: List<NEED>,
    open: u32,
    /// Of these, dials.
    dialing: u32,
    /// A connection may turn out to carry many requests.
    may_share: bool,
    /// Requests that a connection carries at a time, as far as is known.
    places: Option<u32>,
    /// Its place among the hungry.
    hunger: Option<u64>,
    /// Why its last connection went.
    gone: Option<Gone>,
}

impl Origin {
    /// Whether another dial is worth a try. Where a connection may carry many requests, that is not known before the first
    /// one is there; then as many are made as those who wait will fill.
    fn wants_dial(&self) -> bool {
        if !self.may_share {
            return true;
        }
        let waiting = self.waiters.len() + self.fresh.len();
        match self.places {
            None => self.dialing == 0,
            Some(0 | 1) => true,
            Some(places) => u64::from(self.dialing) * u64::from(places) < u64::from(waiting),
        }
    }

    /// Whether somebody in need could have a place of its own.
    fn could_dial(&self, limits: &Limits) -> bool {
        (self.open < limits.per_origin || !self.idle.is_empty()) && self.wants_dial()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Places that are booked: dials, and connections that are busy or idle.
    pub open: u32,
    pub idle: u32,
    /// Requests without a connection.
    pub waiting: u32,
    /// Of these, those without a dial of their own; and the most of them so far.
    pub queued: u32,
    pub queued_max: u32,
    /// Connections that were opened, and closed for each of the reasons.
    pub opened: u64,
    pub closed: [u64; Gone::COUNT],
}

impl Counts {
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }
}

pub struct Pool {
    limits: Limits,
    origins: Slab<Origin>,
    by_key: HashMap<OriginKey, OriginId>,
    /// The origin that was asked for last: most requests go where the one before them went, and need no hashing.
    recent: Option<OriginId>,
    /// Open connections, by their slots.
    seats: Table<Seat>,
    idle: List<OLDER>,
    due: BinaryHeap<Due>,
    waiters: Slab<Waiter>,
    /// By the turn of the waiter in need that comes first.
    hungry: BTreeMap<u64, OriginId>,
    turn: u64,
    total: u32,
    queued: u32,
    queued_max: u32,
    opened: u64,
    closed: [u64; Gone::COUNT],
    /// Why the last connection of an origin went that is forgotten, by the hash of its key.
    memo: Box<[Option<(u64, Gone)>]>,
}

impl Pool {
    pub fn new(limits: Limits) -> Pool {
        Pool {
            limits,
            origins: Slab::default(),
            by_key: HashMap::new(),
            recent: None,
            seats: Table::default(),
            idle: List::default(),
            due: BinaryHeap::new(),
            waiters: Slab::default(),
            hungry: BTreeMap::new(),
            turn: 0,
            total: 0,
            queued: 0,
            queued_max: 0,
            opened: 0,
            closed: [0; Gone::COUNT],
            memo: vec![None; MEMO].into_boxed_slice(),
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            open: self.total,
            idle: self.idle.len(),
            waiting: self.waiters.len() as u32,
            queued: self.queued,
            queued_max: self.queued_max,
            opened: self.opened,
            closed: self.closed,
        }
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
        let hash = self.by_key.hasher().hash_one(key);
        let gone = self.memo[hash as usize % MEMO].filter(|(known, _)| *known == hash).map(|(_, gone)| gone);
        let id = self.origins.insert(Origin {
            key: key.clone(),
            idle: List::default(),
            roomy: List::default(),
            waiters: List::default(),
            fresh: List::default(),
            need: List::default(),
            open: 0,
            dialing: 0,
            may_share: key.may_share(),
            places: None,
            hunger: None,
            gone,
        });
        self.by_key.insert(key.clone(), id);
        id
    }

    pub fn key(&self, origin: OriginId) -> Option<&OriginKey> {
        self.origins.get(origin).map(|o| &o.key)
    }

    /// Origins that are remembered.
    pub fn origin_count(&self) -> usize {
        self.origins.len()
    }

    /// Why a request that finds no idle connection needs a new one.
    pub fn why_new(&self, origin: OriginId) -> Reason {
        match self.origins.get(origin) {
            Some(o) if o.open > 0 => Reason::Busy,
            Some(Origin { gone: Some(gone), .. }) => Reason::from(*gone),
            _ => Reason::First,
        }
    }

    /// Idle connections of an origin.
    pub fn idle_of(&self, origin: OriginId) -> u32 {
        self.origins.get(origin).map_or(0, |o| o.idle.len())
    }

    /// Book a place for a new connection, if there is one.
    pub fn book(&mut self, origin: OriginId) -> Checkout {
        let Some(o) = self.origins.get_mut(origin) else { return Checkout::Wait };
        if !o.wants_dial() {
            return Checkout::Wait;
        }
        let free = o.open < self.limits.per_origin && self.total < self.limits.total;
        let victim = if free {
            None
        } else if o.open < self.limits.per_origin {
            self.idle.first()
        } else {
            // Its idle connections are no good for whoever wants a fresh one.
            o.idle.first()
        };
        if !free && victim.is_none() {
            return Checkout::Wait;
        }
        o.open += 1;
        o.dialing += 1;
        self.total += 1;
        let victim = victim.and_then(|at| self.seats.get(at as usize)).map(|seat| seat.conn);
        if let Some(conn) = victim {
            self.closed(conn, Gone::Evicted);
        }
        self.feed(origin);
        victim.map_or(Checkout::Dial, Checkout::EvictAndDial)
    }

    /// The same for a connection that nobody waits for: nobody else loses one for it.
    pub fn book_spare(&mut self, origin: OriginId) -> bool {
        let Some(o) = self.origins.get_mut(origin) else { return false };
        let free = o.open < self.limits.per_origin && self.total < self.limits.total;
        if free {
            o.open += 1;
            o.dialing += 1;
            self.total += 1;
        }
        free
    }

    /// A dial is over without a connection: its place is free.
    pub fn unbook(&mut self, origin: OriginId) {
        if let Some(o) = self.origins.get_mut(origin) {
            o.open -= 1;
            o.dialing -= 1;
            self.total -= 1;
            self.settle(origin);
        }
    }

    /// See to it that an origin stands among the hungry if a place of its own could be had for a waiter in need, and is
    /// forgotten if nobody needs it.
    fn settle(&mut self, origin: OriginId) {
        self.feed(origin);
        self.tidy_origin(origin);
    }

    fn feed(&mut self, origin: OriginId) {
        let Some(o) = self.origins.get_mut(origin) else { return };
        let could = o.could_dial(&self.limits);
        let first = o.need.first().filter(|_| could).and_then(|at| self.waiters.at(at)).map(|w| w.turn);
        if first != o.hunger {
            if let Some(turn) = o.hunger {
                self.hungry.remove(&turn);
            }
            if let Some(turn) = first {
                self.hungry.insert(turn, origin);
            }
            o.hunger = first;
        }
    }

    /// Forget an origin that has neither connections nor waiters.
    pub fn tidy_origin(&mut self, origin: OriginId) {
        if self.origins.get(origin).is_some_and(|o| o.open == 0 && o.waiters.is_empty() && o.fresh.is_empty())
            && let Some(gone) = self.origins.remove(origin)
        {
            if let Some(why) = gone.gone {
                let hash = self.by_key.hasher().hash_one(&gone.key);
                self.memo[hash as usize % MEMO] = Some((hash, why));
            }
            self.by_key.remove(&gone.key);
        }
    }

    /// Give back what a peak has left. `calm`: nothing has happened for a while.
    pub fn tidy(&mut self, calm: bool) {
        self.origins.tidy();
        self.seats.tidy();
        self.waiters.tidy();
        if calm {
            self.by_key.shrink_to_fit();
            self.due.shrink_to(self.seats.len());
        }
    }

    /// Check that the books agree with each other. For tests and debug builds.
    pub fn audit(&self) {
        let (mut open, mut idle, mut waiting, mut queued, mut hungry) = (0, 0, 0, 0, 0);
        for id in self.origins.keys() {
            let o = self.origins.get(id).expect("a key that was just seen");
            assert!(o.idle.len() <= o.open && o.open <= self.limits.per_origin);
            assert!(o.idle.is_empty() || o.waiters.is_empty(), "a waiter beside an idle connection");
            assert!(o.roomy.is_empty() || o.waiters.is_empty(), "a waiter beside a connection with room");
            assert!(o.dialing <= o.open);
            let waiters = o.waiters.len() + o.fresh.len();
            assert!(o.open > 0 || waiters > 0, "an origin that nobody needs");
            assert!(o.need.len() <= waiters);
            let could = o.could_dial(&self.limits);
            let first = o.need.first().filter(|_| could).and_then(|at| self.waiters.at(at)).map(|w| w.turn);
            assert_eq!(o.hunger, first);
            assert!(first.is_none_or(|turn| self.hungry.get(&turn) == Some(&id)));
            hungry += usize::from(first.is_some());
            open += o.open;
            idle += o.idle.len();
            waiting += waiters;
            queued += o.need.len();
        }
        assert_eq!(hungry, self.hungry.len());
        assert_eq!((open, idle, waiting), (self.total, self.idle.len(), self.waiters.len() as u32));
        assert_eq!(queued, self.queued);
        assert!(queued <= self.queued_max && open <= self.limits.total);
        assert_eq!(self.by_key.len(), self.origins.len());
        assert_eq!(self.opened - self.counts().closed_in_all(), self.seats.len() as u64);
        assert_eq!(self.seats.iter().filter(|s| s.is_idle()).count(), idle as usize);
        assert!(self.seats.iter().all(|s| !s.is_idle() || s.used == 0));
        let roomy = self.seats.iter().filter(|s| s.is_roomy()).count();
        assert_eq!(
            roomy,
            self.origins.keys().filter_map(|id| self.origins.get(id)).map(|o| o.roomy.len() as usize).sum()
        );
        assert!(self.seats.iter().filter(|s| s.is_idle()).all(|s| s.due == Tick::NEVER || s.listed <= s.due));
    }
}
