//! The files of a tenant's tree: `entries`, 44 bytes each, and `nodes.<L>` for L = 8, 16, …, 32 bytes each.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::{Disk, File, Mode};
use attestore_record::Entry;
use attestore_tlog::Frontier;

use super::cut::Cut;
use crate::tenant::Tenant;
use crate::{Error, Result};

/// Names and lengths of the files of a tree of `size` leaves; the level above the last with a node is among them, empty.
pub(crate) fn tree_files(size: u64) -> Vec<(String, u64)> {
    let mut files = vec![("entries".to_owned(), size * ENTRY_BYTES)];
    for level in LEVELS {
        let nodes = size >> level;
        files.push((format!("nodes.{level}"), nodes * NODE_BYTES));
        if nodes == 0 {
            break;
        }
    }
    files
}

/// Writes the entries of a cut and the nodes that they complete. With `sync`, they are durable on return.
///
/// # Errors
/// What the system says; [`Error::Stopped`] when the tree is not the one that was acknowledged.
pub(super) fn write(disk: &dyn Disk, cut: &Cut, sync: bool) -> Result<()> {
    let dir = cut.tenant.dir();
    let mut frontier: Frontier = cut.frontier.clone();
    let mut entries = Vec::with_capacity(cut.records.len() * 44);
    let mut nodes: Vec<Vec<u8>> = vec![Vec::new(); LEVELS.len()];
    for record in &cut.records {
        entries.extend_from_slice(&record.entry.to_bytes());
        frontier.push_with(record.leaf, |level, _, hash| {
            if level % 8 == 0 {
                nodes[usize::from(level / 8) - 1].extend_from_slice(&hash.0);
            }
        });
    }
    if frontier.root() != cut.view.root || frontier.size() != cut.view.size {
        return Err(Error::Stopped(format!(
            "tenant {}: the tail has another root",
            cut.tenant.id
        )));
    }
    let from = cut.seqs.start;
    put(disk, &dir.join("entries"), from * ENTRY_BYTES, &entries, sync)?;
    for (level, bytes) in LEVELS
        .into_iter()
        .zip(&nodes)
        .filter(|(_, bytes)| !bytes.is_empty())
    {
        put(
            disk,
            &dir.join(format!("nodes.{level}")),
            (from >> level) * NODE_BYTES,
            bytes,
            sync,
        )?;
    }
    Ok(())
}

/// Reads the times of receipt of stored entries.
///
/// # Errors
/// Damage, or what the system says.
pub(super) fn times(disk: &dyn Disk, tenant: &Tenant, seqs: std::ops::Range<u64>) -> Result<Vec<u64>> {
    let path = tenant.dir().join("entries");
    let count = usize::try_from(seqs.end.saturating_sub(seqs.start)).unwrap_or(0);
    let mut entries = vec![[0u8; 44]; count];
    disk.open(&path, Mode::Read)?
        .read_exact_at(entries.as_flattened_mut(), seqs.start * ENTRY_BYTES)?;
    let time = |(entry, seq): (&[u8; 44], u64)| {
        let entry = Entry::from_bytes(entry);
        entry
            .map(|entry| entry.time_ms)
            .map_err(|error| Error::damage(&path, seq * ENTRY_BYTES, error.to_string()))
    };
    entries.iter().zip(seqs).map(time).collect()
}

fn put(disk: &dyn Disk, path: &Path, offset: u64, bytes: &[u8], sync: bool) -> Result<()> {
    let file: Arc<dyn File> = disk.open(path, Mode::ReadWriteCreate)?;
    for (piece, at) in bytes.chunks(PIECE_BYTES).zip((offset..).step_by(PIECE_BYTES)) {
        file.write_all_at(piece, at)?;
    }
    if sync {
        file.sync_data()?;
    }
    Ok(())
}

const LEVELS: [u8; 7] = [8, 16, 24, 32, 40, 48, 56];
const ENTRY_BYTES: u64 = 44;
const NODE_BYTES: u64 = 32;
const PIECE_BYTES: usize = 256 << 10;
