//! One simulated file: what readers see, what is on the medium, and what is on its way between them.

use std::sync::Arc;

use super::{
    content::{Content, Page, SECTOR, pieces},
    random::{Random, Survival},
};

/// A file, alive while a name or a handle refers to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// What reads see (the page cache).
    pub(super) cached: Content,
    /// What is on the medium.
    pub(super) durable: Content,
    pending: Vec<Pending>,
    /// Counts open handles.
    pub(super) handles: Arc<()>,
}

/// A change that is in the page cache only.
#[derive(Debug, Clone)]
enum Pending {
    Len(u64),
    Sectors {
        page: u64,
        mask: u8,
        data: Option<Arc<Page>>,
    },
}

impl Node {
    /// A file found on the medium after a crash.
    pub(super) fn from_medium(durable: Content) -> Self {
        Self {
            cached: durable.clone(),
            durable,
            ..Self::default()
        }
    }

    /// A copy that no open handle refers to.
    pub(super) fn detached(&self) -> Self {
        Self {
            handles: Arc::default(),
            ..self.clone()
        }
    }

    /// Writes into the page cache.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        if end > self.cached.len() {
            self.set_len(end);
        }
        self.cached.write(bytes, offset);
        for piece in pieces(offset, bytes.len()) {
            let data = self.cached.page(piece.page);
            self.pending.push(Pending::Sectors {
                page: piece.page,
                mask: piece.sectors(),
                data,
            });
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.cached.set_len(len);
        self.pending.push(Pending::Len(len));
    }

    /// Writes past the page cache: these bytes and the length are on the medium on return, other dirty pages are not.
    pub(super) fn write_direct(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        self.sync_lengths();
        if end > self.cached.len() {
            self.cached.set_len(end);
            self.durable.set_len(end);
        }
        for piece in pieces(offset, bytes.len()) {
            let covered = piece.sectors();
            for change in &mut self.pending {
                if let Pending::Sectors { page, mask, .. } = change
                    && *page == piece.page
                {
                    *mask &= !covered;
                }
            }
        }
        self.cached.write(bytes, offset);
        self.durable.write(bytes, offset);
    }

    /// Lets some sectors of a direct write reach the medium; readers see just those.
    pub(super) fn tear_direct(&mut self, bytes: &[u8], offset: u64, random: &mut Random) {
        let survival = random.survival();
        for piece in pieces(offset, bytes.len()) {
            for sector in bytes[piece.done..piece.done + piece.len]
                .chunks(SECTOR)
                .enumerate()
            {
                let (at, sector) = (offset + (piece.done + sector.0 * SECTOR) as u64, sector.1);
                if survival.survives(random)
                    && at + sector.len() as u64 <= self.durable.len().max(self.cached.len())
                {
                    self.write_direct(sector, at);
                }
            }
        }
    }

    /// Lets a direct write fail: torn on the medium, or (as by the buffered fallback) seen by readers and lost at a crash.
    pub(super) fn fail_direct(&mut self, bytes: &[u8], offset: u64, random: &mut Random) {
        if random.below(2) == 0 {
            self.tear_direct(bytes, offset, random);
        } else {
            let pending = self.pending.len();
            self.write(bytes, offset);
            self.pending.truncate(pending);
        }
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Pending::Len(len) => self.durable.set_len(len),
                Pending::Sectors { page, mask, data } => {
                    self.durable.write_sectors(page, mask, data.as_deref())
                }
            }
        }
    }

    /// A failed sync: pages are marked clean, readers still see them, the medium never gets them.
    pub(super) fn drop_dirty(&mut self) {
        self.pending.clear();
    }

    /// A sync interrupted by a crash: a part reaches the medium, the rest stays pending.
    pub(super) fn tear_sync(&mut self, random: &mut Random) {
        let survival = random.survival();
        self.durable = self.after_crash(survival, random);
    }

    /// One possible content of the medium after power is lost now.
    ///
    /// Each sector of each write survives or not by itself, so later writes may survive without earlier ones; lengths are
    /// metadata and survive in order.
    pub(super) fn after_crash(&self, survival: Survival, random: &mut Random) -> Content {
        let mut content = self.durable.clone();
        let mut lengths_survive = true;
        for change in &self.pending {
            match change {
                Pending::Len(len) => {
                    lengths_survive &= survival.survives(random);
                    if lengths_survive {
                        content.set_len(*len);
                    }
                }
                Pending::Sectors { page, mask, data } => {
                    let kept = (0..u8::BITS)
                        .filter(|_| survival.survives(random))
                        .fold(0, |m, s| m | 1 << s);
                    content.write_sectors(*page, mask & kept, data.as_deref());
                }
            }
        }
        content.cut(content.len());
        content
    }

    /// Flips bits on the medium and in the cache.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) {
        for content in [&mut self.cached, &mut self.durable] {
            let mut byte = [0u8];
            if content.read(&mut byte, offset) == 1 {
                content.write(&[byte[0] ^ mask], offset);
            }
        }
    }

    fn sync_lengths(&mut self) {
        let durable = &mut self.durable;
        self.pending.retain(|change| match change {
            Pending::Len(len) => {
                durable.set_len(*len);
                false
            }
            Pending::Sectors { mask, .. } => *mask != 0,
        });
    }
}
