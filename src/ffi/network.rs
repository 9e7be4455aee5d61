//! Where connections begin and end: options of the engine, and what a request says of its own.

use super::guard::{Refusal, bytes};
use super::types::chttp_request;
use crate::client::Settings;
use crate::error as e;
use crate::pool::{Address, Bind};
use crate::proto::route::{self, UNIX_PATH_MAX};
use std::ffi::{OsStr, c_char};
use std::os::unix::ffi::OsStrExt;

/// The network interface that connections are bound to, by name: 1 to 15 bytes (SO_BINDTODEVICE). For requests whose
/// `interface` is NULL; nothing to Unix sockets. Default "": the routing table decides.
pub const CHTTP_OPT_INTERFACE: u32 = 26;
/// While an attempt to connect has no outcome, the next address of the name is tried after this long (RFC 8305 section
/// 5); at once when one fails. Default 250 ms; at least 10 ms; -1 for one after the other.
pub const CHTTP_OPT_CONNECT_ATTEMPT_DELAY_NS: u32 = 27;
/// Addresses that stand in for hosts and ports, which are then not resolved: `host:port=address`, separated by commas.
/// The host is a name, an address (IPv6 in brackets) or `*` for any, compared without regard to case; the port is a number
/// or `*`; the address is `1.2.3.4:port`, `[ipv6]:port`, `unix:path`, or `unix:@name` in the abstract namespace. The first
/// that fits counts. The URL stays what it is, for Host and for TLS. For requests without `connect_to` and `unix_path`.
/// Example: `example.com:443=127.0.0.1:8443, *:80=[::1]:8080`. CHTTP_E_INVALID_ROUTE. Default "": none.
pub const CHTTP_OPT_CONNECT_OVERRIDES: u32 = 47;
/// The address of this machine that connections begin at, without a port: only addresses of its family can be reached. For
/// requests whose `local_address` is NULL; nothing to Unix sockets. Default "": the routing table decides.
pub const CHTTP_OPT_LOCAL_ADDRESS: u32 = 48;
/// 0: let the kernel hold small segments back (Nagle's algorithm, RFC 9293 section 3.7.4). Default 1.
pub const CHTTP_OPT_TCP_NODELAY: u32 = 49;
/// After this silence the kernel probes the peer (RFC 9293 section 3.8.4), in whole seconds, and again each 15 s, or
/// sooner if this is shorter; a peer that answers none of about nine is lost. It costs each connection three system calls.
/// Default 0: never; `idle_timeout_ns` closes what is not used, and `read_timeout_ns` ends what is silent.
pub const CHTTP_OPT_TCP_KEEPALIVE_NS: u32 = 50;
/// How long sent bytes may stay unacknowledged before the connection is lost (RFC 5482), in whole milliseconds. 0: as long
/// as the kernel likes, about a quarter of an hour. Default 0.
pub const CHTTP_OPT_TCP_USER_TIMEOUT_NS: u32 = 51;

/// A rule of the network settings is broken.
pub fn off_route(rule: route::Rule) -> Refusal {
    Refusal::new(e::CHTTP_E_INVALID_ROUTE, rule.0)
}

/// A network setting of the request; none if it is NULL.
///
/// # Safety
/// As for `bytes`.
unsafe fn setting<T>(
    what: &str,
    data: *const c_char,
    len: usize,
    parse: impl FnOnce(&str) -> Result<T, route::Rule>,
) -> Result<Option<T>, Refusal> {
    // SAFETY: by contract.
    let Some(text) = (unsafe { bytes(what, data, len) })? else { return Ok(None) };
    let off = |rule: &dyn std::fmt::Display| Refusal::new(e::CHTTP_E_INVALID_ROUTE, format!("{what}: {rule}"));
    let text = std::str::from_utf8(text).map_err(|_| off(&"the text is not UTF-8"))?;
    parse(text).map(Some).map_err(|rule| off(&rule))
}

/// Our own end: the request's, or the engine's where it says nothing. An empty text is "none, whatever the engine says".
///
/// # Safety
/// Every pointer in `r` is NULL or points to what chttp_request says.
pub unsafe fn bind(r: &chttp_request, settings: &Settings) -> Result<Bind, Refusal> {
    // SAFETY: by contract.
    let (local, interface) = unsafe {
        let local = setting("local_address", r.local_address, r.local_address_len, route::local)?;
        (local, setting("interface", r.interface, r.interface_len, route::interface)?)
    };
    Ok(Bind {
        local: local.unwrap_or(settings.bind.local),
        interface: interface.unwrap_or_else(|| settings.bind.interface.clone()),
    })
}

/// The address that stands in for host and port: the request's own, or the engine's override.
///
/// # Safety
/// Every pointer in `r` is NULL or points to what chttp_request says.
pub unsafe fn destination(
    r: &chttp_request,
    settings: &Settings,
    host: &str,
    port: u16,
) -> Result<Option<Address>, Refusal> {
    // SAFETY: by contract.
    let (unix, to) = unsafe {
        let unix = bytes("unix_path", r.unix_path, r.unix_path_len)?;
        (unix, setting("connect_to", r.connect_to, r.connect_to_len, route::address)?)
    };
    if unix.is_some() && to.is_some() {
        return Err(Refusal::new(e::CHTTP_E_INVALID_ROUTE, "connect_to and unix_path are two destinations"));
    }
    if unix.is_some_and(|path| path.is_empty() || path.len() > UNIX_PATH_MAX || path[0] != 0 && path.contains(&0)) {
        let rule = format!("unix_path: a path has 1 to {UNIX_PATH_MAX} bytes, and no NUL but the first");
        return Err(Refusal::new(e::CHTTP_E_INVALID_ARG, rule));
    }
    let unix = unix.map(|path| Address::Unix(OsStr::from_bytes(path).into()));
    Ok(unix.or(to).or_else(|| settings.overrides.find(host, port).cloned()))
}
