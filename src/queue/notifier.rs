//! How a queue may make itself heard, and a descriptor of the application's.
#![forbid(unsafe_code)]

use super::callee::Callee;
use crate::net::sys;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a queue of an engine with a thread becomes readable through, or who is called instead.
pub enum Notifier {
    /// An epoll set.
    Set,
    EventFd,
    Pipe,
    /// A descriptor of the application's, and what is written to it.
    User(RawFd, Box<[u8]>),
    /// A function of the application's, on the engine's thread.
    Call(Callee),
}

/// In `UserFd::state`: nothing is written any more. Below it stands the number of writes under way.
const CLOSED: u32 = 1 << 31;

/// A descriptor that belongs to the application. It may close it, and the number may mean something else, as soon as `close`
/// has returned.
pub struct UserFd {
    fd: RawFd,
    payload: Box<[u8]>,
    /// No lock: a signal handler writes too, and may have interrupted a write.
    state: AtomicU32,
}

impl UserFd {
    pub fn new(fd: RawFd, payload: Box<[u8]>) -> UserFd {
        UserFd { fd, payload, state: AtomicU32::new(0) }
    }

    /// A descriptor that is full is readable, and one without a reader has nobody to call.
    pub fn write(&self) {
        if self.state.fetch_add(1, Ordering::SeqCst) & CLOSED == 0 {
            drop(sys::write(self.fd, &self.payload));
        }
        self.state.fetch_sub(1, Ordering::SeqCst);
    }

    /// Write no more. Waits for writes under way, which do not block.
    pub fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::SeqCst);
        while self.state.load(Ordering::SeqCst) != CLOSED {
            std::thread::yield_now();
        }
    }
}
