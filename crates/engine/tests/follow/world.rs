//! Instances to follow, and who follows.

use std::{path::PathBuf, sync::Arc};

use attestore_disk::{Clock, Disk, ManualClock, sim::SimDisk};
use attestore_engine::credentials::{Identity, Kind, Scope};
use attestore_engine::{
    Engine, Item, Mode, OpenMode, Parts, Principal, Role, Settings,
    heads::RegisterAt,
    search::{Order, SearchRequest},
};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};

pub(crate) const TENANT: &str = "acme";
const NOW_MS: u64 = 1_795_312_800_000;

/// An instance on a simulated disk, whose threads are those of the test.
pub(crate) struct World {
    disk: SimDisk,
    register: SimDisk,
    pub(crate) clock: ManualClock,
    seed: u64,
    engine: Option<Engine>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            disk: SimDisk::new(seed),
            register: SimDisk::new(seed ^ 1),
            clock: ManualClock::new(NOW_MS),
            seed,
            engine: None,
        };
        world.open();
        for tenant in [TENANT, "other"] {
            world.engine().create_tenant(tenant, &everything()).unwrap();
        }
        world
    }

    fn open(&mut self) {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(self.seed ^ self.disk.op_count()));
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy)).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let parts = Parts {
            disk,
            clock,
            entropy,
            root: Arc::new(root),
            register: Some(Arc::new(RegisterAt {
                disk: Arc::new(self.register.clone()),
                path: PathBuf::from("heads"),
            })),
        };
        let settings = Settings {
            wal_file_bytes: 256 << 10,
            l0_tail_bytes_max: 2 << 10,
            ..Settings::default()
        };
        self.engine = Some(Engine::open_as(parts, settings, OpenMode::Inline).unwrap().0);
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// Closes and opens it.
    pub(crate) fn restart(&mut self) {
        self.engine().close().unwrap();
        self.engine = None;
        self.open();
    }

    /// Cuts the power and opens it.
    pub(crate) fn crash(&mut self) {
        let disk = self.disk.crash();
        self.register = self.register.crash();
        self.engine = None;
        self.disk = disk;
        self.open();
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

pub(crate) fn everything() -> Principal {
    principal(&Role::ALL)
}

/// An event with fields that differ by `n`.
pub(crate) fn event(n: u64) -> String {
    let action = ["auth.login", "s3.object.read", "doc.update", "key.delete"][(n % 4) as usize];
    let outcome = if n.is_multiple_of(3) { "failure" } else { "success" };
    format!(
        r#"{{"action":"{action}","outcome":"{outcome}","actor":{{"type":"user","id":"u_{}","name":"Person {}"}},"targets":[{{"type":"doc","id":"d_{}"}}],"metadata":{{"n":{n},"shard":"s{}"}},"payload":{{"deep":{{"n":{}}}}}}}"#,
        n % 7,
        n % 7,
        n % 11,
        n % 200,
        n % 5,
    )
}

pub(crate) fn items(range: std::ops::Range<u64>) -> Vec<Item> {
    range
        .map(|n| Item {
            bytes: event(n).into(),
            fallback_key: None,
        })
        .collect()
}

pub(crate) fn append(engine: &Engine, tenant: &str, range: std::ops::Range<u64>) {
    let items = items(range);
    engine
        .append_blocking(tenant, &everything(), "native", items, Mode::Each)
        .unwrap();
}

/// Every match from `from` on, ascending, as a search finds them.
pub(crate) fn searched(engine: &Engine, by: &Principal, q: &str, from: u64) -> Vec<u64> {
    let mut request = SearchRequest {
        q: q.into(),
        order: Order::Oldest,
        limit: 1000,
        ..SearchRequest::default()
    };
    let mut found = Vec::new();
    loop {
        let page = engine.search(TENANT, by, &request).unwrap();
        found.extend(page.items.iter().map(|item| item.seq).filter(|seq| *seq >= from));
        request.cursor = page.cursor;
        if request.cursor.is_none() {
            return found;
        }
    }
}
