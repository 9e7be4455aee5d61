//! What every entry point shares: the panic guard, and careful reading and writing of the caller's memory.

use crate::client::failure::{Cause, Failure, Phase};
use crate::error as e;
use crate::queue::inside;
use std::ffi::c_char;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Why a call was refused, told in words.
#[derive(Debug)]
pub struct Refusal {
    pub code: i32,
    pub message: String,
}

impl Refusal {
    pub fn new(code: i32, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}

impl From<i32> for Refusal {
    fn from(code: i32) -> Refusal {
        Refusal::new(code, e::text(code))
    }
}

/// Refuse what may wait for the thread that it is called on: it is inside a function that this library has called.
pub fn outside_callbacks() -> Result<(), i32> {
    if inside::is_here() { Err(e::CHTTP_E_WRONG_THREAD) } else { Ok(()) }
}

/// Run an entry point. No panic leaves it.
pub fn guard(body: impl FnOnce() -> Result<i32, i32>) -> i32 {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value) | Err(value)) => value,
        Err(_) => e::CHTTP_E_PANIC,
    }
}

/// The same for one whose result is no code: `otherwise` stands for a failure.
pub fn guard_or<T>(otherwise: T, body: impl FnOnce() -> Option<T>) -> T {
    catch_unwind(AssertUnwindSafe(body)).ok().flatten().unwrap_or(otherwise)
}

/// Run an entry point that can explain itself through an error object.
///
/// # Safety
/// `error` is NULL or points to a writable pointer.
pub unsafe fn guard_explained(
    error: *mut *mut super::error::chttp_error,
    body: impl FnOnce() -> Result<i32, Refusal>,
) -> i32 {
    let refusal = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => return value,
        Ok(Err(refusal)) => refusal,
        Err(_) => Refusal::from(e::CHTTP_E_PANIC),
    };
    let code = refusal.code;
    if !error.is_null() {
        let failure = Failure {
            cause: Cause::code(code),
            phase: Phase::Queued,
            message: refusal.message,
            peer: None,
            attempt: 0,
            retryable: code == e::CHTTP_E_AGAIN,
            request_bytes_sent: 0,
            connection_reused: false,
            last_event_id: Box::default(),
        };
        let raw = failure.into_block().map_or(std::ptr::null_mut(), |block| block.into_raw().cast());
        // SAFETY: by contract.
        unsafe { error.write(raw) };
    }
    code
}

/// A (pointer, length) pair. NULL with length 0 stands for nothing; a length of `SIZE_MAX` for "ends with NUL".
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes that outlive `'a`, or to a NUL-terminated string.
pub unsafe fn bytes<'a>(what: &str, data: *const c_char, len: usize) -> Result<Option<&'a [u8]>, Refusal> {
    if data.is_null() {
        return match len {
            0 | usize::MAX => Ok(None),
            _ => Err(Refusal::new(e::CHTTP_E_INVALID_ARG, format!("{what}: NULL with a length of {len}"))),
        };
    }
    // SAFETY: by contract.
    unsafe {
        if len == usize::MAX {
            return Ok(Some(std::ffi::CStr::from_ptr(data).to_bytes()));
        }
        if len > isize::MAX as usize {
            return Err(Refusal::new(e::CHTTP_E_INVALID_SIZE, format!("{what}: a length of {len} is impossible")));
        }
        Ok(Some(std::slice::from_raw_parts(data.cast(), len)))
    }
}

/// No struct of a later version is believed to be larger: a number beyond it is none that sizeof has made.
///
/// cbindgen:ignore
pub(super) const STRUCT_MAX: usize = 4096;

/// Structs grow at their end: a caller may know fewer fields than we do, or more if those are zero.
///
/// # Safety
/// `from` points to a struct that begins with its size as `uint32_t` and is as large as it says; `T` is plain numbers and
/// pointers, for which all-zero bytes are valid.
pub unsafe fn sized<T: Copy>(what: &str, from: *const u8, least: usize) -> Result<T, Refusal> {
    // SAFETY: by contract.
    unsafe {
        let size = from.cast::<u32>().read_unaligned() as usize;
        if size < least || size > STRUCT_MAX {
            let rule = format!("{what}.size is {size}; sizeof({what}) is {}", size_of::<T>());
            return Err(Refusal::new(e::CHTTP_E_INVALID_SIZE, rule));
        }
        if size > size_of::<T>() {
            let tail = std::slice::from_raw_parts(from.add(size_of::<T>()), size - size_of::<T>());
            if tail.iter().any(|&b| b != 0) {
                let rule = format!("{what} has fields set that version {} does not know", env!("CARGO_PKG_VERSION"));
                return Err(Refusal::new(e::CHTTP_E_UNSUPPORTED_FIELD, rule));
            }
        }
        let mut value = std::mem::MaybeUninit::<T>::zeroed();
        std::ptr::copy_nonoverlapping(from, value.as_mut_ptr().cast::<u8>(), size.min(size_of::<T>()));
        Ok(value.assume_init())
    }
}

/// The other way round: write as much of `value` as the caller has room for, and zeros behind what this library knows.
///
/// # Safety
/// `to` is NULL or points to `size` writable bytes; `T` is plain numbers and pointers without padding.
pub unsafe fn give<T: Copy>(value: &T, to: *mut T, size: usize) -> Result<i32, i32> {
    if to.is_null() {
        return Err(e::CHTTP_E_INVALID_ARG);
    }
    if !(8..=STRUCT_MAX).contains(&size) {
        return Err(e::CHTTP_E_INVALID_SIZE);
    }
    // SAFETY: by contract.
    unsafe {
        let known = size.min(size_of::<T>());
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast::<u8>(), to.cast::<u8>(), known);
        std::ptr::write_bytes(to.cast::<u8>().add(known), 0, size - known);
    }
    Ok(0)
}

/// Text by the rule of snprintf: as much as fits with a NUL behind it; the result is the length of the whole.
///
/// # Safety
/// `buf` is NULL (then `cap` must be 0) or points to `cap` writable bytes.
pub unsafe fn text(value: &str, buf: *mut c_char, cap: usize) -> Result<i32, i32> {
    if buf.is_null() && cap > 0 {
        return Err(e::CHTTP_E_INVALID_ARG);
    }
    if cap > 0 {
        let fits = value.len().min(cap - 1);
        // SAFETY: by contract; `fits` + 1 ≤ `cap`.
        unsafe {
            std::ptr::copy_nonoverlapping(value.as_ptr(), buf.cast(), fits);
            buf.add(fits).write(0);
        }
    }
    i32::try_from(value.len()).map_err(|_| e::CHTTP_E_TOO_LARGE)
}

/// An address as text; empty when it is not known.
pub fn address(end: Option<SocketAddr>) -> String {
    end.map(|a| a.to_string()).unwrap_or_default()
}

/// Nanoseconds from C; `UINT64_MAX` is "for ever".
pub fn timeout(ns: u64) -> Option<Duration> {
    (ns != u64::MAX).then(|| Duration::from_nanos(ns))
}
