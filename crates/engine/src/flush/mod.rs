//! Flush: from the tail to segments.
//!
//! A round takes every tenant that is due, closes its salt generation, and writes its tail: a large one into files of its
//! own, small ones of many tenants into one `l0` file. Order of durable steps:
//!
//! 1. sealed files under temporary names, synced, renamed, folders synced;
//! 2. entries and nodes written at the catalog's count, synced;
//! 3. one catalog commit: files, counts, frontiers, roots, new subjects' keys, and from where on the WAL is needed;
//! 4. views published, WAL files freed.
//!
//! A crash before 3 leaves files that nothing names; after it, WAL records that are in segments already.

mod build;
mod cut;
mod rewrite;
mod round;
mod store;
mod tree;

pub(crate) use round::{free_log, l0_number, round, run, tick};
pub(crate) use store::adopt_subjects;
pub(crate) use tree::tree_files;

/// Name of an `l0` file.
pub(crate) fn l0_name(number: u64) -> String {
    format!("{number:020}.l0")
}

#[cfg(test)]
mod tests;
