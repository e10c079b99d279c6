//! Positions in a partition, and the epochs and sequences that order them.

use core::fmt;

/// The position of a record in its partition; the first is 0. Kafka writes −1 where there is none: here that is
/// `Option::None`, or a named constant at the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of a partition.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on. Saturates at the end of the offset space, which callers refuse to reach.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many offsets lie from `earlier` to `self`; negative when `self` comes first.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The term of one leader over one partition. Two records at the same (epoch, offset) are the same record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LeaderEpoch(pub i32);

/// The sequence number of a record within (producer id, producer epoch, partition). Wraps from `i32::MAX` to 0
/// (`DefaultRecordBatch.incrementSequence`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Sequence(pub i32);

impl Sequence {
    /// The sequence `count` records later, wrapping past `i32::MAX` to 0. `count` is not negative.
    #[must_use]
    pub const fn plus(self, count: i32) -> Self {
        Self(((self.0 as i64 + count as i64) % (i32::MAX as i64 + 1)) as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::Sequence;

    #[test]
    fn a_sequence_wraps_to_zero_and_never_turns_negative() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(0).plus(5), Sequence(5));
    }
}
