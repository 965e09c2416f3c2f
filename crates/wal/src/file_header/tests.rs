//! The file header.
