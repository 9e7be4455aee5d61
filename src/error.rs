//! The error codes of the C interface: stable decimal literals, grouped by hundreds, and the table that describes them.
//!
//! Below every other room, so that each can name a code. The constants are written out because the header is made from them.
#![forbid(unsafe_code)]

/// What a group of codes has in common; the hundreds of the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Category {
    Argument,
    State,
    Resolve,
    Connect,
    Tls,
    Protocol,
    Timeout,
    Closed,
    Resource,
}

impl Category {
    /// The category of a code, by its hundreds.
    pub fn of(code: i32) -> Option<Category> {
        Some(match code / -100 {
            1 => Category::Argument,
            2 => Category::State,
            3 => Category::Resolve,
            4 => Category::Connect,
            5 => Category::Tls,
            6 => Category::Protocol,
            7 => Category::Timeout,
            8 => Category::Closed,
            9 => Category::Resource,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static std::ffi::CStr {
        match self {
            Category::Argument => c"argument",
            Category::State => c"state",
            Category::Resolve => c"resolve",
            Category::Connect => c"connect",
            Category::Tls => c"tls",
            Category::Protocol => c"protocol",
            Category::Timeout => c"timeout",
            Category::Closed => c"closed",
            Category::Resource => c"resource",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub code: i32,
    pub name: &'static std::ffi::CStr,
    pub text: &'static std::ffi::CStr,
}

/// The row of a code.
pub fn row(code: i32) -> Option<&'static Row> {
    TABLE.iter().find(|r| r.code == code)
}

/// The description of a code, for messages.
pub fn text(code: i32) -> &'static str {
    row(code).and_then(|r| r.text.to_str().ok()).unwrap_or("unknown error")
}

/// Success.
pub const CHTTP_OK: i32 = 0;

/// An argument is NULL, out of range or contradicts another one.
pub const CHTTP_E_INVALID_ARG: i32 = -101;
/// The size field of a struct, a stride or an array length is impossible.
pub const CHTTP_E_INVALID_SIZE: i32 = -102;
/// A struct is larger than this library knows and its unknown tail is not zero.
pub const CHTTP_E_UNSUPPORTED_FIELD: i32 = -103;
/// A flag bit that this library does not know is set.
pub const CHTTP_E_UNKNOWN_FLAG: i32 = -104;
/// There is no option of that id or name.
pub const CHTTP_E_UNKNOWN_OPTION: i32 = -105;
/// The option takes a value of another type.
pub const CHTTP_E_OPTION_TYPE: i32 = -106;
/// The value is outside the option's range.
pub const CHTTP_E_OPTION_RANGE: i32 = -107;
/// The URL is malformed.
pub const CHTTP_E_INVALID_URL: i32 = -108;
/// The URL's scheme is not served by this library.
pub const CHTTP_E_UNSUPPORTED_SCHEME: i32 = -109;
/// The method is no token (RFC 9110 section 9.1).
pub const CHTTP_E_INVALID_METHOD: i32 = -110;
/// The request-target holds a byte that may not stand there (RFC 9112 section 3.2).
pub const CHTTP_E_INVALID_TARGET: i32 = -111;
/// A header field is malformed, forbidden here, or given twice (RFC 9110 section 5).
pub const CHTTP_E_INVALID_HEADER: i32 = -112;
/// The request body contradicts the method, a flag or a framing header.
pub const CHTTP_E_INVALID_BODY: i32 = -113;
/// This combination is valid but not supported by this library.
pub const CHTTP_E_UNSUPPORTED: i32 = -114;
/// A TLS setting cannot be used: a file that is not there, no PEM, a key that does not fit its certificate.
pub const CHTTP_E_INVALID_TLS: i32 = -115;
/// A network setting cannot be used: no address, no interface name, an override that is malformed.
pub const CHTTP_E_INVALID_ROUTE: i32 = -116;

/// No such exchange: the id is stale, was never valid, or belongs to another engine.
pub const CHTTP_E_NOT_FOUND: i32 = -201;
/// The object is not in a state in which this call makes sense.
pub const CHTTP_E_BAD_STATE: i32 = -202;
/// The call is not allowed on a thread of the library or inside a callback.
pub const CHTTP_E_WRONG_THREAD: i32 = -203;
/// The engine has failed or is being destroyed.
pub const CHTTP_E_ENGINE_DOWN: i32 = -204;
/// No room now; CHTTP_EV_WRITABLE will say when there is.
pub const CHTTP_E_AGAIN: i32 = -205;
/// A signal interrupted the wait.
pub const CHTTP_E_INTERRUPTED: i32 = -206;
/// The request body was consumed and cannot be sent again.
pub const CHTTP_E_NOT_REWINDABLE: i32 = -207;
/// The time given to this call has passed.
pub const CHTTP_E_TIMED_OUT: i32 = -208;

/// The host name does not exist or has no address.
pub const CHTTP_E_NAME_NOT_FOUND: i32 = -301;
/// The name service failed for now.
pub const CHTTP_E_NAME_TEMPORARY: i32 = -302;
/// The name service failed.
pub const CHTTP_E_NAME_FAILED: i32 = -303;

/// The peer refused the connection.
pub const CHTTP_E_CONNECT_REFUSED: i32 = -401;
/// There is no route to the peer.
pub const CHTTP_E_CONNECT_UNREACHABLE: i32 = -402;
/// The peer closed the connection while it was being made.
pub const CHTTP_E_CONNECT_RESET: i32 = -403;
/// The connection could not be made; see os_errno.
pub const CHTTP_E_CONNECT_FAILED: i32 = -404;

/// The TLS handshake failed for a reason that has no code of its own; the message tells it.
pub const CHTTP_E_TLS_HANDSHAKE: i32 = -501;
/// The peer ended TLS with an alert (RFC 8446 section 6); the native code is its number.
pub const CHTTP_E_TLS_ALERT: i32 = -502;
/// What came is no TLS, or breaks its rules; often plain HTTP on the other side.
pub const CHTTP_E_TLS_PROTOCOL: i32 = -503;
/// The peer and the settings have no version, cipher suite or group in common.
pub const CHTTP_E_TLS_INCOMPATIBLE: i32 = -504;
/// The certificate has expired (RFC 5280 section 4.1.2.5).
pub const CHTTP_E_TLS_CERT_EXPIRED: i32 = -505;
/// The certificate is not valid yet.
pub const CHTTP_E_TLS_CERT_NOT_YET_VALID: i32 = -506;
/// The certificate is for other names (RFC 9525).
pub const CHTTP_E_TLS_CERT_NAME: i32 = -507;
/// No trusted authority vouches for the certificate.
pub const CHTTP_E_TLS_CERT_UNKNOWN_CA: i32 = -508;
/// The certificate was revoked, or its revocation list is out of date or missing.
pub const CHTTP_E_TLS_CERT_REVOKED: i32 = -509;
/// The certificate or its chain breaks another rule; the message tells it.
pub const CHTTP_E_TLS_CERT_INVALID: i32 = -510;
/// No key of the certificate chain is among the pinned ones (RFC 7469 section 2.6).
pub const CHTTP_E_TLS_PIN: i32 = -511;
/// No protocol of the ALPN list is spoken by the peer (RFC 7301).
pub const CHTTP_E_TLS_ALPN: i32 = -512;
/// The peer closed the connection during the handshake.
pub const CHTTP_E_TLS_CLOSED: i32 = -513;

/// The status line is malformed (RFC 9112 section 4).
pub const CHTTP_E_STATUS_LINE: i32 = -601;
/// The answer is not HTTP/1.x.
pub const CHTTP_E_VERSION: i32 = -602;
/// The status code is not three digits from 100 (RFC 9110 section 15).
pub const CHTTP_E_STATUS_CODE: i32 = -603;
/// A field line is malformed (RFC 9112 section 5).
pub const CHTTP_E_FIELD_LINE: i32 = -604;
/// White space stands before the colon of a field line (RFC 9112 section 5.1).
pub const CHTTP_E_SPACE_BEFORE_COLON: i32 = -605;
/// A field value holds NUL, CR or another forbidden byte (RFC 9110 section 5.5).
pub const CHTTP_E_FIELD_BYTE: i32 = -606;
/// A line ends with LF alone (RFC 9112 section 2.2).
pub const CHTTP_E_BARE_LF: i32 = -607;
/// A field line is folded (RFC 9112 section 5.2).
pub const CHTTP_E_OBS_FOLD: i32 = -608;
/// A line of the head exceeds its limit.
pub const CHTTP_E_LINE_TOO_LONG: i32 = -609;
/// The head exceeds its limit.
pub const CHTTP_E_HEAD_TOO_LARGE: i32 = -610;
/// The head has more field lines than its limit.
pub const CHTTP_E_TOO_MANY_FIELDS: i32 = -611;
/// More informational responses than the limit.
pub const CHTTP_E_TOO_MANY_INFORMATIONAL: i32 = -612;
/// 101 without a request to upgrade (RFC 9110 section 15.2.2).
pub const CHTTP_E_UNSOLICITED_UPGRADE: i32 = -613;
/// Content-Length is malformed, too large or differs among its copies (RFC 9112 section 6.3).
pub const CHTTP_E_CONTENT_LENGTH: i32 = -614;
/// Content-Length and Transfer-Encoding together (RFC 9112 section 6.3).
pub const CHTTP_E_LENGTH_AND_ENCODING: i32 = -615;
/// Transfer-Encoding does not end in chunked, or is not known (RFC 9112 section 6.1).
pub const CHTTP_E_TRANSFER_ENCODING: i32 = -616;
/// A chunk size is malformed or too large (RFC 9112 section 7.1).
pub const CHTTP_E_CHUNK_SIZE: i32 = -617;
/// A chunk does not end as it must (RFC 9112 section 7.1).
pub const CHTTP_E_CHUNK_FRAMING: i32 = -618;
/// Chunk extensions exceed their limit (RFC 9112 section 7.1.1).
pub const CHTTP_E_CHUNK_EXTENSION: i32 = -619;
/// The trailer section is malformed (RFC 9112 section 7.1.2).
pub const CHTTP_E_TRAILER: i32 = -620;
/// The trailer section exceeds its limit.
pub const CHTTP_E_TRAILERS_TOO_LARGE: i32 = -621;
/// Bytes arrived that belong to no request.
pub const CHTTP_E_UNEXPECTED_DATA: i32 = -622;
/// The peer closed before any byte of the answer.
pub const CHTTP_E_CLOSED_BEFORE_HEAD: i32 = -623;
/// The peer closed inside the head.
pub const CHTTP_E_TRUNCATED_HEAD: i32 = -624;
/// The peer closed before the announced length was reached.
pub const CHTTP_E_TRUNCATED_BODY: i32 = -625;
/// The peer closed before the last chunk.
pub const CHTTP_E_TRUNCATED_CHUNK: i32 = -626;
/// The peer closed inside the trailer section.
pub const CHTTP_E_TRUNCATED_TRAILERS: i32 = -627;
/// The request body has not the length that was announced.
pub const CHTTP_E_BODY_LENGTH: i32 = -628;
/// The peer reset the stream; native is its error code (RFC 9113 section 7).
pub const CHTTP_E_H2_STREAM_RESET: i32 = -641;
/// A message breaks the rules of HTTP/2, or its head is far over its limit: the stream was reset (RFC 9113 section 8.1.1).
pub const CHTTP_E_H2_MESSAGE: i32 = -642;
/// Frames, field compression or flow control break the rules of HTTP/2: the connection was closed (RFC 9113 section 5.4.1).
pub const CHTTP_E_H2_PROTOCOL: i32 = -643;
/// The peer sends too many frames that carry nothing: the connection was closed (RFC 9113 section 10.5).
pub const CHTTP_E_H2_FLOOD: i32 = -644;
/// HTTP/2 was demanded, and the peer does not speak it (RFC 9113 section 3).
pub const CHTTP_E_H2_NOT_SPOKEN: i32 = -645;
/// The request cannot be said in HTTP/2.
pub const CHTTP_E_H2_UNSENDABLE: i32 = -646;
/// The request is an Extended CONNECT, and the server does not allow any (RFC 8441 section 3).
pub const CHTTP_E_H2_NO_EXTENDED_CONNECT: i32 = -647;
/// The answer to the handshake lacks Upgrade, Connection or the right Sec-WebSocket-Accept (RFC 6455 section 4.1).
pub const CHTTP_E_WS_ACCEPT: i32 = -651;
/// The server agrees to an extension that was not offered, or in a way that the offer does not allow (RFC 7692 section 7.1).
pub const CHTTP_E_WS_EXTENSION: i32 = -652;
/// The server chose a subprotocol that was not asked for (RFC 6455 section 4.1).
pub const CHTTP_E_WS_PROTOCOL: i32 = -653;
/// The server sent a masked frame (RFC 6455 section 5.1).
pub const CHTTP_E_WS_MASKED: i32 = -654;
/// A frame has a reserved bit set that no extension has given a meaning (RFC 6455 section 5.2).
pub const CHTTP_E_WS_RESERVED_BIT: i32 = -655;
/// A frame has an opcode without a meaning (RFC 6455 section 5.2).
pub const CHTTP_E_WS_OPCODE: i32 = -656;
/// A control frame is fragmented, or longer than 125 bytes (RFC 6455 section 5.5).
pub const CHTTP_E_WS_CONTROL_FRAME: i32 = -657;
/// A fragment continues nothing, or a message begins inside another (RFC 6455 section 5.4).
pub const CHTTP_E_WS_FRAGMENT: i32 = -658;
/// A frame has a length of 2^63 and more, or one that is not in its shortest form (RFC 6455 section 5.2).
pub const CHTTP_E_WS_LENGTH: i32 = -659;
/// A text, or the reason of a Close frame, is not UTF-8 (RFC 6455 section 8.1): received, or about to be sent.
pub const CHTTP_E_WS_UTF8: i32 = -660;
/// A Close frame has half a code, or one that nobody may send (RFC 6455 sections 5.5.1, 7.4).
pub const CHTTP_E_WS_CLOSE_FRAME: i32 = -661;
/// A frame is larger than `max_frame` of chttp_websocket.
pub const CHTTP_E_WS_FRAME_TOO_LARGE: i32 = -662;
/// A message is larger than `max_message` of chttp_websocket, decompressed where it is compressed.
pub const CHTTP_E_WS_MESSAGE_TOO_LARGE: i32 = -663;
/// Compressed data cannot be inflated (RFC 7692 section 7.2.2).
pub const CHTTP_E_WS_DEFLATE: i32 = -664;
/// The connection ended without a Close frame: what browsers call 1006 (RFC 6455 section 7.1.5).
pub const CHTTP_E_WS_ABNORMAL: i32 = -665;

/// No connection became free in time.
pub const CHTTP_E_TIMEOUT_POOL: i32 = -701;
/// The name was not resolved in time.
pub const CHTTP_E_TIMEOUT_DNS: i32 = -702;
/// The connection was not made in time.
pub const CHTTP_E_TIMEOUT_CONNECT: i32 = -703;
/// The TLS handshake did not finish in time.
pub const CHTTP_E_TIMEOUT_TLS: i32 = -704;
/// The peer took no byte of the request for too long.
pub const CHTTP_E_TIMEOUT_WRITE: i32 = -705;
/// The answer did not begin in time.
pub const CHTTP_E_TIMEOUT_FIRST_BYTE: i32 = -706;
/// No byte of the answer arrived for too long.
pub const CHTTP_E_TIMEOUT_READ: i32 = -707;
/// The exchange as a whole took too long.
pub const CHTTP_E_TIMEOUT_TOTAL: i32 = -708;
/// No word came from the peer after a PING (HTTP/2).
pub const CHTTP_E_TIMEOUT_PING: i32 = -709;
/// Nothing came from the server of a WebSocket after a PING.
pub const CHTTP_E_TIMEOUT_PONG: i32 = -710;
/// The server of a WebSocket did not answer our Close frame in time.
pub const CHTTP_E_TIMEOUT_CLOSE: i32 = -711;

/// The exchange was cancelled.
pub const CHTTP_E_CANCELLED: i32 = -801;
/// The engine was destroyed.
pub const CHTTP_E_ENGINE_CLOSED: i32 = -802;
/// The connection broke while the request or the answer was under way.
pub const CHTTP_E_CONNECTION_LOST: i32 = -803;
/// The peer has not looked at the request, and said so (HTTP/2: REFUSED_STREAM or GOAWAY); it is safe to send it again.
pub const CHTTP_E_H2_UNPROCESSED: i32 = -804;
/// The peer ended the connection with an error of its own; native is its code (HTTP/2: GOAWAY).
pub const CHTTP_E_H2_GOAWAY: i32 = -805;

/// No memory for a size chosen by the peer or the caller.
pub const CHTTP_E_NOMEM: i32 = -901;
/// A bug in this library was caught; the engine is dead, the process is not.
pub const CHTTP_E_PANIC: i32 = -902;
/// This is a forked child: the handle belongs to the parent.
pub const CHTTP_E_FORKED: i32 = -903;
/// A system call failed unexpectedly; see os_errno.
pub const CHTTP_E_IO: i32 = -904;
/// The answer is larger than collect_max.
pub const CHTTP_E_TOO_LARGE: i32 = -905;
/// The limit of open file descriptors is reached.
pub const CHTTP_E_TOO_MANY_FILES: i32 = -906;
/// The engine carries as many exchanges as it can.
pub const CHTTP_E_TOO_MANY_EXCHANGES: i32 = -907;
/// As many exchanges wait for a connection as may (option max_waiting): the load is shed.
pub const CHTTP_E_TOO_MANY_WAITING: i32 = -908;

/// A row in one line.
macro_rules! row {
    ($code:ident, $text:literal) => {
        Row { code: $code, name: c_name(concat!(stringify!($code), "\0")), text: $text }
    };
}

/// A name that ends with NUL.
const fn c_name(name: &'static str) -> &'static std::ffi::CStr {
    match std::ffi::CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => c"",
    }
}

/// Every code, in the order of its number.
pub const TABLE: &[Row] = &[
    Row {
        code: CHTTP_E_INVALID_ARG,
        name: c"CHTTP_E_INVALID_ARG",
        text: c"an argument is NULL, out of range or contradicts another one",
    },
    Row {
        code: CHTTP_E_INVALID_SIZE,
        name: c"CHTTP_E_INVALID_SIZE",
        text: c"the size field of a struct, a stride or an array length is impossible",
    },
    Row {
        code: CHTTP_E_UNSUPPORTED_FIELD,
        name: c"CHTTP_E_UNSUPPORTED_FIELD",
        text: c"a struct is larger than this library knows and its unknown tail is not zero",
    },
    Row {
        code: CHTTP_E_UNKNOWN_FLAG,
        name: c"CHTTP_E_UNKNOWN_FLAG",
        text: c"a flag bit that this library does not know is set",
    },
    Row {
        code: CHTTP_E_UNKNOWN_OPTION,
        name: c"CHTTP_E_UNKNOWN_OPTION",
        text: c"there is no option of that id or name",
    },
    Row { code: CHTTP_E_OPTION_TYPE, name: c"CHTTP_E_OPTION_TYPE", text: c"the option takes a value of another type" },
    Row { code: CHTTP_E_OPTION_RANGE, name: c"CHTTP_E_OPTION_RANGE", text: c"the value is outside the option's range" },
    Row { code: CHTTP_E_INVALID_URL, name: c"CHTTP_E_INVALID_URL", text: c"the URL is malformed" },
    Row {
        code: CHTTP_E_UNSUPPORTED_SCHEME,
        name: c"CHTTP_E_UNSUPPORTED_SCHEME",
        text: c"the URL's scheme is not served by this library",
    },
    Row {
        code: CHTTP_E_INVALID_METHOD,
        name: c"CHTTP_E_INVALID_METHOD",
        text: c"the method is no token (RFC 9110 section 9.1)",
    },
    Row {
        code: CHTTP_E_INVALID_TARGET,
        name: c"CHTTP_E_INVALID_TARGET",
        text: c"the request-target holds a byte that may not stand there (RFC 9112 section 3.2)",
    },
    Row {
        code: CHTTP_E_INVALID_HEADER,
        name: c"CHTTP_E_INVALID_HEADER",
        text: c"a header field is malformed, forbidden here, or given twice (RFC 9110 section 5)",
    },
    Row {
        code: CHTTP_E_INVALID_BODY,
        name: c"CHTTP_E_INVALID_BODY",
        text: c"the request body contradicts the method, a flag or a framing header",
    },
    Row {
        code: CHTTP_E_UNSUPPORTED,
        name: c"CHTTP_E_UNSUPPORTED",
        text: c"this combination is valid but not supported by this library",
    },
    Row {
        code: CHTTP_E_INVALID_TLS,
        name: c"CHTTP_E_INVALID_TLS",
        text:
            c"a TLS setting cannot be used: a file that is not there, no PEM, a key that does not fit its certificate",
    },
    Row {
        code: CHTTP_E_INVALID_ROUTE,
        name: c"CHTTP_E_INVALID_ROUTE",
        text: c"a network setting cannot be used: no address, no interface name, an override that is malformed",
    },
    Row {
        code: CHTTP_E_NOT_FOUND,
        name: c"CHTTP_E_NOT_FOUND",
        text: c"no such exchange: the id is stale, was never valid, or belongs to another engine",
    },
    Row {
        code: CHTTP_E_BAD_STATE,
        name: c"CHTTP_E_BAD_STATE",
        text: c"the object is not in a state in which this call makes sense",
    },
    Row {
        code: CHTTP_E_WRONG_THREAD,
        name: c"CHTTP_E_WRONG_THREAD",
        text: c"the call is not allowed on a thread of the library or inside a callback",
    },
    Row {
        code: CHTTP_E_ENGINE_DOWN,
        name: c"CHTTP_E_ENGINE_DOWN",
        text: c"the engine has failed or is being destroyed",
    },
    Row { code: CHTTP_E_AGAIN, name: c"CHTTP_E_AGAIN", text: c"no room now; CHTTP_EV_WRITABLE will say when there is" },
    Row { code: CHTTP_E_INTERRUPTED, name: c"CHTTP_E_INTERRUPTED", text: c"a signal interrupted the wait" },
    Row {
        code: CHTTP_E_NOT_REWINDABLE,
        name: c"CHTTP_E_NOT_REWINDABLE",
        text: c"the request body was consumed and cannot be sent again",
    },
    Row { code: CHTTP_E_TIMED_OUT, name: c"CHTTP_E_TIMED_OUT", text: c"the time given to this call has passed" },
    Row {
        code: CHTTP_E_NAME_NOT_FOUND,
        name: c"CHTTP_E_NAME_NOT_FOUND",
        text: c"the host name does not exist or has no address",
    },
    Row { code: CHTTP_E_NAME_TEMPORARY, name: c"CHTTP_E_NAME_TEMPORARY", text: c"the name service failed for now" },
    Row { code: CHTTP_E_NAME_FAILED, name: c"CHTTP_E_NAME_FAILED", text: c"the name service failed" },
    Row { code: CHTTP_E_CONNECT_REFUSED, name: c"CHTTP_E_CONNECT_REFUSED", text: c"the peer refused the connection" },
    Row {
        code: CHTTP_E_CONNECT_UNREACHABLE,
        name: c"CHTTP_E_CONNECT_UNREACHABLE",
        text: c"there is no route to the peer",
    },
    Row {
        code: CHTTP_E_CONNECT_RESET,
        name: c"CHTTP_E_CONNECT_RESET",
        text: c"the peer closed the connection while it was being made",
    },
    Row {
        code: CHTTP_E_CONNECT_FAILED,
        name: c"CHTTP_E_CONNECT_FAILED",
        text: c"the connection could not be made; see os_errno",
    },
    Row {
        code: CHTTP_E_TLS_HANDSHAKE,
        name: c"CHTTP_E_TLS_HANDSHAKE",
        text: c"the TLS handshake failed for a reason that has no code of its own; the message tells it",
    },
    Row {
        code: CHTTP_E_TLS_ALERT,
        name: c"CHTTP_E_TLS_ALERT",
        text: c"the peer ended TLS with an alert (RFC 8446 section 6); the native code is its number",
    },
    Row {
        code: CHTTP_E_TLS_PROTOCOL,
        name: c"CHTTP_E_TLS_PROTOCOL",
        text: c"what came is no TLS, or breaks its rules; often plain HTTP on the other side",
    },
    Row {
        code: CHTTP_E_TLS_INCOMPATIBLE,
        name: c"CHTTP_E_TLS_INCOMPATIBLE",
        text: c"the peer and the settings have no version, cipher suite or group in common",
    },
    Row {
        code: CHTTP_E_TLS_CERT_EXPIRED,
        name: c"CHTTP_E_TLS_CERT_EXPIRED",
        text: c"the certificate has expired (RFC 5280 section 4.1.2.5)",
    },
    Row {
        code: CHTTP_E_TLS_CERT_NOT_YET_VALID,
        name: c"CHTTP_E_TLS_CERT_NOT_YET_VALID",
        text: c"the certificate is not valid yet",
    },
    Row {
        code: CHTTP_E_TLS_CERT_NAME,
        name: c"CHTTP_E_TLS_CERT_NAME",
        text: c"the certificate is for other names (RFC 9525)",
    },
    Row {
        code: CHTTP_E_TLS_CERT_UNKNOWN_CA,
        name: c"CHTTP_E_TLS_CERT_UNKNOWN_CA",
        text: c"no trusted authority vouches for the certificate",
    },
    Row {
        code: CHTTP_E_TLS_CERT_REVOKED,
        name: c"CHTTP_E_TLS_CERT_REVOKED",
        text: c"the certificate was revoked, or its revocation list is out of date or missing",
    },
    Row {
        code: CHTTP_E_TLS_CERT_INVALID,
        name: c"CHTTP_E_TLS_CERT_INVALID",
        text: c"the certificate or its chain breaks another rule; the message tells it",
    },
    Row {
        code: CHTTP_E_TLS_PIN,
        name: c"CHTTP_E_TLS_PIN",
        text: c"no key of the certificate chain is among the pinned ones (RFC 7469 section 2.6)",
    },
    Row {
        code: CHTTP_E_TLS_ALPN,
        name: c"CHTTP_E_TLS_ALPN",
        text: c"no protocol of the ALPN list is spoken by the peer (RFC 7301)",
    },
    Row {
        code: CHTTP_E_TLS_CLOSED,
        name: c"CHTTP_E_TLS_CLOSED",
        text: c"the peer closed the connection during the handshake",
    },
    Row {
        code: CHTTP_E_STATUS_LINE,
        name: c"CHTTP_E_STATUS_LINE",
        text: c"the status line is malformed (RFC 9112 section 4)",
    },
    Row { code: CHTTP_E_VERSION, name: c"CHTTP_E_VERSION", text: c"the answer is not HTTP/1.x" },
    Row {
        code: CHTTP_E_STATUS_CODE,
        name: c"CHTTP_E_STATUS_CODE",
        text: c"the status code is not three digits from 100 (RFC 9110 section 15)",
    },
    Row {
        code: CHTTP_E_FIELD_LINE,
        name: c"CHTTP_E_FIELD_LINE",
        text: c"a field line is malformed (RFC 9112 section 5)",
    },
    Row {
        code: CHTTP_E_SPACE_BEFORE_COLON,
        name: c"CHTTP_E_SPACE_BEFORE_COLON",
        text: c"white space stands before the colon of a field line (RFC 9112 section 5.1)",
    },
    Row {
        code: CHTTP_E_FIELD_BYTE,
        name: c"CHTTP_E_FIELD_BYTE",
        text: c"a field value holds NUL, CR or another forbidden byte (RFC 9110 section 5.5)",
    },
    Row { code: CHTTP_E_BARE_LF, name: c"CHTTP_E_BARE_LF", text: c"a line ends with LF alone (RFC 9112 section 2.2)" },
    Row { code: CHTTP_E_OBS_FOLD, name: c"CHTTP_E_OBS_FOLD", text: c"a field line is folded (RFC 9112 section 5.2)" },
    Row { code: CHTTP_E_LINE_TOO_LONG, name: c"CHTTP_E_LINE_TOO_LONG", text: c"a line of the head exceeds its limit" },
    Row { code: CHTTP_E_HEAD_TOO_LARGE, name: c"CHTTP_E_HEAD_TOO_LARGE", text: c"the head exceeds its limit" },
    Row {
        code: CHTTP_E_TOO_MANY_FIELDS,
        name: c"CHTTP_E_TOO_MANY_FIELDS",
        text: c"the head has more field lines than its limit",
    },
    Row {
        code: CHTTP_E_TOO_MANY_INFORMATIONAL,
        name: c"CHTTP_E_TOO_MANY_INFORMATIONAL",
        text: c"more informational responses than the limit",
    },
    Row {
        code: CHTTP_E_UNSOLICITED_UPGRADE,
        name: c"CHTTP_E_UNSOLICITED_UPGRADE",
        text: c"101 without a request to upgrade (RFC 9110 section 15.2.2)",
    },
    Row {
        code: CHTTP_E_CONTENT_LENGTH,
        name: c"CHTTP_E_CONTENT_LENGTH",
        text: c"Content-Length is malformed, too large or differs among its copies (RFC 9112 section 6.3)",
    },
    Row {
        code: CHTTP_E_LENGTH_AND_ENCODING,
        name: c"CHTTP_E_LENGTH_AND_ENCODING",
        text: c"Content-Length and Transfer-Encoding together (RFC 9112 section 6.3)",
    },
    Row {
        code: CHTTP_E_TRANSFER_ENCODING,
        name: c"CHTTP_E_TRANSFER_ENCODING",
        text: c"Transfer-Encoding does not end in chunked, or is not known (RFC 9112 section 6.1)",
    },
    Row {
        code: CHTTP_E_CHUNK_SIZE,
        name: c"CHTTP_E_CHUNK_SIZE",
        text: c"a chunk size is malformed or too large (RFC 9112 section 7.1)",
    },
    Row {
        code: CHTTP_E_CHUNK_FRAMING,
        name: c"CHTTP_E_CHUNK_FRAMING",
        text: c"a chunk does not end as it must (RFC 9112 section 7.1)",
    },
    Row {
        code: CHTTP_E_CHUNK_EXTENSION,
        name: c"CHTTP_E_CHUNK_EXTENSION",
        text: c"chunk extensions exceed their limit (RFC 9112 section 7.1.1)",
    },
    Row {
        code: CHTTP_E_TRAILER,
        name: c"CHTTP_E_TRAILER",
        text: c"the trailer section is malformed (RFC 9112 section 7.1.2)",
    },
    Row {
        code: CHTTP_E_TRAILERS_TOO_LARGE,
        name: c"CHTTP_E_TRAILERS_TOO_LARGE",
        text: c"the trailer section exceeds its limit",
    },
    Row {
        code: CHTTP_E_UNEXPECTED_DATA,
        name: c"CHTTP_E_UNEXPECTED_DATA",
        text: c"bytes arrived that belong to no request",
    },
    Row {
        code: CHTTP_E_CLOSED_BEFORE_HEAD,
        name: c"CHTTP_E_CLOSED_BEFORE_HEAD",
        text: c"the peer closed before any byte of the answer",
    },
    Row { code: CHTTP_E_TRUNCATED_HEAD, name: c"CHTTP_E_TRUNCATED_HEAD", text: c"the peer closed inside the head" },
    Row {
        code: CHTTP_E_TRUNCATED_BODY,
        name: c"CHTTP_E_TRUNCATED_BODY",
        text: c"the peer closed before the announced length was reached",
    },
    Row {
        code: CHTTP_E_TRUNCATED_CHUNK,
        name: c"CHTTP_E_TRUNCATED_CHUNK",
        text: c"the peer closed before the last chunk",
    },
    Row {
        code: CHTTP_E_TRUNCATED_TRAILERS,
        name: c"CHTTP_E_TRUNCATED_TRAILERS",
        text: c"the peer closed inside the trailer section",
    },
    Row {
        code: CHTTP_E_BODY_LENGTH,
        name: c"CHTTP_E_BODY_LENGTH",
        text: c"the request body has not the length that was announced",
    },
    Row { code: CHTTP_E_H2_STREAM_RESET, name: c"CHTTP_E_H2_STREAM_RESET", text: c"the peer reset the stream" },
    Row {
        code: CHTTP_E_H2_MESSAGE,
        name: c"CHTTP_E_H2_MESSAGE",
        text: c"a message breaks the rules of HTTP/2, or its head is far over its limit",
    },
    Row {
        code: CHTTP_E_H2_PROTOCOL,
        name: c"CHTTP_E_H2_PROTOCOL",
        text: c"frames, field compression or flow control break the rules of HTTP/2",
    },
    Row {
        code: CHTTP_E_H2_FLOOD,
        name: c"CHTTP_E_H2_FLOOD",
        text: c"the peer sends too many frames that carry nothing",
    },
    Row {
        code: CHTTP_E_H2_NOT_SPOKEN,
        name: c"CHTTP_E_H2_NOT_SPOKEN",
        text: c"HTTP/2 was demanded, and the peer does not speak it",
    },
    Row { code: CHTTP_E_H2_UNSENDABLE, name: c"CHTTP_E_H2_UNSENDABLE", text: c"the request cannot be said in HTTP/2" },
    Row {
        code: CHTTP_E_H2_NO_EXTENDED_CONNECT,
        name: c"CHTTP_E_H2_NO_EXTENDED_CONNECT",
        text: c"the server allows no Extended CONNECT (RFC 8441)",
    },
    row!(
        CHTTP_E_WS_ACCEPT,
        c"the answer lacks Upgrade, Connection or the right Sec-WebSocket-Accept (RFC 6455 section 4.1)"
    ),
    row!(CHTTP_E_WS_EXTENSION, c"the server agrees to what was not offered (RFC 7692 section 7.1)"),
    row!(CHTTP_E_WS_PROTOCOL, c"the server chose a subprotocol that was not asked for (RFC 6455 section 4.1)"),
    row!(CHTTP_E_WS_MASKED, c"the server sent a masked frame (RFC 6455 section 5.1)"),
    row!(CHTTP_E_WS_RESERVED_BIT, c"a frame has a reserved bit set (RFC 6455 section 5.2)"),
    row!(CHTTP_E_WS_OPCODE, c"a frame has an opcode without a meaning (RFC 6455 section 5.2)"),
    row!(CHTTP_E_WS_CONTROL_FRAME, c"a control frame is fragmented, or over 125 bytes (RFC 6455 section 5.5)"),
    row!(
        CHTTP_E_WS_FRAGMENT,
        c"a fragment continues nothing, or a message begins inside another (RFC 6455 section 5.4)"
    ),
    row!(CHTTP_E_WS_LENGTH, c"a length is 2^63 or more, or not in its shortest form (RFC 6455 section 5.2)"),
    row!(CHTTP_E_WS_UTF8, c"a text is not UTF-8 (RFC 6455 section 8.1)"),
    row!(CHTTP_E_WS_CLOSE_FRAME, c"a Close frame has half a code, or one that nobody may send (RFC 6455 section 7.4)"),
    row!(CHTTP_E_WS_FRAME_TOO_LARGE, c"a frame is larger than max_frame"),
    row!(CHTTP_E_WS_MESSAGE_TOO_LARGE, c"a message is larger than max_message"),
    row!(CHTTP_E_WS_DEFLATE, c"compressed data cannot be inflated (RFC 7692 section 7.2.2)"),
    row!(CHTTP_E_WS_ABNORMAL, c"the connection ended without a Close frame (1006, RFC 6455 section 7.1.5)"),
    Row { code: CHTTP_E_TIMEOUT_POOL, name: c"CHTTP_E_TIMEOUT_POOL", text: c"no connection became free in time" },
    Row { code: CHTTP_E_TIMEOUT_DNS, name: c"CHTTP_E_TIMEOUT_DNS", text: c"the name was not resolved in time" },
    Row {
        code: CHTTP_E_TIMEOUT_CONNECT,
        name: c"CHTTP_E_TIMEOUT_CONNECT",
        text: c"the connection was not made in time",
    },
    Row { code: CHTTP_E_TIMEOUT_TLS, name: c"CHTTP_E_TIMEOUT_TLS", text: c"the TLS handshake did not finish in time" },
    Row {
        code: CHTTP_E_TIMEOUT_WRITE,
        name: c"CHTTP_E_TIMEOUT_WRITE",
        text: c"the peer took no byte of the request for too long",
    },
    Row {
        code: CHTTP_E_TIMEOUT_FIRST_BYTE,
        name: c"CHTTP_E_TIMEOUT_FIRST_BYTE",
        text: c"the answer did not begin in time",
    },
    Row {
        code: CHTTP_E_TIMEOUT_READ,
        name: c"CHTTP_E_TIMEOUT_READ",
        text: c"no byte of the answer arrived for too long",
    },
    Row { code: CHTTP_E_TIMEOUT_TOTAL, name: c"CHTTP_E_TIMEOUT_TOTAL", text: c"the exchange as a whole took too long" },
    Row {
        code: CHTTP_E_TIMEOUT_PING,
        name: c"CHTTP_E_TIMEOUT_PING",
        text: c"no word came from the peer after a PING (HTTP/2)",
    },
    row!(CHTTP_E_TIMEOUT_PONG, c"nothing came from the server after a PING (WebSocket)"),
    row!(CHTTP_E_TIMEOUT_CLOSE, c"the server did not answer a Close frame in time (WebSocket)"),
    Row { code: CHTTP_E_CANCELLED, name: c"CHTTP_E_CANCELLED", text: c"the exchange was cancelled" },
    Row { code: CHTTP_E_ENGINE_CLOSED, name: c"CHTTP_E_ENGINE_CLOSED", text: c"the engine was destroyed" },
    Row {
        code: CHTTP_E_CONNECTION_LOST,
        name: c"CHTTP_E_CONNECTION_LOST",
        text: c"the connection broke while the request or the answer was under way",
    },
    Row {
        code: CHTTP_E_H2_UNPROCESSED,
        name: c"CHTTP_E_H2_UNPROCESSED",
        text: c"the peer has not looked at the request, and said so",
    },
    Row {
        code: CHTTP_E_H2_GOAWAY,
        name: c"CHTTP_E_H2_GOAWAY",
        text: c"the peer ended the connection with an error of its own (HTTP/2: GOAWAY)",
    },
    Row { code: CHTTP_E_NOMEM, name: c"CHTTP_E_NOMEM", text: c"no memory for a size chosen by the peer or the caller" },
    Row {
        code: CHTTP_E_PANIC,
        name: c"CHTTP_E_PANIC",
        text: c"a bug in this library was caught; the engine is dead, the process is not",
    },
    Row {
        code: CHTTP_E_FORKED,
        name: c"CHTTP_E_FORKED",
        text: c"this is a forked child: the handle belongs to the parent",
    },
    Row { code: CHTTP_E_IO, name: c"CHTTP_E_IO", text: c"a system call failed unexpectedly; see os_errno" },
    Row { code: CHTTP_E_TOO_LARGE, name: c"CHTTP_E_TOO_LARGE", text: c"the answer is larger than collect_max" },
    Row {
        code: CHTTP_E_TOO_MANY_FILES,
        name: c"CHTTP_E_TOO_MANY_FILES",
        text: c"the limit of open file descriptors is reached",
    },
    Row {
        code: CHTTP_E_TOO_MANY_EXCHANGES,
        name: c"CHTTP_E_TOO_MANY_EXCHANGES",
        text: c"the engine carries as many exchanges as it can",
    },
    Row {
        code: CHTTP_E_TOO_MANY_WAITING,
        name: c"CHTTP_E_TOO_MANY_WAITING",
        text: c"as many exchanges wait for a connection as may (option max_waiting): the load is shed",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_stands_in_the_table_once() {
        let source = include_str!("error.rs");
        let declared = source.lines().filter(|l| l.starts_with("pub const CHTTP_E_")).count();
        assert_eq!(declared, TABLE.len());
        for (i, row) in TABLE.iter().enumerate() {
            assert!(Category::of(row.code).is_some());
            assert!(i == 0 || TABLE[i - 1].code > row.code, "{:?} is out of order", row.name);
            let line = format!("pub const {}: i32 = {};", row.name.to_str().unwrap(), row.code);
            assert!(source.contains(&line), "{line}");
        }
    }
}
