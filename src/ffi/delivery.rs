//! Events by callback: on the thread of the application that asks for them, or on the engine's.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::guard::{Refusal, bytes, guard, guard_explained};
use super::log::User;
use super::object::empty;
use super::queue::{chttp_queue, record};
use super::types::chttp_event;
use crate::error as e;
use crate::queue::callee::BATCH;
use crate::queue::{Callee, Event, Notifier};
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::sync::Arc;

/// A callback that takes longer is told in the log, as CHTTP_LOG_WARNING. 0: none is. Default 50 ms.
pub const CHTTP_OPT_SLOW_CALLBACK_NS: u32 = 58;

/// The longest name of a queue with a callback.
const NAME_MAX: usize = 64;

/// Called with `n` events, 1 to 128, oldest first, `stride` bytes apart. The array is the library's, and valid during the
/// call alone; so are the objects, which are released afterwards. To keep one, take it: set the event's `obj` to NULL, and
/// call chttp_release() later. To give credit back before the call ends, call chttp_events_release() on them. The function
/// must return: no longjmp() and no C++ exception may leave it.
pub type chttp_events_fn =
    Option<unsafe extern "C" fn(events: *mut chttp_event, n: u32, stride: usize, user: *mut c_void)>;

/// The same, when it is not NULL.
///
/// cbindgen:ignore
type OnEvents = unsafe extern "C" fn(*mut chttp_event, u32, usize, *mut c_void);

/// Events on their way through the application's function; what it has not taken is released in the end.
pub(super) struct Batch {
    events: [MaybeUninit<chttp_event>; BATCH],
    count: usize,
}

impl Batch {
    pub fn new() -> Batch {
        Batch { events: [const { MaybeUninit::uninit() }; BATCH], count: 0 }
    }

    pub fn put(&mut self, event: Event) {
        self.events[self.count].write(record(event));
        self.count += 1;
    }

    /// # Safety
    /// `function` may be called with events and `user`.
    pub unsafe fn hand_over(&mut self, function: OnEvents, user: *mut c_void) {
        if self.count > 0 {
            // SAFETY: by contract; `count` events are written.
            unsafe { function(self.events.as_mut_ptr().cast(), self.count as u32, size_of::<chttp_event>(), user) };
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for event in &mut self.events[..self.count] {
            // SAFETY: it was written by `put`; the application has left its object to us, or set it to NULL.
            unsafe { empty(event.assume_init_mut()) };
        }
    }
}

/// As chttp_queue_drain(), but hand the events to `on_events`, on this thread and before the call returns: up to `max`
/// (UINT32_MAX: until none waits), in batches of 128 at most. Never blocks.
///
/// No lock is held while `on_events` runs. It may submit, cancel, and destroy other objects, the engine too, but not this
/// queue. If it calls chttp_queue_wakeup() for this queue, its batch is the last: the events behind it stay in the queue, and
/// the descriptor is readable for them. So it is after `max` events. It may fork: in the child its batch is the last, unless it
/// calls chttp_engine_reset_after_fork().
///
/// Context:   [any-thread]
/// Ownership: objects that `on_events` has not taken are released.
/// Returns:   number of events (>= 0); CHTTP_E_INVALID_ARG, CHTTP_E_WRONG_THREAD inside a callback of the library,
///            CHTTP_E_BAD_STATE (the queue has a callback), CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_dispatch(
    queue: *const chttp_queue,
    max: u32,
    on_events: chttp_events_fn,
    user: *mut c_void,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut bound = unsafe { chttp_queue::get(queue) }?;
        let function = on_events.filter(|_| max > 0).ok_or(e::CHTTP_E_INVALID_ARG)?;
        bound.check_taker()?;
        let (mut rest, mut count) = (max as usize, 0);
        loop {
            let mut batch = Batch::new();
            let more = bound.engine.drain(&bound.inner, rest.min(BATCH), |event| batch.put(event));
            bound.inner.pass_on(more);
            // SAFETY: the caller's promise about `on_events`.
            unsafe { batch.hand_over(function, user) };
            rest -= more.count;
            count += more.count;
            // SAFETY: as above. A child that the function has forked returns through here, too.
            let here = unsafe { chttp_queue::get(queue) };
            if !more.left || rest == 0 || here.is_err() || bound.inner.is_woken() {
                return Ok(i32::try_from(count).unwrap_or(i32::MAX));
            }
            bound = here?;
        }
    })
}

/// Make a queue whose events are handed to `on_events` as they come, on the engine's own thread (`chttp-io-0`, on which no
/// signal handler runs), for an engine with io_threads = 1. It has no descriptor; nobody drains it or waits on it.
///
/// Each call gets a batch of up to 128 events, in order; there is one call at a time in an engine, and none inside another.
/// No lock is held while `on_events` runs: it may call every function whose context is [any-ctx], and chttp_submit() is the
/// usual one. Of the others, those that might wait do nothing and answer CHTTP_E_WRONG_THREAD. The engine does nothing else
/// until it returns: it must not block, and what takes long belongs on a thread of the application's. A call that took longer
/// than CHTTP_OPT_SLOW_CALLBACK_NS is told in the log by `name`, 0 to 64 bytes of UTF-8 without control characters, or if
/// that is NULL or empty, by the address of `on_events`.
///
/// `user` comes back in each call. Once chttp_queue_destroy() or chttp_engine_destroy() has returned, no call is under way and
/// none follows; both wait for one that is. chttp_engine_destroy() lets the terminal events be delivered before. They are
/// delivered after chttp_engine_release() too, and so is CHTTP_EV_ENGINE_DOWN when the engine fails. The engine's thread does
/// not stand by while there is such a queue.
///
/// `error`, unless NULL, receives on failure an object that explains it; release it.
///
/// Context:   [any-ctx]
/// Ownership: as for chttp_queue_new(); objects that `on_events` has not taken are released after each call.
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE (the name), CHTTP_E_BAD_STATE (the engine has no
///            thread), CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_new_callback(
    engine: *const chttp_engine,
    on_events: chttp_events_fn,
    user: *mut c_void,
    name: *const c_char,
    name_len: usize,
    out: *mut *mut chttp_queue,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let inner = chttp_engine::get(engine)?;
            if out.is_null() {
                return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, "out is NULL"));
            }
            let function = on_events.ok_or_else(|| Refusal::new(e::CHTTP_E_INVALID_ARG, "on_events is NULL"))?;
            let name = label(bytes("name", name, name_len)?.unwrap_or_default(), function)?;
            if !inner.settings().own_thread {
                let rule = "a callback needs an engine with io_threads = 1: there is no thread to run it on";
                return Err(Refusal::new(e::CHTTP_E_BAD_STATE, rule));
            }
            let user = User::new(user);
            let callee = Callee::new(
                name,
                Arc::new(move |events| {
                    let mut batch = Batch::new();
                    events.for_each(|event| batch.put(event));
                    // SAFETY: the application gave the function for this.
                    batch.hand_over(function, user.get());
                }),
            );
            out.write(chttp_queue::give(engine, inner.queue_with(Notifier::Call(callee))?)?);
            Ok(0)
        })
    }
}

/// What the log calls the queue's function.
fn label(name: &[u8], function: OnEvents) -> Result<String, Refusal> {
    if name.len() > NAME_MAX {
        let rule = format!("name: {} bytes are not within 0 to {NAME_MAX}", name.len());
        return Err(Refusal::new(e::CHTTP_E_INVALID_SIZE, rule));
    }
    match std::str::from_utf8(name) {
        Ok("") => Ok(format!("{:#x}", function as usize)),
        Ok(name) if !name.contains(char::is_control) => Ok(format!("\"{name}\"")),
        _ => Err(Refusal::new(e::CHTTP_E_INVALID_ARG, "name: it is not UTF-8, or has control characters inside")),
    }
}
