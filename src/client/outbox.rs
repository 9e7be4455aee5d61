//! Events of the current turn, by queue. They are published together at its end, so that an application is woken once.

use crate::queue::{Event, Queue};
use std::sync::Arc;

struct Staged {
    queue: Arc<Queue>,
    events: Vec<Event>,
}

/// Queues that got events in a turn and are raised after it.
#[derive(Default)]
pub struct Calls {
    /// Most engines have few queues, which then need no allocation.
    few: [Option<Arc<Queue>>; 4],
    more: Vec<Arc<Queue>>,
}

impl Calls {
    fn add(&mut self, queue: Arc<Queue>) {
        match self.few.iter_mut().find(|q| q.is_none()) {
            Some(place) => *place = Some(queue),
            None => self.more.push(queue),
        }
    }

    pub fn raise(self) {
        for queue in self.few.iter().flatten().chain(&self.more) {
            queue.raise();
        }
    }
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

    /// Publish everything. Queues that are to be raised are added to `calls`.
    pub fn publish(&mut self, calls: &mut Calls) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        for staged in &mut self.staged {
            if !staged.events.is_empty() && staged.queue.publish(&mut staged.events) {
                calls.add(staged.queue.clone());
            }
        }
    }

    /// Forget a queue that was destroyed.
    pub fn forget(&mut self, queue: &Arc<Queue>) {
        self.staged.retain(|s| !Arc::ptr_eq(&s.queue, queue));
    }
}
