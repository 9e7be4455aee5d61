//! WebSockets: what is asked for, and sending.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::guard::{Refusal, bytes, guard, guard_explained, sized};
use super::types::{CHTTP_UNLIMITED, chttp_request, chttp_xid};
use crate::client::Settings;
use crate::client::websocket::{Frame, Setup, agreed};
use crate::error as e;
use crate::net::sys;
use crate::proto::h1::encode::{self, EncodedHead, Invalid, Spec};
use crate::proto::ws::deflate::{BITS_LEAST, BITS_MAX, Offer};
use crate::proto::ws::handshake;
use crate::proto::ws::{close, frame};
use std::ffi::c_char;

/// For WebSockets whose `max_message` is 0. Default 16 MiB; -1 for no limit.
pub const CHTTP_OPT_WS_MAX_MESSAGE: u32 = 70;
/// For WebSockets whose `max_frame` is 0. Default -1, no limit of its own.
pub const CHTTP_OPT_WS_MAX_FRAME: u32 = 71;
/// 1: offer permessage-deflate (RFC 7692), unless a WebSocket says otherwise. Default 0. With it, and where the server agrees
/// to keep windows, a WebSocket that both sides send on takes about 300 KB more.
pub const CHTTP_OPT_WS_DEFLATE: u32 = 72;
/// Messages of fewer bytes are not compressed. Default 128.
pub const CHTTP_OPT_WS_DEFLATE_MIN: u32 = 73;
/// For WebSockets whose `heartbeat_ns` is 0. Default -1, no heartbeat.
pub const CHTTP_OPT_WS_HEARTBEAT_NS: u32 = 74;
/// For WebSockets whose `pong_timeout_ns` is 0. Default 20 s.
pub const CHTTP_OPT_WS_PONG_TIMEOUT_NS: u32 = 75;
/// For WebSockets whose `close_timeout_ns` is 0. Default 10 s.
pub const CHTTP_OPT_WS_CLOSE_TIMEOUT_NS: u32 = 76;

/// chttp_websocket.flags: CHTTP_EV_WS_MESSAGE comes for each piece of a message, as it arrives, with CHTTP_EF_FIN on the last.
/// Pieces need not be what the server sent as fragments. Without it, whole messages come.
pub const CHTTP_WS_FRAGMENTS: u32 = 1;
/// Tell CHTTP_EV_WS_PING and CHTTP_EV_WS_PONG.
pub const CHTTP_WS_CONTROL: u32 = 2;
/// Do not answer PING: chttp_ws_pong() does. CHTTP_EV_WS_PING is told.
pub const CHTTP_WS_MANUAL_PONG: u32 = 4;
/// Offer permessage-deflate, whatever CHTTP_OPT_WS_DEFLATE says.
pub const CHTTP_WS_DEFLATE: u32 = 8;
/// Do not.
pub const CHTTP_WS_NO_DEFLATE: u32 = 16;
/// With compression: we do not keep our window from message to message, and hold its memory while a message is sent only.
pub const CHTTP_WS_CLIENT_NO_TAKEOVER: u32 = 32;
/// With compression: the server is not to keep its window, so that we hold memory while a message comes only.
pub const CHTTP_WS_SERVER_NO_TAKEOVER: u32 = 64;

/// Opcodes of chttp_ws_send(): the next fragment of a message.
pub const CHTTP_WS_CONTINUATION: u32 = 0;
/// A text, in UTF-8. Also `arg` of CHTTP_EV_WS_MESSAGE.
pub const CHTTP_WS_TEXT: u32 = 1;
/// Any bytes. Also `arg` of CHTTP_EV_WS_MESSAGE.
pub const CHTTP_WS_BINARY: u32 = 2;

/// Flags of chttp_ws_send(): further fragments of the message follow, as CHTTP_WS_CONTINUATION.
pub const CHTTP_WS_MORE: u32 = 1;
/// Do not compress the message. Counts with its first fragment.
pub const CHTTP_WS_PLAIN: u32 = 2;

/// `arg` of CHTTP_EV_WS_CLOSE when the server gave no code. To chttp_ws_close(): give none.
pub const CHTTP_WS_NO_STATUS: u32 = 1005;

/// `aux` of CHTTP_EV_WS_OPEN, or'ed: messages may be compressed. Then bits 8 to 15 are the bits of our window, 16 to 23 those
/// of the server's.
pub const CHTTP_WS_AGREED_DEFLATE: u32 = 1;
/// We do not keep our window.
pub const CHTTP_WS_AGREED_CLIENT_NO_TAKEOVER: u32 = 2;
/// The server does not keep its.
pub const CHTTP_WS_AGREED_SERVER_NO_TAKEOVER: u32 = 4;

/// What is wanted of a WebSocket, for `websocket` of chttp_request. All-zero but for `size` is valid. Everything is read
/// during chttp_submit() alone.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_websocket {
    /// sizeof(chttp_websocket)
    pub size: u32,
    /// CHTTP_WS_FRAGMENTS ... CHTTP_WS_SERVER_NO_TAKEOVER, or'ed.
    pub flags: u32,
    /// NULL, or subprotocols in the order of preference, tokens with commas between them: "chat.v2, chat". The server chooses
    /// one or none.
    pub protocols: *const c_char,
    pub protocols_len: usize,
    /// Bytes of a message, decompressed where it is compressed. A larger one ends the WebSocket with
    /// CHTTP_E_WS_MESSAGE_TOO_LARGE, and the server is told 1009. Beside the credit, memory is bounded by it: while a message
    /// grows it may take half as much again. 0: the engine's default, with CHTTP_WS_FRAGMENTS none; CHTTP_UNLIMITED: none.
    pub max_message: u64,
    /// Bytes of a frame, as they are on the wire: as above with CHTTP_E_WS_FRAME_TOO_LARGE. 0: the engine's default.
    pub max_frame: u64,
    /// Silence of the server after which it is sent a PING. Time without credit does not count. 0: the engine's default;
    /// CHTTP_UNLIMITED: never.
    pub heartbeat_ns: u64,
    /// Silence after that PING which ends the WebSocket with CHTTP_E_TIMEOUT_PONG. Whatever the server sends is a sign of
    /// life. Time without credit does not count. 0: the engine's default.
    pub pong_timeout_ns: u64,
    /// How long the server may take to answer our Close frame (else CHTTP_E_TIMEOUT_CLOSE), and once both have said it, to
    /// close the connection (else we do, and DONE has no error). Time without credit, in which no answer can be read, does not
    /// count. 0: the engine's default.
    pub close_timeout_ns: u64,
    /// With compression, the largest window that we use, 8 to 15 bits; 0 for 15.
    pub client_window_bits: u32,
    /// The largest that the server may use, 8 to 15; 0 for 15. A server that leaves compression out is no error: messages are
    /// not compressed then. One that compresses and does not keep to this is CHTTP_E_WS_EXTENSION (RFC 7692 section 7.1.2.1).
    pub server_window_bits: u32,
}

const FLAGS: u32 = CHTTP_WS_FRAGMENTS
    | CHTTP_WS_CONTROL
    | CHTTP_WS_MANUAL_PONG
    | CHTTP_WS_DEFLATE
    | CHTTP_WS_NO_DEFLATE
    | CHTTP_WS_CLIENT_NO_TAKEOVER
    | CHTTP_WS_SERVER_NO_TAKEOVER;
/// `size` and `flags` are in every version of the struct.
const LEAST: usize = 8;
/// Bytes of all subprotocols.
const PROTOCOLS_MAX: usize = 8 << 10;

fn wrong(code: i32, rule: impl Into<String>) -> Refusal {
    Refusal::new(code, rule)
}

/// What the caller wants of a WebSocket, but for the key.
///
/// # Safety
/// `at` is NULL or points to what chttp_websocket says.
pub(super) unsafe fn setup(at: *const chttp_websocket, settings: &Settings) -> Result<Setup, Refusal> {
    let mut choices = settings.ws.clone();
    let offered = |on: bool| on.then(Offer::default);
    if at.is_null() {
        let deflate = offered(choices.deflate);
        return Ok(Setup { key: None, protocols: Box::default(), deflate, choices });
    }
    // SAFETY: by contract.
    let w = unsafe { sized::<chttp_websocket>("chttp_websocket", at.cast(), LEAST) }?;
    let invalid = |rule: String| wrong(e::CHTTP_E_INVALID_ARG, format!("websocket: {rule}"));
    if w.flags & !FLAGS != 0 {
        return Err(wrong(e::CHTTP_E_UNKNOWN_FLAG, format!("websocket: flags: {:#x} is not known", w.flags & !FLAGS)));
    }
    let has = |flag: u32| w.flags & flag != 0;
    if has(CHTTP_WS_DEFLATE) && has(CHTTP_WS_NO_DEFLATE) {
        return Err(invalid("flags: CHTTP_WS_DEFLATE and CHTTP_WS_NO_DEFLATE contradict each other".to_owned()));
    }
    // SAFETY: by contract.
    let protocols = unsafe { bytes("websocket: protocols", w.protocols, w.protocols_len) }?.unwrap_or_default();
    let protocols = std::str::from_utf8(protocols).map_err(|_| invalid("protocols: it is not UTF-8".to_owned()))?;
    if protocols.len() > PROTOCOLS_MAX {
        return Err(invalid(format!("protocols: {} bytes are more than {PROTOCOLS_MAX}", protocols.len())));
    }
    if !protocols.is_empty() {
        handshake::check_protocols(protocols).map_err(|rule| invalid(format!("protocols: {rule}")))?;
    }
    let bits = |what: &str, bits: u32| match bits {
        0 => Ok(BITS_MAX),
        bits if (u32::from(BITS_LEAST)..=u32::from(BITS_MAX)).contains(&bits) => Ok(bits as u8),
        bits => {
            Err(invalid(format!("{what}: {bits} is not within {BITS_LEAST} to {BITS_MAX} (RFC 7692 section 7.1.2)")))
        }
    };
    let offer = Offer {
        client_no_context_takeover: has(CHTTP_WS_CLIENT_NO_TAKEOVER),
        server_no_context_takeover: has(CHTTP_WS_SERVER_NO_TAKEOVER),
        client_bits: bits("client_window_bits", w.client_window_bits)?,
        server_bits: bits("server_window_bits", w.server_window_bits)?,
    };
    let deflate = has(CHTTP_WS_DEFLATE) || choices.deflate && !has(CHTTP_WS_NO_DEFLATE);
    let or = |value: u64, default: u64| if value == 0 { default } else { value };
    choices.fragments = has(CHTTP_WS_FRAGMENTS);
    choices.tells_control = has(CHTTP_WS_CONTROL);
    choices.manual_pong = has(CHTTP_WS_MANUAL_PONG);
    let bound = if choices.fragments { CHTTP_UNLIMITED } else { choices.limits.message };
    choices.limits.message = or(w.max_message, bound);
    choices.limits.frame = or(w.max_frame, choices.limits.frame);
    choices.heartbeat = or(w.heartbeat_ns, choices.heartbeat);
    choices.pong_timeout = or(w.pong_timeout_ns, choices.pong_timeout);
    choices.close_timeout = or(w.close_timeout_ns, choices.close_timeout);
    Ok(Setup { key: None, protocols: protocols.into(), deflate: deflate.then_some(offer), choices })
}

/// A WebSocket has a way to go and fields, and nothing else of a request.
pub(super) fn only_a_handshake(r: &chttp_request, flags: u32) -> Result<(), Refusal> {
    let off =
        |what: &str| Err(wrong(e::CHTTP_E_INVALID_ARG, format!("{what}: it does not go with CHTTP_REQ_WEBSOCKET")));
    if r.flags & !flags != 0 {
        return off("flags");
    }
    if !r.method.is_null() {
        return off("method");
    }
    if !r.body.is_null() || r.body_len != 0 {
        return off("body");
    }
    Ok(())
}

/// Name and value of a field.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// The head of the handshake: the caller's fields, and behind them what makes it one. A key among the caller's is used instead
/// of a random one.
pub(super) fn head(
    spec: &Spec<'_>,
    theirs: &[Pair<'_>],
    setup: &mut Setup,
    invalid: impl Fn(Invalid) -> Refusal,
) -> Result<EncodedHead, Refusal> {
    let over_h2 = spec.protocol.is_some();
    for (index, (name, value)) in theirs.iter().enumerate() {
        let is = |own: &str| name.eq_ignore_ascii_case(own.as_bytes());
        let refuse = |rule: &str| {
            let text = format!("header {index}, `{}`: {rule}", name.escape_ascii());
            Err(wrong(e::CHTTP_E_INVALID_HEADER, text))
        };
        if handshake::OWN_FIELDS.iter().any(|own| is(own)) {
            return refuse("it is the handshake's own (RFC 6455 section 4.1)");
        }
        if handshake::BODY_FIELDS.iter().any(|body| is(body)) {
            return refuse("a handshake has no body (RFC 6455 section 4.1)");
        }
        if is("sec-websocket-key") {
            if over_h2 {
                return refuse("there is none in HTTP/2 (RFC 8441 section 5)");
            }
            match handshake::parse_key(value).filter(|_| setup.key.is_none()) {
                Some(given) => setup.key = Some(given),
                None => return refuse("it is the base64 form of 16 bytes, once (RFC 6455 section 4.1)"),
            }
        }
    }
    let mut fields: Vec<Pair<'_>> = Vec::with_capacity(theirs.len() + 6);
    if !over_h2 {
        fields.extend([(&b"Upgrade"[..], &b"websocket"[..]), (b"Connection", b"Upgrade")]);
    }
    fields.push((b"Sec-WebSocket-Version", b"13"));
    let given = setup.key.is_some();
    if !given && !over_h2 {
        let mut random = [0; 16];
        sys::random(&mut random).map_err(|_| Refusal::from(e::CHTTP_E_IO))?;
        setup.key = Some(handshake::key(random));
    }
    if let Some(key) = setup.key.as_ref().filter(|_| !given) {
        fields.push((b"Sec-WebSocket-Key", key));
    }
    if !setup.protocols.is_empty() {
        fields.push((b"Sec-WebSocket-Protocol", setup.protocols.as_bytes()));
    }
    let offer = setup.deflate.map(|offer| offer.text());
    if let Some(offer) = &offer {
        fields.push((b"Sec-WebSocket-Extensions", offer.as_bytes()));
    }
    fields.extend_from_slice(theirs);
    encode::encode(spec, fields.iter().copied()).map_err(invalid)
}

/// The fields of a block.
pub(super) fn lines(block: &[u8]) -> Result<Vec<Pair<'_>>, Refusal> {
    encode::lines(block)
        .map(|line| {
            line.map_err(|text| {
                let rule = format!("header_block: `{}` is no `name: value`", text.escape_ascii());
                wrong(e::CHTTP_E_INVALID_HEADER, rule)
            })
        })
        .collect()
}

/// # Safety
/// `engine` is NULL or an engine; `data` is NULL or points to `len` bytes.
unsafe fn send(
    engine: *const chttp_engine,
    xid: chttp_xid,
    (opcode, fin, plain): (u8, bool, bool),
    data: *const c_char,
    len: usize,
) -> Result<i32, i32> {
    // SAFETY: by contract.
    let (engine, payload) = unsafe { (chttp_engine::get(engine)?, bytes("data", data, len)) };
    let payload = payload.map_err(|refusal| refusal.code)?.unwrap_or_default();
    if opcode >= frame::CLOSE && payload.len() > frame::CONTROL_MAX {
        return Err(e::CHTTP_E_INVALID_SIZE);
    }
    engine.send_frame(xid, &Frame { opcode, fin, plain, payload }).map(|()| 0)
}

/// Send a message on a WebSocket, or a fragment of one. The bytes are copied, or sent before the call returns: they are the
/// caller's again in either case.
///
/// `opcode` is CHTTP_WS_TEXT or CHTTP_WS_BINARY; with CHTTP_WS_MORE in `flags` it is the first fragment of a message, and
/// CHTTP_WS_CONTINUATION sends the others, the last one without CHTTP_WS_MORE. While a message is sent in fragments, no other
/// begins, and it is for the application to let one thread at a time send them; whole messages may come from any. A
/// character may begin in one fragment and end in the next. Before CHTTP_EV_WS_OPEN messages wait for it, and if the server
/// refuses, nothing becomes of them.
///
/// CHTTP_E_AGAIN means that CHTTP_OPT_SEND_BUFFER is full and nothing was taken: CHTTP_EV_WRITABLE will come. A message counts
/// 14 bytes more than it has. One larger than the whole buffer is taken when the buffer is empty.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_AGAIN; CHTTP_E_BAD_STATE (no WebSocket, a Close frame was sent or has come, or the fragment does not
///            follow the last), CHTTP_E_WS_UTF8 (the text is not UTF-8: nothing was sent), CHTTP_E_INVALID_ARG (opcode, or
///            NULL), CHTTP_E_UNKNOWN_FLAG, CHTTP_E_NOT_FOUND, CHTTP_E_NOMEM, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_ws_send(
    engine: *const chttp_engine,
    xid: chttp_xid,
    opcode: u32,
    flags: u32,
    data: *const c_char,
    len: usize,
) -> i32 {
    guard(|| {
        if flags & !(CHTTP_WS_MORE | CHTTP_WS_PLAIN) != 0 {
            return Err(e::CHTTP_E_UNKNOWN_FLAG);
        }
        if opcode > CHTTP_WS_BINARY {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        let what = (opcode as u8, flags & CHTTP_WS_MORE == 0, flags & CHTTP_WS_PLAIN != 0);
        // SAFETY: the caller's promise.
        unsafe { send(engine, xid, what, data, len) }
    })
}

/// Send a PING with up to 125 bytes. CHTTP_WS_CONTROL in the settings lets its PONG be told.
///
/// Context:   [any-ctx]
/// Returns:   as chttp_ws_send(); CHTTP_E_INVALID_SIZE (over 125 bytes).
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_ws_ping(
    engine: *const chttp_engine,
    xid: chttp_xid,
    data: *const c_char,
    len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { send(engine, xid, (frame::PING, true, true), data, len) })
}

/// Send a PONG with up to 125 bytes: the answer to a PING where CHTTP_WS_MANUAL_PONG is set, or an unasked sign of life.
///
/// Context:   [any-ctx]
/// Returns:   as chttp_ws_ping().
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_ws_pong(
    engine: *const chttp_engine,
    xid: chttp_xid,
    data: *const c_char,
    len: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { send(engine, xid, (frame::PONG, true, true), data, len) })
}

/// Begin to close: send a Close frame behind all that was sent before. Messages still come, under credit, until the server
/// answers (CHTTP_EV_WS_CLOSE) and closes the connection; DONE follows, without an error. Its answer stands behind what it
/// has sent before: go on releasing messages until then. For an end at once there is chttp_cancel().
///
/// `code` is 1000 to 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455 section 7.4), or CHTTP_WS_NO_STATUS for none, then without a
/// reason. `reason` is UTF-8 of up to 123 bytes, or NULL. `error`, unless NULL, receives on failure an object that names the
/// rule; release it. A server that has sent its Close frame was answered without this call.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_INVALID_ARG (the code), CHTTP_E_INVALID_SIZE (the reason), CHTTP_E_WS_UTF8 (the reason),
///            CHTTP_E_BAD_STATE (no WebSocket, or a Close frame was sent or has come), CHTTP_E_NOT_FOUND, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_ws_close(
    engine: *const chttp_engine,
    xid: chttp_xid,
    code: u32,
    reason: *const c_char,
    reason_len: usize,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            let reason = bytes("reason", reason, reason_len)?.unwrap_or_default();
            let code = match u16::try_from(code) {
                Ok(close::NO_STATUS) if reason.is_empty() => close::NO_STATUS,
                Ok(close::NO_STATUS) => {
                    return Err(wrong(e::CHTTP_E_INVALID_ARG, "reason: it needs a code before it"));
                }
                Ok(code) if close::may_be_sent(code) => code,
                _ => {
                    let rule = format!("code: {code} may not be sent (RFC 6455 section 7.4)");
                    return Err(wrong(e::CHTTP_E_INVALID_ARG, rule));
                }
            };
            if reason.len() > close::REASON_MAX {
                let rule = format!("reason: {} bytes are more than {}", reason.len(), close::REASON_MAX);
                return Err(wrong(e::CHTTP_E_INVALID_SIZE, rule));
            }
            let reason = std::str::from_utf8(reason)
                .map_err(|_| wrong(e::CHTTP_E_WS_UTF8, "reason: it is not UTF-8 (RFC 6455 section 5.5.1)"))?;
            let (body, len) = close::body(code, reason);
            let frame = Frame { opcode: frame::CLOSE, fin: true, plain: true, payload: &body[..len] };
            engine.send_frame(xid, &frame)?;
            Ok(0)
        })
    }
}

const _: () = {
    use crate::proto::ws::Kind;
    assert!(CHTTP_WS_CONTINUATION == frame::CONTINUATION as u32);
    assert!(CHTTP_WS_TEXT == frame::TEXT as u32 && CHTTP_WS_TEXT == Kind::Text as u32);
    assert!(CHTTP_WS_BINARY == frame::BINARY as u32 && CHTTP_WS_BINARY == Kind::Binary as u32);
    assert!(CHTTP_WS_NO_STATUS == close::NO_STATUS as u32);
    assert!(CHTTP_WS_AGREED_DEFLATE == agreed::DEFLATE as u32);
    assert!(CHTTP_WS_AGREED_CLIENT_NO_TAKEOVER == agreed::CLIENT_NO_TAKEOVER as u32);
    assert!(CHTTP_WS_AGREED_SERVER_NO_TAKEOVER == agreed::SERVER_NO_TAKEOVER as u32);
};
