//! The system's resolver.

use super::socket::inet_of;
use crate::proto::eyeballs::Family;
use libc::c_int;
use std::ffi::CStr;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::ptr;

/// What getaddrinfo said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GaiError {
    /// An `EAI_` code other than `EAI_SYSTEM`.
    Code(c_int),
    /// `EAI_SYSTEM`: the errno.
    System(c_int),
}

/// Addresses of one family of a host, `max` at most, in the order in which they are to be tried. Blocks.
pub fn getaddrinfo(host: &CStr, family: Family, max: usize) -> Result<Vec<IpAddr>, GaiError> {
    // SAFETY: `addrinfo` is plain numbers and pointers, for which zero is valid.
    let mut hints: libc::addrinfo = unsafe { mem::zeroed() };
    hints.ai_family = match family {
        Family::V6 => libc::AF_INET6,
        Family::V4 => libc::AF_INET,
    };
    // One entry for each address, not one for each address and socket type.
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: `host` ends in NUL; `hints` and `list` outlive the call.
    let rc = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if rc == libc::EAI_SYSTEM {
        return Err(GaiError::System(io::Error::last_os_error().raw_os_error().unwrap_or(0)));
    }
    if rc != 0 {
        return Err(GaiError::Code(rc));
    }
    let mut found = Vec::new();
    let mut at = list;
    // SAFETY: the list is libc's and valid until freed below; each `ai_addr` is as large as its family says.
    while let Some(info) = unsafe { at.as_ref() }.filter(|_| found.len() < max) {
        if !info.ai_addr.is_null() {
            // SAFETY: as above.
            found.extend(unsafe { inet_of(info.ai_addr) }.map(|a| a.ip()));
        }
        at = info.ai_next;
    }
    // SAFETY: `list` came from getaddrinfo and is freed once; nothing of it is kept.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

pub fn gai_text(code: c_int) -> &'static str {
    // SAFETY: returns a static string for every number (glibc and musl both).
    let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
    text.to_str().unwrap_or("name resolution failed")
}
