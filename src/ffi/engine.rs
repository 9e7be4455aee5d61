//! The engine handle.

use super::config::chttp_config;
use super::error::chttp_error;
use super::guard::{Refusal, give, guard, guard_explained};
use super::types::chttp_stats;
use crate::client::{self, Settings};
use crate::error as e;
use crate::net::backend::{Drive, epoll::EpollBackend};
use crate::net::sys;
use std::sync::Arc;

/// cbindgen:ignore
pub(super) type EpollEngine = client::Engine<EpollBackend>;

/// An HTTP client: connections, names, timers, and the thread that works on them. Thread-safe. One is enough for a process:
/// exchanges of one engine share its connections.
pub struct chttp_engine {
    inner: Arc<EpollEngine>,
    /// The process it was made in.
    epoch: u32,
}

impl chttp_engine {
    /// The engine behind a handle, unless this is another process.
    ///
    /// # Safety
    /// `engine` is NULL or a handle that is not destroyed for `'a`.
    pub(super) unsafe fn get<'a>(engine: *const chttp_engine) -> Result<&'a Arc<EpollEngine>, i32> {
        // SAFETY: by contract.
        let engine = unsafe { engine.as_ref() }.ok_or(e::CHTTP_E_INVALID_ARG)?;
        if sys::is_process_epoch(engine.epoch) { Ok(&engine.inner) } else { Err(e::CHTTP_E_FORKED) }
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }
}

/// Make an engine. `config` may be NULL for the defaults; it is copied. `error`, unless NULL, receives on failure an
/// object that explains it; release it.
///
/// Context:   [any-thread]
/// Ownership: end it with chttp_engine_destroy() or chttp_engine_release().
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_TOO_MANY_FILES, CHTTP_E_NOMEM, CHTTP_E_IO.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_new(
    config: *const chttp_config,
    out: *mut *mut chttp_engine,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            if out.is_null() {
                return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, "out is NULL"));
            }
            let settings = config.as_ref().map_or_else(Settings::default, |c| c.settings().clone());
            let epoch = sys::process_epoch();
            let drive = if settings.own_thread { Drive::OwnThread } else { Drive::Caller };
            let inner = EpollBackend::new(drive).and_then(|backend| EpollEngine::new(settings, backend));
            let inner = inner.map_err(|error| {
                let code = match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE) => e::CHTTP_E_TOO_MANY_FILES,
                    Some(libc::ENOMEM) => e::CHTTP_E_NOMEM,
                    _ => e::CHTTP_E_IO,
                };
                Refusal::new(code, format!("the engine could not start: {error}"))
            })?;
            out.write(Box::into_raw(Box::new(chttp_engine { inner, epoch })));
            Ok(0)
        })
    }
}

/// End an engine. Every open exchange first gets its terminal event, with CHTTP_E_ENGINE_CLOSED; then the thread is
/// joined. Afterwards no memory of the caller is read, and no descriptor is written to. Queues stay drainable, and objects
/// stay valid until they are released. NULL is nothing. In a forked child the engine is given up without being touched.
///
/// Threads that resolve names are not waited for, because the system's resolver cannot be stopped. One may still be ending
/// when the process does; leak checkers then show what the C library holds for it.
///
/// Context:   [any-thread]
/// Returns:   0; CHTTP_E_WRONG_THREAD on the engine's own thread.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_destroy(engine: *mut chttp_engine) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { end(engine, true) }
}

/// As chttp_engine_destroy(), but without waiting for the thread: for finalizers, which may not block. The terminal events
/// come soon.
///
/// Context:   [any-ctx]
/// Returns:   0.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_release(engine: *mut chttp_engine) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { end(engine, false) }
}

/// # Safety
/// `engine` is NULL or a handle that is given up.
unsafe fn end(engine: *mut chttp_engine, join: bool) -> i32 {
    guard(|| {
        if engine.is_null() {
            return Ok(0);
        }
        // SAFETY: by contract.
        let handle = unsafe { &*engine };
        if !sys::is_process_epoch(handle.epoch) {
            // The parent's connections, locks and threads: nothing of it may be touched, not even freed.
            return Ok(0);
        }
        if join && handle.inner.is_own_thread() {
            return Err(e::CHTTP_E_WRONG_THREAD);
        }
        handle.inner.stop(join);
        // SAFETY: it came from chttp_engine_new and is given up.
        drop(unsafe { Box::from_raw(engine) });
        Ok(0)
    })
}

/// Counters and gauges. `out_size` is sizeof(chttp_stats).
///
/// Context:   [any-thread]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_stats(
    engine: *const chttp_engine,
    out: *mut chttp_stats,
    out_size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let stats = unsafe { chttp_engine::get(engine) }?.stats();
        let calls = sys::Counters::snapshot();
        let stats = chttp_stats {
            size: out_size.min(size_of::<chttp_stats>()) as u32,
            reserved: 0,
            submitted: stats.tally.submitted,
            succeeded: stats.tally.succeeded,
            failed: stats.tally.failed,
            cancelled: stats.tally.cancelled,
            retried: stats.tally.retried,
            connections_opened: stats.tally.connections_opened,
            connections_reused: stats.tally.connections_reused,
            connect_failures: stats.tally.connect_failures,
            exchanges: u64::from(stats.exchanges),
            connections: u64::from(stats.pool.open),
            connections_idle: u64::from(stats.pool.idle),
            waiting: u64::from(stats.pool.waiting),
            socket_calls: calls.socket_calls,
            notifier_calls: calls.notifier_calls,
            poll_calls: calls.poll_calls,
            epoll_ctl_calls: calls.epoll_ctl_calls,
        };
        // SAFETY: the caller's promise about `out`.
        unsafe { give(&stats, out, out_size) }
    })
}
