//! HTTP/1.1 for one connection: one request at a time, requests counted by [`StreamKey`] from 1.
//!
//! States: idle, head, body (length, chunked, until close), tunnel, closed. `idle → head → body → idle` is the way of
//! a connection that persists; every anomaly leads to `closed`, which has no way out.
//!
//! Invariants:
//! - Events and verdict are the same however the input is cut. After an error nothing is read any more.
//! - A head or a trailer section is consumed as a whole; body bytes as far as the sink's credit goes; framing at once.
//! - A request counts as finished when its response has ended. If its body had not been sent by then, the rest is
//!   not sent either: further pieces are dropped without an error, and the connection is not reused.
//! - Input that follows a response in the same segment is left unconsumed and makes the connection unusable; fed
//!   again, as input on an idle connection is, it is [`Fault::UnexpectedData`].
//!
//! RFC 9112; RFC 9110 sections 7.8 (Upgrade), 9.3.6 (CONNECT), 15.2 (1xx).

pub(super) mod bytes;
mod chunked;
pub mod encode;
pub(super) mod framing;
mod head;
mod invalid;

use crate::proto::{
    BodyLen, Cancelled, Data, Eof, Fault, Follows, Head, Out, Protocol, RequestRef, Sink, StreamKey, Tick,
};
use ::bytes::Bytes;
use chunked::{Chunked, Next};
use framing::{Asked, Framing};
use head::Scan;
use std::sync::Arc;

/// Limits and choices of the parser; each is an option of the C interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line of a head or trailer section, its line end included.
    pub line_max: u32,
    /// Bytes of a whole head, and of a whole trailer section, the empty line that ends it included.
    pub head_max: u32,
    /// Field lines of a head, and of a trailer section.
    pub fields_max: u32,
    /// Informational responses before the final one.
    pub informational_max: u32,
    /// Bytes of one chunk extension. All of them together may take a quarter of the body plus 64 KiB.
    pub chunk_ext_max: u32,
    /// Accept LF alone as the end of a line.
    pub allow_bare_lf: bool,
    /// Replace an obs-fold by spaces instead of refusing it.
    pub allow_obs_fold: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            line_max: 100 << 10,
            head_max: 300 << 10,
            fields_max: 5_000,
            informational_max: 16,
            chunk_ext_max: 16 << 10,
            allow_bare_lf: false,
            allow_obs_fold: false,
        }
    }
}

/// The protocol of one connection.
#[derive(Debug)]
pub struct H1 {
    limits: Arc<Limits>,
    state: State,
    upload: Upload,
    /// Key of the latest request.
    key: u32,
    /// 1xx responses to it.
    informational: u32,
    asked: Asked,
    /// Neither side has asked for a close so far.
    keep: bool,
    /// What the last answer said in `Keep-Alive: timeout=`.
    kept_seconds: Option<u32>,
}

// Idle connections are kept by the thousand.
const _: () = assert!(size_of::<H1>() <= 96);

#[derive(Debug)]
enum State {
    Idle,
    Head { scan: Scan, empty: EmptyLine },
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Tunnel,
    Closed,
}

/// The one empty line that may precede a status line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum EmptyLine {
    Possible,
    /// Its CR has arrived.
    Begun,
    Skipped,
}

/// What is still to be sent of a request's body.
#[derive(Clone, Copy, Debug)]
enum Upload {
    Length(u64),
    Chunked,
    /// A tunnel's stream.
    Raw,
    Done,
}

impl H1 {
    pub fn new(limits: Arc<Limits>) -> H1 {
        H1 {
            limits,
            state: State::Idle,
            upload: Upload::Done,
            key: 0,
            informational: 0,
            asked: Asked::Plain,
            keep: true,
            kept_seconds: None,
        }
    }
}

impl Protocol for H1 {
    fn capacity(&self) -> u32 {
        u32::from(self.reusable())
    }

    fn open(&mut self, _: Tick, request: &RequestRef<'_>, out: &mut Out) -> Result<StreamKey, Fault> {
        debug_assert!(self.reusable(), "open without capacity");
        self.key += 1;
        self.informational = 0;
        self.asked = match request.method {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ if request.upgrade => Asked::Upgrade,
            _ => Asked::Plain,
        };
        self.upload = match request.body {
            BodyLen::None | BodyLen::Known(0) => Upload::Done,
            BodyLen::Known(n) => Upload::Length(n),
            BodyLen::Unknown => Upload::Chunked,
        };
        self.keep = !request
            .fields
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case(b"connection") && framing::has_token(value, b"close"));
        self.state = State::Head { scan: Scan::head(), empty: EmptyLine::Possible };
        out.put(request.h1_head);
        Ok(StreamKey(self.key))
    }

    fn body_room(&self, s: StreamKey) -> u64 {
        if self.is_open(s) && !matches!(self.upload, Upload::Done) { u64::MAX } else { 0 }
    }

    fn body(&mut self, s: StreamKey, chunk: Bytes, end: bool, out: &mut Out) -> Result<(), Fault> {
        if !self.is_open(s) {
            return Ok(());
        }
        let len = chunk.len() as u64;
        match self.upload {
            Upload::Done if len == 0 => {}
            Upload::Done => return Err(self.broken_upload()),
            Upload::Length(left) if len > left || (end && len < left) => return Err(self.broken_upload()),
            Upload::Length(left) => {
                self.upload = if len == left { Upload::Done } else { Upload::Length(left - len) };
                out.put_owned(chunk);
            }
            Upload::Chunked => {
                if len > 0 {
                    put_size_line(chunk.len(), out);
                    out.put_owned(chunk);
                    out.put(b"\r\n");
                }
                if end {
                    out.put(b"0\r\n\r\n");
                    self.upload = Upload::Done;
                }
            }
            Upload::Raw => {
                out.put_owned(chunk);
                if end {
                    out.finish();
                    self.upload = Upload::Done;
                }
            }
        }
        Ok(())
    }

    fn body_trailers(&mut self, s: StreamKey, block: &[u8], out: &mut Out) -> Result<(), Fault> {
        if !self.is_open(s) {
            return Ok(());
        }
        // Only the chunked coding has a place for them.
        if !matches!(self.upload, Upload::Chunked) {
            return Err(self.broken_upload());
        }
        out.put(b"0\r\n");
        out.put(block);
        out.put(b"\r\n");
        self.upload = Upload::Done;
        Ok(())
    }

    fn recv(&mut self, _: Tick, input: &[u8], sink: &mut impl Sink, _: &mut Out) -> Result<usize, Fault> {
        let result = self.read(input, sink);
        if result.is_err() {
            self.state = State::Closed;
        }
        result
    }

    fn unsaid(&self) -> bool {
        false
    }

    fn eof(&mut self, _: Tick, how: Eof, sink: &mut impl Sink) -> Result<(), Fault> {
        let stream = StreamKey(self.key);
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Idle | State::Closed => Ok(()),
            State::Head { scan, empty: EmptyLine::Possible } if !scan.started() && self.informational == 0 => {
                Err(Fault::ClosedBeforeHead)
            }
            State::Head { .. } => Err(Fault::TruncatedHead),
            State::Length(_) => Err(Fault::TruncatedBody),
            State::Chunked(chunked) => Err(chunked.truncated()),
            State::UntilClose | State::Tunnel if how == Eof::Cut => Err(Fault::TruncatedBody),
            State::UntilClose | State::Tunnel => {
                sink.end(stream);
                Ok(())
            }
        }
    }

    fn credit(&mut self, _: StreamKey, _: &mut Out) {}

    fn cancel(&mut self, s: StreamKey, _: &mut Out) -> Cancelled {
        if self.is_open(s) {
            self.state = State::Closed;
        }
        if matches!(self.state, State::Closed) { Cancelled::Close } else { Cancelled::Kept }
    }

    fn deadline(&self) -> Tick {
        Tick::NEVER
    }

    fn on_deadline(&mut self, _: Tick, _: &mut Out) -> Result<(), Fault> {
        Ok(())
    }

    fn reusable(&self) -> bool {
        matches!(self.state, State::Idle)
    }
}

impl H1 {
    /// Bytes of a body that have to come yet, where its length was announced.
    pub fn ahead(&self) -> u64 {
        if let State::Length(left) = self.state { left } else { 0 }
    }

    /// How long the server keeps the connection while it is idle, as far as its last answer told (RFC 2068 section
    /// 19.7.1.1, which browsers and servers still follow).
    pub fn kept_seconds(&self) -> Option<u32> {
        self.kept_seconds
    }

    fn is_open(&self, s: StreamKey) -> bool {
        s.0 == self.key && !matches!(self.state, State::Idle | State::Closed)
    }

    /// What went out does not match what was announced: nothing that follows would be understood.
    fn broken_upload(&mut self) -> Fault {
        self.state = State::Closed;
        Fault::BodyLength
    }

    fn read(&mut self, input: &[u8], sink: &mut impl Sink) -> Result<usize, Fault> {
        let stream = StreamKey(self.key);
        let mut at = 0;
        loop {
            let rest = &input[at..];
            if rest.is_empty() {
                return Ok(at);
            }
            match &mut self.state {
                // Input behind the end of a message stays where it is; input without a message is a fault.
                State::Idle | State::Closed if at > 0 => return Ok(at),
                State::Idle | State::Closed => return Err(Fault::UnexpectedData),
                State::Head { scan, empty } => {
                    if *empty != EmptyLine::Skipped {
                        if rest == b"\r" {
                            *empty = EmptyLine::Begun;
                            return Ok(at);
                        }
                        if let Some(n) = empty_line(rest, &self.limits) {
                            *empty = EmptyLine::Skipped;
                            at += n;
                            continue;
                        }
                    }
                    // A copy, because all of `self` is lent to what handles the head.
                    let limits = Limits::clone(&self.limits);
                    // Once a head, so that one that comes in pieces is not parsed with each.
                    if !scan.started() {
                        let read = |head: &Head<'_>, len| self.on_head(head, len == rest.len(), sink).map(|()| len);
                        if let Some(len) = head::read_at_once(rest, &limits, read) {
                            at += len?;
                            continue;
                        }
                    }
                    // The same once more: nothing has touched it.
                    let State::Head { scan, .. } = &mut self.state else { continue };
                    let Some(len) = scan.find_end(rest, &limits)? else { return Ok(at) };
                    let lines = scan.fields();
                    head::read(&rest[..len], lines, limits.allow_obs_fold, |head| {
                        self.on_head(head, len == rest.len(), sink)
                    })??;
                    at += len;
                }
                State::Length(left) => {
                    let n = deliver(at, *left, input, stream, sink);
                    if n == 0 {
                        return Ok(at);
                    }
                    at += n;
                    *left -= n as u64;
                    if *left == 0 {
                        self.finish(at == input.len(), sink);
                    }
                }
                State::Chunked(chunked) => {
                    at += chunked.advance(rest, &self.limits)?;
                    match chunked.next() {
                        Next::Feed => return Ok(at),
                        Next::Data(left) => {
                            let n = deliver(at, left, input, stream, sink);
                            if n == 0 {
                                return Ok(at);
                            }
                            at += n;
                            chunked.took(n as u64);
                        }
                        Next::Trailers(scan) => {
                            let rest = &input[at..];
                            let Some(len) = scan.find_end(rest, &self.limits).map_err(in_trailers)? else {
                                return Ok(at);
                            };
                            let lines = scan.fields();
                            if lines > 0 {
                                let allow_fold = self.limits.allow_obs_fold;
                                head::read_trailers(&rest[..len], lines, allow_fold, |f| sink.trailers(stream, f))
                                    .map_err(in_trailers)?;
                            }
                            at += len;
                            self.finish(at == input.len(), sink);
                        }
                    }
                }
                State::UntilClose => {
                    let n = deliver(at, u64::MAX, input, stream, sink);
                    if n == 0 {
                        return Ok(at);
                    }
                    at += n;
                }
                State::Tunnel => {
                    let n = sink.stream(stream, Data::Input(at..input.len()));
                    if n == 0 {
                        return Ok(at);
                    }
                    at += n;
                }
            }
        }
    }

    fn on_head(&mut self, head: &Head<'_>, is_last: bool, sink: &mut impl Sink) -> Result<(), Fault> {
        let stream = StreamKey(self.key);
        let (framing, keep, kept_seconds) = framing::decide(self.asked, head)?;
        self.keep &= keep;
        self.kept_seconds = kept_seconds;
        let (state, follows) = match framing {
            Framing::Informational => {
                self.informational += 1;
                if self.informational > self.limits.informational_max {
                    return Err(Fault::TooManyInformational);
                }
                self.state = State::Head { scan: Scan::head(), empty: EmptyLine::Possible };
                sink.informational(stream, head);
                return Ok(());
            }
            Framing::Nothing => {
                sink.head(stream, head, Follows::Nothing);
                self.finish(is_last, sink);
                return Ok(());
            }
            // A server that switches while the request is still being sent has not understood it as one.
            Framing::Tunnel if !matches!(self.upload, Upload::Done) => return Err(Fault::UnsolicitedUpgrade),
            Framing::Tunnel => {
                self.upload = Upload::Raw;
                (State::Tunnel, Follows::Tunnel)
            }
            Framing::Length(n) => (State::Length(n), Follows::Length(n)),
            Framing::Chunked => (State::Chunked(Chunked::new()), Follows::Unknown),
            Framing::UntilClose => (State::UntilClose, Follows::Unknown),
        };
        self.state = state;
        sink.head(stream, head, follows);
        Ok(())
    }

    /// The response is complete; `is_last` says that no input follows it.
    fn finish(&mut self, is_last: bool, sink: &mut impl Sink) {
        let sent = matches!(self.upload, Upload::Done);
        self.state = if self.keep && sent && is_last { State::Idle } else { State::Closed };
        sink.end(StreamKey(self.key));
    }
}

/// Hand what is there, wanted and paid for to the sink.
fn deliver(at: usize, left: u64, input: &[u8], stream: StreamKey, sink: &mut impl Sink) -> usize {
    let there = (input.len() - at) as u64;
    if there == 0 {
        return 0;
    }
    let n = there.min(left).min(sink.credit(stream)) as usize;
    if n > 0 {
        sink.data(stream, Data::Input(at..at + n));
    }
    n
}

/// The length of an empty line at the front (RFC 9112 section 2.2 has servers ignore one before a request line;
/// some send one before a status line).
fn empty_line(input: &[u8], limits: &Limits) -> Option<usize> {
    match input {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] if limits.allow_bare_lf => Some(1),
        _ => None,
    }
}

/// A fault of the trailer section gets a code of its own, unless an option would have allowed it.
fn in_trailers(fault: Fault) -> Fault {
    match fault {
        Fault::LineTooLong | Fault::HeadTooLarge | Fault::TooManyFields => Fault::TrailersTooLarge,
        Fault::BareLf | Fault::ObsFold => fault,
        _ => Fault::Trailer,
    }
}

fn put_size_line(size: usize, out: &mut Out) {
    let mut line = [0; 18];
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");
    let mut rest = size;
    while rest > 0 {
        start -= 1;
        line[start] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.put(&line[start..]);
}
