//! The kernel's network or a scripted one, for an engine that is told which when it is made.

use super::epoll::{EpollBackend, EpollSock, EpollWaiter, Monotonic};
use super::mock::{MockBackend, MockClock, MockSock, MockWaiter};
use super::{Backend, Clock, Dial, Edge, Interest, Notify, Ready, Token, Waiter};
use crate::net::descriptors::Descriptors;
use crate::proto::Tick;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// One of two.
#[derive(Clone, Copy, Debug)]
pub enum Any<K, M> {
    Kernel(K),
    Mock(M),
}

pub type AnyBackend = Any<EpollBackend, MockBackend>;

impl Clock for Any<Monotonic, MockClock> {
    fn now(&self) -> Tick {
        match self {
            Any::Kernel(clock) => clock.now(),
            Any::Mock(clock) => clock.now(),
        }
    }
}

impl Waiter for Any<EpollWaiter, MockWaiter> {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Any::Kernel(waiter) => waiter.wait(ready, timeout),
            Any::Mock(waiter) => waiter.wait(ready, timeout),
        }
    }
}

/// Do the same with a backend and a socket of it.
macro_rules! both {
    ($self:expr, $sock:expr, |$backend:ident, $s:ident| $call:expr) => {
        match ($self, $sock) {
            (Any::Kernel($backend), Any::Kernel($s)) => $call,
            (Any::Mock($backend), Any::Mock($s)) => $call,
            _ => unreachable!("a socket of another backend"),
        }
    };
}

impl Backend for AnyBackend {
    type Sock = Any<EpollSock, MockSock>;
    type Waiter = Any<EpollWaiter, MockWaiter>;
    type Clock = Any<Monotonic, MockClock>;

    fn now(&self) -> Tick {
        match self {
            Any::Kernel(backend) => backend.now(),
            Any::Mock(backend) => backend.now(),
        }
    }

    fn clock(&self) -> Self::Clock {
        match self {
            Any::Kernel(backend) => Any::Kernel(backend.clock()),
            Any::Mock(backend) => Any::Mock(backend.clock()),
        }
    }

    fn waiter(&mut self) -> io::Result<Self::Waiter> {
        Ok(match self {
            Any::Kernel(backend) => Any::Kernel(backend.waiter()?),
            Any::Mock(backend) => Any::Mock(backend.waiter()?),
        })
    }

    fn notifier(&self) -> Arc<dyn Notify> {
        match self {
            Any::Kernel(backend) => backend.notifier(),
            Any::Mock(backend) => backend.notifier(),
        }
    }

    fn descriptors(&self) -> Arc<Descriptors> {
        match self {
            Any::Kernel(backend) => backend.descriptors(),
            Any::Mock(backend) => backend.descriptors(),
        }
    }

    fn dial(&mut self, how: &Dial<'_>) -> io::Result<Self::Sock> {
        Ok(match self {
            Any::Kernel(backend) => Any::Kernel(backend.dial(how)?),
            Any::Mock(backend) => Any::Mock(backend.dial(how)?),
        })
    }

    fn dial_result(&mut self, sock: Self::Sock, edge: Edge) -> io::Result<()> {
        both!(self, sock, |backend, s| backend.dial_result(s, edge))
    }

    #[inline]
    fn recv(&mut self, sock: Self::Sock, into: &mut [u8]) -> io::Result<usize> {
        both!(self, sock, |backend, s| backend.recv(s, into))
    }

    #[inline]
    fn send(&mut self, sock: Self::Sock, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        both!(self, sock, |backend, s| backend.send(s, bufs))
    }

    fn finish(&mut self, sock: Self::Sock) -> io::Result<()> {
        both!(self, sock, |backend, s| backend.finish(s))
    }

    fn close(&mut self, sock: Self::Sock, reset: bool) {
        both!(self, sock, |backend, s| backend.close(s, reset));
    }

    fn local(&self, sock: Self::Sock) -> Option<SocketAddr> {
        both!(self, sock, |backend, s| backend.local(s))
    }

    fn watch(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Any::Kernel(backend) => backend.watch(fd, token, interest),
            Any::Mock(backend) => backend.watch(fd, token, interest),
        }
    }

    fn watch_again(&mut self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Any::Kernel(backend) => backend.watch_again(fd, token, interest),
            Any::Mock(backend) => backend.watch_again(fd, token, interest),
        }
    }

    fn unwatch(&mut self, fd: RawFd) {
        match self {
            Any::Kernel(backend) => backend.unwatch(fd),
            Any::Mock(backend) => backend.unwatch(fd),
        }
    }

    fn quiet(&mut self, sock: Self::Sock, token: Token, quiet: bool) -> bool {
        both!(self, sock, |backend, s| backend.quiet(s, token, quiet))
    }

    fn low_water(&mut self, sock: Self::Sock, bytes: u32) -> bool {
        both!(self, sock, |backend, s| backend.low_water(s, bytes))
    }

    fn descriptor(&self, sock: Self::Sock) -> Option<RawFd> {
        both!(self, sock, |backend, s| backend.descriptor(s))
    }

    fn poll_fd(&self) -> Option<RawFd> {
        match self {
            Any::Kernel(backend) => backend.poll_fd(),
            Any::Mock(backend) => backend.poll_fd(),
        }
    }

    fn arm(&mut self, at: Tick) {
        match self {
            Any::Kernel(backend) => backend.arm(at),
            Any::Mock(backend) => backend.arm(at),
        }
    }

    fn linger(&mut self, work_left: bool) {
        match self {
            Any::Kernel(backend) => backend.linger(work_left),
            Any::Mock(backend) => backend.linger(work_left),
        }
    }
}
