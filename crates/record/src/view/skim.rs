//! The values of groups in one pass over bytes that are known to be the encoder's.
//!
//! Indexing reads every record's groups right after they were authenticated. Checking their JSON once more, name by
//! name and number by number, would cost more than taking the values. So this reader tells tokens apart and gives up
//! (`None`) on whatever the encoder does not write: the strict reader decides then, and says what is wrong.

use super::fields::FieldValues;
use crate::event::{Classification, Operation, Outcome, Raw, Severity, Text, time};
use crate::json::escape::{next_special, unescape};

/// What a public group says.
pub(super) struct Skimmed<'a> {
    pub(super) values: FieldValues<'a>,
    pub(super) withheld: Vec<Text<'a>>,
}

/// Takes the values of the public group of an event.
pub(super) fn public(bytes: &[u8]) -> Option<Skimmed<'_>> {
    let mut skim = Skim::new(bytes)?;
    let mut values = FieldValues::default();
    let mut withheld = Vec::new();
    let (mut version, mut event) = (false, false);
    skim.object(|skim, name| {
        match name {
            "v" => version = skim.raw()? == VERSION,
            "id" | "tenant" | "privacy" => drop(skim.raw()?),
            "protocol" => values.protocol = Some(skim.string()?),
            "credential" => values.credential_id = Some(skim.string()?),
            "withheld" => skim.array(|skim| {
                withheld.push(skim.string()?);
                Some(())
            })?,
            "event" => {
                event = true;
                self::event(skim, &mut values)?;
            }
            _ => return None,
        }
        Some(())
    })?;
    let complete = version && event && values.protocol.is_some() && values.credential_id.is_some();
    (complete && skim.is_at_end()).then_some(Skimmed { values, withheld })
}

/// Takes the pointers and values of a personal group.
pub(super) fn personal(bytes: &[u8]) -> Option<Vec<(Text<'_>, Raw<'_>)>> {
    let mut skim = Skim::new(bytes)?;
    let mut fields = Vec::new();
    let (mut version, mut complete) = (false, 0);
    skim.object(|skim, name| {
        match name {
            "v" => version = skim.raw()? == VERSION,
            "subjects" => {
                complete += 1;
                skim.raw()?;
            }
            "fields" => {
                complete += 1;
                skim.members(|skim, pointer| {
                    fields.push((pointer, Raw(Text::Borrowed(skim.raw()?))));
                    Some(())
                })?;
            }
            _ => return None,
        }
        Some(())
    })?;
    (version && complete == 2 && skim.is_at_end()).then_some(fields)
}

/// Version of the format of groups.
const VERSION: &str = "1";

fn event<'a>(skim: &mut Skim<'a>, values: &mut FieldValues<'a>) -> Option<()> {
    values.outcome = Some(Outcome::default());
    skim.object(|skim, name| {
        match name {
            "idempotency_key" => values.idempotency_key = Some(skim.string()?),
            "occurred_at" => values.occurred_at_ns = Some(time::parse_rfc3339(skim.plain()?).ok()?),
            "action" => values.action = Some(skim.string()?),
            "operation" => values.operation = Some(Operation::from_name(skim.plain()?)?),
            "outcome" => values.outcome = Some(Outcome::from_name(skim.plain()?)?),
            "outcome_reason" => skim.object(|skim, name| {
                match name {
                    "code" => values.outcome_code = Some(skim.string()?),
                    "message" => values.outcome_message = Some(skim.string()?),
                    _ => return None,
                }
                Some(())
            })?,
            "severity" => values.severity = Some(Severity::from_name(skim.plain()?)?),
            "actor" => actor(skim, values)?,
            "targets" => skim.array(|skim| target(skim, values))?,
            "context" => context(skim, values)?,
            "source" => skim.object(|skim, name| {
                match name {
                    "service" => values.source_service = Some(skim.string()?),
                    "version" => values.source_version = Some(skim.string()?),
                    "instance" => values.source_instance = Some(skim.string()?),
                    "environment" => values.environment = Some(skim.string()?),
                    _ => return None,
                }
                Some(())
            })?,
            "justification" => values.justification = Some(skim.string()?),
            "changes" => skim.array(|skim| change(skim, values))?,
            "data_subjects" => skim.array(|skim| data_subject(skim, values))?,
            "classification" => values.classification = Some(Classification::from_name(skim.plain()?)?),
            "data_categories" => skim.array(|skim| {
                values.data_categories.push(skim.string()?);
                Some(())
            })?,
            "metadata" => values.metadata = Some(skim.free_object()?),
            "payload" => values.payload = Some(skim.free_form()?),
            _ => return None,
        }
        Some(())
    })?;
    let action = values.action.as_deref()?;
    if values.operation.is_none() {
        values.operation = Some(Operation::of_action(action));
    }
    values.actor_type.is_some().then_some(())
}

fn actor<'a>(skim: &mut Skim<'a>, values: &mut FieldValues<'a>) -> Option<()> {
    skim.object(|skim, name| {
        match name {
            "type" => values.actor_type = Some(skim.string()?),
            "id" => values.actor_id = Some(skim.string()?),
            "name" => values.actor_name = Some(skim.string()?),
            "email" => values.actor_email = Some(skim.string()?),
            "credential_id" => values.actor_credential_id = Some(skim.string()?),
            "on_behalf_of" => {
                skim.object(|skim, name| {
                    match name {
                        "type" => values.on_behalf_of_type = Some(skim.string()?),
                        "id" => values.on_behalf_of_id = Some(skim.string()?),
                        "name" => values.on_behalf_of_name = Some(skim.string()?),
                        "email" => values.on_behalf_of_email = Some(skim.string()?),
                        _ => return None,
                    }
                    Some(())
                })?;
                values.on_behalf_of_type.as_ref()?;
            }
            _ => return None,
        }
        Some(())
    })
}

fn target<'a>(skim: &mut Skim<'a>, values: &mut FieldValues<'a>) -> Option<()> {
    let before = values.target_types.len();
    skim.object(|skim, name| {
        match name {
            "type" => values.target_types.push(skim.string()?),
            "id" => values.target_ids.push(skim.string()?),
            "name" => values.target_names.push(skim.string()?),
            "attributes" => values.target_attributes.push(skim.free_object()?),
            _ => return None,
        }
        Some(())
    })?;
    (values.target_types.len() == before + 1).then_some(())
}

fn context<'a>(skim: &mut Skim<'a>, values: &mut FieldValues<'a>) -> Option<()> {
    skim.object(|skim, name| {
        match name {
            "ip" => values.ip = Some(skim.plain()?.parse().ok()?),
            "host" => values.host = Some(skim.string()?),
            "user_agent" => values.user_agent = Some(skim.string()?),
            "location" => values.location = Some(skim.string()?),
            "session_id" => values.session_id = Some(skim.string()?),
            "request_id" => values.request_id = Some(skim.string()?),
            "trace_id" => values.trace_id = Some(skim.hex()?),
            "span_id" => values.span_id = Some(skim.hex()?),
            "http" => skim.object(|skim, name| {
                match name {
                    "method" => values.http_method = Some(skim.string()?),
                    "path" => values.http_path = Some(skim.string()?),
                    "status" => values.http_status = Some(skim.raw()?.parse().ok()?),
                    _ => return None,
                }
                Some(())
            })?,
            _ => return None,
        }
        Some(())
    })
}

fn change<'a>(skim: &mut Skim<'a>, values: &mut FieldValues<'a>) -> Option<()> {
    let before = values.change_paths.len();
    skim.object(|skim, name| {
        match name {
            "path" => values.change_paths.push(skim.string()?),
            "old" | "new" => values.change_values.push(Raw(Text::Borrowed(skim.raw()?))),
            _ => return None,
        }
        Some(())
    })?;
    (values.change_paths.len() == before + 1).then_some(())
}

fn data_subject<'a>(skim: &mut Skim<'a>, values: &mut FieldValues<'a>) -> Option<()> {
    let before = values.subject_types.len();
    skim.object(|skim, name| {
        match name {
            "type" => values.subject_types.push(skim.string()?),
            "id" => values.subject_ids.push(skim.string()?),
            "fields" => drop(skim.raw()?),
            _ => return None,
        }
        Some(())
    })?;
    (values.subject_types.len() == before + 1).then_some(())
}

/// A place in the encoder's JSON, which has no white space between tokens.
struct Skim<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Skim<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        Some(Self { text, at: 0 })
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    #[inline]
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes a byte, which must be this one.
    #[inline]
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Takes an object; calls `member` with each name, which holds no escapes, before its value.
    #[inline]
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.members(|skim, name| match name {
            Text::Borrowed(name) => member(skim, name),
            Text::Owned(_) => None,
        })
    }

    /// As [`Skim::object`], with any names.
    #[inline]
    fn members(&mut self, mut member: impl FnMut(&mut Self, Text<'a>) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.next()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.take(b':')?;
            member(self, name)?;
            if !self.goes_on(b'}')? {
                return Some(());
            }
        }
    }

    /// Takes an array; calls `element` before each value.
    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.next()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            element(self)?;
            if !self.goes_on(b']')? {
                return Some(());
            }
        }
    }

    /// Takes a comma (true) or the closing bracket (false).
    #[inline]
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        let byte = self.next()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            _ => (byte == close).then_some(false),
        }
    }

    /// Takes a string.
    #[inline]
    fn string(&mut self) -> Option<Text<'a>> {
        let (inside, escaped) = self.inside()?;
        if escaped {
            unescape(inside).ok().map(Text::Owned)
        } else {
            Some(Text::Borrowed(inside))
        }
    }

    /// Takes a string without escapes.
    fn plain(&mut self) -> Option<&'a str> {
        let (inside, escaped) = self.inside()?;
        (!escaped).then_some(inside)
    }

    /// Takes hex digits as they are kept, in lower case.
    fn hex(&mut self) -> Option<Text<'a>> {
        let text = self.plain()?;
        let kept = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        kept.then_some(Text::Borrowed(text))
    }

    /// Takes a string; returns its inside and whether that holds escapes.
    #[inline]
    fn inside(&mut self) -> Option<(&'a str, bool)> {
        self.take(b'"')?;
        let from = self.at;
        let mut escaped = false;
        loop {
            self.at = next_special(self.text.as_bytes(), self.at);
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => return None,
            }
        }
        let inside = self.text.get(from..self.at)?;
        self.at += 1;
        Some((inside, escaped))
    }

    /// Takes a free-form value that is no `null`.
    fn free_form(&mut self) -> Option<Raw<'a>> {
        let raw = self.raw()?;
        (raw != "null").then_some(Raw(Text::Borrowed(raw)))
    }

    /// Takes a free-form object.
    fn free_object(&mut self) -> Option<Raw<'a>> {
        if self.next()? != b'{' {
            return None;
        }
        self.raw().map(|raw| Raw(Text::Borrowed(raw)))
    }

    /// Passes a value; returns its text.
    fn raw(&mut self) -> Option<&'a str> {
        let from = self.at;
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'"' => {
                    self.inside()?;
                    if depth == 0 {
                        break;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                    if depth == 0 {
                        break;
                    }
                }
                b',' | b'}' | b']' if depth == 0 => break,
                0..=b' ' => return None,
                _ => self.at += 1,
            }
        }
        self.text.get(from..self.at).filter(|text| !text.is_empty())
    }
}
