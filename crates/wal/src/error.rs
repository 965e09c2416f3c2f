//! What can go wrong while the log is written.

use std::io;

/// A failure to write.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An earlier write failed: nothing more is written by this process. Restart and replay.
    #[error("the log failed before and is closed for writing")]
    Poisoned,
    /// The frame does not fit into the rest of the file; nothing was written. Begin a new file and commit there.
    #[error("the frame of {needed} bytes does not fit into the remaining {remaining}")]
    Full {
        /// Length of the frame with padding.
        needed: u64,
        /// What [`Writer::remaining`](crate::Writer::remaining) says.
        remaining: u64,
    },
    /// The frame is longer than [`FRAME_BYTES_MAX`](crate::FRAME_BYTES_MAX) or has more than
    /// [`SECTIONS_MAX`](crate::SECTIONS_MAX) sections; nothing was written.
    #[error("a frame of {bytes} bytes and {sections} sections is too large")]
    TooLarge {
        /// Length without padding.
        bytes: usize,
        /// Number of sections.
        sections: usize,
    },
    /// A file with this number is already there.
    #[error("WAL file {number} exists already")]
    Exists {
        /// The number.
        number: u64,
    },
    /// The file size is not a multiple of 4096, or has no room for a frame.
    #[error("{size} bytes is no possible size of a WAL file")]
    Size {
        /// The size asked for.
        size: u64,
    },
    /// The disk failed. The writer is poisoned.
    #[error("the log could not be written: {0}")]
    Io(#[from] io::Error),
}
