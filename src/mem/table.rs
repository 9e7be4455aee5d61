//! Values by number, in pages: a number that was never used, or whose page was given back, holds nothing.
#![forbid(unsafe_code)]

use super::page::Page;

struct Leaf<T> {
    page: Option<Page<Option<T>>>,
    used: u32,
}

pub struct Table<T> {
    leaves: Vec<Leaf<T>>,
    len: usize,
    /// The highest number since the last `tidy`, and one more.
    reach: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { leaves: Vec::new(), len: 0, reach: 0 }
    }
}

const fn split<T>(at: usize) -> (usize, usize) {
    (at >> Page::<Option<T>>::SHIFT, at & (Page::<Option<T>>::CAPACITY - 1))
}

impl<T> Table<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        let (leaf, place) = split::<T>(at);
        self.leaves.get(leaf)?.page.as_ref()?.get(place)?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        let (leaf, place) = split::<T>(at);
        self.leaves.get_mut(leaf)?.page.as_mut()?.get_mut(place)?.as_mut()
    }

    /// # Panics
    /// If there is a value with this number.
    pub fn insert(&mut self, at: usize, value: T) -> &mut T {
        let (leaf, place) = split::<T>(at);
        if self.leaves.len() <= leaf {
            self.leaves.resize_with(leaf + 1, || Leaf { page: None, used: 0 });
        }
        let leaf = &mut self.leaves[leaf];
        let page = leaf.page.get_or_insert_default();
        while page.len() <= place {
            page.push(None);
        }
        assert!(page[place].is_none(), "the number is taken");
        leaf.used += 1;
        self.len += 1;
        self.reach = self.reach.max(at + 1);
        page[place].insert(value)
    }

    #[inline]
    pub fn remove(&mut self, at: usize) -> Option<T> {
        let (leaf, place) = split::<T>(at);
        let leaf = self.leaves.get_mut(leaf)?;
        let value = leaf.page.as_mut()?.get_mut(place)?;
        leaf.used -= u32::from(value.is_some());
        self.len -= usize::from(value.is_some());
        value.take()
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.leaves.iter().filter_map(|l| l.page.as_deref()).flatten().flatten()
    }

    /// Give back pages that hold nothing, and that nothing since the last call has reached. The first one stays.
    pub fn tidy(&mut self) {
        let keep = split::<T>(self.reach.saturating_sub(1)).0;
        self.reach = 0;
        for leaf in self.leaves.iter_mut().skip(keep + 1).filter(|l| l.used == 0) {
            leaf.page = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_given_back_once_nothing_reaches_them() {
        let mut table = Table::default();
        let page = Page::<Option<u64>>::CAPACITY;
        for at in 0..3 * page {
            table.insert(at, at as u64);
        }
        let pages = |t: &Table<u64>| t.leaves.iter().filter(|l| l.page.is_some()).count();
        for at in (0..3 * page).filter(|at| *at != page) {
            assert_eq!(table.remove(at), Some(at as u64));
        }
        assert_eq!((table.len(), pages(&table)), (1, 3));
        table.tidy();
        assert_eq!(pages(&table), 3, "they were in use since the last time");
        table.tidy();
        assert_eq!((table.len(), pages(&table)), (1, 2));
        assert_eq!((table.get(page), table.get(2 * page), table.get(9 * page)), (Some(&(page as u64)), None, None));
        table.insert(2 * page + 5, 7);
        assert_eq!(table.iter().copied().collect::<Vec<_>>(), [page as u64, 7]);
        assert_eq!(table.remove(2 * page), None);
    }
}
