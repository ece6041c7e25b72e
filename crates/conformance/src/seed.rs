//! Repeatable randomness.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The seed of a randomised clause. Its `Display` form tells how to repeat the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The environment variable that sets the seed: a decimal number.
    pub const VARIABLE: &'static str = "BOWLINE_CONFORMANCE_SEED";

    /// The seed of the environment, or a random one.
    pub fn choose() -> Self {
        let wanted = std::env::var(Self::VARIABLE).ok();
        let seed = wanted.and_then(|text| text.parse().ok());
        Self(seed.unwrap_or_else(|| RandomState::new().hash_one(Self::VARIABLE)))
    }

    /// The numbers that follow from this seed, always the same ones.
    pub(crate) fn numbers(self) -> Numbers {
        Numbers(self.0)
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", Self::VARIABLE, self.0)
    }
}

/// A SplitMix64 generator: small, and good enough to choose moments.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// A number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
