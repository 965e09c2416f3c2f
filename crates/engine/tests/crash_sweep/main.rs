//! Crashes at every operation of a canonical workload, and at random ones of random workloads, against a model.
//!
//! After each crash the instance is opened anew, sometimes with another crash in between. Then every acknowledged record is
//! there once, in order, with identical bytes; of what was not acknowledged all or nothing is there; the tree's root,
//! recomputed from the entries, is the one that is signed; and the next append works.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod model;
mod random;
mod sweep;
mod workload;
mod world;
