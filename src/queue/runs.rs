//! Who runs a queue until it is stopped: a count and a flag in one word, which a signal handler may change.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

/// They are to stop. Below it stands how many there are.
const STOP: u32 = 1 << 31;

#[derive(Default)]
pub struct Runs {
    state: AtomicU32,
}

impl Runs {
    pub fn enter(&self) {
        self.state.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether others are left that are to stop. The last one takes the flag along.
    pub fn leave(&self) -> bool {
        let before = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state & !STOP {
            1 => Some(0),
            _ => Some(state - 1),
        });
        let before = before.unwrap_or_else(|state| state);
        before & STOP != 0 && before & !STOP > 1
    }

    /// Ask all of them to stop, or else the next one. Whether there are any.
    pub fn stop(&self) -> bool {
        self.state.fetch_or(STOP, Ordering::SeqCst) & !STOP > 0
    }

    pub fn is_stopped(&self) -> bool {
        self.state.load(Ordering::SeqCst) & STOP != 0
    }

    /// Some run, and are to stop.
    pub fn are_stopping(&self) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        state & STOP != 0 && state & !STOP > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_all_that_run_or_the_next_one() {
        let runs = Runs::default();
        assert!(!runs.stop() && !runs.are_stopping());
        runs.enter();
        assert!(runs.is_stopped() && !runs.leave());
        assert!(!runs.is_stopped(), "it was for one run");
        runs.enter();
        runs.enter();
        assert!(runs.stop() && runs.are_stopping());
        assert!(runs.leave(), "one is left");
        assert!(runs.is_stopped() && !runs.leave());
        assert!(!runs.is_stopped());
        runs.enter();
        assert!(!runs.is_stopped() && !runs.leave());
    }
}
