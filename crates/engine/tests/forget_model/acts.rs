//! What is done: each act says what it expects by the rules, does it, and notes what it came to.

use std::collections::BTreeSet;
use std::ops::Range;

use attestore_engine::forget::Person;
use attestore_engine::forget::erase::{ErasureRequest, ErasureState};
use attestore_engine::forget::holds::{self, HoldScope, HoldSpec, Release};
use attestore_engine::forget::purge::{PurgeOrder, Selection};
use attestore_engine::{Error, Item, Mode};
use attestore_record::control::{Erasable, RetentionMode};

use crate::model::{ACTIONS, Ask, HOUR_MS, Hold, Job, PEOPLE, Policy, TYPES, id, shared};
use crate::play::{Play, Sent, spec};
use crate::random::Random;
use crate::world::TENANT;

/// What may have been done or not when a crash came in between.
#[derive(Clone, Debug)]
pub(crate) enum Doubt {
    None,
    Policy(u16, Policy),
    Hold(Hold),
    Release(String),
    /// Records that may be gone; with `whole`, all of them or none.
    Purge {
        meant: BTreeSet<u64>,
        whole: bool,
    },
    Erase {
        person: usize,
        undo_until_ms: u64,
    },
    Undo(String),
    Restrict(usize),
    Unrestrict(String),
    /// Erasures may have come as far as they can.
    Tick,
}

/// What an act came to: nobody knows, where the disk failed.
pub(crate) type Outcome = Result<(), (Doubt, Error)>;

impl Play {
    pub(crate) fn act(&mut self, random: &mut Random) -> Outcome {
        match random.below(34) {
            0..=7 => self.append(random),
            8 => self.set_policy(random),
            9..=10 => self.place(random),
            11..=12 => self.release(random),
            13..=15 => self.schedule(),
            16..=18 => self.order(random),
            19..=20 => self.erase(random),
            21 => self.undo(random),
            22..=24 => self.tick(),
            25 => self.restrict(random),
            26 => self.unrestrict(random),
            27 => self.quiet("flush", |play| play.engine().flush().map(drop)),
            28 => self.quiet("compact", |play| play.engine().compact(TENANT).map(drop)),
            29..=30 => {
                let ms = random.below(6) * HOUR_MS + random.below(HOUR_MS);
                self.told.push(format!("{} h later", ms / HOUR_MS));
                self.world.clock.advance_ms(ms);
                Ok(())
            }
            31 if !self.armed => {
                self.told.push("restart".into());
                self.restart(random.once_in(2));
                Ok(())
            }
            _ if !self.armed => {
                self.keep(random);
                Ok(())
            }
            _ => self.append(random),
        }
    }

    /// An act that changes nothing that anybody is shown.
    fn quiet(&mut self, what: &str, act: impl FnOnce(&Self) -> Result<(), Error>) -> Outcome {
        self.told.push(what.into());
        act(self).map_err(|error| (Doubt::None, error))
    }

    /// Compares what an act came to with what the rules say of it; says whether it was done.
    fn judge<T>(
        &self,
        done: Result<T, Error>,
        refusal: Option<&str>,
        doubt: Doubt,
    ) -> Result<Option<T>, (Doubt, Error)> {
        match (done, refusal) {
            (Ok(done), None) => Ok(Some(done)),
            (Err(error), Some(code)) if error.code() == code => Ok(None),
            // The disk failed: it may have been done all the same, if it may be done at all.
            (Err(error), refusal) if self.armed => match refusal {
                None => Err((doubt, error)),
                Some(_) => Err((Doubt::None, error)),
            },
            (Err(error), refusal) => panic!("{} ({error}), not {refusal:?}", error.code()),
            (Ok(_), Some(code)) => panic!("done, though it is {code}"),
        }
    }

    fn append(&mut self, random: &mut Random) -> Outcome {
        let many = 1 + random.below(6);
        let filler = "r".repeat(random.pick(&[0, 30, 900]));
        let mut items = Vec::new();
        for _ in 0..many {
            let number = self.numbers;
            self.numbers += 1;
            let (action, actor) = (random.index(ACTIONS.len()), random.index(PEOPLE));
            let mut declared: Vec<usize> = (0..random.below(3)).map(|_| random.index(PEOPLE)).collect();
            declared.sort_unstable();
            declared.dedup();
            let subjects: Vec<String> = declared
                .iter()
                .map(|person| {
                    let id = id(*person);
                    format!(r#"{{"type":"person","id":"{id}","fields":["/metadata/about"]}}"#)
                })
                .collect();
            let (name, actor_id, about) = (ACTIONS[action].0, id(actor), shared(number));
            let event = format!(
                r#"{{"action":"{name}","actor":{{"type":"user","id":"{actor_id}"}},"data_subjects":[{}],"metadata":{{"n":{number},"about":"{about}","filler":"{filler}"}}}}"#,
                subjects.join(",")
            );
            items.push(Item {
                bytes: event.into(),
                fallback_key: None,
            });
            let sent = Sent {
                action,
                actor,
                declared,
            };
            self.sent.insert(number, sent);
        }
        self.told.push(format!("append {many}"));
        let by = self.reader.clone();
        let done = self
            .engine()
            .append_blocking(TENANT, &by, "native", items, Mode::Each);
        let done = done.map_err(|error| Error::Append(Box::new(error)));
        if let Some(appended) = self.judge(done, None, Doubt::None)? {
            assert!(appended.items.iter().all(Result::is_ok), "{appended:?}");
            self.catch_up();
            assert!(self.sent.is_empty(), "acknowledged and not there");
        }
        Ok(())
    }

    fn set_policy(&mut self, random: &mut Random) -> Outcome {
        let class = 1 + u16::try_from(random.below(3)).unwrap();
        let keep_min_ms = random.pick(&[0, 0, 2, 5]) * HOUR_MS;
        let policy = Policy {
            keep_min_ms,
            keep_max_ms: (!random.once_in(3)).then(|| keep_min_ms + random.below(16) * HOUR_MS),
            mode: match random.below(12) {
                0 => RetentionMode::Compliance,
                1..=4 => RetentionMode::Governance,
                _ => RetentionMode::None,
            },
            erasable: match random.below(8) {
                0 => Erasable::No,
                1..=3 => Erasable::PersonalOnly,
                _ => Erasable::Yes,
            },
        };
        let bypass = random.once_in(2);
        let before = self.model.policies.get(&class);
        let weaker = before.is_some_and(|before| {
            policy.keep_min_ms < before.keep_min_ms
                || policy.mode < before.mode
                || policy.erasable < before.erasable
        });
        let refusal = match before.map(|before| before.mode) {
            Some(RetentionMode::Compliance) if weaker => Some("retention_locked"),
            Some(RetentionMode::Governance) if weaker && !bypass => Some("retention_locked"),
            _ => None,
        };
        self.told
            .push(format!("class {class}: {policy:?}, bypass {bypass}"));
        let wanted = spec(class, &policy);
        let by = self.by.clone();
        let done = self.with_second(|engine| engine.set_retention(TENANT, &by, &wanted, bypass));
        if self.judge(done, refusal, Doubt::Policy(class, policy))?.is_some() {
            self.model.policies.insert(class, policy);
        }
        Ok(())
    }

    fn place(&mut self, random: &mut Random) -> Outcome {
        let size = self.model.records.len() as u64;
        let first = random.below(size);
        let range = first..size.min(first + 1 + random.below(12));
        let person = random.index(PEOPLE);
        let mut scope = HoldScope::default();
        let ask = match random.below(6) {
            0 => Some(Ask::Actor(person)),
            1 => Some(Ask::Subject(person)),
            2 => Some(Ask::Action(random.index(ACTIONS.len()))),
            3 => {
                scope.classes = vec![1 + u16::try_from(random.below(3)).unwrap()];
                None
            }
            _ => None,
        };
        let named = |ty: usize| {
            Some(holds::Person {
                ty: TYPES[ty].into(),
                id: id(person),
            })
        };
        match ask {
            Some(Ask::Actor(_)) => scope.actor = named(0),
            Some(Ask::Subject(_)) => scope.subject = named(1),
            Some(Ask::Action(action)) => scope.query = Some(format!("action:{}", ACTIONS[action].0)),
            None => {}
        }
        let mut covers = BTreeSet::new();
        if random.once_in(3) || (ask.is_none() && scope.classes.is_empty()) {
            scope.ranges = std::iter::once(range.clone()).collect();
            covers.extend(range);
        }
        let matching = self
            .model
            .live()
            .filter(|(_, _, about)| ask.is_some_and(|ask| self.model.matches(ask, about)));
        covers.extend(matching.map(|(seq, ..)| seq));
        self.told.push(format!("hold {scope:?}"));
        let hold = Hold {
            covers,
            classes: scope.classes.clone(),
            ask,
            active: true,
        };
        let wanted = HoldSpec {
            scope,
            matter: "case 7".into(),
            reason: "somebody is suing".into(),
            review_ms: None,
        };
        let done = self.engine().place_hold(TENANT, &self.by, &wanted);
        if let Some(placed) = self.judge(done, None, Doubt::Hold(hold.clone()))? {
            self.model.holds.insert(placed.id, hold);
        }
        Ok(())
    }

    fn release(&mut self, random: &mut Random) -> Outcome {
        let ids: Vec<String> = self.model.holds.keys().cloned().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let id = ids[random.index(ids.len())].clone();
        let refusal = (!self.model.holds[&id].active).then_some("hold_released");
        self.told.push(format!("release {id}"));
        let why = Release {
            reason: "settled".into(),
        };
        let by = self.by.clone();
        let done = self.with_second(|engine| engine.release_hold(TENANT, &by, &id, &why));
        if self.judge(done, refusal, Doubt::Release(id.clone()))?.is_some() {
            self.model.holds.get_mut(&id).unwrap().active = false;
        }
        Ok(())
    }

    /// Whatever is due goes, and nothing else.
    pub(crate) fn schedule(&mut self) -> Outcome {
        self.told.push("schedule".into());
        if let Err(error) = self.engine().flush() {
            return Err((Doubt::None, error));
        }
        let meant = self.model.due(self.world.now_ms());
        let doubt = Doubt::Purge {
            meant: meant.clone(),
            whole: false,
        };
        let done = self.engine().purge_tick();
        if self.armed {
            // What is not due to the disk's fault is told by the warnings of the engine only.
            return Err((doubt, done.err().unwrap_or(Error::Cancelled)));
        }
        let open = self.judge(done, None, doubt)?;
        assert_eq!(open, Some(0), "purges that do not come to their end");
        let known = self.model.gone();
        let found = self.gone();
        let news: BTreeSet<u64> = found.difference(&known).copied().collect();
        assert_eq!(news, meant, "what the schedule took, and what is due");
        self.let_go(&news);
        for known in &mut self.model.records {
            known.swept |= known.gone;
        }
        Ok(())
    }

    fn order(&mut self, random: &mut Random) -> Outcome {
        let class = 1 + u16::try_from(random.below(3)).unwrap();
        let bypass = random.once_in(2);
        let first = random.below(self.model.records.len() as u64);
        let second = first + 4 + random.below(8);
        let ranges: Vec<Range<u64>> = vec![
            first..first + 1 + random.below(3),
            second..second + 1 + random.below(9),
        ];
        let now_ms = self.world.now_ms();
        let policy = self.model.policies.get(&class);
        let meant: Vec<(u64, u64)> = self
            .model
            .live()
            .filter(|(seq, known, _)| known.class == class && ranges.iter().any(|range| range.contains(seq)))
            .filter(|(seq, ..)| !self.model.is_held(*seq))
            .map(|(seq, known, _)| (seq, known.time_ms))
            .collect();
        let young = policy.is_some_and(|policy| {
            meant
                .iter()
                .any(|(_, time_ms)| time_ms + policy.keep_min_ms > now_ms)
        });
        let refusal = match policy {
            None => Some("no_policy"),
            Some(policy) if young && policy.mode == RetentionMode::Compliance => Some("retention_locked"),
            Some(_) if young && !bypass => Some("retention_minimum"),
            Some(_) => None,
        };
        let meant: BTreeSet<u64> = meant.into_iter().map(|(seq, _)| seq).collect();
        self.told.push(format!(
            "order class {class} {ranges:?} bypass {bypass}: {meant:?}"
        ));
        let order = PurgeOrder {
            class: Some(class),
            selection: Selection::Ranges(ranges),
            note: "case 7".into(),
            bypass,
        };
        let by = self.by.clone();
        let done = self.with_second(|engine| engine.purge(TENANT, &by, &order));
        let doubt = Doubt::Purge {
            meant: meant.clone(),
            whole: true,
        };
        if let Some(ordered) = self.judge(done, refusal, doubt)? {
            let records: u64 = ordered.purges.iter().map(|purge| purge.records).sum();
            assert_eq!(records, meant.len() as u64);
            self.let_go(&meant);
        }
        Ok(())
    }

    fn erase(&mut self, random: &mut Random) -> Outcome {
        let person = random.index(PEOPLE);
        let undo_s = random.pick(&[0, 0, 3600, 36_000]);
        let lives = self.model.known(person);
        let refusal = lives.is_empty().then_some("not_found");
        self.told.push(format!("erase person {person}, undo {undo_s} s"));
        let request = ErasureRequest {
            subjects: subjects(person),
            basis: "Art. 17 GDPR".into(),
            undo_s,
        };
        let undo_until_ms = self.world.now_ms() + undo_s * 1000;
        let by = self.by.clone();
        let done = self.with_second(|engine| engine.erase(TENANT, &by, &request));
        let doubt = Doubt::Erase {
            person,
            undo_until_ms,
        };
        if let Some(info) = self.judge(done, refusal, doubt)? {
            assert_eq!(info.subjects, lives.len() as u64);
            self.erasing(&info.id, person, undo_until_ms);
        }
        Ok(())
    }

    pub(crate) fn erasing(&mut self, id: &str, person: usize, undo_until_ms: u64) {
        let job = Job {
            person,
            lives: self.model.known(person),
            state: ErasureState::Received,
            undo_until_ms,
        };
        for ty in 0..TYPES.len() {
            self.model.current[ty][person] = None;
            self.model.kept[ty][person].clear();
        }
        self.model.jobs.insert(id.to_owned(), job);
        self.model.move_job(id, ErasureState::Received);
    }

    fn undo(&mut self, random: &mut Random) -> Outcome {
        let open: Vec<String> = self.model.jobs.keys().cloned().collect();
        if open.is_empty() {
            return Ok(());
        }
        let id = open[random.index(open.len())].clone();
        let job = &self.model.jobs[&id];
        let in_time = match job.state {
            ErasureState::Received => self.world.now_ms() < job.undo_until_ms,
            ErasureState::Deferred => true,
            _ => false,
        };
        let refusal = (!in_time).then_some("erasure_decided");
        self.told.push(format!("undo {id}"));
        let done = self.engine().undo_erasure(TENANT, &self.by, &id);
        if self.judge(done, refusal, Doubt::Undo(id.clone()))?.is_some() {
            self.model.move_job(&id, ErasureState::Cancelled);
        }
        Ok(())
    }

    /// Erasures come as far as holds and policies let them.
    pub(crate) fn tick(&mut self) -> Outcome {
        self.told.push("tick".into());
        self.engine().tick();
        if self.armed {
            return Err((Doubt::Tick, Error::Cancelled));
        }
        self.adopt_erasures(&Doubt::Tick);
        let waits = |state| matches!(state, ErasureState::Received | ErasureState::Deferred);
        for (id, job) in &self.model.jobs {
            let early = job.undo_until_ms > self.world.now_ms();
            assert!(
                job.state != ErasureState::Received || early,
                "erasure {id} is due: {job:?}"
            );
            assert!(
                waits(job.state) || job.state.is_over(),
                "erasure {id} does not come to its end: {job:?}"
            );
            let (_, perhaps) = self.model.obstacle(job);
            assert!(
                job.state != ErasureState::Deferred || perhaps,
                "erasure {id}: {job:?}"
            );
        }
        Ok(())
    }

    /// Takes up how far erasures are, if they may be so far.
    pub(crate) fn adopt_erasures(&mut self, doubt: &Doubt) {
        use ErasureState::{Approved, Cancelled, Deferred, Done, IndexClean, Received, Unreadable};
        let infos = self.engine().erasures(TENANT, &self.by).unwrap();
        assert!(infos.len() >= self.model.jobs.len(), "an erasure was forgotten");
        let now_ms = self.world.now_ms();
        for info in infos {
            if !self.model.jobs.contains_key(&info.id) {
                let Doubt::Erase {
                    person,
                    undo_until_ms,
                } = doubt
                else {
                    panic!("erasure {} is nobody's", info.id)
                };
                assert_eq!(info.state, Received);
                self.erasing(&info.id, *person, *undo_until_ms);
                continue;
            }
            let job = &self.model.jobs[&info.id];
            if job.state == info.state {
                continue;
            }
            let (surely, perhaps) = self.model.obstacle(job);
            let ticks = matches!(doubt, Doubt::Tick);
            let undone = matches!(doubt, Doubt::Undo(id) if *id == info.id);
            let due = job.undo_until_ms <= now_ms;
            let may = match (job.state, info.state) {
                (Received, Deferred) => ticks && due && perhaps,
                (Received, Approved | Unreadable | IndexClean | Done) => ticks && due && !surely,
                (Deferred, Approved | Unreadable | IndexClean | Done) => ticks && !surely,
                (Received, Cancelled) => undone && !due,
                (Deferred, Cancelled) => undone,
                // Once it is decided, nothing holds it up.
                (Approved | Unreadable | IndexClean, Unreadable | IndexClean | Done) => true,
                _ => false,
            };
            assert!(may, "erasure {}: {job:?} is {:?}", info.id, info.state);
            if matches!(job.state, Received | Deferred) && info.state >= Approved && info.state != Cancelled {
                let (least, most) = self.model.concerned(&job.lives);
                assert!(
                    (least..=most).contains(&info.records),
                    "{info:?}, not {least} to {most}"
                );
            }
            self.model.move_job(&info.id, info.state);
        }
    }

    /// Brings to its end what a crash left in between.
    pub(crate) fn finish_erasures(&mut self) {
        let open = |state| !matches!(state, ErasureState::Received | ErasureState::Deferred);
        let between = |job: &Job| open(job.state) && !job.state.is_over();
        if self.model.jobs.values().any(between) {
            self.catch_up();
            self.tick().unwrap();
        }
    }

    fn restrict(&mut self, random: &mut Random) -> Outcome {
        let person = random.index(PEOPLE);
        let refusal = self.model.known(person).is_empty().then_some("not_found");
        self.told.push(format!("restrict person {person}"));
        let done = self
            .engine()
            .restrict(TENANT, &self.by, &subjects(person), "contested");
        if let Some(info) = self.judge(done, refusal, Doubt::Restrict(person))? {
            self.restricted(&info.id, person);
        }
        Ok(())
    }

    fn unrestrict(&mut self, random: &mut Random) -> Outcome {
        let ids: Vec<String> = self.model.restrictions.keys().cloned().collect();
        if ids.is_empty() {
            return Ok(());
        }
        let id = ids[random.index(ids.len())].clone();
        self.told.push(format!("end of restriction {id}"));
        let done = self.engine().end_restriction(TENANT, &self.by, &id, "settled");
        if self.judge(done, None, Doubt::Unrestrict(id.clone()))?.is_some() {
            self.unrestricted(&id);
        }
        Ok(())
    }
}

fn subjects(person: usize) -> Vec<Person> {
    let of = |ty: &&str| Person {
        ty: (*ty).to_owned(),
        id: id(person),
    };
    TYPES.iter().map(of).collect()
}
