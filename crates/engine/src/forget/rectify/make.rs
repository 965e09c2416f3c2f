//! The events that correct a record: one for each set of people whom its fields are about.

use std::collections::BTreeMap;

use attestore_record::{Handle, Kind, SubjectRef, event, view};
use attestore_tlog::leaf_hash;
use bytes::Bytes;
use serde_json::{Value, json};

use super::CorrectionOrder;
use crate::append::Item;
use crate::credentials::Principal;
use crate::error::{Error, Result};
use crate::instance::Inner;
use crate::read::records::{self, Personal, Record};
use crate::read::tree;
use crate::tenant::{Tenant, View};

/// Makes them.
///
/// # Errors
/// As [`crate::Engine::correct`].
pub(super) fn events(
    inner: &Inner,
    tenant: &Tenant,
    view: &View,
    seq: u64,
    by: &Principal,
    order: &CorrectionOrder,
) -> Result<Vec<Item>> {
    let entry = tree::reader(inner, tenant, view).source().entry(seq)?;
    if entry.kind != Kind::Event {
        return Err(Error::Conflict {
            code: "control_record",
            message: "what the server itself put on record is not corrected".to_owned(),
        });
    }
    let record = records::read(inner, tenant, view, seq, true)?;
    let malformed = |error: view::ViewError| records::malformed(seq, &error);
    let opened = view::open(&record.public).map_err(malformed)?;
    if opened.protocol == super::PROTOCOL {
        return Err(invalid(
            "a correction is not corrected: correct the record once more",
        ));
    }
    let rebuilt = view::rebuild(&record.public, &record.personal_bytes()).map_err(malformed)?;
    let original: Value = serde_json::from_str(&rebuilt).map_err(|_| damaged(seq))?;
    let about = About::of(inner, tenant, seq, &record, &original)?;
    let withheld: Vec<&str> = opened.withheld.iter().map(AsRef::as_ref).collect();
    let mut corrected = original.clone();
    let mut sets: BTreeMap<Vec<Handle>, Vec<(&str, &Value)>> = BTreeMap::new();
    for (pointer, value) in &order.fields {
        let Some(place) = corrected.pointer_mut(pointer).filter(|_| !pointer.is_empty()) else {
            return Err(invalid("the record has no such field"));
        };
        *place = value.clone();
        let handles = about.handles(pointer, &withheld)?;
        sets.entry(handles).or_default().push((pointer, value));
    }
    check(inner, &record, &corrected, order)?;
    let leaf = leaf_hash(&entry.to_bytes()).to_string();
    let mut events = Vec::with_capacity(sets.len());
    for (handles, fields) in sets {
        let subjects = about.subjects(&handles)?;
        let pointers: Vec<String> = (0..fields.len()).map(|at| format!("/changes/{at}/new")).collect();
        let subjects: Vec<Value> = subjects
            .iter()
            .map(|subject| json!({ "type": subject.ty, "id": subject.id, "fields": pointers }))
            .collect();
        let changes: Vec<Value> = fields
            .iter()
            .map(|(pointer, value)| json!({ "path": pointer, "new": value }))
            .collect();
        let mut event = json!({
            "action": ACTION,
            "operation": "update",
            "actor": { "type": "credential", "id": by.id },
            "targets": [{ "type": "record", "id": opened.id.to_string() }],
            "justification": order.reason,
            "changes": changes,
            "metadata": { "corrects": { "seq": seq, "leaf": leaf } },
        });
        if !subjects.is_empty() {
            event["data_subjects"] = Value::Array(subjects);
        }
        if let Some(basis) = &order.basis {
            event["metadata"]["basis"] = json!(basis);
        }
        events.push(Item {
            bytes: Bytes::from(event.to_string()),
            fallback_key: None,
        });
    }
    Ok(events)
}

/// Whom the fields of a record are about.
struct About {
    /// Fields of each personal group that can be opened.
    groups: Vec<(Vec<Handle>, Vec<String>)>,
    names: BTreeMap<Handle, SubjectRef>,
}

impl About {
    fn of(inner: &Inner, tenant: &Tenant, seq: u64, record: &Record, original: &Value) -> Result<Self> {
        let mut groups = Vec::new();
        for group in &record.personal {
            let Personal::Opened { handles, bytes } = group else {
                continue;
            };
            let group: Value = serde_json::from_slice(bytes).map_err(|_| damaged(seq))?;
            let fields = group["fields"].as_object().ok_or_else(|| damaged(seq))?;
            groups.push((handles.clone(), fields.keys().cloned().collect()));
        }
        let people = original["data_subjects"].as_array().into_iter().flatten();
        let people = people.chain([&original["actor"], &original["actor"]["on_behalf_of"]]);
        let mut names = BTreeMap::new();
        for person in people {
            let (Some(ty), Some(id)) = (person["type"].as_str(), person["id"].as_str()) else {
                continue;
            };
            let subject = SubjectRef::new(ty, id);
            // Somebody who is being erased has another handle by now, and is found by none of the record.
            let found = tenant.directory.resolve(tenant, &subject, &*inner.entropy)?;
            names.insert(found.handle, subject);
        }
        Ok(Self { groups, names })
    }

    /// Whom a field is about; nobody for a public one.
    fn handles(&self, pointer: &str, withheld: &[&str]) -> Result<Vec<Handle>> {
        let within = |outer: &str| {
            pointer
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let covers = |inner: &&&str| {
            inner
                .strip_prefix(pointer)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        if withheld.iter().find(covers).is_some() {
            return Err(invalid(
                "the field has personal fields inside: correct those, one by one",
            ));
        }
        if !withheld.iter().any(|field| within(field)) {
            return Ok(Vec::new());
        }
        let group = self
            .groups
            .iter()
            .find(|(_, fields)| fields.iter().any(|field| within(field)));
        group
            .map(|(handles, _)| handles.clone())
            .ok_or(Error::Erased("the field is about somebody who was erased"))
    }

    /// Who they are.
    fn subjects(&self, handles: &[Handle]) -> Result<Vec<&SubjectRef>> {
        let names = handles.iter().map(|handle| self.names.get(handle));
        let all: Option<Vec<&SubjectRef>> = names.collect();
        all.ok_or(Error::Erased("the field is about somebody who is being erased"))
    }
}

/// Checks that the record would be an event with the new values, as far as all of it can be read.
fn check(inner: &Inner, record: &Record, corrected: &Value, order: &CorrectionOrder) -> Result<()> {
    let marker = Value::from(view::PERSONAL_MARKER);
    if order.fields.iter().any(|(_, value)| *value == marker) {
        return Err(invalid("that is what hidden values show as"));
    }
    if !record.is_whole()? {
        return Ok(());
    }
    let bytes = corrected.to_string();
    match event::parse(bytes.as_bytes(), &inner.settings.limits, inner.clock.now_ms()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Invalid {
            code: "invalid_correction",
            message: format!("the record would be no event: {}", error.message),
        }),
    }
}

fn invalid(message: &str) -> Error {
    Error::Invalid {
        code: "invalid_correction",
        message: message.to_owned(),
    }
}

fn damaged(seq: u64) -> Error {
    Error::damage("records", seq, format!("record {seq}: not an event"))
}

/// Action of corrections. Anybody may append events with it: what counts is the protocol.
pub(super) const ACTION: &str = "record.correct";
