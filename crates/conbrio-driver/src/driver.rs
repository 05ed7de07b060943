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

/// How late a long wait ends at most.
const LATEST: Duration = Duration::from_millis(1);

/// How long a wait may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Not at all: only looks.
    Now,
    /// Until something happens, or so much time has passed.
    Within {
        /// When what is waited for is due; the wait is never shorter, unless something happened.
        due: Duration,
        /// When the wait ends; one for what is due at the same moment may have an end of its own.
        end: Duration,
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
        let millis = time.as_nanos().div_ceil(1_000_000);
        let whole = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        let end = whole.saturating_add((whole / 1000).min(LATEST));
        Self::Within { due: time, end }
    }

    /// What is left of it after `passed`.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        match self {
            Self::Within { due, end } => Self::Within {
                due: due.saturating_sub(passed),
                end: end.saturating_sub(passed),
            },
            other => other,
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
