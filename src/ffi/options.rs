//! The options of an engine: one table says what there is, sets it and describes it.

use super::config::*;
use super::delivery::CHTTP_OPT_SLOW_CALLBACK_NS;
use super::guard::{Refusal, give, guard};
use super::handles::*;
use super::http2::*;
use super::log::*;
use super::mock::*;
use super::network::*;
use super::pool::*;
use super::sse::*;
use super::tls::*;
use super::websocket::*;
use crate::client::Settings;
use crate::client::trust::SystemRoots;
use crate::diag::Level;
use crate::error as e;
use crate::pool::Http;
use crate::proto::route::{self, Overrides};
use crate::proto::tls::{PostQuantum, Version};
use std::ffi::{CStr, c_char, c_void};

/// Set by chttp_config_set_i64().
pub const CHTTP_OPTION_INT64: u32 = 1;
/// UTF-8 without NUL. Set by chttp_config_set_str().
pub const CHTTP_OPTION_TEXT: u32 = 2;
/// Any bytes. Set by chttp_config_set_bytes().
pub const CHTTP_OPTION_BYTES: u32 = 3;

/// What there is to know of an option, for chttp_option_describe(). Fill in nothing; pass the size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_option {
    /// CHTTP_OPT_...
    pub id: u32,
    /// CHTTP_OPTION_...: which of the setters takes it. Further kinds may come.
    pub kind: u32,
    /// For chttp_config_set_named(), which takes no objects and functions. Static, like all texts here.
    pub name: *const c_char,
    /// "ns", "bytes", "" ...
    pub unit: *const c_char,
    /// 0 for what is no number: by default a text and bytes are empty, and there is no object and no function.
    pub default_value: i64,
    /// Range of the number, or of the length of the text or bytes; 0 for an object and a function.
    pub min: i64,
    pub max: i64,
    /// -1 is allowed too, and means "no limit".
    pub unlimited: u32,
    /// Version that brought it, in the form of CHTTP_VERSION.
    pub since: u32,
    /// One line.
    pub doc: *const c_char,
}

pub(super) struct Row {
    id: u32,
    name: &'static CStr,
    unit: &'static CStr,
    /// Of the number, or of the length.
    min: i64,
    max: i64,
    doc: &'static CStr,
    value: Value,
}

/// How an option is read and written.
enum Value {
    Number {
        unlimited: bool,
        get: fn(&Settings) -> u64,
        set: fn(&mut Settings, u64),
    },
    /// Text or bytes, as `kind` says. `set` checks all but length and encoding and says which rule is broken; nothing
    /// at all puts the default back.
    Data {
        kind: u32,
        set: fn(&mut Settings, &[u8]) -> Result<(), Refusal>,
    },
    Object {
        set: SetObject,
    },
    Function {
        set: SetFunction,
    },
}

/// A row of the table. `$field` is where the value lives; numbers are converted without loss, because the range is checked.
macro_rules! row {
    ($id:ident, $name:literal, $unit:literal, $min:expr, $max:expr, $unlimited:expr, $($field:ident).+ : $ty:ty, $doc:literal) => {
        Row {
            id: $id,
            name: $name,
            unit: $unit,
            min: $min,
            max: $max,
            doc: $doc,
            value: Value::Number {
                unlimited: $unlimited,
                get: |s| s.$($field).+ as u64,
                set: |s, v| s.$($field).+ = <$ty>::try_from(v).unwrap_or(<$ty>::MAX),
            },
        }
    };
}

/// The same for a switch.
macro_rules! switch {
    ($id:ident, $name:literal, $($field:ident).+, $doc:literal) => {
        Row {
            id: $id,
            name: $name,
            unit: c"",
            min: 0,
            max: 1,
            doc: $doc,
            value: Value::Number {
                unlimited: false,
                get: |s| u64::from(s.$($field).+),
                set: |s, v| s.$($field).+ = v != 0,
            },
        }
    };
}

/// A row for a text. `$set` gets what has the right length and is UTF-8 without NUL.
macro_rules! words {
    ($id:ident, $name:literal, $max:expr, $set:expr, $doc:literal) => {
        Row {
            id: $id,
            name: $name,
            unit: c"",
            min: 0,
            max: $max,
            doc: $doc,
            value: Value::Data {
                kind: CHTTP_OPTION_TEXT,
                set: |s, v| {
                    let set: fn(&mut Settings, &str) -> Result<(), Refusal> = $set;
                    set(s, plain(v)?)
                },
            },
        }
    };
}

/// A row for bytes. `$field` is where they live, shared and not copied with the settings.
macro_rules! blob {
    ($id:ident, $name:literal, $max:expr, $($field:ident).+, $doc:literal) => {
        Row {
            id: $id,
            name: $name,
            unit: c"",
            min: 0,
            max: $max,
            doc: $doc,
            value: Value::Data {
                kind: CHTTP_OPTION_BYTES,
                set: |s, v| {
                    s.$($field).+ = (!v.is_empty()).then(|| v.into());
                    Ok(())
                },
            },
        }
    };
}

/// A row for a text that is kept as it is.
macro_rules! text {
    ($id:ident, $name:literal, $max:expr, $($field:ident).+, $doc:literal) => {
        words!($id, $name, $max, |s, v| { s.$($field).+ = (!v.is_empty()).then(|| v.into()); Ok(()) }, $doc)
    };
}

/// A row for a number that stands for one of a few values.
macro_rules! choice {
    ($id:ident, $name:literal, $($field:ident).+, $doc:literal, [$($number:literal = $value:expr),+]) => {
        Row {
            id: $id,
            name: $name,
            unit: c"",
            min: [$($number),+][0],
            max: [$($number),+][[$($number),+].len() - 1],
            doc: $doc,
            value: Value::Number {
                unlimited: false,
                get: |s| match s.$($field).+ { $(v if v == $value => $number,)+ _ => 0 },
                set: |s, v| s.$($field).+ = match v { $($number => $value,)+ _ => return },
            },
        }
    };
}

/// A row for what is no number and has no length.
macro_rules! handle {
    ($id:ident, $name:literal, $kind:ident($set:expr), $doc:literal) => {
        Row { id: $id, name: $name, unit: c"", min: 0, max: 0, doc: $doc, value: Value::$kind { set: $set } }
    };
}

/// Text of an option.
fn plain(value: &[u8]) -> Result<&str, Refusal> {
    let text = std::str::from_utf8(value).ok().filter(|t| !t.contains('\0'));
    text.ok_or_else(|| Refusal::new(e::CHTTP_E_OPTION_RANGE, "the text is not UTF-8, or has a NUL inside"))
}

const NS: i64 = i64::MAX;
const GIB: i64 = 1 << 30;
/// The largest window of HTTP/2 (RFC 9113 section 6.9.1).
const WINDOW: i64 = i32::MAX as i64;
/// Bytes of a path.
const PATH: i64 = 4096;
/// Certificates, keys and lists.
const PEM: i64 = 64 << 20;
/// The end of the year 9999: beyond it no certificate can be valid (RFC 5280 section 4.1.2.5).
const LAST_TIME: i64 = 253_402_300_799;

#[rustfmt::skip]
const TABLE: &[Row] = &[
    switch!(CHTTP_OPT_IO_THREADS, c"io_threads", own_thread, c"1: own thread; 0: driven by the caller"),
    row!(CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, c"max_connections_per_host", c"", 1, 1 << 20, false, pool.per_origin: u32, c"connections to one scheme, host and port"),
    row!(CHTTP_OPT_MAX_CONNECTIONS, c"max_connections", c"", 1, 1 << 20, false, pool.total: u32, c"connections in total"),
    row!(CHTTP_OPT_IDLE_TIMEOUT_NS, c"idle_timeout_ns", c"ns", 0, NS, true, pool.idle_ns: u64, c"how long an unused connection is kept"),
    row!(CHTTP_OPT_TOTAL_TIMEOUT_NS, c"total_timeout_ns", c"ns", 1, NS, true, timeouts.total: u64, c"the whole exchange"),
    row!(CHTTP_OPT_POOL_TIMEOUT_NS, c"pool_timeout_ns", c"ns", 1, NS, true, timeouts.pool: u64, c"waiting for a connection to become free"),
    row!(CHTTP_OPT_DNS_TIMEOUT_NS, c"dns_timeout_ns", c"ns", 1, NS, true, timeouts.dns: u64, c"resolving the name"),
    row!(CHTTP_OPT_CONNECT_TIMEOUT_NS, c"connect_timeout_ns", c"ns", 1, NS, true, timeouts.connect: u64, c"making the connection"),
    row!(CHTTP_OPT_WRITE_TIMEOUT_NS, c"write_timeout_ns", c"ns", 1, NS, true, timeouts.write: u64, c"the peer takes no byte of the request"),
    row!(CHTTP_OPT_FIRST_BYTE_TIMEOUT_NS, c"first_byte_timeout_ns", c"ns", 1, NS, true, timeouts.first_byte: u64, c"from the end of the request to the first byte of the answer"),
    row!(CHTTP_OPT_READ_TIMEOUT_NS, c"read_timeout_ns", c"ns", 1, NS, true, timeouts.read: u64, c"between two bytes of the answer"),
    row!(CHTTP_OPT_EXPECT_TIMEOUT_NS, c"expect_timeout_ns", c"ns", 1, NS, true, timeouts.expect: u64, c"waiting for 100 (Continue)"),
    row!(CHTTP_OPT_RECV_CREDIT, c"recv_credit", c"bytes", 1, NS, true, recv_credit: u64, c"bytes of a body that may be delivered and not released"),
    row!(CHTTP_OPT_COLLECT_MAX, c"collect_max", c"bytes", 0, GIB, false, collect_max: u64, c"largest body that arrives as one RESPONSE event"),
    row!(CHTTP_OPT_SEND_BUFFER, c"send_buffer", c"bytes", 1, GIB, false, send_buffer: u64, c"bytes of a streamed upload that are buffered"),
    row!(CHTTP_OPT_DNS_CACHE_NS, c"dns_cache_ns", c"ns", 0, NS, false, dns_cache_ns: u64, c"how long a resolved name is kept"),
    row!(CHTTP_OPT_MAX_EXCHANGES, c"max_exchanges", c"", 1, 1 << 24, false, exchanges_max: u32, c"exchanges under way at a time"),
    row!(CHTTP_OPT_HEAD_LINE_MAX, c"head_line_max", c"bytes", 64, GIB, false, h1.line_max: u32, c"one line of a head or trailer section"),
    row!(CHTTP_OPT_HEAD_MAX, c"head_max", c"bytes", 64, GIB, false, h1.head_max: u32, c"a head, and a trailer section"),
    row!(CHTTP_OPT_HEAD_FIELDS_MAX, c"head_fields_max", c"", 1, 1 << 20, false, h1.fields_max: u32, c"field lines of a head, and of a trailer section"),
    row!(CHTTP_OPT_INFORMATIONAL_MAX, c"informational_max", c"", 0, 1 << 20, false, h1.informational_max: u32, c"informational answers before the final one"),
    row!(CHTTP_OPT_CHUNK_EXT_MAX, c"chunk_ext_max", c"bytes", 0, GIB, false, h1.chunk_ext_max: u32, c"one chunk extension"),
    switch!(CHTTP_OPT_ALLOW_BARE_LF, c"allow_bare_lf", h1.allow_bare_lf, c"accept LF alone as the end of a line"),
    switch!(CHTTP_OPT_ALLOW_OBS_FOLD, c"allow_obs_fold", h1.allow_obs_fold, c"take a folded field line for one with spaces"),
    row!(CHTTP_OPT_TLS_TIMEOUT_NS, c"tls_timeout_ns", c"ns", 1, NS, true, timeouts.tls: u64, c"the TLS handshake"),
    words!(CHTTP_OPT_INTERFACE, c"interface", 15, |s, v| { s.bind.interface = route::interface(v).map_err(off_route)?; Ok(()) }, c"network interface that connections are bound to"),
    row!(CHTTP_OPT_CONNECT_ATTEMPT_DELAY_NS, c"connect_attempt_delay_ns", c"ns", 10_000_000, NS, true, attempt_delay_ns: u64, c"an address has no outcome: the next one is tried"),
    text!(CHTTP_OPT_TLS_CA_FILE, c"tls_ca_file", PATH, tls.ca.file, c"file of certificates of authorities to trust (PEM)"),
    blob!(CHTTP_OPT_TLS_CA_PEM, c"tls_ca_pem", PEM, tls.ca.bytes, c"certificates of authorities to trust (PEM)"),
    choice!(CHTTP_OPT_TLS_SYSTEM_ROOTS, c"tls_system_roots", tls.system_roots, c"trust the system's authorities: 0 never, 1 always, 2 if none were given", [0 = SystemRoots::Never, 1 = SystemRoots::Always, 2 = SystemRoots::Otherwise]),
    text!(CHTTP_OPT_TLS_CERT_FILE, c"tls_cert_file", PATH, tls.cert.file, c"file of the client certificate and its chain (PEM)"),
    blob!(CHTTP_OPT_TLS_CERT_PEM, c"tls_cert_pem", PEM, tls.cert.bytes, c"the client certificate and its chain (PEM)"),
    text!(CHTTP_OPT_TLS_KEY_FILE, c"tls_key_file", PATH, tls.key.file, c"file of the client certificate's private key (PEM)"),
    blob!(CHTTP_OPT_TLS_KEY_PEM, c"tls_key_pem", PEM, tls.key.bytes, c"the client certificate's private key (PEM)"),
    text!(CHTTP_OPT_TLS_SERVER_NAME, c"tls_server_name", 255, tls.server_name, c"name that is sent (SNI) and verified instead of the URL's host"),
    text!(CHTTP_OPT_TLS_ALPN, c"tls_alpn", 4096, tls.alpn, c"application protocols to offer, with commas between them"),
    choice!(CHTTP_OPT_TLS_MIN_VERSION, c"tls_min_version", tls.min, c"lowest version of TLS: 12 or 13", [12 = Version::Tls12, 13 = Version::Tls13]),
    choice!(CHTTP_OPT_TLS_MAX_VERSION, c"tls_max_version", tls.max, c"highest version of TLS: 12 or 13", [12 = Version::Tls12, 13 = Version::Tls13]),
    switch!(CHTTP_OPT_TLS_INSECURE_NO_VERIFICATION, c"tls_insecure_no_verification", tls.insecure, c"1: trust every certificate"),
    row!(CHTTP_OPT_TLS_SESSION_CACHE, c"tls_session_cache", c"", 0, 1 << 20, false, tls.sessions: u32, c"servers whose TLS sessions are kept to go on with"),
    switch!(CHTTP_OPT_TLS_KEY_LOG, c"tls_key_log", tls.key_log, c"1: write the secrets of TLS to the file that SSLKEYLOGFILE names"),
    row!(CHTTP_OPT_TLS_VERIFY_TIME, c"tls_verify_time", c"s", 0, LAST_TIME, false, tls.verify_time: u64, c"moment to verify certificates at, in seconds since 1970; 0 for now"),
    text!(CHTTP_OPT_TLS_PINS, c"tls_pins", 65536, tls.pins, c"keys of which the chain must have one, as sha256/BASE64 with commas"),
    text!(CHTTP_OPT_TLS_CRL_FILE, c"tls_crl_file", PATH, tls.crl.file, c"file of revocation lists (PEM or DER)"),
    blob!(CHTTP_OPT_TLS_CRL_PEM, c"tls_crl_pem", PEM, tls.crl.bytes, c"revocation lists (PEM or DER)"),
    choice!(CHTTP_OPT_TLS_KEY_EXCHANGE_PQ, c"tls_key_exchange_pq", tls.post_quantum, c"X25519MLKEM768: 0 off, 1 offered, 2 preferred", [0 = PostQuantum::Off, 1 = PostQuantum::Offered, 2 = PostQuantum::Preferred]),
    words!(CHTTP_OPT_CONNECT_OVERRIDES, c"connect_overrides", 65_536, |s, v| { s.overrides = Overrides::parse(v).map_err(off_route)?; Ok(()) }, c"addresses that stand in for hosts and ports"),
    words!(CHTTP_OPT_LOCAL_ADDRESS, c"local_address", 64, |s, v| { s.bind.local = route::local(v).map_err(off_route)?; Ok(()) }, c"address of this machine that connections begin at"),
    switch!(CHTTP_OPT_TCP_NODELAY, c"tcp_nodelay", tuning.nodelay, c"send small segments at once"),
    row!(CHTTP_OPT_TCP_KEEPALIVE_NS, c"tcp_keepalive_ns", c"ns", 0, NS, false, tuning.keepalive_ns: u64, c"silence after which the kernel probes the peer; 0 for never"),
    row!(CHTTP_OPT_TCP_USER_TIMEOUT_NS, c"tcp_user_timeout_ns", c"ns", 0, NS, false, tuning.user_timeout_ns: u64, c"sent bytes stay unacknowledged; 0 for the kernel's own limit"),
    switch!(CHTTP_OPT_TRIM_HEAP, c"trim_heap", trim_heap, c"call malloc_trim() after a peak"),
    row!(CHTTP_OPT_MAX_CONNECTION_AGE_NS, c"max_connection_age_ns", c"ns", 1, NS, true, pool.age_ns: u64, c"how old a connection may be when it is used"),
    row!(CHTTP_OPT_MAX_WAITING, c"max_waiting", c"", 0, 1 << 24, true, pool.waiting_max: u64, c"exchanges that may wait for a connection"),
    handle!(CHTTP_OPT_TLS, c"tls", Object(set_tls), c"a chttp_tls, instead of what the tls_... options would make"),
    handle!(CHTTP_OPT_LOG, c"log", Function(set_log), c"a chttp_log_fn that gets the lines of the log"),
    Row { id: CHTTP_OPT_LOG_LEVEL, name: c"log_level", unit: c"", min: CHTTP_LOG_OFF as i64, max: CHTTP_LOG_TRACE as i64, doc: c"the highest level of lines that `log` gets", value: Value::Number { unlimited: false, get: |s| s.log_level as u64, set: |s, v| s.log_level = Level::from_number(v) } },
    row!(CHTTP_OPT_SLOW_CALLBACK_NS, c"slow_callback_ns", c"ns", 0, NS, false, slow_callback_ns: u64, c"a callback that takes longer is told in the log; 0 for none"),
    handle!(CHTTP_OPT_BACKEND, c"backend", Object(set_backend), c"a chttp_backend, a scripted network instead of the system's"),
    choice!(CHTTP_OPT_HTTP_VERSION, c"http_version", http, c"0: what ALPN agrees on, HTTP/1.1 without TLS; 1: HTTP/1.1 only; 2: HTTP/2 only", [0 = Http::Agreed, 1 = Http::One, 2 = Http::Two]),
    row!(CHTTP_OPT_H2_STREAM_WINDOW, c"h2_stream_window", c"bytes", 1 << 10, WINDOW, false, h2.stream_window: u32, c"HTTP/2: what one answer may send ahead of what is taken"),
    row!(CHTTP_OPT_H2_CONNECTION_WINDOW, c"h2_connection_window", c"bytes", 65_535, WINDOW, false, h2.connection_window: u32, c"HTTP/2: what all answers of a connection may send ahead"),
    row!(CHTTP_OPT_H2_MAX_STREAMS, c"h2_max_streams", c"", 1, 1 << 16, false, h2.streams_max: u32, c"HTTP/2: exchanges on one connection at a time"),
    row!(CHTTP_OPT_H2_PING_INTERVAL_NS, c"h2_ping_interval_ns", c"ns", 0, NS, false, h2.ping_ns: u64, c"HTTP/2: silence after which the server is sent a PING; 0 for never"),
    row!(CHTTP_OPT_H2_PING_TIMEOUT_NS, c"h2_ping_timeout_ns", c"ns", 1, NS, false, h2.ping_timeout_ns: u64, c"HTTP/2: silence after a PING before the connection is given up"),
    row!(CHTTP_OPT_H2_STREAM_WINDOW_MAX, c"h2_stream_window_max", c"bytes", 1 << 10, WINDOW, false, h2.stream_window_max: u32, c"HTTP/2: up to which h2_stream_window grows where the way is long"),
    row!(CHTTP_OPT_WS_MAX_MESSAGE, c"ws_max_message", c"bytes", 1, NS, true, ws.limits.message: u64, c"WebSocket: largest message that is received"),
    row!(CHTTP_OPT_WS_MAX_FRAME, c"ws_max_frame", c"bytes", 1, NS, true, ws.limits.frame: u64, c"WebSocket: largest frame that is received"),
    switch!(CHTTP_OPT_WS_DEFLATE, c"ws_deflate", ws.deflate, c"WebSocket: offer permessage-deflate"),
    row!(CHTTP_OPT_WS_DEFLATE_MIN, c"ws_deflate_min", c"bytes", 0, NS, false, ws.deflate_from: u64, c"WebSocket: shorter messages are not compressed"),
    row!(CHTTP_OPT_WS_HEARTBEAT_NS, c"ws_heartbeat_ns", c"ns", 1, NS, true, ws.heartbeat: u64, c"WebSocket: silence after which the server is sent a PING"),
    row!(CHTTP_OPT_WS_PONG_TIMEOUT_NS, c"ws_pong_timeout_ns", c"ns", 1, NS, true, ws.pong_timeout: u64, c"WebSocket: silence after a PING before it is given up"),
    row!(CHTTP_OPT_WS_CLOSE_TIMEOUT_NS, c"ws_close_timeout_ns", c"ns", 1, NS, true, ws.close_timeout: u64, c"WebSocket: how long the server may take to answer a Close frame, and to close"),
    row!(CHTTP_OPT_SSE_RETRY_NS, c"sse_retry_ns", c"ns", 1, NS, false, sse.retry_ns: u64, c"events: the wait before a reconnection"),
    row!(CHTTP_OPT_SSE_RETRY_MAX_NS, c"sse_retry_max_ns", c"ns", 1, NS, true, sse.retry_max_ns: u64, c"events: the longest wait before a reconnection"),
    row!(CHTTP_OPT_SSE_MAX_ATTEMPTS, c"sse_max_attempts", c"", 1, NS, true, sse.attempts_max: u64, c"events: reconnections in a row on which nothing comes"),
    row!(CHTTP_OPT_SSE_LINE_MAX, c"sse_line_max", c"bytes", 64, GIB, false, sse.limits.line_max: u32, c"events: one line of a stream"),
    row!(CHTTP_OPT_SSE_EVENT_MAX, c"sse_event_max", c"bytes", 64, GIB, false, sse.limits.event_max: u32, c"events: the data of one event"),
];

impl Row {
    fn kind(&self) -> u32 {
        match self.value {
            Value::Number { .. } => CHTTP_OPTION_INT64,
            Value::Data { kind, .. } => kind,
            Value::Object { .. } => CHTTP_OPTION_OBJECT,
            Value::Function { .. } => CHTTP_OPTION_FUNCTION,
        }
    }

    /// A refusal that names the option.
    fn refuse(&self, code: i32, rule: &str) -> Refusal {
        Refusal::new(code, format!("option {}: {rule}", self.name.to_string_lossy()))
    }

    fn wrong_type(&self) -> Refusal {
        let setter = match self.kind() {
            CHTTP_OPTION_INT64 => "it is a number; see chttp_config_set_i64()",
            CHTTP_OPTION_TEXT => "it is a text; see chttp_config_set_str()",
            CHTTP_OPTION_OBJECT => "it is an object; see chttp_config_set_obj()",
            CHTTP_OPTION_FUNCTION => "it is a function; see chttp_config_set_fn()",
            _ => "it is made of bytes; see chttp_config_set_bytes()",
        };
        self.refuse(e::CHTTP_E_OPTION_TYPE, setter)
    }

    pub(super) fn set_number(&self, settings: &mut Settings, value: i64) -> Result<i32, Refusal> {
        let (min, max) = (self.min, self.max);
        let Value::Number { unlimited, set, .. } = self.value else { return Err(self.wrong_type()) };
        let endless = unlimited && value == -1;
        if !endless && !(min..=max).contains(&value) {
            let or = if unlimited { ", or -1 for no limit" } else { "" };
            let rule = format!("{value} is not within {min} to {max}{or}");
            return Err(self.refuse(e::CHTTP_E_OPTION_RANGE, &rule));
        }
        set(settings, if endless { u64::MAX } else { value.unsigned_abs() });
        Ok(0)
    }

    /// `as_kind` is the kind that the caller believes it to be.
    pub(super) fn set_data(&self, settings: &mut Settings, as_kind: u32, value: &[u8]) -> Result<i32, Refusal> {
        let Value::Data { kind, set } = self.value else { return Err(self.wrong_type()) };
        if kind != as_kind {
            return Err(self.wrong_type());
        }
        if i64::try_from(value.len()).is_ok_and(|len| len > self.max) {
            let rule = format!("{} bytes are more than {}", value.len(), self.max);
            return Err(self.refuse(e::CHTTP_E_OPTION_RANGE, &rule));
        }
        set(settings, value).map(|()| 0).map_err(|refusal| self.refuse(refusal.code, &refusal.message))
    }

    /// # Safety
    /// `obj` is NULL or an object of this library.
    pub(super) unsafe fn set_object(&self, settings: &mut Settings, obj: *const c_void) -> Result<i32, Refusal> {
        let Value::Object { set } = self.value else { return Err(self.wrong_type()) };
        // SAFETY: by contract.
        let done = unsafe { set(settings, obj) };
        done.map(|()| 0).map_err(|refusal| self.refuse(refusal.code, &refusal.message))
    }

    /// # Safety
    /// `function` is NULL, or what the option says.
    pub(super) unsafe fn set_function(
        &self,
        settings: &mut Settings,
        function: chttp_fn,
        user: *mut c_void,
    ) -> Result<i32, Refusal> {
        let Value::Function { set } = self.value else { return Err(self.wrong_type()) };
        // SAFETY: by contract.
        unsafe { set(settings, function, user) };
        Ok(0)
    }

    /// From the text form.
    pub(super) fn set_named(&self, settings: &mut Settings, value: &[u8]) -> Result<i32, Refusal> {
        if self.kind() != CHTTP_OPTION_INT64 {
            return self.set_data(settings, self.kind(), value);
        }
        let number = match value {
            b"unlimited" => Some(-1),
            _ => std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()),
        };
        let no_number = || format!("\"{}\" is no number", value.escape_ascii());
        let number = number.ok_or_else(|| self.refuse(e::CHTTP_E_OPTION_TYPE, &no_number()))?;
        self.set_number(settings, number)
    }
}

pub(super) fn row(option: u32) -> Result<&'static Row, Refusal> {
    let row = TABLE.iter().find(|r| r.id == option);
    row.ok_or_else(|| Refusal::new(e::CHTTP_E_UNKNOWN_OPTION, format!("there is no option {option}")))
}

pub(super) fn named(name: &[u8]) -> Result<&'static Row, Refusal> {
    let row = TABLE.iter().find(|r| r.name.to_bytes() == name);
    row.ok_or_else(|| {
        Refusal::new(e::CHTTP_E_UNKNOWN_OPTION, format!("there is no option \"{}\"", name.escape_ascii()))
    })
}

/// How many options there are.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_option_count() -> u32 {
    TABLE.len() as u32
}

/// Describe the option at `index`, from 0 to chttp_option_count() - 1; its CHTTP_OPT_... is the `id` of the answer.
/// `out_size` is sizeof(chttp_option).
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE, CHTTP_E_UNKNOWN_OPTION behind the last.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_option_describe(index: u32, out: *mut chttp_option, out_size: usize) -> i32 {
    guard(|| {
        let row = TABLE.get(index as usize).ok_or(e::CHTTP_E_UNKNOWN_OPTION)?;
        let (default, unlimited) = match row.value {
            Value::Number { get, unlimited, .. } => (get(&Settings::default()), unlimited),
            Value::Data { .. } | Value::Object { .. } | Value::Function { .. } => (0, false),
        };
        let option = chttp_option {
            id: row.id,
            kind: row.kind(),
            name: row.name.as_ptr(),
            unit: row.unit.as_ptr(),
            default_value: if default == u64::MAX { -1 } else { i64::try_from(default).unwrap_or(i64::MAX) },
            min: row.min,
            max: row.max,
            unlimited: u32::from(unlimited),
            since: 1000,
            doc: row.doc.as_ptr(),
        };
        // SAFETY: the caller's promise about `out`.
        unsafe { give(&option, out, out_size) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_defaults_are_in_range() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(i == 0 || TABLE[i - 1].id < row.id, "ids ascend");
            assert!(TABLE[..i].iter().all(|r| r.name != row.name));
            let Value::Number { unlimited, get, .. } = row.value else { continue };
            let default = get(&Settings::default());
            let fits = unlimited && default == u64::MAX
                || i64::try_from(default).is_ok_and(|d| (row.min..=row.max).contains(&d));
            assert!(fits, "{:?}", row.name);
            let mut settings = Settings::default();
            row.set_number(&mut settings, row.max).unwrap();
            assert_eq!(get(&settings), row.max as u64, "{:?} keeps its maximum", row.name);
            row.set_number(&mut settings, row.min).unwrap();
            assert_eq!(get(&settings), row.min as u64);
        }
    }
}
