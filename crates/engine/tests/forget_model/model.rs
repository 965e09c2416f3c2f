//! What the rules promise of each record and each person, from nothing but what was asked and when. Knows no file and no key.

use std::collections::{BTreeMap, BTreeSet};

use attestore_engine::forget::Why;
use attestore_engine::forget::erase::ErasureState;
use attestore_record::control::{Erasable, RetentionMode};

/// How many people there are.
pub(crate) const PEOPLE: usize = 4;
/// Each action is of the class of the same place.
pub(crate) const ACTIONS: [(&str, u16); 3] = [("login.open", 1), ("card.read", 2), ("file.write", 3)];
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// The id that events have of a person.
pub(crate) fn id(person: usize) -> String {
    format!("zq{person}canary{person}")
}

/// What stands in a field that is about several people.
pub(crate) fn shared(number: u64) -> String {
    format!("between us {number}")
}

/// How events name people: as the actor, and as a declared data subject. These are two subjects, of two types.
pub(crate) const TYPES: [&str; 2] = ["user", "person"];

/// What a tenant knows a subject under, until it is erased: then the next event begins another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) leaving: Option<Leaving>,
    pub(crate) restricted_by: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Suppressed,
    Deferred,
    Destroyed,
}

impl Life {
    pub(crate) fn hides(&self, purpose: bool) -> bool {
        match self.leaving {
            Some(Leaving::Suppressed | Leaving::Destroyed) => true,
            Some(Leaving::Deferred) => !purpose,
            None => !purpose && !self.restricted_by.is_empty(),
        }
    }
}

/// What an event says of people, by place in [`Model::lives`].
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) number: u64,
    pub(crate) action: usize,
    pub(crate) actor: (usize, usize),
    pub(crate) declared: Vec<(usize, usize)>,
}

/// A field with something of people in it.
pub(crate) struct Token {
    pub(crate) pointer: String,
    pub(crate) value: String,
    pub(crate) lives: Vec<usize>,
}

impl About {
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let of = |pointer: String, (person, life): (usize, usize)| Token {
            pointer,
            value: id(person),
            lives: vec![life],
        };
        let mut tokens = vec![of("/actor/id".into(), self.actor)];
        for (at, who) in self.declared.iter().enumerate() {
            tokens.push(of(format!("/data_subjects/{at}/id"), *who));
        }
        if !self.declared.is_empty() {
            tokens.push(Token {
                pointer: "/metadata/about".into(),
                value: shared(self.number),
                lives: self.declared.iter().map(|(_, life)| *life).collect(),
            });
        }
        tokens
    }

    fn lives(&self) -> impl Iterator<Item = usize> {
        let declared = self.declared.iter().map(|(_, life)| *life);
        std::iter::once(self.actor.1).chain(declared)
    }
}

/// A record of the log.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) class: u16,
    pub(crate) time_ms: u64,
    /// Why it is gone, if it is.
    pub(crate) gone: Option<Why>,
    /// Whether no file can have it any more.
    pub(crate) swept: bool,
    /// `None` for control records.
    pub(crate) about: Option<About>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) keep_min_ms: u64,
    pub(crate) keep_max_ms: Option<u64>,
    pub(crate) mode: RetentionMode,
    pub(crate) erasable: Erasable,
}

/// What a hold goes on looking for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Actor(usize),
    Subject(usize),
    Action(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) covers: BTreeSet<u64>,
    pub(crate) classes: Vec<u16>,
    pub(crate) ask: Option<Ask>,
    pub(crate) active: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) person: usize,
    /// By type.
    pub(crate) lives: Vec<(usize, usize)>,
    pub(crate) state: ErasureState,
    pub(crate) undo_until_ms: u64,
}

/// See the module's head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) records: Vec<Known>,
    pub(crate) lives: Vec<Life>,
    /// By type and person: what the next event is about.
    pub(crate) current: [[Option<usize>; PEOPLE]; 2],
    /// By type and person: what erasures that were taken back have given free.
    pub(crate) kept: [[Vec<usize>; PEOPLE]; 2],
    pub(crate) policies: BTreeMap<u16, Policy>,
    pub(crate) holds: BTreeMap<String, Hold>,
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) restrictions: BTreeMap<String, Vec<usize>>,
}

impl Model {
    /// The subject that a new event is about.
    pub(crate) fn life(&mut self, ty: usize, person: usize) -> usize {
        let next = self.lives.len();
        let life = *self.current[ty][person].get_or_insert(next);
        if life == next {
            self.lives.push(Life::default());
        }
        life
    }

    /// What the tenant knows a person under, by type, as far as no erasure is under way.
    pub(crate) fn known(&self, person: usize) -> Vec<(usize, usize)> {
        let of = |ty: usize| {
            let all = self.current[ty][person].iter().chain(&self.kept[ty][person]);
            all.map(move |life| (ty, *life)).collect::<Vec<_>>()
        };
        [of(0), of(1)].concat()
    }

    pub(crate) fn hides(&self, token: &Token, purpose: bool) -> bool {
        token.lives.iter().any(|life| self.lives[*life].hides(purpose))
    }

    /// Whether the keys of what is looked for are there.
    pub(crate) fn matches(&self, ask: Ask, about: &About) -> bool {
        let is = |(person, life): &(usize, usize), wanted: usize| {
            *person == wanted && self.lives[*life].leaving != Some(Leaving::Destroyed)
        };
        match ask {
            Ask::Action(action) => about.action == action,
            Ask::Actor(person) => is(&about.actor, person),
            Ask::Subject(person) => {
                is(&about.actor, person) || about.declared.iter().any(|who| is(who, person))
            }
        }
    }

    /// Holds that cover a record.
    pub(crate) fn holds_of(&self, seq: u64) -> usize {
        let class = self.record(seq).class;
        let covers =
            |hold: &&Hold| hold.active && (hold.covers.contains(&seq) || hold.classes.contains(&class));
        self.holds.values().filter(covers).count()
    }

    pub(crate) fn is_held(&self, seq: u64) -> bool {
        self.holds_of(seq) > 0
    }

    pub(crate) fn record(&self, seq: u64) -> &Known {
        &self.records[usize::try_from(seq).unwrap()]
    }

    /// Events that are there, with their seqs.
    pub(crate) fn live(&self) -> impl Iterator<Item = (u64, &Known, &About)> {
        let all = (0u64..).zip(&self.records);
        all.filter_map(|(seq, known)| Some((seq, known, known.about.as_ref()?)))
            .filter(|(_, known, _)| known.gone.is_none())
    }

    pub(crate) fn gone(&self) -> BTreeMap<u64, Why> {
        let all = (0u64..).zip(&self.records);
        all.filter_map(|(seq, known)| Some((seq, known.gone?))).collect()
    }

    /// How many records were purged, and how many erased whole.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let of = |why| self.gone().values().filter(|one| **one == why).count() as u64;
        (of(Why::Purged), of(Why::Erased))
    }

    /// What the schedule has to take now.
    pub(crate) fn due(&self, now_ms: u64) -> BTreeSet<u64> {
        let is_due = |known: &Known| {
            let policy = self.policies.get(&known.class);
            let policy = policy.and_then(|policy| Some((policy.keep_min_ms, policy.keep_max_ms?)));
            policy.is_some_and(|(min_ms, max_ms)| known.time_ms + max_ms.max(min_ms) <= now_ms)
        };
        let due = self.live().filter(|(_, known, _)| is_due(known));
        due.map(|(seq, ..)| seq)
            .filter(|seq| !self.is_held(*seq))
            .collect()
    }

    /// What keeps an erasure from taking place: surely, and perhaps, as what is gone may still be in a file.
    pub(crate) fn obstacle(&self, job: &Job) -> (bool, bool) {
        let (mut surely, mut perhaps) = (false, false);
        for (seq, known) in (0u64..).zip(&self.records) {
            let Some(about) = &known.about else { continue };
            let concerned = about
                .lives()
                .any(|life| job.lives.iter().any(|(_, own)| *own == life));
            let forbids = || {
                let policy = self.policies.get(&known.class);
                policy.is_some_and(|policy| policy.erasable == Erasable::No) || self.is_held(seq)
            };
            if concerned && !known.swept && forbids() {
                perhaps = true;
                surely |= known.gone.is_none();
            }
        }
        (surely, perhaps)
    }

    /// How many records an erasure concerns: at least, and at most.
    pub(crate) fn concerned(&self, lives: &[(usize, usize)]) -> (u64, u64) {
        let about = self.records.iter().filter(|known| {
            let lives_of = known.about.iter().flat_map(About::lives);
            lives_of
                .into_iter()
                .any(|life| lives.iter().any(|(_, own)| *own == life))
        });
        let (mut least, mut most) = (0, 0);
        for known in about {
            least += u64::from(known.gone.is_none());
            most += u64::from(!known.swept);
        }
        (least, most)
    }

    /// Notes how far an erasure is.
    pub(crate) fn move_job(&mut self, id: &str, state: ErasureState) {
        let job = self.jobs.get_mut(id).unwrap();
        job.state = state;
        let (lives, person) = (job.lives.clone(), job.person);
        let leaving = match state {
            ErasureState::Received => Some(Leaving::Suppressed),
            ErasureState::Deferred => Some(Leaving::Deferred),
            ErasureState::Cancelled => None,
            _ => Some(Leaving::Destroyed),
        };
        for (ty, life) in &lives {
            self.lives[*life].leaving = leaving;
            if state == ErasureState::Cancelled {
                self.kept[*ty][person].push(*life);
            }
        }
        // A restriction goes with the last of whom it is about.
        if state == ErasureState::Done {
            let all = &self.lives;
            let destroyed = |life: &usize| all[*life].leaving == Some(Leaving::Destroyed);
            self.restrictions.retain(|_, lives| !lives.iter().all(destroyed));
        }
    }
}
