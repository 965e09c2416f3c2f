//! A witness: it cosigns a checkpoint when the log signed it and it extends everything that was cosigned before.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_disk::{Clock, Disk};
use attestore_tlog::{
    Checkpoint, CheckpointError, CosignerKey, EMPTY_ROOT, Hash, NoteError, NoteSignature, SignedNote,
    VerifierKey, cosign, verify_consistency,
};
use parking_lot::Mutex;

use crate::answer::Answer;
use crate::evidence::{self, Reason};
use crate::identity::Identity;
use crate::request::Request;
use crate::store::{Seen, Store, StoreError, origin_hash};

/// Cosigns checkpoints of the logs that it was given, by the letter of C2SP tlog-witness.
///
/// Of each log it keeps the newest checkpoint, on disk before it answers. It never cosigns two roots for one size, nor a smaller
/// size after a greater one, nor an earlier time after a later one. Calls block on the disk; logs do not wait for each other.
pub struct Witness {
    identity: Identity,
    key: CosignerKey,
    store: Store,
    clock: Arc<dyn Clock>,
    logs: BTreeMap<String, Log>,
}

struct Log {
    /// Hash of the origin, as files and URLs name it.
    hash: String,
    /// All of one name, the origin.
    keys: Vec<VerifierKey>,
    state: Mutex<State>,
}

enum State {
    /// Nothing was cosigned, or this.
    Seen(Option<Box<Seen>>),
    /// A write failed: nothing is known about what is durable.
    Failed,
}

/// What is known of a log, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// Origin.
    pub origin: String,
    /// Size and root last cosigned; `None` if nothing was.
    pub head: Option<(u64, Hash)>,
    /// When, seconds since 1970.
    pub cosigned_s: Option<u64>,
    /// Files of evidence against it.
    pub evidence: usize,
    /// Whether a write failed: nothing more is cosigned of it before a restart.
    pub failed: bool,
}

impl Witness {
    /// Opens the state of a witness for these logs; several keys of one name are keys of one log.
    ///
    /// # Errors
    /// [`StoreError`] if what was cosigned before cannot be told.
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        identity: Identity,
        keys: impl IntoIterator<Item = VerifierKey>,
    ) -> Result<Self, StoreError> {
        let store = Store::new(disk).map_err(|error| StoreError::Io {
            path: ".".into(),
            error,
        })?;
        let key = identity.verifier();
        let mut logs: BTreeMap<String, Log> = BTreeMap::new();
        for log in keys {
            let origin = log.name().to_owned();
            if let Some(known) = logs.get_mut(&origin) {
                known.keys.push(log);
                continue;
            }
            let seen = store.read(&origin, &key)?.map(Box::new);
            let (hash, state) = (origin_hash(&origin), Mutex::new(State::Seen(seen)));
            logs.insert(
                origin,
                Log {
                    hash,
                    keys: vec![log],
                    state,
                },
            );
        }
        Ok(Self {
            identity,
            key,
            store,
            clock,
            logs,
        })
    }

    /// The key that others verify cosignatures with.
    #[must_use]
    pub const fn key(&self) -> &CosignerKey {
        &self.key
    }

    /// Answers the body of an `add-checkpoint`.
    #[must_use]
    pub fn add_checkpoint(&self, body: &[u8]) -> Answer {
        self.judge(body).unwrap_or_else(|refusal| refusal)
    }

    fn judge(&self, body: &[u8]) -> Result<Answer, Answer> {
        let request = Request::parse(body).map_err(|error| Answer::malformed(&error))?;
        let note = SignedNote::parse(&request.checkpoint).map_err(|error| Answer::malformed(&error))?;
        let head = Head::read(note.text()).map_err(|error| Answer::malformed(&error))?;
        let log = self.logs.get(&head.origin).ok_or_else(Answer::unknown_log)?;
        let (key, signatures) = log.signed(&note)?;
        if request.old > head.size {
            return Err(Answer::old_beyond_checkpoint());
        }
        let mut state = log.state.lock();
        let State::Seen(seen) = &*state else {
            return Err(Answer::failed());
        };
        let refuse = |reason: Reason| {
            if let Some(seen) = seen {
                let refused =
                    with_lines(&note, &signatures).map_or_else(|_| String::new(), |note| note.to_note());
                let file = evidence::misbehaviour(key, reason, &seen.note.to_note(), &refused);
                // Whether it can be kept or not, the checkpoint is refused.
                let _ = evidence::keep(self.store.disk(), &head.origin, reason, &file);
            }
        };
        let size = seen.as_ref().map_or(0, |seen| seen.checkpoint.size());
        let root = seen.as_ref().map_or(EMPTY_ROOT, |seen| seen.checkpoint.root());
        if head.size == size && head.root != root {
            refuse(Reason::SameSize);
        }
        if request.old != size {
            return Err(Answer::conflict(size));
        }
        let checkpoint = head.checkpoint.clone().ok_or_else(Answer::empty_root)?;
        if verify_consistency(size, head.size, root, head.root, &request.proof).is_err() {
            if head.size != size {
                refuse(Reason::NotConsistent);
            }
            return Err(Answer::inconsistent());
        }
        let seen = self.cosign(checkpoint, &note, &signatures, seen.as_deref())?;
        let lines: String = seen
            .note
            .signatures()
            .iter()
            .filter(|line| self.key.made(line))
            .map(|line| format!("{line}\n"))
            .collect();
        match self.store.write(&seen) {
            Ok(()) => *state = State::Seen(Some(Box::new(seen))),
            Err(_) => {
                *state = State::Failed;
                return Err(Answer::failed());
            }
        }
        Ok(Answer::cosigned(lines))
    }

    /// What is to be written before it may be given out.
    fn cosign(
        &self,
        checkpoint: Checkpoint,
        note: &SignedNote,
        signatures: &[NoteSignature],
        seen: Option<&Seen>,
    ) -> Result<Seen, Answer> {
        let time_s = self.clock.now_ms() / 1000;
        if seen.is_some_and(|seen| seen.time_s > time_s) {
            return Err(Answer::clock());
        }
        let line = cosign(note.text(), time_s, &self.identity).map_err(|_| Answer::clock())?;
        let mut kept = with_lines(note, signatures).map_err(|error| Answer::malformed(&error))?;
        kept.add(&[line]).map_err(|error| Answer::malformed(&error))?;
        Ok(Seen {
            checkpoint,
            time_s,
            note: kept,
        })
    }

    /// The newest checkpoint that was cosigned of the log that is named by the hash of its origin, with the log's signature and
    /// the cosignature.
    #[must_use]
    pub fn checkpoint(&self, origin_hash_hex: &str) -> Option<String> {
        let log = self.logs.values().find(|log| log.hash == origin_hash_hex)?;
        match &*log.state.lock() {
            State::Seen(seen) => seen.as_ref().map(|seen| seen.note.to_note()),
            State::Failed => None,
        }
    }

    /// What is known of each log, by origin. Looks at the disk.
    #[must_use]
    pub fn status(&self) -> Vec<LogStatus> {
        let evidence = evidence::counts(self.store.disk()).unwrap_or_default();
        let of = |(origin, log): (&String, &Log)| {
            let state = log.state.lock();
            let seen = match &*state {
                State::Seen(seen) => seen.as_ref(),
                State::Failed => None,
            };
            LogStatus {
                origin: origin.clone(),
                head: seen.map(|seen| (seen.checkpoint.size(), seen.checkpoint.root())),
                cosigned_s: seen.map(|seen| seen.time_s),
                evidence: evidence.get(&log.hash).copied().unwrap_or(0),
                failed: matches!(*state, State::Failed),
            }
        };
        self.logs.iter().map(of).collect()
    }
}

/// What a witness's directory says of each log that was cosigned, by origin; nothing is written but missing folders.
///
/// # Errors
/// [`StoreError`].
pub fn seen(disk: Arc<dyn Disk>, key: &CosignerKey) -> Result<Vec<LogStatus>, StoreError> {
    let store = Store::new(disk).map_err(|error| StoreError::Io {
        path: ".".into(),
        error,
    })?;
    let evidence = evidence::counts(store.disk()).unwrap_or_default();
    let mut logs: Vec<LogStatus> = store
        .read_all(key)?
        .into_iter()
        .map(|seen| LogStatus {
            evidence: evidence
                .get(&origin_hash(seen.checkpoint.origin()))
                .copied()
                .unwrap_or(0),
            origin: seen.checkpoint.origin().to_owned(),
            head: Some((seen.checkpoint.size(), seen.checkpoint.root())),
            cosigned_s: Some(seen.time_s),
            failed: false,
        })
        .collect();
    logs.sort_by(|left, right| left.origin.cmp(&right.origin));
    Ok(logs)
}

impl Log {
    /// The first of the log's keys that signed, and all lines by its keys, which have to verify.
    fn signed(&self, note: &SignedNote) -> Result<(&VerifierKey, Vec<NoteSignature>), Answer> {
        let mut first = None;
        let mut lines = Vec::new();
        for key in &self.keys {
            match note.verify(key) {
                Ok(()) => {
                    first = first.or(Some(key));
                    let by_key =
                        |line: &&NoteSignature| (line.name(), line.key_id()) == (key.name(), key.id());
                    lines.extend(note.signatures().iter().filter(by_key).cloned());
                }
                Err(NoteError::UnknownKey) => {}
                Err(_) => return Err(Answer::signature()),
            }
        }
        first.map(|key| (key, lines)).ok_or_else(Answer::signature)
    }
}

/// The note with these lines only.
fn with_lines(note: &SignedNote, lines: &[NoteSignature]) -> Result<SignedNote, NoteError> {
    let mut kept = note.without_signatures();
    kept.add(lines).map(|()| kept)
}

/// The three lines of a checkpoint. One of size 0 with the root of another tree is no checkpoint, and is answered with 422 all the
/// same, once its signature is known to be good.
struct Head {
    origin: String,
    size: u64,
    root: Hash,
    checkpoint: Option<Checkpoint>,
}

impl Head {
    fn read(text: &str) -> Result<Self, CheckpointError> {
        match Checkpoint::from_text(text) {
            Ok(checkpoint) => Ok(Self {
                origin: checkpoint.origin().to_owned(),
                size: checkpoint.size(),
                root: checkpoint.root(),
                checkpoint: Some(checkpoint),
            }),
            Err(CheckpointError::Root) => Self::empty(text).ok_or(CheckpointError::Root),
            Err(error) => Err(error),
        }
    }

    fn empty(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let root = Hash::from_base64(root)?;
        (size == "0").then(|| Self {
            origin: origin.to_owned(),
            size: 0,
            root,
            checkpoint: None,
        })
    }
}
