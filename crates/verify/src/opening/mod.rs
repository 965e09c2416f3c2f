//! A record together with what opens its commitment: salts and bytes, or a bare commitment for what is withheld.

mod check;
mod codec;
mod json;
#[cfg(test)]
pub(crate) mod tests;

use attestore_record::{
    Entry,
    commitment::group_commitment,
    entry::{ENTRY_BYTES, EntryError},
};

pub use check::{Opened, OpeningError, verify_opening};
pub use codec::{CodecError, GROUPS_MAX, OPENING_VERSION};

/// Holds a record with the openings of its groups. Its bytes are the `extra` data of a `.tlog-proof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedRecord {
    /// The leaf content.
    pub entry: [u8; ENTRY_BYTES],
    /// Bytes of the public group.
    pub public: Vec<u8>,
    /// Salt of the public group.
    pub salt0: [u8; 32],
    /// The personal groups, in strictly ascending order of their commitments.
    pub groups: Vec<GroupOpening>,
}

/// Opens one personal group, or stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupOpening {
    /// The reader gets the group.
    Opened {
        /// Salt of the group.
        salt: [u8; 32],
        /// Bytes of the group.
        bytes: Vec<u8>,
    },
    /// The reader may not see the group, or it was erased.
    Withheld {
        /// Commitment of the group.
        commitment: [u8; 32],
    },
}

impl OpenedRecord {
    /// Puts a record together and its groups in order. Verifies nothing else.
    ///
    /// # Errors
    /// [`EntryError`] if the entry does not tell by which function the groups are hashed.
    pub fn new(
        entry: [u8; ENTRY_BYTES],
        public: Vec<u8>,
        salt0: [u8; 32],
        mut groups: Vec<GroupOpening>,
    ) -> Result<Self, EntryError> {
        let parsed = Entry::from_bytes(&entry)?;
        groups.sort_by_cached_key(|group| group.part().commitment(&parsed));
        Ok(Self {
            entry,
            public,
            salt0,
            groups,
        })
    }
}

impl GroupOpening {
    /// Tells whether the reader gets the group.
    #[must_use]
    pub const fn is_opened(&self) -> bool {
        matches!(self, Self::Opened { .. })
    }

    fn part(&self) -> Part<'_> {
        match self {
            Self::Opened { salt, bytes } => Part::Opened { salt: *salt, bytes },
            Self::Withheld { commitment } => Part::Withheld {
                commitment: *commitment,
            },
        }
    }
}

/// An [`OpenedRecord`] in bytes that somebody else holds.
pub(crate) struct Parts<'a> {
    pub(crate) entry: [u8; ENTRY_BYTES],
    pub(crate) public: &'a [u8],
    salt0: [u8; 32],
    groups: Vec<Part<'a>>,
}

/// A [`GroupOpening`] in bytes that somebody else holds.
enum Part<'a> {
    Opened { salt: [u8; 32], bytes: &'a [u8] },
    Withheld { commitment: [u8; 32] },
}

impl Part<'_> {
    /// Returns the commitment, recomputed if the group is open.
    fn commitment(&self, entry: &Entry) -> [u8; 32] {
        match self {
            Self::Opened { salt, bytes } => group_commitment(entry.version, salt, bytes),
            Self::Withheld { commitment } => *commitment,
        }
    }
}

impl<'a> From<&'a OpenedRecord> for Parts<'a> {
    fn from(record: &'a OpenedRecord) -> Self {
        Self {
            entry: record.entry,
            public: &record.public,
            salt0: record.salt0,
            groups: record.groups.iter().map(GroupOpening::part).collect(),
        }
    }
}

impl From<Parts<'_>> for OpenedRecord {
    fn from(parts: Parts<'_>) -> Self {
        let group = |part| match part {
            Part::Opened { salt, bytes } => GroupOpening::Opened {
                salt,
                bytes: bytes.to_vec(),
            },
            Part::Withheld { commitment } => GroupOpening::Withheld { commitment },
        };
        Self {
            entry: parts.entry,
            public: parts.public.to_vec(),
            salt0: parts.salt0,
            groups: parts.groups.into_iter().map(group).collect(),
        }
    }
}
