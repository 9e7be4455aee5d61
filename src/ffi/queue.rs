//! The queue handle: the poll-fd, drain and wait.

use super::engine::{EpollEngine, chttp_engine};
use super::guard::{guard, timeout};
use super::types::chttp_event;
use crate::error as e;
use crate::net::sys;
use crate::queue::{Event, Queue};
use std::ffi::c_char;
use std::io;
use std::sync::Arc;

/// A completion queue: where the events of the exchanges submitted to it arrive. Thread-safe. Any number for an engine
/// with a thread of its own; one for an engine that the caller drives.
pub struct chttp_queue {
    inner: Arc<Queue>,
    engine: Arc<EpollEngine>,
    epoch: u32,
}

impl chttp_queue {
    /// The queue behind a handle, unless this is another process.
    ///
    /// # Safety
    /// `queue` is NULL or a handle that is not destroyed for `'a`.
    unsafe fn get<'a>(queue: *const chttp_queue) -> Result<&'a chttp_queue, i32> {
        // SAFETY: by contract.
        let queue = unsafe { queue.as_ref() }.ok_or(e::CHTTP_E_INVALID_ARG)?;
        if sys::is_process_epoch(queue.epoch) { Ok(queue) } else { Err(e::CHTTP_E_FORKED) }
    }

    /// The queue, if it belongs to `engine`.
    ///
    /// # Safety
    /// As for `get`.
    pub(super) unsafe fn of<'a>(queue: *const chttp_queue, engine: &Arc<EpollEngine>) -> Result<&'a Arc<Queue>, i32> {
        // SAFETY: by contract.
        let queue = unsafe { chttp_queue::get(queue) }?;
        if Arc::ptr_eq(&queue.engine, engine) { Ok(&queue.inner) } else { Err(e::CHTTP_E_INVALID_ARG) }
    }
}

/// Distance between two events in the caller's array: 0 stands for the size that this library knows.
pub fn check_stride(stride: usize) -> Result<usize, i32> {
    match stride {
        0 => Ok(size_of::<chttp_event>()),
        s if s >= size_of::<chttp_event>() && s % align_of::<chttp_event>() == 0 && s <= 4096 => Ok(s),
        _ => Err(e::CHTTP_E_INVALID_SIZE),
    }
}

/// Writes events into the caller's array, one after the other.
struct Writer {
    at: *mut u8,
    stride: usize,
}

impl Writer {
    /// # Safety
    /// `events` points to `cap` events `stride` bytes apart, and at most `cap` are put.
    unsafe fn new(events: *mut chttp_event, cap: u32, stride: usize) -> Result<Writer, i32> {
        if events.is_null() && cap > 0 {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        Ok(Writer { at: events.cast(), stride: check_stride(stride)? })
    }

    fn put(&mut self, event: Event) {
        let record = chttp_event {
            kind: event.kind,
            flags: event.flags,
            arg: event.arg,
            xid: event.xid,
            token: event.token,
            error: event.error,
            os_errno: event.os_errno,
            data: event.data as *const c_char,
            len: event.len,
            obj: event.obj.map_or(std::ptr::null_mut(), |block| block.into_raw()),
            aux: event.aux,
        };
        // SAFETY: the promise of `new`.
        unsafe {
            self.at.cast::<chttp_event>().write(record);
            self.at = self.at.add(self.stride);
        }
    }
}

/// Make a queue.
///
/// Context:   [any-thread]
/// Ownership: destroy it with chttp_queue_destroy(), before or after the engine.
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_BAD_STATE (a second queue for an engine that the caller drives),
///            CHTTP_E_TOO_MANY_FILES, CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_new(engine: *const chttp_engine, out: *mut *mut chttp_queue) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let inner = chttp_engine::get(engine)?;
            if out.is_null() {
                return Err(e::CHTTP_E_INVALID_ARG);
            }
            let queue = chttp_queue { inner: inner.queue()?, engine: inner.clone(), epoch: (*engine).epoch() };
            out.write(Box::into_raw(Box::new(queue)));
        }
        Ok(0)
    })
}

/// The descriptor to put into the application's event loop, for reading.
///
/// The same number until chttp_queue_destroy(); non-blocking, close-on-exec. Whenever an event waits and nobody is inside
/// drain or wait, it is readable; sometimes it is readable although none waits. Level-triggered and edge-triggered loops
/// both work, whether they drain once for each wake-up or until nothing comes. It needs no timer and no other call: timeouts
/// make it readable too, also with an engine that the caller drives. Do not read it (there is no need), write to it or close
/// it; dup it as you like.
///
/// Context:   [any-ctx]
/// Returns:   the descriptor (>= 0); CHTTP_E_INVALID_ARG, CHTTP_E_BAD_STATE, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_fd(queue: *const chttp_queue) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { chttp_queue::get(queue) }?;
        queue.engine.fd(&queue.inner).ok_or(e::CHTTP_E_BAD_STATE)
    })
}

/// Move up to `cap` events from the queue into `events`, oldest first.
///
/// Never blocks and never calls back. Clears the descriptor first and makes it readable again if events remain. With an
/// engine that the caller drives, this is where its work is done. `stride` is the distance between two events in bytes:
/// sizeof(chttp_event), or 0 for the same.
///
/// Context:   [any-thread]
/// Ownership: each event may own an object; pass the array to chttp_events_release().
/// Returns:   number of events (>= 0), 0 also when none waits; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_drain(
    queue: *const chttp_queue,
    events: *mut chttp_event,
    cap: u32,
    stride: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (queue, mut writer) = unsafe { (chttp_queue::get(queue)?, Writer::new(events, cap, stride)?) };
        let drained = queue.engine.drain(&queue.inner, cap as usize, |event| writer.put(event));
        Ok(i32::try_from(drained.count).unwrap_or(i32::MAX))
    })
}

/// As chttp_queue_drain(), but wait until at least one event comes, for at most `timeout_ns` nanoseconds (0: not at all;
/// CHTTP_UNLIMITED: for ever), until chttp_queue_wakeup(), or until a signal handler runs.
///
/// Context:   [any-thread]
/// Ownership: as for chttp_queue_drain().
/// Returns:   number of events (>= 0), 0 after the time or a wake-up; CHTTP_E_INTERRUPTED, CHTTP_E_INVALID_ARG,
///            CHTTP_E_INVALID_SIZE, CHTTP_E_WRONG_THREAD, CHTTP_E_FORKED, CHTTP_E_IO; CHTTP_E_ENGINE_DOWN when the engine
///            has ended and every event was taken.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_wait(
    queue: *const chttp_queue,
    events: *mut chttp_event,
    cap: u32,
    stride: usize,
    timeout_ns: u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (queue, mut writer) = unsafe { (chttp_queue::get(queue)?, Writer::new(events, cap, stride)?) };
        if cap == 0 {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        if queue.engine.is_own_thread() {
            return Err(e::CHTTP_E_WRONG_THREAD);
        }
        match queue.engine.wait(&queue.inner, cap as usize, timeout(timeout_ns), |event| writer.put(event)) {
            // Nothing will ever come: a loop around the wait must not spin.
            Ok(drained) if drained.count == 0 && !drained.woken && queue.engine.is_stopped() => {
                Err(e::CHTTP_E_ENGINE_DOWN)
            }
            Ok(drained) => Ok(i32::try_from(drained.count).unwrap_or(i32::MAX)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(e::CHTTP_E_INTERRUPTED),
            Err(_) => Err(e::CHTTP_E_IO),
        }
    })
}

/// Make a chttp_queue_wait() in progress, or else the next one, return early with 0; the descriptor becomes readable too,
/// so that a call between a look at a flag and poll() is not lost.
///
/// Context:   [any-ctx], and in signal handlers, until chttp_queue_destroy()
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_wakeup(queue: *const chttp_queue) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { chttp_queue::get(queue) }?.inner.wakeup();
        Ok(0)
    })
}

/// Destroy a queue: its exchanges are cancelled, its events dropped, and the objects of these released. Nobody may be inside
/// drain or wait. NULL is nothing. In a forked child the queue is given up without being touched.
///
/// Context:   [any-thread]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_destroy(queue: *mut chttp_queue) {
    guard(|| {
        if queue.is_null() {
            return Ok(0);
        }
        // SAFETY: the caller's promise; in another process nothing is touched, not even freed.
        unsafe {
            let handle = match chttp_queue::get(queue) {
                Ok(handle) => handle,
                Err(_) => return Ok(0),
            };
            handle.engine.forget(&handle.inner);
            drop(Box::from_raw(queue));
        }
        Ok(0)
    });
}
