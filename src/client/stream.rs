//! Raw streams: connections without HTTP, and TLS that starts midway.
//!
//! A raw stream is an exchange of another kind. It is submitted as a request with CHTTP_REQ_RAW, finds its connection
//! through the pool under a scheme of its own (`Scheme::Raw`: never one of HTTP's, one place, dialled, raced, secured and
//! bounded as all are), and is what a CONNECT or an Upgrade leaves behind, without the head before it: HEADERS of status
//! 0, then BODY, WRITABLE and DONE under the same rules. Nothing else had to be invented but two facts:
//!
//! - STREAM_END: the peer has closed its side. We may go on writing; DONE follows once our side is closed, too. The
//!   connection is not read any more, so what breaks it then shows at the next write.
//! - STREAM_TLS: the handshake that `start_tls` began is done. Its failure ends the stream.
//!
//! ```text
//! open (clear) ──start_tls──► securing ──STREAM_TLS──► open (enciphered)
//! ```
//!
//! What was written before `start_tls` leaves in the clear before the handshake; what is written after it waits for the
//! end of the handshake. What was received and not handed over by then was sent by somebody who is not protected yet: it
//! is never taken for a part of the secured stream, and `start_tls` refuses while there is such (CVE-2011-0411).

use super::exchange::{Delivery, Exchange};
use super::failure::{Cause, Phase};
use super::feed::hand_piece;
use super::upload::Piece;
use super::{Client, ids, response, sink};
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::connection::ConnId;
use crate::net::reactor::Io;
use crate::net::secure::Insecure;
use crate::proto::tls::{For, Tls};
use crate::queue::event::kind;
use std::os::fd::RawFd;
use std::sync::Arc;

/// Why TLS cannot be started now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unready {
    pub code: i32,
    pub why: &'static str,
}

const fn unready(why: &'static str) -> Unready {
    Unready { code: e::CHTTP_E_BAD_STATE, why }
}

impl Client {
    /// A raw stream has its connection.
    pub(super) fn open_raw<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, conn: ConnId) {
        let now = io.now();
        let stream = io.open_raw(conn);
        let Some(exchange) = self.exchange(xid) else { return };
        exchange.conn = Some((conn, stream));
        exchange.enter(Phase::Receiving, now);
        exchange.heard_at = now;
        exchange.answered = true;
        exchange.tunnel = true;
        exchange.delivery = Delivery::Stream;
        if self.tell(io, xid, kind::HEADERS) {
            self.feed(io, xid);
        }
    }

    /// An event with what there is to know of the connection. Whether the stream goes on.
    fn tell<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, kind: u16) -> bool {
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)).filter(|x| x.xid == xid) else { return false };
        let Some((conn, _)) = exchange.conn else { return false };
        let told = io.conn(conn).and_then(|c| c.told());
        let obj = response::from_connection(&mut self.memory, exchange.route, exchange.timing, told.as_ref());
        let Some(obj) = obj else {
            self.fail(io, xid, Cause::code(e::CHTTP_E_NOMEM));
            return false;
        };
        let mut event = sink::event(exchange, kind);
        event.obj = Some(obj.into_block());
        self.outbox.push(&exchange.queue, event);
        true
    }

    /// TLS from here on, on an open stream.
    pub(super) fn start_tls<B: Backend>(
        &mut self,
        io: &mut Io<B>,
        xid: u64,
        tls: &Arc<Tls>,
        name: Option<&str>,
    ) -> Result<(), Unready> {
        const GONE: Unready = Unready { code: e::CHTTP_E_NOT_FOUND, why: "the stream has ended" };
        let now = io.now();
        let exchange = self.exchanges.get_mut(ids::slot(xid)).filter(|x| x.xid == xid).ok_or(GONE)?;
        let Some((conn, stream)) = exchange.conn.filter(|_| exchange.tunnel && exchange.ws.is_none()) else {
            return Err(unready("it is no open stream (yet)"));
        };
        let ends = |piece: &Piece| !matches!(piece, Piece::Bytes(_));
        if exchange.heard_end || exchange.upload.ended || exchange.upload.pieces.iter().any(ends) {
            return Err(unready("a side of the stream is closed"));
        }
        let c = io.conn(conn).ok_or(GONE)?;
        if c.is_shared() {
            return Err(unready("it is a stream of HTTP/2, and shares its connection"));
        }
        if c.speaks_tls() {
            return Err(unready("the stream is secured already, and TLS inside of TLS is not spoken"));
        }
        if c.has_unread() {
            let why = "bytes came in the clear and were not handed over: they must not be taken for what is secured \
                       (CVE-2011-0411); release what was received, read on, or give the stream up";
            return Err(Unready { code: e::CHTTP_E_UNEXPECTED_DATA, why });
        }
        // What was written so far goes first, and in the clear.
        while let Some(piece) = exchange.upload.pieces.pop_front() {
            let Piece::Bytes(bytes) = piece else { continue };
            // Both protocols take any bytes of an open stream.
            if let Err(cause) = hand_piece(io, exchange, conn, stream, bytes) {
                self.fail(io, xid, cause);
                return Ok(());
            }
        }
        io.transmit(conn);
        let session = match (name, self.pool.key(exchange.origin)) {
            (Some(name), _) => tls.session(name, For::Raw),
            (None, Some(key)) => tls.session(key.host.clone(), For::Raw),
            (None, None) => return Err(GONE),
        };
        exchange.enter(Phase::Securing, now);
        let begun = session.map_err(Insecure::Tls).and_then(|session| io.start_tls(conn, session));
        // The handshake costs no credit.
        io.resume(conn);
        match begun {
            Ok(()) => self.watch(io, xid),
            Err(error) => self.insecure(io, xid, error),
        }
        Ok(())
    }

    /// Whether a stream runs on the connection, so that its handshake is none of a dial.
    pub(super) fn stream_on<B: Backend>(&self, io: &Io<B>, conn: ConnId) -> Option<u64> {
        let owner = io.conn(conn)?.owner;
        let exchange: &Exchange = self.exchanges.get(owner as usize)?;
        exchange.conn.is_some_and(|(theirs, _)| theirs == conn).then_some(exchange.xid)
    }

    /// The handshake of a stream is over.
    pub(super) fn stream_secured<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, outcome: Result<(), Insecure>) {
        let now = io.now();
        if let Err(error) = outcome {
            return self.insecure(io, xid, error);
        }
        let Some(exchange) = self.exchange(xid) else { return };
        let Some((conn, _)) = exchange.conn else { return };
        exchange.route.tls = io.conn(conn).and_then(|c| c.agreed());
        exchange.timing.tls_took = (now.0 - exchange.since.0).max(1);
        exchange.enter(Phase::Receiving, now);
        exchange.heard_at = now;
        if self.tell(io, xid, kind::STREAM_TLS) {
            self.feed(io, xid);
        }
    }

    fn insecure<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, error: Insecure) {
        match error {
            Insecure::Tls(error) => self.fail_tls(io, xid, &error),
            Insecure::Lost(error) => self.fail(io, xid, Cause::handshake(&error)),
        }
    }

    /// The peer has closed its side of a raw stream. It is over when ours is closed, too, and everything sent.
    pub(super) fn half_closed<B: Backend>(&mut self, io: &mut Io<B>, xid: u64, conn: ConnId) {
        let Some(exchange) = self.exchange(xid) else { return };
        let (unsent, failed) = io.conn(conn).map_or((0, None), |c| (c.unsent(), c.sending_error()));
        if let Some(error) = failed {
            return self.fail(io, xid, Cause::lost(&error));
        }
        exchange.unsent = unsent;
        if exchange.upload.ended && unsent == 0 {
            return self.conclude(io, xid);
        }
        // There is nothing to read but the same end again.
        io.hold(conn);
        self.watch(io, xid);
    }

    /// The descriptor under an open stream.
    pub(super) fn descriptor<B: Backend>(&self, io: &Io<B>, xid: u64) -> Result<RawFd, i32> {
        let exchange = self.exchanges.get(ids::slot(xid)).filter(|x| x.xid == xid).ok_or(e::CHTTP_E_NOT_FOUND)?;
        let (conn, _) = exchange.conn.filter(|_| exchange.tunnel).ok_or(e::CHTTP_E_BAD_STATE)?;
        let alone = io.conn(conn).is_some_and(|c| !c.is_shared());
        io.descriptor(conn).filter(|_| alone).ok_or(e::CHTTP_E_BAD_STATE)
    }
}
