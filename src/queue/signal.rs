//! How a queue makes itself heard.

use crate::net::backend::Notify;
use crate::net::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The poll-fd of a queue, or what stands in for it.
pub enum Signal {
    /// An eventfd of the queue's own: non-zero while raised.
    EventFd(OwnedFd),
    /// The caller-driven drive: the application polls the engine's epoll descriptor, which whoever holds the turn leaves
    /// readable while events wait. Threads that wait for their turn sleep on an eventfd that only they watch.
    Engine { notify: Arc<dyn Notify>, park: OwnedFd, asleep: AtomicU32 },
}

impl Signal {
    pub fn eventfd() -> io::Result<Signal> {
        Ok(Signal::EventFd(sys::eventfd()?))
    }

    pub fn engine(notify: Arc<dyn Notify>) -> io::Result<Signal> {
        Ok(Signal::Engine { notify, park: sys::eventfd()?, asleep: AtomicU32::new(0) })
    }

    pub fn fd(&self) -> Option<RawFd> {
        match self {
            Signal::EventFd(fd) => Some(fd.as_raw_fd()),
            Signal::Engine { .. } => None,
        }
    }

    /// Make the descriptor readable, and raise a fresh edge if it was.
    pub fn raise(&self) {
        match self {
            Signal::EventFd(fd) => post(fd),
            Signal::Engine { .. } => self.unpark(),
        }
    }

    /// Make a sleeper return although no event is there.
    pub fn wake(&self) {
        if let Signal::Engine { notify, .. } = self {
            notify.notify();
        }
        self.raise();
    }

    /// Wake a thread that sleeps for its turn.
    pub fn unpark(&self) {
        if let Signal::Engine { park, asleep, .. } = self
            && asleep.load(Ordering::SeqCst) > 0
        {
            post(park);
        }
    }

    /// Take readiness back. The engine lowers its own descriptor at the end of a turn.
    pub fn lower(&self) {
        if let Signal::EventFd(fd) = self {
            drop(sys::eventfd_read(fd.as_raw_fd()));
        }
    }

    /// Announce a sleep. Between this and `sleep` the sleeper looks once more whether it has to.
    pub fn doze(&self) {
        if let Signal::Engine { asleep, .. } = self {
            asleep.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The announced sleep, or not: it ends when the signal is raised. `Interrupted` after a signal handler ran.
    pub fn sleep(&self, really: bool, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Signal::EventFd(fd) if really => sys::poll_readable(fd.as_raw_fd(), timeout).map(drop),
            Signal::EventFd(_) => Ok(()),
            Signal::Engine { park, asleep, .. } => {
                let outcome = if really { sys::poll_readable(park.as_raw_fd(), timeout).map(drop) } else { Ok(()) };
                // The last to wake takes the readiness back; until then it wakes all that sleep here.
                if asleep.fetch_sub(1, Ordering::SeqCst) == 1 {
                    drop(sys::eventfd_read(park.as_raw_fd()));
                }
                outcome
            }
        }
    }
}

/// A counter at its maximum refuses the write, and is readable: nothing is lost.
fn post(fd: &OwnedFd) {
    drop(sys::eventfd_write(fd.as_raw_fd()));
}
