//! Field names in queries: ours, and those that people know from elsewhere.

use super::QueryError;
use super::ast::JsonPath;
use crate::schema::Label;

/// What a field name in a query stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Exact values.
    Label(Label),
    /// A path into a free-form value.
    Path(JsonPath),
    /// A free-form value as a whole; whether it is `metadata`.
    Free(bool),
    /// The last part of the action, as CloudTrail writes it.
    EventName,
    /// Words.
    Text,
    /// `seq`.
    Seq,
    /// `occurred_at`.
    Occurred,
    /// `received_at`.
    Received,
}

/// Our own names first; these are what a suggestion prefers.
static NATIVE: [(&str, Target); 60] = [
    ("seq", Target::Seq),
    ("occurred_at", Target::Occurred),
    ("received_at", Target::Received),
    ("text", Target::Text),
    ("action", Target::Label(Label::Action)),
    ("operation", Target::Label(Label::Operation)),
    ("outcome", Target::Label(Label::Outcome)),
    ("outcome_reason.code", Target::Label(Label::OutcomeCode)),
    ("severity", Target::Label(Label::Severity)),
    ("actor", Target::Label(Label::ActorId)),
    ("actor.id", Target::Label(Label::ActorId)),
    ("actor.type", Target::Label(Label::ActorType)),
    ("actor.name", Target::Label(Label::ActorName)),
    ("actor.email", Target::Label(Label::ActorEmail)),
    ("actor.credential_id", Target::Label(Label::ActorCredential)),
    ("actor.on_behalf_of.type", Target::Label(Label::BehalfType)),
    ("actor.on_behalf_of.id", Target::Label(Label::BehalfId)),
    ("actor.on_behalf_of.name", Target::Label(Label::BehalfName)),
    ("actor.on_behalf_of.email", Target::Label(Label::BehalfEmail)),
    ("on_behalf_of.id", Target::Label(Label::BehalfId)),
    ("target", Target::Label(Label::TargetId)),
    ("target.id", Target::Label(Label::TargetId)),
    ("target.type", Target::Label(Label::TargetType)),
    ("target.name", Target::Label(Label::TargetName)),
    ("targets", Target::Label(Label::TargetId)),
    ("targets.id", Target::Label(Label::TargetId)),
    ("targets.type", Target::Label(Label::TargetType)),
    ("targets.name", Target::Label(Label::TargetName)),
    ("data_subjects.id", Target::Label(Label::SubjectId)),
    ("data_subjects.type", Target::Label(Label::SubjectType)),
    ("ip", Target::Label(Label::Ip)),
    ("context.ip", Target::Label(Label::Ip)),
    ("host", Target::Label(Label::Host)),
    ("context.host", Target::Label(Label::Host)),
    ("user_agent", Target::Label(Label::UserAgent)),
    ("context.user_agent", Target::Label(Label::UserAgent)),
    ("context.location", Target::Label(Label::Location)),
    ("session_id", Target::Label(Label::SessionId)),
    ("context.session_id", Target::Label(Label::SessionId)),
    ("request_id", Target::Label(Label::RequestId)),
    ("context.request_id", Target::Label(Label::RequestId)),
    ("trace_id", Target::Label(Label::TraceId)),
    ("context.trace_id", Target::Label(Label::TraceId)),
    ("context.span_id", Target::Label(Label::SpanId)),
    ("context.http.method", Target::Label(Label::HttpMethod)),
    ("context.http.path", Target::Label(Label::HttpPath)),
    ("context.http.status", Target::Label(Label::HttpStatus)),
    ("service", Target::Label(Label::Service)),
    ("source.service", Target::Label(Label::Service)),
    ("source.version", Target::Label(Label::SourceVersion)),
    ("source.instance", Target::Label(Label::SourceInstance)),
    ("source.environment", Target::Label(Label::Environment)),
    ("changes.path", Target::Label(Label::ChangePath)),
    ("classification", Target::Label(Label::Classification)),
    ("data_categories", Target::Label(Label::DataCategory)),
    ("idempotency_key", Target::Label(Label::IdempotencyKey)),
    ("credential", Target::Label(Label::Credential)),
    ("protocol", Target::Label(Label::Protocol)),
    ("class", Target::Label(Label::Class)),
    ("kind", Target::Label(Label::Kind)),
];

/// Names from the Elastic Common Schema, OpenTelemetry and CloudTrail, besides our own JSON paths.
static ALIASES: [(&str, Target); 59] = [
    ("@timestamp", Target::Occurred),
    ("timestamp", Target::Occurred),
    ("event.created", Target::Occurred),
    ("event.ingested", Target::Received),
    ("event.sequence", Target::Seq),
    ("message", Target::Text),
    ("event.action", Target::Label(Label::Action)),
    ("event.type", Target::Label(Label::Operation)),
    ("event.outcome", Target::Label(Label::Outcome)),
    ("event.reason", Target::Label(Label::OutcomeCode)),
    ("log.level", Target::Label(Label::Severity)),
    ("user.id", Target::Label(Label::ActorId)),
    ("user.name", Target::Label(Label::ActorName)),
    ("user.email", Target::Label(Label::ActorEmail)),
    ("user.effective.id", Target::Label(Label::BehalfId)),
    ("user.target.id", Target::Label(Label::TargetId)),
    ("source.ip", Target::Label(Label::Ip)),
    ("client.ip", Target::Label(Label::Ip)),
    ("source.domain", Target::Label(Label::Host)),
    ("user_agent.original", Target::Label(Label::UserAgent)),
    ("trace.id", Target::Label(Label::TraceId)),
    ("span.id", Target::Label(Label::SpanId)),
    ("http.request.id", Target::Label(Label::RequestId)),
    ("http.request.method", Target::Label(Label::HttpMethod)),
    ("url.path", Target::Label(Label::HttpPath)),
    ("http.response.status_code", Target::Label(Label::HttpStatus)),
    ("service.name", Target::Label(Label::Service)),
    ("service.version", Target::Label(Label::SourceVersion)),
    ("service.environment", Target::Label(Label::Environment)),
    ("environment", Target::Label(Label::Environment)),
    ("event.id", Target::Label(Label::IdempotencyKey)),
    ("event.provider", Target::Label(Label::Service)),
    ("error.code", Target::Label(Label::OutcomeCode)),
    ("user.effective.name", Target::Label(Label::BehalfName)),
    ("user.effective.email", Target::Label(Label::BehalfEmail)),
    ("user.target.name", Target::Label(Label::TargetName)),
    ("source.address", Target::Label(Label::Ip)),
    ("client.address", Target::Label(Label::Ip)),
    ("client.domain", Target::Label(Label::Host)),
    ("cloud.region", Target::Label(Label::Location)),
    ("service.node.name", Target::Label(Label::SourceInstance)),
    ("service.instance.id", Target::Label(Label::SourceInstance)),
    ("deployment.environment", Target::Label(Label::Environment)),
    ("session.id", Target::Label(Label::SessionId)),
    ("eventName", Target::EventName),
    ("eventTime", Target::Occurred),
    ("userIdentity.arn", Target::Label(Label::ActorId)),
    ("userIdentity.type", Target::Label(Label::ActorType)),
    ("sourceIPAddress", Target::Label(Label::Ip)),
    ("userAgent", Target::Label(Label::UserAgent)),
    ("eventSource", Target::Label(Label::Service)),
    ("eventID", Target::Label(Label::IdempotencyKey)),
    ("requestID", Target::Label(Label::RequestId)),
    ("awsRegion", Target::Label(Label::Location)),
    ("errorCode", Target::Label(Label::OutcomeCode)),
    ("userIdentity.userName", Target::Label(Label::ActorName)),
    ("userIdentity.accessKeyId", Target::Label(Label::ActorCredential)),
    ("resources.ARN", Target::Label(Label::TargetId)),
    ("resources.type", Target::Label(Label::TargetType)),
];

/// Starts of paths, and what they stand for.
const ROOTS: [(&str, &str); 11] = [
    ("metadata.", "metadata."),
    ("payload.", "payload."),
    ("targets.attributes.", "targets.attributes."),
    ("target.attributes.", "targets.attributes."),
    ("labels.", "metadata."),
    ("requestParameters.", "payload.requestParameters."),
    ("responseElements.", "payload.responseElements."),
    ("additionalEventData.", "payload.additionalEventData."),
    ("serviceEventDetails.", "payload.serviceEventDetails."),
    ("tlsDetails.", "payload.tlsDetails."),
    ("userIdentity.", "payload.userIdentity."),
];

/// Names of CloudTrail that the mapping keeps elsewhere.
const MAPPED: [(&str, &str); 3] = [
    ("recipientAccountId", "metadata.account"),
    ("eventType", "metadata.event_type"),
    ("eventCategory", "metadata.event_category"),
];

/// Free-form values as a whole.
const WHOLES: [&str; 4] = ["metadata", "payload", "targets.attributes", "target.attributes"];

/// Length of a path (bytes).
const PATH_MAX: usize = 256;

/// Every name and what it stands for, our own first.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static Target)> {
    static NAMES: [&[(&str, Target)]; 2] = [&NATIVE, &ALIASES];
    NAMES
        .iter()
        .flat_map(|names| names.iter().map(|(name, target)| (*name, target)))
}

/// Finds what a field name stands for, or says what is nearest. Names are case-sensitive.
///
/// # Errors
/// [`QueryError`] without a place.
pub(crate) fn find(name: &str) -> Result<Target, QueryError> {
    let known = NATIVE.iter().chain(&ALIASES).find(|(known, _)| *known == name);
    if let Some((_, target)) = known {
        return Ok(target.clone());
    }
    if WHOLES.contains(&name) {
        return Ok(Target::Free(name == "metadata"));
    }
    match path(name) {
        Some(path) if path.0.len() > PATH_MAX => {
            Err(unknown(format!("a path has at most {PATH_MAX} bytes"), None))
        }
        Some(path) => Ok(Target::Path(path)),
        None => Err(unknown(format!("unknown field {name:?}"), nearest(name))),
    }
}

fn unknown(message: String, suggestion: Option<String>) -> QueryError {
    QueryError {
        message,
        column: None,
        suggestion,
    }
}

fn path(name: &str) -> Option<JsonPath> {
    if let Some((_, path)) = MAPPED.iter().find(|(known, _)| *known == name) {
        return Some(JsonPath((*path).to_owned()));
    }
    let (root, path) = ROOTS
        .iter()
        .find_map(|(root, path)| Some((*path, name.strip_prefix(root)?)))?;
    let fits = !path.is_empty() && !path.chars().any(char::is_control);
    fits.then(|| JsonPath(format!("{root}{path}")))
}

/// The known name nearest to `name`, if one is near. Of a path, its start may be mistaken.
fn nearest(name: &str) -> Option<String> {
    let wanted = name.to_ascii_lowercase();
    let names = NATIVE.iter().chain(&ALIASES).map(|(known, _)| *known);
    let names = names.chain(MAPPED.iter().map(|(known, _)| *known)).chain(WHOLES);
    let whole = names
        .map(|known| (edits(&wanted, &known.to_ascii_lowercase()), known.to_owned()))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, _)| *edits <= 1 + name.len() / 4);
    let start = ROOTS
        .iter()
        .filter_map(|(root, _)| {
            let dots = root.matches('.').count();
            let (end, _) = name.match_indices('.').nth(dots - 1)?;
            let (start, rest) = name.split_at_checked(end + 1)?;
            let edits = edits(&start.to_ascii_lowercase(), &root.to_ascii_lowercase());
            (edits <= 2 && !rest.is_empty()).then(|| (edits, format!("{root}{rest}")))
        })
        .min_by_key(|(edits, _)| *edits);
    whole
        .into_iter()
        .chain(start)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Levenshtein distance over characters.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, left) in left.chars().enumerate() {
        let mut diagonal = at;
        let mut last = at + 1;
        for (cell, right) in row.iter_mut().skip(1).zip(&right) {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = *cell;
            last = substituted.min(diagonal + 1).min(last + 1);
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}
