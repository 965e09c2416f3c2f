//! What `GET /metrics` shows of the HTTP side and of the engine's condition. Labels are routes, methods and status
//! codes: nothing that a client chose.

use std::cell::RefCell;
use std::time::Instant;

use attestore_engine::status::Status;
use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Counter, Histogram};

use crate::serve::About;
use crate::server::problems_only;

/// Counts a request and times it, and turns refusals of the framework into problem documents.
pub async fn count(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let about = request.extensions().get::<About>().cloned();
    let method = method_label(request.method());
    let response = problems_only(next.run(request).await).await;
    let status = response.status().as_u16();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let elapsed = started.elapsed();
    with_series(route, method, status, |series| {
        series.requests.increment(1);
        series.seconds.record(elapsed.as_secs_f64());
    });
    if let Some(id) = about.as_ref().map(About::id) {
        let ms = elapsed.as_millis();
        if status >= 500 {
            tracing::warn!(target: REQUESTS, request_id = %id, method, route, status, ms, "a request failed");
        } else {
            tracing::debug!(target: REQUESTS, request_id = %id, method, route, status, ms, "request");
        }
    }
    response
}

/// What requests are logged under: `log.level = "info,attestore_http::requests=debug"` shows all of them.
const REQUESTS: &str = "attestore_http::requests";

/// The method, if it is one that routes know: clients can send any word.
pub fn method_label(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::PATCH,
        Method::OPTIONS,
    ];
    const NAMES: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];
    KNOWN
        .iter()
        .position(|known| known == method)
        .and_then(|at| NAMES.get(at))
        .unwrap_or(&"other")
}

/// The metrics of one combination of labels.
struct Series {
    route: String,
    method: &'static str,
    status: u16,
    requests: Counter,
    seconds: Histogram,
}

impl Series {
    fn new(route: &str, method: &'static str, status: u16) -> Self {
        let labels = [
            ("route", route.to_owned()),
            ("method", method.to_owned()),
            ("status", status.to_string()),
        ];
        Self {
            route: route.to_owned(),
            method,
            status,
            requests: metrics::counter!("attestore_http_requests_total", &labels),
            seconds: metrics::histogram!("attestore_http_request_seconds", &labels),
        }
    }
}

thread_local! {
    /// Registering builds labels anew each time, so each thread keeps what it got. Routes, methods and codes are few.
    static SERIES: RefCell<Vec<Series>> = const { RefCell::new(Vec::new()) };
}

fn with_series(route: &str, method: &'static str, status: u16, then: impl FnOnce(&Series)) {
    SERIES.with_borrow_mut(|all| {
        let same = |one: &Series| one.status == status && one.method == method && one.route == route;
        if let Some(found) = all.iter().find(|one| same(one)) {
            return then(found);
        }
        let new = Series::new(route, method, status);
        then(&new);
        all.push(new);
    });
}

/// Sets the gauges of the engine's condition.
pub fn gauges(status: &Status) {
    set("attestore_tenants", status.tenants);
    set("attestore_tenants_loaded", status.tenants_loaded);
    set("attestore_tail_records", status.tail_records);
    set("attestore_wal_bytes", status.wal_bytes);
    set("attestore_wal_files", status.wal_files);
    set("attestore_index_lag_records", status.index_lag_records);
    set("attestore_index_rebuilds_pending", status.index_rebuilds_pending);
    set("attestore_index_rebuilds_done", status.index_rebuilds_done);
    set("attestore_heads_waiting", status.heads_waiting);
    set("attestore_root_reachable", u64::from(status.root.reachable));
    set("attestore_root_generation", status.root.generation);
    set(
        "attestore_signing_available",
        u64::from(status.root.signing_failure.is_none()),
    );
    set(
        "attestore_signing_keys_to_destroy",
        status.root.signing_keys_to_destroy,
    );
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
