//! Exchanges that share a connection: HTTP/2.
//!
//! Each connection has its [`Lanes`]: which exchange is on the stream in which place. What the connection says is put down
//! at the exchanges while it is read, and acted upon when that is done; then the connection is tended: whoever waits gets
//! the room that there is, and a connection that nobody uses becomes idle, or is closed if its peer wants no more of it.
//!
//! What exchanges open, hand over and cancel leaves at the end of the turn, in one piece (`Core::talk`).
//!
//! Invariants: an exchange on a shared connection stands in its lane, and no lane names another; the pool counts as many
//! requests on the connection as there are lanes in use.

use super::exchange::Exchange;
use super::failure::Cause;
use super::feed::{hand_over, has_more};
use super::gate::Paused;
use super::sink::{ExchangeSink, Users};
use super::upload::Source;
use super::{Client, ENOUGH_CREDIT, NOBODY, PING_TIMER, dispatch, ids};
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::connection::ConnId;
use crate::net::pump::Pumped;
use crate::net::reactor::Io;
use crate::net::wheel::TimerId;
use crate::pool::{Gone, OriginId};
use crate::proto::ws::Rule;
use crate::proto::{Fault, StreamKey, Tick};

/// Who is on a connection.
#[derive(Default)]
pub struct Lanes {
    /// The exchanges, by the places of their streams.
    slots: Vec<u32>,
    /// Those with more of a body to send, or whose memory is not given back yet.
    senders: Vec<u32>,
    /// Runs out no later than the connection's deadline.
    timer: Option<(TimerId, Tick)>,
}

impl Client {
    /// A connection speaks HTTP/2. How many exchanges it carries: until its peer has said so, as many as the one before did.
    pub(super) fn share<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, conn: ConnId) -> u32 {
        io.speak_h2(conn, self.pool.places(origin));
        self.tally.h2.connections += 1;
        self.lanes.insert(conn.slot as usize, Lanes::default());
        io.conn(conn).map_or(0, |c| c.capacity())
    }

    /// A stream is open for an exchange.
    pub(super) fn enter_lane<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, conn: ConnId, stream: StreamKey) {
        let slot = ids::slot(xid) as u32;
        self.tally.h2.streams += 1;
        let Some(lanes) = self.lanes.get_mut(conn.slot as usize) else { return };
        let at = stream.0 as usize;
        if lanes.slots.len() <= at {
            lanes.slots.resize(at + 1, NOBODY);
        }
        lanes.slots[at] = slot;
        if self.exchanges.get(slot as usize).is_some_and(|x| !x.upload.ended) {
            lanes.senders.push(slot);
        }
        io.transmit(conn);
        self.feed_stream(io, xid);
    }

    /// There is no stream for an exchange: the request cannot be said, or the connection takes no more.
    pub(super) fn not_opened<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, conn: ConnId, fault: Fault) {
        self.pool.give(conn);
        self.tally.h2.unprocessed += u64::from(matches!(fault, Fault::Unprocessed(_)));
        if !matches!(fault, Fault::Unsendable | Fault::NoExtendedConnect) {
            self.pool.retire(conn);
        }
        self.fail(io, xid, Cause::fault(fault));
        self.tend(io, conn);
    }

    /// An exchange is done with its stream, which is reset if it has not ended.
    pub(super) fn leave_lane<B: Backend>(&mut self, io: &mut Io<B>, x: &Exchange, conn: ConnId, stream: StreamKey) {
        let slot = ids::slot(x.xid) as u32;
        let Some(lanes) = self.lanes.get_mut(conn.slot as usize) else { return };
        // The place may be somebody else's by now: streams end in the protocol before their exchanges do.
        if let Some(lane) = lanes.slots.get_mut(stream.0 as usize).filter(|lane| **lane == slot) {
            *lane = NOBODY;
            io.cancel(conn, stream);
        }
        lanes.senders.retain(|&s| s != slot);
        if let Source::Whole { bytes, borrowed: true } = &x.upload.source
            && !x.upload.returned
        {
            io.disown(conn, &bytes.as_ptr_range());
        }
        self.pool.give(conn);
        if x.request.close {
            self.pool.retire(conn);
        }
    }

    /// The same for an exchange that goes on elsewhere.
    pub(super) fn quit_lane<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, conn: ConnId, stream: StreamKey) {
        let slot = ids::slot(xid);
        let Some(exchange) = self.exchanges.remove(slot) else { return };
        self.leave_lane(io, &exchange, conn, stream);
        self.exchanges.insert(slot, exchange);
        self.tend(io, conn);
    }

    /// Read from a shared connection, or let it say what it has to say without that.
    pub(super) fn receive_shared<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId, read: bool) {
        let now = io.now();
        let Some(lanes) = self.lanes.get_mut(id.slot as usize).filter(|_| io.conn(id).is_some()) else { return };
        let slots = std::mem::take(&mut lanes.slots);
        let mut touched = std::mem::take(&mut self.touched);
        let users = Users::Many { exchanges: &mut self.exchanges, lanes: &slots, touched: &mut touched };
        let mut sink = ExchangeSink::new(users, &mut self.outbox, &mut self.memory, &mut self.log, &self.shelf, now);
        let pumped = if read { io.pump(id, &mut sink) } else { io.speak(id, &mut sink) };
        sink.settle();
        self.tally.h2.goaways += u64::from(io.take_goaway(id));
        if let Some(lanes) = self.lanes.get_mut(id.slot as usize) {
            lanes.slots = slots;
        }
        for slot in touched.drain(..) {
            self.act(io, slot);
        }
        self.touched = touched;
        match pumped {
            Pumped::Drained | Pumped::Paused => {}
            Pumped::Closed => return self.lose(io, id, Cause::code(e::CHTTP_E_CONNECTION_LOST), Gone::Peer),
            Pumped::Fault(fault) => {
                self.tally.h2.floods += u64::from(fault == Fault::Flood);
                return self.lose(io, id, Cause::fault(fault), Gone::Failed);
            }
            Pumped::Lost(error) => return self.lose(io, id, Cause::lost(&error), Gone::Peer),
            Pumped::Insecure(error) => {
                let detail = error.message.as_str();
                self.note(id, detail);
                return self.lose(io, id, Cause::tls(&error), Gone::Failed);
            }
        }
        self.tend(io, id);
        if !read {
            self.flushed_shared(io, id);
        }
    }

    /// Act upon what an exchange was told.
    fn act<B: Backend>(&mut self, io: &mut Io<B>, slot: u32) {
        let now = io.now();
        let Some(exchange) = self.exchanges.get_mut(slot as usize) else { return };
        let xid = exchange.xid;
        let Some((conn, stream)) = exchange.conn else { return };
        let told = std::mem::take(&mut exchange.told);
        exchange.told.heard = told.heard;
        if exchange.starved {
            return self.fail(io, xid, Cause::code(e::CHTTP_E_NOMEM));
        }
        if let Some(code) = exchange.unfit {
            return self.fail(io, xid, Cause::code(code));
        }
        if exchange.finished {
            self.answer_end(io, xid);
            return self.conclude(io, xid);
        }
        if let Some(ws) = exchange.ws.as_ref().filter(|_| told.failed.is_some()) {
            match ws.verdict() {
                Ok(()) => return self.conclude(io, xid),
                Err(Rule::Abnormal) => {}
                Err(rule) => return self.fail(io, xid, Cause::fault(Fault::WebSocket(rule))),
            }
        }
        if let Some(fault) = told.failed {
            self.tally.h2.resets += u64::from(matches!(fault, Fault::StreamReset(_)));
            self.tally.h2.unprocessed += u64::from(matches!(fault, Fault::Unprocessed(_)));
            return self.fail(io, xid, Cause::fault(fault));
        }
        if told.denied {
            let enough = (exchange.request.recv_credit / 2).clamp(1, ENOUGH_CREDIT);
            match exchange.gate.pause(enough) {
                Paused::Nothing => {}
                Paused::Little => drop(exchange.nudge.get_or_insert(now.after(dispatch::NUDGE_NS))),
                Paused::Enough => io.credit(conn, stream),
            }
            if exchange.has_worked(now) {
                exchange.nudge.get_or_insert(now.after(dispatch::NUDGE_NS));
            }
        }
        if told.go_ahead {
            exchange.upload.held = false;
        }
        if exchange.ws.is_some() && !self.attend(io, xid) {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(slot as usize) else { return };
        let tunnel_opened = exchange.tunnel && !exchange.upload.pieces.is_empty();
        if told.go_ahead || told.writable || tunnel_opened || exchange.heard_end {
            self.feed_stream(io, xid);
        } else {
            self.watch(io, xid);
        }
    }

    /// Hand over what there is of a request's body, as far as the peer's window goes.
    pub(super) fn feed_stream<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let now = io.now();
        let slot = ids::slot(xid);
        let Some(exchange) = self.exchanges.get_mut(slot).filter(|x| x.xid == xid) else { return };
        let Some((conn, stream)) = exchange.conn else { return };
        let before = (exchange.bytes_sent, exchange.upload.ended);
        if !exchange.upload.held
            && let Err(cause) = hand_over(io, &mut self.writer, exchange, conn, stream)
        {
            return self.fail(io, xid, cause);
        }
        if (exchange.bytes_sent, exchange.upload.ended) != before {
            exchange.sent_at = now;
            exchange.upload.unflushed = true;
            io.transmit(conn);
        }
        if exchange.heard_end && exchange.upload.ended && !exchange.upload.unflushed {
            self.conclude(io, xid);
            return self.tend(io, conn);
        }
        let nothing_to_send = matches!(exchange.upload.source, Source::None);
        let waits = !exchange.upload.ended && !exchange.upload.held && has_more(exchange);
        // A peer that takes nothing: its window is shut, or its socket full.
        exchange.unsent = usize::from(waits && !exchange.awaits_tunnel());
        if nothing_to_send || exchange.awaits_tunnel() {
            self.sent(now, slot);
        } else if let Some(lanes) = self.lanes.get_mut(conn.slot as usize)
            && !lanes.senders.contains(&(slot as u32))
        {
            lanes.senders.push(slot as u32);
        }
        self.watch(io, xid);
    }

    /// Everything that was written is out: account for it, and hand over more.
    pub(super) fn flushed_shared<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId) {
        let now = io.now();
        if io.conn(id).is_none_or(|c| c.unsent() > 0 || c.sending_failed() || !c.is_spoken()) {
            return;
        }
        let Some(lanes) = self.lanes.get_mut(id.slot as usize).filter(|l| !l.senders.is_empty()) else { return };
        let mut senders = std::mem::take(&mut lanes.senders);
        let mut ended = false;
        senders.retain(|&slot| {
            let Some(exchange) = self.exchanges.get_mut(slot as usize) else { return false };
            if exchange.upload.held {
                return true;
            }
            let xid = exchange.xid;
            if std::mem::take(&mut exchange.upload.unflushed) {
                self.sent(now, slot as usize);
            }
            let Some(exchange) = self.exchanges.get_mut(slot as usize) else { return false };
            if exchange.heard_end && exchange.upload.ended {
                self.conclude(io, xid);
                ended = true;
                return false;
            }
            // Whoever came when too much was unsent has not asked for room yet.
            if !exchange.upload.ended && has_more(exchange) {
                self.feed_stream(io, xid);
            }
            self.exchanges.get(slot as usize).is_some_and(|x| x.xid == xid && !x.upload.ended)
        });
        if let Some(lanes) = self.lanes.get_mut(id.slot as usize) {
            // Feeding has entered those that are still there.
            lanes.senders.retain(|slot| !senders.contains(slot));
            lanes.senders.append(&mut senders);
        }
        if ended {
            self.tend(io, id);
        }
    }

    /// A connection is as it is: give what room it has to those who wait, and put it away if nobody uses it.
    pub(super) fn tend<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId) {
        let Some(c) = io.conn(id) else { return };
        let (origin, mut room, going) = (c.origin, c.capacity(), !io.reusable_shared(id));
        if going {
            self.pool.retire(id);
            room = 0;
        }
        self.pool.set_room(id, room);
        if self.closed.is_none() {
            let mut served = false;
            while self.pool.has_room(id) && self.serve_next(io, origin, id) {
                served = true;
            }
            // Another dial may be worth a try now, or none any more.
            if served || room == 0 {
                self.refill(io);
            }
        }
        if io.conn(id).is_none() {
            return;
        }
        self.watch_peer(io, id);
        if self.pool.requests_on(id) > 0 {
            return;
        }
        if self.pool.is_retired(id) {
            self.let_go(io, id, if going { Gone::Peer } else { Gone::Spent });
        } else if !self.pool.is_idle(id) {
            self.shelve(io, id);
        }
    }

    /// The connection is of no use any more; every exchange on it fails, or is tried again.
    fn lose<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId, cause: Cause, why: Gone) {
        let Some(lanes) = self.close_lanes(io, id) else { return };
        // Closing first gives up borrowed memory. Not by a reset, which could overtake what we had to say.
        self.hang_up(io, id, false, why);
        for slot in lanes.slots.into_iter().filter(|&slot| slot != NOBODY) {
            if let Some(exchange) = self.exchanges.get_mut(slot as usize) {
                exchange.conn = None;
                let xid = exchange.xid;
                if self.ends_well(xid) {
                    self.conclude(io, xid);
                } else {
                    self.fail(io, xid, cause);
                }
            }
        }
        self.stir(io);
        self.refill(io);
    }

    /// A connection is closed.
    pub(super) fn close_lanes<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId) -> Option<Lanes> {
        let mut lanes = self.lanes.remove(id.slot as usize)?;
        if let Some((timer, _)) = lanes.timer.take() {
            io.wheel.cancel(timer);
        }
        Some(lanes)
    }

    /// Words for the failure of all that are on a connection.
    fn note(&mut self, id: ConnId, detail: &str) {
        let Some(lanes) = self.lanes.get(id.slot as usize) else { return };
        for &slot in &lanes.slots {
            if let Some(exchange) = self.exchanges.get_mut(slot as usize) {
                exchange.detail = Some(detail.into());
            }
        }
    }

    /// See to it that the peer is asked in time whether it is there.
    fn watch_peer<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId) {
        let at = io.deadline(id);
        let Some(lanes) = self.lanes.get_mut(id.slot as usize) else { return };
        if at == Tick::NEVER || lanes.timer.is_some_and(|(_, set)| set <= at) {
            return;
        }
        if let Some((timer, _)) = lanes.timer.take() {
            io.wheel.cancel(timer);
        }
        lanes.timer = Some((io.wheel.insert(at, PING_TIMER | u64::from(id.slot)), at));
    }

    pub(super) fn ping_due<B: Backend>(&mut self, io: &mut Io<B>, slot: u64) {
        let Some(lanes) = self.lanes.get_mut(slot as usize) else { return };
        lanes.timer = None;
        let Some(id) = io.conn_at(slot as u32) else { return };
        match io.on_deadline(id) {
            Ok(()) => self.watch_peer(io, id),
            Err(fault) => {
                self.tally.h2.ping_timeouts += u64::from(fault == Fault::Unanswered);
                self.lose(io, id, Cause::fault(fault), Gone::Failed);
            }
        }
    }

    /// Lanes, exchanges, connections and the pool must agree. For tests.
    pub(super) fn audit_lanes<B: Backend>(&self, io: &Io<B>) {
        let (mut lanes_used, mut shared) = (0, 0);
        for id in io.conn_ids() {
            if !io.conn(id).is_some_and(|c| c.is_shared()) {
                continue;
            }
            let lanes = self.lanes.get(id.slot as usize).expect("a shared connection has lanes");
            let used: Vec<u32> = lanes.slots.iter().copied().filter(|&slot| slot != NOBODY).collect();
            for &slot in &used {
                let exchange = self.exchanges.get(slot as usize).expect("a lane names an exchange");
                assert_eq!(exchange.conn.map(|(conn, _)| conn), Some(id));
            }
            assert_eq!(self.pool.requests_on(id) as usize, used.len(), "requests on a connection");
            lanes_used += used.len();
            shared += 1;
        }
        assert_eq!(self.lanes.len(), shared, "lanes without a connection");
        let on_shared = |x: &&Exchange| x.conn.is_some_and(|(conn, _)| io.conn(conn).is_some_and(|c| c.is_shared()));
        assert_eq!(self.exchanges.iter().filter(on_shared).count(), lanes_used, "an exchange without a lane");
    }
}
