//! What is spoken on a connection: HTTP/1.1, HTTP/2, or nothing but bytes.
#![forbid(unsafe_code)]

use crate::proto::h1::H1;
use crate::proto::h2::H2;
use crate::proto::raw::Raw;
use crate::proto::{Eof, Fault, Out, Protocol, RequestRef, Sink, StreamKey, Tick};
use bytes::Bytes;
use std::ops::Range;

#[derive(Debug)]
pub enum Spoken {
    H1(H1),
    H2(Box<H2>),
    Raw(Raw),
}

// Idle connections are kept by the thousand.
const _: () = assert!(size_of::<Spoken>() == size_of::<H1>());

/// The same call to whichever it is.
macro_rules! each {
    ($self:expr, $proto:ident => $call:expr) => {
        match $self {
            Spoken::H1($proto) => $call,
            Spoken::H2($proto) => $call,
            Spoken::Raw($proto) => $call,
        }
    };
}

impl Spoken {
    pub fn open(&mut self, now: Tick, request: &RequestRef<'_>, out: &mut Out) -> Result<StreamKey, Fault> {
        each!(self, p => p.open(now, request, out))
    }

    pub fn body(&mut self, s: StreamKey, chunk: Bytes, end: bool, out: &mut Out) -> Result<(), Fault> {
        each!(self, p => p.body(s, chunk, end, out))
    }

    pub fn body_trailers(&mut self, s: StreamKey, block: &[u8], out: &mut Out) -> Result<(), Fault> {
        each!(self, p => p.body_trailers(s, block, out))
    }

    pub fn recv(&mut self, now: Tick, input: &[u8], sink: &mut impl Sink, out: &mut Out) -> Result<usize, Fault> {
        each!(self, p => p.recv(now, input, sink, out))
    }

    pub fn unsaid(&self) -> bool {
        each!(self, p => p.unsaid())
    }

    pub fn eof(&mut self, now: Tick, how: Eof, sink: &mut impl Sink) -> Result<(), Fault> {
        each!(self, p => p.eof(now, how, sink))
    }

    pub fn cancel(&mut self, s: StreamKey, out: &mut Out) -> crate::proto::Cancelled {
        each!(self, p => p.cancel(s, out))
    }

    pub fn credit(&mut self, s: StreamKey, out: &mut Out) {
        each!(self, p => p.credit(s, out))
    }

    pub fn want_room(&mut self, s: StreamKey, wants: bool) {
        each!(self, p => p.want_room(s, wants));
    }

    pub fn body_room(&self, s: StreamKey) -> u64 {
        each!(self, p => p.body_room(s))
    }

    pub fn capacity(&self) -> u32 {
        each!(self, p => p.capacity())
    }

    pub fn deadline(&self) -> Tick {
        each!(self, p => p.deadline())
    }

    pub fn on_deadline(&mut self, now: Tick, out: &mut Out) -> Result<(), Fault> {
        each!(self, p => p.on_deadline(now, out))
    }

    /// Many requests may be under way at a time.
    pub fn is_shared(&self) -> bool {
        matches!(self, Spoken::H2(_))
    }

    /// Bytes of one answer that are sure to come without a further word of ours, as far as that is known.
    pub fn ahead(&self) -> u64 {
        match self {
            Spoken::H1(h1) => h1.ahead(),
            Spoken::H2(h2) => h2.ahead(),
            Spoken::Raw(_) => 0,
        }
    }

    /// Whether there is something to hand over yet, though the peer has closed its side.
    pub fn holds(&self) -> bool {
        matches!(self, Spoken::H2(h2) if h2.holds())
    }

    /// The last words on a connection that is closed in order.
    pub fn goodbye(&mut self, out: &mut Out) {
        if let Spoken::H2(h2) = self {
            h2.goodbye(out);
        }
    }

    /// So many bytes wait for the peer to take them.
    pub fn output_waits(&mut self, unsent: usize) {
        if let Spoken::H2(h2) = self {
            h2.output_waits(unsent);
        }
    }

    /// What is to be sent of a body between these addresses is copied: that memory is not ours any more.
    pub fn disown(&mut self, of: &Range<*const u8>) {
        if let Spoken::H2(h2) = self {
            h2.disown(of);
        }
    }

    /// Whether the peer has said, since the last call, that it wants no more requests.
    pub fn take_goaway(&mut self) -> bool {
        match self {
            Spoken::H2(h2) => h2.take_goaway(),
            Spoken::H1(_) | Spoken::Raw(_) => false,
        }
    }

    pub fn reusable(&self) -> bool {
        each!(self, p => p.reusable())
    }

    /// How long the peer keeps the connection while it is idle, as far as it told.
    pub fn kept_seconds(&self) -> Option<u32> {
        match self {
            Spoken::H1(h1) => h1.kept_seconds(),
            Spoken::H2(_) | Spoken::Raw(_) => None,
        }
    }
}
