//! What the catalog keeps of a log's keys beside the current one.

use serde::{Deserialize, Serialize};

use super::fork::{LastKnown, PendingFork};

/// Of one tenant; none where its log still has its first key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HandoverRow {
    /// Keys before the current one, the oldest first.
    pub(crate) former: Vec<FormerRow>,
    /// The key that a rotation under way will put in force.
    pub(super) next: Option<NextRow>,
    /// The last former key while it still signs.
    pub(crate) retiring: Option<RetiringRow>,
    /// What the log had when it was first found to be rolled back.
    pub(super) lost: Option<LastKnown>,
    /// The fork whose record is not in the log yet.
    pub(super) fork: Option<PendingFork>,
}

impl FormerRow {
    /// Its vkey.
    pub(crate) fn vkey(&self) -> &str {
        &self.vkey
    }
}

impl HandoverRow {
    /// Whether the log was forked and the record of that is still to be written.
    pub(crate) fn is_forked(&self) -> bool {
        self.fork.is_some()
    }

    /// Whether nothing is under way: no rotation, no key that still signs, no fork, nothing lost.
    pub(crate) fn is_settled(&self) -> bool {
        self.next.is_none() && self.retiring.is_none() && self.fork.is_none() && self.lost.is_none()
    }

    /// Of a log that another server had until `head`, which `handover` names: it goes on here in a new epoch, whose record is still to be
    /// written.
    pub(crate) fn moved_here(
        former: Vec<FormerRow>,
        (vkey, origin): (&str, &str),
        (size, root): (u64, &str),
        handover: &str,
        reason: String,
    ) -> Self {
        let mut row = Self {
            former,
            fork: Some(PendingFork::of_move(origin, (size, root), handover, reason)),
            ..Self::default()
        };
        row.former.push(FormerRow {
            vkey: vkey.to_owned(),
            until: size,
            handover: handover.to_owned(),
        });
        row
    }

    /// The vkey of the newest key that is not current any more.
    pub(crate) fn newest_former(&self) -> Option<&str> {
        self.former.last().map(|former| former.vkey.as_str())
    }

    /// Slots of the keys that it names.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u64> {
        let next = self.next.as_ref().map(|key| key.slot);
        next.into_iter().chain(self.retiring.as_ref().map(|key| key.slot))
    }
}

/// A key before the current one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FormerRow {
    pub(super) vkey: String,
    /// Number of entries of the last tree that only it signed.
    pub(super) until: u64,
    /// What it signed to name the next: a note.
    pub(super) handover: String,
}

/// The key that comes next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NextRow {
    pub(super) slot: u64,
    pub(super) handover: String,
}

/// A key that goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RetiringRow {
    pub(crate) slot: u64,
    /// When it is destroyed, Unix milliseconds.
    pub(super) at_ms: u64,
}
