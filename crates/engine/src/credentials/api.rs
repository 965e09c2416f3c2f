//! What the engine does with credentials: recognises, makes, lists, rotates and revokes them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use super::{
    CredentialId, CredentialInfo, CredentialSpec, Held, Permission, Principal, Role, Scope, Secret,
    USES_STORED_EVERY_MS, Unrecognised, generate, generate_for,
    row::{Previous, Row},
};
use crate::{
    Engine, SYSTEM_TENANT,
    catalog::{hex, storage, tables},
    error::{Error, Result},
    instance::Inner,
};

impl Engine {
    /// Recognises a token that came from nowhere in particular. `None` for every token that does not work.
    pub fn authenticate(&self, token: &str) -> Option<Arc<Principal>> {
        self.recognise(token, None).ok()
    }

    /// Recognises a token that came from an address. A credential that is bound to networks does not work without one.
    ///
    /// # Errors
    /// Why it does not work: not for the caller's ears.
    pub fn recognise(&self, token: &str, source: Option<IpAddr>) -> Result<Arc<Principal>, Unrecognised> {
        let inner = &self.inner;
        inner
            .credentials
            .recognise(token, source, inner.clock.now_ms(), &*inner.entropy)
    }

    /// Says whether a principal still works: a credential that is neither revoked nor past its end, a foreign identity that
    /// has not ended. What the server does itself needs none.
    pub fn still_works(&self, by: &Principal) -> bool {
        self.credential_works(&by.id, by.expires_at_ms)
    }

    /// As [`Engine::still_works`], by what is stored of a principal.
    pub(crate) fn credential_works(&self, id: &str, expires_at_ms: Option<u64>) -> bool {
        let now_ms = self.inner.clock.now_ms();
        if id == Principal::INTERNAL {
            return true;
        }
        if id.contains(':') {
            return expires_at_ms.is_none_or(|end| now_ms < end);
        }
        let key: Option<CredentialId> = id.as_bytes().try_into().ok();
        let held = key.and_then(|key| self.inner.credentials.by_id.read().get(&key).cloned());
        held.is_some_and(|held| held.is_live(now_ms).is_ok())
    }

    /// Creates a credential. The secret is returned once and cannot be had again.
    ///
    /// Nobody hands out more than their own tenants, nor roles that are not theirs to hand out
    /// ([`Role::is_handed_out_by`]).
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`], [`Error::Invalid`] for a specification that makes no sense, or
    /// why nothing could be written.
    pub fn create_credential(
        &self,
        spec: CredentialSpec,
        by: &Principal,
    ) -> Result<(CredentialInfo, Secret)> {
        check_scope(by, &spec.tenants)?;
        check_spec(&spec, self.inner.clock.now_ms())?;
        if !spec.roles.iter().all(|role| role.is_handed_out_by(&by.roles)) {
            return Err(Error::Forbidden);
        }
        for tenant in spec.tenants.names().into_iter().flatten() {
            self.inner.tenant(tenant)?;
        }
        let _change = self.inner.credentials.change.lock();
        self.insert(spec, "credential.create", by)
    }

    /// Creates the first admin credential: `None` if somebody can already administrate.
    ///
    /// # Errors
    /// Why nothing could be written.
    pub fn first_credential(&self) -> Result<Option<(CredentialInfo, Secret)>> {
        // Held from the look to the insertion: of two that call at once, one finds what the other made.
        let _change = self.inner.credentials.change.lock();
        let now_ms = self.inner.clock.now_ms();
        let administrated = |held: &Arc<Held>| {
            let by = &held.principal;
            held.is_live(now_ms).is_ok() && by.tenants == Scope::All && by.roles.contains(&Role::Admin)
        };
        if self.inner.credentials.by_id.read().values().any(administrated) {
            return Ok(None);
        }
        self.bootstrap().map(Some)
    }

    /// Creates an admin credential on nobody's behalf, whoever else can administrate: for the first start, and to replace a
    /// lost one. It also appends, investigates and audits, which is what first steps need. Whoever calls this holds the data
    /// directory and its root key.
    ///
    /// # Errors
    /// Why nothing could be written.
    pub fn bootstrap_credential(&self) -> Result<(CredentialInfo, Secret)> {
        let _change = self.inner.credentials.change.lock();
        self.bootstrap()
    }

    fn bootstrap(&self) -> Result<(CredentialInfo, Secret)> {
        let spec = CredentialSpec {
            name: "bootstrap".to_owned(),
            roles: vec![Role::Admin, Role::Ingest, Role::Investigator, Role::Auditor],
            tenants: Scope::All,
            networks: Vec::new(),
            expires_at_ms: None,
        };
        self.insert(spec, "credential.bootstrap", &Principal::internal())
    }

    /// Lists the credentials whose tenants are all of `by`'s, ascending by id, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn list_credentials(
        &self,
        by: &Principal,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CredentialInfo>> {
        check_manager(by)?;
        let held = self.inner.credentials.by_id.read();
        let seen: BTreeMap<&str, &Arc<Held>> = held
            .values()
            .filter(|held| in_scope(by, held))
            .map(|held| (held.principal.id.as_str(), held))
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .collect();
        Ok(seen.values().take(limit).map(|held| held.info()).collect())
    }

    /// Shows a credential.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NotFound`] also for one beyond `by`'s tenants.
    pub fn credential(&self, id: &str, by: &Principal) -> Result<CredentialInfo> {
        check_manager(by)?;
        self.find_credential(id, by).map(|(_, held)| held.info())
    }

    /// Gives a credential a new secret, which is returned once. The one before works on for `overlap_ms`; the one before that
    /// ends at once.
    ///
    /// # Errors
    /// [`Error::Forbidden`] also where `by` could not have made it, [`Error::NotFound`], [`Error::Invalid`] for an overlap
    /// that is too long, [`Error::Conflict`] for a credential that does not work, or why nothing could be written.
    pub fn rotate_credential(
        &self,
        id: &str,
        overlap_ms: u64,
        by: &Principal,
    ) -> Result<(CredentialInfo, Secret)> {
        check_manager(by)?;
        if overlap_ms > OVERLAP_MS_MAX {
            return invalid("the overlap of a rotation is at most 30 days");
        }
        let _change = self.inner.credentials.change.lock();
        let (key, held) = self.credential_to_change(id, by)?;
        let now_ms = self.inner.clock.now_ms();
        if held.is_live(now_ms).is_err() {
            return Err(Error::Conflict {
                code: "credential_ended",
                message: "the credential was revoked or has expired: make another".to_owned(),
            });
        }
        let (secret, hash) = generate_for(&key, &*self.inner.entropy);
        let mut row = held.row.clone();
        let replaced = std::mem::replace(&mut row.secret_hash, hex(&hash.0));
        row.previous = (overlap_ms > 0).then(|| Previous {
            secret_hash: replaced,
            until_ms: now_ms.saturating_add(overlap_ms),
        });
        row.rotated_at_ms = Some(now_ms);
        self.log("credential.rotate", "update", id, &row, by)?;
        let held = self.store_credential(key, row, &held)?;
        Ok((held.info(), secret))
    }

    /// Revokes a credential; from then on its token does not work. Revoking twice changes nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] also where `by` could not have made it, [`Error::NotFound`], or why nothing could be written.
    pub fn revoke_credential(&self, id: &str, by: &Principal) -> Result<CredentialInfo> {
        check_manager(by)?;
        let _change = self.inner.credentials.change.lock();
        let (key, held) = self.credential_to_change(id, by)?;
        if held.row.revoked_at_ms.is_some() {
            return Ok(held.info());
        }
        let mut row = held.row.clone();
        row.revoked_at_ms = Some(self.inner.clock.now_ms());
        self.log("credential.revoke", "delete", id, &row, by)?;
        self.store_credential(key, row, &held).map(|held| held.info())
    }

    fn find_credential(&self, id: &str, by: &Principal) -> Result<(CredentialId, Arc<Held>)> {
        let missing = || Error::NotFound("credential");
        let key: CredentialId = id.as_bytes().try_into().map_err(|_| missing())?;
        let held = self.inner.credentials.by_id.read().get(&key).cloned();
        let held = held.filter(|held| in_scope(by, held)).ok_or_else(missing)?;
        Ok((key, held))
    }

    /// One that `by` could have made: else a rotation would hand out more than a creation does.
    fn credential_to_change(&self, id: &str, by: &Principal) -> Result<(CredentialId, Arc<Held>)> {
        let (key, held) = self.find_credential(id, by)?;
        let roles = &held.row.roles;
        match roles.iter().all(|role| role.is_handed_out_by(&by.roles)) {
            true => Ok((key, held)),
            false => Err(Error::Forbidden),
        }
    }

    fn insert(&self, spec: CredentialSpec, action: &str, by: &Principal) -> Result<(CredentialInfo, Secret)> {
        let (id, secret, hash) = generate(&*self.inner.entropy);
        let row = Row::new(spec, hex(&hash.0), self.inner.clock.now_ms(), &by.id);
        self.log(action, "create", text(&id), &row, by)?;
        let held = Arc::new(Held::new(text(&id), row)?);
        self.write_credentials(&[(id, held.row.clone())])?;
        self.inner.credentials.by_id.write().insert(id, Arc::clone(&held));
        Ok((held.info(), secret))
    }

    /// Replaces a credential's row.
    fn store_credential(&self, id: CredentialId, mut row: Row, before: &Held) -> Result<Arc<Held>> {
        row.last_used_ms = before.last_used_ms();
        let held = Arc::new(Held::new(text(&id), row)?);
        self.write_credentials(&[(id, held.row.clone())])?;
        self.inner.credentials.by_id.write().insert(id, Arc::clone(&held));
        Ok(held)
    }

    fn write_credentials(&self, rows: &[(CredentialId, Row)]) -> Result<()> {
        write(&self.inner, rows)
    }

    /// Writes what is about to be done into `_system`.
    fn log(&self, action: &str, operation: &str, id: &str, row: &Row, by: &Principal) -> Result<()> {
        let event = serde_json::json!({
            "action": action,
            "operation": operation,
            "outcome": "success",
            "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
            "targets": [{ "type": "credential", "id": id, "name": row.name }],
            "metadata": {
                "roles": row.roles,
                "tenants": row.scope().names(),
                "networks": row.networks,
                "expires_at_ms": row.expires_at_ms,
                "overlap_ends_ms": row.previous.as_ref().map(|previous| previous.until_ms),
            },
        });
        self.inner.append_internal(event.to_string().as_bytes())
    }
}

/// Writes when credentials were last used, if it is time: for the flusher. A crash loses some minutes of it.
pub(crate) fn store_uses(inner: &Inner, now: bool) -> Result<()> {
    let credentials = &inner.credentials;
    let (boot_ms, stored_ms) = (
        inner.clock.boot_ms(),
        credentials.uses_stored_ms.load(Ordering::Relaxed),
    );
    if !now && boot_ms < stored_ms.saturating_add(USES_STORED_EVERY_MS) {
        return Ok(());
    }
    credentials.uses_stored_ms.store(boot_ms, Ordering::Relaxed);
    let _change = credentials.change.lock();
    let held: Vec<_> = credentials
        .by_id
        .read()
        .iter()
        .map(|(id, held)| (*id, Arc::clone(held)))
        .collect();
    let mut rows = Vec::new();
    for (id, held) in held {
        if held.last_used_ms() > held.row.last_used_ms {
            let mut row = held.row.clone();
            row.last_used_ms = held.last_used_ms();
            rows.push((id, row));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    write(inner, &rows)?;
    for (id, row) in rows {
        let held = Arc::new(Held::new(text(&id), row)?);
        credentials.by_id.write().insert(id, held);
    }
    Ok(())
}

fn write(inner: &Inner, rows: &[(CredentialId, Row)]) -> Result<()> {
    inner.catalog.update(|update| {
        let mut table = update.txn().open_table(tables::CREDENTIALS).map_err(storage)?;
        for (id, row) in rows {
            let bytes = serde_json::to_vec(row).map_err(|error| Error::Io(error.to_string()))?;
            table.insert(text(id), bytes.as_slice()).map_err(storage)?;
        }
        Ok::<_, Error>(())
    })
}

/// Checks that `by` manages credentials at all.
fn check_manager(by: &Principal) -> Result<()> {
    match by.may(Permission::ManageCredentials) {
        true => Ok(()),
        false => Err(Error::Forbidden),
    }
}

/// Checks that `by` may manage credentials of that scope.
fn check_scope(by: &Principal, tenants: &Scope) -> Result<()> {
    check_manager(by)?;
    match tenants {
        Scope::All => by.check_instance(Permission::ManageCredentials),
        Scope::Of(names) => names
            .iter()
            .try_for_each(|tenant| by.check(tenant, Permission::ManageCredentials)),
    }
}

fn in_scope(by: &Principal, held: &Held) -> bool {
    by.tenants.covers(&held.principal.tenants)
}

fn check_spec(spec: &CredentialSpec, now_ms: u64) -> Result<()> {
    let length = spec.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) || spec.name.chars().any(char::is_control) {
        return invalid("a credential's name has 1 to 128 characters, none of them a control character");
    }
    if spec.roles.is_empty() {
        return invalid("a credential has at least one role");
    }
    if let Some((one, other)) = Role::conflict(&spec.roles) {
        return invalid(&format!(
            "no credential is both {} and {}",
            one.name(),
            other.name()
        ));
    }
    if let Some(names) = spec.tenants.names() {
        if names.is_empty() || names.len() > TENANTS_MAX {
            return invalid("a credential is for 1 to 256 tenants, or for all");
        }
        if names.contains(SYSTEM_TENANT) {
            return invalid("_system belongs to credentials of all tenants");
        }
    }
    if spec.networks.len() > NETWORKS_MAX {
        return invalid("a credential is bound to at most 64 networks");
    }
    if spec.expires_at_ms.is_some_and(|end| end <= now_ms) {
        return invalid("a credential expires in the future");
    }
    Ok(())
}

fn invalid<T>(message: &str) -> Result<T> {
    Err(Error::Invalid {
        code: "invalid_credential",
        message: message.to_owned(),
    })
}

fn text(id: &CredentialId) -> &str {
    std::str::from_utf8(id).unwrap_or_default() // base62, by construction
}

const NAME_CHARS_MAX: usize = 128;
const TENANTS_MAX: usize = 256;
const NETWORKS_MAX: usize = 64;
const OVERLAP_MS_MAX: u64 = 30 * 24 * 3_600_000;
