//! Events of the current turn, by queue. They are published together at its end, so that an application is woken once.

use crate::queue::{Event, Queue};
use std::sync::Arc;

struct Staged {
    queue: Arc<Queue>,
    events: Vec<Event>,
}

#[derive(Default)]
pub struct Outbox {
    staged: Vec<Staged>,
    /// Queues with events in this turn.
    dirty: bool,
}

impl Outbox {
    pub fn push(&mut self, queue: &Arc<Queue>, event: Event) {
        self.dirty = true;
        match self.staged.iter_mut().find(|s| Arc::ptr_eq(&s.queue, queue)) {
            Some(staged) => staged.events.push(event),
            None => {
                // Queues that nobody but us holds are gone; those of `perform` go without a word.
                self.staged.retain(|s| !s.events.is_empty() || Arc::strong_count(&s.queue) > 1);
                self.staged.push(Staged { queue: queue.clone(), events: vec![event] });
            }
        }
    }

    /// Publish everything.
    pub fn publish(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        for staged in &mut self.staged {
            if !staged.events.is_empty() {
                staged.queue.publish(&mut staged.events);
            }
        }
    }

    /// Forget a queue that was destroyed.
    pub fn forget(&mut self, queue: &Arc<Queue>) {
        self.staged.retain(|s| !Arc::ptr_eq(&s.queue, queue));
    }
}
