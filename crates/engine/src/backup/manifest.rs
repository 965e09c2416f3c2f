//! What one backup consists of: written last.
//!
//! # Format
//! ```text
//! one line of JSON ‖ "\n" ‖ "blake3 " ‖ 64 hex digits ‖ "\n" ‖ "mac " ‖ 64 hex digits ‖ "\n"
//! ```
//! The BLAKE3 is of the line of JSON without its end. The MAC is derive("attestore 2026 backup manifest v1", [key of the dump, line]):
//! without the key damage is found, with it forgery too.

use attestore_keys::{Key, derive};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::catalog::{encode, hex, unhex};
use crate::error::Result;

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format, 1.
    pub format: u32,
    /// Its id, hex. Ids sort by time.
    pub id: String,
    /// Id of the instance, hex.
    pub instance: String,
    /// When its snapshot was taken, Unix milliseconds.
    pub made_ms: u64,
    /// For whom its keys are sealed.
    pub recipient: String,
    /// Entries of the ledger that the snapshot covers.
    pub ledger: u64,
    /// What opens it.
    pub escrow: Sum,
    /// Rows of the catalog.
    pub catalog: Sum,
    /// What files of the log held.
    pub logs: Vec<LogSum>,
    /// The logs of tenants.
    pub tenants: Vec<TenantSum>,
    /// Sealed files and parts of shared ones.
    pub blobs: Vec<BlobSum>,
    /// Bytes of everything that it names.
    pub bytes: u64,
    /// Bytes of that which no earlier backup had.
    pub bytes_copied: u64,
    /// Whether it was made only for chunks to follow it: it goes as soon as there is a newer one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base: bool,
}

/// Length and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Its length.
    pub bytes: u64,
    /// The first 16 bytes of its BLAKE3, hex.
    pub blake3: String,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSum {
    /// Its number.
    pub number: u64,
    /// Bytes that the file has; behind what is copied they are zeros.
    pub size: u64,
    /// What is copied.
    #[serde(flatten)]
    pub sum: Sum,
}

/// A tenant's log at one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSum {
    /// Its id, hex.
    pub id: String,
    /// The origin of its log.
    pub origin: String,
    /// Its epoch.
    pub epoch: u32,
    /// Entries, those in the log's files included.
    pub size: u64,
    /// Root over them, hex.
    pub root: String,
    /// Entries of which the backup has runs.
    pub flushed: u64,
    /// Root over those, hex.
    pub flushed_root: String,
    /// The runs, in order: hashes. All but the last have `RUN` entries.
    pub entries: Vec<String>,
}

/// A sealed file or part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobSum {
    /// Id of its container, hex.
    pub id: String,
    /// Length and hash.
    #[serde(flatten)]
    pub sum: Sum,
}

/// Entries in a run.
pub const RUN: u64 = 65_536;

impl Sum {
    /// Of bytes at hand.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            blake3: short(&blake3::hash(bytes)),
        }
    }
}

/// The first 16 bytes of a hash, hex.
pub(super) fn short(hash: &blake3::Hash) -> String {
    hex(&hash.as_bytes()[..16])
}

/// A manifest that was read.
pub(super) struct Found {
    pub(super) manifest: Manifest,
    line: Vec<u8>,
    mac: [u8; 32],
}

impl Found {
    /// Whether it was written by who had the key of the dump.
    pub(super) fn is_authentic(&self, key: &Key) -> bool {
        bool::from(self.mac.ct_eq(mac(key, &self.line).expose()))
    }
}

/// Its bytes.
///
/// # Errors
/// When it does not serialise.
pub(super) fn bytes(manifest: &Manifest, key: &Key) -> Result<Vec<u8>> {
    let mut bytes = encode(manifest)?;
    let (hash, mac) = (blake3::hash(&bytes), mac(key, &bytes));
    let end = format!("\nblake3 {}\nmac {}\n", hex(hash.as_bytes()), hex(mac.expose()));
    bytes.extend_from_slice(end.as_bytes());
    Ok(bytes)
}

/// Reads one; the error is what does not hold.
pub(super) fn decode(bytes: &[u8]) -> std::result::Result<Found, String> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut next = || lines.next().ok_or("it is cut short");
    let (line, hash, mac, end) = (next()?, next()?, next()?, next()?);
    if !end.is_empty() || lines.next().is_some() {
        return Err("something stands behind its end".to_owned());
    }
    let digits = |line: &[u8], name: &str| -> Option<[u8; 32]> {
        unhex(std::str::from_utf8(line).ok()?.strip_prefix(name)?)
    };
    let said = digits(hash, "blake3 ").ok_or("its hash is not there")?;
    let mac = digits(mac, "mac ").ok_or("its MAC is not there")?;
    if *blake3::hash(line).as_bytes() != said {
        return Err("it has another hash than it says".to_owned());
    }
    let manifest: Manifest = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if manifest.format != FORMAT {
        return Err(format!("it is of format {}", manifest.format));
    }
    Ok(Found {
        manifest,
        line: line.to_vec(),
        mac,
    })
}

fn mac(key: &Key, line: &[u8]) -> Key {
    derive("attestore 2026 backup manifest v1", &[key.expose(), line])
}

/// The version that is written.
pub(super) const FORMAT: u32 = 1;
