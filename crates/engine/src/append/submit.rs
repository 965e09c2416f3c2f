//! From a call to the queue and back.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::prepare::Preparation;
use super::queue::{Reply, Request, Slot};
use super::receipt::{Appended, Item, Mode, Receipt};
use crate::credentials::{Permission, Principal};
use crate::error::AppendError;
use crate::forget::rectify::PROTOCOL;
use crate::heads::HEADS_TENANT;
use crate::instance::{Engine, Inner, OpenMode, SYSTEM_TENANT};
use crate::tenant::Tenant;
use crate::{Error, Result, idempotency};

impl Engine {
    /// Appends events to a tenant's log; returns when they are durable.
    ///
    /// Parsing, sealing and hashing run on the calling task before the first suspension. Dropping the future does not
    /// take back what was handed to the committer.
    ///
    /// # Errors
    /// [`AppendError`] when the append as a whole was refused or its outcome is not known; an event that was refused
    /// alone is in [`Appended::items`].
    pub async fn append(
        &self,
        tenant: &str,
        by: &Principal,
        protocol: &str,
        items: Vec<Item>,
        mode: Mode,
    ) -> Result<Appended, AppendError> {
        check(tenant, by)?;
        let charge = crate::quotas::charge(&self.inner, tenant, &items)?;
        let appended = run(&self.inner, tenant, &by.id, protocol, items, mode, false).await;
        settle(charge, appended)
    }

    /// [`Engine::append`] for threads that may block.
    ///
    /// # Errors
    /// As [`Engine::append`].
    pub fn append_blocking(
        &self,
        tenant: &str,
        by: &Principal,
        protocol: &str,
        items: Vec<Item>,
        mode: Mode,
    ) -> Result<Appended, AppendError> {
        check(tenant, by)?;
        let charge = crate::quotas::charge(&self.inner, tenant, &items)?;
        let appended = block_on(run(&self.inner, tenant, &by.id, protocol, items, mode, false));
        settle(charge, appended)
    }
}

/// Gives back what an append was charged of which surely nothing is stored.
fn settle(
    charge: crate::quotas::Charge,
    appended: Result<Appended, AppendError>,
) -> Result<Appended, AppendError> {
    if appended
        .as_ref()
        .is_err_and(|error| !matches!(error, AppendError::Stopped(_)))
    {
        charge.give_back();
    }
    appended
}

/// Appends one of the server's own events to `_system`.
pub(crate) fn append_internal(inner: &Inner, event: &[u8]) -> Result<()> {
    append_internal_all(inner, &[event])
}

/// As [`append_internal`], several at once: all or none.
pub(crate) fn append_internal_all<E: AsRef<[u8]>>(inner: &Inner, events: &[E]) -> Result<()> {
    let item = |event: &E| Item {
        bytes: Bytes::copy_from_slice(event.as_ref()),
        fallback_key: None,
    };
    let appended = block_on(run(
        inner,
        SYSTEM_TENANT,
        INTERNAL,
        INTERNAL,
        events.iter().map(item).collect(),
        Mode::Atomic,
        true,
    ))?;
    debug_assert!(
        appended.items.iter().all(Result::is_ok),
        "atomic mode refuses as a whole"
    );
    Ok(())
}

/// Appends corrections of a tenant's records: all or none.
pub(crate) fn append_corrections(
    inner: &Inner,
    tenant: &str,
    by: &Principal,
    events: Vec<Item>,
) -> Result<Appended, AppendError> {
    let charge = crate::quotas::charge(inner, tenant, &events)?;
    let appended = block_on(run(inner, tenant, &by.id, PROTOCOL, events, Mode::Atomic, false));
    settle(charge, appended)
}

/// Appends events of the server's own to `_system`.
pub(crate) async fn append_own(inner: &Inner, items: Vec<Item>) -> Result<(), AppendError> {
    let appended = run(
        inner,
        SYSTEM_TENANT,
        INTERNAL,
        INTERNAL,
        items,
        Mode::Atomic,
        true,
    );
    appended.await.map(drop)
}

fn check(tenant: &str, by: &Principal) -> Result<(), AppendError> {
    by.check(tenant, Permission::Append)?;
    if [SYSTEM_TENANT, HEADS_TENANT].contains(&tenant) {
        return Err(Error::Forbidden.into());
    }
    Ok(())
}

async fn run(
    inner: &Inner,
    tenant: &str,
    credential_id: &str,
    protocol: &str,
    items: Vec<Item>,
    mode: Mode,
    internal: bool,
) -> Result<Appended, AppendError> {
    inner
        .check_running()
        .map_err(|error| AppendError::Stopped(error.to_string()))?;
    let tenant = inner.tenant(tenant)?;
    inner.guard.check(inner, &tenant, &items, internal)?;
    let now_ms = inner.clock.now_ms();
    let preparation = Preparation {
        inner,
        tenant: &tenant,
        credential_id,
        protocol,
        now_ms,
    };
    let (mut slots, mut keyed) = preparation.run(&items)?;
    let atomic = mode == Mode::Atomic;
    if atomic {
        refuse_all(&slots)?;
    }
    loop {
        let round = if keyed {
            Some(look_up(inner, &tenant, &mut slots, now_ms)?)
        } else {
            None
        };
        let (reply, answer) = oneshot::channel();
        let drafts = slots.iter().filter_map(|slot| match slot {
            Slot::Draft(draft) => Some(draft.bytes_len()),
            Slot::Refused(_) | Slot::Duplicate(_) => None,
        });
        let (records, bytes) = drafts.fold((0, 0), |(records, bytes), draft| (records + 1, bytes + draft));
        let bytes_max = inner.settings.request_bytes_max();
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes_max });
        }
        let request = Request {
            tenant: Arc::clone(&tenant),
            slots,
            atomic,
            internal,
            records,
            bytes,
            round,
            reply,
        };
        inner.queue.push(request).map_err(|_| AppendError::Closing)?;
        if inner.mode == OpenMode::Inline {
            inner.commit_all();
        } else if internal || !super::commit::lead(inner, bytes) {
            inner.queue.wake();
        }
        match answer.await {
            Ok(Reply::Done(appended)) => return Ok(appended),
            Ok(Reply::Refused(error)) => return Err(error),
            Ok(Reply::Again(back)) => slots = back,
            Ok(Reply::Anew) => (slots, keyed) = preparation.run(&items)?,
            Err(_) => {
                let reason = inner.stopped().unwrap_or_else(|| "the committer is gone".into());
                return Err(AppendError::Stopped(reason));
            }
        }
    }
}

/// Refuses the whole append if any of it was refused.
fn refuse_all(slots: &[Slot]) -> Result<(), AppendError> {
    let errors: Vec<_> = slots
        .iter()
        .enumerate()
        .filter_map(|(index, slot)| match slot {
            Slot::Refused(error) => Some((index, error.clone())),
            Slot::Draft(_) | Slot::Duplicate(_) => None,
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(AppendError::Refused { errors })
    }
}

/// Answers what is in segments already. Returns the flush round in which it looked.
fn look_up(inner: &Inner, tenant: &Arc<Tenant>, slots: &mut [Slot], now_ms: u64) -> Result<u64> {
    // The round first: a flush that ends in between makes the committer send the append back.
    let round = tenant.core.lock().round;
    let keyed = slots.iter().enumerate().filter_map(|(at, slot)| match slot {
        Slot::Draft(draft) => Some((at, draft.idempotency?)),
        Slot::Refused(_) | Slot::Duplicate(_) => None,
    });
    let (places, wanted): (Vec<usize>, Vec<_>) = keyed.unzip();
    let found = crate::read::snapshot(tenant, |view| {
        idempotency::lookup(inner, tenant, view, &wanted, now_ms)
    })?;
    for (place, first) in found {
        let own = &wanted[place];
        slots[places[place]] = super::assign::answer(&first, own);
    }
    Ok(round)
}

impl Receipt {
    pub(crate) fn repeated(first: &idempotency::First) -> Self {
        Self {
            id: first.id,
            seq: first.seq,
            received_at_ms: first.time_ms(),
            entry: first.entry,
            duplicate: true,
        }
    }
}

/// Runs a future on this thread, also inside of an async runtime's blocking section.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Credential and protocol of the server's own events.
pub(super) const INTERNAL: &str = "internal";
