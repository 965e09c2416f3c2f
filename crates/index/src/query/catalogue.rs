//! The fields that queries know, for those who list them.

use super::ast::Key;
use super::names::{self, Target};
use crate::schema::{Label, Side};

/// A field, under one of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// The name in queries.
    pub name: &'static str,
    /// Where the value is in a record, names joined by dots; the field's own name if it is not in the record as such.
    pub path: &'static str,
    /// What its values are.
    pub holds: FieldHolds,
    /// There is a column: it can be sorted and aggregated by.
    pub column: bool,
    /// Values of it may be personal.
    pub personal: bool,
}

/// What values a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldHolds {
    /// Exact strings.
    Strings,
    /// Words.
    Words,
    /// Whole numbers.
    Numbers,
    /// Times.
    Times,
    /// Addresses.
    Addresses,
}

/// Every field by every name, our own names first. Paths into free-form values are not among them.
pub fn fields() -> Vec<FieldInfo> {
    names::all()
        .filter_map(|(name, target)| field(name, target))
        .collect()
}

/// The field of a name, if it is one of [`fields`].
pub fn find_field(name: &str) -> Option<FieldInfo> {
    names::all()
        .find(|(known, _)| *known == name)
        .and_then(|(name, target)| field(name, target))
}

/// The path that a name leads to, if it is no field: `metadata.ticket` for `labels.ticket`.
pub fn find_path(name: &str) -> Option<String> {
    match names::find(name) {
        Ok(Target::Path(path)) => Some(path.0),
        _ => None,
    }
}

fn field(name: &'static str, target: &Target) -> Option<FieldInfo> {
    let (path, holds, column, personal) = match target {
        Target::Seq => ("seq", FieldHolds::Numbers, true, false),
        Target::Occurred => ("@timestamp", FieldHolds::Times, true, false),
        Target::Received => ("received_at", FieldHolds::Times, true, false),
        Target::Text => ("message", FieldHolds::Words, false, false),
        Target::Label(label) => {
            let holds = match label {
                Label::Ip => FieldHolds::Addresses,
                Label::HttpStatus => FieldHolds::Numbers,
                _ => FieldHolds::Strings,
            };
            let column = label.column(Side::Public).is_some();
            (path(*label)?, holds, column, !Key::Label(*label).is_public())
        }
        Target::EventName | Target::Path(_) | Target::Free(_) => return None,
    };
    Some(FieldInfo {
        name,
        path,
        holds,
        column,
        personal,
    })
}

/// Where a record has the values of a name.
const fn path(label: Label) -> Option<&'static str> {
    Some(match label {
        Label::Action => "action",
        Label::Operation => "operation",
        Label::Outcome => "outcome",
        Label::OutcomeCode => "outcome_reason.code",
        Label::Severity => "severity",
        Label::ActorType => "actor.type",
        Label::ActorId => "actor.id",
        Label::ActorName => "actor.name",
        Label::ActorEmail => "actor.email",
        Label::ActorCredential => "actor.credential_id",
        Label::BehalfType => "actor.on_behalf_of.type",
        Label::BehalfId => "actor.on_behalf_of.id",
        Label::BehalfName => "actor.on_behalf_of.name",
        Label::BehalfEmail => "actor.on_behalf_of.email",
        Label::TargetType => "targets.type",
        Label::TargetId => "targets.id",
        Label::TargetName => "targets.name",
        Label::SubjectType => "data_subjects.type",
        Label::SubjectId => "data_subjects.id",
        Label::Ip => "context.ip",
        Label::Host => "context.host",
        Label::UserAgent => "context.user_agent",
        Label::Location => "context.location",
        Label::SessionId => "context.session_id",
        Label::RequestId => "context.request_id",
        Label::TraceId => "context.trace_id",
        Label::SpanId => "context.span_id",
        Label::HttpMethod => "context.http.method",
        Label::HttpPath => "context.http.path",
        Label::HttpStatus => "context.http.status",
        Label::Service => "source.service",
        Label::SourceVersion => "source.version",
        Label::SourceInstance => "source.instance",
        Label::Environment => "source.environment",
        Label::ChangePath => "changes.path",
        Label::Classification => "classification",
        Label::DataCategory => "data_categories",
        Label::IdempotencyKey => "idempotency_key",
        Label::Credential => "credential",
        Label::Protocol => "protocol",
        Label::Kind => "kind",
        Label::Class => "class",
        Label::Json | Label::Metadata => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_a_name_of_its_own_field() {
        for field in fields() {
            let own = find_field(field.path).unwrap_or_else(|| panic!("{field:?}"));
            assert_eq!(
                (own.path, own.holds, own.column),
                (field.path, field.holds, field.column)
            );
        }
    }

    #[test]
    fn aliases_lead_to_paths_and_fields() {
        let ip = find_field("source.ip").unwrap();
        assert_eq!(
            (ip.path, ip.holds, ip.column, ip.personal),
            ("context.ip", FieldHolds::Addresses, true, true)
        );
        assert!(!find_field("actor.name").unwrap().column);
        assert!(!find_field("action").unwrap().personal);
        assert_eq!(find_field("metadata.x"), None);
        assert_eq!(find_path("labels.x").as_deref(), Some("metadata.x"));
        assert_eq!(find_path("action"), None);
    }
}
