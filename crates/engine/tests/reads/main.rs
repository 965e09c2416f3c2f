//! The read side, from the outside: reads, proofs, search, heads, credentials, checks.
#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod check;
mod credentials;
mod handover;
mod heads;
mod read;
mod search;
mod search_after;
mod search_fresh;
mod search_index;
mod search_more;
mod world;
