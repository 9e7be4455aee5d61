//! Error codes as text, and the object that explains one.

use super::guard::{address, guard, guard_or, text};
use crate::client::failure::{Failure, Phase};
use crate::error::{self as e, Category};
use crate::mem::Block;
use std::ffi::c_char;
use std::ptr::NonNull;

/// The detail behind an error code: immutable, refcounted, readable on any thread. Release it with chttp_release(), or
/// with the event that carries it.
pub struct chttp_error {
    _opaque: [u8; 0],
}

/// Waiting for a connection to become free; or, for a refused call, not begun.
pub const CHTTP_PHASE_QUEUED: i32 = 0;
pub const CHTTP_PHASE_RESOLVING: i32 = 1;
pub const CHTTP_PHASE_CONNECTING: i32 = 2;
pub const CHTTP_PHASE_TLS: i32 = 3;
pub const CHTTP_PHASE_SENDING: i32 = 4;
/// The request is sent; no byte of the answer has arrived.
pub const CHTTP_PHASE_WAITING: i32 = 5;
pub const CHTTP_PHASE_RECEIVING: i32 = 6;
/// A stream of events waits before its next connection.
pub const CHTTP_PHASE_RECONNECTING: i32 = 7;

const _: () = assert!(
    Phase::Queued as i32 == CHTTP_PHASE_QUEUED
        && Phase::Resolving as i32 == CHTTP_PHASE_RESOLVING
        && Phase::Connecting as i32 == CHTTP_PHASE_CONNECTING
        && Phase::Sending as i32 == CHTTP_PHASE_SENDING
        && Phase::Waiting as i32 == CHTTP_PHASE_WAITING
        && Phase::Receiving as i32 == CHTTP_PHASE_RECEIVING
);

/// The name of a code, for example "CHTTP_E_CANCELLED"; "CHTTP_OK" for 0; NULL for a code that does not exist. Static.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_error_name(code: i32) -> *const c_char {
    match e::row(code) {
        Some(row) => row.name.as_ptr(),
        None if code == e::CHTTP_OK => c"CHTTP_OK".as_ptr(),
        None => std::ptr::null(),
    }
}

/// What a code means, as part of a sentence; NULL for a code that does not exist. Static.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_error_describe(code: i32) -> *const c_char {
    match e::row(code) {
        Some(row) => row.text.as_ptr(),
        None if code == e::CHTTP_OK => c"success".as_ptr(),
        None => std::ptr::null(),
    }
}

/// The group of a code: "argument", "state", "resolve", "connect", "tls", "protocol", "timeout", "closed" or "resource";
/// NULL for a code that does not exist. Static.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_error_category(code: i32) -> *const c_char {
    e::row(code).and_then(|r| Category::of(r.code)).map_or(std::ptr::null(), |category| category.name().as_ptr())
}

/// The codes one after the other: the code at `index`, or 0 behind the last. Bindings make their exceptions from it.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_error_at(index: u32) -> i32 {
    e::TABLE.get(index as usize).map_or(0, |row| row.code)
}

/// # Safety
/// `error` is NULL or an object that is alive for `'a`.
unsafe fn failure<'a>(error: *const chttp_error) -> Result<&'a Failure, i32> {
    let raw = NonNull::new(error.cast_mut().cast()).ok_or(e::CHTTP_E_INVALID_ARG)?;
    // SAFETY: by contract.
    unsafe { Block::peek::<Failure>(raw) }.map(|(f, _)| f).ok_or(e::CHTTP_E_INVALID_ARG)
}

/// The code (negative). CHTTP_E_INVALID_ARG also for NULL and for an object of another kind.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_code(error: *const chttp_error) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { failure(error) }.map(|f| f.cause.code))
}

/// The errno behind the error, or 0.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   an errno (>= 0); CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_os_errno(error: *const chttp_error) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { failure(error) }.map(|f| f.cause.os_errno))
}

/// The code of the layer below, or 0: EAI_... of the name service; the number of the alert with which the peer ended TLS
/// (RFC 8446 section 6); with CHTTP_E_H2_... the code of RFC 9113 section 7; with CHTTP_E_WS_... the close code that the
/// server was told (RFC 6455 section 7.4.1), 0 where there was nobody to tell. Of no meaning for an invalid object.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_native(error: *const chttp_error) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { failure(error) }.map(|f| f.cause.native))
}

/// How far the exchange had come: CHTTP_PHASE_...
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   a phase (>= 0); CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_phase(error: *const chttp_error) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { failure(error) }.map(|f| f.phase as i32))
}

/// Which try it was, from 1; 0 if nothing was tried.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   the number (>= 0); CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_attempt(error: *const chttp_error) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { failure(error) }.map(|f| i32::try_from(f.attempt).unwrap_or(i32::MAX)))
}

/// Whether sending the request again is safe and may help: 1, else 0. Safe means that no byte of it was sent, or that its
/// method is idempotent and no byte of an answer was seen (RFC 9110 section 9.2.2).
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0 or 1; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_is_retryable(error: *const chttp_error) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { failure(error) }.map(|f| i32::from(f.retryable)))
}

/// Bytes of the request that were handed to a connection, in all tries: 0 proves that the server has seen nothing of it.
/// 0 for an invalid object too.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_request_bytes_sent(error: *const chttp_error) -> u64 {
    // SAFETY: the caller's promise.
    guard_or(0, || unsafe { failure(error) }.ok().map(|f| f.request_bytes_sent))
}

/// Whether the exchange ran on a connection that had served before: 1, else 0.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0 or 1; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_connection_reused(error: *const chttp_error) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { failure(error) }.map(|f| i32::from(f.connection_reused)))
}

/// The error in words, for people: what, where, when. Its wording is not part of the interface.
///
/// By the rule of snprintf: at most `cap` bytes are written, a NUL among them. 1024 are enough for nearly all; what is told
/// of a refused certificate is the longest.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   length of the whole text without NUL; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_message(error: *const chttp_error, buf: *mut c_char, cap: usize) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { text(&failure(error)?.message, buf, cap) })
}

/// The address of the peer, for example "127.0.0.1:80"; empty if no connection was made. By the rule of snprintf.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   length of the whole text without NUL; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_error_peer(error: *const chttp_error, buf: *mut c_char, cap: usize) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { text(&address(failure(error)?.peer), buf, cap) })
}
