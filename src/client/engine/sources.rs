//! Watches, timers and posted tasks, from whatever thread.
//!
//! At once and not by mail: whoever ends a watch may close the descriptor when the call returns.

use super::{Again, Engine, Mail};
use crate::client::sources::{Period, Refused, Wanted};
use crate::client::turn::Core;
use crate::error as e;
use crate::net::backend::Backend;
use crate::queue::event::{flag, kind};
use crate::queue::{Event, Queue};
use std::sync::Arc;

/// Events that may wait in a queue when another task is posted.
pub const POSTED_MAX: usize = 1 << 20;

impl<B: Backend> Engine<B> {
    /// `give` gets the id before there can be an event.
    pub fn watch_fd(
        &self,
        queue: &Arc<Queue>,
        token: u64,
        fd: i32,
        wanted: Wanted,
        give: impl FnOnce(u64),
    ) -> Result<(), Refused> {
        self.on_sources(|core| core.client.watch_fd(&mut core.io, queue, token, fd, wanted).map(give))
    }

    pub fn watch_for(&self, id: u64, wanted: Wanted) -> Result<(), Refused> {
        self.on_sources(|core| core.client.watch_for(&mut core.io, id, wanted))
    }

    /// As `watch_fd`.
    pub fn start_timer(
        &self,
        queue: &Arc<Queue>,
        token: u64,
        period: Period,
        give: impl FnOnce(u64),
    ) -> Result<(), Refused> {
        self.on_sources(|core| core.client.start_timer(&mut core.io, queue, token, period).map(give))
    }

    pub fn restart_timer(&self, id: u64, period: Period) -> Result<(), Refused> {
        self.on_sources(|core| core.client.restart_timer(&mut core.io, id, period))
    }

    fn on_sources(&self, work: impl FnOnce(&mut Core<B>) -> Result<(), Refused>) -> Result<(), Refused> {
        let mut outcome = Err(Refused::Closed);
        self.take_turn(self.lock(), |core| outcome = work(core));
        outcome
    }

    pub(super) fn end_source(&self, id: u64) -> Result<(), i32> {
        let mut ended = false;
        self.take_turn(self.lock(), |core| {
            ended = core.client.has_source(id);
            core.client.end_source(&mut core.io, id, e::CHTTP_E_CANCELLED);
        });
        if ended { Ok(()) } else { Err(e::CHTTP_E_NOT_FOUND) }
    }

    /// Put an event of the application's own into a queue.
    pub fn post_task(&self, queue: &Arc<Queue>, token: u64, number: u64) -> Result<(), i32> {
        self.check()?;
        if queue.len() >= POSTED_MAX {
            return Err(e::CHTTP_E_AGAIN);
        }
        let event = Event { kind: kind::TASK, flags: flag::TERMINAL, token, aux: number, ..Event::default() };
        if self.settings.own_thread {
            // The queue makes itself heard: the engine need not know.
            if queue.publish(&mut vec![event]) {
                queue.raise();
            }
        } else {
            queue.expect(1);
            self.post(Mail::Task(queue.clone(), event));
        }
        Ok(())
    }
}

impl<B: Backend> Again for Engine<B> {
    fn again(&self, id: u64) {
        if self.is_stopped() {
            return;
        }
        // The calling thread may hold the turn, or another one does: who has it looks at the mail again.
        match self.try_lock() {
            Some(core) => self.take_turn(core, |core| core.client.source_again(&mut core.io, id)),
            None => {
                self.mail.push(Mail::Again(id));
                self.mail.ring();
            }
        }
    }
}
