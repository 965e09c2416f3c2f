//! A witness by the letter of the specification, and under crashes.

mod crash;
pub(crate) mod log;
mod protocol;
mod request;
