//! What waits for the committer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use attestore_record::{HashVersion, Kind, RecordId};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::receipt::{Appended, Receipt};
use crate::error::{AppendError, ItemError};
use crate::tenant::{Idempotency, Subject, TailGroup, Tenant};

/// One append, prepared.
pub(crate) struct Request {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) atomic: bool,
    /// Whether it is the server's own: it may use the reserve.
    pub(crate) internal: bool,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// The tenant's flush round in which idempotency keys were looked up in the segments; `None` without keys.
    pub(crate) round: Option<u64>,
    pub(crate) reply: oneshot::Sender<Reply>,
}

/// What became of one event so far.
pub(crate) enum Slot {
    /// It is to be stored.
    Draft(Draft),
    /// It was refused.
    Refused(ItemError),
    /// It is in a segment already.
    Duplicate(Receipt),
}

/// A record without seq and time.
pub(crate) struct Draft {
    pub(crate) id: RecordId,
    pub(crate) kind: Kind,
    pub(crate) class: u16,
    /// The hash function that `commitment` was made with.
    pub(crate) version: HashVersion,
    pub(crate) commitment: [u8; 32],
    /// The salt generation that `commitment` was made under.
    pub(crate) generation: u32,
    pub(crate) public: Bytes,
    pub(crate) groups: Vec<TailGroup>,
    /// Subjects that were not in the WAL yet when it was prepared.
    pub(crate) subjects: Vec<Arc<Subject>>,
    pub(crate) idempotency: Option<Idempotency>,
}

/// The committer's answer.
pub(crate) enum Reply {
    /// It is durable.
    Done(Appended),
    /// It was refused.
    Refused(AppendError),
    /// The segments changed meanwhile: look the keys up again and come back.
    Again(Vec<Slot>),
    /// Somebody whom it is about is being erased: prepare it anew, about a new handle.
    Anew,
}

/// The committer's queue. Many threads push, one takes.
pub(crate) struct Queue {
    requests: Mutex<VecDeque<Request>>,
    records: AtomicU64,
    bytes: AtomicU64,
    pending: AtomicUsize,
    sleeping: AtomicBool,
    /// Sleeping until something comes, however long that takes.
    idle: AtomicBool,
    closed: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            requests: Mutex::default(),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
            sleeping: AtomicBool::new(false),
            idle: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            thread: Mutex::new(None),
        }
    }

    /// Records and bytes that wait.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        (
            self.records.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }

    /// Queues a request; gives it back when the queue was closed. Somebody has to commit it: see [`Queue::wake`].
    pub(crate) fn push(&self, request: Request) -> Result<(), Request> {
        let mut requests = self.requests.lock();
        if self.closed.load(Ordering::Acquire) {
            return Err(request);
        }
        self.records.fetch_add(request.records, Ordering::Relaxed);
        self.bytes.fetch_add(request.bytes, Ordering::Relaxed);
        requests.push_back(request);
        self.pending.store(requests.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Takes requests of about `bytes` together, at least one, if there is any.
    pub(crate) fn take(&self, bytes: u64, into: &mut Vec<Request>) {
        let mut requests = self.requests.lock();
        let (mut taken, mut records) = (0, 0);
        while let Some(request) =
            requests.pop_front_if(|next| taken == 0 || taken + next.bytes + REQUEST_OVERHEAD <= bytes)
        {
            taken += request.bytes + REQUEST_OVERHEAD;
            records += request.records;
            self.bytes.fetch_sub(request.bytes, Ordering::Relaxed);
            into.push(request);
            if into.len() >= REQUESTS_MAX {
                break;
            }
        }
        self.records.fetch_sub(records, Ordering::Relaxed);
        self.pending.store(requests.len(), Ordering::SeqCst);
    }

    /// Refuses every further push.
    pub(crate) fn close(&self) {
        let _requests = self.requests.lock();
        self.closed.store(true, Ordering::Release);
    }

    /// Refuses every further push, and drops what waits unanswered: its outcome is not known.
    pub(crate) fn abandon(&self) {
        self.close();
        while !self.is_empty() {
            self.take(u64::MAX, &mut Vec::new());
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    /// Makes the calling thread the one that is woken.
    pub(crate) fn attach(&self) {
        *self.thread.lock() = Some(std::thread::current());
    }

    /// Wakes the committer's thread if it sleeps.
    pub(crate) fn wake(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.unpark();
        }
    }

    /// Wakes the committer's thread if it does not look at its watch any more.
    pub(crate) fn rouse(&self) {
        if self.idle.swap(false, Ordering::SeqCst) {
            self.unpark();
        }
    }

    fn unpark(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unpark();
        }
    }

    /// Waits until there may be work, for `timeout` at most.
    pub(crate) fn wait(&self, timeout: Duration) {
        self.sleeping.store(true, Ordering::SeqCst);
        if self.is_empty() {
            std::thread::park_timeout(timeout);
        }
        self.sleeping.store(false, Ordering::SeqCst);
    }

    /// Announces [`Queue::sleep`]: from now on [`Queue::rouse`] ends it.
    pub(crate) fn doze(&self) {
        self.idle.store(true, Ordering::SeqCst);
    }

    /// [`Queue::wait`] that [`Queue::rouse`] ends too, after [`Queue::doze`].
    pub(crate) fn sleep(&self, timeout: Duration) {
        self.wait(timeout);
        self.idle.store(false, Ordering::SeqCst);
    }
}

/// Requests in one frame: bounds its sections.
const REQUESTS_MAX: usize = 16_384;
/// What a request adds to a frame beside its records, at most: a section's head and directory entry.
const REQUEST_OVERHEAD: u64 = 256;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Queue;

    #[test]
    fn who_commits_before_the_committer_sleeps_keeps_it_awake() {
        let queue = Queue::new();
        queue.attach();
        queue.doze();
        queue.rouse();
        let begin = Instant::now();
        queue.sleep(Duration::from_secs(60));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
