//! Field names in queries: ours, and those that people know from elsewhere.

use super::QueryError;
use crate::schema::Label;

/// What a field name in a query stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Exact values.
    Label(Label),
    /// Metadata at a path; an empty path is all of it.
    Metadata(String),
    /// Words.
    Text,
    /// `seq`.
    Seq,
    /// `occurred_at`.
    Occurred,
    /// `received_at`.
    Received,
}

const METADATA: &str = "metadata";

/// Our own names first; these are what a suggestion may name.
const NATIVE: [(&str, Target); 59] = [
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
    ("kind", Target::Label(Label::Kind)),
];

/// Names from the Elastic Common Schema, CloudTrail and our own JSON paths.
const ALIASES: [(&str, Target); 36] = [
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
    ("eventTime", Target::Occurred),
    ("eventName", Target::Label(Label::Action)),
    ("userIdentity.arn", Target::Label(Label::ActorId)),
    ("userIdentity.type", Target::Label(Label::ActorType)),
    ("sourceIPAddress", Target::Label(Label::Ip)),
    ("userAgent", Target::Label(Label::UserAgent)),
];

/// Finds what a field name stands for. Names are case-sensitive.
pub(crate) fn target(name: &str) -> Option<Target> {
    if let Some(path) = name.strip_prefix(METADATA) {
        match path.strip_prefix('.') {
            Some(path) if !path.is_empty() => return Some(Target::Metadata(path.to_owned())),
            None if path.is_empty() => return Some(Target::Metadata(String::new())),
            _ => return None,
        }
    }
    NATIVE
        .iter()
        .chain(&ALIASES)
        .find(|(known, _)| *known == name)
        .map(|(_, target)| target.clone())
}

/// Finds what a field name stands for, or says what is nearest.
pub(crate) fn find(name: &str) -> Result<Target, QueryError> {
    target(name).ok_or_else(|| QueryError {
        message: format!("unknown field {name:?}"),
        column: None,
        suggestion: nearest(name).map(str::to_owned),
    })
}

/// The known name nearest to `name`, if one is near.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.to_ascii_lowercase();
    let distance = |known: &str| edits(&wanted, &known.to_ascii_lowercase());
    let (known, edits) = NATIVE
        .iter()
        .chain(&ALIASES)
        .map(|(known, _)| (*known, distance(known)))
        .min_by_key(|(_, d)| *d)?;
    (edits <= 1 + name.len() / 4).then_some(known)
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
