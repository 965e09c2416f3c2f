//! Sends checkpoints to one witness.

use std::sync::Arc;
use std::time::Duration;

use attestore_disk::Clock;
use attestore_outbound::{self as outbound, Body, Configured, Limits, Url};
use attestore_tlog::{
    Checkpoint, CheckpointError, CosignatureError, CosignerKey, Hash, NoteError, NoteSignature, SignedNote,
};
use bytes::Bytes;
use parking_lot::Mutex;

use super::answer::{Answer, read};
use crate::request::Request;
use crate::store::origin_hash;

/// Submits the checkpoints of one log to one witness, one after the other, and remembers what the witness has.
///
/// Cheap to share behind an `Arc`. Nothing is kept on disk: after a restart the first submission may take a second request, as the
/// witness then says what it has.
pub struct Submitter {
    http: outbound::Client,
    url: Url,
    /// Where it shows what it keeps of the log; witnesses of other people's making may show it elsewhere or nowhere.
    kept: Url,
    rule: Configured,
    key: CosignerKey,
    origin: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    state: Mutex<WitnessState>,
    /// One submission at a time.
    turn: tokio::sync::Mutex<()>,
}

/// Where a witness is and who it is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Submission prefix: `add-checkpoint` is asked below it.
    pub url: String,
    /// Key that its cosignatures are verified with.
    pub key: CosignerKey,
    /// The log whose checkpoints are submitted.
    pub origin: String,
    /// How long one request may take.
    pub timeout: Duration,
    /// Whether a witness on this machine may be asked without TLS.
    pub allow_loopback_http: bool,
}

/// What is known of a witness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessState {
    /// Size that it last cosigned or said that it has; `None` as long as nothing is known.
    pub size: Option<u64>,
    /// When it last cosigned, milliseconds since 1970 of our clock.
    pub cosigned_ms: Option<u64>,
    /// What went wrong since then, and when (milliseconds since 1970).
    pub failure: Option<(u64, SubmitError)>,
    /// Failures since the last success.
    pub failures: u64,
}

/// A cosignature that verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Size of the checkpoint.
    pub size: u64,
    /// The witness's lines, to be added to the checkpoint.
    pub lines: Vec<NoteSignature>,
    /// What the newest of them says, seconds since 1970.
    pub time_s: u64,
}

/// Says why there is no cosignature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// There is no answer.
    #[error(transparent)]
    Unreachable(#[from] outbound::Error),
    /// What was to be submitted is no checkpoint of this log.
    #[error("not a checkpoint of the log: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The consistency proof could not be had.
    #[error("no consistency proof from {from} to {to}: {reason}")]
    Proof {
        /// Older size.
        from: u64,
        /// Newer size.
        to: u64,
        /// Why.
        reason: String,
    },
    /// **The witness has cosigned a larger tree than the one submitted.** If that is the newest there is, the log has been taken
    /// back, or somebody else signs with its key.
    #[error(
        "the witness has cosigned {witness} records, and the log has {ours}: it has been rolled back, or there is another copy of it"
    )]
    Rollback {
        /// Size that the witness says it has.
        witness: u64,
        /// Size submitted.
        ours: u64,
    },
    /// **422: the witness does not find the checkpoint consistent with what it cosigned**: a forked log, or a wrong proof.
    #[error("the witness says that the checkpoint is not consistent with what it cosigned (422)")]
    Inconsistent,
    /// 409 again, though it was asked with the size that it named: somebody else submits for the log too.
    #[error("the witness named another size twice: somebody else submits checkpoints of this log")]
    Moving,
    /// 404: the witness does not know the log.
    #[error("the witness does not know the log (404): its operator has to add the log's vkey")]
    UnknownLog,
    /// 403: the witness does not accept the log's signature.
    #[error("the witness does not accept the log's signature (403)")]
    Signature,
    /// Another status.
    #[error("the witness answered {0}")]
    Status(u16),
    /// An answer that makes no sense.
    #[error("the witness answered {0}")]
    Answer(&'static str),
    /// A cosignature that is not valid.
    #[error("the witness's {0}")]
    Cosignature(CosignatureError),
    /// A cosignature of a time that is not now.
    #[error("the witness's cosignature is of {time_s}, and here it is {now_s} (seconds since 1970)")]
    Time {
        /// Time of the cosignature, seconds since 1970.
        time_s: u64,
        /// Our time.
        now_s: u64,
    },
}

impl SubmitError {
    /// Tells whether it is evidence that the log was rolled back or forked, and nothing that goes away by trying again.
    #[must_use]
    pub const fn is_evidence(&self) -> bool {
        matches!(self, Self::Rollback { .. } | Self::Inconsistent)
    }
}

impl Submitter {
    /// Makes a submitter; nothing is sent yet.
    ///
    /// # Errors
    /// When the URL may not be called, or the key is of a kind that this build cannot verify.
    pub fn new(settings: Settings, http: outbound::Client, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let rule = Configured {
            loopback_http: settings.allow_loopback_http,
        };
        let url = rule.url(&settings.url).map_err(|error| error.to_string())?;
        if !settings.key.is_supported() {
            return Err(CosignatureError::Unsupported.to_string());
        }
        Ok(Self {
            http,
            kept: url.below(&format!("{}/checkpoint", origin_hash(&settings.origin))),
            url: url.below("add-checkpoint"),
            rule,
            key: settings.key,
            origin: settings.origin,
            timeout: settings.timeout,
            clock,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// The key that cosignatures are verified with.
    #[must_use]
    pub const fn key(&self) -> &CosignerKey {
        &self.key
    }

    /// What is known of the witness.
    #[must_use]
    pub fn state(&self) -> WitnessState {
        self.state.lock().clone()
    }

    /// The newest checkpoint of the log that the witness says it cosigned, as it keeps it; `None` if it has none, or does not tell. What
    /// it says is worth what the log's own signature on it is.
    ///
    /// # Errors
    /// [`SubmitError`] when it cannot be asked.
    pub async fn kept(&self) -> Result<Option<String>, SubmitError> {
        let limits = Limits {
            time: self.timeout,
            body: Body::Whole(ANSWER_BYTES_MAX),
        };
        let get = outbound::Request::new(Bytes::new());
        let response = self.http.send(&self.kept, &self.rule, get, limits).await?;
        match response.status.as_u16() {
            200 => Ok(String::from_utf8(response.body.into()).ok()),
            404 => Ok(None),
            _ => Err(SubmitError::Answer("neither a checkpoint nor that there is none")),
        }
    }

    /// Submits a signed checkpoint and returns the verified cosignature.
    ///
    /// `consistency(from, to)` makes the proof between two sizes; it may be asked twice, as the witness may have another size than
    /// was thought, and never with 0 or with two equal sizes. It is called within the future: hand over a large computation to a
    /// blocking thread before. Submissions wait for each other. A checkpoint that the witness has already is cosigned again.
    ///
    /// # Errors
    /// [`SubmitError`]; it also stands in [`Submitter::state`] until the next success.
    pub async fn submit<P, E>(&self, checkpoint: &str, consistency: P) -> Result<Cosigned, SubmitError>
    where
        P: Fn(u64, u64) -> Result<Vec<Hash>, E> + Send + Sync,
        E: std::fmt::Display,
    {
        let _turn = self.turn.lock().await;
        let result = self.in_turn(checkpoint, consistency).await;
        let now_ms = self.clock.now_ms();
        let mut state = self.state.lock();
        match &result {
            Ok(cosigned) => {
                *state = WitnessState {
                    size: Some(cosigned.size),
                    cosigned_ms: Some(now_ms),
                    failure: None,
                    failures: 0,
                };
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                state.failure = Some((now_ms, error.clone()));
                if let SubmitError::Rollback { witness, .. } = error {
                    state.size = Some(*witness);
                }
            }
        }
        result
    }

    async fn in_turn<P, E>(&self, text: &str, consistency: P) -> Result<Cosigned, SubmitError>
    where
        P: Fn(u64, u64) -> Result<Vec<Hash>, E> + Send + Sync,
        E: std::fmt::Display,
    {
        let note = SignedNote::parse(text).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::from_text(note.text())?;
        if checkpoint.origin() != self.origin {
            return Err(CheckpointError::OtherLog.into());
        }
        let size = checkpoint.size();
        // Nothing known is asked about with 0: the witness then cosigns the first one, or says what it has.
        let mut old = self.state.lock().size.filter(|known| *known <= size).unwrap_or(0);
        for _ in 0..TRIES_MAX {
            match self.ask(&note, text, old, size, &consistency).await? {
                Answer::Cosigned(lines, time_s) => return Ok(Cosigned { size, lines, time_s }),
                Answer::Conflict(witness) if witness > size => {
                    return Err(SubmitError::Rollback { witness, ours: size });
                }
                Answer::Conflict(witness) if witness == old => {
                    return Err(SubmitError::Answer("a conflict with the very size it names"));
                }
                Answer::Conflict(witness) => old = witness,
            }
            self.state.lock().size = Some(old);
        }
        Err(SubmitError::Moving)
    }

    async fn ask<P, E>(
        &self,
        note: &SignedNote,
        text: &str,
        old: u64,
        size: u64,
        consistency: P,
    ) -> Result<Answer, SubmitError>
    where
        P: Fn(u64, u64) -> Result<Vec<Hash>, E> + Send + Sync,
        E: std::fmt::Display,
    {
        let proof = if old == 0 || old == size {
            Vec::new()
        } else {
            consistency(old, size).map_err(|error| SubmitError::Proof {
                from: old,
                to: size,
                reason: error.to_string(),
            })?
        };
        let request = Request {
            old,
            proof,
            checkpoint: text.to_owned(),
        };
        let mut post = outbound::Request::new(Bytes::from(request.to_string()));
        *post.method_mut() = outbound::Method::POST;
        let limits = Limits {
            time: self.timeout,
            body: Body::Whole(ANSWER_BYTES_MAX),
        };
        let response = self.http.send(&self.url, &self.rule, post, limits).await?;
        read(&response, note, &self.key, self.clock.now_ms() / 1000)
    }
}

impl From<NoteError> for SubmitError {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(error.into())
    }
}

/// The first request, and the one with the size that the witness named.
const TRIES_MAX: usize = 2;
/// Bytes of an answer: 16 lines of the largest kind of signature.
const ANSWER_BYTES_MAX: usize = 64 << 10;
