//! What a segment holds, against what the catalog and its split say of it. Reads and searches go by what those say: a record
//! that they leave out is not found, though it is there.

use super::Problem;
use crate::instance::Inner;
use crate::search;
use crate::tenant::{FileSet, Tenant};

/// The records of a segment, as they were read.
#[derive(Default)]
pub(super) struct Held {
    seqs: Vec<u64>,
    /// Times of the first and the last entry, Unix milliseconds.
    times: Option<(u64, u64)>,
}

impl Held {
    pub(super) fn add(&mut self, seq: u64, time_ms: u64) {
        self.seqs.push(seq);
        let first = self.times.map_or(time_ms, |(first, _)| first);
        self.times = Some((first, time_ms));
    }

    /// What does not fit. The split is read only with `split`.
    pub(super) fn problems(
        &self,
        inner: &Inner,
        tenant: &Tenant,
        set: &FileSet,
        split: bool,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let row = &set.seg;
        let said = (
            row.count,
            row.min_seq,
            row.max_seq,
            row.min_time_ms,
            row.max_time_ms,
        );
        let (Some((first_ms, last_ms)), Some(first), Some(last)) =
            (self.times, self.seqs.first(), self.seqs.last())
        else {
            return vec![Problem::damage(&row.path, row.offset, "it holds no records")];
        };
        let held = (self.seqs.len() as u64, *first, *last, first_ms, last_ms);
        if said != held {
            let reason = format!(
                "the catalog says {} records from {} to {}, of {} to {} ms; it holds {} from {} to {}, of {} to {} ms",
                said.0, said.1, said.2, said.3, said.4, held.0, held.1, held.2, held.3, held.4
            );
            problems.push(Problem::damage(&row.path, row.offset, reason));
        }
        if let Some(row) = set.idx.as_ref().filter(|_| split) {
            match search::split_contents(inner, tenant, set) {
                Err(error) => problems.push(Problem::of(&error, &row.path)),
                // One that cannot be used is no search's answer; it is built again.
                Ok(None) => {}
                Ok(Some((seqs, says))) => {
                    let reason = if seqs != self.seqs {
                        Some("it does not hold the records of its segment")
                    } else if row.split.as_ref().is_some_and(|said| *said != says) {
                        Some("it does not hold what the catalog says")
                    } else {
                        None
                    };
                    problems.extend(reason.map(|reason| Problem::damage(&row.path, row.offset, reason)));
                }
            }
        }
        problems
    }
}
