//! Appending: from a client's bytes to a durable record and its receipt.
//!
//! The caller's thread parses, encodes, seals and hashes (`prepare`). The committer assigns seq and time, extends the
//! trees, writes one frame for everything that waits, publishes it to the readers' views and answers (`commit`). What a
//! section of a frame holds is in `section`.
//!
//! Whether a client still waits for its answer makes no difference to what is stored.

mod assign;
mod commit;
mod control;
mod lead;
mod prepare;
mod queue;
mod receipt;
pub(crate) mod section;
mod submit;
#[cfg(test)]
mod testing;

pub(crate) use commit::{Committer, run as run_committer};
pub(crate) use control::{append_control, commit_control, enqueue_control};
pub(crate) use lead::Lead;
pub(crate) use queue::Queue;
pub use receipt::{Appended, Item, Mode, Receipt, Tree};
pub(crate) use submit::{append_corrections, append_internal, append_internal_all, append_own};
#[cfg(test)]
pub(crate) use testing::{append_class, queue_request};
