//! The shared encrypted group-commit log.
