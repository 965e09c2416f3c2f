//! Answers and refusals as Elasticsearch's clients read them.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::wire;

/// Official clients refuse to talk to anything that does not say this.
pub const PRODUCT: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-elastic-product"),
    HeaderValue::from_static("Elasticsearch"),
);
/// The type of a refusal for an index that is not there, or that the caller may not know of.
pub const NO_INDEX: &str = "index_not_found_exception";

/// Media type of clients that ask for the shapes of a version.
const COMPATIBLE: &str = "application/vnd.elasticsearch+json";

/// Why a request is not answered.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    reason: String,
    index: Option<String>,
    /// What the problem says of coming back.
    headers: HeaderMap,
}

impl Refusal {
    /// A refusal of a type that Elasticsearch has.
    pub fn new(status: StatusCode, kind: &'static str, reason: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            reason: reason.into(),
            index: None,
            headers: HeaderMap::new(),
        }
    }

    /// 400 for something in the body that is unknown or makes no sense.
    pub fn parsing(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "parsing_exception", reason)
    }

    /// 400 for a setting or parameter.
    pub fn argument(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "illegal_argument_exception", reason)
    }

    /// 404 for an index that is not there, or that the caller may not know of.
    pub fn no_index(name: &str) -> Self {
        Self {
            index: Some(name.to_owned()),
            ..Self::new(StatusCode::NOT_FOUND, NO_INDEX, format!("no such index [{name}]"))
        }
    }

    /// 405 for what would change something.
    pub fn read_only() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "illegal_argument_exception",
            "a log takes no changes: only _bulk with index and create, and requests that read, are served here",
        )
    }

    /// Names the index of a refusal that a search of it met.
    #[must_use]
    pub fn of_index(self, name: &str) -> Self {
        match self.kind == NO_INDEX && self.index.is_none() {
            true => Self::no_index(name),
            false => self,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The refusal as JSON: `{"error": {…}, "status": 404}`.
    pub fn body(&self) -> Value {
        let mut error = json!({"type": self.kind, "reason": self.reason});
        if let Some(index) = &self.index {
            for (name, value) in [
                ("resource.type", "index_or_alias"),
                ("resource.id", index),
                ("index", index),
                ("index_uuid", "_na_"),
            ] {
                error[name] = Value::from(value);
            }
        }
        let mut whole = error.clone();
        whole["root_cause"] = json!([error]);
        json!({"error": whole, "status": self.status.as_u16()})
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let kind = match (problem.status, problem.code) {
            (_, "invalid_query") => "parsing_exception",
            (_, "deadline") => "timeout_exception",
            (_, "too_many_buckets" | "beyond_buckets") => "too_many_buckets_exception",
            (401 | 403, _) => "security_exception",
            (404, "unknown_tenant") => NO_INDEX,
            (404, _) => "resource_not_found_exception",
            (429 | 503, _) => "es_rejected_execution_exception",
            (400..500, _) => "illegal_argument_exception",
            _ => "exception",
        };
        let mut reason = format!("{}: {}", problem.code, problem.detail);
        if let Some(suggestion) = &problem.suggestion {
            reason.push_str(&format!("; did you mean {suggestion}?"));
        }
        // Clients repeat what is answered with 503, and a search that takes too long takes too long again.
        let status = match problem.code {
            "deadline" => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        let mut headers = problem.into_response().headers().clone();
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::CONTENT_TYPE);
        Self {
            headers,
            ..Self::new(status, kind, reason)
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer(self.status, &self.body());
        response.headers_mut().extend(self.headers);
        response
    }
}

/// An answer with the header that clients look for.
pub fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(json) => (
            status,
            [
                PRODUCT,
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ],
            json,
        )
            .into_response(),
        Err(error) => wire::internal(error).into_response(),
    }
}

/// What handlers answer.
pub type Answered<T> = Result<Json<T>, Refusal>;

/// A body of 200.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        answer(StatusCode::OK, &self.0)
    }
}

/// Answers in the media type that was asked for.
pub async fn media_type(request: Request, next: Next) -> Response {
    let wanted = compatible(request.headers());
    let is_head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    if let Some(wanted) = wanted
        && response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|own| own == "application/json")
    {
        response.headers_mut().insert(header::CONTENT_TYPE, wanted);
    }
    if is_head {
        *response.body_mut() = axum::body::Body::empty();
    }
    response
}

fn compatible(headers: &HeaderMap) -> Option<HeaderValue> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    let wanted = accept
        .split(',')
        .find(|part| part.trim_start().starts_with(COMPATIBLE))?;
    let version = wanted.split_once("compatible-with=")?.1.trim();
    let known = ["7", "8", "9"].into_iter().find(|known| *known == version)?;
    HeaderValue::from_str(&format!("{COMPATIBLE};compatible-with={known}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_become_refusals_that_clients_know() {
        let refuse = |status, code| Refusal::from(Problem::new(status, code, "said"));
        for (status, code, kind, answered) in [
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "deadline",
                "timeout_exception",
                408,
            ),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "search_busy",
                "es_rejected_execution_exception",
                503,
            ),
            (StatusCode::BAD_REQUEST, "invalid_query", "parsing_exception", 400),
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too_many_buckets",
                "too_many_buckets_exception",
                422,
            ),
            (
                StatusCode::UNPROCESSABLE_ENTITY,
                "not_indexed",
                "illegal_argument_exception",
                422,
            ),
            (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "security_exception",
                401,
            ),
            (StatusCode::NOT_FOUND, "unknown_tenant", NO_INDEX, 404),
            (StatusCode::INTERNAL_SERVER_ERROR, "internal", "exception", 500),
        ] {
            let body = refuse(status, code).body();
            assert_eq!(
                (&body["error"]["type"], &body["status"]),
                (&json!(kind), &json!(answered)),
                "{code}"
            );
            assert_eq!(body["error"]["root_cause"][0]["reason"], format!("{code}: said"));
        }
        let index = refuse(StatusCode::NOT_FOUND, "unknown_tenant")
            .of_index("acme")
            .body();
        assert_eq!(index["error"]["reason"], "no such index [acme]");
        let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "search_busy", "").retry_after_ms(1500);
        let response = Refusal::from(busy).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    }

    #[test]
    fn the_media_type_is_the_one_asked_for() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            compatible(&headers).and_then(|value| value.to_str().ok().map(str::to_owned))
        };
        assert_eq!(
            asked("text/plain,application/vnd.elasticsearch+json; compatible-with=8").as_deref(),
            Some("application/vnd.elasticsearch+json;compatible-with=8")
        );
        assert_eq!(
            asked("application/vnd.elasticsearch+json; compatible-with=99"),
            None
        );
        assert_eq!(asked("application/json"), None);
    }
}
