//! Works on one job until one part of it is full.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_export::{Compressor, Encoder, Format, Options, Record};
use attestore_keys::{Key, Slot, random_array};
use attestore_segment::WriteError;

use super::handoff::{Thread, change};
use super::part::{PartId, PartWriter};
use super::queue::Live;
use super::row::{
    ExportFault, ExportState, JobKey, JobRow, PartRow, dir, job, job_in, part_path, put_job, put_part,
};
use super::source::{Flow, Source};
use super::{expire, manifest, source};
use crate::instance::{Inner, file_context};
use crate::read::{RecordView, rebuilt};
use crate::tenant::Tenant;
use crate::{AppendError, Error, Result};

/// Why a turn ended before its part.
pub(super) enum Failure {
    /// The instance is being closed.
    Stopped,
    /// Somebody cancelled the job.
    Cancelled,
    /// A sync failed: nothing is known about the medium.
    Sync(String),
    /// The job cannot go on.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Cancelled => Self::Cancelled,
            error => Self::Failed(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::Interrupted => Self::Stopped,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => no_space(),
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Sync(error) => Self::Sync(error.to_string()),
            error => io::Error::from(error).into(),
        }
    }
}

impl From<attestore_export::Error> for Failure {
    fn from(error: attestore_export::Error) -> Self {
        Self::Failed(match error {
            attestore_export::Error::Malformed { .. } => Error::damage("records", 0, error.to_string()),
            error => Error::Io(error.to_string()),
        })
    }
}

/// Takes the next job and works on it for one turn; says whether there is more to do.
pub(super) fn slice(inner: &Inner) -> bool {
    if inner.check_running().is_err() {
        return false;
    }
    let Some((key, live)) = inner.exports.begin() else {
        return false;
    };
    let result = turn(inner, &key, &live);
    let more = match result {
        Ok(more) => more,
        Err(Failure::Stopped) => {
            // Its row says that it is not done: the next start takes it up.
            inner.exports.end(key, false);
            return false;
        }
        Err(Failure::Cancelled) => false,
        Err(Failure::Sync(reason)) => {
            inner.fail_stop(format!("export: {reason}"));
            false
        }
        Err(Failure::Failed(error)) => {
            fail(inner, &key, &error);
            false
        }
    };
    inner.exports.end(key, more);
    more || inner.exports.others_wait()
}

/// One turn; says whether the job has more to do.
fn turn(inner: &Inner, key: &JobKey, live: &Live) -> Result<bool, Failure> {
    let Some(row) = job(&inner.catalog, key)? else {
        return Ok(false);
    };
    if !row.state.is_active() || row.deleted {
        return Ok(false);
    }
    live.next_seq.store(row.next_seq, Ordering::Relaxed);
    live.records.store(row.records, Ordering::Relaxed);
    live.bytes.store(row.bytes, Ordering::Relaxed);
    let tenant = inner.tenant(&row.tenant)?;
    if tenant.origin != row.origin {
        return Err(Failure::Failed(Error::Invalid {
            code: "forked",
            message: "the log was forked since the export was made".into(),
        }));
    }
    if row.next_seq >= row.size && row.parts > 0 {
        manifest::finish(inner, &tenant, key, row)?;
        return Ok(false);
    }
    room(inner, &tenant, &row)?;
    let slot = row.slot.ok_or(Error::NotFound("export"))?;
    let context = file_context(&tenant, key.1, false);
    let file_key = tenant
        .keys
        .open(&inner.catalog, Slot(slot), &context)
        .map_err(Error::from)?;
    let turn = Turn {
        inner,
        tenant: &tenant,
        key,
        live,
        row: &row,
        slot,
        file_key: &file_key,
    };
    match (&row.access, row.format()) {
        (Some(access), _) => turn.dossier(access).map(|()| false),
        (None, Format::Evidence) => turn.bundle().map(|()| false),
        (None, _) => turn.run(),
    }
}

/// Refuses to write where space is short.
fn room(inner: &Inner, tenant: &Tenant, row: &JobRow) -> Result<(), Failure> {
    inner.guard.sample(inner);
    if !inner.guard.has_room(inner.settings.export_part_bytes) {
        return Err(no_space());
    }
    let used = expire::sealed_bytes(&inner.catalog, &tenant.id)?;
    if used.saturating_add(inner.settings.export_part_bytes) > inner.settings.export_bytes_max {
        return Err(too_many_bytes(inner));
    }
    if row.parts >= PARTS_MAX {
        return Err(Failure::Failed(Error::TooMany {
            code: "export_parts",
            message: format!("an export has at most {PARTS_MAX} files; ask for less at a time"),
        }));
    }
    Ok(())
}

pub(super) fn no_space() -> Failure {
    Failure::Failed(AppendError::NoSpace.into())
}

pub(super) fn too_many_bytes(inner: &Inner) -> Failure {
    let bytes_max = inner.settings.export_bytes_max;
    Failure::Failed(Error::TooMany {
        code: "export_bytes",
        message: format!("the tenant's exports would take more than {bytes_max} bytes"),
    })
}

/// A job in its turn.
pub(super) struct Turn<'a> {
    pub(super) inner: &'a Inner,
    pub(super) tenant: &'a Arc<Tenant>,
    pub(super) key: &'a JobKey,
    pub(super) live: &'a Live,
    pub(super) row: &'a JobRow,
    slot: u64,
    pub(super) file_key: &'a Key,
}

/// What a turn has written so far.
struct Open<'a> {
    writer: PartWriter<'a>,
    encoder: Encoder,
    compressor: Compressor,
    buffer: Vec<u8>,
    records: u64,
    erased: u64,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
}

impl Turn<'_> {
    fn run(&self) -> Result<bool, Failure> {
        let inner = self.inner;
        let stop = || self.is_stopped();
        let pick = source::pick(&self.row.spec, self.row.personal)?;
        let mut source = Source::new(inner, self.tenant, pick, self.row.personal, &stop);
        let pace = |bytes| crate::compact::pace(inner, bytes);
        let begun_ms = inner.clock.boot_ms();
        let path = part_path(self.key, self.row.parts);
        let mut open: Option<Open<'_>> = None;
        let mut next = self.row.next_seq;
        let result = loop {
            if stop() {
                break Err(self.stopped());
            }
            if next >= self.row.size {
                break Ok(());
            }
            // A failure of writing is kept apart from those of reading, which are tried again on a newer snapshot.
            let mut failed = None;
            let step = source.step(&(next..self.row.size), &mut |found| {
                let view = rebuilt(self.tenant, &found.entry, found.record, false)?;
                match self.take(&mut open, &path, &pace, &view, found.erased) {
                    Ok(flow) => Ok(flow),
                    Err(failure) => {
                        failed = Some(failure);
                        Ok(Flow::Enough)
                    }
                }
            });
            if let Some(failure) = failed {
                break Err(failure);
            }
            next = match step {
                Ok(next) => next,
                // Whatever a search says that was told to stop.
                Err(_) if stop() => break Err(self.stopped()),
                Err(error) => break Err(error.into()),
            };
            self.live.next_seq.store(next, Ordering::Relaxed);
            if open.as_ref().is_some_and(|open| self.is_full(open)) {
                break Ok(());
            }
            let waited_ms = inner.clock.boot_ms().saturating_sub(begun_ms);
            if waited_ms > TURN_MS && (open.is_none() || inner.exports.others_wait()) {
                break Ok(());
            }
        };
        self.cleared(result.and_then(|()| self.finish(open, &path, &pace, next)), &path)
    }

    /// Removes what is there of a part that was not finished.
    pub(super) fn cleared<T>(&self, finished: Result<T, Failure>, path: &Path) -> Result<T, Failure> {
        if let Err(failure) = &finished
            && !matches!(failure, Failure::Sync(_))
        {
            // Whatever of it is there is in nobody's way, and the next attempt begins anew.
            let temporary = attestore_segment::file::temporary_name(path);
            let _ = self.inner.disk.remove(&temporary);
        }
        finished
    }

    /// Whether the turn is to end at once.
    pub(super) fn is_stopped(&self) -> bool {
        self.live.is_cancelled() || self.inner.exports.wake().is_stopped() || self.inner.stopped().is_some()
    }

    /// Why it is.
    pub(super) fn stopped(&self) -> Failure {
        match self.live.is_cancelled() {
            true => Failure::Cancelled,
            false => Failure::Stopped,
        }
    }

    fn is_full(&self, open: &Open<'_>) -> bool {
        open.writer.bytes() >= self.inner.settings.export_part_bytes || open.records >= PART_RECORDS_MAX
    }

    fn options(&self) -> Result<Options> {
        self.row.spec.options(&self.row.tenant, &self.row.origin)
    }

    /// Writes a record.
    fn take<'w>(
        &'w self,
        open: &mut Option<Open<'w>>,
        path: &Path,
        pace: attestore_segment::Pace<'w>,
        view: &RecordView,
        erased: bool,
    ) -> Result<Flow, Failure> {
        if open.is_none() {
            *open = Some(self.begin(path, pace)?);
        }
        let Some(open) = open else {
            return Ok(Flow::Enough);
        };
        let id = view.id.to_string();
        let record = Record {
            id: &id,
            seq: view.seq,
            received_at_ms: view.received_at_ms,
            kind: view.kind,
            entry: &view.entry,
            event: &view.event,
            erased,
        };
        open.encoder.record(&record, &mut open.buffer)?;
        open.records += 1;
        open.erased += u64::from(erased);
        open.first_seq.get_or_insert(view.seq);
        open.last_seq = Some(view.seq);
        let parts_bytes = self.inner.settings.export_part_bytes;
        if open.buffer.len() as u64 >= (parts_bytes / 8).min(BUFFER_BYTES as u64) {
            open.flush()?;
            self.inner.guard.sample(self.inner);
            if !self.inner.guard.has_room(BUFFER_BYTES as u64) {
                return Err(no_space());
            }
        }
        self.live
            .records
            .store(self.row.records + open.records, Ordering::Relaxed);
        self.live
            .bytes
            .store(self.row.bytes + open.writer.bytes(), Ordering::Relaxed);
        Ok(match self.is_full(open) {
            true => Flow::Enough,
            false => Flow::More,
        })
    }

    fn begin<'w>(&'w self, path: &Path, pace: attestore_segment::Pace<'w>) -> Result<Open<'w>, Failure> {
        let mut encoder = Encoder::new(&self.options()?)?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4);
        encoder.begin(&mut buffer)?;
        Ok(Open {
            writer: self.create(path, pace)?,
            encoder,
            compressor: Compressor::new(self.row.spec.file_compression())?,
            buffer,
            records: 0,
            erased: 0,
            first_seq: None,
            last_seq: None,
        })
    }

    /// Begins the next part.
    pub(super) fn create<'w>(
        &'w self,
        path: &Path,
        pace: attestore_segment::Pace<'w>,
    ) -> Result<PartWriter<'w>, Failure> {
        let inner = self.inner;
        // Also when the folder is there: who made it may have been killed before its name was durable.
        let folder = dir(&self.tenant.id);
        inner.disk.create_dir_all(&folder)?;
        for above in folder.ancestors().skip(1) {
            sync_dir(inner, above)?;
        }
        let part = PartId {
            tenant: self.tenant.id,
            slot: self.slot,
            number: self.row.parts,
            id: random_array(&*inner.entropy),
        };
        Ok(PartWriter::create(&*inner.disk, path, pace, part, self.file_key)?)
    }

    /// Makes the part durable and notes how far the job is; says whether it has more to do.
    fn finish<'w>(
        &'w self,
        open: Option<Open<'w>>,
        path: &Path,
        pace: attestore_segment::Pace<'w>,
        next: u64,
    ) -> Result<bool, Failure> {
        let inner = self.inner;
        let over = next >= self.row.size;
        let open = match open {
            // A set has at least one file.
            None if over && self.row.parts == 0 => Some(self.begin(path, pace)?),
            open => open,
        };
        let number = self.row.parts;
        let mut row = self.row.clone();
        row.state = ExportState::Running;
        row.next_seq = next;
        let part = match open {
            None => None,
            Some(open) => {
                let name = row.format().file_name(number, row.compression());
                let part = open.finish(name)?;
                sync_dir(inner, &dir(&self.tenant.id))?;
                row.parts += 1;
                row.records += part.records;
                row.erased += part.erased;
                row.bytes += part.bytes;
                row.sealed_bytes += part.sealed_bytes;
                Some(part)
            }
        };
        let (key, named) = (*self.key, part.clone());
        let committed = change(inner, Thread::Flusher, move |update| {
            // Somebody may have cancelled it meanwhile.
            let now = job_in(update, &key)?;
            if !now.is_some_and(|now| now.state.is_active() && !now.deleted && now.parts == number) {
                return Err(Error::Cancelled);
            }
            if let Some(part) = &named {
                put_part(update, &key, number, part)?;
            }
            put_job(update, &key, &row)
        });
        if let Err(error) = committed {
            if let Some(reason) = inner.catalog.poisoned() {
                return Err(Failure::Sync(reason));
            }
            if part.is_some() {
                let _ = inner.disk.remove(path);
            }
            return Err(match error {
                Error::Stopped(_) => Failure::Stopped,
                error => error.into(),
            });
        }
        count(part.as_ref(), next - self.row.next_seq);
        Ok(true)
    }
}

impl Open<'_> {
    fn flush(&mut self) -> Result<(), Failure> {
        let ready = self.compressor.write(&self.buffer)?;
        self.buffer.clear();
        self.writer.write(&ready)?;
        Ok(())
    }

    fn finish(mut self, name: String) -> Result<PartRow, Failure> {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.encoder.finish(&mut buffer)?;
        self.writer.write(&self.compressor.write(&buffer)?)?;
        self.writer.write(&self.compressor.finish()?)?;
        let part = self.writer.finish(name)?;
        Ok(PartRow {
            records: self.records,
            erased: self.erased,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            ..part
        })
    }
}

pub(super) fn sync_dir(inner: &Inner, dir: &Path) -> Result<(), Failure> {
    inner
        .disk
        .sync_dir(dir)
        .map_err(|error| Failure::Sync(error.to_string()))
}

pub(super) fn count(part: Option<&PartRow>, looked_at: u64) {
    metrics::counter!("attestore_export_records_read_total").increment(looked_at);
    if let Some(part) = part {
        metrics::counter!("attestore_export_records_written_total").increment(part.records);
        metrics::counter!("attestore_export_bytes_written_total").increment(part.bytes);
    }
}

/// Notes that a job cannot go on.
fn fail(inner: &Inner, key: &JobKey, error: &Error) {
    metrics::counter!("attestore_exports_total", "outcome" => "failed").increment(1);
    tracing::warn!(tenant = %key.0, export = crate::catalog::hex(&key.1), code = error.code(), %error, "an export failed");
    let fault = ExportFault {
        code: error.code().to_owned(),
        message: error.to_string(),
    };
    let (key, now_ms) = (*key, inner.clock.now_ms());
    let hours = inner.settings.export_hours;
    let noted = change(inner, Thread::Flusher, move |update| {
        let Some(mut row) = job_in(update, &key)?.filter(|row| row.state.is_active()) else {
            return Ok(None);
        };
        row.state = ExportState::Failed;
        row.fault = Some(fault);
        row.finished_ms = Some(now_ms);
        row.expires_ms = now_ms.saturating_add(expire::kept_ms(hours, &row));
        put_job(update, &key, &row)?;
        Ok(Some(row))
    });
    match noted {
        Ok(Some(row)) => inner.exports.note(key, &row),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, "the failure of an export was not noted");
            if let Some(reason) = inner.catalog.poisoned() {
                inner.fail_stop(reason);
            }
        }
    }
}

/// Bytes of records that are compressed and sealed at once.
pub(super) const BUFFER_BYTES: usize = 256 << 10;
/// Records of a part, at most.
const PART_RECORDS_MAX: u64 = 1_000_000;
/// Parts of an export, at most: the manifest names each.
const PARTS_MAX: u32 = 10_000;
/// After so long a turn ends if others wait, milliseconds.
const TURN_MS: u64 = 10_000;
