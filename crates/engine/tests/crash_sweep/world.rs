//! One instance over a simulated disk, driven by one thread.

use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, ManualClock};
use attestore_engine::{Engine, OpenError, OpenMode, Opened, Parts, Settings};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};

/// Everything that stays when a process dies, but for the disk.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    seed: u64,
    starts: std::cell::Cell<u64>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            clock: ManualClock::new(1_795_000_000_000),
            seed,
            starts: std::cell::Cell::new(0),
        }
    }

    /// Starts a process on `disk`.
    pub(crate) fn open(&self, disk: &SimDisk) -> Result<(Engine, Opened), OpenError> {
        self.starts.set(self.starts.get() + 1);
        // No two processes draw the same randomness.
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed * 1000 + self.starts.get()));
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy))
            .map_err(|error| OpenError::Io(std::io::Error::other(error)))?;
        let parts = Parts {
            disk,
            clock: Arc::new(self.clock.clone()),
            entropy,
            root: Arc::new(root),
            register: None,
        };
        Engine::open_as(parts, settings(), OpenMode::Inline)
    }
}

/// Small files and small limits, so that few records reach every path.
fn settings() -> Settings {
    Settings {
        wal_file_bytes: 64 << 10,
        l0_tail_bytes_max: 8 << 10,
        l0_records_max: 8,
        reserve_bytes: 0,
        indexing: false,
        ..Settings::default()
    }
}
