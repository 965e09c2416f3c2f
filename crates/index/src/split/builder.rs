//! Records to a split in memory.

use std::sync::LazyLock;

use tantivy::directory::RamDirectory;
use tantivy::store::{Compressor, ZstdCompressor};
use tantivy::tokenizer::TokenizerManager;
use tantivy::{Index, IndexSettings, SingleSegmentIndexWriter};

use super::{Split, Summary, bundle};
use crate::Error;
use crate::document::{DocInput, Document, Maker};
use crate::frames::Frames;
use crate::policy::IndexPolicy;
use crate::schema::{FRAMES, fields};

/// Memory that the term table is laid out for; it grows as needed (bytes).
const TABLE_BYTES: usize = 1 << 20;

/// Builds a split in memory, on the calling thread. Cheap enough to be made for a hundred records.
pub struct SplitBuilder {
    policy: IndexPolicy,
    maker: Maker,
    writer: SingleSegmentIndexWriter<Document>,
    directory: RamDirectory,
    summary: Option<Summary>,
}

impl SplitBuilder {
    /// Makes an empty builder that indexes what a policy says.
    ///
    /// # Errors
    /// [`Error::Tantivy`] when the search library refuses.
    pub fn new(policy: &IndexPolicy) -> Result<Self, Error> {
        let directory = RamDirectory::create();
        let writer = Index::builder()
            .schema(fields().schema(policy).clone())
            .settings(settings())
            .tokenizers(tokenizers())
            .single_segment_index_writer(directory.clone(), TABLE_BYTES)?;
        Ok(Self {
            policy: policy.clone(),
            maker: Maker::new(policy),
            writer,
            directory,
            summary: None,
        })
    }

    /// Adds a record. Its seq must be higher than that of every record before.
    ///
    /// # Errors
    /// [`Error::Order`] when it is not; the builder is unchanged then.
    pub fn add(&mut self, input: &DocInput<'_>) -> Result<(), Error> {
        if let Some(summary) = self.summary.filter(|summary| input.seq <= summary.max_seq) {
            return Err(Error::Order {
                last: summary.max_seq,
                next: input.seq,
            });
        }
        let one = input.summary();
        self.writer.add_document(self.maker.document(input))?;
        self.summary = Some(self.summary.map_or(one, |summary| summary.union(one)));
        Ok(())
    }

    /// Returns the number of records added.
    pub fn docs(&self) -> u64 {
        self.summary.map_or(0, |summary| summary.docs)
    }

    /// Returns the memory in use, roughly (bytes).
    pub fn memory(&self) -> usize {
        self.writer.mem_usage()
    }

    /// Makes the split.
    ///
    /// # Errors
    /// [`Error::Empty`] when no record was added.
    pub fn finish(self) -> Result<Split, Error> {
        let summary = self.summary.ok_or(Error::Empty)?;
        let index = self.writer.finalize()?;
        Split::open_bytes(bundle::assemble(&index, &self.directory, &self.policy, summary)?)
    }
}

/// Nothing is stored. The library keeps a few bytes for each record all the same, always the same ones: they go away
/// when compressed, and are not worth a thread.
pub(super) fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::Zstd(ZstdCompressor::default()),
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

fn tokenizers() -> TokenizerManager {
    static TOKENIZERS: LazyLock<TokenizerManager> = LazyLock::new(|| {
        let manager = TokenizerManager::default();
        manager.register(FRAMES, Frames::default());
        manager
    });
    TOKENIZERS.clone()
}
