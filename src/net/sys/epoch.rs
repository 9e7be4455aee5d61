//! Which process this is: a number that tells a forked child from its parent, without a call and without a lock.

use libc::c_void;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

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
