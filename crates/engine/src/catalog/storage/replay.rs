//! After a crash: the journal is applied again, and the list of versions is made to fit.

use std::io;

use super::block::PHYSICAL;
use super::journal::Journal;
use super::overlay::Overlay;
use super::state::State;
use super::versions::Versions;
use super::{CATALOG, Damage, Error, Inner, Restored, VERSIONS, Writer, has_magic, place, slot};

/// What a medium writes whole or not at all.
const SECTOR: usize = 512;

impl Inner {
    /// Applies `journal`, and its blocks' versions. Whether the versions fit is not looked at yet.
    pub(super) fn replay(&self, writer: &mut Writer, journal: &Journal) -> io::Result<()> {
        // Written again, because what was read may have been in the page cache only.
        let file = &self.journals[slot(journal.sequence)];
        file.write_all_at(journal.bytes(), 0)?;
        file.sync_data()?;
        writer.restored = self.look_at_places(writer.state.written, journal)?;
        let finished = writer.state.finished || self.finishes(journal);
        self.put_in_place(writer, journal, finished)?;
        self.catalog.sync_data()?;
        let mut versions = Versions::load(self.versions.as_ref(), &self.cipher, journal.written)?;
        versions.set(&self.cipher, journal.written, journal.blocks())?;
        versions.write(self.versions.as_ref(), &versions.all())?;
        self.versions.sync_data()?;
        *self.overlay.write() = Overlay::new(journal.length, journal.written);
        Ok(())
    }

    /// Finds the blocks that are neither what was there before nor what the journal writes.
    fn look_at_places(&self, written: u64, journal: &Journal) -> io::Result<Vec<Restored>> {
        let mut restored = Vec::new();
        let mut bytes = vec![0; PHYSICAL];
        for (number, sealed) in journal.blocks().take_while(|(number, _)| *number < written) {
            let at = place(number);
            let reason = match self.catalog.read_exact_at(&mut bytes, at) {
                Ok(()) if bytes == sealed => continue,
                // What the crash kept from being written.
                Ok(()) if bytes.iter().all(|byte| *byte == 0) => continue,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Ok(()) => None,
                Err(error) => Some(error.to_string()),
            };
            let may_be_torn = reason.is_none() && is_partly(at, &bytes, sealed);
            let reason = match reason {
                Some(reason) => reason,
                None => match self.cipher.open(number, &mut bytes) {
                    Ok(_) => continue,
                    Err(reason) => reason.to_owned(),
                },
            };
            let damage = Damage::new(CATALOG, at, format!("{reason}; written again from the journal"));
            tracing::warn!(%damage, may_be_torn, "a block did not hold after a crash");
            restored.push(Restored { damage, may_be_torn });
        }
        Ok(restored)
    }

    /// Reads the list of versions, or makes it from the blocks if it is not the one that the state knows and they are.
    pub(super) fn take_versions(&self, writer: &mut Writer) -> Result<(), Error> {
        let written = writer.state.written;
        let Some(root) = writer.state.versions else {
            return self.begin_versions(writer);
        };
        let listed = match Versions::load(self.versions.as_ref(), &self.cipher, written) {
            Ok(listed) if listed.root(&self.cipher) == root => {
                self.overlay.write().versions = listed;
                return Ok(());
            }
            listed => listed.ok(),
        };
        let found = Versions::gather(self.catalog.as_ref(), &self.cipher, written)?;
        if found.root(&self.cipher) != root {
            let other = listed.and_then(|listed| listed.differs(&found));
            return Err(match other {
                Some(number) => Damage::new(
                    CATALOG,
                    place(number),
                    "this block, and others or the list of versions, are not what was written last",
                ),
                None => Damage::new(
                    VERSIONS,
                    0,
                    "blocks and list of versions are not those of the state",
                ),
            }
            .into());
        }
        // Left as it is, for a scan to report, until the next change.
        tracing::warn!("{VERSIONS}: not what was written; the blocks are, so it is made again");
        writer.list_is_wrong = true;
        self.overlay.write().versions = found;
        Ok(())
    }

    /// Begins the list for a catalog from before versions were kept.
    fn begin_versions(&self, writer: &mut Writer) -> Result<(), Error> {
        let written = writer.state.written;
        let found = Versions::gather(self.catalog.as_ref(), &self.cipher, written)?;
        self.expect_torn_states()?;
        found.write(self.versions.as_ref(), &found.all())?;
        self.versions.sync_data()?;
        let state = State {
            revision: writer.state.revision + 1,
            versions: Some(found.root(&self.cipher)),
            ..writer.state
        };
        self.write_state(writer, state)?;
        self.catalog.sync_data()?;
        self.overlay.write().versions = found;
        Ok(())
    }

    /// Whether the journal brings the store's first block with its magic number.
    fn finishes(&self, journal: &Journal) -> bool {
        let Some((0, sealed)) = journal.blocks().next() else {
            return false;
        };
        let mut sealed = sealed.to_vec();
        self.cipher
            .open(0, &mut sealed)
            .is_ok_and(|first| has_magic(first.as_slice()))
    }
}

/// Whether what stands at `at` may be partly new: a sector is, or begins so, where writing was cut off.
fn is_partly(at: u64, found: &[u8], new: &[u8]) -> bool {
    let first = at.next_multiple_of(SECTOR as u64) - at;
    let first = usize::try_from(first).unwrap_or(0).min(found.len());
    let mut starts = std::iter::once(0).chain((first..found.len()).step_by(SECTOR));
    starts.any(|start| found[start] == new[start])
}
