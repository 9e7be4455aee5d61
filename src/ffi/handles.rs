//! Options that are an object or a function of the application's.

use super::config::{chttp_config, settings};
use super::error::chttp_error;
use super::guard::{Refusal, guard_explained};
use super::options::row;
use crate::client::Settings;
use std::ffi::c_void;

/// An object of this library. Set by chttp_config_set_obj().
pub const CHTTP_OPTION_OBJECT: u32 = 4;
/// A function of the application's, and a pointer that it gets. Set by chttp_config_set_fn().
pub const CHTTP_OPTION_FUNCTION: u32 = 5;

/// Any function, for chttp_config_set_fn(): cast the one that the option asks for. It is called as what it was.
pub type chttp_fn = Option<unsafe extern "C" fn()>;

/// cbindgen:ignore
pub(super) type SetObject = unsafe fn(&mut Settings, *const c_void) -> Result<(), Refusal>;
/// cbindgen:ignore
pub(super) type SetFunction = unsafe fn(&mut Settings, chttp_fn, *mut c_void);

/// Set an option that is an object (CHTTP_OPTION_OBJECT), such as CHTTP_OPT_TLS. The configuration holds it from now
/// on, and so do engines that are made from it: yours may be released. NULL puts the default back.
///
/// Context:   [object]
/// Ownership: `obj` stays yours.
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_UNKNOWN_OPTION, CHTTP_E_OPTION_TYPE (the option is no object, or one of
///            another kind).
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_obj(
    config: *mut chttp_config,
    option: u32,
    obj: *const c_void,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all pointers.
    unsafe { guard_explained(error, || row(option)?.set_object(settings(config)?, obj)) }
}

/// Set an option that is a function (CHTTP_OPTION_FUNCTION), such as CHTTP_OPT_LOG. `user` comes back in each of its
/// calls. NULL: nobody is called.
///
/// Context:   [object]
/// Ownership: what `user` points to stays yours, and must stay in place as long as the function may be called.
/// Returns:   0; CHTTP_E_INVALID_ARG, CHTTP_E_UNKNOWN_OPTION, CHTTP_E_OPTION_TYPE.
/// Since:     0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chttp_config_set_fn(
    config: *mut chttp_config,
    option: u32,
    function: chttp_fn,
    user: *mut c_void,
    error: *mut *mut chttp_error,
) -> i32 {
    // SAFETY: the caller's promise about all arguments.
    unsafe { guard_explained(error, || row(option)?.set_function(settings(config)?, function, user)) }
}
