//! What waits for a moment: exact order, ties first in first out, cancelled at once.
//!
//! A heap with four children a node. What is pushed stands behind it until somebody asks for the first: most timeouts are
//! cancelled before. A cancelled item goes at once; its entry stays until it comes to the top, or until such entries are
//! more than the others. Its own room because the order of deadlines is a promise, and because the form behind it may
//! change. It never reads the clock.

mod entry;
mod heap;

use entry::{Entry, disorder, order};
use heap::Heap;

/// Marks the end of the list of free slots.
const NO_SLOT: u32 = u32::MAX;
/// Below this many slots nothing is given back.
const KEPT: usize = 1024;
/// How many dead entries more than others the heap bears.
const SPARE: usize = 64;

/// Names one pending item.
///
/// A key outlives its item harmlessly: it then names nothing, until four thousand million pushes
/// later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// Gives the key as one word.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Takes back what [`Key::to_bits`] gave.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    const fn new(slot: u32, generation: u32) -> Self {
        Self(((slot as u64) << 32) | generation as u64)
    }

    const fn slot(self) -> u32 {
        (self.0 >> 32) as u32
    }

    const fn generation(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// Where an item is kept while its entry moves about.
#[derive(Debug)]
struct Slot<T> {
    /// Distinguishes the items that are kept here one after another.
    generation: u32,
    /// The entry's sequence; in a free slot the next free slot.
    sequence: u32,
    /// Invariant: none exactly in a free slot.
    item: Option<T>,
}

/// Items by deadline.
#[derive(Debug)]
pub struct Timers<T> {
    heap: Heap,
    /// The items; they do not move.
    slots: Vec<Slot<T>>,
    /// The first free slot.
    free: u32,
    /// The next push's place among equal deadlines.
    sequence: u32,
    /// The next push's generation.
    generation: u32,
    /// How many items wait; the other entries in the heap are dead.
    waiting: usize,
    /// How many items went since memory was last looked after.
    removals: usize,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Timers<T> {
    /// Makes an empty heap.
    pub const fn new() -> Self {
        Self {
            heap: Heap::new(),
            slots: Vec::new(),
            free: NO_SLOT,
            sequence: 0,
            generation: 0,
            waiting: 0,
            removals: 0,
        }
    }

    /// Keeps `item` until `deadline`, behind what has the same deadline.
    ///
    /// A deadline that is not a number counts as past, as it does for CPython's loop.
    #[inline]
    pub fn push(&mut self, deadline: f64, item: T) -> Key {
        if self.sequence == u32::MAX {
            self.renumber();
        }
        let (sequence, generation) = (self.sequence, self.generation);
        self.sequence = sequence + 1;
        self.generation = generation.wrapping_add(1);
        let slot = self.take_slot(generation, sequence, item);
        self.waiting += 1;
        self.heap.push(Entry::new(order(deadline), sequence, slot));
        Key::new(slot, generation)
    }

    /// Takes the item of `key` out, if it still waits.
    #[inline]
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get(key.slot() as usize)?;
        if slot.generation != key.generation() {
            return None;
        }
        let item = self.vacate(key.slot())?;
        if self.waiting == 0 {
            self.heap.clear();
        } else if !self.heap.forget_last(key.slot())
            && self.heap.len() - self.waiting > self.waiting + SPARE
        {
            self.compact();
        }
        self.look_after_memory();
        Some(item)
    }

    /// Takes the first item out if its deadline is strictly before `before`.
    #[inline]
    pub fn pop_due(&mut self, before: f64) -> Option<T> {
        let first = self.first()?;
        if first.deadline() >= order(before) {
            return None;
        }
        let item = self.vacate(first.slot());
        if self.waiting == 0 {
            self.heap.clear();
        } else {
            self.heap.take_first();
        }
        self.look_after_memory();
        item
    }

    /// Says when the first item is due.
    #[inline]
    pub fn next_deadline(&mut self) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        self.first().map(|entry| disorder(entry.deadline()))
    }

    /// Counts what waits.
    #[inline]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Tells whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Goes through the items, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.slots.iter().filter_map(|slot| slot.item.as_ref())
    }

    /// Puts `item` into a free slot, or a new one.
    #[inline]
    fn take_slot(&mut self, generation: u32, sequence: u32, item: T) -> u32 {
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.free = slot.sequence;
            slot.generation = generation;
            slot.sequence = sequence;
            slot.item = Some(item);
            return index;
        }
        // NO_SLOT items would be 100 GB of entries: the memory ends first.
        let index = u32::try_from(self.slots.len()).unwrap_or(NO_SLOT);
        self.slots.push(Slot {
            generation,
            sequence,
            item: Some(item),
        });
        index
    }

    /// Takes the item out of a slot, which is free then.
    #[inline]
    fn vacate(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let item = slot.item.take()?;
        slot.sequence = self.free;
        self.free = index;
        self.waiting -= 1;
        Some(item)
    }

    /// Finds the first entry, of those whose items wait.
    #[inline]
    fn first(&mut self) -> Option<Entry> {
        let Self { heap, slots, .. } = self;
        if heap.len() == self.waiting {
            return heap.first(|_| true);
        }
        heap.first(|entry| waits(slots, entry))
    }

    /// Takes all dead entries out, as they are more than the others.
    #[cold]
    fn compact(&mut self) {
        let Self { heap, slots, .. } = self;
        heap.retain(|entry| waits(slots, entry));
    }

    /// Gives memory back now and then: seldom enough that a look through all slots costs a removal next to nothing.
    #[inline]
    fn look_after_memory(&mut self) {
        self.removals += 1;
        if self.removals > KEPT + self.slots.len() / 8 || self.waiting == 0 {
            self.shrink();
        }
    }

    /// Starts the sequence anew, keeping the order; once in four thousand million pushes.
    #[cold]
    fn renumber(&mut self) {
        let Self { heap, slots, .. } = self;
        self.sequence = 0;
        for entry in heap.sort(|entry| waits(slots, entry)) {
            let slot = entry.slot();
            *entry = Entry::new(entry.deadline(), self.sequence, slot);
            if let Some(slot) = slots.get_mut(slot as usize) {
                slot.sequence = self.sequence;
            }
            self.sequence += 1;
        }
    }

    /// Gives back what most of the items left behind.
    fn shrink(&mut self) {
        self.removals = 0;
        if self.slots.len() <= KEPT || self.waiting > self.slots.len() / 4 {
            return;
        }
        self.compact();
        self.heap.shrink_to(KEPT);
        let used = self.slots.iter().rposition(|slot| slot.item.is_some());
        let used = used.map_or(0, |last| last + 1);
        if used == self.slots.len() {
            return;
        }
        self.slots.truncate(used);
        self.slots.shrink_to(KEPT.max(used));
        self.list_free_slots();
    }

    /// Lists the free slots, low ones first, so that the high ones can be given back.
    #[cold]
    fn list_free_slots(&mut self) {
        self.free = NO_SLOT;
        for (index, slot) in self.slots.iter_mut().enumerate().rev() {
            if slot.item.is_none() {
                slot.sequence = self.free;
                self.free = u32::try_from(index).unwrap_or(NO_SLOT);
            }
        }
    }
}

/// Whether the item of `entry` still waits: its slot may be another's by now.
#[inline]
fn waits<T>(slots: &[Slot<T>], entry: Entry) -> bool {
    slots
        .get(entry.slot() as usize)
        .is_some_and(|slot| slot.sequence == entry.sequence() && slot.item.is_some())
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Key, SPARE, Timers};

    fn drained<T>(timers: &mut Timers<T>) -> Vec<T> {
        std::iter::from_fn(|| timers.pop_due(f64::INFINITY)).collect()
    }

    #[test]
    fn a_deadline_that_is_no_number_is_due() {
        let mut timers = Timers::new();
        timers.push(1.0, "later");
        timers.push(f64::NAN, "now");
        assert_eq!(timers.next_deadline(), Some(f64::NEG_INFINITY));
        assert_eq!(timers.pop_due(0.5), Some("now"));
        assert_eq!(timers.pop_due(1.0), None);
        assert_eq!(timers.pop_due(f64::NAN), None);
        assert_eq!(timers.pop_due(f64::INFINITY), Some("later"));
    }

    #[test]
    fn the_order_outlives_the_sequence_numbers() {
        let mut timers = Timers::new();
        timers.sequence = u32::MAX - 20;
        timers.generation = u32::MAX - 30;
        let keys: Vec<_> = (0..60).map(|number| timers.push(1.0, number)).collect();
        assert!(timers.sequence < 100);
        assert_eq!(timers.cancel(keys[10]), Some(10));
        let left: Vec<_> = (0..60).filter(|&number| number != 10).collect();
        assert_eq!(drained(&mut timers), left);
    }

    #[test]
    fn both_zeroes_are_one_moment() {
        let mut timers = Timers::new();
        timers.push(0.0, 1);
        timers.push(-0.0, 2);
        assert_eq!(timers.pop_due(0.0), None);
        assert_eq!(drained(&mut timers), [1, 2]);
    }

    #[test]
    fn an_old_key_names_nothing() {
        let mut timers = Timers::new();
        let old = timers.push(1.0, 'a');
        assert_eq!(timers.cancel(old), Some('a'));
        let new = timers.push(1.0, 'b');
        assert_eq!(timers.cancel(old), None);
        assert_eq!(timers.cancel(Key::from_bits(new.to_bits())), Some('b'));
        timers.push(1.0, 'c');
        drained(&mut timers);
        assert_eq!(timers.cancel(new), None);
    }

    #[test]
    fn memory_comes_back() {
        let mut timers = Timers::new();
        let keys: Vec<_> = (0..100_000)
            .map(|number| timers.push(f64::from(number), number))
            .collect();
        for &key in keys.iter().skip(500) {
            timers.cancel(key);
        }
        assert_eq!(timers.len(), 500);
        for _ in 0..20_000 {
            let key = timers.push(-1.0, 0);
            timers.cancel(key);
        }
        assert!(
            timers.heap.capacity() <= 2 * KEPT,
            "{}",
            timers.heap.capacity()
        );
        assert!(
            timers.slots.capacity() <= 2 * KEPT,
            "{}",
            timers.slots.capacity()
        );
        let new = timers.push(-1.0, -1);
        assert_eq!(timers.cancel(keys[99_999]), None);
        assert_eq!(timers.pop_due(0.0), Some(-1));
        assert_eq!(timers.cancel(new), None);
        assert_eq!(drained(&mut timers), (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn dead_entries_are_never_many_and_change_no_order() {
        let mut timers = Timers::new();
        // 7,919 is prime: every moment comes once, in a scattered order.
        let moments = (0..10_000_u32).map(|number| number * 7_919 % 10_000);
        let keys: Vec<_> = moments
            .map(|moment| (moment, timers.push(f64::from(moment), moment)))
            .collect();
        for &(moment, key) in keys.iter().filter(|(moment, _)| moment % 4 != 3) {
            assert_eq!(timers.cancel(key), Some(moment));
            let dead = timers.heap.len() - timers.len();
            assert!(dead <= timers.len() + SPARE, "{dead}");
        }
        let left: Vec<_> = std::iter::from_fn(|| timers.pop_due(f64::INFINITY)).collect();
        assert!(
            left.iter()
                .copied()
                .eq((0..10_000).filter(|moment| moment % 4 == 3))
        );
        assert!(timers.heap.len() == 0 && timers.next_deadline().is_none());
    }

    #[test]
    fn a_last_one_left_does_not_make_every_cancel_slow() {
        let mut timers = Timers::new();
        let keys: Vec<_> = (0..100_000)
            .map(|number| timers.push(1.0, number))
            .collect();
        for &key in keys.iter().take(99_999) {
            timers.cancel(key);
        }
        assert_eq!(timers.len(), 1);
        (0..1000).for_each(|number| {
            timers.push(2.0, number);
        });
        assert_eq!(timers.pop_due(2.0), Some(99_999));
        assert_eq!(drained(&mut timers).len(), 1000);
    }
}
