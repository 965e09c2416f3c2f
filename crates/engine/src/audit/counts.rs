//! What happens too often to be recorded one by one: it is counted, and the counts are recorded now and then.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use serde_json::{Value, json};

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
        self.inner.counts.add((whom, class), 1);
    }
}

impl Counts {
    fn add(&self, key: (Limited, &'static str), count: u64) {
        let mut limited = self.limited.lock();
        if let Some(held) = limited.get_mut(&key) {
            *held = held.saturating_add(count);
        } else if limited.len() < LIMITED_MAX {
            limited.insert(key, count);
        } else {
            self.others.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Counts once more what could not be recorded.
    fn put_back(&self, due: &Due) {
        match due {
            Due::Limited(key, count) => self.add(key.clone(), *count),
            Due::Others(count) => {
                self.others.fetch_add(*count, Ordering::Relaxed);
            }
            Due::Keys { records, personal } => {
                self.opened(*records, false);
                self.opened(*personal, true);
            }
        }
    }

    /// Counts records that were opened for somebody; with personal fields or not.
    pub(crate) fn opened(&self, records: u64, personal: bool) {
        let count = match personal {
            true => &self.keys.personal,
            false => &self.keys.records,
        };
        count.fetch_add(records, Ordering::Relaxed);
    }
}

/// A count that is to be recorded.
enum Due {
    Limited((Limited, &'static str), u64),
    Others(u64),
    Keys { records: u64, personal: u64 },
}

impl Due {
    /// The event. Addresses are sealed, as those of acts are.
    fn event(&self) -> Value {
        match self {
            Self::Limited((Limited::Principal(id), class), count) => json!({
                "action": "access.limited", "operation": "other", "outcome": "denied",
                "actor": { "type": "credential", "id": id },
                "metadata": { "class": class, "count": count },
            }),
            Self::Limited((Limited::Network(network), class), count) => json!({
                "action": "access.limited", "operation": "other", "outcome": "denied",
                "actor": { "type": "network", "id": "unknown" },
                "context": { "ip": network.to_string() },
                "metadata": { "class": class, "count": count },
                "data_subjects": [{ "type": "access", "id": "of unknown", "fields": ["/context/ip"] }],
            }),
            Self::Others(count) => json!({
                "action": "access.limited", "operation": "other", "outcome": "denied",
                "actor": { "type": "unknown", "id": "others" }, "metadata": { "count": count },
            }),
            Self::Keys { records, personal } => json!({
                "action": "key.use", "operation": "other", "actor": { "type": "server", "id": "internal" },
                "metadata": { "records_opened": records, "records_opened_with_personal_fields": personal },
            }),
        }
    }
}

/// Records counts that are due: for the flusher, so nothing is waited for.
pub(crate) fn tick(inner: &std::sync::Arc<Inner>) {
    let counts = &inner.counts;
    let boot_ms = inner.clock.boot_ms();
    let mut due = Vec::new();
    if is_due(&counts.recorded_ms, boot_ms, LIMITED_EVERY_MS) {
        let limited = std::mem::take(&mut *counts.limited.lock());
        due.extend(limited.into_iter().map(|(key, count)| Due::Limited(key, count)));
        let others = counts.others.swap(0, Ordering::Relaxed);
        due.extend((others > 0).then_some(Due::Others(others)));
    }
    if is_due(&counts.keys_recorded_ms, boot_ms, KEYS_EVERY_MS) {
        let records = counts.keys.records.swap(0, Ordering::Relaxed);
        let personal = counts.keys.personal.swap(0, Ordering::Relaxed);
        due.extend((records > 0 || personal > 0).then_some(Due::Keys { records, personal }));
    }
    // One request holds so much and no more.
    for some in due.chunks(RECORDS_AT_ONCE) {
        let engine = Engine {
            inner: std::sync::Arc::clone(inner),
        };
        let items = some.iter().map(|due| Item {
            bytes: due.event().to_string().into(),
            fallback_key: None,
        });
        if Intent::new(engine, items.collect()).is_refused() {
            some.iter().for_each(|due| counts.put_back(due));
        }
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
