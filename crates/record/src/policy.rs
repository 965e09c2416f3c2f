//! The privacy policy: which fields are personal, and about whom.
//!
//! Always personal, whatever the rules say: `/data_subjects/*/id`, the fields that a data subject declares, and
//! `id`, `name` and `attributes` of a target whose type and id are those of a subject of the event.

use serde::{Deserialize, Serialize};

/// Which fields of an event are personal, and about whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct PrivacyPolicy {
    version: u32,
    human_types: Vec<String>,
    rules: Vec<Rule>,
}

/// One rule: the fields at and beneath `path` are about `subject`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// JSON pointer in which a segment `*` stands for any one name or index.
    pub path: String,
    /// Whom the fields are about.
    pub subject: SubjectRule,
}

/// Whom a rule's fields are about. A rule about nobody in the event at hand has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectRule {
    /// The actor, when it is a person.
    Actor,
    /// The principal the actor acts for, when it is a person.
    OnBehalfOf,
    /// Every declared data subject.
    Declared,
    /// Every subject of the event.
    All,
}

/// A policy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A rule names no field that can be taken out of the public group.
    #[error("no field at {0:?} can be personal")]
    Path(String),
    /// Version 0 is kept for control records.
    #[error("a privacy policy's version starts at 1")]
    Version,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    human_types: Vec<String>,
    rules: Vec<Rule>,
}

impl PrivacyPolicy {
    /// Makes a policy.
    ///
    /// # Errors
    /// [`PolicyError`] for version 0 and for a rule that can never match.
    pub fn new(version: u32, human_types: Vec<String>, rules: Vec<Rule>) -> Result<Self, PolicyError> {
        Ok(Self { version, human_types, rules })
    }

    /// Returns the version that public groups name.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns the actor types that are people, lower case.
    pub fn human_types(&self) -> &[String] {
        &self.human_types
    }

    /// Returns the rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Default for PrivacyPolicy {
    fn default() -> Self {
        todo!()
    }
}

impl TryFrom<Wire> for PrivacyPolicy {
    type Error = PolicyError;

    fn try_from(wire: Wire) -> Result<Self, PolicyError> {
        Self::new(wire.version, wire.human_types, wire.rules)
    }
}

impl From<PrivacyPolicy> for Wire {
    fn from(policy: PrivacyPolicy) -> Self {
        Self { version: policy.version, human_types: policy.human_types, rules: policy.rules }
    }
}
