//! Exchange ids: a reactor, a generation and a slot in 64 bits. 0 is never one.
//!
//! Ids are claimed on the application's thread, so that submit can return them, and released by the reactor after the
//! terminal event was published. A stale id is therefore told apart on any thread.

use super::engine::Mail;
use super::gate::Gate;
use crate::net::mailbox::Mailbox;
use parking_lot::Mutex;
use std::sync::Arc;

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;
/// Exchanges that one reactor can carry.
pub const SLOTS_MAX: u32 = 1 << SLOT_BITS;

/// The slot in an id.
pub const fn slot(xid: u64) -> usize {
    (xid & (SLOTS_MAX as u64 - 1)) as usize
}

const fn pack(generation: u32, slot: u32) -> u64 {
    // The topmost 8 bits name the reactor; there is one, number 0.
    const { assert!(SLOT_BITS + GENERATION_BITS + 8 == 64) };
    (generation as u64) << SLOT_BITS | slot as u64
}

struct Slot {
    generation: u32,
    live: bool,
    gate: Arc<Gate>,
}

impl Slot {
    /// All bits of the id count, also those that name the reactor.
    fn is(&self, xid: u64) -> bool {
        self.live && pack(self.generation, slot(xid) as u32) == xid
    }
}

#[derive(Default)]
struct Inner {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: u32,
    closed: bool,
}

pub struct Ids {
    inner: Mutex<Inner>,
    mail: Arc<Mailbox<Mail>>,
    max: u32,
}

/// Why no ids could be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    Closed,
    Full,
}

impl Ids {
    pub fn new(mail: Arc<Mailbox<Mail>>, max: u32) -> Ids {
        Ids { inner: Mutex::default(), mail, max: max.min(SLOTS_MAX) }
    }

    /// Claim `count` ids, all or none.
    pub fn claim(&self, count: usize, mut give: impl FnMut(u64, Arc<Gate>)) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        if count > (self.max - inner.live) as usize {
            return Err(Refused::Full);
        }
        inner.live += count as u32;
        for _ in 0..count {
            let slot = match inner.free.pop() {
                Some(slot) => slot,
                None => {
                    inner.slots.push(Slot { generation: 0, live: false, gate: Arc::new(Gate::new(self.mail.clone())) });
                    inner.slots.len() as u32 - 1
                }
            };
            let s = &mut inner.slots[slot as usize];
            s.generation = s.generation.wrapping_add(1).max(1);
            s.live = true;
            let xid = pack(s.generation, slot);
            // Bodies of the former exchange may still be held by the application; their credit must not come here.
            if Arc::get_mut(&mut s.gate).is_none() {
                s.gate = Arc::new(Gate::new(self.mail.clone()));
            }
            s.gate.reset(xid);
            give(xid, s.gate.clone());
        }
        Ok(())
    }

    /// The gate of a live exchange.
    pub fn gate(&self, xid: u64) -> Option<Arc<Gate>> {
        let inner = self.inner.lock();
        inner.slots.get(slot(xid)).filter(|s| s.is(xid)).map(|s| s.gate.clone())
    }

    pub fn is_live(&self, xid: u64) -> bool {
        let inner = self.inner.lock();
        inner.slots.get(slot(xid)).is_some_and(|s| s.is(xid))
    }

    pub fn live(&self) -> u32 {
        self.inner.lock().live
    }

    /// Give ids back. The vector is emptied.
    pub fn release(&self, xids: &mut Vec<u64>) {
        if xids.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        for xid in xids.drain(..) {
            let s = &mut inner.slots[slot(xid)];
            debug_assert!(s.is(xid), "released twice");
            s.live = false;
            inner.free.push(slot(xid) as u32);
            inner.live -= 1;
        }
    }

    /// From now on nothing can be claimed.
    pub fn close(&self) {
        self.inner.lock().closed = true;
    }
}
