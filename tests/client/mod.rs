//! A driver of the whole client on the scripted network. It owns the engine and its one queue, runs turns, lets virtual
//! time pass, collects what each exchange is told, and checks after every turn what must hold at all times:
//! the order of events, one terminal event and nothing behind it, the pool's books, and the bound on credit.
#![allow(dead_code)] // Each test binary uses a part of it.

use chttpcore::client::engine::Stats;
use chttpcore::client::events::{NO_RETRY, Names, Parcel, Sse};
use chttpcore::client::settings::Timeouts;
use chttpcore::client::upload::{Piece, Source};
use chttpcore::client::websocket::Setup;
use chttpcore::client::{Engine, Request, Settings};
use chttpcore::mem::{Block, Object};
use chttpcore::net::backend::Address;
use chttpcore::net::backend::mock::{MockBackend, MockNet, Record, Script};
use chttpcore::net::descriptors::Held;
use chttpcore::net::resolver::Resolver;
use chttpcore::pool::{self, Bind, Http, OriginKey, Reason, Scheme};
use chttpcore::proto::BodyLen;
use chttpcore::proto::h1::encode::{self, EncodedHead, Spec};
use chttpcore::proto::tls::Tls;
use chttpcore::proto::url::Url;
use chttpcore::queue::event::{flag, kind};
use chttpcore::queue::{Event, Queue};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;

pub use chttpcore::client::failure::{Failure, Phase};
pub use chttpcore::client::response::Response;
pub use chttpcore::error as e;

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;
pub const HOST: &str = "http://127.0.0.1/";
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// A caller-driven engine, and no deadline that a test did not ask for.
pub fn settings() -> Settings {
    Settings { own_thread: false, ..Settings::default() }
}

pub fn pooled(per_origin: u32, total: u32) -> Settings {
    Settings { pool: pool::Limits { per_origin, total, ..settings().pool }, ..settings() }
}

pub fn never() -> Timeouts {
    let n = u64::MAX;
    Timeouts { pool: n, dns: n, connect: n, tls: n, write: n, first_byte: n, read: n, total: n, expect: SECOND }
}

pub fn inet(at: &str) -> Address {
    Address::Inet(at.parse().unwrap())
}

/// Keep the panics that scripts cause out of the output.
pub fn silence() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"scripted panic") {
                usual(info);
            }
        }));
    });
}

/// A request under construction.
#[derive(Clone)]
pub struct Ask {
    pub method: &'static str,
    pub url: String,
    pub fields: Vec<(&'static str, &'static str)>,
    pub load: Load,
    pub collect: bool,
    pub close: bool,
    pub expect: bool,
    pub credit: u64,
    pub collect_max: u64,
    pub timeouts: Timeouts,
    pub to: Option<Address>,
    pub bind: Bind,
    pub tls: Option<Arc<Tls>>,
    pub http: Http,
    /// Of an Extended CONNECT.
    pub protocol: Option<&'static str>,
    /// The answer is to be a stream of events.
    pub sse: Option<Sse>,
}

#[derive(Clone)]
pub enum Load {
    None,
    Whole(bytes::Bytes),
    Borrowed(bytes::Bytes),
    /// So many bytes from the start of a file.
    File(Arc<OwnedFd>, u64),
    /// Streamed, with this length if it is known.
    Stream(Option<u64>),
    /// A stream that begins with the answer.
    Tunnel,
    /// The same, each side of which is closed for itself.
    Duplex,
    /// A stream without a request.
    Raw,
    /// A WebSocket. The fields are all of its handshake.
    WebSocket(Box<Setup>),
}

pub fn ask(method: &'static str, url: &str) -> Ask {
    Ask {
        method,
        url: url.to_owned(),
        fields: Vec::new(),
        load: Load::None,
        collect: false,
        close: false,
        expect: false,
        credit: 1 << 20,
        collect_max: 1 << 20,
        timeouts: never(),
        to: None,
        bind: Bind::default(),
        tls: None,
        http: Http::default(),
        protocol: None,
        sse: None,
    }
}

pub fn get() -> Ask {
    ask("GET", HOST)
}

pub fn post(load: Load) -> Ask {
    Ask { load, ..ask("POST", HOST) }
}

pub fn whole(body: &'static str) -> Load {
    Load::Whole(bytes::Bytes::from_static(body.as_bytes()))
}

pub fn collect(ask: Ask) -> Ask {
    Ask { collect: true, ..ask }
}

impl Ask {
    pub fn build(&self, token: u64) -> Box<Request> {
        let url = Url::parse(self.url.as_bytes()).unwrap();
        let mut spec = Spec::new(self.method.as_bytes(), &url);
        spec.close = self.close;
        spec.expect_continue = self.expect;
        let (len, body) = match &self.load {
            Load::None => (BodyLen::None, Source::None),
            Load::Whole(bytes) => {
                (BodyLen::Known(bytes.len() as u64), Source::Whole { bytes: bytes.clone(), borrowed: false })
            }
            Load::Borrowed(bytes) => {
                (BodyLen::Known(bytes.len() as u64), Source::Whole { bytes: bytes.clone(), borrowed: true })
            }
            Load::File(fd, len) => (
                BodyLen::Known(*len),
                Source::File { fd: Held::new(fd.try_clone().unwrap(), &Arc::default()), offset: 0, len: *len },
            ),
            Load::Stream(Some(len)) => (BodyLen::Known(*len), Source::Stream),
            Load::Stream(None) => (BodyLen::Unknown, Source::Stream),
            Load::Tunnel | Load::Duplex | Load::Raw | Load::WebSocket(_) => (BodyLen::None, Source::Stream),
        };
        spec.body = len;
        spec.protocol = self.protocol.map(str::as_bytes);
        let defaults = self.sse.as_ref().map(Sse::fields).unwrap_or_default();
        spec.defaults = &defaults;
        let fields = self.fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        let raw = matches!(self.load, Load::Raw);
        let head = if raw { EncodedHead::nothing() } else { encode::encode(&spec, fields).unwrap() };
        let origin = OriginKey {
            scheme: if raw { Scheme::Raw } else { url.scheme() },
            host: url.host().into(),
            port: url.port(),
            to: self.to.clone(),
            bind: self.bind.clone(),
            tls: self.tls.clone(),
            http: self.http,
        };
        Box::new(Request {
            token,
            head,
            origin,
            body,
            collect: self.collect,
            close: self.close,
            duplex: matches!(self.load, Load::Duplex | Load::Raw),
            recv_credit: self.credit,
            collect_max: self.collect_max,
            timeouts: self.timeouts,
            websocket: match &self.load {
                Load::WebSocket(setup) => Some(setup.clone()),
                _ => None,
            },
            sse: self.sse.clone().map(Box::new),
        })
    }
}

/// What an exchange was told so far.
#[derive(Default)]
pub struct Log {
    pub token: u64,
    credit: u64,
    pub kinds: Vec<u16>,
    headed: bool,
    ended: bool,
    trailed: bool,
    written: bool,
    pub status: u16,
    /// Why the connection of the final head was an open one, or a new one.
    pub reason: Reason,
    pub fields: Vec<(String, String)>,
    pub informational: Vec<u16>,
    pub trailers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What a WebSocket was told: kind, `arg`, whether it was the last piece, and the bytes.
    pub said: Vec<(u16, u32, bool, Vec<u8>)>,
    /// Body events that were not released, in order, with their charge.
    pub held: Vec<(Event, u64)>,
    pub end: Option<End>,
    /// Events of a stream.
    pub events: Vec<Told>,
    /// Reconnections that were told.
    pub rests: Vec<Rest>,
    /// By how much a credit may be overdrawn.
    pub overdraft: u64,
    /// The error that HEADERS came with.
    pub refused: i32,
}

/// An event of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub kind: String,
    pub data: String,
    pub id: String,
    pub retry: Option<u32>,
}

/// A stream of events waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rest {
    pub attempt: u32,
    pub why: i32,
    pub delay: u64,
    pub last_id: String,
    /// When it was told.
    pub at: u64,
}

/// The terminal event.
#[derive(Clone, Debug)]
pub struct End {
    pub kind: u16,
    pub flags: u16,
    pub error: i32,
    pub at: u64,
    pub elapsed: u64,
    /// Of the error object: phase, attempt, retryable.
    pub why: Option<(Phase, u32, bool)>,
    pub message: String,
}

impl Log {
    pub fn code(&self) -> i32 {
        self.end.as_ref().expect("the exchange has ended").error
    }

    pub fn is_partial(&self) -> bool {
        self.end.as_ref().expect("the exchange has ended").flags & flag::PARTIAL != 0
    }

    pub fn is_reused(&self) -> bool {
        self.end.as_ref().expect("the exchange has ended").flags & flag::REUSED != 0
    }

    pub fn count(&self, kind: u16) -> usize {
        self.kinds.iter().filter(|&&k| k == kind).count()
    }

    pub fn has(&self, kind: u16) -> bool {
        self.count(kind) > 0
    }

    /// The kinds without the interleaved ones, runs of BODY as one.
    pub fn shape(&self) -> Vec<u16> {
        let mut shape = self.kinds.clone();
        shape.retain(|&k| k != kind::WRITABLE && k != kind::WRITE_DONE);
        shape.dedup_by(|a, b| a == b && *a == kind::BODY);
        shape
    }

    pub fn assert_ok(&self, status: u16, body: &[u8]) {
        assert_eq!((self.code(), self.status), (0, status), "{:?}", self.end);
        assert_eq!(self.body.escape_ascii().to_string(), body.escape_ascii().to_string());
    }

    fn see(&mut self, event: Event, now: u64, hold: bool) {
        assert!(self.end.is_none(), "event {} behind the terminal one", event.kind);
        assert_eq!(event.token, self.token);
        let terminal = event.flags & flag::TERMINAL != 0;
        assert_eq!(terminal, matches!(event.kind, kind::DONE | kind::RESPONSE));
        let (headed, trailed) = (self.headed, self.trailed);
        let in_order = match event.kind {
            kind::INFORMATIONAL | kind::HEADERS => !headed,
            kind::BODY | kind::TRAILERS | kind::STREAM_TLS => headed && !trailed && !self.ended,
            kind::STREAM_END => headed && !self.ended,
            kind::WS_OPEN => !headed,
            kind::WS_MESSAGE | kind::WS_PING | kind::WS_PONG | kind::WS_CLOSE => headed && !self.ended,
            kind::SSE => headed && !self.ended,
            kind::SSE_RECONNECT => event.error != 0,
            kind::DONE => headed || event.error != 0,
            kind::RESPONSE => !headed && event.error == 0,
            kind::WRITABLE => true,
            kind::WRITE_DONE => !self.written,
            other => panic!("unknown event {other}"),
        };
        assert!(in_order, "event {} after {:?}", event.kind, self.kinds);
        self.kinds.push(event.kind);
        if event.kind == kind::SSE_RECONNECT {
            (self.headed, self.trailed) = (false, false);
        }
        self.headed |= matches!(event.kind, kind::HEADERS | kind::WS_OPEN);
        self.ended |= matches!(event.kind, kind::STREAM_END | kind::WS_CLOSE);
        self.trailed |= event.kind == kind::TRAILERS;
        self.written |= event.kind == kind::WRITE_DONE;
        match event.kind {
            kind::INFORMATIONAL => {
                let peek = Peek::<Response>::of(&event);
                let (response, _) = peek.get();
                assert_eq!(response.status, event.arg as u16);
                self.informational.push(response.status);
            }
            kind::HEADERS | kind::RESPONSE => {
                let peek = Peek::<Response>::of(&event);
                let (response, tail) = peek.get();
                self.status = response.status;
                self.refused = event.error;
                self.reason = response.route.reason;
                assert_eq!(response.route.reused, matches!(self.reason, Reason::Reused | Reason::TakenOver));
                self.fields = fields(response, tail);
                self.body.extend_from_slice(response.body(tail));
                assert_eq!(response.body_len(), event.len);
                assert_eq!(bytes_of(&event), response.body(tail));
            }
            kind::WS_OPEN => {
                let peek = Peek::<Response>::of(&event);
                let (response, tail) = peek.get();
                self.status = response.status;
                self.fields = fields(response, tail);
                self.said.push((event.kind, event.aux as u32, false, bytes_of(&event).to_vec()));
            }
            kind::WS_MESSAGE | kind::WS_PING | kind::WS_PONG | kind::WS_CLOSE => {
                let fin = event.flags & flag::FIN != 0;
                self.said.push((event.kind, event.arg, fin, bytes_of(&event).to_vec()));
            }
            kind::TRAILERS => {
                let peek = Peek::<Response>::of(&event);
                let (response, tail) = peek.get();
                self.trailers = fields(response, tail);
            }
            kind::SSE => self.events.push(told(&event)),
            kind::SSE_RECONNECT => {
                let peek = Peek::<Failure>::of(&event);
                let (why, _) = peek.get();
                assert_eq!((why.cause.code, &*why.last_event_id), (event.error, bytes_of(&event)));
                let last_id = String::from_utf8_lossy(bytes_of(&event)).into_owned();
                self.rests.push(Rest { attempt: event.arg, why: event.error, delay: event.aux, last_id, at: now });
            }
            kind::BODY => {
                assert!(event.len > 0, "an empty body event");
                self.body.extend_from_slice(bytes_of(&event));
            }
            _ => {}
        }
        if terminal {
            assert!(event.error != 0 || event.flags & flag::PARTIAL == 0, "whole and partial");
            let mut end = End {
                kind: event.kind,
                flags: event.flags,
                error: event.error,
                at: now,
                elapsed: event.aux,
                why: None,
                message: String::new(),
            };
            if event.error != 0 && event.obj.is_some() {
                let peek = Peek::<Failure>::of(&event);
                let (why, _) = peek.get();
                assert_eq!(why.cause.code, event.error);
                end.why = Some((why.phase, why.attempt, why.retryable));
                end.message = why.message.clone();
            }
            self.end = Some(end);
        }
        if hold && event.kind == kind::WS_MESSAGE {
            self.held.push((event, 0));
        } else if hold && matches!(event.kind, kind::BODY | kind::SSE) {
            let charge = event.len.max(256);
            self.held.push((event, charge));
            let out = self.held.iter().map(|(_, charge)| *charge).sum::<u64>();
            assert!(
                out <= self.credit.saturating_add(self.overdraft.max(255)),
                "{out} bytes delivered on a credit of {}",
                self.credit
            );
        }
    }
}

/// A look at the object of an event; holds a reference of its own.
pub struct Peek<T>(NonNull<std::ffi::c_void>, std::marker::PhantomData<T>);

impl<T: Object> Peek<T> {
    pub fn of(event: &Event) -> Peek<T> {
        let block = event.obj.as_ref().expect("the event carries an object").clone();
        Peek(NonNull::new(block.into_raw()).unwrap(), std::marker::PhantomData)
    }

    pub fn get(&self) -> (&T, &[u8]) {
        // SAFETY: `of` made the reference, which lives as long as `self`.
        unsafe { Block::peek::<T>(self.0) }.expect("an object of this type")
    }
}

impl<T> Drop for Peek<T> {
    fn drop(&mut self) {
        // SAFETY: the reference that `of` made, given back once.
        drop(unsafe { Block::from_raw(self.0) });
    }
}

/// An event of a stream, with its names out of the object that it shares.
pub fn told(event: &Event) -> Told {
    let peek = Peek::<Parcel>::of(event);
    let (_, tail) = peek.get();
    let start = event.data - tail.as_ptr() as usize;
    let text = |at: usize, len: usize| String::from_utf8_lossy(&tail[at..at + len]).into_owned();
    let names = Names::unpack(event.aux);
    let len = event.len as usize;
    Told {
        kind: text(start + len, names.kind_len.into()),
        data: text(start, len),
        id: text((start as i64 + i64::from(names.id_at)) as usize, names.id_len.into()),
        retry: (event.arg != NO_RETRY).then_some(event.arg),
    }
}

/// The bytes that an event points to.
pub fn bytes_of(event: &Event) -> &[u8] {
    if event.data == 0 {
        return &[];
    }
    assert!(event.obj.is_some());
    // SAFETY: `data` and `len` name initialised bytes inside of the object, which the event keeps alive.
    unsafe { std::slice::from_raw_parts(event.data as *const u8, event.len as usize) }
}

fn fields(response: &Response, tail: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (0..response.field_count()).filter_map(|i| response.field(tail, i)).map(|(n, v)| (text(n), text(v))).collect()
}

pub struct World {
    pub net: MockNet,
    pub engine: Arc<Engine<MockBackend>>,
    pub queue: Arc<Queue>,
    pub logs: BTreeMap<u64, Log>,
    /// Keep body events instead of releasing them at once.
    pub hold: bool,
    /// Events taken by one drain.
    pub cap: usize,
    /// ENGINE_DOWN came.
    pub down: bool,
    stopped: bool,
    tokens: u64,
}

impl World {
    pub fn new(settings: Settings) -> World {
        World::with_resolver(settings, Resolver::new())
    }

    pub fn with_resolver(settings: Settings, resolver: Resolver) -> World {
        let net = MockNet::new();
        let engine = Engine::with_resolver(settings, net.backend(), resolver).unwrap();
        let queue = engine.queue().unwrap();
        World {
            net,
            engine,
            queue,
            logs: BTreeMap::new(),
            hold: false,
            cap: 64,
            down: false,
            stopped: false,
            tokens: 0,
        }
    }

    /// With the default settings and this script behind every connection to [`HOST`].
    pub fn serving(script: Script) -> World {
        World::scripted(settings(), script)
    }

    pub fn scripted(settings: Settings, script: Script) -> World {
        let world = World::new(settings);
        world.net.listen(inet("127.0.0.1:80")).always(script);
        world
    }

    /// The connections to [`HOST`] follow these scripts, one after the other.
    pub fn then(&self, script: Script) -> &World {
        self.net.listen(inet("127.0.0.1:80")).connection(script);
        self
    }

    pub fn try_submit(&mut self, ask: &Ask) -> Result<u64, i32> {
        self.tokens += 1;
        let mut xid = 0;
        let token = self.tokens;
        self.engine.submit(&self.queue, std::iter::once(ask.build(token)), |id| xid = id)?;
        let log = Log { token, credit: ask.credit, ..Log::default() };
        assert!(self.logs.insert(xid, log).is_none(), "an id was given twice");
        Ok(xid)
    }

    pub fn submit(&mut self, ask: &Ask) -> u64 {
        self.try_submit(ask).unwrap()
    }

    /// One drain, which is one turn if no event waited. Whether any event came.
    pub fn turn(&mut self) -> bool {
        let (now, hold, logs, down) = (self.net.now().0, self.hold, &mut self.logs, &mut self.down);
        let drained = self.engine.drain(&self.queue, self.cap, |event| {
            if event.kind == kind::ENGINE_DOWN {
                *down = true;
                return;
            }
            assert!(!*down, "an event behind ENGINE_DOWN");
            logs.get_mut(&event.xid).expect("an event of an exchange that was submitted").see(event, now, hold);
        });
        if !self.down {
            self.engine.audit();
            let Stats { pool, dials, tally, .. } = self.engine.stats();
            assert_eq!(pool.opened, tally.connections_opened);
            assert_eq!(pool.opened - pool.closed_in_all(), u64::from(pool.open) - dials as u64);
            assert!(pool.queued <= pool.waiting && pool.queued_max <= self.logs.len() as u32);
        }
        drained.count > 0
    }

    /// Turns until nothing moves at this moment.
    pub fn settle(&mut self) {
        let mut turns = 0;
        while self.turn() || self.net.runnable() && !self.stopped && !self.down {
            turns += 1;
            assert!(turns < 200_000, "the engine never comes to rest");
        }
    }

    /// Let at most `ns` pass, one event of the clock after the other.
    pub fn pass(&mut self, ns: u64) {
        let until = self.net.now().0 + ns;
        self.settle();
        while self.net.next_event().0 <= until && !self.stopped && !self.down {
            let now = self.net.now().0;
            self.net.advance(self.net.next_event().0.saturating_sub(now));
            self.settle();
        }
        self.net.advance(until - self.net.now().0);
        self.settle();
    }

    /// Until an exchange has ended, however long it takes.
    pub fn finish(&mut self, xid: u64) -> &Log {
        self.until(|w| w.logs[&xid].end.is_some());
        self.log(xid)
    }

    /// Until all have ended.
    pub fn finish_all(&mut self) {
        self.until(|w| w.logs.values().all(|l| l.end.is_some()));
    }

    pub fn until(&mut self, done: impl Fn(&World) -> bool) {
        self.settle();
        let mut steps = 0;
        while !done(self) {
            let next = self.net.next_event().0;
            assert_ne!(next, u64::MAX, "nothing will ever happen again: {:?}", self.mismatches());
            self.net.advance(next.saturating_sub(self.net.now().0));
            self.settle();
            steps += 1;
            assert!(steps < 100_000, "the clock runs, and nothing ends");
        }
    }

    fn mismatches(&self) -> Vec<String> {
        self.net.mismatches()
    }

    /// Submit one, and see it to its end.
    pub fn run(&mut self, ask: &Ask) -> &Log {
        let xid = self.submit(ask);
        self.finish(xid)
    }

    pub fn log(&self, xid: u64) -> &Log {
        &self.logs[&xid]
    }

    pub fn write(&self, xid: u64, bytes: impl AsRef<[u8]>) -> Result<(), i32> {
        self.engine.write(xid, bytes.as_ref())
    }

    /// The end of a streamed upload. An exchange may be over before it: the answer came when the length was full.
    pub fn end(&self, xid: u64) {
        let ended = self.engine.end_body(xid, Piece::End);
        assert!(matches!(ended, Ok(()) | Err(e::CHTTP_E_NOT_FOUND)));
    }

    /// The application destroys its queue and makes another: exchanges of the first end without a word.
    pub fn renew_queue(&mut self) {
        self.engine.forget(&self.queue);
        self.logs.retain(|_, log| log.end.is_some());
        self.queue = self.engine.queue().unwrap();
        self.engine.audit();
    }

    /// Release what an exchange holds.
    pub fn release(&mut self, xid: u64) {
        self.logs.get_mut(&xid).unwrap().held.clear();
    }

    pub fn conn(&self, n: usize) -> Record {
        self.net.connection(n).expect("so many connections")
    }

    pub fn opened(&self) -> u32 {
        self.net.totals().opened
    }

    pub fn open(&self) -> u32 {
        self.net.totals().open()
    }

    /// Open, idle and waiting, as the pool counts them.
    pub fn pool(&self) -> (u32, u32, u32) {
        let pool = self.engine.stats().pool;
        (pool.open, pool.idle, pool.waiting)
    }

    /// Stop the engine; its events are still to be taken.
    pub fn stop(&mut self) {
        let opened = self.opened();
        self.engine.stop(true);
        self.stopped = true;
        assert_eq!(self.opened(), opened, "a connection was made while stopping");
    }

    /// Stop, take what is left, and look whether anything was lost.
    pub fn close(mut self) {
        self.stop();
        while self.turn() {}
        assert_eq!(self.open(), 0, "sockets were left open");
        assert_eq!(self.engine.stats().exchanges, 0, "ids were not given back");
        for (xid, log) in &self.logs {
            assert!(log.end.is_some(), "exchange {xid:x} had no terminal event: {:?}", log.kinds);
        }
        assert_eq!(self.mismatches(), Vec::<String>::new());
        if !self.down {
            assert_eq!(self.pool(), (0, 0, 0));
        }
    }
}
