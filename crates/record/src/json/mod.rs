//! JSON text: reading, minifying, writing, pointers. Strict (RFC 8259), bounded, never building a tree.
//!
//! Beyond the grammar, free-form values must not repeat a name within an object, must not hold halves of
//! surrogate pairs, must not nest deeper than a limit, and their numbers must be finite as IEEE 754 doubles. So
//! readers of the stored bytes agree about everything but the precision of numbers: the digits are kept as received,
//! and a reader that holds numbers as doubles rounds integers above 2^53 and long fractions.

pub(crate) mod claims;
pub(crate) mod escape;
pub(crate) mod pointer;
pub(crate) mod reader;
pub(crate) mod splice;

use std::borrow::Cow;

use crate::event::EventError;
use reader::Reader;

/// Checks a JSON text and takes its insignificant white space out; borrowed when there is none.
///
/// # Errors
/// [`EventError`] with the pointer of the first place that is not JSON, repeats a name, holds half of a surrogate
/// pair, nests deeper than `depth_max` or holds a number that is not finite.
pub fn minify(bytes: &[u8], depth_max: usize) -> Result<Cow<'_, str>, EventError> {
    let mut reader = Reader::new(bytes, depth_max).map_err(|error| *error)?;
    let raw = reader.raw().map_err(|error| *error)?;
    reader.end().map_err(|error| *error)?;
    Ok(raw.0)
}
