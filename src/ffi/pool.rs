//! The connection pool: its options, connections ahead of time, and why a request got the one that it got.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::exchange::read;
use super::guard::{guard, guard_explained};
use super::response::{chttp_response, view};
use super::types::chttp_request;
use crate::pool::Reason;

/// 1: a second after more than 2000 exchanges were under way at a time, malloc_trim() is called once, where the C library
/// has it, so that what they needed is the system's again. It takes the lock of the process's heap for as long as it takes to
/// return its free pages: a few milliseconds for 100 MB of small objects. Default 1; 0 for a process that cannot wait.
pub const CHTTP_OPT_TRIM_HEAP: u32 = 52;
/// How old a connection may be, in nanoseconds since it was made. An older one is closed when its exchange ends, or at once
/// if it is idle; no exchange is interrupted. Default -1, no limit: for services that move, a few minutes make clients follow.
pub const CHTTP_OPT_MAX_CONNECTION_AGE_NS: u32 = 53;
/// Exchanges that may wait because a limit of connections is reached. One more fails at once with
/// CHTTP_E_TOO_MANY_WAITING. 0: none waits. Default -1: no limit but CHTTP_OPT_MAX_EXCHANGES.
pub const CHTTP_OPT_MAX_WAITING: u32 = 54;

/// An idle connection was used that had served before.
pub const CHTTP_REUSE_REUSED: u32 = 1;
/// An idle connection was used that had not served: made by chttp_engine_preconnect(), or for an exchange that got another.
pub const CHTTP_REUSE_PREPARED: u32 = 2;
/// The exchange had to wait, and took over from one that ended.
pub const CHTTP_REUSE_TAKEN_OVER: u32 = 3;
/// A new one: nothing was open to this origin, and nothing is known of an earlier connection.
pub const CHTTP_REUSE_NEW_FIRST: u32 = 4;
/// A new one: those that were open were in use.
pub const CHTTP_REUSE_NEW_BUSY: u32 = 5;
/// A new one, after the exchange had waited because a limit of connections was reached.
pub const CHTTP_REUSE_NEW_WAITED: u32 = 6;
/// A new one: the connection before had been idle for too long.
pub const CHTTP_REUSE_NEW_IDLE: u32 = 7;
/// A new one: the connection before had reached CHTTP_OPT_MAX_CONNECTION_AGE_NS.
pub const CHTTP_REUSE_NEW_AGE: u32 = 8;
/// A new one: the peer had closed the connection before while it was idle.
pub const CHTTP_REUSE_NEW_PEER: u32 = 9;
/// A new one: the exchange on the connection before had failed, or was cancelled.
pub const CHTTP_REUSE_NEW_FAILED: u32 = 10;
/// A new one: the connection before had given way to one to another origin.
pub const CHTTP_REUSE_NEW_EVICTED: u32 = 11;
/// A new one: on the connection before, one of the sides had wanted no other exchange (`Connection: close`, for example).
pub const CHTTP_REUSE_NEW_NOT_REUSABLE: u32 = 12;
/// A new one, for the second attempt: the first met a connection that the peer had closed meanwhile.
pub const CHTTP_REUSE_NEW_STALE: u32 = 13;

const _: () = {
    let reasons = [
        (CHTTP_REUSE_REUSED, Reason::Reused),
        (CHTTP_REUSE_PREPARED, Reason::Prepared),
        (CHTTP_REUSE_TAKEN_OVER, Reason::TakenOver),
        (CHTTP_REUSE_NEW_FIRST, Reason::First),
        (CHTTP_REUSE_NEW_BUSY, Reason::Busy),
        (CHTTP_REUSE_NEW_WAITED, Reason::Waited),
        (CHTTP_REUSE_NEW_IDLE, Reason::Idle),
        (CHTTP_REUSE_NEW_AGE, Reason::Age),
        (CHTTP_REUSE_NEW_PEER, Reason::Peer),
        (CHTTP_REUSE_NEW_FAILED, Reason::Failed),
        (CHTTP_REUSE_NEW_EVICTED, Reason::Evicted),
        (CHTTP_REUSE_NEW_NOT_REUSABLE, Reason::Spent),
        (CHTTP_REUSE_NEW_STALE, Reason::Stale),
    ];
    let mut i = 0;
    while i < reasons.len() {
        assert!(reasons[i].0 == reasons[i].1 as u32);
        i += 1;
    }
};

/// Open connections that `request` could use, so that the first exchanges need not wait for them, until `n` are idle, those
/// that are being made included. Nothing is sent. They count as idle ones: CHTTP_OPT_IDLE_TIMEOUT_NS closes them.
///
/// Of the request, what says where to connect to counts, and its timeouts. No other connection is closed for them, and where
/// a limit is reached fewer are opened. Nobody is told whether it worked; chttp_stats counts `connections_opened`,
/// `connections_idle` and `connect_failures`. `error`, unless NULL, receives on failure an object that names the field and the
/// rule; release it.
///
/// Context:   [any-ctx]
/// Ownership: everything is read during the call.
/// Returns:   0; a code of the argument group; CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_preconnect(
    engine: *const chttp_engine,
    request: *const chttp_request,
    n: u32,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            engine.preconnect(read(engine, request.cast(), 0)?, n)?;
            Ok(0)
        })
    }
}

/// Why the answer's connection was an open one, or a new one: CHTTP_REUSE_....
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   the reason (> 0); CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_response_connection_reason(response: *const chttp_response) -> i32 {
    // SAFETY: the caller's promise.
    guard(|| unsafe { view(response) }.map(|(r, _)| r.route.reason as i32))
}
