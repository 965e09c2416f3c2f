//! Every key of a tenant, since when and until when.

use super::policy::KeyPolicy;
use super::row::{CompromisedRow, CurrentRow, FormerRow, KeyKind, KeysRow};
use super::start::Rotation;
use super::{due, read, roots};
use crate::Engine;
use crate::credentials::{Permission, Principal};
use crate::error::Result;
use crate::handover::LogKeyState;
use crate::instance::{Inner, SYSTEM_TENANT};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It protects what is new.
    Current,
    /// It is used for what is not under the current one yet, or, of signing keys, by those who do not know the current one yet.
    Retiring,
    /// It is destroyed.
    Retired,
}

impl KeyState {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// A key, or the keys of pages as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its kind.
    pub key: KeyKind,
    /// Its number, from 1.
    pub generation: u64,
    /// The verifier key of one that signs.
    pub vkey: Option<String>,
    /// What it does.
    pub state: KeyState,
    /// When it was made, Unix milliseconds; `None` where that is not known.
    pub made_ms: Option<u64>,
    /// Originator use: until when it is to protect what is new, by the policy, Unix milliseconds.
    pub originator_until_ms: Option<u64>,
    /// Since when it protects nothing new, Unix milliseconds; `None` while it does.
    pub originator_ended_ms: Option<u64>,
    /// Recipient use: since when nothing is read with it any more, Unix milliseconds. `None` while something is, and always of keys that
    /// signed: what checks their signatures is public.
    pub recipient_ended_ms: Option<u64>,
    /// Since when it is out of reach here, old copies of the catalog included, Unix milliseconds. Of signing keys since when they left the
    /// tree of keys.
    pub destroyed_ms: Option<u64>,
    /// Since when it is not trusted, Unix milliseconds, and why.
    pub compromised: Option<(u64, String)>,
    /// Whether its time is over and it is in use still.
    pub overdue: bool,
}

/// The keys of a tenant; of `_system`, the root too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyList {
    /// By kind, the oldest first.
    pub items: Vec<KeyInfo>,
    /// The rotation under way.
    pub rotation: Option<Rotation>,
    /// For how long they are used.
    pub policy: KeyPolicy,
    /// Version of entries: 1 commits with BLAKE3, 2 with HMAC-SHA-256.
    pub hash_version: u8,
}

impl Engine {
    /// The keys of a tenant, since when and until when they are used, and the rotation under way.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::Error::Forbidden), [`Error::UnknownTenant`](crate::Error::UnknownTenant), or as reads.
    pub fn keys(&self, tenant: &str, by: &Principal) -> Result<KeyList> {
        by.check(tenant, Permission::ReadLog)?;
        let inner = &self.inner;
        let loaded = inner.tenant(tenant)?;
        let row = read(inner, &loaded.id)?;
        let now_ms = inner.clock.now_ms();
        let born_ms = loaded.created_ms;
        let mut items = Vec::new();
        let mut kind = |key, current: &CurrentRow| -> Result<()> {
            items.extend(
                row.former
                    .iter()
                    .filter(|former| former.key == key)
                    .map(KeyInfo::former),
            );
            let due_ms = due::due_ms(inner, &row, key)?;
            items.push(KeyInfo::current(key, current, born_ms, due_ms, now_ms));
            Ok(())
        };
        kind(KeyKind::Tenant, &row.tenant)?;
        kind(KeyKind::Buckets, &row.buckets)?;
        self.signing(tenant, &row, &mut items)?;
        if tenant == SYSTEM_TENANT {
            root(inner, &row, now_ms, &mut items)?;
        }
        Ok(KeyList {
            items,
            rotation: row.job.map(Rotation::of),
            policy: row.policy,
            hash_version: loaded.hash_version().byte(),
        })
    }

    fn signing(&self, tenant: &str, row: &KeysRow, items: &mut Vec<KeyInfo>) -> Result<()> {
        let inner = &self.inner;
        let keys = self.log_keys(tenant)?;
        for (generation, key) in (1..).zip(keys) {
            if key.state == LogKeyState::Current {
                // Keys from before there were rows are counted in the log only.
                let born_ms = inner.tenant(tenant)?.created_ms;
                let due_ms = due::due_ms(inner, row, KeyKind::Signing)?;
                let now_ms = inner.clock.now_ms();
                let mut info = KeyInfo::current(KeyKind::Signing, &row.signing, born_ms, due_ms, now_ms);
                if generation > 1 && row.signing.made_ms.is_none() {
                    info.made_ms = None;
                }
                items.push(KeyInfo {
                    generation,
                    vkey: Some(key.vkey),
                    ..info
                });
                continue;
            }
            let known = row
                .former
                .iter()
                .find(|former| former.vkey.as_ref() == Some(&key.vkey));
            let info = known.map_or_else(|| KeyInfo::unknown(KeyKind::Signing), KeyInfo::former);
            items.push(KeyInfo {
                generation,
                vkey: Some(key.vkey),
                state: match key.state {
                    LogKeyState::Retiring => KeyState::Retiring,
                    _ => KeyState::Retired,
                },
                recipient_ended_ms: None,
                ..info
            });
        }
        Ok(())
    }
}

/// The generations of the root that are remembered.
fn root(inner: &Inner, row: &KeysRow, now_ms: u64, items: &mut Vec<KeyInfo>) -> Result<()> {
    let known = roots::known(&inner.catalog)?;
    let there = inner.root.generations();
    let current = inner.root.generation();
    for (at, root) in known.iter().enumerate() {
        // The one after it was made, everything was wrapped under that, and it was destroyed.
        let after_ms = known.get(at + 1).map(|next| next.made_ms);
        let destroyed_ms = after_ms.filter(|_| !there.contains(&root.generation));
        let mut info = KeyInfo::unknown(KeyKind::Root);
        info.generation = root.generation;
        info.state = match (after_ms, destroyed_ms) {
            (None, _) => KeyState::Current,
            (Some(_), None) => KeyState::Retiring,
            (Some(_), Some(_)) => KeyState::Retired,
        };
        info.made_ms = Some(root.made_ms);
        info.originator_ended_ms = after_ms;
        info.recipient_ended_ms = destroyed_ms;
        info.destroyed_ms = destroyed_ms;
        items.push(info);
    }
    if known.iter().all(|root| root.generation != current) {
        let mut info = KeyInfo::unknown(KeyKind::Root);
        info.generation = current;
        items.push(info);
    }
    if let Some(info) = items.last_mut() {
        info.originator_until_ms = due::due_ms(inner, row, KeyKind::Root)?;
        info.overdue = info.originator_until_ms.is_some_and(|due_ms| due_ms <= now_ms);
    }
    Ok(())
}

impl KeyInfo {
    fn unknown(key: KeyKind) -> Self {
        Self {
            key,
            generation: 1,
            vkey: None,
            state: KeyState::Current,
            made_ms: None,
            originator_until_ms: None,
            originator_ended_ms: None,
            recipient_ended_ms: None,
            destroyed_ms: None,
            compromised: None,
            overdue: false,
        }
    }

    fn current(key: KeyKind, row: &CurrentRow, born_ms: u64, due_ms: Option<u64>, now_ms: u64) -> Self {
        Self {
            generation: row.number(),
            made_ms: Some(row.made_ms.unwrap_or(born_ms)),
            originator_until_ms: due_ms,
            compromised: row.compromised.clone().map(CompromisedRow::parts),
            overdue: due_ms.is_some_and(|due_ms| due_ms <= now_ms),
            ..Self::unknown(key)
        }
    }

    fn former(row: &FormerRow) -> Self {
        Self {
            generation: row.generation,
            vkey: row.vkey.clone(),
            state: match row.destroyed_ms {
                Some(_) => KeyState::Retired,
                None => KeyState::Retiring,
            },
            made_ms: row.made_ms,
            originator_ended_ms: row.ended_ms,
            recipient_ended_ms: row.destroyed_ms,
            destroyed_ms: row.destroyed_ms,
            compromised: row.compromised.clone().map(CompromisedRow::parts),
            ..Self::unknown(row.key)
        }
    }
}

impl CompromisedRow {
    fn parts(self) -> (u64, String) {
        (self.since_ms, self.reason)
    }
}
