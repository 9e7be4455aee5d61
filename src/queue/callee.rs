//! A function of the application that gets the events of a queue, on the engine's thread.
#![forbid(unsafe_code)]

use super::event::Event;
use super::inside::{Entered, Inside};
use std::sync::Arc;

/// Events that one call gets at most.
pub const BATCH: usize = 128;

/// It owns the events that it is given.
pub type Function = Arc<dyn Fn(&mut dyn Iterator<Item = Event>) + Send + Sync>;

pub struct Callee {
    /// What the log calls it.
    name: Box<str>,
    function: Function,
    inside: Inside,
}

impl Callee {
    pub fn new(name: impl Into<Box<str>>, function: Function) -> Callee {
        Callee { name: name.into(), function, inside: Inside::default() }
    }

    /// The same function for a forked child, where nobody is inside it.
    pub fn successor(&self) -> Callee {
        Callee::new(self.name.clone(), self.function.clone())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// To be held from before events are taken until after the call, so that `rest` knows of it.
    pub fn enter(&self) -> Entered<'_> {
        self.inside.enter()
    }

    pub fn call(&self, mut events: impl Iterator<Item = Event>) {
        (self.function)(&mut events);
    }

    /// Wait until nobody is inside.
    pub fn rest(&self) {
        self.inside.rest();
    }
}
