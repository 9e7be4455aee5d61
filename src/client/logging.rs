//! The log of an engine: lines that a turn collects, and the two places where they go: a function of the application, which is
//! called after the turn is let go, and a queue, where they are events.
//!
//! A line costs nothing but a comparison while nobody listens at its level.

use super::outbox::Outbox;
use crate::diag::{Level, Line};
use crate::mem::{Block, Obj, Object};
use crate::proto::Tick;
use crate::queue::event::kind;
use crate::queue::{Event, Queue};
use std::fmt;
use std::sync::{Arc, Weak};

/// Lines that may wait in a queue for an application that does not take them. What is beyond is counted and told later.
const WAITING_MAX: usize = 4096;

/// What an application wants to be called with each line.
#[derive(Clone)]
pub struct Call(pub Arc<dyn Fn(&Line) + Send + Sync>);

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call")
    }
}

/// The text behind a LOG event.
struct Text;

impl Object for Text {
    const TAG: u32 = 0x5445_5854;
}

#[derive(Default)]
pub struct Logging {
    /// The highest level that anybody listens at.
    level: Level,
    call: Option<(Level, Call)>,
    queue: Option<(Level, Weak<Queue>)>,
    lines: Vec<Line>,
    lost: u64,
}

impl Logging {
    pub fn new(level: Level, call: Option<Call>) -> Logging {
        let mut logging = Logging { call: call.map(|call| (level, call)), ..Logging::default() };
        logging.settle();
        logging
    }

    /// Send lines up to `level` to a queue, too.
    pub fn listen(&mut self, level: Level, queue: &Arc<Queue>) {
        self.queue = (level > Level::Off).then(|| (level, Arc::downgrade(queue)));
        self.settle();
    }

    /// Call nobody any more.
    pub fn mute(&mut self) {
        self.call = None;
        self.settle();
    }

    fn settle(&mut self) {
        let call = self.call.as_ref().map(|c| c.0);
        let queue = self.queue.as_ref().map(|q| q.0);
        self.level = call.max(queue).unwrap_or_default();
    }

    pub fn add(&mut self, level: Level, at: Tick, xid: u64, text: impl FnOnce() -> String) {
        if level <= self.level {
            self.lines.push(Line { level, at: at.0, xid, text: text() });
        }
    }

    /// The end of a turn: lines for the queue become events. Those for the function are returned.
    pub fn publish(&mut self, outbox: &mut Outbox) {
        let Some((level, queue)) = &self.queue else { return };
        let Some(queue) = queue.upgrade() else {
            self.queue = None;
            return self.settle();
        };
        let wanted = self.lines.iter().filter(|line| line.level <= *level);
        for line in wanted {
            if outbox.waiting(&queue) >= WAITING_MAX {
                self.lost += 1;
                continue;
            }
            if self.lost > 0 {
                let text = format!("{} lines of the log were lost: nobody took them", std::mem::take(&mut self.lost));
                let lost = Line { level: Level::Warning, text, ..line.clone() };
                outbox.push(&queue, event(&lost));
            }
            outbox.push(&queue, event(line));
        }
        if self.call.is_none() {
            self.lines.clear();
        }
    }

    /// Lines for the function, once the turn is let go.
    pub fn take(&mut self) -> Option<(Call, Vec<Line>)> {
        if self.lines.is_empty() {
            return None;
        }
        let mut lines = std::mem::take(&mut self.lines);
        let (level, call) = self.call.clone()?;
        lines.retain(|line| line.level <= level);
        Some((call, lines))
    }
}

fn event(line: &Line) -> Event {
    let text = line.text.as_bytes();
    let mut event = Event { kind: kind::LOG, arg: line.level as u32, xid: line.xid, aux: line.at, ..Event::default() };
    // A line that there is no memory for is an event without text.
    if let Some(block) = Block::unpooled(Obj::<Text>::payload(text.len())) {
        let mut obj = Obj::new(block, Text);
        obj.parts_mut().1[..text.len()].copy_from_slice(text);
        event.data = if text.is_empty() { 0 } else { obj.tail().as_ptr() as usize };
        event.len = text.len() as u64;
        event.obj = Some(obj.into_block());
    }
    event
}
