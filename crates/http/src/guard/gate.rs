//! The order of what every request goes through.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use attestore_engine::audit::{Act, Limited, Outcome, Target};
use attestore_engine::credentials::Purpose;
use attestore_engine::{Error, Permission, Principal};
use axum::body::Body;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::caller::{Caller, refusal};
use super::entry::{Entry, Need, Reach, Recorded, Tongue};
use super::ledger::{self, Ledger};
use super::limits;
use super::token::{self, Stranger};
use crate::body;
use crate::elastic::answer::Refusal;
use crate::metrics::method_label;
use crate::problem::Problem;
use crate::senders::otlp;
use crate::serve::About;
use crate::server::App;
use crate::wire;

/// What stands before one route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) app: Arc<OnceLock<App>>,
    pub(super) entry: Entry,
}

/// Lets a request through to its handler, or refuses it.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(app) = gate.app.get() else {
        return wire::internal("a gate before there is a server").into_response();
    };
    let entry = gate.entry;
    #[cfg(feature = "bench-costs")]
    if let (true, Need::Permission(permission)) = (app.settings().unguarded, entry.need) {
        static NOBODY: std::sync::LazyLock<Arc<Principal>> =
            std::sync::LazyLock::new(|| Arc::new(Principal::internal()));
        parts
            .extensions
            .insert(Caller::new(Arc::clone(&NOBODY), permission, None, None));
        return next.run(Request::from_parts(parts, body)).await;
    }
    let about = About::of(&parts.extensions);
    if let Err(problem) = limits::address(app, about.address(), entry.class) {
        if let Some(address) = about.address() {
            app.engine()
                .limited(Limited::from_address(address), entry.class.name());
        }
        return refused(entry, &parts.headers, body, problem).await;
    }
    let Need::Permission(permission) = entry.need else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let visit = Visit {
        app,
        about: &about,
        entry,
        permission,
    };
    match visit.admit(&mut parts).await {
        Err(problem) => refused(entry, &parts.headers, body, problem).await,
        Ok((admitted, ledger)) => {
            let headers = (entry.tongue != Tongue::Problem).then(|| parts.headers.clone());
            let mut response = next.run(Request::from_parts(parts, body)).await;
            if let Some(ledger) = ledger
                && let Err(problem) = ledger.finish(response.status()).await
            {
                response = say(entry.tongue, &headers.unwrap_or_default(), problem);
            }
            admitted.mark(&mut response);
            response
        }
    }
}

/// One request at one gate.
struct Visit<'a> {
    app: &'a App,
    about: &'a About,
    entry: Entry,
    permission: Permission,
}

impl Visit<'_> {
    /// Recognises, checks, and begins the record. The handler finds its caller in the request.
    async fn admit(&self, parts: &mut Parts) -> Result<(limits::Admitted, Option<Arc<Ledger>>), Problem> {
        let params = Params::of(parts).await;
        let principal = match token::recognise(self.app, self.about, &parts.headers).await {
            Ok(principal) => principal,
            Err(stranger) => return Err(self.turn_away(parts, &params, stranger).await),
        };
        let principal = match for_a_purpose(&parts.headers, &principal) {
            Ok(None) => principal,
            Ok(Some(reader)) => reader,
            Err(problem) if problem.status == StatusCode::FORBIDDEN.as_u16() => {
                return Err(self.deny(parts, &params, principal, problem, true).await);
            }
            Err(problem) => return Err(problem),
        };
        let tenant = params.tenant.as_deref();
        let counted = self.named(&params, &parts.headers, &principal);
        let counted = counted.as_deref();
        let admitted = match limits::caller(self.app, &principal, counted, self.entry.class) {
            Ok(admitted) => admitted,
            Err(problem) => {
                let whom = Limited::Principal(principal.id.clone());
                self.app.engine().limited(whom, self.entry.class.name());
                return Err(problem);
            }
        };
        if let Err(error) = self.authorise(&principal, tenant) {
            return Err(self.refuse(parts, &params, principal, &error).await);
        }
        // Where a request names its tenants, some of them may be refused: that is recorded of appends too.
        let quiet = self.entry.recorded == Recorded::Not;
        let ledger = (!quiet || self.entry.reach == Reach::Named).then(|| {
            let act = self.act(parts, &params, Some(Arc::clone(&principal)), Outcome::Begun);
            Arc::new(Ledger::new(self.app.engine().clone(), act, self.bound(), quiet))
        });
        if let Some(ledger) = &ledger {
            match self.entry.recorded {
                Recorded::First => ledger.first().await?,
                Recorded::Along => ledger.begin(),
                Recorded::Told | Recorded::Not => {}
            }
        }
        let meter = (self.entry.reach == Reach::Named).then(|| {
            let by = Arc::clone(&principal);
            Arc::new(limits::Meter::new(
                self.app.clone(),
                by,
                self.entry.class,
                counted,
            ))
        });
        let caller = Caller::new(principal, self.permission, ledger.clone(), meter);
        parts.extensions.insert(caller);
        Ok((admitted, ledger))
    }

    /// The one tenant that a request is known to be about before its body is read, if that much is known.
    fn named(&self, params: &Params, headers: &HeaderMap, by: &Principal) -> Option<String> {
        match (&params.tenant, self.entry.reach, self.entry.tongue) {
            (Some(tenant), ..) => Some(tenant.clone()),
            (None, Reach::Named, Tongue::Otlp) => otlp::tenant_of(headers, by).ok(),
            (None, Reach::Named, Tongue::Elastic) => params.index.clone(),
            _ => None,
        }
    }

    fn authorise(&self, principal: &Principal, tenant: Option<&str>) -> Result<(), Error> {
        match (self.entry.reach, tenant) {
            (Reach::Tenant, Some(tenant)) => principal.check(tenant, self.permission),
            // A route whose entry says that its path names a tenant, and none does.
            (Reach::Tenant, None) => Err(Error::Forbidden),
            (Reach::Instance, _) => principal.check_instance(self.permission),
            (Reach::Named, _) => match principal.may(self.permission) {
                true => Ok(()),
                // What holds for `_system` alone is checked where it is named.
                false if self.permission.shows_records() && principal.may(Permission::ReadSystem) => Ok(()),
                false => Err(Error::Forbidden),
            },
        }
    }

    /// Nobody was recognised: on record before they are told.
    async fn turn_away(&self, parts: &Parts, params: &Params, stranger: Stranger) -> Problem {
        if stranger.problem.status == StatusCode::UNAUTHORIZED.as_u16() {
            limits::login_failed(self.app, self.about.address());
        }
        let outcome = Outcome::Denied {
            status: stranger.problem.status,
            reason: stranger.reason,
        };
        let mut act = self.act(parts, params, None, outcome);
        // What strangers write into a path is theirs.
        act.tenant = None;
        act.targets.clear();
        act.credential = stranger
            .credential
            .and_then(|id| String::from_utf8(id.to_vec()).ok());
        match ledger::refused(self.app.engine(), &act, self.bound()).await {
            Ok(()) => stranger.problem,
            Err(problem) => problem,
        }
    }

    /// Somebody may not: on record before they are told.
    async fn refuse(&self, parts: &Parts, params: &Params, by: Arc<Principal>, error: &Error) -> Problem {
        let problem = refusal(error, self.permission);
        // It may be no tenant's name at all, and it is not this caller's tenant's business.
        let known = !matches!(error, Error::UnknownTenant);
        self.deny(parts, params, by, problem, known).await
    }

    /// Puts a refusal on record; `known` says whether the tenant may be named there.
    async fn deny(
        &self,
        parts: &Parts,
        params: &Params,
        by: Arc<Principal>,
        problem: Problem,
        known: bool,
    ) -> Problem {
        limits::denied(self.app, &by);
        let outcome = Outcome::Denied {
            status: problem.status,
            reason: problem.code,
        };
        let mut act = self.act(parts, params, Some(by), outcome);
        act.tenant = act.tenant.filter(|_| known);
        match ledger::refused(self.app.engine(), &act, self.bound()).await {
            Ok(()) => problem,
            Err(unrecorded) => unrecorded,
        }
    }

    fn act(&self, parts: &Parts, params: &Params, by: Option<Arc<Principal>>, outcome: Outcome) -> Act {
        let route = parts.extensions.get::<MatchedPath>();
        Act {
            request_id: self.about.id().as_str().to_owned(),
            by,
            credential: None,
            address: self.about.address(),
            permission: self.permission.name(),
            method: method_label(&parts.method),
            route: route.map_or("none", MatchedPath::as_str).to_owned(),
            tenant: params.tenant.clone().filter(|name| is_name(name)),
            targets: params.targets.clone(),
            outcome,
            terms: None,
        }
    }

    fn bound(&self) -> Duration {
        self.app.settings().audit_wait
    }
}

/// The caller as they read restricted data for a purpose, if they say one.
fn for_a_purpose(headers: &HeaderMap, by: &Principal) -> Result<Option<Arc<Principal>>, Problem> {
    let Some(purpose) = headers.get(PURPOSE) else {
        return Ok(None);
    };
    let purpose = purpose.to_str().ok().and_then(Purpose::named);
    let purpose = purpose.ok_or_else(|| {
        let names = Purpose::ALL.map(Purpose::name).join(", ");
        Problem::bad_request("invalid_purpose", format!("attestore-purpose: one of {names}"))
    })?;
    match by.may(Permission::ReadRestricted) {
        true => Ok(Some(Arc::new(by.clone().reading_for(purpose)))),
        false => Err(refusal(&Error::Forbidden, Permission::ReadRestricted)),
    }
}

/// What a path says.
#[derive(Default)]
struct Params {
    tenant: Option<String>,
    /// One index, if it is one and no list or pattern.
    index: Option<String>,
    targets: Vec<Target>,
}

impl Params {
    async fn of(parts: &mut Parts) -> Self {
        let Ok(raw) = RawPathParams::from_request_parts(parts, &()).await else {
            return Self::default();
        };
        let mut params = Self::default();
        for (name, value) in &raw {
            match name {
                "tenant" => params.tenant = Some(value.to_owned()),
                "index" => {
                    params.index = Some(value.to_owned()).filter(|name| *name != "_all" && is_name(name))
                }
                _ => params.targets.extend(target(name, value)),
            }
        }
        params
    }
}

/// What a path names beside its tenant, if it looks like an id of ours: anything else may be somebody's name.
fn target(name: &str, value: &str) -> Option<Target> {
    let ty = TARGETS.into_iter().find(|known| *known == name)?;
    let fits = match ty {
        "credential" => value.len() == 12 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        _ => {
            let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
            (1..=64).contains(&value.len()) && value.bytes().all(plain)
        }
    };
    fits.then(|| Target {
        ty,
        id: value.to_owned(),
    })
}

/// Whether it can be a tenant's name. What cannot be one is not repeated in public bytes.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// Refuses a request whose body is not read any more. A client that goes on with the connection must be able to, or be told not to.
async fn refused(entry: Entry, headers: &HeaderMap, body: Body, problem: Problem) -> Response {
    let mut response = say(entry.tongue, headers, problem);
    if !body::leave(headers, body).await {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Says it the way that the route's clients read it.
fn say(tongue: Tongue, headers: &HeaderMap, problem: Problem) -> Response {
    match tongue {
        Tongue::Problem => problem.into_response(),
        Tongue::Elastic => Refusal::from(problem).into_response(),
        Tongue::Otlp => otlp::refuse(headers, problem),
    }
}

/// Says for what restricted data is read.
const PURPOSE: &str = "attestore-purpose";
/// Names of path parameters that are ids of ours.
const TARGETS: [&str; 15] = [
    "access_request",
    "backup",
    "id",
    "record",
    "credential",
    "search",
    "export",
    "letter",
    "hold",
    "approval",
    "move",
    "number",
    "erasure",
    "restriction",
    "purge",
];
