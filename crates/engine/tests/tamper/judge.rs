//! Who looks at an edited store, and what they say.

use std::collections::BTreeMap;

use attestore_engine::check::{Problem, fsck};
use attestore_engine::read::Which;
use attestore_engine::{Engine, Error, OpenError};
use attestore_tlog::{Hash, VerifierKey, open_checkpoint, verify_consistency};
use attestore_witness::Request;

use crate::store::{Case, content};
use crate::world::{World, everything};

/// Who may notice an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// The program, at its start or when the record is read; with the directory alone.
    Start,
    /// `fsck`, with the directory alone.
    Fsck,
    /// `verify` of each tenant, with the directory alone.
    Verify,
    /// Whoever of these has the head register too.
    Register,
    /// A witness that is asked to cosign the new head.
    Witness,
    /// Somebody who saved an earlier checkpoint and asks for a proof that the log extends it.
    Outsider,
}

impl By {
    pub(crate) const ALL: [Self; 6] = [
        Self::Start,
        Self::Fsck,
        Self::Verify,
        Self::Register,
        Self::Witness,
        Self::Outsider,
    ];
}

/// What somebody reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// File and offset, or tenant and number of entries.
    pub(crate) place: String,
    pub(crate) reason: String,
}

impl Said {
    pub(crate) fn new(place: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self {
            place: place.into(),
            reason: reason.to_string(),
        }
    }

    fn problem(problem: &Problem) -> Self {
        let place = format!("{}@{}", problem.path.display(), problem.offset);
        Self::new(place, &problem.reason)
    }

    fn error(tenant: &str, error: &Error) -> Self {
        match error {
            Error::Damage { path, offset, reason } => {
                Self::new(format!("{}@{offset}", path.display()), reason)
            }
            error => Self::new(tenant, error),
        }
    }

    fn refused(error: &OpenError) -> Self {
        match error {
            OpenError::Damage { path, offset, reason } => {
                Self::new(format!("{}@{offset}", path.display()), reason)
            }
            error => Self::new("start", error),
        }
    }
}

/// Who noticed, and the first thing that each of them says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(BTreeMap<By, Said>);

impl Verdict {
    pub(crate) fn said(&self, by: By) -> Option<&Said> {
        self.0.get(&by)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (By, &Said)> {
        self.0.iter().map(|(by, said)| (*by, said))
    }

    fn add(&mut self, by: By, said: impl IntoIterator<Item = Said>) {
        if let Some(said) = said.into_iter().next() {
            self.0.entry(by).or_insert(said);
        }
    }
}

/// Lets everybody look, each at a copy.
pub(crate) fn judge(case: &Case<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for (by, said) in &case.said {
        verdict.add(*by, [said.clone()]);
    }
    let alone = case.store.world(&case.disk, None);
    let with = case.store.world(&case.disk, Some(&case.register));
    let checked = check(&alone);
    let register = check(&with).into_iter().filter(|said| !checked.contains(said));
    verdict.add(By::Register, register);
    verdict.add(By::Fsck, checked);
    let warnings = match alone.try_open() {
        Err(error) => {
            verdict.add(By::Start, [Said::refused(&error)]);
            Vec::new()
        }
        Ok((engine, opened)) => {
            for name in case.store.outside.records.keys() {
                verdict.add(By::Start, read(case, &engine, name));
                verdict.add(By::Verify, verify(&engine, name));
                verdict.add(By::Witness, witness(case, &engine, name));
                verdict.add(By::Outsider, outsider(case, &engine, name));
            }
            opened.warnings
        }
    };
    verdict.add(By::Register, start_with(case, &with, &warnings));
    verdict
}

fn check(world: &World) -> Vec<Said> {
    let parts = match world.parts() {
        Ok(parts) => parts,
        Err(error) => return vec![Said::refused(&error)],
    };
    match fsck(&parts, &mut |_, _, _| {}) {
        Ok(report) => report.problems.iter().map(Said::problem).collect(),
        Err(error) => vec![Said::refused(&error)],
    }
}

/// Reads every record; what is given out must have been appended.
fn read(case: &Case<'_>, engine: &Engine, name: &str) -> Option<Said> {
    let size = match engine.tenant(name) {
        Ok(info) => info.size,
        Err(error) => return Some(Said::error(name, &error)),
    };
    let known = &case.store.outside.records[name];
    let mut said = None;
    for (seq, record) in (0..size).zip(known) {
        match engine.get(name, &everything(), Which::Seq(seq)) {
            Ok(view) if case.forged || content(&view) == *record => {}
            Ok(view) => panic!("{}: {name} {seq} reads as {view:?}, not {record}", case.what),
            Err(error) => said = said.or(Some(Said::error(name, &error))),
        }
    }
    said
}

fn verify(engine: &Engine, name: &str) -> Option<Said> {
    match engine.verify(name, &mut |_, _| {}) {
        Ok(report) => report.problems.first().map(Said::problem),
        Err(error) => Some(Said::error(name, &error)),
    }
}

/// What a start with the head register says that one without it does not.
fn start_with(case: &Case<'_>, world: &World, known: &[String]) -> Option<Said> {
    let (engine, opened) = world.try_open().ok()?;
    let names = case.store.outside.records.keys();
    let refusals = names.filter_map(|name| {
        let info = engine.tenant(name).ok()?;
        Some(Said::new(name, info.refuses_appends?))
    });
    let warnings = opened.warnings.iter().filter(|warning| !known.contains(warning));
    let warnings = warnings.map(|warning| Said::new("register", warning));
    refusals.chain(warnings).next()
}

/// Offers the log's newest checkpoint to the witness.
fn witness(case: &Case<'_>, engine: &Engine, name: &str) -> Option<Said> {
    let checkpoint = engine.checkpoint(name).ok()?;
    let old = size_of(case.store.outside.checkpoints.get(name)?);
    let size = size_of(&checkpoint);
    let proof = engine.consistency(name, old.min(size), size);
    let request = Request {
        old,
        proof: proof.map(|proof| proof.hashes).unwrap_or_default(),
        checkpoint,
    };
    let answer = case
        .store
        .witness()
        .add_checkpoint(request.to_string().as_bytes());
    let place = format!("{name} at {size}");
    (answer.status != 200).then(|| Said::new(place, format!("{} {}", answer.status, answer.body.trim())))
}

/// Asks for a proof that the log extends the checkpoint that was saved.
fn outsider(case: &Case<'_>, engine: &Engine, name: &str) -> Option<Said> {
    let known = &case.store.outside;
    let vkey: VerifierKey = known.vkeys.get(name)?.parse().unwrap();
    let saved = open_checkpoint(known.checkpoints.get(name)?, &vkey).unwrap();
    let note = engine.checkpoint(name).ok()?;
    let place = format!("{name} at {}", saved.size());
    let shown = match open_checkpoint(&note, &vkey) {
        Ok(shown) => shown,
        Err(error) => return Some(Said::new(place, error)),
    };
    if shown.size() < saved.size() {
        return Some(Said::new(
            place,
            format!("the log shows {} entries", shown.size()),
        ));
    }
    let proof: Vec<Hash> = match engine.consistency(name, saved.size(), shown.size()) {
        Ok(proof) => proof.hashes,
        Err(error) => return Some(Said::new(place, error)),
    };
    let sizes = (saved.size(), shown.size());
    verify_consistency(sizes.0, sizes.1, saved.root(), shown.root(), &proof)
        .err()
        .map(|error| Said::new(place, error))
}

fn size_of(checkpoint: &str) -> u64 {
    checkpoint.lines().nth(1).unwrap().parse().unwrap()
}
