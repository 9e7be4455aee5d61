//! The epoll backend against real sockets on loopback. Every wait has a generous guard and asserts an outcome, never a
//! duration.

use chttpcore::net::backend::epoll::{EpollBackend, EpollSock, EpollWaiter};
use chttpcore::net::backend::{Address, Backend, Bind, Dial, Drive, Edge, Ready, Token, Waiter};
use chttpcore::net::sys;
use chttpcore::proto::Tick;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

const GUARD: Option<Duration> = Some(Duration::from_secs(20));
const NOW: Option<Duration> = Some(Duration::ZERO);

struct Bench {
    backend: EpollBackend,
    waiter: EpollWaiter,
}

impl Bench {
    fn new(drive: Drive) -> Bench {
        let mut backend = EpollBackend::new(drive).unwrap();
        let waiter = backend.waiter().unwrap();
        Bench { backend, waiter }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Vec<Ready> {
        let mut ready = Vec::new();
        self.waiter.wait(&mut ready, timeout).unwrap();
        ready
    }

    /// Wait until an edge of `token` satisfies `enough`; edges add up.
    fn until(&mut self, token: u64, enough: impl Fn(&Edge) -> bool) -> Edge {
        let mut sum = Edge::default();
        while !enough(&sum) {
            let ready = self.wait(GUARD);
            assert!(!ready.is_empty(), "nothing came; so far {sum:?}");
            for r in ready {
                assert_eq!(r.token, Token(token));
                sum.readable |= r.edge.readable;
                sum.writable |= r.edge.writable;
                sum.hangup |= r.edge.hangup;
            }
        }
        sum
    }

    fn connect(&mut self, listener: &TcpListener, token: u64) -> (EpollSock, TcpStream) {
        let to = Address::Inet(listener.local_addr().unwrap());
        let sock = self.backend.dial(&Dial { to: &to, bind: &Bind::default(), token: Token(token) }).unwrap();
        let (server, _) = listener.accept().unwrap();
        let edge = self.until(token, |e| e.writable);
        assert!(!edge.hangup);
        self.backend.dial_result(sock, edge).unwrap();
        (sock, server)
    }

    fn poll(&self) -> bool {
        let fd = self.backend.poll_fd().unwrap();
        let mut fds = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
        sys::poll(&mut fds, NOW).unwrap();
        assert_eq!(fds[0].revents & (libc::POLLHUP | libc::POLLERR), 0);
        fds[0].revents & libc::POLLIN != 0
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn would_block<T: std::fmt::Debug>(r: io::Result<T>) {
    assert_eq!(r.unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn bytes_go_both_ways() {
    let mut b = Bench::new(Drive::OwnThread);
    let listener = listener();
    let (sock, mut server) = b.connect(&listener, 7);
    assert_eq!(b.backend.local(sock), Some(server.peer_addr().unwrap()));

    assert_eq!(b.backend.send(sock, &[IoSlice::new(b"one")]).unwrap(), 3);
    assert_eq!(b.backend.send(sock, &[IoSlice::new(b"two "), IoSlice::new(b"three")]).unwrap(), 9);
    let mut got = [0; 12];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"onetwo three");

    let mut buf = [0; 64];
    would_block(b.backend.recv(sock, &mut buf));
    server.write_all(b"answer").unwrap();
    assert!(!b.until(7, |e| e.readable).hangup);
    assert_eq!(b.backend.recv(sock, &mut buf).unwrap(), 6);
    assert_eq!(&buf[..6], b"answer");
    // The edge was reported once; nothing new has arrived.
    assert!(b.wait(NOW).is_empty());

    b.backend.finish(sock).unwrap();
    assert_eq!(server.read(&mut got).unwrap(), 0);
    drop(server);
    b.until(7, |e| e.hangup);
    assert_eq!(b.backend.recv(sock, &mut buf).unwrap(), 0);
    b.backend.close(sock, false);
}

#[test]
fn refused_is_told_by_the_first_edge() {
    let mut b = Bench::new(Drive::OwnThread);
    let closed = listener().local_addr().unwrap();
    let to = Address::Inet(closed);
    match b.backend.dial(&Dial { to: &to, bind: &Bind::default(), token: Token(1) }) {
        Ok(sock) => {
            let edge = b.until(1, |e| e.hangup);
            let e = b.backend.dial_result(sock, edge).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
            b.backend.close(sock, false);
        }
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionRefused),
    }
}

#[test]
fn reset_goes_both_ways() {
    let mut b = Bench::new(Drive::OwnThread);
    let listener = listener();
    let (sock, mut server) = b.connect(&listener, 1);
    b.backend.close(sock, true);
    assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);

    // A server that closes with unread bytes sends RST.
    let (sock, server) = b.connect(&listener, 2);
    b.backend.send(sock, &[IoSlice::new(b"unread")]).unwrap();
    server.peek(&mut [0; 8]).unwrap();
    drop(server);
    b.until(2, |e| e.hangup);
    assert_eq!(b.backend.recv(sock, &mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    b.backend.close(sock, false);
}

#[test]
fn a_full_socket_gets_its_writable_edge() {
    let mut b = Bench::new(Drive::OwnThread);
    let listener = listener();
    let (sock, mut server) = b.connect(&listener, 3);
    let block = vec![b'x'; 1 << 16];
    let mut sent = 0;
    let full = loop {
        match b.backend.send(sock, &[IoSlice::new(&block)]) {
            Ok(n) => sent += n,
            Err(e) => break e,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert!(b.wait(NOW).is_empty());
    let mut left = vec![0; sent];
    server.read_exact(&mut left).unwrap();
    b.until(3, |e| e.writable);
    b.backend.close(sock, false);
}

#[test]
fn unix_sockets() {
    let dir = std::env::temp_dir().join(format!("chttp-net-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut b = Bench::new(Drive::OwnThread);
    let sock = b.backend.dial(&Dial { to: &Address::Unix(path), bind: &Bind::default(), token: Token(9) }).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let edge = b.until(9, |e| e.writable);
    b.backend.dial_result(sock, edge).unwrap();
    assert_eq!(b.backend.local(sock), None);
    b.backend.send(sock, &[IoSlice::new(b"hi")]).unwrap();
    let mut got = [0; 2];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hi");
    b.backend.close(sock, false);

    let missing = Address::Unix(dir.join("missing"));
    let e = b.backend.dial(&Dial { to: &missing, bind: &Bind::default(), token: Token(10) }).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    let long = Address::Unix("/x".repeat(80).into());
    let e = b.backend.dial(&Dial { to: &long, bind: &Bind::default(), token: Token(11) }).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidInput);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_notification_lasts_until_a_wait_has_taken_it() {
    for drive in [Drive::OwnThread, Drive::Caller] {
        let mut b = Bench::new(drive);
        let notify = b.backend.notifier();
        for _ in 0..3 {
            notify.notify();
            notify.notify();
            // Would hang if the notification were lost.
            assert!(b.wait(None).is_empty());
        }
        // From another thread, while the waiter sleeps or before.
        let other = std::thread::spawn(move || notify.notify());
        assert!(b.wait(None).is_empty());
        other.join().unwrap();
    }
}

#[test]
fn with_an_own_thread_only_sockets_and_notifications_count() {
    let mut b = Bench::new(Drive::OwnThread);
    assert!(b.backend.poll_fd().is_some());
    b.backend.linger(true);
    b.backend.arm(Tick(0));
    assert!(b.wait(NOW).is_empty());
}

#[test]
fn caller_poll_fd_follows_linger() {
    let mut b = Bench::new(Drive::Caller);
    assert!(!b.poll());
    b.backend.linger(false);
    assert!(!b.poll());
    b.backend.linger(true);
    b.backend.linger(true);
    assert!(b.poll());
    // A wait does not take it: the work is still there.
    assert!(b.wait(None).is_empty());
    assert!(b.poll());
    b.backend.linger(false);
    assert!(!b.poll());
}

#[test]
fn caller_poll_fd_follows_notify() {
    let mut b = Bench::new(Drive::Caller);
    let notify = b.backend.notifier();
    notify.notify();
    assert!(b.poll());
    // What was notified during a turn survives the turn's end.
    b.backend.linger(false);
    assert!(b.poll());
    assert!(b.wait(None).is_empty());
    assert!(!b.poll());
    notify.notify();
    assert!(b.poll());
}

#[test]
fn caller_poll_fd_follows_the_armed_moment() {
    let mut b = Bench::new(Drive::Caller);
    let now = b.backend.now();
    b.backend.arm(now.after(3_600_000_000_000));
    assert!(!b.poll());
    for past in [Tick(0), now] {
        b.backend.arm(past);
        assert!(b.poll());
        assert!(b.wait(None).is_empty());
        assert!(!b.poll());
    }
    // Disarming takes back what nobody has seen.
    b.backend.arm(now);
    assert!(b.poll());
    b.backend.arm(Tick::NEVER);
    assert!(!b.poll());
    // And the moment comes by itself.
    b.backend.arm(b.backend.now().after(1_000_000));
    assert!(b.wait(GUARD).is_empty());
    assert!(b.backend.now() > now);
}

#[test]
fn a_watcher_by_edges_gets_one_for_each_turn_that_leaves_work() {
    let mut b = Bench::new(Drive::Caller);
    let outer = sys::epoll_create().unwrap();
    let outer_fd = std::os::fd::AsRawFd::as_raw_fd(&outer);
    sys::epoll_add(outer_fd, b.backend.poll_fd().unwrap(), libc::EPOLLIN | libc::EPOLLET, 0).unwrap();
    let mut events = [sys::EpollEvent { events: 0, u64: 0 }; 4];
    for _ in 0..3 {
        b.backend.linger(true);
        assert_eq!(sys::epoll_wait(outer_fd, &mut events, NOW).unwrap(), 1);
        assert!(b.wait(NOW).is_empty());
        assert_eq!(sys::epoll_wait(outer_fd, &mut events, NOW).unwrap(), 0);
    }
}

#[test]
fn dropping_the_backend_closes_its_sockets() {
    let mut b = Bench::new(Drive::OwnThread);
    let listener = listener();
    let (_, mut server) = b.connect(&listener, 1);
    drop(b);
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
}
