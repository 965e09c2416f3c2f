//! `/v1/tenants/{t}/searches/{s}/watch`: a webhook that is told of what newly matches a saved search.

use std::sync::Arc;

use attestore_engine::searches::watch::{DeadLetter, WatchInfo, WatchSecret, WatchSpec, WatchState};
use attestore_webhook::Secret;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What a watch is to do. Unknown keys are refused.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchBodyIn {
    /// Where messages go: `https`, to an address of the internet, unless the server's settings allow others.
    url: String,
    /// What messages are signed with: `whsec_` and base64 of 24 to 64 bytes. Without it, what there is stays; a new watch gets
    /// one made.
    secret: Option<String>,
    /// Whether it sends; default true.
    enabled: Option<bool>,
    /// Whether messages hold the records with their public fields, or only name them; default false.
    #[serde(default)]
    records: bool,
}

/// A watch.
#[derive(Debug, Serialize, ToSchema)]
pub struct WatchBody {
    /// Where messages go.
    url: String,
    /// Whether it was meant to send.
    enabled: bool,
    /// Whether messages hold the records with their public fields.
    records: bool,
    /// `active`, `failing`, `off`, or `turned_off` by itself.
    state: &'static str,
    /// Why it was turned off.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Id of the credential that set it last.
    changed_by: String,
    /// When it was set last, RFC 3339.
    changed_at: String,
    /// Every match below this seq was sent, is under way, or is a dead letter.
    next_seq: u64,
    /// Records that are durable and were not looked at yet.
    behind: u64,
    /// The message under way.
    pending: Option<PendingBody>,
    /// Why the last attempt failed; null if it did not.
    last_error: Option<String>,
    /// When the last attempt was, RFC 3339.
    last_attempt_at: Option<String>,
    /// When a message was last taken, RFC 3339.
    last_success_at: Option<String>,
    /// Since when nothing has been taken, RFC 3339.
    failing_since: Option<String>,
    /// Messages that were taken.
    delivered: u64,
    /// Attempts that failed.
    failed: u64,
    /// Dead letters that there are.
    dead: u64,
    /// Dead letters that were dropped for newer ones.
    dropped: u64,
}

/// A message under way.
#[derive(Debug, Serialize, ToSchema)]
pub struct PendingBody {
    /// Its `webhook-id`.
    id: String,
    /// Attempts so far.
    attempts: u32,
    /// When the next one is, RFC 3339.
    due_at: String,
}

/// A watch that was set; its secret, if one was made, is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetWatchBody {
    /// The watch.
    #[serde(flatten)]
    watch: WatchBody,
    /// What messages are signed with. It cannot be shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A message that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterBody {
    /// Its number.
    number: u64,
    /// Its `webhook-id`.
    id: String,
    /// Its records.
    records: Vec<DeadRecordBody>,
    /// Attempts at it.
    attempts: u32,
    /// Why the last one failed.
    error: String,
    /// When it was made, RFC 3339.
    made_at: String,
    /// When it was given up, RFC 3339.
    died_at: String,
    /// Whether it is about to be sent once more.
    again: bool,
}

/// A record of a message that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadRecordBody {
    /// Its seq.
    seq: u64,
    /// Its id.
    id: String,
}

/// The dead letters of a watch.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLettersBody {
    /// Oldest first.
    items: Vec<DeadLetterBody>,
    /// Always null: the list is whole.
    cursor: Option<String>,
}

/// Set the watch of a saved search: from now on, or from where it is, a webhook is told of what matches.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/searches/{search}/watch", tag = "searches",
    params(("tenant" = String, Path), ("search" = String, Path, description = "id of the saved search")),
    request_body = WatchBodyIn,
    responses(
        (status = 200, description = "set; durable", body = SetWatchBody),
        (status = 400, description = "a URL or secret that a watch may not have", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "the tenant has as many as it may", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: WatchBodyIn = wire::document(&bytes, "invalid_watch")?;
    let invalid = |path: &str, detail: String| {
        let mut problem = Problem::bad_request("invalid_watch", detail);
        problem.path = Some(path.to_owned());
        problem
    };
    attestore_webhook::target(&wanted.url, &app.settings().webhooks)
        .map_err(|error| invalid("/url", error.to_string()))?;
    let secret = match wanted.secret.map(Zeroizing::new) {
        None => None,
        Some(text) => {
            let secret = Secret::parse(&text).ok_or_else(|| {
                invalid(
                    "/secret",
                    "a secret is whsec_ and base64 of 24 to 64 bytes".into(),
                )
            })?;
            Some(WatchSecret(Zeroizing::new(secret.expose().to_vec())))
        }
    };
    let spec = WatchSpec {
        url: wanted.url,
        secret,
        enabled: wanted.enabled.unwrap_or(true),
        records: wanted.records,
    };
    let engine = app.engine().clone();
    let set = move || engine.set_watch(&tenant, &principal, &search, spec);
    let (watch, made) = wire::blocking(set).await?;
    let secret = made.map(|made| Secret::from_bytes(made.0.to_vec()).text().to_string());
    let watch = WatchBody::from(watch);
    Ok((NO_STORE, Json(SetWatchBody { watch, secret })))
}

/// Get the watch of a saved search, and how it is doing.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/searches/{search}/watch", tag = "searches",
    params(("tenant" = String, Path), ("search" = String, Path, description = "id of the saved search")),
    responses(
        (status = 200, body = WatchBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let watch = wire::blocking(move || engine.watch(&tenant, &principal, &search)).await?;
    Ok((NO_STORE, Json(WatchBody::from(watch))))
}

/// Remove the watch of a saved search, with its dead letters.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/searches/{search}/watch", tag = "searches",
    params(("tenant" = String, Path), ("search" = String, Path, description = "id of the saved search")),
    responses(
        (status = 204, description = "removed; durable"),
    ),
    security(("bearer" = []))
)]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    wire::blocking(move || engine.remove_watch(&tenant, &principal, &search)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the messages that were given up.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/searches/{search}/watch/dead", tag = "searches",
    params(("tenant" = String, Path), ("search" = String, Path, description = "id of the saved search")),
    responses(
        (status = 200, body = DeadLettersBody),
    ),
    security(("bearer" = []))
)]
pub async fn dead(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let letters = wire::blocking(move || engine.dead_letters(&tenant, &principal, &search)).await?;
    let body = DeadLettersBody {
        items: letters.into_iter().map(Into::into).collect(),
        cursor: None,
    };
    Ok((NO_STORE, Json(body)))
}

/// Send a message that was given up once more, under the id that it had.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/searches/{search}/watch/dead/{number}/redeliver", tag = "searches",
    params(
        ("tenant" = String, Path), ("search" = String, Path, description = "id of the saved search"),
        ("number" = u64, Path, description = "number of the dead letter"),
    ),
    responses(
        (status = 202, description = "it is sent when nothing else is under way", body = DeadLetterBody),
    ),
    security(("bearer" = []))
)]
pub async fn redeliver(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search, number)): Path<(String, String, u64)>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let again = move || engine.redeliver(&tenant, &principal, &search, number);
    let letter = wire::blocking(again).await?;
    Ok((StatusCode::ACCEPTED, NO_STORE, Json(DeadLetterBody::from(letter))))
}

/// Delete a message that was given up.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/searches/{search}/watch/dead/{number}", tag = "searches",
    params(
        ("tenant" = String, Path), ("search" = String, Path, description = "id of the saved search"),
        ("number" = u64, Path, description = "number of the dead letter"),
    ),
    responses(
        (status = 204, description = "deleted; durable"),
    ),
    security(("bearer" = []))
)]
pub async fn delete_dead(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search, number)): Path<(String, String, u64)>,
) -> Result<StatusCode, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    wire::blocking(move || engine.delete_letter(&tenant, &principal, &search, number)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<WatchInfo> for WatchBody {
    fn from(watch: WatchInfo) -> Self {
        let (state, reason) = match watch.state {
            WatchState::Active => ("active", None),
            WatchState::Failing => ("failing", None),
            WatchState::Off => ("off", None),
            WatchState::TurnedOff(reason) => ("turned_off", Some(reason)),
        };
        let pending = watch.pending.map(|id| PendingBody {
            id,
            attempts: watch.attempts,
            due_at: wire::rfc3339_ms(watch.due_ms.unwrap_or_default()),
        });
        Self {
            url: watch.url,
            enabled: state != "off",
            records: watch.records,
            state,
            reason,
            changed_by: watch.changed_by,
            changed_at: wire::rfc3339_ms(watch.changed_ms),
            next_seq: watch.next,
            behind: watch.behind,
            pending,
            last_error: watch.last_error,
            last_attempt_at: watch.last_attempt_ms.map(wire::rfc3339_ms),
            last_success_at: watch.last_success_ms.map(wire::rfc3339_ms),
            failing_since: watch.failing_since_ms.map(wire::rfc3339_ms),
            delivered: watch.delivered,
            failed: watch.failed,
            dead: watch.dead,
            dropped: watch.dropped,
        }
    }
}

impl From<DeadLetter> for DeadLetterBody {
    fn from(letter: DeadLetter) -> Self {
        let records = letter.records.into_iter();
        Self {
            number: letter.number,
            id: letter.id,
            records: records.map(|(seq, id)| DeadRecordBody { seq, id }).collect(),
            attempts: letter.attempts,
            error: letter.error,
            made_at: wire::rfc3339_ms(letter.made_ms),
            died_at: wire::rfc3339_ms(letter.died_ms),
            again: letter.again,
        }
    }
}

const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];
