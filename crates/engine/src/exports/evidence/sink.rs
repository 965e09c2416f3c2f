//! Where a bundle is written to: a sealed part, which grows as long as there is room and nobody stops the job.

use std::cell::RefCell;
use std::io::{self, Write};

use super::super::part::PartWriter;
use super::super::work::Failure;

/// What went wrong below a writer that knows of errors of input and output only.
#[derive(Default)]
pub(in super::super) struct Trouble(RefCell<Option<Failure>>);

impl Trouble {
    /// Keeps a failure; returns what stands for it.
    pub(in super::super) fn keep(&self, failure: Failure) -> io::Error {
        self.0.borrow_mut().get_or_insert(failure);
        io::Error::other("the export stopped")
    }

    pub(in super::super) fn take(&self) -> Option<Failure> {
        self.0.borrow_mut().take()
    }
}

/// Writes a part; asks before each piece whether the part may become so long.
pub(in super::super) struct Sink<'a> {
    pub(in super::super) part: PartWriter<'a>,
    pub(in super::super) may_grow: &'a dyn Fn(u64) -> Result<(), Failure>,
    pub(in super::super) trouble: &'a Trouble,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.part.bytes().saturating_add(bytes.len() as u64);
        let written = (self.may_grow)(length).and_then(|()| Ok(self.part.write(bytes)?));
        written.map_err(|failure| self.trouble.keep(failure))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
