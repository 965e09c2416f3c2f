//! zstd frames of bounded size, by zstd's one-shot functions: a frame never allocates more than its caller said.

use std::cell::RefCell;
use std::io;

use crate::{Error, Malformed, Result};

/// The most bytes that a block may hold once decompressed. Bounds what a reader allocates for bytes it has not yet
/// understood; a single record may make a block longer than asked for, never longer than this.
pub const BLOCK_RAW_MAX: usize = 32 * 1024 * 1024;

/// How records are packed into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockOptions {
    /// zstd level. Default 1; compaction uses 7.
    pub level: i32,
    /// Bytes of records in a block before it is closed, at most [`BLOCK_RAW_MAX`]. Default 64 KiB; compaction uses 256 KiB.
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
    /// What compaction uses: denser, slower to read a single record from.
    pub const COMPACT: Self = Self {
        level: 7,
        block_bytes: 256 * 1024,
    };
}

/// A compressor whose working memory is kept between frames.
pub(crate) struct Compressor {
    inner: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new(level: i32) -> Result<Self> {
        let inner =
            zstd::bulk::Compressor::new(level).map_err(|_| Error::Refused("zstd has no such level"))?;
        Ok(Self {
            inner,
            scratch: Vec::new(),
        })
    }

    /// As [`Compressor::new`], with a dictionary.
    pub(crate) fn with_dictionary(level: i32, dictionary: &[u8]) -> Result<Self> {
        let inner = zstd::bulk::Compressor::with_dictionary(level, dictionary)
            .map_err(|_| Error::Refused("zstd has no such level"))?;
        Ok(Self {
            inner,
            scratch: Vec::new(),
        })
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

/// Decompresses one frame that must hold exactly `raw` bytes.
pub(crate) fn decompress(frame: &[u8], raw: usize) -> Result<Vec<u8>, Malformed> {
    DECOMPRESSOR.with_borrow_mut(|kept| decompress_with(kept, &[], frame, raw))
}

/// As [`decompress`], for a frame that was made with this dictionary.
pub(crate) fn decompress_with_dictionary(
    frame: &[u8],
    raw: usize,
    dictionary: &'static [u8],
) -> Result<Vec<u8>, Malformed> {
    KNOWING.with_borrow_mut(|kept| decompress_with(kept, dictionary, frame, raw))
}

fn decompress_with(
    kept: &mut Option<zstd::bulk::Decompressor<'static>>,
    dictionary: &[u8],
    frame: &[u8],
    raw: usize,
) -> Result<Vec<u8>, Malformed> {
    if raw > BLOCK_RAW_MAX {
        return Err(Malformed::at(
            0,
            "a block claims more bytes than the format allows",
        ));
    }
    let result: io::Result<Vec<u8>> = match kept {
        Some(decompressor) => decompressor.decompress(frame, raw),
        None => zstd::bulk::Decompressor::with_dictionary(dictionary)
            .and_then(|new| kept.insert(new).decompress(frame, raw)),
    };
    let bytes = result.map_err(|_| Malformed::at(0, "not a zstd frame of the stated size"))?;
    if bytes.len() != raw {
        return Err(Malformed::at(0, "a block has another size than stated"));
    }
    Ok(bytes)
}

thread_local! {
    /// One context for each thread: making one costs more than most frames do. One-shot functions begin each frame anew,
    /// whatever became of the one before.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    /// One that knows the one dictionary that there is.
    static KNOWING: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}
