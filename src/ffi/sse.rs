//! Streams of events: what a request asks for, and what an event tells.

use super::guard::{Refusal, bytes, give, guard, sized};
use super::types::{CHTTP_EV_SSE, CHTTP_REQ_COLLECT, CHTTP_REQ_SSE, CHTTP_REQ_STREAM_BODY, CHTTP_UNLIMITED};
use super::types::{chttp_event, chttp_request};
use crate::client::Settings;
use crate::client::events::{MESSAGE, NO_RETRY, Names, Parcel, Sse};
use crate::error as e;
use crate::mem::Block;
use crate::proto::h1::encode::{EncodedHead, LAST_EVENT_ID};
use crate::proto::sse::Limits;
use std::ffi::c_char;
use std::ptr::NonNull;

/// How long a stream of events (CHTTP_REQ_SSE) waits before its first reconnection, in nanoseconds, unless the server names a
/// time by `retry`. Each further attempt in a row waits twice as long as the one before, 100 ms at least. Default 3 s.
pub const CHTTP_OPT_SSE_RETRY_NS: u32 = 85;
/// The longest wait before a reconnection, also of what the server names. Up to a quarter is added to every wait by chance.
/// Default 60 s.
pub const CHTTP_OPT_SSE_RETRY_MAX_NS: u32 = 86;
/// Reconnections in a row on which no byte of a stream comes; the failure of the last one ends the exchange. Default -1: none.
pub const CHTTP_OPT_SSE_MAX_ATTEMPTS: u32 = 87;
/// Bytes of one line of a stream of events, whatever it says. Default 1 MiB.
pub const CHTTP_OPT_SSE_LINE_MAX: u32 = 88;
/// Bytes of the data of one event. Default 8 MiB.
pub const CHTTP_OPT_SSE_EVENT_MAX: u32 = 89;

/// Reconnect whatever the method: the request, and its body, are sent again.
pub const CHTTP_SSE_RECONNECT: u32 = 1;
/// Never reconnect: the end of the answer is the end of the exchange, and no error.
pub const CHTTP_SSE_NO_RECONNECT: u32 = 2;
/// Take an answer with status 408, 429, 500, 502, 503 or 504 for a connection that was lost. Otherwise it ends the exchange.
/// `Retry-After` in seconds (RFC 9110 section 10.2.3) is obeyed, as far as `retry_max_ns` allows; a date is not looked at.
pub const CHTTP_SSE_RETRY_STATUS: u32 = 4;
/// Say `Accept-Encoding: gzip, deflate`. A stream that is coded so is decoded whether this was asked for or not; it saves
/// bytes, and costs 40 KB of memory and what the server takes to gather them.
pub const CHTTP_SSE_COMPRESSED: u32 = 8;

const FLAGS: u32 = CHTTP_SSE_RECONNECT | CHTTP_SSE_NO_RECONNECT | CHTTP_SSE_RETRY_STATUS | CHTTP_SSE_COMPRESSED;

/// What a request with CHTTP_REQ_SSE asks for. All-zero but for `size` is what the engine's options say, as if there were none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_sse {
    /// sizeof(chttp_sse).
    pub size: u32,
    /// CHTTP_SSE_..., or'ed. With neither CHTTP_SSE_RECONNECT nor CHTTP_SSE_NO_RECONNECT a GET reconnects, and other methods
    /// do not: what they do would be done again.
    pub flags: u32,
    /// NULL, or the id of the last event that an earlier stream has brought: it is sent as `Last-Event-ID`, and is the id of
    /// events until the server names another. Up to 8 KiB, without control characters.
    pub last_event_id: *const c_char,
    pub last_event_id_len: usize,
    /// CHTTP_OPT_SSE_RETRY_NS, for this request. 0: the engine's. So with those that follow.
    pub retry_ns: u64,
    pub retry_max_ns: u64,
    /// CHTTP_UNLIMITED: no bound.
    pub max_attempts: u64,
    /// 64 bytes to 1 GiB.
    pub line_max: u64,
    /// 64 bytes to 1 GiB.
    pub event_max: u64,
}

/// What an event of a stream says beside its data. Fill in nothing; pass the size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_sse_event {
    /// How much of it was filled in.
    pub size: u32,
    pub reserved: u32,
    /// "message" if the server named none. UTF-8, if the server abides by the standard.
    pub event_type: *const c_char,
    pub event_type_len: usize,
    /// The last event id: of this event, or of the last one before that had one. Empty if there was none, or an empty one.
    pub id: *const c_char,
    pub id_len: usize,
    /// The value of `retry` in this event, in milliseconds; -1 if there was none.
    pub retry_ms: i64,
}

/// What `request` says about the stream of events that it asks for; `None` if it asks for none.
///
/// # Safety
/// Every pointer in `r` is NULL or points to what chttp_request says.
pub(super) unsafe fn wants(r: &chttp_request, method: &[u8], settings: &Settings) -> Result<Option<Box<Sse>>, Refusal> {
    let wrong = |rule: &str| Err(Refusal::new(e::CHTTP_E_INVALID_ARG, rule));
    if r.flags & CHTTP_REQ_SSE == 0 {
        return if r.sse.is_null() { Ok(None) } else { wrong("sse: it goes with CHTTP_REQ_SSE only") };
    }
    if r.flags & CHTTP_REQ_COLLECT != 0 {
        return wrong("flags: CHTTP_REQ_COLLECT does not go with CHTTP_REQ_SSE, which is never one event");
    }
    if matches!(method, b"HEAD" | b"CONNECT") {
        return wrong("method: its answer has no body, and CHTTP_REQ_SSE needs one");
    }
    let s = match NonNull::new(r.sse.cast_mut()) {
        // SAFETY: by contract.
        Some(at) => unsafe { sized::<chttp_sse>("chttp_sse", at.as_ptr().cast(), 8) }?,
        // SAFETY: numbers and pointers.
        None => unsafe { std::mem::zeroed() },
    };
    if s.flags & !FLAGS != 0 {
        let rule = format!("sse.flags: {:#x} is not known", s.flags & !FLAGS);
        return Err(Refusal::new(e::CHTTP_E_UNKNOWN_FLAG, rule));
    }
    let reconnect = match (s.flags & CHTTP_SSE_RECONNECT != 0, s.flags & CHTTP_SSE_NO_RECONNECT != 0) {
        (true, true) => return wrong("sse.flags: RECONNECT and NO_RECONNECT contradict each other"),
        (false, false) => method == b"GET",
        (reconnect, _) => reconnect,
    };
    if reconnect && r.flags & CHTTP_REQ_STREAM_BODY != 0 {
        let rule =
            "flags: a streamed body cannot be sent again; give CHTTP_SSE_NO_RECONNECT, or the body in another form";
        return Err(Refusal::new(e::CHTTP_E_NOT_REWINDABLE, rule));
    }
    // SAFETY: by contract.
    let last_id = unsafe { bytes("sse.last_event_id", s.last_event_id, s.last_event_id_len) }?.unwrap_or_default();
    if last_id.len() > crate::proto::sse::NAME_MAX {
        return Err(Refusal::new(e::CHTTP_E_TOO_LARGE, "sse.last_event_id: it is over 8 KiB"));
    }
    let bound = |what: &str, value: u64, default: u32| match value {
        0 => Ok(default),
        64..=0x4000_0000 => Ok(value as u32),
        _ => {
            let rule = format!("sse.{what}: {value} is not within 64 to 1073741824");
            Err(Refusal::new(e::CHTTP_E_INVALID_ARG, rule))
        }
    };
    let or = |value: u64, default: u64| if value == 0 { default } else { value };
    let d = &settings.sse;
    let sse = Sse {
        reconnect,
        compressed: s.flags & CHTTP_SSE_COMPRESSED != 0,
        retry_status: s.flags & CHTTP_SSE_RETRY_STATUS != 0,
        limits: Limits {
            line_max: bound("line_max", s.line_max, d.limits.line_max)?,
            event_max: bound("event_max", s.event_max, d.limits.event_max)?,
        },
        retry_ns: or(s.retry_ns, d.retry_ns),
        retry_max_ns: or(s.retry_max_ns, d.retry_max_ns),
        attempts_max: or(s.max_attempts, d.attempts_max),
        last_id: last_id.into(),
    };
    Ok(Some(Box::new(sse)))
}

/// What a head must not have beside those.
pub(super) fn check(head: &EncodedHead, sse: &Sse) -> Result<(), Refusal> {
    if head.upgrade {
        return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, "flags: CHTTP_REQ_SSE does not go with an Upgrade"));
    }
    let all = head.request().fields;
    let named = |name: &[u8]| name.eq_ignore_ascii_case(LAST_EVENT_ID);
    let count = all.iter().filter(|(name, _)| named(name)).count();
    let own = !sse.last_id.is_empty() && all.iter().last() == Some((LAST_EVENT_ID, &sse.last_id));
    if count > usize::from(own) {
        let rule = "Last-Event-ID: it changes with each reconnection; give it as sse.last_event_id";
        return Err(Refusal::new(e::CHTTP_E_INVALID_HEADER, rule));
    }
    Ok(())
}

/// Type, id and retry of an event of kind CHTTP_EV_SSE, as it came out of the queue; its data is `data` and `len`. Nothing is
/// allocated. `out_size` is sizeof(chttp_sse_event).
///
/// Context:   [any-ctx] [child-ok]
/// Ownership: the bytes are borrowed from the event's `obj` until that is released; "message" is static.
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG (NULL, or no such event), CHTTP_E_INVALID_SIZE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_sse_fields(
    event: *const chttp_event,
    out: *mut chttp_sse_event,
    out_size: usize,
) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    guard(|| unsafe {
        let event = event.as_ref().ok_or(e::CHTTP_E_INVALID_ARG)?;
        let obj = NonNull::new(event.obj).ok_or(e::CHTTP_E_INVALID_ARG)?;
        if u32::from(event.kind) != CHTTP_EV_SSE || event.data.is_null() || Block::peek::<Parcel>(obj).is_none() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        let names = Names::unpack(event.aux);
        let (event_type, event_type_len) = match names.kind_len {
            0 => (MESSAGE.as_ptr().cast(), MESSAGE.len()),
            // By the library's word they stand in the same object.
            len => (event.data.wrapping_add(event.len as usize), usize::from(len)),
        };
        let fields = chttp_sse_event {
            size: out_size.min(size_of::<chttp_sse_event>()) as u32,
            reserved: 0,
            event_type,
            event_type_len,
            id: event.data.wrapping_offset(names.id_at as isize),
            id_len: usize::from(names.id_len),
            retry_ms: if event.arg == NO_RETRY { -1 } else { i64::from(event.arg) },
        };
        give(&fields, out, out_size)
    })
}

/// A stream of events lasts: only a request that names a total time is bounded by one.
pub(super) const NO_TOTAL: u64 = CHTTP_UNLIMITED;
