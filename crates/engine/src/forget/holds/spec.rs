//! What is to be held.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::search::Filter;

/// A hold to be placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldSpec {
    /// What is held.
    pub scope: HoldScope,
    /// What it is about, for the log, where it stays for good: a file number, never a name. 1 to 128 characters.
    pub matter: String,
    /// Why, for those who look after holds. Sealed; at most 4096 characters.
    pub reason: String,
    /// When somebody should look whether it is still needed, Unix milliseconds.
    pub review_ms: Option<u64>,
}

/// What a hold covers: all that any of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldScope {
    /// What a query matches, now and later. Personal fields count, whoever places the hold.
    pub query: Option<String>,
    /// What somebody did, now and later.
    pub actor: Option<Person>,
    /// What is about somebody, now and later: by their id, whatever type it stands with.
    pub subject: Option<Person>,
    /// Records that are there.
    pub ranges: Vec<Range<u64>>,
    /// Whole classes, also what comes later.
    pub classes: Vec<u16>,
}

/// Somebody, as events name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Type, as stored.
    #[serde(rename = "type")]
    pub ty: String,
    /// Id.
    pub id: String,
}

/// How a hold is released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Why, for those who look after holds. Sealed; at most 4096 characters.
    pub reason: String,
}

/// The part of a hold that may name people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    #[serde(default)]
    pub(super) query: Option<String>,
    #[serde(default)]
    pub(super) actor: Option<Person>,
    #[serde(default)]
    pub(super) subject: Option<Person>,
    pub(super) reason: String,
    #[serde(default)]
    pub(super) released: Option<String>,
}

impl Sealed {
    /// What is asked of records, with the right to see everything.
    ///
    /// # Errors
    /// [`Error::Query`].
    pub(super) fn filters(&self) -> Result<Vec<Filter>> {
        let actor = self.actor.as_ref().map(|actor| {
            let (ty, id) = (quoted(&actor.ty), quoted(&actor.id));
            format!("actor.type:{ty} AND actor.id:{id}")
        });
        // Every subject of a record is named by one of these: which types are people's, policies say, and they change.
        let subject = self.subject.as_ref().map(|subject| {
            let id = quoted(&subject.id);
            format!("data_subjects.id:{id} OR actor.id:{id} OR actor.on_behalf_of.id:{id} OR targets.id:{id}")
        });
        let asked = [self.query.clone(), actor, subject];
        asked
            .into_iter()
            .flatten()
            .map(|query| Filter::parse(&query, true).map(Filter::with_hidden))
            .collect()
    }

    /// Whether newer records may match.
    pub(super) const fn asks(&self) -> bool {
        self.query.is_some() || self.actor.is_some() || self.subject.is_some()
    }
}

impl HoldSpec {
    /// Checks it. `size` is that of the log.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Query`].
    pub(super) fn check(&self, size: u64) -> Result<()> {
        let scope = &self.scope;
        let sealed = self.sealed();
        if !sealed.asks() && scope.ranges.is_empty() && scope.classes.is_empty() {
            return Err(invalid(
                "a hold names a query, an actor, a subject, ranges or classes",
            ));
        }
        let matter = self.matter.chars().count();
        if !(1..=MATTER_CHARS_MAX).contains(&matter) || self.matter.chars().any(char::is_control) {
            return Err(invalid(
                "a matter has 1 to 128 characters, none of them a control character",
            ));
        }
        check_reason(&self.reason)?;
        if scope.classes.contains(&0) || scope.classes.len() > CLASSES_MAX {
            return Err(invalid(
                "a hold names at most 1024 classes, not class 0: control records never go",
            ));
        }
        let inside = |range: &Range<u64>| range.start < range.end && range.end <= size;
        if scope.ranges.len() > RANGES_MAX || !scope.ranges.iter().all(inside) {
            return Err(invalid(
                "a hold names at most 100,000 ranges, not empty, of records that are there",
            ));
        }
        let named = |person: &Person| {
            !person.id.is_empty() && person.id.len() <= ID_BYTES_MAX && person.ty.len() <= ID_BYTES_MAX
        };
        if ![&scope.actor, &scope.subject].into_iter().flatten().all(named) {
            return Err(invalid(
                "an actor or subject has an id; types and ids have at most 256 bytes",
            ));
        }
        if scope.query.as_ref().is_some_and(|query| query.trim().is_empty()) {
            return Err(invalid("an empty query matches everything: hold classes instead"));
        }
        sealed.filters().map(drop)
    }

    pub(super) fn sealed(&self) -> Sealed {
        Sealed {
            query: self.scope.query.clone(),
            actor: self.scope.actor.clone(),
            subject: self.scope.subject.clone(),
            reason: self.reason.clone(),
            released: None,
        }
    }
}

/// Checks a reason.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check_reason(reason: &str) -> Result<()> {
    match (1..=REASON_CHARS_MAX).contains(&reason.trim().chars().count()) {
        true => Ok(()),
        false => Err(invalid("a reason has 1 to 4096 characters")),
    }
}

/// A value in quotation marks, in which everything is plain.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for sign in text.chars() {
        if matches!(sign, '"' | '\\') {
            out.push('\\');
        }
        out.push(sign);
    }
    out.push('"');
    out
}

fn invalid(message: &str) -> Error {
    Error::Invalid {
        code: "invalid_hold",
        message: message.to_owned(),
    }
}

const MATTER_CHARS_MAX: usize = 128;
const REASON_CHARS_MAX: usize = 4096;
const ID_BYTES_MAX: usize = 256;
/// As many as verifiers judge in one control.
const CLASSES_MAX: usize = 1024;
const RANGES_MAX: usize = 100_000;
