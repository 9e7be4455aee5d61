//! Open connections: which are idle, for how long they may be, and how they go.
//!
//! Each open connection has a seat, under the number of its slot. It counts the requests on it, and how many there may be: one
//! on HTTP/1.1, as many as the peer allows on HTTP/2. A connection in use that has room for more is on a list of its origin,
//! the one that has been there longest first: so requests gather on few connections, and the surplus becomes idle.
//!
//! When an idle one is due stands in a heap; an entry that
//! comes up early, because the connection was used meanwhile, is entered anew with the moment that holds by then. So a
//! connection that is used all the time costs the heap one look for each idle time-out, and not one for each request.

use super::list::{Linked, Links};
use super::{Gone, OriginId, Pool};
use crate::net::connection::ConnId;
use crate::proto::Tick;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Lists of idle connections: those of an origin, and all; the one that has been idle longest comes first.
pub(super) const SHELF: usize = 0;
pub(super) const OLDER: usize = 1;
/// Connections of an origin that are in use, and have room.
pub(super) const ROOMY: usize = 2;

/// A server closes after the time that it announces, which is seen here only later: so much earlier we do, or after half
/// of it if that is more.
const MARGIN_NS: u64 = 1_000_000_000;

pub(super) struct Seat {
    pub conn: ConnId,
    origin: OriginId,
    opened: Tick,
    /// Since when it is idle; the last time, while it is not.
    since: Tick,
    /// When it is to be closed, if it is still idle then.
    pub due: Tick,
    /// The earliest entry in the heap.
    pub listed: Tick,
    /// Requests on it, and the most there may be.
    pub used: u32,
    limit: u32,
    /// It is not to be used again.
    retired: bool,
    links: [Links; 3],
}

impl Seat {
    pub fn is_idle(&self) -> bool {
        self.links[OLDER].is_linked()
    }

    pub fn is_roomy(&self) -> bool {
        self.used > 0 && self.used < self.limit && !self.retired
    }
}

impl Linked for Seat {
    fn links(&mut self, list: usize) -> &mut Links {
        &mut self.links[list]
    }
}

/// An entry of the heap; the earliest is the greatest.
#[derive(PartialEq, Eq)]
pub(super) struct Due {
    at: Tick,
    conn: ConnId,
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        (other.at, other.conn.pack()).cmp(&(self.at, self.conn.pack()))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Pool {
    /// A dial has become a connection, which carries `limit` requests at a time.
    pub fn opened(&mut self, origin: OriginId, conn: ConnId, now: Tick, limit: u32) {
        let seat = Seat {
            conn,
            origin,
            opened: now,
            since: now,
            due: Tick::NEVER,
            listed: Tick::NEVER,
            used: 0,
            limit,
            retired: false,
            links: [Links::NONE; 3],
        };
        self.seats.insert(conn.slot as usize, seat);
        self.opened += 1;
        if let Some(o) = self.origins.get_mut(origin) {
            o.dialing -= 1;
            o.places = Some(limit);
            self.feed(origin);
        }
    }

    fn seat(&mut self, conn: ConnId) -> Option<&mut Seat> {
        self.seats.get_mut(conn.slot as usize).filter(|s| s.conn == conn)
    }

    /// The idle connection that a request of this origin would get, and since when it is idle.
    pub fn youngest(&self, origin: OriginId) -> Option<(ConnId, Tick)> {
        let at = self.origins.get(origin)?.idle.last()?;
        self.seats.get(at as usize).map(|s| (s.conn, s.since))
    }

    /// How many requests a connection to this origin carried, as far as one has told.
    pub fn places(&self, origin: OriginId) -> Option<u32> {
        self.origins.get(origin)?.places
    }

    /// A connection in use that has room for another request.
    pub fn roomy(&self, origin: OriginId) -> Option<ConnId> {
        let at = self.origins.get(origin)?.roomy.first()?;
        self.seats.get(at as usize).map(|s| s.conn)
    }

    /// A request takes a connection, or a place on it.
    pub fn take(&mut self, conn: ConnId) {
        self.unshelve(conn);
        let Some(seat) = self.seat(conn) else { return };
        seat.used += 1;
        // One that carries a single request has no room once it is taken, and is on no list.
        if seat.limit > 1 {
            self.relist(conn);
        }
    }

    /// A request has left a connection. How many are on it still.
    pub fn give(&mut self, conn: ConnId) -> u32 {
        let Some(seat) = self.seat(conn) else { return 0 };
        seat.used -= 1;
        let used = seat.used;
        if seat.links[ROOMY].is_linked() || seat.is_roomy() {
            self.relist(conn);
        }
        used
    }

    /// Whether nobody uses it, and it is kept.
    pub fn is_idle(&mut self, conn: ConnId) -> bool {
        self.seat(conn).is_some_and(|s| s.is_idle())
    }

    /// Whether it is not to get another request.
    pub fn is_retired(&mut self, conn: ConnId) -> bool {
        self.seat(conn).is_some_and(|s| s.retired)
    }

    /// Requests on a connection.
    pub fn requests_on(&self, conn: ConnId) -> u32 {
        self.seats.get(conn.slot as usize).filter(|s| s.conn == conn).map_or(0, |s| s.used)
    }

    /// Whether it has room for another request.
    pub fn has_room(&mut self, conn: ConnId) -> bool {
        self.seat(conn).is_some_and(|s| s.used < s.limit && !s.retired)
    }

    /// A connection has room for so many requests more.
    pub fn set_room(&mut self, conn: ConnId, room: u32) {
        let Some(seat) = self.seat(conn) else { return };
        let limit = seat.used.saturating_add(room);
        if seat.limit == limit {
            return;
        }
        seat.limit = limit;
        let (origin, retired) = (seat.origin, seat.retired);
        // What a connection that goes allows says nothing of the next one.
        if room > 0
            && !retired
            && let Some(o) = self.origins.get_mut(origin)
        {
            o.places = Some(limit);
            self.feed(origin);
        }
        self.relist(conn);
    }

    /// A connection is not to get another request.
    pub fn retire(&mut self, conn: ConnId) {
        if let Some(seat) = self.seat(conn) {
            seat.retired = true;
            self.relist(conn);
        }
    }

    /// See to it that a connection is on its origin's list if it is in use and has room.
    fn relist(&mut self, conn: ConnId) {
        let Some(seat) = self.seat(conn) else { return };
        let (origin, roomy, listed) = (seat.origin, seat.is_roomy(), seat.links[ROOMY].is_linked());
        if roomy == listed {
            return;
        }
        let Some(o) = self.origins.get_mut(origin) else { return };
        if roomy {
            o.roomy.push_back(&mut self.seats, conn.slot);
        } else {
            o.roomy.remove(&mut self.seats, conn.slot);
        }
    }

    fn unshelve(&mut self, conn: ConnId) {
        let Some(origin) = self.seat(conn).map(|s| s.origin) else { return };
        if self.idle.remove(&mut self.seats, conn.slot)
            && let Some(o) = self.origins.get_mut(origin)
        {
            o.idle.remove(&mut self.seats, conn.slot);
            self.feed(origin);
        }
    }

    /// A connection that nobody waits for becomes idle. `hint_ns` is how long the server has said it will keep it. `Err` says
    /// why it is not worth keeping: it is to be closed.
    pub fn checkin(&mut self, conn: ConnId, now: Tick, hint_ns: Option<u64>) -> Result<(), Gone> {
        let (idle_ns, age_ns) = (self.limits.idle_ns, self.limits.age_ns);
        let Some(seat) = self.seat(conn) else { return Ok(()) };
        let hint_ns = hint_ns.map_or(u64::MAX, |ns| ns.saturating_sub(MARGIN_NS).max(ns / 2));
        let end = seat.opened.after(age_ns);
        if end <= now {
            return Err(Gone::Age);
        }
        if hint_ns == 0 {
            return Err(Gone::Spent);
        }
        seat.since = now;
        seat.due = now.after(idle_ns.min(hint_ns)).min(end);
        let (origin, due) = (seat.origin, seat.due);
        if due < seat.listed {
            seat.listed = due;
            self.due.push(Due { at: due, conn });
        }
        self.idle.push_back(&mut self.seats, conn.slot);
        if let Some(o) = self.origins.get_mut(origin) {
            o.idle.push_back(&mut self.seats, conn.slot);
            self.feed(origin);
        }
        self.prune();
        Ok(())
    }

    /// Entries of connections that are gone do not outnumber the others.
    fn prune(&mut self) {
        if self.due.len() > 2 * self.seats.len() + 64 {
            let seats = &self.seats;
            let live = |d: &Due| seats.get(d.conn.slot as usize).is_some_and(|s| s.conn == d.conn && s.listed == d.at);
            self.due = std::mem::take(&mut self.due).into_iter().filter(live).collect::<BinaryHeap<_>>();
        }
    }

    /// A connection is closed, and its place is free.
    pub fn closed(&mut self, conn: ConnId, why: Gone) {
        let Some(origin) = self.seat(conn).map(|s| s.origin) else { return };
        self.unshelve(conn);
        self.retire(conn);
        self.seats.remove(conn.slot as usize);
        self.closed[why as usize] += 1;
        self.total -= 1;
        if let Some(o) = self.origins.get_mut(origin) {
            o.open -= 1;
            o.gone = Some(why);
        }
        self.settle(origin);
    }

    /// Whether a connection is too old to be used again.
    pub fn is_aged(&mut self, conn: ConnId, now: Tick) -> bool {
        let age_ns = self.limits.age_ns;
        self.seat(conn).is_some_and(|s| s.opened.after(age_ns) <= now)
    }

    /// When `expire` has something to do next.
    pub fn next_due(&self) -> Tick {
        self.due.peek().map_or(Tick::NEVER, |d| d.at)
    }

    /// Take connections that have been idle for too long off the books.
    pub fn expire(&mut self, now: Tick, mut close: impl FnMut(ConnId)) {
        while self.due.peek().is_some_and(|d| d.at <= now)
            && let Some(Due { at, conn }) = self.due.pop()
        {
            let Some(seat) = self.seat(conn).filter(|s| s.listed == at) else { continue };
            seat.listed = Tick::NEVER;
            if !seat.is_idle() {
                continue;
            }
            let due = seat.due;
            if due > now {
                seat.listed = due;
                self.due.push(Due { at: due, conn });
                continue;
            }
            let aged = seat.opened.after(self.limits.age_ns);
            close(conn);
            self.closed(conn, if aged <= now { Gone::Age } else { Gone::Idle });
        }
    }

    /// Every idle connection, taken off the books at the end of the engine.
    pub fn drain_idle(&mut self, mut close: impl FnMut(ConnId)) {
        while let Some(conn) = self.idle.first().and_then(|at| self.seats.get(at as usize)).map(|s| s.conn) {
            close(conn);
            self.closed(conn, Gone::Ended);
        }
    }
}
