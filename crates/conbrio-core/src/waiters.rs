//! Who waits for a lock, an item or a permit, and in which order: first come, first served.
//!
//! Its own room because fairness is a promise. It does not know what it keeps, nor what it waits for.

use std::collections::VecDeque;

/// Waiters in the order in which they came.
#[derive(Debug)]
pub struct Waiters<W> {
    line: VecDeque<W>,
}

impl<W> Default for Waiters<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> Waiters<W> {
    /// Makes an empty line, which takes no memory.
    pub const fn new() -> Self {
        Self {
            line: VecDeque::new(),
        }
    }

    /// Appends `waiter`: everybody who is there is served before.
    #[inline]
    pub fn push(&mut self, waiter: W) {
        self.line.push_back(waiter);
    }

    /// Takes the first.
    #[inline]
    pub fn pop(&mut self) -> Option<W> {
        self.line.pop_front()
    }

    /// Looks at the one who stands at `index`, the first at 0.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&W> {
        self.line.get(index)
    }

    /// Takes the first for whom `is_it` holds; it is nearly always at the head of the line.
    #[inline]
    pub fn take(&mut self, is_it: impl FnMut(&W) -> bool) -> Option<W> {
        let index = self.line.iter().position(is_it)?;
        self.line.remove(index)
    }

    /// Counts them.
    #[inline]
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Shows each, in order.
    pub fn iter(&self) -> impl Iterator<Item = &W> {
        self.line.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Waiters;

    #[test]
    fn first_come_first_served() {
        let mut waiters = Waiters::new();
        for name in ["a", "b", "c"] {
            waiters.push(name);
        }
        assert_eq!(waiters.get(0), Some(&"a"));
        assert_eq!(waiters.pop(), Some("a"));
        assert_eq!(waiters.pop(), Some("b"));
        assert_eq!(waiters.pop(), Some("c"));
        assert_eq!(waiters.pop(), None);
    }

    #[test]
    fn who_leaves_does_not_change_the_order_of_others() {
        let mut waiters = Waiters::new();
        for name in ["a", "b", "c", "b"] {
            waiters.push(name);
        }
        assert_eq!(waiters.take(|name| *name == "b"), Some("b"));
        assert_eq!(waiters.take(|name| *name == "z"), None);
        assert_eq!(waiters.iter().copied().collect::<Vec<_>>(), ["a", "c", "b"]);
        assert_eq!((waiters.len(), waiters.is_empty()), (3, false));
    }
}
