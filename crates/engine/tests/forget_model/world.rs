//! An instance on a simulated disk, under a clock that only the test moves.

use std::cell::Cell;
use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Clock, Disk, ManualClock};
use attestore_engine::credentials::{Identity, Kind, Scope};
use attestore_engine::{Engine, OpenError, OpenMode, Opened, Parts, Principal, Role, Settings};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};

pub(crate) const TENANT: &str = "acme";

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) clock: ManualClock,
    seed: u64,
    starts: Cell<u64>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            clock: ManualClock::new(1_795_000_000_000),
            seed,
            starts: Cell::new(0),
        }
    }

    /// The same moment on a copy of the disk.
    pub(crate) fn copy(&self) -> Self {
        Self {
            disk: SimDisk::from_snapshot(&self.disk.snapshot()),
            clock: self.clock.clone(),
            seed: self.seed ^ 0xc0_0c1e,
            starts: self.starts.clone(),
        }
    }

    pub(crate) fn parts(&self) -> Result<Parts, OpenError> {
        // No two processes draw the same randomness.
        self.starts.set(self.starts.get() + 1);
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed << 32 ^ self.starts.get()));
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy))?;
        Ok(Parts {
            disk,
            clock: Arc::new(self.clock.clone()),
            entropy,
            root: Arc::new(root),
            register: None,
        })
    }

    pub(crate) fn open(&self) -> Result<(Engine, Opened), OpenError> {
        Engine::open_as(self.parts()?, settings(), OpenMode::Inline)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

/// Small files and small limits, so that few records reach every path; nothing waits for a grace.
pub(crate) fn settings() -> Settings {
    Settings {
        wal_file_bytes: 64 << 10,
        l0_tail_bytes_max: 3 << 10,
        l0_records_max: 12,
        reserve_bytes: 0,
        purge_grace_hours: 0,
        ..Settings::default()
    }
}

/// Somebody who may do everything; who it is matters only where an act takes two.
pub(crate) fn who(id: &str) -> Principal {
    Principal::of(Identity {
        kind: Kind::Credential,
        subject: id.to_owned(),
        name: id.to_owned(),
        roles: Role::ALL.to_vec(),
        tenants: Scope::All,
        expires_at_ms: None,
    })
}
