//! The only way out to the network: one trait, met by the kernel's epoll and by a scripted mock.
//!
//! A backend hands out sockets by number, reports edges by [`Token`], and is the reactor's clock. `Backend` itself is
//! used by whoever holds the turn; the [`Waiter`] it makes sleeps for events without the turn being held.

pub mod epoll;
pub mod mock;

use crate::proto::Tick;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Names a connection to the backend. It carries a slot and a generation, because the kernel may report an event of a
/// file description that a child process or a `dup` shares after we closed our descriptor.
/// The highest 256 values are the backend's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token(pub u64);

/// Who runs the turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drive {
    /// A thread of the engine, which sleeps in its [`Waiter`].
    OwnThread,
    /// The application, which polls [`Backend::poll_fd`] or waits in a call.
    Caller,
}

/// What an edge said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Edge {
    pub readable: bool,
    pub writable: bool,
    /// The peer closed its side, or the socket has an error: read to the end even after a short read.
    pub hangup: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    pub token: Token,
    pub edge: Edge,
}

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    Inet(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    pub to: &'a Address,
    pub token: Token,
}

/// Wakes a sleeping [`Waiter`], from any thread. Idempotent until the waiter has woken.
pub trait Notify: Send + Sync {
    fn notify(&self);
}

/// Sleeps for readiness without the turn. One thread at a time uses it.
pub trait Waiter: Send {
    /// Append what became ready to `ready`, waiting at most `timeout` (`None`: for ever; zero: not at all).
    /// Returns early, perhaps with nothing, when notified. `Interrupted` is passed on after a signal.
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()>;
}

/// Sockets and a clock. All calls are non-blocking; `WouldBlock` and `Interrupted` are the kernel's.
pub trait Backend: Send + 'static {
    type Sock: Copy + std::fmt::Debug + Send;
    type Waiter: Waiter;

    fn now(&self) -> Tick;

    /// The one waiter of this backend; made once.
    fn waiter(&mut self) -> io::Result<Self::Waiter>;

    fn notifier(&self) -> Arc<dyn Notify>;

    /// Start to connect. The socket is registered, edge-triggered, for its whole life. The first writable or hangup
    /// edge says that the attempt is over: then ask `dial_result`.
    fn dial(&mut self, how: &Dial<'_>) -> io::Result<Self::Sock>;

    /// The outcome of an attempt whose first edge was `edge`.
    fn dial_result(&mut self, sock: Self::Sock, edge: Edge) -> io::Result<()>;

    /// 0 is the end of the stream.
    fn recv(&mut self, sock: Self::Sock, into: &mut [u8]) -> io::Result<usize>;

    fn send(&mut self, sock: Self::Sock, bufs: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Close our sending side (`shutdown(SHUT_WR)`).
    fn finish(&mut self, sock: Self::Sock) -> io::Result<()>;

    /// Close. With `reset`, unsent and unread bytes are thrown away (RST) where the backend knows how.
    fn close(&mut self, sock: Self::Sock, reset: bool);

    fn peer(&self, sock: Self::Sock) -> Option<SocketAddr>;

    /// In the caller-driven drive: the descriptor that an application polls, and the moment at which it must become
    /// readable although nothing arrives. `arm` is called only when the moment becomes earlier, or has passed.
    fn poll_fd(&self) -> Option<RawFd>;
    fn arm(&mut self, at: Tick);

    /// In the caller-driven drive, at the end of a turn: leave `poll_fd` readable exactly while `work_left`
    /// (a byte budget that ran out, undrained events, mail). An edge-triggered set alone would lose that work.
    fn linger(&mut self, work_left: bool);
}
