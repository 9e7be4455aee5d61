//! The engine handle.

use super::config::chttp_config;
use super::error::chttp_error;
use super::guard::{Refusal, give, guard, guard_explained, outside_callbacks};
use super::process::{Family, PerProcess};
use super::types::chttp_stats;
use crate::client::{self, Settings, trust};
use crate::diag::Level;
use crate::error as e;
use crate::net::backend::Drive;
use crate::net::backend::any::{Any, AnyBackend};
use crate::net::backend::epoll::EpollBackend;
use crate::net::sys;
use crate::pool::Gone;
use std::io;
use std::sync::Arc;

/// cbindgen:ignore
pub(super) type AnyEngine = client::Engine<AnyBackend>;

/// An HTTP client: connections, names, timers, and the thread that works on them. Thread-safe. One is enough for a process:
/// exchanges of one engine share its connections.
pub struct chttp_engine {
    inner: PerProcess<Arc<AnyEngine>>,
    family: Arc<Family>,
}

impl chttp_engine {
    /// The engine behind a handle, unless this is another process.
    ///
    /// # Safety
    /// `engine` is NULL or a handle that is not destroyed for `'a`.
    pub(super) unsafe fn get<'a>(engine: *const chttp_engine) -> Result<&'a Arc<AnyEngine>, i32> {
        // SAFETY: by contract.
        unsafe { engine.as_ref() }.ok_or(e::CHTTP_E_INVALID_ARG)?.inner.get()
    }

    pub(super) fn family(&self) -> &Arc<Family> {
        &self.family
    }
}

/// The kernel's network for an engine with such settings.
fn kernel(settings: &Settings) -> io::Result<AnyBackend> {
    let drive = if settings.own_thread { Drive::OwnThread } else { Drive::Caller };
    EpollBackend::tuned(drive, settings.tuning).map(Any::Kernel)
}

fn unstarted(error: &io::Error) -> Refusal {
    let code = match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => e::CHTTP_E_TOO_MANY_FILES,
        Some(libc::ENOMEM) => e::CHTTP_E_NOMEM,
        _ => e::CHTTP_E_IO,
    };
    Refusal::new(code, format!("the engine could not start: {error}"))
}

/// Make an engine. `config` may be NULL for the defaults; it is copied. `error`, unless NULL, receives on failure an
/// object that explains it; release it.
///
/// Context:   [any-thread]
/// Ownership: end it with chttp_engine_destroy() or chttp_engine_release().
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_TLS, CHTTP_E_TOO_MANY_FILES, CHTTP_E_NOMEM, CHTTP_E_IO,
///            CHTTP_E_FORKED (CHTTP_OPT_BACKEND is the parent's), CHTTP_E_BAD_STATE (the backend has an engine).
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
            let mut settings = config.as_ref().map_or_else(Settings::default, |c| c.settings().clone());
            // Whoever sets a TLS option wants to hear now what is wrong with it.
            let wants_tls = settings.tls != trust::Options::default();
            if let Some((made, epoch)) = &settings.tls_made {
                if wants_tls {
                    let rule = "option tls: it stands for all tls_... options, and others of them are set";
                    return Err(Refusal::new(e::CHTTP_E_INVALID_TLS, rule));
                }
                if !sys::is_process_epoch(*epoch) {
                    settings.tls_made = Some((Arc::new(made.successor()), sys::process_epoch()));
                }
            }
            let inner = match super::mock::claim(&settings)? {
                Some((backend, names)) => AnyEngine::with_resolver(settings, Any::Mock(backend), names),
                None => kernel(&settings).and_then(|backend| AnyEngine::new(settings, backend)),
            };
            let inner = inner.map_err(|error| unstarted(&error))?;
            if wants_tls && let Err(unusable) = inner.tls() {
                inner.stop(true);
                return Err(unusable.into());
            }
            out.write(Box::into_raw(Box::new(chttp_engine { inner: PerProcess::new(inner), family: Arc::default() })));
            Ok(0)
        })
    }
}

/// Give a forked child an engine in the place of its parent's, behind the same handle: with the same settings, an empty pool
/// and fresh threads. Until then an engine and its queues answer CHTTP_E_FORKED in the child. In the parent, and in a child
/// that has called it before, it does nothing; a child of a child has to call it again. The parent notices nothing.
///
/// The parent's exchanges are not the child's: their ids are CHTTP_E_NOT_FOUND, and what waited in a queue is gone. Names
/// are looked up anew, TLS begins without sessions, counters begin at 0 but for those of system calls. The function of the
/// log is called as before.
///
/// Handles of queues stay valid, and queues stay as they are: a callback is called on the thread of the child's engine, and
/// the log goes to the queue that it went to. But each has a new descriptor, another number than before: fetch it with
/// chttp_queue_fd() and register it. One of kind CHTTP_NOTIFY_USER becomes one of kind CHTTP_NOTIFY_EPOLL, because whoever
/// reads the other end of its descriptor may be the parent; destroy it and make another if you have another descriptor. Of
/// the descriptors that were inherited, the library closes its own, and does nothing else with them.
///
/// After a failure everything is as before, and the call can be made again. Several threads may call it at once. An engine
/// on a mock (CHTTP_OPT_BACKEND) cannot be reset.
///
/// `error`, unless NULL, receives on failure an object that explains it; release it.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_BAD_STATE (a mock), CHTTP_E_TOO_MANY_FILES, CHTTP_E_NOMEM, CHTTP_E_IO.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_reset_after_fork(engine: *mut chttp_engine, error: *mut *mut chttp_error) -> i32 {
    // SAFETY: the caller's promise about both pointers.
    unsafe {
        guard_explained(error, || {
            let handle = engine.as_ref().ok_or_else(|| Refusal::new(e::CHTTP_E_INVALID_ARG, "engine is NULL"))?;
            let family = handle.family.lock();
            if handle.inner.get().is_ok() {
                return Ok(0);
            }
            let former = handle.inner.any();
            if former.settings().mock.is_some() {
                let rule = "option backend: a mock is its process's; make another in the child";
                return Err(Refusal::new(e::CHTTP_E_BAD_STATE, rule));
            }
            // First, because their numbers may be those that are missing.
            former.abandon_sockets();
            let backend = kernel(former.settings()).map_err(|error| unstarted(&error))?;
            let inner = former.successor(backend).map_err(|error| unstarted(&error))?;
            let mut successors = Vec::new();
            for &queue in family.queues() {
                match (*queue).successor(&inner) {
                    Ok(Some(bound)) => successors.push((queue, bound)),
                    Ok(None) => {}
                    Err(code) => {
                        inner.stop(true);
                        return Err(code.into());
                    }
                }
            }
            let listener = successors.iter().find_map(|(queue, bound)| match family.listens(*queue) {
                0 => None,
                level => Some((bound.inner.clone(), Level::from_number(u64::from(level)))),
            });
            successors.into_iter().for_each(|(queue, bound)| (*queue).succeed(bound));
            former.abandon();
            handle.inner.succeed(inner.clone());
            drop(family);
            if let Some((queue, level)) = listener {
                inner.log_to(&queue, level);
            }
            Ok(0)
        })
    }
}

/// End an engine. Every open exchange first gets its terminal event, with CHTTP_E_ENGINE_CLOSED; then the thread is
/// joined, after a last call of the callbacks that have events. Afterwards no callback runs, no memory of the caller is read,
/// and no descriptor is written to. Queues stay drainable, and objects stay valid until they are released. NULL is nothing. In
/// a forked child that has not called chttp_engine_reset_after_fork() the engine's descriptors are closed, and nothing else is
/// done: its memory stays.
///
/// Threads that resolve names are not waited for, because the system's resolver cannot be stopped. One may still be ending
/// when the process does; leak checkers then show what the C library holds for it.
///
/// Context:   [any-thread] [child-ok]
/// Returns:   0; CHTTP_E_WRONG_THREAD inside a callback of the library: the engine is as it was.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_destroy(engine: *mut chttp_engine) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { end(engine, true) }
}

/// As chttp_engine_destroy(), but without waiting for the thread: for finalizers, which may not block, and for callbacks.
/// The terminal events come soon. The handle is no longer valid, in callbacks that get these events neither.
///
/// Context:   [any-ctx] [child-ok]
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
        let Ok(inner) = handle.inner.get() else {
            // The parent's connections, locks and threads: nothing of it may be touched, not even freed.
            handle.inner.any().abandon();
            return Ok(0);
        };
        if join {
            outside_callbacks()?;
        }
        inner.stop(join);
        // SAFETY: it came from chttp_engine_new and is given up.
        drop(unsafe { Box::from_raw(engine) });
        Ok(0)
    })
}

/// Counters and gauges. `out_size` is sizeof(chttp_stats).
///
/// Context:   [any-ctx]
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
            connections_closed: stats.pool.closed_in_all(),
            closed_idle: stats.pool.closed[Gone::Idle as usize],
            closed_age: stats.pool.closed[Gone::Age as usize],
            closed_by_peer: stats.pool.closed[Gone::Peer as usize],
            closed_failed: stats.pool.closed[Gone::Failed as usize],
            closed_evicted: stats.pool.closed[Gone::Evicted as usize],
            closed_not_reusable: stats.pool.closed[Gone::Spent as usize],
            dials: stats.dials as u64,
            queued: u64::from(stats.pool.queued),
            queued_max: u64::from(stats.pool.queued_max),
            h2_connections: stats.tally.h2.connections,
            h2_streams: stats.tally.h2.streams,
            h2_goaways: stats.tally.h2.goaways,
            h2_resets: stats.tally.h2.resets,
            h2_unprocessed: stats.tally.h2.unprocessed,
            h2_replayed: stats.tally.h2.replayed,
            h2_ping_timeouts: stats.tally.h2.ping_timeouts,
            h2_floods: stats.tally.h2.floods,
            sse_events: stats.told.events,
            sse_reconnects: stats.told.reconnections,
            ws_opened: stats.told.websockets,
            ws_messages_received: stats.told.messages,
            ws_messages_sent: stats.messages_sent,
        };
        // SAFETY: the caller's promise about `out`.
        unsafe { give(&stats, out, out_size) }
    })
}
