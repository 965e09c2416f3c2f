//! From a target to a data directory.
//!
//! # Durability
//! The file `restore` in the directory says how far it is; as long as it is there nothing opens the directory but a restore.
//!
//! 1. `restore` says `copying`. The target is checked as far as this backup needs it, every file is copied and compared with its
//!    hash, nodes are computed anew, the catalog is filled under a fresh key and a fresh root, the ledger goes into it, and what was
//!    shipped behind the backup into the log.
//! 2. `restore` says `installed`. The directory opens as one after a crash. Every log gets a new epoch.
//! 3. What the ledger says is done again: people, records, tenants, credentials. The root is rotated.
//! 4. It is looked whether anything of that is left. `_system` has a record of the restore. `restore` is removed.
//!
//! A crash in 1 begins anew, one behind it goes on: each step finds what was done.

mod behind;
mod copy;
mod install;
mod replay;

use std::io;
use std::path::Path;

use attestore_disk::Disk;
use attestore_keys::RecipientKey;
use serde::{Deserialize, Serialize};

use self::behind::Behind;
pub use self::behind::UseChunks;
use super::folder::{self, Known};
use super::manifest::{self, Manifest};
use super::{ledger, verify};
use crate::catalog::{encode, json};
use crate::error::{Error, OpenError};
use crate::instance::LOCK;
use crate::{Parts, Settings};

/// What is to be restored.
#[derive(Clone, Debug, Default)]
pub struct RestoreSpec {
    /// Id of the backup; `None` for the newest.
    pub backup: Option<String>,
    /// Why it is to go on although the ledger may not be the newest; stays on record.
    pub without_ledger: Option<String>,
    /// Which of the chunks behind the backup are used.
    pub chunks: UseChunks,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Id of the backup, hex.
    pub backup: String,
    /// When its snapshot was taken, Unix milliseconds.
    pub made_ms: u64,
    /// Entries of the ledger.
    pub ledger: u64,
    /// Chunks behind the backup that were used.
    pub chunks: u64,
    /// Everything that was acknowledged before is there, but for what only a backup can have; Unix milliseconds.
    pub until_ms: u64,
    /// The logs.
    pub tenants: Vec<RestoredTenant>,
    /// What was done again that had been done behind the backup.
    pub again: Again,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// A log that was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoredTenant {
    /// Name of the tenant.
    pub name: String,
    /// Entries that the backup had.
    pub entries: u64,
    /// Entries more that chunks had.
    pub from_chunks: u64,
    /// Entries that the log is known to have had; `None` without a head register that knows it.
    pub known: Option<u64>,
    /// Entries of these that are lost.
    pub lost: Option<u64>,
    /// The origin of its new epoch.
    pub origin: String,
    /// Whether the key of the former epoch vouches for that of the new one.
    pub vouched: bool,
}

/// What was done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Again {
    /// People that were erased.
    pub subjects: u64,
    /// Records that were purged or erased whole.
    pub records: u64,
    /// Tenants that were destroyed.
    pub tenants: u64,
    /// Credentials that were revoked.
    pub credentials: u64,
}

/// How far a restore is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Marker {
    backup: String,
    phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    without_ledger: Option<String>,
    #[serde(default)]
    chunks: UseChunks,
    /// What they gave.
    #[serde(default)]
    behind: Behind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Copying,
    Installed,
}

/// Refuses a directory whose restore has not come to its end.
///
/// # Errors
/// [`OpenError::Other`].
pub(crate) fn refuse_unfinished(disk: &dyn Disk) -> Result<(), OpenError> {
    match disk.exists(Path::new(MARKER))? {
        false => Ok(()),
        true => Err(OpenError::Other(
            "a restore into this directory has not come to its end: what was erased behind the backup may still be in it. Restore again"
                .to_owned(),
        )),
    }
}

/// Whether a restore into a directory has not come to its end.
///
/// # Errors
/// What the system says.
pub(crate) fn is_under_way(disk: &dyn Disk) -> Result<bool, Error> {
    Ok(disk.exists(Path::new(MARKER))?)
}

/// Checks that a directory is empty, or that a restore into it has not come to its end.
///
/// # Errors
/// [`OpenError::Settings`], or what the system says.
pub fn check_empty(disk: &dyn Disk) -> Result<(), OpenError> {
    if disk.exists(Path::new(MARKER))? {
        return Ok(());
    }
    match disk
        .list(Path::new(""))?
        .into_iter()
        .find(|entry| entry.name != LOCK)
    {
        None => Ok(()),
        Some(entry) => Err(OpenError::Settings(format!(
            "a backup is restored into an empty directory only: there is {}",
            entry.name
        ))),
    }
}

/// Restores a backup from the target `from` into the directory of `parts`, which [`check_empty`] found to be empty and which has
/// nothing but root keys since; or goes on with that. The target is not changed.
///
/// # Errors
/// [`OpenError::Damage`] for a file that is not what was written, and for a ledger that is not the newest; [`OpenError::Key`].
/// Nothing opens the directory then.
pub fn restore(
    from: &dyn Disk,
    parts: &Parts,
    settings: &Settings,
    key: &RecipientKey,
    spec: &RestoreSpec,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, OpenError> {
    let disk = &*parts.disk;
    let mut marker = match read_marker(disk)? {
        Some(marker) => resumed(marker, spec)?,
        None => Marker {
            backup: chosen(from, spec)?,
            phase: Phase::Copying,
            without_ledger: spec.without_ledger.clone(),
            chunks: spec.chunks,
            behind: Behind::default(),
        },
    };
    write_marker(disk, &marker)?;
    let path = folder::manifest_path(&marker.backup);
    let found = manifest::decode(&folder::read(from, &path)?)
        .map_err(|reason| OpenError::damage(&path, 0, reason))?;
    let manifest = &found.manifest;
    let escrow = verify::opened_escrow(from, key, manifest)?;
    if !found.is_authentic(&escrow.dump) {
        return Err(OpenError::damage(
            path,
            0,
            "the manifest was not written by who made the backup",
        ));
    }
    if marker.phase == Phase::Copying {
        let lock = disk.try_lock(Path::new(LOCK))?.ok_or(OpenError::InUse)?;
        complete_ledger(from, manifest, &marker)?;
        copy::clear(disk)?;
        copy::files(from, disk, manifest, &escrow, progress)?;
        marker.behind = install::catalog(from, parts, manifest, escrow, marker.chunks)?;
        drop(lock);
        marker.phase = Phase::Installed;
        write_marker(disk, &marker)?;
    }
    let restored = replay::run(
        parts,
        settings,
        manifest,
        &marker.behind,
        marker.without_ledger.as_deref(),
    )?;
    folder::remove(disk, Path::new(MARKER))?;
    disk.sync_dir(Path::new(""))?;
    Ok(restored)
}

fn resumed(marker: Marker, spec: &RestoreSpec) -> Result<Marker, OpenError> {
    if spec
        .backup
        .as_ref()
        .is_some_and(|wanted| *wanted != marker.backup)
    {
        return Err(OpenError::Settings(format!(
            "the restore of backup {} into this directory has not come to its end",
            marker.backup
        )));
    }
    let forced = spec.without_ledger.clone();
    Ok(Marker {
        without_ledger: forced.or(marker.without_ledger),
        chunks: spec.chunks,
        ..marker
    })
}

/// The backup that is meant.
fn chosen(from: &dyn Disk, spec: &RestoreSpec) -> Result<String, OpenError> {
    let known = Known::read(from)?;
    let ids = || known.manifests.iter().map(|manifest| &manifest.id);
    let found = match &spec.backup {
        Some(wanted) => ids().find(|id| *id == wanted),
        None => match known.bad.first() {
            Some((path, reason)) => return Err(OpenError::damage(path, 0, reason.clone())),
            None => ids().next_back(),
        },
    };
    found
        .cloned()
        .ok_or_else(|| OpenError::Settings("there is no such backup".to_owned()))
}

/// Refuses a ledger with gaps, and one that is shorter than a manifest says. What the register says is looked at later.
fn complete_ledger(from: &dyn Disk, manifest: &Manifest, marker: &Marker) -> Result<(), OpenError> {
    let chain = ledger::chain(from)?;
    let known = Known::read(from)?;
    let least = known
        .manifests
        .iter()
        .map(|manifest| manifest.ledger)
        .max()
        .unwrap_or(0);
    let least = least.max(behind::ledger(from, manifest, marker.chunks)?);
    let reason = match chain.problems.into_iter().next() {
        Some((path, reason)) => format!("{}: {reason}", path.display()),
        None if chain.count < least.max(manifest.ledger) => {
            format!(
                "it has {} entries, and a backup or a chunk covers {least}",
                chain.count
            )
        }
        None => return Ok(()),
    };
    not_the_newest(&reason, marker.without_ledger.as_deref())
}

/// What becomes of a ledger that is not the newest.
fn not_the_newest(reason: &str, forced: Option<&str>) -> Result<(), OpenError> {
    if let Some(why) = forced {
        tracing::error!(
            reason,
            why,
            "restored without the newest ledger: what was erased may be readable again"
        );
        return Ok(());
    }
    Err(OpenError::damage(
        folder::LEDGER,
        0,
        format!("the ledger is not the newest, so what was erased would be readable again: {reason}"),
    ))
}

fn read_marker(disk: &dyn Disk) -> Result<Option<Marker>, OpenError> {
    match folder::read(disk, Path::new(MARKER)) {
        Ok(bytes) => Ok(Some(json(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write_marker(disk: &dyn Disk, marker: &Marker) -> Result<(), Error> {
    folder::write(disk, Path::new(MARKER), &encode(marker)?)
}

const MARKER: &str = "restore";
