//! `/v1/tenants/{t}/log/heads`: the slot of the tenant's log in a witnessed round of the log of heads.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;

use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Prove which head the newest witnessed round of the log of heads has for this log (a `.slot-proof`).
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/log/heads", tag = "proofs",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, description = "a slot proof: signed checkpoint, way to the round's root, proof of the round's record", body = String, content_type = "text/plain"),
        (status = 404, description = "no round with this log is witnessed since the server started, or none ever", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "rollback detected: nothing is signed", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn slot(State(app): State<App>, Path(tenant): Path<String>) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let slot = wire::blocking(move || engine.slot(&tenant)).await?;
    let text = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    Ok(([text, (header::CACHE_CONTROL, "no-store")], slot.proof))
}
