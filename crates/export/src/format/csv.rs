//! RFC 4180: a header, then a line for each record, ended by CR LF.
//!
//! Columns are [`COLUMNS`], or what was asked for behind `seq`, `id`, `received_at`, `kind`, `erased`. Strings stand as they are, numbers and
//! booleans as their JSON text, objects and arrays as JSON, what is absent as nothing. A cell that begins with `=`, `+`, `-`, `@` (also in
//! their wide forms), a tab, an end of line or a `'` gets a `'` before it, so that no spreadsheet takes it for a formula, and so that
//! taking it off again gives what there was.

use std::borrow::Cow;

use super::malformed;
use crate::json::{Members, items, string};
use crate::record::rfc3339_ms;
use crate::{Error, Fields, Record};

/// Columns that are always there.
pub(super) const ALWAYS: [&str; 5] = ["seq", "id", "received_at", "kind", "erased"];
/// Columns of the event when none were asked for.
const COLUMNS: [&str; 40] = [
    "occurred_at",
    "action",
    "operation",
    "outcome",
    "outcome_reason.code",
    "outcome_reason.message",
    "severity",
    "actor.type",
    "actor.id",
    "actor.name",
    "actor.email",
    "actor.credential_id",
    "actor.on_behalf_of.type",
    "actor.on_behalf_of.id",
    "actor.on_behalf_of.name",
    "actor.on_behalf_of.email",
    "targets",
    "context.ip",
    "context.host",
    "context.user_agent",
    "context.location",
    "context.session_id",
    "context.request_id",
    "context.trace_id",
    "context.span_id",
    "context.http.method",
    "context.http.path",
    "context.http.status",
    "source.service",
    "source.version",
    "source.instance",
    "source.environment",
    "justification",
    "changes",
    "data_subjects",
    "classification",
    "data_categories",
    "idempotency_key",
    "metadata",
    "payload",
];
/// Where the object of a control record goes.
pub(super) const CONTROL: &str = "control";

pub(super) struct Csv {
    pub(super) columns: Vec<String>,
    line: csv::WriterBuilder,
}

impl Csv {
    pub(super) fn new(fields: Option<&Fields>) -> Self {
        let columns = match fields {
            None => COLUMNS.iter().map(|name| (*name).to_owned()).collect(),
            Some(fields) => {
                let asked = fields.paths().iter();
                asked
                    .filter(|path| !ALWAYS.contains(&path.as_str()))
                    .cloned()
                    .collect()
            }
        };
        let mut line = csv::WriterBuilder::new();
        line.terminator(csv::Terminator::CRLF).has_headers(false);
        Self { columns, line }
    }

    pub(super) fn begin(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let names = ALWAYS
            .iter()
            .copied()
            .chain(self.columns.iter().map(String::as_str));
        self.write(names.chain([CONTROL]).map(Cow::Borrowed), out)
    }

    pub(super) fn record(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let malformed = |error| malformed(record, &error);
        let is_event = record.kind == "event";
        let event = match is_event {
            true => Members::of(record.event).map_err(malformed)?,
            false => Members::default(),
        };
        let mut cells: Vec<Cow<'_, str>> = Vec::with_capacity(ALWAYS.len() + self.columns.len() + 1);
        cells.push(record.seq.to_string().into());
        cells.push(record.id.into());
        cells.push(rfc3339_ms(record.received_at_ms).into());
        cells.push(record.kind.into());
        cells.push(if record.erased { "true" } else { "" }.into());
        let mut nested: Vec<(&str, Members<'_>)> = Vec::new();
        for column in &self.columns {
            cells.push(cell(&event, &mut nested, column).map_err(malformed)?);
        }
        cells.push(if is_event { "" } else { record.event }.into());
        self.write(cells.into_iter(), out)
    }

    fn write<'a>(&self, cells: impl Iterator<Item = Cow<'a, str>>, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut writer = self.line.from_writer(out);
        let written = cells
            .map(safe)
            .try_for_each(|cell| writer.write_field(cell.as_bytes()))
            .and_then(|()| writer.write_record(None::<&[u8]>))
            .and_then(|()| Ok(writer.flush()?));
        written.map_err(|error: csv::Error| Error::Writer(error.to_string()))
    }
}

/// The text of a column. What is inside of arrays is a JSON array of what each item has.
pub(super) fn cell<'a, 'c>(
    event: &Members<'a>,
    nested: &mut Vec<(&'c str, Members<'a>)>,
    column: &'c str,
) -> serde_json::Result<Cow<'a, str>> {
    if let Some(value) = event.get(column) {
        return Ok(text(value));
    }
    let Some((parent, name)) = column.rsplit_once('.') else {
        return Ok(Cow::Borrowed(""));
    };
    // No name in these objects has a dot, and neither has one of the event itself: what is met by its name is all there is.
    let plain = ["actor.", "context.", "source."]
        .iter()
        .any(|begin| column.starts_with(begin));
    if plain || !parent.contains('.') {
        // Objects are read once for all of their columns.
        if !nested.iter().any(|(known, _)| *known == parent) {
            let members = match parent.split_once('.') {
                None => event.inside(parent)?,
                Some((first, second)) => event.inside(first)?.inside(second)?,
            };
            nested.push((parent, members));
        }
        let known = nested.iter().find(|(known, _)| *known == parent);
        if let Some(value) = known.and_then(|(_, members)| members.get(name)) {
            return Ok(text(value));
        }
    }
    let mut found = Vec::new();
    if !plain {
        walk(event, column, &mut found)?;
    }
    Ok(match found.as_slice() {
        [] => Cow::Borrowed(""),
        [
            Found {
                value,
                in_array: false,
            },
        ] => text(value),
        found => {
            let values: Vec<&str> = found.iter().map(|found| found.value).collect();
            Cow::Owned(format!("[{}]", values.join(",")))
        }
    })
}

/// A value at a path.
struct Found<'a> {
    value: &'a str,
    in_array: bool,
}

/// Finds what a path leads to; names may have dots of their own.
fn walk<'a>(members: &Members<'a>, path: &str, found: &mut Vec<Found<'a>>) -> serde_json::Result<()> {
    for (name, value) in &members.0 {
        let value = value.get();
        if name == path {
            found.push(Found {
                value,
                in_array: false,
            });
            continue;
        }
        let Some(rest) = path.strip_prefix(&**name).and_then(|rest| rest.strip_prefix('.')) else {
            continue;
        };
        if value.starts_with('[') {
            for item in items(Some(value))? {
                let from = found.len();
                walk(&Members::of(item.get())?, rest, found)?;
                found
                    .iter_mut()
                    .skip(from)
                    .for_each(|found| found.in_array = true);
            }
        } else {
            walk(&Members::of(value)?, rest, found)?;
        }
    }
    Ok(())
}

/// A value as a cell.
fn text(value: &str) -> Cow<'_, str> {
    if value == "null" {
        return Cow::Borrowed("");
    }
    string(value).unwrap_or(Cow::Borrowed(value))
}

/// A cell that no spreadsheet takes for a formula. One that begins with `'` gets another, so that two values stay two, and who
/// takes a leading `'` off has what there was.
fn safe(cell: Cow<'_, str>) -> Cow<'_, str> {
    if cell.starts_with(FORMULA) || cell.starts_with('\'') {
        Cow::Owned(format!("'{cell}"))
    } else {
        cell
    }
}

/// What a formula begins with, in some spreadsheet; the last four are the wide forms, which those of East Asia take too.
const FORMULA: [char; 11] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
];
