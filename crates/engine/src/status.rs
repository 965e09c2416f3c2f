//! How an instance is doing.

use redb::ReadableTableMetadata;
use serde::Serialize;

use crate::{
    Engine,
    catalog::{storage, tables},
    error::Result,
};

/// A snapshot of an instance's condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Number of tenants, `_system` included.
    pub tenants: u64,
    /// Number of tenants in memory.
    pub tenants_loaded: u64,
    /// Records that wait for the committer.
    pub queue_records: u64,
    /// Records that are durable in the WAL and not in segments yet.
    pub tail_records: u64,
    /// Bytes of live WAL files.
    pub wal_bytes: u64,
    /// Number of live WAL files.
    pub wal_files: u64,
    /// Records of the tail that no split covers yet, of the tenant that is furthest behind.
    pub index_lag_records: u64,
    /// Segments whose split waits to be built again, as they were last counted: until then they are scanned.
    pub index_rebuilds_pending: u64,
    /// Splits that were built again since the start.
    pub index_rebuilds_done: u64,
    /// Frames written to the WAL since the start: group commits.
    pub wal_frames: u64,
    /// Bytes of those frames.
    pub wal_written_bytes: u64,
    /// How compaction is doing.
    pub compaction: crate::CompactionStatus,
    /// Bytes that the file system has free.
    pub free_bytes: u64,
    /// Bytes of those that appends leave to flushes, purges and shutdown.
    pub reserve_bytes: u64,
    /// Tenants whose newest heads are not registered yet.
    pub heads_waiting: u64,
    /// Whether the head register lives outside of the data directory.
    pub rollback_detection: bool,
    /// The root key.
    pub root: RootStatus,
    /// How far backups are behind what was acknowledged; `None` where nothing is shipped between them.
    pub shipping: Option<crate::backup::ShippingStatus>,
    /// What keeps the instance from its full service, and what an operator should know.
    pub reasons: Vec<Reason>,
}

/// How the root key is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootStatus {
    /// Who holds it: `file`, `passphrase`, `pkcs11` or `vault`.
    pub provider: &'static str,
    /// The generation that is in force.
    pub generation: u64,
    /// Generations that are there: more than one while a rotation is under way.
    pub generations: u64,
    /// Whether its holder could be reached when it was last asked. Until it can, roots are neither made nor destroyed, and everything
    /// else goes on.
    pub reachable: bool,
    /// Why signing keys in the security module do not sign, as of the last try: their logs get no checkpoints meanwhile.
    pub signing_failure: Option<String>,
    /// Signing keys that are over and wait for the security module to be destroyed there.
    pub signing_keys_to_destroy: u64,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Stable code.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
    /// Whether the instance cannot take appends because of it.
    pub blocks: bool,
}

impl Engine {
    /// Returns the instance's condition.
    ///
    /// # Errors
    /// What the catalog says.
    pub fn status(&self) -> Result<Status> {
        let inner = &self.inner;
        let tenants = inner
            .catalog
            .read()?
            .open_table(tables::TENANTS)
            .map_err(storage)?
            .len()
            .map_err(storage)?;
        let shipping = crate::backup::ship::status(inner)?;
        if let Some(shipping) = &shipping {
            crate::backup::ship::tell(shipping);
        }
        let loaded = inner.loaded_tenants();
        Ok(Status {
            tenants,
            tenants_loaded: loaded.len() as u64,
            queue_records: inner.queue.waiting().0,
            tail_records: loaded.iter().map(|tenant| tenant.view().tail.len()).sum(),
            wal_bytes: inner.wal.bytes(),
            wal_files: inner.wal.count() as u64,
            index_lag_records: loaded
                .iter()
                .map(|tenant| tenant.index_lag() + tenant.index_backlog())
                .max()
                .unwrap_or(0),
            index_rebuilds_pending: inner.search.rebuilds.totals().0,
            index_rebuilds_done: inner.search.rebuilds.totals().1,
            wal_frames: inner.guard.written().0,
            wal_written_bytes: inner.guard.written().1,
            compaction: inner.compactor.status(),
            free_bytes: inner.guard.space().0,
            reserve_bytes: inner.guard.space().1,
            heads_waiting: inner.heads.waiting() as u64,
            rollback_detection: inner.rollback_detection,
            root: RootStatus {
                provider: inner.root.provider().name(),
                generation: inner.root.generation(),
                generations: inner.root.generations().len() as u64,
                reachable: inner.rotation.unreachable().is_none(),
                signing_failure: inner.catalog.modules().failing(),
                signing_keys_to_destroy: inner.catalog.modules().waiting(),
            },
            shipping,
            reasons: self.reasons(),
        })
    }

    /// How busy the committer was since the last look: for limits that follow the load. There is one caller.
    pub fn load(&self) -> attestore_limit::adaptive::Load {
        let inner = &self.inner;
        let (records, bytes) = inner.queue.waiting();
        let fill = |waiting: u64, most: u64| waiting.saturating_mul(1000) / most.max(1);
        let settings = &inner.settings;
        let queue = fill(records, settings.queue_records_max).max(fill(bytes, settings.queue_bytes_max));
        attestore_limit::adaptive::Load {
            commit_us: inner.guard.slowest_us(inner.clock.boot_ms()),
            queue_per_mille: u32::try_from(queue).unwrap_or(u32::MAX),
        }
    }

    /// The time by the instance's clock, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.inner.clock.now_ms()
    }

    /// Says whether the instance takes appends.
    ///
    /// # Errors
    /// Everything that keeps it from doing so. What does not is in [`Status::reasons`] only.
    pub fn ready(&self) -> std::result::Result<(), Vec<Reason>> {
        let blocking: Vec<Reason> = self
            .reasons()
            .into_iter()
            .filter(|reason| reason.blocks)
            .collect();
        if blocking.is_empty() {
            Ok(())
        } else {
            Err(blocking)
        }
    }

    fn reasons(&self) -> Vec<Reason> {
        let inner = &self.inner;
        let mut reasons = Vec::new();
        let mut note = |blocks, code, message: String| {
            reasons.push(Reason {
                code,
                message,
                blocks,
            })
        };
        if let Some(reason) = inner.stopped() {
            note(true, "stopped", reason);
        }
        inner.guard.sample(inner);
        if inner.guard.is_full() {
            note(
                true,
                "no_space",
                "the reserve of free space was reached".to_owned(),
            );
        }
        if let Some(ahead_ms) = inner.guard.clock_ahead_ms(&*inner.clock) {
            note(
                true,
                "clock_jump",
                crate::AppendError::ClockJump { ahead_ms }.to_string(),
            );
        }
        if let Some(error) = inner.compactor.status().last_error {
            note(
                false,
                "compaction",
                format!("compaction failed and is tried again: {error}"),
            );
        }
        if let Some(why) = inner.rotation.unreachable() {
            let message = format!(
                "the root is not replaced until its holder is back, and nothing that was destroyed is unreadable: {why}"
            );
            note(false, "root_unavailable", message);
        }
        if let Some(why) = inner.catalog.modules().failing() {
            let message = format!("no checkpoints of logs whose keys are in the security module: {why}");
            note(false, "signing_unavailable", message);
        }
        match inner.keyrings.overdue() {
            0 => {}
            keys => {
                let message = format!("{keys} keys are in use for longer than their tenants' policies allow");
                note(false, "keys_overdue", message);
            }
        }
        if let Some(fault) = inner.backups.fault() {
            note(false, "backups", fault);
        }
        if let Some(late) = crate::backup::ship::late(inner) {
            note(false, "backup_lag", late);
        }
        if inner.wal.over_budget() {
            note(
                false,
                "wal_budget",
                "flushes do not keep up with appends".to_owned(),
            );
        }
        for tenant in inner.loaded_tenants() {
            if let Some(reason) = tenant.rolled_back() {
                note(false, "rolled_back", format!("tenant {}: {reason}", tenant.name));
            }
        }
        if !inner.rollback_detection {
            let message = "the head register is inside the data directory: rollback cannot be detected";
            note(false, "no_rollback_detection", message.to_owned());
        }
        reasons
    }
}
