//! From received bytes to a checked event.

use super::limits::{DATA_SUBJECTS_MAX, FREE_FORM_DEPTH_MAX};
use super::{
    Actor, Change, Classification, Context, DataSubject, ErrorCode, Event, EventError, Http, Limits,
    Operation, Outcome, OutcomeReason, Principal, Raw, Severity, Source, Target, Text, declared, time,
};
use crate::json::reader::{Fail, Reader};

/// Parses and checks an event. `now_ms` is the server's time, Unix milliseconds.
///
/// # Errors
/// [`EventError`] for the first thing that the model, its rules or `limits` do not allow.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits, now_ms: u64) -> Result<Event<'a>, EventError> {
    let rules = Rules {
        limits,
        stored: false,
    };
    accept(bytes, &rules, now_ms).map_err(|error| *error)
}

/// Parses the public part of a stored event: personal fields may be missing, limits may have changed since.
pub(crate) fn parse_stored(text: &str) -> Result<Event<'_>, Fail> {
    let mut reader = Reader::of_text(text, STORED.free_form_depth_max);
    let event = read_stored(&mut reader)?;
    reader.end()?;
    Ok(event)
}

/// Reads the public part of a stored event where it stands in other JSON.
pub(crate) fn read_stored<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, Fail> {
    let rules = Rules {
        limits: &STORED,
        stored: true,
    };
    event(reader, &rules)
}

/// How to judge what is read.
struct Rules<'l> {
    limits: &'l Limits,
    stored: bool,
}

const STORED: Limits = Limits {
    event_bytes_max: usize::MAX,
    free_form_depth_max: 2 * FREE_FORM_DEPTH_MAX,
    id_bytes_max: usize::MAX,
    name_bytes_max: usize::MAX,
    email_bytes_max: usize::MAX,
    host_bytes_max: usize::MAX,
    user_agent_bytes_max: usize::MAX,
    path_bytes_max: usize::MAX,
    action_bytes_max: usize::MAX,
    justification_bytes_max: usize::MAX,
    reason_message_bytes_max: usize::MAX,
    idempotency_key_bytes_max: usize::MAX,
    targets_max: usize::MAX,
    attributes_bytes_max: usize::MAX,
    changes_max: usize::MAX,
    change_bytes_max: usize::MAX,
    data_subjects_max: usize::MAX,
    subject_fields_max: usize::MAX,
    data_categories_max: usize::MAX,
    metadata_bytes_max: usize::MAX,
    metadata_keys_max: usize::MAX,
    payload_bytes_max: usize::MAX,
    future_ms_max: u64::MAX,
};

/// A text may be this many times as long as its event without white space.
const SPACE_FACTOR_MAX: usize = 4;

fn accept<'a>(bytes: &'a [u8], rules: &Rules<'_>, now_ms: u64) -> Result<Event<'a>, Fail> {
    let most = rules.limits.event_bytes_max;
    let too_large = || {
        EventError::new(
            ErrorCode::EventTooLarge,
            format!("an event has at most {most} bytes"),
        )
    };
    if bytes.len() > most.saturating_mul(SPACE_FACTOR_MAX) {
        return Err(too_large());
    }
    let depth_max = rules.limits.free_form_depth_max.min(FREE_FORM_DEPTH_MAX);
    let mut reader = Reader::new(bytes, depth_max)?;
    let event = event(&mut reader, rules)?;
    reader.end()?;
    if bytes.len() - reader.spaces() > most {
        return Err(too_large());
    }
    if let Some(ns) = event.occurred_at_ns {
        let latest_ms = now_ms.saturating_add(rules.limits.future_ms_max);
        if i128::from(ns) > i128::from(latest_ms) * 1_000_000 {
            let message = "occurred_at is ahead of the server's clock";
            return Err(EventError::new(ErrorCode::OccurredInFuture, message).under("occurred_at"));
        }
    }
    declared::check(&event, depth_max)?;
    Ok(event)
}

fn event<'a>(reader: &mut Reader<'a>, rules: &Rules<'_>) -> Result<Event<'a>, Fail> {
    let limits = rules.limits;
    let mut event = Event::default();
    let mut operation = None;
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "idempotency_key" => {
                seen.once(0)?;
                event.idempotency_key = id(reader, limits.idempotency_key_bytes_max)?;
            }
            "occurred_at" => {
                seen.once(1)?;
                if !reader.null()? {
                    event.occurred_at_ns = Some(time::parse_rfc3339(&reader.string()?)?);
                }
            }
            "action" => {
                seen.once(2)?;
                event.action = action(reader, limits)?;
            }
            "operation" => {
                seen.once(3)?;
                operation = choice(reader, Operation::from_name)?;
            }
            "outcome" => {
                seen.once(4)?;
                event.outcome = choice(reader, Outcome::from_name)?.unwrap_or_default();
            }
            "outcome_reason" => {
                seen.once(5)?;
                event.outcome_reason = optional(reader, |reader| outcome_reason(reader, limits))?;
            }
            "severity" => {
                seen.once(6)?;
                event.severity = choice(reader, Severity::from_name)?;
            }
            "actor" => {
                seen.once(7)?;
                event.actor = actor(reader, rules)?;
            }
            "targets" => {
                seen.once(8)?;
                event.targets = list(reader, limits.targets_max, |reader| target(reader, rules))?;
            }
            "context" => {
                seen.once(9)?;
                event.context = optional(reader, |reader| context(reader, rules))?.unwrap_or_default();
            }
            "source" => {
                seen.once(10)?;
                event.source = optional(reader, |reader| source(reader, limits))?.unwrap_or_default();
            }
            "justification" => {
                seen.once(11)?;
                event.justification = text(reader, limits.justification_bytes_max)?;
            }
            "changes" => {
                seen.once(12)?;
                event.changes = list(reader, limits.changes_max, |reader| change(reader, limits))?;
            }
            "data_subjects" => {
                seen.once(13)?;
                let most = limits.data_subjects_max.min(DATA_SUBJECTS_MAX);
                event.data_subjects = list(reader, most, |reader| data_subject(reader, rules))?;
            }
            "classification" => {
                seen.once(14)?;
                event.classification = choice(reader, Classification::from_name)?;
            }
            "data_categories" => {
                seen.once(15)?;
                event.data_categories = list(reader, limits.data_categories_max, |reader| {
                    required_id(reader, limits.id_bytes_max)
                })?;
            }
            "metadata" => {
                seen.once(16)?;
                event.metadata = free_object(reader, limits.metadata_bytes_max, limits.metadata_keys_max)?;
            }
            "payload" => {
                seen.once(17)?;
                event.payload = optional(reader, |reader| free_form(reader, limits.payload_bytes_max))?;
            }
            "id" | "seq" | "tenant" | "received_at" | "ingest" => {
                return Err(EventError::new(
                    ErrorCode::ServerField,
                    "only the server sets this field",
                ));
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    seen.required(2, "action")?;
    seen.required(7, "actor")?;
    event.operation = operation.unwrap_or_else(|| Operation::of_action(&event.action));
    Ok(event)
}

fn outcome_reason<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<OutcomeReason<'a>, Fail> {
    let mut reason = OutcomeReason::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "code" => {
                seen.once(0)?;
                reason.code = id(reader, limits.id_bytes_max)?;
            }
            "message" => {
                seen.once(1)?;
                reason.message = text(reader, limits.reason_message_bytes_max)?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    Ok(reason)
}

fn actor<'a>(reader: &mut Reader<'a>, rules: &Rules<'_>) -> Result<Actor<'a>, Fail> {
    let limits = rules.limits;
    let mut actor = Actor::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "type" => {
                seen.once(0)?;
                actor.ty = required_id(reader, limits.id_bytes_max)?;
            }
            "id" => {
                seen.once(1)?;
                actor.id = Some(required_id(reader, limits.id_bytes_max)?);
            }
            "name" => {
                seen.once(2)?;
                actor.name = text(reader, limits.name_bytes_max)?;
            }
            "email" => {
                seen.once(3)?;
                actor.email = text(reader, limits.email_bytes_max)?;
            }
            "credential_id" => {
                seen.once(4)?;
                actor.credential_id = id(reader, limits.id_bytes_max)?;
            }
            "on_behalf_of" => {
                seen.once(5)?;
                actor.on_behalf_of = optional(reader, |reader| principal(reader, rules))?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    seen.type_and_id(rules)?;
    Ok(actor)
}

fn principal<'a>(reader: &mut Reader<'a>, rules: &Rules<'_>) -> Result<Principal<'a>, Fail> {
    let limits = rules.limits;
    let mut principal = Principal::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "type" => {
                seen.once(0)?;
                principal.ty = required_id(reader, limits.id_bytes_max)?;
            }
            "id" => {
                seen.once(1)?;
                principal.id = Some(required_id(reader, limits.id_bytes_max)?);
            }
            "name" => {
                seen.once(2)?;
                principal.name = text(reader, limits.name_bytes_max)?;
            }
            "email" => {
                seen.once(3)?;
                principal.email = text(reader, limits.email_bytes_max)?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    seen.type_and_id(rules)?;
    Ok(principal)
}

fn target<'a>(reader: &mut Reader<'a>, rules: &Rules<'_>) -> Result<Target<'a>, Fail> {
    let limits = rules.limits;
    let mut target = Target::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "type" => {
                seen.once(0)?;
                target.ty = required_id(reader, limits.id_bytes_max)?;
            }
            "id" => {
                seen.once(1)?;
                target.id = Some(required_id(reader, limits.id_bytes_max)?);
            }
            "name" => {
                seen.once(2)?;
                target.name = text(reader, limits.name_bytes_max)?;
            }
            "attributes" => {
                seen.once(3)?;
                target.attributes = free_object(reader, limits.attributes_bytes_max, usize::MAX)?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    seen.type_and_id(rules)?;
    Ok(target)
}

fn context<'a>(reader: &mut Reader<'a>, rules: &Rules<'_>) -> Result<Context<'a>, Fail> {
    let limits = rules.limits;
    let mut context = Context::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "ip" => {
                seen.once(0)?;
                context.ip = ip(reader)?;
            }
            "host" => {
                seen.once(1)?;
                context.host = id(reader, limits.host_bytes_max)?;
            }
            "user_agent" => {
                seen.once(2)?;
                context.user_agent = text(reader, limits.user_agent_bytes_max)?;
            }
            "location" => {
                seen.once(3)?;
                context.location = text(reader, limits.name_bytes_max)?;
            }
            "session_id" => {
                seen.once(4)?;
                context.session_id = id(reader, limits.id_bytes_max)?;
            }
            "request_id" => {
                seen.once(5)?;
                context.request_id = id(reader, limits.id_bytes_max)?;
            }
            "trace_id" => {
                seen.once(6)?;
                context.trace_id = hex(reader, 32)?;
            }
            "span_id" => {
                seen.once(7)?;
                context.span_id = hex(reader, 16)?;
            }
            "http" => {
                seen.once(8)?;
                context.http = optional(reader, |reader| http(reader, limits))?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    Ok(context)
}

fn http<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<Http<'a>, Fail> {
    let mut http = Http::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "method" => {
                seen.once(0)?;
                http.method = id(reader, limits.id_bytes_max)?;
            }
            "path" => {
                seen.once(1)?;
                http.path = text(reader, limits.path_bytes_max)?;
            }
            "status" => {
                seen.once(2)?;
                http.status = optional(reader, status)?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    Ok(http)
}

fn source<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<Source<'a>, Fail> {
    let mut source = Source::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        let (bit, field) = match name {
            "service" => (0, &mut source.service),
            "version" => (1, &mut source.version),
            "instance" => (2, &mut source.instance),
            "environment" => (3, &mut source.environment),
            _ => return Err(unknown()),
        };
        seen.once(bit)?;
        *field = id(reader, limits.name_bytes_max)?;
        Ok(())
    })?;
    Ok(source)
}

fn change<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<Change<'a>, Fail> {
    let mut change = Change::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "path" => {
                seen.once(0)?;
                change.path = limited(reader, limits.path_bytes_max)?;
            }
            "old" => {
                seen.once(1)?;
                change.old = Some(free_form(reader, limits.change_bytes_max)?);
            }
            "new" => {
                seen.once(2)?;
                change.new = Some(free_form(reader, limits.change_bytes_max)?);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    seen.required(0, "path")?;
    Ok(change)
}

fn data_subject<'a>(reader: &mut Reader<'a>, rules: &Rules<'_>) -> Result<DataSubject<'a>, Fail> {
    let limits = rules.limits;
    let mut subject = DataSubject::default();
    let mut seen = Seen(0);
    reader.object(|reader, name| {
        match name {
            "type" => {
                seen.once(0)?;
                subject.ty = required_id(reader, limits.id_bytes_max)?;
            }
            "id" => {
                seen.once(1)?;
                subject.id = Some(required_id(reader, limits.id_bytes_max)?);
            }
            "fields" => {
                seen.once(2)?;
                subject.fields = list(reader, limits.subject_fields_max, |reader| {
                    limited(reader, limits.path_bytes_max)
                })?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    })?;
    seen.type_and_id(rules)?;
    Ok(subject)
}

/// The known names of one object that were met.
struct Seen(u32);

impl Seen {
    #[inline]
    fn once(&mut self, bit: u32) -> Result<(), Fail> {
        if self.0 & 1 << bit != 0 {
            return Err(EventError::new(ErrorCode::DuplicateKey, "this name occurs twice"));
        }
        self.0 |= 1 << bit;
        Ok(())
    }

    fn required(&self, bit: u32, name: &str) -> Result<(), Fail> {
        if self.0 & 1 << bit == 0 {
            return Err(EventError::new(ErrorCode::MissingField, "this field is required").under(name));
        }
        Ok(())
    }

    /// Bits 0 and 1 are those of `type` and `id`; the id may have been taken out of a stored event.
    fn type_and_id(&self, rules: &Rules<'_>) -> Result<(), Fail> {
        self.required(0, "type")?;
        if rules.stored {
            Ok(())
        } else {
            self.required(1, "id")
        }
    }
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fail>,
) -> Result<Option<T>, Fail> {
    if reader.null()? {
        Ok(None)
    } else {
        read(reader).map(Some)
    }
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    most: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, Fail>,
) -> Result<Vec<T>, Fail> {
    let mut items = Vec::new();
    if reader.null()? {
        return Ok(items);
    }
    reader.array(|reader, index| {
        if index >= most {
            return Err(EventError::new(
                ErrorCode::TooMany,
                format!("at most {most} elements"),
            ));
        }
        items.push(read(reader)?);
        Ok(())
    })?;
    Ok(items)
}

/// Takes a string of at most `most` bytes without U+0000.
fn limited<'a>(reader: &mut Reader<'a>, most: usize) -> Result<Text<'a>, Fail> {
    let text = reader.string()?;
    check_length(text.len(), most)?;
    // Unescaped text cannot hold control characters.
    if matches!(&text, Text::Owned(text) if text.contains('\0')) {
        return Err(EventError::new(
            ErrorCode::InvalidValue,
            "U+0000 is not allowed here",
        ));
    }
    Ok(text)
}

fn text<'a>(reader: &mut Reader<'a>, most: usize) -> Result<Option<Text<'a>>, Fail> {
    optional(reader, |reader| limited(reader, most))
}

/// Takes an identifying string: not empty, no control characters.
fn required_id<'a>(reader: &mut Reader<'a>, most: usize) -> Result<Text<'a>, Fail> {
    let text = reader.string()?;
    check_length(text.len(), most)?;
    if text.is_empty() || text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(EventError::new(
            ErrorCode::InvalidValue,
            "expected text without control characters",
        ));
    }
    Ok(text)
}

fn id<'a>(reader: &mut Reader<'a>, most: usize) -> Result<Option<Text<'a>>, Fail> {
    optional(reader, |reader| required_id(reader, most))
}

fn choice<T>(reader: &mut Reader<'_>, from_name: fn(&str) -> Option<T>) -> Result<Option<T>, Fail> {
    optional(reader, |reader| {
        let name = reader.string()?;
        from_name(&name)
            .ok_or_else(|| EventError::new(ErrorCode::InvalidValue, "not one of the known values"))
    })
}

fn action<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<Text<'a>, Fail> {
    let action = reader.string()?;
    check_length(action.len(), limits.action_bytes_max)?;
    let part = |part: &[u8]| {
        !part.is_empty()
            && part
                .iter()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    if !action.as_bytes().split(|byte| *byte == b'.').all(part) {
        let message = "an action is lower-case words joined by dots: [a-z0-9_]+(\\.[a-z0-9_]+)*";
        return Err(EventError::new(ErrorCode::InvalidValue, message));
    }
    Ok(action)
}

fn ip<'a>(reader: &mut Reader<'a>) -> Result<Option<Text<'a>>, Fail> {
    optional(reader, |reader| {
        let text = reader.string()?;
        match text.parse::<std::net::IpAddr>() {
            Ok(_) => Ok(text),
            Err(_) => Err(EventError::new(
                ErrorCode::InvalidValue,
                "expected an IPv4 or IPv6 address",
            )),
        }
    })
}

/// Takes hex digits; upper case becomes lower case, as the W3C form has it.
fn hex<'a>(reader: &mut Reader<'a>, length: usize) -> Result<Option<Text<'a>>, Fail> {
    optional(reader, |reader| {
        let text = reader.string()?;
        if text.len() != length || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("expected {length} hex digits");
            return Err(EventError::new(ErrorCode::InvalidValue, message));
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Ok(Text::Owned(text.to_ascii_lowercase()));
        }
        Ok(text)
    })
}

fn status(reader: &mut Reader<'_>) -> Result<u16, Fail> {
    let status = reader.number_u32()?;
    match u16::try_from(status) {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(EventError::new(
            ErrorCode::InvalidValue,
            "expected a status from 100 to 599",
        )),
    }
}

fn free_form<'a>(reader: &mut Reader<'a>, most: usize) -> Result<Raw<'a>, Fail> {
    let raw = reader.raw()?;
    check_length(raw.as_str().len(), most)?;
    Ok(raw)
}

fn free_object<'a>(reader: &mut Reader<'a>, most: usize, keys: usize) -> Result<Option<Raw<'a>>, Fail> {
    match reader.peek() {
        Some(b'{') => {
            let (raw, members) = reader.raw_object()?;
            check_length(raw.as_str().len(), most)?;
            if members > keys {
                return Err(EventError::new(
                    ErrorCode::TooMany,
                    format!("at most {keys} members"),
                ));
            }
            Ok(Some(raw))
        }
        Some(b'n') => reader.null().map(|_| None),
        _ => Err(reader.mismatch("an object")),
    }
}

fn check_length(length: usize, most: usize) -> Result<(), Fail> {
    if length > most {
        return Err(EventError::new(
            ErrorCode::TooLong,
            format!("at most {most} bytes"),
        ));
    }
    Ok(())
}

#[cold]
fn unknown() -> Fail {
    EventError::new(ErrorCode::UnknownField, "the event model has no such field")
}
