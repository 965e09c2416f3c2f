//! One file for each group of routes; [`crate::server`] lists them.

pub mod access_log;
pub mod append;
pub mod approvals;
pub mod clock;
pub mod credentials;
pub mod erasures;
pub mod events;
pub mod exports;
pub mod heads;
pub mod holds;
pub mod index;
pub mod log;
pub mod log_keys;
pub mod operations;
pub mod privacy;
pub mod purges;
pub mod quota;
pub mod receipt;
pub mod restrictions;
pub mod retention;
pub mod scrub;
pub mod search;
pub mod searches;
pub mod tail;
pub mod tenants;
pub mod watch;
