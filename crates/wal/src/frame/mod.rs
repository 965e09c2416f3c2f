//! One frame: a header in the clear, the sealed sections, the sealed directory of them, zeros up to the next block.
//!
//! ```text
//!   header [128] ‖ section ciphertexts ‖ directory ciphertext (48 bytes for each section) ‖ directory tag [16] ‖ zeros
//! ```
//!
//! The directory comes last so that sections are written and sealed where they stand, before their number is known. The
//! directory authenticates the header and, through the tags in it, every section; the zeros are checked, and their number
//! is in the header.

mod builder;
mod directory;
mod header;
mod open;

pub use builder::{FrameBuilder, SectionBuf};
pub use header::{FrameError, FrameHeader, parse_frame_header};

pub(crate) use builder::Seal;
pub(crate) use header::HEADER_LEN;
pub(crate) use open::{OpenFrame, open_frame};

use attestore_keys::aead::TAG;

/// Largest frame in bytes, padding included.
pub const FRAME_BYTES_MAX: usize = 1 << 30;

/// Most sections in a frame.
pub const SECTIONS_MAX: usize = u16::MAX as usize;

/// Bytes that a frame takes besides its sections and before padding.
pub const FRAME_OVERHEAD: usize = HEADER_LEN + TAG;

/// Bytes that a section takes besides its payload.
pub const SECTION_OVERHEAD: usize = directory::ENTRY_LEN;

const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize);
