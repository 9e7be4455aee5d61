//! Request bodies, from where they are to the connection that takes them.

use super::exchange::Exchange;
use super::failure::{Cause, Phase};
use super::outbox::Outbox;
use super::upload::{Piece, Source};
use super::websocket::{self, Writer};
use super::{Client, ids, sink};
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::connection::ConnId;
use crate::net::reactor::Io;
use crate::net::sys;
use crate::proto::{Fault, StreamKey, Tick};
use crate::queue::event::kind;
use bytes::Bytes;
use std::os::fd::AsRawFd;

/// More of a streamed body is handed to the connection while it has fewer unsent bytes than this.
const UNSENT_LOW: usize = 64 << 10;
/// Bytes of a body that one exchange hands over before others have their turn.
const FED_IN_A_TURN: u64 = 1 << 20;
/// Bytes of a file that are read at a time.
const FILE_CHUNK: u64 = 128 << 10;

impl Client {
    /// Hand over what there is of the request body, as far as the connection takes it, and send.
    pub(super) fn feed<B: Backend>(&mut self, io: &mut Io<B>, xid: u64) {
        let now = io.now();
        let Some(exchange) = self.exchanges.get_mut(ids::slot(xid)) else { return };
        let Some((conn, stream)) = exchange.conn else { return };
        if io.conn(conn).is_some_and(|c| c.is_shared()) {
            return self.feed_stream(io, xid);
        }
        let (mut outcome, mut failed) = (Ok(()), false);
        let last = exchange.bytes_sent + FED_IN_A_TURN;
        loop {
            if !exchange.upload.held {
                outcome = hand_over(io, &mut self.writer, exchange, conn, stream);
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
            if blocked || exchange.upload.ended || !has_more(exchange) {
                break;
            }
            if exchange.bytes_sent >= last {
                io.send_later(conn);
                break;
            }
        }
        if let Err(cause) = outcome {
            return self.fail(io, xid, cause);
        }
        if exchange.unsent == 0 && !failed {
            self.sent(now, ids::slot(xid));
        }
        if self.exchange(xid).is_some_and(|x| x.heard_end) {
            return self.half_closed(io, xid, conn);
        }
        self.watch(io, xid);
    }

    /// Everything that was handed over is out: account for it.
    pub(super) fn sent(&mut self, now: Tick, slot: usize) {
        let exchange = self.exchanges.get_mut(slot).expect("it was fed just now");
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
            if !exchange.keeps_body() {
                write_done(exchange, &mut self.outbox);
            }
        }
    }
}

/// WRITE_DONE, if it is owed.
pub(super) fn write_done(exchange: &mut Exchange, outbox: &mut Outbox) {
    if std::mem::take(&mut exchange.upload.owes_write_done) {
        exchange.upload.returned = true;
        let event = sink::event(exchange, kind::WRITE_DONE);
        outbox.push(&exchange.queue, event);
    }
}

pub(super) fn has_more(exchange: &Exchange) -> bool {
    match exchange.upload.source {
        Source::None => false,
        Source::Whole { .. } | Source::File { .. } => true,
        Source::Stream => {
            !exchange.upload.pieces.is_empty() || exchange.ws.as_ref().is_some_and(|ws| ws.has_controls())
        }
    }
}

/// Give the protocol a piece of a streamed body, and book it.
pub(super) fn hand_piece<B: Backend>(
    io: &mut Io<B>,
    exchange: &mut Exchange,
    conn: ConnId,
    stream: StreamKey,
    bytes: Bytes,
) -> Result<(), Cause> {
    exchange.upload.handed += bytes.len() as u64;
    hand_bytes(io, exchange, conn, stream, bytes)
}

/// Give the protocol bytes of a stream that are booked elsewhere.
pub(super) fn hand_bytes<B: Backend>(
    io: &mut Io<B>,
    exchange: &mut Exchange,
    conn: ConnId,
    stream: StreamKey,
    bytes: Bytes,
) -> Result<(), Cause> {
    let len = bytes.len() as u64;
    exchange.upload.taken += len;
    exchange.bytes_sent += len;
    io.body(conn, stream, bytes, false).map_err(Cause::fault)
}

/// Give the protocol what may be sent now.
pub(super) fn hand_over<B: Backend>(
    io: &mut Io<B>,
    writer: &mut Writer,
    exchange: &mut Exchange,
    conn: ConnId,
    stream: StreamKey,
) -> Result<(), Cause> {
    // What is written before there is a tunnel waits for it.
    if exchange.awaits_tunnel() {
        return Ok(());
    }
    if exchange.upload.ended || io.conn(conn).is_none_or(|c| c.unsent() > UNSENT_LOW || c.sending_failed()) {
        return Ok(());
    }
    // On a connection of its own only the socket limits it, and what is too much is for the protocol to refuse.
    let is_shared = io.conn(conn).is_some_and(|c| c.is_shared());
    let (more, mut room) = (has_more(exchange), u64::MAX);
    if is_shared {
        io.want_room(conn, stream, more);
        room = io.body_room(conn, stream);
    }
    // A frame of a WebSocket may have left from where it stood.
    if !more {
        return Ok(());
    }
    let upload = &mut exchange.upload;
    match &upload.source {
        Source::None => {}
        Source::Whole { bytes, .. } => {
            let left = bytes.len() as u64 - upload.taken;
            let len = left.min(room);
            if len == 0 && left > 0 {
                return Ok(());
            }
            let chunk = bytes.slice(upload.taken as usize..(upload.taken + len) as usize);
            exchange.bytes_sent += len;
            upload.taken += len;
            upload.ended = len == left;
            io.body(conn, stream, chunk, upload.ended).map_err(Cause::fault)?;
        }
        Source::File { fd, offset, len } => {
            let left = len - upload.taken;
            if room == 0 {
                return Ok(());
            }
            let mut chunk = vec![0; left.min(FILE_CHUNK).min(room) as usize];
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
        Source::Stream if exchange.ws.is_some() => websocket::speak(io, writer, exchange, (conn, stream), room)?,
        Source::Stream => {
            let mut handed = 0;
            while handed <= UNSENT_LOW as u64
                && let Some(piece) = exchange.upload.pieces.pop_front()
            {
                match piece {
                    Piece::Bytes(mut bytes) => {
                        if bytes.len() as u64 > room {
                            let rest = bytes.split_off(room as usize);
                            exchange.upload.pieces.push_front(Piece::Bytes(rest));
                            if room == 0 {
                                break;
                            }
                        }
                        handed += bytes.len() as u64;
                        room = room.saturating_sub(bytes.len() as u64);
                        hand_piece(io, exchange, conn, stream, bytes)?;
                    }
                    // A WebSocket's alone.
                    Piece::Frame(_) => {}
                    Piece::End => {
                        exchange.upload.ended = true;
                        io.body(conn, stream, Bytes::new(), true).map_err(Cause::fault)?;
                        break;
                    }
                    Piece::Trailers(block) => {
                        exchange.upload.ended = true;
                        io.body_trailers(conn, stream, &block).map_err(Cause::fault)?;
                        break;
                    }
                }
            }
        }
    }
    if is_shared && !exchange.upload.ended {
        io.want_room(conn, stream, has_more(exchange));
    }
    Ok(())
}
