//! Following a log: nothing missed, nothing twice, whatever happens to the log meanwhile.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod many;
mod seams;
mod watches;
mod world;
