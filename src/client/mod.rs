//! What becomes of a request: checkout, sending, receiving, time-outs, cancelling, and the one terminal event.
//!
//! [`Client`] is the state that a turn works on, beside the reactor's [`Io`]; it is the reactor's [`Agent`]. [`Engine`]
//! owns both, decides who may take a turn, and is what the C interface talks to.
#![forbid(unsafe_code)]

pub mod engine;
pub mod exchange;
pub mod failure;
pub mod gate;
pub mod ids;
pub mod request;
pub mod response;
pub mod settings;
pub mod upload;

mod dialer;
mod dispatch;
mod outbox;
mod outcome;
mod sink;
mod turn;

pub use engine::Engine;
pub use request::Request;
pub use settings::Settings;

use crate::mem;
use crate::net::connection::ConnId;
use crate::net::reactor::{Agent, Io, Pumped};
use crate::net::{backend::Backend, wheel::TimerId};
use crate::pool::Pool;
use crate::proto::Tick;
use dialer::Dialer;
use exchange::Exchange;
use failure::Cause;
use gate::Paused;
use ids::Ids;
use outbox::Outbox;
use sink::ExchangeSink;
use std::io;
use std::sync::Arc;

/// Credit that a paused exchange waits for, at most: a whole receive buffer.
const ENOUGH_CREDIT: u64 = mem::Pool::RECEIVE as u64;
/// `Conn::owner` of an idle connection.
const NOBODY: u32 = u32::MAX;
/// Timer keys: an exchange's is its id (below 2^56), a dial's its slot with this bit.
const DIAL_TIMER: u64 = 1 << 63;
const IDLE_TIMER: u64 = u64::MAX;

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
}

pub struct Client {
    settings: Settings,
    exchanges: Vec<Option<Exchange>>,
    live: usize,
    pool: Pool,
    dialer: Dialer,
    outbox: Outbox,
    memory: mem::Pool,
    ids: Arc<Ids>,
    /// Ids to give back at the end of the turn, after their events are published.
    spent: Vec<u64>,
    idle_timer: Option<TimerId>,
    /// `refill` is at work.
    refilling: bool,
    /// The engine has ended, and with this code every exchange that comes too late.
    closed: Option<i32>,
    tally: Tally,
}

impl Client {
    fn new(settings: Settings, ids: Arc<Ids>, dialer: Dialer) -> Client {
        Client {
            pool: Pool::new(settings.pool.clone()),
            settings,
            exchanges: Vec::new(),
            live: 0,
            dialer,
            outbox: Outbox::default(),
            memory: mem::Pool::default(),
            ids,
            spent: Vec::new(),
            idle_timer: None,
            refilling: false,
            closed: None,
            tally: Tally::default(),
        }
    }

    fn exchange(&mut self, xid: u64) -> Option<&mut Exchange> {
        self.exchanges.get_mut(ids::slot(xid))?.as_mut().filter(|x| x.xid == xid)
    }

    fn is_waiting(exchanges: &[Option<Exchange>], xid: u64) -> bool {
        exchanges.get(ids::slot(xid)).is_some_and(|x| x.as_ref().is_some_and(|x| x.xid == xid && x.conn.is_none()))
    }

    /// Read from a connection, for the exchange that uses it.
    fn receive<B: Backend>(&mut self, io: &mut Io<B>, id: ConnId) {
        let Some(owner) = io.conn(id).map(|c| c.owner) else { return };
        let now = io.now();
        let exchange = self.exchanges.get_mut(owner as usize).and_then(Option::as_mut);
        let mut sink = ExchangeSink::new(exchange, &mut self.outbox, &mut self.memory, now);
        let pumped = io.pump(id, &mut sink);
        sink.settle();
        let go_ahead = sink.go_ahead;
        let Some(exchange) = self.exchanges.get_mut(owner as usize).and_then(Option::as_mut) else {
            if !matches!(pumped, Pumped::Drained) {
                self.drop_idle(io, id);
            }
            return;
        };
        let xid = exchange.xid;
        if exchange.starved {
            return self.fail(io, xid, Cause::code(crate::error::CHTTP_E_NOMEM));
        }
        if exchange.finished {
            return self.conclude(io, xid);
        }
        match pumped {
            Pumped::Drained => {}
            Pumped::Paused => {
                let enough = (exchange.request.recv_credit / 2).clamp(1, ENOUGH_CREDIT);
                match exchange.gate.pause(enough) {
                    Paused::Nothing => {}
                    Paused::Little => drop(exchange.nudge.get_or_insert(now.after(dispatch::NUDGE_NS))),
                    Paused::Enough => io.resume(id),
                }
            }
            // The protocol allows an end only where it also ends the message, which was handled above.
            Pumped::Closed => return self.fail(io, xid, Cause::code(crate::error::CHTTP_E_CONNECTION_LOST)),
            Pumped::Fault(fault) => return self.fail(io, xid, Cause::fault(fault)),
            Pumped::Lost(error) => return self.fail(io, xid, Cause::lost(&error)),
        }
        let go_ahead = go_ahead && exchange.upload.held;
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
        let Some(origin) = io.conn(id).map(|c| c.origin) else { return };
        io.close(id, false);
        self.pool.closed(origin, Some(id));
        self.refill(io);
    }

    /// Connections that have been idle for too long.
    fn expire_idle<B: Backend>(&mut self, io: &mut Io<B>) {
        let next = self.pool.expire(io.now(), |id| io.close(id, false));
        self.idle_timer = (next != Tick::NEVER).then(|| io.wheel.insert(next, IDLE_TIMER));
        self.refill(io);
    }

    /// Exchanges, connections and books must agree. For tests; costs a walk over everything.
    pub fn audit<B: Backend>(&self, io: &Io<B>) {
        self.pool.audit();
        let live = self.exchanges.iter().flatten().count();
        assert_eq!(live, self.live);
        let busy = self.exchanges.iter().flatten().filter(|x| x.conn.is_some()).count();
        let counts = self.pool.counts();
        assert_eq!(
            counts.open as usize,
            busy + counts.idle as usize + self.dialer.count(),
            "a place in the pool was lost"
        );
        assert_eq!(io.conn_count(), busy + counts.idle as usize + self.dialer.connecting());
        let waiting = self.exchanges.iter().flatten().filter(|x| x.conn.is_none()).count();
        assert_eq!(counts.waiting as usize, waiting, "a waiter was lost");
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
        let Some(owner) = io.conn(id).map(|c| c.owner) else { return };
        if let Some(xid) = self.exchanges.get(owner as usize).and_then(|x| Some(x.as_ref()?.xid)) {
            self.feed(io, xid);
        }
    }

    fn expired(&mut self, io: &mut Io<B>, key: u64) {
        match key {
            IDLE_TIMER => self.expire_idle(io),
            key if key & DIAL_TIMER != 0 => self.dial_timed_out(io, key & !DIAL_TIMER),
            xid => self.timed_out(io, xid),
        }
    }
}
