//! What is held.

use std::ops::Range;
use std::sync::Arc;

use super::{Hold, extend, find, ranges};
use crate::catalog::hex;
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
    inner: &Inner,
    tenant: &Arc<Tenant>,
    class: u16,
    range: Range<u64>,
) -> Result<Vec<Range<u64>>> {
    if tenant.holds.load().0.is_empty() || range.is_empty() {
        return Ok(Vec::new());
    }
    if is_class_held(tenant, class) {
        return Ok(vec![range]);
    }
    extend::up_to(inner, tenant, range.end)?;
    let txn = inner.catalog.read()?;
    let mut found = Vec::new();
    for hold in &tenant.holds.load().0 {
        found.extend(ranges::of(&txn, &tenant.id, &hold.id, &range)?);
    }
    Ok(ranges::ordered(found))
}

fn is_class_held(tenant: &Tenant, class: u16) -> bool {
    let holds = tenant.holds.load();
    holds.0.iter().any(|hold| hold.row.classes.contains(&class))
}

/// The holds that cover a record, newer matches included. Decides nothing, and logs nothing.
///
/// # Errors
/// As searches.
pub(crate) fn covering(inner: &Inner, tenant: &Arc<Tenant>, class: u16, seq: u64) -> Result<Vec<HeldBy>> {
    let one = seq..seq.saturating_add(1);
    let covers = |hold: &Hold| {
        if hold.row.classes.contains(&class) {
            return Ok(true);
        }
        if !ranges::of(&inner.catalog.read()?, &tenant.id, &hold.id, &one)?.is_empty() {
            return Ok(true);
        }
        if !hold.row.asks || seq < hold.row.until {
            return Ok(false);
        }
        let matching = find::matches(inner, tenant, &hold.row.open(tenant, &hold.id)?, &one)?;
        Ok::<_, crate::Error>(!matching.is_empty())
    };
    let mut found = Vec::new();
    for hold in &tenant.holds.load().0 {
        if covers(hold)? {
            found.push(HeldBy {
                id: hex(&hold.id),
                matter: hold.row.matter.clone(),
            });
        }
    }
    Ok(found)
}

/// What is known to be held, without looking for more.
pub(crate) struct Known {
    classes: Vec<u16>,
    ranges: Vec<Range<u64>>,
    /// Matches of every hold are known below this seq.
    pub(crate) until: u64,
}

impl Known {
    /// Those of `seqs` that are held if they are of the class, ascending.
    pub(crate) fn of(&self, class: u16, seqs: Range<u64>) -> Vec<Range<u64>> {
        match self.classes.contains(&class) {
            true => vec![seqs],
            false => self.ranges.clone(),
        }
    }
}

/// What is known to be held of a tenant.
///
/// # Errors
/// As reads.
pub(crate) fn known(inner: &Inner, tenant: &Tenant) -> Result<Known> {
    let holds = tenant.holds.load();
    let txn = inner.catalog.read()?;
    let mut found = Vec::new();
    for hold in &holds.0 {
        found.extend(ranges::of(&txn, &tenant.id, &hold.id, &(0..u64::MAX))?);
    }
    let asking = holds.0.iter().filter(|hold| hold.row.asks);
    Ok(Known {
        classes: holds.0.iter().flat_map(|hold| hold.row.classes.clone()).collect(),
        ranges: ranges::ordered(found),
        until: asking
            .map(|hold| hold.row.until)
            .min()
            .unwrap_or_else(|| tenant.view().size),
    })
}
