//! Who is inside a function of the application that this library has called.
#![forbid(unsafe_code)]

use crate::sync::{Condvar, Mutex};
use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    /// How deep the calling thread is inside such functions.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread is.
pub fn is_here() -> bool {
    DEPTH.get() > 0
}

/// How many threads are inside one function, or about to be: each may be so more than once, since the function may take a
/// turn. No lock is held meanwhile.
#[derive(Default)]
pub struct Inside {
    count: Mutex<u32>,
    none: Condvar,
}

/// The calling thread is inside until this is dropped.
pub struct Entered<'a> {
    of: &'a Inside,
    /// It is about the thread that it was made on.
    stays: PhantomData<*const ()>,
}

impl Inside {
    pub fn enter(&self) -> Entered<'_> {
        *self.count.lock() += 1;
        DEPTH.set(DEPTH.get() + 1);
        Entered { of: self, stays: PhantomData }
    }

    /// Wait until nobody is.
    pub fn rest(&self) {
        drop(self.none.wait_while(self.count.lock(), |count| *count > 0));
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        let mut count = self.of.count.lock();
        *count -= 1;
        if *count == 0 {
            self.of.none.notify_all();
        }
    }
}
