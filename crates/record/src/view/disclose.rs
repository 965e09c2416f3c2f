//! The event as it is handed to somebody whom it is about: whole but for what is about others.

use std::collections::{BTreeMap, BTreeSet};

use super::open::{Body, DEPTH_MAX, each_field, open};
use super::rebuild::put_back;
use super::{ViewError, misfit};
use crate::event::leaf::Leaf;
use crate::event::{Event, Raw, parse_stored};
use crate::group::{Envelope, SubjectRef, encode};
use crate::json::reader::{Fail, Reader};
use crate::policy::{Detection, PrivacyPolicy};

/// What stands in the place of a field about others.
pub const THIRD_PARTY_MARKER: &str = "[third party]";
/// What stands in the place of a field about the person and others together.
pub const SHARED_MARKER: &str = "[shared]";

/// Whom a field is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Nobody but the person.
    Them,
    /// The person and others.
    Shared,
    /// Others.
    Others,
}

/// A personal group, and whom it is about.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whom it is about.
    pub about: About,
}

/// An event as the person gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosed {
    /// JSON text. Fields about others show as markers; those of groups that are not given as
    /// [`super::PERSONAL_MARKER`].
    pub event: String,
    /// Of each group that was given, its pointers.
    pub pointers: Vec<Vec<String>>,
    /// Pointers that were taken out beside what groups about others hold: by the policy of today, or as they name a person
    /// among the targets. The stored bytes have them in the open.
    pub concealed: Vec<String>,
    /// Whether the person did what the event tells of.
    pub by_them: bool,
}

/// Makes of a record what a person gets to see of it. `parts` are all of its groups that can be opened, `people` is everything
/// that the person is known as, `policy` what is personal today: a value that was public when it came, and by that policy is
/// about somebody else, is taken out too.
///
/// # Errors
/// [`ViewError`] when bytes are not groups of one event.
pub fn disclose(
    public: &[u8],
    parts: &[Part<'_>],
    people: &[SubjectRef],
    policy: &PrivacyPolicy,
) -> Result<Disclosed, ViewError> {
    let opened = open(public)?;
    let Body::Event(text) = &opened.body else {
        return Err(ViewError::from(misfit("")));
    };
    let stored = Stored::read(opened.withheld.iter().map(AsRef::as_ref), parts)?;
    let real = stored.values(|_| None);
    let mut whole = parse_stored(text.as_str())?;
    put_back(&mut whole, &real)?;
    let envelope = Envelope {
        id: opened.id,
        tenant: opened.tenant,
        protocol: "",
        credential_id: "",
    };
    let late = stored.late(found_today(&whole, &envelope, people, policy)?);
    let marker = |about: About| match about {
        About::Them => None,
        About::Shared => Some(SHARED_JSON),
        About::Others => Some(THIRD_PARTY_JSON),
    };
    let mut values = stored.values(marker);
    for (pointer, about) in &late {
        values.retain(|other, _| !is_beneath(other, pointer));
        values.insert(pointer.as_str(), marker(*about).map(|json| Raw(json.into())));
    }
    let mut shown = parse_stored(text.as_str())?;
    put_back(&mut shown, &values)?;
    let actor = whole.actor.id.as_deref();
    Ok(Disclosed {
        event: shown.to_json(),
        by_them: actor.is_some_and(|id| people.contains(&SubjectRef::new(&whole.actor.ty, id))),
        concealed: late.keys().cloned().collect(),
        pointers: stored.pointers.clone(),
    })
}

/// What the groups of a record hold.
struct Stored<'a> {
    /// By pointer: the value, and whom it is about; `None` where no group was given.
    fields: BTreeMap<String, Option<(Raw<'a>, About)>>,
    pointers: Vec<Vec<String>>,
}

impl<'a> Stored<'a> {
    fn read<'p>(
        withheld: impl Iterator<Item = &'p str>,
        parts: &[Part<'a>],
    ) -> Result<Self, Box<crate::event::EventError>> {
        let mut fields: BTreeMap<String, Option<(Raw<'a>, About)>> =
            withheld.map(|pointer| (pointer.to_owned(), None)).collect();
        let mut pointers = Vec::with_capacity(parts.len());
        for part in parts {
            let mut own = Vec::new();
            each_field(
                part.bytes,
                |_| (),
                |pointer, value| {
                    match fields.get_mut(pointer) {
                        Some(place @ None) => *place = Some((value, part.about)),
                        _ => return Err(misfit(pointer)),
                    }
                    own.push(pointer.to_owned());
                    Ok(())
                },
            )?;
            pointers.push(own);
        }
        Ok(Self { fields, pointers })
    }

    /// The values to put back; `marker` says what stands in the place of some.
    fn values(&self, marker: impl Fn(About) -> Option<&'static str>) -> BTreeMap<&str, Option<Raw<'a>>> {
        let fields = self.fields.iter();
        fields
            .map(|(pointer, field)| {
                let value = field.as_ref().map(|(value, about)| match marker(*about) {
                    None => value.clone(),
                    Some(json) => Raw(json.into()),
                });
                (pointer.as_str(), value)
            })
            .collect()
    }

    /// What is to be taken out beside what groups hold. A value inside one that a group has is taken out with all of it.
    fn late(&self, found: BTreeMap<String, About>) -> BTreeMap<String, About> {
        let mut late: BTreeMap<String, About> = BTreeMap::new();
        for (pointer, about) in found {
            let holder = self
                .fields
                .iter()
                .find(|(stored, _)| **stored == pointer || is_beneath(&pointer, stored));
            match holder {
                Some((stored, Some((_, About::Them)))) => {
                    late.insert(stored.clone(), about);
                }
                Some(_) => {}
                None => {
                    late.insert(pointer, about);
                }
            }
        }
        let all: BTreeSet<String> = late.keys().cloned().collect();
        late.retain(|pointer, _| !all.iter().any(|above| is_beneath(pointer, above)));
        late
    }
}

/// The fields of an event that are about others by the policy of today, and those that name people among its targets.
fn found_today(
    event: &Event<'_>,
    envelope: &Envelope<'_>,
    people: &[SubjectRef],
    policy: &PrivacyPolicy,
) -> Result<BTreeMap<String, About>, ViewError> {
    let policy = policy.clone().with_detection(Detection::default());
    let encoded = encode(event, envelope, &policy).map_err(|refusal| ViewError(refusal.into()))?;
    let mut found = BTreeMap::new();
    for group in encoded.personal {
        let theirs = group
            .subjects
            .iter()
            .filter(|subject| people.contains(subject))
            .count();
        let about = match theirs {
            all if all == group.subjects.len() => continue,
            0 => About::Others,
            _ => About::Shared,
        };
        let mut reader = Reader::new(&group.body, DEPTH_MAX)?;
        reader.object(|reader, pointer| {
            reader.raw()?;
            found.insert(pointer.to_owned(), about);
            Ok::<(), Fail>(())
        })?;
    }
    for (index, target) in event.targets.iter().enumerate() {
        let theirs = people
            .iter()
            .any(|person| Some(person.id.as_str()) == target.id.as_deref());
        if theirs || !policy.is_human(&target.ty) {
            continue;
        }
        let places = [
            (Leaf::TargetId, target.id.is_some()),
            (Leaf::TargetName, target.name.is_some()),
            (Leaf::TargetAttributes, target.attributes.is_some()),
        ];
        for (leaf, _) in places.into_iter().filter(|(_, is_there)| *is_there) {
            found.insert(leaf.pointer(index).into_owned(), About::Others);
        }
    }
    Ok(found)
}

fn is_beneath(pointer: &str, above: &str) -> bool {
    pointer
        .strip_prefix(above)
        .is_some_and(|rest| rest.starts_with('/'))
}

const THIRD_PARTY_JSON: &str = "\"[third party]\"";
const SHARED_JSON: &str = "\"[shared]\"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Limits, parse};
    use crate::ids::{Handle, RecordId, TenantId};
    use crate::policy::{Rule, SubjectRule};

    fn envelope() -> Envelope<'static> {
        Envelope {
            id: RecordId::new(0, [7; 10]),
            tenant: TenantId::from_bytes([1; 16]),
            protocol: "native",
            credential_id: "key_9",
        }
    }

    /// What `ann` gets of an event that was stored under one policy and is looked at under another.
    fn shown(json: &str, then: &PrivacyPolicy, today: &PrivacyPolicy) -> Disclosed {
        let event = parse(json.as_bytes(), &Limits::DEFAULT, 0).unwrap();
        let encoded = encode(&event, &envelope(), then).unwrap();
        let ann = [SubjectRef::new("user", "ann")];
        let handle = |subject: &SubjectRef| Handle::from_bytes([subject.id.as_bytes()[0]; 16]);
        let groups: Vec<(Vec<u8>, About)> = encoded
            .personal
            .iter()
            .map(|group| {
                let handles: Vec<Handle> = group.subjects.iter().map(handle).collect();
                let about = match (group.subjects.contains(&ann[0]), group.subjects.len()) {
                    (true, 1) => About::Them,
                    (true, _) => About::Shared,
                    (false, _) => About::Others,
                };
                (group.bytes(&handles), about)
            })
            .collect();
        let parts: Vec<Part<'_>> = groups
            .iter()
            .map(|(bytes, about)| Part { bytes, about: *about })
            .collect();
        disclose(&encoded.public, &parts, &ann, today).unwrap()
    }

    fn value(disclosed: &Disclosed, pointer: &str) -> String {
        let event: serde_json::Value = serde_json::from_str(&disclosed.event).unwrap();
        event.pointer(pointer).cloned().unwrap_or_default().to_string()
    }

    #[test]
    fn what_is_about_others_and_what_is_about_both_is_taken_out() {
        let event = r#"{"action":"a.b","actor":{"type":"user","id":"ann","email":"ann@x.org"},"targets":[{"type":"customer","id":"ben","name":"Ben"}],"changes":[{"path":"f","old":"ben-old","new":"ann-new"}],"data_subjects":[{"type":"customer","id":"ben"}],"metadata":{"n":1}}"#;
        let policy = PrivacyPolicy::default();
        let shown = shown(event, &policy, &policy);
        assert!(
            !shown.event.contains("ben") && !shown.event.contains("Ben"),
            "{}",
            shown.event
        );
        assert_eq!(value(&shown, "/actor/email"), "\"ann@x.org\"");
        assert_eq!(value(&shown, "/targets/0/id"), THIRD_PARTY_JSON);
        assert_eq!(value(&shown, "/changes/0/old"), SHARED_JSON);
        assert_eq!(value(&shown, "/metadata/n"), "1");
        assert!(shown.by_them && shown.concealed.is_empty(), "{shown:?}");
    }

    #[test]
    fn a_person_among_the_targets_whom_nobody_declared_is_taken_out_too() {
        let event = r#"{"action":"a.b","actor":{"type":"user","id":"ann"},"targets":[{"type":"User","id":"ben","attributes":{"mail":"ben@x.org"}},{"type":"file","id":"f"},{"type":"user","id":"ann"}]}"#;
        let policy = PrivacyPolicy::default();
        let shown = shown(event, &policy, &policy);
        assert!(!shown.event.contains("ben"), "{}", shown.event);
        assert_eq!(shown.concealed, ["/targets/0/attributes", "/targets/0/id"]);
        assert_eq!(value(&shown, "/targets/1/id"), "\"f\"");
        assert_eq!(value(&shown, "/targets/2/id"), "\"ann\"");
    }

    #[test]
    fn what_only_the_policy_of_today_calls_personal_about_others_is_taken_out() {
        let event = r#"{"action":"a.b","actor":{"type":"user","id":"ben"},"justification":"ben wanted it","metadata":{"who":"ben","about":{"mail":"ann@x.org"},"n":1},"data_subjects":[{"type":"user","id":"ann","fields":["/metadata/about"]}]}"#;
        let then = PrivacyPolicy::default();
        let rule = |path: &str| Rule {
            path: path.to_owned(),
            subject: SubjectRule::Actor,
        };
        let types = then.human_types().to_vec();
        let rules = [then.rules(), &[rule("/justification"), rule("/metadata/who")]].concat();
        let today = PrivacyPolicy::new(2, types.clone(), rules).unwrap();
        let before = shown(event, &then, &then);
        assert!(before.event.contains("ben wanted it"), "{}", before.event);
        let after = shown(event, &then, &today);
        assert!(!after.event.contains("ben"), "{}", after.event);
        assert_eq!(after.concealed, ["/justification", "/metadata/who"]);
        assert_eq!(value(&after, "/metadata/about/mail"), "\"ann@x.org\"");
        assert_eq!(value(&after, "/metadata/n"), "1");
        assert!(!after.by_them);
        // What holds a place of theirs and one of others goes as a whole.
        let all = [then.rules(), &[rule("/metadata")]].concat();
        let all = PrivacyPolicy::new(2, types, all).unwrap();
        let whole = shown(event, &then, &all);
        assert!(
            whole.event.contains("\"metadata\":\"[shared]\"")
                || whole.event.contains("\"metadata\":\"[third party]\""),
            "{}",
            whole.event
        );
    }
}
