//! The only way out to the network: one trait, met by the kernel's epoll and by a scripted mock.
//!
//! A backend hands out sockets by number, reports edges by [`Token`], and is the reactor's clock. `Backend` itself is
//! used by whoever holds the turn; the [`Waiter`] it makes sleeps for events without the turn being held.

pub mod any;
pub mod epoll;
pub mod mock;

pub use crate::proto::route::Address;

use crate::net::descriptors::Descriptors;
use crate::proto::Tick;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
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

/// What is asked about a descriptor of the application's. Its hangup is told in any case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    pub readable: bool,
    pub writable: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    pub token: Token,
    pub edge: Edge,
}

/// What the local end of a connection is bound to before it connects.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Bind {
    /// An address of this machine.
    pub local: Option<IpAddr>,
    /// A network interface, by name.
    pub interface: Option<Arc<str>>,
}

impl Bind {
    /// Whether a connection to an address can begin here: an address of one family reaches none of the other.
    pub fn reaches(&self, to: &Address) -> bool {
        match (self.local, to) {
            (Some(local), Address::Inet(to)) => local.is_ipv4() == to.is_ipv4(),
            _ => true,
        }
    }
}

/// How TCP behaves on every connection of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Send small segments at once (TCP_NODELAY).
    pub nodelay: bool,
    /// Silence after which the kernel probes the peer, in nanoseconds; 0 for never.
    pub keepalive_ns: u64,
    /// How long sent bytes may stay unacknowledged (RFC 5482); 0 for the kernel's own limit.
    pub user_timeout_ns: u64,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning { nodelay: true, keepalive_ns: 0, user_timeout_ns: 0 }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    pub to: &'a Address,
    pub bind: &'a Bind,
    pub token: Token,
}

/// Wakes a sleeping [`Waiter`], from any thread. Idempotent until the waiter has woken.
pub trait Notify: Send + Sync {
    fn notify(&self);
}

/// Connections that one wait reports at most.
pub const BATCH: usize = 256;

/// Sleeps for readiness without the turn. One thread at a time uses it.
pub trait Waiter: Send {
    /// Append what became ready to `ready`, waiting at most `timeout` (`None`: for ever; zero: not at all).
    /// Returns early, perhaps with nothing, when notified. `Interrupted` is passed on after a signal.
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()>;
}

/// The clock of a backend, for whoever does not hold the turn.
pub trait Clock: Clone + Send + Sync + 'static {
    fn now(&self) -> Tick;

    /// The time from now to a moment; none if it has passed.
    fn until(&self, moment: Tick) -> Duration {
        Duration::from_nanos(moment.0.saturating_sub(self.now().0))
    }

    /// The moment after some time.
    fn after(&self, time: Duration) -> Tick {
        self.now().after(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Sockets and a clock. All calls are non-blocking; `WouldBlock` and `Interrupted` are the kernel's.
pub trait Backend: Send + 'static {
    type Sock: Copy + std::fmt::Debug + Send;
    type Waiter: Waiter;
    type Clock: Clock;

    fn now(&self) -> Tick;

    fn clock(&self) -> Self::Clock;

    /// The one waiter of this backend; made once.
    fn waiter(&mut self) -> io::Result<Self::Waiter>;

    fn notifier(&self) -> Arc<dyn Notify>;

    /// Where the descriptors of this backend stand, and those of whoever works with it may.
    fn descriptors(&self) -> Arc<Descriptors> {
        Arc::default()
    }

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

    /// Our own end; `None` for a Unix socket.
    fn local(&self, sock: Self::Sock) -> Option<SocketAddr>;

    /// Watch a descriptor that is not ours, for what it *is* and not for what comes: it is reported once, and not again
    /// before `watch_again`. `AlreadyExists` if it is in the set, `Unsupported` where there are no descriptors.
    fn watch(&mut self, _fd: RawFd, _token: Token, _interest: Interest) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Look at a watched descriptor anew. Fails if what the number stands for is not in the set.
    fn watch_again(&mut self, _fd: RawFd, _token: Token, _interest: Interest) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Watch a descriptor no more. It may be closed already, and its number may even be one of ours by now.
    fn unwatch(&mut self, _fd: RawFd) {}

    /// Report no more of a connected socket when it takes more, or report it again. Whether the backend knows how.
    fn quiet(&mut self, _sock: Self::Sock, _token: Token, _quiet: bool) -> bool {
        false
    }

    /// Report of a connected TCP socket no fewer than so many bytes, unless they are the last. Whether the backend knows how.
    fn low_water(&mut self, _sock: Self::Sock, _bytes: u32) -> bool {
        false
    }

    /// The descriptor of a socket, where there is one.
    fn descriptor(&self, sock: Self::Sock) -> Option<RawFd>;

    /// Readable while a wait would return something. In the caller-driven drive this is what the application polls.
    fn poll_fd(&self) -> Option<RawFd>;

    /// In the caller-driven drive: the moment at which `poll_fd` must become readable although nothing arrives. Called only
    /// when the moment becomes earlier, or has passed.
    fn arm(&mut self, at: Tick);

    /// In the caller-driven drive, at the end of a turn: leave `poll_fd` readable exactly while `work_left`
    /// (a byte budget that ran out, undrained events, mail). An edge-triggered set alone would lose that work.
    fn linger(&mut self, work_left: bool);
}
