//! The files of the WAL: which are live, which comes next, which can be used again.
//!
//! A file's key is in the catalog before the file has its header. The next file is made ready in the background, so that
//! the committer only gives it its header and name when it switches.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use attestore_keys::{Key, Slot, SlotContext, SlotKind, random_array};
use attestore_wal::{FileSpec, Position, Prepared, Writer, file_path};
use parking_lot::Mutex;

use crate::catalog::{Catalog, WalRow};
use crate::instance::Inner;
use crate::{Error, Result};

/// The live files and the spare one.
#[derive(Default)]
pub(crate) struct WalFiles {
    state: Mutex<State>,
    /// Held while a file is made ready.
    spare: Mutex<Option<Spare>>,
    budget_bytes: u64,
}

#[derive(Default)]
struct State {
    /// Live files by number, with their sizes.
    live: BTreeMap<u64, u64>,
    /// A freed file that the next one is made of.
    reusable: Option<PathBuf>,
}

struct Spare {
    prepared: Prepared,
    spec: FileSpec,
    key: Key,
}

impl WalFiles {
    pub(crate) fn new(budget_bytes: u64) -> Self {
        Self {
            budget_bytes,
            ..Self::default()
        }
    }

    /// Bytes of live files.
    pub(crate) fn bytes(&self) -> u64 {
        self.state.lock().live.values().sum()
    }

    /// Number of live files.
    pub(crate) fn count(&self) -> usize {
        self.state.lock().live.len()
    }

    /// Whether flushes do not keep up.
    pub(crate) fn over_budget(&self) -> bool {
        self.bytes() > self.budget_bytes
    }

    /// Whether it is time to flush whatever holds the oldest file.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes() > self.budget_bytes / 2
    }

    /// Number of the oldest live file.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.state.lock().live.keys().next().copied()
    }

    /// Number of the newest live file, the one that is written to.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.state.lock().live.keys().next_back().copied()
    }

    /// Begins the next file.
    ///
    /// # Errors
    /// Final: what was written is not known.
    pub(crate) fn next(&self, inner: &Inner, predecessor_end: Position) -> Result<Writer> {
        // Held until the file has its name: what is unfinished meanwhile is nobody's leftover.
        let mut spare = self.spare.lock();
        let Spare { prepared, spec, key } = match spare.take() {
            Some(spare) => spare,
            None => self.make(inner)?,
        };
        let writer = Writer::create(
            &*inner.disk,
            prepared,
            spec,
            key,
            predecessor_end,
            inner.clock.now_ms(),
            Arc::clone(&inner.entropy),
        )
        .map_err(failed)?;
        drop(spare);
        self.state.lock().live.insert(spec.number, spec.size);
        inner.flusher.notify();
        Ok(writer)
    }

    /// Makes the next file ready if that was not done yet.
    ///
    /// # Errors
    /// What the catalog or the system says; the committer will try again itself.
    pub(crate) fn make_spare(&self, inner: &Inner) -> Result<()> {
        let mut spare = self.spare.lock();
        if spare.is_none() {
            let made = self.make(inner).inspect_err(|_| {
                // Half a file takes space that the rest of the disk needs.
                if let Err(error) = attestore_wal::remove_unfinished(&*inner.disk) {
                    tracing::warn!(%error, "an unfinished WAL file stays as a stray");
                }
            })?;
            *spare = Some(made);
        }
        Ok(())
    }

    fn make(&self, inner: &Inner) -> Result<Spare> {
        let file_id: [u8; 16] = random_array(&*inner.entropy);
        let key = Key::random(&*inner.entropy);
        let size = inner.settings.wal_file_bytes;
        let spec = inner.catalog.update::<_, Error>(|update| {
            let number = update.instance.wal_next;
            update.instance.wal_next += 1;
            let slot = update.put_key(file_context(file_id), None, &key)?;
            update.put_wal(
                number,
                &WalRow {
                    file_id,
                    key_slot: slot.0,
                    size,
                },
            )?;
            Ok(FileSpec {
                number,
                file_id,
                key_slot: slot.0,
                size,
            })
        })?;
        let reusable = self.state.lock().reusable.take();
        let prepared =
            attestore_wal::prepare(&*inner.disk, spec.number, size, reusable.as_deref()).map_err(failed)?;
        Ok(Spare { prepared, spec, key })
    }

    /// Lets go of files that the catalog no longer names: one is kept for reuse, the rest removed.
    ///
    /// # Errors
    /// What the system says; the files are only strays then.
    pub(crate) fn free(&self, inner: &Inner, numbers: &[u64]) -> Result<()> {
        for number in numbers {
            let path = file_path(*number);
            let mut state = self.state.lock();
            let Some(size) = state.live.remove(number) else {
                continue;
            };
            if state.reusable.is_none() && size == inner.settings.wal_file_bytes {
                state.reusable = Some(path);
                continue;
            }
            drop(state);
            inner.disk.remove(&path)?;
        }
        Ok(())
    }
}

/// The keys of WAL files, for a replay.
pub(crate) struct CatalogKeys<'a>(pub(crate) &'a Catalog);

impl attestore_wal::FileKeys for CatalogKeys<'_> {
    fn file_key(&self, slot: u64, file_id: &[u8; 16]) -> Result<Key, attestore_wal::KeyError> {
        self.0
            .key(Slot(slot), &file_context(*file_id), None)
            .map_err(key_error)
    }
}

pub(crate) fn key_error(error: attestore_keys::Error) -> attestore_wal::KeyError {
    match error {
        attestore_keys::Error::Destroyed { .. } => attestore_wal::KeyError::Destroyed,
        attestore_keys::Error::Io(error) => attestore_wal::KeyError::Io(error),
        error if error.is_key() => attestore_wal::KeyError::Missing,
        error => attestore_wal::KeyError::Io(std::io::Error::other(error)),
    }
}

/// What the key of a file of the log is bound to in the tree of keys.
pub(crate) fn file_context(file_id: [u8; 16]) -> SlotContext {
    SlotContext {
        kind: SlotKind::WalFile,
        tenant: [0; 16],
        owner: file_id,
    }
}

fn failed(error: attestore_wal::Error) -> Error {
    Error::Stopped(format!("wal: {error}"))
}

#[cfg(test)]
mod tests;
