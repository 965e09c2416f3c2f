//! An instance on a simulated disk for tests inside of the crate, and appends that no client can make.

use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, ManualClock};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};
use attestore_record::RecordId;

use crate::append::{Appended, Item, Mode, append_class, queue_request};
use crate::tenant::Tenant;
use crate::{AppendError, Engine, OpenMode, Opened, Parts, Principal, Settings};

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) clock: ManualClock,
    pub(crate) by: Principal,
    seed: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            clock: ManualClock::new(1_795_000_000_000),
            by: Principal::internal(),
            seed,
        }
    }

    pub(crate) fn parts(&self) -> Parts {
        // No two processes draw the same randomness.
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed << 32 ^ self.disk.op_count()));
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy)).unwrap();
        Parts {
            disk,
            clock: Arc::new(self.clock.clone()),
            entropy,
            root: Arc::new(root),
            register: None,
        }
    }

    pub(crate) fn open(&self, indexing: bool) -> Engine {
        self.start(indexing).0
    }

    pub(crate) fn start(&self, indexing: bool) -> (Engine, Opened) {
        let settings = Settings {
            indexing,
            ..settings()
        };
        self.start_with(settings)
    }

    pub(crate) fn start_with(&self, settings: Settings) -> (Engine, Opened) {
        Engine::open_as(self.parts(), settings, OpenMode::Inline).unwrap()
    }

    pub(crate) fn tenant(&self, engine: &Engine, name: &str) -> Arc<Tenant> {
        engine.create_tenant(name, &self.by).unwrap();
        engine.inner.tenant(name).unwrap()
    }

    pub(crate) fn append(&self, engine: &Engine, tenant: &str, events: &[String]) {
        let appended = self.try_append(engine, tenant, events).unwrap();
        assert!(appended.items.iter().all(Result::is_ok));
    }

    pub(crate) fn try_append(
        &self,
        engine: &Engine,
        tenant: &str,
        events: &[String],
    ) -> Result<Appended, AppendError> {
        engine.append_blocking(tenant, &self.by, "native", items(events), Mode::Each)
    }
}

/// Small files and small limits, so that few records reach every path.
pub(crate) fn settings() -> Settings {
    Settings {
        wal_file_bytes: 64 << 10,
        l0_tail_bytes_max: 8 << 10,
        l0_records_max: 16,
        reserve_bytes: 0,
        indexing: false,
        ..Settings::default()
    }
}

/// Appends records of any class.
pub(crate) fn append_as(
    engine: &Engine,
    tenant: &Arc<Tenant>,
    class: u16,
    events: &[String],
) -> Vec<RecordId> {
    append_class(&engine.inner, tenant, class, &items(events))
}

/// Puts an append into the queue and leaves it there.
pub(crate) fn leave_waiting(engine: &Engine, tenant: &Arc<Tenant>, events: &[String]) {
    drop(queue_request(&engine.inner, tenant, 1, &items(events)));
}

fn items(events: &[String]) -> Vec<Item> {
    let item = |event: &String| Item {
        bytes: event.clone().into(),
        fallback_key: None,
    };
    events.iter().map(item).collect()
}

/// An event about user number `subject`.
pub(crate) fn event(subject: u32) -> String {
    format!(
        r#"{{"action":"file.read","actor":{{"type":"user","id":"u{subject}","email":"u{subject}@example.org"}},"context":{{"ip":"192.0.2.1"}}}}"#
    )
}
