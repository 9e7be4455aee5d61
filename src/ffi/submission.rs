//! Submitting with all arguments in memory.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::exchange::chttp_submit;
use super::guard::{guard, sized};
use super::queue::chttp_queue;
use super::types::{chttp_request, chttp_xid};
use crate::error as e;

/// The arguments of chttp_submit(), which says what they are. Kept and changed between calls as the caller likes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_submission {
    /// sizeof(chttp_submission)
    pub size: u32,
    /// How many requests.
    pub n: u32,
    pub engine: *const chttp_engine,
    pub queue: *const chttp_queue,
    pub requests: *const chttp_request,
    pub stride: usize,
    pub xids: *mut chttp_xid,
    pub error: *mut *mut chttp_error,
}

/// As chttp_submit(), with its arguments in memory: for languages in which each argument of a call costs time.
///
/// Context:   [any-ctx]
/// Ownership: `*submission` is read during the call; the rest is as for chttp_submit().
/// Returns:   what chttp_submit() returns; CHTTP_E_INVALID_ARG (`submission` is NULL), CHTTP_E_INVALID_SIZE,
///            CHTTP_E_UNSUPPORTED_FIELD; these three come without an error object.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_submit_packed(submission: *const chttp_submission) -> i32 {
    guard(|| {
        if submission.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        // SAFETY: the caller's promise about all pointers, which are those of `chttp_submit`.
        unsafe {
            let s = sized::<chttp_submission>("chttp_submission", submission.cast(), size_of::<chttp_submission>())
                .map_err(|refusal| refusal.code)?;
            Ok(chttp_submit(s.engine, s.queue, s.requests, s.n, s.stride, s.xids, s.error))
        }
    })
}
