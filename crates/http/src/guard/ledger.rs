//! The record of one act, from what is known at the gate to its outcome.

use std::time::Duration;

use attestore_engine::Engine;
use attestore_engine::audit::{Act, Intent, Outcome};
use axum::http::StatusCode;
use parking_lot::Mutex;

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
    /// Tenants that the request names, where the path names none.
    named: Vec<String>,
    /// One of them was refused.
    denied: bool,
    begun: Begun,
}

enum Begun {
    Not,
    Waits(Intent),
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
                denied: false,
                begun: Begun::Not,
            }),
        }
    }

    /// The act is about that tenant too, or was refused there.
    pub(super) fn about(&self, tenant: &str, denied: bool) {
        let mut state = self.state.lock();
        state.denied |= denied;
        if self.quiet && !denied {
            return;
        }
        let known =
            state.act.tenant.as_deref() == Some(tenant) || state.named.iter().any(|one| one == tenant);
        if !known && state.named.len() < NAMED_MAX {
            state.named.push(tenant.to_owned());
        }
    }

    /// A part of the act was refused.
    pub(super) fn denied(&self) {
        self.state.lock().denied = true;
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
            state.begun = Begun::Waits(state.hand_over(&self.engine));
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
            Begun::Waits(intent) => durable(intent, self.bound).await,
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
            if self.quiet && !state.denied {
                return Ok(());
            }
            let begun = std::mem::replace(&mut state.begun, Begun::Durable);
            let denied = state.denied;
            let mut ended = |outcome| {
                state.act.outcome = outcome;
                state.act.terms = state.act.terms.take().filter(|_| matches!(begun, Begun::Not));
                state.hand_over(&self.engine)
            };
            let reason = "forbidden";
            let last = match (&begun, failed) {
                (Begun::Not, _) if denied => Some(ended(Outcome::Denied { status, reason })),
                (Begun::Not, true) => Some(ended(Outcome::Failed { status })),
                (Begun::Not, false) => Some(ended(Outcome::Done { status })),
                (_, true) => Some(ended(Outcome::Ended { status })),
                (_, false) => None,
            };
            let first = match begun {
                Begun::Waits(intent) => Some(intent),
                Begun::Not | Begun::Durable => None,
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
    /// One record for each tenant: what concerns one is not shown to the people of another.
    fn hand_over(&self, engine: &Engine) -> Intent {
        if self.named.is_empty() {
            return engine.begin_act(std::slice::from_ref(&self.act));
        }
        let acts: Vec<_> = self
            .named
            .iter()
            .map(|tenant| Act {
                tenant: Some(tenant.clone()),
                ..self.act.clone()
            })
            .collect();
        engine.begin_act(&acts)
    }
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

/// Tenants of one request that get a record each.
const NAMED_MAX: usize = 64;
