//! Which address to try when: Happy Eyeballs version 2 (RFC 8305), without sockets, names or a clock.
//!
//! The two families of a name are asked for separately, and their answers come in any order (section 3). IPv6 goes first and
//! the families take turns (section 4, with a First Address Family Count of 1). Attempts overlap: the next one starts after
//! the Connection Attempt Delay (section 5), or at once when one fails, so that a dead address costs no more than the delay.
//!
//! Whoever owns a [`Race`] calls `poll` after everything that it tells it, until the answer is not an attempt any more.
//!
//! Invariants: at most [`ATTEMPTS_MAX`] attempts are ever started and [`UNDER_WAY_MAX`] are under way at a time, however
//! many addresses a name has; after the first attempt, an address that is left is tried as soon as none is under way.

use super::Tick;
use std::collections::VecDeque;

/// Attempts for one connection, and addresses kept of one family.
pub const ATTEMPTS_MAX: usize = 64;
/// Attempts at a time. From there on an address has to fail before the next is tried.
pub const UNDER_WAY_MAX: usize = 16;
/// Resolution Delay (section 3): how long addresses of IPv4 wait for those of IPv6.
pub const RESOLUTION_NS: u64 = 50_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    V6,
    V4,
}

impl Family {
    const fn other(self) -> Family {
        match self {
            Family::V6 => Family::V4,
            Family::V4 => Family::V6,
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<A> {
    /// Connect to this address.
    Attempt(A),
    /// Nothing until then, unless something happens before.
    Wait(Tick),
    /// No attempt is under way, and there will be no other.
    Exhausted,
}

#[derive(Debug)]
struct Supply<A> {
    /// The answer of this family is still to come.
    awaited: bool,
    addresses: VecDeque<A>,
}

impl<A> Supply<A> {
    fn new(awaited: bool) -> Supply<A> {
        Supply { awaited, addresses: VecDeque::new() }
    }
}

/// The attempts for one connection. It knows addresses as things of a family.
#[derive(Debug)]
pub struct Race<A> {
    v6: Supply<A>,
    v4: Supply<A>,
    /// Connection Attempt Delay.
    delay: u64,
    /// Family of the attempt that was started last.
    last: Option<Family>,
    started: usize,
    under_way: usize,
    /// The first attempt waits for IPv6 until then.
    hold: Tick,
    /// The next attempt starts then, while another one is under way.
    next: Tick,
}

impl<A> Race<A> {
    /// Both families were asked for.
    pub fn new(delay: u64) -> Race<A> {
        let (v6, v4) = (Supply::new(true), Supply::new(true));
        Race { v6, v4, delay, last: None, started: 0, under_way: 0, hold: Tick(0), next: Tick(0) }
    }

    /// There is one address, and nothing to wait for.
    pub fn only(address: A) -> Race<A> {
        let mut race = Race { v6: Supply::new(false), v4: Supply::new(false), ..Race::new(u64::MAX) };
        race.v6.addresses.push_back(address);
        race
    }

    fn supply(&mut self, family: Family) -> &mut Supply<A> {
        match family {
            Family::V6 => &mut self.v6,
            Family::V4 => &mut self.v4,
        }
    }

    /// The answer of one family, empty if it has no address. Only the first counts.
    pub fn answer(&mut self, now: Tick, family: Family, addresses: impl IntoIterator<Item = A>) {
        let supply = self.supply(family);
        if !std::mem::replace(&mut supply.awaited, false) {
            return;
        }
        supply.addresses.extend(addresses.into_iter().take(ATTEMPTS_MAX));
        if family == Family::V4 && self.v6.awaited {
            self.hold = now.after(RESOLUTION_NS);
        }
    }

    /// An answer is still to come.
    pub fn awaits(&self) -> bool {
        self.v6.awaited || self.v4.awaited
    }

    /// An attempt has failed.
    pub fn failed(&mut self) {
        self.under_way -= 1;
        self.next = Tick(0);
    }

    pub fn poll(&mut self, now: Tick) -> Step<A> {
        let first = self.last.map_or(Family::V6, Family::other);
        let family = [first, first.other()].into_iter().find(|&f| !self.supply(f).addresses.is_empty());
        let Some(family) = family.filter(|_| self.started < ATTEMPTS_MAX) else {
            let awaited = self.awaits() && self.started < ATTEMPTS_MAX;
            return if awaited || self.under_way > 0 { Step::Wait(Tick::NEVER) } else { Step::Exhausted };
        };
        if self.under_way >= UNDER_WAY_MAX {
            return Step::Wait(Tick::NEVER);
        }
        if self.started == 0 && self.v6.awaited && self.hold > now {
            return Step::Wait(self.hold);
        }
        if self.under_way > 0 && self.next > now {
            return Step::Wait(self.next);
        }
        let Some(address) = self.supply(family).addresses.pop_front() else { return Step::Exhausted };
        self.last = Some(family);
        self.started += 1;
        self.under_way += 1;
        self.next = now.after(self.delay);
        Step::Attempt(address)
    }
}
