//! What the catalog keeps of a tenant's keys beside their slots. JSON, so that a later version can add fields.

use serde::{Deserialize, Serialize};

use super::policy::KeyPolicy;

/// Of one tenant; none where nothing was ever set or rotated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeysRow {
    pub(super) policy: KeyPolicy,
    pub(super) tenant: CurrentRow,
    pub(super) signing: CurrentRow,
    pub(super) buckets: CurrentRow,
    /// Keys that are out of use, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<FormerRow>,
    /// The rotation under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<JobRow>,
}

/// A key that is in use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CurrentRow {
    /// 0 of keys from before there were rows: the first.
    pub(super) generation: u64,
    /// When it was made, Unix milliseconds; `None` of keys from before there were rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) made_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compromised: Option<CompromisedRow>,
}

impl CurrentRow {
    /// Its number, from 1.
    pub(super) fn number(&self) -> u64 {
        self.generation.max(1)
    }
}

/// A key that is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CompromisedRow {
    /// Since when, Unix milliseconds.
    pub(super) since_ms: u64,
    pub(super) reason: String,
}

/// A key that is out of use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FormerRow {
    pub(super) key: KeyKind,
    pub(super) generation: u64,
    /// Its verifier key, if it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vkey: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) made_ms: Option<u64>,
    /// Since when it protects nothing new, Unix milliseconds; `None` while it still signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_ms: Option<u64>,
    /// Since when no copy of it is left here, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) destroyed_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compromised: Option<CompromisedRow>,
}

/// Kinds of keys that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// The key that wraps every other key of a tenant.
    Tenant,
    /// The keys of the pages that a tenant's keys are in; of `_system`, those of all pages.
    Buckets,
    /// The key that signs a log's checkpoints.
    Signing,
    /// The root key of the instance.
    Root,
}

impl KeyKind {
    /// Finds the kind of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tenant, Self::Buckets, Self::Signing, Self::Root]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Buckets => "buckets",
            Self::Signing => "signing",
            Self::Root => "root",
        }
    }
}

/// Why a key is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody asked for it.
    Asked,
    /// Its time was over.
    Due,
    /// Others may have it.
    Compromised,
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// The log may not have it yet, and nothing has changed.
    Asked,
    /// The new key is in force; what is under the former is brought under it.
    Wrapping,
    /// Nothing is under the former any more, and it left the tree of keys.
    Unwrapped,
    /// No older copy of the catalog leads to it; the log may not have that yet.
    Destroyed,
}

/// A rotation under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct JobRow {
    pub(super) key: KeyKind,
    /// The number of the new key.
    pub(super) generation: u64,
    pub(super) state: JobState,
    pub(super) cause: Cause,
    /// Id of the principal.
    pub(super) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Size of the log before: its records are not below.
    pub(super) log_from: u64,
    /// Seq of the record that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    pub(super) started_ms: u64,
    /// Keys that were wrapped anew, or pages that were given fresh keys.
    #[serde(default)]
    pub(super) done: u64,
    /// Of all pages of the instance: the next slot whose page is to be given a fresh key.
    #[serde(default)]
    pub(super) next_slot: u64,
    /// Since when the former key is out of reach, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone_ms: Option<u64>,
}

impl KeysRow {
    /// Whether a rotation has not come to its end.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.job.is_some()
    }

    /// Notes that a key protects nothing new, and which one does from now on.
    pub(super) fn replace(&mut self, key: KeyKind, now_ms: u64) {
        let current = match key {
            KeyKind::Tenant => &mut self.tenant,
            KeyKind::Buckets => &mut self.buckets,
            KeyKind::Signing => &mut self.signing,
            KeyKind::Root => return,
        };
        let generation = current.number();
        let before = std::mem::replace(
            current,
            CurrentRow {
                generation: generation + 1,
                made_ms: Some(now_ms),
                compromised: None,
            },
        );
        self.former.push(FormerRow {
            key,
            generation,
            vkey: None,
            made_ms: before.made_ms,
            ended_ms: Some(now_ms),
            destroyed_ms: None,
            compromised: before.compromised,
        });
        let beyond = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..beyond);
    }

    /// Notes that every former key of a kind is destroyed.
    pub(super) fn destroyed(&mut self, key: KeyKind, at_ms: u64) {
        for former in self.former.iter_mut().filter(|former| former.key == key) {
            former.ended_ms.get_or_insert(at_ms);
            former.destroyed_ms.get_or_insert(at_ms);
        }
    }
}

/// Former keys of a tenant that are remembered.
const FORMER_MAX: usize = 1000;
