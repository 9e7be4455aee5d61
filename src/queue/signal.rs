//! How a queue makes itself heard.

use crate::net::backend::Notify;
use crate::net::sys;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// What a wake-up adds to the counter, so that it is told apart from raises, which add 1.
const WAKE: u64 = 1 << 32;

/// The poll-fd of a queue, or what stands in for it.
pub enum Signal {
    /// An eventfd of the queue's own: non-zero while raised.
    EventFd { fd: OwnedFd, asleep: AtomicU32 },
    /// The caller-driven drive: the application polls the engine's epoll descriptor, which whoever holds the turn leaves
    /// readable while events wait. Threads that wait for their turn sleep on an eventfd that only they watch.
    Engine {
        notify: Arc<dyn Notify>,
        park: OwnedFd,
        asleep: AtomicU32,
        /// A thread of this queue sleeps for the whole engine, where `park` is not heard.
        leading: AtomicBool,
        /// Raised since the last drain, and the engine's descriptor has not shown it yet.
        news: AtomicBool,
    },
}

impl Signal {
    pub fn eventfd() -> io::Result<Signal> {
        Ok(Signal::EventFd { fd: sys::eventfd()?, asleep: AtomicU32::new(0) })
    }

    pub fn engine(notify: Arc<dyn Notify>) -> io::Result<Signal> {
        Ok(Signal::Engine {
            notify,
            park: sys::eventfd()?,
            asleep: AtomicU32::new(0),
            leading: AtomicBool::new(false),
            news: AtomicBool::new(false),
        })
    }

    pub fn fd(&self) -> Option<RawFd> {
        match self {
            Signal::EventFd { fd, .. } => Some(fd.as_raw_fd()),
            Signal::Engine { .. } => None,
        }
    }

    /// Make the descriptor readable, and raise a fresh edge if it was.
    pub fn raise(&self) {
        match self {
            Signal::EventFd { fd, .. } => post(fd, 1),
            Signal::Engine { notify, leading, news, .. } => {
                news.store(true, Ordering::SeqCst);
                if leading.load(Ordering::SeqCst) {
                    notify.notify();
                }
                self.unpark();
            }
        }
    }

    /// Make a sleeper return although no event is there.
    pub fn wake(&self) {
        match self {
            Signal::EventFd { fd, .. } => post(fd, WAKE),
            Signal::Engine { notify, .. } => {
                notify.notify();
                self.raise();
            }
        }
    }

    /// Wake a thread that sleeps for its turn.
    pub fn unpark(&self) {
        if let Signal::Engine { park, asleep, .. } = self
            && asleep.load(Ordering::SeqCst) > 0
        {
            post(park, 1);
        }
    }

    /// Take readiness back; returns how many raises of a descriptor that were. The engine lowers its own descriptor at the
    /// end of a turn.
    pub fn lower(&self) -> u64 {
        match self {
            Signal::EventFd { fd, .. } => sys::eventfd_read(fd.as_raw_fd()).unwrap_or(0) % WAKE,
            Signal::Engine { news, .. } => {
                news.store(false, Ordering::SeqCst);
                0
            }
        }
    }

    /// Whether it was raised since it was lowered, or since the last call: the engine's descriptor owes a fresh edge.
    pub fn take_news(&self) -> bool {
        matches!(self, Signal::Engine { news, .. } if news.load(Ordering::SeqCst) && news.swap(false, Ordering::SeqCst))
    }

    /// A thread begins or ends to sleep for the whole engine.
    pub fn lead(&self, leads: bool) {
        if let Signal::Engine { leading, .. } = self {
            leading.store(leads, Ordering::SeqCst);
        }
    }

    /// Whether a thread sleeps here, or has announced it.
    pub fn has_sleepers(&self) -> bool {
        let (Signal::EventFd { asleep, .. } | Signal::Engine { asleep, .. }) = self;
        asleep.load(Ordering::SeqCst) > 0
    }

    /// Announce a sleep. Between this and `sleep` the sleeper looks once more whether it has to.
    pub fn doze(&self) {
        let (Signal::EventFd { asleep, .. } | Signal::Engine { asleep, .. }) = self;
        asleep.fetch_add(1, Ordering::SeqCst);
    }

    /// The announced sleep, or not: it ends when the signal is raised. `Interrupted` after a signal handler ran.
    pub fn sleep(&self, really: bool, timeout: Option<Duration>) -> io::Result<()> {
        let (fd, asleep) = match self {
            Signal::EventFd { fd, asleep } => (fd, asleep),
            Signal::Engine { park, asleep, .. } => (park, asleep),
        };
        let woken = if really { sys::poll_readable(fd.as_raw_fd(), timeout) } else { Ok(false) };
        asleep.fetch_sub(1, Ordering::SeqCst);
        // Whoever is woken takes the readiness back, so that it does not wake the others again and again: each call is
        // answered by one of those who sleep here, and he takes the events, or the lead, or hands it on.
        if let (Signal::Engine { park, .. }, Ok(true)) = (self, &woken) {
            drop(sys::eventfd_read(park.as_raw_fd()));
        }
        woken.map(drop)
    }
}

/// A counter at its maximum refuses the write, and is readable: nothing is lost.
fn post(fd: &OwnedFd, value: u64) {
    drop(sys::eventfd_add(fd.as_raw_fd(), value));
}
