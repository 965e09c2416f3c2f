//! The task that talks to the store: asks for tokens before they are needed, and goes on trying when there is no answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::store::Store;
use crate::{Limits, Ns, Redis};

/// Runs until it is dropped. `wake` is notified when there is something to ask; `now` is the clock of the limits.
pub async fn run(
    limits: Arc<Limits>,
    mut store: impl Store,
    wake: Arc<Notify>,
    settings: Redis,
    now: impl Fn() -> Ns + Send,
) {
    let patience = Duration::from_millis(settings.timeout_ms.max(1));
    let retry = Duration::from_millis(settings.retry_ms.clamp(10, 60_000));
    loop {
        // Connecting may take longer than an answer.
        if let Err(reason) = bounded(patience * 4, store.beat())
            .await
            .map(|servers| limits.beaten(servers))
        {
            if limits.failed(&[]) {
                tracing::warn!(%reason, "the shared limits do not answer: this server limits for itself");
            }
            sleep(retry).await;
            continue;
        }
        tracing::debug!("the shared limits answer");
        let reason = answering(&limits, &mut store, &wake, patience, &now).await;
        tracing::warn!(%reason, "the shared limits do not answer: this server limits for itself");
    }
}

/// Goes on until an answer fails; returns why it did.
async fn answering(
    limits: &Limits,
    store: &mut impl Store,
    wake: &Notify,
    patience: Duration,
    now: &(impl Fn() -> Ns + Send),
) -> String {
    let mut beat_at = Instant::now() + BEAT;
    loop {
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep_until(beat_at) => {}
        }
        if Instant::now() >= beat_at {
            match bounded(patience, store.beat()).await {
                Ok(servers) => limits.beaten(servers),
                Err(reason) => {
                    limits.failed(&[]);
                    return reason;
                }
            }
            beat_at = Instant::now() + BEAT;
        }
        let sent = now();
        let mut asks = limits.asks(sent);
        while !asks.is_empty() {
            let rest = asks.split_off(asks.len().min(ASKS_MAX));
            let sent = now();
            match bounded(
                patience,
                store.exchange(&asks.iter().map(|(_, ask)| ask.clone()).collect::<Vec<_>>()),
            )
            .await
            {
                Ok(answers) => limits.answered(sent, now(), &asks, &answers),
                Err(reason) => {
                    asks.extend(rest);
                    limits.failed(&asks);
                    return reason;
                }
            }
            asks = rest;
        }
        // What comes within this time is asked together.
        sleep(GATHER).await;
    }
}

async fn bounded<T, E: ToString>(
    patience: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(patience, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// How often a server says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// Keys asked for at once.
const ASKS_MAX: usize = 512;
/// Between two exchanges.
const GATHER: Duration = Duration::from_millis(1);
