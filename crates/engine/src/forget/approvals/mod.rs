//! Acts that take two persons: one asks, another approves the very same act, and the first repeats it.
//!
//! | file | what |
//! |---|---|
//! | `operation` | acts, and when two of them are the same |
//! | `row` | what the catalog keeps |
//! | `require` | asking for an approval, and using it up |
//! | `api` | showing and deciding |
//! | `policy` | which kinds of acts take two |
//!
//! # Durability
//! A request, a decision and the use of an approval are one commit of the catalog each. An approval is used up before its act begins:
//! a crash in between costs the approval, and never lets an act happen twice.

mod api;
mod operation;
mod policy;
mod require;
mod row;
#[cfg(test)]
mod tests;

pub use api::{Approval, ApprovalState, Decision};
pub use operation::{Operation, OperationKind};
pub use policy::ApprovalPolicy;
pub(crate) use require::{forget_ended, require, require_two};
pub(crate) use row::{ApprovalRow, seal_again};

/// Who stands for an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Ids of who asked and of who approved, for `approved_by` of controls; one alone where that is enough.
    pub by: Vec<String>,
}
