//! Control records: what the server itself writes into a tenant's log.

use std::sync::Arc;

use attestore_keys::random_array;
use attestore_record::commitment::{PUBLIC_LABEL, record_commitment};
use attestore_record::entry::CLASS_CONTROL;
use attestore_record::{Envelope, Kind, RecordId, control};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;

use super::queue::{Draft, Reply, Request, Slot};
use super::receipt::Receipt;
use super::submit::{INTERNAL, block_on};
use crate::error::AppendError;
use crate::instance::{Inner, OpenMode};
use crate::tenant::Tenant;
use crate::{Error, Result};

/// Appends a control record and commits it on this thread: for the start, when nobody else commits yet.
///
/// # Errors
/// As [`append_control`].
pub(crate) fn commit_control(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    kind: Kind,
    control: &impl Serialize,
) -> Result<Receipt> {
    let answer = enqueue(inner, tenant, INTERNAL, kind, control)?;
    inner.commit_all();
    receipt(answer)
}

/// Appends a control record; durable on return. `control` serialises to an object with a string `type` and holds no
/// identifiers of people.
///
/// # Errors
/// As appends; like the server's own events it may use the reserve.
pub(crate) fn append_control(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    credential_id: &str,
    kind: Kind,
    control: &impl Serialize,
) -> Result<Receipt> {
    let answer = enqueue(inner, tenant, credential_id, kind, control)?;
    if inner.mode == OpenMode::Inline {
        inner.commit_all();
    } else {
        inner.queue.wake();
    }
    receipt(answer)
}

/// A control record that is to be committed.
pub(crate) struct Waiting(oneshot::Receiver<Reply>);

impl Waiting {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// As [`append_control`].
    pub(crate) fn wait(self, inner: &Inner) -> Result<Receipt> {
        if inner.mode == OpenMode::Inline {
            inner.commit_all();
        } else {
            inner.queue.wake();
        }
        receipt(self.0)
    }
}

/// Puts a control record into the queue. Nobody may wait for it but by [`Waiting::wait`].
///
/// # Errors
/// As [`append_control`].
pub(crate) fn enqueue_control(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    kind: Kind,
    control: &impl Serialize,
) -> Result<Waiting> {
    enqueue(inner, tenant, INTERNAL, kind, control).map(Waiting)
}

fn enqueue(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    credential_id: &str,
    kind: Kind,
    control: &impl Serialize,
) -> Result<oneshot::Receiver<Reply>> {
    inner.guard.check(inner, tenant, &[], true)?;
    let draft = draft(inner, tenant, credential_id, kind, control)?;
    let (reply, answer) = oneshot::channel();
    let request = Request {
        tenant: Arc::clone(tenant),
        records: 1,
        bytes: draft.bytes_len(),
        slots: vec![Slot::Draft(draft)],
        atomic: true,
        internal: true,
        round: None,
        reply,
    };
    inner.queue.push(request).map_err(|_| AppendError::Closing)?;
    Ok(answer)
}

fn receipt(answer: oneshot::Receiver<Reply>) -> Result<Receipt> {
    let stopped = |reason: &str| Error::from(AppendError::Stopped(reason.to_owned()));
    match block_on(answer) {
        Ok(Reply::Done(appended)) => match appended.items.into_iter().next() {
            Some(Ok(receipt)) => Ok(receipt),
            Some(Err(_)) | None => Err(stopped("a control record without a receipt")),
        },
        Ok(Reply::Refused(error)) => Err(error.into()),
        Ok(Reply::Again(_) | Reply::Anew) | Err(_) => Err(stopped("the committer is gone")),
    }
}

fn draft(
    inner: &Inner,
    tenant: &Tenant,
    credential_id: &str,
    kind: Kind,
    control: &impl Serialize,
) -> Result<Draft> {
    let id = RecordId::new(inner.clock.now_ms(), random_array(&*inner.entropy));
    let envelope = Envelope {
        id,
        tenant: tenant.id,
        protocol: "internal",
        credential_id,
    };
    let public = control::encode(&envelope, control).map_err(|error| Error::Io(error.to_string()))?;
    let generation = tenant.generation.load();
    let version = tenant.hash_version();
    let salt = generation.salt_key(CLASS_CONTROL).salt(&id, PUBLIC_LABEL);
    Ok(Draft {
        id,
        kind,
        class: CLASS_CONTROL,
        version,
        commitment: record_commitment(version, &salt, &public, &mut []),
        generation: generation.number,
        public: Bytes::from(public),
        groups: Vec::new(),
        subjects: Vec::new(),
        idempotency: None,
    })
}
