//! Submitting, cancelling, uploading, and the blocking short form.

use super::engine::{AnyEngine, chttp_engine};
use super::error::chttp_error;
use super::guard::{Refusal, bytes, guard, guard_explained, outside_callbacks, sized, timeout};
use super::network;
use super::queue::chttp_queue;
use super::response::chttp_response;
use super::sse;
use super::tls::chttp_tls;
use super::types::*;
use super::websocket;
use crate::client::settings::Timeouts;
use crate::client::upload::{Piece, Source};
use crate::client::websocket::Setup;
use crate::client::{Request, failure::Failure};
use crate::error as e;
use crate::mem::Block;
use crate::net::sys;
use crate::pool::{Http, OriginKey};
use crate::proto::BodyLen;
use crate::proto::h1::encode::{self, EncodedHead, Invalid, Spec, What};
use crate::proto::url::{Scheme, Url};
use crate::queue::event::kind;
use bytes::Bytes;
use std::ffi::c_char;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bodies up to this size are copied at submit; larger ones are borrowed until WRITE_DONE.
const COPY_MAX: u64 = 64 << 10;
/// `size`, `flags` and `token` are in every version of the struct.
const REQUEST_LEAST: usize = 16;
/// Requests that are further apart are none of one array.
const STRIDE_MAX: usize = 1 << 20;
const FLAGS: u32 = CHTTP_REQ_COLLECT
    | CHTTP_REQ_STREAM_BODY
    | CHTTP_REQ_FILE_BODY
    | CHTTP_REQ_EXPECT_CONTINUE
    | CHTTP_REQ_CLOSE
    | CHTTP_REQ_RAW
    | CHTTP_REQ_HTTP1
    | CHTTP_REQ_HTTP2
    | CHTTP_REQ_WEBSOCKET
    | CHTTP_REQ_SSE;
/// What goes with a WebSocket.
const WITH_WEBSOCKET: u32 = CHTTP_REQ_WEBSOCKET | CHTTP_REQ_HTTP1 | CHTTP_REQ_HTTP2;

/// Memory of the application, which stays in place until WRITE_DONE.
struct Borrowed(&'static [u8]);

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

fn wrong(code: i32, rule: impl Into<String>) -> Refusal {
    Refusal::new(code, rule)
}

fn invalid(error: Invalid) -> Refusal {
    let code = match error.what {
        What::Method => e::CHTTP_E_INVALID_METHOD,
        What::Target => e::CHTTP_E_INVALID_TARGET,
        What::Protocol => e::CHTTP_E_INVALID_ARG,
        What::Body => e::CHTTP_E_INVALID_BODY,
        What::Head => e::CHTTP_E_TOO_LARGE,
        _ => e::CHTTP_E_INVALID_HEADER,
    };
    wrong(code, error.to_string())
}

/// Validate a request of the caller and make it the engine's.
///
/// # Safety
/// Every pointer in `r` is NULL or points to what chttp_request says.
unsafe fn request(r: &chttp_request, engine: &AnyEngine) -> Result<Box<Request>, Refusal> {
    let settings = engine.settings();
    if r.flags & !FLAGS != 0 {
        return Err(wrong(e::CHTTP_E_UNKNOWN_FLAG, format!("flags: {:#x} is not known", r.flags & !FLAGS)));
    }
    if r.reserved != 0 {
        return Err(wrong(e::CHTTP_E_UNSUPPORTED_FIELD, "reserved is not 0"));
    }
    // SAFETY: by contract.
    let url = unsafe { bytes("url", r.url, r.url_len) }?.ok_or_else(|| wrong(e::CHTTP_E_INVALID_URL, "url is NULL"))?;
    if url.is_empty() && r.url_len == 0 {
        return Err(wrong(e::CHTTP_E_INVALID_URL, "url: url_len is 0; it may be CHTTP_NUL_TERMINATED"));
    }
    let is_websocket = r.flags & CHTTP_REQ_WEBSOCKET != 0;
    let parsed = if is_websocket { Url::parse_websocket(url) } else { Url::parse(url) };
    let url = parsed.map_err(|error| {
        let code = if error.is_other_scheme() { e::CHTTP_E_UNSUPPORTED_SCHEME } else { e::CHTTP_E_INVALID_URL };
        wrong(code, format!("url: {error}"))
    })?;
    let duplex = r.flags & CHTTP_REQ_RAW != 0;
    // With HTTP/2 it is a stream of a connection that may carry others.
    let raw = duplex && r.flags & CHTTP_REQ_HTTP2 == 0;
    match (raw, duplex) {
        (true, _) => only_a_way(r)?,
        (false, true) => only_a_connect(r)?,
        (false, false) if !r.protocol.is_null() => {
            let rule = "protocol: it goes with CHTTP_REQ_RAW and CHTTP_REQ_HTTP2 (RFC 8441 section 4)";
            return Err(wrong(e::CHTTP_E_INVALID_ARG, rule));
        }
        (false, false) => {}
    }
    let mut setup = None;
    if is_websocket {
        websocket::only_a_handshake(r, WITH_WEBSOCKET)?;
        // SAFETY: by contract.
        setup = Some(Box::new(unsafe { websocket::setup(r.websocket, settings) }?));
    } else if !r.websocket.is_null() {
        return Err(wrong(e::CHTTP_E_INVALID_ARG, "websocket: it needs CHTTP_REQ_WEBSOCKET"));
    }
    let bare = duplex || is_websocket;
    // SAFETY: by contract, as for the url.
    let (body, body_len) = if bare { (Source::Stream, BodyLen::None) } else { unsafe { body(r, engine) }? };
    // Over HTTP/2 a WebSocket is opened by Extended CONNECT (RFC 8441 section 5).
    let extended = is_websocket && r.flags & CHTTP_REQ_HTTP2 != 0;
    let usual: &[u8] = if duplex || extended { b"CONNECT" } else { b"GET" };
    // SAFETY: by contract.
    let method = unsafe { bytes("method", r.method, r.method_len) }?.unwrap_or(usual);
    if duplex && method != b"CONNECT" {
        return Err(wrong(e::CHTTP_E_INVALID_METHOD, "method: a raw stream of HTTP/2 is opened by CONNECT alone"));
    }
    // SAFETY: by contract.
    let events = unsafe { sse::wants(r, method, settings) }?;
    let defaults = events.as_ref().map(|events| events.fields()).unwrap_or_default();
    let mut spec = Spec::new(method, &url);
    spec.defaults = &defaults;
    // SAFETY: by contract.
    spec.protocol = unsafe { bytes("protocol", r.protocol, r.protocol_len) }?;
    if extended {
        spec.protocol = Some(b"websocket");
    }
    // SAFETY: by contract.
    spec.target = unsafe { bytes("target", r.target, r.target_len) }?;
    spec.body = body_len;
    spec.close = r.flags & CHTTP_REQ_CLOSE != 0;
    spec.expect_continue = r.flags & CHTTP_REQ_EXPECT_CONTINUE != 0;
    // SAFETY: by contract.
    let head = if raw { EncodedHead::nothing() } else { unsafe { head(r, &spec, setup.as_deref_mut()) }? };
    if let Some(events) = &events {
        sse::check(&head, events)?;
    }
    drop(defaults);
    // SAFETY: by contract.
    let tls = unsafe { chttp_tls::get(r.tls.cast()) }.map_err(|mut refusal| {
        refusal.message.insert_str(0, "tls: ");
        refusal
    })?;
    let tls = match url.scheme() {
        Scheme::Http | Scheme::Raw => None,
        Scheme::Https => Some(tls.map_or_else(|| engine.tls(), Ok)?.clone()),
    };
    let mut host: Arc<str> = url.host().into();
    Arc::get_mut(&mut host).expect("nobody has it yet").make_ascii_lowercase();
    let http = match (r.flags & CHTTP_REQ_HTTP1 != 0, r.flags & CHTTP_REQ_HTTP2 != 0) {
        (true, true) => {
            let rule = "flags: CHTTP_REQ_HTTP1 and CHTTP_REQ_HTTP2 contradict each other";
            return Err(wrong(e::CHTTP_E_INVALID_ARG, rule));
        }
        // There is no Upgrade in HTTP/2 (RFC 9113 section 8.6).
        (false, true) if head.upgrade => {
            return Err(wrong(e::CHTTP_E_INVALID_ARG, "flags: CHTTP_REQ_HTTP2 does not go with an Upgrade"));
        }
        (true, _) => Http::One,
        (_, true) => Http::Two,
        _ if head.upgrade || raw => Http::One,
        _ => settings.http,
    };
    // SAFETY: by contract.
    let (to, bind) = unsafe { (network::destination(r, settings, &host, url.port())?, network::bind(r, settings)?) };
    let or = |ns: u64, default: u64| if ns == 0 { default } else { ns };
    let t = &settings.timeouts;
    let recv_credit = or(r.recv_credit, settings.recv_credit);
    Ok(Box::new(Request {
        token: r.token,
        origin: OriginKey {
            scheme: if raw { Scheme::Raw } else { url.scheme() },
            host,
            port: url.port(),
            to,
            bind,
            tls,
            http,
        },
        body,
        collect: r.flags & CHTTP_REQ_COLLECT != 0,
        close: head.close,
        duplex,
        recv_credit,
        collect_max: or(r.collect_max, settings.collect_max).min(recv_credit).min(MAX_COLLECT),
        timeouts: Timeouts {
            pool: or(r.pool_timeout_ns, t.pool),
            dns: or(r.dns_timeout_ns, t.dns),
            connect: or(r.connect_timeout_ns, t.connect),
            tls: or(r.tls_timeout_ns, t.tls),
            write: or(r.write_timeout_ns, t.write),
            first_byte: or(r.first_byte_timeout_ns, t.first_byte),
            // A stream may be silent for as long as it likes.
            read: or(r.read_timeout_ns, if duplex { CHTTP_UNLIMITED } else { t.read }),
            total: or(r.total_timeout_ns, if events.is_some() { sse::NO_TOTAL } else { t.total }),
            expect: or(r.expect_timeout_ns, t.expect),
        },
        head,
        websocket: setup,
        sse: events,
    }))
}

/// A raw stream of HTTP/2 is a CONNECT: it has a head, and no body.
fn only_a_connect(r: &chttp_request) -> Result<(), Refusal> {
    let off = |what: &str| {
        let rule = "it does not go with a raw stream of HTTP/2 (CHTTP_REQ_RAW with CHTTP_REQ_HTTP2)";
        Err(wrong(e::CHTTP_E_INVALID_ARG, format!("{what}: {rule}")))
    };
    if r.flags & !(CHTTP_REQ_RAW | CHTTP_REQ_HTTP2 | CHTTP_REQ_CLOSE) != 0 {
        return off("flags");
    }
    match (r.body.is_null(), r.body_len) {
        (false, _) => off("body"),
        (true, 1..) => off("body_len"),
        (true, 0) => Ok(()),
    }
}

/// A raw stream has a way to go, and nothing to say of its own.
fn only_a_way(r: &chttp_request) -> Result<(), Refusal> {
    let off = |what: &str| Err(wrong(e::CHTTP_E_INVALID_ARG, format!("{what}: it does not go with CHTTP_REQ_RAW")));
    if r.flags != CHTTP_REQ_RAW {
        return off("flags");
    }
    let texts = [
        ("method", r.method),
        ("target", r.target),
        ("header_block", r.header_block),
        ("body", r.body),
        ("protocol", r.protocol),
    ];
    if let Some((what, _)) = texts.iter().find(|(_, text)| !text.is_null()) {
        return off(what);
    }
    if r.headers_len != 0 || r.body_len != 0 {
        off(if r.body_len != 0 { "body_len" } else { "headers" })
    } else {
        Ok(())
    }
}

/// A body in one piece fits the 32 bits in which its block counts, head and table included.
const MAX_COLLECT: u64 = 1 << 30;

/// # Safety
/// As for `request`.
unsafe fn body(r: &chttp_request, engine: &AnyEngine) -> Result<(Source, BodyLen), Refusal> {
    let known = |len: u64| if len == 0 { BodyLen::None } else { BodyLen::Known(len) };
    let too_long = |len: u64| len > i64::MAX as u64;
    let (stream, file) = (r.flags & CHTTP_REQ_STREAM_BODY != 0, r.flags & CHTTP_REQ_FILE_BODY != 0);
    if (stream || file) && !r.body.is_null() || stream && file {
        return Err(wrong(e::CHTTP_E_INVALID_BODY, "body: of memory, file and stream only one can be the body"));
    }
    if stream {
        return match r.body_len {
            CHTTP_LENGTH_UNKNOWN => Ok((Source::Stream, BodyLen::Unknown)),
            len if too_long(len) => Err(wrong(e::CHTTP_E_INVALID_BODY, "body_len is over 2^63 - 1")),
            len => Ok((Source::Stream, BodyLen::Known(len))),
        };
    }
    if too_long(r.body_len) {
        return Err(wrong(e::CHTTP_E_INVALID_BODY, "body_len: only a streamed body can be of unknown length"));
    }
    if file {
        if r.body_fd < 0 {
            return Err(wrong(e::CHTTP_E_INVALID_BODY, "body_fd is negative"));
        }
        if r.body_offset.checked_add(r.body_len).is_none_or(too_long) {
            return Err(wrong(e::CHTTP_E_INVALID_BODY, "body_offset + body_len is over 2^63 - 1"));
        }
        if r.body_len == 0 {
            return Ok((Source::None, BodyLen::None));
        }
        // SAFETY: the descriptor is borrowed for the call to dup alone; a wrong number is an error of dup.
        let fd = sys::dup(&unsafe { BorrowedFd::borrow_raw(r.body_fd) })
            .map_err(|error| wrong(e::CHTTP_E_INVALID_BODY, format!("body_fd: {error}")))?;
        let fd = engine.hold(fd);
        return Ok((Source::File { fd, offset: r.body_offset, len: r.body_len }, known(r.body_len)));
    }
    if r.body.is_null() {
        if r.body_len != 0 {
            return Err(wrong(e::CHTTP_E_INVALID_BODY, "body is NULL, and body_len is not 0"));
        }
        return Ok((Source::None, BodyLen::None));
    }
    // SAFETY: by contract `body_len` readable bytes; a larger body stays until WRITE_DONE.
    let bytes: &'static [u8] = unsafe { std::slice::from_raw_parts(r.body.cast(), r.body_len as usize) };
    let source = match r.body_len {
        0 => Source::None,
        len if len <= COPY_MAX => Source::Whole { bytes: Bytes::copy_from_slice(bytes), borrowed: false },
        _ => Source::Whole { bytes: Bytes::from_owner(Borrowed(bytes)), borrowed: true },
    };
    Ok((source, known(r.body_len)))
}

/// # Safety
/// As for `request`.
unsafe fn head(r: &chttp_request, spec: &Spec<'_>, setup: Option<&mut Setup>) -> Result<EncodedHead, Refusal> {
    // SAFETY: by contract.
    let block = unsafe { bytes("header_block", r.header_block, r.header_block_len) }?;
    if let (Some(setup), true) = (setup, block.is_none() || r.headers_len == 0) {
        let theirs = match block {
            Some(block) => websocket::lines(block)?,
            // SAFETY: by contract.
            None => unsafe { fields("header", r.headers, r.headers_len) }?,
        };
        return websocket::head(spec, &theirs, setup, invalid);
    }
    match (block, r.headers_len) {
        (Some(_), 1..) => Err(wrong(e::CHTTP_E_INVALID_HEADER, "headers and header_block are two forms of the same")),
        (Some(block), 0) => encode::encode_block(spec, block).map_err(invalid),
        (None, _) => {
            // SAFETY: by contract.
            let fields = unsafe { fields("header", r.headers, r.headers_len) }?;
            encode::encode(spec, fields.iter().copied()).map_err(invalid)
        }
    }
}

/// Name and value of a field.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The caller's field array as slices.
///
/// # Safety
/// `array` is NULL or points to `len` fields whose pointers are what chttp_field says.
unsafe fn fields<'a>(what: &str, array: *const chttp_field, len: usize) -> Result<Vec<Pair<'a>>, Refusal> {
    /// More fields than any head may have bytes for.
    const MANY: usize = 1 << 20;
    if len == 0 {
        return Ok(Vec::new());
    }
    if array.is_null() || len > MANY {
        return Err(wrong(e::CHTTP_E_INVALID_ARG, format!("{what}s: NULL, or {len} of them")));
    }
    // SAFETY: by contract.
    let array = unsafe { std::slice::from_raw_parts(array, len) };
    let field = |(i, f): (usize, &chttp_field)| {
        // SAFETY: by contract.
        let pair = unsafe { (bytes("name", f.name, f.name_len), bytes("value", f.value, f.value_len)) };
        match pair {
            (Ok(name), Ok(value)) => Ok((name.unwrap_or_default(), value.unwrap_or_default())),
            (Err(refusal), _) | (_, Err(refusal)) => {
                Err(wrong(refusal.code, format!("{what} {i}: {}", refusal.message)))
            }
        }
    };
    array.iter().enumerate().map(field).collect()
}

/// Submit `n` requests, `stride` bytes apart (sizeof(chttp_request), or 0 for the same; at most 1 MiB). All are accepted, or
/// none. Their ids are written to `xids`, which may be NULL; their events arrive at `queue`.
///
/// A refused submit returns its code at once and produces no event. `error`, unless NULL, then receives an object that
/// names the field and the rule; release it. Never blocks for the network; with nobody else at work it may send at once.
///
/// Context:   [any-ctx]
/// Ownership: everything is read during the call, except bodies over 64 KiB: see chttp_request.
/// Returns:   0; a code of the argument group; CHTTP_E_TOO_MANY_EXCHANGES, CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_submit(
    engine: *const chttp_engine,
    queue: *const chttp_queue,
    requests: *const chttp_request,
    n: u32,
    stride: usize,
    xids: *mut chttp_xid,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            let queue = chttp_queue::of(queue, engine)
                .map_err(|code| wrong(code, "queue is NULL, or belongs to another engine or process"))?;
            if n == 0 {
                return Ok(0);
            }
            let mut at = 0;
            let id = |xid| {
                if !xids.is_null() {
                    xids.add(at).write(xid);
                }
                at += 1;
            };
            if n == 1 {
                engine.submit(queue, std::iter::once(read(engine, requests.cast(), 0)?), id)?;
                return Ok(0);
            }
            // More than can be accepted are not looked at: the number may be nonsense.
            if n > engine.settings().exchanges_max {
                return Err(e::CHTTP_E_TOO_MANY_EXCHANGES.into());
            }
            let stride = match stride {
                0 => size_of::<chttp_request>(),
                s if (REQUEST_LEAST..=STRIDE_MAX).contains(&s) && s % align_of::<chttp_request>() == 0 => s,
                s => return Err(wrong(e::CHTTP_E_INVALID_SIZE, format!("stride: {s} is impossible"))),
            };
            let many: Result<Vec<_>, Refusal> =
                (0..n as usize).map(|i| read(engine, requests.cast::<u8>().wrapping_add(i * stride), i)).collect();
            engine.submit(queue, many?.into_iter(), id)?;
            Ok(0)
        })
    }
}

/// # Safety
/// `at` is NULL or points to a request whose pointers are what chttp_request says.
pub(super) unsafe fn read(engine: &Arc<AnyEngine>, at: *const u8, index: usize) -> Result<Box<Request>, Refusal> {
    if at.is_null() {
        return Err(wrong(e::CHTTP_E_INVALID_ARG, "requests is NULL"));
    }
    // SAFETY: by contract.
    let parsed =
        unsafe { sized::<chttp_request>("chttp_request", at, REQUEST_LEAST).and_then(|r| request(&r, engine)) };
    parsed.map_err(|mut refusal| {
        if index > 0 {
            refusal.message = format!("request {index}: {}", refusal.message);
        }
        refusal
    })
}

/// Cancel an exchange, or end a watch or a timer. Its terminal event is still to come, with CHTTP_E_CANCELLED unless it had
/// ended already; so are events that were queued before. Whatever of them was not released does not hold it up. Idempotent.
///
/// Its connection is closed, unless nothing was sent on it; in HTTP/2 its stream is reset, and the connection stays. From a
/// signal handler: set a flag, call chttp_queue_wakeup(), and cancel where the queue is drained.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_NOT_FOUND (it has ended), CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_cancel(engine: *const chttp_engine, xid: chttp_xid) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { chttp_engine::get(engine) }?.cancel(xid).map(|()| 0)
    })
}

/// Send a piece of a streamed request body (CHTTP_REQ_STREAM_BODY), or of a tunnel. The bytes are copied.
///
/// CHTTP_E_AGAIN means that the buffer is full and nothing was taken: CHTTP_EV_WRITABLE will come. A piece larger than the
/// whole buffer is taken when the buffer is empty. A piece of no bytes is taken once the system has taken all that was written
/// before, and until then answers CHTTP_E_AGAIN like others: so a caller learns that nothing is left here.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_AGAIN, CHTTP_E_NOT_FOUND, CHTTP_E_BAD_STATE (no stream, or ended), CHTTP_E_INVALID_ARG,
///            CHTTP_E_NOMEM (nothing was taken), CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_body_write(
    engine: *const chttp_engine,
    xid: chttp_xid,
    data: *const c_char,
    len: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let engine = unsafe { chttp_engine::get(engine) }?;
        // SAFETY: as above. NUL-terminated makes no sense for a body, but is harmless.
        let data = unsafe { bytes("data", data, len) }.map_err(|refusal| refusal.code)?;
        engine.write(xid, data.unwrap_or_default()).map(|()| 0)
    })
}

/// End a streamed request body, and if its length was not announced, with a trailer section of `n` fields (RFC 9110 section
/// 6.5). In a tunnel: close our side; then no trailers. A refused call leaves the stream open. A body of announced length is
/// complete with its last byte: then the exchange may be over before this call, which is no failure.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_INVALID_HEADER, CHTTP_E_NOT_FOUND, CHTTP_E_BAD_STATE (no stream, or ended, or no place for
///            trailers), CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_body_end(
    engine: *const chttp_engine,
    xid: chttp_xid,
    trailers: *const chttp_field,
    n: usize,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            let fields = fields("trailer", trailers, n)?;
            let piece = match fields.as_slice() {
                [] => Piece::End,
                fields => Piece::Trailers(encode::trailers(fields.iter().copied()).map_err(invalid)?),
            };
            engine.end_body(xid, piece)?;
            Ok(0)
        })
    }
}

/// Run one request to its end on the calling thread and give its whole answer: for scripts and simple programs.
///
/// The answer's body may have `collect_max` bytes. `timeout_ns` bounds the call beside the request's own timeouts
/// (CHTTP_UNLIMITED: they alone). What needs a queue is refused: CHTTP_REQ_STREAM_BODY (CHTTP_E_INVALID_BODY), and
/// CHTTP_REQ_RAW, CHTTP_REQ_WEBSOCKET and CHTTP_REQ_SSE (CHTTP_E_INVALID_ARG). On success `*response` is set, on failure
/// `*error`, unless NULL; release both with chttp_release().
///
/// Context:   [any-thread]; many threads may call it at a time
/// Returns:   0; what chttp_submit() returns; the code of the failure; CHTTP_E_TOO_LARGE, CHTTP_E_TIMED_OUT,
///            CHTTP_E_INTERRUPTED (after a signal handler ran; the exchange is cancelled), CHTTP_E_WRONG_THREAD,
///            CHTTP_E_BAD_STATE (on a mock, nothing will ever come; the exchange is cancelled).
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_perform(
    engine: *const chttp_engine,
    request: *const chttp_request,
    timeout_ns: u64,
    response: *mut *mut chttp_response,
    error: *mut *mut chttp_error,
) -> i32 {
    let mut failed: Option<(i32, Block)> = None;
    // SAFETY: the caller's promise about all pointers.
    let code = unsafe {
        guard_explained(error, || {
            // Held for the whole call, which may be long: a thread that destroys the engine meanwhile ends the exchange, and
            // the engine itself goes with the last who uses it.
            let engine = chttp_engine::get(engine)?.clone();
            if response.is_null() {
                return Err(wrong(e::CHTTP_E_INVALID_ARG, "response is NULL"));
            }
            outside_callbacks()?;
            let mut request = read(&engine, request.cast(), 0)?;
            let kinds = [
                (request.websocket.is_some(), "CHTTP_REQ_WEBSOCKET"),
                (request.duplex, "CHTTP_REQ_RAW"),
                (request.sse.is_some(), "CHTTP_REQ_SSE"),
            ];
            if let Some((_, kind)) = kinds.iter().find(|(is, _)| *is) {
                return Err(wrong(e::CHTTP_E_INVALID_ARG, format!("flags: {kind} needs a queue")));
            }
            if matches!(request.body, Source::Stream) {
                return Err(wrong(e::CHTTP_E_INVALID_BODY, "flags: a streamed body needs a queue"));
            }
            request.collect = true;
            let (mut answer, mut outcome) = (None, Ok(()));
            engine.perform(request, timeout(timeout_ns), |event| match (event.kind, event.obj) {
                (kind::RESPONSE, Some(block)) => {
                    answer = Some(block);
                    true
                }
                (kind::DONE, obj) if event.error != 0 => {
                    outcome = Err(event.error);
                    failed = obj.map(|block| (event.error, block));
                    true
                }
                (kind::HEADERS, _) => false,
                _ => true,
            })?;
            outcome?;
            let answer = answer.ok_or(e::CHTTP_E_TOO_LARGE)?;
            response.write(answer.into_raw().cast());
            Ok(0)
        })
    };
    // The exchange's own object says more than the one made from its code.
    if let Some((failed_code, block)) = failed
        && failed_code == code
        && let Some(slot) = NonNull::new(error)
    {
        // SAFETY: `error` is writable by the caller's promise; it holds the object written just above, or NULL.
        unsafe {
            let made = slot.read();
            slot.write(block.into_raw().cast());
            if let Some(made) = NonNull::new(made) {
                debug_assert!(Block::peek::<Failure>(made.cast()).is_some());
                drop(Block::from_raw(made.cast()));
            }
        }
    }
    code
}
