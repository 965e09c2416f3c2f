//! `POST /v1/clock/confirm`: an operator says that the clock, which stepped ahead, is right.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What time it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockBodyIn {
    /// RFC 3339. The server's clock has to agree, within `engine.future_tolerance_ms`.
    now: String,
}

/// A clock that was confirmed.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClockBody {
    /// What it shows, RFC 3339.
    now: String,
    /// By how much it had stepped ahead, milliseconds; null when there was nothing to confirm.
    ahead_ms: Option<u64>,
}

/// Confirm the server's clock after it stepped ahead. Until then nothing is appended, and nothing answered that has to be on
/// record; a confirmation that is refused gets 503 for that reason.
#[utoipa::path(
    post, path = "/v1/clock/confirm", tag = "operations",
    request_body = ClockBodyIn,
    responses(
        (status = 200, description = "in force, and on record in `_system`", body = ClockBody),
    ),
    security(("bearer" = []))
)]
pub async fn confirm(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClockBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let said: ClockBodyIn = wire::document(&bytes, "invalid_clock")?;
    let said_ms = wire::parse_time("now", &said.now)? / 1_000_000;
    let said_ms =
        u64::try_from(said_ms).map_err(|_| Problem::bad_request("invalid_time", "now: before 1970"))?;
    let engine = app.engine().clone();
    let done = wire::blocking(move || engine.confirm_clock(&caller.principal, said_ms)).await?;
    Ok(Json(ClockBody {
        now: wire::rfc3339_ms(done.now_ms),
        ahead_ms: done.ahead_ms,
    }))
}
