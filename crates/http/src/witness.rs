//! A witness over HTTP (C2SP tlog-witness): who submits is known by the log's signature and by nothing else, so there is no gate.
//!
//! | route | what |
//! |---|---|
//! | `POST /add-checkpoint` | cosigns a checkpoint |
//! | `GET /<hex SHA-256(origin)>/checkpoint` | the newest one that was cosigned |
//! | `GET /vkey` | the key of the witness |
//! | `GET /livez`, `GET /metrics` | operations |

use std::sync::Arc;
use std::time::Duration;

use attestore_witness::{REQUEST_BYTES_MAX, Witness};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;

#[derive(Clone)]
struct App {
    witness: Arc<Witness>,
    metrics: Option<PrometheusHandle>,
}

/// Makes the router over a witness.
pub fn witness_router(witness: Arc<Witness>, metrics: Option<PrometheusHandle>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .route("/vkey", get(vkey))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/metrics", get(show_metrics))
        .with_state(App { witness, metrics })
}

async fn add_checkpoint(State(app): State<App>, body: Body) -> Response {
    let body = match tokio::time::timeout(BODY_TIME_MAX, to_bytes(body, REQUEST_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let witness = Arc::clone(&app.witness);
    // It waits for the disk.
    let Ok(answer) = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body)).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    metrics::counter!("attestore_witness_requests_total", "status" => answer.status.to_string()).increment(1);
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

async fn checkpoint(State(app): State<App>, Path(origin_hash): Path<String>) -> Response {
    app.witness
        .checkpoint(&origin_hash)
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), text)
}

async fn vkey(State(app): State<App>) -> Response {
    text(format!("{}\n", app.witness.key()))
}

async fn show_metrics(State(app): State<App>) -> Response {
    let witness = Arc::clone(&app.witness);
    let Ok(logs) = tokio::task::spawn_blocking(move || witness.status()).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    for log in logs {
        let origin = log.origin;
        let (size, _) = log.head.unwrap_or((0, attestore_tlog::EMPTY_ROOT));
        let gauge = |name: &'static str, value: u64| {
            #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
            metrics::gauge!(name, "origin" => origin.clone()).set(value as f64);
        };
        gauge("attestore_witness_size", size);
        gauge(
            "attestore_witness_cosigned_timestamp_seconds",
            log.cosigned_s.unwrap_or(0),
        );
        gauge("attestore_witness_evidence_files", log.evidence as u64);
        gauge("attestore_witness_failed", u64::from(log.failed));
    }
    app.metrics.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |metrics| text(metrics.render()),
    )
}

fn text(body: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// How long a client may take over its body.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);
