//! The only source of chance in the core: a generator keyed by an integer, so that every run can be replayed.

/// A small, fast generator (`xoshiro256**`, by Blackman and Vigna, public domain) seeded through `SplitMix64`. It is
/// not for secrets.
#[derive(Clone, Debug)]
pub struct Seed {
    state: [u64; 4],
}

impl Seed {
    /// A generator whose whole future follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut mixer = seed;
        let state = core::array::from_fn(|_| {
            mixer = mixer.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = mixer;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s1.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let mut next = [s0, s1, s2 ^ s0, s3 ^ s1];
        next[1] ^= next[2];
        next[0] ^= next[3];
        next[2] ^= s1 << 17;
        next[3] = next[3].rotate_left(45);
        self.state = next;
        result
    }

    /// A uniform number below `bound`, which is not 0 (Lemire's multiply-shift; its bias below 2^-32 does not matter
    /// here).
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a draw below 0 has no answer");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A uniform number in `low..=high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.next_u64(),
        }
    }

    /// True `numerator` times in `denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// 16 uniform bytes.
    pub fn bytes16(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next_u64().to_be_bytes());
        bytes
    }

    /// A generator of its own, so that draws of one part do not shift those of another.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::Seed;

    #[test]
    fn the_same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let mut seed = Seed::new(seed);
            (0..100).map(|_| seed.next_u64()).collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn draws_stay_inside_their_bounds_and_reach_both_ends() {
        let mut seed = Seed::new(1);
        let draws: alloc::vec::Vec<_> = (0..1000).map(|_| seed.within(3, 6)).collect();
        assert!(draws.iter().all(|draw| (3..=6).contains(draw)));
        assert!(draws.contains(&3) && draws.contains(&6));
    }
}
