//! Builds the body of a `.sub`.

use std::collections::BTreeMap;

use attestore_keys::Key;

use super::block::{BlockCompressor, OpenGroups, seal_block};
use super::footer::{FooterWriter, SubMeta, strictly_ascending};
use super::packed::Packed;
use super::page::{Pair, page_raw, pages};
use super::{GROUP_BYTES_MAX, HANDLES_MAX, Handle};
use crate::compression::{BLOCK_RAW_MAX, BlockOptions, Compressor};
use crate::{Error, FileId, Result};

/// How a [`SubBuilder`] packs groups.
pub type SubOptions = BlockOptions;

/// Collects personal groups, ascending by seq, into the body of a `.sub`. Holds the compressed body in memory.
pub struct SubBuilder {
    id: FileId,
    compressor: BlockCompressor,
    pages: Compressor,
    block_bytes: usize,
    sets: BTreeMap<Vec<Handle>, OpenSet>,
    pairs: Vec<OpenPair>,
    next_set: usize,
    last: Option<(u64, u16)>,
    meta: SubMeta,
}

/// A set that is being filled. Its blocks get their numbers, and are sealed, when the body is finished.
struct OpenSet {
    key: Key,
    /// Number by order of appearance, which pairs refer to until blocks have numbers.
    appearance: usize,
    closed: Vec<ClosedBlock>,
    /// Content of the first block, once it is closed.
    first: Option<Vec<u8>>,
    open: OpenGroups,
}

struct ClosedBlock {
    frame: Vec<u8>,
    raw: u32,
}

struct OpenPair {
    seq: u64,
    ordinal: u16,
    set: usize,
    block_in_set: u32,
}

impl SubBuilder {
    /// Starts the body of the container with this id; the id is part of the blocks' keys.
    ///
    /// # Errors
    /// [`Error::Refused`] for a level that zstd does not have or a block size above
    /// [`BLOCK_RAW_MAX`].
    pub fn new(id: FileId, options: SubOptions) -> Result<Self> {
        if options.block_bytes > BLOCK_RAW_MAX {
            return Err(Error::Refused("the block size is larger than the format allows"));
        }
        Ok(Self {
            id,
            compressor: BlockCompressor::new(options.level)?,
            pages: Compressor::new(options.level)?,
            block_bytes: options.block_bytes,
            sets: BTreeMap::new(),
            pairs: Vec::new(),
            next_set: 0,
            last: None,
            meta: SubMeta::default(),
        })
    }

    /// Adds a group of the record `seq`, about the subjects with these handles, ascending. Seqs never descend; groups of
    /// one record are numbered as they come. `public` is the public group of the record: what the group repeats of it is not stored
    /// again.
    ///
    /// # Errors
    /// [`Error::Refused`] when seqs or handles are not in order, a limit is exceeded, or the set came with another key before.
    pub fn push(
        &mut self,
        seq: u64,
        handles: &[Handle],
        set_key: &Key,
        public: &[u8],
        bytes: &[u8],
    ) -> Result<()> {
        if handles.is_empty() || handles.len() > HANDLES_MAX || !strictly_ascending(handles) {
            return Err(Error::Refused(
                "a set without handles, with too many, or not in ascending order",
            ));
        }
        if bytes.len() > GROUP_BYTES_MAX {
            return Err(Error::Refused("a group has too many bytes"));
        }
        let packed = Packed::of(bytes, public);
        let ordinal = self.next_ordinal(seq)?;
        if !self.sets.contains_key(handles) {
            let set = OpenSet {
                key: set_key.duplicate(),
                appearance: self.next_set,
                closed: Vec::new(),
                first: None,
                open: OpenGroups::default(),
            };
            self.sets.insert(handles.to_vec(), set);
            self.next_set += 1;
        }
        let set = self
            .sets
            .get_mut(handles)
            .expect("inserted above if it was absent");
        if !set.key.ct_eq(set_key) {
            return Err(Error::Refused("two keys for one set of subjects"));
        }
        if !set.open.has_room(&packed, self.block_bytes) {
            set.close(&mut self.compressor)?;
        }
        set.open.push(seq, ordinal, &packed);
        let block_in_set = u32::try_from(set.closed.len()).map_err(|_| Error::Refused("too many blocks"))?;
        self.pairs.push(OpenPair {
            seq,
            ordinal,
            set: set.appearance,
            block_in_set,
        });
        self.count(seq, ordinal, packed.len());
        Ok(())
    }

    /// Tells whether no group was added; such a body need not be written.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the plaintext body, to be sealed under the id that the builder was made with.
    ///
    /// # Errors
    /// [`Error::Refused`] when there are more sets, blocks or pages than the format can number.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        const FULL: Error = Error::Refused("too many sets, blocks or pages");
        let mut body = Vec::new();
        let mut footer = FooterWriter::default();
        let mut first_blocks = vec![0u32; self.next_set];
        let mut next_block = 0u32;
        for (handles, mut set) in std::mem::take(&mut self.sets) {
            set.close(&mut self.compressor)?;
            first_blocks[set.appearance] = next_block;
            footer
                .set(&handles, u32::try_from(set.closed.len()).map_err(|_| FULL)?)
                .ok_or(FULL)?;
            for block in set.closed {
                let sealed = seal_block(&set.key, &self.id, next_block, block.frame);
                footer.block(sealed.len(), block.raw).ok_or(FULL)?;
                body.extend_from_slice(&sealed);
                next_block = next_block.checked_add(1).ok_or(FULL)?;
            }
        }
        let place = |pair: &OpenPair| Pair {
            seq: pair.seq,
            ordinal: pair.ordinal,
            block: first_blocks[pair.set] + pair.block_in_set,
        };
        let pairs: Vec<Pair> = self.pairs.iter().map(place).collect();
        for page in pages(&pairs) {
            let frame = self.pages.compress(&page_raw(page))?;
            let seqs = page
                .first()
                .zip(page.last())
                .map(|(first, last)| (first.seq, last.seq))
                .ok_or(FULL)?;
            footer.page(seqs, frame.len(), page.len()).ok_or(FULL)?;
            body.extend_from_slice(&frame);
        }
        footer.finish(&mut body, &self.meta).ok_or(FULL)?;
        Ok(body)
    }

    fn next_ordinal(&self, seq: u64) -> Result<u16> {
        match self.last {
            Some((last, _)) if seq < last => Err(Error::Refused("seqs descend")),
            Some((last, ordinal)) if seq == last => ordinal
                .checked_add(1)
                .ok_or(Error::Refused("a record has too many groups")),
            _ => Ok(0),
        }
    }

    fn count(&mut self, seq: u64, ordinal: u16, bytes: usize) {
        if self.last.is_none() {
            self.meta.first_seq = seq;
        }
        self.meta.last_seq = seq;
        self.meta.groups += 1;
        self.meta.records += u64::from(ordinal == 0);
        self.meta.personal_bytes += bytes as u64;
        self.last = Some((seq, ordinal));
    }
}

impl OpenSet {
    fn close(&mut self, compressor: &mut BlockCompressor) -> Result<()> {
        let content = self.open.close()?;
        let frame = compressor.compress(self.appearance, self.first.as_deref(), &content)?;
        let raw = u32::try_from(content.len()).map_err(|_| Error::Refused("a block is too long"))?;
        self.closed.push(ClosedBlock { frame, raw });
        self.first.get_or_insert(content);
        Ok(())
    }
}
