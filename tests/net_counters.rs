//! The price of a connection in system calls. Alone in its process, because the counters are the process's.

use chttpcore::net::backend::epoll::EpollBackend;
use chttpcore::net::backend::{Address, Backend, Bind, Dial, Drive, Ready, Token, Waiter};
use chttpcore::net::sys::Counters;
use std::io::{IoSlice, Read, Write};
use std::net::TcpListener;

#[test]
fn a_connection_costs_one_epoll_ctl_and_six_socket_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = Address::Inet(listener.local_addr().unwrap());
    let mut backend = EpollBackend::new(Drive::Caller).unwrap();
    let mut waiter = backend.waiter().unwrap();
    let mut ready: Vec<Ready> = Vec::new();

    let before = Counters::snapshot();
    let sock = backend.dial(&Dial { to: &to, bind: &Bind::default(), token: Token(1) }).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    waiter.wait(&mut ready, None).unwrap();
    assert!(ready[0].edge.writable);
    backend.dial_result(sock, ready[0].edge).unwrap();
    backend.send(sock, &[IoSlice::new(b"ping")]).unwrap();
    server.read_exact(&mut [0; 4]).unwrap();
    server.write_all(b"pong").unwrap();
    ready.clear();
    waiter.wait(&mut ready, None).unwrap();
    assert!(ready[0].edge.readable);
    assert_eq!(backend.recv(sock, &mut [0; 64]).unwrap(), 4);
    backend.linger(false);
    backend.close(sock, false);
    let after = Counters::snapshot();

    // socket, setsockopt (TCP_NODELAY), connect, send, recv, close.
    assert_eq!(after.socket_calls - before.socket_calls, 6);
    assert_eq!(after.connects - before.connects, 1);
    assert_eq!(after.epoll_ctl_calls - before.epoll_ctl_calls, 1);
    assert_eq!(after.poll_calls - before.poll_calls, 2);
    assert_eq!(after.notifier_calls, before.notifier_calls);
}
