//! The payload of a section: what one tenant gets written in one commit.
//!
//! # Format
//! Little-endian, fixed width; the byte tables are in `docs/format/section.md`.
//!
//! ```text
//! version u8 = 1 ‖ zero u8 ‖ zero u16 ‖ records u32 ‖ subjects u32 ‖ first seq u64
//! ‖ salt generation u32 ‖ generation key [32] ‖ size after u64 ‖ root after [32]
//! subjects × { handle [16] ‖ blind [32] ‖ key [32] }
//! records  × { entry [44] ‖ id [16] ‖ flags u8 ‖ groups u16 ‖ public length u32
//!              ‖ if flags & 1: key hash u64, event digest [16]
//!              ‖ groups × { commitment [32] ‖ handles u16 ‖ sealed length u32 ‖ handles × [16] ‖ sealed }
//!              ‖ public bytes }
//! ```
//!
//! # Durability
//! The section is sealed by the log under the tenant's key; it alone carries new subjects' keys and the generation key
//! until a flush stores them.
//!
//! # Errors
//! A payload that opened and does not decode was not written by this version: damage.

use attestore_keys::Key;
use attestore_record::{Entry, Handle, RecordId};
use attestore_tlog::{Hash, leaf_hash};
use attestore_wal::SectionBuf;
use bytes::Bytes;

use crate::tenant::{Generation, Idempotency, Subject, TailGroup, TailRecord};

/// What a section says besides its records.
pub(crate) struct SectionHead<'a> {
    pub(crate) first_seq: u64,
    pub(crate) generation: &'a Generation,
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// Writes a section's payload.
pub(crate) fn write<'a>(
    buf: &mut SectionBuf<'_>,
    head: &SectionHead<'_>,
    subjects: &[std::sync::Arc<Subject>],
    records: impl ExactSizeIterator<Item = &'a TailRecord>,
) {
    buf.extend_from_slice(&[VERSION, 0, 0, 0]);
    buf.extend_from_slice(&count(records.len()).to_le_bytes());
    buf.extend_from_slice(&count(subjects.len()).to_le_bytes());
    buf.extend_from_slice(&head.first_seq.to_le_bytes());
    buf.extend_from_slice(&head.generation.number.to_le_bytes());
    buf.extend_from_slice(head.generation.key.expose());
    buf.extend_from_slice(&head.size.to_le_bytes());
    buf.extend_from_slice(&head.root.0);
    for subject in subjects {
        buf.extend_from_slice(subject.handle.as_bytes());
        buf.extend_from_slice(&subject.blind);
        buf.extend_from_slice(subject.key.expose());
    }
    for record in records {
        write_record(buf, record);
    }
}

fn write_record(buf: &mut SectionBuf<'_>, record: &TailRecord) {
    let mut fixed = [0u8; RECORD_FIXED];
    fixed[..44].copy_from_slice(&record.entry.to_bytes());
    fixed[44..60].copy_from_slice(record.id.as_bytes());
    fixed[60] = u8::from(record.idempotency.is_some()) * HAS_IDEMPOTENCY;
    fixed[61..63].copy_from_slice(&short(record.groups.len()).to_le_bytes());
    fixed[63..67].copy_from_slice(&count(record.public.len()).to_le_bytes());
    buf.extend_from_slice(&fixed);
    if let Some(idempotency) = &record.idempotency {
        buf.extend_from_slice(&idempotency.key.to_le_bytes());
        buf.extend_from_slice(&idempotency.digest);
    }
    for group in &record.groups {
        buf.extend_from_slice(&group.commitment);
        buf.extend_from_slice(&short(group.handles.len()).to_le_bytes());
        buf.extend_from_slice(&count(group.sealed.len()).to_le_bytes());
        for handle in &group.handles {
            buf.extend_from_slice(handle.as_bytes());
        }
        buf.extend_from_slice(&group.sealed);
    }
    buf.extend_from_slice(&record.public);
}

/// A decoded section.
pub(crate) struct Section {
    /// Seq of its first record.
    pub(crate) first_seq: u64,
    /// The salt generation of its records.
    pub(crate) generation: Generation,
    /// Size of the tree after it.
    pub(crate) size: u64,
    /// Root of the tree after it.
    pub(crate) root: Hash,
    /// New subjects: handle, blind, key.
    pub(crate) subjects: Vec<(Handle, [u8; 32], Key)>,
    /// Its records, in order.
    pub(crate) records: Vec<TailRecord>,
}

/// Decodes a section's payload. Takes any bytes; allocates no more than a small multiple of their length.
///
/// # Errors
/// What does not hold, and at which byte.
pub(crate) fn parse(payload: Vec<u8>) -> Result<Section, SectionError> {
    let payload = Bytes::from(payload);
    let mut cursor = Cursor {
        bytes: &payload,
        at: 0,
    };
    if cursor.array::<4>()? != [VERSION, 0, 0, 0] {
        return Err(SectionError {
            at: 0,
            reason: "unknown version",
        });
    }
    let records = cursor.u32()?;
    let subjects = cursor.u32()?;
    let first_seq = cursor.u64()?;
    let number = cursor.u32()?;
    let generation = Generation {
        number,
        key: Key::from_bytes(cursor.array()?),
    };
    let size = cursor.u64()?;
    let root = Hash(cursor.array()?);
    cursor.fits(subjects, SUBJECT_BYTES)?;
    let subjects = (0..subjects)
        .map(|_| {
            Ok((
                Handle::from_bytes(cursor.array()?),
                cursor.array()?,
                Key::from_bytes(cursor.array()?),
            ))
        })
        .collect::<Result<Vec<_>, SectionError>>()?;
    cursor.fits(records, RECORD_FIXED)?;
    let mut parsed = Vec::with_capacity(records as usize);
    for index in 0..u64::from(records) {
        let seq = first_seq.checked_add(index).ok_or(SectionError {
            at: cursor.at,
            reason: "seq overflows",
        })?;
        parsed.push(parse_record(&payload, &mut cursor, seq, number)?);
    }
    if cursor.at != payload.len() {
        return Err(SectionError {
            at: cursor.at,
            reason: "bytes after the last record",
        });
    }
    Ok(Section {
        first_seq,
        generation,
        size,
        root,
        subjects,
        records: parsed,
    })
}

fn parse_record(
    payload: &Bytes,
    cursor: &mut Cursor<'_>,
    seq: u64,
    generation: u32,
) -> Result<TailRecord, SectionError> {
    let at = cursor.at;
    let entry_bytes = cursor.array::<44>()?;
    let entry = Entry::from_bytes(&entry_bytes).map_err(|_| SectionError {
        at,
        reason: "entry of unknown version or kind",
    })?;
    let id = RecordId::from_bytes(cursor.array()?);
    let [flags] = cursor.array()?;
    if flags & !HAS_IDEMPOTENCY != 0 {
        return Err(SectionError {
            at,
            reason: "unknown record flags",
        });
    }
    let groups = cursor.u16()?;
    let public_len = cursor.u32()?;
    let idempotency = if flags & HAS_IDEMPOTENCY == 0 {
        None
    } else {
        Some(Idempotency {
            key: cursor.u64()?,
            digest: cursor.array()?,
        })
    };
    cursor.fits(u32::from(groups), GROUP_FIXED)?;
    let groups = (0..groups)
        .map(|_| {
            let commitment = cursor.array()?;
            let handles = cursor.u16()?;
            let sealed_len = cursor.u32()?;
            cursor.fits(u32::from(handles), HANDLE_BYTES)?;
            let handles = (0..handles)
                .map(|_| Ok(Handle::from_bytes(cursor.array()?)))
                .collect::<Result<Vec<_>, SectionError>>()?;
            Ok(TailGroup {
                commitment,
                handles,
                sealed: cursor.shared(payload, sealed_len)?,
            })
        })
        .collect::<Result<Vec<_>, SectionError>>()?;
    let public = cursor.shared(payload, public_len)?;
    let leaf = leaf_hash(&entry_bytes);
    Ok(TailRecord {
        seq,
        id,
        entry,
        leaf,
        generation,
        public,
        groups,
        idempotency,
    })
}

/// Why a payload is not a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} of the section: {reason}")]
pub(crate) struct SectionError {
    /// Offset in the payload.
    pub(crate) at: usize,
    /// What does not hold.
    pub(crate) reason: &'static str,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], SectionError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let found = rest.first_chunk::<N>().ok_or(SectionError {
            at: self.at,
            reason: "ends too early",
        })?;
        self.at += N;
        Ok(*found)
    }

    fn u16(&mut self) -> Result<u16, SectionError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, SectionError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SectionError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes the next `length` bytes without copying them.
    fn shared(&mut self, payload: &Bytes, length: u32) -> Result<Bytes, SectionError> {
        self.fits(length, 1)?;
        let from = self.at;
        self.at += length as usize;
        Ok(payload.slice(from..self.at))
    }

    /// Refuses a count of things of at least `each` bytes that cannot be there.
    fn fits(&self, count: u32, each: usize) -> Result<(), SectionError> {
        let rest = self.bytes.len().saturating_sub(self.at);
        match (count as usize).checked_mul(each) {
            Some(needed) if needed <= rest => Ok(()),
            _ => Err(SectionError {
                at: self.at,
                reason: "counts more than there is",
            }),
        }
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("an append is far smaller than 4 GiB")
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("an event has at most 32 subjects, so few groups of few handles")
}

const VERSION: u8 = 1;
const HAS_IDEMPOTENCY: u8 = 1;
const SUBJECT_BYTES: usize = 16 + 32 + 32;
const HANDLE_BYTES: usize = 16;
const GROUP_FIXED: usize = 32 + 2 + 4;
const RECORD_FIXED: usize = 44 + 16 + 1 + 2 + 4;

const _: () = assert!(RECORD_FIXED == 67);

#[cfg(test)]
mod tests;
