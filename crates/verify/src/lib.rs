//! Checks receipts, proofs and logs.
