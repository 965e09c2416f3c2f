//! The data subjects of an event, and which rules are about whom.

use std::borrow::Cow;

use crate::event::Event;
use crate::json::claims::Claims;
use crate::policy::{PrivacyPolicy, SubjectRule};

/// The data subjects of an event. A set of them is a mask, one bit for each in order of first occurrence.
pub(super) struct People<'e> {
    /// Types, as [`SubjectRef`] has them, and ids.
    pub(super) list: Vec<(Cow<'e, str>, &'e str)>,
    /// Those of them that are subjects whatever is found; one more may follow.
    subjects: usize,
    /// Whom a value is about that a detector found: all subjects, or the actor where there is none; 0 where nobody can be.
    pub(super) found: u64,
    /// The mask that each set of subject rules stands for.
    masks: [u64; SubjectRule::SETS],
}

/// Actor, principal and declared subjects must fit the mask.
const _: () = assert!(crate::event::DATA_SUBJECTS_MAX + 2 <= u64::BITS as usize);

impl<'e> People<'e> {
    pub(super) fn of(event: &'e Event<'_>, policy: &PrivacyPolicy) -> Self {
        let mut people = Self {
            list: Vec::new(),
            subjects: 0,
            found: 0,
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
        people.subjects = people.list.len();
        people.found = all;
        if let Some(id) = event
            .actor
            .id
            .as_deref()
            .filter(|_| all == 0 && policy.detection().makes_personal())
        {
            people.found = people.add(&event.actor.ty, id);
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

    pub(super) fn mask_of(&self, ty: &str, id: &str) -> u64 {
        let at = self
            .list
            .iter()
            .position(|(known_ty, known_id)| *known_id == id && known_ty.eq_ignore_ascii_case(ty));
        at.map_or(0, |at| 1 << at)
    }

    /// Returns the mask of a target: the subject it is by type and id, else everybody with its id. Other systems
    /// name one person by several types, as `AWS::IAM::User` for an actor of type `user`.
    pub(super) fn target(&self, ty: &str, id: &str) -> u64 {
        let subjects = &self.list[..self.subjects];
        let exact = self.mask_of(ty, id);
        if exact != 0 && exact >> subjects.len() == 0 {
            return exact;
        }
        let same = subjects.iter().enumerate().filter(|(_, (_, known))| *known == id);
        same.fold(0, |mask, (at, _)| mask | 1 << at)
    }

    pub(super) fn of_rules(&self, bits: u8) -> u64 {
        self.masks[usize::from(bits)]
    }

    /// Returns the claims that no leaf as a whole stands for; `None` when there are none.
    pub(super) fn claims(&self, event: &Event<'_>, policy: &PrivacyPolicy) -> Option<Claims> {
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
