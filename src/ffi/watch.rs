//! Descriptors of the application's, watched by an engine.

use super::engine::chttp_engine;
use super::error::chttp_error;
use super::guard::{Refusal, guard_explained};
use super::queue::chttp_queue;
use super::types::chttp_xid;
use crate::client::sources::{Refused, Wanted, ready};
use crate::error as e;
use crate::net::backend::Interest;
use std::io;

/// The descriptor can be read: bytes, an end or an error.
pub const CHTTP_WATCH_READ: u32 = 1;
/// The descriptor can be written to, or writing would tell of an error.
pub const CHTTP_WATCH_WRITE: u32 = 2;
/// The other side is gone, has closed its half, or there is an error. Told in any case, along with what was asked for;
/// asking for it changes nothing.
pub const CHTTP_WATCH_HANGUP: u32 = 4;
/// Only asked for: the first event is the last.
pub const CHTTP_WATCH_ONCE: u32 = 256;

const _: () = assert!(
    CHTTP_WATCH_READ == ready::READ && CHTTP_WATCH_WRITE == ready::WRITE && CHTTP_WATCH_HANGUP == ready::HANGUP
);

fn wanted(interest: u32) -> Result<Wanted, Refusal> {
    let known = CHTTP_WATCH_READ | CHTTP_WATCH_WRITE | CHTTP_WATCH_HANGUP | CHTTP_WATCH_ONCE;
    if interest & !known != 0 {
        let rule = format!("interest: {:#x} is no CHTTP_WATCH_ flag", interest & !known);
        return Err(Refusal::new(e::CHTTP_E_UNKNOWN_FLAG, rule));
    }
    let asks = |flag| interest & flag != 0;
    let interest = Interest { readable: asks(CHTTP_WATCH_READ), writable: asks(CHTTP_WATCH_WRITE) };
    Ok(Wanted { interest, once: asks(CHTTP_WATCH_ONCE) })
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        match refused {
            Refused::Closed => e::CHTTP_E_ENGINE_DOWN.into(),
            Refused::NotFound => e::CHTTP_E_NOT_FOUND.into(),
            Refused::Full => {
                let rule = "the engine carries as many watches and timers as it may (option max_exchanges)";
                Refusal::new(e::CHTTP_E_TOO_MANY_EXCHANGES, rule)
            }
            Refused::Unwatchable(error) => unwatchable(&error),
        }
    }
}

/// Why a descriptor is not watched.
fn unwatchable(error: &io::Error) -> Refusal {
    let (code, rule) = match error.raw_os_error() {
        Some(libc::EEXIST) => (e::CHTTP_E_BAD_STATE, "it is watched already; change that watch, or dup() it"),
        Some(libc::EBADF) => (e::CHTTP_E_INVALID_ARG, "it is not open"),
        Some(libc::EPERM) => (e::CHTTP_E_UNSUPPORTED, "a file or directory is always ready, and cannot be watched"),
        Some(libc::EINVAL | libc::ELOOP) => {
            (e::CHTTP_E_INVALID_ARG, "epoll sets are nested in a circle, or too deeply")
        }
        Some(libc::ENOMEM) => (e::CHTTP_E_NOMEM, "the system has no memory for it"),
        Some(libc::ENOSPC) => (e::CHTTP_E_TOO_MANY_FILES, "the system watches as many as it may (max_user_watches)"),
        Some(_) => return Refusal::new(e::CHTTP_E_IO, format!("fd: {error}")),
        None if error.kind() == io::ErrorKind::Unsupported => {
            (e::CHTTP_E_UNSUPPORTED, "a mock has timers and tasks, but watches no descriptor")
        }
        None => (e::CHTTP_E_INVALID_ARG, "it is the engine's own"),
    };
    Refusal::new(code, format!("fd: {rule}"))
}

/// Watch a descriptor of the application's: what can be read from it or written to it becomes events of `queue`.
/// `interest` is CHTTP_WATCH_READ and CHTTP_WATCH_WRITE, or'ed; with CHTTP_WATCH_ONCE for one event. None of both is a watch
/// that pauses until chttp_watch_modify().
///
/// CHTTP_EV_WATCH: `arg` says what is so, `aux` is the descriptor. A watch tells what is, not what comes (level-triggered):
/// what was not read is told again. But there is one event of it at a time. Until its `obj` is released, by
/// chttp_events_release(), or behind the function of chttp_queue_dispatch(), chttp_queue_run() or a callback, the watch is
/// silent; then it looks anew. So read or write first and release afterwards, on whatever thread; keep `obj` to pause, and do
/// not forget to release events that you have no use for.
///
/// End it with chttp_cancel(): when that has returned, the library is done with the descriptor, and it may be closed. Of
/// the watch, an event may still wait in the queue; the last one has CHTTP_EF_TERMINAL, and `error` CHTTP_E_CANCELLED. With
/// CHTTP_WATCH_ONCE the first event is terminal, and no further one follows. When the engine ends, so does the watch, with
/// CHTTP_E_ENGINE_CLOSED; with its queue it goes without a word. The descriptor is never closed, read or written, and its flags
/// stay as they are.
///
/// One that is closed while it is watched harms nobody: the watch is silent, or ends with CHTTP_E_IO (`os_errno` EBADF or
/// ENOENT) once that shows, and never tells of what has its number now. End it first all the same: as long as the description
/// is open elsewhere (dup(), fork()), the kernel goes on reporting it.
///
/// A descriptor has one watch in an engine, and any number in several. Pipes, sockets, terminals, eventfds, timerfds, epoll
/// sets, another engine's queue: whatever epoll(7) takes, so not files. As many watches and timers as CHTTP_OPT_MAX_EXCHANGES.
///
/// `error`, unless NULL, receives on failure an object that explains it; release it.
///
/// Context:   [any-ctx]
/// Ownership: `fd` stays yours.
/// Returns:   0 and `*out`, unless that is NULL; CHTTP_E_INVALID_ARG (`fd` is not open, or the engine's own),
///            CHTTP_E_UNKNOWN_FLAG, CHTTP_E_BAD_STATE (it is watched already), CHTTP_E_UNSUPPORTED (a file, or a mock),
///            CHTTP_E_TOO_MANY_EXCHANGES, CHTTP_E_TOO_MANY_FILES, CHTTP_E_NOMEM, CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_watch_fd(
    engine: *const chttp_engine,
    queue: *const chttp_queue,
    fd: i32,
    interest: u32,
    token: u64,
    out: *mut chttp_xid,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            let queue = chttp_queue::of(queue, engine)?;
            let wanted = wanted(interest)?;
            if fd < 0 {
                return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, format!("fd: {fd} is no descriptor")));
            }
            let give = |id| {
                if !out.is_null() {
                    out.write(id);
                }
            };
            engine.watch_fd(queue, token, fd, wanted, give)?;
            Ok(0)
        })
    }
}

/// Ask something else of a watch, or pause it (`interest` 0); CHTTP_WATCH_ONCE has the next event be the last. An event that
/// waits in the queue still tells what was asked before. If one is not released, the change counts from its release on.
///
/// `error`, unless NULL, receives on failure an object that explains it; release it.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_NOT_FOUND (the watch has ended, or the id is none of a watch), CHTTP_E_UNKNOWN_FLAG,
///            CHTTP_E_INVALID_ARG, CHTTP_E_ENGINE_DOWN, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_watch_modify(
    engine: *const chttp_engine,
    id: chttp_xid,
    interest: u32,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        guard_explained(error, || {
            let engine = chttp_engine::get(engine)?;
            engine.watch_for(id, wanted(interest)?)?;
            Ok(0)
        })
    }
}
