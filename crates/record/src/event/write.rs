//! Writing an event as JSON: known fields in schema order, no white space.
//!
//! The writer asks a [`Divert`] about every leaf, so that encoding (which takes personal leaves out) and rebuilding
//! (which does not) are the same code and cannot disagree about order.

use std::borrow::Cow;

use super::leaf::Leaf;
use super::{
    Actor, Change, Context, DataSubject, Event, Http, OutcomeReason, Raw, Source, Target, Text, time,
};
use crate::json::escape::push_string;

/// Decides about the leaves of an event while it is written.
pub(crate) trait Divert {
    /// Sees a string that no policy can take out of the public part, and returns what to write.
    #[inline]
    fn plain<'t>(&mut self, _plain: &Plain, _index: usize, text: &'t str) -> Cow<'t, str> {
        Cow::Borrowed(text)
    }

    /// Returns true when it took the string or wrote its own version of it. In the second case it has called `field`
    /// to begin.
    fn text(&mut self, leaf: Leaf, index: usize, text: &str, out: &mut Vec<u8>, name: &str) -> bool;

    /// Returns true when it took the value or wrote its own version of it. In the second case it has called
    /// `field` to begin.
    fn raw(&mut self, leaf: Leaf, index: usize, raw: &Raw<'_>, out: &mut Vec<u8>, name: &str) -> bool;
}

/// A string field that is always public: its pointer, in two parts where an index stands between them.
pub(crate) struct Plain(pub(crate) &'static str, pub(crate) &'static str);

impl Plain {
    /// Returns the pointer of the field at an index.
    pub(crate) fn pointer(&self, index: usize) -> String {
        match self {
            Self(before, after) if before.ends_with('/') => format!("{before}{index}{after}"),
            Self(whole, _) => (*whole).to_owned(),
        }
    }

    /// Returns the pointer with `*` for an index.
    pub(crate) fn pattern(&self) -> String {
        match self {
            Self(before, after) if before.ends_with('/') => format!("{before}*{after}"),
            Self(whole, _) => (*whole).to_owned(),
        }
    }

    /// Returns the field's name.
    pub(crate) fn name(&self) -> &'static str {
        let part = if self.1.is_empty() { self.0 } else { self.1 };
        part.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
    }
}

/// The pointers of a subject, which are read as pointers.
pub(crate) const SUBJECT_FIELDS: &str = "/fields";

/// Takes nothing.
pub(crate) struct Keep;

impl Divert for Keep {
    fn text(&mut self, _: Leaf, _: usize, _: &str, _: &mut Vec<u8>, _: &str) -> bool {
        false
    }

    fn raw(&mut self, _: Leaf, _: usize, _: &Raw<'_>, _: &mut Vec<u8>, _: &str) -> bool {
        false
    }
}

impl Event<'_> {
    /// Returns the normalised event: the JSON text with known fields in schema order and defaults filled in.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(1024);
        write(&mut out, self, &mut Keep);
        String::from_utf8(out).expect("an event is written from text")
    }

    /// Returns about how many bytes the event takes when written.
    pub(crate) fn length_hint(&self) -> usize {
        let raw = |raw: &Option<Raw<'_>>| raw.as_ref().map_or(0, |raw| raw.as_str().len());
        let changes = self
            .changes
            .iter()
            .map(|change| 64 + raw(&change.old) + raw(&change.new))
            .sum::<usize>();
        let targets = self
            .targets
            .iter()
            .map(|target| 128 + raw(&target.attributes))
            .sum::<usize>();
        1024 + raw(&self.metadata) + raw(&self.payload) + changes + targets
    }
}

/// Appends the event, an object.
pub(crate) fn write<D: Divert>(out: &mut Vec<u8>, event: &Event<'_>, divert: &mut D) {
    out.push(b'{');
    plain(
        out,
        Plain("/idempotency_key", ""),
        0,
        &event.idempotency_key,
        divert,
    );
    if let Some(ns) = event.occurred_at_ns {
        field(out, "occurred_at");
        time::push_rfc3339(out, ns);
    }
    string(out, Plain("/action", ""), 0, &event.action, divert);
    name(out, "operation", event.operation.as_str());
    name(out, "outcome", event.outcome.as_str());
    if let Some(reason) = &event.outcome_reason {
        outcome_reason(out, reason, divert);
    }
    if let Some(severity) = event.severity {
        name(out, "severity", severity.as_str());
    }
    actor(out, &event.actor, divert);
    array(out, "targets", &event.targets, |out, index, item| {
        target(out, index, item, divert)
    });
    context(out, &event.context, divert);
    source(out, &event.source, divert);
    text(
        out,
        "justification",
        Leaf::Justification,
        0,
        &event.justification,
        divert,
    );
    array(out, "changes", &event.changes, |out, index, item| {
        change(out, index, item, divert)
    });
    array(out, "data_subjects", &event.data_subjects, |out, index, item| {
        subject(out, index, item, divert)
    });
    if let Some(classification) = event.classification {
        name(out, "classification", classification.as_str());
    }
    array(
        out,
        "data_categories",
        &event.data_categories,
        |out, index, category| {
            push_string(
                out,
                &divert.plain(&Plain("/data_categories/", ""), index, category),
            )
        },
    );
    raw(out, "metadata", Leaf::Metadata, 0, &event.metadata, divert);
    raw(out, "payload", Leaf::Payload, 0, &event.payload, divert);
    out.push(b'}');
}

/// Begins a field: a comma unless it is the object's first, the name, a colon.
#[inline]
pub(crate) fn field(out: &mut Vec<u8>, name: &str) {
    if !matches!(out.last(), Some(b'{')) {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn outcome_reason<D: Divert>(out: &mut Vec<u8>, reason: &OutcomeReason<'_>, divert: &mut D) {
    object(out, "outcome_reason", |out| {
        plain(out, Plain("/outcome_reason/code", ""), 0, &reason.code, divert);
        text(out, "message", Leaf::OutcomeMessage, 0, &reason.message, divert);
    });
}

fn actor<D: Divert>(out: &mut Vec<u8>, actor: &Actor<'_>, divert: &mut D) {
    field(out, "actor");
    out.push(b'{');
    string(out, Plain("/actor/type", ""), 0, &actor.ty, divert);
    text(out, "id", Leaf::ActorId, 0, &actor.id, divert);
    text(out, "name", Leaf::ActorName, 0, &actor.name, divert);
    text(out, "email", Leaf::ActorEmail, 0, &actor.email, divert);
    text(
        out,
        "credential_id",
        Leaf::ActorCredential,
        0,
        &actor.credential_id,
        divert,
    );
    if let Some(principal) = &actor.on_behalf_of {
        object(out, "on_behalf_of", |out| {
            string(
                out,
                Plain("/actor/on_behalf_of/type", ""),
                0,
                &principal.ty,
                divert,
            );
            text(out, "id", Leaf::BehalfId, 0, &principal.id, divert);
            text(out, "name", Leaf::BehalfName, 0, &principal.name, divert);
            text(out, "email", Leaf::BehalfEmail, 0, &principal.email, divert);
        });
    }
    out.push(b'}');
}

fn target<D: Divert>(out: &mut Vec<u8>, index: usize, target: &Target<'_>, divert: &mut D) {
    out.push(b'{');
    string(out, Plain("/targets/", "/type"), index, &target.ty, divert);
    text(out, "id", Leaf::TargetId, index, &target.id, divert);
    text(out, "name", Leaf::TargetName, index, &target.name, divert);
    raw(
        out,
        "attributes",
        Leaf::TargetAttributes,
        index,
        &target.attributes,
        divert,
    );
    out.push(b'}');
}

fn context<D: Divert>(out: &mut Vec<u8>, context: &Context<'_>, divert: &mut D) {
    object(out, "context", |out| {
        text(out, "ip", Leaf::Ip, 0, &context.ip, divert);
        text(out, "host", Leaf::Host, 0, &context.host, divert);
        text(out, "user_agent", Leaf::UserAgent, 0, &context.user_agent, divert);
        text(out, "location", Leaf::Location, 0, &context.location, divert);
        text(out, "session_id", Leaf::SessionId, 0, &context.session_id, divert);
        text(out, "request_id", Leaf::RequestId, 0, &context.request_id, divert);
        text(out, "trace_id", Leaf::TraceId, 0, &context.trace_id, divert);
        text(out, "span_id", Leaf::SpanId, 0, &context.span_id, divert);
        if let Some(request) = &context.http {
            http(out, request, divert);
        }
    });
}

fn http<D: Divert>(out: &mut Vec<u8>, http: &Http<'_>, divert: &mut D) {
    object(out, "http", |out| {
        plain(out, Plain("/context/http/method", ""), 0, &http.method, divert);
        text(out, "path", Leaf::HttpPath, 0, &http.path, divert);
        if let Some(status) = http.status {
            field(out, "status");
            out.extend_from_slice(status.to_string().as_bytes());
        }
    });
}

fn source<D: Divert>(out: &mut Vec<u8>, source: &Source<'_>, divert: &mut D) {
    object(out, "source", |out| {
        plain(out, Plain("/source/service", ""), 0, &source.service, divert);
        plain(out, Plain("/source/version", ""), 0, &source.version, divert);
        text(out, "instance", Leaf::SourceInstance, 0, &source.instance, divert);
        plain(
            out,
            Plain("/source/environment", ""),
            0,
            &source.environment,
            divert,
        );
    });
}

fn change<D: Divert>(out: &mut Vec<u8>, index: usize, change: &Change<'_>, divert: &mut D) {
    out.push(b'{');
    string(out, Plain("/changes/", "/path"), index, &change.path, divert);
    raw(out, "old", Leaf::ChangeOld, index, &change.old, divert);
    raw(out, "new", Leaf::ChangeNew, index, &change.new, divert);
    out.push(b'}');
}

fn subject<D: Divert>(out: &mut Vec<u8>, index: usize, subject: &DataSubject<'_>, divert: &mut D) {
    out.push(b'{');
    string(out, Plain("/data_subjects/", "/type"), index, &subject.ty, divert);
    text(out, "id", Leaf::SubjectId, index, &subject.id, divert);
    array(out, "fields", &subject.fields, |out, _, pointer| {
        push_string(
            out,
            &divert.plain(&Plain("/data_subjects/", SUBJECT_FIELDS), index, pointer),
        )
    });
    out.push(b'}');
}

/// Writes an object, or nothing when it would be empty.
fn object(out: &mut Vec<u8>, name: &str, inside: impl FnOnce(&mut Vec<u8>)) {
    let before = out.len();
    field(out, name);
    out.push(b'{');
    let empty = out.len();
    inside(out);
    if out.len() == empty {
        out.truncate(before);
    } else {
        out.push(b'}');
    }
}

/// Writes an array, or nothing when it is empty.
fn array<T>(out: &mut Vec<u8>, name: &str, items: &[T], mut item: impl FnMut(&mut Vec<u8>, usize, &T)) {
    if items.is_empty() {
        return;
    }
    field(out, name);
    out.push(b'[');
    for (index, one) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        item(out, index, one);
    }
    out.push(b']');
}

#[inline]
fn string<D: Divert>(out: &mut Vec<u8>, plain: Plain, index: usize, text: &str, divert: &mut D) {
    field(out, plain.name());
    push_string(out, &divert.plain(&plain, index, text));
}

/// Writes the name of an enumeration's value, which needs no escapes.
fn name(out: &mut Vec<u8>, field_name: &str, value: &str) {
    field(out, field_name);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn plain<D: Divert>(out: &mut Vec<u8>, plain: Plain, index: usize, text: &Option<Text<'_>>, divert: &mut D) {
    if let Some(text) = text {
        string(out, plain, index, text, divert);
    }
}

#[inline]
fn text<D: Divert>(
    out: &mut Vec<u8>,
    name: &str,
    leaf: Leaf,
    index: usize,
    text: &Option<Text<'_>>,
    divert: &mut D,
) {
    if let Some(text) = text
        && !divert.text(leaf, index, text, out, name)
    {
        field(out, name);
        push_string(out, text);
    }
}

#[inline]
fn raw<D: Divert>(
    out: &mut Vec<u8>,
    name: &str,
    leaf: Leaf,
    index: usize,
    raw: &Option<Raw<'_>>,
    divert: &mut D,
) {
    if let Some(raw) = raw
        && !divert.raw(leaf, index, raw, out, name)
    {
        field(out, name);
        out.extend_from_slice(raw.as_str().as_bytes());
    }
}
