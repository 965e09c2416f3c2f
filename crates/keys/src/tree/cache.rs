//! The pages that were opened lately, within a fixed number of pages.
//!
//! Two generations: what is asked for moves to the young one; when that is full it becomes the old one, and what was
//! old is dropped, which zeroises it.

use std::collections::HashMap;
use std::sync::Arc;

use super::page::OpenPage;
use super::slot::PageId;

pub(super) struct Cache {
    young: HashMap<PageId, Arc<OpenPage>>,
    old: HashMap<PageId, Arc<OpenPage>>,
    generation_max: usize,
}

impl Cache {
    /// A cache of at most `pages_max` pages of about 4 KiB.
    pub(super) fn new(pages_max: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation_max: (pages_max / 2).max(1),
        }
    }

    pub(super) fn get(&mut self, id: PageId) -> Option<Arc<OpenPage>> {
        if let Some(page) = self.young.get(&id) {
            return Some(Arc::clone(page));
        }
        let page = self.old.remove(&id)?;
        self.insert(id, Arc::clone(&page));
        Some(page)
    }

    pub(super) fn insert(&mut self, id: PageId, page: Arc<OpenPage>) {
        self.old.remove(&id);
        if self.young.len() >= self.generation_max && !self.young.contains_key(&id) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, page);
    }

    pub(super) fn remove(&mut self, id: PageId) {
        self.young.remove(&id);
        self.old.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests;
