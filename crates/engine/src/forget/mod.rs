//! Forgetting: what may go, what must stay, and how it goes so that every proof stays.
//!
//! | module | what |
//! |---|---|
//! | [`rules`] | retention policies and classes, their locks, and what they say of a record |
//! | [`holds`] | legal holds: what may not go whatever its age |
//! | [`approvals`] | acts that take two persons |

pub mod approvals;
pub mod holds;
pub(crate) mod logged;
pub mod rules;
mod sealed;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::error::Result;
use crate::instance::Inner;

/// Goes on with what a crash interrupted; says what it cannot go on with yet.
pub(crate) fn finish(inner: &Inner) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut look = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            warnings.push(format!("{what} is not gone on with yet: {error}"));
        }
    };
    look("a retention policy that was being set", rules::finish(inner));
    look("a legal hold that was being placed or released", holds::finish(inner));
    warnings
}
