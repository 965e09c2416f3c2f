//! Scanning: answering from the records themselves what no split answers.
//!
//! Candidates are found by a wider query where there is a split, else they are all records of the segment. They are read in
//! batches, nearest first. Those whose bytes lack what every match has are passed over; the others are indexed under exactly
//! what the query needs into a split that is thrown away after it was asked. Indexing is what costs.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use attestore_index::{IndexPolicy, Order, PersonalIndex, Query, Sieve, Split, TextIndex, Window, search};

use super::{
    execute::Run,
    gather::{Failed, Gathered, Want, ask},
    index_error, loose,
    policy::digest,
    rebuild,
    request::{Explain, micros},
};
use crate::{
    error::{Error, Result},
    read::records::{self, Record},
    tenant::FileSet,
};

/// Where candidates come from.
pub(super) enum Candidates<'a> {
    /// From a split that finds them by a wider query; without those of these seqs.
    Found(&'a Split, Query, Arc<[Range<u64>]>),
    /// All records of a segment.
    All(&'a FileSet),
}

/// Answers for the seqs in `seqs` by scanning.
///
/// # Errors
/// [`Error::NotIndexed`] when more would have to be scanned than one search may; failures of reading and indexing.
pub(super) fn scan(
    run: &Run<'_>,
    candidates: &Candidates<'_>,
    seqs: &Range<u64>,
    want: &Want,
    explain: &mut Explain,
) -> Result<Gathered, Failed> {
    let begin = std::time::Instant::now();
    let mut inside = *explain;
    let gathered = batches(run, candidates, seqs, want, &mut inside);
    // What the throw-away splits took is part of the scan.
    explain.phases.scan_us += micros(begin);
    explain.hits_visited = inside.hits_visited;
    explain.records_scanned = inside.records_scanned;
    explain.scanned += 1;
    metrics::counter!("attestore_search_records_scanned_total").increment(inside.records_scanned);
    match gathered {
        // Time ran out while records were read or while they were indexed and asked.
        Err(Failed::Engine(Error::Deadline) | Failed::Index(attestore_index::Error::Stopped)) => {
            let done = run.scanned.load(Ordering::Relaxed);
            let remedy = remedy(run);
            let message =
                format!("scanning the records took longer than allowed; {done} were done. {remedy}");
            Err(Error::NotIndexed { message }.into())
        }
        gathered => gathered,
    }
}

fn batches(
    run: &Run<'_>,
    candidates: &Candidates<'_>,
    seqs: &Range<u64>,
    want: &Want,
    explain: &mut Explain,
) -> Result<Gathered, Failed> {
    let every = want.all() || run.sort.is_some();
    let mut left = match every {
        true => seqs.clone(),
        false => seqs.start.max(want.page.start)..seqs.end.min(want.page.end),
    };
    if every {
        allow(run, expected(run, candidates, &left)?)?;
    }
    let mut gathered = Gathered::default();
    let mut length = BATCH_MIN;
    let mut sieve = run.query.sieve();
    while !left.is_empty() {
        run.check()?;
        let Batch {
            scanned,
            records,
            left: rest,
        } = next(run, candidates, left, length, sieve.as_mut())?;
        left = rest;
        length = (length * 2).min(BATCH_MAX);
        if scanned > 0 {
            explain.records_scanned += scanned;
            allow(run, 0)?;
            run.scanned.fetch_add(scanned, Ordering::Relaxed);
        }
        let Some(split) = loose::index(run.inner, run.tenant, run.view, &records, &run.needs)? else {
            continue;
        };
        drop(records);
        let one = ask(run, &split, run.query, seqs, &Arc::default(), want, explain)?;
        gathered.add(one, run, want.limit)?;
        if !every && gathered.hits.len() >= want.limit {
            break;
        }
    }
    Ok(gathered)
}

/// How many records there are to scan in `seqs`.
fn expected(run: &Run<'_>, candidates: &Candidates<'_>, seqs: &Range<u64>) -> Result<u64, Failed> {
    match candidates {
        Candidates::Found(split, query, without) => {
            let window = window(run, seqs.clone(), without);
            let found = search(split, query, &window, 0, true, &|| run.is_late())?;
            Ok(found.count.unwrap_or_default())
        }
        Candidates::All(set) => Ok(set.seg.count.min(seqs.end.saturating_sub(seqs.start))),
    }
}

/// Some candidates.
struct Batch {
    /// How many were read.
    scanned: u64,
    /// Those that may match, ascending.
    records: Vec<Record>,
    /// Where there are more.
    left: Range<u64>,
}

/// Reads the next candidates within `seqs`.
fn next(
    run: &Run<'_>,
    candidates: &Candidates<'_>,
    seqs: Range<u64>,
    length: usize,
    mut sieve: Option<&mut Sieve>,
) -> Result<Batch, Failed> {
    let mut may_match = |record: &Record| {
        let sieve = sieve.as_deref_mut();
        sieve.is_none_or(|sieve| {
            let public: &[u8] = &record.public;
            sieve.admits(std::iter::once(public).chain(record.personal_bytes()))
        })
    };
    let order = run.request.order;
    let rest = |batch: &Range<u64>| match order {
        Order::Newest => seqs.start..batch.start,
        Order::Oldest => batch.end..seqs.end,
    };
    match candidates {
        Candidates::Found(split, query, without) => {
            let window = window(run, seqs.clone(), without);
            let mut found = search(split, query, &window, length, false, &|| run.is_late())?.seqs;
            found.sort_unstable();
            let (Some(first), Some(last)) = (found.first(), found.last()) else {
                return Ok(Batch {
                    scanned: 0,
                    records: Vec::new(),
                    left: 0..0,
                });
            };
            let left = if found.len() < length {
                0..0
            } else {
                rest(&(*first..last.saturating_add(1)))
            };
            let mut records =
                records::read_many(run.inner, run.tenant, run.view, &found, true, &|| run.check())?;
            let scanned = records.len() as u64;
            records.retain(&mut may_match);
            Ok(Batch {
                scanned,
                records,
                left,
            })
        }
        Candidates::All(set) => {
            let batch = run_of_blocks(run, set, &seqs, length)?;
            let left = rest(&batch);
            let (mut scanned, mut records) = (0, Vec::new());
            let gone = run.gone.of_set(set);
            records::scan_range(run.inner, run.tenant, set, batch, &gone, |record| {
                scanned += 1;
                if may_match(&record) {
                    records.push(record);
                }
                Ok(())
            })?;
            Ok(Batch {
                scanned,
                records,
                left,
            })
        }
    }
}

/// The seqs of the nearest whole blocks of a segment that hold about `length` records.
fn run_of_blocks(run: &Run<'_>, set: &FileSet, seqs: &Range<u64>, length: usize) -> Result<Range<u64>> {
    let reader = run.inner.readers.seg(run.inner, run.tenant, &set.seg)?;
    let bounds = reader
        .blocks()
        .iter()
        .map(|block| block.first_seq..block.last_seq.saturating_add(1));
    let inside: Vec<Range<u64>> = bounds
        .map(|block| block.start.max(seqs.start)..block.end.min(seqs.end))
        .filter(|block| !block.is_empty())
        .collect();
    let mut many = 0;
    let enough = |block: &&Range<u64>| {
        let before = many;
        many += block.end - block.start;
        before < length as u64
    };
    Ok(match run.request.order {
        Order::Newest => {
            let start = inside
                .iter()
                .rev()
                .take_while(enough)
                .last()
                .map_or(seqs.start, |block| block.start);
            start..seqs.end
        }
        Order::Oldest => {
            let end = inside
                .iter()
                .take_while(enough)
                .last()
                .map_or(seqs.end, |block| block.end);
            seqs.start..end
        }
    })
}

fn window(run: &Run<'_>, seq: Range<u64>, without: &Arc<[Range<u64>]>) -> Window {
    Window {
        from_ns: run.request.from_ns,
        to_ns: run.request.to_ns,
        seq,
        without: Arc::clone(without),
        except: run.except.clone(),
        order: run.request.order,
    }
}

/// Refuses to scan `more` records if that is more than one search may.
fn allow(run: &Run<'_>, more: u64) -> Result<()> {
    let max = run.inner.settings.scan_records_max;
    let all = run.scanned.load(Ordering::Relaxed).saturating_add(more);
    if all < max || all == max && more > 0 {
        return Ok(());
    }
    Err(Error::NotIndexed {
        message: format!(
            "{all} records or more would have to be scanned, {max} may be. {}",
            remedy(run)
        ),
    })
}

/// What is not indexed, and what can be done about it.
fn remedy(run: &Run<'_>) -> String {
    let policy = run.tenant.index_policy();
    let lacking = lacking(&policy, &run.needs);
    if !lacking.is_empty() {
        return format!(
            "Not indexed: {}. Add it to the tenant's index policy, or narrow the time range",
            lacking.join(", ")
        );
    }
    let current = digest(&policy);
    let pending = |set: &&Arc<FileSet>| rebuild::is_pending(run.inner, run.tenant, set, &current);
    let pending = run.view.flushed.iter().filter(pending).count();
    format!("The index of {pending} segments is still being built: try again later, or narrow the time range")
}

/// What a policy leaves out of what is needed.
fn lacking(policy: &IndexPolicy, needs: &IndexPolicy) -> Vec<String> {
    let mut lacking = Vec::new();
    if needs.text > policy.text {
        lacking.push(match needs.text {
            TextIndex::Positions => "positions of words (`text`: `positions`), which phrases need".to_owned(),
            _ => "words of text (`text`: `words`)".to_owned(),
        });
    }
    if needs.metadata && !policy.metadata {
        lacking.push("`metadata`".to_owned());
    }
    if needs.payload_text && !policy.payload_text {
        lacking.push("words of payloads (`payload_text`)".to_owned());
    }
    if needs.personal > policy.personal {
        lacking.push(match needs.personal {
            PersonalIndex::All => "words of personal values (`personal`: `all`)".to_owned(),
            _ => "personal values (`personal`: `exact`)".to_owned(),
        });
    }
    let paths = needs.paths.iter().filter(|path| !policy.paths.contains(path));
    lacking.extend(paths.map(|path| format!("path `{path}` (`paths`)")));
    lacking
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Index(error) => index_error(error),
            Failed::Engine(error) => error,
        }
    }
}

/// Records in the first batch of a scan; each is twice as long as the one before.
const BATCH_MIN: usize = 256;
/// Records in a batch, at most.
const BATCH_MAX: usize = 4096;
