//! What the engine does with credentials: recognises, makes, lists, rotates and revokes them.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

use super::{
    CredentialId, CredentialInfo, CredentialSpec, Held, Kind, Network, Permission, Principal, Role, Scope,
    Secret, USES_STORED_EVERY_MS, Unrecognised, generate, generate_for,
    row::{Previous, Row},
};
use crate::{
    Engine, SYSTEM_TENANT,
    append::append_internal_all,
    backup::ledger,
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
        by.kind == Kind::Internal || self.credential_works(&by.id, by.expires_at_ms)
    }

    /// Checks that who asks still works. To be called under the lock of changes: the body of a request may have taken its
    /// time after its sender was recognised.
    fn check_works(&self, by: &Principal) -> Result<()> {
        match self.still_works(by) {
            true => Ok(()),
            false => Err(Error::Unauthenticated),
        }
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
    /// ([`Role::is_handed_out_by`]), nor what a credential's own networks and end do not hold.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Unauthenticated`] for who does not work any more, [`Error::UnknownTenant`], [`Error::Invalid`] for a specification that makes no sense, or
    /// why nothing could be written.
    pub fn create_credential(
        &self,
        spec: CredentialSpec,
        by: &Principal,
    ) -> Result<(CredentialInfo, Secret)> {
        check_scope(by, &spec.tenants)?;
        check_spec(&spec, self.inner.clock.now_ms())?;
        check_roles(&spec.roles, &spec.tenants, by)?;
        for tenant in spec.tenants.names().into_iter().flatten() {
            self.inner.tenant(tenant)?;
        }
        let _change = self.inner.credentials.change.lock();
        self.check_works(by)?;
        self.check_bounds(&spec.networks, spec.expires_at_ms, by)?;
        self.insert(spec, "credential.create", by, |_| Ok(()))
    }

    /// Creates the first admin credential: `None` if there ever was one of any kind. Where none works any more,
    /// [`Engine::bootstrap_credential`] makes another, for who asks for it.
    ///
    /// # Errors
    /// Why nothing could be written.
    pub fn first_credential(&self) -> Result<Option<(CredentialInfo, Secret)>> {
        self.first_credential_kept(|_| Ok::<_, Error>(()))
    }

    /// As [`Engine::first_credential`]; what it is to work with, and the secret itself, is kept first: where that fails there
    /// is no credential.
    ///
    /// # Errors
    /// Those of `keep`, and as [`Engine::first_credential`].
    pub fn first_credential_kept<E: From<Error>>(
        &self,
        keep: impl FnOnce(&Secret) -> Result<(), E>,
    ) -> Result<Option<(CredentialInfo, Secret)>, E> {
        // Held from the look to the insertion: of two that call at once, one finds what the other made.
        let _change = self.inner.credentials.change.lock();
        // Revoked and expired ones stay as rows.
        if !self.inner.credentials.by_id.read().is_empty() {
            return Ok(None);
        }
        self.bootstrap(keep).map(Some)
    }

    /// Creates an admin credential on nobody's behalf, whoever else can administrate: for the first start, and to replace a
    /// lost one. It also appends, investigates and audits, which is what first steps need. Whoever calls this holds the data
    /// directory and its root key.
    ///
    /// # Errors
    /// Why nothing could be written.
    pub fn bootstrap_credential(&self) -> Result<(CredentialInfo, Secret)> {
        self.bootstrap_credential_kept(|_| Ok::<_, Error>(()))
    }

    /// As [`Engine::bootstrap_credential`]; the secret is kept first: where that fails there is no credential.
    ///
    /// # Errors
    /// Those of `keep`, and as [`Engine::bootstrap_credential`].
    pub fn bootstrap_credential_kept<E: From<Error>>(
        &self,
        keep: impl FnOnce(&Secret) -> Result<(), E>,
    ) -> Result<(CredentialInfo, Secret), E> {
        let _change = self.inner.credentials.change.lock();
        self.bootstrap(keep)
    }

    fn bootstrap<E: From<Error>>(
        &self,
        keep: impl FnOnce(&Secret) -> Result<(), E>,
    ) -> Result<(CredentialInfo, Secret), E> {
        let spec = CredentialSpec {
            name: "bootstrap".to_owned(),
            roles: vec![Role::Admin, Role::Ingest, Role::Investigator, Role::Auditor],
            tenants: Scope::All,
            networks: Vec::new(),
            expires_at_ms: None,
        };
        self.insert(spec, "credential.bootstrap", &Principal::internal(), keep)
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
    /// ends at once. Who is given the secret is who can use the credential from then on.
    ///
    /// # Errors
    /// [`Error::Forbidden`] also where `by` could not have made it, as it is, [`Error::Unauthenticated`], [`Error::NotFound`], [`Error::Invalid`] for an overlap
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
        self.check_works(by)?;
        let (key, held) = self.credential_to_change(id, by)?;
        self.check_bounds(&held.row.networks, held.row.expires_at_ms, by)?;
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
        row.rotated_by = Some(by.id.clone());
        self.log("credential.rotate", "update", id, &row, by)?;
        let held = self.store_credential(key, row, &held)?;
        Ok((held.info(), secret))
    }

    /// Revokes a credential; from then on its token does not work. Revoking twice changes nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`] also where `by` could not have given it its roles, [`Error::Unauthenticated`], [`Error::NotFound`],
    /// or why nothing could be written.
    pub fn revoke_credential(&self, id: &str, by: &Principal) -> Result<CredentialInfo> {
        check_manager(by)?;
        let _change = self.inner.credentials.change.lock();
        self.check_works(by)?;
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

    /// One whose roles and tenants `by` could have given it: else a rotation would hand out more than a creation does.
    fn credential_to_change(&self, id: &str, by: &Principal) -> Result<(CredentialId, Arc<Held>)> {
        let (key, held) = self.find_credential(id, by)?;
        check_roles(&held.row.roles, &held.principal.tenants, by)?;
        Ok((key, held))
    }

    /// Checks that networks and an end lie within those of the credential that asks. The end of a foreign identity is that of a
    /// session, and bounds nothing that it makes.
    fn check_bounds(&self, networks: &[Network], expires_at_ms: Option<u64>, by: &Principal) -> Result<()> {
        let key: Option<CredentialId> = by.id.as_bytes().try_into().ok();
        let key = key.filter(|_| by.kind == Kind::Credential);
        let Some(own) = key.and_then(|key| self.inner.credentials.by_id.read().get(&key).cloned()) else {
            return Ok(());
        };
        let held = &own.row.networks;
        let within = |network: &Network| held.iter().any(|held| held.covers(network));
        let from_there = held.is_empty() || (!networks.is_empty() && networks.iter().all(within));
        let until_then = match (own.row.expires_at_ms, expires_at_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(end)) => end <= own,
        };
        match from_there && until_then {
            true => Ok(()),
            false => Err(Error::Forbidden),
        }
    }

    fn insert<E: From<Error>>(
        &self,
        spec: CredentialSpec,
        action: &str,
        by: &Principal,
        keep: impl FnOnce(&Secret) -> Result<(), E>,
    ) -> Result<(CredentialInfo, Secret), E> {
        let (id, secret, hash) = generate(&*self.inner.entropy);
        keep(&secret)?;
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
        if let (Some(at_ms), None) = (held.row.revoked_at_ms, before.row.revoked_at_ms) {
            let id = text(&id).to_owned();
            let fact = ledger::Fact::Credential { id };
            self.inner.change(|update| ledger::note(update, at_ms, fact))?;
        }
        self.write_credentials(&[(id, held.row.clone())])?;
        self.inner.credentials.by_id.write().insert(id, Arc::clone(&held));
        if held.row.revoked_at_ms.is_some() {
            ledger::ship_soon(&self.inner);
        }
        Ok(held)
    }

    fn write_credentials(&self, rows: &[(CredentialId, Row)]) -> Result<()> {
        write(&self.inner, rows)
    }

    /// Writes what is about to be done into `_system`: one record of all of it, and where it is about several tenants one more
    /// for each of them, which names no other. All or none.
    fn log(&self, action: &str, operation: &str, id: &str, row: &Row, by: &Principal) -> Result<()> {
        let scope = row.scope();
        let several = scope.names().filter(|names| names.len() > 1);
        let mut events = vec![event(action, operation, id, row, by, &scope)];
        events.extend(several.into_iter().flatten().map(|tenant| {
            let scope = Scope::one(tenant);
            event(action, operation, id, row, by, &scope)
        }));
        append_internal_all(&self.inner, &events)
    }
}

/// A change of a credential as an event. It is about a tenant where that is the only one.
fn event(action: &str, operation: &str, id: &str, row: &Row, by: &Principal, scope: &Scope) -> Vec<u8> {
    let mut targets = vec![serde_json::json!({ "type": "credential", "id": id, "name": row.name })];
    targets.extend(
        scope
            .only()
            .map(|tenant| serde_json::json!({ "type": "tenant", "id": tenant })),
    );
    let event = serde_json::json!({
        "action": action,
        "operation": operation,
        "outcome": "success",
        "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
        "targets": targets,
        "metadata": {
            "roles": row.roles,
            "tenants": scope.names(),
            "networks": row.networks,
            "expires_at_ms": row.expires_at_ms,
            "overlap_ends_ms": row.previous.as_ref().map(|previous| previous.until_ms),
        },
    });
    event.to_string().into_bytes()
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

/// Checks that `by` may give those roles for those tenants.
fn check_roles(roles: &[Role], tenants: &Scope, by: &Principal) -> Result<()> {
    match roles.iter().all(|role| role.is_handed_out_by(&by.roles, tenants)) {
        true => Ok(()),
        false => Err(Error::Forbidden),
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

pub(super) fn text(id: &CredentialId) -> &str {
    std::str::from_utf8(id).unwrap_or_default() // base62, by construction
}

const NAME_CHARS_MAX: usize = 128;
const TENANTS_MAX: usize = 256;
const NETWORKS_MAX: usize = 64;
const OVERLAP_MS_MAX: u64 = 30 * 24 * 3_600_000;
