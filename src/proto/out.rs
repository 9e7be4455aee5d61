//! Bytes on their way out: copied runs and owned slices, in order, drained as a list of segments.

use bytes::Bytes;
use std::ops::Range;

/// Room that is kept from use to use.
const ROOM_MAX: usize = 512 << 10;

#[derive(Debug)]
enum Segment {
    Copied(Range<usize>),
    Owned(Bytes),
}

/// An output list. One lives in the reactor and is reused for every connection, so that a warm request
/// allocates nothing here.
#[derive(Debug, Default)]
pub struct Out {
    /// `used` bytes of it count. What is behind them is room that is not cleared again for each use.
    copied: Vec<u8>,
    used: usize,
    segments: Vec<Segment>,
    len: usize,
    finished: bool,
}

impl Out {
    pub fn new() -> Self {
        Self::default()
    }

    /// Append a copy of `bytes`.
    pub fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.copied(bytes.len());
    }

    /// Append what `write` puts to the front of `max` bytes; it returns how many. So a cipher writes where the socket
    /// reads.
    pub fn put_with<E>(&mut self, max: usize, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        let written = write(&mut self.room(max)[..max]);
        self.copied(*written.as_ref().unwrap_or(&0));
        written.map(drop)
    }

    /// At least `len` bytes behind those that count.
    fn room(&mut self, len: usize) -> &mut [u8] {
        if self.copied.len() - self.used < len {
            self.copied.resize(self.used + len, 0);
        }
        &mut self.copied[self.used..]
    }

    /// `len` more bytes count.
    fn copied(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        let start = self.used;
        self.used += len;
        self.len += len;
        if let Some(Segment::Copied(last)) = self.segments.last_mut() {
            last.end = self.used;
        } else {
            self.segments.push(Segment::Copied(start..self.used));
        }
    }

    /// Append `bytes` without copying them.
    pub fn put_owned(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len();
        self.segments.push(Segment::Owned(bytes));
    }

    /// Our sending side is to be closed behind everything that was appended: FIN, or `close_notify` and FIN.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether `finish` was called; emptying the list forgets it.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().map(|s| match s {
            Segment::Copied(range) => &self.copied[range.clone()],
            Segment::Owned(bytes) => &bytes[..],
        })
    }

    /// Hand what is left after the first `skip` bytes to `keep`, owned segments as they are, and empty the list.
    pub fn drain_after(&mut self, mut skip: usize, mut keep: impl FnMut(Bytes)) {
        for segment in self.segments.drain(..) {
            let len = match &segment {
                Segment::Copied(range) => range.len(),
                Segment::Owned(bytes) => bytes.len(),
            };
            if skip >= len {
                skip -= len;
                continue;
            }
            keep(match segment {
                Segment::Copied(range) => Bytes::copy_from_slice(&self.copied[range.start + skip..range.end]),
                Segment::Owned(bytes) => bytes.slice(skip..),
            });
            skip = 0;
        }
        self.clear();
    }

    pub fn clear(&mut self) {
        // Once in a while something large goes out; its room is not kept for ever.
        if self.copied.len() > ROOM_MAX {
            self.copied = Vec::new();
        }
        self.used = 0;
        self.segments.clear();
        self.len = 0;
        self.finished = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjacent_copies_join_and_owned_segments_stay_whole() {
        let mut out = Out::new();
        out.put(b"ab");
        out.put(b"cd");
        out.put_owned(Bytes::from_static(b"xyz"));
        out.put(b"e");
        let segments: Vec<Vec<u8>> = out.segments().map(<[u8]>::to_vec).collect();
        assert_eq!(segments, [b"abcd".to_vec(), b"xyz".to_vec(), b"e".to_vec()]);
        assert_eq!(out.len(), 8);
    }

    #[test]
    fn drain_after_any_offset_keeps_the_rest() {
        for skip in 0..=8 {
            let mut out = Out::new();
            out.put(b"abcd");
            out.put_owned(Bytes::from_static(b"xyz"));
            out.put(b"e");
            let mut rest = Vec::new();
            out.drain_after(skip, |b| rest.extend_from_slice(&b));
            assert_eq!(rest, b"abcdxyze"[skip..]);
            assert!(out.is_empty());
        }
    }

    #[test]
    fn what_is_written_in_place_joins_and_what_fails_leaves_nothing() {
        let mut out = Out::new();
        out.put(b"ab");
        let fill = |room: &mut [u8]| {
            room[..2].copy_from_slice(b"cd");
            Ok::<_, ()>(2)
        };
        out.put_with(100, fill).unwrap();
        out.put_with(100, |room| {
            room.fill(b'x');
            Err(())
        })
        .unwrap_err();
        out.put(b"e");
        assert_eq!(out.segments().collect::<Vec<_>>(), [b"abcde"]);
        assert_eq!(out.len(), 5);
    }

    #[test]
    fn the_end_is_forgotten_with_the_bytes() {
        let mut out = Out::new();
        out.finish();
        assert!(out.is_finished() && out.is_empty());
        out.drain_after(0, drop);
        assert!(!out.is_finished());
    }
}
