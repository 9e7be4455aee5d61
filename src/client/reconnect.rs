//! A stream of events lives longer than its connections.
//!
//! ```text
//! (any phase) ──lost, ended──► Reconnecting ──delay──► Queued ──► ... ──► Receiving
//! ```
//!
//! When a connection is lost or the server ends the stream in due form, the exchange gives everything back, tells
//! SSE_RECONNECT, and rests. Then it asks the pool again, as it did at first, with `Last-Event-ID` in its head. It keeps its
//! id, its place in the table and its credit.
//!
//! The first wait is what the server has named by `retry`, or the setting; each further one in a row, without a byte of a
//! stream in between, is twice as long, up to the setting's bound. Up to a quarter is added by chance, so that the clients of
//! a server that comes back do not come all at once. An answer that says when to come again (`Retry-After` in seconds, RFC 9110
//! section 10.2.3) is not asked for sooner, within the same bound.
//!
//! It does not go on after a failure that the next connection would meet, too; after a cancel; when the attempts are used up;
//! and when the body of the request cannot be sent again. WHATWG HTML section 9.2.3.

use super::events::Subscription;
use super::exchange::{Delivery, Exchange, Told};
use super::failure::{Cause, Failure, Phase};
use super::outcome::ms;
use super::response::{Route, Timing};
use super::{Client, ids, sink};
use crate::diag::Level;
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::reactor::Io;
use crate::proto::Tick;
use crate::queue::event::kind;

/// A second attempt in a row is not made sooner, whatever the server says: it may be down.
const SECOND_NS: u64 = 100_000_000;

impl Client {
    /// Whether a stream of events goes on with another connection after this.
    pub(super) fn will_reconnect(&self, x: &Exchange, code: i32) -> bool {
        let Some(s) = &x.subscription else { return false };
        // An answer that was refused is one, whole or not.
        let code = s.refused.unwrap_or(code);
        let passes = match code {
            e::CHTTP_E_SSE_STATUS => s.wants.retry_status && is_passing_status(x.status),
            // A name that was there may be away for a while; one that never was is misspelt.
            e::CHTTP_E_NAME_NOT_FOUND => s.opened,
            _ => is_passing(code),
        };
        s.wants.reconnect && passes && s.attempts < s.wants.attempts_max && x.upload.rewindable()
    }

    /// The connection of a stream is gone. The exchange rests, and goes on with another one.
    pub(super) fn rest<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, cause: Cause, heard: bool) {
        let now = io.now();
        let Some(mut exchange) = self.take(io, xid) else { return };
        let Some(mut s) = exchange.subscription.take() else { return };
        let mut why = self.explain(&exchange, cause, heard);
        let ended = cause.code == e::CHTTP_E_SSE_ENDED || s.refused.is_some();
        let left = if ended { self.hand_back(io, &exchange) } else { self.part_ways(io, &exchange) };
        s.attempts += 1;
        let chance = self.chance();
        let delay = s.delay(chance);
        s.until = now.after(delay);
        self.log.add(Level::Info, now, xid, || {
            format!("{}; attempt {} follows in {:.3} ms", why.message, s.attempts, ms(delay))
        });
        why.last_event_id = s.parser.last_id().into();
        self.tell_rest(&exchange, why, s.attempts, delay);
        let (dial, origin) = (exchange.dial.take(), exchange.origin);
        exchange.subscription = Some(s);
        exchange.rest(now);
        self.exchanges.insert(ids::slot(xid), exchange);
        self.watch(io, xid);
        self.after(io, left, dial, origin, cause);
    }

    fn tell_rest(&mut self, exchange: &Exchange, why: Failure, attempts: u64, delay: u64) {
        let mut event = sink::event(exchange, kind::SSE_RECONNECT);
        event.arg = u32::try_from(attempts).unwrap_or(u32::MAX);
        event.error = why.cause.code;
        event.os_errno = why.cause.os_errno;
        event.aux = delay;
        // The bytes stay where they are when the object moves into its block.
        (event.data, event.len) = (why.last_event_id.as_ptr() as usize, why.last_event_id.len() as u64);
        event.obj = why.into_block();
        if event.obj.is_none() || event.len == 0 {
            (event.data, event.len) = (0, 0);
        }
        self.outbox.told.reconnections += 1;
        self.outbox.push(&exchange.queue, event);
    }

    /// The rest is over: the request is sent again.
    pub(super) fn reconnect<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let now = io.now();
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)).filter(|x| x.xid == xid) else { return };
        let Some(s) = &mut exchange.subscription else { return };
        s.restart();
        s.until = Tick::NEVER;
        exchange.request.head.set_last_event_id(s.parser.last_id());
        let held = exchange.request.head.expects_continue;
        exchange.upload.rewind(held);
        exchange.gate.resume();
        exchange.enter(Phase::Queued, now);
        // It may have been forgotten meanwhile.
        exchange.origin = self.pool.origin(&exchange.request.origin);
        self.find_place(io, xid);
    }

    /// A number by chance.
    fn chance(&mut self) -> u64 {
        // SplitMix64 of Steele, Lea and Flood.
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Subscription {
    /// How long to wait before the next attempt, of which `attempts` tells the number.
    fn delay(&self, chance: u64) -> u64 {
        let named = self.parser.retry().map(|ms| ms.saturating_mul(1_000_000));
        let first = named.unwrap_or(self.wants.retry_ns);
        let wait = match self.attempts {
            0 | 1 => first,
            n => first.max(SECOND_NS).saturating_mul(1 << (n - 1).min(32)),
        };
        let wait = wait.max(self.retry_after).min(self.wants.retry_max_ns);
        wait.saturating_add(((u128::from(wait / 4) * u128::from(chance)) >> 64) as u64)
    }
}

impl Exchange {
    /// It has no connection, and waits for nothing but the time.
    fn rest(&mut self, now: Tick) {
        self.enter(Phase::Reconnecting, now);
        self.waiter = None;
        self.dial = None;
        self.conn = None;
        self.nudge = None;
        self.timer = None;
        self.delivery = Delivery::Stream;
        self.unsent = 0;
        self.status = 0;
        self.route = Route { attempt: 1, ..Route::default() };
        self.timing = Timing::default();
        self.answered = false;
        self.told = Told { touched: self.told.touched, ..Told::default() };
        self.finished = false;
        self.unfit = None;
        self.detail = None;
    }
}

/// Whether it may be over when another connection is made.
fn is_passing(code: i32) -> bool {
    matches!(
        code,
        e::CHTTP_E_SSE_ENDED
            | e::CHTTP_E_CONTENT_TRUNCATED
            | e::CHTTP_E_NAME_TEMPORARY
            | e::CHTTP_E_NAME_FAILED
            | e::CHTTP_E_CONNECT_REFUSED
            | e::CHTTP_E_CONNECT_UNREACHABLE
            | e::CHTTP_E_CONNECT_RESET
            | e::CHTTP_E_CONNECT_FAILED
            | e::CHTTP_E_TLS_CLOSED
            | e::CHTTP_E_CONNECTION_LOST
            | e::CHTTP_E_CLOSED_BEFORE_HEAD
            | e::CHTTP_E_TRUNCATED_HEAD
            | e::CHTTP_E_TRUNCATED_BODY
            | e::CHTTP_E_TRUNCATED_CHUNK
            | e::CHTTP_E_TRUNCATED_TRAILERS
            | e::CHTTP_E_H2_STREAM_RESET
            | e::CHTTP_E_H2_UNPROCESSED
            | e::CHTTP_E_H2_GOAWAY
            | e::CHTTP_E_TIMEOUT_PING
            | e::CHTTP_E_TIMEOUT_POOL
            | e::CHTTP_E_TIMEOUT_DNS
            | e::CHTTP_E_TIMEOUT_CONNECT
            | e::CHTTP_E_TIMEOUT_TLS
            | e::CHTTP_E_TIMEOUT_WRITE
            | e::CHTTP_E_TIMEOUT_FIRST_BYTE
            | e::CHTTP_E_TIMEOUT_READ
            | e::CHTTP_E_TOO_MANY_FILES
    )
}

/// Answers of servers that are not there at the moment, and of those that stand before them.
const fn is_passing_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}
