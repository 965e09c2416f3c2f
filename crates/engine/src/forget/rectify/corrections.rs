//! Finds the corrections of records, in segments and in the tail, by the index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use attestore_record::{RecordId, view};
use serde_json::Value;

use super::{PROTOCOL, make::ACTION};
use crate::Engine;
use crate::credentials::{Permission, Principal, Role};
use crate::error::Result;
use crate::forget::hidden::Sight;
use crate::read::{RecordView, Which, records, snapshot};
use crate::search::{Order, SearchRequest};
use crate::tenant::Tenant;

/// A correction of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// Its own seq.
    pub seq: u64,
    /// When it was received, Unix milliseconds.
    pub at_ms: u64,
    /// Id of the credential that made it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// On what ground.
    pub basis: Option<String>,
    /// The fields, as JSON pointers, with the values that are right; `[personal]` where the reader may not see them, or where they were
    /// erased.
    pub fields: Vec<(String, Value)>,
}

impl Engine {
    /// The corrections of a record, as a reader sees them, in the order of the log.
    ///
    /// # Errors
    /// As [`Engine::get`] and [`Engine::search`].
    pub fn corrections(&self, tenant: &str, by: &Principal, which: Which) -> Result<Vec<Correction>> {
        let of = self.get(tenant, by, which)?;
        let found = self.corrected_by(tenant, by, &[(of.seq, of.id)])?;
        let tenant = self.inner.tenant(tenant)?;
        let mut corrections = Vec::new();
        for seq in found.into_values().flatten() {
            let shown = snapshot(&tenant, |view| {
                self.record_view(&tenant, view, seq, Sight::of(by))
            })?;
            corrections.extend(correction(&shown));
        }
        Ok(corrections)
    }

    /// The seqs of the corrections of records, which are named by seq and id, ascending; records without any are not in it.
    ///
    /// # Errors
    /// [`crate::Error::UnknownTenant`], [`crate::Error::Forbidden`], or as [`Engine::search`].
    pub fn corrected_by(
        &self,
        tenant: &str,
        by: &Principal,
        of: &[(u64, RecordId)],
    ) -> Result<BTreeMap<u64, Vec<u64>>> {
        by.check(tenant, Permission::Read)?;
        let tenant = self.inner.tenant(tenant)?;
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        if !tenant.corrected.load(Ordering::Acquire) {
            return Ok(found);
        }
        for some in of.chunks(AT_ONCE) {
            let wanted: BTreeSet<u64> = some.iter().map(|(seq, _)| *seq).collect();
            let ids: Vec<String> = some.iter().map(|(_, id)| format!("\"{id}\"")).collect();
            let mut request = SearchRequest {
                q: format!(
                    "action:{ACTION} AND target.type:record AND target.id:({})",
                    ids.join(" OR ")
                ),
                order: Order::Oldest,
                limit: PAGE,
                ..SearchRequest::default()
            };
            // Public fields only: what is being erased leaves the results of who looks at values about people.
            let reader = Principal::internal_as(&[Role::Auditor]);
            loop {
                let page = self.search(&tenant.name, &reader, &request)?;
                for item in &page.items {
                    let Some(corrects) = self.corrects(&tenant, item)? else {
                        continue;
                    };
                    if wanted.contains(&corrects) {
                        found.entry(corrects).or_default().push(item.seq);
                    }
                }
                match page.cursor {
                    Some(cursor) => request.cursor = Some(cursor),
                    None => break,
                }
            }
        }
        Ok(found)
    }

    /// Which record a correction corrects; `None` of what only looks like one.
    fn corrects(&self, tenant: &Tenant, item: &RecordView) -> Result<Option<u64>> {
        let seq = item.seq;
        let public = snapshot(tenant, |view| {
            records::read(&self.inner, tenant, view, seq, false).map(|record| record.public)
        })?;
        let opened = view::open(&public).map_err(|error| records::malformed(seq, &error))?;
        let event: Value = serde_json::from_str(&item.event).unwrap_or_default();
        let corrects = event["metadata"]["corrects"]["seq"].as_u64();
        Ok(corrects.filter(|_| opened.protocol == PROTOCOL))
    }
}

fn correction(shown: &RecordView) -> Option<Correction> {
    let event: Value = serde_json::from_str(&shown.event).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let changes = event["changes"].as_array()?.iter();
    let fields = changes.filter_map(|change| Some((text(&change["path"])?, change["new"].clone())));
    Some(Correction {
        seq: shown.seq,
        at_ms: shown.received_at_ms,
        by: text(&event["actor"]["id"]).unwrap_or_default(),
        reason: text(&event["justification"]).unwrap_or_default(),
        basis: text(&event["metadata"]["basis"]),
        fields: fields.collect(),
    })
}

/// Records that one search asks for.
const AT_ONCE: usize = 32;
const PAGE: usize = 1000;
