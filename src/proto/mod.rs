//! Protocol state machines: bytes in, events out.
//!
//! Nothing here owns a file descriptor, a clock, a thread, a lock, a log or a global. Time comes in as
//! [`Tick`], bytes come in as slices, bytes go out through [`Out`], and everything a protocol has to say
//! is said to a [`Sink`]. The room imports nothing of ours but itself.
//!
//! A protocol never sees the application: how a request was validated, where it is retried and who pays
//! for its memory are questions of the rooms above.
#![forbid(unsafe_code)]

pub mod coding;
pub mod eyeballs;
pub mod fault;
pub mod h1;
pub mod h2;
pub mod out;
pub mod raw;
pub mod route;
pub mod sse;
pub mod tls;
pub mod url;
pub mod ws;

pub use fault::Fault;
pub use out::Out;

use bytes::Bytes;
use std::ops::Range;

/// A moment on the engine's monotonic clock, in nanoseconds. `Tick::NEVER` is later than every moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// No deadline.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// The moment `ns` nanoseconds later; saturates at [`Tick::NEVER`].
    #[must_use]
    pub const fn after(self, ns: u64) -> Tick {
        Tick(self.0.saturating_add(ns))
    }
}

/// One message exchange on a connection. HTTP/1.1 counts requests, HTTP/2 the places of its streams, which are used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StreamKey(pub u32);

/// Where the name and the value of one field stand in the bytes of a head.
///
/// `repr(C)` because field tables are stored in untyped blocks and read back through the C interface.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Field {
    pub name: u32,
    pub name_len: u32,
    pub value: u32,
    pub value_len: u32,
}

impl Field {
    pub fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.name as usize..(self.name + self.name_len) as usize]
    }

    pub fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.value as usize..(self.value + self.value_len) as usize]
    }
}

/// A field section: the bytes and the table of what stands where. Order, case and duplicates are as on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub bytes: &'a [u8],
    pub table: &'a [Field],
}

impl<'a> Fields<'a> {
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let bytes = self.bytes;
        self.table.iter().map(move |f| (f.name(bytes), f.value(bytes)))
    }

    /// The first value of a field, its name compared without regard to ASCII case.
    pub fn first(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

/// The head of a response, final or informational.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    pub version: Version,
    pub status: u16,
    /// The reason phrase; empty in HTTP/2.
    pub reason: &'a [u8],
    pub fields: Fields<'a>,
}

/// What follows a final response head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follows {
    /// No body: HEAD, 204, 304, or a length of zero. `Sink::end` comes next.
    Nothing,
    /// Exactly this many bytes of body (at least one).
    Length(u64),
    /// A body whose length is not known beforehand (chunked, until close, HTTP/2 without a length).
    Unknown,
    /// The connection is a raw stream from here on (101, or 2xx to CONNECT): `Sink::data` carries its bytes,
    /// `Protocol::body` writes to it, `Sink::end` says that the peer has closed its side.
    Tunnel,
}

/// How the peer's side came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Eof {
    /// The peer said so: FIN on a plain connection, `close_notify` under TLS.
    Clean,
    /// FIN under TLS without `close_notify`: anybody on the way may have cut the stream (RFC 8446 section 6.1). What has
    /// no end but this one is truncated.
    Cut,
}

/// Bytes of a body on their way to the application.
#[derive(Clone, Debug)]
pub enum Data {
    /// A range of the input that is being fed to `Protocol::recv`, so that it reaches the application without a copy.
    Input(Range<usize>),
    /// Bytes that the protocol owns: what it held back for want of credit.
    Owned(Bytes),
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Data::Input(range) => range.len(),
            Data::Owned(bytes) => bytes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Length of a request body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLen {
    None,
    Known(u64),
    /// HTTP/1.1 sends it chunked.
    Unknown,
}

impl BodyLen {
    /// No byte will be sent.
    pub const fn is_none(self) -> bool {
        matches!(self, BodyLen::None | BodyLen::Known(0))
    }
}

/// Everything that a protocol needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestRef<'a> {
    pub method: &'a [u8],
    pub scheme: &'a [u8],
    pub authority: &'a [u8],
    /// The request-target as it stands on an HTTP/1.1 request line; `:path` in HTTP/2.
    pub target: &'a [u8],
    pub fields: Fields<'a>,
    /// The whole head as HTTP/1.1 sends it, already validated and encoded (`h1::encode`).
    pub h1_head: &'a [u8],
    pub body: BodyLen,
    /// The request asks for `Upgrade` with the fields it carries, so that a 101 is solicited.
    pub upgrade: bool,
    /// `:protocol` of an Extended CONNECT (RFC 8441), which HTTP/2 alone has.
    pub protocol: Option<&'a str>,
}

/// What a connection tells its owner. Dispatch is static: `Vec<Event>` in tests, the exchange table in the engine.
///
/// Order for one stream: `informational* (head data* trailers? end | failed)`.
pub trait Sink {
    /// A 1xx response other than 101.
    fn informational(&mut self, s: StreamKey, head: &Head<'_>);
    /// The final response (or 101 / CONNECT success, with [`Follows::Tunnel`]).
    fn head(&mut self, s: StreamKey, head: &Head<'_>, follows: Follows);
    /// How many bytes `data` may carry now. 0 pauses: the protocol stops consuming input until it is fed again.
    fn credit(&mut self, s: StreamKey) -> u64;
    fn data(&mut self, s: StreamKey, data: Data);
    /// Bytes of a tunnel. How many of them were taken: fewer than there are, and the protocol stops as for want of credit.
    fn stream(&mut self, s: StreamKey, data: Data) -> usize {
        let credit = self.credit(s);
        self.data_within(s, data, credit)
    }
    /// As many of the bytes as there is credit for.
    fn data_within(&mut self, s: StreamKey, data: Data, credit: u64) -> usize {
        let piece = match data {
            Data::Input(range) => {
                let len = credit.min(range.len() as u64) as usize;
                Data::Input(range.start..range.start + len)
            }
            Data::Owned(bytes) => Data::Owned(bytes.slice(..credit.min(bytes.len() as u64) as usize)),
        };
        let len = piece.len();
        if len > 0 {
            self.data(s, piece);
        }
        len
    }
    fn trailers(&mut self, s: StreamKey, fields: Fields<'_>);
    /// The message is complete; or, in a tunnel, the peer has closed its side: then the stream is there until it is cancelled,
    /// which costs nothing once our side is closed, too.
    fn end(&mut self, s: StreamKey);
    /// This stream failed; the connection goes on. A fault of the connection is an error of `recv` or `eof` instead.
    fn failed(&mut self, s: StreamKey, why: Fault);
    /// The input of this `recv`, as memory that the protocol may hold on to; `None` from a sink that does not own it, or to
    /// which it is not worth that.
    fn keep(&mut self, _input: &[u8]) -> Option<Bytes> {
        None
    }
    /// `Protocol::body_room` is no longer 0, where it was when `want_room` asked for it.
    fn writable(&mut self, s: StreamKey);
}

/// What cancelling a stream did to its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// The connection serves on (HTTP/2: RST_STREAM went out).
    Kept,
    /// The connection cannot be used any more and is to be closed.
    Close,
}

/// One connection's protocol. Met by `h1::H1`, `h2::H2` and `raw::Raw`.
///
/// All methods are pure in the sense of the room: output is appended to `out`, upcalls go to `sink`. The methods without a
/// sink have upcalls too, in HTTP/2 (credit lets go of data that was held back, a cancelled stream makes room for
/// another's body): those wait for `recv`, and `unsaid` tells that they do.
pub trait Protocol {
    /// How many streams may be opened now.
    fn capacity(&self) -> u32;

    /// Start a request: writes its head to `out`. Call only with `capacity() > 0`.
    fn open(&mut self, now: Tick, request: &RequestRef<'_>, out: &mut Out) -> Result<StreamKey, Fault>;

    /// How many body bytes `body` takes now. `u64::MAX` where only the socket limits it.
    fn body_room(&self, s: StreamKey) -> u64;

    /// Whether there is more of the body to send. Only a stream that says so gets room: of a window that many share, one that
    /// has nothing to say at the moment must not keep any back from the others.
    fn want_room(&mut self, _s: StreamKey, _wants: bool) {}

    /// Send a piece of the request body (or of a tunnel's stream); owned, so that it is not copied.
    /// `end` marks the last piece, which may be empty. At most `body_room` bytes.
    fn body(&mut self, s: StreamKey, chunk: Bytes, end: bool, out: &mut Out) -> Result<(), Fault>;

    /// End the request body with a trailer section: `block` is `Name: value\r\n` lines, validated by `h1::encode`.
    fn body_trailers(&mut self, s: StreamKey, block: &[u8], out: &mut Out) -> Result<(), Fault>;

    /// Feed received bytes. Returns how many were consumed; the owner keeps the rest and presents it again,
    /// at the front, together with what arrives later (or as it is, after credit came back).
    /// An error is fatal for the connection; upcalls made before it stand.
    ///
    /// With an empty input it says and writes what it can without one, which is what `unsaid` asks for.
    fn recv(&mut self, now: Tick, input: &[u8], sink: &mut impl Sink, out: &mut Out) -> Result<usize, Fault>;

    /// Whether `recv` with an empty input has something to do: ask after every call. Never true for want of input, of
    /// credit, or of the peer's window alone, so that an owner who obeys comes to rest.
    fn unsaid(&self) -> bool;

    /// The peer closed its side after everything that was fed. `Ok` when the message in progress, if any, may end so.
    fn eof(&mut self, now: Tick, how: Eof, sink: &mut impl Sink) -> Result<(), Fault>;

    /// `Sink::credit` grew: what was held back for want of it can go on.
    fn credit(&mut self, s: StreamKey, out: &mut Out);

    fn cancel(&mut self, s: StreamKey, out: &mut Out) -> Cancelled;

    /// When `on_deadline` wants to be called; `Tick::NEVER` for not at all.
    fn deadline(&self) -> Tick;

    fn on_deadline(&mut self, now: Tick, out: &mut Out) -> Result<(), Fault>;

    /// Whether the connection may carry a further request after what it has carried (keep-alive).
    fn reusable(&self) -> bool;
}
