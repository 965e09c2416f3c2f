//! Since when which generation of the root was in force: a row of the catalog.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Update, encode, json, storage, tables};
use crate::error::Result;

/// A generation of the root.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct RootRow {
    pub(super) generation: u64,
    pub(super) made_ms: u64,
}

/// Notes, in the change that first wraps under it, that a generation is in force.
///
/// # Errors
/// As writes.
pub(crate) fn made(update: &Update<'_>, generation: u64, now_ms: u64) -> Result<()> {
    let mut table = update.txn().open_table(tables::META).map_err(storage)?;
    let mut rows: Vec<RootRow> = match table.get(ROOTS).map_err(storage)? {
        Some(row) => json(row.value())?,
        None => Vec::new(),
    };
    // After a restore, numbers begin again.
    rows.retain(|row| row.generation < generation);
    rows.push(RootRow {
        generation,
        made_ms: now_ms,
    });
    let beyond = rows.len().saturating_sub(ROOTS_MAX);
    rows.drain(..beyond);
    table.insert(ROOTS, encode(&rows)?.as_slice()).map_err(storage)?;
    Ok(())
}

/// The newest generations that were noted, ascending.
///
/// # Errors
/// As reads.
pub(super) fn known(catalog: &Catalog) -> Result<Vec<RootRow>> {
    let txn = catalog.read()?;
    let table = txn.open_table(tables::META).map_err(storage)?;
    let row = table.get(ROOTS).map_err(storage)?;
    row.map_or_else(|| Ok(Vec::new()), |row| json(row.value()))
}

/// Key of the row in [`tables::META`].
const ROOTS: &str = "roots";
/// Generations that are remembered: with one rotation a minute, an hour and some.
const ROOTS_MAX: usize = 64;
