//! The files of a data directory, from a target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attestore_disk::{Disk, Mode};
use attestore_record::TenantId;
use attestore_record::entry::ENTRY_BYTES;
use attestore_segment::FileWriter;
use attestore_tlog::{Frontier, leaf_hash};
use attestore_wal::file_path;
use redb::TableHandle;

use super::super::escrow::Escrow;
use super::super::manifest::{Manifest, Sum, TenantSum, short};
use super::super::{dump, folder};
use crate::catalog::{FileRow, hex, json, tables, unhex};
use crate::error::{Error, Result};

/// Removes what an earlier attempt left. Root keys stay.
pub(super) fn clear(disk: &dyn Disk) -> Result<()> {
    for dir in ["tenants", "l0", "wal", "quarantine"] {
        remove_all(disk, Path::new(dir))?;
    }
    for entry in disk.list(Path::new(""))? {
        if !entry.is_dir && entry.name.starts_with("catalog") {
            disk.remove(Path::new(&entry.name))?;
        }
    }
    disk.sync_dir(Path::new(""))?;
    Ok(())
}

fn remove_all(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if !disk.exists(dir)? {
        return Ok(());
    }
    for entry in disk.list(dir)? {
        let path = dir.join(entry.name);
        match entry.is_dir {
            true => remove_all(disk, &path)?,
            false => disk.remove(&path)?,
        }
    }
    Ok(disk.remove(dir)?)
}

/// Copies everything but the catalog, and compares every byte with its hash. Durable on return.
///
/// # Errors
/// Damage of the target, with file and offset; what the system says.
pub(super) fn files(
    from: &dyn Disk,
    to: &dyn Disk,
    manifest: &Manifest,
    escrow: &Escrow,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<()> {
    let mut copy = Copy {
        from,
        to,
        done: 0,
        all: manifest.bytes,
        progress,
    };
    let rows = file_rows(from, manifest, escrow)?;
    let (parts, own): (Vec<FileRow>, Vec<FileRow>) = rows.into_iter().partition(FileRow::is_part);
    for row in &own {
        copy.file(row)?;
    }
    let mut shared: BTreeMap<PathBuf, Vec<FileRow>> = BTreeMap::new();
    for row in parts {
        shared.entry(row.path.clone()).or_default().push(row);
    }
    for (path, rows) in &shared {
        copy.shared(path, rows)?;
    }
    for tenant in &manifest.tenants {
        copy.log_of(tenant)?;
    }
    for log in &manifest.logs {
        let bytes = copy.read(&folder::log_path(&manifest.id, log.number), &log.sum)?;
        let file = copy.make(&file_path(log.number))?;
        file.write_all_at(&bytes, 0)?;
        // As a file that was made ready: behind the last frame there are zeros.
        file.set_len(log.size)?;
        file.sync_data()?;
    }
    Ok(to.sync_all()?)
}

/// Rows of files, from the dump.
fn file_rows(from: &dyn Disk, manifest: &Manifest, escrow: &Escrow) -> Result<Vec<FileRow>> {
    let path = folder::catalog_path(&manifest.id);
    let id = unhex(&manifest.id).ok_or_else(|| Error::damage(&path, 0, "id of the backup"))?;
    let mut rows = Vec::new();
    dump::read(from, &path, &escrow.dump, &id, &mut |table, _, value| {
        if table == tables::FILES.name() {
            rows.push(json(value)?);
        }
        Ok(())
    })?;
    Ok(rows)
}

struct Copy<'a> {
    from: &'a dyn Disk,
    to: &'a dyn Disk,
    done: u64,
    all: u64,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Copy<'_> {
    fn went(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(self.done, self.all);
    }

    /// A sealed file of its own.
    fn file(&mut self, row: &FileRow) -> Result<()> {
        let path = folder::blob_path(&row.id);
        let file = open(self.from, &path)?;
        self.folder_of(&row.path)?;
        let mut to = FileWriter::create(self.to, &row.path, &attestore_segment::unpaced)?;
        let mut piece = vec![0; PIECE];
        let mut at = 0;
        loop {
            let len = file.read_at(&mut piece, at)?;
            if len == 0 {
                break;
            }
            to.write(&piece[..len])?;
            at += len as u64;
            self.went(len as u64);
        }
        let written = to.finish(false).map_err(std::io::Error::from)?;
        match written.bytes == row.length && hex(&written.checksum) == row.checksum {
            true => Ok(()),
            false => Err(not_as_written(&path)),
        }
    }

    /// A file that has parts of many; what lies between is zeros.
    fn shared(&mut self, path: &Path, rows: &[FileRow]) -> Result<()> {
        let file = self.make(path)?;
        for row in rows {
            let sum = Sum {
                bytes: row.length,
                blake3: row.checksum.clone(),
            };
            let bytes = self.read(&folder::blob_path(&row.id), &sum)?;
            file.write_all_at(&bytes, row.offset)?;
        }
        file.sync_data()?;
        Ok(())
    }

    /// Entries and nodes of a log. Nodes are computed anew, and so is the root.
    fn log_of(&mut self, tenant: &TenantSum) -> Result<()> {
        let id = unhex(&tenant.id).ok_or_else(|| Error::damage(folder::BACKUPS, 0, "id of a tenant"))?;
        let dir = Path::new("tenants").join(TenantId::from_bytes(id).to_string());
        if tenant.flushed == 0 {
            return Ok(());
        }
        let mut frontier = Frontier::new();
        let mut nodes: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        let entries = self.make(&dir.join("entries"))?;
        let mut at = 0;
        for run in &tenant.entries {
            let path = folder::entries_path(run);
            let bytes = whole(self.from, &path)?;
            if short(&blake3::hash(&bytes)) != *run {
                return Err(not_as_written(&path));
            }
            for entry in bytes.chunks_exact(ENTRY_BYTES) {
                frontier.push_with(leaf_hash(entry), |level, _, hash| {
                    if level % 8 == 0 {
                        nodes.entry(level).or_default().extend_from_slice(&hash.0);
                    }
                });
            }
            entries.write_all_at(&bytes, at)?;
            at += bytes.len() as u64;
            self.went(bytes.len() as u64);
        }
        entries.sync_data()?;
        if frontier.size() != tenant.flushed || hex(frontier.root().as_bytes()) != tenant.flushed_root {
            let reason = format!(
                "the entries of tenant {} have another root than the backup says",
                tenant.id
            );
            return Err(Error::damage(folder::ENTRIES, 0, reason));
        }
        for (level, bytes) in nodes {
            let file = self.make(&dir.join(format!("nodes.{level}")))?;
            file.write_all_at(&bytes, 0)?;
            file.sync_data()?;
        }
        Ok(())
    }

    /// A whole file of the target, which has to be what was written.
    fn read(&mut self, path: &Path, sum: &Sum) -> Result<Vec<u8>> {
        let bytes = whole(self.from, path)?;
        if Sum::of(&bytes) != *sum {
            return Err(not_as_written(path));
        }
        self.went(bytes.len() as u64);
        Ok(bytes)
    }

    /// A new file of the data directory, with its folder.
    fn make(&self, path: &Path) -> Result<std::sync::Arc<dyn attestore_disk::File>> {
        self.folder_of(path)?;
        Ok(self.to.open(path, Mode::Create)?)
    }

    fn folder_of(&self, path: &Path) -> Result<()> {
        Ok(self.to.create_dir_all(path.parent().unwrap_or(Path::new("")))?)
    }
}

fn open(disk: &dyn Disk, path: &Path) -> Result<std::sync::Arc<dyn attestore_disk::File>> {
    disk.open(path, Mode::Read).map_err(|error| missing(path, error))
}

fn whole(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    folder::read(disk, path).map_err(|error| missing(path, error))
}

fn missing(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::damage(path, 0, "the file is missing"),
        _ => error.into(),
    }
}

fn not_as_written(path: &Path) -> Error {
    Error::damage(path, 0, "the file is not what was written")
}

const PIECE: usize = 1 << 20;
