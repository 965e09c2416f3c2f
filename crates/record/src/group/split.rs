//! Takes personal leaves out of the public part and into groups; what detectors find is dealt with on the way.

use std::borrow::Cow;

use super::guard::{Guard, Side};
use super::people::People;
use super::{PART_POINTER_BYTES_MAX, PersonalGroup, SubjectRef};
use crate::event::leaf::Leaf;
use crate::event::write::{Divert, Plain, SUBJECT_FIELDS, field};
use crate::event::{Event, Raw};
use crate::json::claims::{Claims, Places};
use crate::json::escape::push_string;
use crate::json::reader::Fail;
use crate::json::splice;
use crate::policy::PrivacyPolicy;

/// An event while it is cut into groups.
pub(super) struct Split<'e, 'a> {
    event: &'e Event<'a>,
    policy: &'e PrivacyPolicy,
    pub(super) people: &'e People<'e>,
    claims: Option<Places<'e>>,
    pub(super) guard: Option<Guard<'e>>,
    pub(super) groups: Vec<Group>,
    /// The inside of the `withheld` array.
    pub(super) withheld: Vec<u8>,
    /// What is left of [`PART_POINTER_BYTES_MAX`].
    pub(super) part_bytes_left: usize,
}

/// A group while fields are added to it.
pub(super) struct Group {
    mask: u64,
    body: Vec<u8>,
}

impl<'e, 'a> Split<'e, 'a> {
    pub(super) fn new(
        event: &'e Event<'a>,
        policy: &'e PrivacyPolicy,
        people: &'e People<'e>,
        claims: Option<&'e Claims>,
        guard: Option<Guard<'e>>,
    ) -> Self {
        Self {
            event,
            policy,
            people,
            claims: claims.map(Claims::root),
            guard,
            groups: Vec::new(),
            withheld: Vec::new(),
            part_bytes_left: PART_POINTER_BYTES_MAX,
        }
    }

    /// Returns the subjects of a leaf, and the claims that reach inside it.
    #[inline]
    fn subjects(&self, leaf: Leaf, index: usize) -> (u64, Option<Places<'e>>) {
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

    /// Returns whom a free-form value as a whole is about, else which of its parts are about whom.
    pub(super) fn claimed(&self, leaf: Leaf, index: usize, text: &str) -> (u64, Vec<splice::Found>) {
        let (mask, places) = self.subjects(leaf, index);
        // A value that is kept whole is about whoever is claimed inside; one that cannot be walked is about all
        // who might be.
        match places.filter(Places::goes_deeper) {
            None => (mask, Vec::new()),
            Some(places) => match self.parts(text, &leaf.pointer(index), &places, mask) {
                Ok(Some(parts)) => (0, parts),
                Ok(None) => {
                    let beneath = splice::subjects_beneath(text, &places);
                    (mask | beneath.unwrap_or_else(|_| places.everybody()), Vec::new())
                }
                Err(_) => (mask | places.everybody(), Vec::new()),
            },
        }
    }

    /// Adds a field to the group of a set of subjects.
    pub(super) fn put(&mut self, mask: u64, pointer: &str, value: impl FnOnce(&mut Vec<u8>)) {
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

    /// The side of fields that are public and could be personal.
    pub(super) fn public_side(&self) -> Side {
        match self.people.found {
            0 => Side::AlwaysPublic,
            _ => Side::Public,
        }
    }

    /// Writes a public string, or what the guard makes of it.
    fn guarded_text(&mut self, leaf: Leaf, index: usize, text: &str, out: &mut Vec<u8>, name: &str) -> bool {
        let side = self.public_side();
        let Some(guard) = &mut self.guard else {
            return false;
        };
        let verdict = guard.judge(text, leaf.name(), side, || leaf.pointer(index).into_owned());
        if verdict.personal {
            let text = verdict.redacted.as_deref().unwrap_or(text);
            let mask = self.people.found;
            self.put(mask, &leaf.pointer(index), |body| push_string(body, text));
            return true;
        }
        match verdict.redacted {
            None => false,
            // Nothing but an address or an id of a trace can stand there.
            Some(_) if leaf.has_form() => true,
            Some(redacted) => {
                field(out, name);
                push_string(out, &redacted);
                true
            }
        }
    }

    /// Returns what is kept of a personal string. Ids stay as they are: they tell subjects apart.
    fn guarded_personal<'t>(&mut self, leaf: Leaf, index: usize, text: &'t str) -> Cow<'t, str> {
        let Some(guard) = self.guard.as_mut().filter(|guard| guard.looks_into_personal()) else {
            return Cow::Borrowed(text);
        };
        let path = || leaf.pointer(index).into_owned();
        match guard.judge(text, leaf.name(), Side::Personal, path).redacted {
            Some(redacted) if !leaf.is_id() && !leaf.has_form() => Cow::Owned(redacted),
            _ => Cow::Borrowed(text),
        }
    }
}

impl Divert for Split<'_, '_> {
    #[inline]
    fn plain<'t>(&mut self, plain: &Plain, index: usize, text: &'t str) -> Cow<'t, str> {
        let Some(guard) = &mut self.guard else {
            return Cow::Borrowed(text);
        };
        let side = match plain.0 {
            "/action" => Side::Action,
            // Pointers of subjects were judged before.
            _ if plain.1 == SUBJECT_FIELDS => return Cow::Borrowed(text),
            _ => Side::AlwaysPublic,
        };
        let verdict = guard.judge(text, plain.name(), side, || plain.pointer(index));
        verdict.redacted.map_or(Cow::Borrowed(text), Cow::Owned)
    }

    #[inline]
    fn text(&mut self, leaf: Leaf, index: usize, text: &str, out: &mut Vec<u8>, name: &str) -> bool {
        let (mask, _) = self.subjects(leaf, index);
        if mask == 0 {
            return self.guarded_text(leaf, index, text, out, name);
        }
        let text = self.guarded_personal(leaf, index, text);
        self.put(mask, &leaf.pointer(index), |body| push_string(body, &text));
        true
    }

    fn raw(&mut self, leaf: Leaf, index: usize, raw: &Raw<'_>, out: &mut Vec<u8>, name: &str) -> bool {
        let text = raw.as_str();
        if self.guard.is_some() {
            return self.guarded_raw(leaf, index, text, out, name);
        }
        let (whole, parts) = self.claimed(leaf, index, text);
        if whole != 0 {
            self.put(whole, &leaf.pointer(index), |body| {
                body.extend_from_slice(text.as_bytes())
            });
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
    pub(super) fn finish(self, people: &People<'_>) -> PersonalGroup {
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
