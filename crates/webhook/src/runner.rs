//! Runs the watches of an engine: one task for each that is on, which waits for the next message and sends it.
//!
//! The engine keeps what is to be sent; a task that is ended at any moment leaves nothing behind that another would not find.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_engine::searches::watch::{Message, Recipient, Retry, WatchRef, Watcher};
use attestore_engine::{Engine, Error};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

use crate::client::{self, Client, Outcome};
use crate::signature::Secret;

/// Runs watches until it is dropped.
pub async fn run(engine: Engine, client: Client, retry: Retry) {
    let mut turns = Turns::default();
    let mut running = Running::default();
    loop {
        let of = engine.clone();
        match tokio::task::spawn_blocking(move || of.watches()).await {
            Ok(Ok(wanted)) => running.reconcile(wanted.into_iter().collect(), |of: &WatchRef| {
                tokio::spawn(work(
                    engine.clone(),
                    client.clone(),
                    retry,
                    of.clone(),
                    turns.of(of.tenant()),
                ))
            }),
            Ok(Err(error)) => tracing::warn!(%error, "watches cannot be read"),
            Err(error) => tracing::error!(%error, "watches cannot be read"),
        }
        tokio::select! {
            () = engine.watches_changed() => {}
            // Those that were turned off by themselves are noticed here.
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

/// The tasks, by what they work for. They end when this is dropped.
#[derive(Default)]
struct Running(HashMap<WatchRef, JoinHandle<()>>);

impl Running {
    /// Runs exactly these: how many there may be is said where they are set.
    fn reconcile(&mut self, wanted: HashSet<WatchRef>, mut start: impl FnMut(&WatchRef) -> JoinHandle<()>) {
        self.0.retain(|of, task| {
            let stays = wanted.contains(of) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        for of in wanted {
            self.0.entry(of).or_insert_with_key(&mut start);
        }
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        metrics::gauge!("attestore_watches").set(f64::from(count));
    }
}

/// Whose turn it is to send: a few at once of each tenant, so that no tenant's slow receivers hold up those of others, and so
/// many in all.
struct Turns {
    all: Arc<Semaphore>,
    /// Of the tenants that have watches.
    own: HashMap<String, Arc<Semaphore>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(SENT_AT_ONCE)),
            own: HashMap::new(),
        }
    }
}

impl Turns {
    /// Those of a tenant.
    fn of(&mut self, tenant: &str) -> Turn {
        // Whom nobody works for any more is forgotten.
        self.own
            .retain(|name, own| name == tenant || Arc::strong_count(own) > 1);
        let own = self.own.entry(tenant.to_owned());
        Turn {
            own: Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(SENT_AT_ONCE_OF_ONE)))),
            all: Arc::clone(&self.all),
        }
    }
}

/// The turns of one tenant.
struct Turn {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Turn {
    /// Waits for a turn: the tenant's own first, so that what waits for it keeps nobody else from theirs.
    async fn wait(&self) -> Option<(SemaphorePermit<'_>, SemaphorePermit<'_>)> {
        let own = self.own.acquire().await.ok()?;
        Some((own, self.all.acquire().await.ok()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

/// Works for one watch until it is set anew.
async fn work(engine: Engine, client: Client, retry: Retry, of: WatchRef, turn: Turn) {
    loop {
        let (from, name) = (engine.clone(), of.clone());
        let begun = tokio::task::spawn_blocking(move || from.watcher(&name)).await;
        let failed = match begun {
            Ok(Ok(mut watcher)) => {
                let error = deliver(&mut watcher, &client, retry, &turn).await;
                // Whoever looks at the watch is told; what ends it is no trouble.
                if !is_over(&error) {
                    let _ = watcher.troubled(&error).await;
                }
                error
            }
            Ok(Err(error)) => error,
            Err(error) => Error::Io(error.to_string()),
        };
        if is_over(&failed) {
            return;
        }
        tracing::warn!(code = failed.code(), error = %failed, "a watch waits after a failure");
        metrics::counter!("attestore_watch_failures_total").increment(1);
        tokio::time::sleep(AFTER_FAILURE).await;
    }
}

/// Whether there is nothing more to do for a watch.
fn is_over(error: &Error) -> bool {
    matches!(
        error,
        Error::Changed(_) | Error::NotFound(_) | Error::UnknownTenant | Error::Stopped(_)
    )
}

/// Sends one message after the other; returns why it cannot go on.
async fn deliver(watcher: &mut Watcher, client: &Client, retry: Retry, turn: &Turn) -> Error {
    loop {
        let done = async {
            let delivery = watcher.next().await?;
            let outcome = {
                let _turn = turn.wait().await;
                send(client, watcher.now_s(), delivery.to, &delivery.message).await
            };
            let id = &delivery.message.id;
            let (outcome, records) = match outcome {
                Outcome::Delivered => {
                    watcher.taken(id).await?;
                    ("delivered", delivery.message.records.len() as u64)
                }
                Outcome::Gone => {
                    watcher.gone(id).await?;
                    ("gone", 0)
                }
                Outcome::Failed { reason, retry_after } => {
                    let after = retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                    match watcher.refused(id, reason, after, retry).await? {
                        true => ("dead", 0),
                        false => ("failed", 0),
                    }
                }
            };
            metrics::counter!("attestore_watch_attempts_total", "outcome" => outcome).increment(1);
            metrics::counter!("attestore_watch_records_total").increment(records);
            Ok::<(), Error>(())
        };
        if let Err(error) = done.await {
            return error;
        }
    }
}

async fn send(client: &Client, timestamp_s: u64, to: Recipient, message: &Message) -> Outcome {
    let begin = Instant::now();
    let body = match body(message) {
        Ok(body) => body,
        Err(error) => {
            return Outcome::Failed {
                reason: format!("the message cannot be written: {error}"),
                retry_after: None,
            };
        }
    };
    let secret = Secret::from_bytes(to.secret.0.to_vec());
    let signed = client::Message {
        id: &message.id,
        timestamp_s,
        body,
    };
    let outcome = client.send(&to.url, &secret, signed).await;
    metrics::histogram!("attestore_watch_attempt_seconds").record(begin.elapsed().as_secs_f64());
    outcome
}

/// The body of a message (Standard Webhooks, "Payload structure").
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    /// When it was made.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    tenant: &'a str,
    /// Name of the log.
    origin: &'a str,
    search: Search<'a>,
    /// Records that match.
    count: usize,
    first_seq: Option<u64>,
    last_seq: Option<u64>,
    records: Vec<Record<'a>>,
    /// Seqs that are no longer held and were not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<Gap>,
}

#[derive(Serialize)]
struct Search<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Gap {
    first: u64,
    last: u64,
}

#[derive(Serialize)]
struct Record<'a> {
    seq: u64,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
}

fn body(message: &Message) -> serde_json::Result<Bytes> {
    let mut records = Vec::with_capacity(message.records.len());
    for (at, (seq, id)) in message.records.iter().enumerate() {
        let view = message.views.as_ref().and_then(|views| views.get(at));
        let event = view.map(|view| serde_json::from_str::<&RawValue>(&view.event));
        records.push(Record {
            seq: *seq,
            id,
            received_at: view.map(|view| rfc3339(view.received_at_ms)),
            kind: view.map(|view| view.kind),
            event: event.transpose()?,
        });
    }
    let body = Body {
        ty: "search.matched",
        timestamp: rfc3339(message.made_ms),
        data: Data {
            tenant: &message.tenant,
            origin: &message.origin,
            search: Search {
                id: &message.search,
                name: &message.search_name,
            },
            count: message.records.len(),
            first_seq: message.records.first().map(|(seq, _)| *seq),
            last_seq: message.records.last().map(|(seq, _)| *seq),
            records,
            gaps: message
                .gaps
                .iter()
                .map(|(first, last)| Gap {
                    first: *first,
                    last: *last,
                })
                .collect(),
        },
    };
    serde_json::to_vec(&body).map(Bytes::from)
}

fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| ms.to_string(), |time| format!("{time:.3}"))
}

/// Requests under way, of all watches, and of those of one tenant.
const SENT_AT_ONCE: usize = 64;
const SENT_AT_ONCE_OF_ONE: usize = 4;
/// How often is looked at what is on, when nobody tells.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long a watch waits when the engine cannot find or keep its messages.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_whose_receivers_are_slow_takes_no_turn_of_others() {
        let mut turns = Turns::default();
        let slow = turns.of("slow");
        let mut held = Vec::new();
        for _ in 0..SENT_AT_ONCE_OF_ONE {
            held.push(slow.wait().await);
        }
        let another = turns.of("slow");
        assert!(at_once(another.wait()).await.is_none());
        assert!(at_once(turns.of("other").wait()).await.is_some());
        held.clear();
        assert!(at_once(another.wait()).await.is_some());
    }

    /// What a future gives at once, if it does.
    async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
