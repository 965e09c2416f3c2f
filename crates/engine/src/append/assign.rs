//! Gives records their seq and time and extends one tenant's tree, for one frame.

use std::sync::Arc;

use attestore_record::Entry;
use attestore_tlog::leaf_hash;
use hashbrown::HashMap;

use super::queue::{Draft, Reply, Request, Slot};
use super::receipt::{Appended, Receipt, Tree};
use crate::error::{AppendError, ItemError};
use crate::idempotency::{First, may_be_one};
use crate::tenant::{Idempotency, Subject, SubjectState, TailRecord, Tenant, View};

/// What one tenant gets in the frame at hand.
pub(super) struct Plan {
    pub(super) tenant: Arc<Tenant>,
    /// The view as it will be; not published yet.
    pub(super) view: View,
    pub(super) first_seq: u64,
    pub(super) records: Vec<Arc<TailRecord>>,
    pub(super) subjects: Vec<Arc<Subject>>,
    pub(super) bytes: u64,
    time_ms: u64,
    /// From when on idempotency keys are known.
    known_since_ms: u64,
    /// Keys of records in this frame, beside those the core knows.
    keys: HashMap<u64, First>,
    answers: Vec<Answer>,
}

struct Answer {
    request: tokio::sync::oneshot::Sender<Reply>,
    items: Vec<Result<Receipt, ItemError>>,
}

impl Plan {
    pub(super) fn new(tenant: &Arc<Tenant>, now_ms: u64, known_since_ms: u64) -> Self {
        let view = View::clone(&tenant.view.load());
        Self {
            time_ms: view.last_time_ms.max(now_ms),
            known_since_ms,
            first_seq: view.size,
            view,
            tenant: Arc::clone(tenant),
            records: Vec::new(),
            subjects: Vec::new(),
            bytes: 0,
            keys: HashMap::new(),
            answers: Vec::new(),
        }
    }

    /// Adds a request's records; answers at once what is refused as a whole.
    pub(super) fn add(&mut self, request: Request) {
        let stale = request
            .round
            .is_some_and(|round| round + 1 < self.tenant.core.lock().round);
        if stale || self.is_for_segments(&request) {
            let _ = request.reply.send(Reply::Again(request.slots));
            return;
        }
        if self.is_about_leaving(&request.slots) {
            let _ = request.reply.send(Reply::Anew);
            return;
        }
        if request.atomic
            && let Some(errors) = self.conflicts(&request.slots)
        {
            let _ = request
                .reply
                .send(Reply::Refused(AppendError::Refused { errors }));
            return;
        }
        let items = request.slots.into_iter().map(|slot| self.item(slot)).collect();
        self.answers.push(Answer {
            request: request.reply,
            items,
        });
    }

    /// Publishes the view and what goes with it: everything is durable now.
    pub(super) fn publish(&self, wal: u64, boot_ms: u64) {
        if self.records.is_empty() {
            return;
        }
        let mut core = self.tenant.core.lock();
        core.tail_bytes += self.bytes;
        core.tail_since_ms.get_or_insert(boot_ms);
        if core.wal_runs.back().is_none_or(|(_, last)| *last != wal) {
            core.wal_runs.push_back((self.first_seq, wal));
        }
        for (key, first) in &self.keys {
            core.known.insert(*key, *first);
        }
        drop(core);
        self.tenant.view.store(Arc::new(self.view.clone()));
    }

    /// Answers everybody.
    pub(super) fn acknowledge(self) {
        let tree = Tree {
            origin: self.tenant.origin.clone(),
            size: self.view.size,
            root: self.view.root,
        };
        for answer in self.answers {
            // Nobody may be waiting any more; the record is stored all the same.
            let _ = answer.request.send(Reply::Done(Appended {
                items: answer.items,
                tree: tree.clone(),
            }));
        }
    }

    /// Tells everybody that the outcome is not known.
    pub(super) fn fail(self, reason: &str) {
        for answer in self.answers {
            let _ = answer
                .request
                .send(Reply::Refused(AppendError::Stopped(reason.to_owned())));
        }
    }

    /// Whether a record is about somebody who is being erased: nothing new is written under a key that goes.
    fn is_about_leaving(&self, slots: &[Slot]) -> bool {
        let hidden = self.tenant.hidden.load();
        let leaving = |draft: &Draft| {
            let mut handles = draft.groups.iter().flat_map(|group| &group.handles);
            handles.any(|handle| hidden.is_leaving(handle))
        };
        let about = |slot: &Slot| matches!(slot, Slot::Draft(draft) if leaving(draft));
        !hidden.is_empty() && slots.iter().any(about)
    }

    fn item(&mut self, slot: Slot) -> Result<Receipt, ItemError> {
        let draft = match slot {
            Slot::Refused(error) => return Err(error),
            Slot::Duplicate(receipt) => return Ok(receipt),
            Slot::Draft(draft) => draft,
        };
        if let Some(own) = draft.idempotency
            && let Some(first) = self.known(&own)
        {
            return match answer(&first, &own) {
                Slot::Duplicate(receipt) => Ok(receipt),
                Slot::Refused(error) => Err(error),
                Slot::Draft(_) => unreachable!("an answer is a receipt or a refusal"),
            };
        }
        Ok(self.store(draft))
    }

    fn store(&mut self, mut draft: Draft) -> Receipt {
        let generation = self.tenant.generation.load();
        if draft.generation != generation.number {
            draft.rehash(&generation);
        }
        let entry = Entry {
            version: draft.version,
            kind: draft.kind,
            class: draft.class,
            time_ms: self.time_ms,
            commitment: draft.commitment,
        };
        let bytes = entry.to_bytes();
        let (seq, leaf) = (self.view.size, leaf_hash(&bytes));
        self.bytes += draft.bytes_len();
        for subject in draft.subjects {
            // In the frame is as good as in the WAL: should the frame fail, nothing is written ever after.
            if subject.is(SubjectState::Pending) {
                subject.set(SubjectState::Logged);
                self.subjects.push(subject);
            }
        }
        if let Some(own) = draft.idempotency {
            let first = First {
                seq,
                id: draft.id,
                entry: bytes,
                digest: own.digest,
            };
            self.keys.insert(own.key, first);
        }
        let record = Arc::new(TailRecord {
            seq,
            id: draft.id,
            entry,
            leaf,
            generation: draft.generation,
            public: draft.public,
            groups: draft.groups,
            idempotency: draft.idempotency,
        });
        self.view.extend(Arc::clone(&record));
        self.records.push(record);
        Receipt {
            id: draft.id,
            seq,
            received_at_ms: self.time_ms,
            entry: bytes,
            duplicate: false,
        }
    }

    /// Who came first with a key. What comes now about whoever leaves is about another handle, so that nobody can tell whether it
    /// is the same event: then the key is taken at its word.
    fn known(&self, own: &Idempotency) -> Option<First> {
        let here = self.keys.get(&own.key).copied();
        let mut first = here.or_else(|| {
            self.tenant
                .core
                .lock()
                .known
                .get(own.key, self.known_since_ms)
                .copied()
        })?;
        if !may_be_one(&first.digest, &own.digest) && self.is_about_somebody_leaving(first.seq) {
            first.digest = own.digest;
        }
        Some(first)
    }

    /// Whether a record of the tail is about somebody who is being erased. Those whose keys are gone are in no tail.
    fn is_about_somebody_leaving(&self, seq: u64) -> bool {
        let hidden = self.tenant.hidden.load();
        let record = self.view.tail.get(seq);
        let mut groups = record.iter().flat_map(|record| &record.groups);
        !hidden.is_empty() && groups.any(|group| group.handles.iter().any(|handle| hidden.is_leaving(handle)))
    }

    /// Whether a key seems to be another event's, whose record a flush has taken out of the tail since the segments were asked:
    /// they know whether somebody whom it is about is gone.
    fn is_for_segments(&self, request: &Request) -> bool {
        let asked = |round| round < self.tenant.core.lock().round;
        let other = |own: &Idempotency| {
            self.known(own).is_some_and(|first| {
                first.seq < self.view.tail.start() && !may_be_one(&first.digest, &own.digest)
            })
        };
        request.round.is_some_and(asked)
            && request.slots.iter().any(|slot| match slot {
                Slot::Draft(draft) => draft.idempotency.as_ref().is_some_and(other),
                Slot::Refused(_) | Slot::Duplicate(_) => false,
            })
    }

    /// What an atomic request would be refused for.
    fn conflicts(&self, slots: &[Slot]) -> Option<Vec<(usize, ItemError)>> {
        let mut own_keys: HashMap<u64, [u8; 16]> = HashMap::new();
        let mut errors = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let error = match slot {
                Slot::Refused(error) => Some(error.clone()),
                Slot::Duplicate(_) => None,
                Slot::Draft(draft) => draft.idempotency.and_then(|own| {
                    let first = self.known(&own).map(|first| first.digest);
                    let first = first.unwrap_or_else(|| *own_keys.entry(own.key).or_insert(own.digest));
                    (!may_be_one(&first, &own.digest)).then(conflict)
                }),
            };
            errors.extend(error.map(|error| (index, error)));
        }
        (!errors.is_empty()).then_some(errors)
    }
}

impl View {
    /// Extends tree and tail by a record; the root is left to [`View::seal`].
    pub(crate) fn extend(&mut self, record: Arc<TailRecord>) {
        let mut node = None;
        self.frontier.push_with(record.leaf, |level, _, hash| {
            if level == 8 {
                node = Some(hash);
            }
        });
        self.size += 1;
        self.last_time_ms = record.entry.time_ms;
        self.tail.push(record, node);
    }

    /// Computes the root once the records of a frame are in.
    pub(crate) fn seal(&mut self) {
        self.root = self.frontier.root();
    }
}

/// What a key that is known is answered with.
pub(super) fn answer(first: &First, own: &Idempotency) -> Slot {
    if may_be_one(&first.digest, &own.digest) {
        Slot::Duplicate(Receipt::repeated(first))
    } else {
        Slot::Refused(conflict())
    }
}

fn conflict() -> ItemError {
    ItemError {
        code: "idempotency_conflict",
        path: "/idempotency_key".into(),
        message: "another event came with this idempotency key".into(),
        status: 409,
    }
}
