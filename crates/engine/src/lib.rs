//! Append, flush, query and verify over the storage crates.
