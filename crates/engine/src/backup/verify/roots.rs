//! Entries of logs in a target, against the roots that a backup names.

use std::collections::BTreeSet;
use std::path::PathBuf;

use attestore_disk::Disk;
use attestore_record::entry::ENTRY_BYTES;
use attestore_tlog::{Frontier, leaf_hash};

use super::super::{folder, manifest};
use crate::catalog::hex;
use crate::check::Problem;
use crate::error::Result;

/// Computes the root of a log's entries anew. Entries are read without any key.
///
/// # Errors
/// A target that could not be asked.
pub(super) fn check(
    disk: &dyn Disk,
    tenant: &manifest::TenantSum,
    bad: &BTreeSet<PathBuf>,
    problems: &mut Vec<Problem>,
) -> Result<()> {
    let mut frontier = Frontier::new();
    for run in &tenant.entries {
        let path = folder::entries_path(run);
        if bad.contains(&path) {
            return Ok(());
        }
        match folder::read(disk, &path) {
            Ok(bytes) if bytes.len().is_multiple_of(ENTRY_BYTES) => {
                bytes
                    .chunks_exact(ENTRY_BYTES)
                    .for_each(|entry| frontier.push(leaf_hash(entry)));
            }
            Ok(_) => {
                problems.push(Problem::damage(path, 0, "half an entry"));
                return Ok(());
            }
            Err(error) if folder::is_away(&error) => return Err(error.into()),
            Err(error) => {
                problems.push(Problem::damage(path, 0, error.to_string()));
                return Ok(());
            }
        }
    }
    if frontier.size() != tenant.flushed || hex(frontier.root().as_bytes()) != tenant.flushed_root {
        let reason = format!(
            "the entries of tenant {} have another root than the backup says",
            tenant.id
        );
        problems.push(Problem::damage(folder::ENTRIES, 0, reason));
    }
    Ok(())
}
