//! The queue handle: the poll-fd, drain and wait.

use super::engine::{AnyEngine, chttp_engine};
use super::guard::{STRUCT_MAX, guard, outside_callbacks, timeout};
use super::process::{Family, PerProcess};
use super::types::chttp_event;
use crate::error as e;
use crate::queue::{Event, Queue};
use std::ffi::c_char;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A completion queue: where the events of the exchanges submitted to it arrive. Thread-safe. Any number for an engine
/// with a thread of its own; one for an engine that the caller drives.
pub struct chttp_queue {
    bound: PerProcess<Bound>,
    family: Arc<Family>,
    /// Destroyed in a forked child, where the handle is not freed.
    given_up: AtomicBool,
}

/// What a handle stands for.
pub(super) struct Bound {
    pub inner: Arc<Queue>,
    pub engine: Arc<AnyEngine>,
}

impl chttp_queue {
    /// The queue behind a handle, unless this is another process.
    ///
    /// # Safety
    /// `queue` is NULL or a handle that is not destroyed for `'a`.
    pub(super) unsafe fn get<'a>(queue: *const chttp_queue) -> Result<&'a Bound, i32> {
        // SAFETY: by contract.
        unsafe { queue.as_ref() }.ok_or(e::CHTTP_E_INVALID_ARG)?.bound.get()
    }

    /// A handle of `inner`, a queue of `engine`.
    ///
    /// # Safety
    /// As for `get`.
    pub(super) unsafe fn give(engine: *const chttp_engine, inner: Arc<Queue>) -> Result<*mut chttp_queue, i32> {
        // SAFETY: by contract.
        let (engine, family) = unsafe { (chttp_engine::get(engine)?.clone(), (*engine).family().clone()) };
        let (bound, given_up) = (PerProcess::new(Bound { inner, engine }), AtomicBool::new(false));
        let handle = Box::into_raw(Box::new(chttp_queue { bound, family: family.clone(), given_up }));
        family.lock().add(handle);
        Ok(handle)
    }

    /// The queue, if it belongs to `engine`.
    ///
    /// # Safety
    /// As for `get`.
    pub(super) unsafe fn of<'a>(queue: *const chttp_queue, engine: &Arc<AnyEngine>) -> Result<&'a Arc<Queue>, i32> {
        // SAFETY: by contract.
        let queue = unsafe { chttp_queue::get(queue) }?;
        if Arc::ptr_eq(&queue.engine, engine) { Ok(&queue.inner) } else { Err(e::CHTTP_E_INVALID_ARG) }
    }

    /// In a forked child: a queue of `engine` for this handle, if it needs one.
    pub(super) fn successor(&self, engine: &Arc<AnyEngine>) -> Result<Option<Bound>, i32> {
        if self.bound.get().is_ok() || self.given_up.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let inner = engine.queue_with(self.bound.any().inner.notifier())?;
        Ok(Some(Bound { inner, engine: engine.clone() }))
    }

    /// In a forked child: that is what the handle stands for now.
    pub(super) fn succeed(&self, bound: Bound) {
        let former = self.bound.any();
        self.bound.succeed(bound);
        former.inner.abandon();
    }

    /// In a forked child: close the descriptors, and nothing else.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.bound.any().inner.abandon();
    }
}

impl Bound {
    /// Whether the calling thread may take events.
    pub fn check_taker(&self) -> Result<(), i32> {
        outside_callbacks()?;
        self.check_waitable()
    }

    /// Whether there is anything to wait for: events of a queue with a function go to that.
    pub fn check_waitable(&self) -> Result<(), i32> {
        if self.inner.callee().is_some() { Err(e::CHTTP_E_BAD_STATE) } else { Ok(()) }
    }
}

/// Distance between two events in the caller's array: 0 stands for the size that this library knows.
pub fn check_stride(stride: usize) -> Result<usize, i32> {
    match stride {
        0 => Ok(size_of::<chttp_event>()),
        s if s >= size_of::<chttp_event>() && s % align_of::<chttp_event>() == 0 && s <= STRUCT_MAX => Ok(s),
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
        // SAFETY: the promise of `new`.
        unsafe {
            self.at.cast::<chttp_event>().write(record(event));
            self.at = self.at.add(self.stride);
        }
    }
}

/// An event as the caller sees it, who then owns its object.
pub(super) fn record(event: Event) -> chttp_event {
    chttp_event {
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
    }
}

/// Make a queue.
///
/// Context:   [any-ctx]
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
            out.write(chttp_queue::give(engine, inner.queue()?)?);
        }
        Ok(0)
    })
}

/// The descriptor to put into the application's event loop, for reading.
///
/// The same number until chttp_queue_destroy(), or chttp_engine_reset_after_fork() in a forked child; non-blocking,
/// close-on-exec. Whenever an event waits and nobody is inside drain or wait, it is readable; sometimes it is readable although
/// none waits. Level-triggered and edge-triggered loops both work, whether they drain once for each wake-up or until nothing
/// comes. It needs no timer and no other call: timeouts make it readable too, also with an engine that the caller drives. Do
/// not read it (there is no need), write to it or close it; dup it as you like.
///
/// It is an epoll descriptor, and may stand in up to three epoll sets that are nested in each other (the kernel allows five,
/// and two are the library's). Those of other kinds: chttp_queue_new_kind().
///
/// Context:   [any-ctx]
/// Returns:   the descriptor (>= 0); CHTTP_E_INVALID_ARG, CHTTP_E_BAD_STATE (CHTTP_NOTIFY_USER, a callback, or a mock),
///            CHTTP_E_FORKED.
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
/// Returns:   number of events (>= 0), 0 also when none waits; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE,
///            CHTTP_E_WRONG_THREAD inside a callback of the library, CHTTP_E_BAD_STATE (the queue has a callback),
///            CHTTP_E_FORKED.
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
        queue.check_taker()?;
        let drained = queue.engine.drain(&queue.inner, cap as usize, |event| writer.put(event));
        queue.inner.pass_on(drained);
        Ok(i32::try_from(drained.count).unwrap_or(i32::MAX))
    })
}

/// As chttp_queue_drain(), but wait until at least one event comes, for at most `timeout_ns` nanoseconds (0: not at all;
/// CHTTP_UNLIMITED: for ever), until chttp_queue_wakeup(), or until a signal handler runs. On a mock the time is virtual, and
/// passes in the call: see chttp_mock_new().
///
/// Context:   [any-thread]
/// Ownership: as for chttp_queue_drain().
/// Returns:   number of events (>= 0), 0 after the time or a wake-up; CHTTP_E_INTERRUPTED, CHTTP_E_INVALID_ARG,
///            CHTTP_E_INVALID_SIZE, CHTTP_E_WRONG_THREAD, CHTTP_E_BAD_STATE (the queue has a callback; or, without a limit
///            on a mock, nothing will ever come), CHTTP_E_FORKED, CHTTP_E_IO;
///            CHTTP_E_ENGINE_DOWN when the engine has ended and every event was taken.
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
        queue.check_taker()?;
        match queue.engine.wait(&queue.inner, cap as usize, timeout(timeout_ns), |event| writer.put(event)) {
            // Nothing will ever come: a loop around the wait must not spin.
            Ok(drained) if drained.count == 0 && !drained.woken && queue.engine.is_over(&queue.inner) => {
                Err(e::CHTTP_E_ENGINE_DOWN)
            }
            Ok(drained) => {
                queue.inner.pass_on(drained);
                Ok(i32::try_from(drained.count).unwrap_or(i32::MAX))
            }
            Err(error) => Err(wait_failed(&error)),
        }
    })
}

/// Why a wait ended before its time.
pub(super) fn wait_failed(error: &io::Error) -> i32 {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::Interrupted, _) => e::CHTTP_E_INTERRUPTED,
        // What a mock says when there is nothing that it could wait for.
        (_, Some(libc::EDEADLK)) => e::CHTTP_E_BAD_STATE,
        _ => e::CHTTP_E_IO,
    }
}

/// Make a chttp_queue_wait() in progress, or else the next one, return early with 0; the descriptor becomes readable too,
/// so that a call between a look at a flag and poll() is not lost.
///
/// Context:   [any-ctx], and in signal handlers, until chttp_queue_destroy()
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_BAD_STATE (the queue has a callback), CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_wakeup(queue: *const chttp_queue) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { chttp_queue::get(queue) }?;
        queue.check_waitable()?;
        queue.inner.wakeup();
        Ok(0)
    })
}

/// Destroy a queue: its exchanges are cancelled, its watches and timers ended, its events dropped, and the objects of these
/// released. Nobody may be inside drain or wait. If it has a callback, a call that is under way is waited for, and none
/// follows. NULL is nothing. In a forked child that has not called chttp_engine_reset_after_fork() the queue's descriptors are
/// closed, and nothing else is done: its memory stays.
///
/// Context:   [any-thread] [child-ok]
/// Returns:   0; CHTTP_E_WRONG_THREAD inside a callback of the library: the queue is as it was.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_destroy(queue: *mut chttp_queue) -> i32 {
    guard(|| {
        if queue.is_null() {
            return Ok(0);
        }
        // SAFETY: the caller's promise.
        let handle = unsafe { &*queue };
        let Ok(bound) = handle.bound.get() else {
            // Not freed either: a child that takes the engine over goes through the handles.
            handle.give_up();
            return Ok(0);
        };
        outside_callbacks()?;
        handle.family.lock().remove(queue);
        bound.engine.forget(&bound.inner);
        // SAFETY: it came from `give` and is given up.
        drop(unsafe { Box::from_raw(queue) });
        Ok(0)
    })
}
