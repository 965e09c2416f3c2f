//! What is held of a tenant in memory: forgotten, and who waits for it told.

use std::sync::Arc;

use attestore_record::TenantId;

use crate::catalog::tenant_rows::Named;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Forgets everything of a tenant that was destroyed. Who works with it meanwhile finds no keys, and what they leave behind goes once they
/// are done.
pub(super) fn forget(inner: &Inner, tenant: &Arc<Tenant>, named: &Named) {
    inner
        .destructions
        .leaving
        .lock()
        .insert(tenant.id, Arc::downgrade(tenant));
    tenant.feed.end();
    forget_jobs(inner, &tenant.id, &tenant.name);
    inner.readers.forget(named.files.iter());
    inner.readers.forget_blocks(named.files.iter());
    inner.filters.forget(named.files.iter());
    inner.catalog.subjects.forget(&named.blinds, &named.handles);
    inner.watches.tell();
}

/// Forgets what background work knows of it.
pub(super) fn forget_jobs(inner: &Inner, id: &TenantId, name: &str) {
    inner.search.ended(id, name);
    inner.heads.forget(id);
    inner.purges.forget(id);
    inner.erasures.forget(id);
    inner.exports.forget_tenant(id);
    inner.retiring.forget(id);
    inner.scrub.forget(id);
    inner.quotas.remove(id);
    crate::compact::forget(inner, id);
}
