//! How far the target is behind what was acknowledged.

use std::collections::HashMap;

use redb::ReadableTable;
use serde::Serialize;

use super::State;
use crate::catalog::{TenantRow, hex, json, storage, tables};
use crate::error::Result;
use crate::instance::Inner;

/// How shipping is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShippingStatus {
    /// Id of the backup that chunks follow; `None` until there is one since the start.
    pub follows: Option<String>,
    /// Chunks that follow it.
    pub chunks: u64,
    /// Bytes of these.
    pub chunk_bytes: u64,
    /// Entries that were acknowledged and are in neither a backup nor a chunk: what a loss of this machine would lose. `None` as long
    /// as the target could not be asked.
    pub lag_entries: Option<u64>,
    /// Bytes of those that are in memory, about.
    pub lag_bytes: u64,
    /// Everything that was acknowledged so many milliseconds ago is in the target; 0 if all is.
    pub lag_ms: Option<u64>,
    /// How many milliseconds pass between two rounds at most.
    pub every_ms: u64,
    /// Why a backup is needed before chunks go on, if one is.
    pub waits_for_backup: Option<String>,
    /// Why the last round failed.
    pub error: Option<String>,
}

/// How shipping is doing; `None` where nothing is shipped.
///
/// # Errors
/// As reads.
pub(crate) fn status(inner: &Inner) -> Result<Option<ShippingStatus>> {
    let Some(target) = inner.backups.target().filter(|target| target.ship_ms > 0) else {
        return Ok(None);
    };
    let waits_for_backup = super::wanted(inner)?;
    let state = inner.backups.shipping.state.lock();
    let chain = state
        .follows
        .and_then(|id| state.chains.iter().find(|chain| chain.id == id));
    let (lag_entries, lag_bytes) = lag(inner, &state)?;
    let now_ms = inner.clock.now_ms();
    let lag_ms = match lag_entries {
        Some(0) => Some(0),
        Some(_) => Some(now_ms.saturating_sub(state.there.at_ms.unwrap_or(0))),
        None => None,
    };
    Ok(Some(ShippingStatus {
        follows: chain.map(|chain| hex(&chain.id)),
        chunks: chain.map_or(0, |chain| chain.count()),
        chunk_bytes: chain.map_or(0, |chain| chain.bytes),
        lag_entries,
        lag_bytes,
        lag_ms,
        every_ms: target.ship_ms,
        waits_for_backup,
        error: state.fault.clone(),
    }))
}

/// Why somebody should look at shipping: it is further behind than it should be.
pub(crate) fn late(inner: &Inner) -> Option<String> {
    let status = status(inner).ok().flatten()?;
    let lag_ms = status
        .lag_ms
        .filter(|lag_ms| *lag_ms > LATE_MS.max(6 * status.every_ms))?;
    let why = status.error.or(status.waits_for_backup);
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    Some(format!(
        "{} entries that were acknowledged in the last {} s are in no backup{why}",
        status.lag_entries.unwrap_or(0),
        lag_ms / 1000
    ))
}

/// Shows it in the metrics.
#[expect(clippy::cast_precision_loss, reason = "gauges")]
pub(crate) fn tell(status: &ShippingStatus) {
    if let (Some(entries), Some(ms)) = (status.lag_entries, status.lag_ms) {
        metrics::gauge!("attestore_backup_lag_entries").set(entries as f64);
        metrics::gauge!("attestore_backup_lag_seconds").set(ms as f64 / 1000.0);
        metrics::gauge!("attestore_backup_lag_bytes").set(status.lag_bytes as f64);
    }
}

/// Entries that the target lacks, and bytes of these in memory, about.
fn lag(inner: &Inner, state: &State) -> Result<(Option<u64>, u64)> {
    if !state.there.known {
        return Ok((None, 0));
    }
    let loaded: HashMap<_, _> = inner
        .tenants
        .all()
        .into_iter()
        .map(|tenant| (tenant.id, (tenant.view(), tenant.core.lock().tail_bytes)))
        .collect();
    let chain = state
        .follows
        .and_then(|id| state.chains.iter().find(|chain| chain.id == id));
    let chain = chain.filter(|chain| !chain.is_broken());
    let (mut entries, mut bytes) = (0, chain.map_or(0, |chain| chain.pending_bytes));
    let table = inner
        .catalog
        .read()?
        .open_table(tables::TENANTS)
        .map_err(storage)?;
    let mut add = |id, flushed: Option<u64>| {
        let there = state.there.sizes.get(&id).copied();
        let size = loaded.get(&id).map(|(view, _)| view.size).or(flushed);
        // A log that is not in memory and not in a chunk is as the backup has it.
        let lacks = size.map_or(0, |size| size.saturating_sub(there.unwrap_or(0)));
        entries += lacks;
        if let Some((view, tail_bytes)) = loaded.get(&id)
            && !view.tail.is_empty()
        {
            bytes += tail_bytes * lacks.min(view.tail.len()) / view.tail.len();
        }
    };
    match chain {
        Some(chain) => {
            for (id, place) in chain.places() {
                add(*id, Some(place.seen));
            }
            for id in loaded.keys().filter(|id| !chain.places().contains_key(*id)) {
                add(*id, None);
            }
        }
        None => {
            for row in table.iter().map_err(storage)? {
                let (id, row) = row.map_err(storage)?;
                let row: TenantRow = json(row.value())?;
                add(
                    attestore_record::TenantId::from_bytes(*id.value()),
                    Some(row.flushed),
                );
            }
        }
    }
    Ok((Some(entries), bytes))
}

/// A lag that is longer is among the reasons of the status.
const LATE_MS: u64 = 60_000;
