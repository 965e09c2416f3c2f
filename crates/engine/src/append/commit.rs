//! The committer: everything that waits goes into one frame, is written with one write, and only then shown.
//!
//! # Errors
//! Any failure to write, and any panic meanwhile, is final for the process: those who wait are told that the outcome is not
//! known, and nothing is written ever after.

use std::time::Duration;

use attestore_record::TenantId;
use attestore_wal::{FrameBuilder, Position, Writer};
use hashbrown::HashMap;
use parking_lot::MutexGuard;

use super::assign::Plan;
use super::queue::{Queue, Reply, Request};
use super::section::{self, SectionHead};
use crate::error::AppendError;
use crate::instance::Inner;
use crate::{Error, Result, idempotency};

/// Writes the log. Behind a lock: whoever holds it is the committer.
pub(crate) struct Committer {
    writer: Option<Writer>,
    frame: FrameBuilder,
    batch: Vec<Request>,
    /// Whether the last frame's watermark does not cover it yet.
    open: bool,
    /// Frames written, and requests in the last of them.
    frames: u64,
    last: usize,
}

impl Committer {
    pub(crate) fn new(writer: Option<Writer>) -> Self {
        Self {
            writer,
            frame: FrameBuilder::new(),
            batch: Vec::new(),
            open: false,
            frames: 0,
            last: 0,
        }
    }

    /// D: everything before it is synced.
    pub(crate) fn watermark(&self) -> Option<Position> {
        self.writer.as_ref().map(Writer::watermark)
    }

    /// Commits what waits, one frame at most; returns how many requests that were.
    pub(crate) fn step(&mut self, inner: &Inner) -> usize {
        let _fence = Fence(inner);
        let mut batch = std::mem::take(&mut self.batch);
        inner.queue.take(inner.settings.frame_bytes(), &mut batch);
        let requests = batch.len();
        if requests > 0 {
            self.frames += 1;
            self.last = requests;
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

    /// Begins the next file of the log, whatever room the current one has, and returns its number: everything that was written is
    /// in older ones.
    ///
    /// # Errors
    /// Final: what was written is not known.
    pub(crate) fn begin_file(&mut self, inner: &Inner) -> Result<u64> {
        inner.check_running()?;
        self.close_frame(inner);
        inner.check_running()?;
        let full = self.writer.take();
        let full = full.ok_or_else(|| Error::Stopped("the log is closed".into()))?;
        let next = inner.wal.next(inner, full.watermark());
        let writer = next.inspect_err(|error| inner.fail_stop(format!("wal: {error}")))?;
        let number = writer.spec().number;
        self.adopt(writer);
        Ok(number)
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
            self.frame.section(
                *plan.tenant.id.as_bytes(),
                plan.tenant.keys.ring().current(),
                |buf| {
                    section::write(buf, &head, &plan.subjects, plan.records.iter().map(AsRef::as_ref));
                },
            );
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
                        plan.tenant.feed.published();
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
        inner.guard.begin_write(inner.clock.boot_ms());
        writer
            .commit(&mut self.frame)
            .map_err(|error| Error::Stopped(format!("wal: {error}")))?;
        let took = begin.elapsed();
        inner.guard.end_write(took);
        metrics::histogram!("attestore_wal_write_seconds").record(took.as_secs_f64());
        self.open = true;
        inner.guard.wrote(length);
        Ok(writer.spec().number)
    }

    /// The frame being built, for recovery.
    pub(crate) fn frame(&mut self) -> &mut FrameBuilder {
        &mut self.frame
    }
}

/// Makes a panic final: what it left half done, in memory or in the frame, must not get into the log with what comes next.
struct Fence<'a>(&'a Inner);

impl Drop for Fence<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail_stop("the committer panicked");
            self.0.queue.abandon();
        }
    }
}

/// Sorts requests by tenant and gives every record its place.
fn plan(inner: &Inner, batch: &mut Vec<Request>) -> Vec<Plan> {
    let now_ms = inner.clock.now_ms();
    let known_since_ms = idempotency::since_ms(&inner.settings, now_ms);
    let mut plans: Vec<Plan> = Vec::new();
    let mut by_tenant: HashMap<TenantId, usize> = HashMap::new();
    for request in batch.drain(..) {
        if let Err(error) = admit(inner, &request) {
            let _ = request.reply.send(Reply::Refused(error));
            continue;
        }
        let index = *by_tenant.entry(request.tenant.id).or_insert_with(|| {
            plans.push(Plan::new(&request.tenant, now_ms, known_since_ms));
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

/// Commits what was just queued on the thread that queued it, if nobody else commits and requests come one by one: saves
/// waking the committer's thread and being woken by it, which takes longer than everything else but the write. Returns
/// false when the thread has to do it.
pub(crate) fn lead(inner: &Inner, bytes: u64) -> bool {
    if bytes > LEAD_BYTES_MAX || !inner.lead.may_block() {
        return false;
    }
    let Some(mut committer) = inner.committer.try_lock() else {
        return false;
    };
    let roomy = committer
        .writer
        .as_ref()
        .is_some_and(|writer| writer.fits(bytes + LEAD_ROOM));
    if committer.last >= CROWD || !roomy {
        return false;
    }
    inner.queue.rouse();
    inner.lead.begin();
    committer.step(inner);
    inner.lead.end();
    true
}

/// The committer's thread: commits while there is work, and covers the last frame when it pauses.
pub(crate) fn run(inner: &std::sync::Weak<Inner>) {
    let Some(first) = inner.upgrade() else { return };
    first.queue.attach();
    let gather_max = Duration::from_micros(first.settings.committer_gather_us);
    drop(first);
    let (mut last, mut frames) = (0, 0);
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if last >= CROWD {
            gather(&inner.queue, gather_max);
        }
        let mut committer = lock(&inner);
        last = committer.step(&inner);
        if last > 0 {
            continue;
        }
        if inner.queue.is_closed() && inner.queue.is_empty() {
            return;
        }
        if std::mem::replace(&mut frames, committer.frames) == frames {
            committer.close_frame(&inner);
            // Whatever comes next comes alone.
            committer.last = 0;
        }
        let open = committer.open;
        if open {
            drop(committer);
            inner.queue.wait(CLOSING);
        } else {
            // Before anybody else can commit: who does then knows that nobody else looks after closing that frame.
            inner.queue.doze();
            drop(committer);
            inner.queue.sleep(IDLE);
        }
    }
}

/// The committer, once it is free. Others may take it before, and stall as well.
fn lock(inner: &Inner) -> MutexGuard<'_, Committer> {
    loop {
        if let Some(committer) = inner.committer.try_lock_for(STALL) {
            return committer;
        }
        inner.lead.relieve();
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

/// A frame of so many requests says that they come from many sides at once.
const CROWD: usize = 4;
/// So many are enough for a frame.
const GATHERED: usize = 256;
/// Between two looks at whether more came; the system's timer slack comes on top.
const GATHER_STEP: Duration = Duration::from_micros(100);
/// How long after the last frame a closing one is written.
const CLOSING: Duration = Duration::from_millis(20);
/// How long the idle committer sleeps at most.
const IDLE: Duration = Duration::from_millis(500);
/// Larger requests are left to the committer's thread.
const LEAD_BYTES_MAX: u64 = 256 << 10;
/// What else may come along: changing to another file is left to the committer's thread too.
const LEAD_ROOM: u64 = 64 << 10;
/// A commit that takes longer than this is stalled.
const STALL: Duration = Duration::from_millis(2);
