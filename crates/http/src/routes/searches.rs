//! `/v1/tenants/{t}/searches`: searches that are saved under a name, and run again.

use std::sync::Arc;

use attestore_engine::Error;
use attestore_engine::searches::{SavedSearch, Saving, SearchSpec as Spec, When};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::search::{self, LIMIT_DEFAULT, SearchBody};
use crate::body::{self, Limits};
use crate::fields::Fields;
use crate::guard::Caller;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// A search to be saved. Unknown keys are refused.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SavedSearchSpec {
    /// Its name, 1 to 128 characters; no other saved search of the tenant has it.
    name: String,
    /// What it is for, at most 1024 characters.
    #[serde(default)]
    description: String,
    /// Lucene-like query; empty matches everything.
    #[serde(default)]
    query: String,
    /// Only events that occurred at or after this time: RFC 3339, or before the moment of the run: `now`, `now-90s`, `now-15m`,
    /// `now-24h`, `now-7d`, `now-4w`.
    from: Option<String>,
    /// Only events that occurred before this time; as `from`.
    to: Option<String>,
    /// As in searches.
    sort: Option<String>,
    /// As in searches.
    fields: Option<Vec<String>>,
    /// As in searches.
    #[schema(value_type = Option<Object>)]
    aggs: Option<Box<RawValue>>,
    /// Records per page when a run names no other number.
    limit: Option<usize>,
}

/// A saved search.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavedSearchBody {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// What it is for.
    description: String,
    /// The query. `[personal]` to callers that may not see personal fields, if it was saved by one that may; so are
    /// `description` and `aggs`.
    query: String,
    /// Earliest time of occurrence.
    from: Option<String>,
    /// Latest time of occurrence.
    to: Option<String>,
    /// Order.
    sort: Option<String>,
    /// Fields that are answered with.
    fields: Option<Vec<String>>,
    /// Aggregations.
    #[schema(value_type = Option<Object>)]
    aggs: Option<Box<RawValue>>,
    /// Records per page.
    limit: Option<usize>,
    /// Counts changes, from 1; also in `ETag`.
    version: u64,
    /// Id of the credential that made it.
    created_by: String,
    /// When it was made, RFC 3339.
    created_at: String,
    /// Id of the credential that changed it last.
    changed_by: String,
    /// When it was changed last, RFC 3339.
    changed_at: String,
}

/// The saved searches of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavedSearchesBody {
    /// By name.
    items: Vec<SavedSearchBody>,
    /// Always null: the list is whole.
    cursor: Option<String>,
}

/// How a saved search is run. Every key may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunSpec {
    /// Records per page, 0 to 1000.
    limit: Option<usize>,
    /// Where the previous page ended.
    cursor: Option<String>,
    /// The moment that relative times count from, RFC 3339; default now. Pass on the answer's `at` together with its `cursor`.
    at: Option<String>,
    /// Also say where in each record the query found something.
    highlight: bool,
    /// Also count all matches, exactly.
    count: bool,
    /// Also say what the search did.
    explain: bool,
    /// Milliseconds after which to give up.
    deadline_ms: Option<u64>,
}

/// What a saved search found.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunBody {
    /// The moment that relative times were counted from.
    at: String,
    /// As a search answers.
    #[serde(flatten)]
    found: SearchBody,
}

/// Save a search.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/searches", tag = "searches",
    params(("tenant" = String, Path)),
    request_body = SavedSearchSpec,
    responses(
        (status = 201, description = "saved; durable", body = SavedSearchBody),
        (status = 400, description = "it could not be run", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "the tenant has as many as it may", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    let spec = spec(&app, &headers, body).await?;
    caller.tells(spec.query.clone()).await?;
    let engine = app.engine().clone();
    let name = tenant.clone();
    let saved = wire::blocking(move || engine.save_search(&name, &principal, spec)).await?;
    let location = format!("/v1/tenants/{tenant}/searches/{}", saved.id);
    let mut response = shown(StatusCode::CREATED, saved);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// List the saved searches of a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/searches", tag = "searches",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = SavedSearchesBody),
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
    let all = wire::blocking(move || engine.saved_searches(&tenant, &principal)).await?;
    let body = SavedSearchesBody {
        items: all.into_iter().map(Into::into).collect(),
        cursor: None,
    };
    Ok((NO_STORE, Json(body)))
}

/// Get a saved search.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/searches/{search}", tag = "searches",
    params(("tenant" = String, Path), ("search" = String, Path, description = "its id")),
    responses(
        (status = 200, body = SavedSearchBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    let engine = app.engine().clone();
    let saved = wire::blocking(move || engine.saved_search(&tenant, &principal, &search)).await?;
    Ok(shown(StatusCode::OK, saved))
}

/// Replace a saved search; with `If-Match`, only the version that it names.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/searches/{search}", tag = "searches",
    params(
        ("tenant" = String, Path), ("search" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` of what is replaced"),
    ),
    request_body = SavedSearchSpec,
    responses(
        (status = 200, description = "replaced; durable", body = SavedSearchBody),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "it was changed meanwhile", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    let replaces = if_match(&headers)?;
    let spec = spec(&app, &headers, body).await?;
    caller.tells(spec.query.clone()).await?;
    let engine = app.engine().clone();
    let replace = move || engine.replace_search(&tenant, &principal, &search, spec, replaces);
    Ok(shown(StatusCode::OK, wire::blocking(replace).await?))
}

/// Delete a saved search. Who made it may, and an admin of the tenant.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/searches/{search}", tag = "searches",
    params(
        ("tenant" = String, Path), ("search" = String, Path, description = "its id"),
        ("If-Match" = Option<String>, Header, description = "the `ETag` of what is deleted"),
    ),
    responses(
        (status = 204, description = "deleted; durable"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, search)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let principal = Arc::clone(&caller.principal);
    let replaces = if_match(&headers)?;
    let engine = app.engine().clone();
    wire::blocking(move || engine.delete_search(&tenant, &principal, &search, replaces)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Run a saved search, with the permission of who runs it.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/searches/{search}/run", tag = "searches",
    params(("tenant" = String, Path), ("search" = String, Path, description = "its id")),
    request_body = RunSpec,
    responses(
        (status = 200, body = RunBody),
        (status = 422, description = "a good question that would cost too much", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn run(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    Path((tenant, search)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let principal = Arc::clone(&caller.principal);
    let bytes = body::read(&headers, body, &limits(&app)).await?;
    let run: RunSpec = wire::document(&bytes, "invalid_run")?;
    let at_ms = match &run.at {
        Some(text) => u64::try_from(wire::parse_time("at", text)? / 1_000_000)
            .map_err(|_| Problem::bad_request("invalid_time", "at is before 1970"))?,
        None => app.engine().now_ms(),
    };
    let engine = app.engine().clone();
    let (name, by) = (tenant.clone(), Arc::clone(&principal));
    let spec = wire::blocking(move || engine.saved_spec(&name, &by, &search)).await?;
    let fields = spec.fields.clone().map(Fields::new).transpose()?;
    let mut request = spec.request(at_ms, LIMIT_DEFAULT);
    request.limit = run.limit.unwrap_or(request.limit);
    request.cursor = run.cursor;
    request.want_count = run.count;
    request.highlight = run.highlight;
    request.deadline_ms = run.deadline_ms;
    caller.seeks(search::terms(&request));
    let found = search::run(&app, &peer, tenant, principal, request).await?;
    let found = search::answer(found, run.highlight, run.explain, fields.as_ref())?;
    let at = wire::rfc3339_ms(at_ms);
    Ok((NO_STORE, Json(RunBody { at, found })))
}

fn limits(app: &App) -> Limits {
    Limits {
        wire_bytes_max: BODY_BYTES_MAX,
        decoded_bytes_max: BODY_BYTES_MAX,
        ..app.settings().body.clone()
    }
}

/// What a client wants to save.
async fn spec(app: &App, headers: &HeaderMap, body: Body) -> Result<Spec, Problem> {
    let bytes = body::read(headers, body, &limits(app)).await?;
    let spec: SavedSearchSpec = wire::document(&bytes, "invalid_saved_search")?;
    if let Some(fields) = &spec.fields {
        Fields::new(fields.clone())?;
    }
    let when = |name: &str, text: &Option<String>| text.as_deref().map(|text| when(name, text)).transpose();
    Ok(Spec {
        from: when("from", &spec.from)?,
        to: when("to", &spec.to)?,
        name: spec.name,
        description: spec.description,
        query: spec.query,
        sort: spec.sort,
        fields: spec.fields,
        aggs: spec.aggs.map(|aggs| aggs.get().to_owned()),
        limit: spec.limit,
    })
}

/// A time, or how long before the run: `now`, `now-24h`.
fn when(name: &str, text: &str) -> Result<When, Problem> {
    let at = |mut problem: Problem| {
        problem.path = Some(format!("/{name}"));
        problem
    };
    let Some(rest) = text.strip_prefix("now") else {
        return wire::parse_time(name, text).map(When::At).map_err(at);
    };
    if rest.is_empty() {
        return Ok(When::Ago(0));
    }
    let bad = || {
        at(Problem::bad_request(
            "invalid_time",
            format!("{name} is an RFC 3339 time, a date, or now-<number><s, m, h, d or w>"),
        ))
    };
    let rest = rest.strip_prefix('-').ok_or_else(bad)?;
    let (unit, seconds) = UNITS
        .iter()
        .rev()
        .find(|(unit, _)| rest.ends_with(*unit))
        .ok_or_else(bad)?;
    let number = rest.strip_suffix(*unit).unwrap_or_default();
    if number.is_empty() || number.len() > 9 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let number: u64 = number.parse().map_err(|_| bad())?;
    Ok(When::Ago(number * seconds))
}

/// As [`when`] reads it.
fn when_text(when: When) -> String {
    match when {
        When::At(ns) => jiff::Timestamp::from_nanosecond(i128::from(ns))
            .map_or_else(|_| ns.to_string(), |time| time.to_string()),
        When::Ago(0) => "now".to_owned(),
        When::Ago(seconds) => {
            let fits = |(_, of): &&(char, u64)| seconds.is_multiple_of(*of);
            let (unit, of) = UNITS.iter().rev().find(fits).unwrap_or(&('s', 1));
            format!("now-{}{unit}", seconds / of)
        }
    }
}

const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800)];

/// The version that a request names.
fn if_match(headers: &HeaderMap) -> Result<Saving, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(Saving::Any);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Saving::Any);
    }
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match version.and_then(|version| version.parse().ok()) {
        Some(version) => Ok(Saving::Version(version)),
        // No version of ours has such a tag.
        None => Err(wire::problem(Error::Changed("saved search"))),
    }
}

fn shown(status: StatusCode, saved: SavedSearch) -> Response {
    let tag = format!("\"{}\"", saved.version);
    let mut response = (status, NO_STORE, Json(SavedSearchBody::from(saved))).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

impl From<SavedSearch> for SavedSearchBody {
    fn from(saved: SavedSearch) -> Self {
        let spec = saved.spec;
        Self {
            id: saved.id,
            name: spec.name,
            description: spec.description,
            query: spec.query,
            from: spec.from.map(when_text),
            to: spec.to.map(when_text),
            sort: spec.sort,
            fields: spec.fields,
            aggs: spec.aggs.and_then(|aggs| RawValue::from_string(aggs).ok()),
            limit: spec.limit,
            version: saved.version,
            created_by: saved.created_by,
            created_at: wire::rfc3339_ms(saved.created_ms),
            changed_by: saved.changed_by,
            changed_at: wire::rfc3339_ms(saved.changed_ms),
        }
    }
}

/// Most bytes of a saved search.
const BODY_BYTES_MAX: usize = 256 << 10;
const NO_STORE: [(header::HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_times_are_read_and_shown_alike() {
        for text in [
            "now", "now-1s", "now-90s", "now-15m", "now-25h", "now-3d", "now-2w",
        ] {
            assert_eq!(when_text(when("from", text).unwrap()), text);
        }
        assert_eq!(when("from", "now-24h").unwrap(), When::Ago(86_400));
        let text = "2026-11-22T02:06:14.5Z";
        assert_eq!(when_text(when("from", text).unwrap()), text);
        for bad in [
            "now+1h",
            "now-",
            "now-h",
            "now-1",
            "now-1y",
            "now-1 h",
            "now-٣h",
            "now-1234567890s",
            "later",
            "",
        ] {
            let refused = when("to", bad).err().unwrap();
            assert_eq!(
                (refused.code, refused.path.as_deref()),
                ("invalid_time", Some("/to")),
                "{bad}"
            );
        }
    }
}
