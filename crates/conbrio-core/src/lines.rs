//! A stream's received bytes, until somebody takes them; a separator is looked for once in each byte.
//!
//! Its own room because partial separators at the edge of a packet are where lines get lost, and a search that begins
//! anew with every packet is where time does. It knows no stream, and neither limits nor ends.

use conbrio_driver::sys::memory;

/// More than this is given back to the allocator when the last byte is taken.
const KEPT: usize = 32 * 1024;

/// What was looked for; boxed, as most buffers are idle.
type Sought = [Box<[u8]>];

/// Where a separator was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How many bytes stand before it.
    pub start: usize,
    /// How many bytes there are up to its end.
    pub end: usize,
}

/// Received bytes, first in first out.
#[derive(Debug, Default)]
pub struct Lines {
    /// What arrived; the first `start` bytes have been taken.
    arrived: Vec<u8>,
    start: usize,
    /// What was looked for last. Invariant: in ascending order of length if it is several.
    sought: Option<Box<Sought>>,
    /// None of `sought` ends within this many bytes.
    searched: usize,
}

impl Lines {
    /// Makes a buffer that holds nothing, and no memory.
    pub const fn new() -> Self {
        Self {
            arrived: Vec::new(),
            start: 0,
            sought: None,
            searched: 0,
        }
    }

    /// Counts the bytes that are held.
    #[inline]
    pub const fn len(&self) -> usize {
        self.arrived.len() - self.start
    }

    /// Tells whether nothing is held.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that are held.
    #[inline]
    pub fn held(&self) -> &[u8] {
        self.arrived.get(self.start..).unwrap_or_default()
    }

    /// The first `count` bytes, or all if there are fewer.
    #[inline]
    pub fn front(&self, count: usize) -> &[u8] {
        let held = self.held();
        held.get(..count).unwrap_or(held)
    }

    /// Adds a copy of `bytes`.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        // Moving what is held is worth it when at least as much has been taken away.
        if self.start > 0
            && self.arrived.capacity() - self.arrived.len() < bytes.len()
            && self.start >= self.len()
        {
            self.arrived.drain(..self.start);
            self.start = 0;
        }
        self.arrived.extend_from_slice(bytes);
    }

    /// Takes the first `count` bytes away, or all if there are fewer.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        if count >= self.len() {
            return self.clear();
        }
        self.start += count;
        self.searched = self.searched.saturating_sub(count);
    }

    /// Takes everything away.
    #[inline]
    pub fn clear(&mut self) {
        self.arrived.clear();
        (self.start, self.searched) = (0, 0);
        if self.arrived.capacity() > KEPT {
            self.arrived = Vec::new();
        }
    }

    /// Finds the first of `separators` to end, the shortest where several end together.
    ///
    /// They are given in ascending order of length, and none is empty.
    #[inline]
    pub fn find(&mut self, separators: &[&[u8]]) -> Option<Found> {
        let known = self.sought.as_deref().is_some_and(|sought| {
            sought.len() == separators.len()
                && sought
                    .iter()
                    .zip(separators)
                    .all(|(one, other)| **one == **other)
        });
        if !known {
            self.sought = Some(separators.iter().map(|&one| Box::from(one)).collect());
            self.searched = 0;
        }
        let longest = separators.last().map_or(1, |longest| longest.len());
        // A separator may have begun among the bytes that were searched.
        let from = (self.searched + 1).saturating_sub(longest);
        let unsearched = self.held().get(from..).unwrap_or_default();
        let found = first(unsearched, separators);
        if found.is_none() {
            self.searched = self.len();
        }
        found.map(|found| Found {
            start: found.start + from,
            end: found.end + from,
        })
    }
}

#[inline]
fn first(bytes: &[u8], separators: &[&[u8]]) -> Option<Found> {
    let mut best: Option<Found> = None;
    for separator in separators {
        let Some(start) = memory::find(bytes, separator) else {
            continue;
        };
        let end = start + separator.len();
        if best.is_none_or(|best| end < best.end) {
            best = Some(Found { start, end });
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{Found, KEPT, Lines};

    #[test]
    fn a_separator_across_packets_is_found() {
        let mut lines = Lines::new();
        lines.extend(b"one\r");
        assert_eq!(lines.find(&[b"\r\n"]), None);
        lines.extend(b"\ntwo");
        assert_eq!(lines.find(&[b"\r\n"]), Some(Found { start: 3, end: 5 }));
        lines.consume(5);
        assert_eq!(lines.held(), b"two");
    }

    #[test]
    fn another_separator_is_looked_for_from_the_beginning() {
        let mut lines = Lines::new();
        lines.extend(b"a;b\n");
        assert_eq!(lines.find(&[b"\r\n"]), None);
        assert_eq!(lines.find(&[b";"]), Some(Found { start: 1, end: 2 }));
    }

    #[test]
    fn the_shortest_of_those_that_end_together_counts() {
        let mut lines = Lines::new();
        lines.extend(b"ab\r\n");
        assert_eq!(
            lines.find(&[b"\n", b"\r\n"]),
            Some(Found { start: 3, end: 4 })
        );
    }

    #[test]
    fn large_room_is_given_back() {
        let mut lines = Lines::new();
        lines.extend(&vec![0; KEPT + 1]);
        lines.consume(KEPT + 1);
        assert_eq!(lines.arrived.capacity(), 0);
    }
}
