//! Erasure of people, and restriction.

use attestore_engine::Error;
use attestore_engine::forget::Person;
use attestore_engine::forget::erase::{ErasureRequest, ErasureScope, ErasureState};

use crate::acts::{Doubt, Outcome};
use crate::model::{Job, PEOPLE, TYPES, id};
use crate::play::Play;
use crate::random::Random;
use crate::world::TENANT;

impl Play {
    pub(crate) fn erase(&mut self, random: &mut Random) -> Outcome {
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

    pub(crate) fn undo(&mut self, random: &mut Random) -> Outcome {
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
        let mut infos = self.engine().erasures(TENANT, &self.by).unwrap();
        infos.retain(|info| info.scope == ErasureScope::Subject);
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

    pub(crate) fn restrict(&mut self, random: &mut Random) -> Outcome {
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

    pub(crate) fn unrestrict(&mut self, random: &mut Random) -> Outcome {
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
