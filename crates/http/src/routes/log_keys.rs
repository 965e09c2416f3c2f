//! `/v1/tenants/{t}/log/keys`: the keys that sign a log's checkpoints, one after the other.

use attestore_engine::handover::{LogKey, LogKeyState, Rotated};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Keys of a log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogKeysBody {
    /// The oldest first; the last is in force.
    items: Vec<LogKeyBody>,
}

/// A key of a log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogKeyBody {
    /// C2SP signed-note verifier key. Its name is the origin that it signs for.
    vkey: String,
    /// `current`; `retiring`: signs beside the current key; `retired`: destroyed.
    state: &'static str,
    /// Number of entries of the largest tree that it signed alone, or of a fork that is known of it; null while it signs.
    until: Option<u64>,
    /// The note by which it names the key after it; null of the current key.
    handover: Option<String>,
}

/// How a key is changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RotationBody {
    /// For how many seconds the former key signs too, so that who only knows that one can follow. 0 destroys it at once: right
    /// where others may have it. 7 days if it is not given.
    #[schema(maximum = 31_536_000)]
    overlap_s: Option<u64>,
}

/// A key that was put in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotatedBody {
    /// The key in force.
    vkey: String,
    /// The key before it.
    former: String,
    /// The note by which the former key names it: who trusts the former key checks this, and trusts the new one.
    handover: String,
    /// The record of it in the log.
    seq: u64,
    /// The last checkpoint that only the former key signed; it covers the record.
    checkpoint: String,
    /// When the former key is destroyed, RFC 3339; null if it was.
    retires_at: Option<String>,
}

impl From<LogKey> for LogKeyBody {
    fn from(key: LogKey) -> Self {
        Self {
            vkey: key.vkey,
            state: match key.state {
                LogKeyState::Current => "current",
                LogKeyState::Retiring => "retiring",
                LogKeyState::Retired => "retired",
            },
            until: key.until,
            handover: key.handover,
        }
    }
}

impl From<Rotated> for RotatedBody {
    fn from(rotated: Rotated) -> Self {
        Self {
            vkey: rotated.vkey,
            former: rotated.former,
            handover: rotated.handover,
            seq: rotated.seq,
            checkpoint: rotated.checkpoint,
            retires_at: rotated.retires_ms.map(wire::rfc3339_ms),
        }
    }
}

/// List the keys of a tenant's log.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/log/keys", tag = "proofs",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = LogKeysBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(State(app): State<App>, Path(tenant): Path<String>) -> Result<Json<LogKeysBody>, Problem> {
    let engine = app.engine().clone();
    let keys = wire::blocking(move || engine.log_keys(&tenant)).await?;
    Ok(Json(LogKeysBody {
        items: keys.into_iter().map(LogKeyBody::from).collect(),
    }))
}

/// Put a new key in force for a tenant's log. The log holds the former key's word for it, and a checkpoint by the former key covers that.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/log/keys", tag = "proofs",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = RotationBody,
    responses(
        (status = 201, body = RotatedBody),
    ),
    security(("bearer" = []))
)]
pub async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RotatedBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: RotationBody = wire::document(&bytes, "invalid_rotation")?;
    let overlap_s = asked.overlap_s.unwrap_or(OVERLAP_S);
    if overlap_s > OVERLAP_S_MAX {
        let message = format!("overlap_s: {OVERLAP_S_MAX} at most");
        return Err(Problem::bad_request("invalid_rotation", message));
    }
    let engine = app.engine().clone();
    let rotated =
        wire::blocking(move || engine.rotate_log_key(&tenant, &caller.principal, overlap_s * 1000)).await?;
    Ok((StatusCode::CREATED, Json(rotated.into())))
}

/// Destroy the former key of a tenant's log that still signs, before its time.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/log/keys/retiring", tag = "proofs",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 204, description = "destroyed"),
        (status = 404, description = "no such tenant, or no such key", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn retire(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Problem> {
    let engine = app.engine().clone();
    let retired = wire::blocking(move || engine.retire_log_key(&tenant, &caller.principal)).await?;
    if retired {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(
            StatusCode::NOT_FOUND,
            "unknown_key",
            "no former key of this log signs any more",
        ))
    }
}

const OVERLAP_S: u64 = 7 * 86_400;
const OVERLAP_S_MAX: u64 = 365 * 86_400;
