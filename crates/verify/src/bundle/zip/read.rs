//! Reads an archive from anything that can be read at a position.

use std::io;

use super::{MEMBERS_MAX, Member, header, is_name};

/// Reads bytes at a position; a file, or bytes in memory. Opened by the caller.
pub trait ReadAt: Sync {
    /// Length in bytes.
    fn length(&self) -> u64;

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// What reading says; `UnexpectedEof` beyond the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn length(&self) -> u64 {
        u64::try_from(self.len()).expect("a length fits 64 bits")
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|at| self.get(at..)?.get(..out.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn length(&self) -> u64 {
        self.as_slice().length()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, out)
    }
}

/// Says why bytes are no archive of the one spelling.
#[derive(Debug, thiserror::Error)]
pub enum ZipError {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It does not end as an archive does.
    #[error("is no evidence bundle, or is cut off")]
    End,
    /// The directory is not what would be written for its members.
    #[error("its directory is malformed at member {0}")]
    Directory(usize),
    /// There are more than [`MEMBERS_MAX`] members.
    #[error("has too many members")]
    TooMany,
    /// A member's headers are not what would be written for it, or something lies between members.
    #[error("the headers of {0} are not as its directory says")]
    Headers(String),
    /// A member that must be there is not.
    #[error("has no {0}")]
    Missing(&'static str),
    /// A member is longer than it may be.
    #[error("{0} is too long")]
    TooLong(String),
    /// The CRC of a member is wrong.
    #[error("{0} is damaged")]
    Crc(String),
}

/// An archive that is opened: its directory and all headers are read and have their one spelling.
#[derive(Debug)]
pub struct Archive<'a, R: ?Sized> {
    source: &'a R,
    members: Vec<Member>,
}

impl<'a, R: ReadAt + ?Sized> Archive<'a, R> {
    /// Opens an archive.
    ///
    /// # Errors
    /// [`ZipError`] for the first thing that is not as it is written.
    pub fn open(source: &'a R) -> Result<Self, ZipError> {
        let length = source.length();
        let at = length.checked_sub(header::END_BYTES).ok_or(ZipError::End)?;
        let end = read(source, at, header::END_BYTES)?;
        let (count, bytes, offset) = header::parse_end(&end).ok_or(ZipError::End)?;
        if end != header::end(count, bytes, offset) || offset.checked_add(bytes) != Some(at) {
            return Err(ZipError::End);
        }
        let count = usize::try_from(count).map_err(|_| ZipError::TooMany)?;
        if count > MEMBERS_MAX || bytes > DIRECTORY_BYTES_MAX {
            return Err(ZipError::TooMany);
        }
        let directory = read(source, offset, bytes)?;
        let members = parse(&directory, count)?;
        let mut next = 0;
        for member in &members {
            if member.offset != next {
                return Err(ZipError::Headers(member.name.clone()));
            }
            next = check_headers(source, member, offset)?;
        }
        if next == offset {
            Ok(Self { source, members })
        } else {
            Err(ZipError::End)
        }
    }

    /// The members, in their order.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of that name.
    ///
    /// # Errors
    /// [`ZipError::Missing`].
    pub fn find(&self, name: &'static str) -> Result<&Member, ZipError> {
        let found = self.members.iter().find(|member| member.name == name);
        found.ok_or(ZipError::Missing(name))
    }

    /// Reads a whole member of at most `max` bytes, and checks its CRC.
    ///
    /// # Errors
    /// [`ZipError::TooLong`], [`ZipError::Crc`], [`ZipError::Read`].
    pub fn read(&self, member: &Member, max: u64) -> Result<Vec<u8>, ZipError> {
        if member.bytes > max {
            return Err(ZipError::TooLong(member.name.clone()));
        }
        let bytes = read(self.source, member.start(), member.bytes)?;
        if crc32fast::hash(&bytes) == member.crc {
            Ok(bytes)
        } else {
            Err(ZipError::Crc(member.name.clone()))
        }
    }

    /// Fills `out` with the bytes of a member from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the member's end, or what reading says.
    pub fn read_part(&self, member: &Member, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let wanted = u64::try_from(out.len()).ok();
        let end = wanted.and_then(|wanted| offset.checked_add(wanted));
        if end.is_none_or(|end| end > member.bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_at(member.start() + offset, out)
    }
}

/// Reads the headers of a directory; each must be what is written for what it says.
fn parse(directory: &[u8], count: usize) -> Result<Vec<Member>, ZipError> {
    let (mut rest, mut members) = (directory, Vec::new());
    for at in 0..count {
        let member = header::parse_directory(rest).filter(|member| is_name(&member.name));
        let member = member.ok_or(ZipError::Directory(at))?;
        rest = rest
            .strip_prefix(&*header::directory(&member))
            .ok_or(ZipError::Directory(at))?;
        if members.iter().any(|known: &Member| known.name == member.name) {
            return Err(ZipError::Directory(at));
        }
        members.push(member);
    }
    if rest.is_empty() {
        Ok(members)
    } else {
        Err(ZipError::Directory(count))
    }
}

/// Checks what stands before and behind a member, and returns where it ends.
fn check_headers<R: ReadAt + ?Sized>(source: &R, member: &Member, limit: u64) -> Result<u64, ZipError> {
    let wrong = || ZipError::Headers(member.name.clone());
    let end = member.end().filter(|end| *end <= limit).ok_or_else(wrong)?;
    let local = read(source, member.offset, header::local_bytes(&member.name))?;
    let behind = read(source, end - header::DESCRIPTOR_BYTES, header::DESCRIPTOR_BYTES)?;
    if local == header::local(&member.name) && behind == header::descriptor(member) {
        Ok(end)
    } else {
        Err(wrong())
    }
}

/// Reads bytes whose number the caller has bounded.
fn read<R: ReadAt + ?Sized>(source: &R, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let fits = offset
        .checked_add(bytes)
        .is_some_and(|end| end <= source.length());
    let bytes = usize::try_from(bytes).ok().filter(|_| fits);
    let mut out = vec![0; bytes.ok_or(io::ErrorKind::UnexpectedEof)?];
    source.read_at(offset, &mut out)?;
    Ok(out)
}

/// More than [`MEMBERS_MAX`] headers take.
const DIRECTORY_BYTES_MAX: u64 = 512 << 10;

const _: () = assert!(DIRECTORY_BYTES_MAX >= MEMBERS_MAX as u64 * (46 + 28 + super::NAME_BYTES_MAX as u64));
