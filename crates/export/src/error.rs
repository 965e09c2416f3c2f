//! What can go wrong.

/// Why a record was not written, or an export cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The event's text is not the JSON that an event is.
    #[error("record {seq} is not an event: {reason}")]
    Malformed {
        /// The record's index in its log.
        seq: u64,
        /// What does not fit; holds no values.
        reason: String,
    },
    /// This program was built without the format.
    #[error("this server was built without the format {0}")]
    NotBuilt(&'static str),
    /// Fields cannot be chosen in this format.
    #[error("fields cannot be chosen for {0}")]
    NoFields(&'static str),
    /// A compression that the format does not go with.
    #[error("{0} cannot be compressed with {1}")]
    NoCompression(&'static str, &'static str),
    /// A format that is not written record by record.
    #[error("{0} is not written record by record")]
    NoEncoder(&'static str),
    /// A writer of a library failed, which it only does when memory runs out or it has a fault.
    #[error("{0}")]
    Writer(String),
}
