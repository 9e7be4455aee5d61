//! What is set on a real socket before it connects, and what comes of it on loopback: both families, a local address, a
//! network interface, the options of TCP.

use chttpcore::net::backend::epoll::{EpollBackend, EpollSock};
use chttpcore::net::backend::{Address, Backend, Bind, Dial, Drive, Edge, Token, Tuning, Waiter};
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

const GUARD: Option<Duration> = Some(Duration::from_secs(20));
const SECOND: u64 = 1_000_000_000;

fn from(local: &str) -> Bind {
    Bind { local: Some(local.parse().unwrap()), interface: None }
}

fn through(interface: &str) -> Bind {
    Bind { local: None, interface: Some(interface.into()) }
}

/// Connect, and wait for the outcome.
fn connect(backend: &mut EpollBackend, to: SocketAddr, bind: &Bind) -> io::Result<EpollSock> {
    let mut waiter = backend.waiter()?;
    let sock = backend.dial(&Dial { to: &Address::Inet(to), bind, token: Token(1) })?;
    let (mut ready, mut edge) = (Vec::new(), Edge::default());
    while !edge.writable && !edge.hangup {
        waiter.wait(&mut ready, GUARD)?;
        edge = ready.pop().expect("nothing came").edge;
    }
    backend.dial_result(sock, edge).map(|()| sock)
}

#[test]
fn both_families_and_both_ends() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(at).unwrap();
        let mut backend = EpollBackend::new(Drive::OwnThread).unwrap();
        let sock = connect(&mut backend, listener.local_addr().unwrap(), &Bind::default()).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(backend.local(sock), Some(peer));
        backend.close(sock, false);
    }
}

#[test]
fn a_local_address_is_where_the_connection_begins() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut backend = EpollBackend::new(Drive::OwnThread).unwrap();
    for local in ["127.0.0.2", "127.0.0.3", "127.0.0.2"] {
        let sock = connect(&mut backend, to, &from(local)).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), local.parse::<IpAddr>().unwrap());
        assert_eq!(backend.local(sock), Some(peer));
        backend.close(sock, false);
    }
    // An address that is not of this machine (RFC 5737 keeps it free).
    let error = connect(&mut backend, to, &from("198.51.100.77")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL));
}

#[test]
fn an_interface_is_the_way_that_the_connection_takes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut backend = EpollBackend::new(Drive::OwnThread).unwrap();
    let sock = connect(&mut backend, to, &through("lo")).unwrap();
    listener.accept().unwrap();
    backend.close(sock, false);
    let error = connect(&mut backend, to, &through("no-such-if0")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
}

/// An option of the socket that is connected to `peer`: of both ends in this process, ours has it as its peer.
fn option(peer: SocketAddr, level: i32, name: i32) -> i32 {
    for fd in 3..1024 {
        let (mut addr, mut value) = ([0u16; 64], 0i32);
        let (mut addr_len, mut len) = (128, size_of::<i32>() as libc::socklen_t);
        // SAFETY: both buffers are as large as their lengths say and outlive the calls; other descriptors are only asked.
        let asked = unsafe {
            libc::getpeername(fd, addr.as_mut_ptr().cast(), &raw mut addr_len) == 0
                && libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) == 0
        };
        if asked && i32::from(addr[0]) == libc::AF_INET && u16::from_be(addr[1]) == peer.port() {
            return value;
        }
    }
    panic!("no socket is connected to {peer}");
}

#[test]
fn options_of_tcp() {
    let off = Tuning { nodelay: false, keepalive_ns: 0, user_timeout_ns: 0 };
    let minute = Tuning { keepalive_ns: 60 * SECOND, ..Tuning::default() };
    let short = Tuning { nodelay: true, keepalive_ns: SECOND / 2, user_timeout_ns: 1_500_001 };
    let endless = Tuning { nodelay: true, keepalive_ns: i64::MAX as u64, user_timeout_ns: i64::MAX as u64 };
    for (tuning, nodelay, keepalive, idle, every, user) in [
        (off, 0, 0, None, None, 0),
        (Tuning::default(), 1, 0, None, None, 0),
        (minute, 1, 1, Some(60), Some(15), 0),
        (short, 1, 1, Some(1), Some(1), 2),
        (endless, 1, 1, Some(32_767), Some(15), i32::MAX),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let mut backend = EpollBackend::tuned(Drive::OwnThread, tuning).unwrap();
        let sock = connect(&mut backend, to, &Bind::default()).unwrap();
        let tcp = |name| option(to, libc::IPPROTO_TCP, name);
        assert_eq!((tcp(libc::TCP_NODELAY), tcp(libc::TCP_USER_TIMEOUT)), (nodelay, user), "{tuning:?}");
        assert_eq!(option(to, libc::SOL_SOCKET, libc::SO_KEEPALIVE), keepalive);
        assert!(idle.is_none_or(|i| i == tcp(libc::TCP_KEEPIDLE)), "{tuning:?}");
        assert!(every.is_none_or(|i| i == tcp(libc::TCP_KEEPINTVL)), "{tuning:?}");
        backend.close(sock, false);
    }
}
