//! Credit and tunnels: what flows when the application takes its time, and when there is no message any more.

mod client;

use chttpcore::mem::{Block, Pool};
use chttpcore::net::backend::mock::{MockBackend, MockNet, Script};
use chttpcore::net::backend::{Backend, Bind, Edge, Ready, Waiter};
use chttpcore::net::connection::ConnId;
use chttpcore::net::pump::{Pumped, Receiver};
use chttpcore::net::reactor::{Agent, Io};
use chttpcore::net::secure::Insecure;
use chttpcore::proto::{Data, Fault, Fields, Follows, Head, Sink, StreamKey};
use chttpcore::queue::event::{flag, kind};
use client::*;
use std::sync::Arc;

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 131) >> 4) as u8).collect()
}

fn answers(len: usize) -> [Vec<u8>; 3] {
    let bytes = body(len);
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}\r\n").into_bytes();
    let mut chunked = head("Transfer-Encoding: chunked\r\n");
    for chunk in bytes.chunks(777) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let mut length = head(&format!("Content-Length: {len}\r\n"));
    length.extend(&bytes);
    let mut close = head("");
    close.extend(&bytes);
    [length, chunked, close]
}

#[test]
fn every_credit_delivers_everything() {
    for credit in [1, 255, 256, 257, 1000, 5000, 19_999, 20_000, u64::MAX] {
        let len = if credit < 1000 { 3000 } else { 20_000 };
        for answer in answers(len) {
            for every in [700, 1 << 20] {
                let mut w = World::serving(Script::new().expect_head().send_split(answer.clone(), every).fin());
                w.hold = true;
                let xid = w.submit(&Ask { credit, ..get() });
                let mut stops = 0;
                loop {
                    w.settle();
                    if w.log(xid).end.is_some() {
                        break;
                    }
                    assert!(!w.log(xid).held.is_empty(), "it stands still without a reason");
                    stops += 1;
                    w.release(xid);
                }
                w.log(xid).assert_ok(200, &body(len));
                assert!(stops > 0 || credit >= len as u64, "credit {credit}");
                assert!(stops == 0 || credit < u64::MAX, "{stops} stops");
                w.close();
            }
        }
    }
}

/// Each body event may be released by itself, in any order.
#[test]
fn credit_returns_with_each_release() {
    let mut w = World::serving(Script::new().expect_head().send_split(answers(30_000)[0].clone(), 100));
    w.hold = true;
    let xid = w.submit(&Ask { credit: 2000, ..get() });
    let mut from_front = false;
    while w.log(xid).end.is_none() {
        w.settle();
        let held = &mut w.logs.get_mut(&xid).unwrap().held;
        if held.is_empty() {
            continue;
        }
        let at = if from_front { 0 } else { held.len() - 1 };
        from_front = !from_front;
        drop(held.remove(at));
    }
    w.log(xid).assert_ok(200, &body(30_000));
    w.release(xid);
    w.close();
}

#[test]
fn bodies_may_be_released_after_the_end_and_after_the_engine() {
    let mut w = World::serving(Script::new().expect_head().send(answers(9000)[0].clone()).again());
    w.hold = true;
    let first = w.submit(&get());
    w.finish(first);
    // The slot is taken again while bodies of its former exchange are still out.
    let second = w.submit(&Ask { credit: 300, ..get() });
    w.settle();
    let before = w.log(second).body.len();
    w.release(first);
    w.settle();
    assert_eq!(w.log(second).body.len(), before, "credit of another exchange is worth nothing here");
    w.stop();
    w.settle();
    let held = std::mem::take(&mut w.logs.get_mut(&second).unwrap().held);
    let released = std::thread::spawn(move || drop(held));
    drop(w);
    released.join().unwrap();
}

#[test]
fn nothing_is_read_without_credit() {
    let mut w = World::serving(Script::new().expect_head().send_split(answers(100_000)[0].clone(), 1000).fin());
    w.hold = true;
    let xid = w.submit(&Ask { credit: 5000, ..get() });
    w.settle();
    let got = w.log(xid).body.len();
    assert!((4000..=5255).contains(&got), "{got}");
    w.pass(100 * SECOND);
    assert_eq!(w.log(xid).body.len(), got);
    w.release(xid);
    w.settle();
    assert!(w.log(xid).body.len() > got);
    w.hold = false;
    w.release(xid);
    w.finish(xid).assert_ok(200, &body(100_000));
    w.close();
}

/// While a body comes faster than it is read, it is received in larger blocks, but never in larger ones than its credit.
#[test]
fn a_flood_comes_in_larger_pieces_as_far_as_credit_goes() {
    let len = 3 << 20;
    for (credit, largest) in [(100_000, Pool::RECEIVE), (u64::MAX, Pool::BULK)] {
        for answer in answers(len) {
            let mut w = World::serving(Script::new().expect_head().send(answer).fin());
            w.hold = true;
            let xid = w.submit(&Ask { credit, ..get() });
            let mut longest = 0;
            while w.log(xid).end.is_none() {
                w.settle();
                let held = &w.logs[&xid].held;
                longest = held.iter().map(|(event, _)| event.len as usize).max().unwrap_or(0).max(longest);
                w.release(xid);
            }
            w.log(xid).assert_ok(200, &body(len));
            assert!(longest <= largest, "{longest} with a credit of {credit}");
            w.close();
        }
    }
    let mut w = World::serving(Script::new().expect_head().send(answers(len)[0].clone()));
    w.hold = true;
    let xid = w.submit(&Ask { credit: u64::MAX, ..get() });
    w.finish(xid);
    assert!(w.logs[&xid].held.iter().any(|(event, _)| event.len as usize == Pool::BULK));
    w.close();
}

fn connect() -> Ask {
    Ask { load: Load::Tunnel, ..ask("CONNECT", HOST) }
}

#[test]
fn a_connect_tunnel_carries_both_ways_and_ends_with_the_peer() {
    let open = "HTTP/1.1 200 OK\r\nX: y\r\n\r\nleft over";
    for every in [1, 5, 28, 1000] {
        let script = Script::new()
            .expect_head()
            .send_split(open, every)
            .expect(&b"ping"[..])
            .send("pong")
            .expect_fin()
            .send("bye");
        let mut w = World::serving(script.fin());
        let xid = w.submit(&connect());
        w.settle();
        let log = w.log(xid);
        assert_eq!((log.status, &log.body[..]), (200, &b"left over"[..]));
        w.write(xid, "ping").unwrap();
        w.settle();
        assert_eq!(w.log(xid).body, b"left overpong");
        w.end(xid);
        let log = w.finish(xid);
        log.assert_ok(200, b"left overpongbye");
        assert!(log.end.as_ref().unwrap().flags & flag::TUNNEL != 0);
        assert_eq!(w.open(), 0);
        w.close();
    }
}

#[test]
fn an_upgrade_opens_a_tunnel_too_with_and_without_a_stream() {
    for load in [Load::Tunnel, Load::None] {
        let open = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";
        let mut w = World::serving(Script::new().expect_head().send(open).expect(&b"ping"[..]).send("pong").fin());
        let fields = vec![("Connection", "upgrade"), ("Upgrade", "foo")];
        let xid = w.submit(&Ask { fields, load, ..get() });
        w.settle();
        assert_eq!(w.log(xid).status, 101);
        w.write(xid, "ping").unwrap();
        w.finish(xid).assert_ok(101, b"pong");
        w.close();
    }
}

/// What is written before the answer waits; the half-close comes behind every byte, however the socket stalls.
#[test]
fn early_writes_and_the_half_close_keep_their_order() {
    for short in [1, 100, usize::MAX] {
        let data = body(5000);
        let script = Script::new().short_writes(short).expect_head().delay(MS).send("HTTP/1.1 200 OK\r\n\r\n");
        let mut w = World::serving(script.expect(data.clone()).expect_fin().fin());
        let xid = w.submit(&connect());
        for piece in data.chunks(1000) {
            w.write(xid, piece).unwrap();
        }
        w.end(xid);
        w.settle();
        assert_eq!(w.conn(0).unread, b"", "nothing precedes the tunnel");
        w.finish(xid).assert_ok(200, b"");
        w.close();
    }
}

#[test]
fn a_refused_tunnel_is_an_answer() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno";
    let mut w = World::serving(Script::new().expect_head().send(refusal));
    let xid = w.submit(&connect());
    w.write(xid, "early").unwrap();
    w.finish(xid).assert_ok(407, b"no");
    assert_eq!(w.conn(0).unread, b"");
    w.close();
}

#[test]
fn a_reset_tunnel_is_lost_and_a_failed_write_ends_it() {
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    let mut w = World::serving(Script::new().expect_head().send(open).expect_bytes(1).rst());
    let xid = w.submit(&connect());
    w.settle();
    for _ in 0..3 {
        w.write(xid, "abc").ok();
    }
    let log = w.finish(xid);
    assert_eq!((log.code(), log.is_partial()), (e::CHTTP_E_CONNECTION_LOST, true));
    w.close();
}

/// Writes that meet a dead socket, one after the other in one turn and over many.
#[test]
fn a_stream_ends_when_sending_fails() {
    for turns in [false, true] {
        let mut w = World::serving(Script::new().expect_head().expect_bytes(1).rst());
        let xid = w.submit(&post(Load::Stream(None)));
        for _ in 0..5 {
            w.write(xid, body(70_000)).ok();
            if turns {
                w.turn();
            }
        }
        assert_eq!(w.finish(xid).code(), e::CHTTP_E_CONNECTION_LOST);
        assert!(!w.log(xid).has(kind::RESPONSE));
        w.close();
    }
}

/// A receiver whose credit comes back just after it was refused, as it does when another thread releases a body.
#[derive(Default)]
struct Late {
    memory: Pool,
    credits: Vec<u64>,
    refused: bool,
    got: usize,
    ended: bool,
    conn: Option<ConnId>,
}

impl Sink for Late {
    fn informational(&mut self, _: StreamKey, _: &Head<'_>) {}
    fn head(&mut self, _: StreamKey, _: &Head<'_>, _: Follows) {}
    fn credit(&mut self, _: StreamKey) -> u64 {
        let credit = self.credits.pop().unwrap_or(100);
        self.refused |= credit == 0;
        credit
    }
    fn data(&mut self, _: StreamKey, data: Data) {
        if let Data::Input(range) = data {
            self.got += range.len();
        }
    }
    fn trailers(&mut self, _: StreamKey, _: Fields<'_>) {}
    fn end(&mut self, _: StreamKey) {
        self.ended = true;
    }
    fn failed(&mut self, _: StreamKey, _: Fault) {}
    fn writable(&mut self, _: StreamKey) {}
}

impl Receiver for Late {
    fn lend(&mut self, _: &Block, _: usize) {
        self.refused = false;
    }
    fn show(&mut self, block: &Block, start: usize) {
        self.lend(block, start);
    }
    fn take_back(&mut self) {}
    fn heard(&mut self) {}
    fn denied(&self) -> bool {
        self.refused
    }
    fn paused(&mut self) -> bool {
        false
    }
    fn room(&mut self) -> u64 {
        u64::MAX
    }
    fn memory(&mut self) -> &mut Pool {
        &mut self.memory
    }
}

impl Agent<MockBackend> for Late {
    fn dialled(&mut self, io: &mut Io<MockBackend>, id: ConnId, _: std::io::Result<()>) {
        let head = get().build(0).head;
        io.open(id, &head.request()).unwrap();
        io.transmit(id);
        self.conn = Some(id);
    }
    fn readable(&mut self, io: &mut Io<MockBackend>, id: ConnId) {
        assert!(matches!(io.pump(id, self), Pumped::Drained));
    }
    fn flushed(&mut self, _: &mut Io<MockBackend>, _: ConnId) {}
    fn secured(&mut self, _: &mut Io<MockBackend>, _: ConnId, _: Result<(), Insecure>) {
        unreachable!("nobody speaks TLS");
    }
    fn memory(&mut self) -> &mut Pool {
        &mut self.memory
    }
    fn expired(&mut self, _: &mut Io<MockBackend>, _: u64) {}
    fn watched(&mut self, _: &mut Io<MockBackend>, _: u64, _: Edge) {
        unreachable!("nothing is watched");
    }
}

#[test]
fn credit_that_comes_back_between_two_looks_strands_nothing() {
    let net = MockNet::new();
    net.listen(inet("127.0.0.1:80")).always(Script::new().expect_head().send(OK));
    let mut backend = net.backend();
    let mut waiter = backend.waiter().unwrap();
    let mut io = Io::new(backend, Arc::default(), Arc::default());
    let mut late = Late { credits: vec![1, 0, 0], ..Late::default() };
    io.dial(&inet("127.0.0.1:80"), &Bind::default(), chttpcore::mem::Key { slot: 0, generation: 1 }, 0).unwrap();
    while net.runnable() || io.has_runnable() {
        let mut ready: Vec<Ready> = Vec::new();
        waiter.wait(&mut ready, None).unwrap();
        io.dispatch(&ready, &mut late);
    }
    assert!(late.ended && late.got == 2, "{} bytes", late.got);
}

/// A file could be sent without end to a peer that takes all of it.
#[test]
fn a_large_file_leaves_room_for_others() {
    const LEN: usize = 16 << 20;
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("large-{}", std::process::id()));
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.set_len(LEN as u64).unwrap();
    let mut w = World::serving(Script::new().expect_bytes(LEN as u64).send(OK));
    let load = Load::File(Arc::new(file.into()), LEN as u64);
    let xid = w.submit(&Ask { load, ..ask("POST", "http://127.0.0.1/") });
    let (mut sent, mut turns) = (0, 0);
    while w.log(xid).end.is_none() {
        w.turn();
        let now = w.net.connection(0).map_or(0, |c| c.sent.len());
        assert!(now - sent <= 3 << 20, "{} bytes in one turn", now - sent);
        sent = now;
        turns += 1;
        assert!(turns < 1000, "it stands still after {sent} bytes");
    }
    assert!(sent > LEN);
    w.log(xid).assert_ok(200, b"hi");
    w.close();
}
