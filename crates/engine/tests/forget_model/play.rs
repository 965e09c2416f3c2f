//! One life of an instance: random acts, some of them cut off by a crash, and the model beside it.

use std::collections::{BTreeMap, BTreeSet};

use attestore_disk::sim::Fault;
use attestore_engine::forget::Why;
use attestore_engine::forget::approvals::{ApprovalPolicy, Decision, OperationKind};
use attestore_engine::forget::holds::HoldState;
use attestore_engine::forget::rules::{ClassSpec, Selector};
use attestore_engine::read::Which;
use attestore_engine::{Engine, Error, Principal};
use attestore_record::Entry;
use attestore_record::control::{Erasable, RetentionMode};

use crate::acts::Doubt;
use crate::keepsakes::Keepsakes;
use crate::model::{ACTIONS, About, HOUR_MS, Known, Model, Policy};
use crate::random::Random;
use crate::world::{TENANT, World, who};

/// An event that was sent and of which nobody knows yet where it stands.
pub(crate) struct Sent {
    pub(crate) action: usize,
    pub(crate) actor: usize,
    pub(crate) declared: Vec<usize>,
}

/// See the module's head.
pub(crate) struct Play {
    pub(crate) world: World,
    engine: Option<Engine>,
    pub(crate) model: Model,
    /// Who reads, with every right.
    pub(crate) reader: Principal,
    /// Who asks.
    pub(crate) by: Principal,
    /// Who approves.
    second: Principal,
    pub(crate) sent: BTreeMap<u64, Sent>,
    pub(crate) numbers: u64,
    pub(crate) keepsakes: Keepsakes,
    /// Whether the disk may fail.
    pub(crate) armed: bool,
    /// What was done, for who looks at a failure.
    pub(crate) told: Vec<String>,
}

impl Play {
    pub(crate) fn new(seed: u64) -> Self {
        let world = World::new(7000 + seed);
        let (engine, _) = world.open().unwrap();
        let mut play = Self {
            world,
            engine: Some(engine),
            model: Model::default(),
            reader: Principal::internal(),
            by: who("manager"),
            second: who("officer"),
            sent: BTreeMap::new(),
            numbers: 0,
            keepsakes: Keepsakes::default(),
            armed: false,
            told: Vec::new(),
        };
        play.engine().create_tenant(TENANT, &play.reader).unwrap();
        if seed.is_multiple_of(2) {
            let policy = ApprovalPolicy {
                kinds: [OperationKind::Erase, OperationKind::HoldRelease].into(),
                ..ApprovalPolicy::default()
            };
            play.engine()
                .set_approval_policy(TENANT, &play.by, policy)
                .unwrap();
        }
        let policies = [
            (2, 0, Some(20), Erasable::Yes),
            (3, 2, Some(7), Erasable::PersonalOnly),
        ];
        for (class, min_h, max_h, erasable) in policies {
            let policy = Policy {
                keep_min_ms: min_h * HOUR_MS,
                keep_max_ms: max_h.map(|max_h: u64| max_h * HOUR_MS),
                mode: RetentionMode::None,
                erasable,
            };
            play.engine()
                .set_retention(TENANT, &play.by, &spec(class, &policy), false)
                .unwrap();
            play.model.policies.insert(class, policy);
        }
        play.catch_up();
        play
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it is open but for a moment")
    }

    /// Does what a step of that seed does, and looks whether everything is as the rules say.
    pub(crate) fn step(&mut self, seed: u64) {
        let mut random = Random::new(seed);
        self.armed = random.once_in(5);
        if self.armed {
            let fault = random.pick(&[
                Fault::CrashBefore,
                Fault::CrashTorn,
                Fault::CrashAfter,
                Fault::Errno(5),
            ]);
            let at = self.world.disk.op_count() + random.below(90);
            self.world.disk.fail_at(at, fault);
            self.told.push(format!("{fault:?} at operation {at}:"));
        }
        let done = self.act(&mut random);
        let doubt = match (done, self.armed) {
            (Ok(()), _) => Doubt::None,
            (Err((doubt, _)), true) => doubt,
            (Err((_, error)), false) => panic!("{error}"),
        };
        if self.armed {
            self.told.push("crash".into());
            self.crash(&mut random);
            self.adopt(doubt);
            self.armed = false;
            self.finish_erasures();
        }
        self.catch_up();
        if random.once_in(3) {
            self.check(&mut random);
        }
    }

    /// The disk loses what was not synced, and a new process begins.
    fn crash(&mut self, random: &mut Random) {
        self.engine = None;
        self.world.disk = self.world.disk.crash();
        if random.once_in(3) {
            let at = self.world.disk.op_count() + random.below(60);
            self.world.disk.fail_at(at, Fault::CrashTorn);
            drop(self.world.open());
            self.world.disk = self.world.disk.crash();
        }
        self.open();
    }

    fn open(&mut self) {
        let (engine, opened) = self.world.open().expect("what crashed opens");
        let stuck = opened.warnings.iter().find(|text| text.contains("gone on with"));
        assert_eq!(stuck, None);
        self.engine = Some(engine);
    }

    /// Another process, and in between a look at the directory from outside.
    pub(crate) fn restart(&mut self, orderly: bool) {
        if orderly {
            self.engine().close().unwrap();
        }
        self.engine = None;
        self.fsck();
        self.open();
    }

    pub(crate) fn fsck(&self) {
        let copy = self.world.copy();
        let report = attestore_engine::check::fsck(&copy.parts().unwrap(), &mut |_, _, _| {}).unwrap();
        assert_eq!(report.exit_code(), 0, "{:?}", report.problems);
        let counts = &report.counts;
        assert_eq!((counts.purged, counts.erased), self.model.counts());
        for told in &report.gone {
            assert_eq!(told.live + told.purged + told.erased, told.size);
        }
    }

    /// Closes it for good.
    pub(crate) fn end(&mut self) {
        self.engine().close().unwrap();
        self.engine = None;
        self.fsck();
    }

    /// Does an act again once another person has approved it, if that is what it takes.
    pub(crate) fn with_second<T>(&self, act: impl Fn(&Engine) -> Result<T, Error>) -> Result<T, Error> {
        match act(self.engine()) {
            Err(Error::ApprovalNeeded { approval, .. }) => {
                self.engine()
                    .decide_approval(TENANT, &self.second, &approval.id, Decision::Approve)?;
                act(self.engine())
            }
            done => done,
        }
    }

    /// Takes up what the log has beyond what is known.
    pub(crate) fn catch_up(&mut self) {
        let size = self.engine().tenant(TENANT).unwrap().size;
        let sent = self.sent.len();
        for seq in self.model.records.len() as u64..size {
            let view = self
                .engine()
                .get(TENANT, &self.reader, Which::Seq(seq))
                .unwrap_or_else(|error| panic!("record {seq}: {error}"));
            let entry = Entry::from_bytes(&view.entry).unwrap();
            let mut known = Known {
                class: entry.class,
                time_ms: entry.time_ms,
                gone: None,
                swept: false,
                about: None,
            };
            if view.kind == "event" {
                let event: serde_json::Value = serde_json::from_str(&view.event).unwrap();
                let number = event["metadata"]["n"].as_u64().unwrap();
                let sent = self.sent.remove(&number).expect("an event that somebody sent");
                assert_eq!(entry.class, ACTIONS[sent.action].1);
                let model = &mut self.model;
                let about = About {
                    number,
                    action: sent.action,
                    actor: (sent.actor, model.life(0, sent.actor)),
                    declared: sent
                        .declared
                        .iter()
                        .map(|person| (*person, model.life(1, *person)))
                        .collect(),
                };
                let asked = |hold: &crate::model::Hold| {
                    hold.active && hold.ask.is_some_and(|ask| model.matches(ask, &about))
                };
                let by: Vec<String> = model
                    .holds
                    .iter()
                    .filter(|(_, hold)| asked(hold))
                    .map(|(id, _)| id.clone())
                    .collect();
                for id in by {
                    model.holds.get_mut(&id).unwrap().covers.insert(seq);
                }
                known.about = Some(about);
            }
            self.model.records.push(known);
        }
        assert!(
            self.sent.is_empty() || self.sent.len() == sent,
            "a part of a request is in the log"
        );
        self.sent.clear();
    }

    /// What of retention, holds, erasures and restrictions the engine knows is what the model knows; `doubt` may have been done
    /// or not.
    pub(crate) fn adopt(&mut self, doubt: Doubt) {
        let allowed = doubt.clone();
        let engine = self.engine.as_ref().expect("open");
        for info in engine.retention(TENANT, &self.by).unwrap() {
            let found = Policy {
                keep_min_ms: info.policy.keep_min_ms,
                keep_max_ms: info.policy.keep_max_ms,
                mode: info.policy.mode,
                erasable: info.policy.erasable,
            };
            let class = info.policy.class;
            if self.model.policies.get(&class) != Some(&found) {
                assert!(
                    matches!(&allowed, Doubt::Policy(of, wanted) if *of == class && *wanted == found),
                    "class {class} has {found:?}, not {:?}",
                    self.model.policies.get(&class)
                );
                self.model.policies.insert(class, found);
            }
        }
        self.adopt_holds(&allowed);
        self.adopt_gone(&allowed);
        self.adopt_erasures(&allowed);
        self.adopt_restrictions(&allowed);
    }

    fn adopt_holds(&mut self, doubt: &Doubt) {
        let shown = self.engine().holds(TENANT, &self.by).unwrap();
        assert!(shown.len() >= self.model.holds.len(), "a hold was forgotten");
        for hold in shown {
            let active = hold.state == HoldState::Active;
            match self.model.holds.get_mut(&hold.id) {
                Some(known) if known.active == active => {}
                Some(known) => {
                    let asked = matches!(doubt, Doubt::Release(id) if *id == hold.id);
                    assert!(asked && known.active, "hold {} is {:?}", hold.id, hold.state);
                    known.active = false;
                }
                None => {
                    let Doubt::Hold(placed) = doubt else {
                        panic!("hold {} was placed by nobody", hold.id)
                    };
                    assert!(active);
                    self.model.holds.insert(hold.id, placed.clone());
                }
            }
        }
    }

    fn adopt_gone(&mut self, doubt: &Doubt) {
        let known = self.model.gone();
        let found = self.gone();
        if found == known {
            return;
        }
        let stays = known.iter().all(|(seq, why)| found.get(seq) == Some(why));
        assert!(stays, "what was gone is back: {known:?} {found:?}");
        let news: BTreeSet<u64> = found
            .keys()
            .filter(|seq| !known.contains_key(seq))
            .copied()
            .collect();
        let Doubt::Gone { meant, whole, why } = doubt else {
            panic!("{news:?} went for no reason")
        };
        match whole {
            true => assert_eq!(news, *meant, "a part of what was to go"),
            false => assert!(news.is_subset(meant), "{news:?} of {meant:?}"),
        }
        self.let_go(&news, *why);
        assert_eq!(self.model.gone(), found);
    }

    /// Which records the engine says are gone, and why.
    pub(crate) fn gone(&self) -> BTreeMap<u64, Why> {
        let size = self.engine().tenant(TENANT).unwrap().size;
        let why_gone = |seq: u64| match self.engine().get(TENANT, &self.reader, Which::Seq(seq)) {
            Ok(_) => None,
            Err(Error::Gone { seq: of, why, .. }) => {
                assert_eq!(of, seq);
                Some((seq, why))
            }
            Err(error) => panic!(
                "record {seq}: {error}: {:?}, due are {:?}",
                self.model.records.get(usize::try_from(seq).unwrap()),
                self.model.due(self.world.now_ms())
            ),
        };
        (0..size).filter_map(why_gone).collect()
    }

    pub(crate) fn let_go(&mut self, seqs: &BTreeSet<u64>, why: Why) {
        for seq in seqs {
            assert!(!self.model.is_held(*seq), "record {seq} is held");
            self.model.records[usize::try_from(*seq).unwrap()].gone = Some(why);
        }
    }

    fn adopt_restrictions(&mut self, doubt: &Doubt) {
        let shown = self.engine().restrictions(TENANT, &self.by).unwrap();
        let ids: BTreeSet<String> = shown.into_iter().map(|info| info.id).collect();
        let known: BTreeSet<String> = self.model.restrictions.keys().cloned().collect();
        for id in ids.difference(&known) {
            let Doubt::Restrict(person) = doubt else {
                panic!("restriction {id} is nobody's")
            };
            self.restricted(id, *person);
        }
        for id in known.difference(&ids) {
            let asked = matches!(doubt, Doubt::Unrestrict(ended) if ended == id);
            assert!(asked, "restriction {id} is over");
            self.unrestricted(id);
        }
    }

    pub(crate) fn restricted(&mut self, id: &str, person: usize) {
        let lives: Vec<usize> = self
            .model
            .known(person)
            .into_iter()
            .map(|(_, life)| life)
            .collect();
        for life in &lives {
            self.model.lives[*life].restricted_by.insert(id.to_owned());
        }
        self.model.restrictions.insert(id.to_owned(), lives);
    }

    pub(crate) fn unrestricted(&mut self, id: &str) {
        for life in self.model.restrictions.remove(id).unwrap() {
            self.model.lives[life].restricted_by.remove(id);
        }
    }
}

/// How a class is set: what is of it never changes.
pub(crate) fn spec(class: u16, policy: &Policy) -> ClassSpec {
    let action = ACTIONS.iter().find(|(_, of)| *of == class && class > 1);
    ClassSpec {
        class,
        name: format!("class {class}"),
        keep_min_ms: policy.keep_min_ms,
        keep_max_ms: policy.keep_max_ms,
        basis: "contract".into(),
        mode: policy.mode,
        erasable: policy.erasable,
        select: action.map(|(action, _)| Selector {
            actions: vec![(*action).to_owned()],
            ..Selector::default()
        }),
    }
}
