//! One JSON document a line: what `GET …/events/{id}` answers, and `"erased":true` where personal fields were erased.

use super::malformed;
use crate::json::push;
use crate::record::{hex, rfc3339_ms};
use crate::{Error, Fields, Record};

pub(super) struct Ndjson {
    fields: Option<Fields>,
}

impl Ndjson {
    pub(super) fn new(fields: Option<Fields>) -> Self {
        Self { fields }
    }

    pub(super) fn record(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        out.extend_from_slice(b"{\"id\":");
        push(out, &record.id);
        out.extend_from_slice(format!(",\"seq\":{},\"received_at\":", record.seq).as_bytes());
        push(out, &rfc3339_ms(record.received_at_ms));
        out.extend_from_slice(b",\"kind\":");
        push(out, &record.kind);
        out.extend_from_slice(b",\"entry\":");
        push(out, &hex(record.entry));
        out.extend_from_slice(b",\"event\":");
        match &self.fields {
            // Control records are about nobody and have shapes of their own: they are shown whole.
            Some(fields) if record.kind == "event" => {
                let kept = fields
                    .project(record.event)
                    .map_err(|error| malformed(record, &error))?;
                out.extend_from_slice(kept.as_bytes());
            }
            _ => out.extend_from_slice(record.event.as_bytes()),
        }
        if record.erased {
            out.extend_from_slice(b",\"erased\":true");
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}
