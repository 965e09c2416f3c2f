//! What clients ask first: which product and version this is, and whether it works.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Answered, Json, Refusal, answer};
use super::index::{self, Names};
use super::params::Params;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;

/// The version that clients are told.
const VERSION: &str = "8.19.0";

/// What clients ask first: which product and version this is.
#[utoipa::path(
    get, path = "/es", tag = "senders",
    responses((status = 200, description = "name and version, as Elasticsearch tells them")),
    security(("bearer" = []))
)]
pub async fn root(caller: Result<Caller, Problem>) -> Response {
    match caller {
        Err(problem) => Refusal::from(problem).into_response(),
        Ok(_) => answer(
            StatusCode::OK,
            &json!({
                "name": "attestore", "cluster_name": "attestore", "cluster_uuid": "attestore",
                "version": {
                    "number": VERSION, "build_flavor": "default", "build_type": "attestore", "build_hash": "unknown",
                    "build_date": "2026-01-01T00:00:00Z", "build_snapshot": false, "lucene_version": "9.12.0",
                    "minimum_wire_compatibility_version": "7.17.0", "minimum_index_compatibility_version": "7.0.0",
                },
                "tagline": concat!("Attestore ", env!("CARGO_PKG_VERSION")),
            }),
        ),
    }
}

/// `_cluster/health`: red when appends are refused.
pub async fn health(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&[
        "wait_for_status",
        "timeout",
        "level",
        "wait_for_no_relocating_shards",
        "wait_for_nodes",
    ])?;
    // Who names none asks for the server.
    let known = match names.is_any() {
        true => 1,
        false => index::readable(&app, &caller, &names, false).await?.len(),
    };
    let (status, shards) = match app.engine().ready() {
        Ok(()) => ("green", known),
        Err(_) => ("red", 0),
    };
    Ok(Json(json!({
        "cluster_name": "attestore", "status": status, "timed_out": false,
        "number_of_nodes": 1, "number_of_data_nodes": 1,
        "active_primary_shards": shards, "active_shards": shards, "relocating_shards": 0,
        "initializing_shards": 0, "unassigned_shards": known - shards, "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0,
        "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": if status == "green" { 100.0 } else { 0.0 },
    })))
}
