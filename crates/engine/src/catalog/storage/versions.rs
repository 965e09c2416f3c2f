//! Which version of each block was written last, so that an older sealed block in its place is found.
//!
//! A sealed block says that this catalog once wrote it at this place, but not when. Its tag tells its versions apart. The
//! tags of all blocks are kept in a file of their own, and the authenticated state holds a check over them.
//!
//! # Format
//! ```text
//! catalog.versions   tag[16] of block 0 ‖ tag[16] of block 1 ‖ … ‖ tag[16] of block written - 1
//! page               256 tags, fewer in the last
//! root               check("attestore 2026 catalog versions v1", count u64 LE ‖ check of each page[32])
//! check of a page    check("attestore 2026 catalog version page v1", its tags)
//! ```
//!
//! # Durability
//! The tags of a journal's blocks are written after the journal is synced and synced before the next one is applied.
//! What a crash leaves of them is completed from the journal, like the blocks. A file that does not fit the root is made
//! again from the blocks if those fit it.

use std::collections::BTreeSet;
use std::io;

use attestore_disk::File;
use attestore_keys::aead::TAG;

use super::block::{Cipher, MAC, PHYSICAL, tag_of};
use super::{BATCH, place};

/// What tells the versions of a block apart.
pub(super) type Tag = [u8; TAG];

/// Tags of one page.
const PAGE: usize = 256;
const PURPOSE: &str = "attestore 2026 catalog versions v1";
const PAGE_PURPOSE: &str = "attestore 2026 catalog version page v1";

/// The tag of every block that is in place.
#[derive(Default)]
pub(super) struct Versions {
    tags: Vec<Tag>,
    pages: Vec<[u8; MAC]>,
}

impl Versions {
    /// Reads the first `written` tags of `file`; those that it lacks are zero.
    pub(super) fn load(file: &dyn File, cipher: &Cipher, written: u64) -> io::Result<Self> {
        let wanted = length(written)?;
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX).min(wanted);
        let mut bytes = vec![0; wanted];
        file.read_exact_at(&mut bytes[..len], 0)?;
        Ok(Self::new(cipher, bytes.as_chunks().0.to_vec()))
    }

    /// Takes the tags from the blocks as they stand in `catalog`.
    pub(super) fn gather(catalog: &dyn File, cipher: &Cipher, written: u64) -> io::Result<Self> {
        let mut tags = Vec::with_capacity(length(written)? / TAG);
        let mut batch = Vec::new();
        let mut first = 0;
        while first < written {
            let end = written.min(first + BATCH);
            batch.resize(usize::try_from(end - first).unwrap_or(0) * PHYSICAL, 0);
            catalog.read_exact_at(&mut batch, place(first))?;
            tags.extend(batch.chunks_exact(PHYSICAL).map(tag_of));
            first = end;
        }
        Ok(Self::new(cipher, tags))
    }

    fn new(cipher: &Cipher, tags: Vec<Tag>) -> Self {
        let pages = tags.chunks(PAGE).map(|page| check(cipher, page)).collect();
        Self { tags, pages }
    }

    /// Takes in `blocks`, number and sealed bytes, of a catalog that has `written` blocks then; returns the pages that
    /// are to be written.
    pub(super) fn set<'a>(
        &mut self,
        cipher: &Cipher,
        written: u64,
        blocks: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> io::Result<BTreeSet<usize>> {
        let count = length(written)? / TAG;
        let mut touched = BTreeSet::new();
        if count != self.tags.len() {
            touched.extend([self.tags.len().min(count), count].map(|len| len.saturating_sub(1) / PAGE));
            self.tags.resize(count, Tag::default());
        }
        for (number, sealed) in blocks {
            let at = usize::try_from(number).unwrap_or(usize::MAX);
            if let Some(tag) = self.tags.get_mut(at) {
                *tag = tag_of(sealed);
                touched.insert(at / PAGE);
            }
        }
        self.pages.resize(count.div_ceil(PAGE), [0; MAC]);
        touched.retain(|page| *page < self.pages.len());
        for page in &touched {
            self.pages[*page] = check(cipher, self.page(*page));
        }
        Ok(touched)
    }

    /// The check that the state holds.
    pub(super) fn root(&self, cipher: &Cipher) -> [u8; MAC] {
        let mut bytes = (self.tags.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(self.pages.as_flattened());
        cipher.mac(PURPOSE, &bytes)
    }

    /// Whether `sealed` is the last version of block `number`.
    pub(super) fn is_last(&self, number: u64, sealed: &[u8]) -> bool {
        let tag = usize::try_from(number).ok().and_then(|at| self.tags.get(at));
        tag.is_some_and(|tag| *tag == tag_of(sealed))
    }

    /// The first block whose tags differ.
    pub(super) fn differs(&self, other: &Self) -> Option<u64> {
        let found = self.tags.iter().zip(&other.tags).position(|(a, b)| a != b);
        found.map(|at| at as u64)
    }

    /// Writes `pages`, and cuts off what is behind the last. Syncs nothing.
    pub(super) fn write(&self, file: &dyn File, pages: &BTreeSet<usize>) -> io::Result<()> {
        for page in pages {
            let bytes = self.page(*page).as_flattened();
            file.write_all_at(bytes, (*page * PAGE * TAG) as u64)?;
        }
        let end = self.bytes().len() as u64;
        if file.len()? > end {
            file.set_len(end)?;
        }
        Ok(())
    }

    /// Every page.
    pub(super) fn all(&self) -> BTreeSet<usize> {
        (0..self.pages.len()).collect()
    }

    /// What the file holds.
    pub(super) fn bytes(&self) -> &[u8] {
        self.tags.as_flattened()
    }

    fn page(&self, page: usize) -> &[Tag] {
        let start = page * PAGE;
        &self.tags[start..self.tags.len().min(start + PAGE)]
    }
}

fn check(cipher: &Cipher, page: &[Tag]) -> [u8; MAC] {
    cipher.mac(PAGE_PURPOSE, page.as_flattened())
}

/// Bytes of the tags of `written` blocks.
fn length(written: u64) -> io::Result<usize> {
    let bytes = written.checked_mul(TAG as u64);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "catalog: too many blocks"))
}
