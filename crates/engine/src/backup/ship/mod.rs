//! Continuous shipping: between two backups, what was appended since goes to the target in chunks that follow the newest one.
//!
//! What is in a chunk are sections, as the write-ahead log has them: entries, sealed groups, and the keys of people who are new. They
//! are taken from the tails in memory, behind what is durable and acknowledged: at every step of this thread, and by a flush before
//! it drops a tail. Nobody waits for the target: what it does not take stays in memory up to a bound, and past that is left to the
//! next backup.
//!
//! A chunk has what clients append, and what needs no row of the catalog. Any other record of a tenant's log (a policy, a hold, an
//! erasure, a rotated key) belongs to rows that only a backup has; so does a tenant that is new. Then a backup is made at once, and what
//! comes behind such a record waits for it. Such backups go as soon as there is a newer one.
//!
//! Keys of chunks follow from the key of the backup's dump by steps that nobody can go back, and only the next one is kept: who
//! takes this process over opens no chunk that is in the target, and with the escrow of the backup all of its chunks go.
//!
//! # Durability
//! Nothing here is needed by the instance itself. A crash leaves the chunks that are in the target; the next start begins with a backup.

mod chain;
mod lag;
mod pieces;
mod send;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use attestore_keys::Key;
use attestore_record::TenantId;
use parking_lot::Mutex;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableError};

use self::chain::Chain;
use super::cut::Cut;
use super::manifest::Manifest;
use super::{Target, chunk, folder};
use crate::catalog::{TenantRow, json, storage, tables, unhex};
use crate::error::Result;
use crate::instance::Inner;
use crate::search::wake::Wake;
use crate::tenant::Tenant;

pub use lag::ShippingStatus;
pub(crate) use lag::{late, status, tell};

/// What shipping keeps in memory.
#[derive(Default)]
pub(crate) struct Shipping {
    /// Not held while the target is written.
    state: Mutex<State>,
    /// Held while chunks are written.
    sending: Mutex<()>,
    pub(super) wake: Arc<Wake>,
}

#[derive(Default)]
struct State {
    /// The one behind the newest backup, and that of a backup under way. At most two.
    chains: Vec<Chain>,
    /// The backup that chunks follow.
    follows: Option<[u8; 16]>,
    /// Up to where logs are in the target, by the newest backup that was made or found and the chunks that followed it.
    there: There,
    /// When chunks were last sent, boot clock, and the bytes that the log had then.
    sent: (u64, u64),
    /// Why the last attempt failed.
    fault: Option<String>,
}

/// What the target has of logs.
#[derive(Default)]
struct There {
    /// Whether the target was asked.
    known: bool,
    sizes: HashMap<TenantId, u64>,
    at_ms: Option<u64>,
}

/// The thread that ships.
pub(crate) fn run(inner: &Weak<Inner>) {
    let Some(wake) = inner
        .upgrade()
        .map(|inner| Arc::clone(&inner.backups.shipping.wake))
    else {
        return;
    };
    while !wake.wait(TICK) {
        let Some(strong) = inner.upgrade() else { return };
        if strong.stopped().is_some() {
            return;
        }
        if is_due(&strong) {
            tick(&strong);
        }
    }
}

fn is_due(inner: &Inner) -> bool {
    let Some(target) = inner.backups.target() else {
        return false;
    };
    let (at_ms, bytes) = inner.backups.shipping.state.lock().sent;
    let waited = inner.clock.boot_ms().saturating_sub(at_ms);
    let written = inner.guard.written().1.saturating_sub(bytes);
    waited >= target.ship_ms || written >= SEND_BYTES && waited >= PAUSE_MS
}

/// Ships what there is.
pub(crate) fn tick(inner: &Inner) {
    let Some(target) = inner.backups.target().filter(|target| target.ship_ms > 0) else {
        return;
    };
    let shipping = &inner.backups.shipping;
    shipping.state.lock().sent = (inner.clock.boot_ms(), inner.guard.written().1);
    let done = find(inner, &target).and_then(|()| send::send(inner, &target));
    if let Err(error) = &done {
        tracing::warn!(%error, "what was appended is not in the backups' folder yet; it is tried again");
    }
    shipping.state.lock().fault = done.err().map(|error| error.to_string());
    if let Ok(Some(status)) = status(inner) {
        tell(&status);
    }
}

/// Takes up what a tenant's tail has, before a flush drops it. Asks nothing of the target.
pub(crate) fn take_up(inner: &Inner, tenant: &Arc<Tenant>) {
    if inner.backups.target().is_none_or(|target| target.ship_ms == 0) {
        return;
    }
    let mut state = inner.backups.shipping.state.lock();
    for chain in &mut state.chains {
        chain.take_up(inner, tenant);
    }
}

/// Begins the chain of a backup under way. The lock of flushes has been held since before the cut: no tail was dropped behind it.
///
/// # Errors
/// What the target says.
pub(super) fn begin(inner: &Inner, target: &Target, id: [u8; 16], dump: &Key, cut: &Cut) -> Result<()> {
    if target.ship_ms == 0 {
        return Ok(());
    }
    // Of an earlier attempt under the same id.
    folder::remove_folder(&*target.disk, &folder::chunks_path(&crate::catalog::hex(&id)))?;
    let table = cut.snapshot.txn.open_table(tables::TENANTS).map_err(storage)?;
    let mut tenants = HashMap::new();
    for row in table.iter().map_err(storage)? {
        let (id, row) = row.map_err(storage)?;
        let row: TenantRow = json(row.value())?;
        tenants.insert(TenantId::from_bytes(*id.value()), row.corrected);
    }
    let counts = counts(&cut.snapshot.txn)?;
    let chain = Chain::new(id, chunk::first_key(dump), tenants, counts, cut);
    let mut state = inner.backups.shipping.state.lock();
    state.chains.retain(|chain| chain.id != id);
    state.chains.push(chain);
    Ok(())
}

/// Has chunks follow a backup that was made.
pub(super) fn follow(inner: &Inner, id: [u8; 16], manifest: &Manifest) {
    let mut state = inner.backups.shipping.state.lock();
    state.chains.retain(|chain| chain.id == id);
    state.follows = Some(id);
    state.there = There::of(manifest);
    let State { chains, there, .. } = &mut *state;
    for chain in chains {
        there.sizes.extend(chain.shipped());
    }
}

/// Forgets the chain of a backup that was not made.
pub(super) fn abandon(inner: &Inner, id: [u8; 16]) {
    inner
        .backups
        .shipping
        .state
        .lock()
        .chains
        .retain(|chain| chain.id != id);
}

/// Why a backup is needed for chunks to follow, if one is.
///
/// # Errors
/// As reads.
pub(super) fn wanted(inner: &Inner) -> Result<Option<String>> {
    let state = inner.backups.shipping.state.lock();
    let followed = state
        .follows
        .and_then(|id| state.chains.iter().find(|chain| chain.id == id));
    let Some(chain) = followed else {
        return Ok(Some("there is none since the start".to_owned()));
    };
    if let Some(why) = chain.needs_backup() {
        return Ok(Some(why));
    }
    let changed = counts(&inner.catalog.read()?)? != chain.counts;
    Ok(changed.then(|| "the catalog has rows that it does not have".to_owned()))
}

/// How many rows there are of what people set up: where that changes, a backup is needed.
fn counts(txn: &ReadTransaction) -> Result<Vec<u64>> {
    let mut counts = Vec::new();
    macro_rules! count {
        ($($table:ident),*) => {
            $(counts.push(match txn.open_table(tables::$table) {
                Err(TableError::TableDoesNotExist(_)) => 0,
                table => table.map_err(storage)?.len().map_err(storage)?,
            });)*
        };
    }
    count!(
        TENANTS,
        CREDENTIALS,
        QUOTAS,
        SEARCHES,
        WATCHES,
        ERASURES,
        DESTROYED,
        MOVES_OUT,
        MOVES_IN
    );
    Ok(counts)
}

/// Looks once at how far logs are in the target.
fn find(inner: &Inner, target: &Target) -> Result<()> {
    let shipping = &inner.backups.shipping;
    if shipping.state.lock().there.known {
        return Ok(());
    }
    let known = folder::Known::read(&*target.disk)?;
    let mut there = known.manifests.last().map_or_else(There::default, There::of);
    there.known = true;
    if let Some(newest) = known.manifests.last().and_then(|newest| unhex(&newest.id)) {
        let (ends, at_ms) = chunk::ends(&*target.disk, newest)?;
        let ends = ends.into_iter();
        there
            .sizes
            .extend(ends.filter_map(|(id, end)| Some((TenantId::from_bytes(unhex(&id)?), end))));
        there.at_ms = at_ms.or(there.at_ms);
    }
    let mut state = shipping.state.lock();
    if !state.there.known {
        state.there = there;
    }
    Ok(())
}

impl There {
    fn of(manifest: &Manifest) -> Self {
        let sizes = manifest.tenants.iter();
        Self {
            known: true,
            sizes: sizes
                .filter_map(|tenant| Some((TenantId::from_bytes(unhex(&tenant.id)?), tenant.size)))
                .collect(),
            at_ms: Some(manifest.made_ms),
        }
    }
}

/// How often is looked whether something is to be shipped.
const TICK: Duration = Duration::from_millis(200);
/// Bytes of the log that are shipped without waiting for the time.
const SEND_BYTES: u64 = 8 << 20;
/// Least pause between two rounds, whatever was written.
const PAUSE_MS: u64 = 200;
