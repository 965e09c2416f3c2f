//! What a rewrite leaves behind of a segment: records that are gone.
//!
//! The salts of what stays are stored with it wherever the same key gives the salts of what goes: the key is not taken over, so
//! with the old file's key nothing derives those any more.

use std::collections::BTreeSet;
use std::ops::Range;

use attestore_record::{commitment, view};
use attestore_segment::{ResolvedSalt, Salt, SegReader};

use crate::error::Result;
use crate::forget::gone::Gone;
use crate::read::readers::segment_error;
use crate::read::records;
use crate::tenant::FileSet;

/// What stays behind of one segment.
pub(crate) struct Left {
    seqs: Vec<Range<u64>>,
    /// Salt generations that a record of it has.
    generations: BTreeSet<u32>,
    /// How many records there are, and bytes of their public groups.
    pub(crate) records: u64,
    pub(crate) public_bytes: u64,
}

impl Left {
    /// Looks through the blocks that hold some of it.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn of(gone: &Gone, set: &FileSet, reader: &SegReader) -> Result<Self> {
        let mut left = Self {
            seqs: if gone.is_empty() {
                Vec::new()
            } else {
                gone.of_set(set)
            },
            generations: BTreeSet::new(),
            records: 0,
            public_bytes: 0,
        };
        if left.seqs.is_empty() {
            return Ok(left);
        }
        for (number, entry) in reader.blocks().iter().enumerate() {
            let next = left.seqs.partition_point(|seqs| seqs.end <= entry.first_seq);
            if left.seqs.get(next).is_none_or(|seqs| seqs.start > entry.last_seq) {
                continue;
            }
            let block = reader.block(number).map_err(segment_error)?;
            for record in block
                .iter()
                .filter(|record| left.has(record.seq))
                .collect::<Vec<_>>()
            {
                left.records += 1;
                left.public_bytes += reader.public(&record).map_err(segment_error)?.len() as u64;
                if let Salt::Generation(generation) = record.salt {
                    left.generations.insert(generation);
                }
            }
        }
        Ok(left)
    }

    /// Whether a record stays behind.
    pub(crate) fn has(&self, seq: u64) -> bool {
        let at = self.seqs.partition_point(|seqs| seqs.end <= seq);
        self.seqs.get(at).is_some_and(|seqs| seqs.contains(&seq))
    }

    /// Whether the key of a salt generation stays behind with what it would open.
    pub(crate) fn takes_key(&self, generation: u32) -> bool {
        self.generations.contains(&generation)
    }

    /// How the salt of a record that stays is stored.
    ///
    /// # Errors
    /// Damage.
    pub(crate) fn salt(&self, reader: &SegReader, seq: u64, salt: Salt, public: &[u8]) -> Result<Salt> {
        if !matches!(salt, Salt::Generation(generation) if self.takes_key(generation)) {
            return Ok(salt);
        }
        Ok(Salt::Explicit(
            match reader.resolve(salt).map_err(segment_error)? {
                ResolvedSalt::Explicit(salt) => salt,
                ResolvedSalt::Generation(key) => {
                    let opened = view::open(public).map_err(|error| records::malformed(seq, &error))?;
                    commitment::salt(key.expose(), &opened.id, commitment::PUBLIC_LABEL)
                }
            },
        ))
    }
}
