//! Forks: a log that lost entries goes on under another origin.

use std::sync::Arc;

use attestore_keys::{Provider, Slot};
use attestore_record::{Kind, TenantId};
use attestore_tlog::{HandoverReason, Hash, VerifierKey};
use serde::{Deserialize, Serialize};

use super::rotate::stored;
use super::row::{FormerRow, HandoverRow};
use super::{Next, module, sign};
use crate::append::{commit_control, enqueue_control};
use crate::catalog::{Update, by_tenant, hex, tables, unhex};
use crate::heads::{Head, contradiction};
use crate::instance::Inner;
use crate::read::tree;
use crate::settings::SigningKeys;
use crate::tenant::{Tenant, fresh_origin};
use crate::{Engine, Error, Result};

/// What a fork did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forked {
    /// Name of the tenant.
    pub tenant: String,
    /// Origin that the log had.
    pub former: String,
    /// vkey of the new epoch; its name is the new origin.
    pub vkey: String,
    /// Entries that survive.
    pub survived: u64,
    /// The last head that is known of the former origin, if it is known.
    pub known: Option<LastKnown>,
    /// The former key's word for the new one: a signed note. Empty where the security module with that key is gone.
    pub handover: String,
}

/// The last head that is known of a log that lost entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastKnown {
    /// Number of entries.
    pub size: u64,
    /// Root over them, hex.
    pub root: String,
}

/// A fork whose record is not in the log yet: the record's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PendingFork {
    former: String,
    survived: u64,
    /// Entries of the log when it was forked: those that it took on after it lost others too.
    entries: u64,
    known: Option<LastKnown>,
    reason: String,
    handover: String,
}

impl PendingFork {
    /// The step to the epoch that a log has on the server that it moved to: nothing is lost.
    pub(super) fn of_move(former: &str, (size, root): (u64, &str), handover: &str, reason: String) -> Self {
        Self {
            former: former.to_owned(),
            survived: size,
            entries: size,
            known: Some(LastKnown {
                size,
                root: root.to_owned(),
            }),
            reason,
            handover: handover.to_owned(),
        }
    }
}

/// The record of a fork.
#[derive(Serialize)]
struct ForkControl<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    #[serde(flatten)]
    fork: &'a PendingFork,
}

impl Engine {
    /// Gives a log that lost entries a new epoch: a new origin with a new key, and the entries that survive. The old key is destroyed.
    /// Takes effect with the next start, which also writes the record of it; until then this instance appends nothing to that log.
    ///
    /// What it lost against is the head register, or `checkpoint`, a signed one that somebody else kept. With neither there is nothing to
    /// fork from, unless it is forced: a copy of an instance that is to go its own way.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`]; [`Error::Invalid`] with the code `invalid_checkpoint`, or `nothing_to_fork` if the log contradicts
    /// nothing; or as changes of the catalog.
    pub fn fork(&self, tenant: &str, reason: &str, checkpoint: Option<&str>, forced: bool) -> Result<Forked> {
        self.fork_with(tenant, reason, checkpoint, forced, |_, _| Ok(()))
    }

    /// As [`Engine::fork`], with something else in the same commit.
    pub(crate) fn fork_with(
        &self,
        tenant: &str,
        reason: &str,
        checkpoint: Option<&str>,
        forced: bool,
        also: impl FnOnce(&mut Update<'_>, &TenantId) -> Result<()>,
    ) -> Result<Forked> {
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let known = last_known(inner, &tenant, checkpoint)?;
        if known.is_none() && !forced {
            return Err(Error::Invalid {
                code: "nothing_to_fork",
                message: format!(
                    "the log of {} extends every head that is known of it; give a checkpoint that it does not extend, or force the fork",
                    tenant.name
                ),
            });
        }
        let mut due = inner.retiring.lock();
        let _changing = tenant.keys.changing.write();
        // Nothing is appended any more: the record of the fork comes next.
        tenant.forked.store(true, std::sync::atomic::Ordering::Release);
        tenant
            .rolled_back
            .write()
            .get_or_insert_with(|| "the log is being forked".to_owned());
        inner.commit_all();
        let view = tenant.view();
        let survived = match survived(inner, &tenant)? {
            Some(head) => head,
            None => Head {
                size: view.size,
                root: view.root,
            },
        };
        let signing = tenant.keys.signing.load_full();
        // Whoever forks may have no settings: the new key is where the old one was.
        let holds_root = inner.root.provider() == Provider::Pkcs11 && inner.root.signing().is_some();
        let wanted = match signing.current.is_in_module() && holds_root {
            true => SigningKeys::Module,
            false => inner.settings.signing,
        };
        let fresh = module::fresh(
            &inner.catalog,
            &*inner.entropy,
            &tenant.id,
            &|| tenant.keys.ring().current().duplicate(),
            wanted,
        )?;
        let origin = fresh_origin(&*inner.entropy);
        let next = Next {
            reason: HandoverReason::Fork,
            origin: &origin,
            key: &fresh.key,
            size: survived.size,
            root: survived.root,
        };
        let handover = match sign(&tenant, &signing, next) {
            // Its key went with its module: nobody can vouch for the new one, and the log goes on all the same.
            Err(Error::SigningUnavailable(why)) if forced => {
                tracing::warn!(tenant = %tenant.id, why, "the log is forked without the word of its former key");
                String::new()
            }
            signed => signed?,
        };
        let fork = PendingFork {
            former: tenant.origin.clone(),
            survived: survived.size,
            entries: view.size,
            known: known.clone(),
            reason: reason.to_owned(),
            handover: handover.clone(),
        };
        inner.change(|update| {
            let mut row = stored(update, &tenant)?;
            if row.fork.is_some() {
                return Err(Error::Stopped("forked already; start again".to_owned()));
            }
            let mut tenant_row = update.tenant(&tenant.id)?.ok_or(Error::UnknownTenant)?;
            let slot = fresh.keep(update, &tenant.id, tenant.keys.ring().current())?;
            let others = [
                row.retiring.take().map(|key| key.slot),
                row.next.take().map(|key| key.slot),
            ];
            let gone: Vec<Slot> = others
                .into_iter()
                .flatten()
                .chain([tenant_row.signing_slot])
                .map(Slot)
                .collect();
            update.destroy_keys(&gone)?;
            row.former.push(FormerRow {
                vkey: signing.verifier(&tenant.origin).to_string(),
                until: known
                    .as_ref()
                    .map_or(view.size, |known| known.size.max(view.size)),
                handover: handover.clone(),
            });
            row.fork = Some(fork);
            row.lost = None;
            tenant_row.signing_slot = slot.0;
            tenant_row.origin.clone_from(&origin);
            tenant_row.epoch = tenant_row.epoch.saturating_add(1);
            update.put_tenant(&tenant.id, &tenant_row)?;
            crate::keyring::signing_rotated(update, &tenant.id, &row, inner.clock.now_ms())?;
            by_tenant::put(update, tables::HANDOVERS, &tenant.id, &row)?;
            let mut witnessed = update
                .txn()
                .open_table(tables::WITNESSED)
                .map_err(crate::catalog::storage)?;
            witnessed
                .remove(tenant.id.as_bytes())
                .map_err(crate::catalog::storage)?;
            drop(witnessed);
            also(update, &tenant.id)
        })?;
        *tenant.rolled_back.write() = Some("the log was forked; start again".to_owned());
        due.remove(&tenant.id);
        inner.heads.forget_signed(&tenant.id);
        Ok(Forked {
            tenant: tenant.name.clone(),
            former: tenant.origin.clone(),
            vkey: VerifierKey::new(&origin, fresh.key.public())
                .expect("an origin is a key name")
                .to_string(),
            survived: survived.size,
            known,
            handover,
        })
    }
}

/// What the log had when it was first found to be rolled back, if it was.
fn survived(inner: &Inner, tenant: &Tenant) -> Result<Option<Head>> {
    let row = by_tenant::get::<HandoverRow>(&inner.catalog.read()?, tables::HANDOVERS, &tenant.id)?;
    let lost = row.and_then(|row| row.lost);
    lost.map(|lost| {
        let root = unhex(&lost.root)
            .ok_or_else(|| Error::damage("catalog", 0, "root of a log that lost entries"))?;
        Ok(Head {
            size: lost.size,
            root: Hash(root),
        })
    })
    .transpose()
}

/// Refuses further appends to a log that was found to be rolled back, and keeps what it had when that was found first: what the last
/// start found, for it may have taken on more since.
pub(crate) fn refuse(inner: &Inner, tenant: &Tenant, reason: &str) -> Result<()> {
    tenant
        .rolled_back
        .write()
        .get_or_insert_with(|| reason.to_owned());
    let view = tenant.view();
    let size = view
        .size
        .min(tenant.recovered.load(std::sync::atomic::Ordering::Acquire));
    let root = tree::root_at(inner, tenant, &view, size)?;
    inner.change(|update| {
        let mut row = stored(update, tenant)?;
        if row.lost.is_some() || row.fork.is_some() {
            return Ok(());
        }
        row.lost = Some(LastKnown {
            size,
            root: hex(root.as_bytes()),
        });
        by_tenant::put(update, tables::HANDOVERS, &tenant.id, &row)
    })
}

/// The newest head that the log does not extend.
fn last_known(inner: &Inner, tenant: &Tenant, checkpoint: Option<&str>) -> Result<Option<LastKnown>> {
    let mut lost: Vec<Head> = Vec::new();
    if let Some(head) = inner.heads.register().head(&tenant.origin)
        && contradiction(inner, tenant, head, "registered")?.is_some()
    {
        lost.push(head);
    }
    if let Some(note) = checkpoint {
        let invalid = |message: String| Error::Invalid {
            code: "invalid_checkpoint",
            message,
        };
        let signing = tenant.keys.signing.load();
        let opened = signing
            .open(&tenant.origin, note)
            .map_err(|error| invalid(format!("not a checkpoint of this log: {error}")))?;
        let head = Head {
            size: opened.size(),
            root: opened.root(),
        };
        if contradiction(inner, tenant, head, "signed")?.is_none() {
            return Err(invalid("the log extends this checkpoint".to_owned()));
        }
        lost.push(head);
    }
    let newest = lost.into_iter().max_by_key(|head| head.size);
    Ok(newest.map(|head| LastKnown {
        size: head.size,
        root: hex(head.root.as_bytes()),
    }))
}

/// Writes the records of forks whose log does not have them yet. At start, before anything else is appended; [`finish`] comes next.
pub(crate) fn write(inner: &Inner) -> Result<Vec<Pending>> {
    let rows = by_tenant::all::<HandoverRow>(&inner.catalog.read()?, tables::HANDOVERS)?;
    let pending = rows.into_iter().filter_map(|(id, row)| Some((id, row.fork?)));
    let pending: Vec<Pending> = pending
        .map(|(id, fork)| Ok((inner.tenant_of(&id)?, fork)))
        .collect::<Result<_>>()?;
    for (tenant, fork) in &pending {
        // A crash may have come between the record and its end; nothing else can have been appended.
        if tenant.view().size == fork.entries {
            let ty = "fork";
            commit_control(inner, tenant, Kind::Fork, &ForkControl { ty, fork })?;
        }
    }
    Ok(pending)
}

/// Writes the record of the epoch that a log begins here which another server had, as the first of what is appended to it; `show` has
/// the tenant found, once that record is the next in the queue. The caller holds the locks of flushes and of loading tenants.
///
/// # Errors
/// As appends; then the next start writes it.
pub(crate) fn begin_here(inner: &Inner, tenant: &Arc<Tenant>, show: impl FnOnce()) -> Result<Pending> {
    let row = by_tenant::get::<HandoverRow>(&inner.catalog.read()?, tables::HANDOVERS, &tenant.id)?;
    let fork = row.and_then(|row| row.fork);
    let fork =
        fork.ok_or_else(|| Error::damage("catalog", 0, "a log that came without an epoch of its own"))?;
    let record = ForkControl {
        ty: "fork",
        fork: &fork,
    };
    let waiting = enqueue_control(inner, tenant, Kind::Fork, &record);
    show();
    waiting.and_then(|waiting| waiting.wait(inner)).inspect_err(|_| {
        // Nothing comes before that record.
        tenant
            .rolled_back
            .write()
            .get_or_insert_with(|| "its epoch is not on record yet; start again".to_owned());
    })?;
    Ok((Arc::clone(tenant), fork))
}

/// Tells `_system` of forks, and says what they came to.
pub(crate) fn finish(inner: &Inner, pending: Vec<Pending>) -> Result<Vec<String>> {
    let told = pending.into_iter().map(|(tenant, fork)| {
        let event = serde_json::json!({
            "action": "log.fork",
            "operation": "update",
            "actor": { "type": "server", "id": "internal" },
            "targets": [{ "type": "tenant", "id": tenant.name }],
            "metadata": { "former": fork.former, "origin": tenant.origin, "survived": fork.survived, "known": fork.known },
        });
        inner.append_internal(event.to_string().as_bytes())?;
        inner.change(|update| {
            let mut row = stored(update, &tenant)?;
            row.fork = None;
            by_tenant::put(update, tables::HANDOVERS, &tenant.id, &row)
        })?;
        Ok(format!(
            "the log of {} goes on as {} with {} entries: {}",
            tenant.name, tenant.origin, fork.survived, fork.reason
        ))
    });
    told.collect()
}

/// A fork to come to its end.
pub(crate) type Pending = (Arc<Tenant>, PendingFork);
