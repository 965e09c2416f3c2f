//! `/v1/tenants/{t}/events/{record}/corrections`: what a record says, corrected by further records.

use std::collections::BTreeMap;

use attestore_engine::forget::rectify::{Correction, CorrectionOrder};
use attestore_engine::read::RecordView;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::events;
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire::{self, RecordBody};

/// What is corrected, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectionRequestBody {
    /// 1 to 64 fields that the record has, as JSON pointers (RFC 6901), each with the value that is right.
    #[schema(value_type = Object)]
    fields: BTreeMap<String, Value>,
    /// Why, 1 to 1024 bytes. It goes into the log, where everybody reads it: it names nobody.
    reason: String,
    /// On what ground, at most 1024 bytes; goes into the log too.
    basis: Option<String>,
}

/// What was appended.
#[derive(Debug, Serialize, ToSchema)]
pub struct CorrectedBody {
    /// Indexes in the log of the records that correct it: one for each set of people whom the fields are about.
    seqs: Vec<u64>,
    /// The tenant's tree, which has them.
    tree: wire::Tree,
}

/// A correction.
#[derive(Debug, Serialize, ToSchema)]
pub struct CorrectionBody {
    /// Its own index in the log.
    seq: u64,
    /// When it was made.
    at: String,
    /// Id of the credential that made it.
    by: String,
    /// Why.
    reason: String,
    /// On what ground.
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<String>,
    /// The fields with the values that are right; `[personal]` where the caller may not see them, or where they were erased.
    #[schema(value_type = Object)]
    fields: BTreeMap<String, Value>,
}

/// Corrections of a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct CorrectionsBody {
    /// The oldest first: of a field that was corrected twice, the last value counts.
    items: Vec<CorrectionBody>,
}

impl From<Correction> for CorrectionBody {
    fn from(correction: Correction) -> Self {
        Self {
            seq: correction.seq,
            at: wire::rfc3339_ms(correction.at_ms),
            by: correction.by,
            reason: correction.reason,
            basis: correction.basis,
            fields: correction.fields.into_iter().collect(),
        }
    }
}

/// Correct what a record says (Art. 16 GDPR). The record and its proofs stay; further records say what is right.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/events/{record}/corrections", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name"), ("record" = String, Path, description = "seq or id")),
    request_body = CorrectionRequestBody,
    responses(
        (status = 201, body = CorrectedBody),
        (status = 409, description = "`control_record`: the server itself put it on record", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "`purged` or `erased`: the record, or the person whom the field is about", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, record)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CorrectedBody>), Problem> {
    let which = events::which(&record)?;
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: CorrectionRequestBody = wire::document(&bytes, "invalid_correction")?;
    let pointers: Vec<&str> = asked.fields.keys().map(String::as_str).collect();
    caller
        .tells(format!("{}: {}", pointers.join(" "), asked.reason))
        .await?;
    let order = CorrectionOrder {
        fields: asked.fields.into_iter().collect(),
        reason: asked.reason,
        basis: asked.basis,
    };
    let engine = app.engine().clone();
    let made = wire::blocking(move || engine.correct(&tenant, &caller.principal, which, &order)).await?;
    let body = CorrectedBody {
        seqs: made.items.iter().flatten().map(|receipt| receipt.seq).collect(),
        tree: wire::Tree::from(&made.tree),
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// List the corrections of a record.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events/{record}/corrections", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name"), ("record" = String, Path, description = "seq or id")),
    responses(
        (status = 200, body = CorrectionsBody),
        (status = 410, description = "`purged` or `erased`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, record)): Path<(String, String)>,
) -> Result<Json<CorrectionsBody>, Problem> {
    let which = events::which(&record)?;
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.corrections(&tenant, &caller.principal, which)).await?;
    Ok(Json(CorrectionsBody {
        items: all.into_iter().map(CorrectionBody::from).collect(),
    }))
}

/// Which records correct each of some records, by seq.
pub type CorrectedBy = BTreeMap<u64, Vec<u64>>;

/// A record with what corrects it.
///
/// # Errors
/// As [`wire::record`].
pub fn record(view: RecordView, corrected_by: &mut CorrectedBy) -> Result<RecordBody, Problem> {
    let corrected_by = corrected_by.remove(&view.seq).unwrap_or_default();
    Ok(RecordBody {
        corrected_by,
        ..wire::record(view)?
    })
}
