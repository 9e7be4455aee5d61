//! A configuration: what an engine is to be told before it is made. What options there are stands in `options.rs`.

use super::guard::{Refusal, bytes, guard, guard_explained};
use super::options::{CHTTP_OPTION_BYTES, CHTTP_OPTION_TEXT, named, row};
use crate::client::Settings;
use crate::error as e;
use std::ffi::c_char;

/// Options of an engine. Made with the defaults, copied by chttp_engine_new(), never consumed. Not thread-safe.
pub struct chttp_config {
    settings: Settings,
}

impl chttp_config {
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// 1: the engine has a thread of its own. 0: the caller drives it, and chttp_queue_drain(), chttp_queue_wait() and
/// chttp_submit() do its work on the caller's thread. In both cases names are resolved on further threads. Default 1.
pub const CHTTP_OPT_IO_THREADS: u32 = 1;
/// Connections to one scheme, host and port. Default 256; exchanges beyond it wait, see `pool_timeout_ns`.
pub const CHTTP_OPT_MAX_CONNECTIONS_PER_HOST: u32 = 2;
/// Connections in total. Default 16384.
pub const CHTTP_OPT_MAX_CONNECTIONS: u32 = 3;
/// How long an unused connection is kept. Default 60 s.
pub const CHTTP_OPT_IDLE_TIMEOUT_NS: u32 = 4;
/// For requests whose `total_timeout_ns` is 0. Default -1, which is CHTTP_UNLIMITED as int64_t: none. So with all timeouts.
pub const CHTTP_OPT_TOTAL_TIMEOUT_NS: u32 = 5;
/// For requests whose `pool_timeout_ns` is 0. Default 60 s.
pub const CHTTP_OPT_POOL_TIMEOUT_NS: u32 = 6;
/// For requests whose `dns_timeout_ns` is 0. Default 30 s.
pub const CHTTP_OPT_DNS_TIMEOUT_NS: u32 = 7;
/// For requests whose `connect_timeout_ns` is 0. Default 30 s.
pub const CHTTP_OPT_CONNECT_TIMEOUT_NS: u32 = 8;
/// For requests whose `write_timeout_ns` is 0. Default 60 s.
pub const CHTTP_OPT_WRITE_TIMEOUT_NS: u32 = 9;
/// For requests whose `first_byte_timeout_ns` is 0. Default none: the read timeout bounds this wait.
pub const CHTTP_OPT_FIRST_BYTE_TIMEOUT_NS: u32 = 10;
/// For requests whose `read_timeout_ns` is 0. Default 300 s.
pub const CHTTP_OPT_READ_TIMEOUT_NS: u32 = 11;
/// For requests whose `expect_timeout_ns` is 0. Default 1 s.
pub const CHTTP_OPT_EXPECT_TIMEOUT_NS: u32 = 12;
/// For requests whose `recv_credit` is 0. Default 1 MiB.
pub const CHTTP_OPT_RECV_CREDIT: u32 = 13;
/// For requests whose `collect_max` is 0. Default 1 MiB.
pub const CHTTP_OPT_COLLECT_MAX: u32 = 14;
/// Bytes of a streamed request body that are buffered for one exchange before CHTTP_E_AGAIN. Default 256 KiB.
pub const CHTTP_OPT_SEND_BUFFER: u32 = 15;
/// How long a resolved name is kept; 0 for not at all. A name without any address is never kept. Default 30 s.
pub const CHTTP_OPT_DNS_CACHE_NS: u32 = 16;
/// Exchanges under way at a time; chttp_submit() refuses more. Default 1048576.
pub const CHTTP_OPT_MAX_EXCHANGES: u32 = 17;
/// Bytes of one line in a head or trailer section. Default 100 KiB.
pub const CHTTP_OPT_HEAD_LINE_MAX: u32 = 18;
/// Bytes of a head, and of a trailer section. Default 300 KiB.
pub const CHTTP_OPT_HEAD_MAX: u32 = 19;
/// Field lines of a head, and of a trailer section. Default 5000.
pub const CHTTP_OPT_HEAD_FIELDS_MAX: u32 = 20;
/// Informational answers before the final one. Default 16.
pub const CHTTP_OPT_INFORMATIONAL_MAX: u32 = 21;
/// Bytes of one chunk extension. Default 16 KiB.
pub const CHTTP_OPT_CHUNK_EXT_MAX: u32 = 22;
/// 1: accept LF alone as the end of a line. Default 0.
pub const CHTTP_OPT_ALLOW_BARE_LF: u32 = 23;
/// 1: take a folded field line for one with spaces. Default 0.
pub const CHTTP_OPT_ALLOW_OBS_FOLD: u32 = 24;
/// For requests whose `tls_timeout_ns` is 0. Default 30 s.
pub const CHTTP_OPT_TLS_TIMEOUT_NS: u32 = 25;

/// # Safety
/// `config` is NULL or came from chttp_config_new() and is used by nobody else.
pub(super) unsafe fn settings<'a>(config: *mut chttp_config) -> Result<&'a mut Settings, Refusal> {
    // SAFETY: by contract.
    let config = unsafe { config.as_mut() };
    Ok(&mut config.ok_or_else(|| Refusal::new(e::CHTTP_E_INVALID_ARG, "config is NULL"))?.settings)
}

fn new_config() -> Box<chttp_config> {
    Box::new(chttp_config { settings: Settings::default() })
}

/// Make a configuration with the default of every option.
///
/// Context:   [any-ctx]
/// Ownership: free it with chttp_config_free().
/// Returns:   0 and `*out`; CHTTP_E_INVALID_ARG.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_new(out: *mut *mut chttp_config) -> i32 {
    guard(|| {
        if out.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        // SAFETY: `out` is writable, by the caller's promise.
        unsafe { out.write(Box::into_raw(new_config())) };
        Ok(0)
    })
}

/// Free a configuration. Engines that were made from it keep their copies. NULL is nothing.
///
/// Context:   [any-ctx]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_free(config: *mut chttp_config) {
    guard(|| {
        if !config.is_null() {
            // SAFETY: it came from chttp_config_new and is given up.
            drop(unsafe { Box::from_raw(config) });
        }
        Ok(0)
    });
}

/// Set an option that is a number. chttp_option_describe() tells its range; -1 is "no limit" where that is allowed.
///
/// `error`, unless NULL, receives on failure an object that names the option and the rule; release it.
///
/// Context:   [object]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_UNKNOWN_OPTION, CHTTP_E_OPTION_TYPE, CHTTP_E_OPTION_RANGE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_i64(
    config: *mut chttp_config,
    option: u32,
    value: i64,
    error: *mut *mut super::error::chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about `error` and `config`.
    unsafe { guard_explained(error, || row(option)?.set_number(settings(config)?, value)) }
}

/// Set an option that is a text (CHTTP_OPTION_TEXT). The text is read, checked and copied in the call; the old value stays
/// if it is refused. NULL, or a length of 0, puts the default back.
///
/// Context:   [object]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_UNKNOWN_OPTION, CHTTP_E_OPTION_TYPE, CHTTP_E_OPTION_RANGE (too long, no
///            UTF-8, a NUL inside), or the code that goes with the option's own rule, such as CHTTP_E_INVALID_ROUTE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_str(
    config: *mut chttp_config,
    option: u32,
    text: *const c_char,
    len: usize,
    error: *mut *mut super::error::chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let text = bytes("text", text, len)?.unwrap_or_default();
            row(option)?.set_data(settings(config)?, CHTTP_OPTION_TEXT, text)
        })
    }
}

/// The same for an option that is made of bytes (CHTTP_OPTION_BYTES), in which NUL is a byte like any other.
///
/// Context:   [object]
/// Returns:   as chttp_config_set_str().
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_bytes(
    config: *mut chttp_config,
    option: u32,
    data: *const c_char,
    len: usize,
    error: *mut *mut super::error::chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let data = bytes("data", data, len)?.unwrap_or_default();
            row(option)?.set_data(settings(config)?, CHTTP_OPTION_BYTES, data)
        })
    }
}

/// Set an option by its name, from text: a decimal number, "-1" or "unlimited" where that is allowed; for texts and
/// bytes those themselves. Objects and functions have no such form.
///
/// Context:   [object]
/// Returns:   as chttp_config_set_i64() and chttp_config_set_str().
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_named(
    config: *mut chttp_config,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
    error: *mut *mut super::error::chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe {
        guard_explained(error, || {
            let settings = settings(config)?;
            let name = bytes("name", name, name_len)?.unwrap_or_default();
            let value = bytes("value", value, value_len)?.unwrap_or_default();
            named(name)?.set_named(settings, value)
        })
    }
}
