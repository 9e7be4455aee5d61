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
/// A message breaks the rules of HTTP/2: the stream was reset (RFC 9113 section 8.1.1).
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
/// The answer to the handshake lacks Upgrade, Connection or the right Sec-WebSocket-Accept (RFC 6455 section 4.1), is HTTP/1.0,
/// or announces a body. The message tells which.
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
/// The answer to a request for a stream of events has another status than 200, or 204, which ends it.
pub const CHTTP_E_SSE_STATUS: i32 = -671;
/// The answer to a request for a stream of events is none: its Content-Type is not text/event-stream.
pub const CHTTP_E_SSE_CONTENT_TYPE: i32 = -672;
/// A line of a stream of events is over `line_max`.
pub const CHTTP_E_SSE_LINE_TOO_LONG: i32 = -673;
/// An event is over `event_max`, or its id or type over 8 KiB.
pub const CHTTP_E_SSE_EVENT_TOO_LARGE: i32 = -674;
/// The server has ended a stream of events that was to go on.
pub const CHTTP_E_SSE_ENDED: i32 = -675;
/// The Content-Encoding of a stream of events is not gzip or deflate, or its bytes are none of it (RFC 9110 section 8.4).
pub const CHTTP_E_CONTENT_CODING: i32 = -676;
/// The body has ended in due form, and what is coded in it has not.
pub const CHTTP_E_CONTENT_TRUNCATED: i32 = -677;

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
    row!(CHTTP_E_INVALID_ARG, c"an argument is NULL, out of range or contradicts another one"),
    row!(CHTTP_E_INVALID_SIZE, c"the size field of a struct, a stride or an array length is impossible"),
    row!(CHTTP_E_UNSUPPORTED_FIELD, c"a struct is larger than this library knows and its unknown tail is not zero"),
    row!(CHTTP_E_UNKNOWN_FLAG, c"a flag bit that this library does not know is set"),
    row!(CHTTP_E_UNKNOWN_OPTION, c"there is no option of that id or name"),
    row!(CHTTP_E_OPTION_TYPE, c"the option takes a value of another type"),
    row!(CHTTP_E_OPTION_RANGE, c"the value is outside the option's range"),
    row!(CHTTP_E_INVALID_URL, c"the URL is malformed"),
    row!(CHTTP_E_UNSUPPORTED_SCHEME, c"the URL's scheme is not served by this library"),
    row!(CHTTP_E_INVALID_METHOD, c"the method is no token (RFC 9110 section 9.1)"),
    row!(CHTTP_E_INVALID_TARGET, c"the request-target holds a byte that may not stand there (RFC 9112 section 3.2)"),
    row!(CHTTP_E_INVALID_HEADER, c"a header field is malformed, forbidden here, or given twice (RFC 9110 section 5)"),
    row!(CHTTP_E_INVALID_BODY, c"the request body contradicts the method, a flag or a framing header"),
    row!(CHTTP_E_UNSUPPORTED, c"this combination is valid but not supported by this library"),
    Row {
        code: CHTTP_E_INVALID_TLS,
        name: c"CHTTP_E_INVALID_TLS",
        text:
            c"a TLS setting cannot be used: a file that is not there, no PEM, a key that does not fit its certificate",
    },
    row!(
        CHTTP_E_INVALID_ROUTE,
        c"a network setting cannot be used: no address, no interface name, an override that is malformed"
    ),
    row!(CHTTP_E_NOT_FOUND, c"no such exchange: the id is stale, was never valid, or belongs to another engine"),
    row!(CHTTP_E_BAD_STATE, c"the object is not in a state in which this call makes sense"),
    row!(CHTTP_E_WRONG_THREAD, c"the call is not allowed on a thread of the library or inside a callback"),
    row!(CHTTP_E_ENGINE_DOWN, c"the engine has failed or is being destroyed"),
    row!(CHTTP_E_AGAIN, c"no room now; CHTTP_EV_WRITABLE will say when there is"),
    row!(CHTTP_E_INTERRUPTED, c"a signal interrupted the wait"),
    row!(CHTTP_E_NOT_REWINDABLE, c"the request body was consumed and cannot be sent again"),
    row!(CHTTP_E_TIMED_OUT, c"the time given to this call has passed"),
    row!(CHTTP_E_NAME_NOT_FOUND, c"the host name does not exist or has no address"),
    row!(CHTTP_E_NAME_TEMPORARY, c"the name service failed for now"),
    row!(CHTTP_E_NAME_FAILED, c"the name service failed"),
    row!(CHTTP_E_CONNECT_REFUSED, c"the peer refused the connection"),
    row!(CHTTP_E_CONNECT_UNREACHABLE, c"there is no route to the peer"),
    row!(CHTTP_E_CONNECT_RESET, c"the peer closed the connection while it was being made"),
    row!(CHTTP_E_CONNECT_FAILED, c"the connection could not be made; see os_errno"),
    row!(
        CHTTP_E_TLS_HANDSHAKE,
        c"the TLS handshake failed for a reason that has no code of its own; the message tells it"
    ),
    row!(CHTTP_E_TLS_ALERT, c"the peer ended TLS with an alert (RFC 8446 section 6); the native code is its number"),
    row!(CHTTP_E_TLS_PROTOCOL, c"what came is no TLS, or breaks its rules; often plain HTTP on the other side"),
    row!(CHTTP_E_TLS_INCOMPATIBLE, c"the peer and the settings have no version, cipher suite or group in common"),
    row!(CHTTP_E_TLS_CERT_EXPIRED, c"the certificate has expired (RFC 5280 section 4.1.2.5)"),
    row!(CHTTP_E_TLS_CERT_NOT_YET_VALID, c"the certificate is not valid yet"),
    row!(CHTTP_E_TLS_CERT_NAME, c"the certificate is for other names (RFC 9525)"),
    row!(CHTTP_E_TLS_CERT_UNKNOWN_CA, c"no trusted authority vouches for the certificate"),
    row!(CHTTP_E_TLS_CERT_REVOKED, c"the certificate was revoked, or its revocation list is out of date or missing"),
    row!(CHTTP_E_TLS_CERT_INVALID, c"the certificate or its chain breaks another rule; the message tells it"),
    row!(CHTTP_E_TLS_PIN, c"no key of the certificate chain is among the pinned ones (RFC 7469 section 2.6)"),
    row!(CHTTP_E_TLS_ALPN, c"no protocol of the ALPN list is spoken by the peer (RFC 7301)"),
    row!(CHTTP_E_TLS_CLOSED, c"the peer closed the connection during the handshake"),
    row!(CHTTP_E_STATUS_LINE, c"the status line is malformed (RFC 9112 section 4)"),
    row!(CHTTP_E_VERSION, c"the answer is not HTTP/1.x"),
    row!(CHTTP_E_STATUS_CODE, c"the status code is not three digits from 100 (RFC 9110 section 15)"),
    row!(CHTTP_E_FIELD_LINE, c"a field line is malformed (RFC 9112 section 5)"),
    row!(CHTTP_E_SPACE_BEFORE_COLON, c"white space stands before the colon of a field line (RFC 9112 section 5.1)"),
    row!(CHTTP_E_FIELD_BYTE, c"a field value holds NUL, CR or another forbidden byte (RFC 9110 section 5.5)"),
    row!(CHTTP_E_BARE_LF, c"a line ends with LF alone (RFC 9112 section 2.2)"),
    row!(CHTTP_E_OBS_FOLD, c"a field line is folded (RFC 9112 section 5.2)"),
    row!(CHTTP_E_LINE_TOO_LONG, c"a line of the head exceeds its limit"),
    row!(CHTTP_E_HEAD_TOO_LARGE, c"the head exceeds its limit"),
    row!(CHTTP_E_TOO_MANY_FIELDS, c"the head has more field lines than its limit"),
    row!(CHTTP_E_TOO_MANY_INFORMATIONAL, c"more informational responses than the limit"),
    row!(CHTTP_E_UNSOLICITED_UPGRADE, c"101 without a request to upgrade (RFC 9110 section 15.2.2)"),
    row!(
        CHTTP_E_CONTENT_LENGTH,
        c"Content-Length is malformed, too large or differs among its copies (RFC 9112 section 6.3)"
    ),
    row!(CHTTP_E_LENGTH_AND_ENCODING, c"Content-Length and Transfer-Encoding together (RFC 9112 section 6.3)"),
    row!(
        CHTTP_E_TRANSFER_ENCODING,
        c"Transfer-Encoding does not end in chunked, or is not known (RFC 9112 section 6.1)"
    ),
    row!(CHTTP_E_CHUNK_SIZE, c"a chunk size is malformed or too large (RFC 9112 section 7.1)"),
    row!(CHTTP_E_CHUNK_FRAMING, c"a chunk does not end as it must (RFC 9112 section 7.1)"),
    row!(CHTTP_E_CHUNK_EXTENSION, c"chunk extensions exceed their limit (RFC 9112 section 7.1.1)"),
    row!(CHTTP_E_TRAILER, c"the trailer section is malformed (RFC 9112 section 7.1.2)"),
    row!(CHTTP_E_TRAILERS_TOO_LARGE, c"the trailer section exceeds its limit"),
    row!(CHTTP_E_UNEXPECTED_DATA, c"bytes arrived that belong to no request"),
    row!(CHTTP_E_CLOSED_BEFORE_HEAD, c"the peer closed before any byte of the answer"),
    row!(CHTTP_E_TRUNCATED_HEAD, c"the peer closed inside the head"),
    row!(CHTTP_E_TRUNCATED_BODY, c"the peer closed before the announced length was reached"),
    row!(CHTTP_E_TRUNCATED_CHUNK, c"the peer closed before the last chunk"),
    row!(CHTTP_E_TRUNCATED_TRAILERS, c"the peer closed inside the trailer section"),
    row!(CHTTP_E_BODY_LENGTH, c"the request body has not the length that was announced"),
    row!(CHTTP_E_H2_STREAM_RESET, c"the peer reset the stream"),
    row!(CHTTP_E_H2_MESSAGE, c"a message breaks the rules of HTTP/2"),
    row!(CHTTP_E_H2_PROTOCOL, c"frames, field compression or flow control break the rules of HTTP/2"),
    row!(CHTTP_E_H2_FLOOD, c"the peer sends too many frames that carry nothing"),
    row!(CHTTP_E_H2_NOT_SPOKEN, c"HTTP/2 was demanded, and the peer does not speak it"),
    row!(CHTTP_E_H2_UNSENDABLE, c"the request cannot be said in HTTP/2"),
    row!(CHTTP_E_H2_NO_EXTENDED_CONNECT, c"the server allows no Extended CONNECT (RFC 8441)"),
    row!(CHTTP_E_WS_ACCEPT, c"the answer does not switch to WebSocket as it has to (RFC 6455 section 4.1)"),
    row!(CHTTP_E_WS_EXTENSION, c"the server has not agreed to compression as it was offered (RFC 7692 section 7.1)"),
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
    row!(CHTTP_E_SSE_STATUS, c"the answer to a request for events has another status than 200 or 204"),
    row!(CHTTP_E_SSE_CONTENT_TYPE, c"the answer's Content-Type is not text/event-stream"),
    row!(CHTTP_E_SSE_LINE_TOO_LONG, c"a line of the stream of events is longer than allowed"),
    row!(CHTTP_E_SSE_EVENT_TOO_LARGE, c"an event is larger than allowed, or its id or type over 8 KiB"),
    row!(CHTTP_E_SSE_ENDED, c"the server ended the stream of events"),
    row!(
        CHTTP_E_CONTENT_CODING,
        c"the content coding is not known, or the bytes are none of it (RFC 9110 section 8.4)"
    ),
    row!(CHTTP_E_CONTENT_TRUNCATED, c"the end of the coded content is missing"),
    row!(CHTTP_E_TIMEOUT_POOL, c"no connection became free in time"),
    row!(CHTTP_E_TIMEOUT_DNS, c"the name was not resolved in time"),
    row!(CHTTP_E_TIMEOUT_CONNECT, c"the connection was not made in time"),
    row!(CHTTP_E_TIMEOUT_TLS, c"the TLS handshake did not finish in time"),
    row!(CHTTP_E_TIMEOUT_WRITE, c"the peer took no byte of the request for too long"),
    row!(CHTTP_E_TIMEOUT_FIRST_BYTE, c"the answer did not begin in time"),
    row!(CHTTP_E_TIMEOUT_READ, c"no byte of the answer arrived for too long"),
    row!(CHTTP_E_TIMEOUT_TOTAL, c"the exchange as a whole took too long"),
    row!(CHTTP_E_TIMEOUT_PING, c"no word came from the peer after a PING (HTTP/2)"),
    row!(CHTTP_E_TIMEOUT_PONG, c"nothing came from the server after a PING (WebSocket)"),
    row!(CHTTP_E_TIMEOUT_CLOSE, c"the server did not answer a Close frame in time (WebSocket)"),
    row!(CHTTP_E_CANCELLED, c"the exchange was cancelled"),
    row!(CHTTP_E_ENGINE_CLOSED, c"the engine was destroyed"),
    row!(CHTTP_E_CONNECTION_LOST, c"the connection broke while the request or the answer was under way"),
    row!(CHTTP_E_H2_UNPROCESSED, c"the peer has not looked at the request, and said so"),
    row!(CHTTP_E_H2_GOAWAY, c"the peer ended the connection with an error of its own (HTTP/2: GOAWAY)"),
    row!(CHTTP_E_NOMEM, c"no memory for a size chosen by the peer or the caller"),
    row!(CHTTP_E_PANIC, c"a bug in this library was caught; the engine is dead, the process is not"),
    row!(CHTTP_E_FORKED, c"this is a forked child: the handle belongs to the parent"),
    row!(CHTTP_E_IO, c"a system call failed unexpectedly; see os_errno"),
    row!(CHTTP_E_TOO_LARGE, c"the answer is larger than collect_max"),
    row!(CHTTP_E_TOO_MANY_FILES, c"the limit of open file descriptors is reached"),
    row!(CHTTP_E_TOO_MANY_EXCHANGES, c"the engine carries as many exchanges as it can"),
    row!(
        CHTTP_E_TOO_MANY_WAITING,
        c"as many exchanges wait for a connection as may (option max_waiting): the load is shed"
    ),
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
