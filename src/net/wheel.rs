//! Timers of a reactor: a hierarchical wheel that knows no clock and does no I/O.
//!
//! Time is cut into units of 2^20 ns (about a millisecond). `LEVELS` levels of 64 slots each: a timer stands on the level
//! of the highest six-bit digit in which its unit differs from `cur`, in the slot that this digit names. It follows that
//! on each level above the lowest only slots *after* the one of `cur` are occupied, that every timer of a level is due
//! before every timer of the level above, and that a slot of a higher level is re-sorted exactly when `cur` enters it.
//! A timer beyond the top level's turn stands in that turn's last unit and is placed anew from there.
//!
//! Units only sort: a node keeps its exact moment, expires neither early nor late by it, and the bound that `next`
//! gives is exact once its timer is on the lowest level. The bound is not raised by `cancel` (that would be a search):
//! a cancelled earliest timer costs one wake-up that finds nothing, and not one for each request.
//!
//! Nodes live in a slab, linked into their slot by number; a warm wheel allocates nothing. Invariants: the bit of a slot in
//! `occupied` is set exactly while its list is not empty; `bound` is not later than any moment in the wheel.
#![forbid(unsafe_code)]

use crate::mem::{Key, Slab};
use crate::proto::Tick;

const UNIT_BITS: u32 = 20;
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
/// Thirteen days; what is further away is placed again then.
const LEVELS: usize = 5;
const TURN: u64 = (1 << (DIGIT as usize * LEVELS)) - 1;

/// End of a list.
const NIL: u32 = u32::MAX;

/// Names a timer until it has expired or was cancelled; stale ones are recognized.
pub type TimerId = Key;

struct Node {
    at: Tick,
    key: u64,
    prev: u32,
    next: u32,
    /// Whose list it stands in.
    slot: u32,
}

pub struct Wheel {
    /// The latest moment that `expire` was told.
    now: Tick,
    /// The unit that the placement of all nodes refers to; not after `now`.
    cur: u64,
    bound: Tick,
    occupied: [u64; LEVELS],
    heads: [u32; LEVELS * SLOTS],
    nodes: Slab<Node>,
}

impl Wheel {
    pub fn new(now: Tick) -> Wheel {
        Wheel {
            now,
            cur: now.0 >> UNIT_BITS,
            bound: Tick::NEVER,
            occupied: [0; LEVELS],
            heads: [NIL; LEVELS * SLOTS],
            nodes: Slab::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A moment in the past is due at once.
    pub fn insert(&mut self, at: Tick, key: u64) -> TimerId {
        let id = self.nodes.insert(Node { at, key, prev: NIL, next: NIL, slot: 0 });
        self.bound = self.bound.min(at.max(self.now));
        self.place(id.slot);
        id
    }

    /// `false` if the timer has expired or was cancelled already.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        let Some(node) = self.nodes.remove(id) else { return false };
        self.unlink(&node);
        self.settle();
        true
    }

    /// When to call `expire` next: not later than the earliest timer, perhaps earlier. Not before the latest `now`.
    pub fn next(&self) -> Tick {
        self.bound
    }

    /// Take out the timers whose moment is not after `now`; their keys are appended to `out` in no particular order.
    pub fn expire(&mut self, now: Tick, out: &mut Vec<u64>) {
        self.now = self.now.max(now);
        if self.now < self.bound || self.is_empty() {
            return;
        }
        let from = self.cur;
        self.cur = self.now.0 >> UNIT_BITS;
        for level in 0..LEVELS {
            let shift = DIGIT * level as u32;
            let (first, last) = (from >> shift, self.cur >> shift);
            // On the lowest level the present slot itself holds timers.
            let passed = last - first + u64::from(level == 0);
            if passed == 0 {
                break;
            }
            let mask = match passed {
                64.. => u64::MAX,
                n => ((1 << n) - 1u64).rotate_left((first + u64::from(level > 0)) as u32 % 64),
            };
            let mut due = self.occupied[level] & mask;
            while due != 0 {
                let slot = level * SLOTS + due.trailing_zeros() as usize;
                due &= due - 1;
                self.empty_slot(slot, out);
            }
        }
        self.bound = self.find_bound();
    }

    /// Expire what is due in a slot and place the rest anew, with regard to the present `cur`.
    fn empty_slot(&mut self, slot: usize, out: &mut Vec<u64>) {
        let mut at = std::mem::replace(&mut self.heads[slot], NIL);
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
        while at != NIL {
            let Some(node) = self.nodes.at(at) else { break };
            let (next, key) = (node.next, node.key);
            if node.at > self.now {
                self.place(at);
            } else if let Some(id) = self.nodes.key_at(at) {
                out.push(key);
                self.nodes.remove(id);
            }
            at = next;
        }
    }

    fn find_bound(&self) -> Tick {
        let Some(level) = self.occupied.iter().position(|bits| *bits != 0) else { return Tick::NEVER };
        // Occupied slots are not before the present one, so the first bit is the earliest slot.
        let digit = self.occupied[level].trailing_zeros() as usize;
        if level > 0 {
            let shift = DIGIT * level as u32;
            let above = self.cur >> (shift + DIGIT) << DIGIT;
            return Tick((above | digit as u64) << shift << UNIT_BITS);
        }
        let mut earliest = Tick::NEVER;
        let mut at = self.heads[digit];
        while let Some(node) = self.nodes.at(at) {
            earliest = earliest.min(node.at);
            at = node.next;
        }
        earliest
    }

    /// Link a node into the slot where it belongs.
    fn place(&mut self, index: u32) {
        let Some(node) = self.nodes.at(index) else { return };
        let unit = node.at.0 >> UNIT_BITS;
        let unit = unit.clamp(self.cur, self.cur | TURN);
        let differ = unit ^ self.cur;
        let level = (63 - (differ | 1).leading_zeros()) / DIGIT;
        let digit = (unit >> (DIGIT * level)) as usize % SLOTS;
        let slot = level as usize * SLOTS + digit;

        let head = std::mem::replace(&mut self.heads[slot], index);
        self.occupied[level as usize] |= 1 << digit;
        if let Some(second) = self.nodes.at_mut(head) {
            second.prev = index;
        }
        if let Some(node) = self.nodes.at_mut(index) {
            (node.prev, node.next, node.slot) = (NIL, head, slot as u32);
        }
    }

    /// Close the gap that a node leaves in its list.
    fn unlink(&mut self, &Node { prev, next, slot, .. }: &Node) {
        let slot = slot as usize;
        if let Some(after) = self.nodes.at_mut(next) {
            after.prev = prev;
        }
        match self.nodes.at_mut(prev) {
            Some(before) => before.next = next,
            None => {
                self.heads[slot] = next;
                if next == NIL {
                    self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
                }
            }
        }
    }

    /// After a removal: without timers there is no moment to wait for.
    fn settle(&mut self) {
        if self.is_empty() {
            self.bound = Tick::NEVER;
        }
    }

    /// Give back what a peak has left.
    pub fn tidy(&mut self) {
        self.nodes.tidy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const MS: u64 = 1_000_000;

    fn expired(wheel: &mut Wheel, now: Tick) -> Vec<u64> {
        let mut out = Vec::new();
        wheel.expire(now, &mut out);
        out.sort_unstable();
        out
    }

    #[test]
    fn exact_to_the_nanosecond() {
        let start = Tick(12_345_678_901);
        let mut w = Wheel::new(start);
        assert_eq!(w.next(), Tick::NEVER);
        w.insert(start.after(10), 1);
        w.insert(start.after(11), 2);
        w.insert(Tick(5), 3);
        assert_eq!(w.next(), start);
        assert_eq!(expired(&mut w, start), [3]);
        assert_eq!(w.next(), start.after(10));
        assert_eq!(expired(&mut w, start.after(9)), []);
        assert_eq!(expired(&mut w, start.after(10)), [1]);
        assert_eq!(w.next(), start.after(11));
        assert_eq!(expired(&mut w, start.after(11)), [2]);
        assert!(w.is_empty());
    }

    #[test]
    fn the_bound_alone_leads_to_each_timer_in_few_steps() {
        for delay in [1, MS, 63 * MS, 70 * MS, 5_000 * MS, 3_600_000 * MS, 30 * 86_400_000 * MS, u64::MAX / 4] {
            let start = Tick(987_654_321_012_345);
            let mut w = Wheel::new(start);
            w.insert(start.after(delay), 9);
            let mut steps = 0;
            loop {
                let next = w.next();
                assert!(next <= start.after(delay));
                steps += 1;
                assert!(steps <= 2 * LEVELS, "delay {delay}");
                if expired(&mut w, next) == [9] {
                    assert_eq!(next, start.after(delay));
                    break;
                }
            }
        }
    }

    #[test]
    fn stale_ids_and_reuse() {
        let mut w = Wheel::new(Tick(0));
        let a = w.insert(Tick(100), 1);
        assert!(w.cancel(a) && !w.cancel(a));
        assert_eq!(w.next(), Tick::NEVER);
        let b = w.insert(Tick(100), 2);
        assert_eq!(b.slot, a.slot);
        assert!(!w.cancel(a));
        assert_eq!(expired(&mut w, Tick(100)), [2]);
        assert!(!w.cancel(b));
        // Warm: the slab does not grow.
        for _ in 0..1000 {
            let id = w.insert(Tick(30_000 * MS), 3);
            assert!(w.cancel(id));
        }
        assert_eq!(w.nodes.next_key().slot, 0);
    }

    #[test]
    fn agrees_with_a_sorted_map() {
        let mut seed = 0x1234_5678_9ABC_DEF1u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for round in 0..40 {
            let mut now = Tick(random() >> (round % 40));
            let mut w = Wheel::new(now);
            let mut model: BTreeMap<(Tick, u64), TimerId> = BTreeMap::new();
            let mut stale: Vec<TimerId> = Vec::new();
            for key in 0..3_000u64 {
                let reach = random() & ((1 << (1 + random() % 54)) - 1);
                match random() % 8 {
                    0..4 => {
                        let at = match random() % 16 {
                            0 => Tick(now.0.saturating_sub(reach)),
                            1 => Tick::NEVER,
                            _ => now.after(reach),
                        };
                        model.insert((at, key), w.insert(at, key));
                    }
                    4..6 => {
                        let nth = random() as usize % (model.len() + 1);
                        if let Some((&entry, &id)) = model.iter().nth(nth) {
                            assert!(w.cancel(id));
                            model.remove(&entry);
                            stale.push(id);
                        }
                    }
                    what => {
                        // Half of the time just as far as the wheel asks for.
                        let to = if what == 6 && w.next() != Tick::NEVER { w.next() } else { now.after(reach >> 6) };
                        now = now.max(to);
                        let got = expired(&mut w, now);
                        let left = model.split_off(&(now.after(1), 0));
                        let due = std::mem::replace(&mut model, left);
                        let mut keys: Vec<u64> = due.keys().map(|(_, key)| *key).collect();
                        keys.sort_unstable();
                        assert_eq!(got, keys);
                        stale.extend(due.values());
                    }
                }
                assert_eq!(w.len(), model.len());
                let earliest = model.keys().next().map_or(Tick::NEVER, |(at, _)| *at);
                assert!(w.next() >= now && w.next() <= earliest.max(now));
            }
            assert!(stale.iter().all(|id| !w.cancel(*id)));
        }
    }
}
