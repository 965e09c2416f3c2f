//! Forgetting: what may go, what must stay, and how it goes so that every proof stays.
//!
//! | module | what |
//! |---|---|
//! | [`rules`] | retention policies and classes, their locks, and what they say of a record |
//! | [`holds`] | legal holds: what may not go whatever its age |
//! | [`approvals`] | acts that take two persons |
//! | `gone` | what was purged or erased whole |
//! | `sweep` | how that leaves segments |
//! | [`purge`] | what goes because its time is over |
//! | `statement` | signed accounts of what went |

pub mod approvals;
pub(crate) mod gone;
pub mod holds;
pub mod purge;
pub mod rules;
pub(crate) mod statement;
pub(crate) mod sweep;

pub use gone::Why;
