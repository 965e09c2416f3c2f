//! Forgetting: what may go, what must stay, and how it goes so that every proof stays.
//!
//! | module | what |
//! |---|---|
//! | [`rules`] | retention policies and classes, their locks, and what they say of a record |
//! | [`holds`] | legal holds: what may not go whatever its age |
//! | [`approvals`] | acts that take two persons |

pub mod approvals;
pub mod holds;
pub(crate) mod logged;
pub mod rules;
mod sealed;
