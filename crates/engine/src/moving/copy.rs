//! Sealed files and entries, from a tenant into a package. Both never change where they lie, so what was copied once stays copied.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use attestore_disk::Mode;
use attestore_record::TenantId;
use attestore_record::entry::ENTRY_BYTES;
use attestore_segment::FileWriter;
use redb::ReadTransaction;

use super::package::{Blob, blobs_path, entries_path};
use crate::backup::folder;
use crate::catalog::{FileRow, hex, json, storage, tables};
use crate::compact;
use crate::error::{Error, Result};
use crate::instance::Inner;

/// The rows of a tenant's files.
///
/// # Errors
/// As reads.
pub(super) fn file_rows(txn: &ReadTransaction, tenant: &TenantId) -> Result<Vec<FileRow>> {
    let id = tenant.as_bytes();
    let table = txn.open_table(tables::FILES).map_err(storage)?;
    let rows = table
        .range((id, 0, 0, 0)..=(id, u64::MAX, u32::MAX, u8::MAX))
        .map_err(storage)?;
    rows.map(|row| json(row.map_err(storage)?.1.value())).collect()
}

/// Copies the files that are not in the package, and removes what is not named any more. Each is durable on return.
///
/// # Errors
/// [`Error::Io`] with `NotFound` for a file that was replaced meanwhile; damage; what the disk says.
pub(super) fn blobs(inner: &Inner, id: &str, rows: &[FileRow]) -> Result<Vec<Blob>> {
    let dir = blobs_path(id);
    inner.disk.create_dir_all(&dir)?;
    let there = folder::names(&*inner.disk, &dir)?;
    let wanted: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    for name in there.keys().filter(|name| !wanted.contains(name.as_str())) {
        folder::remove(&*inner.disk, &dir.join(name))?;
    }
    for row in rows {
        // A file has its name once it is whole.
        if there.get(&row.id) != Some(&row.length) {
            blob(inner, &dir, row)?;
        }
        inner.moves.went(row.length);
    }
    inner.disk.sync_dir(&dir)?;
    let blob = |row: &FileRow| Blob {
        id: row.id.clone(),
        bytes: row.length,
        blake3: row.checksum.clone(),
    };
    Ok(rows.iter().map(blob).collect())
}

fn blob(inner: &Inner, dir: &Path, row: &FileRow) -> Result<()> {
    let file = inner.disk.open(&row.path, Mode::Read)?;
    let pace = |bytes: usize| compact::pace(inner, bytes);
    let mut to = FileWriter::create(&*inner.disk, &dir.join(&row.id), &pace)?;
    let mut piece = vec![0; PIECE];
    let mut left = row.length;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let at = row.offset + (row.length - left);
        file.read_exact_at(&mut piece[..len], at)?;
        to.write(&piece[..len])?;
        left -= len as u64;
    }
    let written = to.finish(true).map_err(io::Error::from)?;
    match hex(&written.checksum) == row.checksum {
        true => Ok(()),
        false => {
            folder::remove(&*inner.disk, &dir.join(&row.id))?;
            Err(Error::damage(
                &row.path,
                row.offset,
                "the file is not what was written",
            ))
        }
    }
}

/// Copies entries up to `count`, from where an earlier call ended. Durable on return.
///
/// # Errors
/// What the disk says.
pub(super) fn entries(inner: &Inner, tenant: &TenantId, id: &str, count: u64) -> Result<()> {
    let path = entries_path(id);
    let to = match inner.disk.open(&path, Mode::Create) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            inner.disk.open(&path, Mode::ReadWrite)?
        }
        opened => opened?,
    };
    let all = count.saturating_mul(ENTRY_BYTES as u64);
    // What an earlier process wrote may not have reached the medium: then the root will tell, and the next attempt begins anew.
    let mut at = to.len()?.min(all);
    at -= at % ENTRY_BYTES as u64;
    inner.moves.went(at);
    if all > 0 {
        let from = inner.disk.open(&dir(tenant).join("entries"), Mode::Read)?;
        let mut piece = vec![0; PIECE];
        while at < all {
            let len = usize::try_from(all - at).unwrap_or(PIECE).min(PIECE);
            from.read_exact_at(&mut piece[..len], at)?;
            compact::pace(inner, len)?;
            to.write_all_at(&piece[..len], at)?;
            at += len as u64;
            inner.moves.went(len as u64);
        }
    }
    to.set_len(all)?;
    to.sync_data()?;
    Ok(())
}

/// The folder of a tenant.
pub(super) fn dir(tenant: &TenantId) -> PathBuf {
    Path::new("tenants").join(tenant.to_string())
}

const PIECE: usize = 256 << 10;
