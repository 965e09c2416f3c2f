//! `/v1/tenants/{t}/exports`: jobs that write what matches a query into files, and the files.

pub mod evidence;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use attestore_engine::exports::{
    Compression, Evidence, ExportFile, ExportInfo, ExportPart, ExportSpec, ExportState, Format, FoundFile,
    MANIFEST,
};
use attestore_engine::{Engine, Error, Principal};
use attestore_export::rfc3339_ns;
use axum::Json;
use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use self::evidence::{CheckpointBody, RangeBody, RecordName, Wish};
use crate::body::{self, Limits};
use crate::fields::Fields;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Most bytes of a request for an export.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Bytes of a file that are read and sent at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// An export that is wanted. Every key but `format` may be left out; unknown keys are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// Lucene-like query, as in searches; empty matches everything.
    #[serde(default)]
    query: String,
    /// Only events that occurred at or after this RFC 3339 time.
    from: Option<String>,
    /// Only events that occurred before this RFC 3339 time.
    to: Option<String>,
    /// Format of the files.
    format: FormatBody,
    /// Fields of the event, as paths such as `actor.id`, for `ndjson` and as columns of `csv`; all if absent.
    fields: Option<Vec<String>>,
    /// Compression of the files, default `none`; in `parquet`, of the pages inside.
    #[serde(default)]
    compression: CompressionBody,
    /// For `evidence`, in place of a query: these records, by seq or id, 1,000 at most.
    records: Option<Vec<RecordName>>,
    /// For `evidence`, in place of a query: everything in a range of seqs, and what proves that this is all.
    range: Option<RangeBody>,
    /// For `evidence`: what it is proved against, default `signed`.
    #[serde(default)]
    checkpoint: CheckpointBody,
}

/// A format of files.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatBody {
    /// One JSON document a line, the record as `GET …/events/{record}` shows it.
    Ndjson,
    /// RFC 4180 with a header; cells that a spreadsheet would take for a formula begin with `'`.
    Csv,
    /// One OCSF event a line.
    Ocsf,
    /// Apache Parquet; refused by servers that were built without it.
    Parquet,
    /// One evidence bundle, which verifies offline.
    Evidence,
}

/// How files are compressed.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CompressionBody {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateBody {
    /// It waits for its turn.
    Queued,
    /// It has begun; a server that starts again goes on with it.
    Running,
    /// All files are there.
    Done,
    /// It stopped over `error` and can be resumed.
    Failed,
    /// Somebody cancelled it; its files are gone.
    Cancelled,
    /// Its time is over; its files are gone.
    Expired,
}

/// An export.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportBody {
    /// Its id.
    id: String,
    /// How far it is.
    state: StateBody,
    /// The query; `[personal]` to who may not see personal fields, if it was made by somebody who may.
    query: String,
    /// Only events that occurred at or after this time.
    from: Option<String>,
    /// Only events that occurred before this time.
    to: Option<String>,
    /// Format of the files.
    format: FormatBody,
    /// Fields of the events; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
    /// Compression of the files.
    compression: CompressionBody,
    /// Of an evidence bundle about named records: their seqs; not in lists, and none to who may not download it.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<Vec<u64>>,
    /// Of an evidence bundle about a range: its seqs.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<RangeBody>,
    /// Of an evidence bundle: what it is proved against.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<CheckpointBody>,
    /// Whether personal fields are exported. Its files are then for those who may see them.
    personal: bool,
    /// Id of the credential that asked for it.
    created_by: String,
    /// When it was asked for, RFC 3339.
    created_at: String,
    /// When it ended, RFC 3339.
    finished_at: Option<String>,
    /// When its files go, RFC 3339; null while it is not over.
    expires_at: Option<String>,
    /// The tree that it is pinned to: it holds every match among the first `size` records.
    tree: wire::Tree,
    /// How far it is.
    progress: ProgressBody,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FaultBody>,
    /// Its finished files; not in lists, and none to who may not download them.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<ExportFileBody>>,
}

/// How far an export is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgressBody {
    /// Records that it has looked at, of `tree.size`.
    read: u64,
    /// Records that matched and were written. This and what follows is null to who may not download the files.
    written: Option<u64>,
    /// Those of them in which personal fields were erased; known only if `personal`.
    erased: Option<u64>,
    /// Bytes of files that were written.
    bytes: Option<u64>,
    /// How many records it will have written, guessed from what it has seen; exact once it is done.
    written_expected: Option<u64>,
}

/// Why an export failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultBody {
    /// Stable code.
    pub(super) code: String,
    /// What went wrong.
    pub(super) detail: String,
}

/// A finished file.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportFileBody {
    /// Its name, for `…/files/{name}`.
    name: String,
    /// Its bytes.
    bytes: u64,
    /// Records in it.
    records: u64,
    /// SHA-256 of its bytes, hex.
    sha256: String,
}

/// The exports of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportsBody {
    /// The exports, newest first.
    items: Vec<ExportBody>,
    /// Always null: the list is whole.
    cursor: Option<String>,
}

/// Export what matches a query, as a job.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/exports", tag = "exports",
    params(("tenant" = String, Path)),
    request_body = ExportRequest,
    responses(
        (status = 202, description = "the job is durable and pinned to the log as it is now; Location names it", body = ExportBody),
        (status = 409, description = "`not_witnessed`: no witnessed checkpoint covers it", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "the server was built without the format", body = Problem, content_type = "application/problem+json"),
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
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let limits = Limits {
        wire_bytes_max: BODY_BYTES_MAX,
        decoded_bytes_max: BODY_BYTES_MAX,
        ..app.settings().body.clone()
    };
    let bytes = body::read(&headers, body, &limits).await?;
    let request: ExportRequest = wire::document(&bytes, "invalid_export")?;
    let wish = Wish::new(
        request.records.as_deref(),
        request.range,
        request.checkpoint,
        &app,
    )?;
    let mut spec = spec(request)?;
    caller
        .tells(wish.terms().unwrap_or_else(|| spec.query.clone()))
        .await?;
    let (engine, name) = (app.engine().clone(), tenant.clone());
    let made = move || {
        spec.evidence = wish.found(&engine, &name, &principal)?;
        engine.create_export(&name, &principal, spec)
    };
    let info = blocking("export", made).await?;
    let place = format!(
        "/v1/tenants/{}/exports/{}",
        percent_encoding::utf8_percent_encode(&tenant, percent_encoding::NON_ALPHANUMERIC),
        info.id
    );
    let place = HeaderValue::from_str(&place).map_err(wire::internal)?;
    let headers = [
        (header::LOCATION, place),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::ACCEPTED, headers, Json(shown(info, true))))
}

/// List a tenant's exports, newest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/exports", tag = "exports",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = ExportsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let infos = blocking("see_exports", move || engine.exports(&tenant, &principal)).await?;
    let items = infos.into_iter().map(|info| shown(info, false)).collect();
    Ok((NO_STORE, Json(ExportsBody { items, cursor: None })))
}

/// See how far an export is.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/exports/{export}", tag = "exports",
    params(("tenant" = String, Path), ("export" = String, Path)),
    responses(
        (status = 200, body = ExportBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, export)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let info = blocking("see_exports", move || engine.export(&tenant, &principal, &export)).await?;
    Ok((NO_STORE, Json(shown(info, true))))
}

/// Remove an export with its files, whatever its state.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/exports/{export}", tag = "exports",
    params(("tenant" = String, Path), ("export" = String, Path)),
    responses(
        (status = 204, description = "its files cannot be read any more"),
    ),
    security(("bearer" = []))
)]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, export)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    blocking(OWN, move || engine.delete_export(&tenant, &principal, &export)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Cancel an export that is not over, or that failed. Its files go.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/exports/{export}/cancel", tag = "exports",
    params(("tenant" = String, Path), ("export" = String, Path)),
    responses(
        (status = 200, body = ExportBody),
        (status = 409, description = "it is over", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, export)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let info = blocking(OWN, move || engine.cancel_export(&tenant, &principal, &export)).await?;
    Ok((NO_STORE, Json(shown(info, false))))
}

/// Let an export that failed go on where it stopped.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/exports/{export}/resume", tag = "exports",
    params(("tenant" = String, Path), ("export" = String, Path)),
    responses(
        (status = 202, body = ExportBody),
        (status = 409, description = "it did not fail", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "too many exports", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, export)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let info = blocking(OWN, move || engine.resume_export(&tenant, &principal, &export)).await?;
    Ok((StatusCode::ACCEPTED, NO_STORE, Json(shown(info, false))))
}

/// Get the manifest of an export that is done: query, tree, counts, and the SHA-256 of each file. `files/manifest.note` is
/// the signed note over its exact bytes.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/exports/{export}/manifest", tag = "exports",
    params(("tenant" = String, Path), ("export" = String, Path)),
    responses(
        (status = 200, body = Object),
        (status = 409, description = "it is not done yet", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "its files are gone", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn manifest(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, export)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    download(
        app.engine().clone(),
        principal,
        tenant,
        export,
        MANIFEST.to_owned(),
        (&method, &headers),
    )
    .await
}

/// Download a file of an export that is done: a part, the bundle, `manifest.json`, or `manifest.note`. One byte range can be asked for.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/exports/{export}/files/{name}", tag = "exports",
    params(
        ("tenant" = String, Path), ("export" = String, Path), ("name" = String, Path),
        ("Range" = Option<String>, Header, description = "one range of bytes (RFC 9110 section 14)"),
        ("If-Range" = Option<String>, Header, description = "the ETag that the range is meant for"),
    ),
    responses(
        (status = 200, description = "the file; its ETag is its SHA-256", content(
            (String = "application/x-ndjson"), (String = "text/csv"), (String = "application/gzip"),
            (String = "application/zstd"), (String = "application/zip"), (String = "application/octet-stream"),
            (serde_json::Value = "application/json"), (String = "text/plain"),
        )),
        (status = 206, description = "the range", content(
            (String = "application/x-ndjson"), (String = "text/csv"), (String = "application/gzip"),
            (String = "application/zstd"), (String = "application/zip"), (String = "application/octet-stream"),
            (serde_json::Value = "application/json"), (String = "text/plain"),
        )),
        (status = 304, description = "If-None-Match names what the caller has"),
        (status = 409, description = "it is not done yet", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "its files are gone", body = Problem, content_type = "application/problem+json"),
        (status = 416, description = "the file has no such range", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn file(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, export, name)): Path<(String, String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    download(
        app.engine().clone(),
        principal,
        tenant,
        export,
        name,
        (&method, &headers),
    )
    .await
}

async fn download(
    engine: Engine,
    principal: Arc<Principal>,
    tenant: String,
    export: String,
    name: String,
    (method, headers): (&Method, &HeaderMap),
) -> Result<Response, Problem> {
    let file = blocking(PERSONAL, move || {
        engine.export_file(&tenant, &principal, &export, &name)
    })
    .await?;
    send(file, method, headers, |file, bytes| {
        blocking(PERSONAL, move || file.download(&bytes))
    })
    .await
}

/// Answers with a file, or the range of it that is asked for. Of a file for one download there are no ranges: they would be
/// further downloads.
pub(super) async fn send<F, T>(
    file: FoundFile,
    method: &Method,
    headers: &HeaderMap,
    open: F,
) -> Result<Response, Problem>
where
    F: FnOnce(FoundFile, Range<u64>) -> T,
    T: Future<Output = Result<ExportFile, Problem>>,
{
    let once = file.is_once();
    let (name, length) = (file.name().to_owned(), file.len());
    let etag = format!("\"{}\"", file.sha256());
    let same = |name: HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|tag| tag.trim() == etag))
    };
    if same(header::IF_NONE_MATCH) && !once {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let fresh = !headers.contains_key(header::IF_RANGE) || same(header::IF_RANGE);
    let range = headers
        .get(header::RANGE)
        .filter(|_| fresh && !once)
        .and_then(|range| parse_range(range.to_str().ok()?, length));
    let (status, from, to) = match range {
        None => (StatusCode::OK, 0, length),
        Some(Some((from, to))) => (StatusCode::PARTIAL_CONTENT, from, to),
        Some(None) => {
            let problem = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range_not_satisfiable",
                "the file has no such range",
            );
            let whole = format!("bytes */{length}");
            return Ok(([(header::CONTENT_RANGE, whole)], problem).into_response());
        }
    };
    // HEAD asks for no byte of it.
    let body = match *method == Method::HEAD {
        true => Body::empty(),
        false => Body::new(FileBody {
            file: Arc::new(open(file, from..to).await?),
            at: from,
            end: to,
            reading: None,
        }),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let out = response.headers_mut();
    let disposition = format!("attachment; filename=\"{name}\"");
    let text = |text: String| HeaderValue::from_str(&text).map_err(wire::internal);
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(&name)));
    out.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    out.insert(header::ETAG, text(etag)?);
    let ranges = if once { "none" } else { "bytes" };
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static(ranges));
    out.insert(header::CONTENT_DISPOSITION, text(disposition)?);
    out.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{length}", to - 1);
        out.insert(header::CONTENT_RANGE, text(range)?);
    }
    Ok(response)
}

/// Reads a `Range` (RFC 9110 section 14.2): first byte and the one after the last. `None` when it is to be ignored,
/// `Some(None)` when nothing of it is there.
fn parse_range(range: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (from, to) = match (number(first), number(last)) {
        (Some(from), Some(last)) if from <= last => (from, last.saturating_add(1).min(length)),
        (Some(from), None) if last.is_empty() => (from, length),
        (None, Some(last)) if first.is_empty() => (length.saturating_sub(last), length),
        _ => return None,
    };
    Some((from < to).then_some((from, to)))
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("evidence" | "zip") => "application/zip",
        Some("gz") => "application/gzip",
        Some("zst") => "application/zstd",
        Some("ndjson") => "application/x-ndjson",
        Some("csv") => "text/csv; charset=utf-8",
        Some("json") => "application/json",
        Some("note") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A range of a file as a response's body: what is sent is read, and no more.
struct FileBody {
    file: Arc<ExportFile>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<Result<Vec<u8>, Error>>>,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let (at, length) = (self.at, (self.end - self.at).min(CHUNK_BYTES));
        let file = Arc::clone(&self.file);
        let reading = self
            .reading
            .get_or_insert_with(|| tokio::task::spawn_blocking(move || file.read(at, length)));
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let read = read
            .map_err(std::io::Error::other)
            .and_then(|read| read.map_err(std::io::Error::other));
        Poll::Ready(Some(match read {
            Ok(bytes) if !bytes.is_empty() => {
                self.at += bytes.len() as u64;
                Ok(Frame::data(bytes.into()))
            }
            // Too late for a status: the connection is cut, so that nobody takes the rest for the whole.
            Ok(_) => {
                self.at = self.end;
                Err(std::io::ErrorKind::UnexpectedEof.into())
            }
            Err(error) => {
                tracing::error!(%error, "a file of an export cannot be read");
                self.at = self.end;
                Err(error)
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

/// As [`wire::blocking`], with the problems that exports have; `needs` says what it takes where something is forbidden.
async fn blocking<T, F>(needs: &str, work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    let result = tokio::task::spawn_blocking(work).await.map_err(wire::internal)?;
    result.map_err(|error| match error {
        Error::Forbidden => Problem::permission_denied(needs),
        Error::Invalid {
            code: code @ "format_not_available",
            message,
        } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, message),
        Error::Erased(_) => Problem::new(
            StatusCode::GONE,
            "export_gone",
            "the export has expired or was cancelled: its files are gone",
        ),
        error => wire::problem(error),
    })
}

fn spec(request: ExportRequest) -> Result<ExportSpec, Problem> {
    let time = |name: &str, text: &Option<String>| {
        let parsed = text
            .as_deref()
            .map(|text| wire::parse_time(name, text))
            .transpose();
        parsed.map_err(|mut problem| {
            problem.path = Some(format!("/{name}"));
            problem
        })
    };
    let (from_ns, to_ns) = (time("from", &request.from)?, time("to", &request.to)?);
    if let Some(fields) = &request.fields {
        Fields::new(fields.clone())?;
    }
    Ok(ExportSpec {
        query: request.query,
        from_ns,
        to_ns,
        format: request.format.into(),
        fields: request.fields,
        compression: request.compression.into(),
        evidence: Evidence::default(),
    })
}

fn shown(info: ExportInfo, files: bool) -> ExportBody {
    let (records, range) = evidence::shown(&info.spec.evidence.scope);
    let checkpoint = match info.spec.evidence.witnessed {
        true => CheckpointBody::Witnessed,
        false => CheckpointBody::Signed,
    };
    ExportBody {
        records: records.filter(|_| files),
        range,
        checkpoint: (info.spec.format == Format::Evidence).then_some(checkpoint),
        state: info.state.into(),
        query: info.spec.query,
        from: info.spec.from_ns.map(rfc3339_ns),
        to: info.spec.to_ns.map(rfc3339_ns),
        format: info.spec.format.into(),
        fields: info.spec.fields,
        compression: info.spec.compression.into(),
        personal: info.personal,
        created_by: info.created_by,
        created_at: wire::rfc3339_ms(info.created_ms),
        finished_at: info.finished_ms.map(wire::rfc3339_ms),
        expires_at: info.expires_ms.map(wire::rfc3339_ms),
        tree: wire::Tree {
            origin: info.origin,
            size: info.tree_size,
            root: info.root,
        },
        progress: ProgressBody {
            read: info.read,
            written: info.written.map(|written| written.records),
            erased: info.written.map(|written| written.erased),
            bytes: info.written.map(|written| written.bytes),
            written_expected: info.written.and_then(|written| written.records_expected),
        },
        error: info.fault.map(|fault| FaultBody {
            code: fault.code,
            detail: fault.message,
        }),
        files: files.then(|| info.files.into_iter().map(Into::into).collect()),
        id: info.id,
    }
}

impl From<ExportPart> for ExportFileBody {
    fn from(part: ExportPart) -> Self {
        Self {
            name: part.name,
            bytes: part.bytes,
            records: part.records,
            sha256: part.sha256,
        }
    }
}

impl From<FormatBody> for Format {
    fn from(format: FormatBody) -> Self {
        match format {
            FormatBody::Ndjson => Self::Ndjson,
            FormatBody::Csv => Self::Csv,
            FormatBody::Ocsf => Self::Ocsf,
            FormatBody::Parquet => Self::Parquet,
            FormatBody::Evidence => Self::Evidence,
        }
    }
}

impl From<Format> for FormatBody {
    fn from(format: Format) -> Self {
        match format {
            Format::Ndjson => Self::Ndjson,
            Format::Csv => Self::Csv,
            Format::Ocsf => Self::Ocsf,
            Format::Parquet => Self::Parquet,
            Format::Evidence => Self::Evidence,
        }
    }
}

impl From<CompressionBody> for Compression {
    fn from(compression: CompressionBody) -> Self {
        match compression {
            CompressionBody::None => Self::None,
            CompressionBody::Gzip => Self::Gzip,
            CompressionBody::Zstd => Self::Zstd,
        }
    }
}

impl From<Compression> for CompressionBody {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Zstd => Self::Zstd,
        }
    }
}

impl From<ExportState> for StateBody {
    fn from(state: ExportState) -> Self {
        match state {
            ExportState::Queued => Self::Queued,
            ExportState::Running => Self::Running,
            ExportState::Done => Self::Done,
            ExportState::Failed => Self::Failed,
            ExportState::Cancelled => Self::Cancelled,
            ExportState::Expired => Self::Expired,
        }
    }
}

const PERSONAL: &str = "see_personal: personal fields were exported";
const OWN: &str = "manage_searches: somebody else made the export";
pub(super) const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

#[cfg(test)]
mod tests {
    use super::parse_range;

    #[test]
    fn ranges_are_read_as_the_rfc_has_them() {
        for (range, expected) in [
            ("bytes=0-", Some(Some((0, 10)))),
            ("bytes=3-5", Some(Some((3, 6)))),
            ("bytes=3-500", Some(Some((3, 10)))),
            ("bytes=-4", Some(Some((6, 10)))),
            ("bytes=-400", Some(Some((0, 10)))),
            ("bytes=9-9", Some(Some((9, 10)))),
            ("bytes=10-", Some(None)),
            ("bytes=10-12", Some(None)),
            ("bytes=-0", Some(None)),
            ("bytes=5-3", None),
            ("bytes=0-1,3-4", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("items=0-1", None),
            ("bytes=99999999999999999999999-", Some(None)),
        ] {
            assert_eq!(parse_range(range, 10), expected, "{range}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Some(None));
    }
}
