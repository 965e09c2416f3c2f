//! The committer: everything that waits goes into one frame, is written with one write, and only then shown.
//!
//! # Errors
//! Any failure to write is final for the process: those who wait are told that the outcome is not known, and nothing is
//! written ever after.

use std::time::Duration;

use attestore_record::TenantId;
use attestore_wal::{FrameBuilder, Position, Writer};
use hashbrown::HashMap;

use super::assign::Plan;
use super::queue::{Queue, Reply, Request};
use super::section::{self, SectionHead};
use crate::error::AppendError;
use crate::instance::Inner;
use crate::{Error, Result};

/// Writes the log. Behind a lock: whoever holds it is the committer.
pub(crate) struct Committer {
    writer: Option<Writer>,
    frame: FrameBuilder,
    batch: Vec<Request>,
    /// Whether the last frame's watermark does not cover it yet.
    open: bool,
}

impl Committer {
    pub(crate) fn new(writer: Option<Writer>) -> Self {
        Self {
            writer,
            frame: FrameBuilder::new(),
            batch: Vec::new(),
            open: false,
        }
    }

    /// D: everything before it is synced.
    pub(crate) fn watermark(&self) -> Option<Position> {
        self.writer.as_ref().map(Writer::watermark)
    }

    /// Commits what waits, one frame at most; returns how many requests that were.
    pub(crate) fn step(&mut self, inner: &Inner) -> usize {
        let mut batch = std::mem::take(&mut self.batch);
        inner.queue.take(inner.settings.frame_bytes(), &mut batch);
        let requests = batch.len();
        if requests > 0 {
            let plans = plan(inner, &mut batch);
            self.commit(inner, plans);
        }
        batch.clear();
        self.batch = batch;
        requests
    }

    /// Writes a frame that carries the watermark over what was written last, if it is not covered.
    pub(crate) fn close_frame(&mut self, inner: &Inner) {
        if !self.open || inner.stopped().is_some() {
            return;
        }
        let Some(writer) = &mut self.writer else { return };
        match writer.close_frame() {
            Ok(_) | Err(attestore_wal::Error::Full { .. }) => self.open = false,
            Err(error) => inner.fail_stop(format!("wal: {error}")),
        }
    }

    /// Gives up the writer: nothing is written any more.
    pub(crate) fn retire(&mut self) {
        self.writer = None;
    }

    /// Takes up the writer that recovery made.
    pub(crate) fn adopt(&mut self, writer: Writer) {
        self.writer = Some(writer);
        self.open = true;
    }

    fn commit(&mut self, inner: &Inner, mut plans: Vec<Plan>) {
        for plan in plans.iter_mut().filter(|plan| !plan.records.is_empty()) {
            plan.view.seal();
            let generation = plan.tenant.generation.load();
            let head = SectionHead {
                first_seq: plan.first_seq,
                generation: &generation,
                size: plan.view.size,
                root: plan.view.root,
            };
            self.frame
                .section(*plan.tenant.id.as_bytes(), &plan.tenant.keys.tenant, |buf| {
                    section::write(buf, &head, &plan.subjects, plan.records.iter().map(AsRef::as_ref));
                });
        }
        let written = if self.frame.is_empty() {
            Ok(0)
        } else {
            self.write(inner)
        };
        match written {
            Ok(wal) => {
                let records: usize = plans.iter().map(|plan| plan.records.len()).sum();
                metrics::counter!("attestore_records_appended_total").increment(records as u64);
                metrics::histogram!("attestore_frame_records")
                    .record(f64::from(u32::try_from(records).unwrap_or(u32::MAX)));
                let boot_ms = inner.clock.boot_ms();
                for plan in &plans {
                    plan.publish(wal, boot_ms);
                    if !plan.records.is_empty() {
                        inner.search.published(&plan.tenant);
                        inner.heads.published(&plan.tenant);
                    }
                }
                plans.into_iter().for_each(Plan::acknowledge);
            }
            Err(error) => {
                let reason = error.to_string();
                self.frame.clear();
                self.retire();
                inner.fail_stop(reason.as_str());
                plans.into_iter().for_each(|plan| plan.fail(&reason));
            }
        }
    }

    /// Writes the frame, into a new file if it does not fit the current one; returns the number of the file.
    pub(crate) fn write(&mut self, inner: &Inner) -> Result<u64> {
        inner.check_running()?;
        let length = self.frame.bytes_len();
        let writer = match self.writer.take() {
            None => return Err(Error::Stopped("the log is closed".into())),
            Some(writer) if writer.fits(length) => writer,
            Some(full) => inner.wal.next(inner, full.watermark())?,
        };
        let writer = self.writer.insert(writer);
        let begin = std::time::Instant::now();
        writer
            .commit(&mut self.frame)
            .map_err(|error| Error::Stopped(format!("wal: {error}")))?;
        metrics::histogram!("attestore_wal_write_seconds").record(begin.elapsed().as_secs_f64());
        self.open = true;
        inner.guard.wrote(length);
        Ok(writer.spec().number)
    }

    /// The frame being built, for recovery.
    pub(crate) fn frame(&mut self) -> &mut FrameBuilder {
        &mut self.frame
    }
}

/// Sorts requests by tenant and gives every record its place.
fn plan(inner: &Inner, batch: &mut Vec<Request>) -> Vec<Plan> {
    let now_ms = inner.clock.now_ms();
    let mut plans: Vec<Plan> = Vec::new();
    let mut by_tenant: HashMap<TenantId, usize> = HashMap::new();
    for request in batch.drain(..) {
        if let Err(error) = admit(inner, &request) {
            let _ = request.reply.send(Reply::Refused(error));
            continue;
        }
        let index = *by_tenant.entry(request.tenant.id).or_insert_with(|| {
            plans.push(Plan::new(&request.tenant, now_ms));
            plans.len() - 1
        });
        plans[index].add(request);
    }
    plans
}

/// The last look before a record is stored.
fn admit(inner: &Inner, request: &Request) -> Result<(), AppendError> {
    if let Some(reason) = inner.stopped() {
        return Err(AppendError::Stopped(reason));
    }
    inner.guard.admit(inner, &request.tenant, request.internal)
}

/// The committer's thread: commits while there is work, and covers the last frame when it pauses.
pub(crate) fn run(inner: &std::sync::Weak<Inner>) {
    let Some(first) = inner.upgrade() else { return };
    first.queue.attach();
    let spin = Duration::from_micros(first.settings.committer_spin_us);
    let gather_max = Duration::from_micros(first.settings.committer_gather_us);
    drop(first);
    let mut idle = false;
    let mut spinning = Spinning::default();
    let mut last = 0;
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if last >= GATHER_MIN {
            gather(&inner.queue, gather_max);
        }
        last = inner.committer.lock().step(&inner);
        if last > 0 {
            idle = false;
            continue;
        }
        if inner.queue.is_closed() && inner.queue.is_empty() {
            return;
        }
        if idle {
            inner.committer.lock().close_frame(&inner);
        }
        let timeout = if idle { IDLE } else { CLOSING };
        let spin = if idle || !spinning.worth_it() {
            Duration::ZERO
        } else {
            spin
        };
        let came = inner.queue.wait(spin, timeout);
        if !spin.is_zero() {
            spinning.ended(came);
        }
        idle = inner.queue.is_empty();
    }
}

/// Lets more requests come as long as more keep coming. Where requests wait for a core, not for the disk, each frame takes CPU
/// from them: fewer and larger ones leave more.
fn gather(queue: &Queue, at_most: Duration) {
    let begin = std::time::Instant::now();
    let mut waiting = queue.len();
    while waiting > 0 && waiting < GATHERED && begin.elapsed() < at_most {
        std::thread::sleep(GATHER_STEP);
        let now = queue.len();
        if now == waiting {
            return;
        }
        waiting = now;
    }
}

/// Whether spinning lately caught the next request. Where it does not, it takes a core from those who prepare requests.
#[derive(Default)]
struct Spinning {
    failed: u32,
    skipped: u32,
}

impl Spinning {
    /// Says whether to spin now: always after it worked, now and then after it did not.
    fn worth_it(&mut self) -> bool {
        if self.failed < FAILED_MAX || self.skipped >= SKIP {
            self.skipped = 0;
            return true;
        }
        self.skipped += 1;
        false
    }

    fn ended(&mut self, caught: bool) {
        self.failed = if caught { 0 } else { self.failed.saturating_add(1) };
    }
}

/// After a frame of fewer requests than this, nobody is waited for.
const GATHER_MIN: usize = 4;
/// So many are enough for a frame.
const GATHERED: usize = 256;
/// Between two looks at whether more came; the system's timer slack comes on top.
const GATHER_STEP: Duration = Duration::from_micros(30);
/// Spins without success after which most are left out.
const FAILED_MAX: u32 = 3;
/// Spins left out between two tries.
const SKIP: u32 = 63;
/// How long after the last frame a closing one is written.
const CLOSING: Duration = Duration::from_millis(20);
/// How long the idle committer sleeps at most.
const IDLE: Duration = Duration::from_millis(500);
