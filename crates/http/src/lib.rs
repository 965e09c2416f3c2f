//! Routes, wire types, credentials and problem documents.
