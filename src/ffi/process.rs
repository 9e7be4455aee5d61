//! Handles across a fork: what one stands for belongs to the process that made it, until a child puts something of its own in
//! the place.
//!
//! A child may come into being while another thread is anywhere in here. So what it reads is reached by one atomic pointer and
//! whole at every moment, and a lock that was held then is known by the process of its holder, and broken.

use super::queue::chttp_queue;
use crate::error as e;
use crate::net::sys;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, Ordering};

struct Of<T> {
    epoch: u32,
    value: T,
}

/// A value of one process. A forked child neither drops nor changes its parent's, which others may have been at work on.
pub struct PerProcess<T> {
    now: AtomicPtr<Of<T>>,
}

impl<T> PerProcess<T> {
    pub fn new(value: T) -> PerProcess<T> {
        PerProcess { now: AtomicPtr::new(Of::make(value)) }
    }

    fn of(&self) -> &Of<T> {
        // SAFETY: it is replaced in a forked child only, and not freed then.
        unsafe { &*self.now.load(Ordering::Acquire) }
    }

    /// The value, unless it is another process's.
    pub fn get(&self) -> Result<&T, i32> {
        let of = self.of();
        if sys::is_process_epoch(of.epoch) { Ok(&of.value) } else { Err(e::CHTTP_E_FORKED) }
    }

    /// The value, whosever it is.
    pub fn any(&self) -> &T {
        &self.of().value
    }

    /// In a forked child: put another in its place. Of two who come at once one succeeds.
    pub fn succeed(&self, value: T) {
        let seen = self.now.load(Ordering::Acquire);
        let made = Of::make(value);
        // SAFETY: as for `of`.
        let inherited = !sys::is_process_epoch(unsafe { (*seen).epoch });
        if !inherited || self.now.compare_exchange(seen, made, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: made above, and seen by nobody.
            drop(unsafe { Box::from_raw(made) });
        }
    }
}

impl<T> Of<T> {
    fn make(value: T) -> *mut Of<T> {
        Box::into_raw(Box::new(Of { epoch: sys::process_epoch(), value }))
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let now = *self.now.get_mut();
        // SAFETY: it came from `make`; the handle is given up, and nobody looks at it any more.
        unsafe {
            if sys::is_process_epoch((*now).epoch) {
                drop(Box::from_raw(now));
            }
        }
    }
}

/// The queues of an engine, by their handles, which a child goes through when it takes the engine over.
pub struct Family {
    /// The process of the thread that changes something; 0 for nobody.
    holder: AtomicU32,
    /// Replaced as a whole.
    queues: AtomicPtr<Vec<*const chttp_queue>>,
    /// Which of them the log goes to, and up to which level.
    listener: AtomicPtr<chttp_queue>,
    level: AtomicU8,
}

/// The family is the calling thread's until this is dropped.
pub struct Locked<'a>(&'a Family);

impl Default for Family {
    fn default() -> Family {
        Family {
            holder: AtomicU32::new(0),
            queues: AtomicPtr::new(Box::into_raw(Box::default())),
            listener: AtomicPtr::default(),
            level: AtomicU8::new(0),
        }
    }
}

impl Family {
    pub fn lock(&self) -> Locked<'_> {
        let epoch = sys::process_epoch();
        loop {
            let holder = self.holder.load(Ordering::Relaxed);
            // One of another process was copied from there, and will not let go.
            let free = holder != epoch;
            if free && self.holder.compare_exchange(holder, epoch, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return Locked(self);
            }
            std::thread::yield_now();
        }
    }
}

impl Locked<'_> {
    pub fn queues(&self) -> &[*const chttp_queue] {
        // SAFETY: it is replaced under the lock only, and is whole at every moment.
        unsafe { &*self.0.queues.load(Ordering::Acquire) }
    }

    fn replace(&self, queues: Vec<*const chttp_queue>) {
        let former = self.0.queues.swap(Box::into_raw(Box::new(queues)), Ordering::AcqRel);
        // SAFETY: it came from a box; only who holds the lock looks at it.
        drop(unsafe { Box::from_raw(former) });
    }

    pub fn add(&self, queue: *const chttp_queue) {
        self.replace(self.queues().iter().copied().chain([queue]).collect());
    }

    pub fn remove(&self, queue: *const chttp_queue) {
        self.replace(self.queues().iter().copied().filter(|&q| !std::ptr::eq(q, queue)).collect());
        if std::ptr::eq(self.0.listener.load(Ordering::Acquire), queue) {
            self.listen(std::ptr::null(), 0);
        }
    }

    /// The log goes to a queue from now on.
    pub fn listen(&self, queue: *const chttp_queue, level: u8) {
        // In this order: nobody hears the level of another.
        self.0.listener.store(std::ptr::null_mut(), Ordering::Release);
        self.0.level.store(level, Ordering::Release);
        self.0.listener.store(queue.cast_mut(), Ordering::Release);
    }

    /// The level up to which the log goes to a queue; 0 for none of it.
    pub fn listens(&self, queue: *const chttp_queue) -> u8 {
        let here = std::ptr::eq(self.0.listener.load(Ordering::Acquire), queue);
        if here { self.0.level.load(Ordering::Acquire) } else { 0 }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.holder.store(0, Ordering::Release);
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and nobody looks at it any more.
        drop(unsafe { Box::from_raw(*self.queues.get_mut()) });
    }
}

// SAFETY: the handles are compared, or looked at under the lock, by whoever may rely on them; they are `Sync`.
unsafe impl Send for Family {}
// SAFETY: as above.
unsafe impl Sync for Family {}
