//! Entries of a package, into the folder of a tenant that nobody finds yet; the nodes over them are computed anew.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use attestore_disk::{File, Mode};
use attestore_record::TenantId;
use attestore_record::entry::ENTRY_BYTES;
use attestore_tlog::{Frontier, leaf_hash};

use super::copy::dir;
use super::package::{Manifest, bad, entries_path};
use crate::catalog::hex;
use crate::error::Result;
use crate::instance::Inner;

/// Copies the entries and computes the nodes over them anew. Durable once the file system was synced.
///
/// # Errors
/// [`Error::Invalid`] `invalid_package` where their root is another than was signed; what the disk says.
pub(super) fn take(inner: &Inner, tenant: &TenantId, manifest: &Manifest) -> Result<Frontier> {
    let mut log = Log::new(inner, tenant);
    let mut frontier = Frontier::new();
    if manifest.size > 0 {
        let path = entries_path(&manifest.id);
        let from = inner
            .disk
            .open(&path, Mode::Read)
            .map_err(|error| bad(format!("its entries: {error}")))?;
        let all = manifest.size.saturating_mul(ENTRY_BYTES as u64);
        if from.len()? != all {
            return Err(bad("its entries have another length"));
        }
        let mut piece = vec![0; PIECE_ENTRIES * ENTRY_BYTES];
        let mut at = 0;
        while at < all {
            let len = usize::try_from(all - at).unwrap_or(piece.len()).min(piece.len());
            from.read_exact_at(&mut piece[..len], at)?;
            crate::compact::pace(inner, len)?;
            log.push("entries", &piece[..len])?;
            for entry in piece[..len].chunks_exact(ENTRY_BYTES) {
                let mut nodes: Vec<(u8, [u8; 32])> = Vec::new();
                frontier.push_with(leaf_hash(entry), |level, _, hash| {
                    if level % 8 == 0 {
                        nodes.push((level, hash.0));
                    }
                });
                for (level, hash) in nodes {
                    log.push(&format!("nodes.{level}"), &hash)?;
                }
            }
            at += len as u64;
            inner.moves.went(len as u64);
        }
    }
    log.finish()?;
    match hex(frontier.root().as_bytes()) == manifest.root {
        true => Ok(frontier),
        false => Err(bad("its entries have another root than its log signed")),
    }
}

/// A file, how many bytes of it are written, and those that wait.
type Making = (Arc<dyn File>, u64, Vec<u8>);

/// Files of a log in the making.
struct Log<'a> {
    inner: &'a Inner,
    dir: PathBuf,
    files: BTreeMap<String, Making>,
}

impl<'a> Log<'a> {
    fn new(inner: &'a Inner, tenant: &TenantId) -> Self {
        Self {
            inner,
            dir: dir(tenant),
            files: BTreeMap::new(),
        }
    }

    fn push(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if !self.files.contains_key(name) {
            let file = self.inner.disk.open(&self.dir.join(name), Mode::Create)?;
            self.files.insert(name.to_owned(), (file, 0, Vec::new()));
        }
        if let Some((file, at, waiting)) = self.files.get_mut(name) {
            waiting.extend_from_slice(bytes);
            if waiting.len() >= WRITE_BYTES {
                file.write_all_at(waiting, *at)?;
                *at += waiting.len() as u64;
                waiting.clear();
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        for (file, at, waiting) in self.files.into_values() {
            file.write_all_at(&waiting, at)?;
            file.sync_data()?;
        }
        Ok(())
    }
}

const PIECE_ENTRIES: usize = 4096;
const WRITE_BYTES: usize = 128 << 10;
