//! Projection: of each event, only the fields that were asked for.
//!
//! A field is a path of names as the event has them, joined by dots: `actor.id`, `targets.id` (of every target),
//! `metadata.order.total`, `actor` for everything in it. Works on the event's text, so what is kept is byte for byte what it
//! was, and comes in the same order. What the caller may not see was withheld before.

use serde_json::value::RawValue;

use crate::json::Members;

/// Most fields of one request.
pub const FIELDS_MAX: usize = 64;
/// Most bytes of one field's path.
const PATH_BYTES_MAX: usize = 512;

/// Names that records have besides their event; they are always there.
const ALWAYS: [&str; 5] = ["id", "seq", "received_at", "kind", "entry"];
/// Every field of an event.
const NATIVE: [&str; 56] = [
    "idempotency_key",
    "occurred_at",
    "action",
    "operation",
    "outcome",
    "outcome_reason",
    "outcome_reason.code",
    "outcome_reason.message",
    "severity",
    "actor",
    "actor.type",
    "actor.id",
    "actor.name",
    "actor.email",
    "actor.credential_id",
    "actor.on_behalf_of",
    "actor.on_behalf_of.type",
    "actor.on_behalf_of.id",
    "actor.on_behalf_of.name",
    "actor.on_behalf_of.email",
    "targets",
    "targets.type",
    "targets.id",
    "targets.name",
    "targets.attributes",
    "context",
    "context.ip",
    "context.host",
    "context.user_agent",
    "context.location",
    "context.session_id",
    "context.request_id",
    "context.trace_id",
    "context.span_id",
    "context.http",
    "context.http.method",
    "context.http.path",
    "context.http.status",
    "source",
    "source.service",
    "source.version",
    "source.instance",
    "source.environment",
    "justification",
    "changes",
    "changes.path",
    "changes.old",
    "changes.new",
    "data_subjects",
    "data_subjects.type",
    "data_subjects.id",
    "data_subjects.fields",
    "classification",
    "data_categories",
    "metadata",
    "payload",
];
/// Fields with values of any shape, whose paths are not known.
const FREE_FORM: [&str; 5] = [
    "metadata",
    "payload",
    "targets.attributes",
    "changes.old",
    "changes.new",
];

/// The fields that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Vec<String>);

/// Why fields cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FieldsError {
    /// JSON pointer into the request.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

impl Fields {
    /// Checks the paths.
    ///
    /// # Errors
    /// Too many, or an unknown one, with the nearest known one.
    pub fn new(paths: Vec<String>) -> Result<Self, FieldsError> {
        if paths.len() > FIELDS_MAX {
            return Err(invalid(
                "/fields",
                format!("at most {FIELDS_MAX} fields can be asked for"),
            ));
        }
        for (at, path) in paths.iter().enumerate() {
            if path.len() > PATH_BYTES_MAX || !is_known(path) {
                return Err(FieldsError {
                    suggestion: nearest(path),
                    ..invalid(&format!("/fields/{at}"), "events have no such field")
                });
            }
        }
        Ok(Self(paths))
    }

    /// The paths, as they were asked for.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        &self.0
    }

    /// Keeps of an event what was asked for; `{}` if nothing of it is there.
    ///
    /// # Errors
    /// When the text is not a JSON object.
    pub fn project(&self, event: &str) -> serde_json::Result<String> {
        let mut out = String::with_capacity(event.len() / 4);
        let raw: &RawValue = serde_json::from_str(event)?;
        if !self.keep(raw, "", &mut out)? {
            out.push_str("{}");
        }
        Ok(out)
    }

    /// Writes what is kept of a value at `path`; says whether that was anything.
    fn keep(&self, value: &RawValue, path: &str, out: &mut String) -> serde_json::Result<bool> {
        let start = out.len();
        let text = value.get();
        if text.starts_with('{') {
            let members: Members = serde_json::from_str(text)?;
            out.push('{');
            for (name, value) in members.0 {
                let path = join(path, &name);
                let before = out.len();
                if before > start + 1 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(&name)?);
                out.push(':');
                if self.is_asked_for(&path) {
                    out.push_str(value.get());
                } else if !self.is_on_the_way(&path) || !self.keep(value, &path, out)? {
                    out.truncate(before);
                }
            }
            out.push('}');
        } else if text.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for item in items {
                let before = out.len();
                if before > start + 1 {
                    out.push(',');
                }
                if !self.keep(item, path, out)? {
                    out.truncate(before);
                }
            }
            out.push(']');
        }
        if out.len() <= start + 2 {
            out.truncate(start);
            return Ok(false);
        }
        Ok(true)
    }

    fn is_asked_for(&self, path: &str) -> bool {
        self.0.iter().any(|field| field == path)
    }

    fn is_on_the_way(&self, path: &str) -> bool {
        self.0.iter().any(|field| below(field, path))
    }
}

/// Whether `field` lies below `path`.
fn below(field: &str, path: &str) -> bool {
    field
        .strip_prefix(path)
        .is_some_and(|rest| rest.starts_with('.') && rest.len() > 1)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn is_known(path: &str) -> bool {
    ALWAYS.contains(&path) || NATIVE.contains(&path) || FREE_FORM.iter().any(|free| below(path, free))
}

fn nearest(path: &str) -> Option<String> {
    // Names that people know from queries: the last part decides.
    let same_end = NATIVE
        .iter()
        .find(|known| known.rsplit('.').next() == path.rsplit('.').next());
    let begins = NATIVE
        .iter()
        .find(|known| known.starts_with(path) || path.starts_with(**known));
    same_end.or(begins).map(|known| (*known).to_owned())
}

fn invalid(path: &str, message: impl Into<String>) -> FieldsError {
    FieldsError {
        path: path.to_owned(),
        message: message.into(),
        suggestion: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"action":"a.b","actor":{"type":"user","id":"u\"1","name":"[personal]"},"targets":[{"type":"t","id":"1"},{"type":"t"},{"type":"t","id":"3"}],"metadata":{"a.b":{"c":1.50},"a":{"b":{"d":2}},"n":null}}"#;

    fn project(paths: &[&str]) -> String {
        let paths = paths.iter().map(ToString::to_string).collect();
        Fields::new(paths).unwrap().project(EVENT).unwrap()
    }

    #[test]
    fn keeps_what_was_asked_for_in_the_events_own_order_and_bytes() {
        assert_eq!(
            project(&["actor.id", "action"]),
            r#"{"action":"a.b","actor":{"id":"u\"1"}}"#
        );
        assert_eq!(
            project(&["actor"]),
            r#"{"actor":{"type":"user","id":"u\"1","name":"[personal]"}}"#
        );
    }

    #[test]
    fn goes_into_arrays_and_drops_items_without_the_field() {
        assert_eq!(project(&["targets.id"]), r#"{"targets":[{"id":"1"},{"id":"3"}]}"#);
    }

    #[test]
    fn a_name_with_a_dot_reads_as_a_path() {
        assert_eq!(project(&["metadata.a.b.c"]), r#"{"metadata":{"a.b":{"c":1.50}}}"#);
        assert_eq!(
            project(&["metadata.a.b.d"]),
            r#"{"metadata":{"a":{"b":{"d":2}}}}"#
        );
        assert_eq!(project(&["metadata.n"]), r#"{"metadata":{"n":null}}"#);
    }

    #[test]
    fn what_is_not_there_leaves_nothing_behind() {
        assert_eq!(project(&["context.ip", "metadata.x.y"]), "{}");
        assert_eq!(project(&["id", "seq"]), "{}");
    }

    #[test]
    fn unknown_fields_are_refused_with_the_nearest() {
        let problem = Fields::new(vec!["action".into(), "ip".into()]).unwrap_err();
        assert_eq!(problem.path, "/fields/1");
        assert_eq!(problem.suggestion.as_deref(), Some("context.ip"));
        assert!(Fields::new(vec!["metadatax.y".into()]).is_err());
        assert!(Fields::new(vec![String::new()]).is_err());
        assert!(Fields::new(vec!["action".into(); FIELDS_MAX + 1]).is_err());
    }
}
