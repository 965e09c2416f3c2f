//! Why personal groups are gone: a subject was erased, and the log says so behind the records that this concerned.

use attestore_record::control::{Control, Erasure, ErasureScope};
use attestore_record::{Entry, Kind};

use super::seqs::Seqs;
use crate::read::records::Record;
use crate::{Error, Result};

/// Records that lack personal groups, and the erasures on record.
pub(super) struct Reasons {
    gaps: Seqs,
    /// Where each erasure of a subject stands, and how many records it says that it concerned.
    erasures: Vec<(u64, u64)>,
}

impl Reasons {
    pub(super) fn new(size: u64) -> Self {
        Self {
            gaps: Seqs::new(size),
            erasures: Vec::new(),
        }
    }

    /// Notes that groups of a record are gone.
    pub(super) fn gap(&mut self, seq: u64) {
        self.gaps.set(seq);
    }

    /// Takes up a record that was checked against its entry.
    ///
    /// # Errors
    /// Damage when it should be an erasure and is none.
    pub(super) fn take(&mut self, record: &Record, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Erasure {
            return Ok(());
        }
        let control = Control::parse(entry.kind, &record.public).map_err(|error| {
            Error::damage("records", record.seq, format!("record {}: {error}", record.seq))
        })?;
        if let Control::Erasure(Erasure {
            scope: ErasureScope::Subject,
            records,
            ..
        }) = control
        {
            self.erasures.push((record.seq, records));
        }
        Ok(())
    }

    /// How many records lack groups that no erasure accounts for, and the first of them. An erasure accounts for as many records
    /// before it as it says that it concerned.
    pub(super) fn unexplained(&mut self, has_erased: bool) -> Option<(u64, u64)> {
        if !has_erased {
            self.erasures.clear();
        }
        self.erasures.sort_unstable();
        let (mut end, mut room) = (self.gaps.size(), 0u64);
        let (mut count, mut first) = (0, 0);
        let begin = std::iter::once((0, 0));
        let erasures: Vec<_> = begin.chain(self.erasures.iter().copied()).collect();
        for (start, records) in erasures.into_iter().rev() {
            let gaps = self.gaps.count(start..end);
            let left = gaps.saturating_sub(room);
            if left > 0 {
                count += left;
                first = self.gaps.first(start..end).unwrap_or(start);
            }
            room = room.saturating_sub(gaps).saturating_add(records);
            end = start;
        }
        (count > 0).then_some((count, first))
    }
}

#[cfg(test)]
mod tests {
    use super::Reasons;

    fn unexplained(gaps: &[u64], erasures: &[(u64, u64)]) -> Option<(u64, u64)> {
        let mut reasons = Reasons::new(1000);
        gaps.iter().for_each(|seq| reasons.gap(*seq));
        reasons.erasures = erasures.to_vec();
        reasons.unexplained(true)
    }

    #[test]
    fn an_erasure_accounts_for_as_many_records_before_it_as_it_says() {
        assert_eq!(unexplained(&[], &[]), None);
        assert_eq!(unexplained(&[0, 7], &[]), Some((2, 0)));
        assert_eq!(unexplained(&[0, 7], &[(8, 2)]), None);
        assert_eq!(unexplained(&[0, 7], &[(8, 1)]), Some((1, 0)));
        assert_eq!(unexplained(&[0, 9], &[(8, 2)]), Some((1, 9)));
        assert_eq!(unexplained(&[0, 9, 500], &[(600, 2), (8, 1)]), None);
        assert_eq!(unexplained(&[0, 9, 10, 500], &[(600, 2), (8, 1)]), Some((1, 9)));
        assert_eq!(unexplained(&[0, 1, 2], &[(u64::MAX, u64::MAX), (3, 1)]), None);
    }

    #[test]
    fn an_erasure_on_record_is_none_where_no_subject_was_erased() {
        let mut reasons = Reasons::new(10);
        reasons.gap(3);
        reasons.erasures.push((5, 1));
        assert_eq!(reasons.unexplained(false), Some((1, 3)));
    }
}
