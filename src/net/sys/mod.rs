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

mod epoch;
mod names;
mod socket;

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::thread;
use std::time::Duration;

pub use super::counters::Counters;
use super::counters::{EPOLL_CTL_CALLS, NOTIFIER_CALLS, POLL_CALLS, count};
pub use epoch::*;
use libc::c_int;
pub use names::*;
pub use socket::*;

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

/// Close what is neither a socket of a table nor owned, with as little ado.
pub fn close(fd: RawFd) {
    // SAFETY: takes no pointer; the caller's set held the number once.
    unsafe { libc::close(fd) };
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
