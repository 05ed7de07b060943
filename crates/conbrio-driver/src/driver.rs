//! `trait Driver`: what every way of asking the system promises, and the buffer it fills.
//!
//! Its own room so that the contract stands apart from its keepers. It knows none of them.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::event::{Event, Interest, Token};
use crate::sys;

/// How many events one wait hands over at most; what is left comes with the next wait.
const ROOM: usize = 1024;

/// A millisecond, in nanoseconds; a long wait ends no later than this either.
const MILLI: u64 = 1_000_000;

/// How long a wait may last.
// Bench: streams_handover; two words, since it is handed on some times in each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Not at all: only looks.
    Now,
    /// Until something happens, or so much time has passed.
    Within {
        /// When what is waited for is due; the wait is not shorter, unless something happened or what was due at nearly the same
        /// moment ends it some microseconds early.
        due_nanos: u64,
        /// How much later the wait ends; one for what is due at the same moment may have an end of its own.
        late_nanos: u32,
    },
    /// Until something happens.
    Forever,
}

impl Timeout {
    /// A wait for what is due in `time`: in whole milliseconds, as CPython's selectors wait, and a thousandth of it late, as the
    /// kernel ends timeouts.
    ///
    /// So timers that one turn sets for the same time later come due in one turn, and not before that time has passed since
    /// the end of the turn that has set them. Programs that time each other out rely on the thousandth.
    pub fn within(time: Duration) -> Self {
        let due_nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let rest = due_nanos % MILLI;
        let to_whole = if rest == 0 { 0 } else { MILLI - rest };
        let late = to_whole + (due_nanos.saturating_add(to_whole) / 1000).min(MILLI);
        Self::Within {
            due_nanos,
            late_nanos: u32::try_from(late).unwrap_or(0),
        }
    }

    /// What is left of it after `passed`.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        match self {
            Self::Within {
                due_nanos,
                late_nanos,
            } => {
                let late_by = u32::try_from(passed.saturating_sub(due_nanos)).unwrap_or(u32::MAX);
                Self::Within {
                    due_nanos: due_nanos.saturating_sub(passed),
                    late_nanos: late_nanos.saturating_sub(late_by),
                }
            }
            other => other,
        }
    }

    /// Tells whether no time is left, as when others were let run meanwhile.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Now => true,
            Self::Within {
                due_nanos,
                late_nanos,
            } => due_nanos == 0 && late_nanos == 0,
            Self::Forever => false,
        }
    }

    /// How much time is left until what is waited for is due; none if it is nothing.
    pub fn due(self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            Self::Within { due_nanos, .. } => Some(Duration::from_nanos(due_nanos)),
            Self::Forever => None,
        }
    }

    /// How much time is left until the wait ends; none if it does not.
    pub fn end(self) -> Option<Duration> {
        match self {
            Self::Within { late_nanos, .. } => {
                let late = Duration::from_nanos(late_nanos.into());
                self.due().map(|due| due.saturating_add(late))
            }
            other => other.due(),
        }
    }
}

/// Watches descriptors, level-triggered, but for those armed with `Interest::EDGE` by a driver that knows edges.
///
/// Everything takes `&self`: another thread may arm and disarm while one waits. What it changes
/// is heard at the latest by the next wait.
pub trait Driver {
    /// Watches `fd` in the directions of `interest` under `token`, replacing what was there.
    ///
    /// Copes with a descriptor that was closed, or whose number was given out anew, since it was
    /// armed. An empty `interest` disarms.
    fn arm(&self, fd: RawFd, token: Token, interest: Interest) -> io::Result<()>;

    /// Stops watching `fd`; one that is not watched, or is closed, is no error.
    fn disarm(&self, fd: RawFd) -> io::Result<()>;

    /// Stops watching `fd`, which its owner closes at once: where closing ends the watching, the system is not told.
    ///
    /// If a forked child holds it open, the system goes on reporting it, under a token that is over: `renew` ends that.
    fn disarm_closing(&self, fd: RawFd) -> io::Result<()> {
        self.disarm(fd)
    }

    /// Tells whether `fd` is watched, as far as this driver was told.
    fn is_armed(&self, fd: RawFd) -> bool;

    /// Begins anew with exactly these, as the system reports what nobody watches; from now on it is told of every end.
    fn renew(&self, armed: &[(RawFd, Token, Interest)]) -> io::Result<()>;

    /// Tells whether what is armed with `Interest::EDGE` is reported once for each arrival, read or not.
    fn knows_edges(&self) -> bool {
        false
    }

    /// Waits until something is ready or `timeout` is over, and leaves what is ready in `events`.
    ///
    /// A signal comes back as [`io::ErrorKind::Interrupted`], with `events` empty.
    fn wait(&self, events: &mut Events, timeout: Timeout) -> io::Result<()>;

    /// The word by which a person chooses this driver.
    fn name(&self) -> &'static str;
}

/// What the last wait heard; owned by the caller, so that it is allocated once.
#[derive(Debug)]
pub struct Events {
    /// What was heard, in the driver's order.
    pub(crate) ready: Vec<Event>,
    /// Where the kernel leaves its own form of it; never cleared, only overwritten.
    pub(crate) room: sys::epoll::Room,
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl Events {
    /// Makes room for as many events as one wait hands over.
    pub fn new() -> Self {
        Self {
            ready: Vec::with_capacity(ROOM),
            room: sys::epoll::Room::new(ROOM),
        }
    }

    /// Goes through what the last wait heard.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Event> + '_ {
        self.ready.iter().copied()
    }

    /// Counts what the last wait heard.
    #[inline]
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Tells whether the last wait heard nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Timeout;

    fn end_of(micros: u64) -> u128 {
        let timeout = Timeout::within(Duration::from_micros(micros));
        assert_eq!(timeout.due(), Some(Duration::from_micros(micros)));
        timeout.end().unwrap().as_micros()
    }

    #[test]
    fn waits_end_at_whole_milliseconds_and_a_thousandth_late() {
        let ends = [1, 1000, 1001, 10_300, 999_999, 60_000_000].map(end_of);
        assert_eq!(ends, [1001, 1001, 2002, 11_011, 1_001_000, 60_001_000]);
        assert_eq!(size_of::<Timeout>(), 16);
    }

    #[test]
    fn what_is_left_ends_at_the_same_moment() {
        let timeout = Timeout::within(Duration::from_micros(10_300));
        for micros in [0, 300, 10_500] {
            let left = timeout.after(Duration::from_micros(micros));
            let end = left.end().unwrap().as_micros() + u128::from(micros);
            assert_eq!(end, 11_011);
        }
        let over = timeout.after(Duration::from_secs(1));
        assert_eq!(over.end(), Some(Duration::ZERO));
        assert_eq!(Timeout::Forever.after(Duration::from_secs(1)).end(), None);
    }
}
