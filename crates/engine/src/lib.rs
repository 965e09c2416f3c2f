//! Append, flush, query and verify over the storage crates.
//!
//! An [`Engine`] is one data directory. Appends go through one committer and return when they are durable; readers see
//! durable records only, as consistent snapshots; flushes turn tails into sealed segments.
//!
//! | module | what |
//! |---|---|
//! | [`instance`] | opening, closing, tenants |
//! | [`catalog`] | what exists and under which keys |
//! | [`tenant`] | a tenant in memory: keys, directory of subjects, view |
//! | [`append`] | from bytes to a durable record |
//! | [`recovery`] | from the disk to the state before the crash |
//! | `rotation` | the root key, replaced after destructions |
//! | `flush` | from tails to segments |
//! | `compact` | from many segments to few |
//! | [`read`], [`search`], [`heads`], [`check`] | records, queries, signed heads, checks |
//! | [`follow`] | records as they come |
//! | [`forget`] | retention, holds, purges, erasure |
//! | [`searches`] | searches that are saved |
//! | [`credentials`] | who may call, and what roles allow |
//! | `scrub` | hashing stored records again, over and over |
//! | [`privacy`] | what is personal, and what becomes of values that detectors find |
//! | [`backup`] | backups, their restore, and the ledger of what was let go of |
//! | [`formats`] | which versions of files are known |
//! | [`moving`] | moving tenants between servers |
//! | [`keyring`] | rotation of keys, their periods, keys that others may have |
//! | [`quotas`] | what one tenant may use |
//! | [`audit`] | the server's account of itself, in `_system` |
//!
//! Architecture invariant: files, clocks and randomness come in through [`Parts`]; nothing here opens any by itself, so
//! that every crash can be played from a seed.

pub mod append;
pub mod audit;
pub mod backup;
pub mod catalog;
pub mod check;
mod compact;
pub mod credentials;
pub mod error;
pub mod exports;
mod flush;
pub mod follow;
pub mod forget;
pub mod formats;
mod guard;
pub mod handover;
pub mod heads;
mod idempotency;
pub mod instance;
pub mod keyring;
pub mod moving;
mod priority;
pub mod privacy;
pub mod quotas;
pub mod read;
pub mod recovery;
mod rotation;
mod scrub;
pub mod search;
pub mod searches;
mod settings;
pub mod status;
pub mod tenant;
#[cfg(test)]
mod testing;
mod wal_files;

pub use append::{Appended, Item, Mode, Receipt, Tree};
pub use compact::{Compacted, CompactionStatus};
pub use credentials::{Permission, Principal, Role, Scope};
pub use error::{AppendError, Error, ItemError, OpenError, Result};
pub use guard::Confirmed;
pub use heads::HEADS_TENANT;
pub use instance::{Engine, OpenMode, Opened, Parts, SYSTEM_TENANT};
pub use quotas::{Quota, QuotaStatus};
pub use recovery::RecoveryReport;
pub use scrub::{ScrubReport, UnderWay};
pub use settings::{Settings, SigningKeys};
