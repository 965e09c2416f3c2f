//! Routes, wire types, credentials and problem documents: the HTTP side of Attestore.
//!
//! This crate turns requests into calls of `attestore-engine` and results into JSON. It stores nothing, decides nothing
//! about events, and is the only crate that names axum. Every error leaves as an RFC 9457 problem document.

#![expect(
    unused_qualifications,
    reason = "code made by utoipa names types by their paths"
)]

mod at_once;
mod body;
mod describe;
mod elastic;
mod ending;
mod fields;
mod guard;
mod items;
mod limits;
mod metrics;
mod peer;
mod places;
mod problem;
mod routes;
pub mod sealed;
mod senders;
pub mod serve;
mod server;
mod slots;
mod sse;
pub mod tls;
mod wire;
mod witness;
mod witnesses;

pub use axum::Router;
pub use body::{Limits, Memory};
pub use guard::{Entry, Need, Reach, Recorded, RouteClass, Row, Tokens, Tongue};
pub use limits::Keeper;
pub use metrics_exporter_prometheus::PrometheusHandle;
pub use problem::{FieldError, Problem};
pub use serve::serve;
pub use server::{App, Settings, nop_router, openapi_json, router, table};
pub use wire::rfc3339_ms;
pub use witness::witness_router;
pub use witnesses::{Cosigner, Cosigning, WitnessBody, Witnesses};

/// Installs the recorder behind `GET /metrics`; `None` when the process already has one.
#[must_use]
pub fn install_metrics() -> Option<metrics_exporter_prometheus::PrometheusHandle> {
    metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .ok()
}
