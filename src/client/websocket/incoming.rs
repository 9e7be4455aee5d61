//! Received bytes become events: messages, whole or in pieces, and what control frames say.
//!
//! A small message is copied into the object of its event, so that it is one block of the pool and no more; a large one that
//! lies whole in the receive buffer is a slice of that. One that comes in pieces, or compressed, is assembled in the object
//! that it will be told with. It is charged when it is told: beside the credit, a WebSocket holds at most one message.

use super::{WebSocket, outgoing};
use crate::client::exchange::Exchange;
use crate::client::outbox::Outbox;
use crate::client::sink::{self, CHARGE_MIN, ExchangeSink};
use crate::mem::{Block, Body, Copied, Obj, Pool, Slice};
use crate::proto::ws::deflate::Room;
use crate::proto::ws::{Control, Item, Kind, Rule, Utf8, close, frame};
use crate::queue::Event;
use crate::queue::event::{flag, kind};
use std::ops::Range;

/// A message that is announced to be no longer gets all of its room before it is there.
const BELIEVED: u64 = 256 << 10;
/// Compressed bytes that are inflated before credit is looked at again, where messages come in pieces. They may become a
/// thousand times as many.
const INFLATED_AT_ONCE: usize = 1 << 10;
/// Room for inflated bytes.
const INFLATE_ROOM: usize = 16 << 10;

/// A message, or a piece of one, on its way.
pub(super) struct Assembly {
    obj: Obj<Copied>,
    len: usize,
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assembly({} bytes)", self.len)
    }
}

impl Assembly {
    fn new(memory: &mut Pool, room: usize) -> Option<Assembly> {
        let obj = Obj::new(memory.block(Obj::<Copied>::payload(room))?, Copied::default());
        Some(Assembly { obj, len: 0 })
    }

    /// Room for at least so many bytes more, moving to a larger block when it is full. `most`: bytes that the message may come
    /// to. `false` if there is no memory.
    fn grow(&mut self, memory: &mut Pool, more: usize, most: u64) -> bool {
        let wanted = self.len + more;
        if wanted <= self.obj.tail_capacity() {
            return true;
        }
        let Some(larger) = Assembly::new(memory, larger(self.obj.tail_capacity(), wanted, most)) else { return false };
        let Assembly { obj, len } = std::mem::replace(self, larger);
        self.obj.parts_mut().1[..len].copy_from_slice(&obj.tail()[..len]);
        self.len = len;
        true
    }

    fn append(&mut self, memory: &mut Pool, bytes: &[u8], most: u64) -> bool {
        if !self.grow(memory, bytes.len(), most) {
            return false;
        }
        self.obj.parts_mut().1[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
        true
    }
}

/// Twice as much, until twice that might not do: then all that there may be. While bytes are moved there are both, the former
/// of which is no more than half of the latter then.
fn larger(have: usize, wanted: usize, most: u64) -> usize {
    let twice = wanted.max(have.saturating_mul(2));
    match usize::try_from(most) {
        Ok(most) if twice > most / 2 => wanted.max(most),
        _ => twice,
    }
}

/// Where events go, and memory comes from.
struct Way<'a> {
    outbox: &'a mut Outbox,
    memory: &'a mut Pool,
}

/// Take bytes of the connection; how many. Fewer than there are: credit has run out.
pub fn take(
    exchange: &mut Exchange,
    outbox: &mut Outbox,
    memory: &mut Pool,
    input: &[u8],
    lent: Option<(&Block, usize)>,
) -> usize {
    let Some(mut ws) = exchange.ws.take() else { return input.len() };
    ws.heard();
    let mut at = 0;
    let steps = ws.inflater.is_some() && choices(exchange).fragments;
    while at < input.len() {
        // What comes behind the end is nobody's.
        if ws.broken.is_some() || ws.failing.is_some() || ws.closing.received {
            at = input.len();
            break;
        }
        if ExchangeSink::available(exchange, outbox, memory) == 0 {
            break;
        }
        let end = if steps { input.len().min(at + INFLATED_AT_ONCE) } else { input.len() };
        let mut way = Way { outbox, memory };
        match ws.reader.read(&input[at..end]) {
            Err(rule) => ws.broken = Some(rule),
            Ok((len, item)) => {
                let lent = lent.map(|(block, start)| (block, start + at));
                let told = ws.tell(exchange, &mut way, item, &input[at..end], lent);
                ws.broken = told.err();
                at += len;
            }
        }
    }
    exchange.ws = Some(ws);
    at
}

fn choices(exchange: &Exchange) -> &super::Choices {
    &exchange.request.websocket.as_ref().expect("a WebSocket was asked for").choices
}

impl WebSocket {
    fn tell(
        &mut self,
        exchange: &mut Exchange,
        way: &mut Way<'_>,
        item: Item,
        input: &[u8],
        lent: Option<(&Block, usize)>,
    ) -> Result<(), Rule> {
        match item {
            Item::Nothing => Ok(()),
            Item::Data { kind, compressed: true, range, end, .. } => {
                self.inflate(exchange, way, kind, &input[range], end)
            }
            Item::Data { kind, range, start, end, left, last, .. } => {
                if choices(exchange).fragments {
                    if !range.is_empty() || end {
                        message(exchange, way, kind, end, &input[range.clone()], slice_of(lent, range));
                    }
                } else if start && end {
                    message(exchange, way, kind, true, &input[range.clone()], slice_of(lent, range));
                } else {
                    // The last frame tells how long the message is, any other that it may be as long as it is allowed to be.
                    let piece = &input[range];
                    let known = self.assembly.as_ref().map_or(0, |a| a.len) as u64 + piece.len() as u64 + left;
                    let most = if last { known } else { choices(exchange).limits.message };
                    self.assemble(exchange, way, kind, piece, end, most);
                }
                Ok(())
            }
            Item::Control(control) => {
                self.control(exchange, way, control);
                Ok(())
            }
        }
    }

    fn assemble(&mut self, exchange: &mut Exchange, way: &mut Way<'_>, kind: Kind, piece: &[u8], end: bool, most: u64) {
        let mut assembly = match self.assembly.take() {
            Some(assembly) => Some(assembly),
            // What is not all of it is no more than half, for when it grows.
            None if most <= BELIEVED => Assembly::new(way.memory, most as usize),
            None => Assembly::new(way.memory, piece.len().max((BELIEVED / 2) as usize)),
        };
        if !assembly.as_mut().is_some_and(|assembly| assembly.append(way.memory, piece, most)) {
            exchange.starved = true;
            return;
        }
        if end {
            whole(exchange, way, kind, true, assembly);
        } else {
            self.assembly = assembly;
        }
    }

    fn inflate(
        &mut self,
        exchange: &mut Exchange,
        way: &mut Way<'_>,
        kind: Kind,
        piece: &[u8],
        end: bool,
    ) -> Result<(), Rule> {
        let Some(inflater) = &mut self.inflater else { return Err(Rule::ReservedBit) };
        let (fragments, max) = (choices(exchange).fragments, choices(exchange).limits.message);
        let utf8 = (kind == Kind::Text).then_some(&mut self.utf8);
        let (assembly, size) = (self.assembly.take(), &mut self.inflated);
        let mut to = Inflated { way, exchange, kind, fragments, max, assembly, size, utf8 };
        inflater.piece(piece, end, &mut to)?;
        let Inflated { assembly, utf8, .. } = to;
        if !end {
            match assembly {
                Some(some) if fragments && some.len > 0 => whole(exchange, way, kind, false, Some(some)),
                other => self.assembly = other,
            }
            return Ok(());
        }
        if let Some(utf8) = utf8 {
            utf8.finish()?;
        }
        self.inflated = 0;
        match assembly {
            Some(assembly) => whole(exchange, way, kind, true, Some(assembly)),
            None if !exchange.starved => message(exchange, way, kind, true, &[], None),
            None => {}
        }
        Ok(())
    }

    fn control(&mut self, exchange: &mut Exchange, way: &mut Way<'_>, control: Control) {
        let payload = self.reader.payload();
        let (tells, manual) = (choices(exchange).tells_control, choices(exchange).manual_pong);
        match control {
            Control::Ping => {
                if tells || manual {
                    copied(exchange, way, Head { kind: kind::WS_PING, arg: 0, flags: 0 }, payload);
                }
                if !manual && self.closing.sent.is_none() {
                    outgoing::queue(&mut self.controls, frame::PONG, payload);
                }
            }
            Control::Pong if tells => {
                copied(exchange, way, Head { kind: kind::WS_PONG, arg: 0, flags: 0 }, payload);
            }
            Control::Pong => {}
            Control::Close(code) => {
                copied(exchange, way, Head { kind: kind::WS_CLOSE, arg: u32::from(code), flags: 0 }, payload);
                self.closing.received = true;
                exchange.gate.shut();
                exchange.upload.drop_frames();
                if self.closing.sent.is_none() {
                    // What was asked for before is not owed any more.
                    self.controls.clear();
                    let (body, len) = close::body(code, "");
                    outgoing::queue(&mut self.controls, frame::CLOSE, &body[..len]);
                }
            }
        }
    }
}

/// What an event says beside its bytes.
#[derive(Clone, Copy)]
struct Head {
    kind: u16,
    arg: u32,
    flags: u16,
}

fn of_message(kind: Kind, end: bool) -> Head {
    Head { kind: kind::WS_MESSAGE, arg: kind as u32, flags: if end { flag::FIN } else { 0 } }
}

/// A range of the input that is worth being kept as it is.
fn slice_of(lent: Option<(&Block, usize)>, range: Range<usize>) -> Option<Slice> {
    let (block, start) = lent?;
    // A slice may pin at most four times its own size.
    (range.len() >= block.capacity() / 4)
        .then(|| Slice::Block { block: block.clone(), range: (start + range.start) as u32..(start + range.end) as u32 })
}

/// Tell a message, or a piece of one, that lies in the input.
fn message(exchange: &mut Exchange, way: &mut Way<'_>, kind: Kind, end: bool, bytes: &[u8], slice: Option<Slice>) {
    let head = of_message(kind, end);
    let Some(slice) = slice else { return copied(exchange, way, head, bytes) };
    let Some(block) = way.memory.block(Obj::<Body>::payload(0)) else {
        exchange.starved = true;
        return;
    };
    let charge = charge(exchange, bytes.len());
    let body = Obj::new(block, Body::new(slice, charge, Some(exchange.gate.clone())));
    push(exchange, way, head, bytes, body.into_block());
}

/// Tell bytes that are copied.
fn copied(exchange: &mut Exchange, way: &mut Way<'_>, head: Head, bytes: &[u8]) {
    let Some(mut assembly) = Assembly::new(way.memory, bytes.len()) else {
        exchange.starved = true;
        return;
    };
    assembly.append(way.memory, bytes, bytes.len() as u64);
    finished(exchange, way, head, assembly);
}

/// Tell what was assembled.
fn whole(exchange: &mut Exchange, way: &mut Way<'_>, kind: Kind, end: bool, assembly: Option<Assembly>) {
    match assembly {
        Some(assembly) => finished(exchange, way, of_message(kind, end), assembly),
        None => exchange.starved = true,
    }
}

fn finished(exchange: &mut Exchange, way: &mut Way<'_>, head: Head, assembly: Assembly) {
    let Assembly { mut obj, len } = assembly;
    *obj.parts_mut().0 = Copied::new(charge(exchange, len), Some(exchange.gate.clone()));
    let data = obj.tail().as_ptr() as usize;
    push_at(exchange, way, Head { flags: head.flags | flag::COPIED, ..head }, data, len, obj.into_block());
}

fn charge(exchange: &mut Exchange, len: usize) -> u64 {
    let charge = (len as u64).max(CHARGE_MIN);
    exchange.credit = exchange.credit.saturating_sub_unsigned(charge);
    charge
}

fn push(exchange: &mut Exchange, way: &mut Way<'_>, head: Head, bytes: &[u8], obj: Block) {
    push_at(exchange, way, head, bytes.as_ptr() as usize, bytes.len(), obj);
}

fn push_at(exchange: &mut Exchange, way: &mut Way<'_>, head: Head, data: usize, len: usize, obj: Block) {
    let event = sink::event(exchange, head.kind);
    let event = Event {
        flags: event.flags | head.flags,
        arg: head.arg,
        data: if len == 0 { 0 } else { data },
        len: len as u64,
        obj: Some(obj),
        ..event
    };
    way.outbox.told.messages += u64::from(event.kind == kind::WS_MESSAGE && event.flags & flag::FIN != 0);
    way.outbox.push(&exchange.queue, event);
}

/// Where a message is inflated to.
struct Inflated<'a, 'w> {
    way: &'a mut Way<'w>,
    exchange: &'a mut Exchange,
    kind: Kind,
    fragments: bool,
    max: u64,
    assembly: Option<Assembly>,
    /// Bytes of the message so far.
    size: &'a mut u64,
    utf8: Option<&'a mut Utf8>,
}

impl Room for Inflated<'_, '_> {
    fn room(&mut self) -> Result<&mut [u8], Rule> {
        if self.assembly.is_none() {
            self.assembly = Assembly::new(self.way.memory, INFLATE_ROOM);
        }
        // One byte more than is allowed shows that it is too many.
        let most = self.max.saturating_add(1);
        let grown = self.assembly.as_mut().is_some_and(|assembly| assembly.grow(self.way.memory, 1, most));
        self.exchange.starved |= !grown;
        match &mut self.assembly {
            Some(assembly) if grown => Ok(&mut assembly.obj.parts_mut().1[assembly.len..]),
            // Nobody will see what becomes of it.
            _ => Err(Rule::MessageTooLarge),
        }
    }

    fn wrote(&mut self, len: usize) -> Result<(), Rule> {
        let Some(assembly) = &mut self.assembly else { return Ok(()) };
        if let Some(utf8) = &mut self.utf8 {
            utf8.check(&assembly.obj.tail()[assembly.len..][..len])?;
        }
        assembly.len += len;
        *self.size += len as u64;
        if *self.size > self.max {
            return Err(Rule::MessageTooLarge);
        }
        if self.fragments && assembly.len == assembly.obj.tail_capacity() {
            let full = self.assembly.take();
            whole(self.exchange, self.way, self.kind, false, full);
        }
        Ok(())
    }
}
