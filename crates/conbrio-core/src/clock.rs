//! The only reader of time.
//!
//! Its own room so that a loop whose `time` was replaced has one place not to ask.

use conbrio_driver::sys;

/// Reads the clock, in the seconds that `time.monotonic()` gives.
#[inline]
pub fn now() -> f64 {
    sys::clock::monotonic()
}
