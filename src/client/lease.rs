//! The object behind an event of something that goes on: as long as the application has it, there is no further one.
//!
//! So there is one event of each watch and timer at most, however long it waits, and none comes while the last one is being
//! dealt with, on whatever thread.
#![forbid(unsafe_code)]

use crate::mem::{Block, Obj, Object, Pool};
use crate::net::sys;
use std::sync::Weak;

/// Who goes on once an event was released.
pub trait Again: Send + Sync {
    fn again(&self, id: u64);
}

pub struct Lease {
    of: Weak<dyn Again>,
    id: u64,
    /// The process it was made in.
    epoch: u32,
}

impl Object for Lease {
    const TAG: u32 = 0x4c45_4153;
}

impl Lease {
    pub fn block(of: &Weak<dyn Again>, id: u64, memory: &mut Pool) -> Option<Block> {
        let block = memory.block(Obj::<Lease>::payload(0))?;
        Some(Obj::new(block, Lease { of: of.clone(), id, epoch: sys::process_epoch() }).into_block())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // In a forked child it is nobody's: what it would tell is the parent's, locks and all.
        if sys::is_process_epoch(self.epoch)
            && let Some(of) = self.of.upgrade()
        {
            of.again(self.id);
        }
    }
}
