//! The leaves: fields of an event that can be taken out of its public part, and their JSON pointers.
//!
//! Everything else (types, action, outcome, times, codes) stays public, so that a record without its personal
//! groups still says what happened.

use std::borrow::Cow;

use super::{Event, Raw, Text};
use crate::json::pointer;

/// A field that can be personal. Fields in arrays need an index beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Leaf {
    OutcomeMessage,
    ActorId,
    ActorName,
    ActorEmail,
    ActorCredential,
    BehalfId,
    BehalfName,
    BehalfEmail,
    TargetId,
    TargetName,
    TargetAttributes,
    Ip,
    Host,
    UserAgent,
    Location,
    SessionId,
    RequestId,
    TraceId,
    SpanId,
    HttpPath,
    SourceInstance,
    Justification,
    ChangeOld,
    ChangeNew,
    SubjectId,
    Metadata,
    Payload,
}

/// Number of leaves.
pub(crate) const LEAVES: usize = 27;

const _: () = assert!(Leaf::Payload as usize + 1 == LEAVES);

/// A leaf of one event, to be set.
pub(crate) enum Place<'e, 'a> {
    Text(&'e mut Option<Text<'a>>),
    Raw(&'e mut Option<Raw<'a>>),
}

/// A pointer, resolved: a leaf, its index, and the segments beneath it.
pub(crate) struct Located<'p> {
    pub(crate) leaf: Leaf,
    pub(crate) index: usize,
    pub(crate) beneath: Vec<Cow<'p, str>>,
}

impl Leaf {
    /// Every leaf, in schema order.
    pub(crate) const ALL: [Self; LEAVES] = [
        Self::OutcomeMessage,
        Self::ActorId,
        Self::ActorName,
        Self::ActorEmail,
        Self::ActorCredential,
        Self::BehalfId,
        Self::BehalfName,
        Self::BehalfEmail,
        Self::TargetId,
        Self::TargetName,
        Self::TargetAttributes,
        Self::Ip,
        Self::Host,
        Self::UserAgent,
        Self::Location,
        Self::SessionId,
        Self::RequestId,
        Self::TraceId,
        Self::SpanId,
        Self::HttpPath,
        Self::SourceInstance,
        Self::Justification,
        Self::ChangeOld,
        Self::ChangeNew,
        Self::SubjectId,
        Self::Metadata,
        Self::Payload,
    ];

    /// Returns the pointer in two parts; an index stands between them where the second is not empty.
    pub(crate) const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::OutcomeMessage => ("/outcome_reason/message", ""),
            Self::ActorId => ("/actor/id", ""),
            Self::ActorName => ("/actor/name", ""),
            Self::ActorEmail => ("/actor/email", ""),
            Self::ActorCredential => ("/actor/credential_id", ""),
            Self::BehalfId => ("/actor/on_behalf_of/id", ""),
            Self::BehalfName => ("/actor/on_behalf_of/name", ""),
            Self::BehalfEmail => ("/actor/on_behalf_of/email", ""),
            Self::TargetId => ("/targets/", "/id"),
            Self::TargetName => ("/targets/", "/name"),
            Self::TargetAttributes => ("/targets/", "/attributes"),
            Self::Ip => ("/context/ip", ""),
            Self::Host => ("/context/host", ""),
            Self::UserAgent => ("/context/user_agent", ""),
            Self::Location => ("/context/location", ""),
            Self::SessionId => ("/context/session_id", ""),
            Self::RequestId => ("/context/request_id", ""),
            Self::TraceId => ("/context/trace_id", ""),
            Self::SpanId => ("/context/span_id", ""),
            Self::HttpPath => ("/context/http/path", ""),
            Self::SourceInstance => ("/source/instance", ""),
            Self::Justification => ("/justification", ""),
            Self::ChangeOld => ("/changes/", "/old"),
            Self::ChangeNew => ("/changes/", "/new"),
            Self::SubjectId => ("/data_subjects/", "/id"),
            Self::Metadata => ("/metadata", ""),
            Self::Payload => ("/payload", ""),
        }
    }

    /// Tells whether the value is free-form JSON, so that claims may reach inside it.
    pub(crate) const fn is_free_form(self) -> bool {
        matches!(
            self,
            Self::TargetAttributes | Self::ChangeOld | Self::ChangeNew | Self::Metadata | Self::Payload
        )
    }

    /// Tells whether it names somebody or something: what it says tells one from the other.
    pub(crate) const fn is_id(self) -> bool {
        matches!(
            self,
            Self::ActorId | Self::BehalfId | Self::TargetId | Self::SubjectId
        )
    }

    /// Tells whether its text has a form that is checked.
    pub(crate) const fn has_form(self) -> bool {
        matches!(self, Self::Ip | Self::TraceId | Self::SpanId)
    }

    /// Returns the pointer of the leaf at an index.
    pub(crate) fn pointer(self, index: usize) -> Cow<'static, str> {
        match self.parts() {
            (whole, "") => Cow::Borrowed(whole),
            (before, after) => Cow::Owned(format!("{before}{index}{after}")),
        }
    }

    /// Returns the pointer with `*` for an index.
    pub(crate) fn pattern_pointer(self) -> String {
        match self.parts() {
            (whole, "") => whole.to_owned(),
            (before, after) => format!("{before}*{after}"),
        }
    }

    /// Returns the field's name.
    pub(crate) fn name(self) -> &'static str {
        let (before, after) = self.parts();
        let part = if after.is_empty() { before } else { after };
        part.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the segments of the pointer, with `*` for an index.
    pub(crate) fn pattern(self) -> Vec<&'static str> {
        let (before, after) = self.parts();
        let index = if after.is_empty() { None } else { Some("*") };
        before
            .split('/')
            .chain(index)
            .chain(after.split('/'))
            .filter(|segment| !segment.is_empty())
            .collect()
    }

    /// Finds the leaf that a pointer names or reaches into.
    pub(crate) fn locate(text: &str) -> Option<Located<'_>> {
        for leaf in Self::ALL {
            let (before, after) = leaf.parts();
            let Some(mut rest) = text.strip_prefix(before) else {
                continue;
            };
            let mut index = 0;
            if !after.is_empty() {
                let digits = rest.split('/').next().unwrap_or_default();
                let Some(number) = pointer::index(digits) else {
                    continue;
                };
                let Some(beneath) = rest[digits.len()..].strip_prefix(after) else {
                    continue;
                };
                (index, rest) = (number, beneath);
            }
            if rest.is_empty() {
                return Some(Located {
                    leaf,
                    index,
                    beneath: Vec::new(),
                });
            }
            if leaf.is_free_form() && rest.starts_with('/') {
                return Some(Located {
                    leaf,
                    index,
                    beneath: pointer::segments(rest)?,
                });
            }
        }
        None
    }
}

impl<'a> Event<'a> {
    /// Returns the place of a leaf; `None` when the event has no element or object that would hold it.
    pub(crate) fn place(&mut self, leaf: Leaf, index: usize) -> Option<Place<'_, 'a>> {
        Some(match leaf {
            Leaf::OutcomeMessage => Place::Text(&mut self.outcome_reason.get_or_insert_default().message),
            Leaf::ActorId => Place::Text(&mut self.actor.id),
            Leaf::ActorName => Place::Text(&mut self.actor.name),
            Leaf::ActorEmail => Place::Text(&mut self.actor.email),
            Leaf::ActorCredential => Place::Text(&mut self.actor.credential_id),
            Leaf::BehalfId => Place::Text(&mut self.actor.on_behalf_of.as_mut()?.id),
            Leaf::BehalfName => Place::Text(&mut self.actor.on_behalf_of.as_mut()?.name),
            Leaf::BehalfEmail => Place::Text(&mut self.actor.on_behalf_of.as_mut()?.email),
            Leaf::TargetId => Place::Text(&mut self.targets.get_mut(index)?.id),
            Leaf::TargetName => Place::Text(&mut self.targets.get_mut(index)?.name),
            Leaf::TargetAttributes => Place::Raw(&mut self.targets.get_mut(index)?.attributes),
            Leaf::Ip => Place::Text(&mut self.context.ip),
            Leaf::Host => Place::Text(&mut self.context.host),
            Leaf::UserAgent => Place::Text(&mut self.context.user_agent),
            Leaf::Location => Place::Text(&mut self.context.location),
            Leaf::SessionId => Place::Text(&mut self.context.session_id),
            Leaf::RequestId => Place::Text(&mut self.context.request_id),
            Leaf::TraceId => Place::Text(&mut self.context.trace_id),
            Leaf::SpanId => Place::Text(&mut self.context.span_id),
            Leaf::HttpPath => Place::Text(&mut self.context.http.get_or_insert_default().path),
            Leaf::SourceInstance => Place::Text(&mut self.source.instance),
            Leaf::Justification => Place::Text(&mut self.justification),
            Leaf::ChangeOld => Place::Raw(&mut self.changes.get_mut(index)?.old),
            Leaf::ChangeNew => Place::Raw(&mut self.changes.get_mut(index)?.new),
            Leaf::SubjectId => Place::Text(&mut self.data_subjects.get_mut(index)?.id),
            Leaf::Metadata => Place::Raw(&mut self.metadata),
            Leaf::Payload => Place::Raw(&mut self.payload),
        })
    }
}
