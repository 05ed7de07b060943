//! Plain words about readiness: which registration, which direction.
//!
//! Its own room because every driver and every listener speaks these words and nothing else.
//! It knows no system call.

/// Names one registration of one descriptor: an index, and a generation that tells a late event
/// from a fresh one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    /// The registration of the pipe for signals; no table hands this token out.
    pub const WAKE: Self = Self(u64::MAX);
    /// The registration of the bell that other threads ring; nor this one.
    pub const BELL: Self = Self(u64::MAX - 1);
    /// The registration of a driver's own alarm, which it tells nobody of.
    pub const ALARM: Self = Self(u64::MAX - 2);

    /// Tells whether it names a loop's own wake-up.
    #[inline]
    pub const fn is_wake_up(self) -> bool {
        self.0 >= Self::BELL.0
    }

    /// Joins `index` and `generation` into one word.
    #[inline]
    pub const fn new(index: u32, generation: u32) -> Self {
        Self(((generation as u64) << 32) | index as u64)
    }

    /// Says where in its table the registration stands.
    #[inline]
    pub const fn index(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// Says which of the registrations that stood there it is.
    #[inline]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Gives the token as the word that travels through the kernel.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Takes back what [`Token::to_bits`] gave.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// The directions in which a descriptor is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// Neither direction.
    pub const EMPTY: Self = Self(0);
    /// Bytes, connections or an end to read.
    pub const READ: Self = Self(1);
    /// Room to write.
    pub const WRITE: Self = Self(2);
    /// Both directions.
    pub const BOTH: Self = Self(3);
    /// Something to read, reported once for each arrival by a driver that knows edges, else as `READ`.
    pub const EDGE: Self = Self(5);

    /// Tells whether every direction of `other` is in `self`.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Adds the directions of `other`.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Tells whether no direction is left.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a driver heard about one registration.
///
/// An error or a hang-up sets both directions, as `selectors.EpollSelector` does; who hears it
/// keeps the directions that it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The registration.
    pub token: Token,
    /// Reading would not wait.
    pub readable: bool,
    /// Writing would not wait.
    pub writable: bool,
}

#[cfg(test)]
mod tests {
    use super::{Interest, Token};

    #[test]
    fn token_keeps_both_halves() {
        let token = Token::new(7, u32::MAX - 1);
        assert_eq!((token.index(), token.generation()), (7, u32::MAX - 1));
        assert_eq!(Token::from_bits(token.to_bits()), token);
        assert!(!token.is_wake_up());
        assert!(Token::WAKE.is_wake_up() && Token::BELL.is_wake_up());
    }

    #[test]
    fn interest_is_a_set() {
        assert_eq!(Interest::READ.with(Interest::WRITE), Interest::BOTH);
        assert!(Interest::BOTH.contains(Interest::WRITE));
        assert!(!Interest::READ.contains(Interest::BOTH));
        assert!(
            Interest::EDGE.contains(Interest::READ) && !Interest::BOTH.contains(Interest::EDGE)
        );
        assert!(Interest::EMPTY.is_empty() && !Interest::READ.is_empty());
    }
}
