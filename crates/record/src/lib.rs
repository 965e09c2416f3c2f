//! What an audit record is: events, bytes, groups, commitments, limits, mappings.
//!
//! An *event* is what a client sends. [`event::parse`] checks it against the model and its [`event::Limits`];
//! [`group::encode`] turns it once into the bytes that are stored and hashed: one public group and one personal
//! group for each set of data subjects. [`commitment`] hashes those bytes under salts, and [`Entry`] is the
//! 44-byte leaf content that names the result. [`view`] goes the other way: from stored bytes back to the event,
//! with the personal fields of a reader who may see them, and to the [`view::FieldValues`] that an index needs.
//! [`mapping`] turns other people's records into native events.
//!
//! # Invariants
//! - No IO, no clock, no randomness: times, keys and random bytes are arguments.
//! - Bytes are serialised once. Nothing here hashes a re-serialised value.
//! - Everything that reads bytes bounds depth, counts and lengths before it allocates for them.

pub mod commitment;
pub mod control;
pub mod detect;
pub mod entry;
pub mod event;
pub mod group;
mod ids;
pub mod json;
pub mod mapping;
pub mod policy;
pub mod view;

pub use commitment::{HashVersion, SaltKey};
pub use entry::{Entry, Kind};
pub use event::{ErrorCode, Event, EventError, Limits};
pub use group::{Encoded, Envelope, PersonalGroup, SubjectRef};
pub use ids::{Handle, IdError, RecordId, TenantId};
pub use policy::PrivacyPolicy;
