//! What becomes of a request: checkout, sending, receiving, time-outs, cancelling, and the one terminal event.
//!
//! [`Client`] is the state that a turn works on, beside the reactor's [`Io`]; it is the reactor's [`Agent`]. [`Engine`]
//! owns both, decides who may take a turn, and is what the C interface talks to.
#![forbid(unsafe_code)]

pub mod engine;
pub mod events;
pub mod exchange;
pub mod failure;
pub mod gate;
pub mod ids;
pub mod lease;
pub mod request;
pub mod response;
pub mod settings;
pub mod sources;
pub mod trust;
pub mod upload;

mod dialer;
mod dispatch;
mod feed;
pub mod logging;
mod outbox;
mod outcome;
mod reconnect;
mod shared;
mod sink;
pub mod stream;
mod turn;
pub mod websocket;

pub use engine::Engine;
pub use request::Request;
pub use settings::Settings;

use crate::mem::{self, Table};
use crate::net::backend::{Backend, Edge};
use crate::net::connection::ConnId;
use crate::net::pump::Pumped;
use crate::net::reactor::{Agent, Io};
use crate::net::secure::Insecure;
use crate::net::wheel::TimerId;
use crate::pool::{Gone, Pool};
use crate::proto::Tick;
use crate::proto::ws::deflate::Shelf;
use dialer::Dialer;
use exchange::Exchange;
use failure::{Cause, Phase};
use gate::Paused;
use ids::Ids;
use logging::Logging;
use outbox::Outbox;
use shared::Lanes;
use sink::{ExchangeSink, Users};
use sources::{Sources, is_source};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use websocket::Writer;

/// Credit that a paused exchange waits for, at most: a whole receive buffer.
const ENOUGH_CREDIT: u64 = mem::Pool::RECEIVE as u64;
/// `Conn::owner` of an idle connection.
const NOBODY: u32 = u32::MAX;
/// Timer keys: an exchange's is its id (below 2^56), a source's its id too, a dial's its slot with this bit.
const DIAL_TIMER: u64 = 1 << 63;
/// Those of connections that may ask whether their peer is there: the slot with this bit.
const PING_TIMER: u64 = 1 << 61;
const IDLE_TIMER: u64 = u64::MAX;
const TIDY_TIMER: u64 = u64::MAX - 1;
const LINE_TIMER: u64 = u64::MAX - 2;
/// Three times this after a peak at the latest, its memory is given back.
const TIDY_NS: u64 = 250_000_000;
/// After so many exchanges at a time, the C library's heap is worth being trimmed: each had several small objects there.
const CROWD: usize = 2048;
/// Entries of a list that a calm client keeps room for.
const SPARE: usize = 64;

/// What has happened so far. Never goes down, but for the gauges that `Engine::stats` adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub submitted: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub retried: u64,
    pub connections_opened: u64,
    pub connections_reused: u64,
    pub connect_failures: u64,
    pub h2: H2Tally,
}

/// The same of HTTP/2 alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct H2Tally {
    pub connections: u64,
    pub streams: u64,
    /// Connections whose peer has said that it wants no more (GOAWAY).
    pub goaways: u64,
    /// Streams that the peer has reset.
    pub resets: u64,
    /// Streams that the peer has not looked at, as it says.
    pub unprocessed: u64,
    /// Of those, the ones that were sent again.
    pub replayed: u64,
    pub ping_timeouts: u64,
    /// Connections that were given up because of too many frames that carry nothing.
    pub floods: u64,
}

pub struct Client {
    settings: Settings,
    exchanges: Table<Exchange>,
    /// Who is on the connections that many share, by the slots of those.
    lanes: Table<Lanes>,
    /// Exchanges that a shared connection has told something.
    touched: Vec<u32>,
    pool: Pool,
    dialer: Dialer,
    sources: Sources,
    outbox: Outbox,
    pub log: Logging,
    memory: mem::Pool,
    /// What WebSockets write their frames with.
    writer: Writer,
    /// What compresses for all WebSockets.
    shelf: Arc<Shelf>,
    ids: Arc<Ids>,
    /// Ids to give back at the end of the turn, after their events are published.
    spent: Vec<u64>,
    idle_timer: Option<(TimerId, Tick)>,
    tidy_timer: Option<TimerId>,
    /// Exchanges have ended, or connections, since the last tidying up.
    stirred: bool,
    /// Blocks that were out when it was tidied up last.
    lent: usize,
    /// The most exchanges at a time since the heap was trimmed.
    crowd: usize,
    /// `refill` is at work.
    refilling: bool,
    /// The engine has ended, and with this code every exchange that comes too late.
    closed: Option<i32>,
    tally: Tally,
    /// For what is left to chance.
    dice: u64,
}

impl Client {
    fn new(settings: Settings, ids: Arc<Ids>, dialer: Dialer, sources: Sources) -> Client {
        Client {
            pool: Pool::new(settings.pool.clone()),
            log: Logging::new(settings.log_level, settings.log.clone()),
            settings,
            exchanges: Table::default(),
            lanes: Table::default(),
            touched: Vec::new(),
            dialer,
            sources,
            outbox: Outbox::default(),
            memory: mem::Pool::default(),
            writer: Writer::default(),
            shelf: Arc::default(),
            ids,
            spent: Vec::new(),
            idle_timer: None,
            tidy_timer: None,
            stirred: false,
            lent: 0,
            crowd: 0,
            refilling: false,
            closed: None,
            tally: Tally::default(),
            dice: RandomState::new().hash_one(0),
        }
    }

    fn exchange(&mut self, xid: u64) -> Option<&mut Exchange> {
        self.exchanges.get_mut(ids::slot(xid)).filter(|x| x.xid == xid)
    }

    /// Read from a connection, for the exchange that uses it.
    fn receive<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId) {
        let Some((owner, shared)) = io.conn(id).map(|c| (c.owner, c.is_shared())) else { return };
        if shared {
            return self.receive_shared(io, id, true);
        }
        let now = io.now();
        let users = self.exchanges.get_mut(owner as usize).map_or(Users::None, Users::One);
        let mut sink = ExchangeSink::new(users, &mut self.outbox, &mut self.memory, &mut self.log, &self.shelf, now);
        let pumped = io.pump(id, &mut sink);
        sink.settle();
        let Some(exchange) = self.exchanges.get_mut(owner as usize) else {
            if !matches!(pumped, Pumped::Drained) {
                self.drop_idle(io, id);
            }
            return;
        };
        let xid = exchange.xid;
        if exchange.starved {
            return self.fail(io, xid, Cause::code(crate::error::CHTTP_E_NOMEM));
        }
        if let Some(code) = exchange.unfit {
            return self.fail(io, xid, Cause::code(code));
        }
        if exchange.finished {
            return self.conclude(io, xid);
        }
        if exchange.heard_end {
            return self.half_closed(io, xid, id);
        }
        if let Some(fault) = exchange.told.failed.take() {
            return self.fail(io, xid, Cause::fault(fault));
        }
        let ended = !matches!(pumped, Pumped::Drained | Pumped::Paused);
        if exchange.ws.is_some() && ended && self.ends_well(xid) {
            return self.conclude(io, xid);
        }
        if !self.attend(io, xid) {
            return;
        }
        let Some(exchange) = self.exchanges.get_mut(owner as usize) else { return };
        match pumped {
            Pumped::Drained => {}
            Pumped::Paused => {
                let enough = (exchange.request.recv_credit / 2).clamp(1, ENOUGH_CREDIT);
                match exchange.gate.pause(enough) {
                    Paused::Nothing => {}
                    Paused::Little => drop(exchange.nudge.get_or_insert(now.after(dispatch::NUDGE_NS))),
                    Paused::Enough => io.resume(id),
                }
                if exchange.has_worked(now) {
                    exchange.nudge.get_or_insert(now.after(dispatch::NUDGE_NS));
                }
            }
            // The protocol allows an end only where it also ends the message, which was handled above.
            Pumped::Closed => return self.fail(io, xid, Cause::code(crate::error::CHTTP_E_CONNECTION_LOST)),
            Pumped::Fault(fault) => return self.fail(io, xid, Cause::fault(fault)),
            Pumped::Lost(error) => return self.fail(io, xid, Cause::lost(&error)),
            Pumped::Insecure(error) => return self.fail_tls(io, xid, &error),
        }
        let go_ahead = std::mem::take(&mut exchange.told.go_ahead) && exchange.upload.held;
        if go_ahead {
            exchange.upload.held = false;
        }
        // What was written before the tunnel was there.
        if go_ahead || exchange.tunnel && !exchange.upload.pieces.is_empty() {
            self.feed(io, xid);
        } else {
            self.watch(io, xid);
        }
    }

    /// An idle connection was closed by its peer, or spoke out of turn.
    fn drop_idle<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId) {
        self.let_go(io, id, Gone::Peer);
    }

    /// Connections that have been idle for too long.
    fn expire_idle<B: Backend>(&mut self, io: &mut Io<B>) {
        let before = self.pool.counts().open;
        let mut expired = Vec::new();
        self.pool.expire(io.now(), |id| expired.push(id));
        for id in expired {
            self.close_lanes(io, id);
            io.close(id, false);
        }
        self.watch_idle(io);
        if self.pool.counts().open < before {
            self.stir(io);
            self.refill(io);
        }
    }

    /// See to it that the timer of idle connections runs out in time.
    fn watch_idle<B: Backend>(&mut self, io: &mut Io<B>) {
        let at = self.pool.next_due();
        if at == Tick::NEVER || self.idle_timer.is_some_and(|(_, set)| set <= at) {
            return;
        }
        if let Some((timer, _)) = self.idle_timer.take() {
            io.wheel.cancel(timer);
        }
        self.idle_timer = Some((io.wheel.insert(at, IDLE_TIMER), at));
    }

    /// Something has ended, and its memory can be given back, unless it is needed again soon. The timer runs only while that
    /// goes on: an engine without work sleeps.
    fn stir<B: Backend>(&mut self, io: &mut Io<B>) {
        self.stirred = true;
        if self.tidy_timer.is_none() {
            self.tidy_timer = Some(io.wheel.insert(io.now().after(TIDY_NS), TIDY_TIMER));
        }
    }

    fn tidy<B: Backend>(&mut self, io: &mut Io<B>) {
        self.tidy_timer = None;
        // What the application has yet to release will be free memory, too: there is no calm while it does.
        let lent = self.memory.lent();
        let calm = !std::mem::take(&mut self.stirred) & (std::mem::replace(&mut self.lent, lent) == lent);
        io.tidy(calm);
        self.exchanges.tidy();
        self.lanes.tidy();
        self.dialer.tidy();
        self.sources.tidy();
        self.pool.tidy(calm);
        self.memory.tidy();
        if calm {
            self.ids.tidy(SPARE);
            self.writer.tidy();
            self.shelf.clear();
            self.spent.shrink_to(SPARE);
            self.touched.shrink_to(SPARE);
            self.outbox.tidy();
            // Once most of a crowd is gone.
            if self.crowd >= CROWD.max(self.exchanges.len() * 2) && self.settings.trim_heap {
                mem::page::trim_heap();
                self.crowd = self.exchanges.len();
            }
        } else {
            self.stir(io);
            self.stirred = false;
        }
    }

    /// Exchanges, connections and books must agree. For tests; costs a walk over everything.
    pub fn audit<B: Backend>(&self, io: &Io<B>) {
        self.pool.audit();
        self.dialer.audit();
        assert_eq!(self.exchanges.iter().count(), self.exchanges.len());
        let connections = self.exchanges.iter().filter_map(|x| x.conn.map(|(conn, _)| conn));
        let busy = connections.collect::<std::collections::HashSet<_>>().len();
        self.audit_lanes(io);
        let counts = self.pool.counts();
        assert_eq!(
            counts.open as usize,
            busy + counts.idle as usize + self.dialer.count(),
            "a place in the pool was lost"
        );
        assert_eq!(io.conn_count(), busy + counts.idle as usize + self.dialer.connecting());
        assert_eq!(io.watch_count(), self.sources.watch_count(), "a watch was lost");
        let rests = |x: &&Exchange| x.phase == Phase::Reconnecting;
        let waiting = self.exchanges.iter().filter(|x| x.conn.is_none() && !rests(x)).count();
        assert_eq!(counts.waiting as usize, waiting, "a waiter was lost");
        let in_need = |x: &&Exchange| x.conn.is_none() && x.dial.is_none() && !rests(x);
        assert_eq!(counts.queued as usize, self.exchanges.iter().filter(in_need).count());
        let Tally { submitted, succeeded, failed, cancelled, connections_opened, .. } = self.tally;
        assert_eq!(submitted, succeeded + failed + cancelled + self.exchanges.len() as u64);
        assert_eq!(connections_opened, counts.opened);
    }
}

impl<B: Backend> Agent<B> for Client {
    fn dialled(&mut self, io: &mut Io<B>, id: ConnId, result: io::Result<()>) {
        self.dial_done(io, id, result);
    }

    fn readable(&mut self, io: &mut Io<B>, id: ConnId) {
        self.receive(io, id);
    }

    fn flushed(&mut self, io: &mut Io<B>, id: ConnId) {
        let Some((owner, shared)) = io.conn(id).map(|c| (c.owner, c.is_shared())) else { return };
        if shared {
            return self.flushed_shared(io, id);
        }
        if let Some(xid) = self.exchanges.get(owner as usize).map(|x| x.xid) {
            self.feed(io, xid);
        }
    }

    fn secured(&mut self, io: &mut Io<B>, id: ConnId, outcome: Result<(), Insecure>) {
        match self.stream_on(io, id) {
            Some(xid) => self.stream_secured(io, xid, outcome),
            None => self.dial_secured(io, id, outcome),
        }
    }

    fn watched(&mut self, io: &mut Io<B>, owner: u64, edge: Edge) {
        self.source_ready(io, owner, edge);
    }

    fn memory(&mut self) -> &mut mem::Pool {
        &mut self.memory
    }

    fn expired(&mut self, io: &mut Io<B>, key: u64) {
        match key {
            IDLE_TIMER => {
                self.idle_timer = None;
                self.expire_idle(io);
            }
            TIDY_TIMER => self.tidy(io),
            LINE_TIMER => self.line_timed_out(io),
            key if is_source(key) => self.source_expired(key),
            key if key & DIAL_TIMER != 0 => self.dial_timed_out(io, key & !DIAL_TIMER),
            key if key & PING_TIMER != 0 => self.ping_due(io, key & !PING_TIMER),
            xid => self.timed_out(io, xid),
        }
    }
}
