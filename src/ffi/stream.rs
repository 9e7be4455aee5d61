//! Raw streams: TLS midway, and what there is to know of the connection under them.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::guard::{Refusal, bytes, guard, guard_explained};
use super::response::{chttp_response, view};
use super::tls::chttp_tls;
use super::types::chttp_xid;
use crate::error as e;
use std::ffi::c_char;

/// Start TLS on an open stream: one of CHTTP_REQ_RAW, or one that CONNECT or Upgrade has left. What was written before
/// goes first, in the clear; what is written from now on waits for the end of the handshake, which CHTTP_EV_STREAM_TLS
/// tells. If it fails, that is the end of the stream.
///
/// Call it when everything that the peer had to say in the clear is in. What came beyond that, and was not handed over for
/// want of credit, is refused: somebody on the way may have put it there (CVE-2011-0411). Throw away what BODY events
/// brought behind the peer's word, for the same reason.
///
/// `tls` may be NULL for the engine's own settings. They offer "http/1.1" by ALPN unless `tls_alpn` says otherwise. `name`
/// is whom to verify, a host name or an address; NULL for the host of the request, or the URL's; `tls_server_name` of `tls`
/// goes before both. `name_len` may be CHTTP_NUL_TERMINATED. The handshake may take `tls_timeout_ns` of the request.
///
/// Context:   [any-ctx]
/// Ownership: everything is read during the call; `error`, unless NULL, receives an object that says why: release it.
/// Returns:   0 (an event follows); CHTTP_E_BAD_STATE (no open stream, closed on one side, or secured already),
///            CHTTP_E_UNEXPECTED_DATA (bytes in the clear are left), CHTTP_E_NOT_FOUND, CHTTP_E_INVALID_ARG,
///            CHTTP_E_INVALID_TLS, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_stream_start_tls(
    engine: *const chttp_engine,
    xid: chttp_xid,
    tls: *const chttp_tls,
    name: *const c_char,
    name_len: usize,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            let name = bytes("name", name, name_len)?
                .map(std::str::from_utf8)
                .transpose()
                .map_err(|_| Refusal::new(e::CHTTP_E_INVALID_ARG, "name: the text is not UTF-8"))?;
            let tls = chttp_tls::get(tls.cast()).map_err(|mut refusal| {
                refusal.message.insert_str(0, "tls: ");
                refusal
            })?;
            let tls = tls.map_or_else(|| engine.tls(), Ok)?.clone();
            engine.start_tls(xid, &tls, name).map_err(|unready| Refusal::new(unready.code, unready.why))?;
            Ok(0)
        })
    }
}

/// The descriptor under an open stream, to look at it or to set options of the socket. It stays the engine's: do not read,
/// write, close or poll it, and do not use it after the stream's terminal event was drained, or after cancelling.
///
/// Context:   [any-ctx]
/// Returns:   the descriptor (>= 0); CHTTP_E_BAD_STATE (no open stream, or a mock), CHTTP_E_NOT_FOUND,
///            CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_stream_fd(engine: *const chttp_engine, xid: chttp_xid) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { chttp_engine::get(engine) }?.descriptor(xid)
    })
}

/// # Safety
/// `connection` is NULL or an object; `data` and `len` are NULL or writable.
unsafe fn told(connection: *const chttp_response, index: usize, data: *mut *const c_char, len: *mut usize) -> i32 {
    guard(|| {
        // SAFETY: by contract.
        let (response, tail) = unsafe { view(connection) }?;
        if data.is_null() || len.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        let found = response.told(tail, index).ok_or(e::CHTTP_E_NOT_FOUND)?;
        // SAFETY: by contract.
        unsafe {
            data.write(found.as_ptr().cast());
            len.write(found.len());
        }
        Ok(0)
    })
}

/// The application protocol that the peer chose (RFC 7301), whatever it is; of length 0 if it chose none. `connection` is
/// the object of CHTTP_EV_STREAM_TLS, or of the HEADERS event of a raw stream.
///
/// Context:   [any-ctx] [child-ok]
/// Ownership: the bytes are borrowed from `connection`.
/// Returns:   0, `*data` and `*len`; CHTTP_E_NOT_FOUND (no TLS, or an answer's head), CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_stream_alpn(
    connection: *const chttp_response,
    data: *mut *const c_char,
    len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { told(connection, 0, data, len) }
}

/// A certificate of the chain that the peer sent, in DER: its own at `index` 0, then what it sent along. `connection` is as
/// for chttp_stream_alpn().
///
/// Context:   [any-ctx] [child-ok]
/// Ownership: the bytes are borrowed from `connection`.
/// Returns:   0, `*data` and `*len`; CHTTP_E_NOT_FOUND (behind the last, no TLS, or an answer's head),
///            CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_stream_certificate(
    connection: *const chttp_response,
    index: u32,
    data: *mut *const c_char,
    len: *mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { told(connection, (index as usize).saturating_add(1), data, len) }
}
