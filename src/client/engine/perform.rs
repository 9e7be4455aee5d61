//! One request from submit to answer on the calling thread.

use super::Engine;
use crate::client::Request;
use crate::error as e;
use crate::net::backend::{Backend, Clock};
use crate::queue::{Event, Notifier, Queue};
use std::sync::Arc;
use std::time::Duration;

/// Queues that are kept for the next callers.
const PERFORM_QUEUES_MAX: usize = 16;

impl<B: Backend> Engine<B> {
    /// Run a request to its end on this thread.
    pub fn perform(
        &self,
        request: Box<Request>,
        timeout: Option<Duration>,
        mut take: impl FnMut(Event) -> bool,
    ) -> Result<(), i32> {
        self.check()?;
        let queue = match self.perform_queues.lock().pop() {
            Some(queue) => queue,
            None => Arc::new(Queue::new(self.signal(Notifier::EventFd, &self.descriptors)?)),
        };
        let mut xid = 0;
        self.submit(&queue, std::iter::once(request), |id| xid = id)?;
        let deadline = timeout.map(|t| self.clock.after(t));
        let (mut ended, mut verdict) = (false, Ok(()));
        while !ended {
            let left = deadline.filter(|_| verdict.is_ok()).map(|d| self.clock.until(d));
            let mut wanted = true;
            let waited = self.wait(&queue, 64, left, |event| {
                ended |= event.flags & crate::queue::event::flag::TERMINAL != 0;
                if verdict.is_ok() {
                    wanted &= take(event);
                }
            });
            if ended || verdict.is_err() {
                continue;
            }
            if let Err(error) = waited {
                let stuck = error.raw_os_error() == Some(libc::EDEADLK);
                verdict = Err(if stuck { e::CHTTP_E_BAD_STATE } else { e::CHTTP_E_INTERRUPTED });
            } else if !wanted {
                verdict = Err(e::CHTTP_E_TOO_LARGE);
            } else if deadline.is_some_and(|d| d <= self.clock.now()) {
                verdict = Err(e::CHTTP_E_TIMED_OUT);
            } else if self.is_stopped() && !self.ids.is_live(xid) && queue.is_empty() {
                return Err(e::CHTTP_E_ENGINE_DOWN);
            } else {
                continue;
            }
            // The exchange still ends in order; then the queue is clean for the next caller.
            self.cancel(xid).ok();
        }
        let mut spare = self.perform_queues.lock();
        if spare.len() < PERFORM_QUEUES_MAX {
            spare.push(queue);
        }
        verdict
    }
}
