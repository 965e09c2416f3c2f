//! Whether rows of a package are what their tables hold: looked at before any of them is stored, so that a package of which one is not
//! leaves nothing.

use super::package::bad;
use crate::catalog::{FileRow, json, tables};
use crate::error::Result;
use crate::forget::approvals::{ApprovalPolicy, ApprovalRow};
use crate::forget::erase::ErasureRow;
use crate::forget::gone::GoneRow;
use crate::forget::holds::HoldRow;
use crate::forget::purge::PurgeRow;
use crate::forget::restrict::RestrictionRow;
use crate::forget::rules::RulesRow;
use crate::keyring::KeysRow;
use crate::privacy::PrivacyRow;
use crate::quotas::Quotas;
use crate::searches::SearchRow;
use crate::searches::watch::{LetterRow, WatchRow};
use crate::tenant::group;
use redb::TableHandle;

/// Checks that a value is a row of that table, which is one of those whose rows travel as they are.
///
/// # Errors
/// Damage; [`Error::Invalid`](crate::Error::Invalid) `invalid_package` for a table of which nothing travels, and for what would still be
/// under way.
pub(super) fn check(table: &str, value: &[u8]) -> Result<()> {
    let is = |definition: &dyn TableHandle| table == definition.name();
    if is(&tables::QUOTAS) {
        Quotas::check_row(value)
    } else if is(&tables::KEYS) {
        settled(!json::<KeysRow>(value)?.is_under_way(), "a rotation of keys")
    } else if is(&tables::RETENTION) {
        json::<RulesRow>(value).map(drop)
    } else if is(&tables::APPROVAL_POLICIES) {
        json::<ApprovalPolicy>(value).map(drop)
    } else if is(&tables::APPROVALS) {
        json::<ApprovalRow>(value).map(drop)
    } else if is(&tables::GONE) {
        json::<GoneRow>(value).map(drop)
    } else if is(&tables::HOLDS) {
        json::<HoldRow>(value).map(drop)
    } else if is(&tables::HOLD_RANGES) {
        let whole = !value.is_empty() && value.len().is_multiple_of(HOLD_RANGE_BYTES);
        whole.then_some(()).ok_or_else(|| bad("ranges of a hold"))
    } else if is(&tables::PRIVACY) {
        json::<PrivacyRow>(value).map(drop)
    } else if is(&tables::PURGES) {
        settled(json::<PurgeRow>(value)?.is_done(), "a purge")
    } else if is(&tables::PURGE_RECEIPTS) {
        let text = std::str::from_utf8(value);
        text.map(drop).map_err(|_| bad("a receipt that is no text"))
    } else if is(&tables::SEARCHES) {
        json::<SearchRow>(value).map(drop)
    } else if is(&tables::WATCHES) {
        json::<WatchRow>(value).map(drop)
    } else if is(&tables::WATCH_LETTERS) {
        json::<LetterRow>(value).map(drop)
    } else if is(&tables::ERASURES) {
        let row: ErasureRow = json(value)?;
        // People come in rows of their own; and who packed it does not say what is overwritten here.
        let alone = row.subjects.is_empty() && row.handles.is_empty() && row.overwrite.is_empty();
        settled(alone && row.state.travels(), "an erasure")
    } else if is(&tables::RESTRICTIONS) {
        json::<RestrictionRow>(value)?.handles().map(drop)
    } else {
        Err(bad(format!("rows of {table} do not travel")))
    }
}

/// Checks that sealed files make up segments, each with its first.
///
/// # Errors
/// Damage.
pub(super) fn check_files(rows: Vec<FileRow>) -> Result<()> {
    group(rows)
        .map(drop)
        .ok_or_else(|| bad("a segment without its .seg"))
}

/// What would be under way goes on nowhere: a package is of a tenant that is at rest.
fn settled(is: bool, what: &str) -> Result<()> {
    is.then_some(())
        .ok_or_else(|| bad(format!("{what} is under way in its rows")))
}

/// A range of a row of `hold_ranges`.
const HOLD_RANGE_BYTES: usize = 16;
