//! One open file of the machine, with the fallback from direct to buffered IO.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU8, Ordering},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use crate::{File, aligned::is_aligned};

/// An open file.
#[derive(Debug)]
pub(super) struct RealFile {
    file: fs::File,
    state: AtomicU8,
}

/// Plain writes; the caller syncs.
const BUFFERED: u8 = 0;
/// Writes followed by `fdatasync`, because direct IO was refused.
const BUFFERED_SYNC: u8 = 1;
/// `O_DIRECT | O_DSYNC`, no write done yet.
const DIRECT_UNTRIED: u8 = 2;
/// `O_DIRECT | O_DSYNC` or `O_DIRECT`, a write has succeeded.
const DIRECT: u8 = 3;
/// `O_DIRECT`, no write done yet; the caller syncs.
const DIRECT_ALONE_UNTRIED: u8 = 4;
/// `O_DIRECT`, for reading only.
const DIRECT_READ: u8 = 5;

impl RealFile {
    pub(super) fn buffered(file: fs::File) -> Self {
        Self {
            file,
            state: AtomicU8::new(BUFFERED),
        }
    }

    pub(super) fn buffered_sync(file: fs::File) -> Self {
        Self {
            file,
            state: AtomicU8::new(BUFFERED_SYNC),
        }
    }

    pub(super) fn direct_sync(file: fs::File) -> Self {
        Self {
            file,
            state: AtomicU8::new(DIRECT_UNTRIED),
        }
    }

    pub(super) fn direct(file: fs::File) -> Self {
        Self {
            file,
            state: AtomicU8::new(DIRECT_ALONE_UNTRIED),
        }
    }

    pub(super) fn direct_read(file: fs::File) -> Self {
        Self {
            file,
            state: AtomicU8::new(DIRECT_READ),
        }
    }

    /// The first direct write; where it is refused, `fallback` is what the file does from then on.
    fn write_first_direct(&self, buf: &[u8], offset: u64, fallback: u8) -> io::Result<()> {
        match self.file.write_all_at(buf, offset) {
            Ok(()) => {
                self.state.store(DIRECT, Ordering::Release);
                Ok(())
            }
            Err(e) if refuses_direct(&e) => {
                // Some file systems accept the flag and refuse the write. O_DSYNC cannot be taken off, and does no harm.
                self.give_up_direct(fallback)?;
                self.write_fallback(buf, offset, fallback)
            }
            Err(e) => Err(e),
        }
    }

    fn give_up_direct(&self, fallback: u8) -> io::Result<()> {
        fcntl_setfl(&self.file, fcntl_getfl(&self.file)? - OFlags::DIRECT)?;
        self.state.store(fallback, Ordering::Release);
        Ok(())
    }

    fn write_fallback(&self, buf: &[u8], offset: u64, fallback: u8) -> io::Result<()> {
        match fallback {
            BUFFERED_SYNC => self.write_and_sync(buf, offset),
            _ => self.file.write_all_at(buf, offset),
        }
    }

    fn write_and_sync(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)?;
        self.file.sync_data()
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.file.read_at(buf, offset) {
            Err(e) if self.state.load(Ordering::Acquire) == DIRECT_READ && refuses_direct(&e) => {
                self.give_up_direct(BUFFERED)?;
                self.file.read_at(buf, offset)
            }
            read => read,
        }
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let state = self.state.load(Ordering::Acquire);
        if state != BUFFERED && !is_aligned(buf, offset) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "direct writes need aligned memory, offset and length",
            ));
        }
        match state {
            DIRECT_UNTRIED => self.write_first_direct(buf, offset, BUFFERED_SYNC),
            DIRECT_ALONE_UNTRIED => self.write_first_direct(buf, offset, BUFFERED),
            other => self.write_fallback(buf, offset, other),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn is_direct(&self) -> bool {
        self.state.load(Ordering::Acquire) >= DIRECT_UNTRIED
    }
}

/// Tells whether an error means that the file system has no direct IO.
pub(super) fn refuses_direct(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(Errno::INVAL.raw_os_error()) || errno == Some(Errno::OPNOTSUPP.raw_os_error())
}
