//! The head of a frame (RFC 6455 section 5.2), read and written.

use super::{Rule, mask};
use bytes::BytesMut;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Bytes of the longest head that a client sends.
pub const HEAD_MAX: usize = 14;
/// Bytes that a control frame carries at most.
pub const CONTROL_MAX: usize = 125;

/// The head of a frame that a server sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub fin: bool,
    /// RSV1: the message is compressed, if that was agreed on.
    pub rsv1: bool,
    pub opcode: u8,
    pub len: u64,
    /// Bytes of the head itself.
    pub size: usize,
}

impl Head {
    /// The head at the front of `bytes`; `None` if it is not whole yet. What is wrong with its first two bytes is told when
    /// they are there.
    pub fn parse(bytes: &[u8]) -> Result<Option<Head>, Rule> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (fin, rsv1, opcode) = (first & 0x80 != 0, first & 0x40 != 0, first & 0xf);
        if first & 0x30 != 0 {
            return Err(Rule::ReservedBit);
        }
        if second & 0x80 != 0 {
            return Err(Rule::Masked);
        }
        if matches!(opcode, 3..=7 | 11..=15) {
            return Err(Rule::Opcode);
        }
        if opcode >= CLOSE {
            if rsv1 {
                return Err(Rule::ReservedBit);
            }
            if !fin || usize::from(*second) > CONTROL_MAX {
                return Err(Rule::ControlFrame);
            }
        }
        let (len, size) = match second {
            126 => {
                let Some(len) = rest.first_chunk::<2>() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*len)), 4)
            }
            127 => {
                let Some(len) = rest.first_chunk::<8>() else { return Ok(None) };
                (u64::from_be_bytes(*len), 10)
            }
            len => (u64::from(*len), 2),
        };
        let shortest = match size {
            2 => true,
            4 => len >= 126,
            _ => (1 << 16..1 << 63).contains(&len),
        };
        if !shortest {
            return Err(Rule::Length);
        }
        Ok(Some(Head { fin, rsv1, opcode, len, size }))
    }
}

/// Append a frame, masked with `key`. `first`: FIN and RSV1 as they stand there, or'ed with the opcode.
pub fn put(out: &mut BytesMut, first: u8, payload: &[u8], key: [u8; 4]) {
    out.reserve(HEAD_MAX + payload.len());
    let len = payload.len();
    let mut head = [0; HEAD_MAX];
    head[0] = first;
    let size = match len {
        0..=125 => {
            head[1] = 0x80 | len as u8;
            2
        }
        126..=0xffff => {
            head[1] = 0x80 | 126;
            head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            head[1] = 0x80 | 127;
            head[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    head[size..size + 4].copy_from_slice(&key);
    out.extend_from_slice(&head[..size + 4]);
    mask::append(out, payload, key);
}

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
