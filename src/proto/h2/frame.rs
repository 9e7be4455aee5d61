//! Frames (RFC 9113 sections 4 and 6): their heads, types, flags, and the codes of errors.

use crate::proto::Fault;

/// What a client says first (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// What a frame may carry, unless its receiver says otherwise (section 6.5.2); of us nobody hears otherwise.
pub const FRAME_MAX: u32 = 16 << 10;
/// No window is larger, and no stream has a greater number (sections 6.9.1, 5.1.1).
pub const WORD_MAX: u32 = u32::MAX >> 1;

/// Types of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// Of SETTINGS and PING.
    pub const ACK: u8 = 1;
    /// Of DATA and HEADERS.
    pub const END_STREAM: u8 = 1;
    /// Of HEADERS and CONTINUATION.
    pub const END_HEADERS: u8 = 4;
    /// Of DATA and HEADERS.
    pub const PADDED: u8 = 8;
    /// Of HEADERS.
    pub const PRIORITY: u8 = 0x20;
}

/// Codes of errors (section 7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The head of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Bytes of the payload.
    pub len: u32,
    pub kind: u8,
    pub flags: u8,
    /// 0 for the connection.
    pub stream: u32,
}

impl Head {
    pub fn parse(bytes: [u8; HEAD]) -> Head {
        let [a, b, c, kind, flags, s, t, u, v] = bytes;
        Head { len: u32::from_be_bytes([0, a, b, c]), kind, flags, stream: u32::from_be_bytes([s, t, u, v]) & WORD_MAX }
    }

    pub fn bytes(self) -> [u8; HEAD] {
        let [_, a, b, c] = self.len.to_be_bytes();
        let [s, t, u, v] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, s, t, u, v]
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What its length and its stream must be, as far as that depends on the type alone.
    pub fn check(self) -> Result<(), Fault> {
        let wrong = |code| Err(Fault::Frame(code));
        if self.len > FRAME_MAX {
            return wrong(code::FRAME_SIZE_ERROR);
        }
        let of_a_stream = match self.kind {
            kind::DATA | kind::HEADERS | kind::PRIORITY | kind::RST_STREAM | kind::CONTINUATION => true,
            kind::SETTINGS | kind::PING | kind::GOAWAY => false,
            // Nobody has allowed it (section 8.4).
            kind::PUSH_PROMISE => return wrong(code::PROTOCOL_ERROR),
            _ => self.stream != 0,
        };
        if of_a_stream != (self.stream != 0) {
            return wrong(code::PROTOCOL_ERROR);
        }
        let fits = match self.kind {
            kind::DATA | kind::HEADERS if self.has(flag::PADDED) => self.len > 0,
            kind::RST_STREAM | kind::WINDOW_UPDATE => self.len == 4,
            kind::SETTINGS if self.has(flag::ACK) => self.len == 0,
            kind::SETTINGS => self.len.is_multiple_of(6),
            kind::PING => self.len == 8,
            kind::GOAWAY => self.len >= 8,
            _ => true,
        };
        if fits { Ok(()) } else { wrong(code::FRAME_SIZE_ERROR) }
    }
}

/// The number in four bytes.
pub fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word))
}

/// The fragment of a field block in HEADERS, without padding and priority (section 6.2).
pub fn fragment(head: Head, payload: &[u8]) -> Result<&[u8], Fault> {
    let mut block = payload;
    if head.has(flag::PADDED) {
        let (&padding, behind) = block.split_first().ok_or(Fault::Frame(code::FRAME_SIZE_ERROR))?;
        let len = behind.len().checked_sub(usize::from(padding)).ok_or(Fault::Frame(code::PROTOCOL_ERROR))?;
        block = &behind[..len];
    }
    if head.has(flag::PRIORITY) {
        block = block.get(5..).ok_or(Fault::Frame(code::FRAME_SIZE_ERROR))?;
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_are_written() {
        for head in [
            Head { len: 0, kind: 0, flags: 0, stream: 0 },
            Head { len: 0x01_02_03, kind: kind::DATA, flags: 0xff, stream: 0x0405_0607 },
            Head { len: (1 << 24) - 1, kind: 0xff, flags: 1, stream: WORD_MAX },
        ] {
            assert_eq!(Head::parse(head.bytes()), head);
        }
        // The reserved bit is ignored.
        assert_eq!(Head::parse([0, 0, 0, 0, 0, 0x80, 0, 0, 1]).stream, 1);
    }

    #[test]
    fn lengths_and_streams_are_those_of_the_type() {
        let (protocol, size) = (Err(Fault::Frame(code::PROTOCOL_ERROR)), Err(Fault::Frame(code::FRAME_SIZE_ERROR)));
        for (kind, flags, stream, len, expected) in [
            (kind::DATA, 0, 1, 0, Ok(())),
            (kind::DATA, 0, 1, 16_384, Ok(())),
            (kind::DATA, 0, 1, 16_385, size),
            (kind::DATA, 0, 0, 1, protocol),
            (kind::DATA, flag::PADDED, 1, 0, size),
            (kind::HEADERS, 0, 0, 1, protocol),
            (kind::HEADERS, flag::PADDED, 1, 0, size),
            (kind::PRIORITY, 0, 0, 5, protocol),
            (kind::RST_STREAM, 0, 0, 4, protocol),
            (kind::RST_STREAM, 0, 1, 5, size),
            (kind::SETTINGS, 0, 1, 0, protocol),
            (kind::SETTINGS, 0, 0, 12, Ok(())),
            (kind::SETTINGS, 0, 0, 7, size),
            (kind::SETTINGS, flag::ACK, 0, 6, size),
            (kind::PUSH_PROMISE, 0, 1, 4, protocol),
            (kind::PING, 0, 1, 8, protocol),
            (kind::PING, 0, 0, 7, size),
            (kind::GOAWAY, 0, 1, 8, protocol),
            (kind::GOAWAY, 0, 0, 7, size),
            (kind::GOAWAY, 0, 0, 100, Ok(())),
            (kind::WINDOW_UPDATE, 0, 0, 4, Ok(())),
            (kind::WINDOW_UPDATE, 0, 3, 4, Ok(())),
            (kind::WINDOW_UPDATE, 0, 3, 3, size),
            (kind::CONTINUATION, 0, 0, 1, protocol),
            (0x77, 0, 0, 1, Ok(())),
            (0x77, 0, 1, 16_385, size),
        ] {
            assert_eq!(Head { len, kind, flags, stream }.check(), expected, "{kind} {flags} {stream} {len}");
        }
    }

    #[test]
    fn padding_and_priority_are_no_part_of_a_block() {
        let fragment_of = |flags, payload| {
            let head = Head { len: 0, kind: kind::HEADERS, flags, stream: 1 };
            fragment(head, payload)
        };
        assert_eq!(fragment_of(0, b"abc"), Ok(&b"abc"[..]));
        assert_eq!(fragment_of(flag::PADDED, b"\x02abc"), Ok(&b"a"[..]));
        assert_eq!(fragment_of(flag::PADDED, b"\x03abc"), Ok(&b""[..]));
        assert_eq!(fragment_of(flag::PADDED, b"\x04abc"), Err(Fault::Frame(code::PROTOCOL_ERROR)));
        assert_eq!(fragment_of(flag::PRIORITY, b"\0\0\0\0\0abc"), Ok(&b"abc"[..]));
        assert_eq!(fragment_of(flag::PRIORITY, b"\0\0\0\0"), Err(Fault::Frame(code::FRAME_SIZE_ERROR)));
        assert_eq!(fragment_of(flag::PRIORITY | flag::PADDED, b"\x01\0\0\0\0\0abc"), Ok(&b"ab"[..]));
    }
}
