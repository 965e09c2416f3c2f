//! What a log already says: for an act that a crash may have interrupted between its record and its row.

use attestore_record::control::Control;
use attestore_record::entry::CLASS_CONTROL;
use attestore_record::{Entry, Kind};

use crate::error::Result;
use crate::forget::gone;
use crate::instance::Inner;
use crate::read::{records, snapshot, tree};
use crate::tenant::Tenant;

/// The controls of a kind from the seq `from` on, ascending, with their seqs. Reads every entry from there on, and opens those of
/// the kind.
///
/// # Errors
/// As reads.
pub(crate) fn controls(inner: &Inner, tenant: &Tenant, kind: Kind, from: u64) -> Result<Vec<(u64, Control)>> {
    snapshot(tenant, |view| {
        let reader = tree::reader(inner, tenant, view);
        let mut found = Vec::new();
        let mut at = from;
        while at < view.size {
            let end = view.size.min(at + ENTRIES_AT_ONCE);
            for (seq, entry) in (at..).zip(reader.source().entries(at..end)?) {
                if entry.get(1) != Some(&(kind as u8)) {
                    continue;
                }
                let record = records::read(inner, tenant, view, seq, false)?;
                // What is none of the known shapes is none that is looked for.
                if let Ok(control) = Control::parse(kind, &record.public) {
                    found.push((seq, control));
                }
            }
            at = end;
        }
        Ok(found)
    })
}

/// Finds a control record of a kind from a seq on, by its public group.
///
/// # Errors
/// As reads.
pub(crate) fn find(
    inner: &Inner,
    tenant: &Tenant,
    kind: Kind,
    from: u64,
    is_it: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<(u64, Entry)>> {
    snapshot(tenant, |view| {
        let reader = tree::reader(inner, tenant, view);
        let mut seqs = Vec::new();
        gone::each_entry(
            reader.source(),
            CLASS_CONTROL,
            std::slice::from_ref(&(from.min(view.size)..view.size)),
            &mut |seq, entry| {
                if entry.kind == kind {
                    seqs.push((seq, *entry));
                }
                Ok(())
            },
        )?;
        for (seq, entry) in seqs {
            let record = records::read(inner, tenant, view, seq, false)?;
            if is_it(&record.public) {
                return Ok(Some((seq, entry)));
            }
        }
        Ok(None)
    })
}

const ENTRIES_AT_ONCE: u64 = 8192;
