//! What is personal in a tenant's events, and what becomes of values that detectors find: the privacy policy, versioned.
//!
//! | file | what |
//! |---|---|
//! | `api` | showing and setting |
//! | `losses` | what a change makes less personal |
//! | `row` | what the catalog keeps |
//! | `propose` | what detectors find in stored records |
//! | `counts` | metrics |
//!
//! # Durability
//! A version is (1) stored as announced, which takes its number for good, (2) told in the tenant's log, (3) stored as the one in
//! force, in one commit with the tenant's row. A crash before (3) leaves the former version in force and the number unused.

mod api;
pub(crate) mod counts;
mod losses;
mod propose;
mod row;
#[cfg(test)]
mod tests;

pub use api::{PolicyChange, PrivacyStatus, PrivacyVersion};
pub use attestore_record::PrivacyPolicy;
pub use attestore_record::detect::{Confidence, Detector};
pub use attestore_record::policy::{Action, BySureness, Detection, Rule, Setting, SubjectRule};
pub use propose::{Proposal, Proposals, SAMPLE_DEFAULT, SAMPLE_MAX, Suggestion};
pub(crate) use row::PrivacyRow;
