//! What an export is made of: records in formats that other software reads, and the manifest that says what is in it.
//!
//! - [`Format`], [`Encoder`]: records as NDJSON, CSV, OCSF or Parquet;
//! - [`Compression`], [`Compressor`]: around text formats;
//! - [`Fields`]: of each event, only the fields that were asked for;
//! - [`Manifest`]: query, tree, counts and hashes, and the text that is signed over it.
//!
//! Architecture invariant: everything here is a function of bytes. No files, no clock, no keys; memory does not grow with the
//! number of records.

mod compression;
mod count;
mod error;
pub mod fields;
mod format;
mod json;
mod manifest;
mod record;

pub use compression::{Compression, Compressor};
pub use count::count_records;
pub use error::Error;
pub use fields::Fields;
pub use format::{Encoder, Format, Options};
pub use manifest::{
    Claim, ClaimKind, FileEntry, FileHash, Manifest, NOTE_HEADER, Signed, note_text, parse_note_text,
    sha256_hex,
};
pub use record::{Record, rfc3339_ms, rfc3339_ns};
