//! The only reader of time above the drivers.
//!
//! Its own room so that a loop whose `time` was replaced has one place not to ask.

use conbrio_driver::sys;

/// Counts at a steady pace, so cheaply that it may be asked in each turn; not to be shown to anybody.
#[inline]
pub fn ticks() -> u64 {
    sys::clock::ticks()
}

/// About how many ticks there are in so many millionths of a second.
#[inline]
pub fn ticks_of(micros: u64) -> u64 {
    sys::clock::tick_rate() / 1_000_000 * micros
}

/// Reads the clock, in the seconds that `time.monotonic()` gives.
#[inline]
pub fn now() -> f64 {
    sys::clock::monotonic()
}

/// Whether `moment` can have come; false is certain, and costs a fraction of a look at the clock.
#[inline]
pub fn can_have_come(moment: f64) -> bool {
    // What is no number has come, as for the timers.
    moment.is_nan() || moment <= sys::clock::monotonic_coarse() + sys::clock::TICK
}

#[cfg(test)]
mod tests {
    use super::{can_have_come, now};

    #[test]
    fn what_has_come_can_have_come() {
        assert!(can_have_come(now()));
        assert!(can_have_come(f64::NEG_INFINITY));
        assert!(can_have_come(f64::NAN));
        assert!(!can_have_come(now() + 1.0));
        assert!(!can_have_come(f64::INFINITY));
    }
}
