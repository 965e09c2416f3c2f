//! Applies the sections of one tenant, in the order of the log.
//!
//! A section may come again: a recovery that was interrupted has written it a second time. The same records are fine, other
//! ones under the same seqs are damage, and so is a gap.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use attestore_disk::{Disk, Mode};
use attestore_keys::Entropy;

use crate::Error;
use crate::append::section::Section;
use crate::idempotency::First;
use crate::tenant::{Generation, TailRecord, Tenant, View};

/// A tenant while the log is replayed.
pub(super) struct Stage {
    tenant: Arc<Tenant>,
    view: View,
    generations: Vec<Arc<Generation>>,
}

/// Why a section cannot be applied.
pub(super) enum ApplyError {
    /// It contradicts what is known.
    Mismatch(String),
    /// Something else failed.
    Other(Error),
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<io::Error> for ApplyError {
    fn from(error: io::Error) -> Self {
        Self::Other(error.into())
    }
}

impl Stage {
    pub(super) fn new(tenant: Arc<Tenant>) -> Self {
        let view = View::clone(&tenant.view.load());
        Self {
            tenant,
            view,
            generations: Vec::new(),
        }
    }

    pub(super) fn apply(&mut self, disk: &dyn Disk, section: Section) -> Result<(), ApplyError> {
        let mismatch = |reason: &str| Err(ApplyError::Mismatch(reason.to_owned()));
        let end = section.first_seq.checked_add(section.records.len() as u64);
        if end != Some(section.size) {
            return mismatch("a section's size is not that of its records");
        }
        if section.first_seq > self.view.size {
            return mismatch("records are missing before a section");
        }
        self.check_flushed(disk, &section)?;
        if section.size <= self.view.tail.start() && !section.records.is_empty() {
            // A flush took over all of it, keys included; the file stays for another tenant's sake.
            return Ok(());
        }
        for (handle, blind, key) in section.subjects {
            self.tenant.directory.recover(&self.tenant, handle, blind, key)?;
        }
        self.generation(section.generation)?;
        let tail = self.view.tail.start();
        let mut grown = false;
        for record in section.records.into_iter().filter(|record| record.seq >= tail) {
            match self.view.tail.get(record.seq) {
                Some(held) if held.entry == record.entry => {}
                Some(_) => return mismatch("another record under the same seq"),
                None => {
                    self.store(record);
                    grown = true;
                }
            }
        }
        if grown {
            self.view.seal();
            if self.view.size != section.size || self.view.root != section.root {
                return mismatch("the tree's root is not the one that was written");
            }
        }
        Ok(())
    }

    /// Publishes what was replayed; returns how many records the tail has.
    pub(super) fn finish(self, entropy: &dyn Entropy) -> u64 {
        let tenant = self.tenant;
        let records = self.view.tail.len();
        let next = self
            .generations
            .iter()
            .map(|known| known.number.saturating_add(1))
            .max()
            .unwrap_or(0);
        let next = next.max(tenant.generation.load().number);
        let fresh = Arc::new(Generation::fresh(next, entropy));
        let mut generations = self.generations;
        generations.push(Arc::clone(&fresh));
        *tenant.generations.write() = generations;
        tenant.generation.store(fresh);
        tenant.view.store(Arc::new(self.view));
        records
    }

    fn store(&mut self, record: TailRecord) {
        let mut core = self.tenant.core.lock();
        core.tail_bytes += record.bytes_len();
        if let Some(own) = record.idempotency {
            let entry = record.entry.to_bytes();
            let first = First {
                seq: record.seq,
                id: record.id,
                entry,
                digest: own.digest,
            };
            core.known.insert(own.key, first);
        }
        drop(core);
        self.view.extend(Arc::new(record));
    }

    fn generation(&mut self, generation: Generation) -> Result<(), ApplyError> {
        match self
            .generations
            .iter()
            .find(|known| known.number == generation.number)
        {
            Some(known) if known.key.ct_eq(&generation.key) => Ok(()),
            Some(_) => Err(ApplyError::Mismatch("two keys of one salt generation".to_owned())),
            None => {
                self.generations.push(Arc::new(generation));
                Ok(())
            }
        }
    }

    /// Compares records that are in segments already with the stored entries.
    fn check_flushed(&self, disk: &dyn Disk, section: &Section) -> Result<(), ApplyError> {
        let flushed: Vec<_> = section
            .records
            .iter()
            .take_while(|record| record.seq < self.view.tail.start())
            .collect();
        if flushed.is_empty() {
            return Ok(());
        }
        let path: PathBuf = self.tenant.dir().join("entries");
        let mut stored = vec![[0u8; 44]; flushed.len()];
        let file = disk.open(&path, Mode::Read)?;
        file.read_exact_at(stored.as_flattened_mut(), section.first_seq * 44)?;
        for (record, stored) in flushed.iter().zip(&stored) {
            if record.entry.to_bytes() != *stored {
                let offset = record.seq * 44;
                return Err(Error::damage(path, offset, "not the entry that the log holds").into());
            }
        }
        Ok(())
    }
}
