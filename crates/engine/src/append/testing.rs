//! Appends of any class, for tests: what control records will be.

use std::sync::Arc;

use attestore_record::RecordId;
use tokio::sync::oneshot;

use super::prepare::Preparation;
use super::queue::{Reply, Request, Slot};
use super::receipt::Item;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// Appends records of that class; returns their ids.
pub(crate) fn append_class(inner: &Inner, tenant: &Arc<Tenant>, class: u16, items: &[Item]) -> Vec<RecordId> {
    let mut answer = queue_request(inner, tenant, class, items);
    inner.commit_all();
    match answer.try_recv() {
        Ok(Reply::Done(appended)) => appended.items.into_iter().map(|item| item.unwrap().id).collect(),
        _ => panic!("not done"),
    }
}

/// Puts records of that class into the queue.
pub(crate) fn queue_request(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    class: u16,
    items: &[Item],
) -> oneshot::Receiver<Reply> {
    let preparation = Preparation {
        inner,
        tenant,
        credential_id: "internal",
        protocol: "internal",
        now_ms: inner.clock.now_ms(),
    };
    let (mut slots, _) = preparation.run(items).unwrap();
    let generation = tenant.generation.load();
    for slot in &mut slots {
        let Slot::Draft(draft) = slot else {
            panic!("a refused event")
        };
        draft.class = class;
        draft.rehash(&generation);
    }
    let (reply, answer) = oneshot::channel();
    let request = Request {
        tenant: Arc::clone(tenant),
        records: slots.len() as u64,
        bytes: 1000,
        slots,
        atomic: true,
        internal: true,
        round: None,
        reply,
    };
    assert!(inner.queue.push(request).is_ok());
    answer
}
