//! What a connection has yet to take of its responses, and how fast it takes them.
//!
//! Invariants: without responses on their way nothing is owed. The pace is that of the last two to four seconds, in
//! bytes, whether whole responses left or parts of one; it begins anew with the first response after all had left, so
//! it never counts time in which there was nothing to take.

use crate::types::Monotonic;

/// A connection is not judged before it had this long to take something, in milliseconds.
const WARM_UP_MS: u64 = 1000;

/// What was taken is counted over spans of this length, in milliseconds.
const SPAN_MS: u64 = 2000;

/// Whoever is done within this time at its pace is no burden, in milliseconds.
const SOON_MS: u128 = 10_000;

/// What stays longer than this, in milliseconds, weighs no more for it: the driver closes whoever takes nothing by then.
const LONG_MS: u128 = 30_000;

/// The responses of one connection that are not sent.
#[derive(Debug)]
pub(super) struct Owed {
    /// Bytes of memory that they alone hold.
    memory: usize,
    /// Bytes that are to leave, those of files too.
    left: u64,
    /// Bytes of the oldest that left.
    begun: u64,
    /// Bytes that left in this span.
    taken: u64,
    since: Monotonic,
    /// Bytes that left in the span before, and its milliseconds.
    before: (u64, u64),
}

impl Owed {
    /// Nothing.
    pub(super) const fn new(now: Monotonic) -> Self {
        Self {
            memory: 0,
            left: 0,
            begun: 0,
            taken: 0,
            since: now,
            before: (0, 0),
        }
    }

    /// Bytes of memory that are held until responses are sent.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// A response of `length` bytes is to leave, which alone holds `memory`.
    pub(super) const fn add(&mut self, memory: usize, length: u64, now: Monotonic) {
        if self.left == 0 {
            (self.taken, self.since, self.before) = (0, now, (0, 0));
        }
        self.memory += memory;
        self.left += length;
    }

    /// So many bytes of the oldest response left since the last of them did.
    pub(super) fn progress(&mut self, bytes: u64, now: Monotonic) {
        self.begun += bytes;
        self.took(bytes, now);
    }

    /// The oldest response, of `length` bytes, left or never will.
    pub(super) fn sent(&mut self, memory: usize, length: u64, now: Monotonic) {
        self.memory = self
            .memory
            .checked_sub(memory)
            .expect("no more leaves than was to be sent");
        let rest = length.saturating_sub(core::mem::take(&mut self.begun));
        self.took(rest, now);
    }

    fn took(&mut self, bytes: u64, now: Monotonic) {
        let age = now.millis_since(self.since);
        if age >= SPAN_MS {
            // A span that passed without a byte is part of the one before.
            self.before = if age >= 2 * SPAN_MS {
                (0, SPAN_MS)
            } else {
                (self.taken, age)
            };
            (self.taken, self.since) = (0, now);
        }
        self.taken += bytes;
        self.left = self.left.saturating_sub(bytes);
    }

    /// How much memory it keeps from others and for how long, in bytes times milliseconds, at the pace at which it takes
    /// what it is owed; 0 where that is soon over or not known yet.
    pub(super) fn burden(&self, now: Monotonic) -> u128 {
        let age = now.millis_since(self.since);
        let (taken, within) = match age {
            0..SPAN_MS => (self.taken + self.before.0, age + self.before.1),
            _ if age < 2 * SPAN_MS => (self.taken, age),
            _ => (0, age),
        };
        if within < WARM_UP_MS || self.memory == 0 {
            return 0;
        }
        // Whoever takes nothing weighs twice as much as who takes much slowly; who has little to take makes no room.
        let stays = match taken {
            0 => 2 * LONG_MS,
            taken => (u128::from(self.left) * u128::from(within) / u128::from(taken)).min(LONG_MS),
        };
        if stays < SOON_MS {
            return 0;
        }
        stays * self.memory as u128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;

    fn at(millis: u64) -> Monotonic {
        Monotonic(0).plus_millis(millis)
    }

    fn owed(memory: u64) -> Owed {
        let mut owed = Owed::new(at(0));
        owed.add(memory as usize, memory, at(0));
        owed
    }

    #[test]
    fn nobody_is_judged_before_it_had_time_nor_for_what_is_no_memory() {
        let silent = owed(MIB);
        assert_eq!(silent.burden(at(WARM_UP_MS - 1)), 0);
        assert!(silent.burden(at(WARM_UP_MS)) > 0);
        let mut of_files = Owed::new(at(0));
        of_files.add(0, MIB, at(0));
        assert_eq!(of_files.burden(at(60_000)), 0);
    }

    #[test]
    fn whoever_reads_steadily_and_is_done_soon_is_no_burden_however_long_its_answer() {
        let mut steady = owed(5 * MIB);
        for second in 1..=4 {
            steady.progress(MIB, at(second * 1000));
            assert_eq!(steady.burden(at(second * 1000 + 900)), 0, "after {second} s");
        }
    }

    #[test]
    fn a_trickle_protects_nobody() {
        let mut trickles = owed(64 * KIB);
        let mut steady = owed(15 * MIB);
        for tick in 1..=20 {
            trickles.add(100, 100, at(tick * 500));
            trickles.sent(100, 100, at(tick * 500));
            steady.progress(MIB / 2, at(tick * 500));
        }
        let now = at(10_400);
        assert!(trickles.burden(now) > steady.burden(now));
        assert_eq!(steady.burden(now), 0);
    }

    #[test]
    fn whoever_takes_nothing_goes_before_who_takes_as_much_slowly_but_not_for_a_little_memory() {
        let mut slow = owed(50 * MIB);
        (1..=10).for_each(|second| slow.progress(64 * KIB, at(second * 1000)));
        let now = at(10_500);
        assert!(slow.burden(now) > 0, "it takes a quarter of an hour");
        assert!(owed(50 * MIB).burden(now) > slow.burden(now));
        assert!(owed(KIB).burden(now) < slow.burden(now), "to close it makes no room");
    }

    #[test]
    fn what_was_taken_before_a_stall_is_forgotten() {
        let mut stalls = owed(8 * MIB);
        stalls.progress(4 * MIB, at(500));
        assert_eq!(stalls.burden(at(3000)), 0);
        assert_eq!(stalls.burden(at(2 * SPAN_MS)), owed(8 * MIB).burden(at(9000)));
    }

    #[test]
    fn what_left_in_part_counts_once_and_time_without_anything_to_take_does_not() {
        let mut owed = owed(MIB);
        owed.progress(MIB - 1, at(100));
        owed.sent(MIB as usize, MIB, at(200));
        assert_eq!((owed.memory, owed.left, owed.taken), (0, 0, MIB));
        owed.add(100, 100, at(60_000));
        assert_eq!(owed.burden(at(60_000 + WARM_UP_MS - 1)), 0);
        assert!(owed.burden(at(60_000 + WARM_UP_MS)) > 0);
    }
}
