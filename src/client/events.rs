//! From the answer to a request for a stream of events (`Request::sse`) to an event for each that the server sends.
//!
//! The parser finds fields in the receive buffer; what an application keeps must not hold that, so data, type and id are
//! copied once, close together, into a [`Parcel`] that up to [`MANY`] events share. Each event owns a reference, and the
//! credit of all comes back with the last.
//!
//! Credit is given to the protocol in bytes of the stream, and taken for events. The shortest event has [`LEAST`] bytes and
//! is charged [`CHARGE_MIN`]: so much less is asked for than there is credit, and what is asked for is always paid for.
//! A coded stream may be a thousand times as long as it came: it is asked for in small pieces, and only so many bytes are
//! decoded before others have their turn.

use super::exchange::{Delivery, Exchange};
use super::outbox::Outbox;
use super::sink::{CHARGE_MIN, event};
use crate::error as e;
use crate::mem::{Block, Credit, Obj, Object, Pool};
use crate::proto::coding::{Coding, Decoder};
use crate::proto::h1::encode::LAST_EVENT_ID;
use crate::proto::sse::{self, Limits, Parser, TooLarge};
use crate::proto::{Head, Tick};
use crate::queue::Event;
use crate::queue::event::{flag, kind};
use std::sync::Arc;

/// Events that share a parcel.
const MANY: usize = 32;
/// Bytes of a parcel, unless one event needs more.
const ROOM: usize = 4 << 10;
/// The shortest event: `data`, and two line ends.
const LEAST: u64 = 6;
/// Bytes that are worth asking for while there is any credit.
const WORTH: u64 = 64;
/// Bytes of a coded stream that are asked for at a time: decoded, they are 264 KB at most.
const CODED: u64 = 256;
/// Bytes that one stream is decoded to at one moment.
const DECODED: usize = 1 << 20;
/// Bytes that are decoded at a time.
const PIECE: usize = 4 << 10;

/// `Event::arg` of an event without `retry`.
pub const NO_RETRY: u32 = u32::MAX;
/// The type of an event that names none.
pub const MESSAGE: &[u8] = b"message";

/// What a request for a stream of events asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sse {
    /// Go on with another connection when one ends.
    pub reconnect: bool,
    /// Ask for a coded stream.
    pub compressed: bool,
    /// Take 408, 429, 500, 502, 503 and 504 for a connection that was lost.
    pub retry_status: bool,
    pub limits: Limits,
    /// The time to wait before a reconnection, unless the server names one.
    pub retry_ns: u64,
    /// The longest time to wait.
    pub retry_max_ns: u64,
    /// Reconnections in a row on which nothing comes.
    pub attempts_max: u64,
    /// Where an earlier stream has come to.
    pub last_id: Box<[u8]>,
}

impl Default for Sse {
    fn default() -> Sse {
        Sse {
            reconnect: true,
            compressed: false,
            retry_status: false,
            limits: Limits::default(),
            retry_ns: 3_000_000_000,
            retry_max_ns: 60_000_000_000,
            attempts_max: u64::MAX,
            last_id: Box::default(),
        }
    }
}

impl Sse {
    /// What the head of the request says unless the caller gives other fields of these names.
    pub fn fields(&self) -> Vec<(&[u8], &[u8])> {
        let mut fields: Vec<(&[u8], &[u8])> = vec![(b"Accept", b"text/event-stream"), (b"Cache-Control", b"no-cache")];
        if self.compressed {
            fields.push((b"Accept-Encoding", b"gzip, deflate"));
        }
        if !self.last_id.is_empty() {
            fields.push((LAST_EVENT_ID, &self.last_id));
        }
        fields
    }
}

/// A stream of events over all its connections.
#[derive(Debug)]
pub struct Subscription {
    pub wants: Sse,
    pub parser: Parser,
    decoder: Option<Decoder>,
    /// The answer is no stream of events, and this is why.
    pub refused: Option<i32>,
    /// A stream was open.
    pub opened: bool,
    /// Reconnections since something came.
    pub attempts: u64,
    /// What an answer that was no stream has said of when to come again, in nanoseconds.
    pub retry_after: u64,
    /// While it rests: when it goes on.
    pub until: Tick,
    /// Bytes decoded at this moment.
    decoded: (Tick, usize),
}

impl Subscription {
    pub fn new(wants: Sse) -> Subscription {
        Subscription {
            parser: Parser::new(wants.limits, &wants.last_id),
            wants,
            decoder: None,
            refused: None,
            opened: false,
            attempts: 0,
            retry_after: 0,
            until: Tick::NEVER,
            decoded: (Tick(0), 0),
        }
    }

    /// Another request is about to be sent.
    pub fn restart(&mut self) {
        self.parser.restart();
        self.decoder = None;
        self.refused = None;
        self.retry_after = 0;
    }

    /// The final head of an answer. Whether events follow.
    pub fn answered(&mut self, head: &Head<'_>) -> bool {
        let values = |name: &'static [u8]| {
            head.fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        self.refused = match (head.status, Coding::of(values(b"content-encoding"))) {
            (204, _) => return false,
            (200, _) if !values(b"content-type").next().is_some_and(is_event_stream) => {
                Some(e::CHTTP_E_SSE_CONTENT_TYPE)
            }
            (200, Err(_)) => Some(e::CHTTP_E_CONTENT_CODING),
            (200, Ok(coding)) => {
                self.decoder = coding.map(Decoder::new);
                self.opened = true;
                None
            }
            _ => Some(e::CHTTP_E_SSE_STATUS),
        };
        if self.refused == Some(e::CHTTP_E_SSE_STATUS) {
            self.retry_after = values(b"retry-after").next().and_then(delay_seconds).unwrap_or(0);
        }
        self.refused.is_none()
    }

    /// The stream has ended in due form. Why it is not whole all the same.
    pub fn ended(&self) -> Option<i32> {
        let cut = self.decoder.as_ref().is_some_and(|decoder| !decoder.is_whole());
        cut.then_some(e::CHTTP_E_CONTENT_TRUNCATED)
    }

    /// Enough was decoded for now.
    pub fn has_worked(&self, now: Tick) -> bool {
        self.decoded.0 == now && self.decoded.1 >= DECODED
    }

    /// How many bytes of the body to ask for, of what there is credit for.
    pub fn ask(&self, now: Tick, credit: u64) -> u64 {
        match self.decoder {
            _ if credit == 0 || self.has_worked(now) => 0,
            Some(_) => CODED,
            None => (credit / (CHARGE_MIN / LEAST + 1)).max(WORTH),
        }
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3), as nanoseconds. Its other form is a date, by a clock that is not ours.
fn delay_seconds(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))?;
    // Too many to be counted are for ever.
    Some(digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000_000_000))
}

/// The media type of event streams, whatever its parameters: they are always UTF-8.
fn is_event_stream(value: &[u8]) -> bool {
    let essence = value.split(|&b| b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// The object behind events of a stream: their bytes, and the credit of all.
pub struct Parcel {
    charge: u64,
    credit: Arc<dyn Credit>,
}

impl Object for Parcel {
    const TAG: u32 = 0x5041_5243;
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.credit.give_back(self.charge);
    }
}

/// Where type and id of an event stand: the type behind the data, the id at any distance from it. Packed into `Event::aux`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Names {
    pub kind_len: u16,
    pub id_len: u16,
    /// From the first byte of the data.
    pub id_at: i32,
}

impl Names {
    const fn pack(self) -> u64 {
        self.kind_len as u64 | (self.id_len as u64) << 16 | (self.id_at.cast_unsigned() as u64) << 32
    }

    pub const fn unpack(aux: u64) -> Names {
        Names { kind_len: aux as u16, id_len: (aux >> 16) as u16, id_at: ((aux >> 32) as u32).cast_signed() }
    }
}

/// Bytes of a stream have come.
pub fn take(exchange: &mut Exchange, outbox: &mut Outbox, memory: &mut Pool, now: Tick, bytes: &[u8]) {
    let Some(mut s) = exchange.subscription.take() else { return };
    if exchange.unfit.is_none() {
        s.attempts = 0;
        exchange.unfit = read(&mut s, exchange, outbox, memory, now, bytes).err();
    }
    exchange.subscription = Some(s);
}

fn read(
    s: &mut Subscription,
    exchange: &mut Exchange,
    outbox: &mut Outbox,
    memory: &mut Pool,
    now: Tick,
    bytes: &[u8],
) -> Result<(), i32> {
    let Some(decoder) = &mut s.decoder else { return parse(&mut s.parser, exchange, outbox, memory, bytes) };
    if s.decoded.0 != now {
        s.decoded = (now, 0);
    }
    let (mut room, mut rest) = ([0; PIECE], bytes);
    loop {
        let (taken, written) = decoder.decode(rest, &mut room).map_err(|_| e::CHTTP_E_CONTENT_CODING)?;
        s.decoded.1 += written;
        parse(&mut s.parser, exchange, outbox, memory, &room[..written])?;
        rest = &rest[taken..];
        if rest.is_empty() && written < PIECE {
            return Ok(());
        }
        if taken == 0 && written == 0 {
            return Err(e::CHTTP_E_CONTENT_CODING);
        }
    }
}

fn parse(
    parser: &mut Parser,
    exchange: &mut Exchange,
    outbox: &mut Outbox,
    memory: &mut Pool,
    bytes: &[u8],
) -> Result<(), i32> {
    let mut packer = Packer::new(exchange, outbox, memory, bytes.len());
    let parsed = parser.feed(bytes, |event| packer.put(event));
    packer.close();
    parsed.map_err(|what| match what {
        TooLarge::Line => e::CHTTP_E_SSE_LINE_TOO_LONG,
        TooLarge::Event => e::CHTTP_E_SSE_EVENT_TOO_LARGE,
    })
}

/// An event that stands in the open parcel.
#[derive(Clone, Copy, Default)]
struct Placed {
    at: u32,
    len: u32,
    aux: u64,
    retry: u32,
}

/// Packs events into parcels.
struct Packer<'a> {
    exchange: &'a mut Exchange,
    outbox: &'a mut Outbox,
    memory: &'a mut Pool,
    parcel: Option<Obj<Parcel>>,
    used: usize,
    placed: [Placed; MANY],
    count: usize,
    /// Where the last event id stands in the parcel, and its length.
    id: Option<(usize, u16)>,
    /// Bytes that may still become events.
    left: usize,
}

impl<'a> Packer<'a> {
    fn new(exchange: &'a mut Exchange, outbox: &'a mut Outbox, memory: &'a mut Pool, left: usize) -> Packer<'a> {
        let placed = [Placed::default(); MANY];
        Packer { exchange, outbox, memory, parcel: None, used: 0, placed, count: 0, id: None, left }
    }

    fn put(&mut self, e: &sse::Event<'_>) {
        let own = e.data.len() + e.kind.len();
        if e.id_is_new {
            self.id = None;
        }
        let id = if self.id.is_none() { e.id.len() } else { 0 };
        let fits = |parcel: &Obj<Parcel>| self.count < MANY && self.used + own + id <= parcel.tail_capacity();
        if !self.parcel.as_ref().is_some_and(fits) && !self.open(own + e.id.len()) {
            return;
        }
        self.left = self.left.saturating_sub(own + id);
        let Some(parcel) = &mut self.parcel else { return };
        let (head, tail) = parcel.parts_mut();
        let mut used = self.used;
        let mut copy = |bytes: &[u8]| {
            tail[used..used + bytes.len()].copy_from_slice(bytes);
            used += bytes.len();
        };
        let at = self.used;
        copy(e.data);
        copy(e.kind);
        let mut charge = own;
        let (id_at, id_len) = *self.id.get_or_insert_with(|| {
            charge += e.id.len();
            copy(e.id);
            (at + own, e.id.len() as u16)
        });
        self.used = used;
        head.charge += (charge as u64).max(CHARGE_MIN);
        // The parser has seen to it that names are short, and data is bounded by 32 bits.
        let names = Names { kind_len: e.kind.len() as u16, id_len, id_at: id_at as i32 - at as i32 };
        let retry = e.retry.map_or(NO_RETRY, |ms| ms.min(u64::from(NO_RETRY - 1)) as u32);
        self.placed[self.count] = Placed { at: at as u32, len: e.data.len() as u32, aux: names.pack(), retry };
        self.count += 1;
    }

    /// A new parcel with room for `least` bytes.
    fn open(&mut self, least: usize) -> bool {
        self.close();
        let room = least.max(self.left.min(ROOM));
        let block = self.memory.block(Obj::<Parcel>::payload(room));
        self.parcel = block.map(|block| Obj::new(block, Parcel { charge: 0, credit: self.exchange.gate.clone() }));
        self.exchange.starved |= self.parcel.is_none();
        self.parcel.is_some()
    }

    /// What is in the parcel is on its way.
    fn close(&mut self) {
        let Some(parcel) = self.parcel.take() else { return };
        self.exchange.credit = self.exchange.credit.saturating_sub_unsigned(parcel.get().charge);
        let start = parcel.tail().as_ptr() as usize;
        let block = parcel.into_block();
        self.outbox.told.events += self.count as u64;
        for i in 0..self.count {
            self.tell(start, self.placed[i], block.clone());
        }
        (self.used, self.count, self.id) = (0, 0, None);
    }

    fn tell(&mut self, start: usize, placed: Placed, block: Block) {
        let mut event: Event = event(self.exchange, kind::SSE);
        event.flags |= flag::COPIED;
        event.arg = placed.retry;
        event.data = start + placed.at as usize;
        event.len = u64::from(placed.len);
        event.aux = placed.aux;
        event.obj = Some(block);
        self.outbox.push(&self.exchange.queue, event);
    }
}

impl Exchange {
    /// Events of a stream are what its answer consists of.
    pub fn is_event_stream(&self) -> bool {
        matches!(self.delivery, Delivery::Events)
    }

    /// Its stream of events has had its share of this moment, and goes on a little later.
    pub fn has_worked(&self, now: Tick) -> bool {
        self.subscription.as_ref().is_some_and(|s| s.has_worked(now))
    }
}
