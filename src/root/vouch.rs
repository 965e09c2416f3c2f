//! A root beside which a security module signs that does not hold it: for a restore, whose logs' former keys are there.

use std::sync::Arc;

use attestore_keys::{Key, Provider, RootProvider, SigningModule};

/// A root, and who signs.
pub struct Vouched {
    pub root: Arc<dyn RootProvider>,
    pub module: Arc<dyn SigningModule>,
}

type Result<T> = std::result::Result<T, attestore_keys::Error>;

impl RootProvider for Vouched {
    fn generation(&self) -> u64 {
        self.root.generation()
    }

    fn generations(&self) -> Vec<u64> {
        self.root.generations()
    }

    fn wrap(&self, aad: &[u8], key: &Key) -> Result<Vec<u8>> {
        self.root.wrap(aad, key)
    }

    fn unwrap(&self, generation: u64, aad: &[u8], wrapped: &[u8]) -> Result<Key> {
        self.root.unwrap(generation, aad, wrapped)
    }

    fn next_generation(&self) -> Result<u64> {
        self.root.next_generation()
    }

    fn destroy(&self, generation: u64) -> Result<()> {
        self.root.destroy(generation)
    }

    fn provider(&self) -> Provider {
        self.root.provider()
    }

    fn medium(&self) -> String {
        self.root.medium()
    }

    fn reach(&self) -> Result<()> {
        self.root.reach()
    }

    fn signing(&self) -> Option<Arc<dyn SigningModule>> {
        Some(Arc::clone(&self.module))
    }
}
