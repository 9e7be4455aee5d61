//! Events of the current turn, by queue. They are published together at its end, so that an application is woken once.

use crate::queue::event::{flag, kind};
use crate::queue::{Event, Queue};
use std::sync::Arc;

/// Events that a calm queue keeps room for.
const SPARE: usize = 64;

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
    /// Events other than pieces of a body.
    answers: u32,
    /// A queue had events that nobody has taken yet.
    behind: bool,
}

impl Calls {
    /// How many answers were published; a body counts as a part of one.
    pub fn answers(&self) -> u32 {
        self.answers
    }

    /// Whether the application has not kept up.
    pub fn behind(&self) -> bool {
        self.behind
    }

    /// Nobody is called.
    pub fn is_empty(&self) -> bool {
        self.few[0].is_none()
    }

    /// Nobody was called, and what was published is of the past.
    pub fn forget(&mut self) {
        self.answers = 0;
        self.behind = false;
    }

    fn add(&mut self, queue: Arc<Queue>) {
        match self.few.iter_mut().find(|q| q.is_none()) {
            Some(place) => *place = Some(queue),
            None => self.more.push(queue),
        }
    }

    /// Raise all, but for the queue of a thread that is about to drain it.
    pub fn raise(self, drainer: Option<&Queue>) {
        for queue in self.few.iter().flatten().chain(&self.more) {
            if drainer.is_some_and(|d| std::ptr::eq(d, &raw const **queue)) {
                queue.withdraw();
            } else {
                queue.raise();
            }
        }
    }

    #[cfg(test)]
    pub fn of(answers: u32, behind: bool) -> Calls {
        let queue = (answers > 0).then(|| {
            let notify = crate::net::backend::mock::MockNet::new().backend();
            let notify = crate::net::backend::Backend::notifier(&notify);
            Arc::new(Queue::new(crate::queue::Signal::waited(notify, &Arc::default()).expect("a descriptor")))
        });
        Calls { few: [queue, None, None, None], more: Vec::new(), answers, behind }
    }
}

/// What was told, and is worth being counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Events of streams.
    pub events: u64,
    /// Streams of events that go on with another connection, each time.
    pub reconnections: u64,
    /// WebSockets that were opened.
    pub websockets: u64,
    /// Messages of theirs, each once, however many pieces it came in.
    pub messages: u64,
}

#[derive(Default)]
pub struct Outbox {
    pub told: Told,
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

    /// Events that wait for the application of a queue, those of this turn among them.
    pub fn waiting(&self, queue: &Arc<Queue>) -> usize {
        let staged = self.staged.iter().find(|s| Arc::ptr_eq(&s.queue, queue)).map_or(0, |s| s.events.len());
        staged + queue.len()
    }

    /// Publish everything. Queues that are to be raised are added to `calls`.
    pub fn publish(&mut self, calls: &mut Calls) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        for staged in &mut self.staged {
            if staged.events.is_empty() {
                continue;
            }
            let (mut answers, mut ends) = (0, 0);
            for event in &staged.events {
                answers += u32::from(event.kind != kind::BODY);
                ends += usize::from(event.flags & flag::TERMINAL != 0);
            }
            calls.answers += answers;
            if staged.queue.publish(&mut staged.events) {
                calls.add(staged.queue.clone());
            } else {
                calls.behind = true;
            }
            if ends > 0 {
                staged.queue.ended(ends);
            }
        }
    }

    /// Give back the room that a burst of events has left. For a time when nothing happens.
    pub fn tidy(&mut self) {
        self.staged.retain(|s| !s.events.is_empty() || Arc::strong_count(&s.queue) > 1);
        for staged in &mut self.staged {
            staged.events.shrink_to(SPARE);
            staged.queue.tidy(SPARE);
        }
    }

    /// Forget a queue that was destroyed.
    pub fn forget(&mut self, queue: &Arc<Queue>) {
        self.staged.retain(|s| !Arc::ptr_eq(&s.queue, queue));
    }
}
