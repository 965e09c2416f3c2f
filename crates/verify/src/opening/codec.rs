//! The bytes of an opened record.
//!
//! # Format
//! Integers are big-endian.
//! ```text
//! version u8 = 1 ‖ entry [44] ‖ salt_0 [32] ‖ u32 length ‖ public bytes ‖ u32 n ‖ n × group
//! group        1 u8 ‖ salt [32] ‖ u32 length ‖ bytes          opened
//!              2 u8 ‖ commitment [32]                         withheld
//! ```
//!
//! # Errors
//! Decoding refuses what encoding does not produce, except a wrong order of groups: that takes hashing and is part of
//! [`super::verify_opening`].

use attestore_record::entry::ENTRY_BYTES;
use serde::Serialize;

use super::{GroupOpening, OpenedRecord, Part, Parts};

/// Version of the encoding.
pub const OPENING_VERSION: u8 = 1;
/// Most personal groups in a record that is read.
pub const GROUPS_MAX: usize = 4096;

/// Says why bytes are no opened record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum CodecError {
    /// The version is not known.
    #[error("opening has unknown version {version}")]
    Version {
        /// Version as read.
        version: u8,
    },
    /// The bytes end early.
    #[error("opening ends within its {field}")]
    Truncated {
        /// Field that is cut off.
        field: &'static str,
    },
    /// There are more groups than [`GROUPS_MAX`].
    #[error("opening has {count} groups")]
    TooManyGroups {
        /// Count as read.
        count: u32,
    },
    /// A group is neither opened nor withheld.
    #[error("group {group} of the opening has unknown tag {tag}")]
    Tag {
        /// Position of the group.
        group: usize,
        /// Tag as read.
        tag: u8,
    },
    /// There are bytes after the last group.
    #[error("{bytes} bytes follow the opening")]
    Trailing {
        /// Number of bytes left over.
        bytes: usize,
    },
    /// A part does not fit its length field, or there are more groups than [`GROUPS_MAX`] (when encoding).
    #[error("record is too large for an opening")]
    TooLarge,
}

impl OpenedRecord {
    /// Encodes the record.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.public.len());
        out.push(OPENING_VERSION);
        out.extend_from_slice(&self.entry);
        out.extend_from_slice(&self.salt0);
        put_bytes(&mut out, &self.public)?;
        if self.groups.len() > GROUPS_MAX {
            return Err(CodecError::TooLarge);
        }
        put_length(&mut out, self.groups.len())?;
        for group in &self.groups {
            match group {
                GroupOpening::Opened { salt, bytes } => {
                    out.push(OPENED);
                    out.extend_from_slice(salt);
                    put_bytes(&mut out, bytes)?;
                }
                GroupOpening::Withheld { commitment } => {
                    out.push(WITHHELD);
                    out.extend_from_slice(commitment);
                }
            }
        }
        Ok(out)
    }

    /// Decodes a record. Verifies nothing.
    ///
    /// # Errors
    /// [`CodecError`] for the first rule it breaks.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        Parts::from_bytes(bytes).map(Self::from)
    }
}

impl<'a> Parts<'a> {
    /// As [`OpenedRecord::from_bytes`], without copying.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut rest = Reader(bytes);
        let [version] = rest.array("version")?;
        if version != OPENING_VERSION {
            return Err(CodecError::Version { version });
        }
        let entry = rest.array::<ENTRY_BYTES>("entry")?;
        let salt0 = rest.array("salt")?;
        let public = rest.bytes("public group")?;
        let count = u32::from_be_bytes(rest.array("number of groups")?);
        let groups_max = usize::try_from(count).ok().filter(|count| *count <= GROUPS_MAX);
        let mut groups = Vec::new();
        for group in 0..groups_max.ok_or(CodecError::TooManyGroups { count })? {
            groups.push(match rest.array("tag of a group")? {
                [OPENED] => Part::Opened {
                    salt: rest.array("salt of a group")?,
                    bytes: rest.bytes("group")?,
                },
                [WITHHELD] => Part::Withheld {
                    commitment: rest.array("commitment of a group")?,
                },
                [tag] => return Err(CodecError::Tag { group, tag }),
            });
        }
        match rest.0.len() {
            0 => Ok(Self {
                entry,
                public,
                salt0,
                groups,
            }),
            bytes => Err(CodecError::Trailing { bytes }),
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        let (array, rest) = self
            .0
            .split_first_chunk()
            .ok_or(CodecError::Truncated { field })?;
        self.0 = rest;
        Ok(*array)
    }

    /// A u32 length and that many bytes.
    fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], CodecError> {
        let length = u32::from_be_bytes(self.array(field)?);
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.0.split_at_checked(length));
        let (bytes, rest) = split.ok_or(CodecError::Truncated { field })?;
        self.0 = rest;
        Ok(bytes)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CodecError> {
    put_length(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Result<(), CodecError> {
    let length = u32::try_from(length).map_err(|_| CodecError::TooLarge)?;
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

const OPENED: u8 = 1;
const WITHHELD: u8 = 2;
/// Version, entry, salt and the two counts.
const HEAD_BYTES: usize = 1 + ENTRY_BYTES + 32 + 4 + 4;
