//! Keys that others may have: put on record as not trusted, and rotated at once.

use attestore_record::Kind;
use serde::Serialize;
use serde_json::json;

use super::row::{Cause, CompromisedRow, KeyKind};
use super::start::{self, Rotation};
use super::stored;
use crate::Engine;
use crate::append::append_control;
use crate::catalog::{by_tenant, tables};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::approvals::{self, Operation, OperationKind};
use crate::instance::SYSTEM_TENANT;

/// What somebody reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compromised {
    /// The kind of key.
    pub key: KeyKind,
    /// Since when others may have it, Unix milliseconds; `None` for now.
    pub since_ms: Option<u64>,
    /// What happened; in the log for good, so it names nobody.
    pub reason: String,
}

impl Engine {
    /// Puts on record that a key is not trusted since some moment, and rotates it at once: a signing key without a time in which both sign, a
    /// tenant key with the keys of its pages; a root, asked for `_system`, with the keys of every page. Which of the tenant's logs and
    /// pages are concerned is as for [`Engine::rotate_keys`].
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`]; [`Error::Invalid`] `invalid_reason`, `invalid_rotation`; [`Error::ApprovalNeeded`] where
    /// destroying keys takes two persons; [`Error::Conflict`] `rotation_under_way`, and as [`Engine::rotate_keys`]; as appends and changes of the catalog. What is
    /// on record stays, also if the rotation then does not begin: order that again.
    pub fn key_compromised(&self, tenant: &str, by: &Principal, report: &Compromised) -> Result<Rotation> {
        by.check(tenant, Permission::ManageKeys)?;
        let inner = &self.inner;
        inner.check_running()?;
        start::check_reason(Some(&report.reason))?;
        let now_ms = inner.clock.now_ms();
        let since_ms = report.since_ms.unwrap_or(now_ms);
        let tenant = inner.tenant(tenant)?;
        let wrong = match report.key {
            KeyKind::Root if tenant.name != SYSTEM_TENANT => {
                Some("the root is the instance's: report it of _system")
            }
            _ if since_ms > now_ms => Some("`since` is in the future"),
            _ => None,
        };
        if let Some(message) = wrong {
            return Err(Error::Invalid {
                code: "invalid_rotation",
                message: message.to_owned(),
            });
        }
        start::check_tenant(&tenant)?;
        if report.key != KeyKind::Signing && super::read(inner, &tenant.id)?.job.is_some() {
            return Err(start::under_way());
        }
        let operation = Operation {
            kind: OperationKind::KeyDestroy,
            parameters: json!({
                "tenant": tenant.name,
                "key": report.key,
                "reason": report.reason,
                "since_ms": report.since_ms,
            }),
        };
        let approved = approvals::require(inner, &tenant, by, &operation)?;
        let generation = match report.key {
            KeyKind::Root => inner.root.generation(),
            key => {
                let row = super::read(inner, &tenant.id)?;
                match key {
                    KeyKind::Signing => row.signing.number(),
                    KeyKind::Buckets => row.buckets.number(),
                    _ => row.tenant.number(),
                }
            }
        };
        let vkey = (report.key == KeyKind::Signing)
            .then(|| tenant.keys.signing.load().verifier(&tenant.origin).to_string());
        let control = Control {
            ty: "key_compromised",
            key: report.key,
            generation,
            vkey: vkey.as_deref(),
            since_ms,
            reason: &report.reason,
            approved_by: &approved.by,
        };
        append_control(inner, &tenant, &by.id, Kind::Key, &control)?;
        inner.change(|update| {
            let mut row = stored(update, &tenant.id)?;
            let known = Some(CompromisedRow {
                since_ms,
                reason: report.reason.clone(),
            });
            match report.key {
                KeyKind::Tenant => row.tenant.compromised = known,
                KeyKind::Signing => row.signing.compromised = known,
                KeyKind::Buckets => row.buckets.compromised = known,
                KeyKind::Root => {}
            }
            by_tenant::put(update, tables::KEYS, &tenant.id, &row)
        })?;
        metrics::counter!("attestore_keys_compromised_total", "key" => report.key.name()).increment(1);
        let reason = Some(report.reason.as_str());
        match report.key {
            KeyKind::Signing => {
                let rotated = start::signing(inner, &tenant, Cause::Compromised, &by.id, 0)?;
                // Old copies of the catalog do not lead to it either.
                inner.rotate_root()?;
                Ok(rotated)
            }
            KeyKind::Root => {
                let replaced = start::root(inner, &tenant, Cause::Compromised, &by.id, reason)?;
                // Who had the root had the keys of all pages.
                start::start(
                    inner,
                    &tenant,
                    KeyKind::Buckets,
                    Cause::Compromised,
                    &by.id,
                    reason,
                )?;
                Ok(replaced)
            }
            key => start::start(inner, &tenant, key, Cause::Compromised, &by.id, reason).map(Rotation::of),
        }
    }
}

/// The record in the tenant's log.
#[derive(Serialize)]
struct Control<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    key: KeyKind,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vkey: Option<&'a str>,
    since_ms: u64,
    reason: &'a str,
    approved_by: &'a [String],
}
