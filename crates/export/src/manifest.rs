//! What is in an export, and what is signed over it.
//!
//! # Format
//! The manifest is a JSON document. Its exact bytes are hashed; the hash, and the tree that the records are from, make the text
//! of a C2SP signed note under the key of the tenant's log:
//!
//! ```text
//! attestore export manifest v1
//! sha256 <64 hex digits>
//! log <origin>
//! tree <size> <root, base64>
//! ```
//!
//! No checkpoint reads as this, nor this as a checkpoint: a checkpoint's first line is an origin, which has no spaces, and its
//! second line is a decimal number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::record::hex;

/// First line of the text that is signed.
pub const NOTE_HEADER: &str = "attestore export manifest v1";

/// A manifest. Fields are written in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`Manifest::VERSION`].
    pub version: String,
    /// Id of the export.
    pub export: String,
    /// Name of the tenant.
    pub tenant: String,
    /// Origin of its log.
    pub origin: String,
    /// Number of entries that the log had: the export holds every match among them.
    pub tree_size: u64,
    /// Root over them, hex.
    pub root: String,
    /// The signed checkpoint of that tree.
    pub checkpoint: String,
    /// The query; empty for everything.
    pub query: String,
    /// Earliest time of occurrence, inclusive, RFC 3339.
    pub from: Option<String>,
    /// Latest time of occurrence, exclusive, RFC 3339.
    pub to: Option<String>,
    /// Format of the files.
    pub format: String,
    /// Version of a format that others define.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_version: Option<String>,
    /// Their compression.
    pub compression: String,
    /// Fields of the events that are in them; all if absent.
    pub fields: Option<Vec<String>>,
    /// Whether personal fields are in them, as far as they were not erased.
    pub personal: bool,
    /// Id of the credential that asked for the export.
    pub created_by: String,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When it was done, RFC 3339.
    pub finished_at: String,
    /// Records in all files.
    pub records: u64,
    /// Those of them in which personal fields were erased; known only if `personal`.
    pub records_erased: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files, in order of their records.
    pub files: Vec<FileEntry>,
    /// Of evidence bundles only: what it says of the records in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// What an evidence bundle says of the records in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What they were chosen by.
    pub kind: ClaimKind,
    /// Of a range: the first seq in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// Of a range: the first seq behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_seq: Option<u64>,
    /// Whether it claims to hold everything there is in the range; a verifier can check that of ranges, and of nothing else.
    pub complete: bool,
    /// SHA-256 over `seq u64 ‖ entry [44]` of each record, big-endian and in order, hex.
    pub records_sha256: String,
}

/// What the records of a bundle were chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// Somebody named them.
    Set,
    /// The query of the manifest. That these are all its matches is the server's word.
    Query,
    /// A range of seqs, whole.
    Range,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
    /// First seq in it; null when it has no record.
    pub first_seq: Option<u64>,
    /// Last seq in it.
    pub last_seq: Option<u64>,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
}

impl Manifest {
    /// Version of the manifest's shape.
    pub const VERSION: &'static str = "attestore export v1";

    /// The document, as it is hashed and handed out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("texts and numbers are JSON");
        bytes.push(b'\n');
        bytes
    }
}

/// What the text of a note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// SHA-256 of the manifest's bytes, hex.
    pub sha256: String,
    /// Origin of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them, base64.
    pub root: String,
}

/// The text that is signed over a manifest, given as its exact bytes.
#[must_use]
pub fn note_text(manifest: &[u8], origin: &str, size: u64, root: &[u8; 32]) -> String {
    format!(
        "{NOTE_HEADER}\nsha256 {}\nlog {origin}\ntree {size} {}\n",
        sha256_hex(manifest),
        STANDARD.encode(root)
    )
}

/// Reads the text of a note; `None` when it is another one's.
#[must_use]
pub fn parse_note_text(text: &str) -> Option<Signed> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    if lines.next()? != NOTE_HEADER {
        return None;
    }
    let sha256 = lines.next()?.strip_prefix("sha256 ")?.to_owned();
    let origin = lines.next()?.strip_prefix("log ")?.to_owned();
    let (size, root) = lines.next()?.strip_prefix("tree ")?.split_once(' ')?;
    let hex = sha256.len() == 64 && sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !hex || lines.next().is_some() {
        return None;
    }
    Some(Signed {
        sha256,
        origin,
        size: size.parse().ok()?,
        root: root.to_owned(),
    })
}

/// SHA-256 of bytes, hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file that comes in pieces.
#[derive(Debug, Clone, Default)]
pub struct FileHash(Sha256);

impl FileHash {
    /// Takes up the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash, hex.
    #[must_use]
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests;
