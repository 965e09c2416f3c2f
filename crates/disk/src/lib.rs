//! Files and time: the real ones and seeded simulated ones.
//!
//! Everything above this crate is handed a [`Disk`] and a [`Clock`] and opens nothing by itself, so that every crash, torn
//! write, lost sync, full disk and clock step can be played from a seed.
//!
//! - [`Disk`], [`File`]: the two traits, with paths relative to one root.
//! - [`RealDisk`], [`SystemClock`]: the machine's own.
//! - [`sim::SimDisk`], [`ManualClock`]: in memory, deterministic.
//! - [`AlignedBuf`]: the buffer that direct writes need.
//!
//! Architecture invariant: this crate knows nothing about what is in the files.

mod aligned;
mod clock;
mod file;
mod path;
mod real;
pub mod sim;

pub use aligned::{AlignedBuf, BLOCK, is_aligned};
pub use clock::{Clock, ManualClock, SystemClock};
pub use file::{DirEntry, Disk, File, LockGuard, Mode};
pub use path::check_path;
pub use real::RealDisk;
