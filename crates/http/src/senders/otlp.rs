//! OTLP/HTTP logs (opentelemetry-proto 1.x, `POST /v1/logs`), protobuf and JSON.
//!
//! Every record is answered for: those that cannot be events count as rejected in a partial success, which exporters do
//! not repeat; whatever can be repeated fails the request as a whole. Records have no ids, so a request is known by the
//! hash of its body: an exporter that repeats it, because the answer was lost, adds nothing.

use std::collections::HashMap;

use attestore_engine::{Mode, Principal};
use attestore_record::mapping::Mapping;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use serde_json::{Map, Value, json};

use super::Incoming;
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

#[derive(Clone, Copy)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        match value.unwrap_or("").split(';').next().unwrap_or("").trim() {
            "application/x-protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_content_type",
                "send Content-Type: application/x-protobuf or application/json",
            )),
        }
    }

    fn parse(self, body: &[u8]) -> Result<ExportLogsServiceRequest, Problem> {
        let broken = |what: String| Problem::bad_request("invalid_otlp", what);
        match self {
            Self::Protobuf => ExportLogsServiceRequest::decode(body)
                .map_err(|_| broken("not an ExportLogsServiceRequest in protobuf".into())),
            Self::Json => serde_json::from_slice(body).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                broken(format!(
                    "not an ExportLogsServiceRequest in JSON: line {line}, column {column}"
                ))
            }),
        }
    }

    fn answer(self, status: StatusCode, message: &(impl Message + serde::Serialize)) -> Response {
        let (kind, body) = match self {
            Self::Protobuf => ("application/x-protobuf", message.encode_to_vec()),
            Self::Json => (
                "application/json",
                serde_json::to_vec(message).unwrap_or_default(),
            ),
        };
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }

    /// A refusal as the specification wants it: a `google.rpc.Status`.
    fn refuse(self, mut problem: Problem) -> Response {
        // Exporters give up on what they are not told to repeat, and 507 does not tell them.
        if problem.status == 507 {
            problem.status = 503;
            problem = problem.retry_after_ms(NO_SPACE_RETRY_MS);
        }
        let code = match problem.status {
            400 | 413 | 415 | 422 => 3,
            401 => 16,
            403 => 7,
            404 => 5,
            408 => 4,
            409 => 10,
            429 => 8,
            503 => 14,
            _ => 13,
        };
        let status = Status {
            code,
            message: format!("{}: {}", problem.code, problem.detail),
        };
        let (mut parts, _) = problem.into_response().into_parts();
        // Nobody is to write it once more as a problem document.
        parts.extensions.remove::<Problem>();
        parts.headers.remove(header::CONTENT_LENGTH);
        let answer = self.answer(parts.status, &status);
        let (answer, body) = answer.into_parts();
        parts.headers.extend(answer.headers);
        Response::from_parts(parts, body)
    }
}

#[derive(Clone, PartialEq, Message, serde::Serialize)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Append log records (OTLP/HTTP): to the tenant of the header `Attestore-Tenant`, else the credential's own, else `default`.
#[utoipa::path(
    post, path = "/v1/logs", tag = "senders",
    params(("Attestore-Tenant" = Option<String>, Header, description = "tenant name")),
    request_body(content((serde_json::Value = "application/x-protobuf"), (serde_json::Value = "application/json"))),
    responses(
        (status = 200, description = "ExportLogsServiceResponse; what cannot be an event is counted as rejected"),
        (status = 400, description = "google.rpc.Status; do not repeat"),
        (status = 401, description = "google.rpc.Status"),
        (status = 503, description = "google.rpc.Status; repeat after Retry-After"),
    ),
    security(("bearer" = []))
)]
pub async fn logs(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(&app, caller, None, &headers, body).await
}

/// Append log records (OTLP/HTTP) to a tenant: its address is the exporter's endpoint.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/v1/logs", tag = "senders",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body(content((serde_json::Value = "application/x-protobuf"), (serde_json::Value = "application/json"))),
    responses((status = 200, description = "as for `/v1/logs`"), (status = 401, description = "google.rpc.Status")),
    security(("bearer" = []))
)]
pub async fn tenant_logs(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    receive(&app, caller, Some(tenant), &headers, body).await
}

/// Refuses a request that did not get here, in the encoding that its client speaks.
pub fn refuse(headers: &HeaderMap, problem: Problem) -> Response {
    Encoding::of(headers).unwrap_or(Encoding::Json).refuse(problem)
}

async fn receive(
    app: &App,
    caller: Result<Caller, Problem>,
    tenant: Option<String>,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let encoding = match Encoding::of(headers) {
        Ok(encoding) => encoding,
        Err(problem) => return Encoding::Json.refuse(problem),
    };
    match append(app, caller, tenant, headers, body, encoding).await {
        Ok(answer) => encoding.answer(StatusCode::OK, &answer),
        Err(problem) => encoding.refuse(problem),
    }
}

async fn append(
    app: &App,
    caller: Result<Caller, Problem>,
    tenant: Option<String>,
    headers: &HeaderMap,
    body: Body,
    encoding: Encoding,
) -> Result<ExportLogsServiceResponse, Problem> {
    let caller = caller?;
    let tenant = match tenant {
        Some(tenant) => tenant,
        None => tenant_of(headers, &caller.principal)?,
    };
    let principal = caller.on(&tenant)?;
    let limits = &app.settings().body;
    let bytes = body::read(headers, body, limits).await?;
    let request = encoding.parse(&bytes)?;
    let records = records(request, &request_id(&bytes), super::preset("otlp")?);
    super::check_count(records.len(), limits.events_max)?;
    if records.is_empty() {
        let engine = app.engine().clone();
        wire::blocking(move || engine.tenant(&tenant)).await?;
        return Ok(ExportLogsServiceResponse::default());
    }
    let appended = super::append(app.engine(), &tenant, &principal, "otlp", records, Mode::Each).await?;
    let refused: Vec<String> = appended
        .items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| {
            let error = item.as_ref().err()?;
            Some(format!(
                "record {index}: {} {}: {}",
                error.code, error.path, error.message
            ))
        })
        .collect();
    Ok(ExportLogsServiceResponse {
        partial_success: (!refused.is_empty()).then(|| ExportLogsPartialSuccess {
            rejected_log_records: i64::try_from(refused.len()).unwrap_or(i64::MAX),
            error_message: refused[..refused.len().min(SHOWN)].join("; "),
        }),
    })
}

/// The tenant of a request whose path names none.
///
/// # Errors
/// 404 for what cannot be a name.
pub fn tenant_of(headers: &HeaderMap, principal: &Principal) -> Result<String, Problem> {
    match headers.get("attestore-tenant").map(HeaderValue::to_str) {
        Some(Ok(tenant)) => Ok(tenant.to_owned()),
        Some(Err(_)) => Err(Problem::tenant_not_found()),
        None => Ok(principal.tenants.only().unwrap_or("default").to_owned()),
    }
}

/// What a request is known by: 128 bits of its body's hash.
fn request_id(body: &Bytes) -> String {
    wire::hex(&blake3::hash(body).as_bytes()[..16])
}

/// Every record of a request as one JSON object.
fn records(request: ExportLogsServiceRequest, request_id: &str, mapping: &'static Mapping) -> Vec<Incoming> {
    let mut incoming = Vec::new();
    for resource_logs in request.resource_logs {
        let resource = resource_logs
            .resource
            .map(|resource| attributes(resource.attributes))
            .unwrap_or_default();
        for scope_logs in resource_logs.scope_logs {
            let scope = scope_logs.scope.map_or_else(
                || json!({}),
                |scope| json!({"name": scope.name, "version": scope.version, "attributes": attributes(scope.attributes)}),
            );
            for record in scope_logs.log_records {
                let number = incoming.len();
                let record = json(record, &resource, &scope);
                incoming.push(Incoming {
                    record: Ok(Bytes::from(record.to_string())),
                    mapping: Some(mapping),
                    key: Some(format!("otlp:{request_id}/{number}")),
                });
            }
        }
    }
    incoming
}

fn json(record: LogRecord, resource: &Map<String, Value>, scope: &Value) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("resource", Value::Object(resource.clone()));
    put("scope", scope.clone());
    for (name, ns) in [
        ("time", record.time_unix_nano),
        ("observed_time", record.observed_time_unix_nano),
    ] {
        if let (1.., Ok(time)) = (ns, Timestamp::from_nanosecond(i128::from(ns))) {
            put(name, Value::String(time.to_string()));
        }
    }
    if record.severity_number != 0 {
        put("severity_number", Value::from(record.severity_number));
    }
    for (name, text) in [
        ("severity_text", record.severity_text),
        ("event_name", record.event_name),
        ("trace_id", wire::hex(&record.trace_id)),
        ("span_id", wire::hex(&record.span_id)),
    ] {
        if !text.is_empty() {
            put(name, Value::String(text));
        }
    }
    if let Some(body) = record.body {
        put("body", any(body));
    }
    if record.dropped_attributes_count != 0 {
        put(
            "dropped_attributes_count",
            Value::from(record.dropped_attributes_count),
        );
    }
    put("attributes", Value::Object(attributes(record.attributes)));
    Value::Object(members)
}

/// Attributes by name. Names are unique by specification; should one come twice, all its values are kept, in a list.
fn attributes(pairs: Vec<KeyValue>) -> Map<String, Value> {
    let mut repeated: HashMap<String, Vec<Value>> = HashMap::new();
    let mut members = Map::new();
    for pair in pairs {
        let value = pair.value.map_or(Value::Null, any);
        if let Some(first) = members.get(&pair.key) {
            let values = repeated.entry(pair.key).or_insert_with(|| vec![first.clone()]);
            values.push(value);
        } else {
            members.insert(pair.key, value);
        }
    }
    members.extend(
        repeated
            .into_iter()
            .map(|(name, values)| (name, Value::Array(values))),
    );
    members
}

fn any(value: AnyValue) -> Value {
    match value.value {
        None => Value::Null,
        Some(Any::StringValue(text)) => Value::String(text),
        Some(Any::BoolValue(value)) => Value::Bool(value),
        Some(Any::IntValue(number)) => Value::from(number),
        // JSON has no infinities and no NaN.
        Some(Any::DoubleValue(number)) => serde_json::Number::from_f64(number)
            .map_or_else(|| Value::String(number.to_string()), Value::Number),
        Some(Any::ArrayValue(array)) => Value::Array(array.values.into_iter().map(any).collect()),
        Some(Any::KvlistValue(list)) => Value::Object(attributes(list.values)),
        Some(Any::BytesValue(bytes)) => Value::String(wire::hex(&bytes)),
        // References into a dictionary occur in profiles only.
        Some(_) => Value::Null,
    }
}

/// When to try again after space has run out, in milliseconds.
const NO_SPACE_RETRY_MS: u64 = 30_000;
/// Rejected records that an answer names.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests;
