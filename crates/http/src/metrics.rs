//! What `GET /metrics` shows of the HTTP side and of the engine's condition. Labels are routes, methods and status
//! codes: nothing that a client chose.

use std::time::Instant;

use attestore_engine::status::Status;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

/// Counts a request and times it.
pub async fn count(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |p| p.as_str().to_owned());
    let method = request.method().as_str().to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    let labels = [("route", route), ("method", method), ("status", status)];
    metrics::counter!("attestore_http_requests_total", &labels).increment(1);
    metrics::histogram!("attestore_http_request_seconds", &labels).record(started.elapsed().as_secs_f64());
    response
}

/// Sets the gauges of the engine's condition.
pub fn gauges(status: &Status) {
    set("attestore_tenants", status.tenants);
    set("attestore_tenants_loaded", status.tenants_loaded);
    set("attestore_tail_records", status.tail_records);
    set("attestore_wal_bytes", status.wal_bytes);
    set("attestore_wal_files", status.wal_files);
    set("attestore_index_lag_records", status.index_lag_records);
    set("attestore_heads_waiting", status.heads_waiting);
    set(
        "attestore_rollback_detection",
        u64::from(status.rollback_detection),
    );
    set(
        "attestore_ready",
        u64::from(!status.reasons.iter().any(|reason| reason.blocks)),
    );
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
fn set(name: &'static str, value: u64) {
    metrics::gauge!(name).set(value as f64);
}
