//! End to end: the real binary, real files, real HTTP, and software that is not ours.
//!
//! Every test starts its own server on a free port with its own data directory. Counts scale with the tier: see
//! `scripts/test`.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at and damage files from outside"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests know their sizes"
)]

mod harness;
mod paths;

mod access;
mod bad_input;
mod bucket;
mod canaries;
mod cli;
mod connections;
mod damage;
mod destroy;
mod disaster;
mod elastic;
mod erasure;
mod exports;
mod forgetting;
mod guard;
mod heads;
mod interop;
mod keys;
mod kill;
mod limits;
mod mirror;
mod moving;
mod object_store;
mod oidc;
mod openapi;
mod privacy;
mod purge;
mod quickstart;
mod receipts;
mod residue;
mod rollback;
mod saved_searches;
mod sealed;
mod search;
mod self_audit;
mod senders;
mod settings;
mod softhsm;
mod space;
mod tail;
mod tenants;
mod tls;
mod trail;
mod vault;
mod watch;
mod witness;
mod witnessed;
