//! Timers of the application's.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::guard::guard_explained;
use super::queue::chttp_queue;
use super::types::chttp_xid;
use crate::client::sources::Period;

/// Start a timer: an event of `queue` after `first_ns` nanoseconds, and with `every_ns` other than 0 again after each further
/// `every_ns`.
///
/// CHTTP_EV_TIMER: `aux` is the moment for which it was set, in nanoseconds of CLOCK_MONOTONIC (of the mock's clock on a
/// mock), `arg` how many periods it stands for: 1, or more if some have passed meanwhile. Never early; a wait rounds up to a
/// millisecond. Timers that run out together come in the order of their moments, and of their start among equals.
///
/// Periods are a grid from the first moment on: what is late does not shift the next. There is one event of a timer at a time:
/// until its `obj` is released (see chttp_watch_fd()) periods are only counted, so that a slow program is never behind by more
/// than one event.
///
/// With `every_ns` 0 the event is terminal, and the timer is gone. Else end it with chttp_cancel(): its last event has
/// CHTTP_EF_TERMINAL and CHTTP_E_CANCELLED. Engine and queue end it as they do a watch. `first_ns` 0 is at once,
/// CHTTP_UNLIMITED never: until chttp_timer_restart().
///
/// `error`, unless NULL, receives on failure an object that explains it; release it.
///
/// Context:   [any-ctx]
/// Returns:   0 and `*out`, unless that is NULL; CHTTP_E_INVALID_ARG, CHTTP_E_TOO_MANY_EXCHANGES, CHTTP_E_ENGINE_DOWN,
///            CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_timer_start(
    engine: *const chttp_engine,
    queue: *const chttp_queue,
    first_ns: u64,
    every_ns: u64,
    token: u64,
    out: *mut chttp_xid,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            let queue = chttp_queue::of(queue, engine)?;
            let give = |id| {
                if !out.is_null() {
                    out.write(id);
                }
            };
            engine.start_timer(queue, token, Period { first_ns, every_ns }, give)?;
            Ok(0)
        })
    }
}

/// Start a timer anew that has not ended: from now on `first_ns` and `every_ns` count, as in chttp_timer_start(). An event
/// that waits in the queue stays there.
///
/// `error`, unless NULL, receives on failure an object that explains it; release it.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_NOT_FOUND (the timer has ended, or the id is none of a timer), CHTTP_E_INVALID_ARG,
///            CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_timer_restart(
    engine: *const chttp_engine,
    id: chttp_xid,
    first_ns: u64,
    every_ns: u64,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            engine.restart_timer(id, Period { first_ns, every_ns })?;
            Ok(0)
        })
    }
}
