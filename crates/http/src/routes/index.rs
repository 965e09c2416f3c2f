//! `/v1/tenants/{t}/index`: what of a tenant's records is indexed, and how far the index is.

use std::sync::Arc;

use attestore_engine::search::{IndexPolicy, IndexStatus, PersonalIndex, TextIndex};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What of a tenant's records is indexed. The fixed fields of an event always are. What is left out is still found, by
/// scanning, within limits.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IndexPolicyBody {
    /// Readable strings: not at all, by word, or by word and place so that phrases are found without scanning.
    text: TextBody,
    /// `metadata`: exact values at every path, and its strings by word.
    metadata: bool,
    /// Strings of `payload`, `targets.attributes`, `changes.old` and `changes.new` by word.
    payload_text: bool,
    /// Paths whose values are found exactly and have a column, for ranges, sorting and aggregations: at most 64, each
    /// `metadata.…`, `payload.…` or `targets.attributes.…`.
    paths: Vec<String>,
    /// Values of personal groups: not at all, exact values without words, or as all others. `all` unless it is said.
    personal: PersonalBody,
}

/// How readable strings are indexed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextBody {
    /// Not at all.
    None,
    /// By word.
    Words,
    /// By word and place.
    Positions,
}

/// What of personal values is indexed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PersonalBody {
    /// Nothing.
    None,
    /// Exact values and columns, and no words.
    Exact,
    /// As of other values.
    All,
}

/// How far a tenant's index is.
#[derive(Debug, Serialize, ToSchema)]
pub struct IndexBody {
    /// What is indexed, or will be once nothing is pending.
    policy: IndexPolicyBody,
    /// Segments of the tenant, parts of shared files not counted.
    segments: u64,
    /// Those whose split is being built again, or waits for it; they are scanned until then.
    segments_pending: u64,
    /// Splits that were built again since the server started.
    segments_rebuilt: u64,
    /// Records that are durable and not in a segment yet.
    tail_records: u64,
    /// Those of them that no split covers yet. Searches find them all the same.
    lag_records: u64,
    /// Records from before the last start that no split covers yet.
    backlog_records: u64,
}

/// See what is indexed and how far the index is.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/index", tag = "tenants",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = IndexBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<IndexBody>, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let status = wire::blocking(move || engine.index_status(&tenant, &principal)).await?;
    Ok(Json(status.into()))
}

/// Set what is indexed. Records that are indexed already are indexed again in the background.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/index", tag = "tenants",
    params(("tenant" = String, Path)),
    request_body = IndexPolicyBody,
    responses(
        (status = 200, description = "in force; durable, and logged in the tenant's log", body = IndexBody),
    ),
    security(("bearer" = []))
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<IndexBody>, Problem> {
    let principal = Arc::clone(&caller.principal);
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let policy: IndexPolicyBody = wire::document(&bytes, "invalid_index_policy")?;
    let engine = app.engine().clone();
    let set = move || engine.set_index_policy(&tenant, &principal, policy.into());
    Ok(Json(wire::blocking(set).await?.into()))
}

impl Default for IndexPolicyBody {
    fn default() -> Self {
        IndexPolicy::default().into()
    }
}

impl From<IndexPolicy> for IndexPolicyBody {
    fn from(policy: IndexPolicy) -> Self {
        Self {
            text: match policy.text {
                TextIndex::None => TextBody::None,
                TextIndex::Words => TextBody::Words,
                TextIndex::Positions => TextBody::Positions,
            },
            metadata: policy.metadata,
            payload_text: policy.payload_text,
            paths: policy.paths,
            personal: match policy.personal {
                PersonalIndex::None => PersonalBody::None,
                PersonalIndex::Exact => PersonalBody::Exact,
                PersonalIndex::All => PersonalBody::All,
            },
        }
    }
}

impl From<IndexPolicyBody> for IndexPolicy {
    fn from(body: IndexPolicyBody) -> Self {
        Self {
            text: match body.text {
                TextBody::None => TextIndex::None,
                TextBody::Words => TextIndex::Words,
                TextBody::Positions => TextIndex::Positions,
            },
            metadata: body.metadata,
            payload_text: body.payload_text,
            paths: body.paths,
            personal: match body.personal {
                PersonalBody::None => PersonalIndex::None,
                PersonalBody::Exact => PersonalIndex::Exact,
                PersonalBody::All => PersonalIndex::All,
            },
        }
    }
}

impl From<IndexStatus> for IndexBody {
    fn from(status: IndexStatus) -> Self {
        Self {
            policy: status.policy.into(),
            segments: status.sets,
            segments_pending: status.sets_pending,
            segments_rebuilt: status.sets_rebuilt,
            tail_records: status.tail_records,
            lag_records: status.lag_records,
            backlog_records: status.backlog_records,
        }
    }
}
