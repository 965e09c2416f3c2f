//! The fields of `docs/search.md`: their names, and where an event has their values.

use crate::events as vocabulary;

/// A field with exact values.
#[derive(Debug, PartialEq)]
pub(crate) struct Field {
    /// By which it is called in queries; the first is the native name.
    pub(crate) names: &'static [&'static str],
    /// JSON pointer in the event; `*` stands for every item. Without a `/`, a value that the server added.
    pub(crate) at: &'static str,
    /// Any case.
    pub(crate) folds: bool,
    /// Ranges are of numbers.
    pub(crate) is_number: bool,
    /// Values that random queries ask for.
    pub(crate) values: &'static [&'static str],
}

const fn stored(names: &'static [&'static str], at: &'static str, values: &'static [&'static str]) -> Field {
    Field {
        names,
        at,
        folds: false,
        is_number: false,
        values,
    }
}

const fn any_case(
    names: &'static [&'static str],
    at: &'static str,
    values: &'static [&'static str],
) -> Field {
    Field {
        folds: true,
        ..stored(names, at, values)
    }
}

pub(crate) static FIELDS: &[Field] = &[
    any_case(&["action", "event.action"], "/action", &vocabulary::ACTIONS),
    any_case(
        &["operation", "event.type"],
        "/operation",
        &vocabulary::OPERATIONS,
    ),
    any_case(&["outcome", "event.outcome"], "/outcome", &vocabulary::OUTCOMES),
    any_case(&["severity", "log.level"], "/severity", &vocabulary::SEVERITIES),
    any_case(
        &["classification"],
        "/classification",
        &vocabulary::CLASSIFICATIONS,
    ),
    stored(
        &["outcome_reason.code", "event.reason"],
        "/outcome_reason/code",
        &vocabulary::CODES,
    ),
    stored(
        &["actor.id", "actor", "user.id", "userIdentity.arn"],
        "/actor/id",
        &vocabulary::IDS,
    ),
    stored(
        &["actor.type", "userIdentity.type"],
        "/actor/type",
        &vocabulary::TYPES,
    ),
    stored(&["actor.name", "user.name"], "/actor/name", &vocabulary::NAMES),
    stored(
        &["actor.email", "user.email"],
        "/actor/email",
        &vocabulary::EMAILS,
    ),
    stored(
        &["actor.credential_id"],
        "/actor/credential_id",
        &vocabulary::SESSIONS,
    ),
    stored(
        &["actor.on_behalf_of.id", "on_behalf_of.id", "user.effective.id"],
        "/actor/on_behalf_of/id",
        &vocabulary::IDS,
    ),
    stored(
        &["actor.on_behalf_of.type"],
        "/actor/on_behalf_of/type",
        &vocabulary::TYPES,
    ),
    stored(
        &["actor.on_behalf_of.name"],
        "/actor/on_behalf_of/name",
        &vocabulary::NAMES,
    ),
    stored(
        &["actor.on_behalf_of.email"],
        "/actor/on_behalf_of/email",
        &vocabulary::EMAILS,
    ),
    stored(
        &["targets.id", "target", "targets", "target.id", "user.target.id"],
        "/targets/*/id",
        &vocabulary::IDS,
    ),
    stored(
        &["targets.type", "target.type"],
        "/targets/*/type",
        &["bucket", "doc", "user", "s3_object"],
    ),
    stored(
        &["targets.name", "target.name"],
        "/targets/*/name",
        &vocabulary::NAMES,
    ),
    stored(&["data_subjects.id"], "/data_subjects/*/id", &vocabulary::IDS),
    stored(
        &["data_subjects.type"],
        "/data_subjects/*/type",
        &vocabulary::TYPES,
    ),
    stored(
        &["host", "context.host", "source.domain"],
        "/context/host",
        &vocabulary::HOSTS,
    ),
    stored(
        &[
            "user_agent",
            "context.user_agent",
            "user_agent.original",
            "userAgent",
        ],
        "/context/user_agent",
        &vocabulary::AGENTS,
    ),
    stored(&["context.location"], "/context/location", &vocabulary::LOCATIONS),
    stored(
        &["session_id", "context.session_id"],
        "/context/session_id",
        &vocabulary::SESSIONS,
    ),
    stored(
        &["request_id", "context.request_id", "http.request.id"],
        "/context/request_id",
        &vocabulary::REQUESTS,
    ),
    stored(
        &["trace_id", "context.trace_id", "trace.id"],
        "/context/trace_id",
        &vocabulary::TRACES,
    ),
    stored(
        &["context.span_id", "span.id"],
        "/context/span_id",
        &vocabulary::SPANS,
    ),
    stored(
        &["context.http.method", "http.request.method"],
        "/context/http/method",
        &vocabulary::METHODS,
    ),
    stored(
        &["context.http.path", "url.path"],
        "/context/http/path",
        &vocabulary::PATHS,
    ),
    Field {
        is_number: true,
        ..stored(
            &["context.http.status", "http.response.status_code"],
            "/context/http/status",
            &["200", "201", "404", "500"],
        )
    },
    stored(
        &["source.service", "service", "service.name"],
        "/source/service",
        &vocabulary::SERVICES,
    ),
    stored(
        &["source.version", "service.version"],
        "/source/version",
        &vocabulary::VERSIONS,
    ),
    stored(&["source.instance"], "/source/instance", &vocabulary::HOSTS),
    stored(
        &["source.environment", "environment", "service.environment"],
        "/source/environment",
        &vocabulary::ENVIRONMENTS,
    ),
    stored(
        &["changes.path"],
        "/changes/*/path",
        &["/role", "/limits/max", "name"],
    ),
    stored(
        &["data_categories"],
        "/data_categories/*",
        &vocabulary::CATEGORIES,
    ),
    stored(
        &["idempotency_key"],
        "/idempotency_key",
        &["idem-1", "idem-2", "idem-10"],
    ),
    stored(&["credential"], "credential", &["tester000001", "tester"]),
    stored(&["protocol"], "protocol", &["native", "cloudtrail"]),
    stored(&["kind"], "kind", &["event", "index_policy"]),
];

/// Fields whose values are readable strings, searched by word; free-form values come besides.
pub(crate) const READABLE: [&str; 25] = [
    "/action",
    "/outcome_reason/code",
    "/outcome_reason/message",
    "/actor/id",
    "/actor/name",
    "/actor/email",
    "/actor/on_behalf_of/id",
    "/actor/on_behalf_of/name",
    "/actor/on_behalf_of/email",
    "/targets/*/type",
    "/targets/*/id",
    "/targets/*/name",
    "/context/host",
    "/context/user_agent",
    "/context/location",
    "/context/http/path",
    "/source/service",
    "/source/instance",
    "/source/environment",
    "/justification",
    "/changes/*/path",
    "/data_subjects/*/id",
    "/data_categories/*",
    "/changes/*/old",
    "/changes/*/new",
];

/// Free-form values; all of their strings are readable.
pub(crate) const FREE: [&str; 3] = ["/metadata", "/targets/*/attributes", "/payload"];
