//! zstd frames of bounded size, by zstd's one-shot functions: a frame never allocates more than its caller said.

use std::cell::RefCell;

use zstd::zstd_safe::{DCtx, DDict, SafeResult};

use crate::{Error, Malformed, Result};

/// The most bytes that a block may hold once decompressed. Bounds what a reader allocates for bytes it has not yet
/// understood; a single record may make a block longer than asked for, never longer than this.
pub const BLOCK_RAW_MAX: usize = 32 * 1024 * 1024;

/// How records are packed into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockOptions {
    /// zstd level. Default 1; compaction uses 8.
    pub level: i32,
    /// Bytes of records in a block before it is closed, at most [`BLOCK_RAW_MAX`]. Default 64 KiB; compaction uses 32 KiB, with a
    /// dictionary, so that one record is read at little cost.
    pub block_bytes: usize,
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self {
            level: 1,
            block_bytes: 64 * 1024,
        }
    }
}

impl BlockOptions {
    /// What compaction uses for public groups: denser.
    pub const COMPACT: Self = Self {
        level: 8,
        block_bytes: 32 * 1024,
    };

    /// What compaction uses for personal groups. They are a tenth of a segment, and with the first block of their set as a
    /// dictionary the higher level took most of a compaction's time.
    pub const COMPACT_PERSONAL: Self = Self {
        level: 4,
        ..Self::COMPACT
    };
}

/// A compressor whose working memory is kept between frames.
pub(crate) struct Compressor {
    inner: zstd::bulk::Compressor<'static>,
    level: i32,
    scratch: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new(level: i32) -> Result<Self> {
        Self::with_dictionary(level, &[])
    }

    /// As [`Compressor::new`], with a dictionary.
    pub(crate) fn with_dictionary(level: i32, dictionary: &[u8]) -> Result<Self> {
        let inner =
            zstd::bulk::Compressor::with_dictionary(level, dictionary).map_err(|_| Error::Refused(LEVEL))?;
        Ok(Self {
            inner,
            level,
            scratch: Vec::new(),
        })
    }

    /// Uses another dictionary from now on.
    pub(crate) fn set_dictionary(&mut self, dictionary: &[u8]) -> Result<()> {
        self.inner
            .set_dictionary(self.level, dictionary)
            .map_err(|_| Error::Refused(LEVEL))
    }

    /// Compresses into one frame, in memory of exactly its size: frames are kept, and most are far below zstd's bound.
    pub(crate) fn compress(&mut self, raw: &[u8]) -> Result<Vec<u8>> {
        if raw.len() > BLOCK_RAW_MAX {
            return Err(Error::Refused("a block is larger than the format allows"));
        }
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.inner
            .compress_to_buffer(raw, &mut self.scratch)
            .map_err(|_| Error::Refused("zstd failed"))?;
        Ok(self.scratch.clone())
    }
}

/// Makes a dictionary of at most `bytes_max` bytes of samples, which are `text`, cut into `lengths`; none when they are too few or
/// too much alike.
pub(crate) fn train(text: &[u8], lengths: &[usize], bytes_max: usize) -> Vec<u8> {
    zstd::dict::from_continuous(text, lengths, bytes_max).unwrap_or_default()
}

/// A dictionary of the file that it is stored in, prepared for decompression.
pub struct Dictionary(Option<DDict<'static>>);

impl Dictionary {
    /// Prepares the stored bytes of a dictionary; none is no dictionary.
    ///
    /// # Errors
    /// [`Malformed`] when zstd does not take it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let prepared = DDict::try_create(bytes).ok_or(Malformed::at(0, "not a zstd dictionary"))?;
        Ok(Self(Some(prepared)))
    }
}

/// Decompresses one frame that must hold exactly `raw` bytes.
pub(crate) fn decompress(frame: &[u8], raw: usize) -> Result<Vec<u8>, Malformed> {
    decompress_with(raw, |context, bytes| context.decompress(bytes, frame))
}

/// As [`decompress`], for a frame that was made with the file's dictionary.
pub(crate) fn decompress_knowing(frame: &[u8], raw: usize, file: &Dictionary) -> Result<Vec<u8>, Malformed> {
    let Dictionary(Some(prepared)) = file else {
        return decompress(frame, raw);
    };
    decompress_with(raw, |context, bytes| {
        context.decompress_using_ddict(bytes, frame, prepared)
    })
}

/// As [`decompress`], for a frame that was made with this text as dictionary.
pub(crate) fn decompress_after(frame: &[u8], raw: usize, text: &[u8]) -> Result<Vec<u8>, Malformed> {
    decompress_with(raw, |context, bytes| {
        context.decompress_using_dict(bytes, frame, text)
    })
}

fn decompress_with(
    raw: usize,
    run: impl FnOnce(&mut DCtx<'static>, &mut Vec<u8>) -> SafeResult,
) -> Result<Vec<u8>, Malformed> {
    if raw > BLOCK_RAW_MAX {
        return Err(Malformed::at(
            0,
            "a block claims more bytes than the format allows",
        ));
    }
    let mut bytes = Vec::with_capacity(raw);
    CONTEXT
        .with_borrow_mut(|context| run(context, &mut bytes))
        .map_err(|_| Malformed::at(0, "not a zstd frame of the stated size"))?;
    if bytes.len() != raw {
        return Err(Malformed::at(0, "a block has another size than stated"));
    }
    Ok(bytes)
}

const LEVEL: &str = "zstd has no such level";

thread_local! {
    /// One context for each thread: making one costs more than most frames do. One-shot functions begin each frame anew,
    /// whatever became of the one before.
    static CONTEXT: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}
