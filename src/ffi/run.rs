//! The loop of a queue, and what may be sent to it from elsewhere: tasks, and the word to stop.

use super::delivery::{Batch, chttp_events_fn};
use super::guard::guard;
use super::queue::{chttp_queue, wait_failed};
use crate::client::engine::run::{Running, Step};
use crate::error as e;
use crate::queue::callee::BATCH;
use std::ffi::c_void;
use std::sync::Arc;

/// For chttp_queue_run(): go on when nothing is left to wait for, since other threads may bring something.
pub const CHTTP_RUN_STAY: u32 = 1;

/// Loop on this thread: wait for events of the queue and hand them to `on_events`, in batches as chttp_queue_dispatch() does,
/// until chttp_queue_stop(), or until nothing is left that could give an event: no exchange, watch or timer of this queue, and
/// no event. With CHTTP_RUN_STAY in `flags` the latter is no reason to return.
///
/// With an engine that the caller drives this is a whole event loop: its sockets, your descriptors and timers, what other
/// threads post, one thread. With one that has a thread, each of several threads may run a queue of its own. Several may run
/// one queue, too. `on_events` may do what it may in chttp_queue_dispatch(), and call chttp_queue_stop(). On a mock, time
/// passes as in chttp_queue_wait().
///
/// Context:   [any-thread]
/// Ownership: objects that `on_events` has not taken are released after each batch.
/// Returns:   0 after chttp_queue_stop(), 1 when nothing is left; CHTTP_E_INTERRUPTED after a signal handler ran that did not
///            call chttp_queue_stop(), CHTTP_E_INVALID_ARG, CHTTP_E_UNKNOWN_FLAG, CHTTP_E_WRONG_THREAD inside a callback of
///            the library, CHTTP_E_BAD_STATE (the queue has a callback; or on a mock, nothing will ever come),
///            CHTTP_E_ENGINE_DOWN when the engine has ended, CHTTP_E_FORKED (`on_events` has forked, and this is the child),
///            CHTTP_E_IO. Call it again to go on.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_run(
    queue: *const chttp_queue,
    flags: u32,
    on_events: chttp_events_fn,
    user: *mut c_void,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut bound = unsafe { chttp_queue::get(queue) }?;
        let function = on_events.ok_or(e::CHTTP_E_INVALID_ARG)?;
        if flags & !CHTTP_RUN_STAY != 0 {
            return Err(e::CHTTP_E_UNKNOWN_FLAG);
        }
        bound.check_taker()?;
        let mut running = Running::new(&bound.inner);
        loop {
            let mut batch = Batch::new();
            let stay = flags & CHTTP_RUN_STAY != 0;
            match bound.engine.step(&bound.inner, BATCH, stay, |event| batch.put(event)) {
                Ok(Step::Came) => {}
                Ok(Step::Stopped) => return Ok(0),
                Ok(Step::Idle) => return Ok(1),
                Ok(Step::Over) => return Err(e::CHTTP_E_ENGINE_DOWN),
                Err(error) => return Err(wait_failed(&error)),
            }
            // SAFETY: the caller's promise about `on_events`.
            unsafe { batch.hand_over(function, user) };
            drop(batch);
            // SAFETY: as above. A child that the function has forked comes by here, too, perhaps with an engine of its own.
            let here = unsafe { chttp_queue::get(queue) };
            if !here.is_ok_and(|here| Arc::ptr_eq(&here.inner, &bound.inner)) {
                // What runs there is the parent's.
                std::mem::forget(running);
                bound = here?;
                running = Running::new(&bound.inner);
            }
        }
    })
}

/// End all chttp_queue_run() of this queue that are in progress, or else the next one, which then returns at once: a stop is
/// never lost. It takes effect when the batch at hand is done; events behind it stay in the queue. A chttp_queue_wait() may
/// return early by it.
///
/// Context:   [any-ctx], and in signal handlers, until chttp_queue_destroy()
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_BAD_STATE (the queue has a callback), CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_stop(queue: *const chttp_queue) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { chttp_queue::get(queue) }?;
        queue.check_waitable()?;
        queue.inner.stop();
        Ok(0)
    })
}

/// Put an event of your own into a queue, from any thread: CHTTP_EV_TASK, with `token`, and `number` as `aux`. Those of one
/// thread come in their order. It is terminal, its `xid` is 0, and it cannot be taken back. With a queue that has a callback,
/// this is how to have something done on the engine's thread.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_AGAIN (1,048,576 events wait in the queue), CHTTP_E_INVALID_ARG, CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_post(queue: *const chttp_queue, token: u64, number: u64) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { chttp_queue::get(queue) }?;
        queue.engine.post_task(&queue.inner, token, number)?;
        Ok(0)
    })
}
