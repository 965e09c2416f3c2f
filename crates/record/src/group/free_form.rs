//! What detectors find inside free-form values, and what becomes of it.
//!
//! A name that holds a value is replaced with `[redacted:<detector>:<index of the member>]`, or makes the object personal
//! that has it. The number keeps names apart; a name that came in that form with another number loses it where any is
//! replaced.

use std::borrow::Cow;
use std::ops::Range;

use super::guard::{Detected, Guard, Side};
use super::split::Split;
use crate::detect::json::{Token, Walk};
use crate::detect::{Detectors, Scanner};
use crate::event::leaf::Leaf;
use crate::event::write::field;
use crate::event::{Event, Text};
use crate::json::escape::push_string;
use crate::json::pointer::{push_segment, segments};
use crate::json::splice;
use crate::policy::Action;

/// What becomes of a value that is not personal as a whole.
#[derive(Default)]
struct Plan {
    /// Names to replace, with what. Values are judged when names are as they stay.
    names: Vec<(Range<usize>, String)>,
    /// Values to replace, with what.
    values: Vec<(Range<usize>, String)>,
    /// Values that are personal, and what is kept of them where that is not what stands there.
    personal: Vec<(splice::Found, Option<String>)>,
    /// Whether the value is personal as a whole.
    whole: bool,
}

impl Guard<'_> {
    /// Shortens what subjects declare to what is above the first name that holds a value; `None` when nothing changes.
    pub(super) fn cut_declared<'a>(&mut self, event: &Event<'a>) -> Option<Event<'a>> {
        let mut cut: Option<Event<'a>> = None;
        for (index, subject) in event.data_subjects.iter().enumerate() {
            for (number, pointer) in subject.fields.iter().enumerate() {
                let mut kept = String::new();
                for segment in segments(pointer).unwrap_or_default() {
                    let path = || format!("/data_subjects/{index}/fields/{number}");
                    if self.judge_name(&segment, path).is_some() {
                        let event = cut.get_or_insert_with(|| event.clone());
                        event.data_subjects[index].fields[number] = Text::Owned(kept);
                        break;
                    }
                    push_segment(&mut kept, &segment);
                }
            }
        }
        cut
    }

    /// Judges what is public of a value at a base; `parts` are not.
    fn plan(&mut self, text: &str, base: &str, leaf: Leaf, parts: &[splice::Found], side: Side) -> Plan {
        let mut plan = Plan::default();
        let mut walk = Walk::new(text).passing(parts.iter().map(|part| part.span.clone()));
        // Depths of open objects that are personal for a name in them.
        let mut personal = Vec::new();
        let mut taken = Vec::new();
        while let Some(token) = walk.next() {
            match token {
                Token::Name(name) => match self.judge_name(&name, || safe(base, &walk, 1)) {
                    Some((_, Action::Personal)) if side == Side::Public => personal.push(walk.depth()),
                    Some((detector, _)) => {
                        let name = format!("[redacted:{detector}:{}]", walk.index());
                        plan.names.push((walk.span(), json_string(&name)));
                    }
                    None if is_taken(&name, walk.index()) => {
                        let name = format!("[redacted:{}]", walk.index());
                        taken.push((walk.span(), json_string(&name)));
                    }
                    None => {}
                },
                Token::End => {
                    if personal.pop_if(|depth| *depth == walk.depth() + 1).is_some() {
                        personal.retain(|depth| *depth <= walk.depth());
                        plan.whole |= walk.depth() == 0;
                        plan.personal.push((found(&walk, base), None));
                    }
                }
                Token::Text(value) => {
                    let value: &str = &value;
                    self.judge_value(&mut plan, &walk, base, leaf, value, side);
                }
                Token::Number(value) => self.judge_value(&mut plan, &walk, base, leaf, value, side),
            }
        }
        self.detected.partially_scanned |= !walk.is_complete();
        if !plan.names.is_empty() {
            plan.names.append(&mut taken);
            plan.names.sort_unstable_by_key(|(span, _)| span.start);
        }
        plan
    }

    fn judge_value(
        &mut self,
        plan: &mut Plan,
        walk: &Walk<'_>,
        base: &str,
        leaf: Leaf,
        value: &str,
        side: Side,
    ) {
        let name = walk.name();
        let name = if name.is_empty() { leaf.name() } else { &name };
        let verdict = self.judge(value, name, side, || safe(base, walk, 0));
        let redacted = verdict.redacted.map(|text| json_string(&text));
        if verdict.personal {
            plan.whole |= walk.depth() == 0;
            plan.personal.push((found(walk, base), redacted));
        } else if let Some(redacted) = redacted {
            plan.values.push((walk.span(), redacted));
        }
    }

    /// Returns what is kept of a personal value, which stands in a field of a name.
    fn personal_value<'t>(&mut self, text: &'t str, name: &str, pointer: &str) -> Cow<'t, str> {
        if !self.looks_into_personal() {
            return Cow::Borrowed(text);
        }
        let mut values = Vec::new();
        let mut walk = Walk::new(text);
        while let Some(token) = walk.next() {
            let value = match &token {
                Token::Text(value) => value,
                Token::Number(value) => *value,
                Token::Name(_) | Token::End => continue,
            };
            let own = walk.name();
            let name = if own.is_empty() { name } else { &own };
            if let Some(redacted) = self
                .judge(value, name, Side::Personal, || safe(pointer, &walk, 0))
                .redacted
            {
                values.push((walk.span(), json_string(&redacted)));
            }
        }
        self.detected.partially_scanned |= !walk.is_complete();
        match values.is_empty() {
            true => Cow::Borrowed(text),
            false => Cow::Owned(replaced(text, &values)),
        }
    }
}

impl Split<'_, '_> {
    /// Writes what is public of a free-form value, and takes the rest.
    pub(super) fn guarded_raw(
        &mut self,
        leaf: Leaf,
        index: usize,
        text: &str,
        out: &mut Vec<u8>,
        name: &str,
    ) -> bool {
        let base = leaf.pointer(index);
        let side = self.public_side();
        let mut text = Cow::Borrowed(text);
        for _ in 0..ROUNDS_MAX {
            let (whole, parts) = self.claimed(leaf, index, &text);
            if whole != 0 {
                self.put_personal(whole, &base, leaf.name(), &text, None);
                return true;
            }
            let Some(guard) = &mut self.guard else {
                return false;
            };
            let before = (guard.detected.clone(), guard.left());
            let mut plan = guard.plan(&text, &base, leaf, &parts, side);
            if guard.refusal.is_some() {
                return false;
            }
            if !plan.names.is_empty() {
                guard.forget_all_but_names(before, &text, &plan.names);
                text = Cow::Owned(replaced(&text, &plan.names));
                continue;
            }
            let personal = merged(parts, std::mem::take(&mut plan.personal), self.people.found);
            let pointers: usize = personal.iter().map(|(part, _)| part.pointer.len()).sum();
            if plan.whole || pointers > self.part_bytes_left {
                let mask = personal.iter().fold(0, |mask, (part, _)| mask | part.mask);
                self.put_personal(mask, &base, leaf.name(), &text, None);
                return true;
            }
            self.part_bytes_left -= pointers;
            plan.values
                .retain(|(span, _)| !personal.iter().any(|(part, _)| contains(&part.span, span)));
            for (part, kept) in personal {
                let last = segments(&part.pointer).and_then(|mut segments| segments.pop());
                let last = last.unwrap_or_default();
                self.put_personal(part.mask, &part.pointer, &last, &text[part.span.clone()], kept);
                plan.values.push((part.span, "null".to_owned()));
            }
            if plan.values.is_empty() && matches!(text, Cow::Borrowed(_)) {
                return false;
            }
            plan.values.sort_unstable_by_key(|(span, _)| span.start);
            field(out, name);
            out.extend_from_slice(replaced(&text, &plan.values).as_bytes());
            return true;
        }
        // Names that would not settle: nothing of the value is public.
        match self.people.found {
            0 => {
                field(out, name);
                out.extend_from_slice(b"{}");
            }
            mask => self.put_personal(mask, &base, leaf.name(), &text, None),
        }
        true
    }

    /// Puts a personal value, or what is kept of it, into its group.
    fn put_personal(&mut self, mask: u64, pointer: &str, name: &str, value: &str, kept: Option<String>) {
        let kept = match (kept, &mut self.guard) {
            (Some(kept), _) => Cow::Owned(kept),
            (None, Some(guard)) => guard.personal_value(value, name, pointer),
            (None, None) => Cow::Borrowed(value),
        };
        self.put(mask, pointer, |body| body.extend_from_slice(kept.as_bytes()));
    }
}

impl Guard<'_> {
    /// Takes back what a plan counted beside names, which is counted again when they are replaced.
    fn forget_all_but_names(
        &mut self,
        (mut before, left): (Detected, usize),
        text: &str,
        names: &[(Range<usize>, String)],
    ) {
        before.partially_scanned |= self.detected.partially_scanned;
        self.detected = before;
        self.set_left(left);
        for (span, _) in names {
            let name = text.get(span.start + 1..span.end - 1).unwrap_or_default();
            self.judge_name(name, String::new);
        }
    }
}

/// Names are replaced in the first round; in the second they are as they stay.
const ROUNDS_MAX: usize = 3;

/// Tells whether a name has the form of a replaced one without being that of its place.
fn is_taken(name: &str, index: usize) -> bool {
    name.starts_with("[redacted:") && !name.ends_with(&format!(":{index}]"))
}

/// The outermost of claimed parts and found values, in order, each about all whom something inside it is about.
fn merged(
    parts: Vec<splice::Found>,
    found: Vec<(splice::Found, Option<String>)>,
    mask: u64,
) -> Vec<(splice::Found, Option<String>)> {
    let found = found
        .into_iter()
        .map(|(found, kept)| (splice::Found { mask, ..found }, kept));
    let mut all: Vec<_> = parts.into_iter().map(|part| (part, None)).chain(found).collect();
    // Of two that begin at one place the longer one comes first.
    all.sort_by_key(|(part, _)| (part.span.start, std::cmp::Reverse(part.span.end)));
    let mut outermost: Vec<(splice::Found, Option<String>)> = Vec::with_capacity(all.len());
    for (part, kept) in all {
        match outermost.last_mut() {
            Some((last, _)) if contains(&last.span, &part.span) => last.mask |= part.mask,
            _ => outermost.push((part, kept)),
        }
    }
    outermost
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Returns a text with values, in order, replaced.
fn replaced(text: &str, values: &[(Range<usize>, String)]) -> String {
    let mut out = Vec::with_capacity(text.len() + 32);
    splice::replace(
        &mut out,
        text,
        values.iter().map(|(span, value)| (span, value.as_str())),
    );
    String::from_utf8_lossy(&out).into_owned()
}

/// The place of the token that came last, about nobody yet.
fn found(walk: &Walk<'_>, base: &str) -> splice::Found {
    let mut pointer = base.to_owned();
    walk.push_pointer(&mut pointer);
    splice::Found {
        span: walk.span(),
        pointer,
        mask: 0,
    }
}

fn json_string(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

/// The pointer of the value at hand without its last segments, cut before a name that holds a value itself.
fn safe(base: &str, walk: &Walk<'_>, without: usize) -> String {
    let mut pointer = base.to_owned();
    let mut scanner = Scanner::default();
    for segment in walk.segments().take(walk.depth().saturating_sub(without)) {
        match segment {
            Ok(name) if !scanner.scan(&name, "", Detectors::ALL).is_empty() => break,
            Ok(name) => push_segment(&mut pointer, &name),
            Err(index) => push_segment(&mut pointer, &index.to_string()),
        }
    }
    pointer
}
