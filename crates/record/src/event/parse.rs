//! From received bytes to a checked event.

use super::{Event, EventError, Limits};

/// Parses and checks an event. `now_ms` is the server's time, Unix milliseconds.
///
/// # Errors
/// [`EventError`] for the first thing that the model, its rules or `limits` do not allow.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits, now_ms: u64) -> Result<Event<'a>, EventError> {
    let _ = (bytes, limits, now_ms);
    todo!()
}
