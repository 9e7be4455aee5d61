//! Sending on a WebSocket, from any thread.

use super::Engine;
use super::Mail;
use crate::client::upload::Piece;
use crate::client::websocket::{FRAME_CHARGE, Frame};
use crate::error as e;
use crate::net::backend::Backend;
use crate::proto::ws::frame;
use bytes::Bytes;

impl<B: Backend> Engine<B> {
    /// Send a frame. Its payload is validated but for text, whose rule may span frames. When the turn is free, it is masked
    /// out of the caller's memory, and leaves at once; else a copy waits for whoever has the turn.
    pub fn send_frame(&self, xid: u64, frame: &Frame<&[u8]>) -> Result<(), i32> {
        let gate = self.ids.gate(xid).ok_or(e::CHTTP_E_NOT_FOUND)?;
        if !gate.takes_messages() || !gate.is_open() {
            return Err(e::CHTTP_E_BAD_STATE);
        }
        let message = match frame.opcode {
            frame::CLOSE | frame::PING | frame::PONG => None,
            opcode => Some(gate.next_message(opcode, frame.fin, frame.payload)?),
        };
        let charge = frame.payload.len() as u64 + FRAME_CHARGE;
        if frame.opcode == frame::CLOSE {
            // It ends the sending, and waits for nothing.
            if !gate.shut() {
                return Err(e::CHTTP_E_BAD_STATE);
            }
            gate.book_at_all(charge);
        } else if !gate.book(charge, self.settings.send_buffer) {
            return Err(e::CHTTP_E_AGAIN);
        }
        let core = match self.try_lock() {
            Some(core) => core,
            None => {
                let mut copy = Vec::new();
                if copy.try_reserve_exact(frame.payload.len()).is_err() {
                    gate.unbook(charge, 0);
                    return Err(e::CHTTP_E_NOMEM);
                }
                copy.extend_from_slice(frame.payload);
                if let Some(message) = message {
                    gate.sent(message);
                }
                let Frame { opcode, fin, plain, .. } = *frame;
                let payload = Bytes::from(copy);
                self.post(Mail::Write(xid, Piece::Frame(Frame { opcode, fin, plain, payload })));
                return Ok(());
            }
        };
        if let Some(message) = message {
            gate.sent(message);
        }
        self.take_turn(core, |core| core.send_frame(xid, frame));
        Ok(())
    }
}
