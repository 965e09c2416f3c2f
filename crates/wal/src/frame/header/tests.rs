//! The frame header.
