//! Appends frames to one file.

use std::{fmt, path::Path, sync::Arc};

use attestore_disk::{BLOCK, Disk, File, Mode};
use attestore_keys::{Entropy, Key, aead::TAG, random_array};

use crate::{
    Error, FrameBuilder, Position,
    file_header::{FileHeader, FileSpec},
    frame::Seal,
    names::{DIR, file_path},
    prepare::Prepared,
};

const CLOSING_LEN: u64 = BLOCK as u64;

/// The only writer of a new file. One block is kept back for a closing frame.
///
/// After any write error it is poisoned: what reached the medium is not known, so nothing may follow.
pub struct Writer {
    file: Arc<dyn File>,
    spec: FileSpec,
    file_key: Key,
    entropy: Arc<dyn Entropy>,
    offset: u64,
    frame_no: u64,
    previous_tag: [u8; TAG],
    closing: FrameBuilder,
    poisoned: bool,
}

impl Writer {
    /// Writes and syncs the header into a prepared file and gives the file its name; on return both are durable.
    ///
    /// `predecessor_end` is where the log before this file ends: [`Outcome::end`](crate::Outcome::end) after a replay, the last
    /// [`watermark`](Self::watermark) of the previous writer when files are switched, [`Position::START`] for the first file
    /// ever. `spec.file_id` and `file_key` must be fresh random; the caller has stored the key.
    ///
    /// # Errors
    /// [`Error::Exists`] if the number is taken, [`Error::Size`] if the prepared file is another, [`Error::Io`].
    pub fn create(
        disk: &dyn Disk,
        prepared: Prepared,
        spec: FileSpec,
        file_key: Key,
        predecessor_end: Position,
        now_ms: u64,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        if prepared.size != spec.size || prepared.number != spec.number {
            return Err(Error::Size { size: spec.size });
        }
        assert!(
            predecessor_end.wal < spec.number,
            "a log file follows files with lower numbers"
        );
        let path = file_path(spec.number);
        if disk.exists(&path)? {
            return Err(Error::Exists { number: spec.number });
        }
        let file = disk.open(&prepared.path, Mode::DirectSync)?;
        let header = FileHeader::seal(spec, &file_key, predecessor_end, now_ms, prepared.recycled);
        file.write_all_at(&header.to_block(), 0)?;
        disk.rename(&prepared.path, &path)?;
        disk.sync_dir(Path::new(DIR))?;
        Ok(Self {
            file,
            spec,
            file_key,
            entropy,
            offset: Position::first_frame(spec.number).offset,
            frame_no: 0,
            previous_tag: [0; TAG],
            closing: FrameBuilder::new(),
            poisoned: false,
        })
    }

    /// Returns what identifies the file.
    #[must_use]
    pub fn spec(&self) -> &FileSpec {
        &self.spec
    }

    /// Returns the durable watermark D: everything before it is synced.
    #[must_use]
    pub fn watermark(&self) -> Position {
        Position {
            wal: self.spec.number,
            offset: self.offset,
        }
    }

    /// Returns how many bytes are left for frames, without the block kept back for a closing frame.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.spec
            .size
            .saturating_sub(self.offset)
            .saturating_sub(CLOSING_LEN)
    }

    /// Tells whether a frame of [`FrameBuilder::bytes_len`] bytes can be committed to this file.
    #[must_use]
    pub fn fits(&self, frame_len: u64) -> bool {
        frame_len <= self.remaining()
    }

    /// Tells whether an earlier error closed the writer for good.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Tells whether writes go past the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    /// Seals the frame in place and writes it with one write. Returns its end, the new D, when it is durable, and empties the
    /// builder.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::TooLarge`] leave writer and builder as they were. [`Error::Io`] poisons the writer, and
    /// whether the frame is in the log is unknown until a replay; from then on every call gives [`Error::Poisoned`].
    pub fn commit(&mut self, frame: &mut FrameBuilder) -> Result<Position, Error> {
        let (needed, remaining) = (frame.bytes_len(), self.remaining());
        if !self.poisoned && needed > remaining {
            return Err(Error::Full { needed, remaining });
        }
        self.append(frame)
    }

    /// Writes a frame without sections, which carries the watermark: what was committed before can no longer be taken for a
    /// torn tail.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn close_frame(&mut self) -> Result<Position, Error> {
        if !self.poisoned && self.spec.size - self.offset < CLOSING_LEN {
            return Err(Error::Full {
                needed: CLOSING_LEN,
                remaining: 0,
            });
        }
        let mut closing = std::mem::take(&mut self.closing);
        let result = self.append(&mut closing);
        self.closing = closing;
        result
    }

    fn append(&mut self, frame: &mut FrameBuilder) -> Result<Position, Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        frame.check()?;
        let seal = Seal {
            spec: &self.spec,
            file_key: &self.file_key,
            offset: self.offset,
            frame_no: self.frame_no,
            watermark: self.watermark(),
            random: random_array(&*self.entropy),
            previous_tag: self.previous_tag,
        };
        let (bytes, tag) = frame.seal(&seal);
        let len = bytes.len() as u64;
        self.poisoned = true; // until the write is known to be done
        self.file.write_all_at(bytes, self.offset)?;
        self.poisoned = false;
        self.offset += len;
        self.frame_no += 1;
        self.previous_tag = tag;
        frame.clear();
        Ok(self.watermark())
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Writer");
        debug
            .field("watermark", &self.watermark())
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}
