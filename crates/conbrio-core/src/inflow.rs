//! How large the next read should be.
//!
//! Small reads go through a buffer that the loop shares and are copied to an exact object; a
//! connection that sends in bulk is read straight into an object. Its own room because the rule
//! was measured and may be measured again. It reads nothing.

/// The most that one direct read asks for: as much as an object may hold without leaving malloc's fast part, which ends
/// at 128 KiB with the headers of both.
///
/// It holds two of the largest segments of a loopback connection, 65,483 bytes each: a read that cuts a segment leaves
/// a small one for the next.
///
/// Bench: `bulk_recv`, and `tcp_proto_100k_c10`, where half of it means two reads a message and twice as much three
/// times the processor time.
pub const DIRECT: usize = 128 * 1024 - 80;
/// What stands before the content: an empty `bytes` and malloc's header, rounded up.
const HEADERS: usize = 33 + 8 + 15;
const _: () = assert!(DIRECT + HEADERS < 128 * 1024 && DIRECT >= 2 * 65_483);
/// Reads of this size or more are bulk.
const BULK: usize = 64 * 1024;
/// Reads smaller than this are cheaper copied.
const SMALL: usize = 16 * 1024;
/// How many reads in a row change the mind.
const PATIENCE: u8 = 2;

/// Where the next read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Into the loop's shared buffer, then copied.
    Shared,
    /// Into an object of this many bytes, then cut.
    Direct(usize),
}

/// What one connection's reads were like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inflow {
    /// Reads go directly.
    direct: bool,
    /// How many reads in a row spoke against how reads go.
    against: u8,
}

impl Inflow {
    /// Says where the next read goes.
    #[inline]
    pub fn next(self) -> Read {
        if self.direct {
            Read::Direct(DIRECT)
        } else {
            Read::Shared
        }
    }

    /// Notes that a read gave `count` bytes.
    #[inline]
    pub fn note(&mut self, count: usize) {
        let against = if self.direct {
            count < SMALL
        } else {
            count >= BULK
        };
        if !against {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against == PATIENCE {
            *self = Self {
                direct: !self.direct,
                against: 0,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BULK, DIRECT, Inflow, Read};

    fn after(counts: &[usize]) -> Read {
        let mut inflow = Inflow::default();
        for &count in counts {
            inflow.note(count);
        }
        inflow.next()
    }

    #[test]
    fn bulk_goes_directly_after_two_large_reads() {
        assert_eq!(after(&[]), Read::Shared);
        assert_eq!(after(&[BULK]), Read::Shared);
        assert_eq!(after(&[BULK, 10, BULK]), Read::Shared);
        assert_eq!(after(&[BULK, 4 * BULK]), Read::Direct(DIRECT));
    }

    #[test]
    fn small_reads_are_shared_again() {
        assert_eq!(after(&[DIRECT, DIRECT, 10]), Read::Direct(DIRECT));
        assert_eq!(
            after(&[DIRECT, DIRECT, 10, 40_000, 10]),
            Read::Direct(DIRECT)
        );
        assert_eq!(after(&[DIRECT, DIRECT, 10, 10]), Read::Shared);
    }
}
