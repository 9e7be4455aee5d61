//! A table of slots with generations: a stale key finds nothing instead of somebody else's value.
//!
//! Slots stand in pages. A new value takes a free slot of the lowest page that has one, so that the upper pages run empty
//! after a peak and `tidy` can give them back. The directory remembers where the generations of a page stood, and a page
//! that comes again goes on from there.
#![forbid(unsafe_code)]

use super::page::Page;

/// Slot and generation of a value in a [`Slab`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    pub slot: u32,
    pub generation: u32,
}

impl Key {
    /// One number for interfaces that carry 64 bits.
    pub const fn pack(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    pub const fn unpack(n: u64) -> Key {
        Key { slot: n as u32, generation: (n >> 32) as u32 }
    }
}

/// End of the list of free slots.
const NIL: u32 = u32::MAX;

struct Slot<T> {
    generation: u32,
    /// The next free slot of the page.
    next: u32,
    value: Option<T>,
}

struct Leaf<T> {
    page: Option<Page<Slot<T>>>,
    used: u32,
    /// The first free slot, but for those that the page has not made yet.
    free: u32,
    /// Where slots begin that the page makes.
    generation: u32,
}

impl<T> Leaf<T> {
    fn is_full(&self) -> bool {
        self.used as usize == Page::<Slot<T>>::CAPACITY
    }
}

pub struct Slab<T> {
    leaves: Vec<Leaf<T>>,
    /// A bit for each leaf: it has a free slot.
    open: Vec<u64>,
    len: usize,
    /// The most values since the last `tidy`.
    peak: usize,
    /// The generation of a slot that was never used.
    first: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab::starting_at(1)
    }
}

impl<T> Slab<T> {
    const SHIFT: u32 = Page::<Slot<T>>::SHIFT;
    const MASK: u32 = Page::<Slot<T>>::CAPACITY as u32 - 1;

    /// With generations from `first` on.
    pub fn starting_at(first: u32) -> Self {
        Slab { leaves: Vec::new(), open: Vec::new(), len: 0, peak: 0, first }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The lowest leaf with a free slot. It may be one that does not exist yet.
    fn vacant(&self) -> usize {
        let word = self.open.iter().position(|bits| *bits != 0);
        word.map_or(self.leaves.len(), |w| w * 64 + self.open[w].trailing_zeros() as usize)
    }

    /// The key that the next `insert` returns, for a value that must know its own.
    pub fn next_key(&self) -> Key {
        let at = self.vacant();
        let base = (at as u32) << Self::SHIFT;
        let Some(leaf) = self.leaves.get(at) else { return Key { slot: base, generation: self.first } };
        match &leaf.page {
            Some(page) if leaf.free != NIL => {
                Key { slot: base | leaf.free, generation: page[leaf.free as usize].generation }
            }
            page => Key { slot: base | page.as_ref().map_or(0, |p| p.len() as u32), generation: leaf.generation },
        }
    }

    pub fn insert(&mut self, value: T) -> Key {
        let key = self.next_key();
        let at = (key.slot >> Self::SHIFT) as usize;
        if at == self.leaves.len() {
            self.leaves.push(Leaf { page: None, used: 0, free: NIL, generation: self.first });
            self.open.resize(at / 64 + 1, 0);
            self.open[at / 64] |= 1 << (at % 64);
        }
        let leaf = &mut self.leaves[at];
        let page = leaf.page.get_or_insert_default();
        if leaf.free == NIL {
            page.push(Slot { generation: key.generation, next: NIL, value: Some(value) });
        } else {
            let slot = &mut page[leaf.free as usize];
            leaf.free = slot.next;
            slot.value = Some(value);
        }
        leaf.used += 1;
        if leaf.is_full() {
            self.open[at / 64] &= !(1 << (at % 64));
        }
        self.len += 1;
        self.peak = self.peak.max(self.len);
        key
    }

    fn slot(&self, slot: u32) -> Option<&Slot<T>> {
        let page = self.leaves.get((slot >> Self::SHIFT) as usize)?.page.as_ref()?;
        page.get((slot & Self::MASK) as usize)
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot<T>> {
        let page = self.leaves.get_mut((slot >> Self::SHIFT) as usize)?.page.as_mut()?;
        page.get_mut((slot & Self::MASK) as usize)
    }

    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slot(key.slot).filter(|s| s.generation == key.generation)?.value.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slot_mut(key.slot).filter(|s| s.generation == key.generation)?.value.as_mut()
    }

    /// What stands in a slot now, whatever its generation.
    #[inline]
    pub fn at(&self, slot: u32) -> Option<&T> {
        self.slot(slot)?.value.as_ref()
    }

    #[inline]
    pub fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slot_mut(slot)?.value.as_mut()
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        let at = (key.slot >> Self::SHIFT) as usize;
        let leaf = self.leaves.get_mut(at)?;
        let slot = leaf.page.as_mut()?.get_mut((key.slot & Self::MASK) as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        slot.next = leaf.free;
        leaf.free = key.slot & Self::MASK;
        leaf.used -= 1;
        self.open[at / 64] |= 1 << (at % 64);
        self.len -= 1;
        Some(value)
    }

    /// The key of what stands in a slot now.
    pub fn key_at(&self, slot: u32) -> Option<Key> {
        let s = self.slot(slot)?;
        s.value.is_some().then_some(Key { slot, generation: s.generation })
    }

    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.leaves.iter().enumerate().flat_map(|(at, leaf)| {
            let slots = leaf.page.as_deref().unwrap_or_default().iter().enumerate();
            slots
                .filter(|(_, s)| s.value.is_some())
                .map(move |(i, s)| Key { slot: (at as u32) << Self::SHIFT | i as u32, generation: s.generation })
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.leaves.iter().filter_map(|l| l.page.as_deref()).flatten().filter_map(|s| s.value.as_ref())
    }

    /// Give back pages that are empty, as far as they were not needed since the last call. The first one stays.
    pub fn tidy(&mut self) {
        let keep = self.peak.saturating_sub(1) >> Self::SHIFT;
        self.peak = self.len;
        for leaf in self.leaves.iter_mut().skip(keep + 1).filter(|l| l.used == 0) {
            if let Some(page) = leaf.page.take() {
                // Each slot stands at a generation that no key has had.
                leaf.generation = page.iter().map(|s| s.generation).fold(leaf.generation, u32::max);
                leaf.free = NIL;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::default();
        let a = slab.insert("a");
        assert_eq!(slab.remove(a), Some("a"));
        let b = slab.insert("b");
        assert_eq!(a.slot, b.slot);
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.get(b), Some(&"b"));
        assert_eq!(slab.len(), 1);
        assert_eq!(Key::unpack(b.pack()), b);
    }

    #[test]
    fn pages_come_and_go_and_stale_keys_stay_stale() {
        let mut slab: Slab<[u64; 4]> = Slab::default();
        let page = Page::<Slot<[u64; 4]>>::CAPACITY;
        let pages = |s: &Slab<[u64; 4]>| s.leaves.iter().filter(|l| l.page.is_some()).count();
        let mut stale: Vec<Key> = Vec::new();
        for round in 0..4u64 {
            let keys: Vec<Key> = (0..3 * page as u64)
                .map(|n| {
                    let next = slab.next_key();
                    assert_eq!(slab.insert([round, n, 0, 0]), next);
                    next
                })
                .collect();
            assert_eq!(pages(&slab), 3);
            assert_eq!(slab.keys().count(), 3 * page);
            assert!(stale.iter().all(|k| slab.get(*k).is_none()));
            for (n, key) in keys.iter().enumerate() {
                assert_eq!(slab.key_at(key.slot), Some(*key));
                assert_eq!(slab.remove(*key), Some([round, n as u64, 0, 0]));
            }
            slab.tidy();
            assert_eq!(pages(&slab), 3, "they were needed a moment ago");
            slab.tidy();
            assert_eq!((pages(&slab), slab.len()), (1, 0));
            assert!(keys.iter().all(|k| slab.get(*k).is_none() && slab.key_at(k.slot).is_none()));
            stale.extend(keys);
        }
        // Free slots of a low page come first, whatever was freed last.
        let keys: Vec<Key> = (0..2 * page).map(|_| slab.insert([0; 4])).collect();
        slab.remove(keys[3]);
        slab.remove(keys[page + 3]);
        assert_eq!(slab.insert([0; 4]).slot, keys[3].slot);
        assert_eq!(slab.insert([0; 4]).slot, keys[page + 3].slot);
    }
}
