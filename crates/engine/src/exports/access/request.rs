//! What callers do with access requests.

use attestore_export::{Compression, Format};
use attestore_keys::{Key, random_array};
use attestore_record::Handle;

use super::AccessKind;
use super::row::{AccessRow, Asked};
use crate::catalog::{hex, unhex};
use crate::credentials::{Permission, Principal};
use crate::exports::api::{check_limits, enqueue, new_row, poisoned};
use crate::exports::evidence::Evidence;
use crate::exports::file::{ExportFile, FoundFile};
use crate::exports::handoff::Thread;
use crate::exports::row::{ExportFault, ExportState, JobKey, JobRow, job, job_in, jobs, part, put_job};
use crate::exports::{ExportPart, ExportSpec, expire};
use crate::forget::erase::recipients;
use crate::forget::subjects::{self, Person};
use crate::heads::checkpoint;
use crate::instance::{Inner, SYSTEM_TENANT};
use crate::{Engine, Error, Result};

/// What somebody asks for, through whoever handles it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRequest {
    /// About whom; one person may be several subjects.
    pub subjects: Vec<Person>,
    /// What.
    pub kind: AccessKind,
    /// On what ground.
    pub basis: Option<String>,
    /// For how long the file is kept, seconds; 14 days if absent.
    pub expires_in_s: Option<u64>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessState {
    /// It waits for its turn.
    Queued,
    /// It is being worked on.
    Running,
    /// The file is there.
    Done,
    /// It stopped over a failure: it is asked for again.
    Failed,
    /// It was downloaded, and is gone.
    Fetched,
    /// Its time is over, it was taken back, or the person was erased: it is gone.
    Gone,
}

impl AccessState {
    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Fetched => "fetched",
            Self::Gone => "gone",
        }
    }
}

/// An access request as it is shown: not whom it is about.
#[derive(Clone, Debug)]
pub struct AccessInfo {
    /// Its id, 32 hex digits.
    pub id: String,
    /// What was asked for.
    pub kind: AccessKind,
    /// How far it is.
    pub state: AccessState,
    /// Why it failed.
    pub fault: Option<ExportFault>,
    /// On what ground.
    pub basis: Option<String>,
    /// How many handles the person has.
    pub subjects: u64,
    /// Id of the principal that asked.
    pub requested_by: String,
    /// When, Unix milliseconds.
    pub requested_ms: u64,
    /// When the file was there, Unix milliseconds.
    pub finished_ms: Option<u64>,
    /// When it goes, Unix milliseconds; `None` while it is not there.
    pub expires_ms: Option<u64>,
    /// When it was downloaded.
    pub fetched_ms: Option<u64>,
    /// By whom.
    pub fetched_by: Option<String>,
    /// Origin of the log.
    pub origin: String,
    /// Size of the tree that it is pinned to.
    pub tree_size: u64,
    /// Root of that tree, hex.
    pub root: String,
    /// The log up to there was gone through.
    pub read: u64,
    /// Records in it so far.
    pub records: u64,
    /// The file, once it is there.
    pub file: Option<ExportPart>,
}

impl Engine {
    /// Has all that is held about somebody put together. Durable on return, and logged in `_system`, without the name.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Invalid`], [`Error::NotFound`] when the tenant knows none of the
    /// subjects, or not any more, [`Error::TooMany`], or as checkpoints, flushes and appends.
    pub fn request_access(
        &self,
        tenant: &str,
        by: &Principal,
        request: &AccessRequest,
    ) -> Result<AccessInfo> {
        check_may(tenant, by)?;
        let people = subjects::parse(&request.subjects)?;
        check(request)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let recipients = recipients(self, &tenant.name).inspect_err(
            |error| tracing::warn!(%error, "it is not known who was shown what somebody asks for"),
        );
        let head = checkpoint::newest(inner, &tenant)?;
        // An erasure that is asked for from here on finds the job; one from before hides the person.
        let _deciding = tenant.deciding.lock();
        let known = subjects::known(inner, &tenant, &people)?;
        if known.is_empty() {
            return Err(Error::NotFound("data subject"));
        }
        let handles: Vec<Handle> = known.iter().map(|known| known.handle).collect();
        let _one_at_a_time = inner.exports.changes.lock();
        check_limits(inner, &tenant)?;
        let key: JobKey = (tenant.id, random_array(&*inner.entropy));
        let file_key = Key::random(&*inner.entropy);
        let spec = ExportSpec {
            query: String::new(),
            from_ns: None,
            to_ns: None,
            format: Format::Ndjson,
            fields: None,
            compression: Compression::None,
            evidence: Evidence::default(),
        };
        let mut row = new_row(inner, &tenant, by, spec, true, &head);
        row.access = Some(Box::new(AccessRow {
            kind: request.kind,
            basis: request.basis.clone(),
            keep_ms: request
                .expires_in_s
                .unwrap_or(EXPIRES_S_DEFAULT)
                .saturating_mul(1000),
            number: handles.len() as u64,
            sealed: Some(Asked::new(&people, &handles).seal(&key, &file_key, &*inner.entropy)?),
            recipients: recipients.ok(),
            fetched_ms: None,
            fetched_by: None,
        }));
        log(inner, "access_request.create", "create", by, &key, &row)?;
        let row = enqueue(inner, &tenant, &key, row, &file_key)?;
        info(self, &key, &row)
    }

    /// Lists a tenant's access requests, the newest first.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or what the catalog says.
    pub fn access_requests(&self, tenant: &str, by: &Principal) -> Result<Vec<AccessInfo>> {
        check_may(tenant, by)?;
        let tenant = self.inner.tenant(tenant)?;
        let mut rows = jobs(&self.inner.catalog.read()?, &tenant.id)?;
        rows.retain(|(_, row)| !row.deleted && row.access.is_some());
        rows.sort_by_key(|(id, row)| (std::cmp::Reverse(row.created_ms), *id));
        let rows = rows.iter();
        rows.map(|(id, row)| info(self, &(tenant.id, *id), row)).collect()
    }

    /// Shows an access request.
    ///
    /// # Errors
    /// As [`Engine::access_requests`]; [`Error::NotFound`].
    pub fn access_request(&self, tenant: &str, by: &Principal, id: &str) -> Result<AccessInfo> {
        let (key, row) = self.find_access(tenant, by, id)?;
        info(self, &key, &row)
    }

    /// Finds the file of an access request that is done. Reading it takes [`FoundFile::download`], which is logged, and which is
    /// the only one.
    ///
    /// # Errors
    /// As [`Engine::access_request`]; [`Error::Conflict`] before it is done, and `already_fetched` after it was downloaded;
    /// [`Error::Erased`] when it is gone; damage.
    pub fn access_file(&self, tenant: &str, by: &Principal, id: &str) -> Result<FoundFile> {
        let (key, row) = self.find_access(tenant, by, id)?;
        check_fetchable(&self.inner, &row)?;
        let tenant = self.inner.tenant(tenant)?;
        let part = part(&self.inner.catalog, &key, 0)?.ok_or(Error::NotFound("file"))?;
        let (disk, catalog) = (&*self.inner.disk, &self.inner.catalog);
        let file = ExportFile::part(disk, catalog, &tenant, &key, &row, 0, &part)?;
        Ok(FoundFile {
            engine: self.clone(),
            once: Some(key),
            event: event("access_request.download", "export", by, &key, &row),
            file,
        })
    }

    /// Removes an access request with its file, whatever its state. Logged in `_system`.
    ///
    /// # Errors
    /// As [`Engine::access_request`].
    pub fn delete_access_request(&self, tenant: &str, by: &Principal, id: &str) -> Result<()> {
        let inner = &self.inner;
        inner.check_running()?;
        let _one_at_a_time = inner.exports.changes.lock();
        let (key, row) = self.find_access(tenant, by, id)?;
        log(inner, "access_request.delete", "delete", by, &key, &row)?;
        inner.exports.cancel(&key);
        let removed = || {
            inner.catalog.update::<_, Error>(|update| {
                let mut row = job_in(update, &key)?.ok_or(NOT_FOUND)?;
                row.deleted = true;
                put_job(update, &key, &row)
            })?;
            let state = match row.state {
                state if state.is_active() => ExportState::Cancelled,
                state => state,
            };
            expire::let_go(inner, Thread::Own, &key, state)
        };
        removed().map(drop).inspect_err(|_| poisoned(inner))
    }

    fn find_access(&self, tenant: &str, by: &Principal, id: &str) -> Result<(JobKey, JobRow)> {
        check_may(tenant, by)?;
        let tenant = self.inner.tenant(tenant)?;
        let key = (tenant.id, unhex(id).ok_or(NOT_FOUND)?);
        let row = job(&self.inner.catalog, &key)?;
        let row = row.filter(|row| !row.deleted && row.access.is_some());
        Ok((key, row.ok_or(NOT_FOUND)?))
    }
}

/// Lets go of a file that is for one download: the key is destroyed and the file removed on return. Whoever has it open reads on.
///
/// # Errors
/// [`Error::Conflict`] `already_fetched` for who comes second; as changes of the catalog.
pub(in crate::exports) fn take(inner: &Inner, key: &JobKey, by: &str) -> Result<()> {
    let _one_at_a_time = inner.exports.changes.lock();
    let (now_ms, by) = (inner.clock.now_ms(), by.to_owned());
    let taken = expire::let_go_if(inner, Thread::Own, key, ExportState::Expired, move |row| {
        fetchable(row)?;
        if let Some(access) = &mut row.access {
            access.fetched_ms = Some(now_ms);
            access.fetched_by = Some(by);
        }
        Ok(())
    });
    taken.map(drop).inspect_err(|_| poisoned(inner))
}

fn check_fetchable(inner: &Inner, row: &JobRow) -> Result<()> {
    fetchable(row)?;
    // Its key may be there for a while yet: whoever destroys it may be busy.
    match row.expires_ms <= inner.clock.now_ms() {
        true => Err(Error::Erased("access request")),
        false => Ok(()),
    }
}

fn fetchable(row: &JobRow) -> Result<()> {
    let fetched = row
        .access
        .as_ref()
        .is_some_and(|access| access.fetched_ms.is_some());
    let conflict = |code, message: &str| {
        let message = message.to_owned();
        Err(Error::Conflict { code, message })
    };
    match row.state {
        ExportState::Done => Ok(()),
        _ if fetched => conflict(
            "already_fetched",
            "the file was for one download and is gone: ask again if that did not come to its end",
        ),
        ExportState::Expired | ExportState::Cancelled => Err(Error::Erased("access request")),
        ExportState::Failed => conflict("access_failed", "it failed: delete it and ask again"),
        ExportState::Queued | ExportState::Running => conflict("access_not_done", "it is not done yet"),
    }
}

fn info(engine: &Engine, key: &JobKey, row: &JobRow) -> Result<AccessInfo> {
    use std::sync::atomic::Ordering::Relaxed;
    let inner = &engine.inner;
    let access = row.access.as_ref().ok_or(NOT_FOUND)?;
    let (mut read, mut records) = (row.next_seq, row.records);
    let mut state = match row.state {
        ExportState::Queued => AccessState::Queued,
        ExportState::Running => AccessState::Running,
        ExportState::Done => AccessState::Done,
        ExportState::Failed => AccessState::Failed,
        ExportState::Cancelled | ExportState::Expired => match access.fetched_ms {
            Some(_) => AccessState::Fetched,
            None => AccessState::Gone,
        },
    };
    if row.state.is_active()
        && let Some(live) = inner.exports.live(key)
    {
        state = AccessState::Running;
        read = read.max(live.next_seq.load(Relaxed));
        records = records.max(live.records.load(Relaxed));
    }
    let file = match state {
        AccessState::Done => part(&inner.catalog, key, 0)?.map(ExportPart::from),
        _ => None,
    };
    Ok(AccessInfo {
        id: hex(&key.1),
        kind: access.kind,
        state,
        fault: row.fault.clone(),
        basis: access.basis.clone(),
        subjects: access.number,
        requested_by: row.created_by.clone(),
        requested_ms: row.created_ms,
        finished_ms: row.finished_ms,
        expires_ms: (!row.state.is_active() && row.slot.is_some()).then_some(row.expires_ms),
        fetched_ms: access.fetched_ms,
        fetched_by: access.fetched_by.clone(),
        origin: row.origin.clone(),
        tree_size: row.size,
        root: row.root.clone(),
        read,
        records,
        file,
    })
}

/// Who asks gets to see personal data. Of `_system`, that takes what reading it with personal fields takes too.
fn check_may(tenant: &str, by: &Principal) -> Result<()> {
    by.check(tenant, Permission::AccessRequests)?;
    let reads = by.may(Permission::ReadSystem) && by.may_see_personal();
    match tenant == SYSTEM_TENANT && !reads {
        true => Err(Error::Forbidden),
        false => Ok(()),
    }
}

fn check(request: &AccessRequest) -> Result<()> {
    let invalid = |message: &str| Error::Invalid {
        code: "invalid_access_request",
        message: message.to_owned(),
    };
    let basis = request.basis.as_deref();
    if basis.is_some_and(|basis| !(1..=BASIS_BYTES_MAX).contains(&basis.len())) {
        return Err(invalid("`basis` has 1 to 256 bytes"));
    }
    let expires = request.expires_in_s;
    if expires.is_some_and(|expires| !(EXPIRES_S_MIN..=EXPIRES_S_MAX).contains(&expires)) {
        return Err(invalid("`expires_in_s` is a minute to 30 days"));
    }
    Ok(())
}

/// Writes what is about to be done into `_system`, and not about whom.
fn log(
    inner: &Inner,
    action: &str,
    operation: &str,
    by: &Principal,
    key: &JobKey,
    row: &JobRow,
) -> Result<()> {
    inner.append_internal(event(action, operation, by, key, row).to_string().as_bytes())
}

fn event(action: &str, operation: &str, by: &Principal, key: &JobKey, row: &JobRow) -> serde_json::Value {
    let access = row.access.as_ref();
    serde_json::json!({
        "action": action,
        "operation": operation,
        "outcome": "success",
        "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
        "targets": [{ "type": "access_request", "id": hex(&key.1) }, { "type": "tenant", "id": row.tenant }],
        "metadata": {
            "kind": access.map(|access| access.kind.name()),
            "subjects": access.map(|access| access.number),
            "tree_size": row.size,
        },
    })
}

/// For how long a file is kept unless somebody says so, seconds.
pub const EXPIRES_S_DEFAULT: u64 = 14 * 24 * 3600;
const EXPIRES_S_MIN: u64 = 60;
const EXPIRES_S_MAX: u64 = 30 * 24 * 3600;
const BASIS_BYTES_MAX: usize = 256;
const NOT_FOUND: Error = Error::NotFound("access request");
