//! An instance on a simulated disk for tests inside of the crate, and appends that no client can make.

use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, ManualClock};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};
use attestore_record::control::{
    Control, Erasable, Erasure, ErasureScope, Ranges, RetentionMode, RetentionPolicy,
};
use attestore_record::{Kind, RecordId};
use redb::ReadableTable;

use crate::append::{Appended, Item, Mode, append_class, append_control, queue_request};
use crate::catalog::directory::{HandleRow, HandleState};
use crate::catalog::{by_tenant, tables};
use crate::forget::rules::Rules;
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
        self.try_parts().unwrap()
    }

    pub(crate) fn try_parts(&self) -> Result<Parts, crate::OpenError> {
        // No two processes draw the same randomness.
        // From the same state it is the same again, so that sweeps over operations meet the operations that they counted.
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed << 32 ^ self.disk.op_count()));
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let root = root(&disk, &entropy, true)?;
        Ok(Parts {
            disk,
            clock: Arc::new(self.clock.clone()),
            entropy,
            root: Arc::new(root),
            register: None,
        })
    }

    /// As [`World::start_with`], where the disk may fail.
    pub(crate) fn try_start_with(&self, settings: Settings) -> Option<(Engine, Opened)> {
        Engine::open_as(self.try_parts().ok()?, settings, OpenMode::Inline).ok()
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

    /// As [`World::open`], on a disk that may fail.
    pub(crate) fn try_start(&self) -> Result<(Engine, Opened), crate::OpenError> {
        let parts = self.try_parts()?;
        Engine::open_as(parts, settings(), OpenMode::Inline)
    }

    pub(crate) fn tenant(&self, engine: &Engine, name: &str) -> Arc<Tenant> {
        engine.create_tenant(name, &self.by).unwrap();
        engine.inner.tenant(name).unwrap()
    }

    pub(crate) fn append(&self, engine: &Engine, tenant: &str, events: &[String]) {
        let appended = self.try_append(engine, tenant, events).unwrap();
        let items = &appended.items;
        assert!(items.iter().all(Result::is_ok), "{items:?}");
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

/// The root of a simulated disk: in files there. With `ATTESTORE_TEST_ROOT=softhsm` those are sealed by keys in the token that the
/// environment names, which is no part of the simulated disk and crashes with nobody; `scripts/with-softhsm` makes one for each process.
pub(crate) fn root(
    disk: &Arc<dyn Disk>,
    entropy: &Arc<dyn Entropy>,
    create: bool,
) -> Result<FileRoot, attestore_keys::Error> {
    let (disk, entropy) = (Arc::clone(disk), Arc::clone(entropy));
    match std::env::var("ATTESTORE_TEST_ROOT").as_deref() {
        Ok("softhsm") => {}
        Ok(other) => panic!("ATTESTORE_TEST_ROOT={other}: there is softhsm"),
        Err(_) if create => return FileRoot::open_or_create(disk, "keys", entropy),
        Err(_) => return FileRoot::open(disk, "keys", entropy),
    }
    let at = attestore_keys::TokenAt {
        module: std::env::var("ATTESTORE_ROOT__MODULE").unwrap().into(),
        label: Some(std::env::var("ATTESTORE_ROOT__LABEL").unwrap()),
        serial: None,
    };
    let pin = std::env::var("ATTESTORE_PIN").unwrap();
    let seal = Arc::new(attestore_keys::Pkcs11Seal::connect(at, &pin, [7; 16])?);
    match create {
        true => FileRoot::open_or_create_sealed(disk, "keys", entropy, seal),
        false => FileRoot::open_sealed(disk, "keys", entropy, seal, None),
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

/// Destroys a subject's key as an erasure does: the key and, in the same transaction, the tombstone. Nothing is put on record.
pub(crate) fn destroy(engine: &Engine, tenant: &Tenant, handle: &[u8; 16]) {
    let key = (tenant.id.as_bytes(), handle);
    let destroyed = engine.inner.catalog.update::<_, crate::Error>(|update| {
        let mut table = update.txn().open_table(tables::HANDLES).unwrap();
        let row = HandleRow::parse(table.get(key).unwrap().unwrap().value()).unwrap();
        let gone = HandleRow {
            state: HandleState::Destroyed,
            ..row
        };
        table.insert(key, gone.to_bytes().as_slice()).unwrap();
        drop(table);
        update.destroy_keys(&[row.slot])?;
        Ok(())
    });
    destroyed.unwrap();
}

/// Puts the erasure of a subject on record.
pub(crate) fn record_erasure(engine: &Engine, tenant: &Arc<Tenant>, records: u64) {
    let control = Control::Erasure(Erasure {
        scope: ErasureScope::Subject,
        policy: None,
        ranges: Ranges::default(),
        records,
        basis: "Art. 17 GDPR".to_owned(),
        approved_by: vec!["tester".to_owned()],
    });
    append_control(&engine.inner, tenant, "tester", Kind::Erasure, &control).unwrap();
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

/// Sets the retention policy of a class: minimum and maximum in milliseconds.
pub(crate) fn set_policy(
    engine: &Engine,
    tenant: &Arc<Tenant>,
    class: u16,
    (keep_min_ms, keep_max_ms): (u64, Option<u64>),
    mode: RetentionMode,
) {
    let policy = RetentionPolicy {
        class,
        name: format!("class {class}"),
        keep_min_ms,
        keep_max_ms,
        basis: "contract".into(),
        mode,
        erasable: Erasable::Yes,
        approved_by: Vec::new(),
    };
    let control = Control::RetentionPolicy(policy.clone());
    let receipt = append_control(&engine.inner, tenant, "tester", Kind::Policy, &control).unwrap();
    let catalog = &engine.inner.catalog;
    let stored: Option<serde_json::Value> =
        by_tenant::get(&catalog.read().unwrap(), tables::RETENTION, &tenant.id).unwrap();
    let mut row = stored.unwrap_or_else(|| serde_json::json!({"classes": {}}));
    row["classes"][class.to_string()] =
        serde_json::json!({"policy": policy, "seq": receipt.seq, "changed_ms": 0, "changed_by": "tester"});
    catalog
        .update::<_, crate::Error>(|update| by_tenant::put(update, tables::RETENTION, &tenant.id, &row))
        .unwrap();
    let rules = Rules::load(&catalog.read().unwrap(), &tenant.id).unwrap();
    tenant.rules.store(Arc::new(rules));
}

impl World {
    /// The wall clock, Unix milliseconds.
    pub(crate) fn clock_ms(&self) -> u64 {
        attestore_disk::Clock::now_ms(&self.clock)
    }
}
