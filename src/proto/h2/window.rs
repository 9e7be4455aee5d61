//! How large a stream's window has to be: what arrives in one round trip, which a PING measures (the product of bandwidth
//! and delay). Where a window is filled in that time, it was too small.
//!
//! A connection that carries little is never asked: a PING goes out only once half a window has come since the last one.

/// What the measurement is at.
#[derive(Debug)]
pub struct Probe {
    /// Streams have this window.
    pub window: u32,
    /// It grows up to here.
    max: u32,
    /// Bytes that had come when the PING left that is on its way.
    asked_at: Option<u64>,
    /// When so many have come, another one leaves.
    next: u64,
}

impl Probe {
    pub fn new(window: u32, max: u32) -> Probe {
        Probe { window, max, asked_at: None, next: u64::from(window / 2) }
    }

    /// Whether to send a PING now, when `received` bytes have come in all.
    pub fn wants_ping(&self, received: u64) -> bool {
        self.asked_at.is_none() && received >= self.next && self.window < self.max
    }

    pub fn is_asked(&self) -> bool {
        self.asked_at.is_some()
    }

    pub fn asked(&mut self, received: u64) {
        self.asked_at = Some(received);
    }

    /// The answer is there. The window that streams should have, if it is another one.
    pub fn answered(&mut self, received: u64) -> Option<u32> {
        let came = received - self.asked_at.take()?;
        self.next = received + u64::from(self.window / 2);
        // Two thirds, since the first and the last bytes of a round trip are easily missed.
        (came * 3 >= u64::from(self.window) * 2).then(|| {
            let wanted = came.saturating_mul(2).max(u64::from(self.window) * 2);
            u32::try_from(wanted).unwrap_or(u32::MAX).min(self.max)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_filled_in_a_round_trip_grows_to_its_end() {
        let mut probe = Probe::new(1000, 6000);
        assert!(!probe.wants_ping(499) && probe.wants_ping(500));
        probe.asked(500);
        assert!(!probe.wants_ping(5000), "one at a time");
        assert_eq!(probe.answered(900), None, "there was room");
        assert!(!probe.wants_ping(1300) && probe.wants_ping(1400));
        probe.asked(1400);
        assert_eq!(probe.answered(2100), Some(2000));
        probe.window = 2000;
        probe.asked(9000);
        assert_eq!(probe.answered(12_500), Some(6000));
        probe.window = 6000;
        assert!(!probe.wants_ping(1 << 40));
        assert_eq!(probe.answered(1 << 40), None, "nobody asked");
    }
}
