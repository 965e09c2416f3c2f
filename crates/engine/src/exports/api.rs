//! What callers do with exports.

use attestore_export::{Compression, Fields, Format, Options};
use attestore_keys::{Key, random_array};
use attestore_record::Handle;
use serde::{Deserialize, Serialize};

use super::evidence::{self, Evidence, EvidenceScope};
use super::file::{ExportFile, FoundFile};
use super::handoff::Thread;
use super::row::{
    ExportFault, ExportState, JobKey, JobRow, PartRow, job, job_in, jobs, manifest, parts, put_job,
};
use super::{access, expire, source};
use crate::catalog::{hex, unhex};
use crate::credentials::{Permission, Principal};
use crate::heads::checkpoint::Signed;
use crate::instance::{Inner, file_context};
use crate::tenant::Tenant;
use crate::{Engine, Error, Result};

/// What is to be exported, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportSpec {
    /// The query, as in searches; empty for everything.
    pub query: String,
    /// Earliest time of occurrence, inclusive, nanoseconds since 1970. Records without one count by their receipt.
    pub from_ns: Option<i64>,
    /// Latest time of occurrence, exclusive, nanoseconds since 1970.
    pub to_ns: Option<i64>,
    /// Format of the files.
    pub format: Format,
    /// Fields of the events to export; all if absent.
    pub fields: Option<Vec<String>>,
    /// Compression of the files.
    pub compression: Compression,
    /// Of an evidence bundle, what it is about.
    #[serde(default, skip_serializing_if = "Evidence::is_default")]
    pub evidence: Evidence,
}

/// An export as it is shown.
#[derive(Clone, Debug)]
pub struct ExportInfo {
    /// Its id, 32 hex digits.
    pub id: String,
    /// What is exported. The query shows as `[personal]` to who may not see personal fields, if it was made by somebody who may.
    pub spec: ExportSpec,
    /// Whether personal fields are exported.
    pub personal: bool,
    /// Id of the credential that asked for it.
    pub created_by: String,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// When it ended, Unix milliseconds.
    pub finished_ms: Option<u64>,
    /// When its files go, Unix milliseconds; `None` while it is not over.
    pub expires_ms: Option<u64>,
    /// How far it is.
    pub state: ExportState,
    /// Why it failed.
    pub fault: Option<ExportFault>,
    /// Origin of the log.
    pub origin: String,
    /// Size of the tree that it is pinned to: records that it looks at.
    pub tree_size: u64,
    /// Root of that tree, hex.
    pub root: String,
    /// Records that it has looked at so far.
    pub read: u64,
    /// What it has written so far; `None` to who may not download it.
    pub written: Option<ExportWritten>,
    /// Its finished files; none to who may not download them, since a hash tells what a value is to who can guess it.
    pub files: Vec<ExportPart>,
}

/// What an export has written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportWritten {
    /// Records.
    pub records: u64,
    /// Those of them in which personal fields were erased.
    pub erased: u64,
    /// Bytes of files, as they are downloaded.
    pub bytes: u64,
    /// How many records it will have written, by what it has seen so far; exact once it is done.
    pub records_expected: Option<u64>,
}

/// A finished file of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportPart {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Records in it.
    pub records: u64,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
}

impl ExportSpec {
    /// How the formats are told what to write.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fields that events do not have.
    pub(super) fn options(&self, tenant: &str, origin: &str) -> Result<Options> {
        let fields = self.fields.clone().map(Fields::new).transpose();
        Ok(Options {
            format: self.format,
            fields: fields.map_err(|error| Error::Invalid {
                code: "invalid_fields",
                message: error.message,
            })?,
            compression: self.compression,
            tenant: tenant.to_owned(),
            origin: origin.to_owned(),
        })
    }

    /// Compression around a file; Parquet has its own inside.
    pub(super) fn file_compression(&self) -> Compression {
        match self.format {
            Format::Parquet => Compression::None,
            _ => self.compression,
        }
    }

    fn check(&self, tenant: &Tenant, personal: bool) -> Result<()> {
        source::pick(self, personal)?;
        evidence::check(self)?;
        if self.format == Format::Evidence {
            return Ok(());
        }
        let options = self.options(&tenant.name, &tenant.origin)?;
        options.check().map_err(|error| Error::Invalid {
            code: match error {
                attestore_export::Error::NotBuilt(_) => "format_not_available",
                _ => "invalid_export",
            },
            message: error.to_string(),
        })
    }
}

impl Engine {
    /// Makes an export job, pinned to the log as it is now. Durable on return, and logged in `_system`.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Query`], [`Error::Invalid`] for what cannot be exported so,
    /// [`Error::BeyondTree`] and [`Error::Conflict`] for evidence about more than the signed, or the witnessed, tree has,
    /// [`Error::TooMany`] when the tenant or the instance has too many exports, or as checkpoints and appends.
    pub fn create_export(&self, tenant: &str, by: &Principal, spec: ExportSpec) -> Result<ExportInfo> {
        by.check(tenant, Permission::Export)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let personal = by.may_see_personal();
        spec.check(&tenant, personal)?;
        let _one_at_a_time = inner.exports.changes.lock();
        check_limits(inner, &tenant)?;
        let head = evidence::head(self, &tenant, &spec.evidence)?;
        let key: JobKey = (tenant.id, random_array(&*inner.entropy));
        let row = new_row(inner, &tenant, by, spec, personal, &head);
        // The log may tell of an export that a crash then prevented, never the other way round.
        log(inner, "export.create", "export", by, &key, &row)?;
        let row = enqueue(inner, &tenant, &key, row, &Key::random(&*inner.entropy))?;
        Ok(info(inner, &key, &row, by, Vec::new()))
    }

    /// Lists a tenant's exports, newest first.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], or what the catalog says.
    pub fn exports(&self, tenant: &str, by: &Principal) -> Result<Vec<ExportInfo>> {
        check_looker(tenant, by)?;
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let mut rows = jobs(&inner.catalog.read()?, &tenant.id)?;
        rows.retain(|(_, row)| !row.deleted && row.access.is_none());
        rows.sort_by_key(|(id, row)| (std::cmp::Reverse(row.created_ms), *id));
        let infos = rows.iter();
        Ok(infos
            .map(|(id, row)| info(inner, &(tenant.id, *id), row, by, Vec::new()))
            .collect())
    }

    /// Shows an export.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::NotFound`], or what the catalog says.
    pub fn export(&self, tenant: &str, by: &Principal, id: &str) -> Result<ExportInfo> {
        let (_, key, row) = self.find_export(tenant, by, id)?;
        let files = parts(&self.inner.catalog.read()?, &key)?;
        let files = files.into_iter().map(|(_, part)| part.into()).collect();
        Ok(info(&self.inner, &key, &row, by, files))
    }

    /// Cancels an export that is not over, or that failed: its files go. Cancelling twice changes nothing. Logged in `_system`.
    ///
    /// # Errors
    /// As [`Engine::export`]; [`Error::Forbidden`] for an export of somebody else unless `by` administers the tenant;
    /// [`Error::Conflict`] for one that is done or has expired.
    pub fn cancel_export(&self, tenant: &str, by: &Principal, id: &str) -> Result<ExportInfo> {
        let inner = &self.inner;
        let _one_at_a_time = inner.exports.changes.lock();
        let (key, row) = self.find_to_change(tenant, by, id)?;
        match row.state {
            ExportState::Cancelled => return Ok(info(inner, &key, &row, by, Vec::new())),
            ExportState::Done | ExportState::Expired => {
                return Err(Error::Conflict {
                    code: "export_over",
                    message: "the export is over; DELETE removes it".into(),
                });
            }
            ExportState::Queued | ExportState::Running | ExportState::Failed => {}
        }
        log(inner, "export.cancel", "update", by, &key, &row)?;
        inner.exports.cancel(&key);
        let row = expire::let_go(inner, Thread::Own, &key, ExportState::Cancelled)
            .inspect_err(|_| poisoned(inner))?;
        metrics::counter!("attestore_exports_total", "outcome" => "cancelled").increment(1);
        Ok(info(inner, &key, &row, by, Vec::new()))
    }

    /// Removes an export with its files, whatever its state. Logged in `_system`.
    ///
    /// # Errors
    /// As [`Engine::export`]; [`Error::Forbidden`] as [`Engine::cancel_export`].
    pub fn delete_export(&self, tenant: &str, by: &Principal, id: &str) -> Result<()> {
        let inner = &self.inner;
        let _one_at_a_time = inner.exports.changes.lock();
        let (key, row) = self.find_to_change(tenant, by, id)?;
        log(inner, "export.delete", "delete", by, &key, &row)?;
        inner.exports.cancel(&key);
        let removed = || {
            inner.catalog.update::<_, Error>(|update| {
                let mut row = job_in(update, &key)?.ok_or(Error::NotFound("export"))?;
                row.deleted = true;
                put_job(update, &key, &row)
            })?;
            let state = match row.state {
                state if state.is_active() => ExportState::Cancelled,
                state => state,
            };
            expire::let_go(inner, Thread::Own, &key, state)
        };
        // The row goes when nobody works on it any more.
        removed().map(drop).inspect_err(|_| poisoned(inner))
    }

    /// Lets an export that failed go on where it stopped.
    ///
    /// # Errors
    /// As [`Engine::cancel_export`]; [`Error::Conflict`] for one that did not fail; [`Error::TooMany`].
    pub fn resume_export(&self, tenant: &str, by: &Principal, id: &str) -> Result<ExportInfo> {
        let inner = &self.inner;
        inner.check_running()?;
        let _one_at_a_time = inner.exports.changes.lock();
        let (key, mut row) = self.find_to_change(tenant, by, id)?;
        if row.state.is_active() {
            return Ok(info(inner, &key, &row, by, Vec::new()));
        }
        if row.state != ExportState::Failed {
            return Err(Error::Conflict {
                code: "export_not_failed",
                message: "only an export that failed can be resumed".into(),
            });
        }
        if inner.exports.active() >= ACTIVE_MAX {
            return Err(too_many(
                "the instance has too many exports under way; try again later",
            ));
        }
        log(inner, "export.resume", "update", by, &key, &row)?;
        row.state = ExportState::Queued;
        row.fault = None;
        row.finished_ms = None;
        let stored = inner.catalog.update::<_, Error>(|update| {
            // It may have expired meanwhile.
            let now = job_in(update, &key)?.ok_or(Error::NotFound("export"))?;
            if now.state != ExportState::Failed {
                return Err(Error::NotFound("export"));
            }
            put_job(update, &key, &row)
        });
        stored.inspect_err(|_| poisoned(inner))?;
        inner.exports.note(key, &row);
        inner.exports.enqueue(key);
        Ok(info(inner, &key, &row, by, Vec::new()))
    }

    /// Finds a file of an export that is done: a part by its name, [`MANIFEST`], or [`NOTE`]. Reading it takes
    /// [`FoundFile::download`], which is logged.
    ///
    /// # Errors
    /// As [`Engine::export`]; [`Error::Forbidden`] when personal fields were exported and `by` may not see them;
    /// [`Error::Conflict`] before it is done; [`Error::Erased`] when it has expired; damage.
    pub fn export_file(&self, tenant: &str, by: &Principal, id: &str, name: &str) -> Result<FoundFile> {
        by.check(tenant, Permission::Export)?;
        let inner = &self.inner;
        let (tenant, key, row) = self.find_export(tenant, by, id)?;
        if !may_download(&row, by) {
            return Err(Error::Forbidden);
        }
        match row.state {
            // Its key may be there for a while yet: whoever destroys it may be busy.
            ExportState::Done if row.expires_ms <= inner.clock.now_ms() => {
                return Err(Error::Erased("export"));
            }
            ExportState::Done => {}
            ExportState::Expired | ExportState::Cancelled => return Err(Error::Erased("export")),
            _ => {
                return Err(Error::Conflict {
                    code: "export_not_done",
                    message: "the export is not done yet".into(),
                });
            }
        }
        let file = match name {
            MANIFEST => {
                let bytes = manifest(&inner.catalog, &key)?.ok_or(Error::NotFound("file"))?;
                ExportFile::whole(name, bytes)
            }
            NOTE => ExportFile::whole(name, row.note.clone().unwrap_or_default().into_bytes()),
            _ => {
                let number = number(name, id).ok_or(Error::NotFound("file"))?;
                let part = super::row::part(&inner.catalog, &key, number)?;
                let part = part
                    .filter(|part| part.name == name)
                    .ok_or(Error::NotFound("file"))?;
                ExportFile::part(&*inner.disk, &inner.catalog, &tenant, &key, &row, number, &part)?
            }
        };
        Ok(FoundFile {
            once: None,
            engine: self.clone(),
            event: download_event(by, &key, &row, name),
            file,
        })
    }

    /// An export that `by` may cancel, resume and delete: who made it or administers the tenant. Neither shows what is in it.
    fn find_to_change(&self, tenant: &str, by: &Principal, id: &str) -> Result<(JobKey, JobRow)> {
        let (_, key, row) = self.find_export(tenant, by, id)?;
        match row.created_by == by.id || by.check(tenant, Permission::ManageSearches).is_ok() {
            true => Ok((key, row)),
            false => Err(Error::Forbidden),
        }
    }

    fn find_export(
        &self,
        tenant: &str,
        by: &Principal,
        id: &str,
    ) -> Result<(std::sync::Arc<Tenant>, JobKey, JobRow)> {
        check_looker(tenant, by)?;
        let tenant = self.inner.tenant(tenant)?;
        let missing = Error::NotFound("export");
        let Some(id) = unhex(id) else { return Err(missing) };
        let key = (tenant.id, id);
        let row = job(&self.inner.catalog, &key)?.filter(|row| !row.deleted && row.access.is_none());
        Ok((tenant, key, row.ok_or(missing)?))
    }
}

/// Who exports sees how exports are doing, and who manages the tenant looks after them.
fn check_looker(tenant: &str, by: &Principal) -> Result<()> {
    by.check(tenant, Permission::SeeExports)
}

/// What is in an export with personal fields is for who may see them, and so is everything that tells of it: how much there is,
/// and the hashes of its files, by which values can be guessed.
fn may_download(row: &JobRow, by: &Principal) -> bool {
    by.may_see_personal() || !row.personal
}

impl From<PartRow> for ExportPart {
    fn from(row: PartRow) -> Self {
        Self {
            name: row.name,
            bytes: row.bytes,
            records: row.records,
            sha256: row.sha256,
        }
    }
}

fn info(inner: &Inner, key: &JobKey, row: &JobRow, by: &Principal, files: Vec<ExportPart>) -> ExportInfo {
    use std::sync::atomic::Ordering::Relaxed;
    let mut spec = row.spec.clone();
    let open = may_download(row, by);
    if !open && !spec.query.is_empty() {
        "[personal]".clone_into(&mut spec.query);
    }
    // Which records were chosen tells of them.
    if !open && let EvidenceScope::Records(seqs) = &mut spec.evidence.scope {
        seqs.clear();
    }
    let mut state = row.state;
    let (mut read, mut records, mut bytes) = (row.next_seq, row.records, row.bytes);
    if state.is_active()
        && let Some(live) = inner.exports.live(key)
    {
        state = ExportState::Running;
        read = read.max(live.next_seq.load(Relaxed));
        records = records.max(live.records.load(Relaxed));
        bytes = bytes.max(live.bytes.load(Relaxed));
    }
    let records_expected = match state {
        ExportState::Done => Some(records),
        _ => match &row.spec.evidence.scope {
            EvidenceScope::Records(seqs) => Some(seqs.len() as u64),
            EvidenceScope::Range { first, end } => Some(end - first),
            EvidenceScope::Query if source::is_everything(&row.spec) => Some(row.size),
            EvidenceScope::Query if read > 0 => {
                let expected = u128::from(records) * u128::from(row.size) / u128::from(read);
                Some(u64::try_from(expected).unwrap_or(u64::MAX))
            }
            EvidenceScope::Query => None,
        },
    };
    ExportInfo {
        id: hex(&key.1),
        spec,
        personal: row.personal,
        created_by: row.created_by.clone(),
        created_ms: row.created_ms,
        finished_ms: row.finished_ms,
        expires_ms: (!state.is_active() && row.slot.is_some()).then_some(row.expires_ms),
        state,
        fault: row.fault.clone(),
        origin: row.origin.clone(),
        tree_size: row.size,
        root: row.root.clone(),
        read,
        written: open.then_some(ExportWritten {
            records,
            erased: row.erased,
            bytes,
            records_expected,
        }),
        files: if open { files } else { Vec::new() },
    }
}

/// A job that is to be.
pub(super) fn new_row(
    inner: &Inner,
    tenant: &Tenant,
    by: &Principal,
    spec: ExportSpec,
    personal: bool,
    head: &Signed,
) -> JobRow {
    JobRow {
        tenant: tenant.name.clone(),
        spec,
        personal,
        created_by: by.id.clone(),
        created_ms: inner.clock.now_ms(),
        origin: tenant.origin.clone(),
        size: head.size,
        root: hex(head.root.as_bytes()),
        checkpoint: head.note.to_string(),
        state: ExportState::Queued,
        fault: None,
        slot: None,
        leftovers: 0,
        next_seq: 0,
        parts: 0,
        records: 0,
        erased: 0,
        bytes: 0,
        sealed_bytes: 0,
        finished_ms: None,
        expires_ms: 0,
        note: None,
        deleted: false,
        access: None,
    }
}

/// Stores a new job with the key of its files, and puts it in the queue. Durable on return.
///
/// # Errors
/// As changes of the catalog.
pub(super) fn enqueue(
    inner: &Inner,
    tenant: &Tenant,
    key: &JobKey,
    mut row: JobRow,
    file_key: &Key,
) -> Result<JobRow> {
    let context = file_context(tenant, key.1, false);
    let stored = inner.catalog.update::<_, Error>(|update| {
        row.slot = Some(
            update
                .put_key(context, Some(tenant.keys.ring().current()), file_key)?
                .0,
        );
        put_job(update, key, &row)
    });
    stored.inspect_err(|_| poisoned(inner))?;
    metrics::counter!("attestore_exports_total", "outcome" => "created").increment(1);
    inner.exports.note(*key, &row);
    inner.exports.enqueue(*key);
    Ok(row)
}

pub(super) fn check_limits(inner: &Inner, tenant: &Tenant) -> Result<()> {
    if inner.exports.active() >= ACTIVE_MAX {
        return Err(too_many(
            "the instance has too many exports under way; try again later",
        ));
    }
    let rows = jobs(&inner.catalog.read()?, &tenant.id)?;
    let (held, shown): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, row)| row.slot.is_some());
    let quota = inner.quotas.of(&tenant.id).and_then(|quota| quota.exports_max());
    let jobs_max = quota.unwrap_or(inner.settings.export_jobs_max) as usize;
    if held.len() >= jobs_max {
        return Err(too_many(&format!(
            "the tenant has {jobs_max} exports: delete one, or wait until one expires"
        )));
    }
    if shown.len() >= SHOWN_MAX {
        return Err(too_many(
            "the tenant has too many exports that are over: delete some",
        ));
    }
    Ok(())
}

fn too_many(message: &str) -> Error {
    Error::TooMany {
        code: "too_many_exports",
        message: message.to_owned(),
    }
}

pub(super) fn poisoned(inner: &Inner) {
    if let Some(reason) = inner.catalog.poisoned() {
        inner.fail_stop(reason);
    }
}

/// Number of the part of that name.
fn number(name: &str, export: &str) -> Option<u32> {
    if name.strip_suffix(".evidence") == Some(export) {
        return Some(0);
    }
    let digits = name.strip_prefix("part-")?.split_once('.')?.0;
    digits.parse().ok()
}

/// Writes what is about to be done into `_system`. The query stays out: it may name people.
fn log(
    inner: &Inner,
    action: &str,
    operation: &str,
    by: &Principal,
    key: &JobKey,
    row: &JobRow,
) -> Result<()> {
    let mut event = serde_json::json!({
        "action": action,
        "operation": operation,
        "outcome": "success",
        "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
        "targets": [{ "type": "export", "id": hex(&key.1) }, { "type": "tenant", "id": row.tenant }],
        "metadata": {
            "format": row.format().name(),
            "personal": row.personal,
            "tree_size": row.size,
            "records": row.records,
        },
    });
    if row.format() == Format::Evidence {
        event["metadata"]["scope"] = row.spec.evidence.scope.name().into();
        event["metadata"]["witnessed"] = row.spec.evidence.witnessed.into();
    }
    match &row.spec.evidence.scope {
        EvidenceScope::Query => {}
        EvidenceScope::Records(seqs) => event["metadata"]["seqs"] = serde_json::json!(seqs),
        EvidenceScope::Range { first, end } => {
            event["metadata"]["range"] = serde_json::json!([first, end]);
        }
    }
    inner.append_internal(event.to_string().as_bytes())
}

/// What `_system` will be told of a download.
fn download_event(by: &Principal, key: &JobKey, row: &JobRow, name: &str) -> serde_json::Value {
    serde_json::json!({
        "action": "export.download",
        "operation": "export",
        "outcome": "success",
        "actor": { "type": by.kind.name(), "id": by.id, "name": by.name },
        "targets": [{ "type": "export", "id": hex(&key.1) }, { "type": "tenant", "id": row.tenant }],
        "metadata": { "file": name, "personal": row.personal },
    })
}

/// Name of the manifest among the files.
pub const MANIFEST: &str = "manifest.json";
/// Name of the signed note over it.
pub const NOTE: &str = "manifest.note";
/// Exports that wait or are worked on, of all tenants.
const ACTIVE_MAX: usize = 256;
/// Exports of a tenant whose files are gone and that are still shown.
const SHOWN_MAX: usize = 1000;

/// Destroys every export of a tenant that may hold personal fields, done or under way, and of access requests those that are about
/// somebody of `handles`: the key, then the files. Returns how many those were.
///
/// # Errors
/// As changes of the catalog; what the disk says.
pub(crate) fn let_go_personal(inner: &Inner, tenant: &Tenant, handles: &[Handle]) -> Result<u64> {
    let_go(inner, tenant, |key, row| {
        row.personal && access::concerns(inner, tenant, key, row, handles)
    })
}

/// As [`let_go_personal`], everything.
///
/// # Errors
/// As [`let_go_personal`].
pub(crate) fn let_go_all(inner: &Inner, tenant: &Tenant) -> Result<u64> {
    let_go(inner, tenant, |_, _| true)
}

fn let_go(inner: &Inner, tenant: &Tenant, is_it: impl Fn(&JobKey, &JobRow) -> bool) -> Result<u64> {
    let _one_at_a_time = inner.exports.changes.lock();
    let mut gone = 0;
    for (id, row) in jobs(&inner.catalog.read()?, &tenant.id)? {
        let key = (tenant.id, id);
        if row.slot.is_none() || !is_it(&key, &row) {
            continue;
        }
        let state = match row.state.is_active() {
            true => ExportState::Cancelled,
            false => ExportState::Expired,
        };
        inner.exports.cancel(&key);
        expire::let_go(inner, Thread::Own, &key, state).inspect_err(|_| poisoned(inner))?;
        gone += 1;
    }
    Ok(gone)
}
