//! The dynamic table (RFC 7541 section 2.3.2): fields in the order of their insertion, the oldest of which go first.

use super::ENTRY;
use std::collections::VecDeque;

/// Where an entry stands in `Table::bytes`.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u32,
    name_len: u32,
    value_len: u32,
}

impl Entry {
    fn size(&self) -> u32 {
        self.name_len + self.value_len + ENTRY
    }
}

#[derive(Debug)]
pub struct Table {
    /// The oldest first.
    entries: VecDeque<Entry>,
    /// Their bytes in the same order, and before them those of entries that are gone.
    bytes: Vec<u8>,
    size: u32,
    max: u32,
    /// How many there ever were.
    inserted: u64,
}

impl Table {
    pub fn new(max: u32) -> Table {
        Table { entries: VecDeque::new(), bytes: Vec::new(), size: 0, max, inserted: 0 }
    }

    pub fn max(&self) -> u32 {
        self.max
    }

    /// How many entries there ever were; the youngest has that number, the next one will have the number behind it.
    pub fn inserted(&self) -> u64 {
        self.inserted
    }

    /// The entry with this number, if it is there.
    pub fn by_number(&self, number: u64) -> Option<(&[u8], &[u8])> {
        self.youngest(usize::try_from(self.inserted.checked_sub(number)?).ok()?)
    }

    /// The youngest entry is 0, the one before it 1.
    pub fn youngest(&self, nth: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(self.entries.len().checked_sub(nth + 1)?)?;
        let bytes = &self.bytes[entry.at as usize..][..(entry.name_len + entry.value_len) as usize];
        Some(bytes.split_at(entry.name_len as usize))
    }

    pub fn set_max(&mut self, max: u32) {
        self.max = max;
        self.evict(max);
    }

    /// One that is larger than the table empties it (section 4.4). Whether it is there now.
    pub fn insert(&mut self, name: &[u8], value: &[u8]) -> bool {
        let size = (name.len() + value.len()).saturating_add(ENTRY as usize);
        if size > self.max as usize {
            self.evict(0);
            return false;
        }
        self.evict(self.max - size as u32);
        if self.bytes.len() + name.len() + value.len() > 2 * self.max as usize {
            self.tidy();
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push_back(Entry { at, name_len: name.len() as u32, value_len: value.len() as u32 });
        self.size += size as u32;
        self.inserted += 1;
        true
    }

    fn evict(&mut self, max: u32) {
        while self.size > max
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= entry.size();
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    /// What is there moves to the front.
    fn tidy(&mut self) {
        let Some(gone) = self.entries.front().map(|entry| entry.at) else { return };
        self.bytes.drain(..gone as usize);
        for entry in &mut self.entries {
            entry.at -= gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let mut table = Table::new(100);
        assert!(table.insert(b"a", b"1"));
        assert!(table.insert(b"b", b"2"));
        assert_eq!((table.size, table.inserted()), (68, 2));
        assert_eq!(table.youngest(0), Some((&b"b"[..], &b"2"[..])));
        assert_eq!(table.youngest(1), Some((&b"a"[..], &b"1"[..])));
        assert!(table.insert(b"c", b"3"));
        assert_eq!((table.size, table.youngest(2)), (68, None));
        assert_eq!(table.by_number(2), Some((&b"b"[..], &b"2"[..])));
        assert_eq!((table.by_number(1), table.by_number(4), table.by_number(0)), (None, None, None));
        table.set_max(50);
        assert_eq!((table.youngest(0), table.youngest(1)), (Some((&b"c"[..], &b"3"[..])), None));
        assert!(!table.insert(b"name", &[b'v'; 15]), "51 bytes");
        assert_eq!((table.size, table.youngest(0), table.bytes.len()), (0, None, 0));
        assert!(table.insert(b"name", &[b'v'; 14]), "50 bytes");
    }

    #[test]
    fn bytes_of_those_that_are_gone_are_used_again() {
        let mut table = Table::new(4096);
        for n in 0..10_000_u32 {
            let value = n.to_string().repeat(n as usize % 7);
            assert!(table.insert(b"name", value.as_bytes()));
            assert_eq!(table.youngest(0), Some((&b"name"[..], value.as_bytes())));
            let number = u64::from(n) + 1;
            let older = number.saturating_sub(20).max(1);
            let expected = (older as u32 - 1).to_string().repeat((older as usize - 1) % 7);
            assert_eq!(table.by_number(older), Some((&b"name"[..], expected.as_bytes())));
            assert!(table.bytes.len() <= 2 * 4096 && table.size <= 4096);
        }
        assert!(table.bytes.capacity() <= 16 << 10);
    }
}
