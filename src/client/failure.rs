//! Why an exchange failed: the object behind an error code.

use crate::error as e;
use crate::mem::{Block, Obj, Object};
use crate::proto::ws::Rule;
use crate::proto::{Fault, tls};
use std::io;
use std::net::SocketAddr;

/// How far an exchange had come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Waiting for a connection to become free.
    Queued = 0,
    Resolving = 1,
    Connecting = 2,
    /// In the TLS handshake.
    Securing = 3,
    /// Sending the request.
    Sending = 4,
    /// The request is sent; no byte of the answer has arrived.
    Waiting = 5,
    Receiving = 6,
    /// A stream of events waits before its next connection.
    Reconnecting = 7,
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Resolving => "resolving",
            Phase::Connecting => "connecting",
            Phase::Securing => "tls",
            Phase::Sending => "sending",
            Phase::Waiting => "waiting",
            Phase::Receiving => "receiving",
            Phase::Reconnecting => "reconnecting",
        }
    }
}

/// The cause, before it is known what became of the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cause {
    pub code: i32,
    pub os_errno: i32,
    /// The resolver's own code (EAI_*), the alert with which the peer ended TLS, an error code of HTTP/2, the close code that a
    /// WebSocket's server was told, or 0.
    pub native: i32,
}

impl Cause {
    pub const fn code(code: i32) -> Cause {
        Cause { code, os_errno: 0, native: 0 }
    }

    pub fn fault(fault: Fault) -> Cause {
        Cause { code: code_of(fault), os_errno: 0, native: fault.native().cast_signed() }
    }

    /// TLS failed.
    pub fn tls(error: &tls::Error) -> Cause {
        Cause { code: tls_code_of(error.kind), os_errno: 0, native: error.alert.map_or(0, i32::from) }
    }

    /// A connection attempt failed.
    pub fn connect(error: &io::Error) -> Cause {
        let os_errno = error.raw_os_error().unwrap_or(0);
        let code = match os_errno {
            libc::ECONNREFUSED | libc::ENOENT => e::CHTTP_E_CONNECT_REFUSED,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EADDRNOTAVAIL => e::CHTTP_E_CONNECT_UNREACHABLE,
            libc::ECONNRESET | libc::EPIPE => e::CHTTP_E_CONNECT_RESET,
            libc::ETIMEDOUT => e::CHTTP_E_TIMEOUT_CONNECT,
            libc::EMFILE | libc::ENFILE => e::CHTTP_E_TOO_MANY_FILES,
            libc::ENOMEM | libc::ENOBUFS => e::CHTTP_E_NOMEM,
            _ => e::CHTTP_E_CONNECT_FAILED,
        };
        Cause { code, os_errno, native: 0 }
    }

    /// A connection failed in the TLS handshake.
    pub fn handshake(error: &io::Error) -> Cause {
        let os_errno = error.raw_os_error().unwrap_or(0);
        let code = if os_errno == libc::ENOMEM { e::CHTTP_E_NOMEM } else { e::CHTTP_E_TLS_CLOSED };
        Cause { code, os_errno, native: 0 }
    }

    /// An open connection failed.
    pub fn lost(error: &io::Error) -> Cause {
        let os_errno = error.raw_os_error().unwrap_or(0);
        let code = if os_errno == libc::ENOMEM { e::CHTTP_E_NOMEM } else { e::CHTTP_E_CONNECTION_LOST };
        Cause { code, os_errno, native: 0 }
    }
}

/// The code of a protocol fault; each has its own.
pub const fn code_of(fault: Fault) -> i32 {
    match fault {
        Fault::StatusLine => e::CHTTP_E_STATUS_LINE,
        Fault::Version => e::CHTTP_E_VERSION,
        Fault::StatusCode => e::CHTTP_E_STATUS_CODE,
        Fault::FieldLine => e::CHTTP_E_FIELD_LINE,
        Fault::SpaceBeforeColon => e::CHTTP_E_SPACE_BEFORE_COLON,
        Fault::FieldByte => e::CHTTP_E_FIELD_BYTE,
        Fault::BareLf => e::CHTTP_E_BARE_LF,
        Fault::ObsFold => e::CHTTP_E_OBS_FOLD,
        Fault::LineTooLong => e::CHTTP_E_LINE_TOO_LONG,
        Fault::HeadTooLarge => e::CHTTP_E_HEAD_TOO_LARGE,
        Fault::TooManyFields => e::CHTTP_E_TOO_MANY_FIELDS,
        Fault::TooManyInformational => e::CHTTP_E_TOO_MANY_INFORMATIONAL,
        Fault::UnsolicitedUpgrade => e::CHTTP_E_UNSOLICITED_UPGRADE,
        Fault::ContentLength => e::CHTTP_E_CONTENT_LENGTH,
        Fault::LengthAndEncoding => e::CHTTP_E_LENGTH_AND_ENCODING,
        Fault::TransferEncoding => e::CHTTP_E_TRANSFER_ENCODING,
        Fault::ChunkSize => e::CHTTP_E_CHUNK_SIZE,
        Fault::ChunkFraming => e::CHTTP_E_CHUNK_FRAMING,
        Fault::ChunkExtension => e::CHTTP_E_CHUNK_EXTENSION,
        Fault::Trailer => e::CHTTP_E_TRAILER,
        Fault::TrailersTooLarge => e::CHTTP_E_TRAILERS_TOO_LARGE,
        Fault::UnexpectedData => e::CHTTP_E_UNEXPECTED_DATA,
        Fault::ClosedBeforeHead => e::CHTTP_E_CLOSED_BEFORE_HEAD,
        Fault::TruncatedHead => e::CHTTP_E_TRUNCATED_HEAD,
        Fault::TruncatedBody => e::CHTTP_E_TRUNCATED_BODY,
        Fault::TruncatedChunk => e::CHTTP_E_TRUNCATED_CHUNK,
        Fault::TruncatedTrailers => e::CHTTP_E_TRUNCATED_TRAILERS,
        Fault::StreamReset(_) => e::CHTTP_E_H2_STREAM_RESET,
        Fault::Unprocessed(_) => e::CHTTP_E_H2_UNPROCESSED,
        Fault::GoneAway(_) => e::CHTTP_E_H2_GOAWAY,
        Fault::Message(_) => e::CHTTP_E_H2_MESSAGE,
        Fault::Frame(_) => e::CHTTP_E_H2_PROTOCOL,
        Fault::Flood => e::CHTTP_E_H2_FLOOD,
        Fault::NotHttp2 => e::CHTTP_E_H2_NOT_SPOKEN,
        Fault::Unanswered => e::CHTTP_E_TIMEOUT_PING,
        Fault::Unsendable => e::CHTTP_E_H2_UNSENDABLE,
        Fault::NoExtendedConnect => e::CHTTP_E_H2_NO_EXTENDED_CONNECT,
        Fault::WebSocket(rule) => code_of_rule(rule),
        Fault::BodyLength => e::CHTTP_E_BODY_LENGTH,
    }
}

/// The code of a broken rule of WebSocket; each has its own.
const fn code_of_rule(rule: Rule) -> i32 {
    match rule {
        Rule::Accept => e::CHTTP_E_WS_ACCEPT,
        Rule::Extension => e::CHTTP_E_WS_EXTENSION,
        Rule::Subprotocol => e::CHTTP_E_WS_PROTOCOL,
        Rule::Masked => e::CHTTP_E_WS_MASKED,
        Rule::ReservedBit => e::CHTTP_E_WS_RESERVED_BIT,
        Rule::Opcode => e::CHTTP_E_WS_OPCODE,
        Rule::ControlFrame => e::CHTTP_E_WS_CONTROL_FRAME,
        Rule::Fragment => e::CHTTP_E_WS_FRAGMENT,
        Rule::Length => e::CHTTP_E_WS_LENGTH,
        Rule::Utf8 => e::CHTTP_E_WS_UTF8,
        Rule::CloseFrame => e::CHTTP_E_WS_CLOSE_FRAME,
        Rule::FrameTooLarge => e::CHTTP_E_WS_FRAME_TOO_LARGE,
        Rule::MessageTooLarge => e::CHTTP_E_WS_MESSAGE_TOO_LARGE,
        Rule::Deflate => e::CHTTP_E_WS_DEFLATE,
        Rule::Abnormal => e::CHTTP_E_WS_ABNORMAL,
    }
}

/// The code of a failure of TLS; each kind has its own.
pub const fn tls_code_of(kind: tls::Kind) -> i32 {
    match kind {
        tls::Kind::Handshake => e::CHTTP_E_TLS_HANDSHAKE,
        tls::Kind::Alert => e::CHTTP_E_TLS_ALERT,
        tls::Kind::Protocol => e::CHTTP_E_TLS_PROTOCOL,
        tls::Kind::Incompatible => e::CHTTP_E_TLS_INCOMPATIBLE,
        tls::Kind::CertExpired => e::CHTTP_E_TLS_CERT_EXPIRED,
        tls::Kind::CertNotYetValid => e::CHTTP_E_TLS_CERT_NOT_YET_VALID,
        tls::Kind::CertName => e::CHTTP_E_TLS_CERT_NAME,
        tls::Kind::CertUnknownCa => e::CHTTP_E_TLS_CERT_UNKNOWN_CA,
        tls::Kind::CertRevoked => e::CHTTP_E_TLS_CERT_REVOKED,
        tls::Kind::CertInvalid => e::CHTTP_E_TLS_CERT_INVALID,
        tls::Kind::Pin => e::CHTTP_E_TLS_PIN,
        tls::Kind::Alpn => e::CHTTP_E_TLS_ALPN,
        tls::Kind::Closed => e::CHTTP_E_TLS_CLOSED,
    }
}

/// The object behind an error code.
#[derive(Debug)]
pub struct Failure {
    pub cause: Cause,
    pub phase: Phase,
    pub message: String,
    pub peer: Option<SocketAddr>,
    /// 1 for the first try.
    pub attempt: u32,
    pub retryable: bool,
    pub request_bytes_sent: u64,
    pub connection_reused: bool,
    /// Where a stream of events goes on.
    pub last_event_id: Box<[u8]>,
}

impl Object for Failure {
    const TAG: u32 = 0x4641_494c;
}

impl Failure {
    pub fn into_block(self) -> Option<Block> {
        Some(Obj::new(Block::unpooled(Obj::<Failure>::payload(0))?, self).into_block())
    }
}
