//! An instance on a simulated disk, the model beside it, and what happens to both.

use std::path::PathBuf;
use std::sync::Arc;

use attestore_disk::{Disk, ManualClock, sim::SimDisk};
use attestore_engine::credentials::{Identity, Kind, Scope};
use attestore_engine::{
    Engine, Item, Mode, OpenMode, Parts, Principal, Role, Settings,
    heads::RegisterAt,
    read::Which,
    search::{SearchPage, SearchRequest},
};
use attestore_index::{IndexPolicy, PersonalIndex, TextIndex};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};
use serde_json::Value;

use crate::evaluate::{Record, Seen, Who};
use crate::events::{self, NOW_MS};
use crate::random::Random;

pub(crate) const TENANT: &str = "acme";

/// Something that happens to a world.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Append(Vec<Value>),
    /// To another tenant, whose records share files with ours.
    AppendElsewhere(Vec<Value>),
    Flush,
    Compact,
    Rebuild,
    Policy(IndexPolicy),
    /// Closed and opened.
    Restart,
    /// Power cut and opened.
    Crash,
    /// So many milliseconds pass.
    Wait(u64),
    /// Queries are asked, from this seed.
    Ask(u64),
}

pub(crate) struct World {
    disk: SimDisk,
    register: SimDisk,
    clock: ManualClock,
    seed: u64,
    engine: Option<Engine>,
    pub(crate) records: Vec<Record>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            disk: SimDisk::new(seed),
            register: SimDisk::new(seed ^ 1),
            clock: ManualClock::new(NOW_MS),
            seed,
            engine: None,
            records: Vec::new(),
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
        let parts = Parts {
            disk,
            clock: Arc::new(self.clock.clone()),
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

    /// Plays a step that asks nothing.
    pub(crate) fn play(&mut self, step: &Step) -> Result<(), String> {
        let said = |what: &str, error: attestore_engine::Error| format!("{what}: {error}");
        match step {
            Step::Append(events) => self.append(TENANT, events),
            Step::AppendElsewhere(events) => self.append("other", events),
            Step::Flush => {
                self.engine().flush().map_err(|error| said("flush", error))?;
            }
            Step::Compact => {
                self.engine()
                    .compact(TENANT)
                    .map_err(|error| said("compact", error))?;
            }
            Step::Rebuild => {
                self.engine()
                    .rebuild_index(TENANT)
                    .map_err(|error| said("rebuild", error))?;
            }
            Step::Policy(policy) => {
                self.engine()
                    .set_index_policy(TENANT, &everything(), policy.clone())
                    .map_err(|error| said("policy", error))?;
            }
            Step::Restart => {
                self.engine().close().map_err(|error| said("close", error))?;
                self.engine = None;
                self.open();
            }
            Step::Crash => {
                let disk = self.disk.crash();
                self.register = self.register.crash();
                self.engine = None;
                self.disk = disk;
                self.open();
            }
            Step::Wait(ms) => self.clock.advance_ms(*ms),
            Step::Ask(_) => {}
        }
        self.follow()
    }

    fn append(&self, tenant: &str, events: &[Value]) {
        let items = events.iter().map(|event| Item {
            bytes: event.to_string().into(),
            fallback_key: None,
        });
        let appended = self
            .engine()
            .append_blocking(tenant, &everything(), "native", items.collect(), Mode::Each)
            .unwrap();
        for (item, event) in appended.items.iter().zip(events) {
            assert!(item.is_ok(), "{event} was refused: {item:?}");
        }
    }

    /// Reads what is new, as a reader and as an investigator see it. What was there before must be the same.
    fn follow(&mut self) -> Result<(), String> {
        let size = self.engine().tenant(TENANT).unwrap().size;
        if size < self.records.len() as u64 {
            return Err(format!("{size} records are left of {}", self.records.len()));
        }
        for seq in self.records.len() as u64..size {
            let read = |who: Who| {
                let view = self
                    .engine()
                    .get(TENANT, &principal(who), Which::Seq(seq))
                    .unwrap();
                let event: Value = serde_json::from_str(&view.event).unwrap();
                (Seen::new(event, view.kind != "event"), view)
            };
            let ((hidden, _), (open, view)) = (read(0), read(1));
            let is_event = view.kind == "event";
            self.records.push(Record {
                seq,
                received_ms: view.received_at_ms,
                kind: match is_event {
                    true => "event".into(),
                    false => open.event["type"].as_str().unwrap().into(),
                },
                protocol: if is_event { "native" } else { "internal" },
                seen: [hidden, open],
            });
        }
        Ok(())
    }

    pub(crate) fn search(&self, who: Who, request: &SearchRequest) -> Result<SearchPage, String> {
        let found = self.engine().search(TENANT, &principal(who), request);
        found.map_err(|error| format!("refused: {error}"))
    }
}

/// A random life of a world.
pub(crate) fn steps(random: &mut Random, asks: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut number = 0;
    let mut events = |random: &mut Random, most: usize| -> Vec<Value> {
        (0..=random.below(most))
            .map(|_| {
                number += 1;
                events::event(random, number)
            })
            .collect()
    };
    steps.push(Step::Append(events(random, 20)));
    for _ in 0..asks {
        for _ in 0..1 + random.below(4) {
            steps.push(match random.below(20) {
                0..=6 => Step::Append(events(random, 12)),
                7 => Step::AppendElsewhere(events(random, 2)),
                8..=11 => Step::Flush,
                12 => Step::Compact,
                13 | 14 => Step::Rebuild,
                15 | 16 => Step::Policy(policy(random)),
                17 => Step::Restart,
                18 => Step::Crash,
                _ => Step::Wait(random.next() % 7_200_000),
            });
        }
        steps.push(Step::Ask(random.next()));
    }
    steps
}

fn policy(random: &mut Random) -> IndexPolicy {
    let paths = [
        "metadata.n",
        "metadata.ticket",
        "metadata.team",
        "metadata.order.total",
        "payload.order.total",
        "payload.note",
        "targets.attributes.size",
    ];
    let paths: Vec<String> = paths
        .iter()
        .filter(|_| random.chance(40))
        .map(|path| (*path).to_owned())
        .collect();
    IndexPolicy {
        text: *random.pick(&[TextIndex::None, TextIndex::Words, TextIndex::Positions]),
        metadata: random.chance(70),
        payload_text: random.chance(70),
        paths: if random.chance(30) { Vec::new() } else { paths },
        personal: *random.pick(&[PersonalIndex::None, PersonalIndex::Exact, PersonalIndex::All]),
    }
    .checked()
    .unwrap()
}

fn everything() -> Principal {
    named(&Role::ALL)
}

/// 0 is a reader, 1 an investigator.
fn principal(who: Who) -> Principal {
    named(&[[Role::Reader, Role::Investigator][who]])
}

fn named(roles: &[Role]) -> Principal {
    Principal::of(Identity {
        kind: Kind::Credential,
        subject: "tester000001".into(),
        name: "tester".into(),
        roles: roles.to_vec(),
        tenants: Scope::All,
        expires_at_ms: None,
    })
}
