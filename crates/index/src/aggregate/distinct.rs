//! How many different values there are: exact up to a bound, then estimated.
//!
//! Beyond the bound, HyperLogLog over 64-bit hashes with Ertl's estimator (arXiv 1702.01284). Registers depend on the set of
//! values only, so the result does not depend on how the values were spread over splits.

use hashbrown::HashSet;

use crate::search::Scalar;

/// Bits of a hash that choose the register.
const BITS: u32 = 14;
const REGISTERS: usize = 1 << BITS;
/// Standard deviation of an estimate, as a share of the truth: 1.04 / sqrt(registers).
pub(crate) const RELATIVE_ERROR: f64 = 0.0082;
/// Memory of one exact value, roughly (bytes).
pub(crate) const VALUE_BYTES: usize = 16;
/// Memory of an estimate (bytes).
pub(crate) const REGISTER_BYTES: usize = REGISTERS;

/// A set of hashed values.
#[derive(Clone, Debug)]
pub(crate) enum Distinct {
    Exact(HashSet<u64>),
    Estimated(Box<[u8]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Exact(HashSet::new())
    }
}

impl Distinct {
    /// Adds a hash; of at most `exact_max` different ones the number is kept exactly. Tells how much memory it took (bytes).
    pub(crate) fn add(&mut self, hash: u64, exact_max: usize) -> usize {
        match self {
            Self::Exact(hashes) => {
                let new = hashes.insert(hash);
                if hashes.len() > exact_max {
                    self.estimate();
                    return REGISTER_BYTES;
                }
                if new { VALUE_BYTES } else { 0 }
            }
            Self::Estimated(registers) => {
                register(registers, hash);
                0
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self, exact_max: usize) -> usize {
        match other {
            Self::Exact(hashes) => hashes.iter().map(|hash| self.add(*hash, exact_max)).sum(),
            Self::Estimated(others) => {
                let taken = if self.is_exact() { REGISTER_BYTES } else { 0 };
                for (own, other) in self.estimate().iter_mut().zip(others) {
                    *own = (*own).max(*other);
                }
                taken
            }
        }
    }

    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Exact(hashes) => hashes.len() as u64,
            Self::Estimated(registers) => estimate(registers),
        }
    }

    fn estimate(&mut self) -> &mut [u8] {
        if let Self::Exact(hashes) = self {
            let mut registers = vec![0; REGISTERS].into_boxed_slice();
            for hash in hashes.iter() {
                register(&mut registers, *hash);
            }
            *self = Self::Estimated(registers);
        }
        match self {
            Self::Estimated(registers) => registers,
            Self::Exact(_) => &mut [],
        }
    }
}

fn register(registers: &mut [u8], hash: u64) {
    let at = (hash >> (64 - BITS)) as usize;
    // The bit set below the rest bounds the rank.
    let rank = ((hash << BITS) | (1 << (BITS - 1))).leading_zeros() + 1;
    if let Some(register) = registers.get_mut(at) {
        *register = (*register).max(u8::try_from(rank).unwrap_or(u8::MAX));
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate is a positive double"
)]
fn estimate(registers: &[u8]) -> u64 {
    const RANKS: usize = 64 - BITS as usize;
    let mut histogram = [0u32; RANKS + 2];
    for register in registers {
        if let Some(count) = histogram.get_mut(usize::from(*register)) {
            *count += 1;
        }
    }
    let count = REGISTERS as f64;
    let mut z = count * tau(1.0 - f64::from(histogram[RANKS + 1]) / count);
    for rank in (1..=RANKS).rev() {
        z = 0.5 * (z + f64::from(histogram[rank]));
    }
    z += count * sigma(f64::from(histogram[0]) / count);
    (count * count / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
}

fn sigma(mut x: f64) -> f64 {
    if (x - 1.0).abs() < f64::EPSILON {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

/// A hash of a value of a column.
pub(crate) fn of(scalar: &Scalar) -> u64 {
    match scalar {
        Scalar::Bool(value) => hash(0, &[u8::from(*value)]),
        Scalar::Int(number) => hash(1, &number.to_le_bytes()),
        Scalar::Big(number) => hash(2, &number.to_le_bytes()),
        Scalar::Float(number) => hash(3, &number.to_le_bytes()),
        Scalar::Ip(bytes) => hash(4, bytes),
        Scalar::Text(text) => hash(5, text.as_bytes()),
    }
}

/// A hash of a value, the same in every split and process: FNV-1a over type and bytes, then mixed (splitmix64).
fn hash(kind: u8, bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in [kind].iter().chain(bytes) {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_precision_loss, reason = "tests")]

    use super::{Distinct, RELATIVE_ERROR, hash};

    fn of(numbers: std::ops::Range<u64>, exact_max: usize) -> Distinct {
        let mut distinct = Distinct::default();
        for number in numbers {
            distinct.add(hash(1, &number.to_le_bytes()), exact_max);
        }
        distinct
    }

    #[test]
    fn few_values_are_counted_exactly() {
        let mut distinct = of(0..1000, 1000);
        distinct.merge(&of(500..1000, 1000), 1000);
        assert_eq!((distinct.count(), distinct.is_exact()), (1000, true));
        distinct.merge(&of(1000..1001, 1000), 1000);
        assert!(!distinct.is_exact());
    }

    #[test]
    fn many_values_are_estimated_alike_however_they_are_split() {
        for count in [2_000, 10_000, 100_000, 1_000_000] {
            let whole = of(0..count, 100);
            let mut merged = of(0..count / 3, 100);
            merged.merge(&of(count / 4..count, 100), 100);
            assert_eq!(whole.count(), merged.count());
            let error = (whole.count() as f64 / count as f64 - 1.0).abs();
            assert!(error < 3.0 * RELATIVE_ERROR, "{count}: {error}");
        }
    }
}
