//! The witnesses of a policy, asked all at once.

use std::sync::Arc;
use std::time::Duration;

use attestore_disk::Clock;
use attestore_outbound as outbound;
use attestore_tlog::{Hash, NoteError, Policy, PolicyCheckError, SignedNote, Verdict, VerifierKey};
use tokio::sync::mpsc;

use super::{Settings, SubmitError, Submitter, WitnessState};

/// Makes the consistency proof between two sizes.
pub type Consistency = Arc<dyn Fn(u64, u64) -> Result<Vec<Hash>, String> + Send + Sync>;

/// Asks the witnesses of a policy, those that it has URLs of, for cosignatures on the checkpoints of one log.
pub struct Panel {
    policy: Policy,
    log: VerifierKey,
    submitters: Vec<(String, Arc<Submitter>)>,
}

/// What came of asking.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The checkpoint with the log's signature and all cosignatures that came in time.
    pub note: SignedNote,
    /// What the policy says of it; [`Verdict::quorum`] is whether it is witnessed.
    pub verdict: Verdict,
    /// Witnesses that failed in time, by their names in the policy. Who is in neither had not answered yet.
    pub failures: Vec<(String, SubmitError)>,
}

impl Panel {
    /// Makes a panel; nothing is sent yet.
    ///
    /// # Errors
    /// When the URL of a witness may not be called, or its key is of a kind that this build cannot verify.
    pub fn new(
        policy: Policy,
        log: VerifierKey,
        http: &outbound::Client,
        clock: &Arc<dyn Clock>,
        timeout: Duration,
        allow_loopback_http: bool,
    ) -> Result<Self, String> {
        let mut submitters = Vec::new();
        for witness in policy.witnesses() {
            let Some(url) = witness.url() else { continue };
            let settings = Settings {
                url: url.to_owned(),
                key: witness.key().clone(),
                origin: log.name().to_owned(),
                timeout,
                allow_loopback_http,
            };
            let submitter = Submitter::new(settings, http.clone(), Arc::clone(clock));
            let submitter = submitter.map_err(|error| format!("witness {}: {error}", witness.name()))?;
            submitters.push((witness.name().to_owned(), Arc::new(submitter)));
        }
        Ok(Self {
            policy,
            log,
            submitters,
        })
    }

    /// What is known of each witness that is asked, by its name in the policy.
    pub fn states(&self) -> impl Iterator<Item = (&str, WitnessState)> {
        let states = self.submitters.iter();
        states.map(|(name, submitter)| (name.as_str(), submitter.state()))
    }

    /// What each witness says that it keeps of the log, by its name in the policy: a checkpoint, or that there is none. All are asked at
    /// once. Needs a tokio runtime.
    pub async fn kept(&self) -> Vec<(&str, Result<Option<String>, SubmitError>)> {
        let asked: Vec<_> = (self.submitters.iter())
            .map(|(name, submitter)| {
                let submitter = Arc::clone(submitter);
                (name.as_str(), tokio::spawn(async move { submitter.kept().await }))
            })
            .collect();
        let mut kept = Vec::new();
        for (name, answer) in asked {
            let answer = answer.await;
            kept.push((
                name,
                answer.unwrap_or(Err(SubmitError::Answer("the question broke down"))),
            ));
        }
        kept
    }

    /// Asks all witnesses at once and returns when the quorum holds, all have answered, or the time is over. Who is still being asked
    /// then is not disturbed: it ends by itself, and shows in [`Panel::states`].
    ///
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// [`PolicyCheckError`] when the checkpoint is not one that the log signed.
    pub async fn collect(
        &self,
        checkpoint: &str,
        consistency: &Consistency,
        within: Duration,
    ) -> Result<Collected, PolicyCheckError> {
        let note = SignedNote::parse(checkpoint)
            .map_err(|error: NoteError| PolicyCheckError::Checkpoint(error.into()))?;
        let verdict = self.policy.check_with_key(&note, &self.log)?;
        let mut collected = Collected {
            note,
            verdict,
            failures: Vec::new(),
        };
        if collected.verdict.quorum {
            return Ok(collected);
        }
        let mut answers = self.ask(checkpoint, consistency);
        let taking = async {
            while let Some((name, answer)) = answers.recv().await {
                self.take(&mut collected, name, answer)?;
                if collected.verdict.quorum {
                    break;
                }
            }
            Ok::<(), PolicyCheckError>(())
        };
        // The time being over is no error: what came is what there is.
        tokio::time::timeout(within, taking).await.unwrap_or(Ok(()))?;
        Ok(collected)
    }

    /// Starts a task for each witness; the channel closes when all have answered.
    fn ask(
        &self,
        checkpoint: &str,
        consistency: &Consistency,
    ) -> mpsc::UnboundedReceiver<(String, Result<super::Cosigned, SubmitError>)> {
        // As many messages as witnesses.
        let (sender, answers) = mpsc::unbounded_channel();
        let checkpoint: Arc<str> = checkpoint.into();
        for (name, submitter) in &self.submitters {
            let (name, submitter, sender) = (name.clone(), Arc::clone(submitter), sender.clone());
            let (checkpoint, consistency) = (Arc::clone(&checkpoint), Arc::clone(consistency));
            tokio::spawn(async move {
                let answer = submitter
                    .submit(&checkpoint, |from, to| consistency(from, to))
                    .await;
                // Nobody listens any more when the quorum held before.
                let _ = sender.send((name, answer));
            });
        }
        answers
    }

    fn take(
        &self,
        collected: &mut Collected,
        name: String,
        answer: Result<super::Cosigned, SubmitError>,
    ) -> Result<(), PolicyCheckError> {
        match answer {
            Ok(cosigned) => {
                let added = collected.note.add(&cosigned.lines);
                added.map_err(|error| PolicyCheckError::Checkpoint(error.into()))?;
                collected.verdict = self.policy.check_with_key(&collected.note, &self.log)?;
            }
            Err(error) => collected.failures.push((name, error)),
        }
        Ok(())
    }
}
