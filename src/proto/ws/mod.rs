//! WebSocket on any stream of bytes: the opening handshake over HTTP, frames, messages, compression, closing.
//!
//! Nothing here knows what carries the bytes: an HTTP/1.1 connection after its 101, TLS, a stream of HTTP/2. A [`Reader`] turns
//! received bytes into pieces of messages and control frames, [`frame`] writes frames, [`handshake`] says what is asked
//! for and judges the answer, [`deflate`] is the one extension.
//!
//! RFC 6455; RFC 7692 (permessage-deflate).

pub mod close;
pub mod deflate;
pub mod frame;
pub mod handshake;
mod mask;
mod read;
mod utf8;

pub use read::{Control, Item, Limits, Reader};
pub use utf8::Utf8;

/// The two kinds of messages, by their opcodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Text = 1,
    Binary = 2,
}

/// The rules that a server can break. Each has an error code of the C interface, and a code that it is told on closing
/// (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rule {
    /// The answer to the handshake lacks Upgrade, Connection or the right Sec-WebSocket-Accept, or is no 101 of HTTP/1.1
    /// without a body (section 4.1).
    Accept,
    /// An extension that was not asked for, or one that is agreed on in a way that is not allowed (RFC 7692 section 7.1).
    Extension,
    /// A subprotocol that was not asked for (section 4.1).
    Subprotocol,
    /// A frame with a mask (section 5.1).
    Masked,
    /// A reserved bit that no extension has given a meaning (section 5.2).
    ReservedBit,
    /// An opcode without a meaning (section 5.2).
    Opcode,
    /// A control frame that is fragmented, or longer than 125 bytes (section 5.5).
    ControlFrame,
    /// A continuation of nothing, or a message that begins inside another (section 5.4).
    Fragment,
    /// A length of 2^63 and more, or one that is not written in the shortest form (section 5.2).
    Length,
    /// Text that is not UTF-8 (section 8.1).
    Utf8,
    /// A Close frame whose body is one byte, or has a code that nobody may send (sections 5.5.1, 7.4).
    CloseFrame,
    FrameTooLarge,
    /// Counted after decompression.
    MessageTooLarge,
    /// Compressed data that does not inflate (RFC 7692 section 7.2.2).
    Deflate,
    /// The connection ended without a Close frame (section 7.1.5: what an application knows as 1006).
    Abnormal,
}

impl Rule {
    /// What the server is told; `None` where there is nobody to tell.
    pub const fn close_code(self) -> Option<u16> {
        match self {
            Rule::Accept | Rule::Extension | Rule::Subprotocol | Rule::Abnormal => None,
            Rule::Utf8 | Rule::Deflate => Some(close::INVALID_DATA),
            Rule::FrameTooLarge | Rule::MessageTooLarge => Some(close::TOO_BIG),
            _ => Some(close::PROTOCOL_ERROR),
        }
    }
}
