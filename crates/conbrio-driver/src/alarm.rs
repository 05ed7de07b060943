//! An alarm that ends waits: set once, it serves for many of them.
//!
//! Its own room because a wait with a timeout of its own has the kernel start and stop a timer each time, a tenth of what an
//! echo to one client costs, and end it late. It does not know who waits.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys;

/// What is due so many seconds apart is due at the same moment, which comes out a little different each time it is reckoned.
const SLACK: f64 = 20e-6;

/// An alarm, and when it goes off.
#[derive(Debug)]
pub(crate) struct Alarm {
    descriptor: OwnedFd,
    /// When what it was set for is due, in seconds of the monotonic clock, as bits.
    due: AtomicU64,
    /// When it goes off; in the past if it has.
    end: AtomicU64,
}

impl Alarm {
    /// Makes one that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            descriptor: sys::alarm::alarm()?,
            due: AtomicU64::new(0),
            end: AtomicU64::new(0),
        })
    }

    /// Tells whether it was set for what is `due` from `now` and has not gone off.
    #[inline]
    pub(crate) fn serves(&self, now: f64, due: Duration) -> bool {
        let apart = moment(&self.due) - (now + due.as_secs_f64());
        !self.has_gone_off(now) && apart.abs() <= SLACK
    }

    /// Tells whether it has gone off.
    #[inline]
    pub(crate) fn has_gone_off(&self, now: f64) -> bool {
        moment(&self.end) <= now
    }

    /// Sets it to go off at `end` from `now`, not before, for what is `due`.
    pub(crate) fn set(&self, now: f64, due: Duration, end: Duration) -> io::Result<()> {
        sys::alarm::set(&self.descriptor, end)?;
        // It goes off a little later than this, as that moment has passed; so what says that it has not is right.
        let (due, end) = (now + due.as_secs_f64(), now + end.as_secs_f64());
        self.due.store(due.to_bits(), Ordering::Relaxed);
        self.end.store(end.to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

fn moment(bits: &AtomicU64) -> f64 {
    f64::from_bits(bits.load(Ordering::Relaxed))
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}
