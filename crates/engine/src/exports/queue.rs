//! Jobs in memory: which wait, which one is being worked on and how far it is, and when which one expires.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use attestore_record::TenantId;
use parking_lot::Mutex;

use super::handoff::Handed;
use super::row::{ExportState, JobKey, JobRow, all_jobs};
use crate::Result;
use crate::catalog::Catalog;
use crate::search::wake::Wake;

/// The exports of an instance.
#[derive(Default)]
pub(crate) struct Exports {
    state: Mutex<State>,
    wake: Arc<Wake>,
    /// One change of jobs by a caller at a time: what is checked against limits still holds when it is written.
    pub(super) changes: Mutex<()>,
    /// What the background thread has the flusher do.
    pub(super) handed: Mutex<Option<Handed>>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<JobKey>,
    running: Option<(JobKey, Arc<Live>)>,
    /// When something is to be done about a job whose state does not change any more.
    due: BTreeSet<(u64, JobKey)>,
}

impl State {
    fn active(&self) -> usize {
        self.waiting.len() + usize::from(self.running.is_some())
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge of a few hundred at most")]
    fn show(&self) {
        metrics::gauge!("attestore_exports_active").set(self.active() as f64);
    }
}

/// A job that is being worked on, beyond what its row says.
#[derive(Default)]
pub(crate) struct Live {
    cancelled: AtomicBool,
    /// Every match below it was taken up.
    pub(super) next_seq: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Live {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Exports {
    /// Takes up the jobs of the catalog.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let exports = Self::default();
        let mut jobs = all_jobs(catalog)?;
        jobs.sort_by_key(|(_, row)| row.created_ms);
        {
            let mut state = exports.state.lock();
            for (key, row) in &jobs {
                if row.state.is_active() && !row.deleted {
                    state.waiting.push_back(*key);
                }
                state.due.insert((due(row), *key));
            }
        }
        Ok(exports)
    }

    pub(crate) fn wake(&self) -> Arc<Wake> {
        Arc::clone(&self.wake)
    }

    /// Number of jobs that wait or are being worked on.
    pub(crate) fn active(&self) -> usize {
        self.state.lock().active()
    }

    /// Puts a job in the queue, if it is not in it.
    pub(super) fn enqueue(&self, key: JobKey) {
        let mut state = self.state.lock();
        let runs = state.running.as_ref().is_some_and(|(running, _)| *running == key);
        if !runs && !state.waiting.contains(&key) {
            state.waiting.push_back(key);
        }
        state.show();
        drop(state);
        self.wake.notify();
    }

    /// Takes the next job.
    pub(super) fn begin(&self) -> Option<(JobKey, Arc<Live>)> {
        let mut state = self.state.lock();
        let key = state.waiting.pop_front()?;
        let live = Arc::new(Live::default());
        state.running = Some((key, Arc::clone(&live)));
        Some((key, live))
    }

    /// Gives a job back; `more` puts it behind the others.
    pub(super) fn end(&self, key: JobKey, more: bool) {
        let mut state = self.state.lock();
        state.running = None;
        if more && !state.waiting.contains(&key) {
            state.waiting.push_back(key);
        }
        state.show();
    }

    /// Whether other jobs wait.
    pub(super) fn others_wait(&self) -> bool {
        !self.state.lock().waiting.is_empty()
    }

    /// How far a job is that is being worked on.
    pub(super) fn live(&self, key: &JobKey) -> Option<Arc<Live>> {
        let state = self.state.lock();
        let (running, live) = state.running.as_ref()?;
        (running == key).then(|| Arc::clone(live))
    }

    /// Stops work on a job.
    pub(super) fn cancel(&self, key: &JobKey) {
        let mut state = self.state.lock();
        state.waiting.retain(|waiting| waiting != key);
        state.show();
        if let Some((running, live)) = &state.running
            && running == key
        {
            live.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Notes what a job's row says.
    pub(super) fn note(&self, key: JobKey, row: &JobRow) {
        let mut state = self.state.lock();
        state.due.retain(|(_, known)| *known != key);
        state.due.insert((due(row), key));
        drop(state);
        if row.deleted {
            self.wake.notify();
        }
    }

    /// Forgets a job.
    pub(super) fn forget(&self, key: &JobKey) {
        self.state.lock().due.retain(|(_, known)| known != key);
    }

    /// Forgets the jobs of a tenant that was destroyed, and ends the one that is being worked on.
    pub(crate) fn forget_tenant(&self, tenant: &TenantId) {
        let mut state = self.state.lock();
        state.waiting.retain(|(of, _)| of != tenant);
        state.due.retain(|(_, (of, _))| of != tenant);
        state.show();
        if let Some(((of, _), live)) = &state.running
            && of == tenant
        {
            live.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// A job about which something is to be done.
    pub(super) fn due(&self, now_ms: u64) -> Option<JobKey> {
        let state = self.state.lock();
        let running = state.running.as_ref().map(|(key, _)| *key);
        let due = state.due.iter().take_while(|(at, _)| *at <= now_ms);
        due.map(|(_, key)| *key).find(|key| Some(*key) != running)
    }

    /// Puts off what could not be done.
    pub(super) fn put_off(&self, key: JobKey, until_ms: u64) {
        let mut state = self.state.lock();
        state.due.retain(|(_, known)| *known != key);
        state.due.insert((until_ms, key));
    }

    /// Stops everything.
    pub(crate) fn stop(&self) {
        self.wake.stop();
    }
}

/// When something is to be done about a job.
fn due(row: &JobRow) -> u64 {
    match (row.deleted, row.state) {
        (true, _) => 0,
        (false, ExportState::Queued | ExportState::Running) => u64::MAX,
        (false, _) => row.expires_ms,
    }
}
