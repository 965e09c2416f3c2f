//! What travels: a folder that opens for one recipient.
//!
//! # Format
//! ```text
//! moves/<id>/package        manifest: one line of JSON
//! moves/<id>/package.note   a C2SP signed note by the key of the log at the source, over the manifest
//! moves/<id>/rows           rows and keys, as the dump of a backup (`docs/format/backup.md`), under the id of the move
//! moves/<id>/entries        the log's entries
//! moves/<id>/blobs/<id>     sealed files as they were at the source, under the ids of their containers
//!
//! note's text   "attestore package v1" ‖ "\n" ‖ origin ‖ "\n" ‖ SHA-256 of the manifest, hex ‖ "\n"
//! escrow        sealed for the recipient: key of the dump[32]; context "attestore move escrow v1" ‖ id of the move, hex
//! ```
//! The manifest is written last: a package without it is none.

use std::path::{Path, PathBuf};

use attestore_disk::Disk;
use attestore_export::sha256_hex;
use attestore_keys::{Entropy, Key, Recipient, RecipientKey};
use attestore_tlog::{Checkpoint, Handover, HandoverReason, SignedNote, VerifierKey, open_checkpoint};
use serde::{Deserialize, Serialize};

use super::{Invitation, folder_of, invalid};
use crate::backup::folder;
use crate::catalog::{hex, unhex_vec};
use crate::error::{Error, Result};
use crate::formats::DATA_DIRECTORY;

/// What a package says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) attestore_package: u32,
    /// Version of the data directory that its files and rows are of.
    pub(super) directory: u32,
    /// Id of the move, hex.
    pub(super) id: String,
    /// Id of the instance that packed it.
    pub(super) instance: String,
    /// Id of the tenant, hex.
    pub(super) tenant: String,
    pub(super) origin: String,
    pub(super) epoch: u32,
    /// The log's last head.
    pub(super) size: u64,
    pub(super) root: String,
    pub(super) checkpoint: String,
    /// Every key that the log had, the oldest first.
    pub(super) vkeys: Vec<String>,
    /// The last key's word for the next.
    pub(super) handover: String,
    pub(super) recipient: String,
    /// Hex.
    pub(super) escrow: String,
    pub(super) packed_ms: u64,
    /// Length of `rows`, and its BLAKE3, 16 bytes, hex.
    pub(super) rows: Blob,
    pub(super) blobs: Vec<Blob>,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blob {
    /// Id of the container, hex; of `rows` that.
    pub(super) id: String,
    pub(super) bytes: u64,
    /// BLAKE3, the first 16 bytes, hex.
    pub(super) blake3: String,
}

impl Manifest {
    /// Bytes of everything that it names.
    pub(super) fn bytes(&self) -> u64 {
        let blobs: u64 = self.blobs.iter().map(|blob| blob.bytes).sum();
        blobs.saturating_add(self.rows.bytes).saturating_add(
            self.size
                .saturating_mul(attestore_record::entry::ENTRY_BYTES as u64),
        )
    }

    /// The last key that the log had there.
    pub(super) fn vkey(&self) -> Result<VerifierKey> {
        let last = self.vkeys.last().map(String::as_str).unwrap_or_default();
        VerifierKey::parse(last).map_err(|error| bad(format!("the key of its log: {error}")))
    }
}

/// Reads the manifest of a package and checks everything that is signed: that `trusted` signed the manifest, the last checkpoint and the
/// handover, and that these are about the same head. Without `trusted`, the key that it names itself stands in: then only that it is
/// consistent is known.
///
/// # Errors
/// [`Error::Invalid`] `invalid_package` for the first thing that does not hold, `no_package` where there is none.
pub(super) fn read(disk: &dyn Disk, id: &str, trusted: Option<&VerifierKey>) -> Result<Manifest> {
    let bytes = small(disk, &manifest_path(id))?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| bad(format!("its manifest: {error}")))?;
    if manifest.attestore_package != FORMAT {
        let found = manifest.attestore_package;
        return Err(bad(format!(
            "it has format {found}, and this server knows format {FORMAT}: a newer server packed it, so import it there"
        )));
    }
    if manifest.directory > DATA_DIRECTORY {
        let found = manifest.directory;
        return Err(bad(format!(
            "its files are of version {found} of the data directory, and this server knows versions up to {DATA_DIRECTORY}: a newer server packed it, so import it there"
        )));
    }
    if manifest.id != id {
        return Err(bad("it is of another move"));
    }
    let key = manifest.vkey()?;
    if trusted.is_some_and(|trusted| *trusted != key) {
        return Err(bad("its log had another key last than the one that was named"));
    }
    if key.name() != manifest.origin {
        return Err(bad("the last key of its log is of another log"));
    }
    let note = small(disk, &note_path(id))?;
    let note = String::from_utf8(note).map_err(|_| bad("its note is no text"))?;
    let note = SignedNote::open(&note, &key).map_err(|error| bad(format!("its note: {error}")))?;
    if note.text() != note_text(&manifest.origin, &bytes) {
        return Err(bad("its manifest is not what was signed"));
    }
    let head = open_checkpoint(&manifest.checkpoint, &key);
    let head: Checkpoint = head.map_err(|error| bad(format!("its last checkpoint: {error}")))?;
    let handover = Handover::open(&manifest.handover, &key);
    let handover = handover.map_err(|error| bad(format!("its handover: {error}")))?;
    let same = head.size() == manifest.size
        && hex(head.root().as_bytes()) == manifest.root
        && handover.size == manifest.size
        && handover.root == head.root()
        && handover.reason == HandoverReason::Fork;
    match same {
        true => Ok(manifest),
        false => Err(bad(
            "its last checkpoint, its handover and its manifest name different heads",
        )),
    }
}

/// Checks that a package is for whom was invited: the recipient, and the key that the log goes on under.
///
/// # Errors
/// [`Error::Invalid`] `invalid_package`.
pub(super) fn is_for(manifest: &Manifest, invitation: &Invitation) -> Result<()> {
    let handover = Handover::open(&manifest.handover, &manifest.vkey()?);
    let handover = handover.map_err(|error| bad(format!("its handover: {error}")))?;
    match manifest.recipient == invitation.recipient && handover.next == invitation.key()? {
        true => Ok(()),
        false => Err(bad("it was packed for another invitation")),
    }
}

/// The text of the note over a manifest.
pub(super) fn note_text(origin: &str, manifest: &[u8]) -> String {
    format!("{TITLE}\n{origin}\n{}\n", sha256_hex(manifest))
}

/// Seals the key of the rows.
///
/// # Errors
/// A recipient that is none.
pub(super) fn seal_escrow(invitation: &Invitation, entropy: &dyn Entropy, dump: &Key) -> Result<String> {
    let recipient = Recipient::parse(&invitation.recipient)?;
    let sealed = recipient.seal(entropy, &context(&invitation.id), dump.expose())?;
    Ok(hex(&sealed))
}

/// Opens the key of the rows.
///
/// # Errors
/// [`Error::Invalid`] `invalid_package`.
pub(super) fn open_escrow(manifest: &Manifest, key: &RecipientKey) -> Result<Key> {
    let sealed = unhex_vec(&manifest.escrow).ok_or_else(|| bad("its escrow is not hex"))?;
    let plain = key
        .open(&context(&manifest.id), &sealed)
        .map_err(|error| bad(format!("its escrow: {error}")))?;
    let key: [u8; Key::LEN] = plain
        .as_slice()
        .try_into()
        .map_err(|_| bad("its escrow has another length"))?;
    Ok(Key::from_bytes(key))
}

/// What is answered to a package that is none.
pub(super) fn bad(reason: impl std::fmt::Display) -> Error {
    invalid("invalid_package", format!("the package: {reason}"))
}

pub(super) fn manifest_path(id: &str) -> PathBuf {
    folder_of(id).join("package")
}

pub(super) fn note_path(id: &str) -> PathBuf {
    folder_of(id).join("package.note")
}

pub(super) fn rows_path(id: &str) -> PathBuf {
    folder_of(id).join(ROWS)
}

pub(super) fn entries_path(id: &str) -> PathBuf {
    folder_of(id).join("entries")
}

pub(super) fn blobs_path(id: &str) -> PathBuf {
    folder_of(id).join("blobs")
}

/// A small file that came from outside.
fn small(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>> {
    match disk.len(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(invalid(
            "no_package",
            format!(
                "there is no whole package in {}",
                path.parent().unwrap_or(path).display()
            ),
        )),
        Ok(len) if len > SMALL_BYTES_MAX => Err(bad(format!("{} is too long", path.display()))),
        _ => Ok(folder::read(disk, path)?),
    }
}

fn context(id: &str) -> Vec<u8> {
    [b"attestore move escrow v1", id.as_bytes()].concat()
}

pub(super) const ROWS: &str = "rows";
pub(super) const FORMAT: u32 = 1;
const TITLE: &str = "attestore package v1";
/// A manifest names at most some hundred thousand files.
const SMALL_BYTES_MAX: u64 = 64 << 20;
