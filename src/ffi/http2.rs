//! HTTP/2: its options, and which version a request wants.

/// Which version of HTTP is spoken. 0: over TLS what is agreed on by ALPN (RFC 7301), HTTP/2 if the server speaks it; HTTP/1.1
/// without TLS. 1: HTTP/1.1 only. 2: HTTP/2 only, also without TLS (RFC 9113 section 3.3, prior knowledge); a server that does
/// not speak it is an error, CHTTP_E_H2_NOT_SPOKEN or CHTTP_E_TLS_ALPN. Default 1. A request can say otherwise:
/// CHTTP_REQ_HTTP1, CHTTP_REQ_HTTP2. One that asks for an Upgrade is always sent over HTTP/1.1.
pub const CHTTP_OPT_HTTP_VERSION: u32 = 60;
/// HTTP/2: bytes of one answer that the server may send before some of them are delivered (SETTINGS_INITIAL_WINDOW_SIZE,
/// RFC 9113 section 6.9.2). They are in memory beside the exchange's `recv_credit` when the application takes nothing. The rate
/// of one answer is at most this much in one round trip, so it grows where that is too little. Default 4 MiB.
pub const CHTTP_OPT_H2_STREAM_WINDOW: u32 = 61;
/// HTTP/2: the same for all answers of one connection together. What an exchange without credit holds is added to it, so that
/// it stops nobody else, up to 256 MiB. Default 16 MiB.
pub const CHTTP_OPT_H2_CONNECTION_WINDOW: u32 = 62;
/// HTTP/2: exchanges on one connection at a time, also where the server allows more. Further ones get connections of their
/// own, up to CHTTP_OPT_MAX_CONNECTIONS_PER_HOST. Default 256.
pub const CHTTP_OPT_H2_MAX_STREAMS: u32 = 63;
/// HTTP/2: after so much silence of a server that owes answers it is sent a PING, in nanoseconds; 0 for never. Default 0.
pub const CHTTP_OPT_H2_PING_INTERVAL_NS: u32 = 64;
/// HTTP/2: how long the silence may go on after a PING, in nanoseconds, before the connection is given up and its exchanges
/// fail with CHTTP_E_TIMEOUT_PING. Default 20 s.
pub const CHTTP_OPT_H2_PING_TIMEOUT_NS: u32 = 65;
/// HTTP/2: up to which CHTTP_OPT_H2_STREAM_WINDOW grows on a connection whose answers fill it in one round trip, as a PING
/// measures. The same or less: it does not grow, and no PING is sent for it. Default 64 MiB.
pub const CHTTP_OPT_H2_STREAM_WINDOW_MAX: u32 = 66;
