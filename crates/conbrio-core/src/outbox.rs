//! Bytes that a stream still owes, and when to say that they are too many.
//!
//! Its own room because partial writes and the two marks are where bytes get lost or a writer
//! hangs. It does not know the descriptor: who flushes says how bytes are sent.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};

use conbrio_driver::sys::is_blocked;

/// How many chunks one call sends at most.
const SLICES: usize = 64;
/// From how many owed chunks on they are many.
const MANY: usize = 256;
/// How many one call sends then; the kernel takes no more.
const MANY_SLICES: usize = 1024;
/// How many places an empty queue keeps.
const KEPT: usize = 16;
/// asyncio's high mark.
const HIGH_BYTES: usize = 64 * 1024;

/// What came of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Everything was sent.
    Done,
    /// The rest waits until the descriptor is writable.
    Blocked,
}

/// Marks that asyncio refuses: `high >= low >= 0` does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLimits {
    /// The high mark that was meant.
    pub high: i64,
    /// The low mark that was meant.
    pub low: i64,
}

impl fmt::Display for BadLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "high ({}) must be >= low ({}) must be >= 0",
            self.high, self.low
        )
    }
}

impl std::error::Error for BadLimits {}

/// How much may be owed: more than the high mark pauses a writer, no more than the low one lets it go on.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    high_bytes: usize,
    low_bytes: usize,
}

impl Default for Marks {
    fn default() -> Self {
        Self::new()
    }
}

impl Marks {
    /// asyncio's marks.
    pub const fn new() -> Self {
        Self {
            high_bytes: HIGH_BYTES,
            low_bytes: HIGH_BYTES / 4,
        }
    }

    /// Sets the marks by asyncio's rules; a missing one follows from the other.
    pub fn set(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), BadLimits> {
        let default = i64::try_from(HIGH_BYTES).unwrap_or(i64::MAX);
        let high = high.unwrap_or_else(|| low.map_or(default, |low| low.saturating_mul(4)));
        // Floors, as Python's division does.
        let low = low.unwrap_or_else(|| high.div_euclid(4));
        match (usize::try_from(high), usize::try_from(low)) {
            (Ok(high_bytes), Ok(low_bytes)) if high >= low => {
                (self.high_bytes, self.low_bytes) = (high_bytes, low_bytes);
                Ok(())
            }
            _ => Err(BadLimits { high, low }),
        }
    }

    /// Gives the marks as asyncio does: low, high.
    pub fn pair(&self) -> (usize, usize) {
        (self.low_bytes, self.high_bytes)
    }

    /// Tells whether `owed` bytes pause a writer.
    #[inline]
    pub fn are_under(&self, owed: usize) -> bool {
        owed > self.high_bytes
    }

    /// Tells whether a paused writer that owes `owed` bytes may go on.
    #[inline]
    pub fn let_go(&self, owed: usize) -> bool {
        owed <= self.low_bytes
    }
}

/// The chunks behind the first. Invariant: none is empty.
#[derive(Debug)]
struct Rest<B> {
    chunks: VecDeque<B>,
}

impl<B: AsRef<[u8]>> Rest<B> {
    /// Offers as many chunks as one call takes; says how many bytes that were, and what came.
    fn gather<const COUNT: usize>(
        &self,
        head: IoSlice<'_>,
        send: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> (usize, io::Result<usize>) {
        let mut slices = [IoSlice::new(&[]); COUNT];
        let chunks = self.chunks.iter().map(|chunk| IoSlice::new(chunk.as_ref()));
        let (mut count, mut offered) = (0, 0);
        for (place, slice) in slices.iter_mut().zip(std::iter::once(head).chain(chunks)) {
            offered += slice.len();
            *place = slice;
            count += 1;
        }
        (offered, send(slices.get(..count).unwrap_or_default()))
    }
}

impl<B> Default for Rest<B> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
        }
    }
}

/// Chunks to send, in order.
///
/// The first chunk stands inline: most streams never owe a second.
#[derive(Debug)]
pub struct Outbox<B> {
    /// What is sent next. Invariant: none only if `rest` is empty.
    first: Option<B>,
    /// What comes behind it, apart: there may be very many idle streams.
    rest: Option<Box<Rest<B>>>,
    /// How much of `first` was sent. Invariant: less than its length.
    sent: usize,
    /// How many bytes are owed.
    length: usize,
    marks: Marks,
}

impl<B: AsRef<[u8]>> Default for Outbox<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: AsRef<[u8]>> Outbox<B> {
    /// Makes an outbox that owes nothing, with asyncio's marks.
    pub const fn new() -> Self {
        Self {
            first: None,
            rest: None,
            sent: 0,
            length: 0,
            marks: Marks::new(),
        }
    }

    /// Accepts `chunk`; an empty one is forgotten.
    #[inline]
    pub fn push(&mut self, chunk: B) {
        let length = chunk.as_ref().len();
        if length == 0 {
            return;
        }
        self.length += length;
        if self.first.is_none() {
            self.first = Some(chunk);
        } else {
            let rest = self.rest.get_or_insert_default();
            rest.chunks.push_back(chunk);
        }
    }

    /// Counts the bytes that are owed.
    #[inline]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Tells whether nothing is owed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.length == 0
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
        self.marks.are_under(self.length)
    }

    /// Tells whether so little is owed that a paused writer may go on.
    #[inline]
    pub fn under_low(&self) -> bool {
        self.marks.let_go(self.length)
    }

    /// Sends by `send` until nothing is owed or less was taken than offered.
    ///
    /// After an error everything that was not sent is still owed.
    #[inline]
    pub fn flush(
        &mut self,
        mut send: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flush> {
        while let Some(first) = &self.first {
            let head = IoSlice::new(first.as_ref().get(self.sent..).unwrap_or_default());
            let (offered, result) = match &self.rest {
                Some(rest) if rest.chunks.len() >= MANY => {
                    rest.gather::<MANY_SLICES>(head, &mut send)
                }
                Some(rest) if !rest.chunks.is_empty() => rest.gather::<SLICES>(head, &mut send),
                _ => (head.len(), send(&[head])),
            };
            let taken = match result {
                Ok(taken) => taken,
                Err(error) if is_blocked(&error) => return Ok(Flush::Blocked),
                Err(error) => return Err(error),
            };
            self.forget(taken);
            if taken < offered {
                return Ok(Flush::Blocked);
            }
        }
        Ok(Flush::Done)
    }

    /// Takes everything out; how much of the first chunk was sent is forgotten with it.
    pub fn drain_all(&mut self) -> impl Iterator<Item = B> + use<B> {
        (self.sent, self.length) = (0, 0);
        self.first
            .take()
            .into_iter()
            .chain(self.rest.take().map(|rest| rest.chunks).unwrap_or_default())
    }

    /// Goes through what is owed, in order, the sent part left out.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let head = self
            .first
            .iter()
            .filter_map(|chunk| chunk.as_ref().get(self.sent..));
        let rest = self.rest.iter().flat_map(|rest| &rest.chunks);
        head.chain(rest.map(AsRef::as_ref))
    }

    /// Drops the first `taken` bytes.
    fn forget(&mut self, mut taken: usize) {
        taken = taken.min(self.length);
        self.length -= taken;
        while let Some(first) = &self.first {
            let left = first.as_ref().len() - self.sent;
            if taken < left {
                self.sent += taken;
                return;
            }
            taken -= left;
            self.sent = 0;
            self.first = self.rest.as_mut().and_then(|rest| rest.chunks.pop_front());
        }
        // Many places are given back; a few stay for the next turn's chunks.
        if let Some(rest) = &self.rest
            && rest.chunks.capacity() > KEPT
        {
            self.rest = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};

    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{BadLimits, Flush, KEPT, MANY_SLICES, Outbox};

    /// Takes at most `room` bytes.
    fn take(into: &mut Vec<u8>, room: usize, slices: &[IoSlice<'_>]) -> usize {
        let offered = slices.iter().flat_map(|slice| slice.iter().copied());
        let before = into.len();
        into.extend(offered.take(room));
        into.len() - before
    }

    proptest! {
        #[test]
        fn every_byte_leaves_once_and_in_order(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200),
            rooms in prop::collection::vec(0_usize..700, 1..50),
        ) {
            let (mut outbox, mut wanted, mut got) = (Outbox::new(), Vec::new(), Vec::new());
            let mut chunks = chunks.into_iter();
            for room in rooms {
                for chunk in chunks.by_ref().take(7) {
                    wanted.extend_from_slice(&chunk);
                    outbox.push(chunk);
                }
                let flush = outbox.flush(|slices| {
                    assert!(!slices.is_empty() && slices.len() <= MANY_SLICES);
                    assert!(slices.iter().all(|slice| !slice.is_empty()));
                    Ok(take(&mut got, room, slices))
                });
                prop_assert_eq!(flush.unwrap() == Flush::Done, outbox.is_empty());
                prop_assert_eq!(outbox.len(), wanted.len() - got.len());
                prop_assert_eq!(outbox.iter().map(<[u8]>::len).sum::<usize>(), outbox.len());
                prop_assert!(wanted.starts_with(&got));
            }
            let left: Vec<_> = outbox.iter().flatten().copied().collect();
            got.extend(left);
            prop_assert_eq!(wanted, got);
        }
    }

    #[test]
    fn an_error_keeps_what_is_owed() {
        let mut outbox = Outbox::new();
        outbox.push(&b"abc"[..]);
        let blocked = outbox
            .flush(|_| Err(io::ErrorKind::WouldBlock.into()))
            .unwrap();
        assert_eq!(blocked, Flush::Blocked);
        let error = outbox
            .flush(|_| Err(io::ErrorKind::ConnectionReset.into()))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(outbox.len(), 3);
        assert_eq!(outbox.drain_all().collect::<Vec<_>>(), [b"abc"]);
        assert!(outbox.is_empty());
        assert_eq!(outbox.flush(|_| Ok(1)).unwrap(), Flush::Done);
    }

    #[test]
    fn more_chunks_than_a_call_takes_are_sent_in_several() {
        let mut outbox = Outbox::new();
        let mut calls_for = |chunks: usize| {
            (0..chunks).for_each(|_| outbox.push([1_u8]));
            let mut calls = Vec::new();
            let done = outbox.flush(|slices| {
                calls.push(slices.len());
                Ok(slices.len())
            });
            assert_eq!(done.unwrap(), Flush::Done);
            calls
        };
        assert_eq!(calls_for(200), [64, 64, 64, 8]);
        assert_eq!(calls_for(2000), [MANY_SLICES, 976]);
        assert!(
            outbox
                .rest
                .is_none_or(|rest| rest.chunks.capacity() <= KEPT)
        );
    }

    #[test]
    fn marks_follow_asyncio() {
        let mut outbox = Outbox::<Vec<u8>>::new();
        assert_eq!(outbox.marks(), (16_384, 65_536));
        outbox.limits(None, Some(25)).unwrap();
        assert_eq!(outbox.marks(), (25, 100));
        outbox.limits(Some(10), None).unwrap();
        assert_eq!(outbox.marks(), (2, 10));
        let bad = outbox.limits(Some(1), Some(2)).unwrap_err();
        assert_eq!(bad.to_string(), "high (1) must be >= low (2) must be >= 0");
        let bad = outbox.limits(Some(-1), None).unwrap_err();
        assert_eq!(bad, BadLimits { high: -1, low: -1 });
        outbox.limits(Some(0), None).unwrap();
        assert!(!outbox.over_high() && outbox.under_low());
        outbox.push(vec![1]);
        assert!(outbox.over_high() && !outbox.under_low());
        outbox.limits(None, None).unwrap();
        assert_eq!(outbox.marks(), (16_384, 65_536));
    }
}
