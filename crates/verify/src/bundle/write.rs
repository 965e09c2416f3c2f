//! Makes a bundle while records come in; has no IO of its own and keeps a few bytes for each record.

use std::io::{self, Write};
use std::ops::Range;

use attestore_export::{Claim, ClaimKind, FileEntry, FileHash, Manifest, note_text, sha256_hex};
use attestore_record::entry::ENTRY_BYTES;
use attestore_tlog::{
    Checkpoint, CheckpointError, Hash, NodeReader, NoteSigner, SignedNote, TlogProof, inclusion_proof,
    sign_note,
};

use super::{
    CHECKPOINT, ENTRIES, FORMAT, MANIFEST, NOTE, OPENING_BYTES_MAX, POLICY, PROOF, PROOFS_BYTES_MAX,
    PROOFS_MAX, RECORDS, RECORDS_MAX, SUMMARY, VKEYS, multiproof, proof_name,
    seqs::{Seqs, joined, merge},
    summary::{self, Rows},
    zip::ZipWriter,
};
use crate::opening::{CodecError, OpenedRecord};

/// What is known of a bundle before its first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleHead {
    /// Id of the export.
    pub export: String,
    /// Name of the tenant.
    pub tenant: String,
    /// Origin of its log.
    pub origin: String,
    /// The query; empty for everything.
    pub query: String,
    /// Earliest time of occurrence, inclusive, RFC 3339.
    pub from: Option<String>,
    /// Latest time of occurrence, exclusive, RFC 3339.
    pub to: Option<String>,
    /// What the records are chosen by.
    pub scope: Scope,
    /// Whether personal groups are opened in it, as far as they were not erased.
    pub personal: bool,
    /// Id of the credential that asked for it.
    pub created_by: String,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
}

/// What the records of a bundle are chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Somebody named them.
    Set,
    /// A query.
    Query,
    /// All of a range of seqs, and the control records that say why others are gone. Records beyond the range may be pushed.
    Range(Range<u64>),
}

/// Appends the entries of a range to a list, or says why they cannot be read.
pub type ReadEntries<'a> = dyn FnMut(Range<u64>, &mut Vec<[u8; ENTRY_BYTES]>) -> Result<(), String> + 'a;

/// The signed tree that a bundle is proved against, and what is read of it.
pub struct BundleTree<'a, R: ?Sized> {
    /// The signed checkpoint, with cosignatures.
    pub checkpoint: &'a str,
    /// A tlog-policy to propose to verifiers.
    pub policy: Option<&'a str>,
    /// Keys of the log and of witnesses, as vkeys.
    pub vkeys: &'a [String],
    /// Nodes of the tree, leaves included.
    pub nodes: &'a R,
    /// Appends the entries of a range (of at most 4096) to the list; asked only for a [`Scope::Range`] and `context`.
    pub entries: &'a mut ReadEntries<'a>,
    /// Further runs of entries: those between a policy and a purge that follows it show that no other policy came between.
    pub context: &'a [Range<u64>],
    /// Sign the manifest: the keys of the log, one or two.
    pub signers: &'a [&'a dyn NoteSigner],
    /// Records in which personal fields were erased; 0 unless personal.
    pub records_erased: u64,
    /// When the bundle is finished, RFC 3339.
    pub finished_at: &'a str,
}

/// A bundle that is written.
#[derive(Debug)]
pub struct Finished<W> {
    /// The output, flushed.
    pub out: W,
    /// Bytes written to it.
    pub bytes: u64,
    /// The manifest in it.
    pub manifest: Manifest,
    /// The signed note over the manifest.
    pub note: String,
}

/// Says why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The output failed.
    #[error("bundle cannot be written: {0}")]
    Io(#[from] io::Error),
    /// A record does not come after the one before it, or lies beyond the tree.
    #[error("record {0} is out of order")]
    Order(u64),
    /// There are more than [`RECORDS_MAX`] records.
    #[error("a bundle has at most {RECORDS_MAX} records")]
    TooMany,
    /// A record is longer than [`OPENING_BYTES_MAX`].
    #[error("record {seq}: {error}")]
    Record {
        /// Its seq.
        seq: u64,
        /// What is wrong.
        error: CodecError,
    },
    /// There is nothing to prove.
    #[error("a bundle without records proves nothing")]
    Empty,
    /// The range is empty or beyond the tree.
    #[error("the tree of {0} entries does not have that range")]
    Range(u64),
    /// The checkpoint is none, or of another log.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Reading the log failed.
    #[error("log: {0}")]
    Log(String),
    /// What was read of the log does not lead to the checkpoint's root.
    #[error("what was read of the log does not lead to the root of its checkpoint")]
    Root,
}

/// Writes a bundle.
#[derive(Debug)]
pub struct BundleWriter<W> {
    zip: ZipWriter<W>,
    head: BundleHead,
    seqs: Seqs,
    hash: FileHash,
    bytes: u64,
    rows: Rows,
    kept: Option<Kept>,
    files: Vec<FileEntry>,
}

/// Openings that get a proof of their own, while there are few.
#[derive(Debug, Default)]
struct Kept {
    openings: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl<W: Write> BundleWriter<W> {
    /// Starts a bundle.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn new(out: W, head: BundleHead) -> Result<Self, WriteError> {
        let mut zip = ZipWriter::new(out);
        zip.start(RECORDS)?;
        Ok(Self {
            zip,
            head,
            seqs: Seqs::default(),
            hash: FileHash::default(),
            bytes: 0,
            rows: Rows::default(),
            kept: Some(Kept::default()),
            files: Vec::new(),
        })
    }

    /// Writes the next record, in ascending order of seq. Verifies nothing of it.
    ///
    /// # Errors
    /// [`WriteError::Order`], [`WriteError::TooMany`], [`WriteError::Record`], [`WriteError::Io`].
    pub fn push(&mut self, seq: u64, record: &OpenedRecord) -> Result<(), WriteError> {
        if self.seqs.count() == RECORDS_MAX {
            return Err(WriteError::TooMany);
        }
        let opening = record
            .to_bytes()
            .map_err(|error| WriteError::Record { seq, error })?;
        let length = u32::try_from(opening.len())
            .ok()
            .filter(|_| opening.len() <= OPENING_BYTES_MAX);
        let error = CodecError::TooLarge;
        let length = length.ok_or(WriteError::Record { seq, error })?;
        if !self.seqs.push(seq) {
            return Err(WriteError::Order(seq));
        }
        let seq_bytes = seq.to_be_bytes();
        self.zip.write(&seq_bytes)?;
        self.zip.write(&length.to_be_bytes())?;
        self.zip.write(&opening)?;
        self.hash.update(&seq_bytes);
        self.hash.update(&record.entry);
        self.bytes += 12 + u64::from(length);
        self.rows.add(seq, record);
        self.keep(seq, opening);
        Ok(())
    }

    /// Number of records so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.seqs.count()
    }

    /// Bytes of records so far.
    #[must_use]
    pub const fn record_bytes(&self) -> u64 {
        self.bytes
    }

    /// Proves everything, signs the manifest and ends the bundle.
    ///
    /// Reads the leaves of all records, the entries of the range, and the nodes beside them; checks that they lead to the root of
    /// the checkpoint before anything is signed.
    ///
    /// # Errors
    /// [`WriteError`]; what was written until then is no bundle.
    pub fn finish<R>(mut self, tree: BundleTree<'_, R>) -> Result<Finished<W>, WriteError>
    where
        R: NodeReader<Error: std::fmt::Display> + ?Sized,
    {
        let checkpoint = SignedNote::parse(tree.checkpoint).map_err(CheckpointError::from)?;
        let checkpoint = Checkpoint::from_text(checkpoint.text())?;
        let others = tree
            .signers
            .iter()
            .any(|signer| signer.name() != self.head.origin);
        if checkpoint.origin() != self.head.origin || others {
            return Err(CheckpointError::OtherLog.into());
        }
        let size = checkpoint.size();
        match self.seqs.last() {
            None => return Err(WriteError::Empty),
            Some(last) if last >= size => return Err(WriteError::Order(last)),
            Some(_) => {}
        }
        let runs = self.runs(size, tree.context)?;
        self.write_entries(&runs, tree.entries)?;
        self.write_proof(&checkpoint, &runs, &tree.nodes)?;
        self.member(CHECKPOINT, tree.checkpoint.as_bytes())?;
        if let Some(policy) = tree.policy {
            self.member(POLICY, policy.as_bytes())?;
        }
        let vkeys: String = tree.vkeys.iter().map(|vkey| format!("{vkey}\n")).collect();
        self.member(VKEYS, vkeys.as_bytes())?;

        let mut manifest = self.manifest(&checkpoint, &tree);
        let page = summary::page(&manifest, &self.rows);
        self.member(SUMMARY, page.as_bytes())?;
        manifest.files = std::mem::take(&mut self.files);
        self.write_single_proofs(size, tree.checkpoint, &tree.nodes)?;
        let bytes = manifest.to_bytes();
        let text = note_text(&bytes, checkpoint.origin(), size, checkpoint.root().as_bytes());
        let note = sign_note(&text, tree.signers).map_err(CheckpointError::from)?;
        self.zip.member(MANIFEST, &bytes)?;
        self.zip.member(NOTE, note.as_bytes())?;
        let (out, bytes) = self.zip.finish()?;
        Ok(Finished {
            out,
            bytes,
            manifest,
            note,
        })
    }

    fn keep(&mut self, seq: u64, opening: Vec<u8>) {
        if let Some(kept) = &mut self.kept {
            kept.bytes += opening.len();
            kept.openings.push((seq, opening));
            if kept.openings.len() > PROOFS_MAX || kept.bytes > PROOFS_BYTES_MAX {
                self.kept = None;
            }
        }
    }

    /// The runs of entries that the bundle has.
    fn runs(&self, size: u64, context: &[Range<u64>]) -> Result<Vec<Range<u64>>, WriteError> {
        let range = match &self.head.scope {
            Scope::Range(range) if range.start < range.end => Some(range.clone()),
            Scope::Range(_) => return Err(WriteError::Range(size)),
            Scope::Set | Scope::Query => None,
        };
        let runs = joined(range.into_iter().chain(context.iter().cloned()));
        match runs.last() {
            Some(run) if run.end > size => Err(WriteError::Range(size)),
            _ => Ok(runs),
        }
    }

    fn write_entries(&mut self, runs: &[Range<u64>], read: &mut ReadEntries<'_>) -> Result<(), WriteError> {
        if runs.is_empty() {
            return Ok(());
        }
        let mut file = File::start(&mut self.zip, ENTRIES)?;
        let mut entries = Vec::new();
        for run in runs {
            let count = run.end - run.start;
            file.write(&run.start.to_be_bytes())?;
            file.write(&count.to_be_bytes())?;
            let mut from = run.start;
            while from < run.end {
                let to = run.end.min(from + ENTRIES_AT_ONCE);
                entries.clear();
                read(from..to, &mut entries).map_err(WriteError::Log)?;
                if u64::try_from(entries.len()) != Ok(to - from) {
                    return Err(WriteError::Log(format!("wrong number of entries from {from} on")));
                }
                file.write(entries.as_flattened())?;
                from = to;
            }
        }
        let entry = file.end();
        self.files.push(entry);
        Ok(())
    }

    fn write_proof<R>(
        &mut self,
        checkpoint: &Checkpoint,
        runs: &[Range<u64>],
        nodes: &R,
    ) -> Result<(), WriteError>
    where
        R: NodeReader<Error: std::fmt::Display>,
    {
        let mut file = File::start(&mut self.zip, PROOF)?;
        let mut known = merge(self.seqs.iter(), runs.iter().cloned().flatten());
        let root = multiproof::build(
            nodes,
            checkpoint.size(),
            &mut known,
            &mut |hash: Hash| file.write(hash.as_bytes()),
            &WriteError::Log,
        )?;
        let entry = file.end();
        if root != checkpoint.root() {
            return Err(WriteError::Root);
        }
        self.files.push(entry);
        Ok(())
    }

    fn write_single_proofs<R>(&mut self, size: u64, checkpoint: &str, nodes: &R) -> Result<(), WriteError>
    where
        R: NodeReader<Error: std::fmt::Display>,
    {
        for (seq, opening) in self.kept.take().unwrap_or_default().openings {
            let hashes = inclusion_proof(nodes, seq, size).map_err(|e| WriteError::Log(e.to_string()))?;
            let proof = TlogProof {
                extra: Some(opening),
                index: seq,
                hashes,
                checkpoint: checkpoint.to_owned(),
            };
            self.zip.member(&proof_name(seq), proof.to_text().as_bytes())?;
        }
        Ok(())
    }

    /// A member that is there whole, listed in the manifest.
    fn member(&mut self, name: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.zip.member(name, bytes)?;
        self.files.push(file_entry(name, count(bytes), sha256_hex(bytes)));
        Ok(())
    }

    fn manifest<R: ?Sized>(&self, checkpoint: &Checkpoint, tree: &BundleTree<'_, R>) -> Manifest {
        let head = &self.head;
        let (kind, range) = match &head.scope {
            Scope::Set => (ClaimKind::Set, None),
            Scope::Query => (ClaimKind::Query, None),
            Scope::Range(range) => (ClaimKind::Range, Some(range)),
        };
        Manifest {
            version: Manifest::VERSION.to_owned(),
            export: head.export.clone(),
            tenant: head.tenant.clone(),
            origin: head.origin.clone(),
            tree_size: checkpoint.size(),
            root: checkpoint.root().to_string(),
            checkpoint: tree.checkpoint.to_owned(),
            query: head.query.clone(),
            from: head.from.clone(),
            to: head.to.clone(),
            format: FORMAT.to_owned(),
            format_version: None,
            compression: "none".to_owned(),
            fields: None,
            personal: head.personal,
            created_by: head.created_by.clone(),
            created_at: head.created_at.clone(),
            finished_at: tree.finished_at.to_owned(),
            records: self.seqs.count(),
            records_erased: tree.records_erased,
            bytes: self.bytes,
            files: Vec::new(),
            claim: Some(Claim {
                kind,
                first_seq: range.map(|range| range.start),
                end_seq: range.map(|range| range.end),
                complete: range.is_some(),
                records_sha256: self.hash.clone().finish(),
            }),
        }
    }
}

/// A member that is written in pieces and listed in the manifest.
struct File<'a, W> {
    zip: &'a mut ZipWriter<W>,
    name: &'static str,
    hash: FileHash,
    bytes: u64,
}

impl<'a, W: Write> File<'a, W> {
    fn start(zip: &'a mut ZipWriter<W>, name: &'static str) -> Result<Self, WriteError> {
        zip.start(name)?;
        Ok(Self {
            zip,
            name,
            hash: FileHash::default(),
            bytes: 0,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.hash.update(bytes);
        self.bytes += count(bytes);
        Ok(self.zip.write(bytes)?)
    }

    fn end(self) -> FileEntry {
        file_entry(self.name, self.bytes, self.hash.finish())
    }
}

fn file_entry(name: &str, bytes: u64, sha256: String) -> FileEntry {
    FileEntry {
        name: name.to_owned(),
        bytes,
        records: 0,
        first_seq: None,
        last_seq: None,
        sha256,
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length fits 64 bits")
}

/// Entries that are read at once.
const ENTRIES_AT_ONCE: u64 = 4096;
