//! The catalog's rows.
//!
//! Rows are JSON so that a later version can add fields; what is looked up for every record (directory rows) is
//! fixed-width instead.

use std::path::PathBuf;

use attestore_index::IndexPolicy;
use attestore_record::PrivacyPolicy;
use serde::{Deserialize, Serialize};

/// A place in the WAL as the catalog names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WalPosition {
    /// Number of the WAL file.
    pub wal: u64,
    /// Byte offset in it.
    pub offset: u64,
}

/// The instance: one row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceRow {
    /// Random id of the instance, hex.
    pub id: String,
    /// Version of the data directory's format.
    pub format: u32,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// Height of the tree of key pages.
    pub tree_height: u8,
    /// Next free slot of the tree of key pages.
    pub tree_next_slot: u64,
    /// Generation of the root that wraps the root page key.
    pub root_generation: u64,
    /// The root page key, wrapped, hex.
    pub root_page_key: String,
    /// Every WAL file below this number is freed.
    pub wal_low: u64,
    /// Number of the next WAL file.
    pub wal_next: u64,
    /// Number of the next `l0` file.
    pub l0_next: u64,
    /// D: everything before it was synced when this row was written.
    pub durable: WalPosition,
    /// How often the instance was opened.
    pub starts: u64,
    /// Random nonce of the last opening, hex: a clone that went its own way finds it changed.
    pub start_nonce: String,
    /// Newest time that a commit trusted, Unix milliseconds.
    pub newest_time_ms: u64,
    /// Most free bytes seen at an opening: what the reserve is a tenth of at most.
    pub capacity_bytes: u64,
}

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TenantRow {
    /// Its name.
    pub name: String,
    /// The origin of its log, and the name of its signing key.
    pub origin: String,
    /// Number of its log's epoch, from 0.
    pub epoch: u32,
    /// Slot of its tenant key.
    pub key_slot: u64,
    /// Slot of the tenant key before it, while some keys may still be wrapped under that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_key_slot: Option<u64>,
    /// Slot of its signing key.
    pub signing_slot: u64,
    /// Slot of its directory key.
    pub directory_slot: u64,
    /// Next free slot of its current bucket of subject keys, and how many slots are left in it.
    pub bucket: (u64, u32),
    /// First slot of its current bucket of lookup keys, and which of its 64 slots are free: bit n for slot first + n. They
    /// are taken at random, so that their order does not tell which belongs to which subject.
    pub lookup_bucket: (u64, u64),
    /// What is personal.
    pub privacy: PrivacyPolicy,
    /// What of its records is indexed. Rows from before it was there mean the default.
    #[serde(default)]
    pub index: IndexPolicy,
    /// Whether any of its records was ever corrected.
    #[serde(default)]
    pub corrected: bool,
    /// Number of the next salt generation.
    pub salt_generation: u32,
    /// Number of the next segment.
    pub next_set: u64,
    /// Records that are in segments.
    pub flushed: u64,
    /// The frontier at `flushed`, hex.
    pub frontier: String,
    /// Root at `flushed`, hex.
    pub root: String,
    /// Time of the last flushed record, Unix milliseconds.
    pub last_time_ms: u64,
    /// Version of new entries: the hash function of commitments.
    pub hash_version: u8,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
}

/// What a sealed file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// Public groups.
    Seg,
    /// Personal groups.
    Sub,
    /// The split.
    Idx,
}

impl FileType {
    /// The number in container headers and catalog keys.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Seg => 1,
            Self::Sub => 2,
            Self::Idx => 3,
        }
    }

    /// The extension of a file of its own.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Seg => "seg",
            Self::Sub => "sub",
            Self::Idx => "idx",
        }
    }
}

/// A sealed file, or a part of an `l0` file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// What it holds.
    pub ty: FileType,
    /// Number of the segment in its tenant.
    pub set: u64,
    /// Generation of the file within the segment; a rewrite counts up.
    pub generation: u32,
    /// Retention class of its records.
    pub class: u16,
    /// Where it is, relative to the data directory.
    pub path: PathBuf,
    /// Offset of the container in that file.
    pub offset: u64,
    /// Length of the container.
    pub length: u64,
    /// Random id of the container, hex.
    pub id: String,
    /// Slot of its key.
    pub slot: u64,
    /// First seq in it.
    pub min_seq: u64,
    /// Last seq in it.
    pub max_seq: u64,
    /// Records in it.
    pub count: u64,
    /// Time of receipt of its first record, Unix milliseconds.
    pub min_time_ms: u64,
    /// Time of receipt of its last record, Unix milliseconds.
    pub max_time_ms: u64,
    /// CRC-32C-free check of the container as written: BLAKE3, hex, first 16 bytes.
    pub checksum: String,
    /// How many compactions its records went through.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rewrites: u32,
    /// Seq of the newest control record that had let records go when the file was written: none of those are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_by: Option<u64>,
    /// What a split says of itself, so that it need not be opened to know; of a `.idx` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitRow>,
}

/// What a split says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRow {
    /// Names the field list and the index policy that it was made under: hex, 16 digits of a hash.
    pub policy: String,
    /// Earliest time of occurrence in it, nanoseconds since 1970.
    pub min_occurred_ns: i64,
    /// Latest time of occurrence in it, nanoseconds since 1970.
    pub max_occurred_ns: i64,
}

impl FileRow {
    /// The container's id.
    ///
    /// # Errors
    /// Damage when the row does not hold 16 bytes.
    pub fn container_id(&self) -> crate::Result<[u8; 16]> {
        unhex(&self.id).ok_or_else(|| crate::Error::damage("catalog", 0, "container id of a file row"))
    }

    /// Whether it is a part of an `l0` file.
    pub fn is_part(&self) -> bool {
        self.path.starts_with("l0")
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A WAL file that is not freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalRow {
    /// Its random id.
    pub file_id: [u8; 16],
    /// Slot of its key.
    pub key_slot: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// Encodes bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            }));
        }
    }
    text
}

/// Decodes lower-case hex of exactly `N` bytes.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex_vec(text)?.try_into().ok()
}

/// Decodes lower-case hex.
pub fn unhex_vec(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}
