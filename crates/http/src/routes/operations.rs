//! `/livez`, `/readyz`, `/metrics`, `/openapi.json`: for those who run the server.

use attestore_engine::status::{Reason, Status};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::metrics;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Whether the server can do its work, and what is wrong or weaker than it should be.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadyBody {
    /// Appends and searches are served.
    ready: bool,
    /// Why not.
    reasons: Vec<String>,
    /// What works but is weaker than it should be, e.g. that rollback cannot be detected.
    warnings: Vec<String>,
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// The server can append and search.
#[utoipa::path(get, path = "/readyz", tag = "operations",
    responses((status = 200, body = ReadyBody), (status = 503, body = ReadyBody)))]
pub async fn readyz(State(app): State<App>) -> Response {
    let engine = app.engine().clone();
    let status = match wire::blocking(move || engine.status()).await {
        Ok(status) => status,
        Err(problem) => return problem.into_response(),
    };
    let (blocking, warnings): (Vec<_>, Vec<_>) = status.reasons.into_iter().partition(|reason| reason.blocks);
    let text = |reasons: Vec<Reason>| {
        reasons
            .into_iter()
            .map(|r| format!("{}: {}", r.code, r.message))
            .collect()
    };
    let ready = blocking.is_empty();
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        code,
        Json(ReadyBody {
            ready,
            reasons: text(blocking),
            warnings: text(warnings),
        }),
    )
        .into_response()
}

/// How the instance is doing.
#[derive(Serialize)]
pub struct StatusBody {
    #[serde(flatten)]
    engine: Status,
    /// Rate limits: how much of them is let through under the load, who is tightened, and how the shared ones are doing.
    limits: attestore_limit::limits::Status,
}

/// How the instance is doing, in numbers: for its administrators.
#[utoipa::path(get, path = "/v1/status", tag = "operations",
    responses(
        (status = 200, body = Object),
    ),
    security(("bearer" = [])))]
pub async fn status(State(app): State<App>) -> Result<Json<StatusBody>, Problem> {
    let engine = app.engine().clone();
    let keeper = app.settings().limits.clone();
    let status = wire::blocking(move || {
        engine.status().map(|engine| StatusBody {
            engine,
            limits: keeper.status(),
        })
    });
    Ok(Json(status.await?))
}

/// Metrics in the Prometheus text format; no tenant, actor or event value is ever a label.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn show_metrics(State(app): State<App>) -> Response {
    let engine = app.engine().clone();
    let keeper = app.settings().limits.clone();
    let status = wire::blocking(move || engine.status().map(|status| (status, keeper.status())));
    match status.await {
        Ok((status, limits)) => {
            metrics::gauges(&status);
            crate::limits::gauges(&limits);
        }
        Err(problem) => return problem.into_response(),
    }
    let text = app.metrics().map(|handle| handle.render()).unwrap_or_default();
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, body = Object)))]
pub async fn openapi(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi()).into_response()
}
