//! The entry: the fixed-size leaf content of a tenant's log.
//!
//! # Format
//! 44 bytes, big-endian:
//!
//! ```text
//! version u8 ‖ kind u8 ‖ class u16 ‖ time_ms u64 ‖ commitment [32]
//! ```
//!
//! # Errors
//! [`Entry::from_bytes`] refuses versions and kinds that it does not know.

use crate::commitment::HashVersion;

/// Length of an entry in bytes.
pub const ENTRY_BYTES: usize = 44;

/// Retention class of control records, which are never purged.
pub const CLASS_CONTROL: u16 = 0;

/// Retention class of events for which nothing else is set.
pub const CLASS_DEFAULT: u16 = 1;

const _: () = assert!(ENTRY_BYTES == 1 + 1 + 2 + 8 + 32);

/// What one leaf of a log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Entry version: the hash function of the commitment.
    pub version: HashVersion,
    /// What kind of record this is.
    pub kind: Kind,
    /// Retention class: [`CLASS_CONTROL`], [`CLASS_DEFAULT`] or a number that
    /// policy records define.
    pub class: u16,
    /// Time of receipt, Unix milliseconds. Within one class of a log it never
    /// runs backwards; between classes it may.
    pub time_ms: u64,
    /// Salted hash of the record.
    pub commitment: [u8; 32],
}

/// The kind of a record. Clients append only [`Kind::Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An event that a client sent.
    Event = 1,
    /// A data subject or a whole record was erased.
    Erasure = 2,
    /// Records were purged by retention.
    Purge = 3,
    /// A legal hold was placed or released.
    Hold = 4,
    /// A policy (retention, privacy, index) was set.
    Policy = 5,
    /// A key was made, rotated or destroyed.
    Key = 6,
    /// A checkpoint of another log was taken over.
    CheckpointImport = 7,
    /// The log moved to a new epoch.
    Fork = 8,
    /// Processing of a subject's data was restricted or allowed again.
    Restriction = 9,
    /// A detection or an operational incident.
    Incident = 10,
}

/// Bytes that are not a valid entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The length is not [`ENTRY_BYTES`].
    #[error("an entry has 44 bytes, not {0}")]
    Length(usize),
    /// The version is not known.
    #[error("unknown entry version {0}")]
    Version(u8),
    /// The kind is 0 or not known.
    #[error("unknown entry kind {0}")]
    Kind(u8),
}

impl Entry {
    /// Returns the 44 bytes that are the leaf content.
    pub fn to_bytes(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0] = self.version.byte();
        bytes[1] = self.kind.byte();
        bytes[2..4].copy_from_slice(&self.class.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.time_ms.to_be_bytes());
        bytes[12..].copy_from_slice(&self.commitment);
        bytes
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`EntryError`] for a wrong length, an unknown version or an unknown kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let bytes: &[u8; ENTRY_BYTES] = bytes.try_into().map_err(|_| EntryError::Length(bytes.len()))?;
        let (head, commitment) = bytes.split_at(12);
        Ok(Self {
            version: HashVersion::from_byte(head[0]).ok_or(EntryError::Version(head[0]))?,
            kind: Kind::from_byte(head[1]).ok_or(EntryError::Kind(head[1]))?,
            class: u16::from_be_bytes([head[2], head[3]]),
            time_ms: head[4..]
                .iter()
                .fold(0, |time, byte| time << 8 | u64::from(*byte)),
            commitment: commitment.try_into().expect("44 - 12 = 32 bytes"),
        })
    }
}

impl Kind {
    /// Every kind, in order of number.
    pub const ALL: [Self; 10] = [
        Self::Event,
        Self::Erasure,
        Self::Purge,
        Self::Hold,
        Self::Policy,
        Self::Key,
        Self::CheckpointImport,
        Self::Fork,
        Self::Restriction,
        Self::Incident,
    ];

    /// Returns the number that stands in an entry.
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Returns the kind with that number; `None` for 0 and unknown numbers.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// Returns the name used in documents and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Erasure => "erasure",
            Self::Purge => "purge",
            Self::Hold => "hold",
            Self::Policy => "policy",
            Self::Key => "key",
            Self::CheckpointImport => "checkpoint_import",
            Self::Fork => "fork",
            Self::Restriction => "restriction",
            Self::Incident => "incident",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ENTRY_BYTES, Entry, EntryError, Kind};
    use crate::commitment::HashVersion;

    #[test]
    fn every_flipped_byte_is_refused_or_seen() {
        let entry = Entry {
            version: HashVersion::Blake3,
            kind: Kind::Fork,
            class: 0x0102,
            time_ms: 0x0304_0506_0708_090a,
            commitment: [0xab; 32],
        };
        let bytes = entry.to_bytes();
        assert_eq!(Entry::from_bytes(&bytes), Ok(entry));
        assert_eq!(bytes[..12], [1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        for at in 0..ENTRY_BYTES {
            let mut damaged = bytes;
            damaged[at] ^= 0x40;
            assert_ne!(Entry::from_bytes(&damaged), Ok(entry));
        }
    }

    #[test]
    fn zero_kind_and_version_are_refused() {
        let mut bytes = [0; ENTRY_BYTES];
        assert_eq!(Entry::from_bytes(&bytes), Err(EntryError::Version(0)));
        bytes[0] = 2;
        assert_eq!(Entry::from_bytes(&bytes), Err(EntryError::Kind(0)));
        bytes[1] = 11;
        assert_eq!(Entry::from_bytes(&bytes), Err(EntryError::Kind(11)));
        assert_eq!(Entry::from_bytes(&bytes[1..]), Err(EntryError::Length(43)));
    }
}
