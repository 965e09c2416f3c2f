//! The tree of key pages: every destroyable key, under one root page key.
//!
//! Leaf pages hold up to 64 keys, interior pages the page keys of up to 64 children. Each page is sealed under its
//! own page key, so whoever has the root page key can walk down to any slot, and whoever has only old pages and a
//! newer root page key cannot reach what was destroyed in between (key disclosure graph: Reardon, Ritzdorf, Basin
//! and Capkun, "Secure Data Deletion from Persistent Media", CCS 2013).
//!
//! # Storage
//! The tree does no IO. Pages go through a [`PageStore`], normally one transaction of the catalog; the caller stores
//! [`KeyTree::head`] and the root page key, wrapped by the root, in the same transaction. A change is staged in
//! memory and adopted only after the store took every page. When the transaction is then not committed, the caller
//! goes back with [`KeyTree::rewind`].
//!
//! # Rotation
//! [`KeyTree::rewrap`] moves keys from one wrapping key to another, [`KeyTree::refresh`] gives pages fresh page keys. Both rewrite the
//! pages up to the root, as a destruction does; the keys in the slots stay what they are.
//!
//! # Destruction
//! [`KeyTree::destroy`] rewrites the pages from the slot to the root under fresh page keys. The keys are gone once
//! the old root page key is, that is, when the root generation that wrapped it has been destroyed.

mod cache;
mod page;
mod slot;
mod stage;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use cache::Cache;
use page::{LeafEntry, OpenPage, describe};
use slot::{HEIGHT_MAX, SLOT_END};
use stage::Stage;

pub use slot::{PageId, SLOTS_PER_PAGE, Slot, SlotContext, SlotKind};

use crate::{Entropy, Error, Key, Result};

/// Where pages are kept. What is put is at most 4096 bytes long.
pub trait PageStore {
    /// Reads a page; `None` when there is none.
    ///
    /// # Errors
    /// Any failure of the storage.
    fn get(&self, page: PageId) -> io::Result<Option<Vec<u8>>>;

    /// Writes or replaces a page.
    ///
    /// # Errors
    /// Any failure of the storage.
    fn put(&mut self, page: PageId, bytes: &[u8]) -> io::Result<()>;

    /// Removes a page; removing one that is not there is no error.
    ///
    /// # Errors
    /// Any failure of the storage.
    fn remove(&mut self, page: PageId) -> io::Result<()>;
}

/// What the caller keeps about the tree, beside its pages and its wrapped root page key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Level of the root page; 0 when it is a leaf.
    pub height: u8,
    /// The first slot that was never reserved.
    pub next_slot: u64,
}

impl TreeHead {
    /// Bytes of an encoded head.
    pub const LEN: usize = 9;

    /// height u8 ‖ `next_slot` u64 LE.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = self.height;
        bytes[1..].copy_from_slice(&self.next_slot.to_le_bytes());
        bytes
    }

    /// Reads what [`TreeHead::to_bytes`] wrote; `None` when no tree has such a head.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let [height, next_slot @ ..] = *bytes;
        let next_slot = u64::from_le_bytes(next_slot);
        (height <= HEIGHT_MAX && next_slot <= SLOT_END).then_some(Self { height, next_slot })
    }
}

/// A key to be hung into the tree.
#[derive(Clone, Copy)]
pub struct NewKey<'a> {
    /// A reserved slot.
    pub slot: Slot,
    /// What the key is bound to.
    pub context: SlotContext,
    /// The key it is wrapped under as well; `None` for keys of tenants, WAL files and the instance.
    pub wrap: Option<&'a Key>,
    /// The key itself.
    pub value: &'a Key,
}

/// A state of the tree to go back to when a transaction is given up.
pub struct TreeMark {
    root: Key,
    head: TreeHead,
}

/// What [`KeyTree::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeReport {
    /// Pages that opened.
    pub pages: u64,
    /// Keys in them.
    pub keys: u64,
    /// Pages that are missing or did not open; nothing below them was looked at.
    pub damage: Vec<PageDamage>,
}

/// A page that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageDamage {
    /// The page.
    pub page: PageId,
    /// What does not hold.
    pub reason: String,
}

/// The tree of key pages; see the module's head.
///
/// Readers must pass a store that is not older than the tree: the tree's root page key opens only the newest pages.
pub struct KeyTree {
    entropy: Arc<dyn Entropy>,
    root: Key,
    root_version: u64,
    head: TreeHead,
    /// Reserved in the head, not handed out yet: the rest of a page before a bucket.
    spare: Range<u64>,
    cache: Mutex<Cache>,
}

/// Pages kept open, of about 4 KiB each.
const CACHE_PAGES_MAX: usize = 4096;

impl KeyTree {
    /// Makes an empty tree and stores its root page.
    ///
    /// # Errors
    /// [`Error::Io`] when the store fails.
    pub fn create(entropy: Arc<dyn Entropy>, store: &mut dyn PageStore) -> Result<Self> {
        let page = OpenPage::empty(0, entropy.as_ref());
        let id = PageId::new(0, 0);
        store.put(id, &page.seal(id, entropy.as_ref()))?;
        Ok(Self::load(
            page.key.duplicate(),
            TreeHead {
                height: 0,
                next_slot: 0,
            },
            entropy,
        ))
    }

    /// Takes up a tree that is stored. Reads nothing yet.
    pub fn load(root_page_key: Key, head: TreeHead, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            root: root_page_key,
            root_version: 0,
            head: TreeHead {
                height: head.height.min(HEIGHT_MAX),
                ..head
            },
            spare: 0..0,
            cache: Mutex::new(Cache::new(CACHE_PAGES_MAX)),
        }
    }

    /// What the caller has to store with the pages.
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The key of the root page, which the caller wraps with the root and stores with the pages.
    pub fn root_page_key(&self) -> &Key {
        &self.root
    }

    /// Counts the changes of [`KeyTree::root_page_key`] since the tree was taken up: a put that makes the tree
    /// higher changes it too, and then it has to be wrapped and stored again.
    pub fn root_version(&self) -> u64 {
        self.root_version
    }

    /// Reserves `n` consecutive slots and returns the first. They are never given out again, not even after
    /// [`KeyTree::rewind`]; after a restart only if no stored head covered them.
    pub fn reserve(&mut self, n: u64) -> Slot {
        if self.spare.end - self.spare.start >= n {
            let first = self.spare.start;
            self.spare.start += n;
            return Slot(first);
        }
        let first = self.head.next_slot;
        self.head.next_slot = first.saturating_add(n);
        Slot(first)
    }

    /// Reserves a bucket: the 64 slots of one leaf page, which no other reservation shares.
    pub fn reserve_bucket(&mut self) -> Slot {
        let next = self.head.next_slot;
        let first = next.next_multiple_of(SLOTS_PER_PAGE);
        if first - next > self.spare.end - self.spare.start {
            self.spare = next..first;
        }
        self.head.next_slot = first.saturating_add(SLOTS_PER_PAGE);
        Slot(first)
    }

    /// Hangs one key into the tree; see [`KeyTree::put_many`].
    ///
    /// # Errors
    /// As [`KeyTree::put_many`].
    pub fn put(
        &mut self,
        store: &mut dyn PageStore,
        slot: Slot,
        context: &SlotContext,
        wrap: Option<&Key>,
        value: &Key,
    ) -> Result<()> {
        self.put_many(
            store,
            &[NewKey {
                slot,
                context: *context,
                wrap,
                value,
            }],
        )
    }

    /// Hangs keys into the tree. Each page that is touched is sealed once. Putting the same key again changes
    /// nothing; the caller must not put a key again that was destroyed.
    ///
    /// # Errors
    /// [`Error::Occupied`] when a slot holds another key, [`Error::OutOfRange`], [`Error::Damaged`],
    /// [`Error::Io`]. The tree is then unchanged; pages that the store already took have to be rolled back there.
    pub fn put_many(&mut self, store: &mut dyn PageStore, keys: &[NewKey<'_>]) -> Result<()> {
        let mut stage = Stage::new(self);
        for key in keys {
            stage.grow(key.slot, self.entropy.as_ref())?;
            stage.path(self.entropy.as_ref(), store, key.slot, true)?;
            let leaf = stage
                .pages
                .get_mut(&key.slot.page())
                .expect("the path to the slot is staged");
            let position = key.slot.position_at(0);
            if let Some(entry) = leaf.page.leaf(position) {
                let same = entry.open(key.slot, &key.context, key.wrap);
                if same.is_ok_and(|stored| stored.ct_eq(key.value)) {
                    continue;
                }
                return Err(Error::Occupied { slot: key.slot.0 });
            }
            let entry = LeafEntry::seal(key.slot, &key.context, key.wrap, key.value, self.entropy.as_ref());
            leaf.page.set_leaf(position, Some(entry));
            leaf.dirty = true;
            stage.head.next_slot = stage.head.next_slot.max(key.slot.0 + 1);
        }
        self.commit(stage, store)
    }

    /// Takes a key out of the tree.
    ///
    /// # Errors
    /// [`Error::Destroyed`] when the slot is empty, [`Error::Mismatch`] when it holds a key of another context,
    /// [`Error::WrongKey`] when `wrap` (or, under the right one, the context) is not what it was wrapped with,
    /// [`Error::Damaged`] when a page is missing or does not open, [`Error::Io`].
    pub fn get(
        &self,
        store: &dyn PageStore,
        slot: Slot,
        context: &SlotContext,
        wrap: Option<&Key>,
    ) -> Result<Key> {
        let cached = self.cache.lock().get(slot.page());
        let leaf = match cached {
            Some(leaf) => leaf,
            None => self.descend(store, slot)?,
        };
        let entry = leaf.leaf(slot.position_at(0)).ok_or_else(|| destroyed(slot))?;
        entry.open(slot, context, wrap)
    }

    /// Destroys the keys in `slots`: rewrites the paths to the root under fresh page keys, drops pages that became
    /// empty, and returns how many of the slots held a key. When that is 0 nothing was changed.
    ///
    /// The keys are out of reach once the caller has wrapped and stored the new [`KeyTree::root_page_key`] under a
    /// new root generation and destroyed the old one.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`]; the tree is then unchanged.
    pub fn destroy(&mut self, store: &mut dyn PageStore, slots: &[Slot]) -> Result<usize> {
        let mut stage = Stage::new(self);
        let mut found = 0;
        for &slot in slots {
            if !stage.path(self.entropy.as_ref(), store, slot, false)? {
                continue;
            }
            let leaf = stage
                .pages
                .get_mut(&slot.page())
                .expect("the path to the slot is staged");
            if leaf.page.leaf(slot.position_at(0)).is_some() {
                leaf.page.set_leaf(slot.position_at(0), None);
                leaf.dirty = true;
                found += 1;
            }
        }
        if found > 0 {
            stage.rekey(self.entropy.as_ref());
            self.commit(stage, store)?;
        }
        Ok(found)
    }

    /// Says which of `keys` do not open under `wrap`. Slots that are empty open under nothing and are not among them.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when a slot holds a key of another kind, [`Error::Damaged`], [`Error::Io`].
    pub fn not_under(
        &self,
        store: &dyn PageStore,
        keys: &[(Slot, SlotContext)],
        wrap: &Key,
    ) -> Result<Vec<(Slot, SlotContext)>> {
        let mut others = Vec::new();
        for (slot, context) in keys {
            match self.get(store, *slot, context, Some(wrap)) {
                Ok(_) | Err(Error::Destroyed { .. }) => {}
                Err(Error::WrongKey { .. }) => others.push((*slot, *context)),
                Err(error) => return Err(error),
            }
        }
        Ok(others)
    }

    /// Wraps keys under `new` that are wrapped under `old`, and puts the pages on their paths under fresh page keys, so that older
    /// copies of these pages open with neither. What is under `new` already, and slots that are empty, stay as they are. Returns how
    /// many keys were wrapped anew; when that is 0 nothing was changed.
    ///
    /// # Errors
    /// [`Error::WrongKey`] when a key is under neither, [`Error::Mismatch`] when a slot holds a key of another kind,
    /// [`Error::Damaged`], [`Error::Io`]. The tree is then unchanged.
    pub fn rewrap(
        &mut self,
        store: &mut dyn PageStore,
        keys: &[(Slot, SlotContext)],
        old: &Key,
        new: &Key,
    ) -> Result<usize> {
        let mut stage = Stage::new(self);
        let mut count = 0;
        for (slot, context) in keys {
            if !stage.path(self.entropy.as_ref(), store, *slot, false)? {
                continue;
            }
            let leaf = stage
                .pages
                .get_mut(&slot.page())
                .expect("the path to the slot is staged");
            let position = slot.position_at(0);
            let Some(entry) = leaf.page.leaf(position) else {
                continue;
            };
            match entry.open(*slot, context, Some(new)) {
                Ok(_) => continue,
                Err(Error::WrongKey { .. }) => {}
                Err(error) => return Err(error),
            }
            let value = entry.open(*slot, context, Some(old))?;
            let entry = LeafEntry::seal(*slot, context, Some(new), &value, self.entropy.as_ref());
            leaf.page.set_leaf(position, Some(entry));
            leaf.dirty = true;
            count += 1;
        }
        if count > 0 {
            stage.rekey(self.entropy.as_ref());
            self.commit(stage, store)?;
        }
        Ok(count)
    }

    /// Puts the leaf pages of `slots`, and every page above them, under fresh page keys. The keys in them stay. Returns how many leaf
    /// pages that are; slots without a page count for nothing.
    ///
    /// Older copies of these pages are out of reach once the root generation that wrapped the former
    /// [`KeyTree::root_page_key`] has been destroyed.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`]; the tree is then unchanged.
    pub fn refresh(&mut self, store: &mut dyn PageStore, slots: &[Slot]) -> Result<usize> {
        let mut stage = Stage::new(self);
        let mut count = 0;
        for slot in slots {
            if !stage.path(self.entropy.as_ref(), store, *slot, false)? {
                continue;
            }
            let leaf = stage
                .pages
                .get_mut(&slot.page())
                .expect("the path to the slot is staged");
            count += usize::from(!leaf.dirty);
            leaf.dirty = true;
        }
        if count > 0 {
            stage.rekey(self.entropy.as_ref());
            self.commit(stage, store)?;
        }
        Ok(count)
    }

    /// Notes the state to go back to if the transaction that now begins is given up.
    pub fn mark(&self) -> TreeMark {
        TreeMark {
            root: self.root.duplicate(),
            head: self.head,
        }
    }

    /// Goes back to `mark` and forgets every opened page. Reserved slots stay reserved.
    pub fn rewind(&mut self, mark: TreeMark) {
        if !self.root.ct_eq(&mark.root) {
            self.root_version += 1;
        }
        self.root = mark.root;
        self.head.height = mark.head.height;
        self.cache.lock().clear();
    }

    /// Opens every page, past the cache.
    ///
    /// # Errors
    /// [`Error::Io`] when the store fails; damage is part of the report.
    pub fn verify(&self, store: &dyn PageStore) -> Result<TreeReport> {
        let mut report = TreeReport::default();
        let mut open = vec![(PageId::new(self.head.height, 0), self.root.duplicate())];
        while let Some((id, key)) = open.pop() {
            match read_page(store, id, key) {
                Ok(page) => {
                    report.pages += 1;
                    if id.level() == 0 {
                        report.keys += page.entries.count() as u64;
                        continue;
                    }
                    for position in 0..page::POSITIONS {
                        if let Some(child) = page.child(position) {
                            open.push((id.child(position), child.duplicate()));
                        }
                    }
                }
                Err(Error::Damaged { reason, .. }) => {
                    report.damage.push(PageDamage {
                        page: id,
                        reason: reason.to_owned(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        report.damage.sort_by_key(|damage| damage.page);
        Ok(report)
    }

    fn commit(&mut self, stage: Stage, store: &mut dyn PageStore) -> Result<()> {
        stage.write(store, self.entropy.as_ref())?;
        let cache = self.cache.get_mut();
        for id in stage.removed {
            cache.remove(id);
        }
        for (id, staged) in stage.pages {
            if staged.dirty {
                cache.insert(id, Arc::new(staged.page));
            }
        }
        self.root = stage.root;
        self.head = stage.head;
        self.root_version += u64::from(stage.rerooted);
        Ok(())
    }

    fn descend(&self, store: &dyn PageStore, slot: Slot) -> Result<Arc<OpenPage>> {
        let top = self.head.height;
        if slot.index_at(top) > 0 {
            return Err(destroyed(slot));
        }
        let mut page = self.page(store, PageId::new(top, 0), self.root.duplicate())?;
        for level in (0..top).rev() {
            let key = page
                .child(slot.position_at(level + 1))
                .ok_or_else(|| destroyed(slot))?;
            page = self.page(store, slot.page_at(level), key.duplicate())?;
        }
        Ok(page)
    }

    fn page(&self, store: &dyn PageStore, id: PageId, key: Key) -> Result<Arc<OpenPage>> {
        if let Some(page) = self.cache.lock().get(id) {
            return Ok(page);
        }
        let page = Arc::new(read_page(store, id, key)?);
        self.cache.lock().insert(id, Arc::clone(&page));
        Ok(page)
    }
}

fn read_page(store: &dyn PageStore, id: PageId, key: Key) -> Result<OpenPage> {
    let stored = store.get(id)?.ok_or_else(|| Error::Damaged {
        what: describe(id),
        reason: "missing",
    })?;
    OpenPage::open(id, key, &stored)
}

fn destroyed(slot: Slot) -> Error {
    Error::Destroyed {
        what: format!("slot {}", slot.0),
    }
}

#[cfg(test)]
mod tests;
