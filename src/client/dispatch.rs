//! From a submitted request to bytes on a connection.

use super::exchange::{Delivery, Due, Exchange};
use super::failure::{Cause, Phase};
use super::gate::Gate;
use super::response::{Route, Timing};
use super::sink;
use super::upload::{Piece, Source, Upload};
use super::{Client, NOBODY, Request, ids};
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::connection::ConnId;
use crate::net::reactor::Io;
use crate::net::sys;
use crate::pool::{Checkout, OriginId};
use crate::proto::{Fault, StreamKey, Tick};
use crate::queue::event::{flag, kind};
use crate::queue::{Event, Queue};
use bytes::Bytes;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// More of a streamed body is handed to the connection while it has fewer unsent bytes than this.
const UNSENT_LOW: usize = 64 << 10;
/// How long a paused exchange waits for more credit than a little.
pub(super) const NUDGE_NS: u64 = 1_000_000;
/// Bytes of a file that are read at a time.
const FILE_CHUNK: u64 = 128 << 10;

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
            upload: Upload::new(body, held),
            request,
            queue,
            gate,
            phase: Phase::Queued,
            since: now,
            submitted: now,
            origin,
            dial: None,
            conn: None,
            nudge: None,
            gathered: None,
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
            finished: false,
            starved: false,
        };
        let slot = ids::slot(xid);
        if self.exchanges.len() <= slot {
            self.exchanges.resize_with(slot + 1, || None);
        }
        debug_assert!(self.exchanges[slot].is_none(), "an id is given back after its exchange is gone");
        self.exchanges[slot] = Some(exchange);
        self.live += 1;
        self.tally.submitted += 1;
        let found = self.pool.checkout(origin, xid);
        self.proceed(io, origin, xid, found);
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
            Checkout::Reuse(conn) => self.start(io, xid, conn),
            Checkout::Dial => self.dial(io, origin, xid),
            Checkout::EvictAndDial(idle) => {
                io.close(idle, false);
                self.dial(io, origin, xid);
            }
            Checkout::Wait => self.watch(io, xid),
        }
    }

    /// A connection is free: the next in the queue gets it, or it becomes idle.
    pub(super) fn serve<B: Backend>(&mut self, io: &mut Io<B>, origin: OriginId, conn: ConnId) {
        let exchanges = &self.exchanges;
        if let Some(xid) = self.pool.next_waiter(origin, |xid| Client::is_waiting(exchanges, xid)) {
            if let Some(dial) = self.exchange(xid).and_then(|x| x.dial.take()) {
                self.orphan_dial(dial);
            }
            return self.start(io, xid, conn);
        }
        let now = io.now();
        if let Some(c) = io.conn_mut(conn) {
            c.owner = NOBODY;
        }
        self.pool.checkin(origin, conn, now);
        if self.idle_timer.is_none() && self.settings.pool.idle_ns < u64::MAX {
            self.idle_timer = Some(io.wheel.insert(now.after(self.settings.pool.idle_ns), super::IDLE_TIMER));
        }
        // Another origin may wait for the place.
        self.refill(io);
    }

    /// Send a request on a connection.
    fn start<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, conn: ConnId) {
        let now = io.now();
        let slot = ids::slot(xid) as u32;
        let Some(c) = io.conn_mut(conn) else { return };
        c.owner = slot;
        let reused = c.served > 0;
        let peer = c.peer;
        self.tally.connections_reused += u64::from(reused);
        let exchange = self.exchanges[slot as usize].as_mut().expect("a waiter that is served exists");
        exchange.route.reused = reused;
        exchange.route.peer = peer;
        exchange.timing.connected = exchange.elapsed(now);
        exchange.enter(Phase::Sending, now);
        exchange.sent_at = now;
        exchange.bytes_sent += exchange.request.head.bytes.len() as u64;
        match io.open(conn, &exchange.request.head.request()) {
            Ok(stream) => exchange.conn = Some((conn, stream)),
            Err(fault) => {
                exchange.conn = Some((conn, StreamKey(0)));
                return self.fail(io, xid, Cause::fault(fault));
            }
        }
        self.feed(io, xid);
    }

    /// Hand over what there is of the request body, as far as the connection takes it, and send.
    pub(super) fn feed<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let now = io.now();
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)).and_then(Option::as_mut) else { return };
        let Some((conn, stream)) = exchange.conn else { return };
        let (mut outcome, mut failed) = (Ok(()), false);
        loop {
            if !exchange.upload.held {
                outcome = hand_over(io, exchange, conn, stream);
            }
            if outcome.is_err() {
                break;
            }
            io.transmit(conn);
            let unsent = io.conn(conn).map_or(0, |c| c.unsent());
            exchange.unsent = unsent;
            // Why sending failed is learned by reading, which comes next.
            failed = io.conn(conn).is_none_or(|c| c.sending_failed());
            let blocked = failed || unsent > 0 || exchange.upload.held || exchange.awaits_tunnel();
            if blocked || exchange.upload.ended || !has_more(&exchange.upload) {
                break;
            }
        }
        if let Err(cause) = outcome {
            return self.fail(io, xid, cause);
        }
        if exchange.unsent == 0 && !failed {
            self.sent(now, ids::slot(xid));
        }
        self.watch(io, xid);
    }

    /// Everything that was handed over is out: account for it.
    fn sent(&mut self, now: Tick, slot: usize) {
        let exchange = self.exchanges[slot].as_mut().expect("it was fed just now");
        exchange.sent_at = now;
        if exchange.timing.sent == 0 {
            exchange.timing.sent = exchange.elapsed(now);
        }
        let handed = std::mem::take(&mut exchange.upload.handed);
        if handed > 0 && exchange.gate.unbook(handed, self.settings.send_buffer / 2) && !exchange.upload.ended {
            let mut event = sink::event(exchange, kind::WRITABLE);
            event.aux = self.settings.send_buffer.saturating_sub(exchange.gate.buffered());
            self.outbox.push(&exchange.queue, event);
        }
        if exchange.upload.ended || exchange.tunnel || exchange.awaits_tunnel() {
            if exchange.phase == Phase::Sending {
                exchange.enter(Phase::Waiting, now);
            }
            write_done(exchange, &mut self.outbox);
        }
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
            && let Some((conn, _)) = exchange.conn
        {
            exchange.credit = exchange.credit.saturating_add_unsigned(exchange.gate.take_returned());
            exchange.heard_at = now;
            exchange.nudge = None;
            io.resume(conn);
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
            Due::SendBody => {
                exchange.upload.held = false;
                self.feed(io, xid);
            }
        }
    }
}

/// WRITE_DONE, if it is owed.
pub(super) fn write_done(exchange: &mut Exchange, outbox: &mut super::outbox::Outbox) {
    if std::mem::take(&mut exchange.upload.owes_write_done) {
        exchange.upload.returned = true;
        let event = sink::event(exchange, kind::WRITE_DONE);
        outbox.push(&exchange.queue, event);
    }
}

fn has_more(upload: &Upload) -> bool {
    match upload.source {
        Source::None => false,
        Source::Whole { .. } | Source::File { .. } => true,
        Source::Stream => !upload.pieces.is_empty(),
    }
}

/// Give the protocol what may be sent now.
fn hand_over<B: Backend>(
    io: &mut Io<B>,
    exchange: &mut Exchange,
    conn: ConnId,
    stream: StreamKey,
) -> Result<(), Cause> {
    // What is written before there is a tunnel waits for it.
    if exchange.awaits_tunnel() {
        return Ok(());
    }
    let upload = &mut exchange.upload;
    if upload.ended || io.conn(conn).is_none_or(|c| c.unsent() > UNSENT_LOW || c.sending_failed()) {
        return Ok(());
    }
    match &upload.source {
        Source::None => {}
        Source::Whole { bytes, .. } => {
            exchange.bytes_sent += bytes.len() as u64;
            io.body(conn, stream, bytes.clone(), true).map_err(Cause::fault)?;
            upload.ended = true;
        }
        Source::File { fd, offset, len } => {
            let left = len - upload.taken;
            let mut chunk = vec![0; left.min(FILE_CHUNK) as usize];
            let read = sys::pread(fd.as_raw_fd(), &mut chunk, offset + upload.taken).map_err(|error| Cause {
                code: e::CHTTP_E_IO,
                os_errno: error.raw_os_error().unwrap_or(0),
                native: 0,
            })?;
            if read == 0 && left > 0 {
                return Err(Cause::fault(Fault::BodyLength));
            }
            chunk.truncate(read);
            upload.taken += read as u64;
            upload.ended = upload.taken == *len;
            exchange.bytes_sent += read as u64;
            io.body(conn, stream, Bytes::from(chunk), upload.ended).map_err(Cause::fault)?;
        }
        Source::Stream => {
            let mut handed = 0;
            while handed <= UNSENT_LOW as u64
                && let Some(piece) = upload.pieces.pop_front()
            {
                match piece {
                    Piece::Bytes(bytes) => {
                        handed += bytes.len() as u64;
                        upload.taken += bytes.len() as u64;
                        exchange.bytes_sent += bytes.len() as u64;
                        upload.handed += bytes.len() as u64;
                        io.body(conn, stream, bytes, false).map_err(Cause::fault)?;
                    }
                    Piece::End => {
                        upload.ended = true;
                        io.body(conn, stream, Bytes::new(), true).map_err(Cause::fault)?;
                        break;
                    }
                    Piece::Trailers(block) => {
                        upload.ended = true;
                        io.body_trailers(conn, stream, &block).map_err(Cause::fault)?;
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}
