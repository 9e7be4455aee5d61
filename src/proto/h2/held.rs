//! Bytes of a body that were received and not passed on, for want of credit.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Shorter pieces are put together, in pieces of about that much.
const SHORT: usize = 4 << 10;
const TOGETHER: usize = 16 << 10;

#[derive(Debug, Default)]
pub struct Held {
    pieces: VecDeque<Bytes>,
    /// Behind them, short ones.
    short: BytesMut,
    len: usize,
}

impl Held {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether a piece of this length is copied anyway.
    pub fn copies(len: usize) -> bool {
        len < SHORT
    }

    pub fn copy(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        self.short.extend_from_slice(bytes);
        if self.short.len() >= TOGETHER {
            self.pieces.push_back(self.short.split().freeze());
        }
    }

    pub fn keep(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if !self.short.is_empty() {
            self.pieces.push_back(self.short.split().freeze());
        }
        self.pieces.push_back(bytes);
    }

    /// The first bytes, at most `max` of them. They stay until they are `taken`.
    pub fn front(&mut self, max: usize) -> Option<Bytes> {
        if self.pieces.is_empty() && !self.short.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.short).freeze());
        }
        let front = self.pieces.front()?;
        Some(front.slice(..front.len().min(max)))
    }

    /// So many of the bytes of `front` are gone.
    pub fn taken(&mut self, len: usize) {
        self.len -= len;
        if let Some(front) = self.pieces.front_mut() {
            if len < front.len() {
                drop(front.split_to(len));
            } else {
                self.pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_out_in_order() {
        for max in [1, 100, 5_000, usize::MAX] {
            let (mut held, mut all, mut got) = (Held::default(), Vec::new(), Vec::new());
            for (n, len) in [3, 5_000, 10, 9_000, 3_000, 3_000, 3_000, 2_000, 20_000, 1].into_iter().enumerate() {
                let piece = vec![n as u8; len];
                all.extend_from_slice(&piece);
                if Held::copies(len) {
                    held.copy(&piece);
                } else {
                    held.keep(Bytes::from(piece));
                }
            }
            assert_eq!(held.len(), all.len());
            while let Some(front) = held.front(max) {
                let len = front.len().div_ceil(2);
                got.extend_from_slice(&front[..len]);
                held.taken(len);
            }
            assert!(got == all && held.len() == 0);
        }
    }
}
