//! How often the kernel is called, so that a test can hold the engine to its budget.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

pub(super) static SOCKET_CALLS: AtomicU64 = AtomicU64::new(0);
pub(super) static NOTIFIER_CALLS: AtomicU64 = AtomicU64::new(0);
pub(super) static POLL_CALLS: AtomicU64 = AtomicU64::new(0);
pub(super) static EPOLL_CTL_CALLS: AtomicU64 = AtomicU64::new(0);
pub(super) static CONNECTS: AtomicU64 = AtomicU64::new(0);

/// How often the process has called the kernel through `sys`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Calls on sockets: socket, connect, get- and setsockopt, recv, send, shutdown, close, names.
    pub socket_calls: u64,
    /// Reads and writes of eventfds, settings of timerfds.
    pub notifier_calls: u64,
    /// epoll_wait and poll.
    pub poll_calls: u64,
    pub epoll_ctl_calls: u64,
    /// Of the socket calls, the connects.
    pub connects: u64,
}

impl Counters {
    pub fn snapshot() -> Counters {
        Counters {
            socket_calls: SOCKET_CALLS.load(Ordering::Relaxed),
            notifier_calls: NOTIFIER_CALLS.load(Ordering::Relaxed),
            poll_calls: POLL_CALLS.load(Ordering::Relaxed),
            epoll_ctl_calls: EPOLL_CTL_CALLS.load(Ordering::Relaxed),
            connects: CONNECTS.load(Ordering::Relaxed),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
