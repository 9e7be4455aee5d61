//! A look at the frames that come in, before the engine behind gets them: only their heads are read.
//!
//! Frames that carry nothing (PING, SETTINGS, RST_STREAM, WINDOW_UPDATE, PRIORITY, CONTINUATION, empty DATA, unknown ones)
//! cost a peer little and us some work each. Each costs one token. Tokens come back for what is useful: payload in either
//! direction, requests, and time. A peer that runs out of them floods us (RFC 9113 section 10.5).
//!
//! Empty DATA frames that end nothing are counted and left out: the engine behind would close a connection for a hundred
//! of them in its whole life, and a server that flushes often sends more.

use super::pipe::Input;
use crate::proto::{Fault, Tick};
use bytes::Bytes;
use std::ops::Range;

const HEAD: usize = 9;

/// Frame types (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// Flags: ACK of SETTINGS, END_STREAM of DATA.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;

/// Frames without use that a connection may receive at once.
const TOKENS: u64 = 1_000;
/// A token comes back after so many nanoseconds...
const NS_PER_TOKEN: u64 = 20_000_000;
/// ... or bytes of a body, in either direction.
const BYTES_PER_TOKEN: u64 = 256;
/// Tokens for each request: its answer may be a reset, and comes with window updates.
const TOKENS_PER_REQUEST: u64 = 8;

/// Shorter input is copied rather than kept.
pub const KEPT_FROM: usize = 4 << 10;

/// What GOAWAY said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goaway {
    pub last: u32,
    pub code: u32,
}

#[derive(Debug)]
pub struct Tap {
    head: [u8; HEAD],
    /// Bytes of `head` that are there.
    have: usize,
    /// Payload of the present frame that is still to come.
    left: usize,
    /// The first bytes of a GOAWAY's payload.
    goaway: [u8; 8],
    goaway_have: usize,
    pub went_away: Option<Goaway>,
    /// Bytes of answers that have come.
    pub received: u64,
    /// No frame has come yet.
    first: bool,
    tokens: u64,
    /// Bytes that are not worth a token yet.
    spare: u64,
    since: Tick,
}

impl Default for Tap {
    fn default() -> Tap {
        Tap {
            head: [0; HEAD],
            have: 0,
            left: 0,
            goaway: [0; 8],
            goaway_have: 0,
            went_away: None,
            received: 0,
            first: true,
            tokens: TOKENS,
            spare: 0,
            since: Tick(0),
        }
    }
}

impl Tap {
    /// A request was sent.
    pub fn asked(&mut self) {
        self.tokens = (self.tokens + TOKENS_PER_REQUEST).min(TOKENS);
    }

    /// So many bytes of a body have passed.
    pub fn useful(&mut self, bytes: usize) {
        self.spare += bytes as u64;
        self.tokens = (self.tokens + self.spare / BYTES_PER_TOKEN).min(TOKENS);
        self.spare %= BYTES_PER_TOKEN;
    }

    /// Whether the input so far ends between two frames.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Pass `input` on to `into`; `owned` is the same bytes, if they may be kept.
    pub fn pass(&mut self, now: Tick, input: &[u8], owned: Option<&Bytes>, into: &mut Input) -> Result<(), Fault> {
        let passed = now.0.saturating_sub(self.since.0) / NS_PER_TOKEN;
        if passed > 0 {
            self.tokens = (self.tokens.saturating_add(passed)).min(TOKENS);
            self.since = now;
        }
        let hand_on = |range: Range<usize>, into: &mut Input| match owned {
            _ if range.is_empty() => {}
            Some(owned) if range.len() >= KEPT_FROM => into.keep(owned.slice(range)),
            _ => into.copy(&input[range]),
        };
        // What is passed on goes in one piece, as far as no frame is left out.
        let (mut from, mut at) = (0, 0);
        while at < input.len() {
            if self.left > 0 {
                let n = self.left.min(input.len() - at);
                self.payload(&input[at..at + n]);
                at += n;
                continue;
            }
            let n = (HEAD - self.have).min(input.len() - at);
            self.head[self.have..self.have + n].copy_from_slice(&input[at..at + n]);
            self.have += n;
            at += n;
            let checked = if self.first { self.look_at_first() } else { Ok(()) };
            let is_whole = self.have == HEAD;
            match checked.and_then(|()| if is_whole { self.frame().map(Some) } else { Ok(None) }) {
                Ok(None) => {}
                Ok(Some(passes)) => {
                    self.have = 0;
                    if !passes {
                        hand_on(from..at - n, into);
                        from = at;
                    } else if n < HEAD {
                        // Its beginning came earlier, and waited for this.
                        into.copy(&self.head[..HEAD - n]);
                    }
                }
                Err(fault) => {
                    hand_on(from..at - n, into);
                    return Err(fault);
                }
            }
        }
        // A part of a head waits for the rest.
        hand_on(from..at.saturating_sub(self.have).max(from), into);
        Ok(())
    }

    /// The first frame is SETTINGS, and no answer to ours (RFC 9113 section 3.4). What is not HTTP/2 shows here.
    fn look_at_first(&mut self) -> Result<(), Fault> {
        let head = &self.head[..self.have];
        let wrong =
            head.get(3).is_some_and(|&kind| kind != SETTINGS) || head.get(4).is_some_and(|flags| flags & ACK != 0);
        if wrong {
            return Err(Fault::NotHttp2);
        }
        self.first = self.have < HEAD;
        Ok(())
    }

    /// A head is whole. Whether the frame is passed on.
    fn frame(&mut self) -> Result<bool, Fault> {
        let len = u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]]) as usize;
        let (kind, flags) = (self.head[3], self.head[4]);
        self.left = len;
        let useless = match kind {
            DATA => len == 0 && flags & END_STREAM == 0,
            HEADERS => false,
            _ => true,
        };
        if useless {
            self.tokens = self.tokens.checked_sub(1).ok_or(Fault::Flood)?;
        }
        if kind == GOAWAY {
            self.goaway_have = 0;
        }
        // A stream of its own belongs to every DATA frame; one without is for the engine behind to refuse.
        Ok(!(kind == DATA && useless && self.head[5..] != [0; 4]))
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.left -= bytes.len();
        match self.head[3] {
            DATA => {
                self.received += bytes.len() as u64;
                self.useful(bytes.len());
            }
            GOAWAY if self.goaway_have < 8 => {
                let n = bytes.len().min(8 - self.goaway_have);
                self.goaway[self.goaway_have..self.goaway_have + n].copy_from_slice(&bytes[..n]);
                self.goaway_have += n;
                if self.goaway_have == 8 {
                    let word = |at: usize| u32::from_be_bytes(self.goaway[at..at + 4].try_into().expect("four bytes"));
                    self.went_away = Some(Goaway { last: word(0) & (u32::MAX >> 1), code: word(4) });
                }
            }
            _ => {}
        }
    }
}
