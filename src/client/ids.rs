//! Exchange ids: a reactor, a generation and a slot in 64 bits. 0 is never one.
//!
//! Ids are claimed on the application's thread, so that submit can return them, and released by the reactor after the
//! terminal event was published. A stale id is therefore told apart on any thread.

use super::engine::Mail;
use super::gate::Gate;
use crate::mem::{Key, Slab};
use crate::net::mailbox::Mailbox;
use crate::sync::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const SLOT_BITS: u32 = 24;
const GENERATION_BITS: u32 = 32;
/// Exchanges that one reactor can carry.
pub const SLOTS_MAX: u32 = 1 << SLOT_BITS;

/// The slot in an id.
pub const fn slot(xid: u64) -> usize {
    (xid & (SLOTS_MAX as u64 - 1)) as usize
}

pub(super) const fn pack(key: Key) -> u64 {
    // The topmost 8 bits name the reactor; there is one, number 0.
    const { assert!(SLOT_BITS + GENERATION_BITS + 8 == 64) };
    (key.generation as u64) << SLOT_BITS | key.slot as u64
}

/// All bits of an id count, also those that name the reactor.
pub(super) const fn unpack(xid: u64) -> Option<Key> {
    let key = Key { slot: slot(xid) as u32, generation: (xid >> SLOT_BITS) as u32 };
    if pack(key) == xid { Some(key) } else { None }
}

#[derive(Default)]
struct Inner {
    gates: Slab<Arc<Gate>>,
    /// Gates of exchanges that have ended, for those to come.
    spare: Vec<Arc<Gate>>,
    closed: bool,
}

pub struct Ids {
    inner: Mutex<Inner>,
    mail: Arc<Mailbox<Mail>>,
    max: u32,
    /// The highest generation that an id has had; a forked child reads it without the lock.
    latest: AtomicU32,
}

/// Why no ids could be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    Closed,
    Full,
}

impl Ids {
    /// With generations from `first` on.
    pub fn new(mail: Arc<Mailbox<Mail>>, max: u32, first: u32) -> Ids {
        let inner = Inner { gates: Slab::starting_at(first), ..Inner::default() };
        Ids { inner: Mutex::new(inner), mail, max: max.min(SLOTS_MAX), latest: AtomicU32::new(first) }
    }

    /// A generation from which on all ids are new.
    pub fn unused(&self) -> u32 {
        self.latest.load(Ordering::Relaxed).wrapping_add(1).max(1)
    }

    /// An id has been given with this generation.
    pub fn note(&self, generation: u32) {
        if generation > self.latest.load(Ordering::Relaxed) {
            self.latest.fetch_max(generation, Ordering::Relaxed);
        }
    }

    /// Claim `count` ids, all or none.
    pub fn claim(&self, count: usize, mut give: impl FnMut(u64, Arc<Gate>)) -> Result<(), Refused> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        if count > (self.max as usize).saturating_sub(inner.gates.len()) {
            return Err(Refused::Full);
        }
        for _ in 0..count {
            let key = inner.gates.next_key();
            let xid = pack(key);
            self.note(key.generation);
            // Bodies of the former exchange may still be held by the application; their credit must not come here.
            let spare = inner.spare.pop().and_then(|mut gate| Arc::get_mut(&mut gate).is_some().then_some(gate));
            let gate = spare.unwrap_or_else(|| Arc::new(Gate::new(self.mail.clone())));
            gate.reset(xid);
            inner.gates.insert(gate.clone());
            give(xid, gate);
        }
        Ok(())
    }

    /// The gate of a live exchange.
    pub fn gate(&self, xid: u64) -> Option<Arc<Gate>> {
        self.inner.lock().gates.get(unpack(xid)?).cloned()
    }

    pub fn is_live(&self, xid: u64) -> bool {
        unpack(xid).is_some_and(|key| self.inner.lock().gates.get(key).is_some())
    }

    pub fn live(&self) -> u32 {
        self.inner.lock().gates.len() as u32
    }

    /// Give ids back. The vector is emptied.
    pub fn release(&self, xids: &mut Vec<u64>) {
        if xids.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        for xid in xids.drain(..) {
            let gate = unpack(xid).and_then(|key| inner.gates.remove(key));
            debug_assert!(gate.is_some(), "released twice");
            inner.spare.extend(gate);
        }
    }

    /// From now on nothing can be claimed.
    pub fn close(&self) {
        self.inner.lock().closed = true;
    }

    /// Give back what a peak has left, up to `spare` gates.
    pub fn tidy(&self, spare: usize) {
        let mut inner = self.inner.lock();
        inner.gates.tidy();
        inner.spare.truncate(spare);
        inner.spare.shrink_to(spare);
    }
}
