//! Saved searches of a tenant: a query with a name, and everything else that a search can be asked for.
//!
//! | module | what |
//! |---|---|
//! | `spec` | what is saved, checked as a search would be |
//! | `row` | what the catalog keeps |
//! | `api` | saving, replacing, listing, deleting |
//! | [`watch`] | telling a webhook of what newly matches |
//!
//! A saved search holds no permission: whoever runs it sees what they may see. What somebody saved who may see personal fields
//! may itself name people, and is shown only to others who may.

mod api;
mod row;
mod spec;
pub mod watch;

pub use api::{SavedSearch, Saving};
pub(crate) use row::SearchRow;
pub use spec::{SearchSpec, When};

/// Saved searches of one tenant, at most.
pub const SEARCHES_MAX: usize = 500;
