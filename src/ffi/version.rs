//! Which library this is.

use std::ffi::c_char;

/// Version of the interface this header describes, as `major * 1000000 + minor * 1000 + patch`.
pub const CHTTP_VERSION: u32 = 1000;

const _: () = {
    const fn number(text: &str) -> u32 {
        let (bytes, mut i, mut n) = (text.as_bytes(), 0, 0);
        while i < bytes.len() {
            n = n * 10 + (bytes[i] - b'0') as u32;
            i += 1;
        }
        n
    }
    let version = number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + number(env!("CARGO_PKG_VERSION_PATCH"));
    assert!(CHTTP_VERSION == version);
};

/// Version of the library that is loaded, in the form of CHTTP_VERSION.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_version() -> u32 {
    CHTTP_VERSION
}

/// The same as text, for example "0.1.0". Static.
///
/// Context:   [any-ctx] [child-ok]
/// Since:     0.1
#[unsafe(no_mangle)]
pub extern "C" fn chttp_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
