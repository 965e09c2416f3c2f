//! What becomes of values that detectors find in an event's public fields.
//!
//! # Format
//! `{"email":"personal","payment_card":{"sure":"redact","suspected":"flag"}}`: detectors and what is done; one word
//! stands for both. A detector that is not named is off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::{Confidence, Detector, Detectors, Family};

/// What is done about a value. Of several, the last one named here wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is not looked for.
    #[default]
    Off,
    /// It is counted.
    Flag,
    /// The field that holds it is personal: about every subject of the event, about the actor where there is none. A
    /// field that cannot be personal is redacted.
    Personal,
    /// `[redacted:<detector>]` stands in its place, before anything is hashed.
    Redact,
    /// The event is refused.
    Refuse,
}

impl Action {
    /// Returns the text used in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Flag => "flag",
            Self::Personal => "personal",
            Self::Redact => "redact",
            Self::Refuse => "refuse",
        }
    }
}

/// What is done about the values of each detector.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Setting>", into = "BTreeMap<String, Setting>")]
pub struct Detection {
    settings: BTreeMap<Detector, Setting>,
    wanted: Detectors,
    wanted_in_personal: Detectors,
    makes_personal: bool,
}

/// What is done about the values of one detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// About all of them.
    Each(Action),
    /// By how sure a hit is.
    By(BySureness),
}

/// What is done, by how sure a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BySureness {
    /// About sure hits.
    pub sure: Action,
    /// About suspected ones.
    #[serde(default)]
    pub suspected: Action,
}

impl Setting {
    fn action(self, confidence: Confidence) -> Action {
        match (self, confidence) {
            (Self::Each(action), _) => action,
            (Self::By(by), Confidence::Sure) => by.sure,
            (Self::By(by), Confidence::Suspected) => by.suspected,
        }
    }

    fn both(self) -> [Action; 2] {
        [Confidence::Sure, Confidence::Suspected].map(|confidence| self.action(confidence))
    }
}

/// A detector that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no detector {0:?}")]
pub struct UnknownDetector(pub String);

impl Detection {
    /// Makes settings.
    pub fn new(settings: impl IntoIterator<Item = (Detector, Setting)>) -> Self {
        let mut detection = Self::default();
        for (detector, setting) in settings {
            let actions = setting.both();
            if actions == [Action::Off; 2] {
                continue;
            }
            detection.wanted = detection.wanted.with(detector);
            detection.makes_personal |= actions.contains(&Action::Personal);
            let strict = actions.iter().any(|action| *action >= Action::Redact);
            if strict && reaches_personal(detector) {
                detection.wanted_in_personal = detection.wanted_in_personal.with(detector);
            }
            detection.settings.insert(detector, setting);
        }
        detection
    }

    /// Tells whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    /// Returns what is done about a hit.
    pub fn action(&self, detector: Detector, confidence: Confidence) -> Action {
        let setting = self.settings.get(&detector);
        setting.map_or(Action::Off, |setting| setting.action(confidence))
    }

    /// What is looked for in public fields.
    pub(crate) fn wanted(&self) -> Detectors {
        self.wanted
    }

    /// What is looked for in personal fields too.
    pub(crate) fn wanted_in_personal(&self) -> Detectors {
        self.wanted_in_personal
    }

    /// Whether a hit can make a field personal.
    pub(crate) fn makes_personal(&self) -> bool {
        self.makes_personal
    }
}

/// What nobody should keep, whomever it is about: it is redacted and refused in personal fields as well. What else is
/// found there belongs there.
fn reaches_personal(detector: Detector) -> bool {
    detector.family() == Family::Secret || detector == Detector::PaymentCard
}

impl TryFrom<BTreeMap<String, Setting>> for Detection {
    type Error = UnknownDetector;

    fn try_from(settings: BTreeMap<String, Setting>) -> Result<Self, UnknownDetector> {
        let read = |(name, setting): (String, Setting)| match Detector::from_name(&name) {
            Some(detector) => Ok((detector, setting)),
            None => Err(UnknownDetector(name)),
        };
        let settings: Vec<_> = settings.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self::new(settings))
    }
}

impl From<Detection> for BTreeMap<String, Setting> {
    fn from(detection: Detection) -> Self {
        let named = |(detector, setting): (Detector, Setting)| (detector.as_str().to_owned(), setting);
        detection.settings.into_iter().map(named).collect()
    }
}
