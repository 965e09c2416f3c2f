//! One tenant's pass.

use std::sync::Arc;

use attestore_record::TenantId;
use serde_json::json;

use super::row::{Covered, PassRow, ScrubRow};
use super::{pace, server};
use crate::check::{Problem, ProblemKind, Walk};
use crate::error::Result;
use crate::forget::Why;
use crate::forget::gone::count_in_set;
use crate::instance::Inner;
use crate::read::{snapshot, tree};
use crate::tenant::{FileSet, Tenant, View};

/// Whether a tenant's pass is due: it was broken off, somebody wants it, or the last one is too long ago.
pub(super) fn is_due(inner: &Inner, tenant: &TenantId) -> bool {
    if inner.scrub.wanted.lock().contains(tenant) {
        return true;
    }
    let days = u64::from(inner.settings.scrub_days);
    if days == 0 {
        return false;
    }
    let row = inner.scrub.row(tenant);
    let due_ms = row.finished_ms.map(|ms| ms.saturating_add(days * DAY_MS));
    row.pass.is_some() || due_ms.is_none_or(|due_ms| due_ms <= inner.clock.now_ms())
}

/// Goes over a tenant, from where an earlier pass was broken off.
///
/// # Errors
/// When it was broken off. What does not hold is no error.
pub(super) fn pass(inner: &Inner, name: &str) -> Result<()> {
    let tenant = inner.tenant(name)?;
    inner.scrub.wanted.lock().remove(&tenant.id);
    let mut pass = begin(inner, &tenant)?;
    while step(inner, &tenant, &mut pass)? {}
    finish(inner, &tenant, pass);
    Ok(())
}

/// Takes up the pass that was broken off, or begins one with the tree.
fn begin(inner: &Inner, tenant: &Tenant) -> Result<PassRow> {
    if let Some(pass) = inner.scrub.row(&tenant.id).pass {
        return Ok(pass);
    }
    let pass = look_at_tree(inner, tenant, inner.clock.now_ms())?;
    inner.scrub.put_pass(tenant.id, &pass, None);
    Ok(pass)
}

/// Looks at the next segment; says whether there was one.
fn step(inner: &Inner, tenant: &Tenant, pass: &mut PassRow) -> Result<bool> {
    let Some((view, set)) = next(tenant, pass) else {
        return Ok(false);
    };
    let all = view.flushed_count();
    let found = look_at_set(inner, tenant, &view, &set, pass, all)?;
    let still = tenant.view().flushed.contains(&set);
    // What was rewritten meanwhile is in another segment now, which has its turn.
    if still || found.findings.len() == pass.findings.len() {
        *pass = found;
        inner
            .scrub
            .put_pass(tenant.id, pass, Some((pass.covered.records, all)));
    }
    Ok(true)
}

/// Begins a pass, looks at some segments and leaves it there.
#[cfg(test)]
pub(super) fn begin_for_tests(inner: &Inner, tenant: &Tenant, segments: usize) -> PassRow {
    let mut pass = begin(inner, tenant).unwrap();
    for _ in 0..segments {
        assert!(step(inner, tenant, &mut pass).unwrap());
    }
    pass
}

/// The next segment that is not done. Those that came after the pass began have their turn in the next one.
fn next(tenant: &Tenant, pass: &PassRow) -> Option<(Arc<View>, Arc<FileSet>)> {
    let view = tenant.view();
    let set = view.flushed.iter().find(|set| {
        set.min_seq() < pass.covered.size && !pass.done.contains(&(set.set, set.seg.generation))
    })?;
    let set = Arc::clone(set);
    Some((view, set))
}

/// Recomputes the tree, and compares it with the registered head and with what the segments say they hold.
fn look_at_tree(inner: &Inner, tenant: &Tenant, started_ms: u64) -> Result<PassRow> {
    let registered = inner.heads.register().head(&tenant.origin);
    snapshot(tenant, |view| {
        let mut walk = Walk::new(inner, tenant, view, None);
        walk.tree(&mut |bytes| pace(inner, bytes))?;
        if let Some(head) = registered
            && tree::root_at(inner, tenant, view, head.size).ok() != Some(head.root)
        {
            let reason = format!("the registered head of {} entries is not of this log", head.size);
            walk.checked.problem(Problem {
                kind: ProblemKind::Rollback,
                ..Problem::damage("heads", 0, reason)
            });
        }
        let gone = tenant.gone.load();
        let reader = tree::reader(inner, tenant, view);
        let mut held: u64 = 0;
        for set in view.flushed.iter() {
            held += set.seg.count;
            held = held.saturating_sub(count_in_set(reader.source(), &gone, set)?);
        }
        let away = gone.count(Why::Purged) + gone.count(Why::Erased);
        if held.saturating_add(away) != view.flushed_count() {
            let reason = format!(
                "segments hold {held} records of the {} that were flushed, and {away} are gone",
                view.flushed_count()
            );
            walk.checked.problem(Problem::damage(tenant.dir(), 0, reason));
        }
        Ok(PassRow {
            started_ms,
            covered: Covered {
                size: view.size,
                root: walk.checked.root.unwrap_or(view.root).to_string(),
                bytes: view.flushed_count() * attestore_record::entry::ENTRY_BYTES as u64,
                ..Covered::default()
            },
            done: Vec::new(),
            findings: walk.checked.problems,
        })
    })
}

/// Hashes the records of one segment again.
fn look_at_set(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    set: &FileSet,
    pass: &PassRow,
    all: u64,
) -> Result<PassRow> {
    let mut walk = Walk::new(inner, tenant, view, None);
    let length = set.seg.length + set.sub.as_ref().map_or(0, |sub| sub.length);
    let each = length / set.seg.count.max(1);
    let done = pass.covered.records;
    walk.set(set, &mut |records| {
        inner.scrub.put_progress(&tenant.id, (done + records, all));
        pace(inner, each * PACE_RECORDS)
    })?;
    let checked = walk.checked;
    let mut found = pass.clone();
    if checked.records != set.seg.count && checked.problems.is_empty() {
        let reason = format!("{} records of {} are in it", checked.records, set.seg.count);
        found
            .findings
            .push(Problem::damage(&set.seg.path, set.seg.offset, reason));
    }
    let room = FINDINGS_MAX.saturating_sub(found.findings.len());
    found.findings.extend(checked.problems.into_iter().take(room));
    found.covered.records += checked.records;
    found.covered.groups_opened += checked.groups_opened;
    found.covered.groups_erased += checked.groups_erased;
    found.covered.bytes += length;
    found.done.push((set.set, set.seg.generation));
    metrics::counter!("attestore_scrub_records_total").increment(checked.records);
    metrics::counter!("attestore_scrub_bytes_total").increment(length);
    Ok(found)
}

fn finish(inner: &Inner, tenant: &Tenant, pass: PassRow) {
    for problem in &pass.findings {
        tracing::error!(tenant = %tenant.id, path = %problem.path.display(), offset = problem.offset, reason = problem.reason, "the scrub found damage");
    }
    let covered = &pass.covered;
    let ended = json!({
        "action": "log.scrub",
        "operation": "other",
        "outcome": if pass.findings.is_empty() { "success" } else { "failure" },
        "actor": server(),
        "targets": [{ "type": "tenant", "id": tenant.name }],
        "metadata": {
            "started_ms": pass.started_ms,
            "size": covered.size,
            "root": covered.root,
            "records": covered.records,
            "findings": pass.findings.len(),
        },
    });
    metrics::counter!("attestore_scrub_passes_total").increment(1);
    let row = ScrubRow {
        finished_ms: Some(inner.clock.now_ms()),
        covered: pass.covered,
        findings: pass.findings,
        ended: Some(ended),
        pass: None,
    };
    inner.scrub.put(tenant.id, row, None);
    inner
        .scrub
        .unsaid
        .store(true, std::sync::atomic::Ordering::Release);
    inner.flusher.notify();
}

const DAY_MS: u64 = 24 * 3_600_000;
/// Records between two looks at the bucket.
pub(super) const PACE_RECORDS: u64 = crate::check::PROGRESS_EVERY;
/// Findings that are kept of one pass.
const FINDINGS_MAX: usize = 100;
