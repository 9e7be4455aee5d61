//! Doubly linked lists through values that stand in a table: everything but walking costs the same however long they are.

use crate::mem::{Slab, Table};

/// End of a list.
const NIL: u32 = u32::MAX;

/// A value's place in one list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Links {
    prev: u32,
    next: u32,
    linked: bool,
}

impl Links {
    pub const NONE: Links = Links { prev: NIL, next: NIL, linked: false };

    pub fn is_linked(&self) -> bool {
        self.linked
    }
}

/// A value that can stand in several lists at a time, each with a number.
pub trait Linked {
    fn links(&mut self, list: usize) -> &mut Links;
}

/// Where the values stand.
pub trait Store {
    type Item: Linked;
    fn item(&mut self, at: u32) -> Option<&mut Self::Item>;
}

impl<T: Linked> Store for Slab<T> {
    type Item = T;
    fn item(&mut self, at: u32) -> Option<&mut T> {
        self.at_mut(at)
    }
}

impl<T: Linked> Store for Table<T> {
    type Item = T;
    fn item(&mut self, at: u32) -> Option<&mut T> {
        self.get_mut(at as usize)
    }
}

/// The ends of a list of values that use their links number `N` for it.
#[derive(Debug)]
pub struct List<const N: usize> {
    first: u32,
    last: u32,
    len: u32,
}

impl<const N: usize> Default for List<N> {
    fn default() -> Self {
        List { first: NIL, last: NIL, len: 0 }
    }
}

impl<const N: usize> List<N> {
    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn first(&self) -> Option<u32> {
        (self.first != NIL).then_some(self.first)
    }

    pub fn last(&self) -> Option<u32> {
        (self.last != NIL).then_some(self.last)
    }

    pub fn push_back(&mut self, store: &mut impl Store, at: u32) {
        let Some(item) = store.item(at) else { return };
        debug_assert!(!item.links(N).linked, "it stands in the list");
        *item.links(N) = Links { prev: self.last, next: NIL, linked: true };
        match store.item(self.last) {
            Some(before) => before.links(N).next = at,
            None => self.first = at,
        }
        self.last = at;
        self.len += 1;
    }

    /// `false` if it did not stand in the list.
    pub fn remove(&mut self, store: &mut impl Store, at: u32) -> bool {
        let Some(item) = store.item(at) else { return false };
        let Links { prev, next, linked } = std::mem::replace(item.links(N), Links::NONE);
        if !linked {
            return false;
        }
        match store.item(prev) {
            Some(before) => before.links(N).next = next,
            None => self.first = next,
        }
        match store.item(next) {
            Some(after) => after.links(N).prev = prev,
            None => self.last = prev,
        }
        self.len -= 1;
        true
    }
}
