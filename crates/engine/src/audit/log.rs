//! What of `_system` the people of one tenant see.

use serde_json::Value;

use crate::{
    Engine, Permission, Principal, Role, SYSTEM_TENANT,
    error::Result,
    search::{SearchPage, SearchRequest},
};

impl Engine {
    /// Pages through the records of `_system` that are about a tenant. The request's query is replaced, and it is neither counted
    /// nor aggregated. A page may be short, or empty, and still name the next.
    ///
    /// # Errors
    /// [`crate::Error::UnknownTenant`], [`crate::Error::Forbidden`], and as searches.
    pub fn access_log(&self, tenant: &str, by: &Principal, request: SearchRequest) -> Result<SearchPage> {
        by.check(tenant, Permission::ReadAccessLog)?;
        let name = &self.inner.tenant(tenant)?.name;
        // What another tenant of that name left behind is not theirs to see.
        let mut request = request;
        if let Some(ms) = self.inner.destructions.last_of(name) {
            let after_ns = i64::try_from(ms + 1)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000);
            request.from_ns = Some(request.from_ns.map_or(after_ns, |from| from.max(after_ns)));
        }
        if name == SYSTEM_TENANT {
            by.check(SYSTEM_TENANT, Permission::Search)?;
        }
        // The tenant's name is one of ours: letters, digits, `_` and `-`.
        let q = format!("target.type:tenant AND target.id:\"{name}\"");
        let wanted = request.limit;
        let mut request = SearchRequest {
            q,
            want_count: false,
            aggs: None,
            ..request
        };
        let mut roles = vec![Role::Auditor];
        if by.may_see_personal() {
            roles.push(Role::Investigator);
        }
        let reader = Principal::internal_as(&roles);
        // The query finds a type and an id that may be those of two targets, `tenant acme` and `record 0`: only what has both in
        // one is shown.
        let mut all = about(self.search(SYSTEM_TENANT, &reader, &request)?, name);
        for _ in 1..PASSES_MAX {
            if all.items.len() >= wanted || all.cursor.is_none() {
                break;
            }
            request.cursor = all.cursor.take();
            request.limit = wanted - all.items.len();
            let page = about(self.search(SYSTEM_TENANT, &reader, &request)?, name);
            all.items.extend(page.items);
            all.keys.extend(page.keys);
            all.highlights.extend(page.highlights);
            all.scanned |= page.scanned;
            all.cursor = page.cursor;
        }
        Ok(all)
    }
}

/// What of a page is about a tenant.
fn about(mut page: SearchPage, tenant: &str) -> SearchPage {
    let shown: Vec<bool> = page
        .items
        .iter()
        .map(|item| is_about(&item.event, tenant))
        .collect();
    // Keys and highlights are one for each item, or none at all.
    only(&mut page.items, &shown);
    only(&mut page.keys, &shown);
    only(&mut page.highlights, &shown);
    page
}

fn only<T>(all: &mut Vec<T>, shown: &[bool]) {
    let mut shown = shown.iter();
    all.retain(|_| shown.next().copied().unwrap_or(false));
}

/// Whether one of an event's targets is the tenant.
fn is_about(event: &str, tenant: &str) -> bool {
    let Ok(event) = serde_json::from_str::<Value>(event) else {
        return false;
    };
    let targets = event["targets"].as_array();
    targets
        .into_iter()
        .flatten()
        .any(|target| target["type"] == "tenant" && target["id"] == tenant)
}

/// Searches for one page: names of tenants that are ids of much else, as numbers are, make some of them find little.
const PASSES_MAX: usize = 16;
