//! Where randomness comes from: the system, or a seed in tests and simulation.
//!
//! The only place of the workspace that asks for random bytes; everybody else is passed an [`Entropy`].

use parking_lot::Mutex;

/// A source of random bytes that are fit for keys and nonces.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `buf` with random bytes.
    fn fill(&self, buf: &mut [u8]);
}

/// Draws an array of random bytes.
pub fn random_array<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// The system's cryptographic random generator, through aws-lc.
///
/// Nothing is drawn ahead: what waited in memory would be there in both copies of a machine that is cloned as it runs, and
/// both would seal different things under the same key and nonce.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the system has no randomness to give: nothing that follows would be safe.
    fn fill(&self, buf: &mut [u8]) {
        aws_lc_rs::rand::fill(buf).expect("the system's random generator works");
    }
}

/// A deterministic stream from a seed: BLAKE3 in XOF mode. For tests and simulation, never for data that matters.
pub struct SeededEntropy(Mutex<blake3::OutputReader>);

impl SeededEntropy {
    /// Starts the stream of `seed`; the same seed gives the same bytes in the same order of calls.
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("attestore 2026 seeded entropy v1");
        hasher.update(&seed.to_le_bytes());
        Self(Mutex::new(hasher.finalize_xof()))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buf: &mut [u8]) {
        self.0.lock().fill(buf);
    }
}

#[cfg(test)]
mod tests;
