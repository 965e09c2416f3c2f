//! Answers to `add-checkpoint`.

use crate::request::SIZE_TYPE;

/// What is answered: an HTTP status, a media type and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// Body; signature lines only with status 200.
    pub body: String,
}

impl Answer {
    pub(crate) fn cosigned(lines: String) -> Self {
        Self {
            status: 200,
            content_type: TEXT,
            body: lines,
        }
    }

    pub(crate) fn malformed(error: &dyn std::fmt::Display) -> Self {
        Self::refused(400, &format!("malformed: {error}"))
    }

    pub(crate) fn old_beyond_checkpoint() -> Self {
        Self::refused(400, "the old size is greater than that of the checkpoint")
    }

    pub(crate) fn signature() -> Self {
        Self::refused(
            403,
            "no signature by a trusted key of this log, or one that does not verify",
        )
    }

    pub(crate) fn unknown_log() -> Self {
        Self::refused(404, "a log that this witness does not know")
    }

    pub(crate) fn conflict(size: u64) -> Self {
        Self {
            status: 409,
            content_type: SIZE_TYPE,
            body: format!("{size}\n"),
        }
    }

    pub(crate) fn empty_root() -> Self {
        Self::refused(422, "a tree of size 0 with the root of another")
    }

    pub(crate) fn inconsistent() -> Self {
        Self::refused(422, "not consistent with the checkpoint that was cosigned last")
    }

    pub(crate) fn failed() -> Self {
        Self::refused(
            500,
            "the state of this log could not be written; nothing is cosigned before a restart",
        )
    }

    pub(crate) fn clock() -> Self {
        Self::refused(
            503,
            "the clock of this witness reads earlier than its last cosignature",
        )
    }

    fn refused(status: u16, reason: &str) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: format!("{reason}\n"),
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
