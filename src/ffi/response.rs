//! Looking into an answer.

use super::guard::{Refusal, address, bytes, give, guard, guard_or, text};
use super::types::{chttp_field, chttp_timing, chttp_tls_info};
use crate::client::response::Response;
use crate::error as e;
use crate::mem::Block;
use crate::proto::Version;
use std::ffi::c_char;
use std::ptr::NonNull;

/// A head: the `obj` of INFORMATIONAL, HEADERS, TRAILERS and RESPONSE events, the last with the body. Immutable,
/// refcounted, readable on any thread; what the functions hand out is borrowed from it until it is released.
pub struct chttp_response {
    _opaque: [u8; 0],
}

/// # Safety
/// `response` is NULL or an object that is alive for `'a`.
pub(super) unsafe fn view<'a>(response: *const chttp_response) -> Result<(&'a Response, &'a [u8]), i32> {
    let raw = NonNull::new(response.cast_mut().cast()).ok_or(e::CHTTP_E_INVALID_ARG)?;
    // SAFETY: by contract.
    unsafe { Block::peek::<Response>(raw) }.ok_or(e::CHTTP_E_INVALID_ARG)
}

fn field((name, value): (&[u8], &[u8])) -> chttp_field {
    chttp_field {
        name: name.as_ptr().cast(),
        name_len: name.len(),
        value: value.as_ptr().cast(),
        value_len: value.len(),
    }
}

/// The status code, 100 to 999; 0 for the connection of a raw stream.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   the status; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_status(response: *const chttp_response) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { view(response) }.map(|(r, _)| i32::from(r.status)))
}

/// The protocol version: 10 for HTTP/1.0, 11 for HTTP/1.1, 20 for HTTP/2; 0 for the connection of a raw stream.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   the version; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_version(response: *const chttp_response) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { view(response) }.map(|(r, _)| match r.version {
            _ if r.status == 0 => 0,
            Version::Http10 => 10,
            Version::Http11 => 11,
            Version::Http2 => 20,
        })
    })
}

/// The reason phrase, which means nothing (RFC 9112 section 4). By the rule of snprintf; bytes that are no UTF-8 are
/// replaced.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   length of the whole text without NUL; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_reason(response: *const chttp_response, buf: *mut c_char, cap: usize) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (r, tail) = view(response)?;
        text(&String::from_utf8_lossy(r.reason(tail)), buf, cap)
    })
}

/// How many fields there are, duplicates counted.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   the number (>= 0); CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_header_count(response: *const chttp_response) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { view(response) }.map(|(r, _)| i32::try_from(r.field_count()).unwrap_or(i32::MAX)))
}

/// The field at `index`, from 0, in the order and case in which it came.
///
/// Context:   [any-ctx] [child-ok]
/// Ownership: the bytes are borrowed from `response`.
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_NOT_FOUND behind the last.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_header_at(
    response: *const chttp_response,
    index: u32,
    out: *mut chttp_field,
) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (r, tail) = view(response)?;
        if out.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        out.write(field(r.field(tail, index as usize).ok_or(e::CHTTP_E_NOT_FOUND)?));
        Ok(0)
    })
}

/// The first field of a name, compared without regard to case. `name_len` may be CHTTP_NUL_TERMINATED.
///
/// Context:   [any-ctx] [child-ok]
/// Ownership: the bytes are borrowed from `response`.
/// Returns:   its index (>= 0) and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_NOT_FOUND.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_header(
    response: *const chttp_response,
    name: *const c_char,
    name_len: usize,
    out: *mut chttp_field,
) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (r, tail) = view(response)?;
        let name = bytes("name", name, name_len).map_err(|Refusal { code, .. }| code)?.ok_or(e::CHTTP_E_INVALID_ARG)?;
        if out.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        for index in 0..r.field_count() {
            if let Some(found) = r.field(tail, index)
                && found.0.eq_ignore_ascii_case(name)
            {
                out.write(field(found));
                return i32::try_from(index).map_err(|_| e::CHTTP_E_TOO_LARGE);
            }
        }
        Err(e::CHTTP_E_NOT_FOUND)
    })
}

/// The announced length of the body (RFC 9110 section 8.6), for progress bars. An answer to HEAD, or 304, announces what
/// another request would get.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   the length (>= 0); CHTTP_E_NOT_FOUND if none was announced, CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_content_length(response: *const chttp_response) -> i64 {
    guard_or(i64::from(e::CHTTP_E_INVALID_ARG), || {
        // SAFETY: the caller's promise.
        let (r, tail) = unsafe { view(response) }.ok()?;
        let value = (0..r.field_count()).filter_map(|i| r.field(tail, i)).find_map(|(name, value)| {
            // Copies that agree may stand in one list; the parser has checked that they do.
            let first = value.split(|&b| b == b',').next()?.trim_ascii();
            name.eq_ignore_ascii_case(b"content-length").then(|| std::str::from_utf8(first).ok()?.parse().ok())?
        });
        Some(value.unwrap_or(i64::from(e::CHTTP_E_NOT_FOUND)))
    })
}

/// The body of a collected answer, in one piece; empty for heads that came without.
///
/// Context:   [any-ctx] [child-ok]
/// Ownership: the bytes are borrowed from `response`.
/// Returns:   0, `*data` and `*len`; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_body(
    response: *const chttp_response,
    data: *mut *const c_char,
    len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let (r, tail) = view(response)?;
        if data.is_null() || len.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        let body = r.body(tail);
        data.write(body.as_ptr().cast());
        len.write(body.len());
        Ok(0)
    })
}

/// When things happened, as far as they had when the event was made: of HEADERS all but the end, which is `aux` of the
/// terminal event. `out_size` is sizeof(chttp_timing).
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_timing(
    response: *const chttp_response,
    out: *mut chttp_timing,
    out_size: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let t = view(response)?.0.timing;
        let timing = chttp_timing {
            size: out_size.min(size_of::<chttp_timing>()) as u32,
            reserved: 0,
            connected_ns: t.connected,
            sent_ns: t.sent,
            first_byte_ns: t.first_byte,
            connect_took_ns: t.connect_took,
            dns_took_ns: t.dns_took,
            tls_took_ns: t.tls_took,
        };
        give(&timing, out, out_size)
    })
}

/// The address of the peer, for example "127.0.0.1:80"; empty for a Unix socket. By the rule of snprintf.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   length of the whole text without NUL; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_peer(response: *const chttp_response, buf: *mut c_char, cap: usize) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { text(&address(view(response)?.0.route.peer), buf, cap) })
}

/// The address of our own end of the connection, for example "127.0.0.1:50000"; empty for a Unix socket. By the rule of
/// snprintf.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   length of the whole text without NUL; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_local(response: *const chttp_response, buf: *mut c_char, cap: usize) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { text(&address(view(response)?.0.route.local), buf, cap) })
}

/// Whether the answer came over a connection that had served before: 1, else 0.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0 or 1; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_connection_reused(response: *const chttp_response) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { view(response) }.map(|(r, _)| i32::from(r.route.reused)))
}

/// Which try of the request was answered, from 1.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   the number (>= 1); CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_attempt(response: *const chttp_response) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { view(response) }.map(|(r, _)| i32::try_from(r.route.attempt).unwrap_or(i32::MAX)))
}

/// What was agreed on for TLS on the connection that the answer came over; any head of the exchange tells it. `out_size` is
/// sizeof(chttp_tls_info).
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0; CHTTP_E_NOT_FOUND if the connection was a plain one, CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_tls(
    response: *const chttp_response,
    out: *mut chttp_tls_info,
    out_size: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe {
        let agreed = view(response)?.0.route.tls.ok_or(e::CHTTP_E_NOT_FOUND)?;
        let info = chttp_tls_info {
            size: out_size.min(size_of::<chttp_tls_info>()) as u32,
            version: u32::from(agreed.version),
            resumed: u32::from(agreed.resumed),
            reserved: 0,
            cipher_suite: agreed.cipher_suite().as_ptr(),
            group: agreed.group().as_ptr(),
            alpn: agreed.alpn().as_ptr(),
        };
        give(&info, out, out_size)
    })
}
