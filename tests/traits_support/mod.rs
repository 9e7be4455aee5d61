//! One connection as a reactor drives it: a socket of some backend, TLS where it is wanted, a protocol, and a sink that
//! keeps what it is told. Small enough to show what each trait asks of its owner, and nothing else.
//!
//! Two blocks, not one: what came from the socket is deciphered out of `cipher` into `plain`, and only `plain` is ever
//! lent to the sink. So the bytes that TLS must be able to write to are never those that the application holds on to.
#![allow(dead_code)] // each test file uses a part

pub mod log;

use bytes::Bytes;
use chttpcore::mem::{Block, Pool};
use chttpcore::net::backend::{Address, Backend, Bind, Dial, Token, Waiter};
use chttpcore::proto::h1::encode::{Spec, encode};
use chttpcore::proto::tls::{self, Session};
use chttpcore::proto::url::Url;
use chttpcore::proto::{BodyLen, Eof, Fault, Out, Protocol, RequestRef, StreamKey};
use log::Log;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;
use std::time::Duration;

/// A test that waits longer is broken.
const GUARD: Option<Duration> = Some(Duration::from_secs(20));
const READ: usize = 32 << 10;

/// How a connection ended.
#[derive(Debug)]
pub enum Over {
    Closed,
    Fault(Fault),
    Tls(tls::Error),
    Lost(io::Error),
}

/// Received bytes that nobody has consumed.
struct Held {
    block: Block,
    range: Range<usize>,
}

pub struct Link<B: Backend, P> {
    pub backend: B,
    waiter: B::Waiter,
    sock: B::Sock,
    pub proto: P,
    pub session: Option<Session>,
    pub log: Log,
    pub over: Option<Over>,
    memory: Pool,
    cipher: Option<Held>,
    plain: Option<Held>,
    out: Out,
    unsent: VecDeque<Bytes>,
    fin: bool,
    /// Everything that passed the socket.
    pub sent: Vec<u8>,
    pub heard: Vec<u8>,
}

impl<B: Backend, P: Protocol> Link<B, P> {
    pub fn dial(mut backend: B, to: &Address, proto: P) -> Link<B, P> {
        let mut waiter = backend.waiter().unwrap();
        let sock = backend.dial(&Dial { to, bind: &Bind::default(), token: Token(1) }).unwrap();
        let mut ready = Vec::new();
        while !ready.iter().any(|r: &chttpcore::net::backend::Ready| r.edge.writable) {
            waiter.wait(&mut ready, GUARD).unwrap();
            assert!(!ready.is_empty(), "no outcome of the dial");
        }
        backend.dial_result(sock, ready[0].edge).unwrap();
        Link {
            backend,
            waiter,
            sock,
            proto,
            session: None,
            log: Log::default(),
            over: None,
            memory: Pool::default(),
            cipher: None,
            plain: None,
            out: Out::new(),
            unsent: VecDeque::new(),
            fin: false,
            sent: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// TLS from here on. What was received and not consumed is the beginning of the peer's first record, if anything.
    pub fn start_tls(&mut self, session: Session) {
        assert!(self.session.is_none() && self.cipher.is_none() && self.unsent.is_empty());
        self.session = Some(session);
        self.cipher = self.plain.take();
        self.decipher();
        self.ship();
    }

    pub fn open(&mut self, method: &str, url: &str, body: BodyLen) -> StreamKey {
        let url = Url::parse(url.as_bytes()).unwrap();
        let mut spec = Spec::new(method.as_bytes(), &url);
        spec.body = body;
        self.open_as(&spec, &[])
    }

    pub fn open_as(&mut self, spec: &Spec<'_>, fields: &[(&[u8], &[u8])]) -> StreamKey {
        assert!(self.proto.capacity() > 0);
        let head = encode(spec, fields.iter().copied()).unwrap();
        let request: RequestRef<'_> = head.request();
        let key = self.proto.open(self.backend.now(), &request, &mut self.out).unwrap();
        self.ship();
        key
    }

    /// As much of `bytes` as the protocol has room for; what is left over is returned.
    pub fn body(&mut self, s: StreamKey, mut bytes: Bytes, end: bool) -> Bytes {
        let room = usize::try_from(self.proto.body_room(s)).unwrap_or(usize::MAX);
        let now = bytes.split_to(bytes.len().min(room));
        self.proto.body(s, now, end && bytes.is_empty(), &mut self.out).unwrap();
        self.ship();
        bytes
    }

    pub fn body_trailers(&mut self, s: StreamKey, block: &[u8]) {
        self.proto.body_trailers(s, block, &mut self.out).unwrap();
        self.ship();
    }

    pub fn cancel(&mut self, s: StreamKey) -> chttpcore::proto::Cancelled {
        let outcome = self.proto.cancel(s, &mut self.out);
        self.ship();
        outcome
    }

    /// The application released what it was given, and takes `more`.
    pub fn credit(&mut self, s: StreamKey, more: u64) {
        self.log.grant(s, more);
        self.proto.credit(s, &mut self.out);
        self.ship();
        self.pump();
    }

    pub fn until(&mut self, done: impl Fn(&Self) -> bool) {
        self.pump();
        while !done(self) {
            assert!(self.over.is_none(), "it is over: {:?}, {:?}", self.over, self.log);
            self.turn();
        }
    }

    /// Wait for an edge and act on it.
    pub fn turn(&mut self) {
        let mut ready = Vec::new();
        self.waiter.wait(&mut ready, GUARD).unwrap();
        assert!(!ready.is_empty(), "nothing came: {:?}", self.log);
        self.ship();
        self.pump();
    }

    /// What was received and not consumed, deciphered or not.
    pub fn kept(&self) -> &[u8] {
        self.plain.as_ref().map_or(&[], |h| &h.block.bytes()[h.range.clone()])
    }

    fn pump(&mut self) {
        loop {
            self.feed();
            if self.log.paused() || self.over.is_some() {
                return;
            }
            let held = if self.session.is_some() { &mut self.cipher } else { &mut self.plain };
            let mut into = grow(&mut self.memory, held.take(), READ);
            let end = into.range.end;
            let room = &mut into.block.unique().unwrap()[end..];
            let received = self.backend.recv(self.sock, room);
            if let Ok(n) = received {
                self.heard.extend_from_slice(&room[..n]);
                into.range.end += n;
            }
            *held = (!into.range.is_empty()).then_some(into);
            match received {
                Ok(0) => {
                    let clean = self.session.as_ref().is_none_or(Session::heard_close);
                    let how = if clean { Eof::Clean } else { Eof::Cut };
                    let now = self.backend.now();
                    self.over = Some(match self.proto.eof(now, how, &mut self.log) {
                        Ok(()) => Over::Closed,
                        Err(fault) => Over::Fault(fault),
                    });
                }
                Ok(_) => self.decipher(),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => self.over = Some(Over::Lost(e)),
            }
        }
    }

    /// Everything whole in `cipher` goes to `plain` before any of it is fed: rustls takes no output while it holds input
    /// that nobody has fetched, so that a paused receiver would stop the sender.
    fn decipher(&mut self) {
        let Some(session) = &mut self.session else { return };
        let mut none = [];
        let mut cipher = self.cipher.take();
        let input = match &mut cipher {
            Some(held) => &mut held.block.unique().expect("never lent")[held.range.clone()],
            None => &mut none[..],
        };
        let mut plain = grow(&mut self.memory, self.plain.take(), input.len());
        let end = plain.range.end;
        let mut out = Out::new();
        let opened = session.open(input, &mut plain.block.unique().unwrap()[end..], &mut out);
        assert!(!session.unsaid(), "no test here has an error behind plaintext");
        out.drain_after(0, |bytes| self.unsent.push_back(bytes));
        match opened {
            Ok(opened) => {
                plain.range.end += opened.plain;
                if let Some(held) = &mut cipher {
                    held.range.start += opened.used;
                }
            }
            Err(e) => self.over = Some(Over::Tls(e)),
        }
        self.plain = (!plain.range.is_empty()).then_some(plain);
        self.cipher = cipher.filter(|h| !h.range.is_empty());
        self.ship();
    }

    /// The protocol says what it can without input, and is given what there is.
    fn feed(&mut self) {
        let now = self.backend.now();
        if self.proto.unsaid() {
            let said = self.proto.recv(now, &[], &mut self.log, &mut self.out);
            self.ship();
            assert!(!self.proto.unsaid(), "a protocol comes to rest");
            if let Err(fault) = said {
                self.over.get_or_insert(Over::Fault(fault));
                return;
            }
        }
        let Some(Held { block, range }) = self.plain.take() else { return };
        self.log.lend(&block, range.start);
        let fed = self.proto.recv(now, &block.bytes()[range.clone()], &mut self.log, &mut self.out);
        self.log.take_back();
        self.ship();
        match fed {
            Ok(used) => {
                let range = range.start + used..range.end;
                self.plain = (!range.is_empty()).then_some(Held { block, range });
            }
            Err(fault) => drop(self.over.get_or_insert(Over::Fault(fault))),
        }
    }

    /// `out`, through TLS, to the socket.
    fn ship(&mut self) {
        let unsent = &mut self.unsent;
        let mut wire = Out::new();
        match &mut self.session {
            Some(session) => {
                let mut none = [];
                let partial = match &mut self.cipher {
                    Some(held) => &mut held.block.unique().expect("never lent")[held.range.clone()],
                    None => &mut none[..],
                };
                session.seal(partial, &mut self.out, &mut wire).unwrap();
            }
            None => std::mem::swap(&mut wire, &mut self.out),
        }
        self.fin |= wire.is_finished();
        wire.drain_after(0, |bytes| unsent.push_back(bytes));
        while let Some(front) = self.unsent.front_mut() {
            match self.backend.send(self.sock, &[IoSlice::new(front)]) {
                Ok(n) => {
                    self.sent.extend_from_slice(&front.split_to(n));
                    if front.is_empty() {
                        self.unsent.pop_front();
                    }
                }
                // The edge will come.
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                // Reading shows what the peer has to say about it.
                Err(_) => self.unsent.clear(),
            }
        }
        if std::mem::take(&mut self.fin) {
            self.backend.finish(self.sock).ok();
        }
    }
}

impl<B: Backend, P> Drop for Link<B, P> {
    fn drop(&mut self) {
        self.backend.close(self.sock, false);
    }
}

/// `held` with at least `want` bytes of room behind it that may be written.
fn grow(memory: &mut Pool, held: Option<Held>, want: usize) -> Held {
    match held {
        Some(held) if held.block.capacity() - held.range.end >= want && held.block.is_unique() => held,
        Some(held) => {
            let len = held.range.len();
            let mut block = memory.block(len + want).unwrap();
            block.unique().unwrap()[..len].copy_from_slice(&held.block.bytes()[held.range]);
            Held { block, range: 0..len }
        }
        None => Held { block: memory.block(want).unwrap(), range: 0..0 },
    }
}
