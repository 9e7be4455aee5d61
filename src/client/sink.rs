//! Where a connection's upcalls become events of an exchange.

use super::events;
use super::exchange::{Delivery, Exchange, Gathered};
use super::failure::Phase;
use super::logging::Logging;
use super::outbox::Outbox;
use super::response::{self, Response};
use super::upload::Source;
use super::websocket;
use crate::diag::{self, Level};
use crate::mem::{Block, Body, Obj, Pool, Slice, Table};
use crate::net::pump::Receiver;
use crate::proto::ws::deflate::Shelf;
use crate::proto::{Data, Fault, Fields, Follows, Head, Sink, StreamKey, Tick, Version};
use crate::queue::Event;
use crate::queue::event::{flag, kind};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// What every event costs at least, so that a flood of tiny ones is bounded too.
pub const CHARGE_MIN: u64 = 256;
/// Smaller pieces are gathered into one event, also those that could be lent.
const GATHER_BELOW: usize = 2 << 10;
const GATHER_BLOCK: usize = 16 << 10;
/// As much where a pump brings more than one such block.
const GATHER_LARGE: usize = Pool::RECEIVE;
/// Bytes of a Content-Length for which room is made before they are there.
const BELIEVED: u64 = 256 << 10;
/// What a protocol owns stands in a buffer of about 16 KiB.
const OWNED_FROM: usize = 4 << 10;
/// Not worth a copy.
const SMALL_BLOCK: usize = 128;

/// Whom the upcalls of a connection are for.
pub enum Users<'a> {
    /// Nobody: an idle connection.
    None,
    One(&'a mut Exchange),
    /// Many, by the places of their streams. Those that were told something are noted.
    Many {
        exchanges: &'a mut Table<Exchange>,
        lanes: &'a [u32],
        touched: &'a mut Vec<u32>,
    },
}

impl Users<'_> {
    /// The only one.
    fn one(&mut self) -> Option<&mut Exchange> {
        match self {
            Users::One(exchange) => Some(exchange),
            _ => None,
        }
    }

    fn of(&mut self, s: StreamKey, now: Tick) -> Option<&mut Exchange> {
        match self {
            Users::One(exchange) => Some(exchange),
            Users::None => None,
            Users::Many { exchanges, lanes, touched } => {
                let &slot = lanes.get(s.0 as usize)?;
                let exchange = exchanges.get_mut(slot as usize)?;
                if !exchange.told.touched {
                    exchange.told.touched = true;
                    touched.push(slot);
                }
                exchange.heard_at = now;
                Some(exchange)
            }
        }
    }
}

pub struct ExchangeSink<'a> {
    pub users: Users<'a>,
    pub outbox: &'a mut Outbox,
    pub memory: &'a mut Pool,
    pub log: &'a mut Logging,
    /// For WebSockets that are opened.
    shelf: &'a Arc<Shelf>,
    pub now: Tick,
    lent: Option<(Block, usize)>,
    /// What is lent is only to be looked at.
    shown: bool,
    /// The protocol asked for credit and got none.
    denied: bool,
}

impl<'a> ExchangeSink<'a> {
    pub fn new(
        users: Users<'a>,
        outbox: &'a mut Outbox,
        memory: &'a mut Pool,
        log: &'a mut Logging,
        shelf: &'a Arc<Shelf>,
        now: Tick,
    ) -> Self {
        ExchangeSink { users, outbox, memory, log, shelf, now, lent: None, shown: false, denied: false }
    }

    /// After a pump: what was gathered becomes an event.
    pub fn settle(&mut self) {
        match &mut self.users {
            Users::None => {}
            Users::One(exchange) => flush_gathered(exchange, self.outbox, self.memory),
            Users::Many { exchanges, touched, .. } => {
                for &slot in touched.iter() {
                    if let Some(exchange) = exchanges.get_mut(slot as usize) {
                        flush_gathered(exchange, self.outbox, self.memory);
                    }
                }
            }
        }
    }

    /// Bytes that may be delivered now.
    pub fn available(exchange: &mut Exchange, outbox: &mut Outbox, memory: &mut Pool) -> u64 {
        if exchange.starved || exchange.unfit.is_some() {
            return 0;
        }
        exchange.credit = exchange.credit.saturating_add_unsigned(exchange.gate.take_returned());
        if let Delivery::Collect(Some(obj)) = &exchange.delivery {
            let room = exchange.request.collect_max - obj.get().body_len();
            if room > 0 {
                return room;
            }
            stop_collecting(exchange, outbox, memory);
        }
        let gathered = exchange.gathered.as_ref().map_or(0, |g| g.len as i64);
        u64::try_from(exchange.credit - gathered).unwrap_or(0)
    }

    /// The final head of what was to be a stream of events.
    fn stream_answered(&mut self, s: StreamKey, head: &Head<'_>) {
        let Some(exchange) = self.users.of(s, self.now) else { return };
        let Some(subscription) = &mut exchange.subscription else { return };
        let follows = subscription.answered(head);
        let refused = subscription.refused.unwrap_or_default();
        exchange.delivery = if follows { Delivery::Events } else { Delivery::Stream };
        let mut obj = response::from_head(self.memory, head, 0, exchange.route);
        if let Some(obj) = &mut obj {
            obj.parts_mut().0.timing = exchange.timing;
        }
        push_head(exchange, self.outbox, kind::HEADERS, head.status, obj, refused);
    }

    /// The answer will not be whole: hand over what was received of it.
    pub fn give_up(&mut self) {
        if let Some(exchange) = self.users.one() {
            stop_collecting(exchange, self.outbox, self.memory);
            flush_gathered(exchange, self.outbox, self.memory);
        }
    }
}

/// An event of an exchange, with what all of them carry.
pub fn event(exchange: &Exchange, kind: u16) -> Event {
    let mut flags = 0;
    if exchange.route.reused {
        flags |= flag::REUSED;
    }
    if exchange.tunnel && exchange.request.websocket.is_none() {
        flags |= flag::TUNNEL;
    }
    Event {
        kind,
        flags,
        arg: exchange.status as u32,
        xid: exchange.xid,
        token: exchange.request.token,
        ..Event::default()
    }
}

fn trace(log: &mut Logging, now: Tick, xid: u64, head: &Head<'_>) {
    log.add(Level::Trace, now, xid, || {
        let first = format!("< {} {}", head.status, head.reason.escape_ascii());
        diag::redact_head(&first, head.fields.iter())
    });
}

fn push_head(
    exchange: &mut Exchange,
    outbox: &mut Outbox,
    kind: u16,
    status: u16,
    obj: Option<Obj<Response>>,
    error: i32,
) {
    let Some(obj) = obj else {
        exchange.starved = true;
        return;
    };
    let mut event = event(exchange, kind);
    event.arg = status as u32;
    event.error = error;
    event.obj = Some(obj.into_block());
    outbox.push(&exchange.queue, event);
}

fn push_body(exchange: &mut Exchange, outbox: &mut Outbox, memory: &mut Pool, slice: Slice, flags: u16) {
    let len = slice.bytes().len() as u64;
    let charge = len.max(CHARGE_MIN);
    let data = slice.bytes().as_ptr() as usize;
    exchange.credit = exchange.credit.saturating_sub_unsigned(charge);
    let Some(block) = memory.block(Obj::<Body>::payload(0)) else {
        exchange.starved = true;
        return;
    };
    let body = Obj::new(block, Body::new(slice, charge, Some(exchange.gate.clone())));
    let mut event = event(exchange, kind::BODY);
    event.flags |= flags;
    event.data = data;
    event.len = len;
    event.obj = Some(body.into_block());
    outbox.push(&exchange.queue, event);
}

fn flush_gathered(exchange: &mut Exchange, outbox: &mut Outbox, memory: &mut Pool) {
    if let Some(Gathered { mut block, len }) = exchange.gathered.take() {
        // A slice may pin at most four times its own size.
        if block.capacity() / 4 > len.max(SMALL_BLOCK)
            && let Some(mut smaller) = memory.block(len)
            && let Some(room) = smaller.unique()
        {
            room[..len].copy_from_slice(&block.bytes()[..len]);
            block = smaller;
        }
        exchange.gathers_much = len >= GATHER_BLOCK;
        push_body(exchange, outbox, memory, Slice::Block { block, range: 0..len as u32 }, flag::COPIED);
    }
}

/// The answer is not for one event after all: hand over what was collected, and go on event by event.
fn stop_collecting(exchange: &mut Exchange, outbox: &mut Outbox, memory: &mut Pool) {
    let Delivery::Collect(Some(mut obj)) = std::mem::replace(&mut exchange.delivery, Delivery::Stream) else { return };
    let body = obj.get().body(obj.tail());
    let len = body.len();
    let copy = (len > 0).then(|| {
        let mut block = memory.block(len)?;
        block.unique()?[..len].copy_from_slice(body);
        Some(block)
    });
    let status = obj.get().status;
    response::clear_body(&mut obj);
    push_head(exchange, outbox, kind::HEADERS, status, Some(obj), 0);
    match copy {
        None => {}
        Some(Some(block)) => {
            push_body(exchange, outbox, memory, Slice::Block { block, range: 0..len as u32 }, flag::COPIED);
        }
        Some(None) => exchange.starved = true,
    }
}

fn gather(exchange: &mut Exchange, outbox: &mut Outbox, memory: &mut Pool, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (have, capacity) = exchange.gathered.as_ref().map_or((0, 0), |g| (g.len, g.block.capacity()));
        // Only a full block goes out before the end of the pump: each event costs `CHARGE_MIN`, and the credit was given for
        // one.
        if have == capacity || (have + bytes.len() > capacity && capacity < GATHER_BLOCK) {
            let size = match capacity {
                0 if exchange.gathers_much => GATHER_LARGE,
                0 => bytes.len().min(GATHER_LARGE),
                1..GATHER_BLOCK => GATHER_BLOCK,
                _ => GATHER_LARGE,
            };
            let Some(mut block) = memory.block(size) else {
                exchange.starved = true;
                return;
            };
            let mut len = 0;
            if capacity >= GATHER_BLOCK {
                flush_gathered(exchange, outbox, memory);
            } else if let Some(old) = exchange.gathered.take()
                && let Some(room) = block.unique()
            {
                len = have;
                room[..len].copy_from_slice(&old.block.bytes()[..len]);
            }
            exchange.gathered = Some(Gathered { block, len });
        }
        let Some(g) = &mut exchange.gathered else { return };
        let room = &mut g.block.unique().expect("it is not told yet")[g.len..];
        let n = room.len().min(bytes.len());
        room[..n].copy_from_slice(&bytes[..n]);
        g.len += n;
        bytes = &bytes[n..];
    }
}

/// Received bytes, in a form that holds their block.
struct Input {
    block: Block,
    range: Range<usize>,
}

impl AsRef<[u8]> for Input {
    fn as_ref(&self) -> &[u8] {
        &self.block.bytes()[self.range.clone()]
    }
}

impl Sink for ExchangeSink<'_> {
    fn informational(&mut self, s: StreamKey, head: &Head<'_>) {
        let Some(exchange) = self.users.of(s, self.now) else { return };
        if head.status == 100 {
            exchange.told.go_ahead = true;
        }
        exchange.told.heard = true;
        if exchange.phase == Phase::Waiting {
            exchange.enter(Phase::Receiving, self.now);
        }
        trace(self.log, self.now, exchange.xid, head);
        let obj = response::from_head(self.memory, head, 0, exchange.route);
        push_head(exchange, self.outbox, kind::INFORMATIONAL, head.status, obj, 0);
    }

    fn head(&mut self, s: StreamKey, head: &Head<'_>, follows: Follows) {
        let Some(exchange) = self.users.of(s, self.now) else { return };
        trace(self.log, self.now, exchange.xid, head);
        exchange.enter(Phase::Receiving, self.now);
        exchange.status = head.status;
        exchange.timing.first_byte = exchange.elapsed(self.now);
        let switches = follows == Follows::Tunnel;
        if exchange.request.websocket.is_some() && switches {
            exchange.tunnel = true;
            exchange.delivery = Delivery::Stream;
            let obj = response::from_head(self.memory, head, 0, exchange.route);
            return websocket::open(exchange, self.outbox, obj, head, self.shelf);
        }
        if exchange.request.websocket.is_some() {
            // It is refused: nothing that was written is for anybody.
            exchange.gate.shut();
            exchange.upload.pieces.clear();
        }
        exchange.answered = true;
        let room = match follows {
            Follows::Tunnel => {
                exchange.tunnel = true;
                exchange.gate.set_trailers(false);
                if exchange.upload.ended {
                    // The request is sent; what is written from here on belongs to the tunnel.
                    exchange.upload.source = Source::Stream;
                    exchange.upload.ended = false;
                    exchange.gate.open();
                }
                None
            }
            Follows::Nothing => Some(0),
            Follows::Length(len) if len <= exchange.request.collect_max => Some(len),
            Follows::Length(_) => None,
            Follows::Unknown => Some(0),
        };
        match (room, &exchange.delivery) {
            _ if exchange.subscription.is_some() => self.stream_answered(s, head),
            (Some(room), Delivery::Collect(_)) => {
                // A large claim is believed only as it comes true.
                let room = room.min(BELIEVED) as usize;
                match response::from_head(self.memory, head, room, exchange.route) {
                    Some(obj) => exchange.delivery = Delivery::Collect(Some(obj)),
                    None => exchange.starved = true,
                }
            }
            _ => {
                exchange.delivery = Delivery::Stream;
                let mut obj = response::from_head(self.memory, head, 0, exchange.route);
                if let Some(obj) = &mut obj {
                    obj.parts_mut().0.timing = exchange.timing;
                }
                push_head(exchange, self.outbox, kind::HEADERS, head.status, obj, 0);
            }
        }
    }

    fn credit(&mut self, s: StreamKey) -> u64 {
        let Some(exchange) = self.users.of(s, self.now) else { return 0 };
        let mut credit = Self::available(exchange, self.outbox, self.memory);
        if let (Delivery::Events, Some(s)) = (&exchange.delivery, &exchange.subscription) {
            credit = s.ask(self.now, credit);
        }
        self.denied |= credit == 0;
        exchange.told.denied = credit == 0;
        credit
    }

    fn data(&mut self, s: StreamKey, data: Data) {
        let Some(exchange) = self.users.of(s, self.now) else { return };
        let (bytes, lent): (&[u8], _) = match &data {
            Data::Input(range) => {
                let (block, start) = self.lent.as_ref().expect("a range is of lent input");
                let range = start + range.start..start + range.end;
                (&block.bytes()[range.clone()], Some((block, range)))
            }
            // What a protocol owns may also come when there is no input.
            Data::Owned(bytes) => (bytes, None),
        };
        match &mut exchange.delivery {
            Delivery::Collect(Some(obj)) => {
                exchange.starved |= !response::append(self.memory, obj, bytes);
                return;
            }
            Delivery::Events => return events::take(exchange, self.outbox, self.memory, self.now, bytes),
            _ => {}
        }
        let len = bytes.len();
        match (lent, data) {
            // A slice may pin at most four times its own size.
            (Some((block, range)), _) if !self.shown && len >= GATHER_BELOW.max(block.capacity() / 4) => {
                flush_gathered(exchange, self.outbox, self.memory);
                let slice = Slice::Block { block: block.clone(), range: range.start as u32..range.end as u32 };
                push_body(exchange, self.outbox, self.memory, slice, 0);
            }
            (None, Data::Owned(bytes)) if len >= OWNED_FROM => {
                flush_gathered(exchange, self.outbox, self.memory);
                push_body(exchange, self.outbox, self.memory, Slice::Foreign(bytes), 0);
            }
            (Some((block, range)), _) => gather(exchange, self.outbox, self.memory, &block.bytes()[range]),
            (None, Data::Owned(bytes)) => gather(exchange, self.outbox, self.memory, &bytes),
            (None, Data::Input(_)) => unreachable!("input has a range"),
        }
    }

    fn stream(&mut self, s: StreamKey, data: Data) -> usize {
        let credit = self.credit(s);
        let Some(exchange) = self.users.of(s, self.now) else { return 0 };
        if exchange.request.websocket.is_none() || !exchange.tunnel {
            return self.data_within(s, data, credit);
        }
        let (taken, len) = match &data {
            Data::Input(range) => {
                let (block, start) = self.lent.as_ref().expect("a range is of lent input");
                let range = start + range.start..start + range.end;
                let input = &block.bytes()[range.clone()];
                let lent = Some((block, range.start)).filter(|_| !self.shown);
                (websocket::take(exchange, self.outbox, self.memory, input, lent), input.len())
            }
            Data::Owned(bytes) => (websocket::take(exchange, self.outbox, self.memory, bytes, None), bytes.len()),
        };
        self.denied |= taken < len;
        exchange.told.denied |= taken < len;
        taken
    }

    fn trailers(&mut self, s: StreamKey, fields: Fields<'_>) {
        let version = match self.users {
            Users::Many { .. } => Version::Http2,
            _ => Version::Http11,
        };
        let Some(exchange) = self.users.of(s, self.now) else { return };
        stop_collecting(exchange, self.outbox, self.memory);
        flush_gathered(exchange, self.outbox, self.memory);
        let obj = response::from_trailers(self.memory, exchange.status, version, fields, exchange.route);
        push_head(exchange, self.outbox, kind::TRAILERS, exchange.status, obj, 0);
    }

    fn end(&mut self, s: StreamKey) {
        if let Some(exchange) = self.users.of(s, self.now) {
            if let Some(ws) = &exchange.ws {
                match ws.verdict() {
                    Ok(()) => exchange.finished = true,
                    Err(rule) => exchange.told.failed = Some(Fault::WebSocket(rule)),
                }
                return;
            }
            if !(exchange.tunnel && exchange.request.duplex) {
                exchange.finished = true;
                return;
            }
            flush_gathered(exchange, self.outbox, self.memory);
            exchange.heard_end = true;
            let event = event(exchange, kind::STREAM_END);
            self.outbox.push(&exchange.queue, event);
        }
    }

    fn failed(&mut self, s: StreamKey, why: Fault) {
        if let Some(exchange) = self.users.of(s, self.now) {
            exchange.told.failed = Some(why);
        }
    }

    fn keep(&mut self, input: &[u8]) -> Option<Bytes> {
        // A block that is nearly empty is not worth being held on to.
        let (block, start) =
            self.lent.clone().filter(|(block, _)| !self.shown && input.len() >= block.capacity() / 2)?;
        Some(Bytes::from_owner(Input { block, range: start..start + input.len() }))
    }

    fn writable(&mut self, s: StreamKey) {
        if let Some(exchange) = self.users.of(s, self.now) {
            exchange.told.writable = true;
        }
    }
}

impl Receiver for ExchangeSink<'_> {
    fn lend(&mut self, block: &Block, start: usize) {
        self.lent = Some((block.clone(), start));
        self.shown = false;
        self.denied = false;
    }

    fn show(&mut self, block: &Block, start: usize) {
        self.lend(block, start);
        self.shown = true;
    }

    fn take_back(&mut self) {
        self.lent = None;
    }

    fn paused(&mut self) -> bool {
        // The head is always read; only bodies are paid for. Streams that share a connection are held back one by one.
        let Users::One(exchange) = &mut self.users else { return false };
        if exchange.starved || exchange.unfit.is_some() || exchange.has_worked(self.now) {
            return true;
        }
        if !exchange.answered || exchange.finished {
            return false;
        }
        // Whether a full collection has to be handed over shows only when a byte comes that does not fit.
        if matches!(exchange.delivery, Delivery::Collect(_)) {
            return false;
        }
        Self::available(exchange, self.outbox, self.memory) == 0
    }

    fn denied(&self) -> bool {
        self.denied
    }

    fn room(&mut self) -> u64 {
        match &mut self.users {
            Users::None => 0,
            // Being asked must not end a collection that is just full.
            Users::One(Exchange { delivery: Delivery::Collect(Some(obj)), request, .. }) => {
                request.collect_max - obj.get().body_len()
            }
            Users::One(exchange) => Self::available(exchange, self.outbox, self.memory),
            // Windows bound what comes.
            Users::Many { .. } => u64::MAX,
        }
    }

    fn memory(&mut self) -> &mut Pool {
        self.memory
    }

    fn heard(&mut self) {
        if let Some(exchange) = self.users.one() {
            exchange.heard_at = self.now;
            if let Some(ws) = &mut exchange.ws {
                ws.heard();
            }
            // The first byte of the answer, be it of a head that is not whole yet.
            if exchange.phase == Phase::Waiting {
                exchange.enter(Phase::Receiving, self.now);
            }
        }
    }
}
