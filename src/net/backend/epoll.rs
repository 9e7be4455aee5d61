//! The kernel's backend: edge-triggered epoll.
//!
//! A socket is registered by one `epoll_ctl(ADD)` with `IN|OUT|RDHUP|ET` and never again: no MOD, no DEL; closing the
//! descriptor removes it. A description that a forked child or a `dup` shares outlives our close and may go on
//! reporting, with its old token: the reactor tells such an event by the generation inside the token.
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
//! Invariant: `open` has the bit of a descriptor set exactly while it is ours, and dropping the backend closes those.
//! Nothing but `close` is done to them then, so that a forked child may drop what it shares with its parent.

use super::{Address, Backend, Dial, Drive, Edge, Notify, Ready, Token, Waiter};
use crate::net::sys;
use crate::proto::Tick;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// Tokens from here on are internal.
const INTERNAL: u64 = u64::MAX - 255;
const WAKE: u64 = INTERNAL;
const LINGER: u64 = INTERNAL + 1;
const TIMER: u64 = INTERNAL + 2;

/// Events that one call of the kernel takes at most.
const BATCH: usize = 256;

const EDGE: i32 = libc::EPOLLET;

/// A connected (or connecting) socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpollSock(RawFd);

/// What the backend, its waiter and its notifiers hold together.
struct Shared {
    epoll: OwnedFd,
    wake: OwnedFd,
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
    linger: OwnedFd,
    lingering: bool,
    timer: OwnedFd,
}

pub struct EpollBackend {
    shared: Arc<Shared>,
    inline: Option<Inline>,
    open: FdSet,
}

impl EpollBackend {
    pub fn new(drive: Drive) -> io::Result<EpollBackend> {
        let shared = Shared { epoll: sys::epoll_create()?, wake: sys::eventfd()?, epoch: sys::process_epoch() };
        let epoll = shared.epoll.as_raw_fd();
        sys::epoll_add(epoll, shared.wake.as_raw_fd(), libc::EPOLLIN | EDGE, WAKE)?;
        let inline = match drive {
            Drive::OwnThread => None,
            Drive::Caller => {
                let inline = Inline { linger: sys::eventfd()?, lingering: false, timer: sys::timerfd()? };
                sys::epoll_add(epoll, inline.linger.as_raw_fd(), libc::EPOLLIN, LINGER)?;
                sys::epoll_add(epoll, inline.timer.as_raw_fd(), libc::EPOLLIN | EDGE, TIMER)?;
                Some(inline)
            }
        };
        Ok(EpollBackend { shared: Arc::new(shared), inline, open: FdSet::default() })
    }

    fn connect(&self, fd: RawFd, to: &sys::SockAddr, dial: &Dial<'_>) -> io::Result<()> {
        if matches!(dial.to, Address::Inet(_)) {
            sys::set_nodelay(fd)?;
        }
        match sys::connect(fd, to) {
            // A signal does not end the attempt, it goes on in the background.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {}
            done => done?,
        }
        // After connect: a TCP socket that has not begun to connect reports a hangup, which a thread that sleeps in the
        // waiter would take for the outcome. No edge is lost, since ADD reports what is ready already.
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | EDGE;
        sys::epoll_add(self.shared.epoll.as_raw_fd(), fd, events, dial.token.0)
    }
}

impl Backend for EpollBackend {
    type Sock = EpollSock;
    type Waiter = EpollWaiter;

    fn now(&self) -> Tick {
        Tick(sys::monotonic_ns())
    }

    fn waiter(&mut self) -> io::Result<EpollWaiter> {
        let none = sys::EpollEvent { events: 0, u64: 0 };
        let (shared, whole) = (Arc::clone(&self.shared), self.inline.is_some());
        Ok(EpollWaiter { shared, events: vec![none; BATCH].into_boxed_slice(), whole })
    }

    fn notifier(&self) -> Arc<dyn Notify> {
        Arc::clone(&self.shared) as Arc<dyn Notify>
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
        self.open.insert(fd);
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
        let ours = self.open.remove(sock.0);
        debug_assert!(ours, "closed twice");
        if ours {
            if reset {
                // If it fails the close is an ordinary one.
                let _ = sys::set_reset_on_close(sock.0);
            }
            sys::close_socket(sock.0);
        }
    }

    fn peer(&self, sock: EpollSock) -> Option<SocketAddr> {
        sys::peer_name(sock.0).ok().flatten()
    }

    fn poll_fd(&self) -> Option<RawFd> {
        self.inline.as_ref().map(|_| self.shared.epoll.as_raw_fd())
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
        self.open.drain(sys::close_socket);
    }
}

pub struct EpollWaiter {
    shared: Arc<Shared>,
    events: Box<[sys::EpollEvent]>,
    /// Leave nothing for the next wait: an application that polls the set edge-triggered is told but once.
    whole: bool,
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
            if n < BATCH || !self.whole {
                return Ok(());
            }
            // An error would come again in the next wait; what is reported already must not be lost by it.
            n = sys::epoll_wait(self.shared.epoll.as_raw_fd(), &mut self.events, Some(Duration::ZERO)).unwrap_or(0);
        }
    }
}

fn edge_of(events: i32) -> Edge {
    Edge {
        readable: events & libc::EPOLLIN != 0,
        writable: events & libc::EPOLLOUT != 0,
        hangup: events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0,
    }
}

/// The descriptors that are ours: one bit each, since the kernel hands out the lowest free number.
#[derive(Default)]
struct FdSet {
    bits: Vec<u64>,
}

impl FdSet {
    fn insert(&mut self, fd: RawFd) {
        let at = fd as usize / 64;
        if at >= self.bits.len() {
            self.bits.resize(at + 1, 0);
        }
        self.bits[at] |= 1 << (fd % 64);
    }

    fn remove(&mut self, fd: RawFd) -> bool {
        let Some(word) = self.bits.get_mut(fd as usize / 64) else { return false };
        let was = *word & (1 << (fd % 64)) != 0;
        *word &= !(1 << (fd % 64));
        was
    }

    fn drain(&mut self, mut each: impl FnMut(RawFd)) {
        for (at, word) in self.bits.iter_mut().enumerate() {
            while *word != 0 {
                each((at * 64) as RawFd + word.trailing_zeros().cast_signed());
                *word &= *word - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fd_set_gives_back_what_it_holds() {
        let mut set = FdSet::default();
        for fd in [3, 63, 64, 1000] {
            set.insert(fd);
        }
        assert!(set.remove(64));
        assert!(!set.remove(64) && !set.remove(5000));
        let mut left = Vec::new();
        set.drain(|fd| left.push(fd));
        assert_eq!(left, [3, 63, 1000]);
    }
}
