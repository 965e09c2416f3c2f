//! Why an event is refused: a stable code, the place in the event, a sentence.

use std::fmt;

/// Stable machine-readable reason. The text form ([`ErrorCode::as_str`]) is part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// The bytes are not JSON (RFC 8259).
    InvalidJson,
    /// A name occurs twice in one object.
    DuplicateKey,
    /// A field that the model does not have.
    UnknownField,
    /// A required field is absent.
    MissingField,
    /// A value of another JSON type than the field has.
    WrongType,
    /// Free-form JSON nests too deeply.
    TooDeep,
    /// A string or a free-form value is too long.
    TooLong,
    /// An array or object has too many elements.
    TooMany,
    /// The bytes are not UTF-8, or a `\u` escape is half of a surrogate pair.
    InvalidUtf8,
    /// A time that is not RFC 3339, or lies before 1970.
    InvalidTime,
    /// `occurred_at` lies further ahead of the server's clock than tolerated.
    OccurredInFuture,
    /// A value of the right type that the field does not allow.
    InvalidValue,
    /// A field that only the server sets.
    ServerField,
    /// The whole event is too large.
    EventTooLarge,
    /// A value that the tenant's privacy policy refuses.
    ValueRefused,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::InvalidJson,
        Self::DuplicateKey,
        Self::UnknownField,
        Self::MissingField,
        Self::WrongType,
        Self::TooDeep,
        Self::TooLong,
        Self::TooMany,
        Self::InvalidUtf8,
        Self::InvalidTime,
        Self::OccurredInFuture,
        Self::InvalidValue,
        Self::ServerField,
        Self::EventTooLarge,
        Self::ValueRefused,
    ];

    /// Returns the stable snake_case text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::DuplicateKey => "duplicate_key",
            Self::UnknownField => "unknown_field",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::TooDeep => "too_deep",
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidTime => "invalid_time",
            Self::OccurredInFuture => "occurred_in_future",
            Self::InvalidValue => "invalid_value",
            Self::ServerField => "server_field",
            Self::EventTooLarge => "event_too_large",
            Self::ValueRefused => "value_refused",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} at {path:?}: {message}")]
pub struct EventError {
    /// Stable reason.
    pub code: ErrorCode,
    /// JSON pointer (RFC 6901) of the offending place; empty for the event as a whole.
    pub path: String,
    /// A sentence for people. Holds no values of the event, so that it can be logged.
    pub message: String,
}

impl EventError {
    /// Makes an error about the value at hand; callers further out add their path with [`EventError::under`].
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            code,
            path: String::new(),
            message: message.into(),
        })
    }

    /// Puts one more segment in front of the path.
    pub(crate) fn under(mut self: Box<Self>, segment: &str) -> Box<Self> {
        let mut path = String::with_capacity(segment.len() + self.path.len() + 1);
        crate::json::pointer::push_segment(&mut path, segment);
        path.push_str(&self.path);
        self.path = path;
        self
    }

    /// Puts one more array index in front of the path.
    pub(crate) fn under_index(self: Box<Self>, index: usize) -> Box<Self> {
        self.under(&index.to_string())
    }
}
