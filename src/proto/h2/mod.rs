//! HTTP/2 for one connection (RFC 9113): the `h2` crate on pipes in memory, without a runtime. No type of it is visible
//! outside of this directory.
//!
//! - Nothing is written before [`H2::recv`] is called, with input or without: what was opened and handed over in one turn
//!   leaves together. `unsaid` says that there is such.
//! - Input passes the [`Tap`] into a pipe, once copied, since the crate reads from what it owns; DATA leaves it as `Bytes`
//!   without a copy.
//! - A stream whose answer has ended is forgotten: what was left of its request is not sent (the crate resets it). A tunnel
//!   is not: each of its sides is closed for itself.
//! - An Extended CONNECT waits for the peer's SETTINGS, which say whether it is allowed (RFC 8441 section 3).
//! - The connection's window is kept open: what a stream without credit holds is added to it.
//!
//! A [`StreamKey`] is the number of a stream's place, small and used again; not the stream id, which nobody else needs.
//!
//! Here the room's rule does not hold in two points, for the crate's sake: it reads the clock to forget streams that were
//! reset, and it has a lock, which is never contended.

mod head;
mod huffman;
mod pipe;
mod section;
mod stream;
mod tap;
mod window;

use super::{Cancelled, Eof, Fault, Out, Protocol, RequestRef, Sink, StreamKey, Tick};
use ::h2::client::{Builder, Connection, SendRequest};
use ::h2::{Ping, PingPong, Reason};
use bytes::Bytes;
use head::Flat;
use pipe::{MemIo, OWNED_FROM, StreamWaker, Woken};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use stream::{Asked, Stream, Told};
use tap::Tap;
use window::Probe;

/// Rounds of one call: then others get their turn, and `unsaid` brings us back.
const ROUNDS: usize = 64;
/// Streams before the peer has said how many it allows (RFC 9113 section 6.5.2 asks for no less).
const STREAMS_AT_FIRST: u32 = 100;
/// Stream ids that a connection has.
const STREAMS_EVER: u32 = 1 << 30;
/// Steps in which the connection's window grows with what is held.
const WINDOW_STEP: usize = 256 << 10;
/// Bytes that are released to the peer before it is told: a small part of every window, so that none is ever shut for it.
const RELEASED_MAX: usize = 16 << 10;
const WINDOW_MAX: usize = (1 << 31) - 1;
/// Memory has an end: once streams without credit hold more, they stop the others.
const HELD_MAX: usize = 256 << 20;
/// Longer field sections are not decoded to their end, whatever the limit.
const LIST_MAX: u32 = 1 << 20;

/// Limits and choices; each is an option of the C interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that a peer may send on one stream before some of them are taken.
    pub stream_window: u32,
    /// Up to which that grows where the way is long.
    pub stream_window_max: u32,
    /// The same for the whole connection, beside what its streams hold for want of credit.
    pub connection_window: u32,
    /// Streams at a time, also where the peer allows more.
    pub streams_max: u32,
    /// A PING asks whether the peer is there, when requests are open and it was silent for so many nanoseconds; 0 for never.
    pub ping_ns: u64,
    /// How long it may be silent then.
    pub ping_timeout_ns: u64,
    /// Bytes of one field.
    pub line_max: u32,
    /// Bytes of a field section, as RFC 9113 section 6.5.2 counts them.
    pub head_max: u32,
    pub fields_max: u32,
    pub informational_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        let h1 = super::h1::Limits::default();
        Limits {
            stream_window: 4 << 20,
            stream_window_max: 64 << 20,
            connection_window: 16 << 20,
            streams_max: 256,
            ping_ns: 0,
            ping_timeout_ns: 20_000_000_000,
            line_max: h1.line_max,
            head_max: h1.head_max,
            fields_max: h1.fields_max,
            informational_max: h1.informational_max,
        }
    }
}

/// A place for a stream, with the waker of all that come to it.
struct Place {
    flag: Arc<StreamWaker>,
    waker: Waker,
    stream: Option<Stream>,
}

/// The protocol of one connection.
pub struct H2 {
    io: MemIo,
    send: SendRequest<Bytes>,
    conn: Connection<MemIo, Bytes>,
    pings: Option<PingPong>,
    probe: Probe,
    tap: Tap,
    limits: Arc<Limits>,
    woken: Arc<Woken>,
    waker: Waker,
    places: Vec<Place>,
    free: Vec<u32>,
    running: Vec<u32>,
    /// Extended CONNECTs that wait to be allowed, with their places.
    parked: Vec<(u32, http::Request<()>)>,
    flat: Flat,
    open: u32,
    opened: u32,
    /// What the peer allows.
    streams_max: u32,
    /// Bytes that streams hold.
    held: usize,
    /// Of them, those that the connection's window was widened by.
    widened: usize,
    /// Bytes that were released to the peer since the crate was polled last, about.
    released: usize,
    /// When something arrived last, or was waited for first.
    heard_at: Tick,
    pinged_at: Option<Tick>,
    /// The owner knows of the peer's GOAWAY.
    goaway_told: bool,
    /// The connection has ended; so, if it was a fault.
    over: Option<Option<Fault>>,
}

impl std::fmt::Debug for H2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2").field("open", &self.open).field("opened", &self.opened).finish_non_exhaustive()
    }
}

impl H2 {
    /// `streams`: how many its peer allows, as far as another connection to it has told.
    pub fn new(limits: Arc<Limits>, streams: Option<u32>) -> H2 {
        let streams = streams.unwrap_or(STREAMS_AT_FIRST);
        let io = MemIo::default();
        let list_max = limits.head_max.saturating_mul(2).min(LIST_MAX.max(limits.head_max));
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(streams as usize)
            // Beyond the limit it refuses without a reason; we have one.
            .max_header_list_size(list_max)
            .initial_window_size(limits.stream_window)
            .initial_connection_window_size(limits.connection_window)
            // Small frames are ours to count: they are taken from it at once.
            .data_frame_budget(usize::MAX / 4);
        let handshake = pin!(builder.handshake::<_, Bytes>(io.clone()));
        let Poll::Ready(Ok((send, mut conn))) = handshake.poll(&mut Context::from_waker(Waker::noop())) else {
            unreachable!("the preface goes to memory");
        };
        let woken = Arc::new(Woken::default());
        woken.wake_by_ref();
        H2 {
            io,
            send,
            pings: conn.ping_pong(),
            conn,
            probe: Probe::new(limits.stream_window, limits.stream_window_max),
            tap: Tap::new(list_max as usize),
            waker: Waker::from(woken.clone()),
            woken,
            places: Vec::new(),
            free: Vec::new(),
            running: Vec::new(),
            parked: Vec::new(),
            flat: Flat::default(),
            open: 0,
            opened: 0,
            streams_max: limits.streams_max.min(streams),
            limits,
            held: 0,
            widened: 0,
            released: 0,
            heard_at: Tick(0),
            pinged_at: None,
            goaway_told: false,
            over: None,
        }
    }

    /// Say that nothing will follow.
    pub fn goodbye(&mut self, out: &mut Out) {
        if self.over.is_none() {
            self.over = Some(None);
            put_goaway(Reason::NO_ERROR, out);
        }
    }

    /// The peer wants no further requests (GOAWAY), or can have none.
    pub fn is_going(&self) -> bool {
        self.over.is_some() || self.tap.went_away.is_some() || self.opened >= STREAMS_EVER
    }

    /// Whether GOAWAY has come, for whoever asks first.
    pub fn take_goaway(&mut self) -> bool {
        let news = self.tap.went_away.is_some() && !self.goaway_told;
        self.goaway_told |= news;
        news
    }

    fn stream(&mut self, s: StreamKey) -> Option<&mut Stream> {
        self.places.get_mut(s.0 as usize)?.stream.as_mut()
    }

    /// Let the crate read what is in the pipe and write what is queued.
    fn poll(&mut self, out: &mut Out) {
        if self.over.is_some() {
            return;
        }
        {
            let pipe = &mut *self.io.pipe();
            // The preface was written when there was no `out`.
            pipe.out.drain_after(0, |bytes| out.put_owned(bytes));
            std::mem::swap(&mut pipe.out, out);
        }
        self.woken.conn.store(false, Ordering::Release);
        self.released = 0;
        let polled = Pin::new(&mut self.conn).poll(&mut Context::from_waker(&self.waker));
        {
            let pipe = &mut *self.io.pipe();
            std::mem::swap(&mut pipe.out, out);
            pipe.bodies.clear();
            pipe.tidy();
        }
        if let Poll::Ready(ended) = polled {
            self.over = Some(ended.err().map(|e| self.fault_of_connection(&e)));
        }
    }

    /// Poll the connection and those streams that were woken, until there are none.
    fn drive(&mut self, sink: &mut impl Sink, out: &mut Out) {
        for _ in 0..ROUNDS {
            self.poll(out);
            self.unpark(sink);
            let mut running = std::mem::take(&mut self.running);
            self.woken.take(&mut running);
            for key in running.drain(..) {
                self.advance(key, sink);
            }
            self.running = running;
            self.widen();
            if self.woken.is_empty() {
                break;
            }
        }
        if self.over.is_none() {
            self.measure();
            let max = self.conn.max_concurrent_send_streams();
            self.streams_max = u32::try_from(max).unwrap_or(u32::MAX).min(self.limits.streams_max);
        }
    }

    fn advance(&mut self, key: u32, sink: &mut impl Sink) {
        let Some(Place { flag, waker, stream }) = self.places.get_mut(key as usize) else { return };
        flag.clear();
        let Some(stream) = stream else { return };
        let s = StreamKey(key);
        let before = stream.held();
        let told = stream.advance(s, waker, &mut self.flat, &self.limits, sink);
        let (after, answered, sent) = (stream.held(), stream.answered(), stream.sent);
        self.held = self.held + after - before;
        self.released += stream.take_released();
        if self.released >= RELEASED_MAX.min(self.limits.stream_window as usize / 4) {
            self.woken.wake_by_ref();
        }
        match told {
            Told::Pending => {}
            Told::HalfClosed => sink.end(s),
            Told::End => {
                // The crate wants to be polled whenever a stream goes. One that has ended on both sides leaves nothing to say.
                let quiet = sent && !self.woken.conn.load(Ordering::Acquire);
                self.forget(key);
                if quiet {
                    self.woken.conn.store(false, Ordering::Release);
                }
                sink.end(s);
            }
            Told::Failed(e) => {
                if let Some(fault) = self.fault_of_stream(&e, answered) {
                    self.forget(key);
                    sink.failed(s, fault);
                }
            }
            Told::Reset(_) if self.over.is_some() => {}
            Told::Reset(code) => {
                self.forget(key);
                sink.failed(s, Fault::StreamReset(code));
            }
            Told::Broken(fault) => {
                if let Some(mut stream) = self.forget(key) {
                    stream.send.send_reset(Reason::CANCEL);
                }
                sink.failed(s, fault);
            }
        }
    }

    /// A place for a stream.
    fn place(&mut self) -> u32 {
        self.open += 1;
        self.free.pop().unwrap_or_else(|| {
            let key = self.places.len() as u32;
            let flag = StreamWaker::new(key, &self.woken);
            self.places.push(Place { waker: Waker::from(flag.clone()), flag, stream: None });
            key
        })
    }

    fn free(&mut self, key: u32) {
        self.free.push(key);
        self.open -= 1;
    }

    /// Those that wait to be allowed go on, or fail.
    fn unpark(&mut self, sink: &mut impl Sink) {
        if self.parked.is_empty() || !self.tap.greeted || self.over.is_some() {
            return;
        }
        for (key, head) in std::mem::take(&mut self.parked) {
            if let Err(fault) = self.send_head(key, head, false, Asked::Connect) {
                self.free(key);
                sink.failed(StreamKey(key), fault);
            }
        }
    }

    /// A stream for a request, in this place.
    fn send_head(&mut self, key: u32, head: http::Request<()>, ends: bool, asked: Asked) -> Result<(), Fault> {
        let extended = asked == Asked::Connect && head.extensions().get::<::h2::ext::Protocol>().is_some();
        if extended && !self.send.is_extended_connect_protocol_enabled() {
            return Err(Fault::NoExtendedConnect);
        }
        // Where the peer may allow no further stream, the crate would want to be polled between two requests; a handle of
        // its own does not know of the one before.
        let sent = if self.open < self.streams_max && !extended {
            self.send.send_request(head, ends)
        } else {
            self.send.clone().send_request(head, ends)
        };
        let (response, send) = sent.map_err(|e| match e.reason() {
            Some(reason) => Fault::Unprocessed(u32::from(reason)),
            None => Fault::Unsendable,
        })?;
        self.tap.opened(send.stream_id().into());
        let Place { flag, stream, .. } = &mut self.places[key as usize];
        *stream = Some(Stream::new(send, response, ends, asked));
        flag.wake_by_ref();
        self.opened += 1;
        self.woken.wake_by_ref();
        Ok(())
    }

    fn forget(&mut self, key: u32) -> Option<Stream> {
        let stream = self.places.get_mut(key as usize)?.stream.take()?;
        self.free(key);
        self.tap.forgot(stream.send.stream_id().into());
        self.held -= stream.held();
        // What it drops may have to be said to the peer.
        self.woken.wake_by_ref();
        Some(stream)
    }

    /// The connection's window, so that streams without credit take nothing from the others.
    fn widen(&mut self) {
        let wanted = self.held.div_ceil(WINDOW_STEP) * WINDOW_STEP;
        if wanted != self.widened && self.over.is_none() {
            self.widened = wanted;
            // Two streams at least may be at their best.
            let open = (self.limits.connection_window as usize).max(2 * self.probe.window as usize);
            self.conn.set_target_window_size((open + wanted.min(HELD_MAX)).min(WINDOW_MAX) as u32);
            self.woken.wake_by_ref();
        }
    }

    /// Let the windows follow what a round trip brings, while the application takes it.
    fn measure(&mut self) {
        let Some(pings) = &mut self.pings else { return };
        // Also one that asked whether the peer is there: the crate sends no other before.
        if (self.probe.is_asked() || self.pinged_at.is_some())
            && let Poll::Ready(Ok(_)) = pings.poll_pong(&mut Context::from_waker(&self.waker))
        {
            self.probe.answered(self.heard_at);
        }
        if let Some(window) = self.probe.received(self.heard_at, self.tap.received)
            && self.held < self.probe.window as usize / 4
            // The peer may not have acknowledged the one before; then the next measurement will do.
            && self.conn.set_initial_window_size(window).is_ok()
        {
            self.probe.window = window;
            self.widened = usize::MAX;
            self.widen();
        }
    }

    /// What became of a stream; `None` if it is the connection that has ended.
    fn fault_of_stream(&self, e: &::h2::Error, answered: bool) -> Option<Fault> {
        let code = e.reason().map_or(0, u32::from);
        if e.is_reset() && e.is_remote() {
            let untouched = e.reason() == Some(Reason::REFUSED_STREAM) && !answered;
            return Some(if untouched { Fault::Unprocessed(code) } else { Fault::StreamReset(code) });
        }
        if e.is_reset() {
            return Some(Fault::Message(code));
        }
        // Only streams above the last one of GOAWAY are told of it.
        (e.is_go_away() && e.is_remote()).then_some(Fault::Unprocessed(code))
    }

    fn fault_of_connection(&self, e: &::h2::Error) -> Fault {
        let code = e.reason().map_or(0, u32::from);
        match e.reason() {
            Some(_) if e.is_remote() => Fault::GoneAway(code),
            Some(Reason::ENHANCE_YOUR_CALM) => Fault::Flood,
            Some(_) => Fault::Frame(code),
            None => Fault::TruncatedBody,
        }
    }

    /// The peer breaks a rule that is ours: say so, and no more.
    fn give_up(&mut self, fault: Fault, out: &mut Out) -> Fault {
        let reason = match fault {
            Fault::Flood => Reason::ENHANCE_YOUR_CALM,
            Fault::Frame(code) => code.into(),
            _ => Reason::PROTOCOL_ERROR,
        };
        // The crate may have found a reason of its own in what came before, and told the peer.
        if let Some(Some(before)) = self.over.replace(Some(fault)) {
            self.over = Some(Some(before));
            return before;
        }
        put_goaway(reason, out);
        fault
    }
}

/// Send a PING, unless one is on its way: the crate sends one at a time.
fn pings_sent(pings: &mut Option<PingPong>) -> bool {
    pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok())
}

/// GOAWAY (RFC 9113 section 6.8); of the peer's streams there is none.
fn put_goaway(reason: Reason, out: &mut Out) {
    out.put(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.put(&u32::from(reason).to_be_bytes());
}

impl Protocol for H2 {
    fn capacity(&self) -> u32 {
        if self.is_going() { 0 } else { self.streams_max.saturating_sub(self.open) }
    }

    fn open(&mut self, now: Tick, request: &RequestRef<'_>, _: &mut Out) -> Result<StreamKey, Fault> {
        let asked = match request.method {
            b"CONNECT" => Asked::Connect,
            b"HEAD" => Asked::Head,
            _ => Asked::Plain,
        };
        let is_connect = asked == Asked::Connect;
        let head = head::request(request, is_connect).ok_or(Fault::Unsendable)?;
        let ends = request.body.is_none() && !is_connect;
        let key = self.place();
        let is_first = self.open == 1;
        if request.protocol.is_some() && !self.tap.greeted {
            self.parked.push((key, head));
        } else if let Err(fault) = self.send_head(key, head, ends, asked) {
            self.free(key);
            return Err(fault);
        }
        if is_first {
            self.heard_at = now;
        }
        self.tap.asked();
        if self.probe.wants_ping() && pings_sent(&mut self.pings) {
            self.probe.asked(now);
            self.woken.wake_by_ref();
        }
        Ok(StreamKey(key))
    }

    fn body_room(&self, s: StreamKey) -> u64 {
        let stream = self.places.get(s.0 as usize).and_then(|place| place.stream.as_ref());
        stream.filter(|stream| !stream.sent).map_or(0, |stream| stream.send.capacity() as u64)
    }

    fn want_room(&mut self, s: StreamKey, wants: bool) {
        if let Some(Place { flag, stream: Some(stream), .. }) = self.places.get_mut(s.0 as usize)
            && !stream.sent
        {
            stream.reserve(flag, wants);
        }
    }

    fn body(&mut self, s: StreamKey, chunk: Bytes, end: bool, _: &mut Out) -> Result<(), Fault> {
        let len = chunk.len();
        let owned = (len >= OWNED_FROM).then(|| chunk.clone());
        let Some(Place { stream: Some(stream), .. }) = self.places.get_mut(s.0 as usize) else { return Ok(()) };
        if stream.sent {
            return if len == 0 { Ok(()) } else { Err(Fault::BodyLength) };
        }
        // A stream that the peer has reset says so when it is polled.
        if stream.send.send_data(chunk, end).is_ok() {
            stream.sent = end;
            self.io.pipe().bodies.extend(owned);
            self.tap.useful(len);
        }
        self.woken.wake_by_ref();
        Ok(())
    }

    fn body_trailers(&mut self, s: StreamKey, block: &[u8], _: &mut Out) -> Result<(), Fault> {
        let trailers = head::trailers(block).ok_or(Fault::Unsendable)?;
        let Some(stream) = self.stream(s) else { return Ok(()) };
        if stream.sent {
            return Err(Fault::BodyLength);
        }
        stream.sent = true;
        drop(stream.send.send_trailers(trailers));
        self.woken.wake_by_ref();
        Ok(())
    }

    fn recv(&mut self, now: Tick, input: &[u8], sink: &mut impl Sink, out: &mut Out) -> Result<usize, Fault> {
        if !input.is_empty() {
            if self.over == Some(None) {
                return Err(Fault::UnexpectedData);
            }
            self.heard_at = now;
            let owned = if input.len() >= tap::KEPT_FROM { sink.keep(input) } else { None };
            let passed = self.tap.pass(now, input, owned.as_ref(), &mut self.io.pipe().input);
            if let Err(fault) = passed {
                // What came before it stands, however the input was cut.
                self.drive(sink, out);
                return Err(self.give_up(fault, out));
            }
        }
        self.drive(sink, out);
        match self.over {
            Some(Some(fault)) => Err(fault),
            _ => Ok(input.len()),
        }
    }

    fn unsaid(&self) -> bool {
        self.over.is_none() && !self.woken.is_empty()
    }

    fn eof(&mut self, _: Tick, how: Eof, sink: &mut impl Sink) -> Result<(), Fault> {
        let whole = self.tap.is_between();
        self.io.pipe().eof = true;
        self.drive(sink, &mut Out::new());
        self.over = Some(None);
        // What the peer had announced is the better reason.
        let gone = self.tap.went_away.filter(|away| away.code != 0).map(|away| Fault::GoneAway(away.code));
        for (key, _) in std::mem::take(&mut self.parked) {
            self.free(key);
            sink.failed(StreamKey(key), gone.unwrap_or(Fault::ClosedBeforeHead));
        }
        for key in 0..self.places.len() as u32 {
            if let Some(stream) = self.forget(key) {
                let cut = if stream.answered() { Fault::TruncatedBody } else { Fault::ClosedBeforeHead };
                sink.failed(StreamKey(key), gone.unwrap_or(cut));
            }
        }
        // A stream has an end of its own, so that it does not matter how the connection ends, but for a frame cut in two.
        if whole || how == Eof::Clean { Ok(()) } else { Err(Fault::TruncatedBody) }
    }

    fn credit(&mut self, s: StreamKey, _: &mut Out) {
        if let Some(Place { flag, stream: Some(stream), .. }) = self.places.get(s.0 as usize)
            && stream.held() > 0
        {
            flag.wake_by_ref();
        }
    }

    fn cancel(&mut self, s: StreamKey, _: &mut Out) -> Cancelled {
        if let Some(mut stream) = self.forget(s.0) {
            // A tunnel may have come to its end on both sides.
            if !(stream.half_closed && stream.sent) {
                stream.send.send_reset(Reason::CANCEL);
            }
        } else if let Some(at) = self.parked.iter().position(|(key, _)| *key == s.0) {
            self.parked.swap_remove(at);
            self.free(s.0);
        }
        if self.over.is_some() { Cancelled::Close } else { Cancelled::Kept }
    }

    fn deadline(&self) -> Tick {
        match self.pinged_at {
            _ if self.limits.ping_ns == 0 || self.open == 0 || self.over.is_some() => Tick::NEVER,
            Some(at) if at > self.heard_at => at.after(self.limits.ping_timeout_ns),
            _ => self.heard_at.after(self.limits.ping_ns),
        }
    }

    fn on_deadline(&mut self, now: Tick, _: &mut Out) -> Result<(), Fault> {
        if self.deadline() > now {
            return Ok(());
        }
        if self.pinged_at.is_some_and(|at| at > self.heard_at) {
            self.over = Some(Some(Fault::Unanswered));
            return Err(Fault::Unanswered);
        }
        self.pinged_at = Some(now);
        // One that is on its way already asks the same.
        pings_sent(&mut self.pings);
        self.woken.wake_by_ref();
        Ok(())
    }

    fn reusable(&self) -> bool {
        !self.is_going()
    }
}
