//! A small seeded generator (SplitMix64, Steele, Lea and Flood 2014) that picks what survives a crash.

/// Deterministic bits; not for keys.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound` (at least 1).
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Picks how likely each un-synced piece is to survive, in 256ths: never, always, or something between.
    pub(super) fn survival(&mut self) -> Survival {
        Survival(match self.below(4) {
            0 => 0,
            1 => 256,
            _ => self.below(257),
        })
    }
}

/// The chance, in 256ths, that an un-synced piece is on the medium after a crash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survival(u64);

impl Survival {
    pub(super) fn survives(self, random: &mut Random) -> bool {
        random.below(256) < self.0
    }
}
