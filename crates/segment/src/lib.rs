//! The sealed container and the files in it.
//!
//! A tenant's flushed records live in immutable files (or parts of shared files), each under its own random key:
//!
//! - [`container`]: the sealing that `.seg`, `.sub` and `.idx` share, in chunks so that any range opens cheaply;
//! - [`seg`]: public groups of one class, in compressed blocks, with salts and the idempotency run;
//! - [`sub`]: personal groups, compressed per set of data subjects and sealed again under the set's key;
//! - [`file`](mod@file): how sealed bytes become files that a crash cannot leave half written.
//!
//! Absent on purpose: this crate draws no randomness (ids and keys are passed in), holds no cache, logs nothing, does not
//! know what is in a group's bytes, and never writes to a file it has renamed into place.
//!
//! The bytes are described in `docs/format/segment.md`.

mod columns;
pub mod compression;
pub mod container;
mod cursor;
mod error;
pub mod file;
#[cfg(test)]
mod golden;
mod ids;
pub mod seg;
pub mod sub;
#[cfg(test)]
mod testing;

pub use container::{CHUNK_BYTES, Container, ContainerMeta, ContainerType, FileId, sealed_len};
pub use cursor::Malformed;
pub use error::{Damage, Error, Result};
pub use file::{FileWriter, PIECE_BYTES, Pace, WriteError, Written, unpaced, write_file, write_file_paced};
pub use seg::{
    BlockRecord, OwnedSegRecord, ResolvedSalt, Salt, SegBlock, SegBuilder, SegMeta, SegOptions, SegReader,
    SegRecord,
};
pub use sub::{
    Group, Handle, HandleSet, Packed, SetKeyError, SetKeys, SubBuilder, SubMeta, SubOptions, SubReader,
    SubScan, SubWriter,
};
