//! How a queue makes itself heard.

use super::callee::Callee;
use super::notifier::{Notifier, UserFd};
use crate::net::backend::Notify;
use crate::net::descriptors::{Descriptors, Held};
use crate::net::sys;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// What a wake-up adds to the counter, so that it is told apart from raises, which add 1.
const WAKE: u64 = 1 << 32;
/// The same for the bytes of a pipe.
const RAISED: u8 = b'e';
const WOKEN: u8 = b'w';

/// The poll-fd of a queue, or what stands in for it.
pub enum Signal {
    /// An eventfd of the queue's own: non-zero while raised.
    EventFd {
        fd: Held,
        /// What the application polls: an epoll set with `fd` in it. While the engine's thread stands by, the engine's set is
        /// in it too, so that readiness reaches the application without a detour over that thread. `None` where nobody polls.
        set: Option<Held>,
        notify: Arc<dyn Notify>,
        asleep: AtomicU32,
        /// A thread of this queue sleeps for the whole engine, where `fd` is not heard.
        leading: AtomicBool,
    },
    /// A pipe, with a byte in it while raised.
    Pipe { read: Held, write: Held, asleep: AtomicU32 },
    /// A descriptor of the application's, which gets something written when the queue is raised. Threads that wait sleep on an
    /// eventfd that only they watch.
    User { user: UserFd, park: Held, asleep: AtomicU32 },
    /// The caller-driven drive: the application polls the engine's epoll descriptor, which whoever holds the turn leaves
    /// readable while events wait. Threads that wait for their turn sleep on an eventfd that only they watch.
    Engine {
        notify: Arc<dyn Notify>,
        park: Held,
        asleep: AtomicU32,
        /// A thread of this queue sleeps for the whole engine, where `park` is not heard.
        leading: AtomicBool,
        /// Raised since the last drain, and the engine's descriptor has not shown it yet.
        news: AtomicBool,
    },
    /// The engine's thread calls a function of the application. Nobody waits.
    Called { callee: Callee, notify: Arc<dyn Notify> },
}

impl Signal {
    /// For an engine that has a thread. What descriptors it has stand in `set`.
    pub fn of(notifier: Notifier, notify: Arc<dyn Notify>, set: &Arc<Descriptors>) -> io::Result<Signal> {
        let asleep = AtomicU32::new(0);
        Ok(match notifier {
            Notifier::Set => return Signal::polled(notify, set),
            Notifier::EventFd => return Signal::waited(notify, set),
            Notifier::Pipe => {
                let (read, write) = sys::pipe()?;
                Signal::Pipe { read: Held::new(read, set), write: Held::new(write, set), asleep }
            }
            Notifier::User(fd, payload) => {
                Signal::User { user: UserFd::new(fd, payload), park: Held::new(sys::eventfd()?, set), asleep }
            }
            Notifier::Call(callee) => Signal::Called { callee, notify },
        })
    }

    /// What a forked child makes itself heard by, in the place of this. It leaves a descriptor of the application's alone: who
    /// reads the other end may be the parent, and the number may mean something else by now.
    pub fn notifier(&self) -> Notifier {
        match self {
            Signal::EventFd { set: Some(_), .. } | Signal::User { .. } | Signal::Engine { .. } => Notifier::Set,
            Signal::EventFd { set: None, .. } => Notifier::EventFd,
            Signal::Pipe { .. } => Notifier::Pipe,
            Signal::Called { callee, .. } => Notifier::Call(callee.successor()),
        }
    }

    /// In a forked child: close the descriptors.
    pub fn abandon(&self) {
        match self {
            Signal::EventFd { fd, .. }
            | Signal::Pipe { read: fd, .. }
            | Signal::User { park: fd, .. }
            | Signal::Engine { park: fd, .. } => fd.set().abandon(),
            Signal::Called { .. } => {}
        }
    }

    /// With a descriptor that an application may poll.
    pub fn polled(notify: Arc<dyn Notify>, all: &Arc<Descriptors>) -> io::Result<Signal> {
        let (fd, set) = (Held::new(sys::eventfd()?, all), Held::new(sys::epoll_create()?, all));
        sys::epoll_add(set.as_raw_fd(), fd.as_raw_fd(), libc::EPOLLIN, 0)?;
        Ok(Signal::eventfd(fd, Some(set), notify))
    }

    /// With an eventfd and no epoll set: for threads that wait, and for applications that insist.
    pub fn waited(notify: Arc<dyn Notify>, all: &Arc<Descriptors>) -> io::Result<Signal> {
        Ok(Signal::eventfd(Held::new(sys::eventfd()?, all), None, notify))
    }

    fn eventfd(fd: Held, set: Option<Held>, notify: Arc<dyn Notify>) -> Signal {
        Signal::EventFd { fd, set, notify, asleep: AtomicU32::new(0), leading: AtomicBool::new(false) }
    }

    pub fn engine(notify: Arc<dyn Notify>, all: &Arc<Descriptors>) -> io::Result<Signal> {
        Ok(Signal::Engine {
            notify,
            park: Held::new(sys::eventfd()?, all),
            asleep: AtomicU32::new(0),
            leading: AtomicBool::new(false),
            news: AtomicBool::new(false),
        })
    }

    pub fn fd(&self) -> Option<RawFd> {
        match self {
            Signal::EventFd { fd, set, .. } => Some(set.as_ref().unwrap_or(fd).as_raw_fd()),
            Signal::Pipe { read, .. } => Some(read.as_raw_fd()),
            Signal::User { .. } | Signal::Engine { .. } | Signal::Called { .. } => None,
        }
    }

    pub fn callee(&self) -> Option<&Callee> {
        if let Signal::Called { callee, .. } = self { Some(callee) } else { None }
    }

    /// Whether `raise` is a call into the kernel, which waits until the turn is let go.
    pub fn is_late(&self) -> bool {
        !matches!(self, Signal::Engine { .. })
    }

    /// Whether `lower` takes back what `raise` has written.
    pub fn is_counted(&self) -> bool {
        matches!(self, Signal::EventFd { .. } | Signal::Pipe { .. })
    }

    /// Whether the descriptor can show the readiness of another.
    pub fn can_join(&self) -> bool {
        matches!(self, Signal::EventFd { set: Some(_), .. })
    }

    /// The queue is gone: a descriptor that is not ours is not touched any more, and a function not called.
    pub fn close(&self) {
        match self {
            Signal::User { user, .. } => user.close(),
            Signal::Called { callee, .. } => callee.rest(),
            _ => {}
        }
    }

    /// Let the descriptor show the readiness of `other`, an epoll set, too.
    pub fn join(&self, other: RawFd) -> io::Result<()> {
        match self {
            Signal::EventFd { set: Some(set), .. } => sys::epoll_add(set.as_raw_fd(), other, libc::EPOLLIN, 0),
            _ => Ok(()),
        }
    }

    /// The end of `join`.
    pub fn part(&self, other: RawFd) {
        if let Signal::EventFd { set: Some(set), .. } = self {
            // It is there, or the join has failed.
            drop(sys::epoll_del(set.as_raw_fd(), other));
        }
    }

    /// Make the descriptor readable, and raise a fresh edge if it was.
    pub fn raise(&self) {
        match self {
            Signal::EventFd { fd, notify, leading, .. } => {
                post(fd, 1);
                if leading.load(Ordering::SeqCst) {
                    notify.notify();
                }
            }
            Signal::Pipe { write, .. } => drop(sys::write(write.as_raw_fd(), &[RAISED])),
            Signal::User { user, .. } => {
                user.write();
                self.unpark();
            }
            Signal::Engine { notify, leading, news, .. } => {
                news.store(true, Ordering::SeqCst);
                if leading.load(Ordering::SeqCst) {
                    notify.notify();
                }
                self.unpark();
            }
            Signal::Called { notify, .. } => notify.notify(),
        }
    }

    /// Make a sleeper return although no event is there.
    pub fn wake(&self) {
        match self {
            Signal::EventFd { fd, notify, leading, .. } => {
                post(fd, WAKE);
                if leading.load(Ordering::SeqCst) {
                    notify.notify();
                }
            }
            Signal::Pipe { write, .. } => drop(sys::write(write.as_raw_fd(), &[WOKEN])),
            Signal::User { .. } | Signal::Called { .. } => self.raise(),
            Signal::Engine { notify, .. } => {
                notify.notify();
                self.raise();
            }
        }
    }

    /// Wake a thread that sleeps for its turn.
    pub fn unpark(&self) {
        if let Signal::Engine { park, asleep, .. } | Signal::User { park, asleep, .. } = self
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
            Signal::Pipe { read, .. } => empty(read),
            Signal::User { .. } | Signal::Called { .. } => 0,
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
        if let Signal::EventFd { leading, .. } | Signal::Engine { leading, .. } = self {
            leading.store(leads, Ordering::SeqCst);
        }
    }

    /// Whether a thread sleeps here, or has announced it.
    pub fn has_sleepers(&self) -> bool {
        self.asleep().is_some_and(|asleep| asleep.load(Ordering::SeqCst) > 0)
    }

    fn asleep(&self) -> Option<&AtomicU32> {
        match self {
            Signal::EventFd { asleep, .. }
            | Signal::Pipe { asleep, .. }
            | Signal::User { asleep, .. }
            | Signal::Engine { asleep, .. } => Some(asleep),
            Signal::Called { .. } => None,
        }
    }

    /// Announce a sleep. Between this and `sleep` the sleeper looks once more whether it has to.
    pub fn doze(&self) {
        if let Some(asleep) = self.asleep() {
            asleep.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The announced sleep, or not: it ends when the signal is raised. `Interrupted` after a signal handler ran.
    pub fn sleep(&self, really: bool, timeout: Option<Duration>) -> io::Result<()> {
        let (fd, asleep) = match self {
            Signal::EventFd { fd, asleep, .. } | Signal::Pipe { read: fd, asleep, .. } => (fd, asleep),
            Signal::Engine { park, asleep, .. } | Signal::User { park, asleep, .. } => (park, asleep),
            Signal::Called { .. } => return Ok(()),
        };
        let woken = if really { sys::poll_readable(fd.as_raw_fd(), timeout) } else { Ok(false) };
        asleep.fetch_sub(1, Ordering::SeqCst);
        // Whoever is woken takes the readiness back, so that it does not wake the others again and again: each call is
        // answered by one of those who sleep here, and he takes the events, or the lead, or hands it on.
        if let (Signal::Engine { park, .. } | Signal::User { park, .. }, Ok(true)) = (self, &woken) {
            drop(sys::eventfd_read(park.as_raw_fd()));
        }
        woken.map(drop)
    }
}

/// A counter at its maximum refuses the write, and is readable: nothing is lost.
fn post(fd: &Held, value: u64) {
    drop(sys::eventfd_add(fd.as_raw_fd(), value));
}

/// Take all bytes of a pipe; how many raises there were among them.
fn empty(read: &Held) -> u64 {
    let (mut raises, mut bytes) = (0, [0; 64]);
    loop {
        let n = sys::read(read.as_raw_fd(), &mut bytes).unwrap_or(0);
        raises += bytes[..n].iter().filter(|&&b| b == RAISED).count() as u64;
        if n < bytes.len() {
            return raises;
        }
    }
}
