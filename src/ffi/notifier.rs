//! Queues that make themselves heard through a descriptor of another kind.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::guard::{Refusal, bytes, guard_explained};
use super::queue::chttp_queue;
use crate::error as e;
use crate::net::sys;
use crate::queue::Notifier;
use std::ffi::c_char;

/// An epoll descriptor, which is polled and never read: as chttp_queue_new().
pub const CHTTP_NOTIFY_EPOLL: u32 = 0;
/// A real eventfd, which the application may read, for loops that read what they poll or take no epoll descriptor.
pub const CHTTP_NOTIFY_EVENTFD: u32 = 1;
/// The end of a pipe, which the application may read, for loops that take nothing else: one byte comes with each change from
/// empty to non-empty, and for what a drain has left. Bytes that nobody reads are taken by the next drain.
pub const CHTTP_NOTIFY_PIPE: u32 = 2;
/// A descriptor of the application's (an eventfd, a pipe, a socket), to which a payload is written with each change from empty
/// to non-empty, and for what a drain has left.
pub const CHTTP_NOTIFY_USER: u32 = 3;

/// The longest payload. Nothing of this length is cut by a pipe.
const PAYLOAD_MAX: usize = 512;

/// Make a queue with a descriptor of another kind, for an engine with a thread of its own. `kind` is CHTTP_NOTIFY_...;
/// `fd`, `payload` and `payload_len` are for CHTTP_NOTIFY_USER, and are not looked at otherwise. The payload, 1 to 512 bytes,
/// is copied; an eventfd takes just eight, as a number.
///
/// All that is said of the default descriptor holds for CHTTP_NOTIFY_EVENTFD and CHTTP_NOTIFY_PIPE, and the application may
/// read them besides. Who does has to drain until nothing comes, after reading: what was read does not tell again of events
/// that are left. The engine's thread does not stand by for these kinds, so with one request at a time they cost two changes
/// of thread for each answer.
///
/// `fd` must be open for writing and non-blocking. It stays the application's: it is not closed, and not written to any more
/// once chttp_queue_destroy() has returned; until then it must stay open. That it is full, or that its reader is gone, is no
/// error, and raises no SIGPIPE. The application reads the other end, or the eventfd itself, and then drains until nothing
/// comes; chttp_queue_fd() answers CHTTP_E_BAD_STATE. chttp_queue_wait() works with every kind.
///
/// `error`, unless NULL, receives on failure an object that explains it; release it.
///
/// Context:   [any-ctx]
/// Ownership: as for chttp_queue_new().
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG (a kind or a descriptor that cannot be used), CHTTP_E_INVALID_SIZE (the
///            payload), CHTTP_E_BAD_STATE (the engine has no thread), CHTTP_E_TOO_MANY_FILES, CHTTP_E_ENGINE_DOWN,
///            CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_queue_new_kind(
    engine: *const chttp_engine,
    kind: u32,
    fd: i32,
    payload: *const c_char,
    payload_len: usize,
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
            let notifier = match kind {
                CHTTP_NOTIFY_EPOLL => Notifier::Set,
                CHTTP_NOTIFY_EVENTFD => Notifier::EventFd,
                CHTTP_NOTIFY_PIPE => Notifier::Pipe,
                CHTTP_NOTIFY_USER => user(fd, bytes("payload", payload, payload_len)?.unwrap_or_default())?,
                _ => return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, format!("there is no kind {kind}"))),
            };
            if kind != CHTTP_NOTIFY_EPOLL && !inner.settings().own_thread {
                let rule = format!("kind {kind} needs an engine with io_threads = 1: nobody would write to it");
                return Err(Refusal::new(e::CHTTP_E_BAD_STATE, rule));
            }
            out.write(chttp_queue::give(engine, inner.queue_with(notifier)?)?);
            Ok(0)
        })
    }
}

/// The application's descriptor, if it can serve.
fn user(fd: i32, payload: &[u8]) -> Result<Notifier, Refusal> {
    if payload.is_empty() || payload.len() > PAYLOAD_MAX {
        let rule = format!("payload: {} bytes are not within 1 to {PAYLOAD_MAX}", payload.len());
        return Err(Refusal::new(e::CHTTP_E_INVALID_SIZE, rule));
    }
    let unusable = |why: &str| Refusal::new(e::CHTTP_E_INVALID_ARG, format!("fd {fd}: {why}"));
    let flags = sys::status_flags(fd).map_err(|_| unusable("it is not open"))?;
    if flags & libc::O_ACCMODE == libc::O_RDONLY {
        return Err(unusable("it is not open for writing"));
    }
    if flags & libc::O_NONBLOCK == 0 {
        return Err(unusable("it is not non-blocking (O_NONBLOCK)"));
    }
    Ok(Notifier::User(fd, payload.into()))
}
