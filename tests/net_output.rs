//! What the reactor does with a protocol's output besides sending it: an end behind the last byte, and output whose
//! connection is gone.

use bytes::Bytes;
use chttpcore::mem::{Block, Key, Pool};
use chttpcore::net::backend::mock::{MockBackend, MockNet, Script};
use chttpcore::net::backend::{Address, Backend, Bind, Edge, Waiter};
use chttpcore::net::connection::ConnId;
use chttpcore::net::pump::{Pumped, Receiver};
use chttpcore::net::reactor::{Agent, Io};
use chttpcore::net::secure::Insecure;
use chttpcore::proto::h1::Limits;
use chttpcore::proto::h1::encode::{EncodedHead, Spec, encode};
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Data, Fault, Fields, Follows, Head, Sink, StreamKey};
use std::io;
use std::sync::Arc;

/// Hears everything and wants all of it.
#[derive(Default)]
struct Ear {
    memory: Pool,
    tunnel: bool,
    ended: bool,
    dialled: u32,
}

impl Sink for Ear {
    fn informational(&mut self, _: StreamKey, _: &Head<'_>) {}
    fn head(&mut self, _: StreamKey, _: &Head<'_>, follows: Follows) {
        self.tunnel = follows == Follows::Tunnel;
    }
    fn credit(&mut self, _: StreamKey) -> u64 {
        u64::MAX
    }
    fn data(&mut self, _: StreamKey, _: Data) {}
    fn trailers(&mut self, _: StreamKey, _: Fields<'_>) {}
    fn end(&mut self, _: StreamKey) {
        self.ended = true;
    }
    fn failed(&mut self, _: StreamKey, why: Fault) {
        panic!("{why:?}");
    }
    fn writable(&mut self, _: StreamKey) {}
}

impl Receiver for Ear {
    fn lend(&mut self, _: &Block, _: usize) {}
    fn show(&mut self, _: &Block, _: usize) {}
    fn take_back(&mut self) {}
    fn heard(&mut self) {}
    fn denied(&self) -> bool {
        false
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

impl Agent<MockBackend> for Ear {
    fn dialled(&mut self, _: &mut Io<MockBackend>, _: ConnId, result: io::Result<()>) {
        result.unwrap();
        self.dialled += 1;
    }
    fn readable(&mut self, io: &mut Io<MockBackend>, id: ConnId) {
        let pumped = io.pump(id, self);
        assert!(matches!(pumped, Pumped::Drained | Pumped::Closed), "{pumped:?}");
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

struct Bench {
    net: MockNet,
    io: Io<MockBackend>,
    waiter: <MockBackend as Backend>::Waiter,
    ear: Ear,
}

impl Bench {
    fn new() -> Bench {
        let net = MockNet::new();
        let mut backend = net.backend();
        let waiter = backend.waiter().unwrap();
        Bench { io: Io::new(backend, Arc::new(Limits::default()), Arc::default()), net, waiter, ear: Ear::default() }
    }

    fn connect(&mut self, script: Script) -> ConnId {
        let at = Address::Inet("192.0.2.1:80".parse().unwrap());
        self.net.listen(at.clone()).connection(script);
        let before = self.ear.dialled;
        let id = self.io.dial(&at, &Bind::default(), Key { slot: 0, generation: 0 }, 0).unwrap();
        self.turns();
        assert_eq!(self.ear.dialled, before + 1);
        id
    }

    fn turns(&mut self) {
        while self.net.runnable() || self.io.has_runnable() {
            let mut ready = Vec::new();
            self.waiter.wait(&mut ready, None).unwrap();
            self.io.dispatch(&ready, &mut self.ear);
        }
    }
}

fn head(method: &[u8], target: &[u8], body: BodyLen) -> EncodedHead {
    let url = Url::parse(b"http://a/").unwrap();
    let mut spec = Spec::new(method, &url);
    spec.target = Some(target);
    spec.body = body;
    encode(&spec, []).unwrap()
}

#[test]
fn what_a_closed_connection_left_is_not_sent_on_another() {
    let mut b = Bench::new();
    let (first, second) = (b.connect(Script::new()), b.connect(Script::new()));
    let stream = b.io.open(first, &head(b"PUT", b"/first", BodyLen::Known(5)).request()).unwrap();
    b.io.body(first, stream, Bytes::from_static(b"123"), false).unwrap();
    // More than was announced: the exchange fails before anything of it was sent.
    b.io.body(first, stream, Bytes::from_static(b"456"), true).unwrap_err();
    b.io.close(first, true);
    let request = head(b"GET", b"/second", BodyLen::None);
    b.io.open(second, &request.request()).unwrap();
    b.io.transmit(second);
    assert_eq!(b.net.connection(1).unwrap().sent, request.bytes);
    assert!(b.net.connection(0).unwrap().sent.is_empty());
}

#[test]
fn a_tunnels_end_follows_its_last_byte() {
    let mut b = Bench::new();
    let script = Script::new().expect_head().send(&b"HTTP/1.1 200 OK\r\n\r\n"[..]).short_writes(2);
    let id = b.connect(script.expect(&b"12345"[..]).expect_fin().fin());
    let stream = b.io.open(id, &head(b"CONNECT", b"a:80", BodyLen::None).request()).unwrap();
    b.io.transmit(id);
    b.turns();
    assert!(b.ear.tunnel);
    b.io.body(id, stream, Bytes::from_static(b"12345"), true).unwrap();
    b.io.transmit(id);
    // The end waits for bytes that the socket has not taken.
    assert!(!b.net.connection(0).unwrap().finished);
    b.turns();
    assert!(b.net.connection(0).unwrap().finished && b.ear.ended);
    assert!(b.net.mismatches().is_empty(), "{:?}", b.net.mismatches());
}
