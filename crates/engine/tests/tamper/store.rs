//! Stores of three ages, and what others know of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_disk::sim::{SimDisk, Snapshot};
use attestore_disk::{Disk, ManualClock};
use attestore_engine::read::{RecordView, Which};
use attestore_engine::{Engine, SYSTEM_TENANT};
use attestore_keys::{Entropy, SeededEntropy};
use attestore_tlog::VerifierKey;
use attestore_witness::{Identity, Request, Witness};

use crate::judge::{By, Said};
use crate::world::{World, append_range, everything};

/// How far the records of a store have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// In the log that appends go to.
    Tail,
    /// In segments, their own and shared ones, with a few in the log.
    Flushed,
    /// In compacted segments and newer ones, after several starts.
    Compacted,
}

impl Age {
    pub(crate) const ALL: [Self; 3] = [Self::Tail, Self::Flushed, Self::Compacted];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tail => "tail",
            Self::Flushed => "flushed",
            Self::Compacted => "compacted",
        }
    }
}

/// The tenants, beside the system's.
pub(crate) const TENANTS: [&str; 2] = ["acme", "globex"];

/// A store as its operator left it.
pub(crate) struct Store {
    pub(crate) age: Age,
    pub(crate) disk: Snapshot,
    pub(crate) register: Snapshot,
    /// Both, at an earlier time.
    pub(crate) earlier: (Snapshot, Snapshot),
    pub(crate) outside: Outside,
    witness: Snapshot,
    clock: ManualClock,
    seed: u64,
}

/// What outsiders hold, by tenant.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    pub(crate) vkeys: BTreeMap<String, String>,
    pub(crate) checkpoints: BTreeMap<String, String>,
    /// Every record, as its reader saw it.
    pub(crate) records: BTreeMap<String, Vec<String>>,
}

/// A copy of a store that somebody edits.
pub(crate) struct Case<'a> {
    pub(crate) store: &'a Store,
    pub(crate) disk: SimDisk,
    pub(crate) register: SimDisk,
    /// What was edited, for messages.
    pub(crate) what: String,
    /// Whether the history was rewritten with every key, so that other records than those appended are read.
    pub(crate) forged: bool,
    /// What somebody said while the edit was made.
    pub(crate) said: Vec<(By, Said)>,
}

impl Store {
    pub(crate) fn new(age: Age) -> Self {
        let seed = 0x7a3 + age as u64;
        let world = World::new(seed);
        let engine = world.open();
        for tenant in TENANTS {
            engine.create_tenant(tenant, &everything()).unwrap();
        }
        match age {
            Age::Tail => fill(&engine, 24, 12),
            Age::Flushed => {
                fill(&engine, 150, 90);
                settle(&engine);
            }
            Age::Compacted => {
                fill(&engine, 120, 60);
                settle(&engine);
                fill(&engine, 60, 40);
                settle(&engine);
            }
        }
        engine.close().unwrap();
        drop(engine);
        let earlier = (world.disk.snapshot(), world.register.snapshot());
        world.clock.advance_ms(60_000);

        let engine = world.open();
        match age {
            Age::Tail => fill(&engine, 16, 8),
            Age::Flushed => {
                fill(&engine, 140, 20);
                settle(&engine);
                fill(&engine, 3, 3);
                engine.flush().unwrap();
                fill(&engine, 4, 2);
            }
            Age::Compacted => {
                fill(&engine, 60, 40);
                settle(&engine);
                for tenant in TENANTS {
                    engine.compact(tenant).unwrap();
                }
                fill(&engine, 60, 20);
                settle(&engine);
                fill(&engine, 4, 2);
            }
        }
        let outside = Outside::of(&engine);
        engine.close().unwrap();
        drop(engine);
        let witness = SimDisk::new(seed ^ 2);
        let store = Self {
            age,
            disk: world.disk.snapshot(),
            register: world.register.snapshot(),
            earlier,
            witness: witness.snapshot(),
            outside,
            clock: world.clock.clone(),
            seed,
        };
        let judge = store.witness_on(&witness);
        for note in store.outside.checkpoints.values() {
            let request = Request {
                old: 0,
                proof: Vec::new(),
                checkpoint: note.clone(),
            };
            let answer = judge.add_checkpoint(request.to_string().as_bytes());
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        Self {
            witness: witness.snapshot(),
            ..store
        }
    }

    /// A fresh copy to edit.
    pub(crate) fn case(&self, what: impl Into<String>) -> Case<'_> {
        Case {
            store: self,
            disk: SimDisk::from_snapshot(&self.disk),
            register: SimDisk::from_snapshot(&self.register),
            what: what.into(),
            forged: false,
            said: Vec::new(),
        }
    }

    /// An instance on these disks; `None` is a register that was never used.
    pub(crate) fn world(&self, disk: &SimDisk, register: Option<&SimDisk>) -> World {
        World {
            disk: SimDisk::from_snapshot(&disk.snapshot()),
            register: match register {
                Some(register) => SimDisk::from_snapshot(&register.snapshot()),
                None => SimDisk::new(self.seed ^ 3),
            },
            clock: self.clock.clone(),
            seed: self.seed ^ 0xffff,
        }
    }

    /// The witness as it was when the operator left the store.
    pub(crate) fn witness(&self) -> Witness {
        self.witness_on(&SimDisk::from_snapshot(&self.witness))
    }

    fn witness_on(&self, disk: &SimDisk) -> Witness {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(9));
        let identity = Identity::open_or_create(&disk, entropy, "witness.example/w1").unwrap();
        let keys = self.outside.vkeys.values();
        let keys: Vec<VerifierKey> = keys.map(|key| key.parse().unwrap()).collect();
        Witness::open(disk, Arc::new(self.clock.clone()), identity, keys).unwrap()
    }
}

impl Outside {
    fn of(engine: &Engine) -> Self {
        let mut known = Self::default();
        for tenant in TENANTS.into_iter().chain([SYSTEM_TENANT]) {
            let name = tenant.to_owned();
            let size = engine.tenant(tenant).unwrap().size;
            let read = |seq| engine.get(tenant, &everything(), Which::Seq(seq)).unwrap();
            let records = (0..size).map(|seq| content(&read(seq))).collect();
            known.records.insert(name.clone(), records);
            known.vkeys.insert(name.clone(), engine.vkey(tenant).unwrap());
            known.checkpoints.insert(name, engine.checkpoint(tenant).unwrap());
        }
        known
    }
}

/// What of a record's view is sealed or committed to by its bytes. The rest, time and kind, stands in `entries` alone, which
/// reads take as it is: the tree proves it.
pub(crate) fn content(view: &RecordView) -> String {
    format!("{} {} {} {}", view.origin, view.seq, view.id, view.event)
}

fn fill(engine: &Engine, acme: u64, globex: u64) {
    append_range(engine, "acme", 0..acme);
    append_range(engine, "globex", 0..globex);
}

/// Moves every tail into segments, with their splits.
fn settle(engine: &Engine) {
    engine.tick();
    engine.flush().unwrap();
    for tenant in TENANTS {
        engine.rebuild_index(tenant).unwrap();
    }
}
