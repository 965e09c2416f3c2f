//! Decides that an erasure takes place, and puts it on record.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use attestore_record::control::{Control, Erasable, Erasure, ErasureScope, Ranges};
use attestore_record::{Handle, Kind};
use hashbrown::HashSet;

use super::row::{ErasureRow, ErasureState};
use crate::append::append_control;
use crate::catalog::of_tenant::RowKey;
use crate::catalog::{of_tenant, tables};
use crate::error::{Error, Result};
use crate::forget::hidden::Leaving;
use crate::forget::{rules, subjects};
use crate::instance::Inner;
use crate::read::{records, snapshot, tree};
use crate::tenant::Tenant;

/// Decides, and puts it on record; `None` when it has to wait, or was taken back.
///
/// # Errors
/// As reads, appends and changes of the catalog.
pub(super) fn decide(inner: &Inner, tenant: &Arc<Tenant>, key: &RowKey) -> Result<Option<ErasureRow>> {
    let _deciding = tenant.deciding.lock();
    if tenant.is_moved() {
        return Ok(None);
    }
    let Some(mut row) = of_tenant::get::<ErasureRow>(&inner.catalog.read()?, tables::ERASURES, key)? else {
        return Ok(None);
    };
    let undecided = matches!(row.state, ErasureState::Received | ErasureState::Deferred);
    if !undecided && row.state != ErasureState::Approved {
        return Ok(None);
    }
    if undecided {
        let leavers = row.leavers(&inner.catalog, &tenant.id, &tenant.keys.ring())?;
        let handles: Vec<Handle> = leavers.into_iter().map(|leaver| leaver.handle).collect();
        let about = concerned(inner, tenant, &handles)?;
        if let Some(why) = obstacle(inner, tenant, &about)? {
            defer(inner, tenant, key, row, &handles, why)?;
            return Ok(None);
        }
        if row.deferred.take().is_some() {
            tenant.veil(&handles, |veil| veil.leaving = Some(Leaving::Suppressed));
        }
        row.state = ErasureState::Approved;
        row.records = about.values().map(|seqs| seqs.len() as u64).sum();
        row.log_size = Some(tenant.view().size);
        inner.change(|update| of_tenant::put(update, tables::ERASURES, key, &row))?;
        inner.erasures.note(*key, &row);
    }
    if row.control_seq.is_none() {
        let control = Control::Erasure(Erasure {
            scope: ErasureScope::Subject,
            policy: None,
            ranges: Ranges::default(),
            records: row.records,
            basis: row.basis.clone(),
            approved_by: row.approved_by.clone(),
        });
        // Decided before a crash: then the log may have it already.
        let found = match undecided {
            true => None,
            false => on_record(inner, tenant, &row, &control)?,
        };
        row.control_seq = Some(match found {
            Some(seq) => seq,
            None => append_control(inner, tenant, &row.requested_by, Kind::Erasure, &control)?.seq,
        });
        inner.change(|update| of_tenant::put(update, tables::ERASURES, key, &row))?;
    }
    Ok(Some(row))
}

/// The records with groups about somebody of `handles`, by class, ascending. Nothing new is written about them: once the tail
/// is flushed, what is in segments is all there is.
pub(super) fn concerned(
    inner: &Inner,
    tenant: &Tenant,
    handles: &[Handle],
) -> Result<BTreeMap<u16, Vec<u64>>> {
    let handles: HashSet<[u8; 16]> = handles.iter().map(|handle| *handle.as_bytes()).collect();
    let view = tenant.view();
    let in_tail = view.tail.iter(view.tail.range()).any(|record| {
        let mut about = record.groups.iter().flat_map(|group| &group.handles);
        about.any(|handle| handles.contains(handle.as_bytes()))
    });
    if in_tail {
        crate::flush::round(inner, |other| other.id == tenant.id)?;
    }
    snapshot(tenant, |view| {
        let mut about: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
        for set in view.flushed.iter() {
            let found = subjects::seqs_in(inner, tenant, set, &handles)?;
            if !found.is_empty() {
                about.entry(set.class).or_default().extend(found);
            }
        }
        for seqs in about.values_mut() {
            seqs.sort_unstable();
            seqs.dedup();
        }
        Ok(about)
    })
}

/// What keeps the erasure from taking place now.
fn obstacle(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    about: &BTreeMap<u16, Vec<u64>>,
) -> Result<Option<&'static str>> {
    for (class, seqs) in about {
        let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else {
            continue;
        };
        let held = rules::held(inner, tenant, *class, *first..last.saturating_add(1))?;
        if seqs.iter().any(|seq| is_in(&held, *seq)) {
            return Ok(Some("hold"));
        }
        let policy = tenant.rules.load();
        let policy = policy.policy(*class);
        if policy.is_some_and(|found| found.policy.erasable == Erasable::No) {
            return Ok(Some("policy"));
        }
    }
    Ok(None)
}

/// Whether ascending ranges have a seq.
fn is_in(ranges: &[Range<u64>], seq: u64) -> bool {
    let at = ranges.partition_point(|range| range.end <= seq);
    ranges.get(at).is_some_and(|range| range.start <= seq)
}

/// Lets the erasure wait: nobody reads the data without a purpose.
fn defer(
    inner: &Inner,
    tenant: &Tenant,
    key: &RowKey,
    mut row: ErasureRow,
    handles: &[Handle],
    why: &str,
) -> Result<()> {
    if row.state == ErasureState::Deferred && row.deferred.as_deref() == Some(why) {
        return Ok(());
    }
    row.state = ErasureState::Deferred;
    row.deferred = Some(why.to_owned());
    inner.change(|update| of_tenant::put(update, tables::ERASURES, key, &row))?;
    inner.erasures.note(*key, &row);
    tenant.veil(handles, |veil| veil.leaving = Some(Leaving::Deferred));
    Ok(())
}

/// Finds the record of a decision behind the log's size at that time, unless it is that of another erasure.
fn on_record(inner: &Inner, tenant: &Tenant, row: &ErasureRow, control: &Control) -> Result<Option<u64>> {
    let others: Vec<([u8; 16], ErasureRow)> =
        of_tenant::of(&inner.catalog.read()?, tables::ERASURES, &tenant.id)?;
    let taken: HashSet<u64> = others.iter().filter_map(|(_, row)| row.control_seq).collect();
    let from = row.log_size.unwrap_or_default();
    snapshot(tenant, |view| {
        let reader = tree::reader(inner, tenant, view);
        for seq in from..view.size {
            if reader.source().entry(seq)?.kind != Kind::Erasure || taken.contains(&seq) {
                continue;
            }
            let record = records::read(inner, tenant, view, seq, false)?;
            let found = Control::parse(Kind::Erasure, &record.public)
                .map_err(|error| Error::damage("records", seq, format!("record {seq}: {error}")))?;
            if found == *control {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    })
}
