//! A change of the tree while it is being made: nothing of it reaches the tree or its cache before every page of it
//! has reached the store.

use std::collections::BTreeMap;

use super::page::OpenPage;
use super::slot::{HEIGHT_MAX, PageId, Slot};
use super::{KeyTree, PageStore, TreeHead, read_page};
use crate::{Entropy, Error, Key, Result};

pub(super) struct Stage {
    pub(super) root: Key,
    pub(super) head: TreeHead,
    pub(super) rerooted: bool,
    pub(super) pages: BTreeMap<PageId, Staged>,
    pub(super) removed: Vec<PageId>,
}

pub(super) struct Staged {
    pub(super) page: OpenPage,
    pub(super) dirty: bool,
}

impl Stage {
    pub(super) fn new(tree: &KeyTree) -> Self {
        Self {
            root: tree.root.duplicate(),
            head: tree.head,
            rerooted: false,
            pages: BTreeMap::new(),
            removed: Vec::new(),
        }
    }

    /// Raises the root until the tree is wide enough for `slot`.
    pub(super) fn grow(&mut self, slot: Slot, entropy: &dyn Entropy) -> Result<()> {
        while slot.index_at(self.head.height) > 0 {
            if self.head.height >= HEIGHT_MAX {
                return Err(Error::OutOfRange { slot: slot.0 });
            }
            self.head.height += 1;
            let mut page = OpenPage::empty(self.head.height, entropy);
            page.set_child(0, Some(std::mem::replace(&mut self.root, page.key.duplicate())));
            self.rerooted = true;
            self.pages
                .insert(PageId::new(self.head.height, 0), Staged { page, dirty: true });
        }
        Ok(())
    }

    /// Stages the pages from the root to the leaf of `slot`. A missing page is created, or, without `create`,
    /// makes this return `false`.
    pub(super) fn path(
        &mut self,
        entropy: &dyn Entropy,
        store: &dyn PageStore,
        slot: Slot,
        create: bool,
    ) -> Result<bool> {
        let top = self.head.height;
        if slot.index_at(top) > 0 {
            return Ok(false);
        }
        self.stage(store, PageId::new(top, 0), None)?;
        for level in (0..top).rev() {
            let (parent_id, id) = (slot.page_at(level + 1), slot.page_at(level));
            if self.pages.contains_key(&id) {
                continue;
            }
            let parent = self
                .pages
                .get_mut(&parent_id)
                .expect("the level above was staged before");
            if let Some(key) = parent.page.child(id.position()) {
                let key = key.duplicate();
                self.stage(store, id, Some(key))?;
            } else if create {
                let page = OpenPage::empty(level, entropy);
                parent.page.set_child(id.position(), Some(page.key.duplicate()));
                parent.dirty = true;
                self.pages.insert(id, Staged { page, dirty: true });
            } else {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn stage(&mut self, store: &dyn PageStore, id: PageId, key: Option<Key>) -> Result<()> {
        if self.pages.contains_key(&id) {
            return Ok(());
        }
        let key = key.unwrap_or_else(|| self.root.duplicate());
        // Past the cache: a change must build on what the store holds now.
        let page = read_page(store, id, key)?;
        self.pages.insert(id, Staged { page, dirty: false });
        Ok(())
    }

    /// Drops the empty ones among the dirty pages, puts the others under fresh keys, and so on up to the root.
    pub(super) fn rekey(&mut self, entropy: &dyn Entropy) {
        for level in 0..=self.head.height {
            let from = PageId::new(level, 0);
            let to = PageId(from.0 | ((1 << 56) - 1));
            let dirty: Vec<PageId> = self
                .pages
                .range(from..=to)
                .filter(|(_, staged)| staged.dirty)
                .map(|(id, _)| *id)
                .collect();
            for id in dirty {
                self.rekey_page(id, entropy);
            }
        }
    }

    fn rekey_page(&mut self, id: PageId, entropy: &dyn Entropy) {
        let is_root = id.level() == self.head.height;
        let staged = self.pages.get_mut(&id).expect("listed from the staged pages");
        let key = if staged.page.entries.count() == 0 && !is_root {
            self.pages.remove(&id);
            self.removed.push(id);
            None
        } else {
            staged.page.key = Key::random(entropy);
            Some(staged.page.key.duplicate())
        };
        if !is_root {
            let parent = self
                .pages
                .get_mut(&id.parent())
                .expect("a path is staged from the root down");
            parent.page.set_child(id.position(), key);
            parent.dirty = true;
        } else if let Some(key) = key {
            self.root = key;
            self.rerooted = true;
        }
    }

    /// Hands every changed page to the store.
    pub(super) fn write(&self, store: &mut dyn PageStore, entropy: &dyn Entropy) -> Result<()> {
        for (id, staged) in self.pages.iter().filter(|(_, staged)| staged.dirty) {
            store.put(*id, &staged.page.seal(*id, entropy))?;
        }
        for id in &self.removed {
            store.remove(*id)?;
        }
        Ok(())
    }
}
