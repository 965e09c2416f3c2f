//! What a change of the privacy policy makes less personal.

use attestore_record::PrivacyPolicy;
use attestore_record::detect::{Confidence, Detector};
use attestore_record::policy::{Action, Rule, SubjectRule};

/// Says in a sentence each what the new policy no longer covers.
pub(super) fn losses(former: &PrivacyPolicy, new: &PrivacyPolicy) -> Vec<String> {
    let mut losses = Vec::new();
    for ty in former.human_types() {
        if !new.is_human(ty) {
            losses.push(format!("actors of type {ty:?} are no longer people"));
        }
    }
    for rule in former.rules() {
        if !new.rules().iter().any(|other| covers(other, rule)) {
            let about = name(rule.subject);
            losses.push(format!("{} is no longer personal about {about}", rule.path));
        }
    }
    for detector in Detector::ALL {
        for confidence in [Confidence::Sure, Confidence::Suspected] {
            let was = former.detection().action(*detector, confidence);
            let is = new.detection().action(*detector, confidence);
            if is_less(was, is) {
                let (was, is) = (was.as_str(), is.as_str());
                let confidence = confidence.as_str();
                losses.push(format!("{confidence} {detector} values: {is} instead of {was}"));
            }
        }
    }
    losses
}

/// Whether more of a value is kept, or kept for more to see. What is refused and what is redacted is not kept at all.
fn is_less(was: Action, is: Action) -> bool {
    is < was && was >= Action::Personal && is < Action::Redact
}

/// Whether all that a rule makes personal, another one does, about the same or more.
fn covers(other: &Rule, rule: &Rule) -> bool {
    let subject = other.subject == rule.subject || other.subject == SubjectRule::All;
    let (mut others, mut own) = (other.path.split('/'), rule.path.split('/'));
    // What is beneath a path is covered with it.
    let path = others.all(|segment| own.next().is_some_and(|own| segment == "*" || segment == own));
    subject && path
}

fn name(subject: SubjectRule) -> &'static str {
    match subject {
        SubjectRule::Actor => "the actor",
        SubjectRule::OnBehalfOf => "the principal that the actor acts for",
        SubjectRule::Declared => "declared subjects",
        SubjectRule::All => "all subjects",
    }
}
