//! How an exchange ends: with its answer, with an error, or with another try.

use super::exchange::{Delivery, Exchange, Told};
use super::failure::{Cause, Failure, Phase};
use super::{Client, ids, sink};
use crate::diag::Level;
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::connection::ConnId;
use crate::net::reactor::Io;
use crate::pool::{Gone, OriginId, Reason};
use crate::proto::tls;
use crate::queue::Event;
use crate::queue::event::{flag, kind};

/// Tries of one request, the first included, when its connection turns out to be stale.
const ATTEMPTS_MAX: u32 = 2;
/// The same when the peer says each time that it has not looked at the request.
const UNPROCESSED_MAX: u32 = 8;

/// What is known of a request whose connection or stream has failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traces {
    /// Something of an answer arrived.
    pub heard: bool,
    /// Some of the request may have left.
    pub left: bool,
}

/// The connection that an exchange has left, and that is to be looked after.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    Nothing,
    /// It may serve on.
    Free(ConnId),
    /// Others are on it.
    Shared(ConnId),
}

impl Client {
    /// The answer is complete.
    pub(super) fn conclude<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let Some(exchange) = self.exchange(xid) else { return };
        if let Some(why) = exchange.unfinished() {
            return self.fall_short(io, xid, why);
        }
        let Some(mut exchange) = self.take(io, xid) else { return };
        let left = self.hand_back(io, &exchange);
        super::feed::write_done(&mut exchange, &mut self.outbox);
        self.tally.succeeded += 1;
        let elapsed = exchange.elapsed(io.now());
        self.log.add(Level::Debug, io.now(), xid, || format!("{} after {:.3} ms", exchange.status, ms(elapsed)));
        let mut event;
        match std::mem::replace(&mut exchange.delivery, Delivery::Stream) {
            Delivery::Collect(Some(mut obj)) => {
                event = sink::event(&exchange, kind::RESPONSE);
                obj.parts_mut().0.timing = exchange.timing;
                let body = obj.get().body(obj.tail());
                event.len = body.len() as u64;
                event.flags |= if body.is_empty() { 0 } else { flag::COPIED };
                event.data = if body.is_empty() { 0 } else { body.as_ptr() as usize };
                event.obj = Some(obj.into_block());
            }
            _ => event = sink::event(&exchange, kind::DONE),
        }
        self.end(&exchange, event, elapsed);
        self.after(io, left, None, exchange.origin, Cause::code(0));
    }

    /// The answer is complete, and not what was asked for: no stream of events, or the end of one that is to go on.
    fn fall_short<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, code: i32) {
        let Some(exchange) = self.exchanges.get(ids::slot(xid)) else { return };
        let cause = Cause::code(code);
        if self.will_reconnect(exchange, code) {
            return self.rest(io, xid, cause, true);
        }
        let Some(exchange) = self.take(io, xid) else { return };
        let why = self.explain(&exchange, cause, true);
        let left = self.hand_back(io, &exchange);
        self.tell_failure(io, exchange, why, left);
    }

    /// The connection of an answer that is complete goes back to the pool, or is closed.
    pub(super) fn hand_back<B: Backend>(&mut self, io: &mut Io<B>, exchange: &Exchange) -> Left {
        let Some((conn, stream)) = exchange.conn else { return Left::Nothing };
        if io.conn(conn).is_some_and(|c| c.is_shared()) {
            // The connection is looked after once all that it has said is acted upon.
            self.leave_lane(io, exchange, conn, stream);
            return Left::Nothing;
        }
        if !exchange.request.close && io.reusable(conn) {
            self.pool.give(conn);
            return Left::Free(conn);
        }
        // Closing first gives up borrowed memory, so that WRITE_DONE may follow.
        let uploaded = exchange.upload.ended && exchange.unsent == 0;
        self.hang_up(io, conn, !uploaded && !exchange.tunnel, Gone::Spent);
        Left::Nothing
    }

    /// The connection of an exchange that failed is left or closed, and its place in the queue given up.
    pub(super) fn part_ways<B: Backend>(&mut self, io: &mut Io<B>, exchange: &Exchange) -> Left {
        if let Some((conn, stream)) = exchange.conn
            && io.conn(conn).is_some_and(|c| c.is_shared())
        {
            self.leave_lane(io, exchange, conn, stream);
            return Left::Shared(conn);
        }
        if let Some((conn, _)) = exchange.conn {
            // What was sent whole is not taken back, and the alert that says why is not overtaken by a reset.
            let sent = exchange.tunnel && exchange.upload.ended && exchange.unsent == 0;
            self.hang_up(io, conn, !sent && exchange.phase != Phase::Securing, Gone::Failed);
        } else if let Some(waiter) = exchange.waiter {
            self.pool.abandon(waiter);
        }
        Left::Nothing
    }

    /// After an exchange has left the table, or come to rest: what it has left is put to use.
    pub(super) fn after<B: Backend>(
        &mut self,
        io: &mut Io<B>,
        left: Left,
        dial: Option<crate::mem::Key>,
        origin: OriginId,
        cause: Cause,
    ) {
        self.stir(io);
        match left {
            Left::Nothing => {}
            Left::Free(conn) => return self.serve(io, origin, conn),
            Left::Shared(conn) => self.tend(io, conn),
        }
        match dial {
            Some(dial) => self.release_dial(io, dial, origin, cause),
            None => self.refill(io),
        }
    }

    /// The exchange failed; or its connection was stale, and the request is tried once more.
    pub(super) fn fail<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, cause: Cause) {
        let Some(exchange) = self.exchange(xid) else { return };
        let traces = match exchange.conn.and_then(|(conn, _)| io.conn(conn)) {
            Some(c) if !c.is_shared() => Traces { heard: c.heard(), left: c.request_left() },
            _ => exchange.traces(),
        };
        if self.may_retry(xid, cause, traces) {
            return self.retry(io, xid, cause);
        }
        if self.exchanges.get(ids::slot(xid)).is_some_and(|x| self.will_reconnect(x, cause.code)) {
            return self.rest(io, xid, cause, traces.heard);
        }
        let Some(exchange) = self.take(io, xid) else { return };
        let why = self.explain(&exchange, cause, traces.heard);
        let left = self.part_ways(io, &exchange);
        self.tell_failure(io, exchange, why, left);
    }

    /// The terminal event of a failure, and what comes with it.
    fn tell_failure<B: Backend>(&mut self, io: &mut Io<B>, mut exchange: Exchange, why: Failure, left: Left) {
        let cause = why.cause;
        self.log.add(level_of(cause.code), io.now(), exchange.xid, || format!("failed: {}", why.message));
        super::feed::write_done(&mut exchange, &mut self.outbox);
        self.deliver_rest(&mut exchange);
        if cause.code == e::CHTTP_E_CANCELLED || cause.code == e::CHTTP_E_ENGINE_CLOSED {
            self.tally.cancelled += 1;
        } else {
            self.tally.failed += 1;
        }
        let elapsed = exchange.elapsed(io.now());
        let mut event = sink::event(&exchange, kind::DONE);
        event.error = cause.code;
        event.os_errno = cause.os_errno;
        if exchange.answered {
            event.flags |= flag::PARTIAL;
        }
        event.obj = why.into_block();
        self.end(&exchange, event, elapsed);
        self.after(io, left, exchange.dial, exchange.origin, cause);
    }

    /// TLS failed, which tells its own story.
    pub(super) fn fail_tls<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, error: &tls::Error) {
        if let Some(exchange) = self.exchange(xid) {
            exchange.detail = Some(error.message.as_str().into());
        }
        self.fail(io, xid, Cause::tls(error));
    }

    /// Cancel on the application's behalf.
    pub(super) fn cancel<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        self.fail(io, xid, Cause::code(e::CHTTP_E_CANCELLED));
    }

    /// A failed exchange leaves its dial: somebody else who waits may take it over, unless the dial itself has failed.
    fn release_dial<B: Backend>(&mut self, io: &mut Io<B>, dial: crate::mem::Key, origin: OriginId, cause: Cause) {
        let failed = !matches!(cause.code, e::CHTTP_E_CANCELLED | e::CHTTP_E_TIMEOUT_TOTAL | e::CHTTP_E_TIMEOUT_POOL);
        let heir = self.pool.heir(origin);
        match heir {
            Some(heir) if !failed => self.bequeath(io, dial, heir),
            _ => self.drop_dial(io, dial),
        }
    }

    /// The terminal event. Nothing follows it.
    fn end(&mut self, exchange: &Exchange, mut event: Event, elapsed: u64) {
        event.flags |= flag::TERMINAL;
        event.aux = elapsed;
        exchange.gate.retire();
        self.outbox.push(&exchange.queue, event);
        self.spent.push(exchange.xid);
    }

    /// Take an exchange out of the table, with its timer.
    pub(super) fn take<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) -> Option<Exchange> {
        // It is large: nothing is done with it once it is on its way.
        if let Some((timer, _)) = self.exchange(xid)?.timer.take() {
            io.wheel.cancel(timer);
        }
        self.exchanges.remove(ids::slot(xid))
    }

    /// What was received and not handed over yet comes before the error.
    fn deliver_rest(&mut self, exchange: &mut Exchange) {
        sink::ExchangeSink::new(
            sink::Users::One(exchange),
            &mut self.outbox,
            &mut self.memory,
            &mut self.log,
            &self.shelf,
            crate::proto::Tick(0),
        )
        .give_up();
    }

    /// A request that met a connection which the peer had closed meanwhile may be sent again, if that is safe: no byte of an
    /// answer was seen, and the method is idempotent or no byte of the request left (RFC 9110 section 9.2.2). So may one that
    /// the peer has not looked at, as it says (RFC 9113 sections 6.8, 8.7).
    fn may_retry(&self, xid: u64, cause: Cause, traces: Traces) -> bool {
        let Some(x) = self.exchanges.get(ids::slot(xid)) else { return false };
        let had_connection = matches!(x.phase, Phase::Sending | Phase::Waiting | Phase::Receiving);
        if !had_connection || traces.heard || x.answered || !x.upload.rewindable() {
            return false;
        }
        match cause.code {
            e::CHTTP_E_H2_UNPROCESSED => x.route.attempt < UNPROCESSED_MAX,
            e::CHTTP_E_CLOSED_BEFORE_HEAD | e::CHTTP_E_CONNECTION_LOST => {
                x.route.reason.is_kept()
                    && x.route.attempt < ATTEMPTS_MAX
                    && (!traces.left || is_idempotent(x.request.head.request().method))
            }
            _ => false,
        }
    }

    fn retry<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, cause: Cause) {
        let now = io.now();
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)).filter(|x| x.xid == xid) else { return };
        let left = exchange.conn.take();
        exchange.route.attempt += 1;
        exchange.enter(Phase::Queued, now);
        exchange.told = Told { touched: exchange.told.touched, ..Told::default() };
        self.tally.retried += 1;
        self.tally.h2.replayed += u64::from(cause.code == e::CHTTP_E_H2_UNPROCESSED);
        self.log.add(Level::Info, now, xid, || format!("the request is sent again: {}", e::text(cause.code)));
        // The connection before the body is rewound, so that nothing is read from it twice.
        let shared = left.filter(|(conn, _)| io.conn(*conn).is_some_and(|c| c.is_shared()));
        if let Some((conn, stream)) = shared {
            self.quit_lane(io, xid, conn, stream);
        } else if let Some((conn, _)) = left {
            self.hang_up(io, conn, true, Gone::Peer);
        }
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)) else { return };
        let held = exchange.request.head.expects_continue;
        exchange.upload.rewind(held);
        let origin = self.pool.origin(&exchange.request.origin);
        exchange.origin = origin;
        if cause.code == e::CHTTP_E_H2_UNPROCESSED {
            // Any connection will do.
            return self.find_place(io, xid);
        }
        exchange.route.reason = Reason::Stale;
        exchange.waiter = Some(self.pool.enqueue(origin, xid, true));
        let found = self.pool.book(origin);
        self.proceed(io, origin, xid, found);
    }

    pub(super) fn explain(&self, x: &Exchange, cause: Cause, heard: bool) -> Failure {
        let (host, port) = (&x.request.origin.host, x.request.origin.port);
        let what = x.detail.as_deref().unwrap_or_else(|| e::text(cause.code));
        let mut message = format!("{host}:{port}: {what} ({}", x.phase.name());
        if cause.os_errno != 0 {
            message += &format!("; {}", std::io::Error::from_raw_os_error(cause.os_errno));
        }
        let tried = x.dial.map(|dial| self.dialer.tried(dial)).unwrap_or_default();
        if !tried.is_empty() {
            message += &format!("; tried {tried}");
        }
        if x.route.attempt > 1 {
            message += &format!("; attempt {}", x.route.attempt);
        }
        message.push(')');
        let before_sending = x.bytes_sent == 0;
        let category = e::Category::of(cause.code);
        let transient = !matches!(cause.code, e::CHTTP_E_CANCELLED | e::CHTTP_E_ENGINE_CLOSED)
            && !matches!(category, Some(e::Category::Protocol | e::Category::Argument | e::Category::Tls))
            || matches!(cause.code, e::CHTTP_E_CLOSED_BEFORE_HEAD | e::CHTTP_E_TLS_CLOSED);
        let safe = before_sending
            || cause.code == e::CHTTP_E_H2_UNPROCESSED
            || (!heard && !x.answered && is_idempotent(x.request.head.request().method));
        Failure {
            cause,
            phase: x.phase,
            message,
            peer: x.route.peer,
            attempt: x.route.attempt,
            retryable: transient && safe && cause.code != e::CHTTP_E_NAME_NOT_FOUND,
            request_bytes_sent: x.bytes_sent,
            connection_reused: x.route.reused,
            last_event_id: Box::default(),
        }
    }

    /// Every exchange ends with `code`; for the end of the engine.
    pub(super) fn fail_all<B: Backend>(&mut self, io: &mut Io<B>, code: i32) {
        let xids: Vec<u64> = self.exchanges.iter().map(|x| x.xid).collect();
        for xid in xids {
            self.fail(io, xid, Cause::code(code));
        }
    }
}

/// Failures of the other side matter to operators; what the application asked for, and time, to whoever looks for it.
fn level_of(code: i32) -> Level {
    match e::Category::of(code) {
        Some(e::Category::Tls) => Level::Warning,
        Some(e::Category::Closed) if code != e::CHTTP_E_CONNECTION_LOST => Level::Debug,
        _ => Level::Info,
    }
}

/// Nanoseconds as milliseconds, for people.
pub(super) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

/// RFC 9110 section 9.2.2.
pub(super) fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}
