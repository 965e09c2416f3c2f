//! All limits of a server together.
//!
//! A request passes three places: its address, before anybody looks at a credential; its credential and tenant; and a place
//! among the requests under way, of which there are fewer the busier the server is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::adaptive::{Controller, FULL, Load};
use crate::gcra::{Gcra, Outcome};
use crate::key::{Class, Hash, Id, Place, Scope};
use crate::lease::{Health, Lease};
use crate::rate::Kind;
use crate::store::{self, Answer, Ask};
use crate::table::{State, Table};
use crate::tighten::{self, Score};
use crate::window::Window;
use crate::{Ns, Rate, Redis, Settings};

/// The limits of a server.
pub struct Limits {
    settings: Settings,
    hash: Hash,
    /// By scope and class: what has to be kept.
    policies: [[Vec<Policy>; 8]; 3],
    windows: Table<Counted>,
    gcras: Table<Gcra>,
    scores: Table<Score>,
    shared: Option<Shared>,
    controller: Controller,
    reads: AtomicU32,
    appends: AtomicU32,
    counts: Counts,
}

/// One limit.
#[derive(Clone)]
struct Policy {
    name: Arc<str>,
    number: u8,
    rate: Rate,
    /// Whether other servers count with us.
    shared: bool,
}

struct Counted {
    window: Window,
    idle_at: Ns,
    worth: Ns,
}

impl State for Counted {
    fn idle_at(&self) -> Ns {
        self.idle_at
    }

    fn worth(&self) -> Ns {
        self.worth
    }
}

/// What is shared with other servers.
struct Shared {
    leases: Table<(Rate, Lease)>,
    secret: Vec<u8>,
    prefix: String,
    /// Keys to ask for.
    due: Mutex<Vec<Place>>,
    wake: Box<dyn Fn() + Send + Sync>,
    degraded: AtomicBool,
    servers: AtomicU32,
    servers_min: u32,
    /// How often it became degraded, and answers.
    failures: AtomicU64,
    answers: AtomicU64,
}

impl State for (Rate, Lease) {
    fn idle_at(&self) -> Ns {
        self.1.idle_at()
    }
}

#[derive(Default)]
struct Counts {
    refused: [AtomicU64; 3],
    tightened: AtomicU64,
    shed_reads: AtomicU64,
    shed_appends: AtomicU64,
}

/// Where a client stands with the limit that is nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Name of the limit, such as `tenant` or `tenant-search`.
    pub policy: Arc<str>,
    /// How many are allowed…
    pub quota: u32,
    /// … in so many milliseconds; 0 for a count that is no rate.
    pub window_ms: u64,
    /// How many are left now.
    pub remaining: u32,
    /// How long until all are back, or, if it is refused, until one more passes; nanoseconds.
    pub wait_ns: Ns,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A limit is used up.
    Rate(Scope),
    /// Too many failures came from there.
    Tightened(Scope),
    /// The server is busy.
    Overloaded,
}

/// A request that is not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub why: Why,
    /// Where the client stands.
    pub standing: Option<Standing>,
    /// When to come again.
    pub wait_ns: Ns,
}

/// A place among the requests under way; given back when it is dropped.
pub struct Admission(Option<(Arc<Limits>, bool)>);

/// How the limits are doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// How much of its limits the server lets through under its load, percent: of reads.
    pub reads_percent: u32,
    /// The same of appends.
    pub appends_percent: u32,
    /// Reads under way.
    pub reads_under_way: u32,
    /// Appends under way.
    pub appends_under_way: u32,
    /// Networks and credentials that are held to a low rate because of failures.
    pub tightened: u64,
    /// Keys that are counted, and how many there may be in each table.
    pub keys: u64,
    /// See `keys`.
    pub keys_max: u64,
    /// Keys that made room for others since the start.
    pub keys_evicted: u64,
    /// Bytes that the tables take when they are full, about.
    pub bytes_max: u64,
    /// Requests refused since the start, by scope.
    pub refused_address: u64,
    /// See above.
    pub refused_credential: u64,
    /// See above.
    pub refused_tenant: u64,
    /// Requests refused because of failures before them.
    pub refused_tightened: u64,
    /// Reads that gave way to the load.
    pub shed_reads: u64,
    /// Appends that did.
    pub shed_appends: u64,
    /// The store that servers share; `None` if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedStatus>,
}

/// How the store is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedStatus {
    /// It does not answer: this server lets through its share by itself.
    pub degraded: bool,
    /// Servers that share it, as far as known.
    pub servers: u32,
    /// Keys whose tokens this server takes ahead.
    pub leases: u64,
    /// Answers since the start.
    pub answers: u64,
    /// Times that it stopped to answer.
    pub failures: u64,
}

impl Limits {
    /// Limits of one server. `seed` is random and secret.
    pub fn new(settings: Settings, seed: [u64; 2]) -> Self {
        Self::build(settings, seed, None)
    }

    /// Limits that are shared with other servers. `wake` is called when there is something to ask the store.
    pub fn shared(
        settings: Settings,
        seed: [u64; 2],
        redis: &Redis,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let keys_max = settings.keys_max.max(KEYS_MIN);
        let shared = Shared {
            leases: Table::new(keys_max / 4),
            secret: redis.secret.clone().into_bytes(),
            prefix: redis.prefix.clone(),
            due: Mutex::default(),
            wake: Box::new(wake),
            // Until the store has answered once.
            degraded: AtomicBool::new(true),
            servers: AtomicU32::new(redis.servers.max(1)),
            servers_min: redis.servers.max(1),
            failures: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        };
        Self::build(settings, seed, Some(shared))
    }

    fn build(settings: Settings, seed: [u64; 2], shared: Option<Shared>) -> Self {
        let keys_max = settings.keys_max.max(KEYS_MIN);
        let mut number = TIGHTENED + 2;
        let policies = Scope::ALL.map(|scope| {
            let classes = settings.of(scope);
            let mut policy = |name: String, rate: Rate| {
                number += 1;
                let over_store =
                    shared.is_some() && scope != Scope::Address && rate.window_ms() >= store::WINDOW_MS_MIN;
                Policy {
                    name: name.into(),
                    number,
                    rate,
                    shared: over_store,
                }
            };
            let all = classes.all.map(|rate| policy(scope.name().to_owned(), rate));
            Class::ALL.map(|class| {
                let own = classes
                    .of(class)
                    .map(|rate| policy(format!("{}-{}", scope.name(), class.name()), rate));
                all.iter().cloned().chain(own).collect()
            })
        });
        Self {
            hash: Hash::new(seed),
            policies,
            windows: Table::new(keys_max),
            gcras: Table::new(keys_max),
            scores: Table::new(keys_max),
            shared,
            controller: Controller::new(settings.adaptive.clone()),
            reads: AtomicU32::new(0),
            appends: AtomicU32::new(0),
            counts: Counts::default(),
            settings,
        }
    }

    /// The first place: may a request come from there? Nothing is said of networks that are exempt.
    ///
    /// # Errors
    /// It may not.
    pub fn address(&self, now: Ns, address: IpAddr, class: Class) -> Result<Option<Standing>, Refusal> {
        if self.is_exempt(address) {
            return Ok(None);
        }
        let id = Id::Address(address);
        self.check_tightened(now, Scope::Address, id)?;
        self.check(now, &[(Scope::Address, id)], class)
    }

    /// The second place: may this credential do this, and to that tenant?
    ///
    /// # Errors
    /// It may not.
    pub fn caller(
        &self,
        now: Ns,
        credential: &str,
        tenant: Option<&str>,
        class: Class,
    ) -> Result<Option<Standing>, Refusal> {
        let credential = (Scope::Credential, Id::Name(credential));
        self.check_tightened(now, credential.0, credential.1)?;
        match tenant {
            Some(tenant) => self.check(now, &[credential, (Scope::Tenant, Id::Name(tenant))], class),
            None => self.check(now, &[credential], class),
        }
    }

    /// The second place once more: may what was let through be about this tenant too? Costs its credential nothing more.
    ///
    /// # Errors
    /// It may not.
    pub fn tenant(&self, now: Ns, tenant: &str, class: Class) -> Result<Option<Standing>, Refusal> {
        self.check(now, &[(Scope::Tenant, Id::Name(tenant))], class)
    }

    /// The third place: may one more be under way?
    ///
    /// # Errors
    /// The server is busy.
    pub fn admit(self: &Arc<Self>, class: Class) -> Result<Admission, Refusal> {
        let (count, most, shed) = if class.is_read() {
            (&self.reads, self.settings.reads_max, &self.counts.shed_reads)
        } else if class == Class::Append {
            (
                &self.appends,
                self.settings.appends_max,
                &self.counts.shed_appends,
            )
        } else {
            return Ok(Admission(None));
        };
        let most = u64::from(most) * u64::from(self.controller.of(class)) / u64::from(FULL);
        let before = count.fetch_add(1, Ordering::Relaxed);
        let admission = Admission(Some((Arc::clone(self), class.is_read())));
        if u64::from(before) >= most.max(1) {
            shed.fetch_add(1, Ordering::Relaxed);
            return Err(Refusal {
                why: Why::Overloaded,
                standing: None,
                wait_ns: SHED_WAIT_NS,
            });
        }
        Ok(admission)
    }

    /// A login from there failed.
    pub fn login_failed(&self, now: Ns, address: IpAddr) {
        if !self.is_exempt(address) {
            self.fail(now, Scope::Address, Id::Address(address));
        }
    }

    /// The credential was refused something.
    pub fn denied(&self, now: Ns, credential: &str) {
        self.fail(now, Scope::Credential, Id::Name(credential));
    }

    /// Takes a look at the load into account.
    pub fn observe(&self, load: Load) {
        self.controller.observe(load);
    }

    /// Forgets what says nothing any more.
    pub fn sweep(&self, now: Ns) {
        self.windows.forget_idle(now);
        self.gcras.forget_idle(now);
        self.scores.forget_idle(now);
        if let Some(shared) = &self.shared {
            shared.leases.forget_idle(now);
        }
    }

    /// How the limits are doing.
    pub fn status(&self, now: Ns) -> Status {
        let threshold = self.settings.tighten.threshold;
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let leases = self.shared.as_ref().map(|shared| &shared.leases);
        let lens = [self.windows.len(), self.gcras.len(), self.scores.len()];
        let evicted = [
            self.windows.evicted(),
            self.gcras.evicted(),
            self.scores.evicted(),
        ];
        let bytes = [
            self.windows.capacity().1,
            self.gcras.capacity().1,
            self.scores.capacity().1,
            leases.map_or(0, |table| table.capacity().1),
        ];
        Status {
            reads_percent: self.controller.reads() / 10,
            appends_percent: self.controller.writes() / 10,
            reads_under_way: self.reads.load(Ordering::Relaxed),
            appends_under_way: self.appends.load(Ordering::Relaxed),
            tightened: if threshold == 0 {
                0
            } else {
                self.scores.count(|score| score.level(now, threshold) > 0)
            },
            keys: lens.iter().sum::<u64>() + leases.map_or(0, Table::len),
            keys_max: self.windows.capacity().0,
            keys_evicted: evicted.iter().sum::<u64>() + leases.map_or(0, Table::evicted),
            bytes_max: bytes.iter().sum(),
            refused_address: load(&self.counts.refused[0]),
            refused_credential: load(&self.counts.refused[1]),
            refused_tenant: load(&self.counts.refused[2]),
            refused_tightened: load(&self.counts.tightened),
            shed_reads: load(&self.counts.shed_reads),
            shed_appends: load(&self.counts.shed_appends),
            shared: self.shared.as_ref().map(|shared| SharedStatus {
                degraded: shared.degraded.load(Ordering::Relaxed),
                servers: shared.servers.load(Ordering::Relaxed),
                leases: shared.leases.len(),
                answers: load(&shared.answers),
                failures: load(&shared.failures),
            }),
        }
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.settings
            .exempt
            .iter()
            .any(|network| network.contains(address))
    }

    fn fail(&self, now: Ns, scope: Scope, id: Id<'_>) {
        if self.settings.tighten.threshold > 0 {
            let place = self.hash.place(scope_number(scope), id);
            let fresh = || Score::new(&self.settings.tighten);
            self.scores.with(place, fresh, |score| score.fail(now));
        }
    }

    fn check_tightened(&self, now: Ns, scope: Scope, id: Id<'_>) -> Result<(), Refusal> {
        if self.scores.is_empty() {
            return Ok(());
        }
        let settings = &self.settings.tighten;
        let place = self.hash.place(scope_number(scope), id);
        let level = self
            .scores
            .if_there(place, |score| score.level(now, settings.threshold));
        let level = level.unwrap_or_default();
        if level == 0 {
            return Ok(());
        }
        let rate = tighten::rate(settings.rate, level);
        let place = self.hash.place(TIGHTENED + scope_number(scope), id);
        let outcome = self
            .gcras
            .with(place, Gcra::default, |gcra| gcra.take(now, &rate, 1));
        if outcome.passes {
            return Ok(());
        }
        self.counts.tightened.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-tightened", scope.name());
        Err(Refusal {
            why: Why::Tightened(scope),
            standing: Some(standing(&name.into(), &rate, outcome)),
            wait_ns: outcome.wait_ns,
        })
    }

    fn check(&self, now: Ns, ids: &[(Scope, Id<'_>)], class: Class) -> Result<Option<Standing>, Refusal> {
        let mut nearest: Option<(Outcome, &Policy, Rate)> = None;
        let mut taken: [Option<(&Policy, Rate, Place)>; TAKEN_MAX] = [None; TAKEN_MAX];
        let mut count = 0;
        for (scope, id) in ids {
            for policy in &self.policies[*scope as usize][class.index()] {
                let rate = policy.rate.scaled(self.controller.of(class));
                let place = self.hash.place(policy.number, *id);
                let outcome = self.take(now, policy, &rate, place, *id);
                if !outcome.passes {
                    for (policy, rate, place) in taken.iter().flatten() {
                        self.give_back(policy, rate, *place);
                    }
                    self.counts.refused[*scope as usize].fetch_add(1, Ordering::Relaxed);
                    return Err(Refusal {
                        why: Why::Rate(*scope),
                        standing: Some(standing(&policy.name, &rate, outcome)),
                        wait_ns: outcome.wait_ns,
                    });
                }
                taken[count] = Some((policy, rate, place));
                count += 1;
                let nearer = nearest.is_none_or(|(other, _, other_rate)| {
                    u64::from(outcome.remaining) * u64::from(other_rate.at_once())
                        < u64::from(other.remaining) * u64::from(rate.at_once())
                });
                if nearer {
                    nearest = Some((outcome, policy, rate));
                }
            }
        }
        Ok(nearest.map(|(outcome, policy, rate)| standing(&policy.name, &rate, outcome)))
    }

    fn take(&self, now: Ns, policy: &Policy, rate: &Rate, place: Place, id: Id<'_>) -> Outcome {
        match &self.shared {
            Some(shared) if policy.shared => return shared.take(now, policy, rate, place, id),
            _ => {}
        }
        match rate.kind() {
            Kind::Gcra { .. } => self
                .gcras
                .with(place, Gcra::default, |gcra| gcra.take(now, rate, 1)),
            Kind::Window => {
                let fresh = || Counted {
                    window: Window::default(),
                    idle_at: now,
                    worth: now,
                };
                self.windows.with(place, fresh, |counted| {
                    let outcome = counted.window.take(now, rate, 1);
                    counted.idle_at = counted.window.idle_at(rate);
                    counted.worth = counted.window.worth(now, rate);
                    outcome
                })
            }
        }
    }

    fn give_back(&self, policy: &Policy, rate: &Rate, place: Place) {
        match (&self.shared, rate.kind()) {
            (Some(shared), _) if policy.shared => {
                shared.leases.if_there(place, |(_, lease)| lease.give_back(1));
            }
            (_, Kind::Gcra { .. }) => {
                self.gcras.if_there(place, |gcra| gcra.give_back(rate, 1));
            }
            (_, Kind::Window) => {
                self.windows
                    .if_there(place, |counted| counted.window.give_back(1));
            }
        }
    }

    /// What to ask the store now, with the places that the answers belong to.
    pub fn asks(&self, now: Ns) -> Vec<(Place, Ask)> {
        let Some(shared) = &self.shared else {
            return Vec::new();
        };
        let due = std::mem::take(&mut *shared.due.lock());
        let ask = |place: Place| {
            let ask = shared
                .leases
                .if_there(place, |(rate, lease)| lease.ask(now, rate))?;
            Some((place, ask))
        };
        due.into_iter().filter_map(ask).collect()
    }

    /// Takes answers in. `sent` is when the questions left.
    pub fn answered(&self, sent: Ns, now: Ns, asks: &[(Place, Ask)], answers: &[Answer]) {
        let Some(shared) = &self.shared else { return };
        for ((place, _), answer) in asks.iter().zip(answers) {
            shared
                .leases
                .if_there(*place, |(_, lease)| lease.answered(sent, now, answer));
        }
        shared.answers.fetch_add(answers.len() as u64, Ordering::Relaxed);
    }

    /// The store gave no answer: from now on each server lets through its share. Returns whether that is new.
    pub fn failed(&self, asks: &[(Place, Ask)]) -> bool {
        let Some(shared) = &self.shared else { return false };
        let new = !shared.degraded.swap(true, Ordering::Relaxed);
        if new {
            shared.failures.fetch_add(1, Ordering::Relaxed);
        }
        for (place, ask) in asks {
            shared.leases.if_there(*place, |(_, lease)| lease.failed(ask));
        }
        new
    }

    /// The store answers, and so many servers share it.
    pub fn beaten(&self, servers: u32) {
        let Some(shared) = &self.shared else { return };
        shared
            .servers
            .store(servers.max(shared.servers_min), Ordering::Relaxed);
        shared.degraded.store(false, Ordering::Relaxed);
    }
}

impl Shared {
    fn take(&self, now: Ns, policy: &Policy, rate: &Rate, place: Place, id: Id<'_>) -> Outcome {
        let health = Health {
            degraded: self.degraded.load(Ordering::Relaxed),
            servers: self.servers.load(Ordering::Relaxed),
        };
        let fresh = || {
            let name = format!("{}{}", self.prefix, id.shared_name(&policy.name, &self.secret));
            (*rate, Lease::new(name.into(), rate, now))
        };
        let (outcome, ask) = self.leases.with(place, fresh, |(own, lease)| {
            *own = *rate;
            lease.take(now, rate, 1, health)
        });
        if ask {
            let mut due = self.due.lock();
            if due.len() < DUE_MAX {
                due.push(place);
            }
            drop(due);
            (self.wake)();
        }
        outcome
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some((limits, read)) = &self.0 {
            let count = if *read { &limits.reads } else { &limits.appends };
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn standing(name: &Arc<str>, rate: &Rate, outcome: Outcome) -> Standing {
    Standing {
        policy: Arc::clone(name),
        quota: rate.count(),
        window_ms: rate.window_ms(),
        remaining: outcome.remaining,
        wait_ns: outcome.wait_ns,
    }
}

/// Numbers of keys of failures.
fn scope_number(scope: Scope) -> u8 {
    match scope {
        Scope::Address => 0,
        Scope::Credential => 1,
        Scope::Tenant => 2,
    }
}

/// Numbers of keys of those who are held to a low rate, by scope.
const TIGHTENED: u8 = 4;
/// Limits that one request can meet: two of its credential and two of its tenant.
const TAKEN_MAX: usize = 4;
const KEYS_MIN: usize = 1024;
/// Keys that wait to be asked for.
const DUE_MAX: usize = 16_384;
/// When to come again to a busy server.
const SHED_WAIT_NS: Ns = 1_000_000_000;
