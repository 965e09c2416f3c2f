//! What the catalog's store stands on: a file of sealed blocks that changes atomically.
//!
//! [`SealedStorage`] is a [`redb::StorageBackend`] over [`Disk`]. Everything below the store is encrypted and
//! authenticated block by block, and each sync reaches the medium whole or not at all. It never hands out bytes that
//! were not written: damage is an error that names file and offset, a wrong root is an error of the keys.
//!
//! # Format
//! ```text
//! catalog            0 header ‖ 4096 header again ‖ 8192 state ‖ 12288 state again ‖ 16384 sealed blocks
//!                    of 4128 bytes
//! catalog.journal.0  the journals with even numbers
//! catalog.journal.1  the journals with odd numbers
//! catalog.versions   which version of each block was written last
//! ```
//! The parts are described in their files below, and in `docs/format/catalog.md`.
//!
//! # Durability
//! Writes stay in memory until a sync. A sync writes one journal, syncs it, writes the blocks and the state in place,
//! and syncs the catalog. After a crash the journal is applied again if it is complete, and is nothing if it is not.
//! After the first failure of a sync every call fails: what the medium holds is known again only after opening anew.
//!
//! # Errors
//! Damage is an [`io::Error`] of kind `InvalidData` that carries a [`Damage`].
//!
//! # Example
//! ```ignore
//! let storage = SealedStorage::create(disk, &root, entropy)?;
//! let database = redb::Builder::new().create_with_backend(storage.clone())?;
//! assert!(storage.scan().is_empty());
//! ```

mod block;
mod header;
mod journal;
mod open;
mod overlay;
mod replay;
mod scan;
mod state;
mod versions;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use attestore_disk::{Disk, File};
use attestore_keys::{Entropy, RootProvider};
use parking_lot::{Mutex, RwLock};

use block::{Block, Cipher, LOGICAL, PHYSICAL};
use header::{Header, Wrap};
use journal::Journal;
use overlay::{Blocks, Overlay};
use state::State;
use versions::Versions;

/// The name of the catalog's file.
pub const CATALOG: &str = "catalog";
/// The names of the journals' files.
pub const JOURNALS: [&str; 2] = ["catalog.journal.0", "catalog.journal.1"];

/// The name of the list of the blocks' versions.
pub const VERSIONS: &str = "catalog.versions";

/// Stored bytes that are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: damaged at offset {offset}: {reason}", path.display())]
pub struct Damage {
    /// The file, relative to the data directory.
    pub path: PathBuf,
    /// Byte offset in it.
    pub offset: u64,
    /// What does not hold.
    pub reason: String,
}

impl Damage {
    fn new(path: impl AsRef<Path>, offset: u64, reason: impl Into<String>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            offset,
            reason: reason.into(),
        }
    }
}

impl From<Damage> for io::Error {
    fn from(damage: Damage) -> Self {
        Self::new(io::ErrorKind::InvalidData, damage)
    }
}

/// Why a catalog cannot be opened, created or wrapped anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The root does not open this catalog. Nothing was changed.
    #[error("{CATALOG}: {0}")]
    Key(#[from] attestore_keys::Error),
    /// The files are not what was written.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The medium failed, or the file is missing or already there.
    #[error("{CATALOG}: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
            Some(damage) => Self::Damage(damage.clone()),
            None => Self::Io(error),
        }
    }
}

/// The sealed file below the catalog's store. Clones are handles of the same file.
///
/// One handle goes to the store, another stays for [`SealedStorage::rewrap`] and [`SealedStorage::scan`].
#[derive(Clone)]
pub struct SealedStorage(Arc<Inner>);

struct Inner {
    entropy: Arc<dyn Entropy>,
    catalog: Arc<dyn File>,
    journals: [Arc<dyn File>; 2],
    versions: Arc<dyn File>,
    cipher: Cipher,
    /// What readers see. Changed only by who holds `writer`.
    overlay: RwLock<Overlay>,
    writer: Mutex<Writer>,
    poisoned: AtomicBool,
}

/// What is on the medium.
struct Writer {
    header: Header,
    state: State,
    /// Blocks that did not hold and were written again from the journal.
    restored: Vec<Restored>,
    /// The list of versions on the medium is not right and is to be written as a whole.
    list_is_wrong: bool,
}

/// A block that was written again from the journal after a crash, though what stood there was neither its old nor its
/// new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where, and what did not hold.
    pub damage: Damage,
    /// A power cut in the middle of writing it explains what was found; then a change of those bytes cannot be told from
    /// that.
    pub may_be_torn: bool,
}

/// Blocks that are put in place, read and scanned at once.
const BATCH: u64 = 64;
/// What is wrong with a block that holds, and is not the one written last.
const OLDER: &str = "an older version of this block stands in its place";
/// Bytes of the store's magic number, at the start of the first block.
const STORE_MAGIC: usize = 9;
/// Blocks by which the written part of the file grows at least, and at most, when it has to.
const GROWTH: (u64, u64) = (16, 1024);

impl SealedStorage {
    /// Creates an empty catalog under a fresh key and returns it opened.
    ///
    /// # Errors
    /// [`Error::Io`] of kind `AlreadyExists` when there is one; the root's errors; the medium's.
    pub fn create(
        disk: &Arc<dyn Disk>,
        provider: &dyn RootProvider,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        open::create(disk.as_ref(), provider, entropy.as_ref())?;
        Self::open(disk, provider, entropy)
    }

    /// Says whether there is a catalog to be opened.
    ///
    /// # Errors
    /// The medium's.
    pub fn exists(disk: &dyn Disk) -> io::Result<bool> {
        disk.exists(Path::new(CATALOG))
    }

    /// Opens the catalog, applying the journal that a crash may have left.
    ///
    /// # Errors
    /// [`Error::Key`] when the root is missing or another one, before anything is changed; [`Error::Damage`] when
    /// header, state or a needed journal is not what was written (a damaged block is found when it is read);
    /// [`Error::Io`].
    pub fn open(
        disk: &Arc<dyn Disk>,
        provider: &dyn RootProvider,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Error> {
        let inner = open::open(disk.as_ref(), provider, entropy)?;
        inner.look_at_store()?;
        Ok(Self(Arc::new(inner)))
    }

    /// The root generations under which the catalog's key is wrapped now.
    pub fn root_generations(&self) -> Vec<u64> {
        let writer = self.0.writer.lock();
        writer
            .header
            .wraps
            .iter()
            .flatten()
            .map(|wrap| wrap.generation)
            .collect()
    }

    /// Wraps the catalog's key under the provider's current root generation. The newest other wrap stays as long as
    /// the provider holds its generation; so this is called once after a new generation was made, and once after the
    /// old one was destroyed. Does nothing when nothing is to be changed.
    ///
    /// # Errors
    /// The root's and the medium's; after the medium's, every call fails.
    pub fn rewrap(&self, provider: &dyn RootProvider) -> Result<(), Error> {
        self.0.check()?;
        let mut writer = self.0.writer.lock();
        let wraps = self.0.wraps(&writer.header, provider)?;
        if wraps == writer.header.wraps {
            return Ok(());
        }
        let header = Header {
            wraps,
            sequence: writer.header.sequence + 1,
            ..writer.header.clone()
        };
        self.0.guard(|inner| inner.replace_header(&mut writer, header))?;
        Ok(())
    }

    /// Blocks that the opening wrote again from the journal and that did not hold before. Anything that is not explained by
    /// a power cut was damage.
    pub fn restored(&self) -> Vec<Restored> {
        self.0.writer.lock().restored.clone()
    }

    /// Reads and authenticates every byte of the catalog's files and reports what is not as it should be; empty when
    /// all is well. Writes wait for it.
    pub fn scan(&self) -> Vec<Damage> {
        let writer = self.0.writer.lock();
        scan::scan(&self.0, &writer.header, &writer.state)
    }
}

impl fmt::Debug for SealedStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStorage").finish_non_exhaustive()
    }
}

impl redb::StorageBackend for SealedStorage {
    fn len(&self) -> io::Result<u64> {
        self.0.check()?;
        Ok(self.0.overlay.read().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.check()?;
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.check()?;
        let _writer = self.0.writer.lock();
        let edge = len / LOGICAL as u64;
        let kept = usize::try_from(len % LOGICAL as u64).map_err(|_| invalid("length"))?;
        if kept > 0 && len < self.0.overlay.read().length {
            let mut block = self.0.block(edge)?;
            block[kept..].fill(0);
            self.0.overlay.write().put(edge, block);
        }
        self.0.overlay.write().set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.check()?;
        let mut writer = self.0.writer.lock();
        self.0.guard(|inner| inner.flush(&mut writer))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.check()?;
        let _writer = self.0.writer.lock();
        self.0.write(offset, data)
    }

    /// Marks the catalog as closed, so that the next opening needs no journal. What was not synced is given up. The
    /// handle stays usable.
    fn close(&self) -> io::Result<()> {
        self.0.check()?;
        let mut writer = self.0.writer.lock();
        self.0.guard(|inner| inner.settle(&mut writer))
    }
}

impl Inner {
    fn check(&self) -> io::Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "catalog: an earlier write failed; it has to be opened anew",
            ));
        }
        Ok(())
    }

    /// Runs a change of the medium; the first failure is the last.
    fn guard(&self, change: impl FnOnce(&Self) -> io::Result<()>) -> io::Result<()> {
        self.check()?;
        let result = change(self);
        if result.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        result
    }

    /// Empties the file when the store in it was never created to the end: the store syncs its first pages once without
    /// its magic number, and refuses to open what a crash leaves between that and the next sync. The state says when the
    /// number has been there; from then on a first block without it is damage, such as an old one put back.
    fn look_at_store(&self) -> Result<(), Error> {
        let magic = match self.block(0) {
            Ok(first) => has_magic(first.as_slice()),
            // Reported to the store when it reads the block.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if magic {
            return Ok(());
        }
        if self.writer.lock().state.finished {
            let reason = "the first block is from before the store was finished";
            return Err(Damage::new(CATALOG, place(0), reason).into());
        }
        self.overlay.write().set_len(0);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset
            .checked_add(data.len() as u64)
            .ok_or_else(|| invalid("offset"))?;
        if end > self.overlay.read().length {
            self.overlay.write().set_len(end);
        }
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            let (number, start) = split(at)?;
            let (part, left) = rest.split_at(rest.len().min(LOGICAL - start));
            let mut block = if part.len() == LOGICAL {
                empty()
            } else {
                self.block(number)?
            };
            block[start..start + part.len()].copy_from_slice(part);
            self.overlay.write().put(number, block);
            at += part.len() as u64;
            rest = left;
        }
        Ok(())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let overlay = self.overlay.read();
        let end = offset
            .checked_add(out.len() as u64)
            .ok_or_else(|| invalid("offset"))?;
        if end > overlay.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        let mut at = offset;
        let mut batch = Vec::new();
        while !rest.is_empty() {
            let (number, start) = split(at)?;
            // A run of blocks that are all in place is read at once.
            let wanted = (start + rest.len()).div_ceil(LOGICAL) as u64;
            let run = overlay.run_in_place(number, wanted.min(BATCH));
            let len = if run == 0 {
                let len = rest.len().min(LOGICAL - start);
                match overlay.get(number) {
                    Some(block) => rest[..len].copy_from_slice(&block[start..start + len]),
                    None => rest[..len].fill(0),
                }
                len
            } else {
                let count = usize::try_from(run).map_err(|_| invalid("length"))?;
                let len = rest.len().min(count * LOGICAL - start);
                let out = &mut rest[..len];
                self.read_in_place(&overlay.versions, number, count, start, out, &mut batch)?;
                len
            };
            at += len as u64;
            rest = &mut rest[len..];
        }
        Ok(())
    }

    /// Reads from `count` blocks in place, from byte `start` of the first.
    fn read_in_place(
        &self,
        versions: &Versions,
        first: u64,
        count: usize,
        start: usize,
        out: &mut [u8],
        batch: &mut Vec<u8>,
    ) -> io::Result<()> {
        batch.resize(count * PHYSICAL, 0);
        self.catalog
            .read_exact_at(batch, place(first))
            .map_err(|error| at_block(first, error))?;
        let mut rest = out;
        let mut start = start;
        for (number, physical) in (first..).zip(batch.chunks_exact_mut(PHYSICAL)) {
            let is_last = versions.is_last(number, physical);
            let block = self
                .cipher
                .open(number, physical)
                .map_err(|reason| Damage::new(CATALOG, place(number), reason))?;
            if !is_last {
                return Err(Damage::new(CATALOG, place(number), OLDER).into());
            }
            let (part, left) = rest.split_at_mut(rest.len().min(LOGICAL - start));
            part.copy_from_slice(&block[start..start + part.len()]);
            rest = left;
            start = 0;
        }
        Ok(())
    }

    /// One block as readers see it; zeros beyond the end.
    fn block(&self, number: u64) -> io::Result<Box<Block>> {
        let overlay = self.overlay.read();
        if let Some(block) = overlay.get(number) {
            return Ok(Box::new(*block));
        }
        let mut block = empty();
        if overlay.run_in_place(number, 1) == 1 {
            let out = block.as_mut_slice();
            self.read_in_place(&overlay.versions, number, 1, 0, out, &mut Vec::new())?;
        }
        Ok(block)
    }

    /// Makes what was written since the last sync durable, all of it or nothing.
    fn flush(&self, writer: &mut Writer) -> io::Result<()> {
        let (length, start, blocks) = {
            let mut overlay = self.overlay.write();
            (overlay.length, overlay.written, overlay.take_dirty())
        };
        let state = writer.state;
        if blocks.is_empty() && (length, start) == (state.length, state.written) {
            return Ok(());
        }
        let written = written_after(start, &blocks, length);
        let finished = state.finished || blocks.get(&0).is_some_and(|first| has_magic(first.as_slice()));
        let (journal, pages) = self.journal(state.sequence + 1, length, start..written, &blocks)?;
        let file = &self.journals[slot(journal.sequence)];
        file.write_all_at(journal.bytes(), 0)?;
        file.sync_data()?;
        {
            // Readers wait while the blocks change in place.
            let mut overlay = self.overlay.write();
            self.put_in_place(writer, &journal, finished)?;
            overlay.written = written;
            let pages = match writer.list_is_wrong {
                true => overlay.versions.all(),
                false => pages,
            };
            overlay.versions.write(self.versions.as_ref(), &pages)?;
        }
        self.catalog.sync_data()?;
        self.versions.sync_data()?;
        writer.list_is_wrong = false;
        self.overlay.write().drop_flushing();
        Ok(())
    }

    /// Seals `blocks`, and zeros for every other one of `fresh`, and takes in their versions; returns the pages of the
    /// list of versions that changed.
    fn journal(
        &self,
        sequence: u64,
        length: u64,
        fresh: std::ops::Range<u64>,
        blocks: &Blocks,
    ) -> io::Result<(Journal, BTreeSet<usize>)> {
        let gaps: Vec<u64> = fresh
            .clone()
            .filter(|number| !blocks.contains_key(number))
            .collect();
        let mut numbers: Vec<u64> = blocks.keys().copied().chain(gaps).collect();
        numbers.sort_unstable();
        let zeros = empty();
        let mut builder = Journal::builder(sequence, length, fresh.end, numbers.len());
        for number in numbers {
            let block = blocks.get(&number).unwrap_or(&zeros);
            builder.block(number, |out| {
                self.cipher.seal(number, block, self.entropy.as_ref(), out)
            });
        }
        // None of these blocks is read from its place before all of this is there.
        let versions = &mut self.overlay.write().versions;
        let pages = versions.set(&self.cipher, fresh.end, builder.blocks())?;
        let journal = builder.finish(versions.root(&self.cipher), &self.cipher)?;
        Ok((journal, pages))
    }

    /// Writes the journal's blocks, and the state that says so, to their places. Syncs nothing.
    fn put_in_place(&self, writer: &mut Writer, journal: &Journal, finished: bool) -> io::Result<()> {
        let end = place(journal.written);
        if self.catalog.len()? > end {
            self.catalog.set_len(end)?;
        }
        let mut first = 0;
        let mut batch: Vec<u8> = Vec::new();
        for (number, block) in journal.blocks() {
            let count = (batch.len() / PHYSICAL) as u64;
            if count == BATCH || number != first + count {
                self.catalog.write_all_at(&batch, place(first))?;
                batch.clear();
            }
            if batch.is_empty() {
                first = number;
            }
            batch.extend_from_slice(block);
        }
        if !batch.is_empty() {
            self.catalog.write_all_at(&batch, place(first))?;
        }
        let state = State {
            revision: writer.state.revision + 1,
            sequence: journal.sequence,
            length: journal.length,
            written: journal.written,
            journaled: true,
            header_changing: writer.state.header_changing,
            finished,
            versions: journal.versions,
        };
        self.write_state(writer, state)
    }

    fn write_state(&self, writer: &mut Writer, state: State) -> io::Result<()> {
        let bytes = state.encode(&self.cipher);
        for copy in state::COPIES {
            self.catalog.write_all_at(&bytes, copy)?;
        }
        writer.state = state;
        Ok(())
    }

    /// Whether there is anything in the journals: only then can a crash have torn a copy of the state.
    fn is_unsettled(&self) -> io::Result<bool> {
        Ok(self.journals[0].len()? > 0 || self.journals[1].len()? > 0)
    }

    /// Makes sure that something is in the journals before a state is written.
    fn expect_torn_states(&self) -> io::Result<()> {
        if !self.is_unsettled()? {
            self.journals[0].write_all_at(journal::PLACEHOLDER, 0)?;
            self.journals[0].sync_data()?;
        }
        Ok(())
    }

    /// Says that the catalog needs no journal any more, and then empties the journals.
    fn settle(&self, writer: &mut Writer) -> io::Result<()> {
        let state = writer.state;
        if state.journaled || state.header_changing {
            let settled = State {
                revision: state.revision + 1,
                journaled: false,
                header_changing: false,
                ..state
            };
            self.write_state(writer, settled)?;
            self.catalog.sync_data()?;
        }
        for journal in &self.journals {
            if journal.len()? > 0 {
                journal.set_len(0)?;
                journal.sync_data()?;
            }
        }
        Ok(())
    }

    fn wraps(&self, header: &Header, provider: &dyn RootProvider) -> Result<[Option<Wrap>; 2], Error> {
        let current = provider.generation();
        let known = provider.generations();
        let kept = header
            .wraps
            .iter()
            .flatten()
            .find(|wrap| wrap.generation == current);
        let wrap = match kept {
            Some(wrap) => wrap.clone(),
            None => Wrap::new(provider, &header.id, self.cipher.key())?,
        };
        let other = header
            .wraps
            .iter()
            .flatten()
            .filter(|other| other.generation != wrap.generation && known.contains(&other.generation))
            .max_by_key(|other| other.generation);
        Ok([Some(wrap), other.cloned()])
    }

    /// Replaces both copies of the header, one after the other; the state says meanwhile that they may differ.
    fn replace_header(&self, writer: &mut Writer, header: Header) -> io::Result<()> {
        self.expect_torn_states()?;
        let state = writer.state;
        self.write_state(
            writer,
            State {
                revision: state.revision + 1,
                header_changing: true,
                ..state
            },
        )?;
        self.catalog.sync_data()?;
        let bytes = header.encode(&self.cipher);
        for copy in header::COPIES {
            self.catalog.write_all_at(&bytes, copy)?;
            self.catalog.sync_data()?;
        }
        writer.header = header;
        let state = State {
            revision: state.revision + 2,
            header_changing: false,
            ..state
        };
        self.write_state(writer, state)?;
        self.catalog.sync_data()
    }
}

/// How far the file is written once `blocks` are in place: somewhat further than needed, so that it is seldom moved.
fn written_after(start: u64, blocks: &Blocks, length: u64) -> u64 {
    let needed = blocks.last_key_value().map_or(0, |(last, _)| last + 1);
    if needed <= start {
        return start;
    }
    let grown = needed + (needed / 8).clamp(GROWTH.0, GROWTH.1);
    grown.min(length.div_ceil(LOGICAL as u64)).max(needed)
}

/// Whether the store's first block begins with something.
fn has_magic(first: &[u8]) -> bool {
    !first.starts_with(&[0; STORE_MAGIC])
}

/// Where a sealed block is in the file.
fn place(number: u64) -> u64 {
    number.saturating_mul(PHYSICAL as u64).saturating_add(state::END)
}

/// Which journal file a journal goes to.
fn slot(sequence: u64) -> usize {
    usize::from(sequence % 2 == 1)
}

/// The block that a logical offset is in, and where in it.
fn split(offset: u64) -> io::Result<(u64, usize)> {
    let start = usize::try_from(offset % LOGICAL as u64).map_err(|_| invalid("offset"))?;
    Ok((offset / LOGICAL as u64, start))
}

fn empty() -> Box<Block> {
    Box::new([0; LOGICAL])
}

fn at_block(number: u64, error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Damage::new(CATALOG, place(number), "file ends before its last block").into();
    }
    io::Error::new(
        error.kind(),
        format!("{CATALOG}: reading at offset {}: {error}", place(number)),
    )
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{CATALOG}: {what} is out of range"),
    )
}

#[cfg(test)]
mod tests;
