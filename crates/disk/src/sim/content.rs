//! The bytes of one file as shared 4 KiB pages; pages of zeros take no memory and copies are cheap.

use std::{collections::BTreeMap, sync::Arc};

pub(super) const PAGE: usize = 4096;
pub(super) const SECTOR: usize = 512;
const PAGE_U64: u64 = PAGE as u64;

const _: () = assert!(PAGE / SECTOR == u8::BITS as usize);

/// One page of a file.
pub(super) type Page = [u8; PAGE];

/// A file's length and pages. Bytes past the length are zero.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    len: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn page(&self, index: u64) -> Option<Arc<Page>> {
        self.pages.get(&index).cloned()
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let available = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(available);
        for piece in pieces(offset, wanted) {
            let target = &mut buf[piece.done..piece.done + piece.len];
            match self.pages.get(&piece.page) {
                Some(page) => target.copy_from_slice(&page[piece.start..piece.start + piece.len]),
                None => target.fill(0),
            }
        }
        wanted
    }

    /// Writes without changing the length; the caller has set it.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        for piece in pieces(offset, bytes.len()) {
            let source = &bytes[piece.done..piece.done + piece.len];
            self.edit(piece.page, |page| {
                page[piece.start..piece.start + piece.len].copy_from_slice(source)
            });
        }
    }

    /// Copies the sectors of `mask` from `page`.
    pub(super) fn write_sectors(&mut self, index: u64, mask: u8, page: Option<&Page>) {
        self.edit(index, |target| {
            for sector in (0..PAGE / SECTOR).filter(|s| mask & (1 << s) != 0) {
                let range = sector * SECTOR..(sector + 1) * SECTOR;
                match page {
                    Some(page) => target[range.clone()].copy_from_slice(&page[range]),
                    None => target[range].fill(0),
                }
            }
        });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.cut(len);
        }
        self.len = len;
    }

    /// Zeroes everything at and past `len`, also what was written past the current length.
    pub(super) fn cut(&mut self, len: u64) {
        let (last, start) = locate(len);
        self.pages.split_off(&(last + 1));
        self.edit(last, |page| page[start..].fill(0));
    }

    fn edit(&mut self, index: u64, change: impl FnOnce(&mut Page)) {
        let mut page = self.pages.remove(&index).unwrap_or_else(|| Arc::new([0; PAGE]));
        change(Arc::make_mut(&mut page));
        if page.iter().any(|&b| b != 0) {
            self.pages.insert(index, page);
        }
    }
}

/// A part of a byte range that lies in one page.
pub(super) struct Piece {
    pub(super) page: u64,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) done: usize,
}

impl Piece {
    /// The sectors it touches, lowest bit first.
    pub(super) fn sectors(&self) -> u8 {
        let touched = self.start / SECTOR..=(self.start + self.len - 1) / SECTOR;
        touched.fold(0, |mask, sector| mask | 1 << sector)
    }
}

/// Splits `len` bytes at `offset` by page.
pub(super) fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let (page, start) = locate(offset + done as u64);
        let piece = Piece {
            page,
            start,
            len: (PAGE - start).min(len - done),
            done,
        };
        done += piece.len;
        Some(piece)
    })
}

fn locate(offset: u64) -> (u64, usize) {
    let start = usize::try_from(offset % PAGE_U64).expect("a remainder of 4096 fits");
    (offset / PAGE_U64, start)
}
