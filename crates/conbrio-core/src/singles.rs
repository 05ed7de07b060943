//! Whether a stream writes once a turn: then its bytes need not wait for others of the same turn.
//!
//! Its own room because it is a forecast and nothing else. It does not know what is written, or whether it was sent.

/// After how many turns with one write the next is taken for one, at first.
const FEW: u16 = 8;

/// And at most, after many forecasts that were wrong.
const MANY: u16 = 4096;

/// Counts the turns in a row in which a stream has written once.
#[derive(Clone, Copy, Debug)]
pub struct Singles {
    /// The turn of the last write.
    turn: u64,
    /// How many turns with a write, that one included, have had no second one.
    row: u16,
    /// How many of them make a forecast.
    needed: u16,
}

impl Default for Singles {
    fn default() -> Self {
        Self::new()
    }
}

impl Singles {
    /// Of a stream that has written nothing.
    pub const fn new() -> Self {
        Self {
            turn: 0,
            row: 0,
            needed: FEW,
        }
    }

    /// Notes a write in `turn`; tells whether it will be the only one, by all that is known.
    #[inline]
    #[must_use]
    pub fn note(&mut self, turn: u64) -> bool {
        if turn == self.turn {
            self.note_another();
            return false;
        }
        self.turn = turn;
        if self.row >= self.needed {
            return true;
        }
        self.row += 1;
        false
    }

    #[cold]
    fn note_another(&mut self) {
        if self.row >= self.needed {
            self.needed = self.needed.saturating_mul(2).min(MANY);
        }
        self.row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, MANY, Singles};

    /// Writes once a turn from `turn` on; tells after how many turns a forecast is made.
    fn until_forecast(singles: &mut Singles, turn: &mut u64) -> u16 {
        let mut count = 0;
        loop {
            *turn += 1;
            if singles.note(*turn) {
                return count;
            }
            count += 1;
        }
    }

    #[test]
    fn who_writes_once_a_turn_is_believed() {
        let (mut singles, mut turn) = (Singles::new(), 0);
        assert_eq!(until_forecast(&mut singles, &mut turn), FEW);
        assert!(singles.note(turn + 1));
        assert!(singles.note(turn + 9));
    }

    #[test]
    fn who_writes_twice_is_not() {
        let mut singles = Singles::new();
        for turn in 1..100 {
            assert!(!singles.note(turn));
            assert!(!singles.note(turn));
        }
    }

    #[test]
    fn a_wrong_forecast_makes_the_next_one_dearer_up_to_a_bound() {
        let (mut singles, mut turn) = (Singles::new(), 0);
        let mut needed = Vec::new();
        for _ in 0..12 {
            needed.push(until_forecast(&mut singles, &mut turn));
            assert!(!singles.note(turn), "a second write of the same turn");
        }
        assert_eq!(needed.get(..3), Some([FEW, FEW * 2, FEW * 4].as_slice()));
        assert_eq!(needed.last(), Some(&MANY));
    }
}
