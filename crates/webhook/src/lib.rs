//! Webhooks: messages signed as Standard Webhooks says, sent to addresses that may be called, and nowhere else.
//!
//! | module | what |
//! |---|---|
//! | [`signature`] | secrets, and what a message is signed with |
//! | [`address`] | which addresses may be called |
//! | [`mod@target`] | a URL that may be called |
//! | [`client`] | one message, sent and judged by its answer |
//! | [`runner`] | the watches of an engine |
//!
//! Whoever sends alerts one day uses [`client::Client`] as [`runner`] does.
//!
//! Architecture invariant: nothing here stores anything. What is to be sent, when it is sent again and when it is given up is
//! the engine's to keep; this crate does what it says and tells it what came of it.

pub mod address;
pub mod client;
pub mod runner;
pub mod signature;
pub mod target;

pub use address::Allowed;
pub use client::{Client, Outcome};
pub use runner::run;
pub use signature::Secret;
pub use target::{TargetError, target};
