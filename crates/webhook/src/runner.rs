//! The watches of an engine.
/// Runs the watches.
pub async fn run() {}
