//! Makes a bundle, in one turn.
//!
//! A bundle is one file, and its end depends on all that is before it: so it is written in one go, while other exports wait. A
//! crash leaves a file under a temporary name, which the next start removes, and the job begins anew. When the file is durable,
//! one catalog commit names it and ends the job.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;

use attestore_export::{rfc3339_ms, rfc3339_ns};
use attestore_tlog::{CheckpointError, Hash, NodeReader, NoteError, Policy, SubtreeError};
use attestore_verify::bundle::{BundleHead, BundleTree, BundleWriter, Scope, WriteError};

use super::super::manifest;
use super::super::row::{JobRow, PartRow, dir, part_path};
use super::super::source::{self, Flow, Pick, Source};
use super::super::work::{BUFFER_BYTES, Failure, Turn, count, no_space, sync_dir, too_many_bytes};
use super::EvidenceScope;
use super::control;
use super::sink::{Sink, Trouble};
use crate::catalog::hex;
use crate::exports::expire;
use crate::heads::checkpoint::verifier;
use crate::read::opening::opened;
use crate::read::records::SetSalts;
use crate::read::tree;
use crate::{Error, Result};

/// A job's one file, which is durable but for its name in the catalog.
pub(in super::super) struct Made {
    pub(in super::super) row: JobRow,
    pub(in super::super) part: PartRow,
    /// What is kept beside the file.
    pub(in super::super) manifest: Option<Vec<u8>>,
}

impl Turn<'_> {
    /// Makes the bundle of an export and ends the job.
    ///
    /// # Errors
    /// [`Failure`]; nothing of it is left then, unless a sync failed.
    pub(in super::super) fn bundle(&self) -> Result<(), Failure> {
        let path = part_path(self.key, 0);
        let made = self.cleared(self.write_bundle(&path), &path)?;
        self.commit_one(made, &path)
    }

    /// Names the one file of a job, which ends the job.
    pub(in super::super) fn commit_one(&self, made: Made, path: &Path) -> Result<(), Failure> {
        let (part, size) = (made.part.clone(), self.row.size);
        let done = manifest::commit(
            self.inner,
            self.key,
            made.row,
            made.manifest,
            Some((0, made.part)),
        );
        match done {
            Ok(()) => count(Some(&part), size),
            Err(Failure::Sync(_)) => {}
            Err(_) => {
                let _ = self.inner.disk.remove(path);
            }
        }
        done
    }

    fn write_bundle(&self, path: &Path) -> Result<Made, Failure> {
        let (inner, row) = (self.inner, self.row);
        let pace = |bytes| crate::compact::pace(inner, bytes);
        let used = expire::sealed_bytes(&inner.catalog, &self.tenant.id)?;
        let may_grow = |length| self.may_grow(used, length);
        let trouble = Trouble::default();
        let sink = Sink {
            part: self.create(path, &pace)?,
            may_grow: &may_grow,
            trouble: &trouble,
        };
        let failed = |error: WriteError| trouble.take().unwrap_or_else(|| self.failure(error));
        let out = BufWriter::with_capacity(BUFFER_BYTES, sink);
        let mut writer = BundleWriter::new(out, head(self)).map_err(failed)?;
        let records = self.push_all(&mut writer, &failed)?;

        let mut row = row.clone();
        let finished_ms = inner.clock.now_ms();
        let view = self.tenant.view();
        let reader = tree::reader(inner, self.tenant, &view);
        let nodes = Nodes {
            reader: &reader,
            turn: self,
            trouble: &trouble,
        };
        let policy = row.spec.evidence.policy.clone();
        let vkeys = vkeys(self, policy.as_deref());
        let (signing, origin) = (self.tenant.keys.signing.load(), &self.tenant.origin);
        let checkpoint = manifest::checkpoint_again(self.tenant, &row)?;
        let finished = signing.with_signers(origin, |signers| {
            writer.finish(BundleTree {
                checkpoint: &checkpoint,
                policy: policy.as_deref(),
                vkeys: &vkeys,
                nodes: &nodes,
                entries: &mut |seqs, out| {
                    let read = reader.source().entries(seqs);
                    out.extend(read.map_err(|error| trouble.keep(error.into()).to_string())?);
                    Ok(())
                },
                context: &[],
                signers,
                records_erased: records.erased,
                finished_at: &rfc3339_ms(finished_ms),
            })
        });
        let finished = finished.map_err(failed)?;
        let sink = finished.out.into_inner();
        let sink = sink.map_err(|error| failed(error.into_error().into()))?;
        let part = sink.part.finish(format!("{}.evidence", hex(&self.key.1)))?;
        sync_dir(inner, &dir(&self.tenant.id))?;
        row.next_seq = row.size;
        row.parts = 1;
        row.records = finished.manifest.records;
        row.erased = records.erased;
        row.bytes = part.bytes;
        row.sealed_bytes = part.sealed_bytes;
        row.finished_ms = Some(finished_ms);
        row.note = Some(finished.note);
        Ok(Made {
            part: PartRow {
                records: row.records,
                erased: row.erased,
                first_seq: records.first,
                last_seq: records.last,
                ..part
            },
            manifest: Some(finished.manifest.to_bytes()),
            row,
        })
    }

    /// Pushes every record of the bundle.
    fn push_all<W: Write>(
        &self,
        writer: &mut BundleWriter<W>,
        failed: &dyn Fn(WriteError) -> Failure,
    ) -> Result<Records, Failure> {
        let stop = || self.is_stopped();
        let pick = self.pick(&stop)?;
        let mut source = Source::new(self.inner, self.tenant, pick, self.row.personal, &stop);
        let mut records = Records::default();
        let mut next = 0;
        while next < self.row.size {
            // Anew each time: whoever is erased meanwhile is missing in what comes then.
            let mut salts = SetSalts::default();
            let mut refused = None;
            let step = source.step(&(next..self.row.size), &mut |found| {
                let opened = opened(self.tenant, &found.entry, found.record, &mut salts)?;
                let seq = found.record.seq;
                if let Err(error) = writer.push(seq, &opened) {
                    refused = Some(failed(error));
                    return Ok(Flow::Enough);
                }
                records.add(seq, found.erased);
                self.live.records.store(writer.records(), Ordering::Relaxed);
                Ok(Flow::More)
            });
            if let Some(failure) = refused {
                return Err(failure);
            }
            if stop() {
                return Err(self.stopped());
            }
            next = step?;
            self.live.next_seq.store(next, Ordering::Relaxed);
        }
        Ok(records)
    }

    fn pick(&self, stop: &dyn Fn() -> bool) -> Result<Pick> {
        let spec = &self.row.spec;
        match &spec.evidence.scope {
            EvidenceScope::Query => source::pick(spec, self.row.personal),
            EvidenceScope::Records(seqs) => {
                let single = |seq: &u64| *seq..seq.saturating_add(1);
                Ok(Pick::Ranges(seqs.iter().map(single).collect()))
            }
            EvidenceScope::Range { first, end } => {
                let view = self.tenant.view();
                let reader = tree::reader(self.inner, self.tenant, &view);
                let seqs = control::seqs(reader.source(), self.row.size, stop)?;
                Ok(Pick::Ranges(control::around(*first..*end, &seqs)))
            }
        }
    }

    fn failure(&self, error: WriteError) -> Failure {
        Failure::Failed(match error {
            WriteError::Empty => Error::Conflict {
                code: "no_records",
                message: "nothing matches, and a bundle without records proves nothing".into(),
            },
            WriteError::TooMany => Error::TooMany {
                code: "export_records",
                message: error.to_string(),
            },
            WriteError::Root => {
                let folder = Path::new("tenants").join(self.tenant.id.to_string());
                Error::damage(folder, 0, error.to_string())
            }
            WriteError::Checkpoint(CheckpointError::Note(NoteError::Signer)) => {
                self.tenant.catalog.modules().unavailable()
            }
            error => Error::Io(error.to_string()),
        })
    }

    /// Whether the file may become so long, beside what other exports of the tenant take.
    pub(in super::super) fn may_grow(&self, used: u64, length: u64) -> Result<(), Failure> {
        if self.is_stopped() {
            return Err(self.stopped());
        }
        self.live.bytes.store(length, Ordering::Relaxed);
        self.inner.guard.sample(self.inner);
        if !self.inner.guard.has_room(BUFFER_BYTES as u64) {
            return Err(no_space());
        }
        if used.saturating_add(length) > self.inner.settings.export_bytes_max {
            return Err(too_many_bytes(self.inner));
        }
        Ok(())
    }
}

/// Nodes of the tree, as long as nobody stops the job.
pub(in super::super) struct Nodes<'a> {
    pub(in super::super) reader: &'a tree::Reader<'a>,
    pub(in super::super) turn: &'a Turn<'a>,
    pub(in super::super) trouble: &'a Trouble,
}

impl NodeReader for Nodes<'_> {
    type Error = io::Error;

    fn node(&self, level: u8, index: u64) -> io::Result<Hash> {
        self.unless_stopped(|reader| reader.node(level, index))
    }

    fn nodes(&self, level: u8, range: Range<u64>, out: &mut Vec<Hash>) -> io::Result<()> {
        self.unless_stopped(|reader| reader.nodes(level, range, out))
    }
}

impl Nodes<'_> {
    fn unless_stopped<T>(
        &self,
        read: impl FnOnce(&tree::Reader<'_>) -> Result<T, SubtreeError<Error>>,
    ) -> io::Result<T> {
        if self.turn.is_stopped() {
            return Err(self.trouble.keep(self.turn.stopped()));
        }
        read(self.reader).map_err(|error| self.trouble.keep(tree::subtree_error(error).into()))
    }
}

/// What was pushed.
#[derive(Default)]
struct Records {
    first: Option<u64>,
    last: Option<u64>,
    erased: u64,
}

impl Records {
    fn add(&mut self, seq: u64, erased: bool) {
        self.first.get_or_insert(seq);
        self.last = Some(seq);
        self.erased += u64::from(erased);
    }
}

fn head(turn: &Turn<'_>) -> BundleHead {
    let row = turn.row;
    BundleHead {
        export: hex(&turn.key.1),
        tenant: row.tenant.clone(),
        origin: row.origin.clone(),
        query: row.spec.query.clone(),
        from: row.spec.from_ns.map(rfc3339_ns),
        to: row.spec.to_ns.map(rfc3339_ns),
        scope: match &row.spec.evidence.scope {
            EvidenceScope::Query => Scope::Query,
            EvidenceScope::Records(_) => Scope::Set,
            EvidenceScope::Range { first, end } => Scope::Range(*first..*end),
        },
        personal: row.personal,
        created_by: row.created_by.clone(),
        created_at: rfc3339_ms(row.created_ms),
    }
}

/// The key of the log, and those of the witnesses that are proposed.
fn vkeys(turn: &Turn<'_>, policy: Option<&str>) -> Vec<String> {
    let policy = policy.and_then(|text| Policy::parse(text.as_bytes()).ok());
    let witnesses = policy.iter().flat_map(Policy::witnesses);
    let mut keys = vec![verifier(turn.tenant).to_string()];
    keys.extend(witnesses.map(|witness| witness.key().to_string()));
    keys
}
