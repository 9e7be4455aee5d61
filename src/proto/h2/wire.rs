//! Frames that are to be sent: gathered until the end of a turn, in order, bodies beside them as they are.

use super::frame::{FRAME_MAX, Head, PREFACE, flag, kind};
use crate::proto::Out;
use bytes::Bytes;
use std::ops::Range;

/// Shorter pieces of a body are copied.
const OWNED_FROM: usize = 256;
/// Room that is kept from turn to turn.
const ROOM_MAX: usize = 4 << 10;

#[derive(Debug)]
pub struct Wire {
    bytes: Vec<u8>,
    /// Pieces of bodies, each with the number of `bytes` that go before it.
    bodies: Vec<(usize, Bytes)>,
    /// What the peer takes in one frame.
    frame_max: usize,
}

impl Wire {
    /// Begins with the connection preface.
    pub fn new() -> Wire {
        Wire { bytes: PREFACE.to_vec(), bodies: Vec::new(), frame_max: FRAME_MAX as usize }
    }

    pub fn is_empty(&self) -> bool {
        // A body has a head.
        self.bytes.is_empty()
    }

    /// The peer's SETTINGS_MAX_FRAME_SIZE.
    pub fn set_frame_max(&mut self, max: u32) {
        self.frame_max = max as usize;
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes.extend_from_slice(&Head { len: payload.len() as u32, kind, flags, stream }.bytes());
        self.bytes.extend_from_slice(payload);
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub fn window_update(&mut self, stream: u32, by: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    /// Of the peer's streams there is none.
    pub fn goaway(&mut self, code: u32) {
        let [a, b, c, d] = code.to_be_bytes();
        self.frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, a, b, c, d]);
    }

    /// A field section, which `write` appends: HEADERS, and as many CONTINUATION as it takes.
    pub fn section(&mut self, stream: u32, ends: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        let mut head = Head { len: 0, kind: kind::HEADERS, flags: u8::from(ends) * flag::END_STREAM, stream };
        self.bytes.extend_from_slice(&head.bytes());
        let block_at = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - block_at;
        if len <= self.frame_max {
            head.len = len as u32;
            head.flags |= flag::END_HEADERS;
            self.bytes[at..block_at].copy_from_slice(&head.bytes());
            return;
        }
        let block = self.bytes.split_off(block_at);
        self.bytes.truncate(at);
        let mut pieces = block.chunks(self.frame_max).peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                head.flags |= flag::END_HEADERS;
            }
            self.frame(head.kind, head.flags, stream, piece);
            (head.kind, head.flags) = (kind::CONTINUATION, 0);
        }
    }

    /// A piece of a body, in frames that the peer takes.
    pub fn data(&mut self, stream: u32, mut chunk: Bytes, ends: bool) {
        loop {
            let piece = chunk.split_to(chunk.len().min(self.frame_max));
            let flags = u8::from(ends && chunk.is_empty()) * flag::END_STREAM;
            let head = Head { len: piece.len() as u32, kind: kind::DATA, flags, stream };
            self.bytes.extend_from_slice(&head.bytes());
            if piece.len() < OWNED_FROM {
                self.bytes.extend_from_slice(&piece);
            } else {
                self.bodies.push((self.bytes.len(), piece));
            }
            if chunk.is_empty() {
                return;
            }
        }
    }

    /// Everything goes to `out`.
    pub fn flush(&mut self, out: &mut Out) {
        if self.is_empty() {
            return;
        }
        let mut from = 0;
        for (at, body) in self.bodies.drain(..) {
            out.put(&self.bytes[from..at]);
            out.put_owned(body);
            from = at;
        }
        out.put(&self.bytes[from..]);
        self.clear();
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ROOM_MAX);
        self.bodies.clear();
        self.bodies.shrink_to(ROOM_MAX / size_of::<(usize, Bytes)>());
    }

    /// Bodies between the two addresses are copied: that memory is not ours any more.
    pub fn disown(&mut self, of: &Range<*const u8>) {
        for (_, body) in &mut self.bodies {
            if of.contains(&body.as_ptr()) {
                *body = Bytes::copy_from_slice(body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::HEAD;
    use super::*;

    fn flushed(wire: &mut Wire) -> Vec<Vec<u8>> {
        let mut out = Out::new();
        wire.flush(&mut out);
        assert!(wire.is_empty());
        out.segments().map(<[u8]>::to_vec).collect()
    }

    fn empty() -> Wire {
        let mut wire = Wire::new();
        assert_eq!(flushed(&mut wire), [PREFACE]);
        wire
    }

    #[test]
    fn a_long_section_goes_on_in_further_frames() {
        let mut wire = empty();
        for len in [0, 1, 16_384, 16_385, 50_000] {
            wire.window_update(0, 7);
            wire.section(5, true, |out| out.resize(out.len() + len, b'x'));
            let bytes = flushed(&mut wire).concat();
            let (mut at, mut heads, mut block) = (HEAD + 4, Vec::new(), 0);
            while let Some(head) = bytes.get(at..at + HEAD) {
                let head = Head::parse(head.try_into().unwrap());
                assert!(head.len <= FRAME_MAX && head.stream == 5);
                heads.push((head.kind, head.flags));
                block += head.len as usize;
                at += HEAD + head.len as usize;
            }
            assert_eq!((at, block), (bytes.len(), len));
            let (first, last) = (heads[0], heads[heads.len() - 1]);
            assert_eq!((first.0, first.1 & flag::END_STREAM), (kind::HEADERS, flag::END_STREAM));
            assert_eq!(heads.iter().filter(|head| head.1 & flag::END_HEADERS != 0).count(), 1);
            assert!(last.1 & flag::END_HEADERS != 0);
            assert_eq!(heads.len(), len.div_ceil(16_384).max(1));
        }
    }

    #[test]
    fn bodies_keep_their_place_and_only_short_ones_are_copied() {
        let mut wire = empty();
        let body = Bytes::from(vec![b'x'; 40_000]);
        wire.data(1, body.clone(), false);
        wire.data(3, Bytes::from_static(b"short"), true);
        wire.reset(1, 8);
        let mut out = Out::new();
        wire.flush(&mut out);
        let segments: Vec<&[u8]> = out.segments().collect();
        assert_eq!(segments.iter().map(|s| s.len()).collect::<Vec<_>>(), [9, 16_384, 9, 16_384, 9, 7_232, 9 + 5 + 13]);
        assert!(body.as_ptr_range().contains(&segments[1].as_ptr()));
        assert_eq!(&segments[6][..14], b"\0\0\x05\0\x01\0\0\0\x03short");
        // Memory that is given back is read no more.
        wire.data(1, body.clone(), true);
        wire.disown(&body.as_ptr_range());
        out.clear();
        wire.flush(&mut out);
        assert!(out.segments().all(|segment| !body.as_ptr_range().contains(&segment.as_ptr())));
        assert_eq!(out.len(), 40_000 + 3 * HEAD);
    }

    #[test]
    fn an_end_is_an_empty_frame_if_need_be() {
        let mut wire = empty();
        wire.data(1, Bytes::new(), true);
        assert_eq!(flushed(&mut wire), [b"\0\0\0\0\x01\0\0\0\x01"]);
    }
}
