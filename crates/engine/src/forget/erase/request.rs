//! Asking for an erasure, and taking it back.

use attestore_keys::{derive, random_array};
use attestore_record::Handle;
use serde_json::json;

use super::api::{ErasureInfo, info};
use super::recipients::recipients;
use super::row::{ErasureRow, ErasureState};
use crate::Engine;
use crate::catalog::{Update, hex, of_tenant, storage, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::approvals::{Operation, OperationKind, require};
use crate::forget::hidden::Leaving;
use crate::forget::subjects::{self, Known, Person};
use crate::tenant::Tenant;

/// What is to be erased, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureRequest {
    /// One person may be several subjects.
    pub subjects: Vec<Person>,
    /// On what ground. Goes into the log, so it names nobody.
    pub basis: String,
    /// For how long it may be taken back, seconds.
    pub undo_s: u64,
}

impl Engine {
    /// Erases data subjects. On return nobody is shown their data any more, and that is durable; the rest is done in the
    /// background, and [`Engine::erasure`] says how far it is.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`], [`Error::NotFound`] when the tenant knows none of
    /// the subjects, [`Error::ApprovalNeeded`], or as flushes and changes of the catalog.
    pub fn erase(&self, tenant: &str, by: &Principal, request: &ErasureRequest) -> Result<ErasureInfo> {
        by.check(tenant, Permission::Erase)?;
        let people = subjects::parse(&request.subjects)?;
        check(request)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let recipients = recipients(self, &tenant.name);
        let recipients = recipients.inspect_err(
            |error| tracing::warn!(%error, "it is not known who was shown what is to be erased"),
        );
        let deciding = tenant.deciding.lock();
        tenant.check_open()?;
        let known = subjects::known(inner, &tenant, &people)?;
        if known.is_empty() {
            return Err(Error::NotFound("data subject"));
        }
        let approved = require(inner, &tenant, by, &operation(&tenant, request, &known))?;
        let now_ms = inner.clock.now_ms();
        let mut row = ErasureRow {
            state: ErasureState::Received,
            requested_ms: now_ms,
            requested_by: by.id.clone(),
            approved_by: approved.by,
            basis: request.basis.clone(),
            undo_until_ms: now_ms.saturating_add(request.undo_s.saturating_mul(1000)),
            deferred: None,
            number: known.len() as u64,
            subjects: known.iter().map(|known| known.row.clone()).collect(),
            handles: Vec::new(),
            log_size: None,
            control_seq: None,
            records: 0,
            overwrite: Vec::new(),
            exports: 0,
            segments: 0,
            bytes_rewritten: 0,
            recipients: recipients.ok(),
            certificate: None,
            suppressed_since_ms: now_ms,
            unreadable_since_ms: None,
            terms_gone_since_ms: None,
            bytes_gone_since_ms: None,
        };
        let key = (tenant.id, random_array(&*inner.entropy));
        inner.change(|update| {
            for known in &known {
                take_away(update, &tenant, known)?;
            }
            of_tenant::put(update, tables::ERASURES, &key, &row)
        })?;
        hide(&tenant, &known)?;
        // Nobody works on it before it is noted.
        let handles: Vec<Handle> = known.iter().map(|known| known.handle).collect();
        let counted = crate::exports::let_go_personal(inner, &tenant, &handles).and_then(|exports| {
            row.exports = exports;
            inner.change(|update| of_tenant::put(update, tables::ERASURES, &key, &row))
        });
        drop(deciding);
        inner.erasures.note(key, &row);
        metrics::counter!("attestore_erasures_total", "state" => row.state.name()).increment(1);
        inner.erasures.wake();
        counted?;
        Ok(info(&key, &row))
    }

    /// Takes an erasure back while that may be done: as long as it is not decided.
    ///
    /// # Errors
    /// As [`Engine::erasure`]; [`Error::Conflict`] when it is too late.
    pub fn undo_erasure(&self, tenant: &str, by: &Principal, id: &str) -> Result<ErasureInfo> {
        by.check(tenant, Permission::Erase)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let missing = Error::NotFound("erasure");
        let key = (tenant.id, unhex(id).ok_or_else(|| missing.clone())?);
        let deciding = tenant.deciding.lock();
        tenant.check_open()?;
        let stored: Option<ErasureRow> = of_tenant::get(&inner.catalog.read()?, tables::ERASURES, &key)?;
        let mut row = stored.ok_or(missing)?;
        let in_time = match row.state {
            ErasureState::Received => inner.clock.now_ms() < row.undo_until_ms,
            ErasureState::Deferred => true,
            _ => false,
        };
        if !in_time {
            return Err(Error::Conflict {
                code: "erasure_decided",
                message: format!("the erasure is {} and cannot be taken back", row.state.name()),
            });
        }
        let handles: Vec<_> = row
            .leavers(&inner.catalog, &tenant.id, &tenant.keys.ring())?
            .into_iter()
            .map(|leaver| leaver.handle)
            .collect();
        row.state = ErasureState::Cancelled;
        row.deferred = None;
        // The rows of the directory stay here: by now the people may be somebody new there, and then they are both.
        inner.change(|update| of_tenant::put(update, tables::ERASURES, &key, &row))?;
        tenant.veil(&handles, |veil| veil.leaving = None);
        drop(deciding);
        inner.erasures.note(key, &row);
        metrics::counter!("attestore_erasures_total", "state" => row.state.name()).increment(1);
        Ok(info(&key, &row))
    }
}

/// Hides subjects and forgets who is behind their blinds, from now on.
fn hide(tenant: &Tenant, known: &[Known]) -> Result<()> {
    let handles: Vec<Handle> = known.iter().map(|known| known.handle).collect();
    tenant.veil(&handles, |veil| veil.leaving = Some(Leaving::Suppressed));
    for known in known {
        tenant.directory.forget_blind(&known.row.parse()?.0);
    }
    Ok(())
}

/// Takes a row out of the directory, or out of the erasure that was taken back and kept it.
fn take_away(update: &Update<'_>, tenant: &Tenant, known: &Known) -> Result<()> {
    let (blind, _) = known.row.parse()?;
    let Some(id) = known.kept_by else {
        let mut table = update.txn().open_table(tables::DIRECTORY).map_err(storage)?;
        table.remove((tenant.id.as_bytes(), &blind)).map_err(storage)?;
        return Ok(());
    };
    let key = (tenant.id, id);
    let stored: Option<ErasureRow> = of_tenant::stored(update, tables::ERASURES, &key)?;
    let mut row = stored.ok_or(Error::NotFound("erasure"))?;
    row.subjects.retain(|subject| *subject != known.row);
    of_tenant::put(update, tables::ERASURES, &key, &row)
}

/// The act, as another person approves it: its people only as a keyed hash.
fn operation(tenant: &Tenant, request: &ErasureRequest, known: &[Known]) -> Operation {
    let mut handles: Vec<_> = known.iter().map(|known| *known.handle.as_bytes()).collect();
    handles.sort_unstable();
    let who = derive(
        "attestore 2026 erasure operation v1",
        &[tenant.keys.directory.expose(), handles.as_flattened()],
    );
    Operation {
        kind: OperationKind::Erase,
        parameters: json!({
            "subjects": hex(who.expose()),
            "number": known.len(),
            "basis": request.basis,
            "undo_s": request.undo_s,
        }),
    }
}

fn check(request: &ErasureRequest) -> Result<()> {
    check_basis(&request.basis)?;
    match request.undo_s <= UNDO_S_MAX {
        true => Ok(()),
        false => Err(Error::Invalid {
            code: "invalid_erasure",
            message: "`undo_s` is 30 days at most".to_owned(),
        }),
    }
}

/// Refuses a ground that is none.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check_basis(basis: &str) -> Result<()> {
    match (1..=BASIS_BYTES_MAX).contains(&basis.len()) {
        true => Ok(()),
        false => Err(Error::Invalid {
            code: "invalid_erasure",
            message: "`basis` has 1 to 256 bytes".to_owned(),
        }),
    }
}

const BASIS_BYTES_MAX: usize = 256;
const UNDO_S_MAX: u64 = 30 * 24 * 3600;
