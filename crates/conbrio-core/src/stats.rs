//! Counters that the monitor reads.
//!
//! Its own room so that counting needs no borrow. It does not know what is counted.

use std::cell::Cell;

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// Counts one.
    #[inline]
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts `many`.
    #[inline]
    pub fn add(&self, many: u64) {
        self.0.set(self.0.get().wrapping_add(many));
    }

    /// Reads the number.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What one loop did since it was made.
#[derive(Debug, Default)]
pub struct Stats {
    /// Turns.
    pub turns: Counter,
    /// Turns in which the driver was asked.
    pub polls: Counter,
    /// Turns in which it was not.
    pub polls_skipped: Counter,
    /// Runnables that ran.
    pub callbacks: Counter,
    /// Timers that came due.
    pub timers_fired: Counter,
    /// Events that the driver reported.
    pub events: Counter,
}
