//! What can go wrong, as the caller should see it: a stable code, a status, and a sentence.

use std::io;
use std::path::{Path, PathBuf};

/// The result of most operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation other than opening and appending failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such tenant, or the caller may not know of it.
    #[error("no such tenant")]
    UnknownTenant,
    /// No such record in this tenant.
    #[error("no such record")]
    UnknownRecord,
    /// No such thing of another kind.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A name that is not allowed.
    #[error("{what} must match {rule}")]
    InvalidName {
        /// What the name is of.
        what: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// A value that is not allowed.
    #[error("{message}")]
    Invalid {
        /// Stable code.
        code: &'static str,
        /// A sentence.
        message: String,
    },
    /// A query that does not parse or asks for too much.
    #[error("query: {message}")]
    Query {
        /// A sentence.
        message: String,
        /// Where, in characters from 0.
        column: Option<usize>,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A cursor that was not made by this log for this query.
    #[error("cursor is not valid here")]
    InvalidCursor,
    /// A tree size or tile beyond the signed tree.
    #[error("beyond the tree of size {size}")]
    BeyondTree {
        /// Size of the tree.
        size: u64,
    },
    /// The caller's roles do not allow this.
    #[error("not allowed")]
    Forbidden,
    /// Who asks was recognised, and does not work any more.
    #[error("the credential is unknown, expired or revoked")]
    Unauthenticated,
    /// A thing was changed since the caller looked at it.
    #[error("the {0} was changed meanwhile: look again")]
    Changed(&'static str),
    /// A thing of that name exists and differs.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// The data that the answer needs was destroyed on purpose.
    #[error("erased: {0}")]
    Erased(&'static str),
    /// A record that was purged, or erased whole. Its entry and every proof of it stay.
    #[error("record {seq} was {}; record {by} of the log says why", why.name())]
    Gone {
        /// Its seq.
        seq: u64,
        /// What became of it.
        why: crate::forget::Why,
        /// Seq of the control record that says so.
        by: u64,
        /// Since when it is gone, Unix milliseconds.
        since_ms: u64,
    },
    /// Stored bytes are not what was written.
    #[error("damaged: {}, offset {offset}: {reason}", path.display())]
    Damage {
        /// The file, relative to the data directory.
        path: PathBuf,
        /// Byte offset in it.
        offset: u64,
        /// What does not hold.
        reason: String,
    },
    /// A key is missing or wrong.
    #[error("key: {0}")]
    Key(String),
    /// What holds the root key cannot be reached now; it is tried again.
    #[error("root key: {0}")]
    RootUnavailable(String),
    /// The key that signs for a log is in a security module that does not sign now. What is durable is durable.
    #[error("signing: {0}")]
    SigningUnavailable(String),
    /// The folder or bucket of the backups cannot be read now. What they hold is not in doubt.
    #[error("the target of the backups: {0}")]
    TargetUnavailable(String),
    /// The system refused a read or write.
    #[error("input/output: {0}")]
    Io(String),
    /// The engine stopped after a failed write and must be opened anew.
    #[error("stopped: {0}")]
    Stopped(String),
    /// An append on the caller's behalf was refused.
    #[error(transparent)]
    Append(Box<AppendError>),
    /// The work took longer than allowed.
    #[error("took longer than allowed")]
    Deadline,
    /// Nobody waits for the answer any more.
    #[error("cancelled")]
    Cancelled,
    /// More things of a kind are there than allowed; later there may be fewer.
    #[error("{message}")]
    TooMany {
        /// Stable code.
        code: &'static str,
        /// A sentence.
        message: String,
    },
    /// The thing is in a state in which this cannot be done.
    #[error("{message}")]
    Conflict {
        /// Stable code.
        code: &'static str,
        /// A sentence.
        message: String,
    },
    /// The act takes two persons, and the other one has not approved it yet.
    #[error("another person has to approve this")]
    ApprovalNeeded {
        /// Name of the tenant.
        tenant: String,
        /// The request.
        approval: Box<crate::forget::approvals::Approval>,
    },
    /// The answer would take scanning more records than allowed.
    #[error("{message}")]
    NotIndexed {
        /// What is not indexed, and what can be done about it.
        message: String,
    },
}

impl Error {
    /// The stable machine-readable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTenant => "unknown_tenant",
            Self::UnknownRecord => "unknown_record",
            Self::NotFound(_) => "not_found",
            Self::InvalidName { .. } => "invalid_name",
            Self::Invalid { code, .. } | Self::TooMany { code, .. } | Self::Conflict { code, .. } => code,
            Self::Query { .. } => "invalid_query",
            Self::InvalidCursor => "invalid_cursor",
            Self::BeyondTree { .. } => "beyond_tree",
            Self::Forbidden => "forbidden",
            Self::Unauthenticated => "unauthenticated",
            Self::Changed(_) => "changed",
            Self::Exists(_) => "exists",
            Self::Erased(_) => "erased",
            Self::Gone { why, .. } => why.name(),
            Self::Damage { .. } => "damaged",
            Self::Key(_) => "key",
            Self::RootUnavailable(_) => "root_unavailable",
            Self::SigningUnavailable(_) => "signing_unavailable",
            Self::TargetUnavailable(_) => "backup_target_unavailable",
            Self::Io(_) => "io",
            Self::Stopped(_) => "stopped",
            Self::Append(error) => error.code(),
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::ApprovalNeeded { .. } => "approval_needed",
            Self::NotIndexed { .. } => "not_indexed",
        }
    }

    /// The HTTP status that fits.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownTenant | Self::UnknownRecord | Self::NotFound(_) | Self::BeyondTree { .. } => 404,
            Self::InvalidName { .. }
            | Self::Invalid { .. }
            | Self::Query { .. }
            | Self::InvalidCursor
            | Self::NotIndexed { .. } => 400,
            Self::ApprovalNeeded { .. } => 202,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::Exists(_) | Self::Conflict { .. } => 409,
            Self::TooMany { .. } => 429,
            Self::Erased(_) | Self::Gone { .. } => 410,
            Self::Changed(_) => 412,
            Self::Damage { .. } | Self::Key(_) | Self::Io(_) => 500,
            Self::Stopped(_)
            | Self::RootUnavailable(_)
            | Self::SigningUnavailable(_)
            | Self::TargetUnavailable(_)
            | Self::Deadline
            | Self::Cancelled => 503,
            Self::Append(error) => error.status(),
        }
    }

    pub(crate) fn damage(path: impl AsRef<Path>, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damage {
            path: path.as_ref().to_path_buf(),
            offset,
            reason: reason.into(),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

impl From<attestore_keys::Error> for Error {
    fn from(error: attestore_keys::Error) -> Self {
        if error.is_damage() {
            Self::Damage {
                path: "catalog".into(),
                offset: 0,
                reason: error.to_string(),
            }
        } else if let attestore_keys::Error::Unreachable { what } = error {
            Self::RootUnavailable(what)
        } else if error.is_key() {
            Self::Key(error.to_string())
        } else {
            Self::Io(error.to_string())
        }
    }
}

/// Why an instance does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory.
    #[error("the data directory is in use by another process")]
    InUse,
    /// Stored bytes are not what was written. Nothing was changed.
    #[error("damaged: {}, offset {offset}: {reason}", path.display())]
    Damage {
        /// The file, relative to the data directory.
        path: PathBuf,
        /// Byte offset in it.
        offset: u64,
        /// What does not hold.
        reason: String,
    },
    /// A key is missing or wrong. Nothing was changed.
    #[error("key: {0}")]
    Key(String),
    /// A newer version of this program wrote it. Nothing was changed.
    #[error(
        "{}: {what} has version {found}, and this program knows versions up to {known}: a newer Attestore wrote it. Nothing was changed. Start \
         that version or a newer one, or restore a backup that this version made into an empty directory (docs/operations.md, Upgrading and \
         going back)",
        path.display()
    )]
    Newer {
        /// The file, relative to the data directory.
        path: PathBuf,
        /// What has a version.
        what: &'static str,
        /// The version that was found.
        found: u64,
        /// The newest version that is known.
        known: u64,
    },
    /// A setting does not fit the data.
    #[error("settings: {0}")]
    Settings(String),
    /// The system refused.
    #[error("input/output: {0}")]
    Io(#[from] io::Error),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl OpenError {
    /// The process's exit code: 3 damage, 4 keys, 5 in use, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Damage { .. } => 3,
            Self::Key(_) => 4,
            Self::InUse => 5,
            Self::Newer { .. } | Self::Settings(_) | Self::Io(_) | Self::Other(_) => 1,
        }
    }

    pub(crate) fn damage(path: impl AsRef<Path>, offset: u64, reason: impl Into<String>) -> Self {
        Self::Damage {
            path: path.as_ref().to_path_buf(),
            offset,
            reason: reason.into(),
        }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        match error {
            Error::Damage { path, offset, reason } => Self::Damage { path, offset, reason },
            Error::Key(what) | Error::RootUnavailable(what) | Error::SigningUnavailable(what) => {
                Self::Key(what)
            }
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<attestore_keys::Error> for OpenError {
    fn from(error: attestore_keys::Error) -> Self {
        Error::from(error).into()
    }
}

/// Why an append as a whole was refused. Unless it says so, nothing of it was or will be stored.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No such tenant.
    #[error("no such tenant")]
    UnknownTenant,
    /// More work is waiting than the server takes on; try again.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
        /// Which limit was met.
        reason: &'static str,
    },
    /// The tenant's quota is used up.
    #[error("the tenant's quota of {quota} is used up")]
    Quota {
        /// Which.
        quota: &'static str,
        /// When there is some again, if time alone helps.
        retry_after_ms: Option<u64>,
    },
    /// The reserve of free space was reached.
    #[error("no space left for appends")]
    NoSpace,
    /// More bytes than one append may carry.
    #[error("an append carries at most {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The data is older than what was once signed; appends wait for a fork.
    #[error("rolled back: {reason}")]
    Rollback {
        /// What was found.
        reason: String,
    },
    /// The wall clock ran ahead of the boot clock; appends wait for an operator.
    #[error(
        "the clock stepped {ahead_ms} ms ahead: set it right, or confirm it with `attestore clock confirm`"
    )]
    ClockJump {
        /// By how much.
        ahead_ms: u64,
    },
    /// In atomic mode: at least one event was refused, so none was stored.
    #[error("{} of the events refused", errors.len())]
    Refused {
        /// Index in the request and reason, ascending.
        errors: Vec<(usize, ItemError)>,
    },
    /// A write failed and the engine stopped. **Whether the records are stored is not known.**
    #[error("stopped, outcome unknown: {0}")]
    Stopped(String),
    /// The engine is closing; nothing was stored.
    #[error("closing")]
    Closing,
    /// The tenant's data could not be read; nothing was stored.
    #[error(transparent)]
    Internal(Box<Error>),
}

impl AppendError {
    /// The stable machine-readable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTenant => "unknown_tenant",
            Self::Overloaded { .. } => "overloaded",
            Self::Quota { .. } => "quota_exceeded",
            Self::NoSpace => "no_space",
            Self::TooLarge { .. } => "too_large",
            Self::Rollback { .. } => "rolled_back",
            Self::ClockJump { .. } => "clock_jump",
            Self::Refused { .. } => "batch_refused",
            Self::Stopped(_) => "stopped",
            Self::Closing => "closing",
            Self::Internal(error) => error.code(),
        }
    }

    /// The HTTP status that fits.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownTenant => 404,
            Self::Overloaded { .. } | Self::Stopped(_) | Self::Closing | Self::ClockJump { .. } => 503,
            Self::Quota { retry_after_ms, .. } => match retry_after_ms {
                Some(_) => 429,
                None => 507,
            },
            Self::NoSpace => 507,
            Self::TooLarge { .. } => 413,
            Self::Rollback { .. } => 409,
            Self::Refused { errors } => errors.first().map_or(422, |(_, error)| error.status),
            Self::Internal(error) => error.status(),
        }
    }
}

impl From<Error> for AppendError {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownTenant => Self::UnknownTenant,
            Error::Append(error) => *error,
            other => Self::Internal(Box::new(other)),
        }
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        Self::Append(Box::new(error))
    }
}

/// Why one event of an append was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// Stable code.
    pub code: &'static str,
    /// JSON pointer into the event.
    pub path: String,
    /// A sentence; holds no values of the event.
    pub message: String,
    /// HTTP status that fits.
    pub status: u16,
}
