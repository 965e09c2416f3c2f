//! Shapes and conversions that several routes share.

use std::fmt::Write as _;

use attestore_engine::read::RecordView;
use attestore_engine::{AppendError, Error, ItemError, Tree as EngineTree};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::problem::{FieldError, Gone, Problem};
use crate::routes::approvals;

/// A tree head on the wire.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tree {
    /// Name of the log in checkpoints.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// RFC 6962 root over the first `size` entries, hex.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub root: String,
}

impl From<&EngineTree> for Tree {
    fn from(tree: &EngineTree) -> Self {
        Self {
            origin: tree.origin.clone(),
            size: tree.size,
            root: hex(tree.root.as_bytes()),
        }
    }
}

/// A record on the wire: what the server added, and the event as it was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecordBody {
    /// Record id, UUIDv7.
    pub id: String,
    /// Index in the tenant's log, from 0.
    pub seq: u64,
    /// When the server accepted it, RFC 3339, UTC, milliseconds.
    pub received_at: String,
    /// What kind of record it is; clients append `event` only.
    pub kind: &'static str,
    /// The 44-byte entry that the tree holds, hex.
    pub entry: String,
    /// The event. Fields about people show as `[personal]` to callers that may not see them.
    #[schema(value_type = Object)]
    pub event: Box<RawValue>,
    /// There if it holds data about somebody whose data is restricted: without a purpose it shows as `[personal]`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
    /// Indexes of the records that correct it, where it is corrected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corrected_by: Vec<u64>,
}

/// Turns an engine record into its wire form.
///
/// # Errors
/// 500 when the stored event is not JSON, which verification would report as damage.
pub fn record(view: RecordView) -> Result<RecordBody, Problem> {
    Ok(RecordBody {
        id: view.id.to_string(),
        seq: view.seq,
        received_at: rfc3339_ms(view.received_at_ms),
        kind: view.kind,
        entry: hex(&view.entry),
        event: RawValue::from_string(view.event).map_err(internal)?,
        restricted: view.restricted,
        corrected_by: Vec::new(),
    })
}

/// Codes of searches that make sense and would cost too much.
const TOO_COSTLY: [&str; 4] = ["too_broad", "too_many_buckets", "too_much_memory", "not_indexed"];

/// Converts an engine error.
pub fn problem(error: Error) -> Problem {
    match error {
        Error::UnknownTenant => Problem::tenant_not_found(),
        Error::Append(error) => append_problem(*error),
        Error::ApprovalNeeded { tenant, approval } => approvals::needed(&tenant, *approval),
        Error::Query {
            ref message,
            column,
            ref suggestion,
        } => {
            let mut problem = Problem::bad_request(error.code(), message);
            problem.column = column;
            problem.suggestion = suggestion.as_deref().map(Into::into);
            problem
        }
        Error::Gone {
            seq, by, since_ms, ..
        } => {
            let mut problem = Problem::new(StatusCode::GONE, error.code(), error.to_string());
            problem.gone = Some(Box::new(Gone {
                seq,
                by,
                since: rfc3339_ms(since_ms),
            }));
            problem
        }
        Error::RootUnavailable(_) | Error::TargetUnavailable(_) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), error.to_string())
                .retry_after_ms(5000)
        }
        error => {
            let status = if TOO_COSTLY.contains(&error.code()) {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            };
            if status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(code = error.code(), %error, "request failed");
            }
            Problem::new(status, error.code(), error.to_string())
        }
    }
}

/// Converts an append error.
pub fn append_problem(error: AppendError) -> Problem {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match error {
        AppendError::UnknownTenant => Problem::tenant_not_found(),
        AppendError::Internal(error) => problem(*error),
        AppendError::Overloaded { retry_after_ms, .. } => {
            Problem::new(status, error.code(), error.to_string()).retry_after_ms(retry_after_ms)
        }
        AppendError::Quota {
            retry_after_ms: Some(ms),
            ..
        } => Problem::new(status, error.code(), error.to_string()).retry_after_ms(ms),
        AppendError::Refused { errors } => refused_batch(errors),
        error => Problem::new(status, error.code(), error.to_string()),
    }
}

/// 422 for an atomic batch: what is wrong with which event.
pub fn refused_batch(errors: Vec<(usize, ItemError)>) -> Problem {
    let detail = format!(
        "{} of the events cannot be accepted, so none was stored",
        errors.len()
    );
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "batch_refused", detail).with_errors(
        errors
            .into_iter()
            .map(|(index, error)| field_error(index, error))
            .collect(),
    )
}

/// One event's fault on the wire.
pub fn field_error(index: usize, error: ItemError) -> FieldError {
    FieldError {
        index,
        path: error.path,
        code: error.code,
        message: error.message,
    }
}

/// 500 for what should not happen; the cause goes to the server's own log.
pub fn internal(error: impl std::fmt::Display) -> Problem {
    tracing::error!(%error, "internal error");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the server failed; its log says more",
    )
}

/// Reads a request body that is one JSON object. Empty means `{}`.
///
/// # Errors
/// 400 with the given code and the place in the document. Values that the client sent are not repeated.
pub fn document<T: DeserializeOwned>(bytes: &[u8], code: &'static str) -> Result<T, Problem> {
    let bytes = if bytes.trim_ascii().is_empty() {
        b"{}"
    } else {
        bytes
    };
    let refuse = |path: Option<String>, error: &serde_json::Error| {
        let mut problem = Problem::bad_request(code, misfit(error));
        problem.path = path;
        problem
    };
    // A list would be read as an object without names, member by member.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::bad_request(code, "expected an object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let document = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refuse(Some(pointer(error.path())), error.inner()))?;
    json.end().map_err(|error| refuse(None, &error))?;
    Ok(document)
}

fn misfit(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return format!("not JSON at line {} column {}", error.line(), error.column());
    }
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(&*message, |(said, _)| said);
    let names = ["unknown field", "missing field", "duplicate field"];
    if names.iter().any(|begin| message.starts_with(begin)) {
        return message.to_owned();
    }
    // What comes before names the value that was sent.
    match message.split_once(", expected ") {
        Some((_, "usize" | "u64")) => "expected a whole number".to_owned(),
        Some((_, expected)) => format!("expected {expected}"),
        None => "the value does not fit".to_owned(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Runs blocking engine work away from the connection threads.
///
/// # Errors
/// Whatever the work answers; 500 when it panicked.
pub async fn blocking<T, F>(work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    tokio::task::spawn_blocking(work)
        .await
        .map_err(internal)?
        .map_err(problem)
}

/// Milliseconds since the Unix epoch as RFC 3339, UTC.
pub fn rfc3339_ms(ms: u64) -> String {
    let timestamp = i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| ms.to_string(), |t| format!("{t:.3}"))
}

/// Whether the request means to go below a lock in mode governance: S3's `x-amz-bypass-governance-retention`, under our own name.
///
/// # Errors
/// 400 for anything but `true` and `false`.
pub fn bypasses_governance(headers: &HeaderMap) -> Result<bool, Problem> {
    match headers
        .get("attestore-bypass-governance")
        .map(HeaderValue::as_bytes)
    {
        None | Some(b"false") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(Problem::bad_request(
            "invalid_header",
            "Attestore-Bypass-Governance is true or false",
        )),
    }
}

/// An RFC 3339 time, or a date alone (midnight UTC), as nanoseconds since the Unix epoch.
///
/// # Errors
/// 400 `invalid_time`.
pub fn parse_time(name: &str, text: &str) -> Result<i64, Problem> {
    let bad = || {
        Problem::bad_request(
            "invalid_time",
            format!("{name} must be an RFC 3339 time or a date"),
        )
    };
    let timestamp = match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => timestamp,
        Err(_) => {
            let date: jiff::civil::Date = text.parse().map_err(|_| bad())?;
            date.to_zoned(jiff::tz::TimeZone::UTC)
                .map_err(|_| bad())?
                .timestamp()
        }
    };
    i64::try_from(timestamp.as_nanosecond()).map_err(|_| bad())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|&byte| digits(byte))
        .map(char::from)
        .collect()
}

fn digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// ASCII text of at most `N` bytes in place: a batch answers with thousands of them.
#[derive(Debug, Clone, Copy)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Short<N> {
    /// Shows a value; what does not fit is cut.
    pub fn show(value: &impl std::fmt::Display) -> Self {
        let mut short = Self {
            bytes: [0; N],
            length: 0,
        };
        // Refused only when it does not fit, which the types used here cannot cause.
        let _ = write!(short, "{value}");
        short
    }

    /// Shows bytes in lower-case hex; what does not fit is cut.
    pub fn hex(bytes: &[u8]) -> Self {
        let mut short = Self {
            bytes: [0; N],
            length: 0,
        };
        for (pair, &byte) in short.bytes.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *pair = digits(byte);
            short.length += 2;
        }
        short
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl<const N: usize> std::fmt::Write for Short<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self
            .bytes
            .get_mut(self.length..self.length + text.len())
            .ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

impl<const N: usize> Serialize for Short<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
