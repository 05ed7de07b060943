//! Whether a stream writes once a turn: then its bytes need not wait for others of the same turn.
//!
//! Its own room because it is a forecast and nothing else, in one byte: a connection has none to spare. It does not know what
//! is written, or when it is sent.

/// After how many turns with one write the next is taken for one.
const FEW: u8 = 8;

/// And after a forecast that was wrong.
const MANY: u8 = 128;

/// What a turn has seen of a stream before it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// No write.
    Nothing,
    /// A write that waits for the turn's end.
    Write,
    /// A write that was taken for the only one.
    Single,
}

/// How many turns with one write are still missing to take the next for one.
#[derive(Clone, Copy, Debug)]
pub struct Singles {
    missing: u8,
}

impl Default for Singles {
    fn default() -> Self {
        Self::new()
    }
}

impl Singles {
    /// Of a stream that has written nothing.
    pub const fn new() -> Self {
        Self { missing: FEW }
    }

    /// Notes a write; tells whether it will be the only one of its turn, by all that is known.
    #[inline]
    #[must_use]
    pub fn note(&mut self, before: Before) -> bool {
        let foresees = before == Before::Nothing && self.missing == 0;
        self.missing = match before {
            Before::Nothing => self.missing.saturating_sub(1),
            Before::Write => self.missing.max(FEW),
            Before::Single => MANY,
        };
        foresees
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, FEW, MANY, Singles};

    /// Writes once a turn; tells after how many turns a forecast is made.
    fn until_forecast(singles: &mut Singles) -> u8 {
        let mut count = 0;
        while !singles.note(Before::Nothing) {
            count += 1;
        }
        count
    }

    #[test]
    fn who_writes_once_a_turn_is_believed() {
        let mut singles = Singles::new();
        assert_eq!(until_forecast(&mut singles), FEW);
        assert!(singles.note(Before::Nothing));
        assert!(singles.note(Before::Nothing));
    }

    #[test]
    fn who_writes_twice_is_not() {
        let mut singles = Singles::new();
        for _ in 0..100 {
            assert!(!singles.note(Before::Nothing));
            assert!(!singles.note(Before::Write));
        }
        assert!(until_forecast(&mut singles) >= FEW - 1);
    }

    #[test]
    fn a_wrong_forecast_makes_the_next_one_late() {
        let mut singles = Singles::new();
        until_forecast(&mut singles);
        assert!(!singles.note(Before::Single));
        assert!(!singles.note(Before::Write), "and the third keeps it so");
        assert_eq!(until_forecast(&mut singles), MANY);
    }
}
