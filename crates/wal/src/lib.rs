//! The shared encrypted group-commit log.
//!
//! All tenants append to one log of numbered, fixed-size, preallocated files. One commit writes one *frame*, which holds a
//! sealed section for each tenant in it, with a single direct write; when [`Writer::commit`] returns, the frame is durable.
//! A new process never appends to an old file: it [`replay`]s and begins a new one.
//!
//! # Format
//! `docs/format/wal.md`; the bytes are in `file_header.rs` and `frame/`. What a section holds is not known here.
//!
//! # Durability
//! A frame carries the durable watermark D, the position before which everything is known to be synced. The first frame that
//! is not valid ends the log: it is damage if any authentic source claims a D past it, else a torn tail that is kept in
//! quarantine and cut.
//!
//! # Errors
//! Every write error poisons the writer for good. A key that cannot be had is never reported as damage.
//!
//! Architecture invariant: this crate knows neither records nor tenants' keys nor the catalog; keys, randomness, time and files
//! are passed in.

mod error;
mod fields;
mod file_header;
mod frame;
mod keys;
mod names;
mod position;
mod prepare;
mod replay;
mod writer;

pub use error::Error;
pub use file_header::{FileHeader, FileSpec, HEADER_LEN, HeaderError, parse_file_header};
pub use frame::{
    FRAME_BYTES_MAX, FRAME_OVERHEAD, FrameBuilder, FrameError, FrameHeader, SECTION_OVERHEAD, SECTIONS_MAX,
    SectionBuf, parse_frame_header,
};
pub use keys::{FileKeys, KeyError, SectionKeyError, SectionKeys};
pub use names::{DIR, QUARANTINE, file_name, file_path, parse_file_name};
pub use position::Position;
pub use prepare::{Prepared, ZERO_FILL_BYTES, prepare, remove_unfinished};
pub use replay::{
    Frame, LogFile, Outcome, Problem, ProblemKind, ReplayError, ScanReport, SectionBody, Source, TornTail,
    replay, scan,
};
pub use writer::Writer;
