//! The chunked transfer coding, decoded as it arrives.
//!
//! Framing bytes are consumed one by one and never buffered; chunk data is left in place for the caller to take;
//! the trailer section is found by [`Scan`] and consumed as a whole.
//!
//! States: size, blank, extension, LF, then data, CR, LF and back to size, or after a size of 0 trailers.
//!
//! Invariants: a chunk size is at most 2^63 - 1 and 16 digits; the bytes between a size and its line end are at most
//! `chunk_ext_max` a chunk, and a quarter of the body so far + 64 KiB in total.
//!
//! RFC 9112 sections 7.1 (chunked), 7.1.1 (extensions), 7.1.2 (trailers).

use super::Limits;
use super::bytes::{is_blank, is_text, is_token};
use super::head::Scan;
use crate::proto::Fault;

/// Hexadecimal digits of a chunk size, leading zeros included.
const DIGITS_MAX: u8 = 16;

/// What all chunk extensions together may take beyond a quarter of the body.
const EXT_FREE: u64 = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub struct Chunked {
    place: Place,
    /// The size being read, then what is left of the chunk.
    left: u64,
    /// Body bytes announced by the chunks so far.
    body: u64,
    /// Extension bytes of all chunks.
    ext_total: u64,
    /// Extension bytes of this chunk.
    ext: u32,
}

/// Where the decoder stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the size, after this many digits.
    Size(u8),
    /// In an extension, or in the blanks that may precede one.
    Ext(Ext),
    /// Before the LF of a size line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers(Scan),
}

#[derive(Clone, Copy, Debug)]
enum Ext {
    /// Blanks after the size or after a complete extension.
    After,
    /// Behind `;`, before the name.
    NameStart,
    Name,
    /// Blanks after a name.
    NameEnd,
    /// Behind `=`, before the value.
    ValueStart,
    Token,
    Quoted,
    Escaped,
}

/// What the caller has to do next.
#[derive(Debug)]
pub enum Next<'a> {
    /// Come back with more input.
    Feed,
    /// Take up to this many bytes of data and say so to [`Chunked::took`].
    Data(u64),
    /// Look for the end of the trailer section.
    Trailers(&'a mut Scan),
}

impl Chunked {
    pub const fn new() -> Chunked {
        Chunked { place: Place::Size(0), left: 0, body: 0, ext_total: 0, ext: 0 }
    }

    /// Consume framing up to data, trailers or the end of `input`; returns how many bytes that were.
    pub fn advance(&mut self, input: &[u8], limits: &Limits) -> Result<usize, Fault> {
        for (i, &b) in input.iter().enumerate() {
            self.place = match self.place {
                Place::Data | Place::Trailers(_) => return Ok(i),
                Place::Size(digits) => self.size(digits, b, limits)?,
                Place::Ext(ext) => self.extension(ext, b, limits)?,
                Place::SizeLf if b == b'\n' => self.size_end(),
                Place::DataCr if b == b'\r' => Place::DataLf,
                Place::DataCr if b == b'\n' && !limits.allow_bare_lf => return Err(Fault::BareLf),
                Place::DataCr if b == b'\n' => Place::Size(0),
                Place::DataLf if b == b'\n' => Place::Size(0),
                Place::SizeLf | Place::DataCr | Place::DataLf => return Err(Fault::ChunkFraming),
            };
        }
        Ok(input.len())
    }

    pub fn next(&mut self) -> Next<'_> {
        match &mut self.place {
            Place::Data => Next::Data(self.left),
            Place::Trailers(scan) => Next::Trailers(scan),
            _ => Next::Feed,
        }
    }

    /// `n` bytes of the data that [`Next::Data`] spoke of are gone.
    pub fn took(&mut self, n: u64) {
        self.left -= n;
        if self.left == 0 {
            self.place = Place::DataCr;
        }
    }

    /// What a close in this state cuts off.
    pub fn truncated(&self) -> Fault {
        match self.place {
            Place::Trailers(_) => Fault::TruncatedTrailers,
            _ => Fault::TruncatedChunk,
        }
    }

    fn size(&mut self, digits: u8, b: u8, limits: &Limits) -> Result<Place, Fault> {
        if let Some(digit) = (b as char).to_digit(16) {
            if digits == 0 {
                (self.left, self.ext) = (0, 0);
            }
            // 16 digits cannot overflow 64 bits; the highest bit is judged below.
            if digits == DIGITS_MAX {
                return Err(Fault::ChunkSize);
            }
            self.left = self.left << 4 | u64::from(digit);
            return if self.left > i64::MAX as u64 { Err(Fault::ChunkSize) } else { Ok(Place::Size(digits + 1)) };
        }
        match b {
            _ if digits == 0 => Err(Fault::ChunkSize),
            b'\r' | b'\n' => self.line_end(b, limits),
            b';' | b' ' | b'\t' => self.extension(Ext::After, b, limits),
            _ => Err(Fault::ChunkSize),
        }
    }

    fn extension(&mut self, ext: Ext, b: u8, limits: &Limits) -> Result<Place, Fault> {
        let may_end = matches!(ext, Ext::After | Ext::Name | Ext::NameEnd | Ext::Token);
        if may_end && matches!(b, b'\r' | b'\n') {
            return self.line_end(b, limits);
        }
        self.ext += 1;
        self.ext_total += 1;
        if self.ext > limits.chunk_ext_max || self.ext_total > self.body / 4 + EXT_FREE {
            return Err(Fault::ChunkExtension);
        }
        let next = match (ext, b) {
            (Ext::After | Ext::Name | Ext::NameEnd | Ext::Token, b';') => Ext::NameStart,
            (Ext::After | Ext::Token, b) if is_blank(b) => Ext::After,
            (Ext::NameStart, b) if is_blank(b) => Ext::NameStart,
            (Ext::NameStart | Ext::Name, b) if is_token(b) => Ext::Name,
            (Ext::Name | Ext::NameEnd, b) if is_blank(b) => Ext::NameEnd,
            (Ext::Name | Ext::NameEnd, b'=') => Ext::ValueStart,
            (Ext::ValueStart, b) if is_blank(b) => Ext::ValueStart,
            (Ext::ValueStart, b'"') => Ext::Quoted,
            (Ext::ValueStart | Ext::Token, b) if is_token(b) => Ext::Token,
            (Ext::Quoted, b'"') => Ext::After,
            (Ext::Quoted, b'\\') => Ext::Escaped,
            (Ext::Quoted | Ext::Escaped, b) if is_text(b) => Ext::Quoted,
            _ => return Err(Fault::ChunkExtension),
        };
        Ok(Place::Ext(next))
    }

    fn line_end(&mut self, b: u8, limits: &Limits) -> Result<Place, Fault> {
        match b {
            b'\r' => Ok(Place::SizeLf),
            _ if limits.allow_bare_lf => Ok(self.size_end()),
            _ => Err(Fault::BareLf),
        }
    }

    fn size_end(&mut self) -> Place {
        if self.left == 0 {
            return Place::Trailers(Scan::trailers());
        }
        self.body = self.body.saturating_add(self.left);
        Place::Data
    }
}
