//! Mappings: other people's audit records to native events, as data.
//!
//! A mapping is a TOML file: an ordered list of rules, each of which says where one field of the event comes from.
//! The first rule for a field that yields a value wins. `docs/event.md` describes the file.
//!
//! Foreign records are read into a tree, since rules look at them in any order; numbers keep their digits there. The
//! original that becomes the `payload` is copied verbatim without insignificant white space and never goes through that tree.
//!
//! # Example
//! ```
//! use attestore_record::mapping::Mapping;
//!
//! let mapping = Mapping::from_toml(r#"
//!     name = "door"
//!     [[set]]
//!     to = "/action"
//!     const = "door.open"
//!     [[set]]
//!     to = "/actor/type"
//!     const = "badge"
//!     [[set]]
//!     to = "/actor/id"
//!     from = ["/badge/number", "/badge/serial"]
//!     required = true
//! "#).unwrap();
//! let event = mapping.apply(br#"{"badge":{"number":17}}"#).unwrap();
//! assert_eq!(event, br#"{"action":"door.open","actor":{"type":"badge","id":"17"}}"#);
//! assert_eq!(mapping.apply(br#"{"badge":{}}"#).unwrap_err().path, "/badge/number");
//! ```

mod apply;
mod file;
mod foreign;
mod transform;

use apply::Node;

/// A compiled mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    name: String,
    /// The event's fields, an object.
    root: Node,
    /// Whether the original becomes the payload.
    keep_original: bool,
}

/// A mapping file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mapping file: {0}")]
pub struct MappingFileError(String);

/// A foreign record that cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?}: {message}")]
pub struct MappingError {
    /// JSON pointer into the foreign record.
    pub path: String,
    /// A sentence for people.
    pub message: String,
}

/// Names and texts of the presets.
const PRESETS: [(&str, &str); 4] = [
    ("cloudevents", include_str!("presets/cloudevents.toml")),
    ("cloudtrail", include_str!("presets/cloudtrail.toml")),
    ("ecs", include_str!("presets/ecs.toml")),
    ("otlp", include_str!("presets/otlp.toml")),
];

impl Mapping {
    /// Compiles a mapping file.
    ///
    /// # Errors
    /// [`MappingFileError`] naming the offending rule.
    pub fn from_toml(text: &str) -> Result<Self, MappingFileError> {
        file::compile(text).map_err(MappingFileError)
    }

    /// Returns a preset by name, as `cloudtrail`.
    pub fn builtin(name: &str) -> Option<Self> {
        let (_, text) = PRESETS.iter().find(|(preset, _)| *preset == name)?;
        Some(Self::from_toml(text).expect("presets are tested"))
    }

    /// Returns the names of the presets.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        PRESETS.iter().map(|(name, _)| *name)
    }

    /// Returns the mapping's name, used as the ingest protocol of its records.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Maps a foreign record to the JSON text of a native event, which [`crate::event::parse`] then judges.
    ///
    /// # Errors
    /// [`MappingError`] when the record is not JSON or lacks what a required rule needs.
    pub fn apply(&self, foreign: &[u8]) -> Result<Vec<u8>, MappingError> {
        apply::apply(&self.root, self.keep_original, foreign)
    }
}
