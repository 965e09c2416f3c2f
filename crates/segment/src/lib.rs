//! The sealed container and the files in it.
