//! What a log should not have signed, kept for whoever judges it.
//!
//! # Format
//! `misbehaviour/<hex SHA-256(origin)>.<reason>.<hex of the first 8 bytes of the SHA-256 of what follows>`:
//! the text of [`attestore_tlog::Misbehaviour`], with the checkpoint that was cosigned and the one that was refused. `same-size` and
//! `not-a-prefix` are proof by themselves. `not-consistent` is a suspicion only: the proof that came along does not verify, which a
//! wrong proof explains as well.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use attestore_disk::Disk;
use attestore_tlog::VerifierKey;
use sha2::{Digest, Sha256};

use crate::files::{self, TEMPORARY, hex};
use crate::store::origin_hash;

/// Why a checkpoint was refused that its log signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Another root for the size that was cosigned.
    SameSize,
    /// A smaller tree that the copy does not begin with.
    NotAPrefix,
    /// No proof that it extends what was cosigned.
    NotConsistent,
}

impl Reason {
    /// As files have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameSize => "same-size",
            Self::NotAPrefix => "not-a-prefix",
            Self::NotConsistent => "not-consistent",
        }
    }
}

/// Formats a file of two checkpoints and nothing else.
#[must_use]
pub fn misbehaviour(key: &VerifierKey, reason: Reason, cosigned: &str, refused: &str) -> String {
    format!(
        "{HEADER}\nvkey {key}\nreason {}\n\n{cosigned}\n{refused}",
        reason.name()
    )
}

/// Keeps a file, once; of a log and a reason at most [`FILES_MAX`]. That it cannot be kept changes nothing about the refusal.
pub(crate) fn keep(disk: &dyn Disk, origin: &str, reason: Reason, text: &str) -> io::Result<()> {
    let prefix = format!("{}.{}.", origin_hash(origin), reason.name());
    let hash = Sha256::digest(text.as_bytes());
    let path = PathBuf::from(FOLDER).join(format!("{prefix}{}", hex(&hash[..8])));
    if disk.exists(&path)? || starting_with(disk, &prefix)? >= FILES_MAX {
        return Ok(());
    }
    files::replace(disk, &path, text.as_bytes())
}

/// How many files there are of each log, by the hash of its origin.
pub(crate) fn counts(disk: &dyn Disk) -> io::Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for file in disk.list(FOLDER.as_ref())? {
        if let Some((hash, _)) = file.name.split_once('.')
            && !file.name.ends_with(TEMPORARY)
        {
            *counts.entry(hash.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

fn starting_with(disk: &dyn Disk, prefix: &str) -> io::Result<usize> {
    let files = disk.list(FOLDER.as_ref())?.into_iter();
    let kept = files.filter(|file| file.name.starts_with(prefix) && !file.name.ends_with(TEMPORARY));
    Ok(kept.count())
}

/// Folder of the files in the witness's directory.
pub(crate) const FOLDER: &str = "misbehaviour";
/// Most files that are kept of one log and one reason.
pub const FILES_MAX: usize = 64;
const HEADER: &str = "attestore misbehaviour v1";
