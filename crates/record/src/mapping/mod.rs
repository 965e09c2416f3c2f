//! Mappings: other people's audit records to native events, as data.

/// A compiled mapping.
pub struct Mapping {
    name: String,
}

/// A mapping file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mapping: {0}")]
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

impl Mapping {
    /// Compiles a mapping file.
    ///
    /// # Errors
    /// [`MappingFileError`] naming the offending rule.
    pub fn from_toml(text: &str) -> Result<Self, MappingFileError> {
        let _ = text;
        todo!()
    }

    /// Returns a preset by name, as `cloudtrail`.
    pub fn builtin(name: &str) -> Option<Self> {
        let _ = name;
        todo!()
    }

    /// Returns the mapping's name, used as the ingest protocol of its records.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Maps a foreign record to the JSON text of a native event.
    ///
    /// # Errors
    /// [`MappingError`] when the record is not JSON or lacks what the event needs.
    pub fn apply(&self, foreign: &[u8]) -> Result<Vec<u8>, MappingError> {
        let _ = foreign;
        todo!()
    }
}
