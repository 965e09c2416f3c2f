//! A signed receipt: the answer to an append that asked for `receipt=signed`.
//!
//! # Format
//! The JSON of the answer. At its top `checkpoint`, a signed note; the events' receipts in `items`, or a single one at the top:
//! `seq`, `entry` (88 hex digits) and `proof`, the inclusion proof as an array of base64 hashes from the leaf's sibling up. Items
//! without `seq` were refused and have no receipt. Other members say things that nobody signed, and are not looked at.

use attestore_record::Entry;
use attestore_record::entry::{ENTRY_BYTES, EntryError};
use attestore_tlog::{Hash, PROOF_HASHES_MAX, ProofError, leaf_hash, verify_inclusion};
use serde::{Deserialize, Serialize};

use crate::trust::{Trust, TrustError, Witnessed};

/// Longest receipt that is read, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 64 << 20;

/// Tells what a receipt proves: that the log signed a tree with these entries at these places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptReport {
    /// Origin of the log.
    pub origin: String,
    /// Entries of the signed tree.
    pub size: u64,
    /// Root of the signed tree, hex.
    pub root: String,
    /// Witnesses that cosigned it, of those in the caller's policy.
    pub witnesses: Vec<Witnessed>,
    /// The entries, in the order of the receipt.
    pub entries: Vec<ReceiptEntry>,
    /// Events of the request that were refused: they are on no record.
    pub refused: u64,
}

/// An entry that a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptEntry {
    /// Its index in the log.
    pub seq: u64,
    /// Its kind.
    pub kind: &'static str,
    /// Its retention class.
    pub class: u16,
    /// Time of receipt, Unix milliseconds.
    pub time_ms: u64,
    /// The entry.
    #[serde(skip)]
    pub entry: [u8; ENTRY_BYTES],
}

/// Says why a receipt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// It is not the JSON of a signed receipt.
    #[error("no signed receipt: {0}")]
    Malformed(String),
    /// The checkpoint is not believed.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] TrustError),
    /// An entry is malformed.
    #[error("entry {seq}: {message}")]
    Entry {
        /// Its seq.
        seq: u64,
        /// What is wrong with it.
        message: String,
    },
    /// An inclusion proof is malformed or does not hold.
    #[error("entry {seq}: {error}")]
    Proof {
        /// Its seq.
        seq: u64,
        /// What is wrong with it.
        error: ProofError,
    },
    /// A hash of a proof is malformed, or there are too many.
    #[error("entry {seq}: its proof is malformed")]
    Hashes {
        /// Its seq.
        seq: u64,
    },
    /// No event of it is on record.
    #[error("receipt holds no entry, so it proves nothing")]
    Empty,
    /// Its item at the top is another than its only one.
    #[error("receipt contradicts itself")]
    Contradiction,
}

/// Verifies a signed receipt offline.
///
/// # Errors
/// [`ReceiptError`] for the first thing that does not hold.
pub fn verify_receipt(json: &str, trust: &Trust) -> Result<ReceiptReport, ReceiptError> {
    if json.len() > RECEIPT_BYTES_MAX {
        return Err(ReceiptError::Malformed("too long".into()));
    }
    let receipt: Receipt =
        serde_json::from_str(json).map_err(|error| ReceiptError::Malformed(error.to_string()))?;
    let note = receipt
        .checkpoint
        .ok_or_else(|| ReceiptError::Malformed("no checkpoint: it was not asked for, or not given".into()))?;
    let believed = trust.open(&note)?;
    let (size, root) = (believed.checkpoint.size(), believed.checkpoint.root());
    let items = receipt.items.unwrap_or_default();
    let (mut entries, mut refused) = (Vec::new(), 0);
    for item in &items {
        match item.entry(size, root)? {
            Some(entry) => entries.push(entry),
            None => refused += 1,
        }
    }
    if let Some(top) = receipt.top.entry(size, root)? {
        match entries.as_slice() {
            [] if items.is_empty() => entries.push(top),
            [only] if *only == top => {}
            _ => return Err(ReceiptError::Contradiction),
        }
    }
    if entries.is_empty() {
        return Err(ReceiptError::Empty);
    }
    Ok(ReceiptReport {
        origin: believed.checkpoint.origin().to_owned(),
        size,
        root: root.to_string(),
        witnesses: believed.witnesses,
        entries,
        refused,
    })
}

#[derive(Deserialize)]
struct Receipt {
    checkpoint: Option<String>,
    #[serde(default)]
    items: Option<Vec<Item>>,
    #[serde(flatten)]
    top: Item,
}

#[derive(Default, Deserialize)]
struct Item {
    seq: Option<u64>,
    entry: Option<String>,
    proof: Option<Vec<String>>,
}

impl Item {
    /// Proves the entry; `None` of an item without a seq.
    fn entry(&self, size: u64, root: Hash) -> Result<Option<ReceiptEntry>, ReceiptError> {
        let Some(seq) = self.seq else {
            return Ok(None);
        };
        let wrong = |message: String| ReceiptError::Entry { seq, message };
        let bytes = self.entry.as_deref().and_then(unhex);
        let bytes = bytes.ok_or_else(|| wrong("no 88 hex digits".into()))?;
        let entry = Entry::from_bytes(&bytes).map_err(|error: EntryError| wrong(error.to_string()))?;
        let proof = self
            .proof
            .as_ref()
            .filter(|proof| proof.len() <= PROOF_HASHES_MAX);
        let hashes = proof.and_then(|proof| proof.iter().map(|hash| Hash::from_base64(hash)).collect());
        let hashes: Vec<Hash> = hashes.ok_or(ReceiptError::Hashes { seq })?;
        verify_inclusion(seq, size, leaf_hash(&bytes), &hashes, root)
            .map_err(|error| ReceiptError::Proof { seq, error })?;
        Ok(Some(ReceiptEntry {
            seq,
            kind: entry.kind.name(),
            class: entry.class,
            time_ms: entry.time_ms,
            entry: bytes,
        }))
    }
}

/// Lower-case hexadecimal digits of an entry.
fn unhex(text: &str) -> Option<[u8; ENTRY_BYTES]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    bytes.try_into().ok().filter(|_| odd.is_empty())
}
