//! What is done: each act says what it expects by the rules, does it, and notes what it came to.

use std::collections::BTreeSet;

use attestore_engine::forget::Why;
use attestore_engine::forget::holds::{self, HoldScope, HoldSpec, Release};
use attestore_engine::{Error, Item, Mode};
use attestore_record::control::{Erasable, RetentionMode};

use crate::model::{ACTIONS, Ask, HOUR_MS, Hold, PEOPLE, Policy, TYPES, id, shared};
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
    Gone {
        meant: BTreeSet<u64>,
        whole: bool,
        why: Why,
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
        match random.below(38) {
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
            31..=34 => self.erase_records(random),
            35 if !self.armed => {
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
    pub(crate) fn judge<T>(
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
}
