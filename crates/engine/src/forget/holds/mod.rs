//! Legal holds: what may not go whatever its age, and who says so.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::forget::rules::HeldBy;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// The seqs of `range` whose records, if of `class`, a hold covers: ascending, apart from each other. Looks for matches of every
/// hold up to the end of the range first. Called while it is decided what goes: [`Tenant::deciding`] is held.
///
/// # Errors
/// As searches and appends.
pub(crate) fn held(
    _inner: &Inner,
    _tenant: &Arc<Tenant>,
    _class: u16,
    _range: Range<u64>,
) -> Result<Vec<Range<u64>>> {
    Ok(Vec::new())
}

/// The holds that cover a record.
///
/// # Errors
/// As searches.
pub(crate) fn covering(_inner: &Inner, _tenant: &Arc<Tenant>, _class: u16, _seq: u64) -> Result<Vec<HeldBy>> {
    Ok(Vec::new())
}
