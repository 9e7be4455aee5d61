//! The log: a function of the application that gets its lines, or a queue where they are events.

use super::config::chttp_config;
use super::engine::chttp_engine;
use super::error::chttp_error;
use super::guard::{Refusal, guard, guard_explained};
use super::handles::chttp_fn;
use super::queue::chttp_queue;
use crate::client::Settings;
use crate::client::logging::Call;
use crate::diag::{Level, Line};
use crate::error as e;
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Levels of the log. A level takes in those below it.
pub const CHTTP_LOG_OFF: u32 = 0;
/// The engine itself is at fault, or cannot go on.
pub const CHTTP_LOG_ERROR: u32 = 1;
/// A person should look at it: a certificate was refused, or was not looked at.
pub const CHTTP_LOG_WARNING: u32 = 2;
/// Connections come and go; requests fail, or are sent again.
pub const CHTTP_LOG_INFO: u32 = 3;
/// Each step of each exchange.
pub const CHTTP_LOG_DEBUG: u32 = 4;
/// Heads of requests and answers, too. Values of fields that may be secrets (Authorization, Cookie, every name with "token",
/// "key", "auth" and the like in it) and queries of URLs are left out, as at every level; so are bodies.
pub const CHTTP_LOG_TRACE: u32 = 5;

/// A chttp_log_fn, which gets the lines of the log up to `log_level`, from every engine that is made from the configuration.
/// chttp_config_set_log() sets both. Default: none.
pub const CHTTP_OPT_LOG: u32 = 56;
/// CHTTP_LOG_..., the highest level of the lines that `log` gets. Default CHTTP_LOG_WARNING.
pub const CHTTP_OPT_LOG_LEVEL: u32 = 57;

/// A line of the log. Valid during the call alone.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_log_record {
    /// sizeof(chttp_log_record) of the library.
    pub size: u32,
    /// CHTTP_LOG_...
    pub level: u32,
    /// Nanoseconds of CLOCK_MONOTONIC: when the turn began in which it happened.
    pub time_ns: u64,
    /// The exchange that it is about, or 0.
    pub xid: u64,
    /// `text_len` bytes of UTF-8 in one line, without NUL.
    pub text: *const c_char,
    pub text_len: usize,
}

/// Called with each line, on whatever thread does the engine's work: the engine's own, or one of the application's inside a
/// call of this library. No lock is held. It may call functions whose context is [any-ctx] (others answer
/// CHTTP_E_WRONG_THREAD if they would wait), and should be brief: the engine
/// does nothing else meanwhile.
pub type chttp_log_fn = Option<unsafe extern "C" fn(record: *const chttp_log_record, user: *mut c_void)>;

/// The application's pointer, on its way to the application's function.
pub(super) struct User(*mut c_void);

// SAFETY: this library does not look at what it points to; each function that takes one says on which threads it comes back.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    pub(super) fn new(user: *mut c_void) -> User {
        User(user)
    }

    pub(super) fn get(&self) -> *mut c_void {
        self.0
    }
}

/// Call `function` with each line.
pub(super) fn call(settings: &mut Settings, function: chttp_log_fn, user: *mut c_void) {
    settings.log = function.map(|function| {
        let user = User(user);
        Call(Arc::new(move |line: &Line| {
            let record = chttp_log_record {
                size: size_of::<chttp_log_record>() as u32,
                level: line.level as u32,
                time_ns: line.at,
                xid: line.xid,
                text: line.text.as_ptr().cast(),
                text_len: line.text.len(),
            };
            // SAFETY: the application gave the function for this; the record lives for the call.
            unsafe { function(&raw const record, user.get()) };
        }))
    });
}

/// # Safety
/// `function` is NULL or a chttp_log_fn.
pub(super) unsafe fn set_log(settings: &mut Settings, function: chttp_fn, user: *mut c_void) {
    // SAFETY: by contract; both are a pointer to a function, or NULL.
    call(settings, unsafe { std::mem::transmute::<chttp_fn, chttp_log_fn>(function) }, user);
}

/// Set CHTTP_OPT_LOG and CHTTP_OPT_LOG_LEVEL: let `function` be called with each line of the log up to `level`, of every
/// engine that is made from this configuration. NULL: nobody is. `user` comes back in each call.
///
/// After chttp_engine_destroy() has returned it is not called any more; after chttp_engine_release() a call that had begun
/// may still be going on.
///
/// Context:   [object]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_OPTION_RANGE (level).
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_log(
    config: *mut chttp_config,
    level: u32,
    function: chttp_log_fn,
    user: *mut c_void,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about `config` and `error`.
    unsafe {
        guard_explained(error, || {
            let settings = super::config::settings(config)?;
            settings.log_level = level_of(level)?;
            call(settings, function, user);
            Ok(0)
        })
    }
}

fn level_of(level: u32) -> Result<Level, Refusal> {
    if level > CHTTP_LOG_TRACE {
        let rule = format!("level: {level} is not within {CHTTP_LOG_OFF} to {CHTTP_LOG_TRACE}");
        return Err(Refusal::new(e::CHTTP_E_OPTION_RANGE, rule));
    }
    Ok(Level::from_number(u64::from(level)))
}

/// Let lines of the engine's log up to `level` arrive at `queue` as CHTTP_EV_LOG events. One queue of an engine can have
/// them: another call moves them. CHTTP_LOG_OFF ends it.
///
/// At most 4096 events wait in the queue for them; what is beyond is counted, and told in a line when there is room.
///
/// Context:   [any-ctx]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_OPTION_RANGE, CHTTP_E_FORKED.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_engine_log_to(
    engine: *const chttp_engine,
    queue: *const chttp_queue,
    level: u32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let inner = unsafe { chttp_engine::get(engine) }?;
        // SAFETY: as above.
        let (listener, family) = unsafe { (chttp_queue::of(queue, inner)?, (*engine).family()) };
        let level = level_of(level).map_err(|refusal| refusal.code)?;
        inner.log_to(listener, level);
        family.lock().listen(queue, level as u8);
        Ok(0)
    })
}
