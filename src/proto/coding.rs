//! Content codings (RFC 9110 section 8.4.1), decoded as they come: gzip and deflate.
//!
//! The caller says how much room there is; so a body that decodes to a thousand times its size costs time, and no memory.
//! What has no end of its own is truncated: `is_whole` tells.
#![forbid(unsafe_code)]

use flate2::{Decompress, FlushDecompress, Status};

/// The window of both codings (RFC 1950, RFC 1951): 32 KiB.
const WINDOW_BITS: u8 = 15;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// RFC 1952; several members in a row are one body.
    Gzip,
    /// RFC 1950. Some servers leave its wrapping away and send RFC 1951, which is taken, too.
    Deflate,
}

/// A coding that is not known here, or more than one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unknown;

/// The bytes are none of the coding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Coding {
    /// What the values of `Content-Encoding` say. `None` if the body is as it is.
    pub fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<Coding>, Unknown> {
        let names = values.flat_map(|value| value.split(|&b| b == b',')).map(<[u8]>::trim_ascii);
        let mut coding = None;
        for name in names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity")) {
            let one = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                Coding::Gzip
            } else if name.eq_ignore_ascii_case(b"deflate") {
                Coding::Deflate
            } else {
                return Err(Unknown);
            };
            if coding.replace(one).is_some() {
                return Err(Unknown);
            }
        }
        Ok(coding)
    }
}

enum State {
    /// No byte has come.
    Empty,
    /// The first byte of deflate: with the second one it shows whether there is a wrapping.
    First(u8),
    Running(Decompress),
    /// A member of gzip has ended, or all of deflate.
    Ended,
}

pub struct Decoder {
    coding: Coding,
    state: State,
}

impl Decoder {
    pub fn new(coding: Coding) -> Decoder {
        Decoder { coding, state: State::Empty }
    }

    /// Decode from `input` into `room`: how many bytes were taken from the one and written to the other. There is no more to
    /// come of the input once it is taken and the room is not full.
    pub fn decode(&mut self, input: &[u8], room: &mut [u8]) -> Result<(usize, usize), Malformed> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            match &mut self.state {
                State::Empty | State::Ended if rest.is_empty() => return Ok((taken, 0)),
                State::Empty if self.coding == Coding::Deflate => {
                    self.state = State::First(rest[0]);
                    taken += 1;
                }
                State::Ended if self.coding == Coding::Deflate => return Err(Malformed),
                State::Empty | State::Ended => self.state = State::Running(Decompress::new_gzip(WINDOW_BITS)),
                State::First(_) if rest.is_empty() => return Ok((taken, 0)),
                State::First(first) => {
                    let first = *first;
                    let wrapped = first & 0xf == 8 && u16::from_be_bytes([first, rest[0]]).is_multiple_of(31);
                    let mut inflate = Decompress::new(wrapped);
                    // One byte yields nothing yet.
                    inflate.decompress(&[first], room, FlushDecompress::None).map_err(|_| Malformed)?;
                    self.state = State::Running(inflate);
                }
                State::Running(inflate) => {
                    let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
                    let status = inflate.decompress(rest, room, FlushDecompress::None).map_err(|_| Malformed)?;
                    taken += (inflate.total_in() - before_in) as usize;
                    let written = (inflate.total_out() - before_out) as usize;
                    if status == Status::StreamEnd {
                        self.state = State::Ended;
                    }
                    if written > 0 || taken == input.len() || status != Status::StreamEnd {
                        return Ok((taken, written));
                    }
                }
            }
        }
    }

    /// Nothing is missing; nothing at all is whole, too.
    pub fn is_whole(&self) -> bool {
        matches!(self.state, State::Empty | State::Ended)
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder({:?}, whole: {})", self.coding, self.is_whole())
    }
}
