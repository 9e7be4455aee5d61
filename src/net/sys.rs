//! Every libc call of the crate, one wrapper each.
//!
//! Wrappers return `io::Result`, never retry (`EINTR` and `EAGAIN` are the caller's to judge) and never allocate on the
//! way of a request. Descriptors that live in a table (sockets) go by number, because a socket must stay `Copy`; those
//! with one owner are `OwnedFd`.
//!
//! Invariants:
//! - each descriptor is made close-on-exec and non-blocking in the call that makes it;
//! - nothing here raises SIGPIPE on a socket;
//! - the calls that cost are counted ([`Counters`]), so that a test can hold the engine to its budget of system calls.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

pub use super::counters::Counters;
use super::counters::{CONNECTS, EPOLL_CTL_CALLS, NOTIFIER_CALLS, POLL_CALLS, SOCKET_CALLS, count};
use crate::proto::eyeballs::Family;
use libc::{c_int, c_void, socklen_t};

fn check(rc: c_int) -> io::Result<c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}

fn check_size(rc: isize) -> io::Result<usize> {
    usize::try_from(rc).map_err(|_| io::Error::last_os_error())
}

fn own(rc: c_int) -> io::Result<OwnedFd> {
    let fd = check(rc)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

// --- epoll ---

pub use libc::epoll_event as EpollEvent;

pub fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let epoll = own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // It cannot be read at all. But applications poll it, and some of their loops insist on the flag.
    // SAFETY: takes no pointer.
    check(unsafe { libc::fcntl(epoll.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
    Ok(epoll)
}

pub fn epoll_add(epoll: RawFd, fd: RawFd, events: c_int, token: u64) -> io::Result<()> {
    count(&EPOLL_CTL_CALLS);
    let mut event = EpollEvent { events: events.cast_unsigned(), u64: token };
    // SAFETY: `event` outlives the call.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) }).map(drop)
}

/// Change what is asked about a descriptor that is in the set, and look at it anew.
pub fn epoll_mod(epoll: RawFd, fd: RawFd, events: c_int, token: u64) -> io::Result<()> {
    count(&EPOLL_CTL_CALLS);
    let mut event = EpollEvent { events: events.cast_unsigned(), u64: token };
    // SAFETY: `event` outlives the call.
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, &raw mut event) }).map(drop)
}

pub fn epoll_del(epoll: RawFd, fd: RawFd) -> io::Result<()> {
    count(&EPOLL_CTL_CALLS);
    // SAFETY: a deletion reads no event (since Linux 2.6.9).
    check(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd, ptr::null_mut()) }).map(drop)
}

/// Wait for at most `timeout`; the count of events at the front of `into`. The kernel counts in milliseconds here:
/// rounded up, so that a wait never ends just before its moment and spins; zero stays zero.
pub fn epoll_wait(epoll: RawFd, into: &mut [EpollEvent], timeout: Option<Duration>) -> io::Result<usize> {
    count(&POLL_CALLS);
    let ms = match timeout {
        None => -1,
        Some(t) => c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX),
    };
    let room = c_int::try_from(into.len()).unwrap_or(c_int::MAX);
    // SAFETY: `into` has room for `room` events.
    check(unsafe { libc::epoll_wait(epoll, into.as_mut_ptr(), room, ms) }).map(|n| n as usize)
}

// --- eventfd, timerfd, poll ---

pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Add 1. Wakes edge-triggered watchers even if the counter was not zero. Safe in a signal handler.
pub fn eventfd_write(fd: RawFd) -> io::Result<()> {
    eventfd_add(fd, 1)
}

/// Add to the counter.
pub fn eventfd_add(fd: RawFd, value: u64) -> io::Result<()> {
    count(&NOTIFIER_CALLS);
    // SAFETY: reads the eight bytes of `value`.
    check_size(unsafe { libc::write(fd, (&raw const value).cast(), 8) }).map(drop)
}

/// Take the counter, leaving zero. `WouldBlock` if it was zero.
pub fn eventfd_read(fd: RawFd) -> io::Result<u64> {
    count(&NOTIFIER_CALLS);
    let mut value = 0u64;
    // SAFETY: writes the eight bytes of `value`.
    check_size(unsafe { libc::read(fd, (&raw mut value).cast(), 8) })?;
    Ok(value)
}

pub fn timerfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    own(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })
}

/// Fire once, at `at` nanoseconds of [`monotonic_ns`], at once if that has passed; `None` disarms. Also takes back an
/// expiration that nobody has read.
pub fn timerfd_set(fd: RawFd, at: Option<u64>) -> io::Result<()> {
    count(&NOTIFIER_CALLS);
    // All zero means "disarm", so the first moment of the clock is its second nanosecond.
    let ns = at.map_or(0, |at| at.max(1));
    // SAFETY: `itimerspec` is plain numbers, for which zero is valid.
    let mut spec: libc::itimerspec = unsafe { mem::zeroed() };
    spec.it_value = timespec(Duration::from_nanos(ns));
    // SAFETY: `spec` outlives the call; the old value is not asked for.
    check(unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const spec, ptr::null_mut()) }).map(drop)
}

/// `poll` with a resolution of nanoseconds; `None` waits for ever. `Interrupted` is passed on.
pub fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    count(&POLL_CALLS);
    let limit = timeout.map(timespec);
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `fds` is a slice of pollfd; `limit` is null or outlives the call; no signal mask is set.
    check(unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, limit, ptr::null()) }).map(|n| n as usize)
}

/// Wait until `fd` is readable. Whether it is.
pub fn poll_readable(fd: RawFd, timeout: Option<Duration>) -> io::Result<bool> {
    let mut fds = [libc::pollfd { fd, events: libc::POLLIN, revents: 0 }];
    poll(&mut fds, timeout).map(|n| n > 0)
}

fn timespec(d: Duration) -> libc::timespec {
    // SAFETY: `timespec` is plain numbers, for which zero is valid (some targets have padding fields).
    let mut spec: libc::timespec = unsafe { mem::zeroed() };
    spec.tv_sec = libc::time_t::try_from(d.as_secs()).unwrap_or(libc::time_t::MAX);
    spec.tv_nsec = d.subsec_nanos() as _;
    spec
}

/// Bytes that nobody can foresee.
pub fn random(into: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut into[done..];
        // SAFETY: the buffer is writable for the length that is passed.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => done += n,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// The engine's clock.
pub fn monotonic_ns() -> u64 {
    // SAFETY: `timespec` is plain numbers, for which zero is valid.
    let mut now: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: `now` outlives the call, which cannot fail: the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

// --- sockets ---

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
unsafe fn inet_of(addr: *const libc::sockaddr) -> Option<SocketAddr> {
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

/// Close what is neither a socket of a table nor owned, with as little ado.
pub fn close(fd: RawFd) {
    // SAFETY: takes no pointer; the caller's set held the number once.
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

// --- files and any descriptor ---

/// Read at an offset, without moving the descriptor's own.
pub fn pread(fd: RawFd, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: writes at most `into.len()` bytes.
    check_size(unsafe { libc::pread(fd, into.as_mut_ptr().cast(), into.len(), offset) })
}

/// A pipe: the end to read and the end to write.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: writes two numbers.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Read what is there from a notifier.
pub fn read(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    count(&NOTIFIER_CALLS);
    // SAFETY: writes at most `into.len()` bytes.
    check_size(unsafe { libc::read(fd, into.as_mut_ptr().cast(), into.len()) })
}

/// Access mode and status flags of a descriptor.
pub fn status_flags(fd: RawFd) -> io::Result<c_int> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::fcntl(fd, libc::F_GETFL) })
}

/// Write to a notifier, whatever it is, without SIGPIPE. Safe in a signal handler.
pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    count(&NOTIFIER_CALLS);
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: reads at most `bytes.len()` bytes.
    let sent = check_size(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) });
    if !sent.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENOTSOCK)) {
        return sent;
    }
    let mut signal = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initializes the set that the other calls read; `before` is written before it is used.
    unsafe {
        libc::sigemptyset(signal.as_mut_ptr());
        libc::sigaddset(signal.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, signal.as_ptr(), before.as_mut_ptr());
    }
    // SAFETY: reads at most `bytes.len()` bytes.
    let written = check_size(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) });
    let broken = written.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPIPE));
    let now = timespec(Duration::ZERO);
    // SAFETY: all sets are initialized. A signal that was raised by the write is taken back before it can be delivered.
    unsafe {
        if broken && libc::sigismember(before.as_ptr(), libc::SIGPIPE) == 0 {
            libc::sigtimedwait(signal.as_ptr(), ptr::null_mut(), &raw const now);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
    written
}

/// Duplicate, close-on-exec, not below 3 so that a closed standard stream is never replaced.
pub fn dup(fd: &impl AsRawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    own(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })
}

// --- threads ---

/// Start a library thread. It has a name, and it never runs a signal handler of the application: signals are blocked
/// before it starts, so there is no moment at which one could be delivered to it. The faults that a thread raises
/// against itself stay open: blocking them would not stop them, it would only bypass the application's crash reporter.
pub fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    const FAULTS: [c_int; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initializes the set that the other calls read; `before` is written before it is used.
    let rc = unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        for signal in FAULTS {
            libc::sigdelset(mask.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), before.as_mut_ptr())
    };
    if rc != 0 {
        return Err(io::Error::from_raw_os_error(rc));
    }
    let spawned = thread::Builder::new().name(name).spawn(body);
    // SAFETY: `before` was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    spawned
}

// --- fork ---

/// A word on a page that the kernel wipes in the child of a fork; also of a raw `clone`, which no `pthread_atfork` sees.
/// Null until first used; `NO_PAGE` where the kernel cannot wipe.
static FORK_WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
/// Ordinary memory: a child goes on counting where its parent stood, so no epoch occurs twice along a line of forks.
static NEXT_EPOCH: AtomicU32 = AtomicU32::new(1);
/// Stands in for the page where there is none. Its address is the mark; the value is never used.
static NO_PAGE: AtomicU32 = AtomicU32::new(0);

fn map_wiped_page() -> Option<*mut c_void> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // The kernel rounds the length up to a page.
    let len = mem::size_of::<AtomicU32>();
    // SAFETY: a fresh anonymous mapping touches no memory of anyone.
    let page = unsafe { libc::mmap(ptr::null_mut(), len, access, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: `page` is the mapping made above.
    if unsafe { libc::madvise(page, len, libc::MADV_WIPEONFORK) } == 0 {
        return Some(page);
    }
    // SAFETY: as above; nobody has seen it.
    unsafe { libc::munmap(page, len) };
    None
}

fn fork_word() -> Option<&'static AtomicU32> {
    let mut word = FORK_WORD.load(Ordering::Acquire);
    if word.is_null() {
        // Without a lock, so that a fork in the middle of this leaves nothing locked in the child. Of two threads that
        // come first, one leaks a page.
        let made = map_wiped_page().map_or((&raw const NO_PAGE).cast_mut(), <*mut c_void>::cast);
        word = match FORK_WORD.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(first) => first,
        };
    }
    // SAFETY: either the static or a mapping that is never unmapped; both hold an AtomicU32 (zeroed at first).
    (!ptr::eq(word, &raw const NO_PAGE)).then(|| unsafe { &*word })
}

/// Names this process among its ancestors and descendants. Never 0.
pub fn process_epoch() -> u32 {
    let Some(word) = fork_word() else { return process_id() };
    match word.load(Ordering::Relaxed) {
        0 => {
            let fresh = NEXT_EPOCH.fetch_add(1, Ordering::Relaxed);
            word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|seen| seen, |_| fresh)
        }
        epoch => epoch,
    }
}

/// Whether `epoch` was taken in this very process, not in a parent of it. Two loads where the kernel can wipe a page.
pub fn is_process_epoch(epoch: u32) -> bool {
    match fork_word() {
        Some(word) => word.load(Ordering::Relaxed) == epoch,
        None => process_id() == epoch,
    }
}

fn process_id() -> u32 {
    // SAFETY: takes no pointer.
    unsafe { libc::getpid() }.cast_unsigned()
}

// --- names ---

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
