//! A mirror: it follows a log, checks every step, and keeps entries, hash tiles and checkpoint as C2SP tlog-tiles, for any static
//! file server to serve.
//!
//! # Format
//! Below `<hex SHA-256(origin)>/` in the mirror's directory, all as the log serves them: `checkpoint`, with the log's signature and, if
//! the mirror has an identity, its cosignature; `tile/<L>/<N>[.p/<W>]`; `tile/entries/<N>[.p/<W>]`.
//!
//! # Durability
//! Entries and tiles are written and synced first, then `checkpoint` is replaced. What lies beyond the checkpoint was left by a run that
//! did not end; it is hashed again like what comes from the log, and counts only if the log's next root says so. A cosignature is in
//! no other place than that file.
//!
//! # Errors
//! A log that takes records back or shows another history is [`MirrorError::is_evidence`]; what it signed is kept in `misbehaviour/`.

mod rows;
#[cfg(test)]
mod tests;
mod tiles;

use std::io;
use std::sync::Arc;

use attestore_disk::{Clock, Disk};
use attestore_tlog::{
    Bundle, Checkpoint, CheckpointError, EMPTY_ROOT, Frontier, Misbehaviour, SignedNote, SubtreeReader,
    TILE_WIDTH, VerifierKey, cosign, leaf_hash, open_checkpoint, prefix_proof,
};

use self::rows::Rows;
use self::tiles::Tiles;
use crate::evidence::{self, Reason};
use crate::identity::Identity;

/// Where a log is read from.
pub trait MirrorSource {
    /// Fetches the newest checkpoint.
    ///
    /// # Errors
    /// Why not.
    fn checkpoint(&self) -> Result<String, String>;

    /// Fetches an entry bundle as it is served: `width` times u16 length ‖ entry.
    ///
    /// # Errors
    /// Why not.
    fn entries(&self, bundle: Bundle) -> Result<Vec<u8>, String>;
}

/// A copy of one log.
pub struct Mirror {
    tiles: Tiles,
    key: VerifierKey,
    identity: Option<Identity>,
    clock: Arc<dyn Clock>,
    head: Option<Head>,
}

struct Head {
    checkpoint: Checkpoint,
    note: String,
    time_s: u64,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Records that the mirror has.
    pub size: u64,
    /// How many of them are new.
    pub new: u64,
}

/// Says why a step was not taken; the copy is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The log cannot be read. Trying again may help.
    #[error("the log cannot be read: {0}")]
    Source(String),
    /// The checkpoint is not signed by the log, or is none.
    #[error("the log's checkpoint does not verify: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// **The log has fewer records than it signed before.**
    #[error("the log has {now} records, and signed {before}: it was rolled back, or shows an old checkpoint")]
    Rollback {
        /// Size that it signed.
        before: u64,
        /// Size that it shows.
        now: u64,
    },
    /// **The log signed two roots for one size.**
    #[error("the log signed two roots for {0} records: it shows different histories")]
    SplitView(u64),
    /// **The entries that the log shows are not those that it signed**, or the tree does not extend the one before.
    #[error("the entries of the log do not hash into the root that it signed for {0} records")]
    Root(u64),
    /// **An entry that the mirror has is another now.**
    #[error("the log shows another entry bundle {0} than before")]
    Entries(u64),
    /// A bundle is malformed.
    #[error("entry bundle {0} of the log is malformed")]
    Bundle(u64),
    /// The copy is not what was written.
    #[error("the copy is damaged: {0}")]
    Damaged(&'static str),
    /// The clock reads earlier than the last cosignature.
    #[error("the clock reads earlier than the mirror's last cosignature")]
    Clock,
    /// Files cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl MirrorError {
    /// Whether it is evidence against the log, or against what stands between it and the mirror.
    #[must_use]
    pub const fn is_evidence(&self) -> bool {
        matches!(
            self,
            Self::Rollback { .. }
                | Self::SplitView(_)
                | Self::Root(_)
                | Self::Entries(_)
                | Self::Checkpoint(_)
        )
    }
}

impl Mirror {
    /// Opens the copy of the log that `key` signs for, or starts one. With an identity, every checkpoint is cosigned.
    ///
    /// # Errors
    /// [`MirrorError::Damaged`], [`MirrorError::Io`].
    pub fn open(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        key: VerifierKey,
        identity: Option<Identity>,
    ) -> Result<Self, MirrorError> {
        disk.create_dir_all(evidence::FOLDER.as_ref())?;
        disk.sync_dir("".as_ref())?;
        let tiles = Tiles::new(disk, key.name())?;
        let head = match tiles.read_checkpoint()? {
            None => None,
            Some(note) => Some(Head::read(note, &key, identity.as_ref())?),
        };
        let mirror = Self {
            tiles,
            key,
            identity,
            clock,
            head,
        };
        // The copy has to say the same root as the checkpoint, before anything is built on it.
        let root = mirror.frontier()?.root();
        if mirror
            .head
            .as_ref()
            .map_or(EMPTY_ROOT, |head| head.checkpoint.root())
            != root
        {
            return Err(MirrorError::Damaged("its tiles are not those of its checkpoint"));
        }
        Ok(mirror)
    }

    /// Records that the copy has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.checkpoint.size())
    }

    /// The checkpoint as it is served; `None` before the first step.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&str> {
        self.head.as_ref().map(|head| head.note.as_str())
    }

    /// Takes over what is new. `progress` is told how many records are there and how many there will be.
    ///
    /// # Errors
    /// [`MirrorError`]; the copy stands as it was.
    pub fn step(
        &mut self,
        source: &dyn MirrorSource,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Step, MirrorError> {
        let text = source.checkpoint().map_err(MirrorError::Source)?;
        let next = open_checkpoint(&text, &self.key)?;
        let size = self.size();
        if let Some(head) = &self.head {
            let now = next.size();
            if now < size {
                match self.contradiction(&text, now) {
                    Some(proof) => self.keep(Reason::NotAPrefix, &proof),
                    None => self.accuse(Reason::NotConsistent, &text),
                }
                return Err(MirrorError::Rollback { before: size, now });
            }
            if now == size && next.root() != head.checkpoint.root() {
                self.accuse(Reason::SameSize, &text);
                return Err(MirrorError::SplitView(size));
            }
            if now == size {
                return Ok(Step { size, new: 0 });
            }
        }
        let rows = match self.extend(source, &next, true, progress) {
            // Perhaps it is only what an earlier run left.
            Err(MirrorError::Root(_)) => self.extend(source, &next, false, progress),
            other => other,
        };
        let rows = rows.inspect_err(|error| {
            if error.is_evidence() {
                self.accuse(Reason::NotConsistent, &text);
            }
        })?;
        rows.write_partial(&self.tiles)?;
        let head = self.sign(next, &text)?;
        self.tiles.commit(&head.note)?;
        let step = Step {
            size: head.checkpoint.size(),
            new: head.checkpoint.size() - size,
        };
        self.head = Some(head);
        self.tiles.remove_overtaken(size, step.size);
        Ok(step)
    }

    /// Writes entries and full tiles up to the checkpoint, and checks that they hash into its root.
    fn extend(
        &self,
        source: &dyn MirrorSource,
        next: &Checkpoint,
        with_leftovers: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Rows, MirrorError> {
        let (from, size) = (self.size(), next.size());
        let width = u64::from(TILE_WIDTH);
        let mut tree = self.frontier()?;
        let mut rows = Rows::read(&self.tiles, from)?;
        for index in from / width..size.div_ceil(width) {
            let bundle = Bundle::at(index, size).ok_or(MirrorError::Bundle(index))?;
            let kept = if with_leftovers {
                self.tiles.read_entries(bundle)?
            } else {
                None
            };
            let bytes = match kept.filter(|bytes| split(bytes, bundle.width()).is_some()) {
                Some(bytes) => bytes,
                None => source.entries(bundle).map_err(MirrorError::Source)?,
            };
            let entries = split(&bytes, bundle.width()).ok_or(MirrorError::Bundle(index))?;
            let known = usize::try_from(from.saturating_sub(bundle.entries().start)).unwrap_or(usize::MAX);
            self.compare(index, from, &entries, known)?;
            for entry in entries.iter().skip(known) {
                let leaf = leaf_hash(entry);
                tree.push(leaf);
                rows.push(leaf, &self.tiles)?;
            }
            self.tiles.write_entries(bundle, &bytes)?;
            progress(tree.size(), size);
        }
        if tree.size() == size && tree.root() == next.root() {
            Ok(rows)
        } else {
            Err(MirrorError::Root(size))
        }
    }

    /// The part of a bundle that the mirror has must be what it was.
    fn compare(&self, index: u64, from: u64, entries: &[&[u8]], known: usize) -> Result<(), MirrorError> {
        if known == 0 {
            return Ok(());
        }
        let before = Bundle::at(index, from).ok_or(MirrorError::Bundle(index))?;
        let bytes = self.tiles.read_entries(before)?;
        let bytes = bytes.ok_or(MirrorError::Damaged("an entry bundle is missing"))?;
        let before =
            split(&bytes, before.width()).ok_or(MirrorError::Damaged("an entry bundle is malformed"))?;
        if entries.get(..known) == Some(before.as_slice()) {
            Ok(())
        } else {
            Err(MirrorError::Entries(index))
        }
    }

    /// The right edge of the copy, from its tiles.
    fn frontier(&self) -> Result<Frontier, MirrorError> {
        let reader = SubtreeReader::new(self.tiles.at(self.size()));
        Frontier::read(&reader, self.size())
            .map_err(|_| MirrorError::Damaged("a tile is missing or malformed"))
    }

    fn sign(&self, checkpoint: Checkpoint, text: &str) -> Result<Head, MirrorError> {
        let note = SignedNote::parse(text).map_err(CheckpointError::from)?;
        let mut kept = note.without_signatures();
        let by_log = |line: &&attestore_tlog::NoteSignature| {
            (line.name(), line.key_id()) == (self.key.name(), self.key.id())
        };
        let mut lines: Vec<_> = note.signatures().iter().filter(by_log).cloned().collect();
        let time_s = self.clock.now_ms() / 1000;
        if let Some(identity) = &self.identity {
            if self.head.as_ref().is_some_and(|head| head.time_s > time_s) {
                return Err(MirrorError::Clock);
            }
            lines.push(cosign(note.text(), time_s, identity).map_err(|_| MirrorError::Clock)?);
        }
        kept.add(&lines).map_err(CheckpointError::from)?;
        Ok(Head {
            checkpoint,
            note: kept.to_note(),
            time_s,
        })
    }

    /// Proof that a smaller tree is not what the copy begins with; `None` if it is.
    fn contradiction(&self, text: &str, size: u64) -> Option<String> {
        let reader = SubtreeReader::new(self.tiles.at(self.size()));
        let hashes = prefix_proof(&reader, size, self.size()).ok()?;
        let proof = Misbehaviour::new(self.key.clone(), text, self.checkpoint()?, hashes).ok()?;
        Some(proof.to_text())
    }

    /// Keeps what the log signed, for whoever judges it.
    fn accuse(&self, reason: Reason, refused: &str) {
        if let Some(head) = &self.head {
            self.keep(
                reason,
                &evidence::misbehaviour(&self.key, reason, &head.note, refused),
            );
        }
    }

    fn keep(&self, reason: Reason, file: &str) {
        // Whether it can be kept or not, the step is not taken.
        let _ = evidence::keep(self.tiles.disk(), self.key.name(), reason, file);
    }
}

impl Head {
    fn read(note: String, key: &VerifierKey, identity: Option<&Identity>) -> Result<Self, MirrorError> {
        let damaged = |_| MirrorError::Damaged("its checkpoint does not verify");
        let checkpoint = open_checkpoint(&note, key).map_err(damaged)?;
        let time_s = match identity {
            // One that was not cosigned yet: the mirror had no identity before.
            Some(identity) => {
                let note = SignedNote::parse(&note).map_err(CheckpointError::from)?;
                note.cosigned_at(&identity.verifier()).unwrap_or(0)
            }
            None => 0,
        };
        Ok(Self {
            checkpoint,
            note,
            time_s,
        })
    }
}

/// Splits a bundle into its entries; `None` unless there are exactly `width`.
fn split(bytes: &[u8], width: u16) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bytes;
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(entries)
}
