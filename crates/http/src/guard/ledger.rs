//! The record of one act, from what is known at the gate to its outcome.

use std::time::Duration;

use attestore_engine::Engine;
use attestore_engine::audit::{Act, Intent, Outcome};
use axum::http::StatusCode;
use parking_lot::Mutex;

use super::gate::is_name;
use crate::problem::Problem;

/// What is known of an act. Handlers add to it until it is handed over.
pub(super) struct Ledger {
    engine: Engine,
    /// How long a record may take.
    bound: Duration,
    /// Only refusals are recorded.
    quiet: bool,
    state: Mutex<State>,
}

struct State {
    act: Act,
    /// Tenants that the request is about, where the path names none, and those of them that are on record.
    named: Vec<String>,
    handed: usize,
    /// Tenants that were refused.
    refused: Vec<String>,
    /// Why something was refused that is not said of a tenant: it may be no tenant's name at all.
    elsewhere: Option<&'static str>,
    begun: Begun,
}

enum Begun {
    Not,
    Waits(Vec<Intent>),
    Durable,
}

impl Ledger {
    /// An act whose outcome is open.
    pub(super) fn new(engine: Engine, act: Act, bound: Duration, quiet: bool) -> Self {
        Self {
            engine,
            bound,
            quiet,
            state: Mutex::new(State {
                act,
                named: Vec::new(),
                handed: 0,
                refused: Vec::new(),
                elsewhere: None,
                begun: Begun::Not,
            }),
        }
    }

    /// The act is about that tenant too.
    ///
    /// # Errors
    /// 400 `too_many_indices`: it would have no record, and must not be touched.
    pub(super) fn about(&self, tenant: &str) -> Result<(), Problem> {
        if self.quiet || !is_name(tenant) {
            return Ok(());
        }
        let mut state = self.state.lock();
        if state.act.tenant.as_deref() == Some(tenant) || state.named.iter().any(|one| one == tenant) {
            return Ok(());
        }
        state.room()?;
        state.named.push(tenant.to_owned());
        Ok(())
    }

    /// The act was refused for that tenant.
    ///
    /// # Errors
    /// As [`Ledger::about`].
    pub(super) fn refused(&self, tenant: &str) -> Result<(), Problem> {
        if !is_name(tenant) {
            self.denied("forbidden");
            return Ok(());
        }
        let mut state = self.state.lock();
        if state.refused.iter().all(|one| one != tenant) {
            state.room()?;
            state.refused.push(tenant.to_owned());
        }
        Ok(())
    }

    /// A part of the act was refused that is about no tenant that may be named.
    pub(super) fn denied(&self, reason: &'static str) {
        self.state.lock().elsewhere.get_or_insert(reason);
    }

    /// What is looked for.
    pub(super) fn seeks(&self, terms: String) {
        if !terms.is_empty() {
            self.state.lock().act.terms = Some(terms);
        }
    }

    /// Hands the act over, unless it was.
    pub(super) fn begin(&self) {
        let mut state = self.state.lock();
        if matches!(state.begun, Begun::Not) {
            let acts = state.each(&state.named, state.act.outcome);
            state.handed = state.named.len();
            state.begun = Begun::Waits(hand_over(&self.engine, &acts));
        }
    }

    /// Waits until the act is durable, before its handler starts.
    ///
    /// # Errors
    /// 503 `audit_unavailable`.
    pub(super) async fn first(&self) -> Result<(), Problem> {
        self.begin();
        let begun = std::mem::replace(&mut self.state.lock().begun, Begun::Durable);
        match begun {
            Begun::Waits(intents) => {
                for intent in intents {
                    durable(intent, self.bound).await?;
                }
                Ok(())
            }
            Begun::Not | Begun::Durable => Ok(()),
        }
    }

    /// Waits until the act and how it went are durable, before the answer leaves.
    ///
    /// # Errors
    /// 503 `audit_unavailable`.
    pub(super) async fn finish(&self, status: StatusCode) -> Result<(), Problem> {
        let failed = status.is_client_error() || status.is_server_error();
        let status = status.as_u16();
        let waits: Vec<Intent> = {
            let mut state = self.state.lock();
            let begun = std::mem::replace(&mut state.begun, Begun::Durable);
            let acts = state.last(matches!(begun, Begun::Not), self.quiet, failed, status);
            let last = hand_over(&self.engine, &acts);
            let first = match begun {
                Begun::Waits(intents) => intents,
                Begun::Not | Begun::Durable => Vec::new(),
            };
            first.into_iter().chain(last).collect()
        };
        for intent in waits {
            durable(intent, self.bound).await?;
        }
        Ok(())
    }
}

impl State {
    /// Whether one more tenant can get its record.
    fn room(&self) -> Result<(), Problem> {
        match self.named.len() + self.refused.len() < TENANTS_MAX {
            true => Ok(()),
            false => Err(too_many()),
        }
    }

    /// One record for each tenant: what concerns one is not shown to the people of another. Where there is none, one record.
    fn each(&self, tenants: &[String], outcome: Outcome) -> Vec<Act> {
        let act = Act {
            outcome,
            ..self.act.clone()
        };
        if tenants.is_empty() {
            return vec![act];
        }
        let of = |tenant: &String| Act {
            tenant: Some(tenant.clone()),
            ..act.clone()
        };
        tenants.iter().map(of).collect()
    }

    /// What is still to be said when it is over: of each tenant how it went there. `all`: nothing was said yet.
    fn last(&mut self, all: bool, quiet: bool, failed: bool, status: u16) -> Vec<Act> {
        let mut acts = Vec::new();
        let denied = !self.refused.is_empty() || self.elsewhere.is_some();
        let over = match failed {
            true => Outcome::Failed { status },
            false => Outcome::Done { status },
        };
        let late = &self.named[self.handed.min(self.named.len())..];
        if !late.is_empty() || (all && !quiet && !denied) {
            acts.extend(self.each(late, over));
        }
        if !self.refused.is_empty() {
            let reason = "forbidden";
            acts.extend(self.each(&self.refused, Outcome::Denied { status, reason }));
        }
        if let Some(reason) = self.elsewhere {
            acts.extend(self.each(&[], Outcome::Denied { status, reason }));
        }
        if !all && failed {
            // What was said first holds the terms.
            let terms = self.act.terms.take();
            acts.extend(self.each(&self.named[..self.handed], Outcome::Ended { status }));
            self.act.terms = terms;
        }
        acts
    }
}

/// The problem of a request about more tenants than can be recorded.
fn too_many() -> Problem {
    Problem::bad_request(
        "too_many_indices",
        format!("one request is about at most {TENANTS_MAX} tenants: name fewer, or a narrower pattern"),
    )
}

/// Hands records over in parts: those of many tenants, each with the same terms, may be too large for one append.
fn hand_over(engine: &Engine, acts: &[Act]) -> Vec<Intent> {
    acts.chunks(PART).map(|part| engine.begin_act(part)).collect()
}

/// Records a refusal, and waits for it.
///
/// # Errors
/// 503 `audit_unavailable`.
pub(super) async fn refused(engine: &Engine, act: &Act, bound: Duration) -> Result<(), Problem> {
    durable(engine.begin_act(std::slice::from_ref(act)), bound).await
}

async fn durable(intent: Intent, bound: Duration) -> Result<(), Problem> {
    let why = match tokio::time::timeout(bound, intent.durable()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.code(),
        Err(_) => "too_slow",
    };
    tracing::error!(why, "an act could not be recorded and was not answered");
    metrics::counter!("attestore_audit_unavailable_total").increment(1);
    let refuse = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "audit_unavailable",
        "what is not recorded is not answered, and this could not be recorded in time",
    );
    Err(refuse.retry_after_ms(1000))
}

/// Tenants of one request: each gets a record.
pub const TENANTS_MAX: usize = 100;
/// Records that are handed over together.
const PART: usize = 8;
