//! The values of a record that an index needs, typed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::open::{BodyKind, each_field, open_with};
use super::rebuild::string;
use super::{ViewError, misfit, skim};
use crate::event::leaf::{Leaf, Located};
use crate::event::{
    Classification, ErrorCode, Event, EventError, Operation, Outcome, Raw, Severity, Text, read_stored,
};
use crate::json::escape::push_string;
use crate::json::pointer;
use crate::json::reader::{Fail, Reader};

/// Field values of a record, apart by whether they come from the public group or from personal ones.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    /// From the public group.
    pub public: FieldValues<'a>,
    /// From the personal groups given.
    pub personal: FieldValues<'a>,
}

/// What an index needs of a record. Every field is optional: a value stands either in the public or in the
/// personal half of [`Fields`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FieldValues<'a> {
    /// Nanoseconds since 1970; the time of receipt stands in when absent.
    pub occurred_at_ns: Option<i64>,
    /// `action`.
    pub action: Option<Text<'a>>,
    /// `operation`.
    pub operation: Option<Operation>,
    /// `outcome`.
    pub outcome: Option<Outcome>,
    /// `outcome_reason.code`.
    pub outcome_code: Option<Text<'a>>,
    /// `outcome_reason.message`.
    pub outcome_message: Option<Text<'a>>,
    /// `severity`.
    pub severity: Option<Severity>,
    /// `actor.type`.
    pub actor_type: Option<Text<'a>>,
    /// `actor.id`.
    pub actor_id: Option<Text<'a>>,
    /// `actor.name`.
    pub actor_name: Option<Text<'a>>,
    /// `actor.email`.
    pub actor_email: Option<Text<'a>>,
    /// `actor.credential_id`.
    pub actor_credential_id: Option<Text<'a>>,
    /// `actor.on_behalf_of.type`.
    pub on_behalf_of_type: Option<Text<'a>>,
    /// `actor.on_behalf_of.id`.
    pub on_behalf_of_id: Option<Text<'a>>,
    /// `actor.on_behalf_of.name`.
    pub on_behalf_of_name: Option<Text<'a>>,
    /// `actor.on_behalf_of.email`.
    pub on_behalf_of_email: Option<Text<'a>>,
    /// `targets[].type`.
    pub target_types: Vec<Text<'a>>,
    /// `targets[].id`.
    pub target_ids: Vec<Text<'a>>,
    /// `targets[].name`.
    pub target_names: Vec<Text<'a>>,
    /// `targets[].attributes`, each a JSON object or a part of one.
    pub target_attributes: Vec<Raw<'a>>,
    /// `data_subjects[].type`.
    pub subject_types: Vec<Text<'a>>,
    /// `data_subjects[].id`.
    pub subject_ids: Vec<Text<'a>>,
    /// `context.ip`.
    pub ip: Option<IpAddr>,
    /// `context.host`.
    pub host: Option<Text<'a>>,
    /// `context.user_agent`.
    pub user_agent: Option<Text<'a>>,
    /// `context.location`.
    pub location: Option<Text<'a>>,
    /// `context.session_id`.
    pub session_id: Option<Text<'a>>,
    /// `context.request_id`.
    pub request_id: Option<Text<'a>>,
    /// `context.trace_id`.
    pub trace_id: Option<Text<'a>>,
    /// `context.span_id`.
    pub span_id: Option<Text<'a>>,
    /// `context.http.method`.
    pub http_method: Option<Text<'a>>,
    /// `context.http.path`.
    pub http_path: Option<Text<'a>>,
    /// `context.http.status`.
    pub http_status: Option<u16>,
    /// `source.service`.
    pub source_service: Option<Text<'a>>,
    /// `source.version`.
    pub source_version: Option<Text<'a>>,
    /// `source.instance`.
    pub source_instance: Option<Text<'a>>,
    /// `source.environment`.
    pub environment: Option<Text<'a>>,
    /// `justification`.
    pub justification: Option<Text<'a>>,
    /// `changes[].path`.
    pub change_paths: Vec<Text<'a>>,
    /// `changes[].old` and `changes[].new`.
    pub change_values: Vec<Raw<'a>>,
    /// `classification`.
    pub classification: Option<Classification>,
    /// `data_categories[]`.
    pub data_categories: Vec<Text<'a>>,
    /// `idempotency_key`.
    pub idempotency_key: Option<Text<'a>>,
    /// `metadata`, a JSON object; what is personal inside it shows as `null` in the public half and stands
    /// alone, at its place, in the personal half.
    pub metadata: Option<Raw<'a>>,
    /// `payload`, as `metadata`; any JSON value.
    pub payload: Option<Raw<'a>>,
    /// Ingest protocol.
    pub protocol: Option<Text<'a>>,
    /// Ingest credential.
    pub credential_id: Option<Text<'a>>,
    /// `type` of a control record; its absence means an event.
    pub control_type: Option<Text<'a>>,
    /// The control object, JSON.
    pub control: Option<Raw<'a>>,
    /// JSON pointers of the personal fields, in schema order; in the public half only.
    pub withheld: Vec<Text<'a>>,
}

/// Extracts what an index needs from a public group and the personal groups that may be read. The bytes were
/// authenticated, or come from the encoder: names that occur twice and numbers are not checked once more.
///
/// # Errors
/// [`ViewError`] when bytes are not groups, or a personal group does not belong to the public one.
pub fn fields<'a>(public: &'a [u8], personal: &[&'a [u8]]) -> Result<Fields<'a>, ViewError> {
    let mut fields = Fields::default();
    let withheld = match skim::public(public) {
        Some(skimmed) => {
            fields.public = skimmed.values;
            skimmed.withheld
        }
        None => strict(public, &mut fields.public)?,
    };
    let mut inside = Inside::default();
    for group in personal {
        // Fields of a group are in the order of the withheld ones, so one walk over these meets them all.
        let mut rest = withheld.iter();
        let mut take = |pointer: &str, value: Raw<'a>| {
            if !rest.any(|withheld| withheld == pointer) {
                return Err(misfit(pointer));
            }
            let located = locate(pointer).ok_or_else(|| misfit(pointer))?;
            fields.personal.take_personal(&located, value, &mut inside)
        };
        match skim::personal(group) {
            Some(values) => values
                .into_iter()
                .try_for_each(|(pointer, value)| take(&pointer, value))?,
            None => each_field(group, |_| (), take)?,
        }
    }
    inside.finish(&mut fields.personal);
    fields.public.withheld = withheld;
    Ok(fields)
}

/// Reads a public group with every check; returns the pointers of what is withheld.
fn strict<'a>(public: &'a [u8], values: &mut FieldValues<'a>) -> Result<Vec<Text<'a>>, ViewError> {
    let (opened, ()) = open_with(public, |reader, kind| {
        match kind {
            BodyKind::Event => {
                let spaces = reader.spaces();
                values.take_event(read_stored(reader)?);
                if reader.spaces() > spaces {
                    let message = "stored bytes hold insignificant white space";
                    return Err(EventError::new(ErrorCode::InvalidValue, message));
                }
            }
            BodyKind::Control => {
                let control = reader.raw()?;
                values.control_type = control_type(control.as_str())?;
                values.control = Some(control);
            }
        }
        Ok(())
    })?;
    values.protocol = Some(opened.protocol);
    values.credential_id = Some(opened.credential_id);
    Ok(opened.withheld)
}

/// Finds the leaf that a pointer names or reaches into; those that most records have without trying all.
fn locate(pointer: &str) -> Option<Located<'_>> {
    let leaf = match pointer {
        "/actor/id" => Leaf::ActorId,
        "/actor/name" => Leaf::ActorName,
        "/actor/email" => Leaf::ActorEmail,
        "/actor/credential_id" => Leaf::ActorCredential,
        "/context/ip" => Leaf::Ip,
        "/context/host" => Leaf::Host,
        "/context/user_agent" => Leaf::UserAgent,
        "/context/session_id" => Leaf::SessionId,
        _ => return Leaf::locate(pointer),
    };
    Some(Located {
        leaf,
        index: 0,
        beneath: Vec::new(),
    })
}

impl<'a> FieldValues<'a> {
    /// Calls `each` for every string of the record that free-text search should find: known text fields, and
    /// leaf strings of metadata, target attributes and changes. Not the payload: see [`leaf_strings`].
    pub fn for_each_text(&self, each: &mut dyn FnMut(&str)) {
        let single = [
            &self.action,
            &self.outcome_code,
            &self.outcome_message,
            &self.actor_type,
            &self.actor_id,
            &self.actor_name,
            &self.actor_email,
            &self.actor_credential_id,
            &self.on_behalf_of_id,
            &self.on_behalf_of_name,
            &self.on_behalf_of_email,
            &self.host,
            &self.user_agent,
            &self.location,
            &self.session_id,
            &self.request_id,
            &self.trace_id,
            &self.http_path,
            &self.source_service,
            &self.source_instance,
            &self.environment,
            &self.justification,
        ];
        single.into_iter().flatten().for_each(|text| each(text));
        if let Some(ip) = self.ip {
            each(&ip.to_string());
        }
        let lists = [
            &self.target_types,
            &self.target_ids,
            &self.target_names,
            &self.subject_ids,
            &self.change_paths,
            &self.data_categories,
        ];
        lists.into_iter().flatten().for_each(|text| each(text));
        let raws = self
            .target_attributes
            .iter()
            .chain(&self.change_values)
            .chain(&self.metadata);
        raws.for_each(|raw| leaf_strings(raw.as_str(), each));
        if let Some(control) = &self.control {
            leaf_strings(control.as_str(), each);
        }
    }

    /// Returns those strings, one a line.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.for_each_text(&mut |text| {
            out.push_str(text);
            out.push('\n');
        });
        out
    }

    fn take_event(&mut self, event: Event<'a>) {
        self.occurred_at_ns = event.occurred_at_ns;
        self.action = Some(event.action);
        self.operation = Some(event.operation);
        self.outcome = Some(event.outcome);
        if let Some(reason) = event.outcome_reason {
            self.outcome_code = reason.code;
            self.outcome_message = reason.message;
        }
        self.severity = event.severity;
        self.actor_type = Some(event.actor.ty);
        self.actor_id = event.actor.id;
        self.actor_name = event.actor.name;
        self.actor_email = event.actor.email;
        self.actor_credential_id = event.actor.credential_id;
        if let Some(principal) = event.actor.on_behalf_of {
            self.on_behalf_of_type = Some(principal.ty);
            self.on_behalf_of_id = principal.id;
            self.on_behalf_of_name = principal.name;
            self.on_behalf_of_email = principal.email;
        }
        for target in event.targets {
            self.target_types.push(target.ty);
            self.target_ids.extend(target.id);
            self.target_names.extend(target.name);
            self.target_attributes.extend(target.attributes);
        }
        for subject in event.data_subjects {
            self.subject_types.push(subject.ty);
            self.subject_ids.extend(subject.id);
        }
        let context = event.context;
        self.ip = context.ip.and_then(|ip| ip.parse().ok());
        self.host = context.host;
        self.user_agent = context.user_agent;
        self.location = context.location;
        self.session_id = context.session_id;
        self.request_id = context.request_id;
        self.trace_id = context.trace_id;
        self.span_id = context.span_id;
        if let Some(http) = context.http {
            self.http_method = http.method;
            self.http_path = http.path;
            self.http_status = http.status;
        }
        self.source_service = event.source.service;
        self.source_version = event.source.version;
        self.source_instance = event.source.instance;
        self.environment = event.source.environment;
        self.justification = event.justification;
        for change in event.changes {
            self.change_paths.push(change.path);
            self.change_values.extend(change.old);
            self.change_values.extend(change.new);
        }
        self.classification = event.classification;
        self.data_categories = event.data_categories;
        self.idempotency_key = event.idempotency_key;
        self.metadata = event.metadata;
        self.payload = event.payload;
    }

    fn take_personal(&mut self, at: &Located<'_>, value: Raw<'a>, inside: &mut Inside) -> Result<(), Fail> {
        if !at.beneath.is_empty() {
            inside.add(at, value.as_str());
            return Ok(());
        }
        let text = match at.leaf {
            Leaf::TargetAttributes => {
                self.target_attributes.push(value);
                return Ok(());
            }
            Leaf::ChangeOld | Leaf::ChangeNew => {
                self.change_values.push(value);
                return Ok(());
            }
            Leaf::Metadata => {
                self.metadata = Some(value);
                return Ok(());
            }
            Leaf::Payload => {
                self.payload = Some(value);
                return Ok(());
            }
            _ => match value.0 {
                Text::Borrowed(json) => string(json)?,
                Text::Owned(json) => Text::Owned(string(&json)?.into_owned()),
            },
        };
        let place = match at.leaf {
            Leaf::OutcomeMessage => &mut self.outcome_message,
            Leaf::ActorId => &mut self.actor_id,
            Leaf::ActorName => &mut self.actor_name,
            Leaf::ActorEmail => &mut self.actor_email,
            Leaf::ActorCredential => &mut self.actor_credential_id,
            Leaf::BehalfId => &mut self.on_behalf_of_id,
            Leaf::BehalfName => &mut self.on_behalf_of_name,
            Leaf::BehalfEmail => &mut self.on_behalf_of_email,
            Leaf::Host => &mut self.host,
            Leaf::UserAgent => &mut self.user_agent,
            Leaf::Location => &mut self.location,
            Leaf::SessionId => &mut self.session_id,
            Leaf::RequestId => &mut self.request_id,
            Leaf::TraceId => &mut self.trace_id,
            Leaf::SpanId => &mut self.span_id,
            Leaf::HttpPath => &mut self.http_path,
            Leaf::SourceInstance => &mut self.source_instance,
            Leaf::Justification => &mut self.justification,
            Leaf::Ip => {
                self.ip = text.parse().ok();
                return Ok(());
            }
            Leaf::TargetId => {
                self.target_ids.push(text);
                return Ok(());
            }
            Leaf::TargetName => {
                self.target_names.push(text);
                return Ok(());
            }
            Leaf::SubjectId => {
                self.subject_ids.push(text);
                return Ok(());
            }
            Leaf::TargetAttributes | Leaf::ChangeOld | Leaf::ChangeNew | Leaf::Metadata | Leaf::Payload => {
                return Ok(());
            }
        };
        *place = Some(text);
        Ok(())
    }
}

/// Personal parts of free-form values, until they stand together as objects.
#[derive(Default)]
struct Inside {
    values: BTreeMap<(Leaf, usize), Node>,
}

/// A part of a free-form value. Array indices are left out: an index reads arrays as many values.
#[derive(Default)]
struct Node {
    values: Vec<String>,
    members: BTreeMap<String, Self>,
}

impl Inside {
    fn add(&mut self, at: &Located<'_>, json: &str) {
        let mut node = self.values.entry((at.leaf, at.index)).or_default();
        for segment in at
            .beneath
            .iter()
            .filter(|segment| pointer::index(segment).is_none())
        {
            node = node.members.entry(segment.clone().into_owned()).or_default();
        }
        node.values.push(json.to_owned());
    }

    fn finish(self, fields: &mut FieldValues<'_>) {
        for ((leaf, _), node) in self.values {
            let mut out = Vec::new();
            node.write(&mut out);
            let raw = Raw(Text::Owned(String::from_utf8(out).unwrap_or_default()));
            match leaf {
                Leaf::Metadata => fields.metadata = Some(raw),
                Leaf::Payload => fields.payload = Some(raw),
                Leaf::TargetAttributes => fields.target_attributes.push(raw),
                _ => fields.change_values.push(raw),
            }
        }
    }
}

impl Node {
    fn write(&self, out: &mut Vec<u8>) {
        let several = self.values.len() + usize::from(!self.members.is_empty()) > 1;
        if several {
            out.push(b'[');
        }
        out.extend_from_slice(self.values.join(",").as_bytes());
        if !self.members.is_empty() {
            out.extend_from_slice(if self.values.is_empty() { b"{" } else { b",{" });
            for (index, (name, node)) in self.members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_string(out, name);
                out.push(b':');
                node.write(out);
            }
            out.push(b'}');
        }
        if several {
            out.push(b']');
        }
    }
}

/// Calls `each` for every string value (not name) in a JSON text. Stops at the first place that is not JSON.
pub fn leaf_strings(json: &str, each: &mut dyn FnMut(&str)) {
    // What was found before a fault was text of the record all the same.
    drop(strings(&mut Reader::of_text(json, DEPTH_MAX), each, DEPTH_MAX));
}

const DEPTH_MAX: usize = 128;

fn strings(reader: &mut Reader<'_>, each: &mut dyn FnMut(&str), depth: usize) -> Result<(), Fail> {
    match reader.peek() {
        Some(b'"') => each(&reader.string()?),
        Some(b'{') if depth > 0 => reader.object(|reader, _| strings(reader, each, depth - 1))?,
        Some(b'[') if depth > 0 => reader.array(|reader, _| strings(reader, each, depth - 1))?,
        _ => drop(reader.raw()?),
    }
    Ok(())
}

fn control_type<'a>(control: &str) -> Result<Option<Text<'a>>, Fail> {
    let mut ty = None;
    Reader::of_text(control, DEPTH_MAX).object(|reader, name| {
        match name {
            "type" => ty = Some(Text::Owned(reader.string()?.into_owned())),
            _ => drop(reader.raw()?),
        }
        Ok(())
    })?;
    Ok(ty)
}

#[cfg(test)]
mod tests {
    use super::{FieldValues, skim, strict};
    use crate::ids::{RecordId, TenantId};

    /// A public group around an event.
    fn group(event: &str) -> Vec<u8> {
        let (id, tenant) = (RecordId::new(5, [7; 10]), TenantId::from_bytes([1; 16]));
        format!(
            r#"{{"v":1,"id":"{id}","tenant":"{tenant}","protocol":"native","credential":"key_9","privacy":1,"withheld":["/actor/email","/metadata/a\"b"],"event":{event}}}"#
        )
        .into_bytes()
    }

    const FULL: &str = r#"{"idempotency_key":"k\u00e9","occurred_at":"2026-11-22T02:00:00.123456Z","action":"user.create","operation":"read","outcome":"denied","outcome_reason":{"code":"c","message":"m \"quoted\""},"severity":"critical","actor":{"type":"user","id":"u","name":"Ann \u00c4","credential_id":"cr","on_behalf_of":{"type":"service","id":"s","name":"n","email":"e@x"}},"targets":[{"type":"t","id":"1","name":"one","attributes":{"a":[1,{"b":"}]"}],"c":null}},{"type":"u"}],"context":{"ip":"203.0.113.9","host":"h","user_agent":"ua","location":"l","session_id":"se","request_id":"r","trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef","http":{"method":"GET","path":"/p","status":404}},"source":{"service":"s","version":"1","instance":"i","environment":"prod"},"justification":"j","changes":[{"path":"/a","old":1,"new":"x\\"},{"path":"/b","new":null}],"data_subjects":[{"type":"customer","id":"c","fields":["/payload"]}],"classification":"internal","data_categories":["x","y"],"metadata":{"k":"v","n":-1.5e3},"payload":[true,"\\\"",{}]}"#;

    fn both(event: &str) -> (Option<FieldValues<'static>>, Option<FieldValues<'static>>) {
        let bytes: &'static [u8] = group(event).leak();
        let mut values = FieldValues::default();
        let strict = strict(bytes, &mut values).ok().map(|withheld| {
            values.withheld = withheld;
            values
        });
        let skimmed = skim::public(bytes).map(|skimmed| FieldValues {
            withheld: skimmed.withheld,
            ..skimmed.values
        });
        (skimmed, strict)
    }

    #[test]
    fn skimming_takes_what_reading_takes() {
        let (skimmed, strict) = both(FULL);
        assert_eq!(skimmed.unwrap(), strict.unwrap());
        let (skimmed, strict) = both(r#"{"action":"user.delete","actor":{"type":"user"}}"#);
        assert_eq!(skimmed.unwrap(), strict.unwrap());
    }

    #[test]
    fn what_the_encoder_does_not_write_is_left_to_the_strict_reader() {
        for event in [
            r#"{"action":"a.b","actor":{"type":"user"},"unknown":1}"#,
            r#"{"action":"a.b", "actor":{"type":"user"}}"#,
            r#"{"action":"a.b","actor":{"type":"user"},"payload":{"a": 1}}"#,
            r#"{"action":"a.b","actor":{"type":"user"},"payload":null}"#,
            r#"{"action":"a.b","actor":{"type":"user"},"metadata":[]}"#,
            r#"{"action":"a.b","actor":{"type":"user"},"context":{"trace_id":"ABCDEF6789abcdef0123456789abcdef"}}"#,
            r#"{"action":"a.b","actor":{}}"#,
            r#"{"actor":{"type":"user"}}"#,
        ] {
            assert_eq!(both(event).0, None, "{event}");
        }
    }

    #[test]
    fn cut_bytes_are_never_skimmed() {
        let whole = group(FULL);
        assert!(skim::public(&whole).is_some());
        for end in 0..whole.len() {
            assert!(skim::public(&whole[..end]).is_none(), "{end}");
        }
    }
}
