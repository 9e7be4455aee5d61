//! A queue's loop on the calling thread: wait and hand over, until it is stopped or nothing is left to wait for.

use super::Engine;
use crate::net::backend::Backend;
use crate::queue::{Event, Queue};
use std::io;
use std::sync::Arc;

/// A step of a run.
pub enum Step {
    /// Events came, or none did: go on.
    Came,
    Stopped,
    /// Nothing waits, and nothing will come.
    Idle,
    /// The engine has ended, and every event was taken.
    Over,
}

/// The calling thread runs a queue until this is dropped.
pub struct Running<'a>(&'a Queue);

impl<'a> Running<'a> {
    pub fn new(queue: &'a Queue) -> Running<'a> {
        queue.runs().enter();
        Running(queue)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.runs().leave() {
            self.0.wakeup();
        }
    }
}

impl<B: Backend> Engine<B> {
    /// Wait for the next events of a queue that is run. With `stay`, also when nothing is left to wait for.
    pub fn step(&self, queue: &Arc<Queue>, max: usize, stay: bool, take: impl FnMut(Event)) -> io::Result<Step> {
        if queue.runs().is_stopped() {
            return Ok(Step::Stopped);
        }
        if !stay && !queue.is_live() {
            return Ok(Step::Idle);
        }
        match self.wait(queue, max, None, take) {
            Ok(drained) if drained.count == 0 && !drained.woken && self.is_over(queue) => Ok(Step::Over),
            Ok(_) => Ok(Step::Came),
            // A handler that stops the run interrupts the wait as well.
            Err(_) if queue.runs().is_stopped() => Ok(Step::Stopped),
            Err(error) => Err(error),
        }
    }
}
