//! From an event to the bytes that are stored and hashed: groups.
//!
//! # Format
//! UTF-8 JSON without insignificant white space, names in this order. The public group:
//!
//! ```text
//! {"v":1,"id":"<uuid>","tenant":"<32 hex>","protocol":"native","credential":"<id>","privacy":1,
//!  "withheld":["/actor/id",…],"event":{…}}
//! ```
//!
//! `withheld` lists the pointers of the personal fields in schema order and is absent when there are none. In
//! `event`, personal fields are absent; inside free-form values a personal value is replaced with `null`, so that
//! its place is kept. A personal group:
//!
//! ```text
//! {"v":1,"subjects":["<32 hex handle>",…],"fields":{"/actor/id":"u_42",…}}
//! ```
//!
//! Handles ascend; fields are in schema order. There is one personal group for each distinct set of subjects.

use std::borrow::Cow;

use crate::event::leaf::Leaf;
use crate::event::write::{Divert, field, write};
use crate::event::{Event, Raw};
use crate::ids::{Handle, RecordId, TenantId, push_hex, push_record_id};
use crate::json::claims::{Claims, Places};
use crate::json::escape::push_string;
use crate::json::reader::Fail;
use crate::json::splice;
use crate::policy::{PrivacyPolicy, SubjectRule};

/// Most bytes of pointers to personal values *inside* free-form values of one event. A value that would need more
/// is personal as a whole, so that a policy's `*` cannot make many times the event's bytes.
pub const PART_POINTER_BYTES_MAX: usize = 16 * 1024;

/// What the server adds to the public group of a record.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The record's id.
    pub id: RecordId,
    /// The tenant.
    pub tenant: TenantId,
    /// Ingest protocol, as `native` or `otlp`; `internal` for control records.
    pub protocol: &'a str,
    /// The credential that the sender used.
    pub credential_id: &'a str,
}

/// A record's groups, before handles are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Bytes of the public group, final.
    pub public: Vec<u8>,
    /// One group for each distinct set of data subjects, in order of first occurrence in the event.
    pub personal: Vec<PersonalGroup>,
}

/// The fields that are about one set of data subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalGroup {
    /// The subjects: sorted, each once, never empty.
    pub subjects: Vec<SubjectRef>,
    /// The fields, as a JSON object from pointer to value.
    pub body: Vec<u8>,
}

/// A data subject as the tenant knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectRef {
    /// Kind of subject, ASCII letters in lower case.
    pub ty: String,
    /// The tenant's id of the subject.
    pub id: String,
}

impl SubjectRef {
    /// Names a subject. The case of ASCII letters of a type does not count; ids are exact.
    pub fn new(ty: &str, id: impl Into<String>) -> Self {
        Self {
            ty: ty.to_ascii_lowercase(),
            id: id.into(),
        }
    }
}

impl PersonalGroup {
    /// Returns the bytes of the group: `handles` are those of [`PersonalGroup::subjects`], in any order.
    pub fn bytes(&self, handles: &[Handle]) -> Vec<u8> {
        let mut sorted = handles.to_vec();
        sorted.sort_unstable();
        let mut out = Vec::with_capacity(40 + 35 * sorted.len() + self.body.len());
        out.extend_from_slice(b"{\"v\":1,\"subjects\":[");
        for (index, handle) in sorted.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            push_hex(&mut out, handle.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"],\"fields\":");
        out.extend_from_slice(&self.body);
        out.push(b'}');
        out
    }
}

/// Encodes an event into its groups under a privacy policy.
pub fn encode(event: &Event<'_>, envelope: &Envelope<'_>, policy: &PrivacyPolicy) -> Encoded {
    let people = People::of(event, policy);
    let claims = people.claims(event, policy);
    let mut split = Split {
        event,
        policy,
        people: &people,
        claims: claims.as_ref().map(Claims::root),
        groups: Vec::new(),
        withheld: Vec::new(),
        part_bytes_left: PART_POINTER_BYTES_MAX,
    };
    let mut body = Vec::with_capacity(event.length_hint());
    write(&mut body, event, &mut split);
    let Split { groups, withheld, .. } = split;
    let mut public = Vec::with_capacity(body.len() + withheld.len() + envelope.credential_id.len() + 224);
    push_envelope(&mut public, envelope, policy.version());
    if !withheld.is_empty() {
        public.extend_from_slice(b",\"withheld\":[");
        public.extend_from_slice(&withheld);
        public.push(b']');
    }
    public.extend_from_slice(b",\"event\":");
    public.extend_from_slice(&body);
    public.push(b'}');
    let personal = groups.into_iter().map(|group| group.finish(&people)).collect();
    Encoded { public, personal }
}

/// Appends the opening of a public group, up to and including the privacy policy's version.
pub(crate) fn push_envelope(out: &mut Vec<u8>, envelope: &Envelope<'_>, privacy: u32) {
    out.extend_from_slice(b"{\"v\":1,\"id\":\"");
    push_record_id(out, &envelope.id);
    out.extend_from_slice(b"\",\"tenant\":\"");
    push_hex(out, envelope.tenant.as_bytes());
    out.extend_from_slice(b"\",\"protocol\":");
    push_string(out, envelope.protocol);
    out.extend_from_slice(b",\"credential\":");
    push_string(out, envelope.credential_id);
    out.extend_from_slice(b",\"privacy\":");
    out.extend_from_slice(privacy.to_string().as_bytes());
}

/// The data subjects of an event. A set of them is a mask, one bit for each in order of first occurrence.
struct People<'e> {
    /// Types, as [`SubjectRef`] has them, and ids.
    list: Vec<(Cow<'e, str>, &'e str)>,
    /// The mask that each set of subject rules stands for.
    masks: [u64; SubjectRule::SETS],
}

/// Actor, principal and declared subjects must fit the mask.
const _: () = assert!(crate::event::DATA_SUBJECTS_MAX + 2 <= u64::BITS as usize);

impl<'e> People<'e> {
    fn of(event: &'e Event<'_>, policy: &PrivacyPolicy) -> Self {
        let mut people = Self {
            list: Vec::new(),
            masks: [0; SubjectRule::SETS],
        };
        let mut declared = 0;
        for subject in &event.data_subjects {
            if let Some(id) = &subject.id {
                declared |= people.add(&subject.ty, id);
            }
        }
        let actor = people.principal(policy, &event.actor.ty, event.actor.id.as_deref());
        let behalf = event.actor.on_behalf_of.as_ref();
        let behalf = behalf.map_or(0, |who| people.principal(policy, &who.ty, who.id.as_deref()));
        let all = declared | actor | behalf;
        for (set, mask) in people.masks.iter_mut().enumerate() {
            let of = |rule: SubjectRule, mask: u64| {
                if set & usize::from(rule.bit()) != 0 {
                    mask
                } else {
                    0
                }
            };
            *mask = of(SubjectRule::Actor, actor)
                | of(SubjectRule::OnBehalfOf, behalf)
                | of(SubjectRule::Declared, declared)
                | of(SubjectRule::All, all);
        }
        people
    }

    /// Returns the mask of an actor or principal: 0 unless it is a person or a declared subject.
    fn principal(&mut self, policy: &PrivacyPolicy, ty: &'e str, id: Option<&'e str>) -> u64 {
        let Some(id) = id else { return 0 };
        if policy.is_human(ty) {
            self.add(ty, id)
        } else {
            self.mask_of(ty, id)
        }
    }

    fn add(&mut self, ty: &'e str, id: &'e str) -> u64 {
        let known = self.mask_of(ty, id);
        if known != 0 {
            return known;
        }
        let ty = if ty.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(ty.to_ascii_lowercase())
        } else {
            Cow::Borrowed(ty)
        };
        self.list.push((ty, id));
        1 << (self.list.len() - 1)
    }

    fn mask_of(&self, ty: &str, id: &str) -> u64 {
        let at = self
            .list
            .iter()
            .position(|(known_ty, known_id)| *known_id == id && known_ty.eq_ignore_ascii_case(ty));
        at.map_or(0, |at| 1 << at)
    }

    /// Returns the mask of a target: the subject it is by type and id, else everybody with its id. Other systems
    /// name one person by several types, as `AWS::IAM::User` for an actor of type `user`.
    fn target(&self, ty: &str, id: &str) -> u64 {
        let exact = self.mask_of(ty, id);
        if exact != 0 {
            return exact;
        }
        let same = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, (_, known))| *known == id);
        same.fold(0, |mask, (at, _)| mask | 1 << at)
    }

    fn of_rules(&self, bits: u8) -> u64 {
        self.masks[usize::from(bits)]
    }

    /// Returns the claims that no leaf as a whole stands for; `None` when there are none.
    fn claims(&self, event: &Event<'_>, policy: &PrivacyPolicy) -> Option<Claims> {
        let declares = event
            .data_subjects
            .iter()
            .any(|subject| !subject.fields.is_empty());
        if self.list.is_empty() || (!declares && policy.deep().is_empty()) {
            return None;
        }
        let mut claims = Claims::default();
        for (segments, bits) in policy.deep() {
            let mask = self.of_rules(*bits);
            if mask != 0 {
                claims.insert(segments, true, mask);
            }
        }
        for subject in &event.data_subjects {
            let mask = subject.id.as_ref().map_or(0, |id| self.mask_of(&subject.ty, id));
            for pointer in &subject.fields {
                // Pointers were checked when the event was parsed.
                if let Some(segments) = crate::json::pointer::segments(pointer) {
                    claims.insert(&segments, false, mask);
                }
            }
        }
        Some(claims)
    }
}

/// Takes personal leaves out of the public part and into groups.
struct Split<'e, 'a> {
    event: &'e Event<'a>,
    policy: &'e PrivacyPolicy,
    people: &'e People<'e>,
    claims: Option<Places<'e>>,
    groups: Vec<Group>,
    /// The inside of the `withheld` array.
    withheld: Vec<u8>,
    /// What is left of [`PART_POINTER_BYTES_MAX`].
    part_bytes_left: usize,
}

/// A group while fields are added to it.
struct Group {
    mask: u64,
    body: Vec<u8>,
}

impl Split<'_, '_> {
    /// Returns the subjects of a leaf, and the claims that reach inside it.
    #[inline]
    fn subjects(&self, leaf: Leaf, index: usize) -> (u64, Option<Places<'_>>) {
        if self.people.list.is_empty() {
            return (0, None);
        }
        let mut mask = self.people.of_rules(self.policy.leaf_bits(leaf));
        match leaf {
            Leaf::SubjectId => {
                let subject = self.event.data_subjects.get(index);
                mask |= subject.map_or(0, |it| {
                    self.people.mask_of(&it.ty, it.id.as_deref().unwrap_or_default())
                });
            }
            Leaf::TargetId | Leaf::TargetName | Leaf::TargetAttributes => {
                let target = self.event.targets.get(index);
                mask |= target.map_or(0, |it| {
                    self.people.target(&it.ty, it.id.as_deref().unwrap_or_default())
                });
            }
            _ => {}
        }
        let Some(root) = &self.claims else {
            return (mask, None);
        };
        let mut places = root.clone();
        for segment in leaf.pointer(index).split('/').skip(1) {
            places = places.down(segment);
        }
        (mask | places.mask, Some(places))
    }

    /// Finds the parts of a free-form value that are personal; `None` when it is personal as a whole.
    fn parts(
        &self,
        text: &str,
        base: &str,
        places: &Places<'_>,
        mask: u64,
    ) -> Result<Option<Vec<splice::Found>>, Fail> {
        if mask != 0 {
            return Ok(None);
        }
        splice::find(text, base, places, self.part_bytes_left)
    }

    /// Adds a field to the group of a set of subjects.
    fn put(&mut self, mask: u64, pointer: &str, value: impl FnOnce(&mut Vec<u8>)) {
        if !self.withheld.is_empty() {
            self.withheld.push(b',');
        }
        push_string(&mut self.withheld, pointer);
        let at = self
            .groups
            .iter()
            .position(|group| group.mask == mask)
            .unwrap_or_else(|| {
                self.groups.push(Group {
                    mask,
                    body: Vec::with_capacity(256),
                });
                self.groups.len() - 1
            });
        let body = &mut self.groups[at].body;
        body.push(if body.is_empty() { b'{' } else { b',' });
        push_string(body, pointer);
        body.push(b':');
        value(body);
    }
}

impl Divert for Split<'_, '_> {
    #[inline]
    fn text(&mut self, leaf: Leaf, index: usize, text: &str) -> bool {
        let (mask, _) = self.subjects(leaf, index);
        if mask == 0 {
            return false;
        }
        self.put(mask, &leaf.pointer(index), |body| push_string(body, text));
        true
    }

    fn raw(&mut self, leaf: Leaf, index: usize, raw: &Raw<'_>, out: &mut Vec<u8>, name: &str) -> bool {
        let text = raw.as_str();
        let (mask, places) = self.subjects(leaf, index);
        let base = leaf.pointer(index);
        // A value that is kept whole is about whoever is claimed inside; one that cannot be walked is about all
        // who might be.
        let (whole, parts) = match places.filter(Places::goes_deeper) {
            None => (mask, Vec::new()),
            Some(places) => match self.parts(text, &base, &places, mask) {
                Ok(Some(parts)) => (0, parts),
                Ok(None) => {
                    let beneath = splice::subjects_beneath(text, &places);
                    (mask | beneath.unwrap_or_else(|_| places.everybody()), Vec::new())
                }
                Err(_) => (mask | places.everybody(), Vec::new()),
            },
        };
        if whole != 0 {
            self.put(whole, &base, |body| body.extend_from_slice(text.as_bytes()));
            return true;
        }
        for part in &parts {
            self.part_bytes_left = self.part_bytes_left.saturating_sub(part.pointer.len());
            let value = &text.as_bytes()[part.span.clone()];
            self.put(part.mask, &part.pointer, |body| body.extend_from_slice(value));
        }
        if parts.is_empty() {
            return false;
        }
        field(out, name);
        splice::replace(out, text, parts.iter().map(|part| (&part.span, "null")));
        true
    }
}

impl Group {
    fn finish(self, people: &People<'_>) -> PersonalGroup {
        let mut body = self.body;
        body.push(b'}');
        let members = people
            .list
            .iter()
            .enumerate()
            .filter(|(bit, _)| self.mask & 1 << bit != 0);
        let mut subjects: Vec<SubjectRef> = members
            .map(|(_, (ty, id))| SubjectRef {
                ty: ty.clone().into_owned(),
                id: (*id).to_owned(),
            })
            .collect();
        subjects.sort_unstable();
        PersonalGroup { subjects, body }
    }
}

#[cfg(test)]
mod tests;
