//! Numbers by which states know people. Each has a check, or needs a word beside it that says what it is.
//!
//! | file | numbers |
//! |---|---|
//! | `digits` | of digits only |
//! | `letters` | with letters |

mod digits;
mod letters;

pub(crate) use digits::find as find_digits;
pub(crate) use letters::find as find_letters;
