//! Objects: one release for all kinds.

use super::guard::guard;
use super::queue::check_stride;
use super::types::chttp_event;
use crate::error as e;
use crate::mem::Block;
use std::ffi::c_void;
use std::ptr::NonNull;

/// Release one reference to an object: a body, a response, an error, a chttp_tls, a chttp_backend. NULL is nothing.
///
/// The memory is valid until the last reference is released, also after the engine is gone. Releasing a body gives its
/// credit back to the exchange.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_release(obj: *mut c_void) {
    guard(|| {
        if let Some(raw) = NonNull::new(obj) {
            // SAFETY: the caller owns a reference and gives it up.
            drop(unsafe { Block::from_raw(raw) });
        }
        Ok(0)
    });
}

/// Add a reference to an object, to be released with chttp_release(). NULL is nothing.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_retain(obj: *mut c_void) {
    guard(|| {
        if let Some(raw) = NonNull::new(obj) {
            // SAFETY: the caller owns a reference, which is not touched; the new one is left to the caller.
            unsafe {
                let theirs = std::mem::ManuallyDrop::new(Block::from_raw(raw));
                std::mem::forget(Block::clone(&theirs));
            }
        }
        Ok(0)
    });
}

/// Release the objects of `n` events, `stride` bytes apart (0 for sizeof(chttp_event)), and set their `obj` and `data` to
/// NULL. An event whose object is to be kept gets its `obj` set to NULL by the caller before.
///
/// Context:   [any-ctx] [child-ok]
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_INVALID_SIZE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_events_release(events: *mut chttp_event, n: u32, stride: usize) -> i32 {
    guard(|| {
        if n == 0 {
            return Ok(0);
        }
        if events.is_null() {
            return Err(e::CHTTP_E_INVALID_ARG);
        }
        let stride = check_stride(stride)?;
        for i in 0..n as usize {
            // SAFETY: the caller has `n` events `stride` bytes apart, and gives up their references.
            unsafe { empty(&mut *events.cast::<u8>().add(i * stride).cast::<chttp_event>()) };
        }
        Ok(0)
    })
}

/// Release the object of an event.
///
/// # Safety
/// `obj` is NULL or a reference that is given up.
pub(super) unsafe fn empty(event: &mut chttp_event) {
    let obj = std::mem::replace(&mut event.obj, std::ptr::null_mut());
    event.data = std::ptr::null();
    if let Some(raw) = NonNull::new(obj) {
        // SAFETY: by contract.
        drop(unsafe { Block::from_raw(raw) });
    }
}
