//! Writes the body of a `.sub` set by set, as a rewrite reads it: one open block at a time, however many sets there are.

use attestore_keys::Key;

use super::block::{BlockCompressor, OpenGroups, seal_block};
use super::footer::{FooterWriter, SubMeta, strictly_ascending};
use super::packed::Packed;
use super::page::{Pair, page_raw, pages};
use super::{HANDLES_MAX, Handle};
use crate::compression::{BLOCK_RAW_MAX, BlockOptions, Compressor};
use crate::{Error, FileId, Result};

/// Collects personal groups into the body of a `.sub`: sets in ascending order of their handles, in each the groups in
/// ascending order of seq and ordinal. Holds the compressed body, and 16 bytes for each group.
pub struct SubWriter {
    id: FileId,
    compressor: BlockCompressor,
    pages: Compressor,
    block_bytes: usize,
    body: Vec<u8>,
    footer: FooterWriter,
    pairs: Vec<Pair>,
    set: Option<OpenSet>,
    /// Sets that were begun.
    sets: usize,
    last_handles: Vec<Handle>,
    next_block: u32,
    personal_bytes: u64,
}

struct OpenSet {
    key: Key,
    open: OpenGroups,
    blocks: u32,
    /// Content of the first block, once it is closed.
    first: Option<Vec<u8>>,
    /// Number of the set.
    number: usize,
    last: Option<(u64, u16)>,
}

impl SubWriter {
    /// Starts the body of the container with this id; the id is part of the blocks' keys.
    ///
    /// # Errors
    /// [`Error::Refused`] for a level that zstd does not have or a block size above [`BLOCK_RAW_MAX`].
    pub fn new(id: FileId, options: BlockOptions) -> Result<Self> {
        if options.block_bytes > BLOCK_RAW_MAX {
            return Err(Error::Refused("the block size is larger than the format allows"));
        }
        Ok(Self {
            id,
            compressor: BlockCompressor::new(options.level)?,
            pages: Compressor::new(options.level)?,
            block_bytes: options.block_bytes,
            body: Vec::new(),
            footer: FooterWriter::default(),
            pairs: Vec::new(),
            set: None,
            sets: 0,
            last_handles: Vec::new(),
            next_block: 0,
            personal_bytes: 0,
        })
    }

    /// Begins the groups about the subjects with these handles, which must come after those of the set before. A set
    /// without groups leaves nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] when handles or sets are not in order, or a limit is exceeded.
    pub fn begin_set(&mut self, handles: &[Handle], key: &Key) -> Result<()> {
        self.end_set()?;
        if handles.is_empty() || handles.len() > HANDLES_MAX || !strictly_ascending(handles) {
            return Err(Error::Refused(
                "a set without handles, with too many, or not in ascending order",
            ));
        }
        if *handles <= *self.last_handles {
            return Err(Error::Refused("sets do not ascend"));
        }
        self.last_handles = handles.to_vec();
        self.sets += 1;
        self.set = Some(OpenSet {
            key: key.duplicate(),
            open: OpenGroups::default(),
            blocks: 0,
            first: None,
            number: self.sets,
            last: None,
        });
        Ok(())
    }

    /// Adds a group to the set that was begun. The ordinal is the one that the group always had, and
    /// its bytes are as another file stored them.
    ///
    /// # Errors
    /// [`Error::Refused`] without a set, when groups are not in order, or a limit is exceeded.
    pub fn push(&mut self, seq: u64, ordinal: u16, bytes: &Packed) -> Result<()> {
        let Some(set) = &mut self.set else {
            return Err(Error::Refused("a group without a set"));
        };
        if set.last.is_some_and(|last| last >= (seq, ordinal)) {
            return Err(Error::Refused("groups do not ascend"));
        }
        if !set.open.has_room(bytes, self.block_bytes) {
            self.close_block()?;
        }
        let Some(set) = &mut self.set else {
            return Err(Error::Refused("a group without a set"));
        };
        set.open.push(seq, ordinal, bytes);
        set.last = Some((seq, ordinal));
        self.pairs.push(Pair {
            seq,
            ordinal,
            block: self.next_block,
        });
        self.personal_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Tells whether no group was added; such a body need not be written.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Returns the number of groups added.
    pub fn groups(&self) -> u64 {
        self.pairs.len() as u64
    }

    /// Returns the plaintext body, to be sealed under the id that the writer was made with.
    ///
    /// # Errors
    /// [`Error::Refused`] when a group came twice, or there are more sets, blocks or pages than the format can number.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.end_set()?;
        self.pairs.sort_unstable();
        let meta = self.meta()?;
        for page in pages(&self.pairs) {
            let (Some(first), Some(last)) = (page.first(), page.last()) else {
                continue;
            };
            let frame = self.pages.compress(&page_raw(page))?;
            self.footer
                .page((first.seq, last.seq), frame.len(), page.len())
                .ok_or(FULL)?;
            self.body.extend_from_slice(&frame);
        }
        self.footer.finish(&mut self.body, &meta).ok_or(FULL)?;
        Ok(self.body)
    }

    /// Counts what was added, whose pairs are in order.
    fn meta(&self) -> Result<SubMeta> {
        let mut records = u64::from(!self.pairs.is_empty());
        for (left, right) in self.pairs.iter().zip(self.pairs.iter().skip(1)) {
            if (left.seq, left.ordinal) == (right.seq, right.ordinal) {
                return Err(Error::Refused("a group came twice"));
            }
            records += u64::from(left.seq != right.seq);
        }
        let seq = |pair: Option<&Pair>| pair.map_or(0, |pair| pair.seq);
        Ok(SubMeta {
            groups: self.groups(),
            records,
            first_seq: seq(self.pairs.first()),
            last_seq: seq(self.pairs.last()),
            personal_bytes: self.personal_bytes,
        })
    }

    fn end_set(&mut self) -> Result<()> {
        if self.set.as_ref().is_some_and(|set| !set.open.is_empty()) {
            self.close_block()?;
        }
        match self.set.take() {
            Some(set) if set.blocks > 0 => self.footer.set(&self.last_handles, set.blocks).ok_or(FULL),
            _ => Ok(()),
        }
    }

    fn close_block(&mut self) -> Result<()> {
        let Some(set) = &mut self.set else { return Ok(()) };
        let content = set.open.close()?;
        let frame = self
            .compressor
            .compress(set.number, set.first.as_deref(), &content)?;
        let raw = u32::try_from(content.len()).map_err(|_| FULL)?;
        set.first.get_or_insert(content);
        let sealed = seal_block(&set.key, &self.id, self.next_block, frame);
        self.footer.block(sealed.len(), raw).ok_or(FULL)?;
        self.body.extend_from_slice(&sealed);
        set.blocks += 1;
        self.next_block = self.next_block.checked_add(1).ok_or(FULL)?;
        Ok(())
    }
}

const FULL: Error = Error::Refused("too many sets, blocks or pages");
