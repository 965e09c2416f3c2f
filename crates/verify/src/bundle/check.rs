//! Checks a bundle, from nothing but its bytes and what the caller trusts.

use std::collections::BTreeMap;
use std::io;
use std::iter::Peekable;
use std::thread;

use attestore_export::{ClaimKind, FileEntry, FileHash, Manifest, parse_note_text, sha256_hex};
use attestore_record::Entry;
use attestore_record::entry::{ENTRY_BYTES, EntryError};
use attestore_tlog::{Hash, NoteError, SIZE_MAX, TlogProof, TlogProofError, leaf_hash};
use serde::Serialize;

use super::complete::{Ledger, RangeReport};
use super::records::{Checked, Records, Wanted};
use super::runs::Runs;
use super::{
    Archive, CHECKPOINT, ENTRIES, FORMAT, MANIFEST, Member, NOTE, OPENING_BYTES_MAX, POLICY, PROOF,
    PROOFS_BYTES_MAX, PROOFS_MAX, RECORDS, ReadAt, SUMMARY, VKEYS, ZipError, multiproof, proof_seq,
};
use crate::opening::{CodecError, OpeningError};
use crate::trust::{Believed, Trust, TrustError, Witnessed};

/// How a bundle is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleOptions {
    /// Threads that check records; at least 1.
    pub threads: usize,
    /// A record to take out with a proof of its own.
    pub extract: Option<u64>,
}

impl Default for BundleOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            extract: None,
        }
    }
}

/// Tells what a bundle proves, and what it only says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleReport {
    /// Origin of the log.
    pub origin: String,
    /// Entries of the signed tree.
    pub size: u64,
    /// Root of the signed tree, hex.
    pub root: String,
    /// Witnesses that cosigned it, of those in the caller's policy.
    pub witnesses: Vec<Witnessed>,
    /// Witnesses whose cosignature this build cannot verify.
    pub unverified: Vec<String>,
    /// Id of the export.
    pub export: String,
    /// What the records were chosen by.
    pub kind: ClaimKind,
    /// The query: that the records are its matches, and all of them, is not proved.
    pub unproved_query: Option<String>,
    /// Records that are proved.
    pub records: u64,
    /// Those of them that are no events.
    pub control_records: u64,
    /// Personal groups that are opened.
    pub groups_opened: u64,
    /// Personal groups that are withheld or were erased.
    pub groups_withheld: u64,
    /// Single proofs that were checked too.
    pub proofs: u64,
    /// What became of the range, if the bundle is about one.
    pub range: Option<RangeReport>,
    /// The record that was asked for. Not serialised: its bytes may be personal.
    #[serde(skip)]
    pub extracted: Option<TlogProof>,
}

impl BundleReport {
    /// Tells whether everything holds, completeness included.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.range.as_ref().is_none_or(|range| range.findings.is_empty())
    }
}

/// Says why a bundle proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Reading failed.
    #[error("bundle cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is no archive as bundles are, or a member is missing or damaged.
    #[error("bundle {0}")]
    Archive(#[from] ZipError),
    /// The members are not those that the manifest lists, in their order.
    #[error("members are not as the manifest lists them: {0}")]
    Members(String),
    /// The manifest is none of a bundle.
    #[error("manifest.json: {0}")]
    Manifest(String),
    /// The note is not signed by the log.
    #[error("manifest.note: {0}")]
    Note(NoteError),
    /// Manifest, note and checkpoint do not agree.
    #[error("{0} differs between manifest.json, manifest.note and the checkpoint")]
    Differs(&'static str),
    /// A member is not what the manifest says.
    #[error("{0} is not what the manifest says: its hash differs")]
    Hash(String),
    /// The checkpoint is not believed.
    #[error("checkpoint: {0}")]
    Checkpoint(#[from] TrustError),
    /// There are no records.
    #[error("bundle has no records, so it proves nothing")]
    Empty,
    /// The list of records is malformed.
    #[error("records.bin is malformed")]
    Records,
    /// The list of entries is malformed, or does not cover the range.
    #[error("entries.bin is malformed, or does not have the range that the manifest claims")]
    Entries,
    /// A record does not come after the one before it, or lies beyond the tree.
    #[error("record {seq} is out of order")]
    Order {
        /// Its seq.
        seq: u64,
    },
    /// A record is malformed.
    #[error("record {seq}: {error}")]
    Record {
        /// Its seq.
        seq: u64,
        /// What is wrong with it.
        error: CodecError,
    },
    /// A record is not what its entry commits to.
    #[error("record {seq}: {error}")]
    Opening {
        /// Its seq.
        seq: u64,
        /// What is wrong with it.
        error: OpeningError,
    },
    /// An entry is of unknown version or kind.
    #[error("entry {seq}: {error}")]
    Entry {
        /// Its seq.
        seq: u64,
        /// What is wrong with it.
        error: EntryError,
    },
    /// A control record that decides about what may go is malformed.
    #[error("control record {seq}: {message}")]
    Control {
        /// Its seq.
        seq: u64,
        /// What is wrong with it.
        message: String,
    },
    /// A record and the entry of the same seq differ.
    #[error("record {seq} is not the one whose entry stands in entries.bin")]
    OtherEntry {
        /// Its seq.
        seq: u64,
    },
    /// There are more or fewer hashes in the proof than the records take.
    #[error("proof.bin is too {0}")]
    ProofLength(&'static str),
    /// Entries and proof do not lead to the root that was signed.
    #[error("records and proof do not lead to the root of the checkpoint")]
    Root,
    /// The records are not the ones that the manifest was signed for.
    #[error("the records are not those that the manifest was signed for")]
    OtherRecords,
    /// A single proof does not hold.
    #[error("{name}: {error}")]
    Proof {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: TlogProofError,
    },
    /// A single proof is about another record than its name says.
    #[error("{0} is not about that record of the bundle")]
    OtherProof(String),
    /// The record that was asked for is not in the bundle.
    #[error("bundle has no record {0}")]
    NoSuchRecord(u64),
    /// There is more of something than a verifier holds.
    #[error("bundle has too many {0}")]
    Bound(&'static str),
}

/// Verifies a bundle. Whether it proves what it claims of a range is in the report: [`BundleReport::is_sound`].
///
/// Reads records once, in pieces; memory is some megabytes for each thread, and the single proofs.
///
/// # Errors
/// [`BundleError`] for the first thing that does not hold.
pub fn verify_bundle<R>(
    source: &R,
    trust: &Trust,
    options: BundleOptions,
) -> Result<BundleReport, BundleError>
where
    R: ReadAt + ?Sized,
{
    let archive = Archive::open(source)?;
    let (manifest, believed) = head(&archive, trust)?;
    let claim = manifest.claim.as_ref().ok_or_else(|| no_manifest("no claim"))?;
    let range = match (claim.kind, claim.first_seq, claim.end_seq, claim.complete) {
        (ClaimKind::Range, Some(first), Some(end), true) if first < end => Some(first..end),
        (ClaimKind::Set | ClaimKind::Query, None, None, false) => None,
        _ => return Err(no_manifest("its claim contradicts itself")),
    };
    let (files, proofs) = members(&archive, &manifest)?;
    if range.is_none() && files.iter().any(|(member, _)| member.name == ENTRIES) {
        return Err(BundleError::Members(format!(
            "{ENTRIES} is only in bundles of ranges"
        )));
    }
    hashes(&archive, &files)?;

    let mut wanted = Wanted(proofs.iter().map(|(seq, _)| *seq).collect());
    wanted.0.extend(options.extract);
    let checkpoint = &believed.checkpoint;
    let read = thread::scope(|scope| -> Result<Read, BundleError> {
        let entries = archive.members().iter().find(|member| member.name == ENTRIES);
        let records = archive.find(RECORDS)?;
        let mut leaves = Leaves {
            records: Records::new(
                scope,
                &archive,
                records,
                options.threads,
                &wanted,
                manifest.records,
            ),
            runs: Runs::new(&archive, entries),
            record: None,
            entry: None,
            ledger: range.clone().map(Ledger::new),
            openings: BTreeMap::new(),
            kept: 0,
            tally: Tally::default(),
        };
        let path = prove(
            &archive,
            checkpoint.size(),
            checkpoint.root(),
            &mut leaves,
            options.extract,
        )?;
        leaves.finish(path, manifest.records, &claim.records_sha256)
    })?;
    if let Some(range) = &range {
        let covers = |run: &std::ops::Range<u64>| run.start <= range.start && range.end <= run.end;
        read.runs
            .iter()
            .find(|run| covers(run))
            .ok_or(BundleError::Entries)?;
    }
    let Read {
        path,
        runs,
        ledger,
        openings,
        tally,
    } = read;
    single_proofs(&archive, &proofs, trust, &openings)?;
    let note = archive.read(archive.find(CHECKPOINT)?, NOTE_MAX)?;
    let extracted = options.extract.map(|seq| {
        let extra = openings.get(&seq).ok_or(BundleError::NoSuchRecord(seq))?;
        Ok::<_, BundleError>(TlogProof {
            extra: Some(extra.clone()),
            index: seq,
            hashes: path,
            checkpoint: String::from_utf8_lossy(&note).into_owned(),
        })
    });
    Ok(BundleReport {
        origin: checkpoint.origin().to_owned(),
        size: checkpoint.size(),
        root: checkpoint.root().to_string(),
        witnesses: believed.witnesses,
        unverified: believed.unverified,
        export: manifest.export.clone(),
        kind: claim.kind,
        unproved_query: (claim.kind == ClaimKind::Query).then(|| manifest.query.clone()),
        records: manifest.records,
        control_records: tally.controls,
        groups_opened: tally.groups_opened,
        groups_withheld: tally.groups_withheld,
        proofs: u64::try_from(proofs.len()).unwrap_or(u64::MAX),
        range: ledger.map(|ledger| ledger.judge(&runs)).transpose()?,
        extracted: extracted.transpose()?,
    })
}

/// Checkpoint, manifest and note, and that they are about one tree.
fn head<R: ReadAt + ?Sized>(
    archive: &Archive<'_, R>,
    trust: &Trust,
) -> Result<(Manifest, Believed), BundleError> {
    let text = |name, max| {
        let bytes = archive.read(archive.find(name)?, max)?;
        String::from_utf8(bytes).map_err(|_| BundleError::Manifest(format!("{name} is not text")))
    };
    let note = text(CHECKPOINT, NOTE_MAX)?;
    let believed = trust.open(&note)?;
    let bytes = archive.read(archive.find(MANIFEST)?, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| no_manifest(&error.to_string()))?;
    if manifest.version != Manifest::VERSION || manifest.format != FORMAT {
        return Err(no_manifest("it is of another version or format"));
    }
    let checkpoint = &believed.checkpoint;
    let signed = trust
        .open_note(&text(NOTE, NOTE_MAX)?, checkpoint.origin())
        .map_err(BundleError::Note)?;
    let signed = parse_note_text(&signed).ok_or_else(|| no_manifest("its note is about something else"))?;
    let same = |what, is: bool| {
        if is {
            Ok(())
        } else {
            Err(BundleError::Differs(what))
        }
    };
    same("the manifest's hash", signed.sha256 == sha256_hex(&bytes))?;
    same(
        "the origin",
        manifest.origin == checkpoint.origin() && signed.origin == manifest.origin,
    )?;
    let size = checkpoint.size();
    same("the tree size", signed.size == size && manifest.tree_size == size)?;
    let root = checkpoint.root();
    same(
        "the root",
        signed.root == root.to_base64() && manifest.root == root.to_string(),
    )?;
    same("the checkpoint", manifest.checkpoint == note)?;
    Ok((manifest, believed))
}

type Files<'a> = Vec<(&'a Member, &'a FileEntry)>;
type Proofs<'a> = Vec<(u64, &'a Member)>;

/// The members that the manifest lists, and the single proofs; in the order that bundles have, and no others.
fn members<'a, R: ReadAt + ?Sized>(
    archive: &'a Archive<'_, R>,
    manifest: &'a Manifest,
) -> Result<(Files<'a>, Proofs<'a>), BundleError> {
    let expected: Vec<&str> = [ENTRIES, PROOF, CHECKPOINT, POLICY, VKEYS, SUMMARY]
        .into_iter()
        .collect();
    let listed: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    let optional = |name: &&str| [ENTRIES, POLICY].contains(name);
    let in_order: Vec<&str> = expected
        .into_iter()
        .filter(|name| !optional(name) || listed.contains(name))
        .collect();
    if in_order != listed {
        return Err(BundleError::Members(format!("listed are {}", listed.join(", "))));
    }
    let (mut files, mut proofs, mut rest) = (Vec::new(), Vec::new(), archive.members().iter());
    let mut next = |name: &str| {
        let member = rest.next().filter(|member| member.name == name);
        member.ok_or_else(|| BundleError::Members(format!("{name} is not in its place")))
    };
    next(RECORDS)?;
    for file in &manifest.files {
        files.push((next(&file.name)?, file));
    }
    let rest = rest.as_slice();
    let (singles, end) = rest
        .split_at_checked(rest.len().saturating_sub(2))
        .unwrap_or((rest, &[]));
    if end.iter().map(|member| member.name.as_str()).ne([MANIFEST, NOTE]) {
        return Err(BundleError::Members("the manifest is not at the end".into()));
    }
    for member in singles {
        let seq = proof_seq(&member.name).ok_or_else(|| BundleError::Members(member.name.clone()))?;
        proofs.push((seq, member));
    }
    if proofs.len() > PROOFS_MAX || !proofs.is_sorted_by_key(|(seq, _)| *seq) {
        return Err(BundleError::Members("single proofs".into()));
    }
    Ok((files, proofs))
}

/// Holds the listed members against their hashes and CRCs.
fn hashes<R: ReadAt + ?Sized>(archive: &Archive<'_, R>, files: &Files<'_>) -> Result<(), BundleError> {
    let mut buffer = vec![0; PIECE];
    for (member, file) in files {
        let (mut hash, mut crc, mut at) = (FileHash::default(), crc32fast::Hasher::new(), 0);
        while at < member.bytes {
            let piece = usize::try_from(member.bytes - at).unwrap_or(PIECE).min(PIECE);
            let piece = buffer.get_mut(..piece).unwrap_or_default();
            archive.read_part(member, at, piece)?;
            hash.update(piece);
            crc.update(piece);
            at += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        if hash.finish() != file.sha256 || member.bytes != file.bytes {
            return Err(BundleError::Hash(member.name.clone()));
        }
        if crc.finalize() != member.crc {
            return Err(ZipError::Crc(member.name.clone()).into());
        }
    }
    Ok(())
}

/// Leads records, entries and proof to the root; returns the path of the record that is to be taken out.
fn prove<R: ReadAt + ?Sized>(
    archive: &Archive<'_, R>,
    size: u64,
    root: Hash,
    leaves: &mut Leaves<'_, R>,
    target: Option<u64>,
) -> Result<Vec<Hash>, BundleError> {
    let member = archive.find(PROOF)?;
    let (mut at, mut buffer, mut path) = (0, Vec::new().into_iter(), Vec::new());
    let mut read = || -> Result<Hash, BundleError> {
        if let Some(hash) = buffer.next() {
            return Ok(hash);
        }
        let left = member.bytes - at;
        if left == 0 {
            return Err(BundleError::ProofLength("short"));
        }
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        archive.read_part(member, at, &mut bytes)?;
        at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let (hashes, over) = bytes.as_chunks::<{ Hash::LEN }>();
        if !over.is_empty() {
            return Err(BundleError::ProofLength("long"));
        }
        buffer = hashes.iter().copied().map(Hash).collect::<Vec<_>>().into_iter();
        buffer.next().ok_or(BundleError::ProofLength("short"))
    };
    debug_assert!(size <= SIZE_MAX);
    let mut known: Peekable<_> = std::iter::from_fn(|| leaves.next().transpose()).peekable();
    let computed = multiproof::root(size, &mut known, &mut read, target, &mut path)?;
    match known.next() {
        Some(Ok((seq, _))) => return Err(BundleError::Order { seq }),
        Some(Err(error)) => return Err(error),
        None => {}
    }
    if buffer.next().is_some() || at != member.bytes {
        return Err(BundleError::ProofLength("long"));
    }
    if computed == root {
        Ok(path)
    } else {
        Err(BundleError::Root)
    }
}

/// The single proofs lead to the same checkpoint, and open the same records.
fn single_proofs<R: ReadAt + ?Sized>(
    archive: &Archive<'_, R>,
    proofs: &Proofs<'_>,
    trust: &Trust,
    openings: &BTreeMap<u64, Vec<u8>>,
) -> Result<(), BundleError> {
    let checkpoint = archive.read(archive.find(CHECKPOINT)?, NOTE_MAX)?;
    for (seq, member) in proofs {
        let other = || BundleError::OtherProof(member.name.clone());
        let text = String::from_utf8(archive.read(member, PROOF_TEXT_MAX)?).map_err(|_| other())?;
        let failed = |error| BundleError::Proof {
            name: member.name.clone(),
            error,
        };
        let proof = TlogProof::parse(&text).map_err(failed)?;
        let opening = openings.get(seq).ok_or_else(other)?;
        if proof.index != *seq
            || proof.extra.as_ref() != Some(opening)
            || proof.checkpoint.as_bytes() != checkpoint
        {
            return Err(other());
        }
        // Any key will do: the checkpoint is the one that was judged.
        let (entry, key) = (opening.get(1..=ENTRY_BYTES).ok_or_else(other)?, trust.keys());
        let mut verdict = Err(TlogProofError::MissingCheckpoint);
        for key in key {
            verdict = proof.verify(leaf_hash(entry), key).map(|_| ());
            if verdict.is_ok() {
                break;
            }
        }
        verdict.map_err(failed)?;
    }
    Ok(())
}

/// Counts over the records.
#[derive(Default)]
struct Tally {
    controls: u64,
    groups_opened: u64,
    groups_withheld: u64,
}

/// The leaves that records and entries give, ascending; what they tell is taken up on the way.
struct Leaves<'a, R: ?Sized> {
    records: Records<'a, R>,
    runs: Runs<'a, R>,
    record: Option<Checked>,
    entry: Option<(u64, [u8; ENTRY_BYTES])>,
    /// Of a range.
    ledger: Option<Ledger>,
    openings: BTreeMap<u64, Vec<u8>>,
    /// Bytes of them.
    kept: usize,
    tally: Tally,
}

/// What records and entries told.
struct Read {
    /// Of the record that is to be taken out.
    path: Vec<Hash>,
    /// The runs of entries.
    runs: Vec<std::ops::Range<u64>>,
    ledger: Option<Ledger>,
    openings: BTreeMap<u64, Vec<u8>>,
    tally: Tally,
}

impl<R: ReadAt + ?Sized> Leaves<'_, R> {
    /// Checks that the records were those, all of them.
    fn finish(self, path: Vec<Hash>, count: u64, hash: &str) -> Result<Read, BundleError> {
        if self.records.count == 0 {
            return Err(BundleError::Empty);
        }
        self.records.check_crc()?;
        if self.records.hash.finish() != hash || self.records.count != count {
            return Err(BundleError::OtherRecords);
        }
        Ok(Read {
            path,
            runs: self.runs.runs,
            ledger: self.ledger,
            openings: self.openings,
            tally: self.tally,
        })
    }

    fn next(&mut self) -> Result<Option<(u64, Hash)>, BundleError> {
        if self.record.is_none() {
            self.record = self.records.next()?;
        }
        if self.entry.is_none() {
            self.entry = self.runs.next()?;
        }
        let record = self.record.as_ref().map(|record| record.seq);
        let entry = self.entry.as_ref().map(|(seq, _)| *seq);
        match (record, entry) {
            (None, None) => Ok(None),
            (Some(seq), Some(at)) if seq == at => {
                if self.entry.take().map(|(_, entry)| entry)
                    != self.record.as_ref().map(|record| record.entry)
                {
                    return Err(BundleError::OtherEntry { seq });
                }
                self.take_record()
            }
            (Some(seq), at) if at.is_none_or(|at| seq < at) => self.take_record(),
            _ => self.take_entry(),
        }
    }

    fn take_record(&mut self) -> Result<Option<(u64, Hash)>, BundleError> {
        let Some(record) = self.record.take() else {
            return Ok(None);
        };
        let seq = record.seq;
        let count = |groups: usize| u64::try_from(groups).unwrap_or(u64::MAX);
        self.tally.controls += u64::from(record.kind != attestore_record::Kind::Event);
        self.tally.groups_opened += count(record.opened.groups_opened);
        self.tally.groups_withheld += count(record.opened.groups_withheld);
        if let Some(ledger) = &mut self.ledger {
            ledger.opened(seq, record.opened.time_ms, record.control)?;
        }
        if let Some(opening) = record.opening {
            self.kept += opening.len();
            if self.kept > PROOFS_BYTES_MAX + OPENING_BYTES_MAX {
                return Err(BundleError::Bound("bytes of records with single proofs"));
            }
            self.openings.insert(seq, opening);
        }
        Ok(Some((seq, record.leaf)))
    }

    fn take_entry(&mut self) -> Result<Option<(u64, Hash)>, BundleError> {
        let Some((seq, bytes)) = self.entry.take() else {
            return Ok(None);
        };
        let entry = Entry::from_bytes(&bytes).map_err(|error| BundleError::Entry { seq, error })?;
        if let Some(ledger) = &mut self.ledger {
            ledger.closed(seq, &entry)?;
        }
        Ok(Some((seq, leaf_hash(&bytes))))
    }
}

fn no_manifest(message: &str) -> BundleError {
    BundleError::Manifest(message.to_owned())
}

/// Longest note that is read.
const NOTE_MAX: u64 = 1 << 20;
/// Longest manifest that is read; it lists a handful of members.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Longest single proof that is read: base64 of the longest openings that get one, with a checkpoint.
const PROOF_TEXT_MAX: u64 = PROOFS_BYTES_MAX as u64 * 2 + NOTE_MAX;
/// Bytes that are read at once where nothing is parsed.
const PIECE: usize = 256 << 10;

const _: () = assert!(PIECE.is_multiple_of(Hash::LEN));
