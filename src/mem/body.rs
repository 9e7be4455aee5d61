//! Received bytes on their way to the application: slices of blocks, and the handle that carries one across the C
//! interface and gives its credit back when it is released.
#![forbid(unsafe_code)]

use super::block::{Block, Object};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Where credit returns to. Called on whatever thread releases a body, at most once for each.
pub trait Credit: Send + Sync {
    fn give_back(&self, bytes: u64);
}

/// A range of received bytes that keeps its memory alive.
#[derive(Clone, Debug)]
pub enum Slice {
    Block {
        block: Block,
        range: Range<u32>,
    },
    /// Memory of a protocol library.
    Foreign(Bytes),
}

impl Slice {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Slice::Block { block, range } => &block.bytes()[range.start as usize..range.end as usize],
            Slice::Foreign(bytes) => bytes,
        }
    }
}

/// The object behind a BODY event.
pub struct Body {
    slice: Slice,
    charge: u64,
    credit: Option<Arc<dyn Credit>>,
}

impl Body {
    /// `charge` bytes of credit go back to `credit` when the last reference is released.
    pub fn new(slice: Slice, charge: u64, credit: Option<Arc<dyn Credit>>) -> Body {
        Body { slice, charge, credit }
    }

    pub fn bytes(&self) -> &[u8] {
        self.slice.bytes()
    }
}

impl Object for Body {
    const TAG: u32 = 0x424f_4459;
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(credit) = self.credit.take() {
            credit.give_back(self.charge);
        }
    }
}

/// The object behind bytes that were copied into it: they are its tail.
#[derive(Default)]
pub struct Copied {
    charge: u64,
    credit: Option<Arc<dyn Credit>>,
}

impl Copied {
    /// `charge` bytes of credit go back to `credit` when the last reference is released.
    pub fn new(charge: u64, credit: Option<Arc<dyn Credit>>) -> Copied {
        Copied { charge, credit }
    }
}

impl Object for Copied {
    const TAG: u32 = 0x434f_5059;
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Some(credit) = self.credit.take() {
            credit.give_back(self.charge);
        }
    }
}

const _: () = assert!(size_of::<Body>() <= 128, "a body handle fits the smallest block");

#[cfg(test)]
mod tests {
    use super::super::block::{Obj, Pool};
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Meter(AtomicU64);
    impl Credit for Meter {
        fn give_back(&self, bytes: u64) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_last_release_gives_the_credit_back_once() {
        let mut pool = Pool::default();
        let mut block = pool.block(512).unwrap();
        block.unique().unwrap()[..5].copy_from_slice(b"hello");
        let meter = Arc::new(Meter::default());
        let body = Body::new(Slice::Block { block, range: 1..4 }, 256, Some(meter.clone()));
        let handle = Obj::new(pool.block(size_of::<Body>()).unwrap(), body);
        assert_eq!(handle.get().bytes(), b"ell");
        let first = handle.into_block();
        let second = first.clone();
        drop(first);
        assert_eq!(meter.0.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(meter.0.load(Ordering::Relaxed), 256);
    }
}
