//! Credentials, roles and permissions: who may call, with which token, and what that allows.
//!
//! Rows live in the catalog; every one is in memory, so that authenticating reads no disk. A token is shown once; the
//! catalog keeps a hash of its secret, compared in constant time. Revoked credentials stay as rows: records name the
//! credential that sent them. A rotated credential keeps its id and gets a new secret; the one before works on for as long
//! as was asked for.
//!
//! # Durability
//! Creating and revoking write an event to `_system` first, then the catalog, each durable before the next step: the
//! log may tell of a change that a crash then prevented, never the other way round.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use attestore_keys::{Entropy, Key};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use redb::ReadableTable;

use crate::{
    catalog::{Catalog, json, storage, tables},
    error::{Error, Result},
};

mod api;
mod leave;
mod network;
mod permission;
mod principal;
mod role;
mod row;
mod token;

pub(crate) use api::store_uses;
pub use network::{Network, NotANetwork};
pub use permission::{APART, Permission, Permissions, TABLE};
pub use principal::{Identity, Kind, Principal, Purpose, Scope};
pub use role::Role;
use row::Row;
pub use token::{
    CredentialId, ID_CHARS, Presented, Secret, SecretHash, TOKEN_CHARS, generate, generate_for, parse,
};

/// What a new credential is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialSpec {
    /// A name for people: 1 to 128 characters without control characters.
    pub name: String,
    /// Its roles, at least one.
    pub roles: Vec<Role>,
    /// The tenants it may touch.
    pub tenants: Scope,
    /// Where it may be used from; anywhere if empty.
    pub networks: Vec<Network>,
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
    /// The tenants it may touch.
    pub tenants: Scope,
    /// Where it may be used from; anywhere if empty.
    pub networks: Vec<Network>,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// Id of the credential that made it; `internal` for the first one.
    pub created_by: String,
    /// When it stops working, Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// When it was revoked, Unix milliseconds.
    pub revoked_at_ms: Option<u64>,
    /// When its secret was last changed, Unix milliseconds.
    pub rotated_at_ms: Option<u64>,
    /// Until when the secret before works too, Unix milliseconds.
    pub overlap_ends_ms: Option<u64>,
    /// When it was last used, Unix milliseconds. After a crash up to [`USES_STORED_EVERY_MS`] older than it was.
    pub last_used_ms: Option<u64>,
}

/// Why a token does not work. Callers are told only that it does not; the log is told this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecognised {
    /// The credential whose secret it brought, unless it brought none.
    pub credential: Option<CredentialId>,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is none, or not one.
    Missing,
    /// Nobody's.
    Unknown,
    /// Its time is over.
    Expired,
    /// It was revoked, or its secret was replaced.
    Revoked,
    /// It may not be used from there.
    Network,
}

impl Reason {
    /// Returns the name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Network => "network",
        }
    }
}

struct Held {
    row: Row,
    secrets: row::Secrets,
    principal: Arc<Principal>,
    last_used_ms: AtomicU64,
}

/// All credentials of an instance, in memory.
#[derive(Default)]
pub struct Credentials {
    by_id: RwLock<HashMap<CredentialId, Arc<Held>>>,
    /// Credentials by keyed hash of a token that was right: taking one apart costs microseconds. With the hash of its secret,
    /// because credentials get others; whether the credential still works is looked up each time.
    recognised: RwLock<HashMap<[u8; 32], (CredentialId, SecretHash)>>,
    /// Key of those hashes, of this process.
    token_key: OnceLock<Key>,
    /// One change at a time: what is checked still holds when it is written.
    change: Mutex<()>,
    /// When uses were stored, boot milliseconds.
    uses_stored_ms: AtomicU64,
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

    /// Whether one of two made the other, or was given its newest secret: then one person may be both.
    pub(crate) fn know_each_other(&self, one: &str, other: &str) -> bool {
        let by_id = self.by_id.read();
        let knows = |who: &str, of: &str| {
            let id: Option<CredentialId> = of.as_bytes().try_into().ok();
            id.and_then(|id| by_id.get(&id))
                .is_some_and(|held| held.row.created_by == who || held.row.rotated_by.as_deref() == Some(who))
        };
        knows(one, other) || knows(other, one)
    }

    fn recognise(
        &self,
        token: &str,
        source: Option<IpAddr>,
        now_ms: u64,
        entropy: &dyn Entropy,
    ) -> Result<Arc<Principal>, Unrecognised> {
        let key = self.token_key.get_or_init(|| Key::random(entropy));
        let hash = *blake3::keyed_hash(key.expose(), token.as_bytes()).as_bytes();
        let known = self.recognised.read().get(&hash).copied();
        let (id, secret) = match known {
            Some(known) => known,
            None => self.take_apart(token, hash).ok_or(Unrecognised {
                credential: None,
                reason: Reason::Unknown,
            })?,
        };
        let refuse = |reason| Unrecognised {
            credential: Some(id),
            reason,
        };
        let held = self.by_id.read().get(&id).cloned();
        let held = held.ok_or_else(|| refuse(Reason::Unknown))?;
        held.check(&secret, source, now_ms).map_err(refuse)?;
        held.last_used_ms.store(now_ms, Ordering::Relaxed);
        Ok(Arc::clone(&held.principal))
    }

    /// Takes a token apart and compares its secret; remembers it if it is right.
    fn take_apart(&self, token: &str, hash: [u8; 32]) -> Option<(CredentialId, SecretHash)> {
        let presented = parse(token)?;
        let held = self.by_id.read().get(&presented.id).cloned();
        // An unknown id costs as many comparisons, and so does a credential that was never rotated.
        let none = row::Secrets::none();
        let secret = held.as_ref().map_or(&none, |held| &held.secrets);
        let same = secret.has(&presented.hash);
        held.filter(|_| same)?;
        let mut recognised = self.recognised.write();
        if recognised.len() >= RECOGNISED_MAX {
            recognised.clear();
        }
        recognised.insert(hash, (presented.id, presented.hash));
        Some((presented.id, presented.hash))
    }
}

impl Held {
    fn new(id: &str, row: Row) -> Result<Self> {
        let secrets = row.secrets()?;
        let principal = Arc::new(Principal::of(Identity {
            kind: Kind::Credential,
            subject: id.to_owned(),
            name: row.name.clone(),
            roles: row.roles.clone(),
            tenants: row.scope(),
            expires_at_ms: row.expires_at_ms,
        }));
        let last_used_ms = AtomicU64::new(row.last_used_ms.unwrap_or(0));
        Ok(Self {
            row,
            secrets,
            principal,
            last_used_ms,
        })
    }

    /// Says why one of its secrets does not work from there, if so.
    fn check(&self, secret: &SecretHash, source: Option<IpAddr>, now_ms: u64) -> Result<(), Reason> {
        self.is_live(now_ms)?;
        if !self.secrets.works(secret, now_ms) {
            return Err(Reason::Revoked);
        }
        let networks = &self.row.networks;
        let inside = |source: IpAddr| networks.iter().any(|network| network.has(source));
        match networks.is_empty() || source.is_some_and(inside) {
            true => Ok(()),
            false => Err(Reason::Network),
        }
    }

    fn is_live(&self, now_ms: u64) -> Result<(), Reason> {
        if self.row.revoked_at_ms.is_some() {
            return Err(Reason::Revoked);
        }
        match self.row.expires_at_ms.is_none_or(|end| now_ms < end) {
            true => Ok(()),
            false => Err(Reason::Expired),
        }
    }

    fn last_used_ms(&self) -> Option<u64> {
        Some(self.last_used_ms.load(Ordering::Relaxed)).filter(|used| *used > 0)
    }

    fn info(&self) -> CredentialInfo {
        let row = self.row.clone();
        CredentialInfo {
            id: self.principal.id.clone(),
            tenants: row.scope(),
            name: row.name,
            roles: row.roles,
            networks: row.networks,
            created_ms: row.created_ms,
            created_by: row.created_by,
            expires_at_ms: row.expires_at_ms,
            revoked_at_ms: row.revoked_at_ms,
            rotated_at_ms: row.rotated_at_ms,
            overlap_ends_ms: row.previous.map(|previous| previous.until_ms),
            last_used_ms: self.last_used_ms(),
        }
    }
}

/// Tokens that are remembered; credentials are few.
const RECOGNISED_MAX: usize = 4096;
/// When credentials were last used is written at most this often.
pub const USES_STORED_EVERY_MS: u64 = 300_000;
