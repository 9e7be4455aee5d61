//! Messages become frames, and frames bytes for the connection.

use super::WebSocket;
use crate::client::exchange::Exchange;
use crate::client::failure::Cause;
use crate::client::feed::hand_bytes;
use crate::client::upload::Piece;
use crate::error as e;
use crate::net::backend::Backend;
use crate::net::connection::ConnId;
use crate::net::reactor::Io;
use crate::net::sys;
use crate::proto::ws::frame;
use crate::proto::{Fault, StreamKey};
use bytes::{Bytes, BytesMut};

/// What every frame counts beside its payload, so that those without one are bounded too.
pub const FRAME_CHARGE: u64 = frame::HEAD_MAX as u64;
/// Small frames are written into one buffer, which is used again once all of it is sent. As much may be pinned by a few
/// bytes that a slow connection has not taken.
const BUFFER: usize = 4 << 10;
/// Masks that are drawn at a time: a system call for each would cost more than all else.
const KEYS: usize = 256;
/// Bytes of frames that are made before the connection is given some.
const ENOUGH: usize = 64 << 10;
/// Bytes of control frames that wait. If more are asked for, only the last is answered (RFC 6455 section 5.5.3).
const CONTROLS_MAX: usize = 16 << 10;

/// A frame to send.
#[derive(Clone, Debug)]
pub struct Frame<T> {
    pub opcode: u8,
    /// The last of its message.
    pub fin: bool,
    /// Not to be compressed.
    pub plain: bool,
    pub payload: T,
}

impl Frame<&[u8]> {
    pub fn copied(&self) -> Frame<Bytes> {
        let Frame { opcode, fin, plain, payload } = *self;
        Frame { opcode, fin, plain, payload: Bytes::copy_from_slice(payload) }
    }
}

/// What all WebSockets of an engine write with.
pub struct Writer {
    buffer: BytesMut,
    /// A message while it is compressed.
    packed: BytesMut,
    /// Random bytes for masks, and how many of them are used.
    keys: Box<[u8]>,
    used: usize,
    /// Messages that were written so far.
    pub messages: u64,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer { buffer: BytesMut::new(), packed: BytesMut::new(), keys: Box::default(), used: 0, messages: 0 }
    }
}

impl Writer {
    /// A mask that nobody can foresee (RFC 6455 section 10.3), and that was not used before.
    fn key(&mut self) -> Result<[u8; 4], Cause> {
        if self.used == self.keys.len() {
            if self.keys.is_empty() {
                self.keys = vec![0; KEYS * 4].into();
            }
            sys::random(&mut self.keys).map_err(|error| Cause {
                code: e::CHTTP_E_IO,
                os_errno: error.raw_os_error().unwrap_or(0),
                native: 0,
            })?;
            self.used = 0;
        }
        let key = self.keys[self.used..].first_chunk().copied().unwrap_or_default();
        self.used += 4;
        Ok(key)
    }

    /// Give back what is not needed while nothing happens.
    pub fn tidy(&mut self) {
        self.buffer = BytesMut::new();
        self.packed = BytesMut::new();
        self.keys = Box::default();
        self.used = 0;
    }

    fn put(&mut self, first: u8, payload: &[u8]) -> Result<(), Cause> {
        let key = self.key()?;
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(BUFFER);
        }
        frame::put(&mut self.buffer, first, payload, key);
        Ok(())
    }

    /// The frames that were put. A large buffer goes with them.
    fn take(&mut self) -> Bytes {
        let bytes = self.buffer.split().freeze();
        if bytes.len() > BUFFER {
            self.buffer = BytesMut::new();
        }
        bytes
    }

    fn frame(&mut self, ws: &mut WebSocket, from: u64, frame: &Frame<&[u8]>) -> Result<(), Cause> {
        let Frame { opcode, fin, plain, payload } = *frame;
        let fin_bit = if fin { frame::FIN } else { 0 };
        if opcode >= frame::CLOSE {
            return self.put(fin_bit | opcode, payload);
        }
        if opcode != frame::CONTINUATION {
            ws.compressing = !plain && (!fin || payload.len() as u64 >= from);
        }
        let Some(deflater) = ws.deflater.as_mut().filter(|_| ws.compressing) else {
            return self.put(fin_bit | opcode, payload);
        };
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        let done = deflater.piece(payload, fin, &mut packed);
        done.map_err(|rule| Cause::fault(Fault::WebSocket(rule)))?;
        let rsv1 = if opcode == frame::CONTINUATION { 0 } else { frame::RSV1 };
        let put = self.put(fin_bit | rsv1 | opcode, &packed);
        if packed.capacity() <= ENOUGH {
            self.packed = packed;
        }
        put
    }
}

/// A control frame that goes before everything that waits.
pub(super) fn queue(controls: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    if controls.len() > CONTROLS_MAX {
        controls.clear();
    }
    controls.extend_from_slice(&[opcode, payload.len() as u8]);
    controls.extend_from_slice(payload);
}

/// Where the bytes go.
type Way = (ConnId, StreamKey);

/// One frame of the application's, at once.
pub(super) fn say<B: Backend>(
    io: &mut Io<B>,
    writer: &mut Writer,
    exchange: &mut Exchange,
    (conn, stream): Way,
    frame: &Frame<&[u8]>,
) -> Result<(), Cause> {
    exchange.upload.handed += frame.payload.len() as u64 + FRAME_CHARGE;
    put(io, writer, exchange, frame)?;
    give(io, exchange, (conn, stream), writer.take(), u64::MAX)
}

/// Everything that waits, or as much as a connection takes at a time. Nothing is sent behind a Close frame.
pub fn speak<B: Backend>(
    io: &mut Io<B>,
    writer: &mut Writer,
    exchange: &mut Exchange,
    way: Way,
    mut room: u64,
) -> Result<(), Cause> {
    // The rest of a frame comes before everything.
    if let Some(Piece::Bytes(_)) = exchange.upload.pieces.front()
        && let Some(Piece::Bytes(rest)) = exchange.upload.pieces.pop_front()
    {
        let len = rest.len() as u64;
        give(io, exchange, way, rest, room)?;
        room = room.saturating_sub(len);
    }
    if room == 0 {
        return Ok(());
    }
    let controls = exchange.ws.as_mut().map(|ws| std::mem::take(&mut ws.controls)).unwrap_or_default();
    let mut rest = &controls[..];
    while let [opcode, len, behind @ ..] = rest {
        let (payload, behind) = behind.split_at(usize::from(*len));
        rest = behind;
        put(io, writer, exchange, &Frame { opcode: *opcode, fin: true, plain: true, payload })?;
    }
    while writer.buffer.len() < ENOUGH
        && let Some(piece) = exchange.upload.pieces.pop_front()
    {
        if let Piece::Frame(Frame { opcode, fin, plain, payload }) = piece {
            exchange.upload.handed += payload.len() as u64 + FRAME_CHARGE;
            put(io, writer, exchange, &Frame { opcode, fin, plain, payload: &payload })?;
        }
    }
    give(io, exchange, way, writer.take(), room)
}

/// Put a frame into the writer's buffer. Nothing follows a Close frame.
fn put<B: Backend>(
    io: &mut Io<B>,
    writer: &mut Writer,
    exchange: &mut Exchange,
    frame: &Frame<&[u8]>,
) -> Result<(), Cause> {
    let Exchange { ws: Some(ws), request, .. } = exchange else { return Ok(()) };
    if ws.closing.sent.is_some() {
        return Ok(());
    }
    let from = request.websocket.as_ref().map_or(0, |setup| setup.choices.deflate_from);
    writer.frame(ws, from, frame)?;
    writer.messages += u64::from(frame.fin && frame.opcode < frame::CLOSE);
    if frame.opcode == frame::CLOSE {
        ws.closing.sent = Some(io.now());
    }
    Ok(())
}

/// Hand bytes to the connection; what it has no room for waits.
fn give<B: Backend>(
    io: &mut Io<B>,
    exchange: &mut Exchange,
    (conn, stream): Way,
    mut bytes: Bytes,
    room: u64,
) -> Result<(), Cause> {
    if bytes.len() as u64 > room {
        let rest = bytes.split_off(room as usize);
        exchange.upload.pieces.push_front(Piece::Bytes(rest));
    } else {
        exchange.upload.ended = exchange.ws.as_ref().is_some_and(|ws| ws.closing.sent.is_some());
    }
    if bytes.is_empty() { Ok(()) } else { hand_bytes(io, exchange, conn, stream, bytes) }
}
