//! The scripted network: what a client sees of each step, and the edges that it gets.

use chttpcore::net::backend::mock::{Closed, MockBackend, MockNet, MockSock, MockWaiter, Script, Totals};
use chttpcore::net::backend::{Address, Backend, Bind, Dial, Edge, Ready, Token, Waiter};
use chttpcore::proto::Tick;
use std::io::{self, ErrorKind, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const NS: u64 = 1_000_000_000;

const READ: Edge = Edge { readable: true, writable: true, hangup: false };
const WRITE: Edge = Edge { readable: false, writable: true, hangup: false };
const END: Edge = Edge { readable: true, writable: true, hangup: true };

struct Client {
    net: MockNet,
    backend: MockBackend,
    waiter: MockWaiter,
}

fn addr() -> Address {
    Address::Inet("192.0.2.1:80".parse().unwrap())
}

impl Client {
    fn new(script: Script) -> Client {
        let net = MockNet::new();
        net.listen(addr()).always(script);
        let mut backend = net.backend();
        let waiter = backend.waiter().unwrap();
        Client { net, backend, waiter }
    }

    fn wait(&mut self) -> Vec<Edge> {
        let mut ready: Vec<Ready> = Vec::new();
        self.waiter.wait(&mut ready, None).unwrap();
        ready.iter().map(|r| r.edge).collect()
    }

    fn dial(&mut self) -> MockSock {
        self.backend.dial(&Dial { to: &addr(), bind: &Bind::default(), token: Token(5) }).unwrap()
    }

    fn connected(script: Script) -> (Client, MockSock) {
        let mut c = Client::new(script);
        let sock = c.dial();
        assert!(c.net.runnable());
        let edges = c.wait();
        assert!(edges.len() == 1 && edges[0].writable);
        c.backend.dial_result(sock, edges[0]).unwrap();
        (c, sock)
    }

    fn send(&mut self, sock: MockSock, bytes: &[u8]) -> io::Result<usize> {
        self.backend.send(sock, &[IoSlice::new(bytes)])
    }

    fn recv(&mut self, sock: MockSock) -> io::Result<Vec<u8>> {
        let mut buf = [0; 4096];
        self.backend.recv(sock, &mut buf).map(|n| buf[..n].to_vec())
    }
}

fn kind<T: std::fmt::Debug>(r: io::Result<T>) -> ErrorKind {
    r.unwrap_err().kind()
}

#[test]
fn an_edge_for_each_arrival_and_none_without() {
    let (mut c, s) = Client::connected(Script::new().expect("ping").send("po").send("ng").expect_fin().fin());
    assert_eq!(kind(c.recv(s)), ErrorKind::WouldBlock);
    assert_eq!(c.wait(), []);
    assert_eq!(c.backend.send(s, &[IoSlice::new(b"pi"), IoSlice::new(b"n")]).unwrap(), 3);
    assert_eq!(c.wait(), []);
    assert_eq!(c.send(s, b"g").unwrap(), 1);
    assert_eq!(c.wait(), [READ]);
    assert_eq!(c.wait(), []);
    assert_eq!(c.backend.recv(s, &mut [0; 1]).unwrap(), 1);
    assert_eq!(c.recv(s).unwrap(), b"ong");
    assert_eq!(kind(c.recv(s)), ErrorKind::WouldBlock);
    c.backend.finish(s).unwrap();
    assert_eq!(kind(c.send(s, b"x")), ErrorKind::BrokenPipe);
    assert_eq!(c.wait(), [END]);
    assert_eq!(c.recv(s).unwrap(), b"");
    assert_eq!(c.net.totals(), Totals { opened: 1, closed: 0, reset: 0 });
    c.backend.close(s, false);
    let record = c.net.connection(0).unwrap();
    assert_eq!(record.sent, b"ping");
    assert!(record.finished && record.done && record.unread.is_empty());
    assert_eq!(record.closed, Some(Closed::Orderly));
    assert_eq!(c.net.totals().open(), 0);
    assert!(c.net.mismatches().is_empty());
}

#[test]
fn data_and_fin_share_an_edge() {
    let (mut c, s) = Client::connected(Script::new().expect_bytes(3).send("bye").fin());
    c.send(s, b"abc").unwrap();
    assert_eq!(c.wait(), [END]);
    assert_eq!(c.recv(s).unwrap(), b"bye");
    assert_eq!(c.recv(s).unwrap(), b"");
}

#[test]
fn pieces_arrive_one_at_a_wait() {
    for script in [Script::new().send_split("abcdefgh", 3), Script::new().send_cut("abcdefgh", &[3, 6])] {
        let (mut c, s) = Client::connected(script.fin());
        for piece in [&b"abc"[..], b"def", b"gh"] {
            assert_eq!(c.recv(s).unwrap(), piece);
            assert_eq!(kind(c.recv(s)), ErrorKind::WouldBlock);
            assert!(c.net.runnable());
            assert_eq!(c.wait().len(), 1);
        }
        assert_eq!(c.recv(s).unwrap(), b"");
    }
    // Not read, it does not pile up.
    let (mut c, s) = Client::connected(Script::new().send_split("ab", 1));
    assert_eq!(c.wait(), []);
    assert!(!c.net.runnable());
    assert_eq!(c.recv(s).unwrap(), b"a");
    assert_eq!(c.wait(), [READ]);
}

#[test]
fn outcomes_of_connecting() {
    let net = MockNet::new();
    net.listen(addr())
        .connection(Script::new().refuse())
        .connection(Script::new().connect_delay(50).refuse())
        .connection(Script::new().connect_delay(50).send("hi"))
        .connection(Script::new().black_hole());
    let mut backend = net.backend();
    let waiter = backend.waiter().unwrap();
    let mut c = Client { net, backend, waiter };
    let first = c.dial();
    assert_eq!(c.backend.local(first), Some("127.0.0.1:1".parse().unwrap()));
    let second = c.dial();
    let third = c.dial();
    let fourth = c.dial();
    assert_eq!(kind(c.send(third, b"x")), ErrorKind::WouldBlock);
    assert_eq!(kind(c.recv(third)), ErrorKind::WouldBlock);
    assert_eq!(c.wait(), [END]);
    assert_eq!(c.net.next_event(), c.net.now().after(50));
    c.net.advance(49);
    assert_eq!(c.wait(), []);
    c.net.advance(1);
    assert_eq!(c.wait(), [END, READ]);
    assert_eq!(kind(c.backend.dial_result(second, END)), ErrorKind::ConnectionRefused);
    c.backend.dial_result(third, READ).unwrap();
    assert_eq!(c.net.next_event(), Tick::NEVER);
    // The fifth has no script.
    let fifth = c.dial();
    assert_eq!(c.wait(), [END]);
    assert_eq!(kind(c.backend.dial_result(fifth, END)), ErrorKind::ConnectionRefused);
    c.backend.close(fourth, true);
    assert_eq!(c.net.totals(), Totals { opened: 5, closed: 1, reset: 1 });
    drop(c.backend);
    assert_eq!(c.net.totals().open(), 0);
}

#[test]
fn reset_lets_arrived_data_be_read() {
    let (mut c, s) = Client::connected(Script::new().expect("x").send("part").rst());
    c.send(s, b"x").unwrap();
    assert_eq!(c.wait(), [END]);
    assert_eq!(c.recv(s).unwrap(), b"part");
    assert_eq!(kind(c.recv(s)), ErrorKind::ConnectionReset);
    assert_eq!(c.recv(s).unwrap(), b"");
    assert_eq!(kind(c.send(s, b"y")), ErrorKind::BrokenPipe);
}

#[test]
fn short_and_blocked_sends_are_followed_by_a_writable_edge() {
    let script = Script::new().short_writes(4).expect("abcdefgh").short_writes(usize::MAX).stop_reading();
    let (mut c, s) = Client::connected(script.delay(10).resume_reading().expect("more"));
    assert_eq!(c.send(s, b"abcdefgh").unwrap(), 4);
    assert_eq!(kind(c.send(s, b"efgh")), ErrorKind::WouldBlock);
    assert!(c.net.runnable());
    assert_eq!(c.wait(), [WRITE]);
    assert_eq!(c.send(s, b"efgh").unwrap(), 4);
    assert_eq!(kind(c.send(s, b"more")), ErrorKind::WouldBlock);
    assert_eq!(c.wait(), []);
    assert!(!c.net.runnable());
    c.net.advance(10);
    assert_eq!(c.wait(), [WRITE]);
    assert_eq!(c.send(s, b"more").unwrap(), 4);
    assert_eq!(c.wait(), []);
    assert!(c.net.connection(0).unwrap().done);
    assert!(c.net.mismatches().is_empty());
}

#[test]
fn delays_add_up_on_the_way() {
    let (mut c, s) = Client::connected(Script::new().delay(5).send("a").delay(5).send("b").delay(1).fin());
    let start = c.net.now();
    assert_eq!(c.net.next_event(), start.after(5));
    c.net.advance(10);
    assert_eq!(c.backend.now(), start.after(10));
    assert_eq!(c.wait(), [READ]);
    assert_eq!(c.recv(s).unwrap(), b"ab");
    // A peer that the client has closed does not act any more.
    c.backend.close(s, false);
    assert_eq!(c.net.next_event(), Tick::NEVER);
}

#[test]
fn a_mismatch_is_recorded_and_resets() {
    for (sent, finish) in [(&b"GEX"[..], false), (b"GE", true), (b"GET /x", false)] {
        let (mut c, s) = Client::connected(Script::new().expect("GET /").expect_fin());
        c.send(s, sent).unwrap();
        if finish {
            c.backend.finish(s).unwrap();
        }
        assert_eq!(c.net.mismatches().len(), 1, "{sent:?}");
        assert_eq!(c.wait(), [END]);
        assert_eq!(kind(c.recv(s)), ErrorKind::ConnectionReset);
    }
}

#[test]
fn heads_are_recorded_and_loops_repeat() {
    let (mut c, s) = Client::connected(Script::new().connect_delay(0).expect_head().expect_bytes(2).send("ok").again());
    for _ in 0..3 {
        c.send(s, b"POST / HTTP/1.1\r\nA").unwrap();
        c.send(s, b": b\r\n\r\nh").unwrap();
        assert_eq!(c.wait(), []);
        c.send(s, b"i").unwrap();
        assert_eq!(c.wait(), [READ]);
        assert_eq!(c.recv(s).unwrap(), b"ok");
    }
    assert_eq!(c.net.connection(0).unwrap().heads, vec![b"POST / HTTP/1.1\r\nA: b\r\n\r\n".to_vec(); 3]);
    c.net.set_recording(false);
    c.send(s, b"GET / HTTP/1.1\r\n\r\nhi").unwrap();
    let record = c.net.connection(0).unwrap();
    assert!(record.sent.is_empty() && record.heads.is_empty());
}

#[test]
fn a_scripted_panic_leaves_the_world_usable() {
    let (mut c, s) = Client::connected(Script::new().send("x").panic());
    assert_eq!(c.recv(s).unwrap(), b"x");
    assert!(catch_unwind(AssertUnwindSafe(|| c.recv(s))).is_err());
    assert_eq!(c.net.totals().open(), 1);
}

#[test]
fn the_driver_sees_what_is_left_to_do() {
    let (mut c, _) = Client::connected(Script::new());
    assert!(!c.net.runnable());
    c.backend.linger(true);
    assert!(c.net.runnable());
    c.backend.linger(false);
    c.backend.notifier().notify();
    assert!(c.net.runnable());
    assert_eq!(c.wait(), []);
    assert!(!c.net.runnable());
    c.backend.arm(c.net.now().after(7));
    assert_eq!(c.net.next_event(), c.net.now().after(7));
    c.net.advance(7);
    assert!(c.net.runnable());
    assert_eq!(c.wait(), []);
    assert_eq!(c.net.next_event(), Tick::NEVER);
}

/// Send and receive as an edge-triggered client does; gives back the trace of sizes.
fn echo_under_chaos(seed: u64) -> Vec<usize> {
    let body: Vec<u8> = (0..50_000u32).map(|i| (i % 251) as u8).collect();
    let mut c = Client::new(Script::new().expect(body.clone()).send(body.clone()).fin());
    c.net.chaos(seed);
    let s = c.dial();
    let (mut sent, mut got, mut trace, mut ended) = (0, Vec::new(), Vec::new(), false);
    while !ended {
        let edges = c.wait();
        assert_eq!(edges.len(), 1, "stuck after {sent} and {}", got.len());
        while edges[0].writable && sent < body.len() {
            match c.send(s, &body[sent..]) {
                Ok(n) => {
                    trace.push(n);
                    sent += n;
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        // A short read ends the loop, unless the edge carried a hangup.
        let mut more = edges[0].readable;
        while more {
            match c.recv(s) {
                Ok(piece) => {
                    trace.push(piece.len());
                    got.extend_from_slice(&piece);
                    ended = piece.is_empty();
                    more = !ended && (piece.len() == 4096 || edges[0].hangup);
                }
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    more = false;
                }
            }
        }
    }
    assert_eq!(got, body);
    assert!(c.net.mismatches().is_empty());
    trace
}

#[test]
fn chaos_is_deterministic_and_loses_nothing() {
    for seed in 0..50 {
        let trace = echo_under_chaos(seed);
        assert_eq!(trace, echo_under_chaos(seed));
        assert!(trace.len() > 10, "seed {seed}: {trace:?}");
    }
    assert_ne!(echo_under_chaos(1), echo_under_chaos(2));
}

#[test]
fn waits_let_time_pass_if_they_may() {
    let second = Duration::from_secs(1);
    let (mut c, sock) = Client::connected(Script::new().delay(NS).send("a").delay(NS).fin());
    let start = c.net.now();
    let mut ready = Vec::new();
    // Not unless they are told to.
    c.waiter.wait(&mut ready, Some(5 * second)).unwrap();
    assert_eq!(c.net.now(), start);
    c.net.let_waits_pass();
    let mut wait = |c: &mut Client, timeout| {
        ready.clear();
        c.waiter.wait(&mut ready, timeout).map(|()| (ready.len(), c.net.now().0 - start.0))
    };
    assert_eq!(wait(&mut c, Some(Duration::ZERO)).unwrap(), (0, 0));
    assert_eq!(wait(&mut c, Some(second / 2)).unwrap(), (0, NS / 2), "the timeout passes");
    assert_eq!(wait(&mut c, Some(5 * second)).unwrap(), (1, NS), "as far as it has to");
    assert_eq!(c.recv(sock).unwrap(), b"a");
    c.backend.notifier().notify();
    assert_eq!(wait(&mut c, None).unwrap(), (0, NS), "a notification ends it");
    let due = c.net.now().after(NS / 4);
    c.backend.arm(due);
    assert_eq!(wait(&mut c, None).unwrap(), (0, NS * 5 / 4), "so does a moment that is armed");
    assert_eq!(wait(&mut c, None).unwrap(), (1, 2 * NS), "and the peer");
    assert_eq!(wait(&mut c, None).unwrap_err().raw_os_error(), Some(libc::EDEADLK), "nothing can come");
    assert_eq!(wait(&mut c, Some(second)).unwrap(), (0, 3 * NS));
}

#[test]
fn one_backend_at_a_time() {
    let (c, _sock) = Client::connected(Script::new().delay(NS));
    let Client { net, backend, .. } = c;
    assert!(net.claim().is_none());
    drop(backend);
    assert_eq!(net.next_event(), Tick::NEVER, "the first one's peers are gone with it");
    assert!(net.claim().is_some());
}
