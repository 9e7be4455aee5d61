//! Whose turn it is to shake hands.
//!
//! A handshake needs several times the memory that its connection keeps. Ten thousand at once would not be over sooner than
//! one after the other, for the processors at both ends do the same work, but they leave a heap full of holes. So of one
//! origin a few are under way at a time; further sockets are connected and wait in line, first in, first out.
//!
//! Where not the processors but the way is slow, waiting would cost time: when for a while no handshake of the line has
//! ended, as many again may begin beside those under way, so that a line is soon as wide as its way is long. The same
//! goes for handshakes that hang: nobody waits for them for long.
//!
//! Invariants: an origin has a line while handshakes of it are under way; nobody waits in a line with room.

use crate::mem::Key;
use crate::pool::OriginId;
use crate::proto::Tick;
use std::collections::{HashMap, VecDeque};

/// Handshakes of one origin at a time, and how many more there may be after each pause.
const AT_ONCE: u32 = 256;
/// How long a line stands still before it becomes wider.
const PAUSE_NS: u64 = 100_000_000;

struct Line {
    width: u32,
    under_way: u32,
    waiting: VecDeque<Key>,
    /// Of those that wait, dials that are no more.
    gone: usize,
    /// When it last moved.
    moved: Tick,
}

#[derive(Default)]
pub struct Handshakes {
    lines: HashMap<OriginId, Line>,
    /// Lines with room that have not moved up yet.
    moving: Vec<OriginId>,
}

impl Handshakes {
    /// Whether a dial may begin at once. If not it waits in line.
    pub fn begin(&mut self, origin: OriginId, dial: Key, now: Tick) -> bool {
        let line = self.lines.entry(origin).or_insert_with(|| Line {
            width: AT_ONCE,
            under_way: 0,
            waiting: VecDeque::new(),
            gone: 0,
            moved: now,
        });
        let room = line.under_way < line.width;
        if room {
            line.under_way += 1;
            line.moved = now;
        } else {
            line.waiting.push_back(dial);
        }
        room
    }

    /// One that had begun is over.
    pub fn over(&mut self, origin: OriginId, now: Tick) {
        let Some(line) = self.lines.get_mut(&origin) else { return };
        line.under_way -= 1;
        line.moved = now;
        if !line.waiting.is_empty() {
            self.moving.push(origin);
        } else if line.under_way == 0 {
            self.lines.remove(&origin);
        }
    }

    /// Lines that stand still become wider. When to see to it again; never, if nobody waits.
    pub fn widen(&mut self, now: Tick) -> Tick {
        let mut next = Tick::NEVER;
        for (&origin, line) in self.lines.iter_mut().filter(|(_, line)| !line.waiting.is_empty()) {
            if line.moved.after(PAUSE_NS) <= now {
                line.width += AT_ONCE;
                line.moved = now;
                self.moving.push(origin);
            }
            next = next.min(line.moved.after(PAUSE_NS));
        }
        next
    }

    /// A dial that waited is no more. `lives` tells of the others.
    pub fn left(&mut self, origin: OriginId, lives: impl Fn(Key) -> bool) {
        let Some(line) = self.lines.get_mut(&origin) else { return };
        line.gone += 1;
        if line.gone > line.waiting.len() / 2 {
            line.waiting.retain(|&dial| lives(dial));
            line.gone = 0;
        }
    }

    /// The next that may begin, which it does with this call.
    pub fn next(&mut self, lives: impl Fn(Key) -> bool) -> Option<Key> {
        while let Some(&origin) = self.moving.last() {
            if let Some(line) = self.lines.get_mut(&origin).filter(|line| line.under_way < line.width) {
                while let Some(dial) = line.waiting.pop_front() {
                    if lives(dial) {
                        line.under_way += 1;
                        return Some(dial);
                    }
                    line.gone = line.gone.saturating_sub(1);
                }
                if line.under_way == 0 {
                    self.lines.remove(&origin);
                }
            }
            self.moving.pop();
        }
        None
    }

    /// Handshakes under way, and dials that wait for theirs.
    #[cfg(test)]
    fn counts(&self) -> (u32, usize) {
        self.lines.values().fold((0, 0), |(n, m), l| (n + l.under_way, m + l.waiting.len() - l.gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Slab;
    use std::cell::RefCell;
    use std::collections::HashSet;

    const T: Tick = Tick(1_000_000_000);

    fn keys(n: u32) -> Vec<Key> {
        let mut slab = Slab::default();
        (0..n).map(|at| slab.insert(at)).collect()
    }

    #[test]
    fn so_many_at_once_and_the_others_in_their_order() {
        let dials = keys(AT_ONCE + 3);
        let (one, other) = (keys(2)[0], keys(2)[1]);
        let mut h = Handshakes::default();
        let begun: Vec<bool> = dials.iter().map(|&dial| h.begin(one, dial, T)).collect();
        assert_eq!(begun.iter().filter(|b| **b).count(), AT_ONCE as usize);
        assert!(begun[..AT_ONCE as usize].iter().all(|b| *b));
        assert!(h.begin(other, dials[0], T), "another origin has a line of its own");
        assert_eq!(h.next(|_| true), None);
        h.over(one, T);
        assert_eq!(h.next(|_| true), Some(dials[AT_ONCE as usize]));
        assert_eq!(h.next(|_| true), None);
        h.over(one, T);
        h.over(one, T);
        // The next in line has given up.
        let gone = dials[AT_ONCE as usize + 1];
        assert_eq!(h.next(|dial| dial != gone), Some(dials[AT_ONCE as usize + 2]));
        assert_eq!(h.next(|_| true), None);
        for _ in 0..AT_ONCE - 1 {
            h.over(one, T);
        }
        h.over(other, T);
        assert!(h.lines.is_empty() && h.moving.is_empty(), "nothing is kept of an origin without handshakes");
    }

    #[test]
    fn those_that_leave_the_line_leave_no_trace() {
        let dials = keys(AT_ONCE + 1000);
        let origin = keys(1)[0];
        let alive = RefCell::new(HashSet::<Key>::from_iter(dials.iter().copied()));
        let mut h = Handshakes::default();
        for &dial in &dials {
            h.begin(origin, dial, T);
        }
        for dial in &dials[AT_ONCE as usize + 1..] {
            alive.borrow_mut().remove(dial);
            h.left(origin, |dial| alive.borrow().contains(&dial));
        }
        assert_eq!(h.counts(), (AT_ONCE, 1));
        assert!(h.lines[&origin].waiting.len() <= 2);
        h.over(origin, T);
        assert_eq!(h.next(|dial| alive.borrow().contains(&dial)), Some(dials[AT_ONCE as usize]));
        for _ in 0..AT_ONCE {
            h.over(origin, T);
        }
        assert_eq!(h.next(|dial| alive.borrow().contains(&dial)), None);
        assert!(h.lines.is_empty() && h.moving.is_empty());
    }

    #[test]
    fn a_line_that_stands_still_becomes_wider() {
        let dials = keys(3 * AT_ONCE);
        let origin = keys(1)[0];
        let mut h = Handshakes::default();
        for &dial in &dials {
            h.begin(origin, dial, T);
        }
        let drained = |h: &mut Handshakes| std::iter::from_fn(|| h.next(|_| true)).count() as u32;
        assert_eq!(h.widen(T), T.after(PAUSE_NS));
        assert_eq!(drained(&mut h), 0);
        // It moves: there is no reason yet.
        let later = T.after(PAUSE_NS - 1);
        h.over(origin, later);
        assert_eq!(drained(&mut h), 1);
        assert_eq!(h.widen(T.after(PAUSE_NS)), later.after(PAUSE_NS));
        assert_eq!(drained(&mut h), 0);
        let still = later.after(PAUSE_NS);
        assert_eq!(h.widen(still), still.after(PAUSE_NS));
        assert_eq!(drained(&mut h), AT_ONCE);
        h.widen(still.after(PAUSE_NS));
        assert_eq!(drained(&mut h), AT_ONCE - 1);
        assert_eq!(h.widen(still.after(2 * PAUSE_NS)), Tick::NEVER, "nobody waits");
    }
}
