//! Datagrams that could not be sent yet, and how many to ask the system for at once.
//!
//! Its own room because datagrams are counted otherwise than bytes: each is sent whole or not at all, and may be empty. It
//! knows neither descriptors nor what an address is.

use std::collections::VecDeque;

use crate::outbox::{BadLimits, Marks};

/// How many places an empty queue keeps.
const KEPT: usize = 64;
/// The most that is asked for at once.
pub const MOST: usize = 32;
/// How many single datagrams pass before two are asked for.
const PATIENCE: u8 = 8;

/// Datagrams to send, each with its receiver, in order.
#[derive(Debug)]
pub struct Datagrams<D, A> {
    queue: VecDeque<(D, A)>,
    /// How much is owed: the bytes, and `header` for each.
    size: usize,
    /// How much a datagram counts beyond its bytes.
    header: usize,
    marks: Marks,
}

impl<D: AsRef<[u8]>, A> Datagrams<D, A> {
    /// Makes a queue that owes nothing, with asyncio's marks.
    pub const fn new(header: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            size: 0,
            header,
            marks: Marks::new(),
        }
    }

    /// Accepts a datagram; an empty one is one as well.
    #[inline]
    pub fn push(&mut self, data: D, receiver: A) {
        self.size += data.as_ref().len() + self.header;
        self.queue.push_back((data, receiver));
    }

    /// Puts back a datagram that `pop` gave.
    pub fn push_front(&mut self, data: D, receiver: A) {
        self.size += data.as_ref().len() + self.header;
        self.queue.push_front((data, receiver));
    }

    /// Takes the first.
    #[inline]
    pub fn pop(&mut self) -> Option<(D, A)> {
        let (data, receiver) = self.queue.pop_front()?;
        self.size -= data.as_ref().len() + self.header;
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        Some((data, receiver))
    }

    /// Goes through what is owed, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(D, A)> {
        self.queue.iter()
    }

    /// Counts the datagrams.
    #[inline]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Tells whether nothing is owed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives how much is owed, in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Takes everything out.
    pub fn drain_all(&mut self) -> VecDeque<(D, A)> {
        self.size = 0;
        std::mem::take(&mut self.queue)
    }

    /// Sets the marks as [`Marks::set`] does.
    pub fn limits(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), BadLimits> {
        self.marks.set(high, low)
    }

    /// Gives the marks as asyncio does: low, high.
    pub fn marks(&self) -> (usize, usize) {
        self.marks.pair()
    }

    /// Tells whether so much is owed that the writer has to pause.
    #[inline]
    pub fn over_high(&self) -> bool {
        self.marks.are_under(self.size)
    }

    /// Tells whether so little is owed that a paused writer may go on.
    #[inline]
    pub fn under_low(&self) -> bool {
        self.marks.let_go(self.size)
    }
}

/// How many datagrams the next read asks for: one, until several are seen to wait.
///
/// Bench: `udp_1k_c100`, where many wait, and `udp_100b_c10`, where asking in vain costs.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    size: u8,
    /// How many reads in a row asked for one.
    quiet: u8,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: 1, quiet: 0 }
    }
}

impl Window {
    /// Says how many to ask for.
    #[inline]
    pub fn ask(&mut self) -> usize {
        if self.size > 1 {
            return usize::from(self.size);
        }
        self.quiet += 1;
        if self.quiet < PATIENCE {
            return 1;
        }
        self.quiet = 0;
        2
    }

    /// Notes how many came when `asked` were asked for.
    #[inline]
    pub fn note(&mut self, asked: usize, came: usize) {
        if asked < 2 {
            return;
        }
        let size = match came {
            0 | 1 => 1,
            _ if came < asked => came + 1,
            _ => came * 2,
        };
        self.size = u8::try_from(size.min(MOST)).unwrap_or(1);
    }
}

#[cfg(test)]
mod tests {
    use super::{Datagrams, MOST, PATIENCE, Window};

    #[test]
    fn each_datagram_is_counted_with_its_header() {
        let mut datagrams = Datagrams::<&[u8], u8>::new(8);
        datagrams.push(b"", 1);
        datagrams.push(b"abc", 2);
        assert_eq!((datagrams.len(), datagrams.size()), (2, 19));
        assert_eq!(datagrams.iter().count(), 2);
        let (data, receiver) = datagrams.pop().unwrap();
        assert_eq!((data, receiver, datagrams.size()), (&b""[..], 1, 11));
        datagrams.push_front(data, receiver);
        assert_eq!(datagrams.size(), 19);
        datagrams.limits(Some(18), Some(8)).unwrap();
        assert!(datagrams.over_high() && !datagrams.under_low());
        assert_eq!(datagrams.marks(), (8, 18));
        assert_eq!(datagrams.drain_all().len(), 2);
        assert!(datagrams.is_empty() && datagrams.pop().is_none());
        assert!(datagrams.under_low() && !datagrams.over_high());
    }

    #[test]
    fn a_window_opens_when_several_wait_and_shuts_when_they_do_not() {
        let mut window = Window::default();
        for _ in 1..PATIENCE {
            assert_eq!(window.ask(), 1);
            window.note(1, 1);
        }
        assert_eq!(window.ask(), 2);
        window.note(2, 2);
        assert_eq!(window.ask(), 4);
        window.note(4, 4);
        window.note(8, 8);
        window.note(16, 16);
        window.note(MOST, MOST);
        assert_eq!(window.ask(), MOST);
        window.note(MOST, 3);
        assert_eq!(window.ask(), 4);
        window.note(4, 0);
        assert_eq!(window.ask(), 1);
    }
}
