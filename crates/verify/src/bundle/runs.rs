//! Reads the runs of entries of a bundle.

use std::io;

use attestore_record::entry::ENTRY_BYTES;

use super::{Archive, BundleError, Member, ReadAt};

/// The entries of a bundle, ascending.
pub(super) struct Runs<'a, R: ?Sized> {
    archive: &'a Archive<'a, R>,
    member: Option<&'a Member>,
    offset: u64,
    /// Entries that were read, from the last to the next.
    buffer: Vec<[u8; ENTRY_BYTES]>,
    next: u64,
    /// Entries of this run that were not read yet.
    left: u64,
    /// The runs so far.
    pub(super) runs: Vec<std::ops::Range<u64>>,
}

impl<'a, R: ReadAt + ?Sized> Runs<'a, R> {
    pub(super) const fn new(archive: &'a Archive<'a, R>, member: Option<&'a Member>) -> Self {
        Self {
            archive,
            member,
            offset: 0,
            buffer: Vec::new(),
            next: 0,
            left: 0,
            runs: Vec::new(),
        }
    }

    /// The next entry, with its seq.
    ///
    /// # Errors
    /// [`BundleError::Entries`], [`BundleError::Read`].
    pub(super) fn next(&mut self) -> Result<Option<(u64, [u8; ENTRY_BYTES])>, BundleError> {
        let Some(member) = self.member else {
            return Ok(None);
        };
        if self.buffer.is_empty() {
            if self.left == 0 {
                if self.offset == member.bytes {
                    return Ok(None);
                }
                self.start(member)?;
            }
            self.fill(member)?;
        }
        let entry = self.buffer.pop().ok_or(BundleError::Entries)?;
        let seq = self.next;
        self.next += 1;
        Ok(Some((seq, entry)))
    }

    fn start(&mut self, member: &Member) -> Result<(), BundleError> {
        let mut head = [0; 16];
        self.archive
            .read_part(member, self.offset, &mut head)
            .map_err(cut_off)?;
        let (first, count) = head.split_at(8);
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let (first, count) = (number(first), number(count));
        let end = first.checked_add(count).ok_or(BundleError::Entries)?;
        // Runs that touch would have been one.
        if count == 0 || self.runs.last().is_some_and(|run| first <= run.end) || self.runs.len() == RUNS_MAX {
            return Err(BundleError::Entries);
        }
        self.runs.push(first..end);
        self.offset += 16;
        (self.next, self.left) = (first, count);
        Ok(())
    }

    fn fill(&mut self, member: &Member) -> Result<(), BundleError> {
        let count = usize::try_from(self.left.min(AT_ONCE)).map_err(|_| BundleError::Entries)?;
        let mut bytes = vec![0; count * ENTRY_BYTES];
        self.archive
            .read_part(member, self.offset, &mut bytes)
            .map_err(cut_off)?;
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        self.buffer.extend(entries.iter().rev());
        self.offset += u64::try_from(bytes.len()).map_err(|_| BundleError::Entries)?;
        self.left -= self.left.min(AT_ONCE);
        Ok(())
    }
}

/// A member that ends within a run is malformed; that a file cannot be read says nothing about it.
fn cut_off(error: io::Error) -> BundleError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::Entries,
        _ => error.into(),
    }
}

/// Entries that are read at once.
const AT_ONCE: u64 = 8192;
/// Most runs in a bundle.
const RUNS_MAX: usize = 4096;
