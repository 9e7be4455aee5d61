//! Deterministic disorder: the same seed, the same choices (xorshift).

#![allow(dead_code)] // Each test binary uses a part of it.

pub struct Dice(u64);

impl Dice {
    /// Seeds next to each other have nothing in common.
    pub fn new(seed: u64) -> Dice {
        // Zero would stay zero for ever.
        Dice((seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5dee_ce66_d1ce_4e5b) | 1)
    }

    /// A number from 0 on that is less than `sides`.
    pub fn roll<N: TryFrom<u64> + TryInto<u64>>(&mut self, sides: N) -> N {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let below = sides.try_into().unwrap_or_else(|_| panic!("a die has no negative sides"));
        N::try_from((self.0 >> 20) % below).unwrap_or_else(|_| unreachable!("it is less than `sides`"))
    }

    pub fn one_in(&mut self, n: u32) -> bool {
        self.roll(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}
