//! What waits for a moment: exact order, ties first in first out, cancelled at once.
//!
//! An indexed heap with four children a node. Its own room because the order of deadlines is a
//! promise, and because the form behind it may change. It never reads the clock.

/// Marks the end of the list of free slots.
const NO_SLOT: u32 = u32::MAX;
/// How many children a node has: one cache line of entries.
const FAN: usize = 4;
/// Below this many slots nothing is given back.
const KEPT: usize = 1024;

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

/// One place in the heap: deadline, sequence and slot in one number, so that one comparison
/// orders by deadline and then by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry(u128);

impl Entry {
    #[inline]
    const fn new(deadline: u64, sequence: u32, slot: u32) -> Self {
        Self(((deadline as u128) << 64) | ((sequence as u128) << 32) | slot as u128)
    }

    #[inline]
    const fn deadline(self) -> u64 {
        (self.0 >> 64) as u64
    }

    #[inline]
    const fn slot(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// Where an item is kept while its entry moves about.
#[derive(Debug)]
struct Slot<T> {
    /// Distinguishes the items that are kept here one after another.
    generation: u32,
    /// The entry's place in the heap; in a free slot the next free slot.
    place: u32,
    /// Invariant: none exactly in a free slot.
    item: Option<T>,
}

/// Items by deadline.
#[derive(Debug)]
pub struct Timers<T> {
    /// Invariant: no entry is less than its parent, and its slot's `place` says where it stands.
    heap: Vec<Entry>,
    /// The items; they do not move.
    slots: Vec<Slot<T>>,
    /// The first free slot.
    free: u32,
    /// The next push's place among equal deadlines.
    sequence: u32,
    /// The next push's generation.
    generation: u32,
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
            heap: Vec::new(),
            slots: Vec::new(),
            free: NO_SLOT,
            sequence: 0,
            generation: 0,
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
        let place = self.heap.len();
        let slot = self.take_slot(generation, item);
        let entry = Entry::new(order(deadline), sequence, slot);
        self.heap.push(entry);
        self.rise(place, entry);
        Key::new(slot, generation)
    }

    /// Takes the item of `key` out, if it still waits.
    #[inline]
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get(key.slot() as usize)?;
        if slot.generation != key.generation() || slot.item.is_none() {
            return None;
        }
        let place = slot.place as usize;
        self.remove(place)
    }

    /// Takes the first item out if its deadline is strictly before `before`.
    #[inline]
    pub fn pop_due(&mut self, before: f64) -> Option<T> {
        let first = self.heap.first()?;
        if first.deadline() >= order(before) {
            return None;
        }
        self.remove(0)
    }

    /// Says when the first item is due.
    #[inline]
    pub fn next(&self) -> Option<f64> {
        self.heap.first().map(|entry| disorder(entry.deadline()))
    }

    /// Says when the item of `key` is due, if it still waits.
    pub fn deadline(&self, key: Key) -> Option<f64> {
        let slot = self.slots.get(key.slot() as usize)?;
        if slot.generation != key.generation() || slot.item.is_none() {
            return None;
        }
        self.heap
            .get(slot.place as usize)
            .map(|entry| disorder(entry.deadline()))
    }

    /// Counts what waits.
    #[inline]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Tells whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Goes through the items, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.slots.iter().filter_map(|slot| slot.item.as_ref())
    }

    /// Takes everything out, in order; dropping it is the caller's, since that may run foreign
    /// code.
    pub fn drain_all(&mut self) -> Vec<T> {
        let mut heap = std::mem::take(&mut self.heap);
        let mut slots = std::mem::take(&mut self.slots);
        self.free = NO_SLOT;
        heap.sort_unstable();
        heap.iter()
            .filter_map(|entry| slots.get_mut(entry.slot() as usize)?.item.take())
            .collect()
    }

    /// Puts `item` into a free slot, or a new one.
    #[inline]
    fn take_slot(&mut self, generation: u32, item: T) -> u32 {
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.free = slot.place;
            slot.generation = generation;
            slot.item = Some(item);
            return index;
        }
        // NO_SLOT items would be 100 GB of entries: the memory ends first.
        let index = u32::try_from(self.slots.len()).unwrap_or(NO_SLOT);
        self.slots.push(Slot {
            generation,
            place: 0,
            item: Some(item),
        });
        index
    }

    /// Takes the entry at `place` out, and its item.
    #[inline]
    fn remove(&mut self, place: usize) -> Option<T> {
        let gone = *self.heap.get(place)?;
        let last = self.heap.pop()?;
        if place < self.heap.len() {
            // The last one goes where the gap is, and from there up or down.
            let parent = self.heap.get(place.wrapping_sub(1) / FAN);
            if place > 0 && parent.is_some_and(|parent| last < *parent) {
                self.rise(place, last);
            } else {
                self.sink(place, last);
            }
        }
        let free = self.free;
        let slot = self.slots.get_mut(gone.slot() as usize)?;
        slot.place = free;
        let item = slot.item.take();
        self.free = gone.slot();
        self.removals += 1;
        // Seldom enough that a look through all slots costs a removal next to nothing.
        if self.removals > KEPT + self.slots.len() / 8 || self.heap.is_empty() {
            self.shrink();
        }
        item
    }

    /// Writes `entry` at `place` and notes it in its slot.
    #[inline]
    fn set(&mut self, place: usize, entry: Entry) {
        if let Some(here) = self.heap.get_mut(place) {
            *here = entry;
        }
        if let Some(slot) = self.slots.get_mut(entry.slot() as usize) {
            #[expect(clippy::cast_possible_truncation, reason = "no more places than slots")]
            let place = place as u32;
            slot.place = place;
        }
    }

    /// Moves `entry` from the gap at `place` towards the root.
    #[inline]
    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let above = (place - 1) / FAN;
            let Some(&parent) = self.heap.get(above) else {
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
            let Some((offset, child)) = self.heap.get(first..).and_then(least) else {
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

    /// Starts the sequence anew, keeping the order; once in four thousand million pushes.
    #[cold]
    fn renumber(&mut self) {
        self.heap.sort_unstable();
        self.sequence = 0;
        for place in 0..self.heap.len() {
            let Some(&entry) = self.heap.get(place) else {
                break;
            };
            let entry = Entry::new(entry.deadline(), self.sequence, entry.slot());
            self.sequence += 1;
            self.set(place, entry);
        }
    }

    /// Gives back what most of the items left behind.
    fn shrink(&mut self) {
        self.removals = 0;
        if self.slots.len() <= KEPT || self.heap.len() > self.slots.len() / 4 {
            return;
        }
        self.heap.shrink_to(KEPT.max(self.heap.len() * 2));
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
                slot.place = self.free;
                self.free = u32::try_from(index).unwrap_or(NO_SLOT);
            }
        }
    }
}

/// Finds the least of the first four entries, and where it is.
#[inline]
fn least(children: &[Entry]) -> Option<(usize, Entry)> {
    if let Some(&[one, two, three, four]) = children.first_chunk::<FAN>() {
        // Bench: call_later; selections, since which child is least cannot be predicted.
        let left = if two < one { (1, two) } else { (0, one) };
        let right = if four < three { (3, four) } else { (2, three) };
        return Some(if right.1 < left.1 { right } else { left });
    }
    children
        .iter()
        .copied()
        .enumerate()
        .min_by_key(|child| child.1)
}

/// Maps a deadline to a number of the same order; equal deadlines to equal numbers.
#[inline]
fn order(deadline: f64) -> u64 {
    if deadline.is_nan() {
        return 0;
    }
    // Adding zero makes one zero of the two.
    let bits = (deadline + 0.0).to_bits();
    let negative = bits >> 63 == 1;
    bits ^ if negative { u64::MAX } else { 1 << 63 }
}

/// Takes back what [`order`] did.
#[inline]
fn disorder(number: u64) -> f64 {
    match number {
        0 => f64::NEG_INFINITY,
        _ if number >> 63 == 1 => f64::from_bits(number ^ (1 << 63)),
        _ => f64::from_bits(!number),
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Key, Timers, disorder, order};

    #[test]
    fn a_deadline_that_is_no_number_is_due() {
        let mut timers = Timers::new();
        timers.push(1.0, "later");
        timers.push(f64::NAN, "now");
        assert_eq!(timers.next(), Some(f64::NEG_INFINITY));
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
        assert_eq!(timers.drain_all(), left);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the bits are the promise")]
    fn numbers_keep_the_order() {
        let moments = [
            f64::NEG_INFINITY,
            -1e300,
            -2.5,
            -1e-300,
            0.0,
            1e-300,
            2.5,
            f64::INFINITY,
        ];
        assert!(moments.is_sorted_by(|&one, &two| order(one) < order(two)));
        assert!(
            moments
                .iter()
                .all(|&moment| disorder(order(moment)) == moment)
        );
    }

    #[test]
    fn both_zeroes_are_one_moment() {
        let mut timers = Timers::new();
        timers.push(0.0, 1);
        timers.push(-0.0, 2);
        assert_eq!(timers.pop_due(0.0), None);
        assert_eq!(timers.drain_all(), [1, 2]);
    }

    #[test]
    fn an_old_key_names_nothing() {
        let mut timers = Timers::new();
        let old = timers.push(1.0, 'a');
        assert_eq!(timers.deadline(old), Some(1.0));
        assert_eq!(timers.cancel(old), Some('a'));
        let new = timers.push(1.0, 'b');
        assert_eq!(timers.cancel(old), None);
        assert_eq!(timers.deadline(old), None);
        assert_eq!(timers.cancel(Key::from_bits(new.to_bits())), Some('b'));
        timers.push(1.0, 'c');
        timers.drain_all();
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
        assert_eq!(timers.drain_all(), (0..500).collect::<Vec<_>>());
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
        assert_eq!(timers.drain_all().len(), 1000);
    }
}
