//! `/livez`, `/readyz`, `/metrics`, `/openapi.json`: for those who run the server.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::server::App;

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
    let reasons: Vec<String> = match app.engine().ready() {
        Ok(()) => Vec::new(),
        Err(reasons) => reasons.iter().map(ToString::to_string).collect(),
    };
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyBody { ready, reasons, warnings: app.engine().warnings() })).into_response()
}

/// Metrics in the Prometheus text format; no tenant, actor or event value is ever a label.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(app): State<App>) -> Response {
    app.engine().update_metrics();
    let text = app.metrics().map(|handle| handle.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, body = Object)))]
pub async fn openapi(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi()).into_response()
}
