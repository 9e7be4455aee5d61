//! A look at the frames that come in, before the engine behind gets them: at their heads, and at field sections.
//!
//! Frames that carry nothing (PING, SETTINGS, RST_STREAM, WINDOW_UPDATE, PRIORITY, CONTINUATION, empty DATA, unknown ones)
//! cost a peer little and us some work each. Each costs one token. Tokens come back for what is useful: payload in either
//! direction, requests, and time. A peer that runs out of them floods us (RFC 9113 section 10.5).
//!
//! Empty DATA frames that end nothing are counted and left out: the engine behind would close a connection for a hundred
//! of them in its whole life, and a server that flushes often sends more.

use super::pipe::Input;
use super::section::{Sections, Verdict};
use crate::proto::{Fault, Tick};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

const HEAD: usize = 9;

/// Frame types (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// Flags: ACK of SETTINGS, END_STREAM of DATA and HEADERS, and others of HEADERS.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// What a frame may carry, unless we say otherwise.
const FRAME_MAX: usize = 16 << 10;

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
    /// The present frame belongs to a field section that is collected.
    collects: bool,
    /// Its frames so far, heads and all.
    section: Vec<u8>,
    section_max: usize,
    sections: Sections,
    /// Our streams by their ids, and whether the final head has come.
    streams: Vec<(u32, bool)>,
    pub went_away: Option<Goaway>,
    /// Bytes of answers that have come.
    pub received: u64,
    /// No frame has come yet.
    first: bool,
    /// The peer's first SETTINGS are there as a whole.
    pub greeted: bool,
    tokens: u64,
    /// Bytes that are not worth a token yet.
    spare: u64,
    since: Tick,
}

impl Tap {
    /// `list_max`: bytes of a field section that the engine behind decodes.
    pub fn new(list_max: usize) -> Tap {
        Tap {
            head: [0; HEAD],
            have: 0,
            left: 0,
            goaway: [0; 8],
            goaway_have: 0,
            collects: false,
            section: Vec::new(),
            // The engine ends a connection for as many frames; a section is smaller than what it says.
            section_max: list_max + list_max / 4 + 8 * FRAME_MAX,
            sections: Sections::default(),
            streams: Vec::new(),
            went_away: None,
            received: 0,
            first: true,
            greeted: false,
            tokens: TOKENS,
            spare: 0,
            since: Tick(0),
        }
    }

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

    /// A stream of ours is there.
    pub fn opened(&mut self, id: u32) {
        self.streams.push((id, false));
    }

    /// It is gone.
    pub fn forgot(&mut self, id: u32) {
        if let Ok(at) = self.streams.binary_search_by_key(&id, |&(id, _)| id) {
            self.streams.remove(at);
        }
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
        // What is passed on goes in one piece, as far as nothing is left out.
        let (mut from, mut at) = (0, 0);
        while at < input.len() {
            if self.left > 0 {
                let n = self.left.min(input.len() - at);
                self.payload(&input[at..at + n]);
                at += n;
                if self.collects {
                    self.section.extend_from_slice(&input[from..at]);
                    from = at;
                    if self.left == 0 {
                        self.collected(into)?;
                    }
                }
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
                    }
                    if !self.collects && !self.section.is_empty() {
                        // It is interrupted, which is for the engine behind to refuse.
                        into.copy(&std::mem::take(&mut self.section));
                    }
                    if self.collects {
                        self.section.extend_from_slice(&self.head);
                        if self.left == 0 {
                            self.collected(into)?;
                        }
                    } else if passes && n < HEAD {
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
        self.greeted |= len == 0;
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
        self.collects = match kind {
            HEADERS => self.section.is_empty(),
            CONTINUATION => self.section.get(5..HEAD).is_some_and(|stream| *stream == self.head[5..]),
            _ => false,
        };
        if self.collects {
            return if self.section.len() + len > self.section_max { Err(Fault::Flood) } else { Ok(false) };
        }
        // A stream of its own belongs to every DATA frame; one without is for the engine behind to refuse.
        Ok(!(kind == DATA && useless && self.head[5..] != [0; 4]))
    }

    /// A frame of a field section is there as a whole. With the last of them it is looked at, and passed on.
    fn collected(&mut self, into: &mut Input) -> Result<(), Fault> {
        self.collects = false;
        if self.head[4] & END_HEADERS == 0 {
            return Ok(());
        }
        let mut section = std::mem::take(&mut self.section);
        // One that is no section is for the engine behind to refuse.
        let Some(block) = block_of(&section) else {
            into.copy(&section);
            return Ok(());
        };
        let id = u32::from_be_bytes([section[5] & 0x7f, section[6], section[7], section[8]]);
        let mut stream = self.streams.binary_search_by_key(&id, |&(id, _)| id).ok().map(|at| &mut self.streams[at]);
        let trailers = stream.as_ref().is_some_and(|(_, answered)| *answered);
        match self.sections.look_at(&block, trailers)? {
            Verdict::Fine { last } => {
                stream.iter_mut().for_each(|(_, answered)| *answered |= last);
                into.copy(&section);
            }
            Verdict::Malformed(anew) => {
                let mut pieces = anew.chunks(FRAME_MAX).peekable();
                let (mut kind, mut flags) = (HEADERS, section[4] & END_STREAM);
                while let Some(piece) = pieces.next() {
                    flags |= if pieces.peek().is_none() { END_HEADERS } else { 0 };
                    let [_, len @ ..] = (piece.len() as u32).to_be_bytes();
                    into.copy(&len);
                    into.copy(&[kind, flags]);
                    into.copy(&section[5..HEAD]);
                    into.copy(piece);
                    (kind, flags) = (CONTINUATION, 0);
                }
            }
        }
        if section.capacity() <= KEPT_FROM {
            section.clear();
            self.section = section;
        }
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.left -= bytes.len();
        self.greeted |= self.left == 0;
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

/// The field block in the frames of a section, without padding and priority (RFC 9113 section 6.2).
fn block_of(section: &[u8]) -> Option<Cow<'_, [u8]>> {
    let flags = section[4];
    let (mut block, mut rest) = frame_of(section)?;
    if flags & PADDED != 0 {
        let (&padding, behind) = block.split_first()?;
        block = &behind[..behind.len().checked_sub(usize::from(padding))?];
    }
    if flags & PRIORITY != 0 {
        block = block.get(5..)?;
    }
    if rest.is_empty() {
        return Some(Cow::Borrowed(block));
    }
    let mut whole = block.to_vec();
    while !rest.is_empty() {
        let (piece, behind) = frame_of(rest)?;
        whole.extend_from_slice(piece);
        rest = behind;
    }
    Some(Cow::Owned(whole))
}

/// The payload of the first frame, and what is behind it.
fn frame_of(frames: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, behind) = frames.split_at_checked(HEAD)?;
    behind.split_at_checked(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize)
}
