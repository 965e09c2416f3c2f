//! Erasure of data subjects.
//!
//! Removing one person takes stages that are dated apart, since they are worth different things:
//!
//! | state | what holds from here on | how |
//! |---|---|---|
//! | `received` | nobody is shown the data; new events about the person are about a new handle | `request` |
//! | `deferred` | the same, until no hold covers a record and no policy forbids it | `decide` |
//! | `approved` | it cannot be taken back; the log tells of it | `decide` |
//! | `unreadable` | nothing opens the data: not today's files, not copies of them | `destroy` |
//! | `index_clean` | no split has terms of it | `clean` |
//! | `done` | no file has bytes of it, sealed or not | `clean` |
//!
//! Public groups, entries and the tree stay as they are, so every proof does.
//!
//! # Durability
//! 1. One commit: the job's row, and the rows of the directory go into it. Memory hides the subjects, then it is answered.
//! 2. The next WAL file is begun, every tail that is in older ones is flushed, and the older files are freed, as they may have
//!    the subjects' keys.
//! 3. Under [`Tenant::deciding`](crate::tenant::Tenant): the rules are asked; one commit notes the decision and the size of the
//!    log; the record of it is appended; one commit notes its seq.
//! 4. Under the lock of flushes, one commit: both keys of each subject go, tombstones come, the job's row names handles
//!    instead of directory rows. Memory drops the keys.
//! 5. The root is rotated; one commit notes when the old one was gone.
//! 6. Segment by segment: a `.sub` without the groups and an `.idx` built anew, written and synced, then one commit in their
//!    place; the old files are removed. Parts of `l0` files get files of their own, and their old bytes are overwritten.
//! 7. The root is rotated; one commit notes that the files are clean, and has the signed certificate. The log names its hash; one
//!    commit ends the job.
//!
//! A crash anywhere leaves the row, and the next start goes on from it.

mod again;
mod api;
mod certificate;
mod clean;
mod decide;
mod destroy;
mod recipients;
mod records;
mod request;
mod rewrite;
mod row;
#[cfg(test)]
mod tests;
mod work;

pub(crate) use again::{Again, again};
pub use api::ErasureInfo;
pub use attestore_record::control::ErasureScope;
pub(crate) use clean::overwrite;
pub use recipients::Recipient;
pub(crate) use recipients::recipients;
pub use records::RecordErasure;
pub use request::ErasureRequest;
pub use row::ErasureState;
pub(crate) use row::{ErasureRow, LeavingRow, PartBytes};
pub(crate) use work::{Erasures, destroy_step, run, run_cleaner, step};
