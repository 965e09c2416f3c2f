//! Errors on the wire: RFC 9457 problem documents with a stable `code`.
//!
//! Every refusal of the API is made here or converted into a [`Problem`]. A problem never repeats values that the
//! client sent (they may be personal data), only paths and limits.

use attestore_limit::{Standing, field};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A problem document (RFC 9457 section 3). `code` is stable across releases; `detail` is for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// URN of the problem type: `urn:attestore:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short text of the HTTP status.
    pub title: &'static str,
    /// HTTP status code.
    pub status: u16,
    /// Stable machine-readable code, snake_case.
    pub code: &'static str,
    /// What went wrong with this request.
    pub detail: String,
    /// What is wrong where, for events: JSON pointers into the event.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// For a request that is a JSON document: where in it, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// For a query: the column, counted in characters from 0, at which it stops making sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// For a query: what may have been meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub suggestion: Option<Box<str>>,
    /// For a record that was purged or erased whole: what says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Gone>)]
    pub gone: Option<Box<Gone>>,
    /// The id of the request, as in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request_id: Option<Box<str>>,
    /// For a limit that is used up: its names (draft-ietf-httpapi-ratelimit-headers).
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    pub violated_policies: Vec<String>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
    #[serde(skip)]
    standing: Option<Box<Standing>>,
    /// Where it is no refusal after all, but something that waits: what, and where it is.
    #[serde(skip)]
    waits: Option<Box<Waits>>,
}

/// What a request waits for, as 202 tells it.
#[derive(Debug, Clone)]
struct Waits {
    location: String,
    body: Vec<u8>,
}

/// Why a record is gone. Its entry and every proof of it stay.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Gone {
    /// Its seq.
    pub seq: u64,
    /// Seq of the control record in the tenant's log.
    pub by: u64,
    /// Since when, RFC 3339.
    pub since: String,
}

/// One fault of one event.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldError {
    /// Position of the event in the request, from 0.
    pub index: usize,
    /// JSON pointer of the field (RFC 6901); empty for the event as a whole.
    pub path: String,
    /// Stable code of the fault.
    pub code: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl Problem {
    /// Makes a problem with the given status, stable code and explanation.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:attestore:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            errors: Vec::new(),
            path: None,
            column: None,
            suggestion: None,
            gone: None,
            request_id: None,
            violated_policies: Vec::new(),
            retry_after_s: None,
            standing: None,
            waits: None,
        }
    }

    /// 202: nothing was done yet. The answer is what the request waits for, a JSON document, and where that is.
    pub fn waits(code: &'static str, location: String, body: Vec<u8>) -> Self {
        Self {
            waits: Some(Box::new(Waits { location, body })),
            ..Self::new(StatusCode::ACCEPTED, code, "nothing was done yet")
        }
    }

    /// 400 with the given code.
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The one answer for tenants that do not exist and for tenants that the caller may not know of.
    pub fn tenant_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_tenant", "no such tenant")
    }

    /// 403: the tenant is the caller's, the act is not.
    pub fn permission_denied(needs: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this needs the permission {needs}"),
        )
    }

    /// Adds the faults of single events.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// Adds the request's id.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The document.
    pub fn to_body(&self) -> Body {
        Body::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Adds where the client stands with the limit that refuses it.
    #[must_use]
    pub fn with_standing(mut self, standing: Option<Standing>) -> Self {
        self.violated_policies = standing
            .iter()
            .map(|standing| standing.policy.to_string())
            .collect();
        self.standing = standing.map(Box::new);
        self
    }

    /// Adds a `Retry-After` header, in whole seconds, at least one.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_s = Some(ms.div_ceil(1000).max(1));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(waits) = self.waits {
            let mut response = (status, waits.body).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            if let Ok(location) = HeaderValue::try_from(waits.location) {
                headers.insert(header::LOCATION, location);
            }
            return response;
        }
        let mut response = (status, self.to_body()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(standing) = &self.standing {
            mark(headers, standing);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"attestore\""),
            );
        }
        if self.code == "unsupported_encoding" {
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("gzip, zstd, identity"),
            );
        }
        // For whoever knows the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

/// Tells a client where it stands: `RateLimit-Policy` and `RateLimit`.
pub fn mark(headers: &mut HeaderMap, standing: &Standing) {
    let mut set = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    set(field::POLICY, field::policy(standing));
    set(field::LIMIT, field::limit(standing));
}
