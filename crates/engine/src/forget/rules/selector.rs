//! Which events are of a class. Looks only at fields that are never personal, so that a class tells nothing of people.

use attestore_record::Event;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Says which new events are of a class: those that match every list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Actions; `*` stands for any characters, also none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// Categories of data, of which the event names one at least.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_categories: Vec<String>,
    /// Classifications.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classifications: Vec<String>,
    /// Severities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<String>,
}

impl Selector {
    /// Whether an event is of the class.
    pub fn matches(&self, event: &Event<'_>) -> bool {
        let one_of = |names: &[String], name: Option<&str>| {
            names.is_empty() || name.is_some_and(|name| names.iter().any(|one| one == name))
        };
        let categories = || {
            let mut named = event.data_categories.iter();
            self.data_categories.is_empty()
                || named.any(|name| self.data_categories.iter().any(|one| one == name))
        };
        one_of(
            &self.classifications,
            event.classification.map(|value| value.as_str()),
        ) && one_of(&self.severities, event.severity.map(|value| value.as_str()))
            && categories()
            && (self.actions.is_empty() || self.actions.iter().any(|glob| is_like(glob, &event.action)))
    }

    /// Checks its limits.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<()> {
        use attestore_record::event::{Classification, Severity};
        let lists = [
            &self.actions,
            &self.data_categories,
            &self.classifications,
            &self.severities,
        ];
        if lists.iter().all(|list| list.is_empty()) {
            return Err(invalid(
                "a selector names actions, categories, classifications or severities",
            ));
        }
        if lists.iter().any(|list| list.len() > ITEMS_MAX) {
            return Err(invalid("a list of a selector has at most 64 items"));
        }
        let fits = |text: &String| (1..=ITEM_BYTES_MAX).contains(&text.len());
        if !lists.iter().all(|list| list.iter().all(fits)) {
            return Err(invalid("an item of a selector has 1 to 128 bytes"));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.*".contains(&byte);
        if !self.actions.iter().all(|glob| glob.bytes().all(plain)) {
            return Err(invalid(
                "an action of a selector has lower-case letters, digits, `_`, `.` and `*`",
            ));
        }
        let known = |name: &String| Classification::from_name(name).is_some();
        if !self.classifications.iter().all(known) {
            return Err(invalid("no such classification"));
        }
        if !self
            .severities
            .iter()
            .all(|name| Severity::from_name(name).is_some())
        {
            return Err(invalid("no such severity"));
        }
        Ok(())
    }
}

/// Whether a text is like a pattern in which `*` stands for any characters.
fn is_like(glob: &str, text: &str) -> bool {
    let (glob, text) = (glob.as_bytes(), text.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Where the last `*` was, and how much it stands for so far.
    let mut star = None;
    while here < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(byte) if *byte == text[here] => {
                at += 1;
                here += 1;
            }
            _ => match star {
                Some((of, from)) => {
                    star = Some((of, from + 1));
                    at = of + 1;
                    here = from + 1;
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

fn invalid(message: &str) -> Error {
    Error::Invalid {
        code: "invalid_selector",
        message: message.to_owned(),
    }
}

const ITEMS_MAX: usize = 64;
const ITEM_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (glob, text, like) in [
            ("user.*", "user.create", true),
            ("user.*", "user", false),
            ("*", "a.b", true),
            ("*.delete", "a.b.delete", true),
            ("*.delete", "a.b.deleted", false),
            ("a*b*c", "a.xx.b.yy.c", true),
            ("a*b*c", "a.xx.c.yy.b", false),
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a**", "a", true),
        ] {
            assert_eq!(is_like(glob, text), like, "{glob} {text}");
        }
    }

    #[test]
    fn every_list_that_is_given_must_match() {
        let event = Event {
            action: "card.read".into(),
            data_categories: vec!["chd".into(), "pii".into()],
            ..Event::default()
        };
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let mut selector = Selector {
            actions: list(&["card.*"]),
            data_categories: list(&["chd"]),
            ..Selector::default()
        };
        assert!(selector.matches(&event) && selector.check().is_ok());
        selector.severities = list(&["alert"]);
        assert!(!selector.matches(&event));
        selector.severities = list(&["loud"]);
        assert!(selector.check().is_err() && Selector::default().check().is_err());
    }
}
