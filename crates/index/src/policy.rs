//! What of a record is indexed: one setting a tenant, kept in every split.
//!
//! A policy decides what a split answers by itself. What it leaves out can still be found, by indexing the records in
//! question again under a policy that has it.

use serde::{Deserialize, Serialize};

use crate::schema::Label;

/// A policy lists at most this many paths: each may be a column of every split, on both sides.
pub const PATHS_MAX: usize = 64;
/// Length of a path (bytes).
pub const PATH_BYTES_MAX: usize = 256;

/// How readable strings are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextIndex {
    /// Not at all.
    None,
    /// By word.
    #[default]
    Words,
    /// By word and place, so that phrases can be found.
    Positions,
}

/// What of personal values is indexed. What is not is found by looking through the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonalIndex {
    /// Nothing: the index holds no personal value.
    None,
    /// Exact values and columns, and no words.
    Exact,
    /// As of other values.
    #[default]
    All,
}

impl PersonalIndex {
    /// As of other values. Policies do not say so, as they did before they could.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// What of a record is indexed. The fixed fields of an event always are, but for what `personal` leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IndexPolicy {
    /// Readable strings.
    pub text: TextIndex,
    /// `metadata`: exact values at every path, and its strings are readable strings.
    pub metadata: bool,
    /// Strings of `payload`, `targets.attributes`, `changes.old` and `changes.new` are readable strings.
    pub payload_text: bool,
    /// Paths whose values are found exactly and have a column, for ranges, sorting and aggregations: ascending, at most
    /// [`PATHS_MAX`], each `metadata.…`, `payload.…` or `targets.attributes.…`. A path stands for the scalars at it,
    /// also within arrays, not for what is beneath.
    pub paths: Vec<String>,
    /// Values of personal groups.
    #[serde(skip_serializing_if = "PersonalIndex::is_all")]
    pub personal: PersonalIndex,
}

/// A policy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There are too many paths.
    #[error("an index has at most {PATHS_MAX} paths")]
    Paths,
    /// A path does not lead into a free-form value.
    #[error("no path {0:?}: paths start with metadata., payload. or targets.attributes.")]
    Root(String),
    /// A path is too long, has an empty name, or a character that no path can have.
    #[error(
        "path {0:?} is longer than {PATH_BYTES_MAX} bytes, or has an empty name, a control character or a backslash"
    )]
    Path(String),
}

impl Default for IndexPolicy {
    fn default() -> Self {
        Self {
            text: TextIndex::Words,
            metadata: true,
            payload_text: true,
            paths: Vec::new(),
            personal: PersonalIndex::All,
        }
    }
}

impl IndexPolicy {
    /// The least that can be indexed.
    pub const fn minimal() -> Self {
        Self {
            text: TextIndex::None,
            metadata: false,
            payload_text: false,
            paths: Vec::new(),
            personal: PersonalIndex::None,
        }
    }

    /// Checks the paths and puts them in order.
    ///
    /// # Errors
    /// [`PolicyError`] for the first path that is none.
    pub fn checked(mut self) -> Result<Self, PolicyError> {
        self.paths.sort_unstable();
        self.paths.dedup();
        if self.paths.len() > PATHS_MAX {
            return Err(PolicyError::Paths);
        }
        for path in &self.paths {
            let (_, inside) = at_root(path).ok_or_else(|| PolicyError::Root(path.clone()))?;
            let bad = |c: char| c.is_control() || c == '\\';
            if path.len() > PATH_BYTES_MAX || path.contains(bad) || inside.split('.').any(str::is_empty) {
                return Err(PolicyError::Path(path.clone()));
            }
        }
        Ok(self)
    }

    /// The least policy that covers both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut paths: Vec<String> = self.paths.iter().chain(&other.paths).cloned().collect();
        paths.sort_unstable();
        paths.dedup();
        Self {
            text: self.text.max(other.text),
            metadata: self.metadata || other.metadata,
            payload_text: self.payload_text || other.payload_text,
            paths,
            personal: self.personal.max(other.personal),
        }
    }

    /// Tells whether what the other indexes is indexed here too.
    pub fn covers(&self, other: &Self) -> bool {
        self.text >= other.text
            && self.metadata >= other.metadata
            && self.payload_text >= other.payload_text
            && self.personal >= other.personal
            && other.paths.iter().all(|path| self.paths.contains(path))
    }
}

/// Splits a path into the kind of its terms and the path by which they are known: metadata goes without its root.
pub(crate) fn at_root(path: &str) -> Option<(Label, &str)> {
    match path.strip_prefix("metadata.") {
        Some(inside) if !inside.is_empty() => Some((Label::Metadata, inside)),
        Some(_) => None,
        None => ["payload.", "targets.attributes."]
            .iter()
            .any(|root| path.len() > root.len() && path.starts_with(root))
            .then_some((Label::Json, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::{IndexPolicy, PATHS_MAX, PersonalIndex, PolicyError, TextIndex};

    fn with(paths: &[&str]) -> IndexPolicy {
        IndexPolicy {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..IndexPolicy::default()
        }
    }

    #[test]
    fn paths_are_checked_and_put_in_order() {
        let policy = with(&["payload.b.c", "metadata.a", "payload.b.c", "targets.attributes.x"]);
        let paths = policy.checked().unwrap().paths;
        assert_eq!(paths, ["metadata.a", "payload.b.c", "targets.attributes.x"]);
        for path in [
            "",
            "payload",
            "payload.",
            "metadata.",
            "action",
            "payloads.a",
            "targets.id",
        ] {
            assert_eq!(with(&[path]).checked(), Err(PolicyError::Root(path.to_owned())));
        }
        let long = format!("payload.{}", "x".repeat(300));
        for path in [
            "payload.a..b",
            "payload.a.",
            "payload..a",
            "payload.a\\.b",
            "payload.\0",
            long.as_str(),
        ] {
            assert_eq!(with(&[path]).checked(), Err(PolicyError::Path(path.to_owned())));
        }
        let many: Vec<String> = (0..=PATHS_MAX).map(|n| format!("payload.{n}")).collect();
        let many = IndexPolicy {
            paths: many,
            ..IndexPolicy::default()
        };
        assert_eq!(many.checked(), Err(PolicyError::Paths));
    }

    #[test]
    fn a_policy_that_indexes_all_personal_values_is_written_as_before_there_was_a_choice() {
        let text = serde_json::to_string(&IndexPolicy::default()).unwrap();
        assert_eq!(
            text,
            r#"{"text":"words","metadata":true,"payload_text":true,"paths":[]}"#
        );
        assert_eq!(
            serde_json::from_str::<IndexPolicy>(&text).unwrap(),
            IndexPolicy::default()
        );
        let exact = IndexPolicy {
            personal: PersonalIndex::Exact,
            ..IndexPolicy::default()
        };
        let text = serde_json::to_string(&exact).unwrap();
        assert_eq!(serde_json::from_str::<IndexPolicy>(&text).unwrap(), exact);
        assert!(IndexPolicy::default().covers(&exact) && !exact.covers(&IndexPolicy::default()));
    }

    #[test]
    fn a_union_covers_both_and_nothing_more() {
        let left = IndexPolicy {
            text: TextIndex::Positions,
            ..IndexPolicy::minimal()
        };
        let right = IndexPolicy {
            text: TextIndex::Words,
            payload_text: true,
            ..with(&["metadata.a"])
        };
        let both = left.union(&right);
        assert!(both.covers(&left) && both.covers(&right));
        assert!(!left.covers(&right) && !right.covers(&left));
        assert!(IndexPolicy::default().covers(&IndexPolicy::minimal()));
        assert_eq!(both.union(&left), both);
    }

    #[test]
    fn json_leaves_out_what_is_default_and_refuses_what_is_unknown() {
        let read = |text: &str| serde_json::from_str::<IndexPolicy>(text);
        assert_eq!(read("{}").unwrap(), IndexPolicy::default());
        let positions = read(r#"{"text":"positions"}"#).unwrap();
        assert_eq!(positions.text, TextIndex::Positions);
        assert!(read(r#"{"txt":"words"}"#).is_err());
        let json = serde_json::to_string(&positions).unwrap();
        assert_eq!(read(&json).unwrap(), positions);
    }
}
