//! The task that talks to Redis for the limits.

use std::sync::Arc;

use attestore_limit::redis::RedisStore;
use attestore_limit::{Limits, Ns, Redis, Settings, sync};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What it needs.
#[derive(Clone)]
pub(super) struct Shared {
    /// Taken by the task.
    store: Arc<Mutex<Option<RedisStore>>>,
    wake: Arc<Notify>,
    settings: Redis,
}

/// Ends the task when it is dropped.
pub(super) struct Talking(JoinHandle<()>);

impl Shared {
    pub(super) fn new(
        settings: Settings,
        redis: Redis,
        seed: [u64; 2],
        name: u64,
    ) -> Result<(Arc<Limits>, Self), String> {
        let store = RedisStore::new(&redis, name).map_err(|error| error.to_string())?;
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        let limits = Limits::shared(settings, seed, &redis, move || waker.notify_one());
        let shared = Self {
            store: Arc::new(Mutex::new(Some(store))),
            wake,
            settings: redis,
        };
        Ok((Arc::new(limits), shared))
    }

    pub(super) fn talk(
        self,
        limits: Arc<Limits>,
        now: impl Fn() -> Ns + Send + Sync + 'static,
    ) -> Option<Talking> {
        let store = self.store.lock().take()?;
        let talking = sync::run(limits, store, self.wake, self.settings, now);
        Some(Talking(tokio::spawn(talking)))
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        self.0.abort();
    }
}
