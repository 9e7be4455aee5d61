//! TLS settings on the C interface, and what the library tells of a connection's TLS.

use super::client::name;
use chttpcore::ffi::config::{
    chttp_config, chttp_config_free, chttp_config_new, chttp_config_set_bytes, chttp_config_set_i64,
    chttp_config_set_str,
};
use chttpcore::ffi::error::{chttp_error, chttp_error_message};
use chttpcore::ffi::object::chttp_release;
use chttpcore::ffi::response::{chttp_response, chttp_response_tls};
use chttpcore::ffi::tls::{chttp_tls, chttp_tls_new, chttp_tls_release};
use chttpcore::ffi::types::chttp_tls_info;
use std::ffi::CStr;
use std::ptr::null_mut;

/// An option's value.
#[derive(Clone)]
pub enum Value {
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

pub type Options = Vec<(u32, Value)>;

pub fn set(config: *mut chttp_config, options: &[(u32, Value)]) {
    for (option, value) in options {
        // SAFETY: the configuration lives, and what the pointers say is read during the call.
        let code = unsafe {
            match value {
                Value::Number(n) => chttp_config_set_i64(config, *option, *n, null_mut()),
                Value::Text(text) => {
                    chttp_config_set_str(config, *option, text.as_ptr().cast(), text.len(), null_mut())
                }
                Value::Bytes(bytes) => {
                    chttp_config_set_bytes(config, *option, bytes.as_ptr().cast(), bytes.len(), null_mut())
                }
            }
        };
        assert_eq!(code, 0, "option {option}: {}", name(code));
    }
}

/// A `chttp_tls`.
pub struct Tls(*mut chttp_tls);

impl Tls {
    pub fn new(options: &[(u32, Value)]) -> Tls {
        let (mut config, mut tls, mut error): (_, _, *mut chttp_error) = (null_mut(), null_mut(), null_mut());
        // SAFETY: the pointers are writable, and what they receive is used as the contract says.
        unsafe {
            assert_eq!(chttp_config_new(&raw mut config), 0);
            set(config, options);
            let code = chttp_tls_new(config, &raw mut tls, &raw mut error);
            chttp_config_free(config);
            let mut text = [0u8; 512];
            chttp_error_message(error, text.as_mut_ptr().cast(), text.len());
            chttp_release(error.cast());
            assert_eq!(code, 0, "{}", String::from_utf8_lossy(&text));
        }
        Tls(tls)
    }

    pub fn raw(&self) -> *const chttp_tls {
        self.0
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // SAFETY: it is ours and given up.
        unsafe { chttp_tls_release(self.0) };
    }
}

/// What was agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// 12 or 13.
    pub version: u32,
    pub resumed: bool,
    pub cipher_suite: String,
    pub group: String,
    pub alpn: String,
}

/// What the library says of an answer's connection; `None` for a plain one.
pub fn agreed(response: *const chttp_response) -> Option<Agreed> {
    // SAFETY: all-zero is valid: integers and NULL pointers.
    let mut info: chttp_tls_info = unsafe { std::mem::zeroed() };
    // SAFETY: a live response, and room for the struct.
    let code = unsafe { chttp_response_tls(response, &raw mut info, size_of::<chttp_tls_info>()) };
    if code != 0 {
        assert_eq!(name(code), "CHTTP_E_NOT_FOUND");
        return None;
    }
    // SAFETY: static texts with NUL.
    let text = |at| unsafe { CStr::from_ptr(at) }.to_str().expect("ASCII").to_owned();
    Some(Agreed {
        version: info.version,
        resumed: info.resumed == 1,
        cipher_suite: text(info.cipher_suite),
        group: text(info.group),
        alpn: text(info.alpn),
    })
}
