//! The keys of one issuer: fetched, remembered, fetched again when they are old or when a token names one that is not there.
//!
//! | age of the set | a key that is in it | a key that is not |
//! |---|---|---|
//! | below `fresh` | used | fetched again, waited for |
//! | below twice that | used; fetched again behind its back | fetched again, waited for |
//! | below `stale_max` | fetched again, waited for; used if that fails | the same, else refused |
//! | above, or no set | fetched, waited for | the same |
//!
//! A fetch runs at most once per `cooldown`, whoever asks for it, and is nobody's: a client that names an unknown key and hangs
//! up neither ends it nor makes it run more often. So nobody without a valid token can do more than that with the issuer.

use std::sync::Arc;

use attestore_disk::Clock;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::watch;

use crate::fetch::{Fetch, FetchError};
use crate::https;
use crate::keys::KeySet;
use crate::refusal::Refusal;
use crate::settings::IssuerSettings;

/// Where the keys of one issuer come from.
pub(crate) struct Source(Arc<Inner>);

struct Inner {
    name: String,
    issuer: String,
    jwks_url: Option<String>,
    allow_loopback_http: bool,
    times: Times,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// All in milliseconds.
struct Times {
    fresh: u64,
    stale_max: u64,
    cooldown: u64,
}

#[derive(Default)]
struct State {
    keys: Option<Keys>,
    /// When the keys were asked for last, whatever came of it; milliseconds since boot.
    attempted_ms: Option<u64>,
    /// Closes when the fetch under way ends.
    under_way: Option<watch::Receiver<()>>,
}

/// Keys, as of some fetch.
#[derive(Clone)]
pub(crate) struct Keys {
    pub set: Arc<KeySet>,
    /// Changes with every fetch that brought another document.
    pub version: u64,
    document: blake3::Hash,
    fetched_ms: u64,
}

/// What to do for somebody who wants a key.
enum Step {
    Use(Keys),
    Wait(watch::Receiver<()>),
    Refuse(Refusal),
}

impl Source {
    pub fn new(
        settings: &IssuerSettings,
        allow_loopback_http: bool,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            name: settings.name.clone(),
            issuer: settings.issuer.clone(),
            jwks_url: settings.jwks_url.clone().filter(|url| !url.is_empty()),
            allow_loopback_http,
            times: Times {
                fresh: settings.keys_fresh_s.saturating_mul(1000),
                stale_max: settings.keys_stale_max_s.saturating_mul(1000),
                cooldown: settings.keys_cooldown_s.saturating_mul(1000),
            },
            fetch,
            clock,
            state: Mutex::default(),
        }))
    }

    /// The version of the keys at hand; 0 before there are any.
    pub fn version(&self) -> u64 {
        self.0.state.lock().keys.as_ref().map_or(0, |keys| keys.version)
    }

    /// Returns keys among which is the one that is `wanted`.
    ///
    /// # Errors
    /// [`Refusal::Key`], [`Refusal::KeysUnavailable`].
    pub async fn keys(&self, wanted: impl Fn(&KeySet) -> bool) -> Result<Keys, Refusal> {
        let mut waited = false;
        loop {
            match self.step(&wanted, waited) {
                Step::Use(keys) => return Ok(keys),
                Step::Refuse(refusal) => return Err(refusal),
                Step::Wait(mut done) => {
                    // The sender is dropped when the fetch has ended, whatever came of it.
                    let _ = done.changed().await;
                    waited = true;
                }
            }
        }
    }

    /// Nobody waits twice.
    fn step(&self, wanted: &impl Fn(&KeySet) -> bool, waited: bool) -> Step {
        let mut state = self.0.state.lock();
        let now = self.0.clock.boot_ms();
        let times = &self.0.times;
        let keys = state.keys.clone();
        let age = keys.as_ref().map(|keys| now.saturating_sub(keys.fetched_ms));
        let there = keys.as_ref().is_some_and(|keys| wanted(&keys.set));
        if let (Some(keys), Some(age), true) = (&keys, age, there)
            && age < times.fresh.saturating_mul(2).min(times.stale_max)
        {
            if age >= times.fresh && !waited {
                let _ = self.refresh(&mut state, now);
            }
            return Step::Use(keys.clone());
        }
        if !waited && let Some(done) = self.refresh(&mut state, now) {
            return Step::Wait(done);
        }
        match (keys, age) {
            (Some(keys), Some(age)) if age < times.stale_max => {
                if there {
                    Step::Use(keys)
                } else {
                    Step::Refuse(Refusal::Key)
                }
            }
            _ => {
                let attempted = state.attempted_ms.unwrap_or(now);
                let left = (attempted + times.cooldown).saturating_sub(now);
                Step::Refuse(Refusal::KeysUnavailable {
                    retry_after_s: left.div_ceil(1000).max(1),
                })
            }
        }
    }

    /// Joins the fetch under way or begins one; `None` while it is too early for the next.
    fn refresh(&self, state: &mut State, now: u64) -> Option<watch::Receiver<()>> {
        if let Some(done) = &state.under_way {
            return Some(done.clone());
        }
        let cooldown = self.0.times.cooldown;
        if state
            .attempted_ms
            .is_some_and(|last| now.saturating_sub(last) < cooldown)
        {
            return None;
        }
        state.attempted_ms = Some(now);
        let (running, done) = watch::channel(());
        state.under_way = Some(done.clone());
        let inner = self.0.clone();
        tokio::spawn(async move {
            let ends = End(&inner);
            let fetched = inner.fetch_keys().await;
            inner.settle(fetched);
            drop(ends);
            drop(running);
        });
        Some(done)
    }
}

/// Says that no fetch is under way any more, also when it panicked.
struct End<'i>(&'i Inner);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.state.lock().under_way = None;
    }
}

impl Inner {
    async fn fetch_keys(&self) -> Result<(KeySet, blake3::Hash), FetchError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let document = self.fetch.fetch(&url).await?;
        let set = KeySet::parse(&document).ok_or_else(|| FetchError("not a key set".into()))?;
        if set.len() == 0 {
            return Err(FetchError("a key set without any key that can be used".into()));
        }
        Ok((set, blake3::hash(&document)))
    }

    /// OpenID Connect Discovery 1.0 §4: the document must name the issuer that it was asked for.
    async fn discover(&self) -> Result<String, FetchError> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: String,
        }
        let url = format!("{}{DISCOVERY}", self.issuer.trim_end_matches('/'));
        let document = self.fetch.fetch(&url).await?;
        let document: Document =
            serde_json::from_slice(&document).map_err(|_| FetchError("not a discovery document".into()))?;
        if document.issuer != self.issuer {
            return Err(FetchError("the discovery document is another issuer's".into()));
        }
        https::check(&document.jwks_uri, self.allow_loopback_http)
            .map_err(|_| FetchError("the discovery document's `jwks_uri` may not be asked".into()))?;
        Ok(document.jwks_uri)
    }

    fn settle(&self, fetched: Result<(KeySet, blake3::Hash), FetchError>) {
        let mut state = self.state.lock();
        match fetched {
            Ok((set, document)) => {
                let old = state.keys.as_ref();
                let version = old.map_or(1, |old| old.version + u64::from(old.document != document));
                tracing::debug!(issuer = %self.name, keys = set.len(), version, "fetched keys");
                state.keys = Some(Keys {
                    set: Arc::new(set),
                    version,
                    document,
                    fetched_ms: self.clock.boot_ms(),
                });
            }
            Err(error) => tracing::warn!(issuer = %self.name, %error, "cannot fetch the issuer's keys"),
        }
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";
