//! How the program ends when not everything holds.

/// An exit code and one clear text.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// What to tell; no trailing newline.
    pub message: String,
}

impl Failure {
    /// A file cannot be read or written: code 1.
    pub fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self {
            code: 1,
            message: format!("{}: {error}", path.display()),
        }
    }

    /// The command line makes no sense: code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            message: message.into(),
        }
    }

    /// Something does not hold: code 3.
    pub fn doubt(message: impl Into<String>) -> Self {
        Self {
            code: 3,
            message: message.into(),
        }
    }
}
