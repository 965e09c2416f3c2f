//! The privacy policy: which fields are personal, and about whom.
//!
//! Always personal, whatever the rules say: `/data_subjects/*/id`, the fields that a data subject declares, and
//! `id`, `name` and `attributes` of a target whose id is that of a subject of the event. With several such subjects,
//! the one of the target's type counts, and all of them when there is none.

mod detection;

use serde::{Deserialize, Serialize};

pub use detection::{Action, BySureness, Detection, Setting, UnknownDetector};

use crate::event::leaf::{LEAVES, Leaf};
use crate::json::pointer;

/// Which fields of an event are personal, and about whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct PrivacyPolicy {
    version: u32,
    human_types: Vec<String>,
    rules: Vec<Rule>,
    /// Subject bits of each leaf that rules cover whatever its index.
    leaves: [u8; LEAVES],
    /// Segments and subject bits of the rules about one index or the inside of a free-form value.
    deep: Vec<(Vec<String>, u8)>,
    detect: Detection,
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
///
/// The name `target` is kept for targets of a human type, which are no subjects yet.
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
    #[serde(default, skip_serializing_if = "Detection::is_empty")]
    detect: Detection,
}

impl PrivacyPolicy {
    /// Makes a policy.
    ///
    /// # Errors
    /// [`PolicyError`] for version 0 and for a rule that can never match.
    pub fn new(version: u32, human_types: Vec<String>, rules: Vec<Rule>) -> Result<Self, PolicyError> {
        if version == 0 {
            return Err(PolicyError::Version);
        }
        let mut leaves = [0; LEAVES];
        let mut deep = Vec::new();
        for rule in &rules {
            compile(rule, &mut leaves, &mut deep).ok_or_else(|| PolicyError::Path(rule.path.clone()))?;
        }
        let human_types = human_types.into_iter().map(|ty| ty.to_lowercase()).collect();
        Ok(Self {
            version,
            human_types,
            rules,
            leaves,
            deep,
            detect: Detection::default(),
        })
    }

    /// The same policy with other settings for detectors.
    #[must_use]
    pub fn with_detection(self, detect: Detection) -> Self {
        Self { detect, ..self }
    }

    /// The same policy as another version.
    #[must_use]
    pub fn with_version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Returns what becomes of values that detectors find.
    pub fn detection(&self) -> &Detection {
        &self.detect
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

    /// Tells whether an actor type is a person's. Case does not matter.
    pub fn is_human(&self, ty: &str) -> bool {
        let same = |human: &String| {
            human.eq_ignore_ascii_case(ty)
                || (!ty.is_ascii() && human.chars().eq(ty.chars().flat_map(char::to_lowercase)))
        };
        self.human_types.iter().any(same)
    }

    /// Returns the subject bits of a leaf, whatever its index.
    pub(crate) fn leaf_bits(&self, leaf: Leaf) -> u8 {
        self.leaves[leaf as usize]
    }

    /// Returns the rules that no leaf as a whole stands for.
    pub(crate) fn deep(&self) -> &[(Vec<String>, u8)] {
        &self.deep
    }
}

impl SubjectRule {
    /// The number of different sets of subject rules.
    pub(crate) const SETS: usize = 16;

    pub(crate) const fn bit(self) -> u8 {
        match self {
            Self::Actor => 1,
            Self::OnBehalfOf => 2,
            Self::Declared => 4,
            Self::All => 8,
        }
    }
}

/// Sorts a rule's fields into whole leaves and the rest; `None` when no field can match.
fn compile(rule: &Rule, leaves: &mut [u8; LEAVES], deep: &mut Vec<(Vec<String>, u8)>) -> Option<()> {
    let segments = pointer::segments(&rule.path)?;
    let (mut whole, mut partial) = (false, false);
    for leaf in Leaf::ALL {
        let pattern = leaf.pattern();
        let meets = |(part, segment): (&&str, &std::borrow::Cow<'_, str>)| {
            segment == "*" || segment == part || (*part == "*" && pointer::index(segment).is_some())
        };
        if !pattern.iter().zip(&segments).all(meets) {
            continue;
        }
        let every_index = pattern
            .iter()
            .zip(&segments)
            .all(|(part, segment)| *part != "*" || segment == "*");
        if segments.len() <= pattern.len() && every_index {
            leaves[leaf as usize] |= rule.subject.bit();
            whole = true;
        } else if segments.len() <= pattern.len() || leaf.is_free_form() {
            partial = true;
        }
    }
    if partial {
        deep.push((
            segments.into_iter().map(std::borrow::Cow::into_owned).collect(),
            rule.subject.bit(),
        ));
    }
    (whole || partial).then_some(())
}

const HUMAN_TYPES: [&str; 27] = [
    "user",
    "human",
    "person",
    "employee",
    "customer",
    "member",
    "admin",
    "administrator",
    "contractor",
    "patient",
    "student",
    "root",
    "iam_user",
    "role_session",
    "client",
    "consumer",
    "guest",
    "individual",
    "operator",
    "owner",
    "partner",
    "staff",
    "subscriber",
    "support",
    "teacher",
    "visitor",
    "worker",
];

/// The context and the outcome's message are about both who acts and for whom: behind a service that acts for a person
/// stands that person's device.
const RULES: [(&str, SubjectRule); 20] = [
    ("/outcome_reason/message", SubjectRule::Actor),
    ("/outcome_reason/message", SubjectRule::OnBehalfOf),
    ("/actor/id", SubjectRule::Actor),
    ("/actor/name", SubjectRule::Actor),
    ("/actor/email", SubjectRule::Actor),
    ("/actor/credential_id", SubjectRule::Actor),
    ("/actor/on_behalf_of/id", SubjectRule::OnBehalfOf),
    ("/actor/on_behalf_of/name", SubjectRule::OnBehalfOf),
    ("/actor/on_behalf_of/email", SubjectRule::OnBehalfOf),
    ("/context/ip", SubjectRule::Actor),
    ("/context/ip", SubjectRule::OnBehalfOf),
    ("/context/host", SubjectRule::Actor),
    ("/context/host", SubjectRule::OnBehalfOf),
    ("/context/user_agent", SubjectRule::Actor),
    ("/context/user_agent", SubjectRule::OnBehalfOf),
    ("/context/session_id", SubjectRule::Actor),
    ("/context/session_id", SubjectRule::OnBehalfOf),
    ("/changes/*/old", SubjectRule::All),
    ("/changes/*/new", SubjectRule::All),
    ("/payload", SubjectRule::All),
];

impl Default for PrivacyPolicy {
    /// Version 1, what tenants start with.
    fn default() -> Self {
        let rules = RULES.map(|(path, subject)| Rule {
            path: path.to_owned(),
            subject,
        });
        Self::new(1, HUMAN_TYPES.map(str::to_owned).to_vec(), rules.to_vec())
            .expect("the default rules name leaves")
    }
}

impl TryFrom<Wire> for PrivacyPolicy {
    type Error = PolicyError;

    fn try_from(wire: Wire) -> Result<Self, PolicyError> {
        Ok(Self::new(wire.version, wire.human_types, wire.rules)?.with_detection(wire.detect))
    }
}

impl From<PrivacyPolicy> for Wire {
    fn from(policy: PrivacyPolicy) -> Self {
        Self {
            version: policy.version,
            human_types: policy.human_types,
            rules: policy.rules,
            detect: policy.detect,
        }
    }
}
