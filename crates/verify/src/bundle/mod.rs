//! Evidence bundles: one file with records, what opens them, and one proof for all of them against one checkpoint.
//!
//! [`BundleWriter`] makes one from a log, [`verify_bundle`] checks one with nothing but keys that the caller trusts. Both stream;
//! memory does not grow with the length of records, and by a few bytes for each record.
//!
//! # Format
//! The file is an archive (see [`ZipWriter`]) with the members below, in this order. Integers are big-endian. `docs/evidence.md`
//! has all of it.
//!
//! | member | content |
//! |---|---|
//! | `records.bin` | records: `seq u64 ‖ u32 length ‖ opening`, ascending |
//! | `entries.bin` | runs of entries: `first u64 ‖ count u64 ‖ count × entry [44]`, ascending; only of ranges |
//! | `proof.bin` | hashes, 32 bytes each: the multiproof of all entries and records |
//! | `checkpoint` | the signed note, with cosignatures |
//! | `policy` | what the maker proposes to trust, as tlog-policy; only if given |
//! | `vkeys` | keys, one a line; for comparing, never trusted |
//! | `summary.html` | for people |
//! | `proofs/<seq>.tlog-proof` | of small bundles |
//! | `manifest.json`, `manifest.note` | as of any export, with a claim |

mod check;
mod complete;
mod describe;
mod multiproof;
mod records;
mod runs;
mod seqs;
mod summary;
mod write;
mod zip;

pub use check::{BundleError, BundleOptions, BundleReport, verify_bundle};
pub use complete::{RANGE_FINDINGS_MAX, RangeFinding, RangeReport};
pub use summary::escape;
pub use write::{BundleHead, BundleTree, BundleWriter, Finished, ReadEntries, Scope, WriteError};
pub use zip::{Archive, MEMBERS_MAX, Member, ReadAt, ZipError, ZipWriter};

/// Name of the member with the records.
pub const RECORDS: &str = "records.bin";
/// Name of the member with runs of entries.
pub const ENTRIES: &str = "entries.bin";
/// Name of the member with the multiproof.
pub const PROOF: &str = "proof.bin";
/// Name of the member with the checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// Name of the member with the policy that its maker proposes.
pub const POLICY: &str = "policy";
/// Name of the member with keys.
pub const VKEYS: &str = "vkeys";
/// Name of the member for people.
pub const SUMMARY: &str = "summary.html";
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Name of the note that signs the manifest.
pub const NOTE: &str = "manifest.note";
/// The manifest's `format`.
pub const FORMAT: &str = "evidence";

/// Most records in a bundle.
pub const RECORDS_MAX: u64 = 10_000_000;
/// Longest opening of a record, in bytes.
pub const OPENING_BYTES_MAX: usize = attestore_tlog::EXTRA_BYTES_MAX;
/// Most records of a bundle that has their single proofs too.
pub const PROOFS_MAX: usize = 1000;
/// Most bytes of their openings together, else it has no single proofs.
pub const PROOFS_BYTES_MAX: usize = 4 << 20;

/// The record that a member of that name is a proof of.
fn proof_seq(name: &str) -> Option<u64> {
    let seq = name
        .strip_prefix("proofs/")?
        .strip_suffix(".tlog-proof")?
        .parse()
        .ok()?;
    (proof_name(seq) == name).then_some(seq)
}

/// Name of the member with a record's own proof.
fn proof_name(seq: u64) -> String {
    format!("proofs/{seq}.tlog-proof")
}
