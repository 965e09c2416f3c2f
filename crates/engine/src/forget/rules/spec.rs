//! What somebody wants a class to be.

use attestore_record::control::{Erasable, RetentionMode, RetentionPolicy};
use attestore_record::entry::{CLASS_CONTROL, CLASS_DEFAULT};

use super::{Rules, Selector};
use crate::error::{Error, Result};

/// A class to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSpec {
    /// Its number: 1 for events that no other class takes, 2 to 65535 for others.
    pub class: u16,
    /// What people call it.
    pub name: String,
    /// Records are not purged before they are so old, milliseconds; 0 for no minimum.
    pub keep_min_ms: u64,
    /// Records are due once they are so old, milliseconds; `None` for never.
    pub keep_max_ms: Option<u64>,
    /// The law or contract that it follows.
    pub basis: String,
    /// How the minimum is locked.
    pub mode: RetentionMode,
    /// What of a record may be erased on request.
    pub erasable: Erasable,
    /// Which new events are of the class; `None` for none, and for class 1.
    pub select: Option<Selector>,
}

/// Something about a policy that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable code.
    pub code: &'static str,
    /// A sentence.
    pub message: String,
}

impl ClassSpec {
    /// Checks what can be checked without knowing what is in force.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(super) fn check(&self) -> Result<()> {
        if self.class == CLASS_CONTROL {
            return Err(invalid("class 0 is that of control records, which stay for ever"));
        }
        let fits = |text: &str, most| text.chars().count() <= most && !text.chars().any(char::is_control);
        if self.name.trim().is_empty() || !fits(&self.name, NAME_CHARS_MAX) {
            return Err(invalid(
                "a class has a name of 1 to 128 characters, none of them a control character",
            ));
        }
        if !fits(&self.basis, BASIS_CHARS_MAX) {
            return Err(invalid(
                "a basis has at most 1024 characters, none of them a control character",
            ));
        }
        if self.keep_max_ms.is_some_and(|max| max < self.keep_min_ms) {
            return Err(invalid(
                "records cannot be due before they may go: `keep_max_ms` is below `keep_min_ms`",
            ));
        }
        if self.keep_min_ms.max(self.keep_max_ms.unwrap_or(0)) > AGE_MS_MAX {
            return Err(invalid("ages are at most 1000 years"));
        }
        match &self.select {
            Some(_) if self.class == CLASS_DEFAULT => Err(invalid(
                "class 1 takes the events that no other class takes: it has no selector",
            )),
            Some(select) => select.check(),
            None => Ok(()),
        }
    }

    /// The policy that the log is told.
    pub(super) fn policy(&self, approved_by: Vec<String>) -> RetentionPolicy {
        RetentionPolicy {
            class: self.class,
            name: self.name.clone(),
            keep_min_ms: self.keep_min_ms,
            keep_max_ms: self.keep_max_ms,
            basis: self.basis.clone(),
            mode: self.mode,
            erasable: self.erasable,
            approved_by,
        }
    }

    /// What somebody should look at.
    pub(super) fn warnings(&self, rules: &Rules) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |code, message: String| warnings.push(Warning { code, message });
        if self.basis.trim().is_empty() {
            warn(
                "no_basis",
                "no law or contract says why records are kept so long".to_owned(),
            );
        }
        let personal = self.erasable != Erasable::No;
        match self.keep_max_ms {
            None => warn(
                "kept_for_ever",
                "nothing of the class ever falls due: personal data is to be kept no longer than necessary"
                    .to_owned(),
            ),
            Some(max) if personal && max > YEAR_MS && self.basis.trim().is_empty() => warn(
                "long_maximum",
                "logs with personal data that are kept for more than 12 months need a documented reason"
                    .to_owned(),
            ),
            Some(max) if max > 3 * YEAR_MS && personal => warn(
                "long_maximum",
                "more than 3 years is long for logs with personal data: see that the basis carries it"
                    .to_owned(),
            ),
            Some(max) if max == self.keep_min_ms && max > 0 => warn(
                "no_slack",
                "minimum and maximum are the same: a hold or a stopped server makes records overdue at once"
                    .to_owned(),
            ),
            Some(_) => {}
        }
        if self.mode == RetentionMode::Compliance {
            warn(
                "locked",
                "nobody can shorten the minimum, leave the mode or let more be erased, ever".to_owned(),
            );
            if self.keep_min_ms == 0 {
                warn("empty_lock", "the mode locks a minimum of nothing".to_owned());
            }
        }
        if self.class != CLASS_DEFAULT && self.select.is_none() {
            warn(
                "takes_nothing",
                "without a selector no new event is of the class".to_owned(),
            );
        }
        if let Some(select) = &self.select
            && let Some((lower, _)) = rules
                .selectors
                .iter()
                .find(|(class, other)| *class < self.class && other == select)
        {
            warn(
                "shadowed",
                format!("class {lower} takes the same events, and lower numbers go first"),
            );
        }
        warnings
    }
}

fn invalid(message: &str) -> Error {
    Error::Invalid {
        code: "invalid_retention",
        message: message.to_owned(),
    }
}

const NAME_CHARS_MAX: usize = 128;
const BASIS_CHARS_MAX: usize = 1024;
const YEAR_MS: u64 = 366 * 24 * 3_600_000;
const AGE_MS_MAX: u64 = 1000 * YEAR_MS;
