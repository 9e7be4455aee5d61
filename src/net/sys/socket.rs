//! Sockets, and their addresses in the kernel's form.

use super::{check, check_size};
use crate::net::counters::{CONNECTS, SOCKET_CALLS, count};
use libc::{c_int, socklen_t};
use std::io::{self, IoSlice};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::time::Duration;

/// A socket address in the kernel's form.
pub struct SockAddr {
    storage: libc::sockaddr_storage,
    len: socklen_t,
}

impl SockAddr {
    fn empty() -> SockAddr {
        // SAFETY: `sockaddr_storage` is plain numbers, for which zero is valid.
        SockAddr { storage: unsafe { mem::zeroed() }, len: mem::size_of::<libc::sockaddr_storage>() as socklen_t }
    }

    /// Overlay one of the concrete address structures, all of which fit into the storage and are valid as zeros.
    fn filled<T>(fill: impl FnOnce(&mut T)) -> SockAddr {
        const { assert!(mem::size_of::<T>() <= mem::size_of::<libc::sockaddr_storage>()) };
        let mut a = SockAddr::empty();
        a.len = mem::size_of::<T>() as socklen_t;
        // SAFETY: the storage is large enough (asserted), suitably aligned for each sockaddr type, and zeroed.
        fill(unsafe { &mut *(&raw mut a.storage).cast::<T>() });
        a
    }

    pub fn inet(addr: &SocketAddr) -> SockAddr {
        match addr {
            SocketAddr::V4(v4) => SockAddr::filled(|s: &mut libc::sockaddr_in| {
                s.sin_family = libc::AF_INET as libc::sa_family_t;
                s.sin_port = v4.port().to_be();
                s.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            }),
            SocketAddr::V6(v6) => SockAddr::filled(|s: &mut libc::sockaddr_in6| {
                s.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                s.sin6_port = v6.port().to_be();
                s.sin6_addr.s6_addr = v6.ip().octets();
                s.sin6_flowinfo = v6.flowinfo();
                s.sin6_scope_id = v6.scope_id();
            }),
        }
    }

    /// A path in the file system, or in the abstract namespace if it starts with a NUL byte.
    pub fn unix(path: &Path) -> io::Result<SockAddr> {
        let bytes = path.as_os_str().as_bytes();
        let is_abstract = bytes.first() == Some(&0);
        let mut fits = false;
        let mut a = SockAddr::filled(|s: &mut libc::sockaddr_un| {
            s.sun_family = libc::AF_UNIX as libc::sa_family_t;
            // A path needs room for its final NUL and must have no other.
            fits = !bytes.is_empty() && bytes.len() < s.sun_path.len() && (is_abstract || !bytes.contains(&0));
            for (to, from) in s.sun_path.iter_mut().zip(bytes) {
                *to = *from as libc::c_char;
            }
        });
        if !fits {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let len = mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + usize::from(!is_abstract);
        a.len = len as socklen_t;
        Ok(a)
    }

    fn family(&self) -> c_int {
        c_int::from(self.storage.ss_family)
    }

    fn to_inet(&self) -> Option<SocketAddr> {
        // SAFETY: the family says which structure the kernel (or `inet`) has put into the storage.
        unsafe { inet_of((&raw const self.storage).cast()) }
    }
}

/// # Safety
/// `addr` points to a sockaddr that is as large as its family says.
pub(super) unsafe fn inet_of(addr: *const libc::sockaddr) -> Option<SocketAddr> {
    // SAFETY: every sockaddr starts with its family.
    let family = c_int::from(unsafe { (*addr).sa_family });
    if family == libc::AF_INET {
        // SAFETY: promised by the caller.
        let s = unsafe { &*addr.cast::<libc::sockaddr_in>() };
        let ip = Ipv4Addr::from(s.sin_addr.s_addr.to_ne_bytes());
        Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(s.sin_port))))
    } else if family == libc::AF_INET6 {
        // SAFETY: promised by the caller.
        let s = unsafe { &*addr.cast::<libc::sockaddr_in6>() };
        let ip = Ipv6Addr::from(s.sin6_addr.s6_addr);
        Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(s.sin6_port), s.sin6_flowinfo, s.sin6_scope_id)))
    } else {
        None
    }
}

/// A stream socket of the family of `to`.
pub fn socket(to: &SockAddr) -> io::Result<RawFd> {
    count(&SOCKET_CALLS);
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    check(unsafe { libc::socket(to.family(), kind, 0) })
}

/// `EINPROGRESS` is the common outcome for TCP.
pub fn connect(fd: RawFd, to: &SockAddr) -> io::Result<()> {
    count(&SOCKET_CALLS);
    count(&CONNECTS);
    // SAFETY: the storage holds an address of `len` bytes.
    check(unsafe { libc::connect(fd, (&raw const to.storage).cast(), to.len) }).map(drop)
}

fn set_option<T: ?Sized>(fd: RawFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    count(&SOCKET_CALLS);
    let size = mem::size_of_val(value) as socklen_t;
    // SAFETY: `value` is `size` bytes and outlives the call.
    check(unsafe { libc::setsockopt(fd, level, name, ptr::from_ref(value).cast(), size) }).map(drop)
}

/// Send and receive through this network interface alone.
pub fn bind_interface(fd: RawFd, name: &str) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name.as_bytes())
}

/// Choose our end's address; the kernel chooses the port, and not before it knows the peer: one port may then serve many
/// connections to different peers.
pub fn bind(fd: RawFd, local: IpAddr) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1)?;
    count(&SOCKET_CALLS);
    let a = SockAddr::inet(&SocketAddr::new(local, 0));
    // SAFETY: the storage holds an address of `len` bytes.
    check(unsafe { libc::bind(fd, (&raw const a.storage).cast(), a.len) }).map(drop)
}

/// Have the kernel probe a peer that has been silent for `idle`, and the probe repeated after the same time, but not
/// more than 15 s. How often is the system's own choice (`tcp_keepalive_probes`).
pub fn set_keepalive(fd: RawFd, idle: Duration) -> io::Result<()> {
    /// The kernel's limits, in seconds.
    const IDLE_MAX: u64 = 32_767;
    let idle = (idle.as_nanos().div_ceil(1_000_000_000) as u64).clamp(1, IDLE_MAX) as c_int;
    set_option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &idle)?;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, &idle.min(15))
}

/// How long sent bytes may stay unacknowledged. The kernel counts in milliseconds.
pub fn set_user_timeout(fd: RawFd, limit: Duration) -> io::Result<()> {
    let ms = c_int::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX);
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &ms)
}

/// Readiness is told of so many received bytes, and of the end. A change to fewer than there are is told at once.
pub fn set_low_water(fd: RawFd, bytes: u32) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, &c_int::try_from(bytes).unwrap_or(c_int::MAX))
}

pub fn set_nodelay(fd: RawFd) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &1)
}

/// Make the next close throw away what is unsent or unread, and send RST.
pub fn set_reset_on_close(fd: RawFd) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 })
}

/// Take the pending error of a socket.
pub fn socket_error(fd: RawFd) -> io::Result<()> {
    count(&SOCKET_CALLS);
    let mut errno: c_int = 0;
    let mut len = mem::size_of::<c_int>() as socklen_t;
    // SAFETY: `errno` is `len` bytes; both outlive the call.
    check(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut errno).cast(), &raw mut len) })?;
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

pub fn recv(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    count(&SOCKET_CALLS);
    // SAFETY: writes at most `into.len()` bytes.
    check_size(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), 0) })
}

/// Send from `bufs`, at most `IOV_MAX` of them in one call.
pub fn send(fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    const IOV_MAX: usize = 1024;
    count(&SOCKET_CALLS);
    if let [one] = bufs {
        // SAFETY: reads at most `one.len()` bytes.
        return check_size(unsafe { libc::send(fd, one.as_ptr().cast(), one.len(), libc::MSG_NOSIGNAL) });
    }
    // SAFETY: `msghdr` is plain numbers and pointers, for which zero is valid.
    let mut msg: libc::msghdr = unsafe { mem::zeroed() };
    msg.msg_iov = bufs.as_ptr().cast_mut().cast();
    msg.msg_iovlen = bufs.len().min(IOV_MAX) as _;
    // SAFETY: `IoSlice` has the layout of `iovec`; sendmsg only reads through it.
    check_size(unsafe { libc::sendmsg(fd, &raw const msg, libc::MSG_NOSIGNAL) })
}

/// Close the sending side.
pub fn shutdown_write(fd: RawFd) -> io::Result<()> {
    count(&SOCKET_CALLS);
    // SAFETY: takes no pointer.
    check(unsafe { libc::shutdown(fd, libc::SHUT_WR) }).map(drop)
}

/// Close a socket that lives in a table. The error, if any, tells nothing that could be acted upon: Linux has freed the
/// number in every case.
pub fn close_socket(fd: RawFd) {
    count(&SOCKET_CALLS);
    // SAFETY: takes no pointer; the caller's table holds the number once.
    unsafe { libc::close(fd) };
}

/// Our own end; `None` for a Unix socket.
pub fn local_name(fd: RawFd) -> io::Result<Option<SocketAddr>> {
    count(&SOCKET_CALLS);
    let mut a = SockAddr::empty();
    // SAFETY: the storage is `len` bytes; the kernel writes no more and says how many.
    check(unsafe { libc::getsockname(fd, (&raw mut a.storage).cast(), &raw mut a.len) })?;
    Ok(a.to_inet())
}
