//! A place in the log.

use std::fmt;

use crate::file_header::HEADER_LEN;

/// A byte offset in a numbered file. Positions are ordered as the log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the WAL file; 0 before the first.
    pub wal: u64,
    /// Offset in that file, in bytes.
    pub offset: u64,
}

impl Position {
    /// The place before the first file ever.
    pub const START: Self = Self { wal: 0, offset: 0 };

    /// The place of the first frame of a file.
    #[must_use]
    pub const fn first_frame(wal: u64) -> Self {
        Self {
            wal,
            offset: HEADER_LEN as u64,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.wal, self.offset)
    }
}
