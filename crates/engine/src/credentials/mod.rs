//! Credentials: who may call, with which token.
//!
//! Rows live in the catalog; every one is in memory, so that authenticating reads no disk. A token is shown once; the
//! catalog keeps a hash of its secret, compared in constant time. Revoked credentials stay as rows: records name the
//! credential that sent them.
//!
//! # Durability
//! Creating and revoking write an event to `_system` first, then the catalog, each durable before the next step: the
//! log may tell of a change that a crash then prevented, never the other way round.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use attestore_keys::{Entropy, Key};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use crate::{
    Engine,
    catalog::{Catalog, hex, json, storage, tables, unhex},
    error::{Error, Result},
};

mod principal;
mod token;

pub use principal::{Principal, Role};
pub use token::{CredentialId, ID_CHARS, Presented, Secret, SecretHash, TOKEN_CHARS, generate, parse};

/// What a new credential is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSpec {
    /// A name for people: 1 to 128 characters without control characters.
    pub name: String,
    /// Its roles, at least one.
    pub roles: Vec<Role>,
    /// Name of the only tenant it may touch; `None` for all.
    pub tenant: Option<String>,
    /// When it stops working, Unix milliseconds; `None` for never.
    pub expires_at_ms: Option<u64>,
}

/// A credential as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialInfo {
    /// Its id, the part of the token after `atst_`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Name of the only tenant it may touch.
    pub tenant: Option<String>,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// Id of the credential that made it; `internal` for the first one.
    pub created_by: String,
    /// When it stops working, Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// When it was revoked, Unix milliseconds.
    pub revoked_at_ms: Option<u64>,
    /// When it was last used since the start, Unix milliseconds.
    pub last_used_ms: Option<u64>,
}

/// The catalog's row of a credential.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    name: String,
    roles: Vec<Role>,
    tenant: Option<String>,
    secret_hash: String,
    created_ms: u64,
    created_by: String,
    expires_at_ms: Option<u64>,
    revoked_at_ms: Option<u64>,
}

struct Held {
    row: Row,
    hash: SecretHash,
    principal: Arc<Principal>,
    last_used_ms: AtomicU64,
}

/// All credentials of an instance, in memory.
#[derive(Default)]
pub struct Credentials {
    by_id: RwLock<HashMap<CredentialId, Arc<Held>>>,
    /// Credentials by keyed hash of a token that was right: taking one apart costs microseconds. The secret of an id never
    /// changes; whether the credential still works is looked up each time.
    recognised: RwLock<HashMap<[u8; 32], CredentialId>>,
    /// Key of those hashes, of this process.
    token_key: OnceLock<Key>,
    /// One change at a time: what is checked still holds when it is written.
    change: Mutex<()>,
}

impl Credentials {
    /// Reads every row of the catalog.
    ///
    /// # Errors
    /// Damage, or what the store says.
    pub fn load(catalog: &Catalog) -> Result<Self> {
        let txn = catalog.read()?;
        let table = txn.open_table(tables::CREDENTIALS).map_err(storage)?;
        let mut by_id = HashMap::new();
        for row in table.iter().map_err(storage)? {
            let (id, bytes) = row.map_err(storage)?;
            let key: CredentialId = id
                .value()
                .as_bytes()
                .try_into()
                .map_err(|_| Error::damage("catalog", 0, "credential id"))?;
            by_id.insert(key, Arc::new(Held::new(id.value(), json(bytes.value())?)?));
        }
        Ok(Self {
            by_id: RwLock::new(by_id),
            ..Self::default()
        })
    }

    fn authenticate(&self, token: &str, now_ms: u64, entropy: &dyn Entropy) -> Option<Arc<Principal>> {
        let key = self.token_key.get_or_init(|| Key::random(entropy));
        let hash = *blake3::keyed_hash(key.expose(), token.as_bytes()).as_bytes();
        let known = self.recognised.read().get(&hash).copied();
        let held = match known {
            Some(id) => self.by_id.read().get(&id).cloned(),
            None => self.recognise(token, hash),
        };
        let held = held.filter(|held| held.is_live(now_ms))?;
        held.last_used_ms.store(now_ms, Ordering::Relaxed);
        Some(Arc::clone(&held.principal))
    }

    /// Takes a token apart and compares its secret; remembers it if it is right.
    fn recognise(&self, token: &str, hash: [u8; 32]) -> Option<Arc<Held>> {
        let presented = parse(token)?;
        let held = self.by_id.read().get(&presented.id).cloned();
        // An unknown id costs a comparison too.
        let same = presented
            .hash
            .matches(held.as_ref().map_or(&SecretHash([0; 32]), |held| &held.hash));
        let held = held.filter(|_| same)?;
        let mut recognised = self.recognised.write();
        if recognised.len() >= RECOGNISED_MAX {
            recognised.clear();
        }
        recognised.insert(hash, presented.id);
        Some(held)
    }
}

impl Held {
    fn new(id: &str, row: Row) -> Result<Self> {
        let hash = unhex(&row.secret_hash).ok_or_else(|| Error::damage("catalog", 0, "credential's hash"))?;
        let principal = Arc::new(Principal {
            credential_id: id.to_owned(),
            name: row.name.clone(),
            roles: row.roles.clone(),
            tenant: row.tenant.clone(),
        });
        Ok(Self {
            row,
            hash: SecretHash(hash),
            principal,
            last_used_ms: AtomicU64::new(0),
        })
    }

    fn is_live(&self, now_ms: u64) -> bool {
        self.row.revoked_at_ms.is_none() && self.row.expires_at_ms.is_none_or(|end| now_ms < end)
    }

    fn info(&self) -> CredentialInfo {
        let row = self.row.clone();
        let used = self.last_used_ms.load(Ordering::Relaxed);
        CredentialInfo {
            id: self.principal.credential_id.clone(),
            name: row.name,
            roles: row.roles,
            tenant: row.tenant,
            created_ms: row.created_ms,
            created_by: row.created_by,
            expires_at_ms: row.expires_at_ms,
            revoked_at_ms: row.revoked_at_ms,
            last_used_ms: (used > 0).then_some(used),
        }
    }
}

impl Engine {
    /// Recognises a token. `None` for every token that does not work, whatever the reason.
    pub fn authenticate(&self, token: &str) -> Option<Arc<Principal>> {
        let inner = &self.inner;
        inner
            .credentials
            .authenticate(token, inner.clock.now_ms(), &*inner.entropy)
    }

    /// Says whether a credential still works: neither revoked nor past its end. What the server does itself needs none.
    pub fn credential_works(&self, id: &str) -> bool {
        if id == Principal::INTERNAL {
            return true;
        }
        let now_ms = self.inner.clock.now_ms();
        let key: Option<CredentialId> = id.as_bytes().try_into().ok();
        let held = key.and_then(|key| self.inner.credentials.by_id.read().get(&key).cloned());
        held.is_some_and(|held| held.is_live(now_ms))
    }

    /// Creates a credential. The secret is returned once and cannot be had again.
    ///
    /// An admin of one tenant can make credentials of that tenant only.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`], [`Error::Invalid`] for a specification that makes no sense, or
    /// why nothing could be written.
    pub fn create_credential(
        &self,
        spec: CredentialSpec,
        by: &Principal,
    ) -> Result<(CredentialInfo, Secret)> {
        check_scope(by, spec.tenant.as_deref())?;
        check_spec(&spec, self.inner.clock.now_ms())?;
        if let Some(tenant) = &spec.tenant {
            self.inner.tenant(tenant)?;
        }
        let _change = self.inner.credentials.change.lock();
        self.insert(spec, "credential.create", by)
    }

    /// Creates the first admin credential, with every role: `None` if somebody can already administrate.
    ///
    /// # Errors
    /// Why nothing could be written.
    pub fn first_credential(&self) -> Result<Option<(CredentialInfo, Secret)>> {
        // Held from the look to the insertion: of two that call at once, one finds what the other made.
        let _change = self.inner.credentials.change.lock();
        let now_ms = self.inner.clock.now_ms();
        let administrated = |held: &Arc<Held>| held.is_live(now_ms) && held.principal.is_instance_admin();
        if self.inner.credentials.by_id.read().values().any(administrated) {
            return Ok(None);
        }
        self.bootstrap().map(Some)
    }

    /// Creates an admin credential with every role on nobody's behalf, whoever else can administrate: for the first start,
    /// and to replace a lost one. Whoever calls this holds the data directory and its root key.
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
            roles: Role::ALL.to_vec(),
            tenant: None,
            expires_at_ms: None,
        };
        self.insert(spec, "credential.bootstrap", &Principal::internal())
    }

    /// Lists the credentials that `by` may manage, ascending by id, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn list_credentials(
        &self,
        by: &Principal,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CredentialInfo>> {
        check_scope(by, by.tenant.as_deref())?;
        let held = self.inner.credentials.by_id.read();
        let seen: BTreeMap<&str, &Arc<Held>> = held
            .values()
            .filter(|held| in_scope(by, held))
            .map(|held| (held.principal.credential_id.as_str(), held))
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .collect();
        Ok(seen.values().take(limit).map(|held| held.info()).collect())
    }

    /// Revokes a credential; from then on its token does not work. Revoking twice changes nothing.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::NotFound`], or why nothing could be written.
    pub fn revoke_credential(&self, id: &str, by: &Principal) -> Result<CredentialInfo> {
        check_scope(by, by.tenant.as_deref())?;
        let credentials = &self.inner.credentials;
        let _change = credentials.change.lock();
        let key: CredentialId = id
            .as_bytes()
            .try_into()
            .map_err(|_| Error::NotFound("credential"))?;
        let held = credentials
            .by_id
            .read()
            .get(&key)
            .filter(|held| in_scope(by, held))
            .cloned();
        let held = held.ok_or(Error::NotFound("credential"))?;
        if held.row.revoked_at_ms.is_some() {
            return Ok(held.info());
        }
        let mut row = held.row.clone();
        row.revoked_at_ms = Some(self.inner.clock.now_ms());
        self.log("credential.revoke", "delete", id, &row, by)?;
        self.store(key, row).map(|held| held.info())
    }

    fn insert(&self, spec: CredentialSpec, action: &str, by: &Principal) -> Result<(CredentialInfo, Secret)> {
        let (id, secret, hash) = generate(&*self.inner.entropy);
        let mut roles = spec.roles;
        roles.sort_unstable();
        roles.dedup();
        let row = Row {
            name: spec.name,
            roles,
            tenant: spec.tenant,
            secret_hash: hex(&hash.0),
            created_ms: self.inner.clock.now_ms(),
            created_by: by.credential_id.clone(),
            expires_at_ms: spec.expires_at_ms,
            revoked_at_ms: None,
        };
        self.log(action, "create", text(&id), &row, by)?;
        let held = self.store(id, row)?;
        Ok((held.info(), secret))
    }

    fn store(&self, id: CredentialId, row: Row) -> Result<Arc<Held>> {
        let bytes = serde_json::to_vec(&row).map_err(|error| Error::Io(error.to_string()))?;
        self.inner.catalog.update(|update| {
            let mut table = update.txn().open_table(tables::CREDENTIALS).map_err(storage)?;
            table.insert(text(&id), bytes.as_slice()).map_err(storage)?;
            Ok::<_, Error>(())
        })?;
        let held = Arc::new(Held::new(text(&id), row)?);
        self.inner.credentials.by_id.write().insert(id, Arc::clone(&held));
        Ok(held)
    }

    /// Writes what is about to be done into `_system`.
    fn log(&self, action: &str, operation: &str, id: &str, row: &Row, by: &Principal) -> Result<()> {
        let event = serde_json::json!({
            "action": action,
            "operation": operation,
            "outcome": "success",
            "actor": { "type": "credential", "id": by.credential_id, "name": by.name },
            "targets": [{ "type": "credential", "id": id, "name": row.name }],
            "metadata": {
                "roles": row.roles,
                "tenant": row.tenant,
                "expires_at_ms": row.expires_at_ms,
            },
        });
        self.inner.append_internal(event.to_string().as_bytes())
    }
}

/// Checks that `by` may manage credentials of that scope.
fn check_scope(by: &Principal, tenant: Option<&str>) -> Result<()> {
    match tenant {
        Some(tenant) => by.check_admin(tenant),
        None => by.check_instance_admin(),
    }
}

fn in_scope(by: &Principal, held: &Held) -> bool {
    by.tenant.is_none() || held.row.tenant == by.tenant
}

fn check_spec(spec: &CredentialSpec, now_ms: u64) -> Result<()> {
    let invalid = |message: &str| {
        Err(Error::Invalid {
            code: "invalid_credential",
            message: message.to_owned(),
        })
    };
    let length = spec.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) || spec.name.chars().any(char::is_control) {
        return invalid("a credential's name has 1 to 128 characters, none of them a control character");
    }
    if spec.roles.is_empty() {
        return invalid("a credential has at least one role");
    }
    if spec.expires_at_ms.is_some_and(|end| end <= now_ms) {
        return invalid("a credential expires in the future");
    }
    Ok(())
}

fn text(id: &CredentialId) -> &str {
    std::str::from_utf8(id).unwrap_or_default() // base62, by construction
}

const NAME_CHARS_MAX: usize = 128;
/// Tokens that are remembered; credentials are few.
const RECOGNISED_MAX: usize = 4096;
