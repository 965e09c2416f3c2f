//! `/v1/tenants/{t}/verification`: how the server's own verification of stored records stands.

use attestore_engine::check::{Problem as Found, ProblemKind};
use attestore_engine::{ScrubReport, UnderWay};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// How the verification of a tenant's stored records stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerificationBody {
    /// When the last whole pass ended, RFC 3339.
    finished_at: Option<String>,
    /// Entries that it covered: its tree was recomputed over so many.
    size: u64,
    /// Root over them, hex; empty before the first pass.
    root: String,
    /// Records in segments that it read from the disk, decrypted and held against their entries.
    records: u64,
    /// Personal groups that it opened.
    groups_opened: u64,
    /// Personal groups that were erased: their commitments stand.
    groups_erased: u64,
    /// Bytes that it read.
    bytes: u64,
    /// Records that nobody has hashed again since they came.
    unverified: u64,
    /// Since when something has not been hashed again, RFC 3339.
    oldest_unverified_at: Option<String>,
    /// The pass under way.
    under_way: Option<UnderWayBody>,
    /// What does not hold.
    findings: Vec<FindingBody>,
}

/// A pass that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnderWayBody {
    /// When, RFC 3339.
    started_at: String,
    /// Records that were hashed again so far.
    records: u64,
    /// Of so many in segments.
    of: u64,
}

/// What does not hold, and where.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingBody {
    /// `damage`, `key`, `rollback`, …
    #[schema(value_type = String)]
    kind: ProblemKind,
    /// The file, relative to the data directory.
    path: String,
    /// Byte offset in it, of the structure that does not hold.
    offset: u64,
    /// What does not hold.
    reason: String,
}

impl From<ScrubReport> for VerificationBody {
    fn from(report: ScrubReport) -> Self {
        let finding = |found: Found| FindingBody {
            kind: found.kind,
            path: found.path.display().to_string(),
            offset: found.offset,
            reason: found.reason,
        };
        let under_way = |pass: UnderWay| UnderWayBody {
            started_at: wire::rfc3339_ms(pass.started_ms),
            records: pass.records,
            of: pass.of,
        };
        Self {
            finished_at: report.finished_ms.map(wire::rfc3339_ms),
            size: report.size,
            root: report.root,
            records: report.records,
            groups_opened: report.groups_opened,
            groups_erased: report.groups_erased,
            bytes: report.bytes,
            unverified: report.unverified,
            oldest_unverified_at: report.oldest_unverified_ms.map(wire::rfc3339_ms),
            under_way: report.under_way.map(under_way),
            findings: report.findings.into_iter().map(finding).collect(),
        }
    }
}

/// See how the server's verification of a tenant's stored records stands.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/verification", tag = "proofs",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = VerificationBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<VerificationBody>, Problem> {
    let engine = app.engine().clone();
    let by = caller.principal;
    let report = wire::blocking(move || engine.scrub_report(&tenant, &by)).await?;
    Ok(Json(report.into()))
}

/// Have a tenant's stored records verified as soon as the background gets to it.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/verification", tag = "proofs",
    params(("tenant" = String, Path)),
    responses(
        (status = 202, description = "it has its turn next; GET tells how far it is", body = VerificationBody),
    ),
    security(("bearer" = []))
)]
pub async fn post(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<(StatusCode, Json<VerificationBody>), Problem> {
    let engine = app.engine().clone();
    let by = caller.principal;
    let report = wire::blocking(move || {
        engine.scrub_now(&tenant, &by)?;
        engine.scrub_report(&tenant, &by)
    })
    .await?;
    Ok((StatusCode::ACCEPTED, Json(report.into())))
}
