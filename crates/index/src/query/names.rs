//! Field names in queries: ours, and those that people know from elsewhere.

use crate::schema::Name;

/// What a field name in a query stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Exact values.
    Name(Name),
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
    ("action", Target::Name(Name::Action)),
    ("operation", Target::Name(Name::Operation)),
    ("outcome", Target::Name(Name::Outcome)),
    ("outcome_reason.code", Target::Name(Name::OutcomeCode)),
    ("severity", Target::Name(Name::Severity)),
    ("actor", Target::Name(Name::ActorId)),
    ("actor.id", Target::Name(Name::ActorId)),
    ("actor.type", Target::Name(Name::ActorType)),
    ("actor.name", Target::Name(Name::ActorName)),
    ("actor.email", Target::Name(Name::ActorEmail)),
    ("actor.credential_id", Target::Name(Name::ActorCredential)),
    ("actor.on_behalf_of.type", Target::Name(Name::BehalfType)),
    ("actor.on_behalf_of.id", Target::Name(Name::BehalfId)),
    ("actor.on_behalf_of.name", Target::Name(Name::BehalfName)),
    ("actor.on_behalf_of.email", Target::Name(Name::BehalfEmail)),
    ("on_behalf_of.id", Target::Name(Name::BehalfId)),
    ("target", Target::Name(Name::TargetId)),
    ("target.id", Target::Name(Name::TargetId)),
    ("target.type", Target::Name(Name::TargetType)),
    ("target.name", Target::Name(Name::TargetName)),
    ("targets", Target::Name(Name::TargetId)),
    ("targets.id", Target::Name(Name::TargetId)),
    ("targets.type", Target::Name(Name::TargetType)),
    ("targets.name", Target::Name(Name::TargetName)),
    ("data_subjects.id", Target::Name(Name::SubjectId)),
    ("data_subjects.type", Target::Name(Name::SubjectType)),
    ("ip", Target::Name(Name::Ip)),
    ("context.ip", Target::Name(Name::Ip)),
    ("host", Target::Name(Name::Host)),
    ("context.host", Target::Name(Name::Host)),
    ("user_agent", Target::Name(Name::UserAgent)),
    ("context.user_agent", Target::Name(Name::UserAgent)),
    ("context.location", Target::Name(Name::Location)),
    ("session_id", Target::Name(Name::SessionId)),
    ("context.session_id", Target::Name(Name::SessionId)),
    ("request_id", Target::Name(Name::RequestId)),
    ("context.request_id", Target::Name(Name::RequestId)),
    ("trace_id", Target::Name(Name::TraceId)),
    ("context.trace_id", Target::Name(Name::TraceId)),
    ("context.span_id", Target::Name(Name::SpanId)),
    ("context.http.method", Target::Name(Name::HttpMethod)),
    ("context.http.path", Target::Name(Name::HttpPath)),
    ("context.http.status", Target::Name(Name::HttpStatus)),
    ("service", Target::Name(Name::Service)),
    ("source.service", Target::Name(Name::Service)),
    ("source.version", Target::Name(Name::SourceVersion)),
    ("source.instance", Target::Name(Name::SourceInstance)),
    ("source.environment", Target::Name(Name::Environment)),
    ("changes.path", Target::Name(Name::ChangePath)),
    ("classification", Target::Name(Name::Classification)),
    ("data_categories", Target::Name(Name::DataCategory)),
    ("idempotency_key", Target::Name(Name::IdempotencyKey)),
    ("credential", Target::Name(Name::Credential)),
    ("protocol", Target::Name(Name::Protocol)),
    ("kind", Target::Name(Name::Kind)),
];

/// Names from the Elastic Common Schema, CloudTrail and our own JSON paths.
const ALIASES: [(&str, Target); 36] = [
    ("@timestamp", Target::Occurred),
    ("timestamp", Target::Occurred),
    ("event.created", Target::Occurred),
    ("event.ingested", Target::Received),
    ("event.sequence", Target::Seq),
    ("message", Target::Text),
    ("event.action", Target::Name(Name::Action)),
    ("event.type", Target::Name(Name::Operation)),
    ("event.outcome", Target::Name(Name::Outcome)),
    ("event.reason", Target::Name(Name::OutcomeCode)),
    ("log.level", Target::Name(Name::Severity)),
    ("user.id", Target::Name(Name::ActorId)),
    ("user.name", Target::Name(Name::ActorName)),
    ("user.email", Target::Name(Name::ActorEmail)),
    ("user.effective.id", Target::Name(Name::BehalfId)),
    ("user.target.id", Target::Name(Name::TargetId)),
    ("source.ip", Target::Name(Name::Ip)),
    ("client.ip", Target::Name(Name::Ip)),
    ("source.domain", Target::Name(Name::Host)),
    ("user_agent.original", Target::Name(Name::UserAgent)),
    ("trace.id", Target::Name(Name::TraceId)),
    ("span.id", Target::Name(Name::SpanId)),
    ("http.request.id", Target::Name(Name::RequestId)),
    ("http.request.method", Target::Name(Name::HttpMethod)),
    ("url.path", Target::Name(Name::HttpPath)),
    ("http.response.status_code", Target::Name(Name::HttpStatus)),
    ("service.name", Target::Name(Name::Service)),
    ("service.version", Target::Name(Name::SourceVersion)),
    ("service.environment", Target::Name(Name::Environment)),
    ("environment", Target::Name(Name::Environment)),
    ("eventTime", Target::Occurred),
    ("eventName", Target::Name(Name::Action)),
    ("userIdentity.arn", Target::Name(Name::ActorId)),
    ("userIdentity.type", Target::Name(Name::ActorType)),
    ("sourceIPAddress", Target::Name(Name::Ip)),
    ("userAgent", Target::Name(Name::UserAgent)),
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
