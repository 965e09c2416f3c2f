//! The key hierarchy: root, key pages, sealing.
