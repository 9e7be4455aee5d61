//! Plain structs and constants of the interface.

use super::sse::chttp_sse;
use super::tls::chttp_tls;
use super::websocket::chttp_websocket;
use std::ffi::{c_char, c_void};

/// An interim answer (1xx other than 101): `arg` is the status, `obj` a chttp_response.
pub const CHTTP_EV_INFORMATIONAL: u32 = 1;
/// The final head, whatever its status: 404 and 302 are answers, not errors. `arg` is the status, `obj` a chttp_response.
/// For a stream of events (CHTTP_REQ_SSE) one comes with each connection; `error` is 0 or says why it is none.
/// With CHTTP_EF_TUNNEL the connection is a raw stream from here on: BODY events carry its bytes, chttp_body_write() writes
/// to it, chttp_body_end() closes our side.
pub const CHTTP_EV_HEADERS: u32 = 2;
/// A piece of the body: `data` and `len`, borrowed from `obj` until that is released, which gives its credit
/// back. Keep the bytes by keeping `obj`; see chttp_events_release().
pub const CHTTP_EV_BODY: u32 = 3;
/// Trailer fields (RFC 9110 section 6.5): `obj` is a chttp_response that holds nothing but fields.
pub const CHTTP_EV_TRAILERS: u32 = 4;
/// The end. Terminal. `error` is 0, or why the exchange failed; then `obj` is a chttp_error (NULL for want of memory). `arg`
/// is the status, if there was an answer. `aux`: nanoseconds since submit.
pub const CHTTP_EV_DONE: u32 = 5;
/// The whole answer at once (CHTTP_REQ_COLLECT). Terminal: no DONE follows. `arg` is the status, `obj` a chttp_response,
/// `data` and `len` its body in one piece. `aux`: nanoseconds since submit.
pub const CHTTP_EV_RESPONSE: u32 = 6;
/// After chttp_body_write() has answered CHTTP_E_AGAIN: there is room again. `aux`: for about so many bytes.
pub const CHTTP_EV_WRITABLE: u32 = 7;
/// A borrowed request body is not read any more. Comes before the terminal event, on failure and cancel too.
pub const CHTTP_EV_WRITE_DONE: u32 = 8;
/// The engine has failed; `error` says why. Every exchange got its terminal event before. `xid` is 0.
pub const CHTTP_EV_ENGINE_DOWN: u32 = 9;
/// A line of the log, for chttp_engine_log_to(): `arg` is its level (CHTTP_LOG_...), `data` its text, `xid` the exchange that
/// it is about or 0, `aux` nanoseconds of CLOCK_MONOTONIC. `token` is 0. May come after the terminal event of its exchange.
pub const CHTTP_EV_LOG: u32 = 10;
/// The peer has closed its side of a raw stream (CHTTP_REQ_RAW), over TLS in due form. We may go on writing; after
/// chttp_body_end() and with everything sent, DONE follows.
pub const CHTTP_EV_STREAM_END: u32 = 11;
/// The handshake of chttp_stream_start_tls() is done: what is received and sent from here on is secured. `obj` is a
/// chttp_response for chttp_response_tls(), chttp_stream_alpn(), chttp_stream_certificate().
pub const CHTTP_EV_STREAM_TLS: u32 = 12;
/// A watched descriptor is ready: `arg` is CHTTP_WATCH_..., or'ed, `aux` the descriptor. Release it after reading or writing:
/// see chttp_watch_fd(). Terminal if it was for once, or with `error`: then the watch has ended, and `obj` is NULL.
pub const CHTTP_EV_WATCH: u32 = 20;
/// A timer has run out: `arg` is for how many periods, `aux` its moment. See chttp_timer_start(). Terminal if it was for
/// once, or with `error`: then it has ended, and `obj` is NULL.
pub const CHTTP_EV_TIMER: u32 = 21;
/// A WebSocket is open (CHTTP_REQ_WEBSOCKET): `arg` is the status, `obj` a chttp_response with the server's fields, `data`
/// and `len` the subprotocol that it chose (NULL: none), `aux` what was agreed on for compression: CHTTP_WS_AGREED_DEFLATE ...
pub const CHTTP_EV_WS_OPEN: u32 = 23;
/// A message, or with CHTTP_WS_FRAGMENTS a piece of one: `arg` is CHTTP_WS_TEXT or CHTTP_WS_BINARY, `data` and `len` its bytes,
/// borrowed from `obj`. CHTTP_EF_FIN: it is whole with this. Text has been checked; a piece may end inside a character.
pub const CHTTP_EV_WS_MESSAGE: u32 = 24;
/// The server has sent a PING with `data` and `len` (CHTTP_WS_CONTROL or CHTTP_WS_MANUAL_PONG). It may come between the pieces
/// of a message.
pub const CHTTP_EV_WS_PING: u32 = 25;
/// The server has sent a PONG with `data` and `len` (CHTTP_WS_CONTROL): to chttp_ws_ping(), to a heartbeat, whose PING is
/// empty, or unasked.
pub const CHTTP_EV_WS_PONG: u32 = 26;
/// The server has sent its Close frame: `arg` is its code, CHTTP_WS_NO_STATUS for none, `data` and `len` the reason. No message
/// follows, and nothing can be sent any more. DONE comes when the connection is closed.
pub const CHTTP_EV_WS_CLOSE: u32 = 27;
/// What chttp_queue_post() was given: `token`, and `aux`. Terminal. `xid` is 0.
pub const CHTTP_EV_TASK: u32 = 22;
/// An event of a stream (CHTTP_REQ_SSE): `data` and `len` are its data, lines parted by LF, never NULL. chttp_sse_fields()
/// tells its type, id and retry. `obj` is shared by up to 32 events that came together: release all of them, and their credit
/// comes back with the last. One that is kept keeps up to 4 KiB, or its own size.
///
/// What chttp_sse_fields() reads, for bindings: `arg` is retry in milliseconds, 0xffffffff for none; of `aux` the bits 0 to 15
/// are the length of the type, which stands behind the data (0: "message"), 16 to 31 the length of the id, and 32 to 63 where
/// that begins, as a signed number from `data` on.
pub const CHTTP_EV_SSE: u32 = 30;
/// The connection of a stream of events is gone, and another one follows: `error` says why (CHTTP_E_SSE_ENDED: the server
/// ended it in due form), `obj` is a chttp_error, `arg` the number of the attempt that follows, counted from the last one on
/// which anything came, `aux` the nanoseconds until then, `data` and `len` the last event id, borrowed from `obj`. What the
/// server sends from there on follows behind the next HEADERS; what it does not send again is lost.
pub const CHTTP_EV_SSE_RECONNECT: u32 = 31;

/// The last event of its exchange, watch or timer.
pub const CHTTP_EF_TERMINAL: u32 = 1;
/// `data` was copied out of the receive buffer, as small pieces and collected bodies are; else it is a slice of it.
pub const CHTTP_EF_COPIED: u32 = 2;
/// The exchange is a raw stream now (101, or 2xx to CONNECT).
pub const CHTTP_EF_TUNNEL: u32 = 4;
/// The exchange ran on a connection that had served before.
pub const CHTTP_EF_REUSED: u32 = 8;
/// On a failed DONE: HEADERS was delivered, and the body that came with it is not whole. A body without Content-Length or
/// chunks ends where the connection does: nobody can tell whether it is whole, and its DONE has no error. Of a WebSocket: it
/// was open.
pub const CHTTP_EF_PARTIAL: u32 = 16;

/// On CHTTP_EV_WS_MESSAGE: the message is whole with it.
pub const CHTTP_EF_FIN: u32 = 32;

/// Deliver a small answer as one RESPONSE event. An answer that is larger than `collect_max`, or has trailers, arrives as
/// HEADERS, BODY..., DONE instead: be ready for both.
pub const CHTTP_REQ_COLLECT: u32 = 1;
/// The body comes by chttp_body_write() and chttp_body_end(). `body_len` is its length, or CHTTP_LENGTH_UNKNOWN: then it
/// is sent chunked (RFC 9112 section 7.1). `body` must be NULL.
pub const CHTTP_REQ_STREAM_BODY: u32 = 2;
/// The body is `body_len` bytes of the file `body_fd` from `body_offset` on. The descriptor is duplicated; its position
/// is neither used nor moved. `body` must be NULL.
pub const CHTTP_REQ_FILE_BODY: u32 = 4;
/// Send `Expect: 100-continue` and hold the body back until the server says 100, or `expect_timeout_ns` has passed
/// (RFC 9110 section 10.1.1).
pub const CHTTP_REQ_EXPECT_CONTINUE: u32 = 8;
/// Send `Connection: close` and do not use the connection again. In HTTP/2 nothing is sent, and the connection is closed once
/// those who are on it have their answers.
pub const CHTTP_REQ_CLOSE: u32 = 16;
/// No HTTP: a raw stream to the URL's host and port, over TLS if it is https. Its path is not looked at. Everything about
/// making the connection is as for a request; it is never shared with one.
///
/// HEADERS with status 0 says that it is open: `obj` is a chttp_response without fields that tells peer, local address,
/// timing and TLS. Then BODY events under `recv_credit`, chttp_body_write() with WRITABLE, chttp_body_end() for our side,
/// STREAM_END for the peer's; DONE once both are closed. chttp_cancel() ends it at once: what was not sent by then is lost,
/// unless our side was closed before and everything sent. What is written before it is open waits for that.
///
/// No other flag goes with it but CHTTP_REQ_HTTP2, and no method, target, field or body. `read_timeout_ns` counts the peer's
/// silence, and 0 is none for it; the TLS settings offer "http/1.1" by ALPN unless `tls_alpn` says otherwise.
///
/// With CHTTP_REQ_HTTP2 it is a stream of an HTTP/2 connection, which carries others beside it: a CONNECT (RFC 9113 section
/// 8.5), to `target` if there is one and to the URL's host and port if not; or, with `protocol`, an Extended CONNECT (RFC 8441)
/// to the URL. Fields go with it, CHTTP_REQ_CLOSE, and no body. HEADERS carries the server's answer. If that is a success it
/// has CHTTP_EF_TUNNEL, and everything else is as above; credit, WRITABLE and chttp_cancel() are the stream's alone. Any other
/// answer is one as to any request. chttp_stream_start_tls() and chttp_stream_fd() are CHTTP_E_BAD_STATE. A server that does
/// not allow Extended CONNECT is CHTTP_E_H2_NO_EXTENDED_CONNECT: the request waits for its SETTINGS, which say so.
pub const CHTTP_REQ_RAW: u32 = 32;
/// HTTP/1.1 only, whatever `http_version` says.
pub const CHTTP_REQ_HTTP1: u32 = 64;
/// HTTP/2 only, without TLS by prior knowledge, whatever `http_version` says. Not with CHTTP_REQ_HTTP1.
pub const CHTTP_REQ_HTTP2: u32 = 128;
/// A stream of events (Server-Sent Events, WHATWG HTML section 9.2): HEADERS, then CHTTP_EV_SSE for each event, over as many
/// connections as it takes. Any method and body. `sse` has its settings, or is NULL.
///
/// `Accept: text/event-stream` and `Cache-Control: no-cache` are added unless they are among the fields; `Last-Event-ID` must
/// not be. The answer has to have status 200 and Content-Type text/event-stream. With another one HEADERS carries
/// CHTTP_E_SSE_STATUS or CHTTP_E_SSE_CONTENT_TYPE, its body arrives as BODY events, and DONE has the same error. 204 ends the
/// exchange without one. Redirects are not followed.
///
/// When the connection is lost, ends, or is silent for `read_timeout_ns`, CHTTP_EV_SSE_RECONNECT tells it, and after a wait the
/// request is sent again with `Last-Event-ID`: same id, token and credit. Only DONE is terminal; chttp_cancel() works at all
/// times. A failure that another connection would meet too (a certificate, a broken message, a line that is too long) ends the
/// exchange. `total_timeout_ns` is for all connections together, and 0 is none for it, whatever the engine's option says; the
/// others are for each connection. A body in borrowed memory (over 64 KiB) stays borrowed until WRITE_DONE, which comes at the
/// end if the request reconnects. Not with CHTTP_REQ_COLLECT, CHTTP_REQ_RAW, an Upgrade, HEAD, CONNECT, chttp_perform().
pub const CHTTP_REQ_SSE: u32 = 512;

/// A WebSocket (RFC 6455). The URL may begin with ws or wss, too, which are http and https. Everything about making the
/// connection is as for a request. `websocket` says what is wanted, or is NULL for the engine's defaults. Fields may be given
/// (Origin, Cookie, Authorization: none is sent by itself), but not Connection, Upgrade, Content-Length, Transfer-Encoding and
/// Sec-WebSocket-... . No method and body go with it, and no other flag but CHTTP_REQ_HTTP1 and CHTTP_REQ_HTTP2.
///
/// It is opened over HTTP/1.1, on a connection of its own, whatever `http_version` says; with CHTTP_REQ_HTTP2 by Extended
/// CONNECT (RFC 8441), as a stream of a connection that others may share, or CHTTP_E_H2_NO_EXTENDED_CONNECT. Nothing else is
/// different, but that one that breaks a rule is given `close_timeout_ns` to hear of it before DONE, and that a server which
/// does not close the stream behind the Close frames of both is waited for a second at most.
///
/// CHTTP_EV_WS_OPEN says that it is open. Then come CHTTP_EV_WS_MESSAGE under `recv_credit`, and what else was asked for;
/// chttp_ws_send(), chttp_ws_ping(), chttp_ws_close() send, with WRITABLE as for chttp_body_write(). PING is answered by the
/// library; of many that come while the server does not take our frames, those that do not fit into 16 KiB of answers get none,
/// but for the last (RFC 6455 section 5.5.3). CHTTP_EV_WS_CLOSE tells the server's Close frame, which the library answers,
/// and DONE ends it: without an error after the closing handshake; else with that of the rule that the server broke (native
/// is the code that it was told), CHTTP_E_WS_ABNORMAL or CHTTP_E_CONNECTION_LOST when the connection ended without a Close
/// frame, or that of a timeout. chttp_cancel() ends it at once, without a Close frame.
///
/// An answer that does not switch protocols is an ordinary one: HEADERS, BODY, DONE. Redirects are not followed. Its
/// `first_byte_timeout_ns` bounds the wait for the handshake's answer, and `read_timeout_ns` that and, from its first byte on,
/// all of its head; behind it there is the heartbeat. `write_timeout_ns` bounds how long the server takes none of our frames,
/// and `total_timeout_ns` the whole life of the WebSocket. Without credit nothing is read: neither messages nor what the server
/// says about closing, and time without credit is not held against it.
///
/// For tests with a scripted peer, `Sec-WebSocket-Key` may be among the fields, and is used instead of a random one.
pub const CHTTP_REQ_WEBSOCKET: u32 = 0x100;

/// `body_len` of a streamed body whose length is not known.
pub const CHTTP_LENGTH_UNKNOWN: u64 = 0xffffffffffffffff;
/// "None", wherever a time in nanoseconds is asked for; and a credit without bound.
pub const CHTTP_UNLIMITED: u64 = 0xffffffffffffffff;
/// Wherever a text is given as pointer and length: it ends with NUL.
pub const CHTTP_NUL_TERMINATED: u64 = 0xffffffffffffffff;

/// One exchange: a request and its answer; or a watch, or a timer. Never 0. An id whose exchange has ended is stale:
/// functions answer CHTTP_E_NOT_FOUND to it, also when its place has been taken by another exchange.
pub type chttp_xid = u64;

/// Everything that happens. 64 bytes in the caller's memory. Unknown kinds are to be released and ignored.
///
/// Order within an exchange: INFORMATIONAL* HEADERS BODY* TRAILERS? DONE, or INFORMATIONAL* RESPONSE; a failure cuts it
/// short with DONE. A WebSocket: INFORMATIONAL* WS_OPEN (WS_MESSAGE | WS_PING | WS_PONG)* WS_CLOSE? DONE. In a stream of
/// events SSE* stands for BODY*, and after SSE_RECONNECT it begins anew. WRITABLE and WRITE_DONE interleave. STREAM_TLS
/// stands between BODY events, STREAM_END behind them. Every accepted exchange gets exactly one terminal event, and it is the
/// last. Only `obj` is owned: it is to be released, and what `data` points to goes with it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_event {
    /// CHTTP_EV_...
    pub kind: u16,
    /// CHTTP_EF_..., or'ed.
    pub flags: u16,
    /// HTTP status, 0 where there is none yet; of WebSockets what the kind says.
    pub arg: u32,
    pub xid: chttp_xid,
    /// The request's own, or the watch's, timer's or task's.
    pub token: u64,
    /// 0, or CHTTP_E_... (negative).
    pub error: i32,
    /// The errno behind it, or 0.
    pub os_errno: i32,
    /// `len` bytes, borrowed from `obj`; NULL for none.
    pub data: *const c_char,
    pub len: u64,
    /// An object to be released with chttp_events_release() or chttp_release(), or NULL.
    pub obj: *mut c_void,
    /// A number whose meaning depends on the kind; 0 where none is told.
    pub aux: u64,
}

/// A header or trailer field. The bytes are not NUL-terminated. Names and values that the library hands out are borrowed
/// from the object that they were asked of.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_field {
    pub name: *const c_char,
    /// CHTTP_NUL_TERMINATED is possible in what the library is given.
    pub name_len: usize,
    pub value: *const c_char,
    pub value_len: usize,
}

/// A request. All-zero but for `size`, `url` and `url_len` is a valid GET with the engine's defaults. Everything it points to
/// is read during the call alone, except a body of more than 64 KiB: that is borrowed until CHTTP_EV_WRITE_DONE.
///
/// Every `..._timeout_ns` is in nanoseconds: 0 for the engine's default, CHTTP_UNLIMITED for none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_request {
    /// sizeof(chttp_request): says which fields the caller knows.
    pub size: u32,
    /// CHTTP_REQ_..., or'ed.
    pub flags: u32,
    /// The caller's own word for the exchange; comes back in every event. Not looked at.
    pub token: u64,
    /// Absolute, http or https (a WebSocket's may be ws or wss), without spaces (%20). No user information; what stands
    /// behind `#` is cut off.
    pub url: *const c_char,
    pub url_len: usize,
    /// NULL for GET. Any token (RFC 9110 section 9.1), case-sensitive.
    pub method: *const c_char,
    pub method_len: usize,
    /// NULL, or the request-target to send instead of the URL's (RFC 9112 section 3.2), which is path and query; `*` for
    /// OPTIONS to a URL without them.
    pub target: *const c_char,
    pub target_len: usize,
    /// Fields to send: names, order, case and duplicates go out as they stand here. Host, Content-Length and
    /// Transfer-Encoding are added unless they are here; nothing else is, no User-Agent and no Accept.
    pub headers: *const chttp_field,
    pub headers_len: usize,
    /// The same as one text, `Name: value\r\n...`. Only one of the two forms.
    pub header_block: *const c_char,
    pub header_block_len: usize,
    pub body: *const c_char,
    /// Length of `body`, of the part of the file, or of the stream.
    pub body_len: u64,
    pub body_offset: u64,
    pub body_fd: i32,
    /// Must be 0.
    pub reserved: u32,
    /// NULL, or the path of a Unix socket to connect to instead of the URL's host and port: at most 107
    /// bytes. One that begins with NUL is in the abstract namespace.
    pub unix_path: *const c_char,
    pub unix_path_len: usize,
    /// Bytes of the body that may be delivered and not released yet; each event counts at least 256. 0: the engine's
    /// default; CHTTP_UNLIMITED: no bound. Reading stops at 0 left: memory is bounded, and the peer is slowed down. It
    /// goes on when enough is released, or a moment after the first release. Below 64 KiB it costs speed.
    pub recv_credit: u64,
    /// With CHTTP_REQ_COLLECT, the largest body that comes as one event; at most the credit. 0: the engine's default.
    pub collect_max: u64,
    /// The whole exchange, time without credit included.
    pub total_timeout_ns: u64,
    /// Waiting for a connection to become free.
    pub pool_timeout_ns: u64,
    /// Resolving the name.
    pub dns_timeout_ns: u64,
    /// Making the connection.
    pub connect_timeout_ns: u64,
    /// The peer takes no byte of the request.
    pub write_timeout_ns: u64,
    /// From the end of the request to the first byte of the answer. If `read_timeout_ns` is shorter, that comes first.
    pub first_byte_timeout_ns: u64,
    /// Nothing comes from the peer for so long: before the first byte of the answer, and between two of them. Time without
    /// credit does not count.
    pub read_timeout_ns: u64,
    /// Waiting for 100 (Continue).
    pub expect_timeout_ns: u64,
    /// The TLS handshake.
    pub tls_timeout_ns: u64,
    /// For https: whom to trust and who we are, from chttp_tls_new(). NULL for the engine's own. It may be released right
    /// after the call. Nothing to http.
    pub tls: *const chttp_tls,
    /// NULL, or the address to connect to instead of the URL's host and port, which stay what they are for everything else:
    /// `127.0.0.1:8443`, `[::1]:443`, `unix:path`, or `unix:@name` in the abstract namespace. Not together with `unix_path`.
    pub connect_to: *const c_char,
    pub connect_to_len: usize,
    /// NULL for the engine's, or the address of this machine to connect from, without a port; an empty text for none. The
    /// request uses no connection that begins elsewhere. Nothing to Unix sockets.
    pub local_address: *const c_char,
    pub local_address_len: usize,
    /// NULL for the engine's, or the name of the network interface to connect through (SO_BINDTODEVICE); an empty text for
    /// none. The request uses no connection that was made through another. Nothing to Unix sockets.
    pub interface: *const c_char,
    pub interface_len: usize,
    /// NULL, or the `:protocol` of an Extended CONNECT (RFC 8441 section 4), a token: `websocket`. Only with CHTTP_REQ_RAW and
    /// CHTTP_REQ_HTTP2.
    pub protocol: *const c_char,
    pub protocol_len: usize,
    /// With CHTTP_REQ_WEBSOCKET: what is wanted of it, or NULL. Else NULL.
    pub websocket: *const chttp_websocket,
    /// With CHTTP_REQ_SSE: NULL for the engine's, or what the stream of events is to be like.
    pub sse: *const chttp_sse,
}

/// When things happened, in nanoseconds since submit; 0 for what did not happen. Fill in nothing; pass the size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_timing {
    /// How much of it was filled in.
    pub size: u32,
    pub reserved: u32,
    /// A connection was there, new or used.
    pub connected_ns: u64,
    /// The request was handed to the kernel.
    pub sent_ns: u64,
    /// The final head arrived.
    pub first_byte_ns: u64,
    /// How long making the connection took, name, TLS and all; 0 on a reused one.
    pub connect_took_ns: u64,
    /// Of that, resolving the name.
    pub dns_took_ns: u64,
    /// Of that, the TLS handshake. What is left is the connection itself, with all its attempts.
    pub tls_took_ns: u64,
}

/// What was agreed on for TLS. Texts are names of the IANA registries, static, and "" for what there is none of. Fill in
/// nothing; pass the size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_tls_info {
    /// How much of it was filled in.
    pub size: u32,
    /// 12 for TLS 1.2, 13 for TLS 1.3.
    pub version: u32,
    /// 1: an earlier session went on (RFC 8446 section 2.2), with the certificate that was verified then.
    pub resumed: u32,
    pub reserved: u32,
    /// "TLS_AES_128_GCM_SHA256" ...
    pub cipher_suite: *const c_char,
    /// The key exchange: "X25519MLKEM768" ... "" for a resumed session of TLS 1.2.
    pub group: *const c_char,
    /// The application protocol that the peer chose (RFC 7301): "http/1.1"; "" if it chose none.
    pub alpn: *const c_char,
}

/// Counters and gauges. Counters never go down. Fill in nothing; pass the size.
///
/// They are taken at one moment and add up, until the engine fails: `submitted` = `succeeded` + `failed` + `cancelled` +
/// exchanges that the engine has accepted and not ended (`exchanges` counts those too that it has not looked at yet, and those
/// whose last event was just given out); `connections_opened` - `connections_closed` = `connections` - `dials`;
/// `connections_idle` <= `connections` - `dials`; `queued` <= `waiting`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_stats {
    /// How much of it was filled in.
    pub size: u32,
    pub reserved: u32,
    pub submitted: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Requests that met a stale connection and were sent again.
    pub retried: u64,
    pub connections_opened: u64,
    pub connections_reused: u64,
    pub connect_failures: u64,
    /// Gauges: exchanges under way, connections (being made, busy and idle), idle ones, and exchanges that wait for one.
    pub exchanges: u64,
    pub connections: u64,
    pub connections_idle: u64,
    pub waiting: u64,
    /// Of the whole process, all engines together: system calls on sockets, on eventfds and timerfds, epoll_wait and poll,
    /// epoll_ctl.
    pub socket_calls: u64,
    pub notifier_calls: u64,
    pub poll_calls: u64,
    pub epoll_ctl_calls: u64,
    /// Connections that were closed after they had been opened, and why: the sum of the six that follow.
    pub connections_closed: u64,
    /// Idle for too long: by CHTTP_OPT_IDLE_TIMEOUT_NS, or by what the server had announced.
    pub closed_idle: u64,
    /// Older than CHTTP_OPT_MAX_CONNECTION_AGE_NS.
    pub closed_age: u64,
    /// By the peer while they were idle, or it spoke out of turn.
    pub closed_by_peer: u64,
    /// Their exchange failed or was cancelled.
    pub closed_failed: u64,
    /// They were idle and gave way to a connection to another origin (CHTTP_OPT_MAX_CONNECTIONS).
    pub closed_evicted: u64,
    /// Their exchange ended well, but one of the sides wanted no other on it.
    pub closed_not_reusable: u64,
    /// Gauges: connections that are being made; of those that wait, exchanges for which none is being made; and the most of
    /// these at a time so far.
    pub dials: u64,
    pub queued: u64,
    pub queued_max: u64,
    /// Of HTTP/2: connections that were opened, and streams on them.
    pub h2_connections: u64,
    pub h2_streams: u64,
    /// Connections whose server has said that it wants no more requests on them (GOAWAY, RFC 9113 section 6.8).
    pub h2_goaways: u64,
    /// Streams that the server has reset, but for those that follow.
    pub h2_resets: u64,
    /// Streams that the server has not looked at, as it said by REFUSED_STREAM or GOAWAY; and those of them that were sent
    /// again, which are in `retried`, too.
    pub h2_unprocessed: u64,
    pub h2_replayed: u64,
    /// Connections that were given up because no word came after a PING (CHTTP_OPT_H2_PING_TIMEOUT_NS).
    pub h2_ping_timeouts: u64,
    /// Connections that were given up because of too many frames that carry nothing (CHTTP_E_H2_FLOOD).
    pub h2_floods: u64,
    /// Events of streams (CHTTP_EV_SSE), and how often a stream went on with another connection (CHTTP_EV_SSE_RECONNECT).
    pub sse_events: u64,
    pub sse_reconnects: u64,
    /// WebSockets that were opened, and their messages, each once, however many pieces or fragments it has.
    pub ws_opened: u64,
    pub ws_messages_received: u64,
    pub ws_messages_sent: u64,
}

/// For chttp_struct_size().
pub const CHTTP_STRUCT_EVENT: u32 = 1;
pub const CHTTP_STRUCT_FIELD: u32 = 2;
pub const CHTTP_STRUCT_REQUEST: u32 = 3;
pub const CHTTP_STRUCT_TIMING: u32 = 4;
pub const CHTTP_STRUCT_STATS: u32 = 5;
pub const CHTTP_STRUCT_OPTION: u32 = 6;
pub const CHTTP_STRUCT_TLS_INFO: u32 = 7;
pub const CHTTP_STRUCT_MOCK_STEP: u32 = 8;
pub const CHTTP_STRUCT_MOCK_RECORD: u32 = 9;
pub const CHTTP_STRUCT_SUBMISSION: u32 = 10;
pub const CHTTP_STRUCT_WEBSOCKET: u32 = 11;
pub const CHTTP_STRUCT_SSE: u32 = 13;
pub const CHTTP_STRUCT_SSE_EVENT: u32 = 14;
pub const CHTTP_STRUCT_MOCK_TLS: u32 = 16;

/// Size in bytes of a struct in the library that is loaded, so that a binding can check its layout; 0 for an unknown id.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_struct_size(id: u32) -> usize {
    match id {
        CHTTP_STRUCT_EVENT => size_of::<chttp_event>(),
        CHTTP_STRUCT_FIELD => size_of::<chttp_field>(),
        CHTTP_STRUCT_REQUEST => size_of::<chttp_request>(),
        CHTTP_STRUCT_TIMING => size_of::<chttp_timing>(),
        CHTTP_STRUCT_STATS => size_of::<chttp_stats>(),
        CHTTP_STRUCT_OPTION => size_of::<super::options::chttp_option>(),
        CHTTP_STRUCT_TLS_INFO => size_of::<chttp_tls_info>(),
        CHTTP_STRUCT_MOCK_STEP => size_of::<super::mock::chttp_mock_step>(),
        CHTTP_STRUCT_MOCK_RECORD => size_of::<super::mock::chttp_mock_record>(),
        CHTTP_STRUCT_MOCK_TLS => size_of::<super::mock_tls::chttp_mock_tls>(),
        CHTTP_STRUCT_SSE => size_of::<chttp_sse>(),
        CHTTP_STRUCT_SSE_EVENT => size_of::<super::sse::chttp_sse_event>(),
        CHTTP_STRUCT_SUBMISSION => size_of::<super::submission::chttp_submission>(),
        CHTTP_STRUCT_WEBSOCKET => size_of::<chttp_websocket>(),
        _ => 0,
    }
}

const _: () = {
    use crate::queue::event::{flag, kind};
    assert!(size_of::<chttp_event>() == 64);
    let kinds = [
        (CHTTP_EV_INFORMATIONAL, kind::INFORMATIONAL),
        (CHTTP_EV_HEADERS, kind::HEADERS),
        (CHTTP_EV_BODY, kind::BODY),
        (CHTTP_EV_TRAILERS, kind::TRAILERS),
        (CHTTP_EV_DONE, kind::DONE),
        (CHTTP_EV_RESPONSE, kind::RESPONSE),
        (CHTTP_EV_WRITABLE, kind::WRITABLE),
        (CHTTP_EV_WRITE_DONE, kind::WRITE_DONE),
        (CHTTP_EV_ENGINE_DOWN, kind::ENGINE_DOWN),
        (CHTTP_EV_LOG, kind::LOG),
        (CHTTP_EV_STREAM_END, kind::STREAM_END),
        (CHTTP_EV_STREAM_TLS, kind::STREAM_TLS),
        (CHTTP_EV_WATCH, kind::WATCH),
        (CHTTP_EV_TIMER, kind::TIMER),
        (CHTTP_EV_TASK, kind::TASK),
        (CHTTP_EV_WS_OPEN, kind::WS_OPEN),
        (CHTTP_EV_WS_MESSAGE, kind::WS_MESSAGE),
        (CHTTP_EV_WS_PING, kind::WS_PING),
        (CHTTP_EV_WS_PONG, kind::WS_PONG),
        (CHTTP_EV_WS_CLOSE, kind::WS_CLOSE),
        (CHTTP_EV_SSE, kind::SSE),
        (CHTTP_EV_SSE_RECONNECT, kind::SSE_RECONNECT),
        (CHTTP_EF_TERMINAL, flag::TERMINAL),
        (CHTTP_EF_COPIED, flag::COPIED),
        (CHTTP_EF_TUNNEL, flag::TUNNEL),
        (CHTTP_EF_REUSED, flag::REUSED),
        (CHTTP_EF_PARTIAL, flag::PARTIAL),
        (CHTTP_EF_FIN, flag::FIN),
    ];
    let mut i = 0;
    while i < kinds.len() {
        assert!(kinds[i].0 == kinds[i].1 as u32);
        i += 1;
    }
};
