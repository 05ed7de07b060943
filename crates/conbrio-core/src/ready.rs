//! What runs next: first in, first out.
//!
//! Its own room because order is a promise that programs lean on. It does not know how anything
//! in it runs.

use std::collections::VecDeque;

/// How much room an empty queue keeps.
const KEPT: usize = 1024;

/// Runnables in the order in which they run.
#[derive(Debug)]
pub struct Ready<R> {
    ring: VecDeque<R>,
}

impl<R> Default for Ready<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> Ready<R> {
    /// Makes an empty queue.
    pub const fn new() -> Self {
        Self {
            ring: VecDeque::new(),
        }
    }

    /// Appends `runnable`: it runs after all that is there.
    #[inline]
    pub fn push(&mut self, runnable: R) {
        self.ring.push_back(runnable);
    }

    /// Takes the first.
    #[inline]
    pub fn pop(&mut self) -> Option<R> {
        self.ring.pop_front()
    }

    /// Shows the first.
    #[inline]
    pub fn peek(&self) -> Option<&R> {
        self.ring.front()
    }

    /// Counts what waits to run.
    #[inline]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Tells whether nothing waits to run.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Goes through what waits, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &R> + '_ {
        self.ring.iter()
    }

    /// Gives memory back after a burst; to be asked now and then.
    #[cold]
    pub fn shrink(&mut self) {
        if self.ring.capacity() > KEPT && self.ring.len() < self.ring.capacity() / 8 {
            self.ring.shrink_to(KEPT.max(self.ring.len() * 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Ready};

    #[test]
    fn first_in_is_first_out() {
        let mut ready = Ready::new();
        (0..5).for_each(|number| ready.push(number));
        assert_eq!(ready.pop(), Some(0));
        ready.push(9);
        assert_eq!(ready.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 9]);
        while ready.pop().is_some() {}
        assert!(ready.is_empty());
    }

    #[test]
    fn a_burst_is_given_back() {
        let mut ready = Ready::new();
        (0..100_000).for_each(|number| ready.push(number));
        while ready.len() > 10 {
            ready.pop();
        }
        ready.shrink();
        assert!(ready.ring.capacity() <= 2 * KEPT);
        assert_eq!(ready.pop(), Some(99_990));
    }
}
