//! Writes the archive, in one turn: other jobs wait. A crash leaves a file under a temporary name, which the next start removes,
//! and the job begins anew.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::Ordering;

use attestore_export::FileHash;
use attestore_record::Handle;
use attestore_record::view::About;
use attestore_tlog::{TlogProof, inclusion_proof};
use attestore_verify::bundle::{PROOFS_MAX, ZipWriter};

use super::AccessKind;
use super::account::{Member, Tally};
use super::line::{Person, Seen};
use super::report::{self, Rows};
use super::row::{AccessRow, Asked};
use crate::catalog::hex;
use crate::exports::evidence::make::{Made, Nodes};
use crate::exports::evidence::sink::{Sink, Trouble};
use crate::exports::row::{PartRow, dir, part_path};
use crate::exports::source::{Flow, Found, Pick, Source};
use crate::exports::work::{BUFFER_BYTES, Failure, Turn, sync_dir};
use crate::exports::{MANIFEST, NOTE, expire, manifest};
use crate::forget::subjects;
use crate::heads::checkpoint::verifier;
use crate::read::opening::opened_of;
use crate::read::records::SetSalts;
use crate::read::tree;
use crate::{Error, Result};

/// Takes a record; an error of the inside ends the job.
type Take<'t> = dyn FnMut(&Found<'_>, &mut SetSalts) -> Result<Result<(), Failure>> + 't;

impl Turn<'_> {
    /// Makes the archive of an access request and ends the job.
    ///
    /// # Errors
    /// [`Failure`]; nothing of it is left then, unless a sync failed.
    pub(in crate::exports) fn dossier(&self, access: &AccessRow) -> Result<(), Failure> {
        let path = part_path(self.key, 0);
        let made = self.cleared(self.write_dossier(access), &path)?;
        self.commit_one(made, &path)
    }

    fn write_dossier(&self, access: &AccessRow) -> Result<Made, Failure> {
        let (inner, row, tenant) = (self.inner, self.row, self.tenant);
        let asked = Asked::open(access, self.key, self.file_key)?;
        let person = Person {
            handles: asked.handles()?,
            people: asked.subjects(),
            policy: (*tenant.privacy_policy()).clone(),
        };
        let path = part_path(self.key, 0);
        let pace = |bytes| crate::compact::pace(inner, bytes);
        let used = expire::sealed_bytes(&inner.catalog, &tenant.id)?;
        let may_grow = |length| self.may_grow(used, length);
        let trouble = Trouble::default();
        let sink = Sink {
            part: self.create(&path, &pace)?,
            may_grow: &may_grow,
            trouble: &trouble,
        };
        let failed = |error: io::Error| trouble.take().unwrap_or_else(|| error.into());
        let mut archive = Archive::new(BufWriter::with_capacity(BUFFER_BYTES, sink));

        let seqs = subjects::seqs_about(inner, tenant, &person.handles, row.size)?;
        let (mut tally, mut rows) = (Tally::default(), Rows::default());
        let proved = self.write_records(
            access.kind,
            seqs,
            &person,
            &mut archive,
            &mut tally,
            &mut rows,
            &failed,
        )?;
        archive.member("schema.json", SCHEMA.as_bytes()).map_err(failed)?;
        let checkpoint = manifest::checkpoint_again(tenant, row)?;
        if access.kind == AccessKind::Access {
            archive
                .member("checkpoint", checkpoint.as_bytes())
                .map_err(failed)?;
            let vkey = format!("{}\n", verifier(tenant));
            archive.member("vkeys", vkey.as_bytes()).map_err(failed)?;
            self.write_proofs(&proved, &person, &checkpoint, &mut archive, (&trouble, &failed))?;
            let opened = proved.iter().filter(|(_, opens)| *opens).count() as u64;
            tally.proofs.opened = opened;
            tally.proofs.entries_only = proved.len() as u64 - opened;
        }
        let finished_ms = inner.clock.now_ms();
        let hidden = tenant.hidden.load();
        let restricted = person
            .handles
            .iter()
            .any(|handle| hidden.veil(&Handle::from_bytes(*handle)).restricted);
        let counts = (tally.records, tally.erased, tally.first, tally.last);
        let about = (&**tenant, self.key, row);
        let mut account = tally.account(about, (access, &asked), &checkpoint, finished_ms, restricted);
        if access.kind == AccessKind::Access {
            let page = report::page(&account, &rows);
            archive.member("report.html", page.as_bytes()).map_err(failed)?;
        }
        account.files.clone_from(&archive.members);
        let bytes = account.to_bytes()?;
        let note = manifest::sign(tenant, row, &bytes)?;
        archive.member(MANIFEST, &bytes).map_err(failed)?;
        archive.member(NOTE, note.as_bytes()).map_err(failed)?;
        let sink = archive.finish().map_err(failed)?;
        let part = sink.part.finish(format!("{}.zip", hex(&self.key.1)))?;
        sync_dir(inner, &dir(&tenant.id))?;

        let mut row = row.clone();
        let (records, erased, first_seq, last_seq) = counts;
        row.next_seq = row.size;
        row.parts = 1;
        row.records = records;
        row.erased = erased;
        row.bytes = part.bytes;
        row.sealed_bytes = part.sealed_bytes;
        row.finished_ms = Some(finished_ms);
        Ok(Made {
            part: PartRow {
                records,
                erased,
                first_seq,
                last_seq,
                ..part
            },
            manifest: None,
            row,
        })
    }

    /// Writes the records; returns which of them get a proof, and whether it may open them.
    #[expect(clippy::too_many_arguments, reason = "what one pass over the records fills")]
    fn write_records<W: Write>(
        &self,
        kind: AccessKind,
        seqs: Vec<u64>,
        person: &Person,
        archive: &mut Archive<W>,
        tally: &mut Tally,
        rows: &mut Rows,
        failed: &dyn Fn(io::Error) -> Failure,
    ) -> Result<Vec<(u64, bool)>, Failure> {
        archive.start("records.ndjson").map_err(failed)?;
        let mut proved = Vec::new();
        self.each(seqs, &mut |found, salts| {
            let seen = Seen::of(self.tenant, found, person, salts)?;
            if kind == AccessKind::Portability && !seen.disclosed.by_them {
                return Ok(Ok(()));
            }
            let line = seen.line(found)?;
            if let Err(error) = archive.write(&line) {
                return Ok(Err(failed(error)));
            }
            tally.add(found, &seen)?;
            if kind == AccessKind::Access {
                rows.add(found, &seen);
            }
            if proved.len() < PROOFS_MAX {
                proved.push((found.record.seq, seen.opens()));
            }
            self.live.records.store(tally.records, Ordering::Relaxed);
            Ok(Ok(()))
        })?;
        archive.end();
        Ok(proved)
    }

    fn write_proofs<W: Write>(
        &self,
        proved: &[(u64, bool)],
        person: &Person,
        checkpoint: &str,
        archive: &mut Archive<W>,
        (trouble, failed): (&Trouble, &dyn Fn(io::Error) -> Failure),
    ) -> Result<(), Failure> {
        let view = self.tenant.view();
        let reader = tree::reader(self.inner, self.tenant, &view);
        let nodes = Nodes {
            reader: &reader,
            turn: self,
            trouble,
        };
        let seqs = proved.iter().map(|(seq, _)| *seq).collect();
        self.each(seqs, &mut |found, salts| {
            let seq = found.record.seq;
            let opens = proved
                .binary_search_by_key(&seq, |(seq, _)| *seq)
                .ok()
                .and_then(|at| proved.get(at))
                .is_some_and(|(_, opens)| *opens);
            let extra =
                match opens {
                    false => None,
                    true => {
                        let theirs = |handles: &[Handle]| person.about(handles) == About::Them;
                        let opened = opened_of(self.tenant, &found.entry, found.record, salts, theirs)?;
                        let bytes = opened.to_bytes();
                        Some(bytes.map_err(|error| {
                            Error::damage("records", seq, format!("record {seq}: {error}"))
                        })?)
                    }
                };
            let hashes = match inclusion_proof(&nodes, seq, self.row.size) {
                Ok(hashes) => hashes,
                Err(error) => {
                    let failure = trouble.take();
                    return Ok(Err(failure.unwrap_or_else(|| Error::Io(error.to_string()).into())));
                }
            };
            let proof = TlogProof {
                extra,
                index: seq,
                hashes,
                checkpoint: checkpoint.to_owned(),
            };
            let name = format!("proofs/{seq}.tlog-proof");
            Ok(archive.member(&name, proof.to_text().as_bytes()).map_err(failed))
        })
    }

    /// Hands records on, ascending. What is gone is left out.
    fn each(&self, seqs: Vec<u64>, take: &mut Take<'_>) -> Result<(), Failure> {
        let stop = || self.is_stopped();
        let ranges = seqs.into_iter().map(|seq| seq..seq.saturating_add(1)).collect();
        let source = Source::new(self.inner, self.tenant, Pick::Ranges(ranges), true, &stop);
        let mut source = source.for_a_purpose();
        let mut next = 0;
        while next < self.row.size {
            // Anew each time: whoever is erased meanwhile is missing in what comes then.
            let mut salts = SetSalts::default();
            let mut refused = None;
            let step = source.step(
                &(next..self.row.size),
                &mut |found| match take(found, &mut salts)? {
                    Ok(()) => Ok(Flow::More),
                    Err(failure) => {
                        refused = Some(failure);
                        Ok(Flow::Enough)
                    }
                },
            );
            if let Some(failure) = refused {
                return Err(failure);
            }
            if stop() {
                return Err(self.stopped());
            }
            next = step?;
            self.live.next_seq.fetch_max(next, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The archive, and what is in it.
struct Archive<W: Write> {
    zip: ZipWriter<W>,
    members: Vec<Member>,
    open: Option<(String, FileHash, u64)>,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self {
            zip: ZipWriter::new(out),
            members: Vec::new(),
            open: None,
        }
    }

    /// Begins a member that comes in pieces.
    fn start(&mut self, name: &str) -> io::Result<()> {
        self.zip.start(name)?;
        self.open = Some((name.to_owned(), FileHash::default(), 0));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((_, hash, length)) = &mut self.open {
            hash.update(bytes);
            *length += bytes.len() as u64;
        }
        self.zip.write(bytes)
    }

    fn end(&mut self) {
        if let Some((name, hash, bytes)) = self.open.take() {
            self.members.push(Member {
                name,
                bytes,
                sha256: hash.finish(),
            });
        }
    }

    /// Adds a member that is there whole.
    fn member(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.zip.member(name, bytes)?;
        self.members.push(Member::of(name, bytes));
        Ok(())
    }
}

impl<'a> Archive<BufWriter<Sink<'a>>> {
    fn finish(self) -> io::Result<Sink<'a>> {
        let (out, _) = self.zip.finish()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// JSON Schema of a line of `records.ndjson`.
const SCHEMA: &str = include_str!("schema.json");
