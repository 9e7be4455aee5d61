//! permessage-deflate (RFC 7692): what is offered and agreed on, and the two halves of it.
//!
//! A half that keeps its window from message to message has its state from the first compressed message on. One that does
//! not has it while a message is in progress only, and puts it on a [`Shelf`] then.

use super::Rule;
use super::handshake::is_token;
use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::sync::{Arc, Mutex, PoisonError};

/// How much work compression does, 1 to 9.
const LEVEL: u32 = 6;
/// What an empty block of no compression leaves at the end of a message: it is cut off, and put back (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// zlib has no smaller window than this.
const BITS_MIN: u8 = 9;
pub const BITS_MAX: u8 = 15;
/// The smallest that can be agreed on.
pub const BITS_LEAST: u8 = 8;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// We will not keep our window.
    pub client_no_context_takeover: bool,
    /// The server is not to keep its window.
    pub server_no_context_takeover: bool,
    /// The largest window that we use, 8 to 15.
    pub client_bits: u8,
    /// The largest window that the server may use, 8 to 15.
    pub server_bits: u8,
}

impl Default for Offer {
    fn default() -> Offer {
        Offer {
            client_no_context_takeover: false,
            server_no_context_takeover: false,
            client_bits: BITS_MAX,
            server_bits: BITS_MAX,
        }
    }
}

impl Offer {
    /// The value of Sec-WebSocket-Extensions.
    pub fn text(&self) -> String {
        let mut text = String::from("permessage-deflate; client_max_window_bits");
        if self.client_bits < BITS_MAX {
            text += &format!("={}", self.client_bits);
        }
        if self.server_bits < BITS_MAX {
            text += &format!("; server_max_window_bits={}", self.server_bits);
        }
        if self.client_no_context_takeover {
            text += "; client_no_context_takeover";
        }
        if self.server_no_context_takeover {
            text += "; server_no_context_takeover";
        }
        text
    }
}

/// What was agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    pub client_no_context_takeover: bool,
    pub server_no_context_takeover: bool,
    pub client_bits: u8,
    pub server_bits: u8,
}

/// The server's answer to an offer. `None` if it is none (section 7.1): another extension, a second one, a parameter that is
/// unknown, repeated, of no valid value, or wider than the offer, or an answer that leaves out what was demanded.
pub fn agreed(offer: &Offer, answer: &[u8]) -> Option<Params> {
    let text = std::str::from_utf8(answer).ok()?;
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    if parts.next()? != "permessage-deflate" {
        return None;
    }
    let (mut ours, mut theirs, mut no_ours, mut no_theirs) = (None, None, false, false);
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        };
        match (name, value) {
            ("client_no_context_takeover", None) if !no_ours => no_ours = true,
            ("server_no_context_takeover", None) if !no_theirs => no_theirs = true,
            ("client_max_window_bits", Some(value)) if ours.is_none() => ours = Some(bits(value)?),
            ("server_max_window_bits", Some(value)) if theirs.is_none() => theirs = Some(bits(value)?),
            _ => return None,
        }
    }
    if ours.is_some_and(|bits| bits > offer.client_bits)
        || theirs.unwrap_or(BITS_MAX) > offer.server_bits
        || offer.server_no_context_takeover && !no_theirs
    {
        return None;
    }
    Some(Params {
        client_no_context_takeover: no_ours || offer.client_no_context_takeover,
        server_no_context_takeover: no_theirs,
        client_bits: ours.unwrap_or(offer.client_bits),
        server_bits: theirs.unwrap_or(BITS_MAX),
    })
}

/// A number of bits: 8 to 15 without a leading zero, perhaps between quotation marks.
fn bits(value: &str) -> Option<u8> {
    let plain = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    if !is_token(plain.as_bytes()) {
        return None;
    }
    (BITS_LEAST..=BITS_MAX).find(|bits| bits.to_string() == plain)
}

/// Where inflated bytes go.
pub trait Room {
    /// Room for more bytes, at least one.
    fn room(&mut self) -> Result<&mut [u8], Rule>;
    /// So many were written to the front of the room that was given last.
    fn wrote(&mut self, len: usize) -> Result<(), Rule>;
}

/// What a compressor and a decompressor rest on between messages that need none of each other's bytes: one of each, for all
/// WebSockets of an engine. They take 300 KB and 45 KB: asked for and given back with each message, they leave the C library's
/// heap full of holes.
#[derive(Debug, Default)]
pub struct Shelf {
    compress: Mutex<Option<(u8, Box<Compress>)>>,
    decompress: Mutex<Option<Box<Decompress>>>,
}

impl Shelf {
    fn compress(&self, bits: u8) -> Box<Compress> {
        let fits = taken(&self.compress).filter(|(had, _)| *had == bits);
        match fits {
            Some((_, inner)) => inner,
            None => Box::new(Compress::new_with_window_bits(Compression::new(LEVEL), false, bits)),
        }
    }

    /// With the largest window, whatever was agreed on: it takes as much memory as the smallest, and only one of this size can
    /// be made empty without being made anew.
    fn decompress(&self) -> Box<Decompress> {
        taken(&self.decompress).unwrap_or_else(|| Box::new(Decompress::new(false)))
    }

    /// Give the memory back.
    pub fn clear(&self) {
        put(&self.compress, None);
        put(&self.decompress, None);
    }
}

fn taken<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn put<T>(place: &Mutex<Option<T>>, inner: Option<T>) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = inner;
}

/// Decompression of what a server sends.
#[derive(Debug)]
pub struct Inflater {
    inner: Option<Box<Decompress>>,
    keeps: bool,
    shelf: Arc<Shelf>,
}

impl Inflater {
    pub fn new(params: &Params, shelf: &Arc<Shelf>) -> Inflater {
        Inflater { inner: None, keeps: !params.server_no_context_takeover, shelf: shelf.clone() }
    }

    /// Inflate a piece of a message, its last one if `end`.
    pub fn piece(&mut self, mut input: &[u8], end: bool, to: &mut impl Room) -> Result<(), Rule> {
        let inner = self.inner.get_or_insert_with(|| self.shelf.decompress());
        let mut tail = end;
        loop {
            let room = to.room()?;
            let (size, before_in, before_out) = (room.len(), inner.total_in(), inner.total_out());
            let status = inner.decompress(input, room, FlushDecompress::Sync).map_err(|_| Rule::Deflate)?;
            let (taken, written) = (inner.total_in() - before_in, (inner.total_out() - before_out) as usize);
            input = &input[taken as usize..];
            to.wrote(written)?;
            if status == Status::StreamEnd {
                // A last block ends no message (section 7.2.3.4): what follows it is a new stream.
                inner.reset(false);
            } else if written == size {
                continue;
            } else if !input.is_empty() && taken == 0 {
                return Err(Rule::Deflate);
            }
            if input.is_empty() {
                if !std::mem::take(&mut tail) {
                    break;
                }
                input = &TAIL;
            }
        }
        if end
            && !self.keeps
            && let Some(mut inner) = self.inner.take()
        {
            inner.reset(false);
            put(&self.shelf.decompress, Some(inner));
        }
        Ok(())
    }
}

/// Compression of what we send.
#[derive(Debug)]
pub struct Deflater {
    inner: Option<Box<Compress>>,
    bits: u8,
    keeps: bool,
    shelf: Arc<Shelf>,
}

impl Deflater {
    /// `None` if the server demands a smaller window than zlib has: then nothing is compressed, which is always allowed.
    pub fn new(params: &Params, shelf: &Arc<Shelf>) -> Option<Deflater> {
        let (bits, keeps) = (params.client_bits, !params.client_no_context_takeover);
        (bits >= BITS_MIN).then(|| Deflater { inner: None, bits, keeps, shelf: shelf.clone() })
    }

    /// Append the compressed form of a piece of a message, its last one if `end`.
    pub fn piece(&mut self, mut input: &[u8], end: bool, out: &mut BytesMut) -> Result<(), Rule> {
        let inner = self.inner.get_or_insert_with(|| self.shelf.compress(self.bits));
        let start = out.len();
        loop {
            let used = out.len();
            out.resize(used + input.len() / 2 + 64, 0);
            let (before_in, before_out) = (inner.total_in(), inner.total_out());
            let status = inner.compress(input, &mut out[used..], FlushCompress::Sync).map_err(|_| Rule::Deflate)?;
            input = &input[(inner.total_in() - before_in) as usize..];
            let written = (inner.total_out() - before_out) as usize;
            let full = used + written == out.len();
            out.truncate(used + written);
            if input.is_empty() && !full || status == Status::BufError {
                break;
            }
        }
        if end {
            if out[start..].ends_with(&TAIL) {
                out.truncate(out.len() - TAIL.len());
            }
            // An empty block, for a message of nothing (section 7.2.3.6).
            if out.len() == start {
                out.extend_from_slice(&[0]);
            }
            if !self.keeps
                && let Some(mut inner) = self.inner.take()
            {
                inner.reset();
                put(&self.shelf.compress, Some((self.bits, inner)));
            }
        }
        Ok(())
    }
}
