//! An alarm that ends waits: set once, it serves for many of them.
//!
//! Its own room because a wait with a timeout of its own has the kernel start and stop a timer each time, a tenth of what an
//! echo to one client costs, and end it late. It does not know who waits.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys;

/// So many seconds late is in time, as the kernel itself has it for timeouts: the same moment comes out a little different
/// each time it is reckoned.
const SLACK: f64 = 20e-6;

/// An alarm, and when it goes off.
#[derive(Debug)]
pub(crate) struct Alarm {
    descriptor: OwnedFd,
    /// When it goes off, in seconds of the monotonic clock, as bits; in the past if it has.
    due: AtomicU64,
}

impl Alarm {
    /// Makes one that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            descriptor: sys::alarm::alarm()?,
            due: AtomicU64::new(0),
        })
    }

    /// Tells whether it goes off within `time` from `now`, but has not yet.
    #[inline]
    pub(crate) fn goes_off_within(&self, now: f64, time: Duration) -> bool {
        let due = f64::from_bits(self.due.load(Ordering::Relaxed));
        now < due && due <= now + time.as_secs_f64() + SLACK
    }

    /// Sets it to go off in `time` from `now`, not before.
    pub(crate) fn set(&self, now: f64, time: Duration) -> io::Result<()> {
        sys::alarm::set(&self.descriptor, time)?;
        // It goes off a little later than this, as that moment has passed; so what says that it has not is right.
        let due = now + time.as_secs_f64();
        self.due.store(due.to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}
