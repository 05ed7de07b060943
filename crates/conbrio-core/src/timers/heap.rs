//! The heap of entries, and behind it what was pushed since somebody asked for the first.

use super::entry::{Entry, FAN, least};

/// Entries of which the least is asked for.
#[derive(Debug, Default)]
pub(super) struct Heap {
    /// Invariant: no entry of the first `settled` is less than its parent.
    entries: Vec<Entry>,
    /// How many entries are in the heap's order; those behind them were pushed since.
    settled: usize,
}

impl Heap {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            settled: 0,
        }
    }

    /// Counts the entries, dead ones too.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Puts `entry` behind the others.
    #[inline]
    pub(super) fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Takes the last entry out if it has the slot and no place in the order yet; tells whether it did.
    #[inline]
    pub(super) fn forget_last(&mut self, slot: u32) -> bool {
        // Bench: timers_timeout_pattern; what is cancelled straight after leaves nothing behind.
        let here = self.settled < self.len()
            && self.entries.last().is_some_and(|last| last.slot() == slot);
        if here {
            self.entries.pop();
        }
        here
    }

    /// Takes everything out.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.settled = 0;
    }

    /// Finds the least entry, of those that `waits` says wait.
    #[inline]
    pub(super) fn first(&mut self, waits: impl Fn(Entry) -> bool) -> Option<Entry> {
        if self.settled < self.len() {
            self.settle(&waits);
        }
        loop {
            let first = *self.entries.first()?;
            if waits(first) {
                return Some(first);
            }
            self.take_first();
        }
    }

    /// Takes the least entry out; all of them are in their order.
    #[inline]
    pub(super) fn take_first(&mut self) {
        let last = self.entries.pop();
        self.settled = self.len();
        if let Some(last) = last
            && self.settled > 0
        {
            self.sink(0, last);
        }
    }

    /// Takes out what does not wait.
    pub(super) fn retain(&mut self, waits: impl Fn(Entry) -> bool) {
        self.entries.retain(|entry| waits(*entry));
        self.settled = self.len();
        for place in (0..self.settled.div_ceil(FAN)).rev() {
            if let Some(&entry) = self.entries.get(place) {
                self.sink(place, entry);
            }
        }
    }

    /// Sorts what waits; the caller may change the entries if their order stays.
    pub(super) fn sort(&mut self, waits: impl Fn(Entry) -> bool) -> &mut [Entry] {
        self.entries.retain(|entry| waits(*entry));
        self.entries.sort_unstable();
        self.settled = self.len();
        &mut self.entries
    }

    /// Gives back what is neither needed soon nor among the first `kept`.
    pub(super) fn shrink_to(&mut self, kept: usize) {
        self.entries.shrink_to(kept.max(self.len() * 2));
    }

    /// Brings what was pushed into the heap's order, but for the dead entries among it.
    #[inline]
    fn settle(&mut self, waits: &impl Fn(Entry) -> bool) {
        let mut place = self.settled;
        for next in self.settled..self.len() {
            if let Some(&entry) = self.entries.get(next)
                && waits(entry)
            {
                self.rise(place, entry);
                place += 1;
            }
        }
        self.entries.truncate(place);
        self.settled = place;
    }

    /// Writes `entry` at `place`.
    #[inline]
    fn set(&mut self, place: usize, entry: Entry) {
        if let Some(here) = self.entries.get_mut(place) {
            *here = entry;
        }
    }

    /// Moves `entry` from the gap at `place` towards the root.
    #[inline]
    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let above = (place - 1) / FAN;
            let Some(&parent) = self.entries.get(above) else {
                break;
            };
            if parent <= entry {
                break;
            }
            self.set(place, parent);
            place = above;
        }
        self.set(place, entry);
    }

    /// Moves `entry` from the gap at `place` towards the leaves.
    #[inline]
    fn sink(&mut self, mut place: usize, entry: Entry) {
        loop {
            let first = place * FAN + 1;
            let Some((offset, child)) = self.entries.get(first..).and_then(least) else {
                break;
            };
            if entry <= child {
                break;
            }
            self.set(place, child);
            place = first + offset;
        }
        self.set(place, entry);
    }
}
