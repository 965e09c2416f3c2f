//! A log that can be made to lie, and a witness to lie to.

use std::sync::Arc;

use attestore_disk::{Disk, ManualClock, sim::SimDisk};
use attestore_keys::{Entropy, SeededEntropy};
use attestore_tlog::{
    Checkpoint, Frontier, Hash, NodeReader, NoteSigner, VerifierKey, consistency_proof, leaf_hash, root_at,
    sign_checkpoint,
};
use ed25519_dalek::{Signer as _, SigningKey};

use crate::{Identity, Request, Witness};

pub const ORIGIN: &str = "log.example/7f3a";
pub const NAME: &str = "witness.example/w1";
pub const NOW_S: u64 = 1_795_312_800;

/// A log of `size` leaves; two with different seeds share the leaves below `forked_at`.
pub struct TestLog {
    entries: Vec<[u8; 9]>,
    leaves: Vec<Hash>,
    key: SigningKey,
    origin: String,
}

impl TestLog {
    pub fn new(size: u64) -> Self {
        Self::forked(size, size, 0)
    }

    pub fn forked(size: u64, forked_at: u64, seed: u8) -> Self {
        let entry = |i: u64| {
            let mut entry = [if i < forked_at { 0 } else { seed }; 9];
            entry[..8].copy_from_slice(&i.to_be_bytes());
            entry
        };
        let entries: Vec<_> = (0..size).map(entry).collect();
        Self {
            leaves: entries.iter().map(|entry| leaf_hash(entry)).collect(),
            entries,
            key: SigningKey::from_bytes(&[3; 32]),
            origin: ORIGIN.into(),
        }
    }

    pub fn with_key(mut self, seed: u8) -> Self {
        self.key = SigningKey::from_bytes(&[seed; 32]);
        self
    }

    pub fn with_origin(mut self, origin: &str) -> Self {
        self.origin = origin.into();
        self
    }

    /// Shows entries of another log from `first` on, under its own roots.
    pub fn with_entries_of(mut self, other: &Self, first: usize) -> Self {
        self.entries[first..].copy_from_slice(&other.entries[first..]);
        self
    }

    pub fn entries(&self) -> &[[u8; 9]] {
        &self.entries
    }

    pub fn vkey(&self) -> VerifierKey {
        VerifierKey::new(&self.origin, self.public()).unwrap()
    }

    pub fn root(&self, size: u64) -> Hash {
        root_at(self, size).unwrap()
    }

    pub fn checkpoint(&self, size: u64) -> String {
        let checkpoint = Checkpoint::new(self.origin.clone(), size, self.root(size)).unwrap();
        sign_checkpoint(&checkpoint, self).unwrap()
    }

    pub fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        consistency_proof(self, old, new).unwrap()
    }

    /// The honest body.
    pub fn request(&self, old: u64, new: u64) -> String {
        let request = Request {
            old,
            proof: self.proof(old, new),
            checkpoint: self.checkpoint(new),
        };
        request.to_string()
    }
}

impl NodeReader for TestLog {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let at = |i: u64| usize::try_from(i).unwrap();
        let mut tree = Frontier::new();
        for leaf in &self.leaves[at(index << level)..at((index + 1) << level)] {
            tree.push(*leaf);
        }
        Ok(tree.root())
    }
}

impl NoteSigner for TestLog {
    fn name(&self) -> &str {
        &self.origin
    }

    fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], attestore_tlog::NoteError> {
        Ok(self.key.sign(msg).to_bytes())
    }
}

pub fn identity(disk: &Arc<dyn Disk>) -> Identity {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
    Identity::open_or_create(disk, entropy, NAME).unwrap()
}

pub fn open(disk: &SimDisk, clock: &ManualClock, keys: &[VerifierKey]) -> Witness {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let identity = identity(&disk);
    Witness::open(disk, Arc::new(clock.clone()), identity, keys.iter().cloned()).unwrap()
}

pub fn clock() -> ManualClock {
    ManualClock::new(NOW_S * 1000)
}
