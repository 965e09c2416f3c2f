//! The client of one witness for one log, and of all witnesses of a policy.

mod answer;
mod panel;
mod submitter;
#[cfg(test)]
mod tests;

pub use panel::{Collected, Consistency, Panel};
pub use submitter::{Cosigned, Settings, SubmitError, Submitter, WitnessState};
