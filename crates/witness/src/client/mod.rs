//! The client of one witness, for one log.

mod answer;
mod submitter;
#[cfg(test)]
mod tests;

pub use submitter::{Cosigned, Settings, SubmitError, Submitter, WitnessState};
