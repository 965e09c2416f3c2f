//! Forgetting: what may go, what must stay, and how it goes so that every proof stays.
//!
//! | module | what |
//! |---|---|
//! | [`rules`] | retention policies and classes, their locks, and what they say of a record |
//! | [`holds`] | legal holds: what may not go whatever its age |
//! | [`approvals`] | acts that take two persons |
//! | `gone` | what was purged or erased whole |

pub mod approvals;
pub(crate) mod gone;
pub mod holds;
pub mod rules;

pub use gone::Why;
