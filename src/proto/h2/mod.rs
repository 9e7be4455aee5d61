//! HTTP/2 for one connection (RFC 9113).
//!
//! - Nothing is written before [`H2::recv`] is called, with input or without: what was opened and handed over in one turn
//!   leaves together ([`wire::Wire`]). `unsaid` says that there is such.
//! - All input is taken at once. DATA goes to the sink as a range of it; of other frames what is not whole is kept ([`recv`]).
//! - What a stream has no credit for is held, and the connection's window is kept open by as much ([`answers`], [`send`]).
//! - A stream whose answer has ended is forgotten: what was left of its request is not sent, and the stream is reset. A tunnel
//!   is not: each of its sides is closed for itself.
//! - An Extended CONNECT waits for the peer's SETTINGS, which say whether it is allowed (RFC 8441 section 3).
//! - A broken rule costs the stream or the connection, as RFC 9113 has it; frames that carry nothing are counted ([`flood`]).
//!
//! A [`StreamKey`] is the number of a stream's place, small and used again; not the stream id, which nobody else needs.

mod answers;
mod flood;
mod frame;
mod head;
mod held;
mod hpack;
mod recv;
mod send;
mod settings;
mod streams;
mod window;
mod wire;

use super::{Cancelled, Eof, Fault, Out, Protocol, RequestRef, Sink, StreamKey, Tick};
use bytes::Bytes;
use flood::Tokens;
use frame::{WORD_MAX, code, kind};
use head::{Asked, Target};
use hpack::{Decoder, Encoder, Index, Section};
use recv::Reading;
use settings::Peer;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use streams::{Stream, Streams};
use window::Probe;
use wire::Wire;

/// Streams before the peer has said how many it allows (RFC 9113 section 6.5.2 asks for no less).
const STREAMS_AT_FIRST: u32 = 100;
/// Memory has an end: once streams without credit hold more, they stop the others.
const HELD_MAX: usize = 256 << 20;
/// Bytes that may come for streams which were not reset by us and have ended: some peers are careless.
const STALE_FREE: i64 = 64 << 10;
/// Bytes that wait to be sent: bodies are not handed over any more long before.
const DEAF_FROM: usize = 1 << 20;
/// How many times the field section that the peer was told of may come out of a compressed one.
const SECTION_SIZES: u64 = 16;
/// What our PINGs carry.
const PING: &[u8; 8] = b"chttp2\r\n";

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

/// What GOAWAY said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Goaway {
    last: u32,
    code: u32,
}

/// An Extended CONNECT that waits to be allowed.
#[derive(Debug)]
struct Parked {
    key: u32,
    /// Its field section, name and value by turns.
    fields: Vec<(Bytes, Bytes, Index)>,
}

/// The protocol of one connection.
pub struct H2 {
    limits: Arc<Limits>,
    section_limits: hpack::Limits,
    /// Bytes of a field section that the peer was told of.
    list_max: u32,
    // --- out
    wire: Wire,
    encoder: Encoder,
    /// Of the connection's window, what no stream was granted.
    send_window: u32,
    /// Streams that want room, each in its turn.
    queue: VecDeque<u32>,
    // --- in
    reading: Reading,
    decoder: Decoder,
    section: Section,
    tokens: Tokens,
    /// The peer lets more wait than bodies ever would.
    deaf: bool,
    /// The present input, once it was kept.
    input: Option<Bytes>,
    /// Bytes that the peer may still send.
    recv_window: i64,
    /// Of them, those that may be for streams that are no more.
    stale: i64,
    /// Bytes of answers that have come.
    received: u64,
    probe: Probe,
    // --- streams
    streams: Streams,
    next_id: u32,
    parked: Vec<Parked>,
    /// Streams whose credit grew.
    credited: Vec<u32>,
    /// Streams whose windows are to be looked at.
    updates: Vec<u32>,
    /// Bytes that streams hold.
    held: usize,
    // --- the connection
    peer: Peer,
    went_away: Option<Goaway>,
    /// The owner knows of it.
    goaway_told: bool,
    ping_is_out: bool,
    /// When something arrived last, or was waited for first.
    heard_at: Tick,
    pinged_at: Option<Tick>,
    /// The connection has ended; so, if it was a fault.
    over: Option<Option<Fault>>,
}

impl std::fmt::Debug for H2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2").field("streams", &self.streams).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl H2 {
    /// `streams`: how many its peer allows, as far as another connection to it has told.
    pub fn new(limits: Arc<Limits>, streams: Option<u32>) -> H2 {
        let list_max = settings::list_max(&limits);
        let mut wire = Wire::new();
        wire.frame(kind::SETTINGS, 0, 0, &settings::ours(&limits));
        let mut h2 = H2 {
            section_limits: hpack::Limits {
                line_max: limits.line_max,
                head_max: limits.head_max,
                fields_max: limits.fields_max,
                size_max: u64::from(list_max) * SECTION_SIZES,
            },
            list_max,
            wire,
            encoder: Encoder::new(),
            send_window: settings::WINDOW,
            queue: VecDeque::new(),
            reading: Reading::new(list_max),
            decoder: Decoder::new(hpack::TABLE_MAX),
            section: Section::default(),
            tokens: Tokens::new(),
            deaf: false,
            input: None,
            recv_window: settings::WINDOW.into(),
            stale: STALE_FREE,
            received: 0,
            probe: Probe::new(limits.stream_window, limits.stream_window_max),
            streams: Streams::default(),
            next_id: 1,
            parked: Vec::new(),
            credited: Vec::new(),
            updates: Vec::new(),
            held: 0,
            peer: Peer::new(streams.unwrap_or(STREAMS_AT_FIRST)),
            went_away: None,
            goaway_told: false,
            ping_is_out: false,
            heard_at: Tick(0),
            pinged_at: None,
            over: None,
            limits,
        };
        h2.release();
        h2
    }

    /// Say that nothing will follow.
    pub fn goodbye(&mut self, out: &mut Out) {
        if self.over.is_none() {
            self.over = Some(None);
            self.wire.goaway(code::NO_ERROR);
            self.wire.flush(out);
        }
    }

    /// The peer wants no further requests (GOAWAY), or can have none.
    pub fn is_going(&self) -> bool {
        self.over.is_some() || self.went_away.is_some() || self.next_id > WORD_MAX
    }

    /// Bytes of a body that have to come yet and that the windows allow. Of several streams nothing is sure, nor of one whose
    /// request is still being sent: the peer may wait for more of it.
    pub fn ahead(&self) -> u64 {
        match self.streams.only() {
            Some(stream) if stream.held() == 0 && stream.sent && !stream.heard => {
                let window = u64::try_from(stream.recv_window.min(self.recv_window)).unwrap_or(0);
                stream.left.unwrap_or(0).min(window)
            }
            _ => 0,
        }
    }

    /// Whether GOAWAY has come, for whoever asks first.
    pub fn take_goaway(&mut self) -> bool {
        let news = self.went_away.is_some() && !self.goaway_told;
        self.goaway_told |= news;
        news
    }

    /// Whether answers that have come wait for credit, though the peer has closed the connection.
    pub fn holds(&self) -> bool {
        self.over.is_some() && self.streams.open() > 0
    }

    /// So many bytes wait for the peer to take them. One that takes none of what we have to answer cannot make up for it with
    /// what it sends.
    pub fn output_waits(&mut self, unsent: usize) {
        self.deaf = unsent > DEAF_FROM;
    }

    /// What is to be sent of a body between these addresses is copied: that memory is not ours any more.
    pub fn disown(&mut self, of: &Range<*const u8>) {
        self.wire.disown(of);
    }

    fn streams_max(&self) -> u32 {
        self.peer.streams_max.min(self.limits.streams_max)
    }

    /// A stream for a request, in this place.
    fn start(&mut self, key: u32, asked: Asked, ends: bool, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let id = self.next_id;
        self.next_id += 2;
        self.streams.insert(key, Stream::new(id, asked, ends, self.peer.window, self.probe.window));
        let encoder = &mut self.encoder;
        self.wire.section(id, ends, |out| {
            encoder.begin(out);
            write(encoder, out);
        });
    }

    /// Put an Extended CONNECT aside, in its place.
    fn park(&mut self, key: u32, request: &RequestRef<'_>, target: &Target<'_>) {
        let mut fields = Vec::new();
        head::write(request, target, &mut |name, value, index| {
            fields.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value), index));
        });
        self.parked.push(Parked { key, fields });
    }

    /// Whether something may become of those who wait to be allowed.
    fn can_unpark(&self) -> bool {
        let settled = self.is_going() || self.peer.greeted && !self.peer.connects;
        !self.parked.is_empty() && (settled || self.peer.greeted && self.streams.known() < self.streams_max())
    }

    /// Those that wait to be allowed go on, or fail.
    fn unpark(&mut self, sink: &mut impl Sink) {
        while self.can_unpark() {
            let Parked { key, fields } = self.parked.remove(0);
            if !self.is_going() && self.peer.connects {
                self.start(key, Asked::Connect, false, |encoder, out| {
                    fields.iter().for_each(|(name, value, index)| encoder.field(name, value, *index, out));
                });
                continue;
            }
            self.streams.free(key);
            let fault = match self.went_away {
                Some(away) => Fault::Unprocessed(away.code),
                None => Fault::NoExtendedConnect,
            };
            sink.failed(StreamKey(key), fault);
        }
    }

    fn forget(&mut self, key: u32) -> Option<Stream> {
        let stream = self.streams.remove(key)?;
        self.reading.forget(key);
        self.held -= stream.held();
        self.send_window += stream.granted;
        Some(stream)
    }

    /// What can be done without input.
    fn go_on(&mut self, sink: &mut impl Sink) {
        self.unpark(sink);
        self.pass_on_credited(sink);
        self.grant(sink);
        self.release();
        self.measure();
    }

    /// What was held goes to those whose credit grew.
    fn pass_on_credited(&mut self, sink: &mut impl Sink) {
        let mut credited = std::mem::take(&mut self.credited);
        for key in credited.drain(..) {
            self.pass_on(key, sink);
        }
        self.credited = credited;
    }
}

impl Protocol for H2 {
    fn capacity(&self) -> u32 {
        if self.is_going() { 0 } else { self.streams_max().saturating_sub(self.streams.open()) }
    }

    fn open(&mut self, now: Tick, request: &RequestRef<'_>, _: &mut Out) -> Result<StreamKey, Fault> {
        let asked = match request.method {
            b"CONNECT" => Asked::Connect,
            b"HEAD" => Asked::Head,
            _ => Asked::Plain,
        };
        let target = head::target(request).ok_or(Fault::Unsendable)?;
        if let Some(away) = self.went_away {
            return Err(Fault::Unprocessed(away.code));
        }
        let waits = request.protocol.is_some() && !self.peer.greeted;
        if request.protocol.is_some() && !waits && !self.peer.connects {
            return Err(Fault::NoExtendedConnect);
        }
        let key = self.streams.place();
        if waits {
            self.park(key, request, &target);
        } else {
            let ends = request.body.is_none() && asked != Asked::Connect;
            self.start(key, asked, ends, |encoder, out| {
                head::write(request, &target, &mut |name, value, index| encoder.field(name, value, index, out));
            });
        }
        if self.streams.open() == 1 {
            self.heard_at = now;
        }
        self.tokens.asked();
        if self.probe.wants_ping() && self.ping() {
            self.probe.asked(now);
        }
        Ok(StreamKey(key))
    }

    fn body_room(&self, s: StreamKey) -> u64 {
        self.streams.get(s.0).filter(|stream| !stream.sent).map_or(0, |stream| stream.granted.into())
    }

    fn want_room(&mut self, s: StreamKey, wants: bool) {
        if wants {
            self.ask_room(s.0);
        } else {
            self.ungrant(s.0);
        }
    }

    fn body(&mut self, s: StreamKey, chunk: Bytes, end: bool, _: &mut Out) -> Result<(), Fault> {
        let len = chunk.len();
        let Some(stream) = self.streams.get_mut(s.0) else { return Ok(()) };
        // One that has failed says so later.
        let failed = stream.heard && !stream.half_closed;
        if stream.sent {
            return if failed || len == 0 { Ok(()) } else { Err(Fault::BodyLength) };
        }
        let id = stream.id;
        if !self.charge(s.0, len) {
            return Err(Fault::BodyLength);
        }
        if len > 0 || end {
            self.wire.data(id, chunk, end);
            self.tokens.sent(len);
        }
        if end && let Some(stream) = self.streams.get_mut(s.0) {
            stream.sent = true;
            self.ungrant(s.0);
        }
        Ok(())
    }

    fn body_trailers(&mut self, s: StreamKey, block: &[u8], _: &mut Out) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(s.0) else { return Ok(()) };
        if stream.sent {
            return if stream.heard { Ok(()) } else { Err(Fault::BodyLength) };
        }
        stream.sent = true;
        let (id, encoder) = (stream.id, &mut self.encoder);
        self.wire.section(id, true, |out| {
            encoder.begin(out);
            head::write_trailers(block, &mut |name, value, index| encoder.field(name, value, index, out));
        });
        self.ungrant(s.0);
        Ok(())
    }

    fn recv(&mut self, now: Tick, input: &[u8], sink: &mut impl Sink, out: &mut Out) -> Result<usize, Fault> {
        match self.over {
            Some(Some(fault)) => return Err(fault),
            Some(None) if input.is_empty() => {
                self.pass_on_credited(sink);
                return Ok(0);
            }
            Some(None) => return Err(Fault::UnexpectedData),
            None => {}
        }
        if !input.is_empty() {
            self.heard_at = now;
            self.tokens.passed(now);
            let read = self.read(input, sink);
            self.input = None;
            if let Err(fault) = read {
                self.over = Some(Some(fault));
                self.wire.goaway(match fault {
                    Fault::Flood => code::ENHANCE_YOUR_CALM,
                    Fault::Frame(code) => code,
                    _ => code::PROTOCOL_ERROR,
                });
                self.wire.flush(out);
                return Err(fault);
            }
        }
        self.go_on(sink);
        self.wire.flush(out);
        Ok(input.len())
    }

    fn unsaid(&self) -> bool {
        match self.over {
            None => {
                let says = !self.wire.is_empty() || self.connection_update().is_some();
                says || !self.credited.is_empty() || self.can_grant() || self.can_unpark()
            }
            Some(None) => !self.credited.is_empty(),
            Some(Some(_)) => false,
        }
    }

    fn eof(&mut self, _: Tick, how: Eof, sink: &mut impl Sink) -> Result<(), Fault> {
        for key in 0..self.streams.places() {
            self.pass_on(key, sink);
        }
        self.over = Some(None);
        // What the peer had announced is the better reason.
        let gone = self.went_away.filter(|away| away.code != code::NO_ERROR).map(|away| Fault::GoneAway(away.code));
        for parked in std::mem::take(&mut self.parked) {
            self.streams.free(parked.key);
            sink.failed(StreamKey(parked.key), gone.unwrap_or(Fault::ClosedBeforeHead));
        }
        for key in 0..self.streams.places() {
            if self.streams.get(key).is_some_and(Stream::needs_only_credit) {
                continue;
            }
            if let Some(stream) = self.forget(key) {
                let cut = if stream.answered { Fault::TruncatedBody } else { Fault::ClosedBeforeHead };
                sink.failed(StreamKey(key), gone.unwrap_or(cut));
            }
        }
        // A stream has an end of its own, so that it does not matter how the connection ends, but for a frame cut in two.
        if self.reading.is_between() || how == Eof::Clean { Ok(()) } else { Err(Fault::TruncatedBody) }
    }

    fn credit(&mut self, s: StreamKey, _: &mut Out) {
        if self.streams.get(s.0).is_some_and(|stream| stream.held() > 0) && !self.credited.contains(&s.0) {
            self.credited.push(s.0);
        }
    }

    fn cancel(&mut self, s: StreamKey, _: &mut Out) -> Cancelled {
        if let Some(stream) = self.streams.get(s.0) {
            // One that has ended on both sides is over already.
            if !(stream.heard && stream.sent) {
                let id = stream.id;
                self.expect_stale(s.0);
                self.wire.reset(id, code::CANCEL);
            }
            self.forget(s.0);
        } else if let Some(at) = self.parked.iter().position(|parked| parked.key == s.0) {
            self.parked.remove(at);
            self.streams.free(s.0);
        }
        if self.over.is_some() { Cancelled::Close } else { Cancelled::Kept }
    }

    fn deadline(&self) -> Tick {
        match self.pinged_at {
            _ if self.limits.ping_ns == 0 || self.streams.open() == 0 || self.over.is_some() => Tick::NEVER,
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
        self.ping();
        Ok(())
    }

    fn reusable(&self) -> bool {
        !self.is_going()
    }
}
