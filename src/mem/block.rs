//! Refcounted blocks of memory in size classes.
//!
//! A [`Block`] is a header and a payload in one allocation. The payload is always initialised (zeroed once, when it
//! comes from the system), so that every byte of it may be read. Bytes are written only through [`Block::unique`],
//! while no second reference exists.
//!
//! Blocks come from the [`Pool`] of a reactor and may be released on any thread, also after the reactor is gone: the
//! last release pushes the block onto a stack without locks that the pool empties when its own list runs dry. The stack
//! is emptied as a whole and never popped one by one, so it has no ABA problem.
//!
//! An [`Obj<T>`] is a block whose payload starts with a `T`, followed by a tail of bytes. Its address is what the C
//! interface calls an object: one release function serves all of them, because the header knows how to drop the `T`.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::marker::PhantomData;
use std::mem::{align_of, size_of};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Payload bytes of each size class. The first holds the handles; those over `RECEIVE` hold collected bodies.
const CLASSES: [usize; 9] = [128, 512, 4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];
const UNPOOLED: u8 = u8::MAX;
/// Free memory that one pool keeps for reuse; what is released beyond it goes back to the system.
const FREE_MAX: usize = 16 << 20;
/// As much is not looked at while blocks are taken.
const FREE_BUSY: usize = 1 << 20;
/// As `FREE_MAX`, for a pool that nobody takes blocks from.
const FREE_CALM: usize = 64 << 10;
const MAGIC_LIVE: u32 = 0x4348_5454;
const MAGIC_FREE: u32 = 0x6465_6164;

#[repr(C, align(16))]
struct Header {
    magic: AtomicU32,
    refs: AtomicU32,
    /// Tag of the object in the payload; 0 for plain bytes.
    tag: u32,
    class: u8,
    capacity: usize,
    next: *mut Header,
    drop: Option<unsafe fn(*mut u8)>,
    home: Option<Arc<Home>>,
}

/// Where blocks return to. Lives as long as the pool or any block of it.
struct Home {
    returned: [AtomicPtr<Header>; CLASSES.len()],
    free_bytes: AtomicUsize,
    /// Bytes that may be free.
    free_max: AtomicUsize,
}

impl Home {
    fn new() -> Home {
        Home { returned: Default::default(), free_bytes: AtomicUsize::new(0), free_max: AtomicUsize::new(FREE_MAX) }
    }

    fn put(&self, header: NonNull<Header>, class: u8) {
        let stack = &self.returned[class as usize];
        let mut top = stack.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller gave up the last reference; nobody else reads or writes this header.
            unsafe { (*header.as_ptr()).next = top };
            match stack.compare_exchange_weak(top, header.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for stack in &mut self.returned {
            free_list(std::mem::replace(stack.get_mut(), ptr::null_mut()));
        }
    }
}

fn layout(capacity: usize) -> Option<Layout> {
    let bytes = size_of::<Header>().checked_add(capacity)?;
    Layout::from_size_align(bytes, align_of::<Header>()).ok()
}

fn free_list(mut at: *mut Header) {
    while let Some(header) = NonNull::new(at) {
        // SAFETY: blocks on a free list are owned by the list alone.
        unsafe {
            at = (*header.as_ptr()).next;
            free(header);
        }
    }
}

/// Give a block back to the system.
///
/// # Safety
/// No reference to the block exists.
unsafe fn free(header: NonNull<Header>) {
    // SAFETY: by contract the header is ours; its capacity is the one it was allocated with.
    unsafe {
        let layout = layout((*header.as_ptr()).capacity).expect("it was allocated with this layout");
        ptr::drop_in_place(header.as_ptr());
        alloc::dealloc(header.as_ptr().cast(), layout);
    }
}

/// The block allocator of one reactor.
pub struct Pool {
    local: [*mut Header; CLASSES.len()],
    /// Blocks taken since the last `tidy`.
    taken: [u32; CLASSES.len()],
    calm: bool,
    home: Arc<Home>,
}

// SAFETY: the local lists are owned by the pool alone, and headers carry no thread affinity.
unsafe impl Send for Pool {}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            local: [ptr::null_mut(); CLASSES.len()],
            taken: [0; CLASSES.len()],
            calm: false,
            home: Arc::new(Home::new()),
        }
    }
}

impl Pool {
    /// Payload bytes of the blocks that a reactor receives into.
    pub const RECEIVE: usize = 64 << 10;
    /// As `RECEIVE`, while a large body comes faster than it is read. Each call costs the kernel the same, and the window
    /// opens in larger steps: *measured*, a quarter less time for a download.
    pub const BULK: usize = 256 << 10;
    /// Payload bytes of the largest pooled block.
    pub const LARGEST: usize = CLASSES[CLASSES.len() - 1];

    /// A block of at least `payload` bytes with one reference. `None` when the system has no memory.
    pub fn block(&mut self, payload: usize) -> Option<Block> {
        let Some(class) = CLASSES.iter().position(|&size| payload <= size) else {
            return allocate(payload, UNPOOLED);
        };
        if self.local[class].is_null() {
            self.local[class] = self.home.returned[class].swap(ptr::null_mut(), Ordering::Acquire);
        }
        self.taken[class] = self.taken[class].saturating_add(1);
        if std::mem::take(&mut self.calm) {
            self.home.free_max.store(FREE_MAX, Ordering::Relaxed);
        }
        let block = match NonNull::new(self.local[class]) {
            Some(header) => {
                // SAFETY: a header on the local list is owned by the list alone; taking it off makes it ours.
                unsafe {
                    self.local[class] = (*header.as_ptr()).next;
                    (*header.as_ptr()).magic.store(MAGIC_LIVE, Ordering::Relaxed);
                    (*header.as_ptr()).refs.store(1, Ordering::Relaxed);
                }
                self.home.free_bytes.fetch_sub(CLASSES[class], Ordering::Relaxed);
                Block(header)
            }
            None => allocate(CLASSES[class], class as u8)?,
        };
        // SAFETY: the block has one reference, ours.
        unsafe { (*block.0.as_ptr()).home = Some(self.home.clone()) };
        Some(block)
    }

    /// Blocks that are out.
    pub fn lent(&self) -> usize {
        Arc::strong_count(&self.home) - 1
    }

    /// Give back to the system what was not needed since the last call: of each class all free blocks but as many as were
    /// taken. While nothing is taken, what is released later goes the same way.
    pub fn tidy(&mut self) {
        self.calm = self.taken.iter().all(|&n| n == 0);
        if self.calm {
            self.home.free_max.store(FREE_CALM, Ordering::Relaxed);
        }
        let free_bytes = self.home.free_bytes.load(Ordering::Relaxed);
        for (class, size) in CLASSES.into_iter().enumerate() {
            let keep = std::mem::take(&mut self.taken[class]) as usize;
            // While there is work, a little more than is needed does no harm.
            if (self.calm || free_bytes > FREE_BUSY) && keep.saturating_mul(size) < free_bytes {
                self.trim(class, keep);
            }
        }
    }

    /// Keep `keep` free blocks of a class.
    fn trim(&mut self, class: usize, keep: usize) {
        let mut kept = 0;
        for mut at in [
            std::mem::replace(&mut self.local[class], ptr::null_mut()),
            self.home.returned[class].swap(ptr::null_mut(), Ordering::Acquire),
        ] {
            while let Some(header) = NonNull::new(at) {
                // SAFETY: both lists were taken over whole: their headers are ours.
                unsafe {
                    at = (*header.as_ptr()).next;
                    if kept < keep {
                        (*header.as_ptr()).next = self.local[class];
                        self.local[class] = header.as_ptr();
                    } else {
                        free(header);
                        self.home.free_bytes.fetch_sub(CLASSES[class], Ordering::Relaxed);
                    }
                }
                kept += 1;
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for list in &mut self.local {
            free_list(std::mem::replace(list, ptr::null_mut()));
        }
    }
}

fn allocate(capacity: usize, class: u8) -> Option<Block> {
    // SAFETY: the layout is not of size zero; the header is written before anybody reads it, and the payload is zeroed.
    unsafe {
        let header: *mut Header = alloc::alloc_zeroed(layout(capacity)?).cast();
        let header = NonNull::new(header)?;
        header.as_ptr().write(Header {
            magic: AtomicU32::new(MAGIC_LIVE),
            refs: AtomicU32::new(1),
            tag: 0,
            class,
            capacity,
            next: ptr::null_mut(),
            drop: None,
            home: None,
        });
        Some(Block(header))
    }
}

/// One reference to a block.
pub struct Block(NonNull<Header>);

// SAFETY: the count is atomic, the payload is written only while there is one reference, and a `T` inside is `Send + Sync`
// by the bound of `Object`.
unsafe impl Send for Block {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Block {}

impl Block {
    /// A block outside of any pool, for rare objects such as errors.
    pub fn unpooled(payload: usize) -> Option<Block> {
        allocate(payload, UNPOOLED)
    }

    fn header(&self) -> &Header {
        // SAFETY: a `Block` keeps its header alive; fields other than the atomics are written only while unique.
        unsafe { self.0.as_ref() }
    }

    fn payload(&self) -> *mut u8 {
        // SAFETY: the payload follows the header in the same allocation.
        unsafe { self.0.as_ptr().add(1).cast() }
    }

    pub fn capacity(&self) -> usize {
        self.header().capacity
    }

    /// Whether this is the only reference.
    pub fn is_unique(&self) -> bool {
        self.header().refs.load(Ordering::Acquire) == 1
    }

    /// The payload of a block without an object in it.
    pub fn bytes(&self) -> &[u8] {
        assert_eq!(self.header().tag, 0, "the payload holds an object");
        // SAFETY: `capacity` initialised bytes; writers need the only reference, which `&self` excludes.
        unsafe { std::slice::from_raw_parts(self.payload(), self.capacity()) }
    }

    /// The payload for writing, if this is the only reference and no object is in it.
    pub fn unique(&mut self) -> Option<&mut [u8]> {
        if !self.is_unique() || self.header().tag != 0 {
            return None;
        }
        // SAFETY: the only reference is borrowed exclusively.
        Some(unsafe { std::slice::from_raw_parts_mut(self.payload(), self.capacity()) })
    }

    /// The address that stands for this reference on the other side of the C interface.
    pub fn into_raw(self) -> *mut std::ffi::c_void {
        let raw = self.0.as_ptr().cast();
        std::mem::forget(self);
        raw
    }

    /// Take a reference back.
    ///
    /// # Safety
    /// `raw` came from [`Block::into_raw`] and its reference was not taken back yet.
    pub unsafe fn from_raw(raw: NonNull<std::ffi::c_void>) -> Block {
        let block = Block(raw.cast());
        debug_assert_eq!(block.header().magic.load(Ordering::Relaxed), MAGIC_LIVE, "released twice, or not an object");
        block
    }

    /// Look at the object behind an address without taking its reference. `None` if it is of another kind.
    ///
    /// # Safety
    /// `raw` came from [`Block::into_raw`], and its reference outlives `'a`.
    pub unsafe fn peek<'a, T: Object>(raw: NonNull<std::ffi::c_void>) -> Option<(&'a T, &'a [u8])> {
        let header: NonNull<Header> = raw.cast();
        // SAFETY: by contract the block is alive for 'a; a matching tag proves that the payload starts with a `T`.
        unsafe {
            debug_assert_eq!(header.as_ref().magic.load(Ordering::Relaxed), MAGIC_LIVE, "used after its release");
            if header.as_ref().tag != T::TAG {
                return None;
            }
            let payload: *const u8 = header.as_ptr().add(1).cast();
            let tail = std::slice::from_raw_parts(
                payload.add(tail_offset::<T>()),
                header.as_ref().capacity - tail_offset::<T>(),
            );
            Some((&*payload.cast::<T>(), tail))
        }
    }
}

impl Clone for Block {
    fn clone(&self) -> Block {
        let before = self.header().refs.fetch_add(1, Ordering::Relaxed);
        assert!(before < u32::MAX / 2, "reference count overflow");
        Block(self.0)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.header().refs.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        std::sync::atomic::fence(Ordering::Acquire);
        // SAFETY: that was the last reference; the block is ours until it stands on a list or is freed.
        unsafe {
            let header = &mut *self.0.as_ptr();
            if let Some(drop) = header.drop.take() {
                drop(self.payload());
            }
            header.tag = 0;
            header.magic.store(MAGIC_FREE, Ordering::Relaxed);
            let (class, capacity) = (header.class, header.capacity);
            match header.home.take() {
                Some(home)
                    if home.free_bytes.fetch_add(capacity, Ordering::Relaxed) + capacity
                        <= home.free_max.load(Ordering::Relaxed) =>
                {
                    home.put(self.0, class);
                }
                Some(home) => {
                    home.free_bytes.fetch_sub(capacity, Ordering::Relaxed);
                    free(self.0);
                }
                None => free(self.0),
            }
        }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({} bytes, tag {})", self.capacity(), self.header().tag)
    }
}

/// A type that may live in a block. `TAG` is unique and not 0.
pub trait Object: Send + Sync + 'static {
    const TAG: u32;
}

const fn tail_offset<T>() -> usize {
    size_of::<T>().next_multiple_of(16)
}

/// A block that holds a `T` and a tail of bytes.
pub struct Obj<T: Object> {
    block: Block,
    kind: PhantomData<T>,
}

impl<T: Object> Obj<T> {
    /// Payload bytes that a `T` with a tail of `tail` bytes needs.
    pub const fn payload(tail: usize) -> usize {
        tail_offset::<T>() + tail
    }

    /// Put `value` into a block that nobody else refers to and that has room for it.
    pub fn new(block: Block, value: T) -> Obj<T> {
        const { assert!(align_of::<T>() <= align_of::<Header>() && T::TAG != 0) };
        assert!(block.is_unique() && block.header().tag == 0 && block.capacity() >= tail_offset::<T>());
        // SAFETY: unique, large enough and aligned (the payload starts at a multiple of the header's alignment).
        unsafe {
            block.payload().cast::<T>().write(value);
            let header = &mut *block.0.as_ptr();
            header.tag = T::TAG;
            header.drop = Some(drop_value::<T>);
        }
        Obj { block, kind: PhantomData }
    }

    pub fn get(&self) -> &T {
        // SAFETY: `new` wrote a `T`, and writers need the only reference.
        unsafe { &*self.block.payload().cast::<T>() }
    }

    pub fn tail(&self) -> &[u8] {
        // SAFETY: initialised bytes behind the value, read-only while shared.
        unsafe {
            std::slice::from_raw_parts(
                self.block.payload().add(tail_offset::<T>()),
                self.block.capacity() - tail_offset::<T>(),
            )
        }
    }

    /// The value and the tail for writing.
    ///
    /// # Panics
    /// If there is a second reference: objects are filled before they are shared.
    pub fn parts_mut(&mut self) -> (&mut T, &mut [u8]) {
        assert!(self.block.is_unique(), "an object is filled before it is shared");
        // SAFETY: the only reference is borrowed exclusively; value and tail do not overlap.
        unsafe {
            let payload = self.block.payload();
            (
                &mut *payload.cast::<T>(),
                std::slice::from_raw_parts_mut(
                    payload.add(tail_offset::<T>()),
                    self.block.capacity() - tail_offset::<T>(),
                ),
            )
        }
    }

    pub fn tail_capacity(&self) -> usize {
        self.block.capacity() - tail_offset::<T>()
    }

    pub fn into_block(self) -> Block {
        self.block
    }
}

/// # Safety
/// `at` points to a `T` that is not used any more.
unsafe fn drop_value<T>(at: *mut u8) {
    // SAFETY: by contract. Afterwards the bytes are zeroed, so that padding of the `T` is initialised memory again.
    unsafe {
        ptr::drop_in_place(at.cast::<T>());
        ptr::write_bytes(at, 0, size_of::<T>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Probe(Arc<AtomicU32>);
    impl Object for Probe {
        const TAG: u32 = 0x7e57;
    }
    impl Drop for Probe {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    struct Other;
    impl Object for Other {
        const TAG: u32 = 0x7e58;
    }

    #[test]
    fn blocks_are_recycled_and_fit_their_class() {
        let mut pool = Pool::default();
        let a = pool.block(100).unwrap();
        assert_eq!(a.capacity(), 128);
        let address = a.0;
        drop(a);
        let b = pool.block(128).unwrap();
        assert_eq!(b.0, address);
        assert_eq!(pool.block(129).unwrap().capacity(), 512);
        assert_eq!(pool.block(2 << 20).unwrap().capacity(), 2 << 20);
    }

    #[test]
    fn only_a_single_reference_may_write() {
        let mut pool = Pool::default();
        let mut a = pool.block(10).unwrap();
        a.unique().unwrap()[0] = 7;
        let b = a.clone();
        assert!(a.unique().is_none());
        assert_eq!(b.bytes()[0], 7);
        drop(b);
        assert!(a.unique().is_some());
    }

    #[test]
    fn an_object_is_dropped_once_and_outlives_its_pool() {
        let drops = Arc::new(AtomicU32::new(0));
        let mut pool = Pool::default();
        let mut obj = Obj::new(pool.block(200).unwrap(), Probe(drops.clone()));
        obj.parts_mut().1[..3].copy_from_slice(b"abc");
        let block = obj.into_block();
        let raw = NonNull::new(block.clone().into_raw()).unwrap();
        drop(block);
        drop(pool);
        // SAFETY: `raw` holds the reference made just above.
        unsafe {
            assert!(Block::peek::<Other>(raw).is_none());
            let (_, tail) = Block::peek::<Probe>(raw).unwrap();
            assert_eq!(&tail[..3], b"abc");
        }
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        // SAFETY: the one reference that is left.
        drop(unsafe { Block::from_raw(raw) });
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn releases_on_other_threads_come_back() {
        let mut pool = Pool::default();
        for _ in 0..100 {
            let blocks: Vec<Block> = (0..64).map(|_| pool.block(4096).unwrap()).collect();
            let (left, right) =
                blocks.into_iter().partition::<Vec<_>, _>(|b| (b.0.as_ptr() as usize).is_multiple_of(32));
            std::thread::scope(|scope| {
                scope.spawn(move || drop(left));
                scope.spawn(move || drop(right));
            });
        }
        assert!(pool.home.free_bytes.load(Ordering::Relaxed) <= 64 * 4096);
    }

    #[test]
    fn free_memory_is_bounded() {
        let mut pool = Pool::default();
        let many: Vec<Block> = (0..400).map(|_| pool.block(64 << 10).unwrap()).collect();
        drop(many);
        assert!(pool.home.free_bytes.load(Ordering::Relaxed) <= FREE_MAX);
    }

    #[test]
    fn what_is_not_needed_goes_back() {
        let mut pool = Pool::default();
        let free = |pool: &Pool| pool.home.free_bytes.load(Ordering::Relaxed);
        let burst = |pool: &mut Pool| (0..100).map(|_| pool.block(4096).unwrap()).collect::<Vec<Block>>();
        let held = burst(&mut pool);
        drop(burst(&mut pool));
        pool.tidy();
        assert_eq!(free(&pool), 100 * 4096, "so many were in use since the last time");
        drop(pool.block(4096));
        pool.tidy();
        assert_eq!(free(&pool), 100 * 4096, "not much for a pool in use");
        pool.tidy();
        assert_eq!(free(&pool), 0);
        // Released by the application later on.
        drop(held);
        assert_eq!(free(&pool), FREE_CALM);
        drop(burst(&mut pool));
        assert_eq!(free(&pool), 100 * 4096);
    }
}
