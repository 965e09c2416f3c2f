//! Collects the sections of the next frame in one aligned buffer and seals them where they stand.

use std::ops::{Deref, DerefMut};

use attestore_disk::{AlignedBuf, BLOCK};
use attestore_keys::{
    Key,
    aead::{NONCE, TAG},
};

use super::{
    FRAME_BYTES_MAX, SECTIONS_MAX,
    directory::{self, ENTRY_LEN, Entry},
    header::{FrameHeader, HEADER_LEN},
};
use crate::{Error, FileSpec, Position};

/// The next frame, in plain text until [`Writer::commit`](crate::Writer::commit) seals and empties it.
///
/// Reused, it does not allocate once its buffers have grown.
#[derive(Default)]
pub struct FrameBuilder {
    buf: AlignedBuf,
    sections: Vec<Draft>,
}

/// A section that is not sealed yet.
struct Draft {
    owner: [u8; 16],
    key: Key,
    start: usize,
    end: usize,
}

/// What the writer adds when the frame is sealed.
pub(crate) struct Seal<'a> {
    pub(crate) spec: &'a FileSpec,
    pub(crate) file_key: &'a Key,
    /// Where the frame will be in the file.
    pub(crate) offset: u64,
    pub(crate) frame_no: u64,
    pub(crate) watermark: Position,
    pub(crate) random: [u8; 32],
    pub(crate) previous_tag: [u8; TAG],
}

impl FrameBuilder {
    /// Makes an empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a section of `owner`, to be sealed under `tenant_key`, and lets `write` append its payload.
    pub fn section<R>(
        &mut self,
        owner: [u8; 16],
        tenant_key: &Key,
        write: impl FnOnce(&mut SectionBuf<'_>) -> R,
    ) -> R {
        if self.buf.is_empty() {
            self.buf.resize(HEADER_LEN, 0);
        }
        let start = self.buf.len();
        let result = write(&mut SectionBuf {
            buf: &mut self.buf,
            start,
        });
        let end = self.buf.len();
        self.sections.push(Draft {
            owner,
            key: tenant_key.duplicate(),
            start,
            end,
        });
        result
    }

    /// Returns the number of sections.
    #[must_use]
    pub fn sections(&self) -> usize {
        self.sections.len()
    }

    /// Tells whether there is no section.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Returns the length in bytes that the frame has on disk, padding included.
    #[must_use]
    pub fn bytes_len(&self) -> u64 {
        self.payload_len().next_multiple_of(BLOCK) as u64
    }

    /// Drops all sections, keeping the memory. What was not sealed is overwritten with zeros.
    pub fn clear(&mut self) {
        if !self.sections.is_empty() {
            self.buf.fill(0);
        }
        self.sections.clear();
        self.buf.clear();
    }

    fn payload_len(&self) -> usize {
        self.buf.len().max(HEADER_LEN) + self.sections.len() * ENTRY_LEN + TAG
    }

    /// Refuses what the format cannot hold.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (bytes, sections) = (self.payload_len(), self.sections.len());
        if bytes > FRAME_BYTES_MAX - BLOCK || sections > SECTIONS_MAX {
            return Err(Error::TooLarge { bytes, sections });
        }
        Ok(())
    }

    /// Seals everything in place; returns the bytes to write and the directory's tag. [`check`](Self::check) has passed.
    pub(crate) fn seal(&mut self, seal: &Seal<'_>) -> (&[u8], [u8; TAG]) {
        let header = self.header(seal).to_bytes();
        self.buf.resize(self.buf.len().max(HEADER_LEN), 0);
        self.buf[..HEADER_LEN].copy_from_slice(&header);
        let directory = self.buf.len();
        for (index, draft) in (0..=u16::MAX).zip(&self.sections) {
            let sealer = directory::section_sealer(&draft.key, seal.file_key, &seal.random, &draft.owner);
            let aad = directory::section_aad(&seal.spec.file_id, seal.frame_no, index, &draft.owner);
            let nonce = directory::section_nonce(index);
            let tag = sealer.seal_in_place(nonce, &aad, &mut self.buf[draft.start..draft.end]);
            let entry = Entry {
                owner: draft.owner,
                offset: small(draft.start),
                length: small(draft.end - draft.start),
                tag,
                key_check: draft.key.check(),
            };
            self.buf.extend_from_slice(&entry.to_bytes());
        }
        let sealer = directory::sealer(seal.file_key, &seal.random);
        let tag = sealer.seal_in_place([0; NONCE], &header, &mut self.buf[directory..]);
        self.buf.extend_from_slice(&tag);
        self.buf.pad_to_block();
        self.sections.clear();
        (&self.buf, tag)
    }

    fn header(&self, seal: &Seal<'_>) -> FrameHeader {
        let payload = self.payload_len();
        let mut header = FrameHeader {
            closing: self.sections.is_empty(),
            sections: u16::try_from(self.sections.len()).expect("checked against SECTIONS_MAX"),
            number: seal.spec.number,
            file_id: seal.spec.file_id,
            frame_no: seal.frame_no,
            length: small(payload.next_multiple_of(BLOCK)),
            payload: small(payload),
            watermark: seal.watermark,
            random: seal.random,
            previous_tag: seal.previous_tag,
            check: [0; 12],
        };
        header.check = header.check_of(seal.file_key, seal.offset);
        header
    }
}

fn small(len: usize) -> u32 {
    u32::try_from(len).expect("checked against FRAME_BYTES_MAX")
}

/// The payload of the section being written; dereferences to what was written so far.
pub struct SectionBuf<'a> {
    buf: &'a mut AlignedBuf,
    start: usize,
}

impl SectionBuf<'_> {
    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Appends one byte.
    pub fn push(&mut self, byte: u8) {
        self.buf.extend_from_slice(&[byte]);
    }

    /// Makes room for `additional` more bytes.
    pub fn reserve(&mut self, additional: usize) {
        self.buf.reserve(additional);
    }
}

impl Deref for SectionBuf<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buf[self.start..]
    }
}

impl DerefMut for SectionBuf<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..]
    }
}

impl std::io::Write for SectionBuf<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
