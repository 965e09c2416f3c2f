//! What logs say of rotations.

use std::sync::Arc;

use attestore_record::Kind;
use serde::Serialize;
use serde_json::json;

use super::row::{Cause, JobRow, KeyKind};
use crate::error::Result;
use crate::forget::logged;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Where the log has one of the records of a rotation.
///
/// # Errors
/// As reads.
pub(super) fn find(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    ty: &'static str,
    job: &JobRow,
) -> Result<Option<u64>> {
    let named = format!(
        "\"type\":\"{ty}\",\"key\":\"{}\",\"generation\":{},",
        job.key.name(),
        job.generation
    );
    let found = logged::find(inner, tenant, Kind::Key, job.log_from, &|public| {
        String::from_utf8_lossy(public).contains(&named)
    })?;
    Ok(found.map(|(seq, _)| seq))
}

/// Tells of it in `_system`.
///
/// # Errors
/// As appends.
pub(super) fn say(inner: &Inner, tenant: &Tenant, action: &str, job: &JobRow) -> Result<()> {
    let event = json!({
        "action": action,
        "operation": "update",
        "actor": { "type": "server", "id": "internal" },
        "targets": [{ "type": "tenant", "id": tenant.name }],
        "metadata": { "key": job.key, "generation": job.generation, "cause": job.cause, "by": job.by },
    });
    inner.append_internal(event.to_string().as_bytes())
}

/// A record of a rotation.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Said<'a> {
    #[serde(rename = "type")]
    pub(super) ty: &'static str,
    pub(super) key: KeyKind,
    pub(super) generation: u64,
    pub(super) cause: Cause,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'a str>,
    /// Keys that were wrapped anew, or pages that were given fresh keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<u64>,
    /// Since when the former key is out of reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unreachable_since_ms: Option<u64>,
}

impl<'a> Said<'a> {
    pub(super) fn of(ty: &'static str, job: &'a JobRow) -> Self {
        let ended = ty == ENDED;
        Self {
            ty,
            key: job.key,
            generation: job.generation,
            cause: job.cause,
            reason: job.reason.as_deref().filter(|_| !ended),
            keys: ended.then_some(job.done),
            unreachable_since_ms: job.gone_ms.filter(|_| ended),
        }
    }
}

pub(super) const BEGUN: &str = "key_rotation_begun";
pub(super) const ENDED: &str = "key_rotation_ended";
