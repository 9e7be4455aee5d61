//! A scripted network with a virtual clock, behind the same trait as the kernel.
//!
//! [`MockNet`] is the world: addresses, what stands behind each connection to them ([`Script`]), the clock, and a record
//! of all that the client did. [`MockBackend`] is the client's side of it. Nothing ever blocks or sleeps: a wait reports
//! what is ready at the present virtual time and returns; whoever drives the test advances the clock, or has waits let time
//! pass (`passing`).
//!
//! Faithful to edge-triggered epoll:
//! - an edge is reported once for each arrival or change of state, and tells the whole present state of the socket;
//! - a read that is shorter than its buffer has drained the socket, or the socket carries a hangup: pieces of a split
//!   send arrive one at a time, each at a wait after the one before it was read, with an edge of its own;
//! - a short or refused send is followed by a writable edge, at the next wait or when the peer reads again;
//! - data that arrived before RST is readable; then the error is told once, then the stream is at its end.
//!
//! A peer is a small machine: `pc` walks the script until a step has to wait for bytes of the client or for the clock.
//! Connections are never taken out of the table (they are the record); `closed` marks those that the client gave back.

use super::{Address, Backend, Bind, Dial, Edge, Notify, Ready, Token, Waiter};
use crate::proto::Tick;
use crate::proto::tls::Authority;
use crate::sync::Mutex;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

mod passing;
mod peer;
mod script;

pub use passing::MockClock;
use peer::{Flow, Link, Peer};
pub use script::{Player, Script};

/// Virtual time starts here, so that a test may look back a second.
const START: u64 = 1_000_000_000;
const LOCAL_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCAL_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The world. Clones share it.
#[derive(Clone)]
pub struct MockNet(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    notified: AtomicBool,
    /// Who vouches for its peers; made when somebody asks.
    authority: OnceLock<Arc<Authority>>,
}

#[derive(Default)]
struct Behind {
    next: VecDeque<Script>,
    last: Option<Script>,
}

struct World {
    now: u64,
    armed: Tick,
    lingering: bool,
    behind: HashMap<Address, Behind>,
    conns: Vec<Conn>,
    /// When a peer goes on by itself.
    timers: BinaryHeap<Reverse<(u64, u32)>>,
    /// Connections with an edge that no wait has reported.
    edges: VecDeque<u32>,
    /// Connections that something happens to at the next wait.
    held: Vec<u32>,
    held_spare: Vec<u32>,
    chaos: Option<Chaos>,
    /// A wait that may take time lets it pass.
    passing: bool,
    /// It has a backend.
    taken: bool,
    names: HashMap<Box<str>, Vec<IpAddr>>,
    recording: bool,
    mismatches: Vec<String>,
    totals: Totals,
}

struct Conn {
    to: Address,
    bind: Bind,
    token: Token,
    script: Script,
    pc: usize,
    peer: Peer,
    closed: Option<Closed>,
}

/// How the client gave a connection back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    Orderly,
    Reset,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Attempts to connect, whatever became of them.
    pub opened: u32,
    pub closed: u32,
    /// Of the closed, those with RST.
    pub reset: u32,
}

impl Totals {
    /// Sockets that the client holds now.
    pub fn open(&self) -> u32 {
        self.opened - self.closed
    }
}

/// What is known of one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub to: Address,
    pub bind: Bind,
    /// All that the client has sent, deciphered.
    pub sent: Vec<u8>,
    /// What of it no step of the script has taken.
    pub unread: Vec<u8>,
    /// The heads that `expect_head` took.
    pub heads: Vec<Vec<u8>>,
    /// The client has closed its sending side.
    pub finished: bool,
    /// A handshake of TLS has succeeded.
    pub secured: bool,
    /// The step that the script stands at.
    pub step: usize,
    /// The script has come to its end.
    pub done: bool,
    pub closed: Option<Closed>,
}

/// Deterministic disorder (xorshift).
struct Chaos(u64);

impl Chaos {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 1 to `len`, small as often as large.
    fn piece(&mut self, len: usize) -> usize {
        let scale = 1 + self.next() % 16;
        1 + (self.next() & ((1 << scale) - 1)) as usize % len
    }

    fn coin(&mut self) -> bool {
        self.next() & 64 != 0
    }
}

impl fmt::Debug for MockNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockNet")
    }
}

impl Default for MockNet {
    fn default() -> MockNet {
        MockNet::new()
    }
}

impl MockNet {
    pub fn new() -> MockNet {
        let world = World {
            now: START,
            armed: Tick::NEVER,
            lingering: false,
            behind: HashMap::new(),
            conns: Vec::new(),
            timers: BinaryHeap::new(),
            edges: VecDeque::new(),
            held: Vec::new(),
            held_spare: Vec::new(),
            chaos: None,
            passing: false,
            taken: false,
            names: HashMap::new(),
            recording: true,
            mismatches: Vec::new(),
            totals: Totals::default(),
        };
        MockNet(Arc::new(Inner {
            world: Mutex::new(world),
            notified: AtomicBool::new(false),
            authority: OnceLock::new(),
        }))
    }

    /// The client's side. One backend to a world at a time.
    pub fn backend(&self) -> MockBackend {
        self.claim().expect("a world has one backend at a time")
    }

    /// The client's side, unless there is one.
    pub fn claim(&self) -> Option<MockBackend> {
        let taken = mem::replace(&mut self.0.world.lock().taken, true);
        (!taken).then(|| MockBackend(Arc::clone(&self.0)))
    }

    /// The authority that vouches for the peers of this world. `None`: there is no randomness to make it of.
    pub fn authority(&self) -> Option<Arc<Authority>> {
        let known = &self.0.authority;
        if known.get().is_none() {
            let made = Authority::new("chttp_mock").ok()?;
            // Of two who come at once, one makes the authority.
            let _ = known.set(Arc::new(made));
        }
        known.get().cloned()
    }

    /// Put something behind an address. The n-th connection to it follows the n-th script; without one it is refused.
    pub fn listen(&self, at: Address) -> Listening<'_> {
        self.0.world.lock().behind.entry(at.clone()).or_default();
        Listening { net: self, at }
    }

    /// From now on split what is received and shorten what is sent at random, the same way for the same seed.
    pub fn chaos(&self, seed: u64) {
        // Xorshift stays at zero for ever.
        self.0.world.lock().chaos = Some(Chaos(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
    }

    /// Whether bytes sent are kept (the default). Without, a connection keeps only what its script has not taken.
    pub fn set_recording(&self, on: bool) {
        self.0.world.lock().recording = on;
    }

    /// From now on a name stands for these addresses.
    pub fn name(&self, host: &str, addresses: Vec<IpAddr>) {
        self.0.world.lock().names.insert(host.to_ascii_lowercase().into(), addresses);
    }

    /// What a name stands for; nothing if it was not named.
    pub fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.0.world.lock().names.get(host).cloned().unwrap_or_default()
    }

    /// What the client sent against a script, in words. Empty in a good test.
    pub fn mismatches(&self) -> Vec<String> {
        self.0.world.lock().mismatches.clone()
    }

    /// Let the script of the n-th connection go on with the steps of another, behind its own last one, which may be over
    /// by now. False: there is no such connection.
    pub fn extend(&self, n: usize, more: &Script) -> bool {
        let world = &mut *self.0.world.lock();
        let Some(conn) = world.conns.get_mut(n) else { return false };
        if !matches!(conn.peer.link, Link::Dead(_)) {
            conn.script.extend(more);
            world.run(n as u32);
        }
        true
    }

    pub fn totals(&self) -> Totals {
        self.0.world.lock().totals
    }

    /// The n-th connection of this world, from 0.
    pub fn connection(&self, n: usize) -> Option<Record> {
        let world = self.0.world.lock();
        world.conns.get(n).map(|c| Record {
            to: c.to.clone(),
            bind: c.bind.clone(),
            sent: c.peer.inbox.clone(),
            unread: c.peer.inbox[c.peer.taken..].to_vec(),
            heads: c.peer.heads.iter().map(|r| c.peer.inbox[r.clone()].to_vec()).collect(),
            finished: c.peer.client_fin,
            secured: c.peer.is_secured(),
            step: c.pc,
            done: c.pc >= c.script.steps().len(),
            closed: c.closed,
        })
    }
}

/// An address that is being given its scripts.
pub struct Listening<'a> {
    net: &'a MockNet,
    at: Address,
}

impl Listening<'_> {
    fn with(self, f: impl FnOnce(&mut Behind)) -> Self {
        f(self.net.0.world.lock().behind.entry(self.at.clone()).or_default());
        self
    }

    /// The next connection follows `script`.
    pub fn connection(self, script: Script) -> Self {
        self.with(|b| b.next.push_back(script))
    }

    /// Every connection after those named one by one follows `script`.
    pub fn always(self, script: Script) {
        self.with(|b| b.last = Some(script));
    }
}

impl World {
    fn ready(&self) -> bool {
        !self.edges.is_empty()
            || self.lingering
            || self.armed.0 <= self.now
            || self.held.iter().any(|&i| {
                let c = &self.conns[i as usize];
                c.closed.is_none() && c.peer.would_change()
            })
    }

    /// Let the peer of a connection act as far as it can.
    fn run(&mut self, i: u32) {
        let conn = &mut self.conns[i as usize];
        if conn.closed.is_some() {
            return;
        }
        while let Some(step) = conn.script.steps().get(conn.pc) {
            match conn.peer.step(step, self.now, self.chaos.as_mut(), self.recording) {
                Flow::Next => conn.pc += 1,
                Flow::Restart => conn.pc = conn.script.body(),
                Flow::Wait => break,
                Flow::Sleep(until) => {
                    self.timers.push(Reverse((until, i)));
                    break;
                }
                Flow::Over => conn.pc = conn.script.steps().len(),
                Flow::Mismatch(what) => {
                    self.mismatches.push(format!("connection {i}, step {}: {what}", conn.pc));
                    conn.peer.reset();
                    conn.pc = conn.script.steps().len();
                }
            }
        }
        // A script without a step that speaks of connecting accepts at once.
        conn.peer.accept_if_past_connecting(conn.script.steps().get(conn.pc));
        conn.peer.arrive();
        self.collect(i);
    }

    /// Put a connection on the lists that its peer asks for.
    fn collect(&mut self, i: u32) {
        let peer = &mut self.conns[i as usize].peer;
        if peer.edge && !mem::replace(&mut peer.on_edges, true) {
            self.edges.push_back(i);
        }
        if (peer.gate || peer.full) && !mem::replace(&mut peer.on_held, true) {
            self.held.push(i);
        }
    }

    fn wait(&mut self, ready: &mut Vec<Ready>) {
        let mut held = mem::replace(&mut self.held, mem::take(&mut self.held_spare));
        for i in held.drain(..) {
            let conn = &mut self.conns[i as usize];
            conn.peer.on_held = false;
            if conn.closed.is_none() {
                conn.peer.at_wait();
                self.collect(i);
            }
        }
        self.held_spare = held;
        while let Some(i) = self.edges.pop_front() {
            let conn = &mut self.conns[i as usize];
            conn.peer.on_edges = false;
            conn.peer.edge = false;
            if conn.closed.is_none() {
                ready.push(Ready { token: conn.token, edge: conn.peer.level() });
            }
        }
        if self.armed.0 <= self.now {
            self.armed = Tick::NEVER;
        }
    }
}

/// A connection of the mock: its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MockSock(u32);

pub struct MockBackend(Arc<Inner>);

impl MockBackend {
    /// Do something to a connection, and let its peer answer.
    fn with<T>(&self, sock: MockSock, f: impl FnOnce(&mut Peer, Option<&mut Chaos>) -> io::Result<T>) -> io::Result<T> {
        let world = &mut *self.0.world.lock();
        let conn = &mut world.conns[sock.0 as usize];
        assert!(conn.closed.is_none(), "use of a closed socket");
        let done = f(&mut conn.peer, world.chaos.as_mut());
        world.run(sock.0);
        done
    }
}

impl Backend for MockBackend {
    type Sock = MockSock;
    type Waiter = MockWaiter;
    type Clock = MockClock;

    fn now(&self) -> Tick {
        Tick(self.0.world.lock().now)
    }

    fn clock(&self) -> MockClock {
        MockClock(Arc::clone(&self.0))
    }

    fn waiter(&mut self) -> io::Result<MockWaiter> {
        Ok(MockWaiter(Arc::clone(&self.0)))
    }

    fn notifier(&self) -> Arc<dyn Notify> {
        Arc::clone(&self.0) as Arc<dyn Notify>
    }

    fn dial(&mut self, how: &Dial<'_>) -> io::Result<MockSock> {
        let world = &mut *self.0.world.lock();
        let script = world.behind.get_mut(how.to).and_then(|b| b.next.pop_front().or_else(|| b.last.clone()));
        let i = u32::try_from(world.conns.len()).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
        let address = match how.to {
            Address::Inet(to) => Some(to.ip()),
            _ => None,
        };
        world.conns.push(Conn {
            to: how.to.clone(),
            bind: how.bind.clone(),
            token: how.token,
            script: script.unwrap_or_else(|| Script::new().refuse()),
            pc: 0,
            peer: Peer::at(address),
            closed: None,
        });
        world.totals.opened += 1;
        world.run(i);
        Ok(MockSock(i))
    }

    fn dial_result(&mut self, sock: MockSock, edge: Edge) -> io::Result<()> {
        if !edge.hangup {
            return Ok(());
        }
        self.with(sock, |peer, _| peer.take_error())
    }

    fn recv(&mut self, sock: MockSock, into: &mut [u8]) -> io::Result<usize> {
        let world = &mut *self.0.world.lock();
        let conn = &mut world.conns[sock.0 as usize];
        assert!(conn.closed.is_none(), "use of a closed socket");
        // Reading gives the peer nothing to act upon; what is still in flight arrives at a wait.
        conn.peer.recv(into)
    }

    fn send(&mut self, sock: MockSock, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.with(sock, |peer, chaos| peer.send(bufs, chaos))
    }

    fn finish(&mut self, sock: MockSock) -> io::Result<()> {
        self.with(sock, |peer, _| match peer.link {
            Link::Open => {
                peer.client_fin = true;
                Ok(())
            }
            _ => Err(ErrorKind::NotConnected.into()),
        })
    }

    fn close(&mut self, sock: MockSock, reset: bool) {
        let world = &mut *self.0.world.lock();
        let conn = &mut world.conns[sock.0 as usize];
        assert!(conn.closed.is_none(), "closed twice");
        conn.closed = Some(if reset { Closed::Reset } else { Closed::Orderly });
        conn.peer.forget_flights();
        if conn.peer.is_asleep() {
            world.timers.retain(|Reverse((_, i))| *i != sock.0);
        }
        world.totals.closed += 1;
        world.totals.reset += u32::from(reset);
    }

    /// The address that it was bound to, or one that shows the connection's number as its port.
    fn local(&self, sock: MockSock) -> Option<SocketAddr> {
        let conn = &self.0.world.lock().conns[sock.0 as usize];
        let Address::Inet(to) = &conn.to else { return None };
        let any = if to.is_ipv4() { LOCAL_V4 } else { LOCAL_V6 };
        Some(SocketAddr::new(conn.bind.local.unwrap_or(any), 1 + sock.0 as u16))
    }

    fn descriptor(&self, _: MockSock) -> Option<RawFd> {
        None
    }

    /// None: the driver of a test asks [`MockNet::runnable`] instead.
    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn arm(&mut self, at: Tick) {
        self.0.world.lock().armed = at;
    }

    fn linger(&mut self, work_left: bool) {
        self.0.world.lock().lingering = work_left;
    }
}

impl Drop for MockBackend {
    /// As the kernel's backend does, and counted, so that a test sees what the client should have closed itself only
    /// before it drops the backend.
    fn drop(&mut self) {
        let world = &mut *self.0.world.lock();
        for conn in &mut world.conns {
            if conn.closed.is_none() {
                conn.closed = Some(Closed::Orderly);
                conn.peer.forget_flights();
                world.totals.closed += 1;
            }
        }
        world.timers.clear();
        (world.armed, world.lingering, world.taken) = (Tick::NEVER, false, false);
    }
}

impl Notify for Inner {
    fn notify(&self) {
        self.notified.store(true, Ordering::Release);
    }
}

pub struct MockWaiter(Arc<Inner>);

impl Waiter for MockWaiter {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let notified = self.0.notified.swap(false, Ordering::AcqRel);
        let world = &mut *self.0.world.lock();
        let slept = if notified { Ok(()) } else { world.sleep(timeout) };
        world.wait(ready);
        slept
    }
}
