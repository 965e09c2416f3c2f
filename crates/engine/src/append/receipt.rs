//! What goes in and what comes out.

use attestore_record::RecordId;
use attestore_tlog::Hash;
use bytes::Bytes;

use crate::error::ItemError;

/// One event to append.
#[derive(Clone, Debug)]
pub struct Item {
    /// The event: native JSON.
    pub bytes: Bytes,
    /// The idempotency key to use when the event has none.
    pub fallback_key: Option<String>,
}

/// Whether one refused event refuses the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each event is judged for itself.
    Each,
    /// All or nothing.
    Atomic,
}

/// What an append returns. Everything in it is durable.
#[derive(Clone, Debug)]
pub struct Appended {
    /// For each event in order, its receipt or why it was refused.
    pub items: Vec<Result<Receipt, ItemError>>,
    /// The tenant's tree, which includes every record of this append.
    pub tree: Tree,
}

/// What is acknowledged about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: RecordId,
    /// Its index in the log.
    pub seq: u64,
    /// When it was received, Unix milliseconds; the time in its entry.
    pub received_at_ms: u64,
    /// Its leaf content.
    pub entry: [u8; 44],
    /// Whether it was there already under the same idempotency key.
    pub duplicate: bool,
}

/// A tree head, unsigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The log's origin.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}
