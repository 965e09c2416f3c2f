//! Which backups go, and the files that no manifest names.
//!
//! A backup goes when there are `keep` newer ones, or when its escrow is as old as the window and there is a newer one; one that was
//! made for chunks only goes as soon as there is a newer one. First its
//! manifest, durably; then its escrow is overwritten and removed, durably; the rest is what no manifest names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attestore_disk::Disk;

use super::Target;
use super::folder::{self, Known};
use super::manifest::Manifest;
use crate::error::Result;

/// Removes backups whose time is over; returns how many.
///
/// # Errors
/// What the target says.
pub(super) fn expire(target: &Target, now_ms: u64) -> Result<usize> {
    let disk = &*target.disk;
    let ids = folder::ids(disk, folder::BACKUPS)?;
    // What a backup that failed left behind opens as much as one that did not.
    if folder::ids(disk, folder::ESCROW)?.len() > ids.len() {
        sweep(disk, &Known::read(disk)?, &BTreeSet::new())?;
    }
    let is_old = |(_, begun_ms): &(String, u64)| begun_ms.saturating_add(target.window_ms) <= now_ms;
    if ids.len() <= target.keep.max(1) && !ids.iter().any(is_old) {
        return Ok(0);
    }
    end(target, now_ms)
}

/// As [`expire`], also of those that were made for chunks only and have a newer one, and of chunks that a newer one has.
///
/// # Errors
/// What the target says.
pub(super) fn end(target: &Target, now_ms: u64) -> Result<usize> {
    let disk = &*target.disk;
    // Whether there is a newer one says only a manifest that can be read.
    let known = Known::read(disk)?;
    let over = over(&known.manifests, target, now_ms);
    for id in &over {
        folder::remove(disk, &folder::manifest_path(id))?;
        disk.sync_dir(Path::new(folder::BACKUPS))?;
        folder::erase(disk, &folder::escrow_path(id))?;
        tracing::info!(backup = %id, "a backup and its keys were removed");
    }
    match over.is_empty() {
        true => chunks(disk, &known)?,
        false => sweep(disk, &Known::read(disk)?, &BTreeSet::new())?,
    }
    Ok(over.len())
}

/// Ids of those whose time is over.
fn over(manifests: &[Manifest], target: &Target, now_ms: u64) -> Vec<String> {
    let older = manifests.split_last().map_or(&[][..], |(_, older)| older);
    let lasting = manifests.iter().filter(|manifest| !manifest.base).count();
    let mut surplus = lasting.saturating_sub(target.keep.max(1));
    let over = older.iter().filter(|manifest| {
        let is_surplus = !manifest.base && surplus > 0;
        surplus -= usize::from(is_surplus);
        manifest.base || is_surplus || manifest.made_ms.saturating_add(target.window_ms) <= now_ms
    });
    over.map(|manifest| manifest.id.clone()).collect()
}

/// Removes what no manifest names, but for what is to be spared, and chunks that a newer backup has. Nothing is removed as long as a manifest cannot be read: what it names is not known.
///
/// # Errors
/// What the target says.
pub(super) fn sweep(disk: &dyn Disk, known: &Known, spared: &BTreeSet<PathBuf>) -> Result<()> {
    if let Some((path, reason)) = known.bad.first() {
        tracing::warn!(path = %path.display(), reason, "a manifest cannot be read: nothing is removed from the backups' folder");
        return Ok(());
    }
    chunks(disk, known)?;
    let named: BTreeSet<PathBuf> = known.manifests.iter().flat_map(files).collect();
    let mut there = Vec::new();
    for dir in [folder::CATALOGS, folder::LOGS, folder::ESCROW].map(Path::new) {
        let names = folder::names(disk, dir)?.into_keys();
        there.extend(names.map(|name| dir.join(name)));
    }
    for dir in [folder::BLOBS, folder::ENTRIES].map(Path::new) {
        there.extend(folder::paths_below(disk, dir)?);
    }
    let mut changed = BTreeSet::new();
    for path in there {
        if named.contains(&path) || spared.contains(&path) {
            continue;
        }
        match path.starts_with(folder::ESCROW) {
            true => folder::erase(disk, &path)?,
            false => folder::remove(disk, &path)?,
        }
        changed.extend(path.parent().map(Path::to_path_buf));
    }
    for dir in changed {
        disk.sync_dir(&dir)?;
    }
    Ok(())
}

/// Removes chunks but for those behind the newest backup.
fn chunks(disk: &dyn Disk, known: &Known) -> Result<()> {
    if !known.bad.is_empty() {
        return Ok(());
    }
    let newest = known.manifests.last().map(|manifest| &manifest.id);
    let folders = folder::folders(disk, Path::new(folder::CHUNKS))?.into_iter();
    let over: Vec<String> = folders.filter(|name| Some(name) != newest).collect();
    for name in &over {
        folder::remove_folder(disk, &folder::chunks_path(name))?;
    }
    if !over.is_empty() {
        disk.sync_dir(Path::new(folder::CHUNKS))?;
    }
    Ok(())
}

/// Every file that a manifest names.
pub(super) fn files(manifest: &Manifest) -> Vec<PathBuf> {
    let mut files = vec![
        folder::catalog_path(&manifest.id),
        folder::escrow_path(&manifest.id),
    ];
    files.extend(
        manifest
            .logs
            .iter()
            .map(|log| folder::log_path(&manifest.id, log.number)),
    );
    files.extend(manifest.blobs.iter().map(|blob| folder::blob_path(&blob.id)));
    let runs = manifest.tenants.iter().flat_map(|tenant| &tenant.entries);
    files.extend(runs.map(|hash| folder::entries_path(hash)));
    files
}
