//! Splits, queries and search; the only crate that names tantivy.
