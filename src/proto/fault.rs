//! What a peer can do wrong, or a message lack. One variant for each distinct error code of the C interface.

use super::ws;

/// A violation found by a protocol. `client::code` gives each its `CHTTP_E_*`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    // --- head (RFC 9112 sections 2 to 5)
    /// Not `HTTP/1.x SP 3DIGIT SP reason`.
    StatusLine,
    /// A major version other than 1, or HTTP/0.9.
    Version,
    /// Status code below 100 or not three digits.
    StatusCode,
    /// A field line that is no `token ":" OWS value`.
    FieldLine,
    /// White space between the name and the colon.
    SpaceBeforeColon,
    /// NUL, CR or another forbidden byte in a field value or the reason phrase.
    FieldByte,
    /// LF that ends a line (also of chunked framing) without CR.
    BareLf,
    /// A line folded onto the next (obs-fold).
    ObsFold,
    /// One line over `Limits::line_max`.
    LineTooLong,
    /// The head over `Limits::head_max`.
    HeadTooLarge,
    /// More field lines than `Limits::fields_max`.
    TooManyFields,
    /// More 1xx responses than `Limits::informational_max`.
    TooManyInformational,
    /// 101 that nobody asked for.
    UnsolicitedUpgrade,
    // --- framing (RFC 9112 section 6, 7)
    /// Content-Length that is no decimal number, or differs among its copies, or exceeds 2^63-1.
    ContentLength,
    /// Transfer-Encoding and Content-Length together.
    LengthAndEncoding,
    /// Transfer-Encoding whose last coding is not chunked, that is repeated, unknown, or in an HTTP/1.0 message.
    TransferEncoding,
    /// A chunk size that is empty, signed, prefixed, not hexadecimal or over 2^63-1.
    ChunkSize,
    /// A chunk size line or chunk data not ended as it must be.
    ChunkFraming,
    /// A chunk extension without a name or otherwise malformed, one over `Limits::chunk_ext_max`, or all of them
    /// together over a quarter of the body + 64 KiB.
    ChunkExtension,
    /// The trailer section breaks the rules of a field section.
    Trailer,
    /// The trailer section over its limits.
    TrailersTooLarge,
    /// Bytes that belong to no request.
    UnexpectedData,
    // --- truncation: the peer closed in the middle
    /// Closed before any byte of the response.
    ClosedBeforeHead,
    TruncatedHead,
    TruncatedBody,
    TruncatedChunk,
    TruncatedTrailers,
    // --- HTTP/2 (RFC 9113); the numbers are codes of section 7
    /// The peer reset the stream.
    StreamReset(u32),
    /// The peer has not looked at the request, and says so: REFUSED_STREAM, or GOAWAY whose last stream is an earlier one.
    Unprocessed(u32),
    /// The peer ended the connection, and named an error.
    GoneAway(u32),
    /// A message, or another frame of a stream, breaks the rules: we reset the stream.
    Message(u32),
    /// Frames, field compression or flow control break the rules: we ended the connection.
    Frame(u32),
    /// Too many frames that carry nothing (section 10.5).
    Flood,
    /// The first bytes are none of HTTP/2.
    NotHttp2,
    /// No word came after a PING.
    Unanswered,
    /// What HTTP/1.1 could send cannot be said here.
    Unsendable,
    /// The peer allows no Extended CONNECT (RFC 8441 section 3).
    NoExtendedConnect,
    /// A rule of WebSocket is broken.
    WebSocket(ws::Rule),
    // --- ours
    /// The owner sent more or less body than it had announced.
    BodyLength,
}

impl Fault {
    /// The error code of HTTP/2 behind it, or the close code of a WebSocket; 0 where there is none.
    pub const fn native(self) -> u32 {
        match self {
            Fault::StreamReset(code)
            | Fault::Unprocessed(code)
            | Fault::GoneAway(code)
            | Fault::Message(code)
            | Fault::Frame(code) => code,
            Fault::Flood => 0xb,
            Fault::WebSocket(rule) => match rule.close_code() {
                Some(code) => code as u32,
                None => 0,
            },
            _ => 0,
        }
    }
}
