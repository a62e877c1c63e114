//! The open calls, by their ids: a window that moves along with them.

use std::collections::{BTreeMap, VecDeque};

use crate::wire::CallId;

/// A table for ids that only grow and mostly end in about the order they began.
///
/// Recent ids are places in a ring, so that finding one is a subtraction. An entry that stays while
/// thousands come and go behind it is moved to a tree, so that it does not hold the ring open: the
/// room taken goes with the entries there are, not with the age of the oldest.
#[derive(Debug)]
pub(crate) struct Window<T> {
    /// The id of the ring's first place.
    base: u64,
    ring: VecDeque<Option<T>>,
    /// Entries whose ids are below `base`.
    old: BTreeMap<CallId, T>,
    len: usize,
}

/// The ring may be this much longer than its entries are many.
const SLACK: usize = 1024;

impl<T> Window<T> {
    pub(crate) fn new() -> Self {
        Window { base: 0, ring: VecDeque::new(), old: BTreeMap::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The lowest id there is.
    pub(crate) fn lowest(&self) -> Option<CallId> {
        // The ring begins with an entry, unless there is none in it.
        let first = || (!self.ring.is_empty()).then_some(CallId(self.base));
        self.old.keys().next().copied().or_else(first)
    }

    fn place(&self, id: CallId) -> Option<usize> {
        id.0.checked_sub(self.base).and_then(|place| usize::try_from(place).ok())
    }

    /// Adds an entry, or puts back one that was taken.
    pub(crate) fn insert(&mut self, id: CallId, entry: T) {
        // Before the ring grows: ids may have been passed over that never were entries.
        while self.ring.len() > 1
            && self.place(id).is_some_and(|place| place > SLACK + 4 * (self.len + 1))
        {
            self.move_first();
        }
        if self.ring.len() <= 1 && self.place(id).is_some_and(|place| place > SLACK) {
            self.move_first();
        }
        if self.ring.is_empty() {
            self.base = self.base.max(id.0);
        }
        let before = match self.place(id) {
            None => self.old.insert(id, entry),
            Some(place) => {
                if place >= self.ring.len() {
                    self.ring.resize_with(place + 1, || None);
                }
                self.ring[place].replace(entry)
            }
        };
        self.len += usize::from(before.is_none());
        while self.ring.len() > SLACK + 4 * self.len {
            self.move_first();
        }
        self.trim();
    }

    /// The ring's first place is given up; its entry goes to the tree.
    fn move_first(&mut self) {
        if let Some(entry) = self.ring.pop_front().flatten() {
            self.old.insert(CallId(self.base), entry);
        }
        self.base += 1;
    }

    pub(crate) fn get(&self, id: CallId) -> Option<&T> {
        match self.place(id) {
            None => self.old.get(&id),
            Some(place) => self.ring.get(place)?.as_ref(),
        }
    }

    pub(crate) fn get_mut(&mut self, id: CallId) -> Option<&mut T> {
        match self.place(id) {
            None => self.old.get_mut(&id),
            Some(place) => self.ring.get_mut(place)?.as_mut(),
        }
    }

    pub(crate) fn remove(&mut self, id: CallId) -> Option<T> {
        let entry = match self.place(id) {
            None => self.old.remove(&id),
            Some(place) => self.ring.get_mut(place)?.take(),
        }?;
        self.len -= 1;
        self.trim();
        Some(entry)
    }

    /// Takes an entry out if it is as wanted.
    pub(crate) fn remove_if(&mut self, id: CallId, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        if wanted(self.get(id)?) { self.remove(id) } else { None }
    }

    /// The ring begins with an entry.
    fn trim(&mut self) {
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.base += 1;
        }
    }

    /// All entries, lowest id first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CallId, &T)> {
        let recent = (self.base..).zip(&self.ring);
        let recent = recent.filter_map(|(id, entry)| Some((CallId(id), entry.as_ref()?)));
        self.old.iter().map(|(id, entry)| (*id, entry)).chain(recent)
    }

    /// Takes all entries out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (CallId, T)> {
        self.len = 0;
        let ids = (self.base..).map(CallId);
        self.base += self.ring.len() as u64;
        let ring = ids.zip(std::mem::take(&mut self.ring));
        let ring = ring.filter_map(|(id, entry)| Some((id, entry?)));
        std::mem::take(&mut self.old).into_iter().chain(ring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_until_they_are_taken() {
        let mut window = Window::new();
        for id in [3, 4, 7] {
            window.insert(CallId(id), id);
        }
        assert_eq!((window.len(), window.lowest()), (3, Some(CallId(3))));
        assert_eq!(window.get(CallId(5)), None);
        assert_eq!(window.remove(CallId(3)), Some(3));
        assert_eq!(window.remove(CallId(3)), None);
        assert_eq!(window.lowest(), Some(CallId(4)));
        assert_eq!(window.remove_if(CallId(7), |it| *it == 8), None);
        assert_eq!(window.iter().collect::<Vec<_>>(), [(CallId(4), &4), (CallId(7), &7)]);
        assert_eq!(window.drain().collect::<Vec<_>>(), [(CallId(4), 4), (CallId(7), 7)]);
        assert_eq!((window.len(), window.lowest()), (0, None));
    }

    #[test]
    fn an_entry_that_stays_does_not_hold_the_ring_open() {
        let mut window = Window::new();
        window.insert(CallId(1), 1);
        for id in 2..100_000 {
            window.insert(CallId(id), id);
            assert_eq!(window.remove(CallId(id)), Some(id));
        }
        assert!(window.ring.len() <= SLACK + 8);
        assert_eq!(window.lowest(), Some(CallId(1)));
        assert_eq!(window.get_mut(CallId(1)), Some(&mut 1));
        assert_eq!(window.remove(CallId(1)), Some(1));
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn ids_that_were_passed_over_take_no_room() {
        let mut window = Window::new();
        window.insert(CallId(1), 1);
        window.insert(CallId(1_000_000_000_000), 2);
        assert!(window.ring.capacity() < 10_000);
        assert_eq!(window.lowest(), Some(CallId(1)));
        assert_eq!(window.remove(CallId(1_000_000_000_000)), Some(2));
        assert_eq!(window.remove(CallId(1)), Some(1));
    }

    #[test]
    fn an_entry_may_be_put_back() {
        let mut window = Window::new();
        window.insert(CallId(5), "first");
        let entry = window.remove(CallId(5)).unwrap();
        window.insert(CallId(9), "later");
        window.insert(CallId(5), entry);
        assert_eq!(window.lowest(), Some(CallId(5)));
        assert_eq!(window.len(), 2);
        assert_eq!(window.remove(CallId(5)), Some("first"));
        assert_eq!(window.remove(CallId(9)), Some("later"));
    }
}
