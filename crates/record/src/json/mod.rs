//! JSON text: reading, minifying, pointers. Strict (RFC 8259), bounded, never building a tree.

pub(crate) mod pointer;
