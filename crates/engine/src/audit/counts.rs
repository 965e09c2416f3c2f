//! What happens too often to be recorded one by one: it is counted, and the counts are recorded now and then.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::json;

use super::Intent;
use crate::{Engine, Item, instance::Inner};

/// Whom a limit refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Limited {
    /// A principal, by its id.
    Principal(String),
    /// A network: an address with its host part cut off.
    Network(IpAddr),
}

impl Limited {
    /// The network of an address: IPv4 addresses count alone, of IPv6 the first 64 bits do.
    pub fn from_address(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Counts since they were last recorded.
#[derive(Default)]
pub(crate) struct Counts {
    limited: Mutex<HashMap<(Limited, &'static str), u64>>,
    /// Refusals of those that there was no room for.
    others: AtomicU64,
    recorded_ms: AtomicU64,
    keys: Keys,
    keys_recorded_ms: AtomicU64,
}

/// Uses of keys that open what is sealed.
#[derive(Default)]
struct Keys {
    records: AtomicU64,
    personal: AtomicU64,
}

impl Engine {
    /// Counts a request that a limit refused. The counts become records every few seconds.
    pub fn limited(&self, whom: Limited, class: &'static str) {
        let counts = &self.inner.counts;
        let mut limited = counts.limited.lock();
        let key = (whom, class);
        if let Some(count) = limited.get_mut(&key) {
            *count += 1;
        } else if limited.len() < LIMITED_MAX {
            limited.insert(key, 1);
        } else {
            counts.others.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counts {
    /// Counts records that were opened for somebody; with personal fields or not.
    pub(crate) fn opened(&self, records: u64, personal: bool) {
        let count = match personal {
            true => &self.keys.personal,
            false => &self.keys.records,
        };
        count.fetch_add(records, Ordering::Relaxed);
    }
}

/// Records counts that are due: for the flusher, so nothing is waited for.
pub(crate) fn tick(inner: &std::sync::Arc<Inner>) {
    let counts = &inner.counts;
    let boot_ms = inner.clock.boot_ms();
    let mut events = Vec::new();
    if is_due(&counts.recorded_ms, boot_ms, LIMITED_EVERY_MS) {
        let limited = std::mem::take(&mut *counts.limited.lock());
        events.extend(limited.into_iter().map(|((whom, class), count)| {
            let actor = match &whom {
                Limited::Principal(id) => json!({ "type": "credential", "id": id }),
                Limited::Network(network) => json!({ "type": "network", "id": network.to_string() }),
            };
            json!({
                "action": "access.limited", "operation": "other", "outcome": "denied", "actor": actor,
                "metadata": { "class": class, "count": count },
            })
        }));
        let others = counts.others.swap(0, Ordering::Relaxed);
        if others > 0 {
            events.push(json!({
                "action": "access.limited", "operation": "other", "outcome": "denied",
                "actor": { "type": "unknown", "id": "others" }, "metadata": { "count": others },
            }));
        }
    }
    if is_due(&counts.keys_recorded_ms, boot_ms, KEYS_EVERY_MS) {
        let records = counts.keys.records.swap(0, Ordering::Relaxed);
        let personal = counts.keys.personal.swap(0, Ordering::Relaxed);
        if records + personal > 0 {
            events.push(json!({
                "action": "key.use", "operation": "other", "actor": { "type": "server", "id": "internal" },
                "metadata": { "records_opened": records, "records_opened_with_personal_fields": personal },
            }));
        }
    }
    if events.is_empty() {
        return;
    }
    // One request holds so much and no more.
    for some in events.chunks(RECORDS_AT_ONCE) {
        let engine = Engine {
            inner: std::sync::Arc::clone(inner),
        };
        let items = some.iter().map(|event| Item {
            bytes: event.to_string().into(),
            fallback_key: None,
        });
        drop(Intent::new(engine, items.collect()));
    }
}

/// Whether so much time has passed; if so, begins anew.
fn is_due(since_ms: &AtomicU64, boot_ms: u64, every_ms: u64) -> bool {
    let due = boot_ms.saturating_sub(since_ms.load(Ordering::Relaxed)) >= every_ms;
    if due {
        since_ms.store(boot_ms, Ordering::Relaxed);
    }
    due
}

/// Whom refusals are counted of between two records.
const LIMITED_MAX: usize = 1024;
const LIMITED_EVERY_MS: u64 = 5000;
const KEYS_EVERY_MS: u64 = 60_000;
const RECORDS_AT_ONCE: usize = 64;
