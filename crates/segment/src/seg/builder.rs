//! Builds the body of a `.seg`.

use std::collections::{BTreeMap, BTreeSet};

use attestore_keys::Key;

use super::block::OpenBlock;
use super::footer::{BlockEntry, SegMeta, write_footer};
use super::{Salt, SegRecord};
use crate::compression::{BLOCK_RAW_MAX, BlockOptions, Compressor, train};
use crate::ids::Ids;
use crate::{Error, Result};

/// How a [`SegBuilder`] packs records.
pub type SegOptions = BlockOptions;

/// The most bytes of a file's dictionary: what zstd's own tool makes by default.
const DICTIONARY_BYTES_MAX: usize = 112_640;

/// Collects records, ascending by seq, into the body of a `.seg`. Holds the compressed body in memory.
pub struct SegBuilder {
    compressor: Compressor,
    block_bytes: usize,
    body: Vec<u8>,
    dictionary_bytes: u32,
    open: OpenBlock,
    blocks: Vec<BlockEntry>,
    keys: BTreeMap<u32, Key>,
    used: BTreeSet<u32>,
    run: Vec<(u64, u64)>,
    meta: SegMeta,
}

impl SegBuilder {
    /// Starts a body.
    ///
    /// # Errors
    /// [`Error::Refused`] for a level that zstd does not have or a block size above
    /// [`BLOCK_RAW_MAX`].
    pub fn new(options: SegOptions) -> Result<Self> {
        if options.block_bytes > BLOCK_RAW_MAX {
            return Err(Error::Refused("the block size is larger than the format allows"));
        }
        let block_bytes =
            u32::try_from(options.block_bytes).map_err(|_| Error::Refused("the block size is too large"))?;
        Ok(Self {
            compressor: Compressor::new(options.level)?,
            block_bytes: options.block_bytes,
            body: Vec::new(),
            dictionary_bytes: 0,
            open: OpenBlock::default(),
            blocks: Vec::new(),
            keys: BTreeMap::new(),
            used: BTreeSet::new(),
            run: Vec::new(),
            meta: SegMeta {
                level: options.level,
                block_bytes,
                ..SegMeta::default()
            },
        })
    }

    /// Makes a dictionary of at most `bytes_max` bytes out of public groups that are like those to come, before the first of them is added.
    /// It is stored in the file and makes small blocks as dense as large ones. It holds pieces of the samples: they must be records of
    /// this file. Few samples make none.
    ///
    /// # Errors
    /// [`Error::Refused`] when a record was added already.
    pub fn train<'a>(&mut self, samples: impl Iterator<Item = &'a [u8]>, bytes_max: usize) -> Result<()> {
        if self.meta.records > 0 || !self.body.is_empty() {
            return Err(Error::Refused("a dictionary after the first record"));
        }
        let (mut ids, mut text, mut lengths) = (Ids::default(), Vec::new(), Vec::new());
        for sample in samples {
            let before = text.len();
            ids.pack(sample, &mut text);
            lengths.push(text.len() - before);
        }
        let dictionary = train(&text, &lengths, bytes_max.min(DICTIONARY_BYTES_MAX));
        if !dictionary.is_empty() {
            self.compressor.set_dictionary(&dictionary)?;
            self.dictionary_bytes =
                u32::try_from(dictionary.len()).map_err(|_| Error::Refused("a dictionary is too long"))?;
            self.body = dictionary;
        }
        Ok(())
    }

    /// Adds a record. Seqs ascend; gaps are allowed.
    ///
    /// # Errors
    /// [`Error::Refused`] when the seq is not above the last one, the commitments are not ascending, or a limit is exceeded.
    pub fn push(&mut self, record: SegRecord<'_>) -> Result<()> {
        if self.meta.records > 0 && record.seq <= self.meta.last_seq {
            return Err(Error::Refused("seqs do not ascend"));
        }
        if !self.open.is_empty() && !self.open.has_room(&record, self.block_bytes) {
            self.close_block()?;
        }
        self.open.push(&record)?;

        if self.meta.records == 0 {
            self.meta.first_seq = record.seq;
        }
        self.meta.last_seq = record.seq;
        self.meta.records += 1;
        self.meta.public_bytes += record.public.len() as u64;
        match record.salt {
            Salt::Generation(generation) => {
                self.used.insert(generation);
            }
            Salt::Explicit(_) => self.meta.explicit_salts += 1,
        }
        if let Some(hash) = record.idempotency {
            self.run.push((hash, record.seq));
        }
        Ok(())
    }

    /// Gives the class key of a salt generation, before or after the records that need it. A key that no record needs is
    /// not stored: it would keep dropped records' salts derivable.
    ///
    /// # Errors
    /// [`Error::Refused`] when the generation already has another key.
    pub fn salt_key(&mut self, generation: u32, key: &Key) -> Result<()> {
        let known = self.keys.entry(generation).or_insert_with(|| key.duplicate());
        if !known.ct_eq(key) {
            return Err(Error::Refused("two keys for one salt generation"));
        }
        Ok(())
    }

    /// Adds an entry of the idempotency run apart from its record, as [`SegReader::idempotency_all`](super::SegReader) gives
    /// them: a rewrite has them in another order than the records.
    pub fn idempotency(&mut self, hash: u64, seq: u64) {
        self.run.push((hash, seq));
    }

    /// Makes room for a body of about so many bytes, so that growing does not hold it twice.
    pub fn reserve(&mut self, bytes: usize) {
        self.body.reserve(bytes);
    }

    /// Returns the numbers of the body so far.
    pub fn meta(&self) -> &SegMeta {
        &self.meta
    }

    /// Returns the bytes of the body so far: dictionary and closed blocks, without the footer.
    pub fn stored_bytes(&self) -> usize {
        self.body.len()
    }

    /// Returns the plaintext body, to be sealed. The caller should overwrite it after sealing: it holds the salt keys.
    ///
    /// # Errors
    /// [`Error::Refused`] when a record's salt generation has no key, or there are too many blocks for the format.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        if !self.open.is_empty() {
            self.close_block()?;
        }
        self.keys.retain(|generation, _| self.used.contains(generation));
        if self.keys.len() != self.used.len() {
            return Err(Error::Refused("a salt generation has no key"));
        }
        self.run.sort_unstable();
        let (blocks, dictionary) = (&self.blocks, self.dictionary_bytes);
        write_footer(
            &mut self.body,
            &self.meta,
            blocks,
            &self.keys,
            &self.run,
            dictionary,
        )
        .ok_or(Error::Refused("too many blocks or salt generations"))?;
        Ok(self.body)
    }

    fn close_block(&mut self) -> Result<()> {
        self.blocks
            .push(self.open.close(&mut self.compressor, &mut self.body)?);
        Ok(())
    }
}
