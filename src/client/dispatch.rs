//! From a submitted request to bytes on a connection.

use super::events::Subscription;
use super::exchange::{Delivery, Due, Exchange, Told};
use super::failure::{Cause, Phase};
use super::gate::Gate;
use super::outcome::is_idempotent;
use super::response::{Route, Timing};
use super::upload::{Piece, Source, Upload};
use super::{Client, NOBODY, Request, ids};
use crate::diag::{self, Level};
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::connection::ConnId;
use crate::net::reactor::Io;
use crate::pool::{Checkout, Gone, OriginId, Reason};
use crate::proto::{StreamKey, Tick};
use crate::queue::event::{flag, kind};
use crate::queue::{Event, Queue};
use std::sync::Arc;

/// How long a paused exchange waits for more credit than a little.
pub(super) const NUDGE_NS: u64 = 1_000_000;
/// Nothing is supposed to have come to a connection that was looked at such a short while ago.
const UNSEEN_NS: u64 = 10_000_000;

/// A request on its way into the engine.
pub struct Submission {
    pub xid: u64,
    pub request: Box<Request>,
    pub queue: Arc<Queue>,
    pub gate: Arc<Gate>,
}

impl Client {
    /// Take a request in and start it.
    pub(super) fn accept<B: Backend>(&mut self, io: &mut Io<B>, submission: Submission) {
        if let Some(code) = self.closed {
            return self.refuse(submission, code);
        }
        let Submission { xid, mut request, queue, gate } = submission;
        let now = io.now();
        let origin = self.pool.origin(&request.origin);
        let held = request.head.expects_continue;
        let body = std::mem::replace(&mut request.body, Source::None);
        let exchange = Exchange {
            xid,
            credit: i64::try_from(request.recv_credit).unwrap_or(i64::MAX),
            delivery: if request.collect { Delivery::Collect(None) } else { Delivery::Stream },
            subscription: request.sse.take().map(|sse| Box::new(Subscription::new(*sse))),
            upload: Upload::new(body, held),
            request: *request,
            queue,
            gate,
            phase: Phase::Queued,
            since: now,
            submitted: now,
            origin,
            waiter: None,
            dial: None,
            conn: None,
            nudge: None,
            gathered: None,
            gathers_much: false,
            timer: None,
            heard_at: now,
            sent_at: now,
            unsent: 0,
            status: 0,
            route: Route { attempt: 1, ..Route::default() },
            timing: Timing::default(),
            bytes_sent: 0,
            answered: false,
            tunnel: false,
            heard_end: false,
            told: Told::default(),
            ws: None,
            finished: false,
            starved: false,
            unfit: None,
            detail: None,
        };
        let slot = ids::slot(xid);
        // An id is given back after its exchange is gone: the slot is free.
        self.exchanges.insert(slot, exchange);
        self.crowd = self.crowd.max(self.exchanges.len());
        self.tally.submitted += 1;
        self.log.add(Level::Debug, now, xid, || {
            let x = self.exchanges.get(slot).expect("it was put there just now");
            let (key, head) = (&x.request.origin, x.request.head.request());
            if x.request.is_raw() {
                return format!("raw stream to {}:{}: submitted", key.host, key.port);
            }
            let target = diag::redact_target(head.target);
            format!("{} {target} at {}:{}: submitted", head.method.escape_ascii(), key.host, key.port)
        });
        self.find_place(io, xid);
    }

    /// A connection for a request that has just come, or a place in the queue.
    pub(super) fn find_place<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let Some(origin) = self.exchange(xid).map(|x| x.origin) else { return };
        // Another connection is tried for it if this one turns out to be dead.
        let careless = self.exchange(xid).is_some_and(|x| is_idempotent(x.request.head.request().method));
        let unseen_ns = if careless || io.owes_look() == Tick::NEVER { UNSEEN_NS } else { 0 };
        if let Some(conn) = self.checkout(io, origin, unseen_ns) {
            let used = io.conn(conn).is_some_and(|c| c.served > 0);
            if let Some(exchange) = self.exchange(xid) {
                exchange.route.reason = if used { Reason::Reused } else { Reason::Prepared };
            }
            return self.start(io, xid, conn);
        }
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)) else { return };
        // It may have been forgotten with the last connection that turned out to be dead.
        let origin = self.pool.origin(&exchange.request.origin);
        exchange.origin = origin;
        exchange.route.reason = self.pool.why_new(origin);
        exchange.waiter = Some(self.pool.enqueue(origin, xid, false));
        let found = self.pool.book(origin);
        self.proceed(io, origin, xid, found);
    }

    /// Take a connection that has room, or an idle one. An idle one that was not looked at for `unseen_ns` is looked at first:
    /// what its peer has sent meanwhile, be it an end or an answer that nobody asked for, is no answer to what comes next.
    fn checkout<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, unseen_ns: u64) -> Option<ConnId> {
        let now = io.now();
        if self.pool.next_due() <= now {
            self.expire_idle(io);
        }
        while let Some(conn) = self.pool.roomy(origin) {
            if !self.pool.is_aged(conn, now) {
                return Some(conn);
            }
            self.pool.retire(conn);
        }
        while let Some((conn, since)) = self.pool.youngest(origin) {
            if since.max(io.seen()).after(unseen_ns) <= now {
                self.receive(io, conn);
                if io.conn(conn).is_none() {
                    continue;
                }
            }
            return Some(conn);
        }
        None
    }

    /// The engine has ended between the submission and now: end the exchange, too.
    fn refuse(&mut self, submission: Submission, error: i32) {
        let Submission { xid, request, queue, .. } = submission;
        let event = Event { xid, token: request.token, ..Event::default() };
        let borrowed = matches!(request.body, Source::Whole { borrowed: true, .. });
        drop(request);
        if borrowed {
            let (kind, xid, token) = (kind::WRITE_DONE, event.xid, event.token);
            self.outbox.push(&queue, Event { kind, xid, token, ..Event::default() });
        }
        self.outbox.push(&queue, Event { kind: kind::DONE, flags: flag::TERMINAL, error, ..event });
        self.spent.push(xid);
        self.tally.submitted += 1;
        self.tally.cancelled += 1;
    }

    /// What the pool had to offer is put to use.
    pub(super) fn proceed<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, xid: u64, found: Checkout) {
        match found {
            Checkout::Dial => self.dial_for(io, origin, xid),
            Checkout::EvictAndDial(idle) => {
                self.close_lanes(io, idle);
                io.close(idle, false);
                self.dial_for(io, origin, xid);
            }
            Checkout::Wait => {
                if self.pool.queue_is_full() {
                    return self.fail(io, xid, Cause::code(e::CHTTP_E_TOO_MANY_WAITING));
                }
                if let Some(exchange) = self.exchange(xid) {
                    exchange.route.reason = Reason::Waited;
                }
                self.watch(io, xid);
            }
        }
    }

    /// A connection is free: the next in the queue gets it, or it becomes idle.
    pub(super) fn serve<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, conn: ConnId) {
        if io.conn(conn).is_some_and(|c| c.is_shared()) {
            return self.tend(io, conn);
        }
        if self.pool.is_aged(conn, io.now()) {
            return self.let_go(io, conn, Gone::Age);
        }
        if !self.serve_next(io, origin, conn) {
            self.shelve(io, conn);
        }
    }

    /// The next in the queue gets a connection, or a place on it. Whether there was anybody.
    pub(super) fn serve_next<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, conn: ConnId) -> bool {
        let used = io.conn(conn).is_some_and(|c| c.served > 0);
        let Some(xid) = self.pool.next_waiter(origin, used) else { return false };
        let Some(exchange) = self.exchange(xid) else { return true };
        exchange.waiter = None;
        if used {
            exchange.route.reason = Reason::TakenOver;
        }
        let dial = exchange.dial.take();
        self.start(io, xid, conn);
        if let Some(dial) = dial {
            self.orphan_dial(io, dial);
        }
        true
    }

    /// A connection that nobody waits for becomes idle.
    pub(super) fn shelve<B: Backend>(&mut self, io: &mut Io<B>, conn: ConnId) {
        let now = io.now();
        let hint = io.conn(conn).and_then(|c| c.kept_ns());
        if let Some(c) = io.conn_mut(conn) {
            c.owner = NOBODY;
        }
        if let Err(why) = self.pool.checkin(conn, now, hint) {
            return self.let_go(io, conn, why);
        }
        self.watch_idle(io);
        // Another origin may wait for the place.
        self.refill(io);
    }

    /// Close a connection that nobody uses, in order.
    pub(super) fn let_go<B: Backend>(&mut self, io: &mut Io<B>, conn: ConnId, why: Gone) {
        self.hang_up(io, conn, false, why);
        self.stir(io);
        self.refill(io);
    }

    /// Close an open connection and take it off the books. All memory that it borrowed is given up.
    pub(super) fn hang_up<B: Backend>(&mut self, io: &mut Io<B>, conn: ConnId, reset: bool, why: Gone) {
        self.log.add(Level::Info, io.now(), 0, || {
            let c = io.conn(conn);
            let peer = c.and_then(|c| c.peer).map_or_else(|| "a Unix socket".to_owned(), |p| p.to_string());
            format!("connection to {peer} closed after {} requests: {}", c.map_or(0, |c| c.served), why.text())
        });
        io.close(conn, reset);
        self.pool.closed(conn, why);
        self.close_lanes(io, conn);
    }

    /// Send a request on a connection.
    fn start<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, conn: ConnId) {
        let now = io.now();
        let slot = ids::slot(xid) as u32;
        self.pool.take(conn);
        let Some(c) = io.conn_mut(conn) else { return };
        let shared = c.is_shared();
        if !shared {
            c.owner = slot;
        }
        let reused = c.served > 0;
        let (peer, local, tls) = (c.peer, c.local, c.agreed());
        self.tally.connections_reused += u64::from(reused);
        let exchange = self.exchanges.get_mut(slot as usize).expect("a waiter that is served exists");
        exchange.route.reused = reused;
        exchange.route.peer = peer;
        exchange.route.local = local;
        exchange.route.tls = tls;
        exchange.timing.connected = exchange.elapsed(now);
        exchange.enter(Phase::Sending, now);
        exchange.sent_at = now;
        if exchange.request.is_raw() {
            return self.open_raw(io, xid, conn);
        }
        exchange.bytes_sent += exchange.request.head.bytes.len() as u64;
        self.log.add(Level::Trace, now, xid, || {
            let head = exchange.request.head.request();
            let first = format!("> {} {}", head.method.escape_ascii(), diag::redact_target(head.target));
            diag::redact_head(&first, head.fields.iter())
        });
        match io.open(conn, &exchange.request.head.request()) {
            Ok(stream) => {
                exchange.conn = Some((conn, stream));
                if shared {
                    return self.enter_lane(io, xid, conn, stream);
                }
            }
            Err(fault) if shared => return self.not_opened(io, xid, conn, fault),
            Err(fault) => {
                exchange.conn = Some((conn, StreamKey(0)));
                return self.fail(io, xid, Cause::fault(fault));
            }
        }
        self.feed(io, xid);
    }

    /// A piece of a streamed body arrived from the application.
    pub(super) fn write<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, piece: Piece) {
        let Some(exchange) = self.exchange(xid) else { return };
        exchange.upload.pieces.push_back(piece);
        self.feed(io, xid);
    }

    /// Credit came back to an exchange that stood still.
    pub(super) fn credit<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let now = io.now();
        if let Some(exchange) = self.exchange(xid)
            && let Some((conn, stream)) = exchange.conn
        {
            exchange.credit = exchange.credit.saturating_add_unsigned(exchange.gate.take_returned());
            exchange.heard_at = now;
            exchange.nudge = None;
            if io.conn(conn).is_some_and(|c| c.is_shared()) {
                io.credit(conn, stream);
            } else if !exchange.heard_end {
                io.resume(conn);
            }
            self.watch(io, xid);
        }
    }

    /// A little credit came back: go on with it after a short while, if not enough comes before.
    pub(super) fn nudge<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let at = io.now().after(NUDGE_NS);
        if let Some(exchange) = self.exchange(xid) {
            exchange.nudge.get_or_insert(at);
            self.watch(io, xid);
        }
    }

    /// See to it that the timer runs out no later than the next deadline. A timer that runs out early is set anew, so that
    /// moving a deadline away costs nothing.
    pub(super) fn watch<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let Some(exchange) = self.exchange(xid) else { return };
        if let Some(ws) = &mut exchange.ws {
            ws.listens(io.now(), exchange.credit > 0);
        }
        let (at, _) = exchange.deadline();
        match exchange.timer {
            Some((_, set)) if set <= at => {}
            _ if at == Tick::NEVER => {}
            old => {
                if let Some((timer, _)) = old {
                    io.wheel.cancel(timer);
                }
                exchange.timer = Some((io.wheel.insert(at, xid), at));
            }
        }
    }

    pub(super) fn timed_out<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let now = io.now();
        let Some(exchange) = self.exchange(xid) else { return };
        exchange.timer = None;
        if let Some((conn, _)) = exchange.conn
            && let Some(c) = io.conn(conn)
            && (!c.is_shared() || c.unsent() > 0)
        {
            exchange.sent_at = exchange.sent_at.max(c.sent_at);
        }
        let (at, due) = exchange.deadline();
        if at > now {
            return self.watch(io, xid);
        }
        match due {
            Due::Fail(code) => self.fail(io, xid, Cause::code(code)),
            Due::Resume => {
                exchange.gate.resume();
                self.credit(io, xid);
            }
            Due::Reconnect => self.reconnect(io, xid),
            Due::SendBody => {
                exchange.upload.held = false;
                self.feed(io, xid);
            }
            Due::Ping => self.ping(io, xid),
            Due::Conclude => self.conclude(io, xid),
        }
    }
}
