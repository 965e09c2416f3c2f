//! Reads a sealed `.seg`.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use attestore_keys::Key;
use zeroize::Zeroizing;

use super::Salt;
use super::block::{BlockRecord, SegBlock, parse_seg_block};
use super::footer::{
    BlockEntry, FENCE_EVERY, SegFooter, SegMeta, TRAILER_BYTES, parse_tables, parse_trailer,
};
use crate::compression::Dictionary;
use crate::{Container, ContainerType, Error, Malformed, Result};

/// An opened `.seg`: its footer and its dictionary in memory, its blocks read when asked for. Caching blocks is the caller's.
pub struct SegReader {
    container: Container,
    footer: SegFooter,
    dictionary: Dictionary,
}

/// A record's salt, or the key that it is derived from.
pub enum ResolvedSalt {
    /// The class key of the record's salt generation.
    Generation(Key),
    /// The salt itself.
    Explicit([u8; 32]),
}

/// A record read from a `.seg`.
pub struct OwnedSegRecord {
    /// Index in the tenant's log.
    pub seq: u64,
    /// Salt of the public group.
    pub salt: ResolvedSalt,
    /// Commitments of the personal groups, ascending.
    pub groups: Vec<[u8; 32]>,
    /// Bytes of the public group.
    pub public: Vec<u8>,
}

impl SegReader {
    /// Reads and checks the footer.
    ///
    /// # Errors
    /// [`Error::Damage`] when the container is not a `.seg` or its footer does not hold; [`Error::Io`].
    pub fn open(container: Container) -> Result<Self> {
        if container.meta().ty != ContainerType::Seg {
            return Err(container.damage(Malformed {
                at: 0,
                reason: "not a container of public groups",
            }));
        }
        let length = container.len();
        let trailer_at = length.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| {
            container.damage(Malformed {
                at: 0,
                reason: "too short for a body",
            })
        })?;
        let trailer = container.read(trailer_at..length)?;
        let trailer = parse_trailer(&trailer, length).map_err(|malformed| container.damage(malformed))?;
        let tables = Zeroizing::new(container.read(trailer.index_offset..trailer.run_offset)?);
        let footer = parse_tables(&trailer, &tables).map_err(|malformed| container.damage(malformed))?;
        let dictionary = container.read(0..u64::from(footer.dictionary_bytes()))?;
        let dictionary = Dictionary::parse(&dictionary).map_err(|malformed| container.damage(malformed))?;
        Ok(Self {
            container,
            footer,
            dictionary,
        })
    }

    /// Returns the container below.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Returns the numbers of the body.
    pub fn meta(&self) -> &SegMeta {
        &self.footer.meta
    }

    /// Returns the block index, ascending by seq.
    pub fn blocks(&self) -> &[BlockEntry] {
        &self.footer.blocks
    }

    /// Returns the number of the only block that may hold `seq`.
    pub fn block_of(&self, seq: u64) -> Option<usize> {
        let at = self.blocks().partition_point(|entry| entry.last_seq < seq);
        self.blocks()
            .get(at)
            .filter(|entry| entry.first_seq <= seq)
            .map(|_| at)
    }

    /// Reads and decodes a block.
    ///
    /// # Errors
    /// [`Error::Damage`] when there is no such block or it does not hold; [`Error::Io`].
    pub fn block(&self, number: usize) -> Result<Arc<SegBlock>> {
        let entry = self.blocks().get(number);
        let entry = entry.ok_or_else(|| self.malformed(0, "a block outside of the index"))?;
        let bytes = self
            .container
            .read_near(entry.offset..entry.offset + entry.stored_len())?;
        let block = parse_seg_block(entry, &bytes, &self.dictionary);
        block
            .map(Arc::new)
            .map_err(|malformed| self.container.damage(malformed.shifted(entry.offset)))
    }

    /// Reads one record; `None` when the file does not hold this seq. Decodes the record's whole block: callers who read
    /// several keep blocks ([`SegReader::block`]).
    ///
    /// # Errors
    /// As [`SegReader::block`].
    pub fn get(&self, seq: u64) -> Result<Option<OwnedSegRecord>> {
        let Some(number) = self.block_of(seq) else {
            return Ok(None);
        };
        let block = self.block(number)?;
        block.get(seq).map(|record| self.own(&record)).transpose()
    }

    /// Copies a block's record and resolves its salt.
    ///
    /// # Errors
    /// As [`SegReader::resolve`].
    pub fn own(&self, record: &BlockRecord<'_>) -> Result<OwnedSegRecord> {
        Ok(OwnedSegRecord {
            seq: record.seq,
            salt: self.resolve(record.salt)?,
            groups: record.groups.to_vec(),
            public: self.public(record)?,
        })
    }

    /// Returns the bytes of a record's public group.
    ///
    /// # Errors
    /// [`Error::Damage`] when its block does not hold.
    pub fn public(&self, record: &BlockRecord<'_>) -> Result<Vec<u8>> {
        let public = record.public();
        public.map_err(|malformed| self.container.damage(malformed))
    }

    /// Finds the key of a record's salt.
    ///
    /// # Errors
    /// [`Error::Damage`] when the salt table lacks the generation.
    pub fn resolve(&self, salt: Salt) -> Result<ResolvedSalt> {
        match salt {
            Salt::Explicit(salt) => Ok(ResolvedSalt::Explicit(salt)),
            Salt::Generation(generation) => self
                .salt_key(generation)
                .map(|key| ResolvedSalt::Generation(key.duplicate()))
                .ok_or_else(|| self.malformed(self.container.len(), "a record's salt generation has no key")),
        }
    }

    /// Returns the class key of a salt generation.
    pub fn salt_key(&self, generation: u32) -> Option<&Key> {
        self.footer.salts.get(&generation)
    }

    /// Goes through the salt table, ascending by generation.
    pub fn salt_keys(&self) -> impl Iterator<Item = (u32, &Key)> + '_ {
        self.footer
            .salts
            .iter()
            .map(|(&generation, key)| (generation, key))
    }

    /// Calls `visit` for each record of the range, ascending, block by block, until it breaks.
    ///
    /// # Errors
    /// As [`SegReader::block`], at the first block that does not hold; the records before it have been visited.
    pub fn scan(
        &self,
        seqs: Range<u64>,
        mut visit: impl FnMut(BlockRecord<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let first = self.blocks().partition_point(|entry| entry.last_seq < seqs.start);
        for number in first..self.blocks().len() {
            if self.blocks()[number].first_seq >= seqs.end {
                break;
            }
            for record in self
                .block(number)?
                .iter()
                .filter(|record| seqs.contains(&record.seq))
            {
                if visit(record).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads the seqs of all records, ascending. Decodes every block.
    ///
    /// # Errors
    /// As [`SegReader::block`].
    pub fn seqs(&self) -> Result<Vec<u64>> {
        let mut seqs = Vec::new();
        for number in 0..self.blocks().len() {
            seqs.extend(self.block(number)?.seqs());
        }
        Ok(seqs)
    }

    /// Returns the seqs of the records whose idempotency key has this hash, ascending. Reads one page of the run, 16 KiB,
    /// as a rule.
    ///
    /// # Errors
    /// [`Error::Damage`] when the run does not hold; [`Error::Io`].
    pub fn idempotency_lookup(&self, hash: u64) -> Result<Vec<u64>> {
        let run = &self.footer.run;
        // Entries with this hash start at the earliest in the page before the first fence that is not below it.
        let from = run
            .fences
            .partition_point(|&fence| fence < hash)
            .saturating_sub(1) as u64;
        let to = run.fences.partition_point(|&fence| fence <= hash) as u64;
        let entries = self.run_entries(from * FENCE_EVERY..(to * FENCE_EVERY).min(run.len))?;
        let start = entries.partition_point(|&(found, _)| found < hash);
        Ok(entries[start..]
            .iter()
            .take_while(|&&(found, _)| found == hash)
            .map(|&(_, seq)| seq)
            .collect())
    }

    /// Reads the whole idempotency run: (hash, seq), ascending.
    ///
    /// # Errors
    /// As [`SegReader::idempotency_lookup`].
    pub fn idempotency_all(&self) -> Result<Vec<(u64, u64)>> {
        self.run_entries(0..self.footer.run.len)
    }

    /// Reads entries of the run; the range is within it and starts at a fence.
    fn run_entries(&self, range: Range<u64>) -> Result<Vec<(u64, u64)>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let run = &self.footer.run;
        let (start, end) = run.place(&range);
        let bytes = self.container.read(start..end)?;
        run.parse(&range, &bytes)
            .map_err(|reason| self.malformed(start, reason))
    }

    fn malformed(&self, at: u64, reason: &'static str) -> Error {
        self.container.damage(Malformed { at, reason })
    }
}
