//! `/v1/tenants/{t}/erasures`: erasing data subjects, and how far that is.

use attestore_engine::forget::Person;
use attestore_engine::forget::erase::{ErasureInfo, ErasureRequest, ErasureScope, Recipient, RecordErasure};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// A person, as the tenant's events name them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonBody {
    /// The type: `user`, or as `data_subjects` of events have it.
    pub(super) r#type: String,
    /// The id. It is not kept once it is no longer needed.
    pub(super) id: String,
}

impl From<PersonBody> for Person {
    fn from(person: PersonBody) -> Self {
        Self {
            ty: person.r#type,
            id: person.id,
        }
    }
}

/// What is to be erased: everything that is personal about people, or whole records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureRequestBody {
    /// 1 to 10,000. One person may be several.
    #[serde(default)]
    subjects: Vec<PersonBody>,
    /// Or the seqs of 1 to 10,000 records of one class. They cannot be brought back, so `undo_s` does not go with them.
    #[serde(default)]
    seqs: Vec<u64>,
    /// On what ground, 1 to 256 bytes. It goes into the log, where it stays: it names nobody.
    basis: String,
    /// For how many seconds it may be taken back. The data is hidden meanwhile.
    #[serde(default)]
    #[schema(default = 0, maximum = 2_592_000)]
    undo_s: u64,
}

/// An erasure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErasureBody {
    /// Its id.
    id: String,
    /// `subject` or `records`.
    scope: &'static str,
    /// `received`: hidden, and may be taken back until `undo_until`; `deferred`: hidden, and waits; `approved`: decided, and on
    /// record in the log; `unreadable`: the keys are destroyed; `index_clean`: no index has terms of it; `done`: no file has bytes
    /// of it; `cancelled`: taken back.
    state: &'static str,
    /// Why it is deferred: `hold` or `policy`; else null. Who gives a purpose may read meanwhile.
    deferred: Option<String>,
    /// On what ground.
    basis: String,
    /// Id of the credential that asked for it.
    requested_by: String,
    /// Ids of the credentials that asked and approved.
    approved_by: Vec<String>,
    /// When it was asked for.
    requested_at: String,
    /// Until when it may be taken back.
    undo_until: String,
    /// How many handles the people had.
    subjects: u64,
    /// Records that had personal fields about them, once it is approved.
    records: u64,
    /// Index of the record of it in the log; null until then.
    seq: Option<u64>,
    /// Exports that were destroyed since they might hold some of it.
    exports_destroyed: u64,
    /// Segments that were written anew, also for erasures that ended together with this one.
    segments_rewritten: u64,
    /// Bytes of their new files.
    bytes_rewritten: u64,
    /// Who may have been shown the data, as far as `_system` tells; null when that could not be asked.
    recipients: Option<Vec<RecipientBody>>,
    /// Since when nobody is shown the data.
    suppressed_since: String,
    /// Since when no key opens it, also in old copies of the data directory.
    unreadable_since: Option<String>,
    /// Since when no index has terms of it.
    terms_gone_since: Option<String>,
    /// Since when no file has bytes of it, sealed or not.
    bytes_gone_since: Option<String>,
    /// SHA-256 of the certificate, hex; null until it is signed.
    certificate: Option<String>,
}

/// Somebody who was let see records of the tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecipientBody {
    /// Id of the credential, or of the foreign identity.
    id: String,
    /// How often, by permission: `read`, `search`, `tail`, `prove`, `export`, `access_requests`.
    requests: std::collections::BTreeMap<String, u64>,
}

/// Erasures of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErasuresBody {
    /// The newest first.
    items: Vec<ErasureBody>,
}

impl From<ErasureInfo> for ErasureBody {
    fn from(info: ErasureInfo) -> Self {
        Self {
            id: info.id,
            scope: match info.scope {
                ErasureScope::Subject => "subject",
                ErasureScope::Records => "records",
            },
            state: info.state.name(),
            deferred: info.deferred,
            basis: info.basis,
            requested_by: info.requested_by,
            approved_by: info.approved_by,
            requested_at: wire::rfc3339_ms(info.requested_ms),
            undo_until: wire::rfc3339_ms(info.undo_until_ms),
            subjects: info.subjects,
            records: info.records,
            seq: info.seq,
            exports_destroyed: info.exports_destroyed,
            segments_rewritten: info.segments_rewritten,
            bytes_rewritten: info.bytes_rewritten,
            recipients: info.recipients.map(|all| {
                let body = |one: Recipient| RecipientBody {
                    id: one.id,
                    requests: one.requests.into_iter().collect(),
                };
                all.into_iter().map(body).collect()
            }),
            suppressed_since: wire::rfc3339_ms(info.suppressed_since_ms),
            unreadable_since: info.unreadable_since_ms.map(wire::rfc3339_ms),
            terms_gone_since: info.terms_gone_since_ms.map(wire::rfc3339_ms),
            bytes_gone_since: info.bytes_gone_since_ms.map(wire::rfc3339_ms),
            certificate: info.certificate,
        }
    }
}

/// Erase data subjects, or whole records. When this answers, nobody is shown the data any more; the rest follows by itself, and GET tells
/// how far it is.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/erasures", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("Attestore-Bypass-Governance" = Option<String>, Header, description = "`true`: also records below a minimum in mode governance, which takes a second person and `bypass_retention`"),
    ),
    request_body = ErasureRequestBody,
    responses(
        (status = 202, description = "the data is hidden, and the job is durable; Location names it", body = ErasureBody),
        (status = 404, description = "no such tenant or record, or it knows none of the subjects", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`held`, `retention_locked`, `retention_minimum`, `not_erasable`, `no_policy`, `control_records`: a rule keeps the records, and nothing was erased", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "one of the records is gone already", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<ErasureBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: ErasureRequestBody = wire::document(&bytes, "invalid_erasure")?;
    let of_records = !asked.seqs.is_empty();
    if of_records && !(asked.subjects.is_empty() && asked.undo_s == 0) {
        return Err(Problem::bad_request(
            "invalid_erasure",
            "`seqs` goes with neither `subjects` nor `undo_s`",
        ));
    }
    let bypass = wire::bypasses_governance(&headers)?;
    // Not whom: that would be one more place to erase them from.
    let told = match of_records {
        true => format!("{} records, {}", asked.seqs.len(), asked.basis),
        false => format!("{} subjects, {}", asked.subjects.len(), asked.basis),
    };
    caller.tells(told).await?;
    let engine = app.engine().clone();
    let place = format!("/v1/tenants/{tenant}/erasures/");
    let info = wire::blocking(move || {
        if of_records {
            let request = RecordErasure {
                seqs: asked.seqs.into_iter().collect(),
                basis: asked.basis,
                bypass,
            };
            return engine.erase_records(&tenant, &caller.principal, &request);
        }
        let request = ErasureRequest {
            subjects: asked.subjects.into_iter().map(Person::from).collect(),
            basis: asked.basis,
            undo_s: asked.undo_s,
        };
        engine.erase(&tenant, &caller.principal, &request)
    })
    .await?;
    let location = [(header::LOCATION, format!("{place}{}", info.id))];
    Ok((StatusCode::ACCEPTED, location, Json(info.into())))
}

/// List a tenant's erasures.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/erasures", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = ErasuresBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<ErasuresBody>, Problem> {
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.erasures(&tenant, &caller.principal)).await?;
    Ok(Json(ErasuresBody {
        items: all.into_iter().map(ErasureBody::from).collect(),
    }))
}

/// See how far an erasure is.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/erasures/{erasure}", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("erasure" = String, Path, description = "id of the erasure"),
    ),
    responses(
        (status = 200, body = ErasureBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, erasure)): Path<(String, String)>,
) -> Result<Json<ErasureBody>, Problem> {
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.erasure(&tenant, &caller.principal, &erasure)).await?;
    Ok(Json(info.into()))
}

/// Fetch the certificate of an erasure: an in-toto statement in a DSSE envelope, signed by the key of the tenant's log.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/erasures/{erasure}/certificate", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("erasure" = String, Path, description = "id of the erasure"),
    ),
    responses(
        (status = 200, description = "a DSSE envelope", content_type = "application/vnd.dsse.envelope.v1+json", body = serde_json::Value),
        (status = 409, description = "`no_certificate_yet`: it is signed once no file has bytes of what is erased", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn certificate(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, erasure)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let engine = app.engine().clone();
    let signed =
        wire::blocking(move || engine.erasure_certificate(&tenant, &caller.principal, &erasure)).await?;
    let content_type = [(header::CONTENT_TYPE, "application/vnd.dsse.envelope.v1+json")];
    Ok((content_type, signed).into_response())
}

/// Take an erasure back: within the time that was given for it, or while it is deferred.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/erasures/{erasure}", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("erasure" = String, Path, description = "id of the erasure"),
    ),
    responses(
        (status = 200, description = "the data is shown again", body = ErasureBody),
        (status = 409, description = "`erasure_decided`: it is too late", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn undo(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, erasure)): Path<(String, String)>,
) -> Result<Json<ErasureBody>, Problem> {
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.undo_erasure(&tenant, &caller.principal, &erasure)).await?;
    Ok(Json(info.into()))
}
