//! How large a stream's window has to be: at least what can arrive in one round trip (the product of bandwidth and delay). A
//! PING with the first request measures the round trip; where half a window comes in that time, the window is too small.
//!
//! A window on a long way must not grow step by step: each step would take two round trips, and a body of 100 MB is over
//! after four.

use crate::proto::Tick;

/// By so much it grows at once.
const GROWTH: u32 = 16;

/// What the measurement is at.
#[derive(Debug)]
pub struct Probe {
    /// Streams have this window.
    pub window: u32,
    /// It grows up to here.
    max: u32,
    /// When the PING left that is on its way.
    asked_at: Option<Tick>,
    /// Nanoseconds.
    round_trip: Option<u64>,
    /// Since when, and since how many bytes in all, a quarter of a window is waited for: what comes in one burst of a whole
    /// window has to be seen, wherever it begins.
    mark: (Tick, u64),
}

impl Probe {
    pub fn new(window: u32, max: u32) -> Probe {
        Probe { window, max, asked_at: None, round_trip: None, mark: (Tick(0), 0) }
    }

    /// Whether to send a PING along with a request.
    pub fn wants_ping(&self) -> bool {
        self.round_trip.is_none() && self.asked_at.is_none() && self.window < self.max
    }

    pub fn asked(&mut self, now: Tick) {
        self.asked_at = Some(now);
    }

    /// The answer to the PING is there.
    pub fn answered(&mut self, now: Tick) {
        if let Some(at) = self.asked_at.take() {
            self.round_trip = Some(now.0.saturating_sub(at.0));
        }
    }

    /// So many bytes have come in all. The window that streams should have, if it is a larger one.
    pub fn received(&mut self, now: Tick, total: u64) -> Option<u32> {
        let (since, before) = self.mark;
        if total - before < u64::from(self.window / 4) {
            return None;
        }
        self.mark = (now, total);
        let filled = now.0.saturating_sub(since.0) <= self.round_trip? / 2;
        (filled && self.window < self.max).then(|| self.window.saturating_mul(GROWTH).min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_half_filled_in_a_round_trip_grows_to_its_end() {
        let mut probe = Probe::new(1000, 20_000);
        assert!(probe.wants_ping());
        probe.asked(Tick(0));
        assert!(!probe.wants_ping(), "one at a time");
        assert_eq!(probe.received(Tick(5), 900), None, "nobody knows how long a round trip is");
        probe.answered(Tick(100));
        assert!(!probe.wants_ping(), "it is known");
        assert_eq!(probe.received(Tick(150), 1149), None);
        assert_eq!(probe.received(Tick(150), 1150), None, "it took too long");
        assert_eq!(probe.received(Tick(200), 1399), None);
        assert_eq!(probe.received(Tick(200), 1400), Some(16_000));
        probe.window = 16_000;
        assert_eq!(probe.received(Tick(250), 5_400), Some(20_000));
        probe.window = 20_000;
        assert_eq!(probe.received(Tick(301), 90_000), None, "it is as large as may be");
    }

    #[test]
    fn one_that_may_not_grow_asks_nothing() {
        assert!(!Probe::new(1000, 1000).wants_ping());
    }
}
