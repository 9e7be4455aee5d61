//! Which descriptors are ours, told without a lock: a forked child closes those of its parent's engine, and whoever held a
//! lock of that is not there any more.
//!
//! Invariant: a descriptor stands in its set exactly while it is ours. It goes out of it before it is closed, so that nobody
//! closes a number that means something else by now. A fork in between leaves the child with that one descriptor.
#![forbid(unsafe_code)]

use super::sys;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Bits for descriptors below 2^31: part `n` has 2^n words.
const PARTS: usize = 26;

/// One bit for each number, since the kernel hands out the lowest that is free. Parts stay where they are.
#[derive(Default)]
struct FdSet {
    parts: [OnceLock<Box<[AtomicU64]>>; PARTS],
}

impl FdSet {
    /// Part, word in it, and bit in that.
    fn place(fd: RawFd) -> (usize, usize, u64) {
        let word = fd as usize / 64 + 1;
        let part = word.ilog2() as usize;
        (part, word - (1 << part), 1 << (fd % 64))
    }

    fn insert(&self, fd: RawFd) {
        let (part, word, bit) = FdSet::place(fd);
        let part = self.parts[part].get_or_init(|| (0..1usize << part).map(|_| AtomicU64::new(0)).collect());
        part[word].fetch_or(bit, Ordering::SeqCst);
    }

    /// Whether it was there.
    fn remove(&self, fd: RawFd) -> bool {
        let (part, word, bit) = FdSet::place(fd);
        self.parts[part].get().is_some_and(|part| part[word].fetch_and(!bit, Ordering::SeqCst) & bit != 0)
    }

    fn has(&self, fd: RawFd) -> bool {
        let (part, word, bit) = FdSet::place(fd);
        self.parts[part].get().is_some_and(|part| part[word].load(Ordering::SeqCst) & bit != 0)
    }

    fn drain(&self, mut each: impl FnMut(RawFd)) {
        for (n, part) in self.parts.iter().enumerate() {
            for (at, word) in part.get().into_iter().flatten().enumerate() {
                let mut bits = word.swap(0, Ordering::SeqCst);
                while bits != 0 {
                    each((((1 << n) + at - 1) * 64) as RawFd + bits.trailing_zeros().cast_signed());
                    bits &= bits - 1;
                }
            }
        }
    }
}

/// The descriptors of one owner: an engine, or a queue of the application's.
#[derive(Default)]
pub struct Descriptors {
    /// Those that live in a table and go by number.
    sockets: FdSet,
    held: FdSet,
}

impl Descriptors {
    /// A socket that is ours from now on.
    pub fn add_socket(&self, fd: RawFd) {
        self.sockets.insert(fd);
    }

    /// It is about to be closed. Whether it was ours.
    pub fn remove_socket(&self, fd: RawFd) -> bool {
        self.sockets.remove(fd)
    }

    /// Whether it is ours. Not negative.
    pub fn has(&self, fd: RawFd) -> bool {
        self.sockets.has(fd) || self.held.has(fd)
    }

    pub fn close_sockets(&self) {
        self.sockets.drain(sys::close);
    }

    /// Close everything, in a forked child. Nothing but `close` is done: what the numbers stand for is shared with the parent.
    pub fn abandon(&self) {
        self.close_sockets();
        self.held.drain(sys::close);
    }
}

/// A descriptor with one owner. It is closed when this is dropped, or when the set is abandoned.
pub struct Held {
    fd: RawFd,
    of: Arc<Descriptors>,
}

impl Held {
    pub fn new(fd: OwnedFd, of: &Arc<Descriptors>) -> Held {
        let fd = fd.into_raw_fd();
        of.held.insert(fd);
        Held { fd, of: of.clone() }
    }

    /// The set that it stands in.
    pub fn set(&self) -> &Descriptors {
        &self.of
    }
}

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.fd).finish()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.of.held.remove(self.fd) {
            sys::close(self.fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_it_holds() {
        let set = FdSet::default();
        for fd in [0, 3, 63, 64, 127, 128, 1000, 1 << 20, RawFd::MAX] {
            // The last part has 256 MiB: what it would hold is told by its place alone.
            if fd < RawFd::MAX {
                set.insert(fd);
            }
            assert!(FdSet::place(fd).0 < PARTS);
        }
        assert!(set.has(64) && set.has(1 << 20) && !set.has(65) && !set.has(5000));
        assert!(set.remove(64) && !set.has(64));
        assert!(!set.remove(64) && !set.remove(5000) && !set.remove(RawFd::MAX));
        let mut left = Vec::new();
        set.drain(|fd| left.push(fd));
        assert_eq!(left, [0, 3, 63, 127, 128, 1000, 1 << 20]);
        set.drain(|fd| panic!("{fd} was there twice"));
    }

    #[test]
    fn what_is_abandoned_is_closed_once() {
        let set = Arc::<Descriptors>::default();
        let (ours, theirs) = (Held::new(sys::eventfd().unwrap(), &set), sys::eventfd().unwrap());
        let number = ours.as_raw_fd();
        set.abandon();
        assert!(sys::status_flags(number).is_err());
        // The number is somebody else's now, and stays that.
        let again = sys::dup(&theirs).unwrap();
        drop(ours);
        assert_eq!(again.as_raw_fd(), number);
        assert!(sys::status_flags(number).is_ok());
    }
}
