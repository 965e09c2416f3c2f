//! Reading: records, proofs, tiles and checkpoints of one tenant.
//!
//! Every read works on one snapshot and sees durable records only. A snapshot that became old while it was read (its
//! files rewritten, its salt keys moved) is taken again.

use std::sync::Arc;

use attestore_record::{Entry, RecordId, entry::ENTRY_BYTES, view};

use crate::{
    Engine,
    credentials::{Permission, Principal},
    error::{Error, Result},
    forget::hidden::Sight,
    tenant::{Tenant, View},
};

pub(crate) mod find;
mod log;
pub(crate) mod opening;
mod proof;
pub(crate) mod readers;
mod receipt;
pub(crate) mod records;
pub(crate) mod tree;

pub use log::ConsistencyProof;
pub use readers::Readers;
pub use receipt::SignedReceipts;

/// Which record is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The record with this index in the log.
    Seq(u64),
    /// The record with this id.
    Id(RecordId),
}

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// Name of its log.
    pub origin: String,
    /// Its index in the log.
    pub seq: u64,
    /// Its id.
    pub id: RecordId,
    /// When it was received, Unix milliseconds.
    pub received_at_ms: u64,
    /// Its leaf content.
    pub entry: [u8; ENTRY_BYTES],
    /// The event, or the control object, as JSON. Personal fields that the reader may not see, or that were erased, show
    /// as `"[personal]"`.
    pub event: String,
    /// Name of its kind, `event` for what clients send.
    pub kind: &'static str,
    /// Whether the reading of data about somebody in it is restricted. Told to readers of personal fields only; without a
    /// purpose they do not see that data.
    pub restricted: bool,
}

impl Engine {
    /// Reads one record.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::UnknownRecord`], [`Error::Damage`], [`Error::Key`],
    /// [`Error::Io`].
    pub fn get(&self, tenant: &str, by: &Principal, which: Which) -> Result<RecordView> {
        by.check(tenant, Permission::Read)?;
        let tenant = self.inner.tenant(tenant)?;
        snapshot(&tenant, |view| {
            let seq = find::seq(&self.inner, &tenant, view, which)?;
            self.record_view(&tenant, view, seq, Sight::of(by))
        })
    }

    /// Reads one record of a snapshot as a reader sees it.
    pub(crate) fn record_view(
        &self,
        tenant: &Tenant,
        view: &View,
        seq: u64,
        sight: Sight,
    ) -> Result<RecordView> {
        let entry = tree::reader(&self.inner, tenant, view).source().entry(seq)?;
        let mut record = records::read(&self.inner, tenant, view, seq, sight.personal)?;
        let restricted = tenant.hidden.load().mask(&mut record, sight);
        rebuilt(tenant, &entry, &record, restricted)
    }

    /// As [`Engine::record_view`], for several records: they are read block by block and come in the order of `seqs`.
    pub(crate) fn record_views(
        &self,
        tenant: &Tenant,
        view: &View,
        seqs: &[u64],
        sight: Sight,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<RecordView>> {
        let mut ascending = seqs.to_vec();
        ascending.sort_unstable();
        let records = records::read_many(&self.inner, tenant, view, &ascending, sight.personal, check)?;
        let reader = tree::reader(&self.inner, tenant, view);
        let hidden = tenant.hidden.load();
        let mut views = Vec::with_capacity(records.len());
        for mut record in records {
            let restricted = hidden.mask(&mut record, sight);
            let entry = reader.source().entry(record.seq)?;
            views.push(rebuilt(tenant, &entry, &record, restricted)?);
        }
        // Where each one is wanted: seqs are distinct.
        let mut places: Vec<usize> = (0..seqs.len()).collect();
        places.sort_unstable_by_key(|place| seqs.get(*place));
        let mut placed: Vec<(usize, RecordView)> = places.into_iter().zip(views).collect();
        placed.sort_unstable_by_key(|(place, _)| *place);
        Ok(placed.into_iter().map(|(_, view)| view).collect())
    }
}

/// Puts a record together as a reader sees it.
pub(crate) fn rebuilt(
    tenant: &Tenant,
    entry: &Entry,
    record: &records::Record,
    restricted: bool,
) -> Result<RecordView> {
    let malformed = |error: view::ViewError| records::malformed(record.seq, &error);
    let id = view::open(&record.public).map_err(malformed)?.id;
    let event = view::rebuild(&record.public, &record.personal_bytes()).map_err(malformed)?;
    Ok(RecordView {
        origin: tenant.origin.clone(),
        seq: record.seq,
        id,
        received_at_ms: entry.time_ms,
        entry: entry.to_bytes(),
        event,
        kind: entry.kind.name(),
        restricted,
    })
}

/// Runs `read` on the newest snapshot, and again if that failed and the snapshot is no longer the newest.
pub(crate) fn snapshot<T>(tenant: &Tenant, mut read: impl FnMut(&View) -> Result<T>) -> Result<T> {
    let mut view = tenant.view();
    for _ in 0..SNAPSHOTS_MAX {
        match read(&view) {
            Err(error) => {
                let newer = tenant.view();
                if Arc::ptr_eq(&newer.flushed, &view.flushed) {
                    return Err(error);
                }
                view = newer;
            }
            done => return done,
        }
    }
    read(&view)
}

/// Flushes and rewrites that one read may be overtaken by.
const SNAPSHOTS_MAX: usize = 8;

impl From<attestore_record::IdError> for Error {
    fn from(error: attestore_record::IdError) -> Self {
        Self::Invalid {
            code: "invalid_id",
            message: error.to_string(),
        }
    }
}
