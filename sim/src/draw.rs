//! Everything that a run leaves to chance comes from here, so that one integer replays it.

use klamm_core::types::Seed;

/// The draws of one run. Every draw is folded into a digest, which the trace hash takes up: two runs that draw
/// differently cannot look alike.
#[derive(Clone, Debug)]
pub struct Draw {
    seed: Seed,
    digest: u64,
}

impl Draw {
    /// Draws whose whole future follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed: Seed::new(seed),
            digest: 0,
        }
    }

    /// What was drawn so far, in 64 bits.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    fn note(&mut self, value: u64) -> u64 {
        self.digest = (self.digest ^ value)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .rotate_left(23);
        value
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        let value = self.seed.next_u64();
        self.note(value)
    }

    /// A uniform number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let value = self.seed.below(bound);
        self.note(value)
    }

    /// A uniform number in `low..=high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        let value = self.seed.within(low, high);
        self.note(value)
    }

    /// A uniform index into something of `length` entries.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True `numerator` times in `denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// One of `choices`, which is not empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// A number in `low..=high` whose order of magnitude is uniform, so that small values are as frequent as large
    /// ones.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        let width = high - low;
        let bits = 64 - width.leading_zeros();
        let magnitude = self.below(u64::from(bits) + 1) as u32;
        let top = if magnitude >= 64 {
            u64::MAX
        } else {
            (1 << magnitude) - 1
        };
        low + self.within(0, top.min(width))
    }

    /// Draws of their own, so that what one part draws does not shift another's.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::Draw;

    #[test]
    fn the_digest_tells_two_runs_apart_by_a_single_draw() {
        let mut one = Draw::new(4);
        let mut two = Draw::new(4);
        one.below(10);
        two.below(10);
        assert_eq!(one.digest(), two.digest());
        one.chance(1, 2);
        assert_ne!(one.digest(), two.digest());
    }

    #[test]
    fn a_spread_draw_reaches_both_ends_and_favours_the_small() {
        let mut draw = Draw::new(9);
        let draws: Vec<u64> = (0..4000).map(|_| draw.spread(3, 1003)).collect();
        assert!(draws.iter().all(|value| (3..=1003).contains(value)));
        assert!(draws.contains(&3));
        assert!(draws.iter().any(|&value| value > 900));
        assert!(draws.iter().filter(|&&value| value < 40).count() > 1000);
    }
}
