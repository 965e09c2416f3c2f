//! `/v1/tenants/{t}/access-requests`: what is held about somebody, put together for them.

use attestore_engine::Error;
use attestore_engine::exports::{AccessInfo, AccessKind, AccessRequest, ExportPart};
use attestore_engine::forget::Person;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::erasures::PersonBody;
use super::exports::{FaultBody, NO_STORE, send};
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What somebody asks for.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindBody {
    /// Everything about them, and what is done with it (Art. 15 GDPR).
    #[default]
    Access,
    /// What they did themselves, for machines (Art. 20 GDPR).
    Portability,
}

/// What somebody asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRequestBody {
    /// About whom, 1 to 10,000. One person may be several; people who are not the same one get a request each.
    subjects: Vec<PersonBody>,
    /// What.
    #[serde(default)]
    kind: KindBody,
    /// On what ground, 1 to 256 bytes. It is in the manifest, and shown to who may see the request: it names nobody.
    basis: Option<String>,
    /// For how many seconds the file is kept once it is there.
    #[schema(default = 1_209_600, minimum = 60, maximum = 2_592_000)]
    expires_in_s: Option<u64>,
}

/// An access request. Whom it is about is not shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessBody {
    /// Its id.
    id: String,
    /// What was asked for.
    kind: KindBody,
    /// `queued`, `running`; `done`: the file is there; `failed`: `error` says why, ask again; `fetched`: it was downloaded, and is
    /// gone; `gone`: its time is over, or the person was erased.
    state: &'static str,
    /// On what ground.
    basis: Option<String>,
    /// How many handles the person has.
    subjects: u64,
    /// Id of the credential that asked.
    requested_by: String,
    /// When.
    requested_at: String,
    /// When the file was there.
    finished_at: Option<String>,
    /// When it goes; null while it is not there.
    expires_at: Option<String>,
    /// When it was downloaded.
    fetched_at: Option<String>,
    /// By whom.
    fetched_by: Option<String>,
    /// The tree that it is pinned to.
    tree: wire::Tree,
    /// The log up to there was gone through, of `tree.size`.
    read: u64,
    /// Records in it so far.
    records: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FaultBody>,
    /// The file, once it is there.
    file: Option<AccessFileBody>,
}

/// The file of an access request.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessFileBody {
    /// Its name.
    name: String,
    /// Its bytes.
    bytes: u64,
    /// SHA-256 of its bytes, hex.
    sha256: String,
}

/// Access requests of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccessesBody {
    /// The newest first.
    items: Vec<AccessBody>,
}

/// Have all that is held about somebody put together for them, as a job.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/access-requests", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = AccessRequestBody,
    responses(
        (status = 202, description = "the job is durable and pinned to the log as it is now; Location names it", body = AccessBody),
        (status = 404, description = "no such tenant, or it knows none of the subjects", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "too many exports", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 2], Json<AccessBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: AccessRequestBody = wire::document(&bytes, "invalid_access_request")?;
    // Whose data was asked for is on record like what was searched for: sealed.
    let people = asked
        .subjects
        .iter()
        .map(|person| serde_json::json!([person.r#type, person.id]));
    let terms = serde_json::json!({"subjects": people.collect::<Vec<_>>(), "kind": asked.kind});
    caller.tells(terms.to_string()).await?;
    let request = AccessRequest {
        subjects: asked.subjects.into_iter().map(Person::from).collect(),
        kind: match asked.kind {
            KindBody::Access => AccessKind::Access,
            KindBody::Portability => AccessKind::Portability,
        },
        basis: asked.basis,
        expires_in_s: asked.expires_in_s,
    };
    let engine = app.engine().clone();
    let place = format!("/v1/tenants/{tenant}/access-requests/");
    let info = wire::blocking(move || engine.request_access(&tenant, &caller.principal, &request)).await?;
    let headers = [
        (header::LOCATION, format!("{place}{}", info.id)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::ACCEPTED, headers, Json(info.into())))
}

/// List a tenant's access requests.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/access-requests", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = AccessesBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Json<AccessesBody>), Problem> {
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.access_requests(&tenant, &caller.principal)).await?;
    let items = all.into_iter().map(AccessBody::from).collect();
    Ok((NO_STORE, Json(AccessesBody { items })))
}

/// See how far an access request is.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/access-requests/{access_request}", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("access_request" = String, Path, description = "id of the request"),
    ),
    responses(
        (status = 200, body = AccessBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<([(HeaderName, &'static str); 1], Json<AccessBody>), Problem> {
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.access_request(&tenant, &caller.principal, &id)).await?;
    Ok((NO_STORE, Json(info.into())))
}

/// Download the file of an access request: once, as a whole. It is destroyed before its first byte is
/// sent; if the download breaks off, ask again.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/access-requests/{access_request}/file", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("access_request" = String, Path, description = "id of the request"),
    ),
    responses(
        (status = 200, description = "the archive; its ETag is its SHA-256", content((String = "application/zip"))),
        (status = 409, description = "`access_not_done`, `access_failed`", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "`already_fetched`; `access_gone`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn file(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let engine = app.engine().clone();
    let found = fetching(move || engine.access_file(&tenant, &caller.principal, &id)).await?;
    send(found, &method, &headers, |file, bytes| {
        fetching(move || file.download(&bytes))
    })
    .await
}

/// Remove an access request with its file, whatever its state.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/access-requests/{access_request}", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("access_request" = String, Path, description = "id of the request"),
    ),
    responses(
        (status = 204, description = "its file cannot be read any more"),
    ),
    security(("bearer" = []))
)]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let engine = app.engine().clone();
    wire::blocking(move || engine.delete_access_request(&tenant, &caller.principal, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// As [`wire::blocking`]: what is gone was there.
async fn fetching<T, F>(work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    let result = tokio::task::spawn_blocking(work).await.map_err(wire::internal)?;
    result.map_err(|error| match error {
        Error::Erased(_) => Problem::new(
            StatusCode::GONE,
            "access_gone",
            "the time of the file is over, or the person was erased",
        ),
        Error::Conflict {
            code: code @ "already_fetched",
            message,
        } => Problem::new(StatusCode::GONE, code, message),
        error => wire::problem(error),
    })
}

impl From<AccessInfo> for AccessBody {
    fn from(info: AccessInfo) -> Self {
        Self {
            id: info.id,
            kind: match info.kind {
                AccessKind::Access => KindBody::Access,
                AccessKind::Portability => KindBody::Portability,
            },
            state: info.state.name(),
            basis: info.basis,
            subjects: info.subjects,
            requested_by: info.requested_by,
            requested_at: wire::rfc3339_ms(info.requested_ms),
            finished_at: info.finished_ms.map(wire::rfc3339_ms),
            expires_at: info.expires_ms.map(wire::rfc3339_ms),
            fetched_at: info.fetched_ms.map(wire::rfc3339_ms),
            fetched_by: info.fetched_by,
            tree: wire::Tree {
                origin: info.origin,
                size: info.tree_size,
                root: info.root,
            },
            read: info.read,
            records: info.records,
            error: info.fault.map(|fault| FaultBody {
                code: fault.code,
                detail: fault.message,
            }),
            file: info.file.map(|file: ExportPart| AccessFileBody {
                name: file.name,
                bytes: file.bytes,
                sha256: file.sha256,
            }),
        }
    }
}
