//! A stack of values in memory that is mapped from the system and goes back to it as a whole.
//!
//! The tables of an engine are made of pages and not of vectors. What a peak has filled is then really given back: a
//! general allocator keeps what is freed below something that stays, and a vector that grew has been copied from place to
//! place. Memory that was mapped and never written costs nothing, so that a page of a small table is a small page.
#![allow(unsafe_code)]

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a page at least.
const BYTES: usize = 64 << 10;

static MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of all pages in the process.
pub fn mapped() -> usize {
    MAPPED.load(Ordering::Relaxed)
}

/// Zeroed memory from the system. `None` if it has none.
fn map(len: usize) -> Option<NonNull<u8>> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping touches no memory that exists.
    let at = unsafe { libc::mmap(ptr::null_mut(), len, access, kind, -1, 0) };
    if at == libc::MAP_FAILED {
        return None;
    }
    MAPPED.fetch_add(len, Ordering::Relaxed);
    NonNull::new(at.cast())
}

/// # Safety
/// `at` is the start of `len` bytes that `map` gave, to which nothing refers any more.
unsafe fn unmap(at: NonNull<u8>, len: usize) {
    // SAFETY: by contract. It cannot fail for whole pages of ours.
    unsafe { libc::munmap(at.as_ptr().cast(), len) };
    MAPPED.fetch_sub(len, Ordering::Relaxed);
}

/// Let the C library give free memory inside of its heap back to the system, which it does not do by itself: one small
/// object that stays keeps all that was freed below it. Other C libraries do without.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Room for a fixed number of values, filled from the front.
pub struct Page<T> {
    at: NonNull<T>,
    len: u32,
}

// SAFETY: a page owns its values as a vector does.
unsafe impl<T: Send> Send for Page<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: Sync> Sync for Page<T> {}

impl<T> Page<T> {
    /// Values of a full page, as a power of two.
    pub const SHIFT: u32 = {
        assert!(size_of::<T>() > 0 && align_of::<T>() <= 4096);
        BYTES.div_ceil(size_of::<T>()).next_power_of_two().trailing_zeros()
    };
    pub const CAPACITY: usize = 1 << Self::SHIFT;
    const LAYOUT: Layout = match Layout::array::<T>(Self::CAPACITY) {
        Ok(layout) => layout,
        Err(_) => panic!("values of this size"),
    };

    pub fn new() -> Page<T> {
        let at = map(Self::LAYOUT.size()).unwrap_or_else(|| handle_alloc_error(Self::LAYOUT));
        Page { at: at.cast(), len: 0 }
    }

    /// # Panics
    /// If the page is full.
    pub fn push(&mut self, value: T) {
        assert!((self.len as usize) < Self::CAPACITY, "a page does not grow");
        // SAFETY: within the mapping, and not initialised yet.
        unsafe { self.at.add(self.len as usize).write(value) };
        self.len += 1;
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Page::new()
    }
}

impl<T> Deref for Page<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` values are initialised.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len as usize) }
    }
}

impl<T> DerefMut for Page<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: the first `len` values are initialised, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len as usize) }
    }
}

impl<T> Drop for Page<T> {
    fn drop(&mut self) {
        // SAFETY: the values are dropped once; then nothing refers to the mapping, which has this size.
        unsafe {
            ptr::drop_in_place(ptr::from_mut::<[T]>(&mut *self));
            unmap(self.at.cast(), Self::LAYOUT.size());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn values_are_dropped_with_their_page() {
        let probe = Rc::new(());
        let mut page = Page::new();
        for _ in 0..Page::<Rc<()>>::CAPACITY {
            page.push(probe.clone());
        }
        assert_eq!(page.len(), 8192);
        assert_eq!(Rc::strong_count(&probe), 8193);
        drop(page);
        assert_eq!(Rc::strong_count(&probe), 1);
    }

    #[test]
    #[should_panic(expected = "does not grow")]
    fn a_full_page_takes_no_more() {
        let mut page = Page::new();
        (0..=Page::<u64>::CAPACITY).for_each(|_| page.push(0u64));
    }
}
