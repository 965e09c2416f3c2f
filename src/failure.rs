//! How a command ends when it does not end well: an exit code and one clear text.
//!
//! Codes: 1 failed, 2 usage, 3 tampering or damage found, 4 keys missing or wrong, 5 directory in use.

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    /// Exit code of the process.
    pub code: u8,
    /// What to tell the user; no trailing newline.
    pub message: String,
}

/// Failed for another reason than the ones that have a code of their own.
pub const FAILED: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// Tampering or damage was found.
pub const DAMAGE: u8 = 3;
/// Keys are missing or wrong.
pub const KEYS: u8 = 4;

impl Failure {
    /// Makes a failure.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FAILED, message)
    }

    /// Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// Exit code 3.
    pub fn damage(message: impl Into<String>) -> Self {
        Self::new(DAMAGE, message)
    }

    /// Writes the message to standard error; a closed pipe is no reason to panic.
    pub fn report(&self) {
        use std::io::Write;
        let mut err = anstream::stderr();
        let _ = writeln!(err, "attestore: {}", self.message);
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::failed(format!("unexpected JSON: {error}"))
    }
}

impl From<attestore_engine::OpenError> for Failure {
    fn from(error: attestore_engine::OpenError) -> Self {
        Self::new(error.exit_code(), error.to_string())
    }
}

impl From<attestore_engine::Error> for Failure {
    fn from(error: attestore_engine::Error) -> Self {
        Self::failed(error.to_string())
    }
}
