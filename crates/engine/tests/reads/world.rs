//! An instance on a simulated disk, and what the tests do with it.

use std::{path::PathBuf, sync::Arc};

use attestore_disk::{Disk, ManualClock, sim::SimDisk};
use attestore_engine::credentials::{Identity, Kind, Scope};
use attestore_engine::{
    Engine, Item, Mode, OpenError, OpenMode, Opened, Parts, Principal, Receipt, Role, Settings,
    heads::RegisterAt,
};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};

pub(crate) const NOW_MS: u64 = 1_795_312_800_000;

pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) register: SimDisk,
    pub(crate) clock: ManualClock,
    pub(crate) seed: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            register: SimDisk::new(seed ^ 1),
            clock: ManualClock::new(NOW_MS),
            seed,
        }
    }

    pub(crate) fn parts(&self) -> Result<Parts, OpenError> {
        self.parts_on(&self.disk)
    }

    pub(crate) fn parts_on(&self, disk: &SimDisk) -> Result<Parts, OpenError> {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed ^ disk.op_count()));
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy))?;
        Ok(Parts {
            disk,
            clock: Arc::new(self.clock.clone()),
            entropy,
            root: Arc::new(root),
            register: Some(Arc::new(RegisterAt {
                disk: Arc::new(self.register.clone()),
                path: PathBuf::from("heads"),
            })),
        })
    }

    pub(crate) fn open(&self) -> Engine {
        self.try_open().unwrap().0
    }

    pub(crate) fn try_open(&self) -> Result<(Engine, Opened), OpenError> {
        Engine::open_as(self.parts()?, settings(), OpenMode::Inline)
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        wal_file_bytes: 128 << 10,
        l0_tail_bytes_max: 4 << 10,
        ..Settings::default()
    }
}

pub(crate) fn principal(roles: &[Role]) -> Principal {
    Principal::of(Identity {
        kind: Kind::Credential,
        subject: "tester000001".into(),
        name: "tester".into(),
        roles: roles.to_vec(),
        tenants: Scope::All,
        expires_at_ms: None,
    })
}

/// Who may do everything, and is no credential that could have been revoked.
pub(crate) fn everything() -> Principal {
    let mut by = principal(&Role::ALL);
    by.kind = Kind::Internal;
    by
}

pub(crate) fn reader() -> Principal {
    principal(&[Role::Reader])
}

/// An event about a person, with a few fields that differ by `n`.
pub(crate) fn event(n: u64) -> String {
    let action = ["auth.login", "s3.object.read", "doc.update", "key.delete"][(n % 4) as usize];
    let outcome = if n.is_multiple_of(3) { "failure" } else { "success" };
    format!(
        r#"{{"action":"{action}","outcome":"{outcome}","actor":{{"type":"user","id":"u_{}","name":"Person {}"}},"context":{{"ip":"203.0.113.{}"}},"targets":[{{"type":"doc","id":"d_{}"}}],"metadata":{{"n":{n},"team":"t{}"}}}}"#,
        n % 7,
        n % 7,
        n % 200,
        n % 11,
        n % 5,
    )
}

pub(crate) fn append(engine: &Engine, tenant: &str, events: &[String]) -> Vec<Receipt> {
    let items = events
        .iter()
        .map(|event| Item {
            bytes: event.clone().into(),
            fallback_key: None,
        })
        .collect();
    let appended = engine
        .append_blocking(tenant, &everything(), "native", items, Mode::Each)
        .unwrap();
    appended.items.into_iter().map(|item| item.unwrap()).collect()
}

pub(crate) fn append_range(engine: &Engine, tenant: &str, range: std::ops::Range<u64>) {
    let events: Vec<String> = range.map(event).collect();
    for batch in events.chunks(16) {
        append(engine, tenant, batch);
    }
}
