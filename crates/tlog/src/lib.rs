//! RFC 6962 trees, tiles, proofs, checkpoints and signed notes.
