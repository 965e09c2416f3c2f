//! Rate limits at work: what the guard asks, as problem documents and header fields.
//!
//! The limits themselves are `attestore-limit`; here they get a clock, the engine's load, and a voice.

mod refusal;
#[cfg(feature = "redis")]
mod shared;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use attestore_engine::Engine;
use attestore_limit::limits::Status;
use attestore_limit::{Admission, Class, Limits, Ns, Settings, Standing};

use crate::problem::Problem;

/// The limits of a server, with its clock.
#[derive(Clone)]
pub struct Keeper {
    limits: Arc<Limits>,
    begin: Instant,
    #[cfg(feature = "redis")]
    shared: Option<shared::Shared>,
}

impl Keeper {
    /// Limits that this server keeps alone. `seed` is random and secret.
    pub fn alone(settings: Settings, seed: [u64; 2]) -> Self {
        Self {
            limits: Arc::new(Limits::new(settings, seed)),
            begin: Instant::now(),
            #[cfg(feature = "redis")]
            shared: None,
        }
    }

    /// Limits that servers on one Redis keep together. `seed` is random and secret, `name` random.
    ///
    /// # Errors
    /// Of an address that makes no sense, in words.
    #[cfg(feature = "redis")]
    pub fn together(
        settings: Settings,
        redis: attestore_limit::Redis,
        seed: [u64; 2],
        name: u64,
    ) -> Result<Self, String> {
        let (limits, shared) = shared::Shared::new(settings, redis, seed, name)?;
        Ok(Self {
            limits,
            begin: Instant::now(),
            shared: Some(shared),
        })
    }

    /// Looks at the load, forgets what is over and talks to Redis, until it is dropped.
    pub async fn run(self, engine: Engine) {
        #[cfg(feature = "redis")]
        let _talking = self.shared.clone().map(|shared| {
            let (limits, begin) = (Arc::clone(&self.limits), self.begin);
            shared.talk(limits, move || since(begin))
        });
        let mut interval = tokio::time::interval(LOOK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut looks = 0_u32;
        loop {
            interval.tick().await;
            self.limits.observe(engine.load());
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(SWEEP_LOOKS) {
                self.limits.sweep(self.now());
            }
        }
    }

    /// The first place: may a request come from there? Whoever is at the other end of a Unix socket is on this machine.
    ///
    /// # Errors
    /// 429.
    pub fn address(&self, from: Option<IpAddr>, class: Class) -> Result<(), Problem> {
        let from = from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.limits
            .address(self.now(), from, class)
            .map(drop)
            .map_err(refusal::problem)
    }

    /// The second and third place: may this credential do this, and is there room for it?
    ///
    /// # Errors
    /// 429, 503.
    pub fn caller(
        &self,
        credential: &str,
        tenant: Option<&str>,
        class: Class,
    ) -> Result<(Option<Standing>, Admission), Problem> {
        let standing = self
            .limits
            .caller(self.now(), credential, tenant, class)
            .map_err(refusal::problem)?;
        let admission = self.limits.admit(class).map_err(refusal::problem)?;
        Ok((standing, admission))
    }

    /// The second place once more: a request that was let through is about this tenant too.
    ///
    /// # Errors
    /// 429.
    pub fn tenant(&self, tenant: &str, class: Class) -> Result<(), Problem> {
        self.limits
            .tenant(self.now(), tenant, class)
            .map(drop)
            .map_err(refusal::problem)
    }

    /// A login from there failed.
    pub fn login_failed(&self, from: Option<IpAddr>) {
        if let Some(from) = from {
            self.limits.login_failed(self.now(), from);
        }
    }

    /// The credential was refused something.
    pub fn denied(&self, credential: &str) {
        self.limits.denied(self.now(), credential);
    }

    /// How the limits are doing.
    pub fn status(&self) -> Status {
        self.limits.status(self.now())
    }

    fn now(&self) -> Ns {
        since(self.begin)
    }
}

impl Default for Keeper {
    /// The default limits under a seed that everybody knows: for tests of the router.
    fn default() -> Self {
        Self::alone(Settings::default(), [0, 0])
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

/// A time since the beginning that is never 0.
fn since(begin: Instant) -> Ns {
    Ns::try_from(begin.elapsed().as_nanos()).unwrap_or(Ns::MAX) + 1
}

/// Sets the gauges and counters of the limits.
pub fn gauges(status: &Status) {
    let set = |name: &'static str, value: u64| {
        metrics::gauge!(name).set(u32::try_from(value).map_or(f64::MAX, f64::from));
    };
    set("attestore_limits_reads_percent", status.reads_percent.into());
    set("attestore_limits_appends_percent", status.appends_percent.into());
    set("attestore_limits_keys", status.keys);
    set("attestore_limits_tightened", status.tightened);
    for (scope, refused) in [
        ("address", status.refused_address),
        ("credential", status.refused_credential),
        ("tenant", status.refused_tenant),
        ("tightened", status.refused_tightened),
    ] {
        metrics::counter!("attestore_limits_refused_total", "scope" => scope).absolute(refused);
    }
    metrics::counter!("attestore_limits_shed_total", "class" => "reads").absolute(status.shed_reads);
    metrics::counter!("attestore_limits_shed_total", "class" => "appends").absolute(status.shed_appends);
    metrics::counter!("attestore_limits_keys_evicted_total").absolute(status.keys_evicted);
    if let Some(shared) = &status.shared {
        set("attestore_limits_shared_degraded", shared.degraded.into());
        set("attestore_limits_shared_servers", shared.servers.into());
        metrics::counter!("attestore_limits_shared_failures_total").absolute(shared.failures);
        metrics::counter!("attestore_limits_shared_answers_total").absolute(shared.answers);
    }
}

/// How often the load is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two sweeps.
const SWEEP_LOOKS: u32 = 100;
