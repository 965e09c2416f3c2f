//! The `attestore` binary.
fn main() {}
