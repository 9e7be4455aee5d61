//! The kernel's backend: edge-triggered epoll.
//!
//! A socket is registered by one `epoll_ctl(ADD)` with `IN|OUT|RDHUP|ET` and, unless it is the only one (`net/sole.rs`), never
//! again: no MOD, no DEL; closing the descriptor removes it. A description that a forked child or a `dup` shares outlives our close and may go on
//! reporting, with its old token: the reactor tells such an event by the generation inside the token.
//!
//! A descriptor of the application's is watched with `ONESHOT`: the kernel tells its state once, then it is silent until a
//! MOD looks at it anew. So it does not matter who closes what: a description that lives on elsewhere reports once more at
//! most, and a number that stands for something else by now is refused by the kernel (it is not in the set), or by us (it is
//! our own).
//!
//! The epoll set has up to three descriptors of its own, which never show in what the waiter reports:
//!
//! - `wake`, an eventfd, edge-triggered and never read: each write raises an edge, also on a counter that is not zero.
//!   A notification therefore lasts until some wait has taken it, costs one system call, has no state to race on, and
//!   may be given in a signal handler.
//! - `timer` (caller-driven), a timerfd, edge-triggered for the same reason: an expiration lasts until a wait has taken
//!   it, and is never read. Setting it anew takes back an expiration that nobody has seen.
//! - `linger` (caller-driven), an eventfd, level-triggered: non-zero exactly while work is left. Only the holder of the
//!   turn touches it, so that its state is a plain flag. A turn that leaves work writes each time, even on a flag that
//!   is up: an application that watches `poll_fd` edge-triggered needs a fresh edge for each turn.
//!
//! All descriptors stand in a set that is read without a lock (`net/descriptors.rs`), so that a forked child can close what
//! it shares with its parent. Nothing but `close` is done to them then.

use super::{Address, BATCH, Backend, Bind, Clock, Dial, Drive, Edge, Interest, Notify, Ready, Token, Tuning, Waiter};
use crate::net::descriptors::{Descriptors, Held};
use crate::net::sys;
use crate::proto::Tick;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// Tokens from here on are internal.
const INTERNAL: u64 = u64::MAX - 255;
const WAKE: u64 = INTERNAL;
const LINGER: u64 = INTERNAL + 1;
const TIMER: u64 = INTERNAL + 2;

const EDGE: i32 = libc::EPOLLET;
/// What is reported of every connection.
const QUIET: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | EDGE;

/// CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> Tick {
        Tick(sys::monotonic_ns())
    }
}

/// A connected (or connecting) socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpollSock(RawFd);

/// What the backend, its waiter and its notifiers hold together.
struct Shared {
    epoll: Held,
    wake: Held,
    /// The process it was made in: a forked child shares the counter of `wake` and must not write to it.
    epoch: u32,
}

impl Notify for Shared {
    fn notify(&self) {
        if !sys::is_process_epoch(self.epoch) {
            return;
        }
        let fd = self.wake.as_raw_fd();
        if let Err(e) = sys::eventfd_write(fd) {
            // The counter is full, which takes 2^64 notifications: empty it. No other error can happen to a live eventfd.
            debug_assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
            let _ = sys::eventfd_read(fd);
            let _ = sys::eventfd_write(fd);
        }
    }
}

/// The descriptors that only the caller-driven engine has.
struct Inline {
    linger: Held,
    lingering: bool,
    timer: Held,
}

pub struct EpollBackend {
    shared: Arc<Shared>,
    tuning: Tuning,
    inline: Option<Inline>,
    descriptors: Arc<Descriptors>,
}

impl EpollBackend {
    pub fn new(drive: Drive) -> io::Result<EpollBackend> {
        EpollBackend::tuned(drive, Tuning::default())
    }

    pub fn tuned(drive: Drive, tuning: Tuning) -> io::Result<EpollBackend> {
        let descriptors = Arc::<Descriptors>::default();
        let hold = |fd| Held::new(fd, &descriptors);
        let (epoll, wake) = (hold(sys::epoll_create()?), hold(sys::eventfd()?));
        let shared = Shared { epoll, wake, epoch: sys::process_epoch() };
        let epoll = shared.epoll.as_raw_fd();
        sys::epoll_add(epoll, shared.wake.as_raw_fd(), libc::EPOLLIN | EDGE, WAKE)?;
        let inline = match drive {
            Drive::OwnThread => None,
            Drive::Caller => {
                let (linger, timer) = (hold(sys::eventfd()?), hold(sys::timerfd()?));
                let inline = Inline { linger, lingering: false, timer };
                sys::epoll_add(epoll, inline.linger.as_raw_fd(), libc::EPOLLIN, LINGER)?;
                sys::epoll_add(epoll, inline.timer.as_raw_fd(), libc::EPOLLIN | EDGE, TIMER)?;
                Some(inline)
            }
        };
        Ok(EpollBackend { shared: Arc::new(shared), tuning, inline, descriptors })
    }

    /// All that is set on a TCP socket before it connects.
    fn prepare(&self, fd: RawFd, bind: &Bind) -> io::Result<()> {
        let Tuning { nodelay, keepalive_ns, user_timeout_ns } = self.tuning;
        if nodelay {
            sys::set_nodelay(fd)?;
        }
        if keepalive_ns > 0 {
            sys::set_keepalive(fd, Duration::from_nanos(keepalive_ns))?;
        }
        if user_timeout_ns > 0 {
            sys::set_user_timeout(fd, Duration::from_nanos(user_timeout_ns))?;
        }
        if let Some(interface) = &bind.interface {
            sys::bind_interface(fd, interface)?;
        }
        match bind.local {
            Some(local) => sys::bind(fd, local),
            None => Ok(()),
        }
    }

    fn connect(&self, fd: RawFd, to: &sys::SockAddr, dial: &Dial<'_>) -> io::Result<()> {
        if matches!(dial.to, Address::Inet(_)) {
            self.prepare(fd, dial.bind)?;
        }
        match sys::connect(fd, to) {
            // A signal does not end the attempt, it goes on in the background.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {}
            done => done?,
        }
        // After connect: a TCP socket that has not begun to connect reports a hangup, which a thread that sleeps in the
        // waiter would take for the outcome. No edge is lost, since ADD reports what is ready already.
        let events = QUIET | libc::EPOLLOUT;
        sys::epoll_add(self.shared.epoll.as_raw_fd(), fd, events, dial.token.0)
    }
}

impl Backend for EpollBackend {
    type Sock = EpollSock;
    type Waiter = EpollWaiter;
    type Clock = Monotonic;

    fn now(&self) -> Tick {
        Monotonic.now()
    }

    fn clock(&self) -> Monotonic {
        Monotonic
    }

    fn waiter(&mut self) -> io::Result<EpollWaiter> {
        let none = sys::EpollEvent { events: 0, u64: 0 };
        Ok(EpollWaiter { shared: Arc::clone(&self.shared), events: vec![none; BATCH].into_boxed_slice() })
    }

    fn notifier(&self) -> Arc<dyn Notify> {
        Arc::clone(&self.shared) as Arc<dyn Notify>
    }

    fn descriptors(&self) -> Arc<Descriptors> {
        Arc::clone(&self.descriptors)
    }

    fn dial(&mut self, how: &Dial<'_>) -> io::Result<EpollSock> {
        debug_assert!(how.token.0 < INTERNAL, "token in the internal range");
        let to = match how.to {
            Address::Inet(addr) => sys::SockAddr::inet(addr),
            Address::Unix(path) => sys::SockAddr::unix(path)?,
        };
        let fd = sys::socket(&to)?;
        if let Err(e) = self.connect(fd, &to, how) {
            sys::close_socket(fd);
            return Err(e);
        }
        self.descriptors.add_socket(fd);
        Ok(EpollSock(fd))
    }

    fn dial_result(&mut self, sock: EpollSock, edge: Edge) -> io::Result<()> {
        // A failed attempt always reports a hangup; so does a peer that closed at once, which is a success as yet.
        if edge.hangup { sys::socket_error(sock.0) } else { Ok(()) }
    }

    fn recv(&mut self, sock: EpollSock, into: &mut [u8]) -> io::Result<usize> {
        sys::recv(sock.0, into)
    }

    fn send(&mut self, sock: EpollSock, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        sys::send(sock.0, bufs)
    }

    fn finish(&mut self, sock: EpollSock) -> io::Result<()> {
        sys::shutdown_write(sock.0)
    }

    fn close(&mut self, sock: EpollSock, reset: bool) {
        let ours = self.descriptors.remove_socket(sock.0);
        debug_assert!(ours, "closed twice");
        if ours {
            if reset {
                // If it fails the close is an ordinary one.
                let _ = sys::set_reset_on_close(sock.0);
            }
            sys::close_socket(sock.0);
        }
    }

    fn local(&self, sock: EpollSock) -> Option<SocketAddr> {
        sys::local_name(sock.0).ok().flatten()
    }

    fn watch(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        debug_assert!(token.0 < INTERNAL, "token in the internal range");
        if self.descriptors.has(fd) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sys::epoll_add(self.shared.epoll.as_raw_fd(), fd, watched(interest), token.0)
    }

    fn watch_again(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        if self.descriptors.has(fd) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        sys::epoll_mod(self.shared.epoll.as_raw_fd(), fd, watched(interest), token.0)
    }

    fn unwatch(&mut self, fd: RawFd) {
        if !self.descriptors.has(fd) {
            // If it was closed, it is out of the set, or out of our reach.
            drop(sys::epoll_del(self.shared.epoll.as_raw_fd(), fd));
        }
    }

    fn quiet(&mut self, sock: EpollSock, token: Token, quiet: bool) -> bool {
        let events = if quiet { QUIET } else { QUIET | libc::EPOLLOUT };
        // What is so at that moment is reported, so that nothing is missed between.
        sys::epoll_mod(self.shared.epoll.as_raw_fd(), sock.0, events, token.0).is_ok()
    }

    fn low_water(&mut self, sock: EpollSock, bytes: u32) -> bool {
        sys::set_low_water(sock.0, bytes).is_ok()
    }

    fn descriptor(&self, sock: EpollSock) -> Option<RawFd> {
        Some(sock.0)
    }

    fn poll_fd(&self) -> Option<RawFd> {
        Some(self.shared.epoll.as_raw_fd())
    }

    fn arm(&mut self, at: Tick) {
        let Some(inline) = &self.inline else { return };
        let set = sys::timerfd_set(inline.timer.as_raw_fd(), (at != Tick::NEVER).then_some(at.0));
        debug_assert!(set.is_ok(), "a live timerfd refuses no absolute time");
    }

    fn linger(&mut self, work_left: bool) {
        let Some(inline) = &mut self.inline else { return };
        let fd = inline.linger.as_raw_fd();
        if work_left {
            // Full after 2^64 turns without a pause: readable all the same.
            let _ = sys::eventfd_write(fd);
        } else if inline.lingering {
            let _ = sys::eventfd_read(fd);
        }
        inline.lingering = work_left;
    }
}

impl Drop for EpollBackend {
    fn drop(&mut self) {
        self.descriptors.close_sockets();
    }
}

pub struct EpollWaiter {
    shared: Arc<Shared>,
    events: Box<[sys::EpollEvent]>,
}

impl Waiter for EpollWaiter {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let mut n = sys::epoll_wait(self.shared.epoll.as_raw_fd(), &mut self.events, timeout)?;
        loop {
            for event in &self.events[..n] {
                if event.u64 < INTERNAL {
                    ready.push(Ready { token: Token(event.u64), edge: edge_of(event.events.cast_signed()) });
                }
            }
            if n < BATCH {
                return Ok(());
            }
            // Nothing is left for the next wait: an application that polls the set edge-triggered is told but once.
            // An error would come again in the next wait; what is reported already must not be lost by it.
            n = sys::epoll_wait(self.shared.epoll.as_raw_fd(), &mut self.events, Some(Duration::ZERO)).unwrap_or(0);
        }
    }
}

/// The end of the peer's side is told to readers alone: who only writes could do nothing about it, and would hear of it again
/// and again.
fn watched(Interest { readable, writable }: Interest) -> i32 {
    let mut events = libc::EPOLLONESHOT;
    if readable {
        events |= libc::EPOLLIN | libc::EPOLLRDHUP;
    }
    if writable {
        events |= libc::EPOLLOUT;
    }
    events
}

fn edge_of(events: i32) -> Edge {
    Edge {
        readable: events & libc::EPOLLIN != 0,
        writable: events & libc::EPOLLOUT != 0,
        hangup: events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0,
    }
}
