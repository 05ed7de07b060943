//! Entries of the heap, and how deadlines are compared as whole numbers.

/// How many children a node has: one cache line of entries.
pub(super) const FAN: usize = 4;

/// One place in the heap: deadline, sequence and slot in one number, so that one comparison
/// orders by deadline and then by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u128);

impl Entry {
    #[inline]
    pub(super) const fn new(deadline: u64, sequence: u32, slot: u32) -> Self {
        Self(((deadline as u128) << 64) | ((sequence as u128) << 32) | slot as u128)
    }

    #[inline]
    pub(super) const fn deadline(self) -> u64 {
        (self.0 >> 64) as u64
    }

    #[inline]
    pub(super) const fn sequence(self) -> u32 {
        ((self.0 >> 32) & 0xffff_ffff) as u32
    }

    #[inline]
    pub(super) const fn slot(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// Finds the least of the first four entries, and where it is.
#[inline]
pub(super) fn least(children: &[Entry]) -> Option<(usize, Entry)> {
    if let Some(&[one, two, three, four]) = children.first_chunk::<FAN>() {
        // Bench: call_later; selections, since which child is least cannot be predicted.
        let left = if two < one { (1, two) } else { (0, one) };
        let right = if four < three { (3, four) } else { (2, three) };
        return Some(if right.1 < left.1 { right } else { left });
    }
    children
        .iter()
        .copied()
        .enumerate()
        .min_by_key(|child| child.1)
}

/// Maps a deadline to a number of the same order; equal deadlines to equal numbers.
#[inline]
pub(super) fn order(deadline: f64) -> u64 {
    if deadline.is_nan() {
        return 0;
    }
    // Adding zero makes one zero of the two.
    let bits = (deadline + 0.0).to_bits();
    let negative = bits >> 63 == 1;
    bits ^ if negative { u64::MAX } else { 1 << 63 }
}

/// Takes back what [`order`] did.
#[inline]
pub(super) fn disorder(number: u64) -> f64 {
    match number {
        0 => f64::NEG_INFINITY,
        _ if number >> 63 == 1 => f64::from_bits(number ^ (1 << 63)),
        _ => f64::from_bits(!number),
    }
}

#[cfg(test)]
mod tests {
    use super::{disorder, order};

    #[test]
    #[expect(clippy::float_cmp, reason = "the bits are the promise")]
    fn numbers_keep_the_order() {
        let moments = [
            f64::NEG_INFINITY,
            -1e300,
            -2.5,
            -1e-300,
            0.0,
            1e-300,
            2.5,
            f64::INFINITY,
        ];
        assert!(moments.is_sorted_by(|&one, &two| order(one) < order(two)));
        assert!(
            moments
                .iter()
                .all(|&moment| disorder(order(moment)) == moment)
        );
    }
}
