//! Cold options of an engine: one table says what there is, sets it and describes it.

use super::guard::{Refusal, bytes, give, guard, guard_explained};
use crate::client::Settings;
use crate::error as e;
use std::ffi::{CStr, c_char};

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
/// How long a resolved name is kept; 0 for not at all. Default 30 s.
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

/// What there is to know of an option, for chttp_option_describe(). Fill in nothing; pass the size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chttp_option {
    /// CHTTP_OPT_...
    pub id: u32,
    /// 1 for int64_t. Further types may come.
    pub kind: u32,
    /// For chttp_config_set_named(). Static, like all texts here.
    pub name: *const c_char,
    /// "ns", "bytes", "" ...
    pub unit: *const c_char,
    pub default_value: i64,
    pub min: i64,
    pub max: i64,
    /// -1 is allowed too, and means "no limit".
    pub unlimited: u32,
    /// Version that brought it, in the form of CHTTP_VERSION.
    pub since: u32,
    /// One line.
    pub doc: *const c_char,
}

struct Row {
    id: u32,
    name: &'static CStr,
    unit: &'static CStr,
    min: i64,
    max: i64,
    unlimited: bool,
    doc: &'static CStr,
    get: fn(&Settings) -> u64,
    set: fn(&mut Settings, u64),
}

/// A row of the table. `$field` is where the value lives; numbers are converted without loss, because the range is checked.
macro_rules! row {
    ($id:ident, $name:literal, $unit:literal, $min:expr, $max:expr, $unlimited:expr, $($field:ident).+ : $ty:ty, $doc:literal) => {
        Row {
            id: $id,
            name: $name,
            unit: $unit,
            min: $min,
            max: $max,
            unlimited: $unlimited,
            doc: $doc,
            get: |s| s.$($field).+ as u64,
            set: |s, v| s.$($field).+ = <$ty>::try_from(v).unwrap_or(<$ty>::MAX),
        }
    };
}

/// The same for a switch.
macro_rules! switch {
    ($id:ident, $name:literal, $($field:ident).+, $doc:literal) => {
        Row {
            id: $id,
            name: $name,
            unit: c"",
            min: 0,
            max: 1,
            unlimited: false,
            doc: $doc,
            get: |s| u64::from(s.$($field).+),
            set: |s, v| s.$($field).+ = v != 0,
        }
    };
}

const NS: i64 = i64::MAX;
const GIB: i64 = 1 << 30;

#[rustfmt::skip]
const TABLE: &[Row] = &[
    switch!(CHTTP_OPT_IO_THREADS, c"io_threads", own_thread, c"1: own thread; 0: driven by the caller"),
    row!(CHTTP_OPT_MAX_CONNECTIONS_PER_HOST, c"max_connections_per_host", c"", 1, 1 << 20, false, pool.per_origin: u32, c"connections to one scheme, host and port"),
    row!(CHTTP_OPT_MAX_CONNECTIONS, c"max_connections", c"", 1, 1 << 20, false, pool.total: u32, c"connections in total"),
    row!(CHTTP_OPT_IDLE_TIMEOUT_NS, c"idle_timeout_ns", c"ns", 0, NS, true, pool.idle_ns: u64, c"how long an unused connection is kept"),
    row!(CHTTP_OPT_TOTAL_TIMEOUT_NS, c"total_timeout_ns", c"ns", 1, NS, true, timeouts.total: u64, c"the whole exchange"),
    row!(CHTTP_OPT_POOL_TIMEOUT_NS, c"pool_timeout_ns", c"ns", 1, NS, true, timeouts.pool: u64, c"waiting for a connection to become free"),
    row!(CHTTP_OPT_DNS_TIMEOUT_NS, c"dns_timeout_ns", c"ns", 1, NS, true, timeouts.dns: u64, c"resolving the name"),
    row!(CHTTP_OPT_CONNECT_TIMEOUT_NS, c"connect_timeout_ns", c"ns", 1, NS, true, timeouts.connect: u64, c"making the connection"),
    row!(CHTTP_OPT_WRITE_TIMEOUT_NS, c"write_timeout_ns", c"ns", 1, NS, true, timeouts.write: u64, c"the peer takes no byte of the request"),
    row!(CHTTP_OPT_FIRST_BYTE_TIMEOUT_NS, c"first_byte_timeout_ns", c"ns", 1, NS, true, timeouts.first_byte: u64, c"from the end of the request to the first byte of the answer"),
    row!(CHTTP_OPT_READ_TIMEOUT_NS, c"read_timeout_ns", c"ns", 1, NS, true, timeouts.read: u64, c"between two bytes of the answer"),
    row!(CHTTP_OPT_EXPECT_TIMEOUT_NS, c"expect_timeout_ns", c"ns", 1, NS, true, timeouts.expect: u64, c"waiting for 100 (Continue)"),
    row!(CHTTP_OPT_RECV_CREDIT, c"recv_credit", c"bytes", 1, NS, true, recv_credit: u64, c"bytes of a body that may be delivered and not released"),
    row!(CHTTP_OPT_COLLECT_MAX, c"collect_max", c"bytes", 0, GIB, false, collect_max: u64, c"largest body that arrives as one RESPONSE event"),
    row!(CHTTP_OPT_SEND_BUFFER, c"send_buffer", c"bytes", 1, GIB, false, send_buffer: u64, c"bytes of a streamed upload that are buffered"),
    row!(CHTTP_OPT_DNS_CACHE_NS, c"dns_cache_ns", c"ns", 0, NS, false, dns_cache_ns: u64, c"how long a resolved name is kept"),
    row!(CHTTP_OPT_MAX_EXCHANGES, c"max_exchanges", c"", 1, 1 << 24, false, exchanges_max: u32, c"exchanges under way at a time"),
    row!(CHTTP_OPT_HEAD_LINE_MAX, c"head_line_max", c"bytes", 64, GIB, false, h1.line_max: u32, c"one line of a head or trailer section"),
    row!(CHTTP_OPT_HEAD_MAX, c"head_max", c"bytes", 64, GIB, false, h1.head_max: u32, c"a head, and a trailer section"),
    row!(CHTTP_OPT_HEAD_FIELDS_MAX, c"head_fields_max", c"", 1, 1 << 20, false, h1.fields_max: u32, c"field lines of a head, and of a trailer section"),
    row!(CHTTP_OPT_INFORMATIONAL_MAX, c"informational_max", c"", 0, 1 << 20, false, h1.informational_max: u32, c"informational answers before the final one"),
    row!(CHTTP_OPT_CHUNK_EXT_MAX, c"chunk_ext_max", c"bytes", 0, GIB, false, h1.chunk_ext_max: u32, c"one chunk extension"),
    switch!(CHTTP_OPT_ALLOW_BARE_LF, c"allow_bare_lf", h1.allow_bare_lf, c"accept LF alone as the end of a line"),
    switch!(CHTTP_OPT_ALLOW_OBS_FOLD, c"allow_obs_fold", h1.allow_obs_fold, c"take a folded field line for one with spaces"),
];

impl Row {
    fn set(&self, settings: &mut Settings, value: i64) -> Result<i32, Refusal> {
        let unlimited = self.unlimited && value == -1;
        if !unlimited && !(self.min..=self.max).contains(&value) {
            let (name, min, max) = (self.name.to_string_lossy(), self.min, self.max);
            let or = if self.unlimited { ", or -1 for no limit" } else { "" };
            let rule = format!("option {name}: {value} is not within {min} to {max}{or}");
            return Err(Refusal::new(e::CHTTP_E_OPTION_RANGE, rule));
        }
        (self.set)(settings, if unlimited { u64::MAX } else { value.unsigned_abs() });
        Ok(0)
    }
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

/// Set an option. chttp_option_describe() tells its range; -1 is "no limit" where that is allowed.
///
/// `error`, unless NULL, receives on failure an object that names the option and the rule; release it.
///
/// Context:   [object]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_UNKNOWN_OPTION, CHTTP_E_OPTION_RANGE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_i64(
    config: *mut chttp_config,
    option: u32,
    value: i64,
    error: *mut *mut super::error::chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about `error` and `config`.
    unsafe {
        guard_explained(error, || {
            let config = config.as_mut().ok_or_else(|| Refusal::new(e::CHTTP_E_INVALID_ARG, "config is NULL"))?;
            let row = TABLE.iter().find(|r| r.id == option);
            let row =
                row.ok_or_else(|| Refusal::new(e::CHTTP_E_UNKNOWN_OPTION, format!("there is no option {option}")))?;
            row.set(&mut config.settings, value)
        })
    }
}

/// Set an option by its name, from text: a decimal number, "-1" or "unlimited" where that is allowed.
///
/// Context:   [object]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_UNKNOWN_OPTION, CHTTP_E_OPTION_TYPE, CHTTP_E_OPTION_RANGE.
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
            let config = config.as_mut().ok_or_else(|| Refusal::new(e::CHTTP_E_INVALID_ARG, "config is NULL"))?;
            let name = bytes("name", name, name_len)?.unwrap_or_default();
            let value = bytes("value", value, value_len)?.unwrap_or_default();
            let row = TABLE.iter().find(|r| r.name.to_bytes() == name).ok_or_else(|| {
                Refusal::new(e::CHTTP_E_UNKNOWN_OPTION, format!("there is no option \"{}\"", name.escape_ascii()))
            })?;
            let number = match value {
                b"unlimited" => Some(-1),
                _ => std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()),
            };
            let number = number.ok_or_else(|| {
                let rule = format!("option {}: \"{}\" is no number", row.name.to_string_lossy(), value.escape_ascii());
                Refusal::new(e::CHTTP_E_OPTION_TYPE, rule)
            })?;
            row.set(&mut config.settings, number)
        })
    }
}

/// How many options there are.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_option_count() -> u32 {
    TABLE.len() as u32
}

/// Describe the option at `index`, from 0 to chttp_option_count() - 1; its CHTTP_OPT_... is the `id` of the answer.
/// `out_size` is sizeof(chttp_option).
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE, CHTTP_E_UNKNOWN_OPTION behind the last.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_option_describe(index: u32, out: *mut chttp_option, out_size: usize) -> i32 {
    guard(|| {
        let row = TABLE.get(index as usize).ok_or(e::CHTTP_E_UNKNOWN_OPTION)?;
        let default = (row.get)(&Settings::default());
        let option = chttp_option {
            id: row.id,
            kind: 1,
            name: row.name.as_ptr(),
            unit: row.unit.as_ptr(),
            default_value: if default == u64::MAX { -1 } else { i64::try_from(default).unwrap_or(i64::MAX) },
            min: row.min,
            max: row.max,
            unlimited: u32::from(row.unlimited),
            since: 1000,
            doc: row.doc.as_ptr(),
        };
        // SAFETY: the caller's promise about `out`.
        unsafe { give(&option, out, out_size) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_unique_and_defaults_are_in_range() {
        for (i, row) in TABLE.iter().enumerate() {
            assert_eq!(row.id as usize, i + 1, "ids have no gaps");
            assert!(TABLE[..i].iter().all(|r| r.name != row.name));
            let default = (row.get)(&Settings::default());
            let fits = row.unlimited && default == u64::MAX
                || i64::try_from(default).is_ok_and(|d| (row.min..=row.max).contains(&d));
            assert!(fits, "{:?}", row.name);
            let mut settings = Settings::default();
            row.set(&mut settings, row.max).unwrap();
            assert_eq!((row.get)(&settings), row.max as u64, "{:?} keeps its maximum", row.name);
            row.set(&mut settings, row.min).unwrap();
            assert_eq!((row.get)(&settings), row.min as u64);
        }
    }
}
