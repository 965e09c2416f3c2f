//! One file as it is found: its header checked, its key at hand.

use std::{io, path::PathBuf, sync::Arc};

use attestore_disk::{File, Mode};
use attestore_keys::Key;

use super::{LogFile, ReplayError, Source};
use crate::{FileHeader, HEADER_LEN, HeaderError, KeyError, names::file_path, parse_file_header};

/// A file with an authentic header.
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    pub(super) header: FileHeader,
    pub(super) key: Key,
    /// Bytes that are there and belong to the file: its length, at most the size in the header.
    pub(super) len: u64,
}

/// What [`load`] found.
pub(super) enum Load {
    Authentic(Box<Loaded>),
    /// The header is not one of this file; why.
    Invalid(&'static str),
}

/// Opens file `number` and checks its header.
pub(super) fn load(source: &Source<'_>, number: u64) -> Result<Load, ReplayError> {
    let path = file_path(number);
    let io = |e| ReplayError::io(&path, e);
    let file = source.disk.open(&path, Mode::Read).map_err(io)?;
    let mut block = vec![0; HEADER_LEN];
    match file.read_exact_at(&mut block, 0) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(Load::Invalid("the file header is cut short"));
        }
        Err(e) => return Err(io(e)),
    }
    let header = match parse_file_header(&block) {
        Ok(header) => header,
        Err(HeaderError::Version(version)) => return Err(ReplayError::Version { path, version }),
        Err(HeaderError::Short | HeaderError::Checksum) => {
            return Ok(Load::Invalid("the file header's magic or checksum is wrong"));
        }
        Err(HeaderError::Fields) => return Ok(Load::Invalid("the file header has impossible fields")),
    };
    if header.spec.number != number {
        return Ok(Load::Invalid("the file header belongs to another number"));
    }
    let key = file_key(source, &header, &path)?;
    if !header.is_authentic(&key) {
        return Ok(Load::Invalid("the file header is not authentic"));
    }
    let len = file.len().map_err(io)?.min(header.spec.size);
    Ok(Load::Authentic(Box::new(Loaded {
        path,
        file,
        header,
        key,
        len,
    })))
}

fn file_key(source: &Source<'_>, header: &FileHeader, path: &std::path::Path) -> Result<Key, ReplayError> {
    let slot = header.spec.key_slot;
    let refuse = |reason: String| ReplayError::Key {
        path: path.into(),
        what: format!("the file (slot {slot})"),
        reason,
    };
    match source.file_keys.file_key(slot, &header.spec.file_id) {
        Ok(key) if header.key_check.matches(&key) => Ok(key),
        Ok(_) => Err(refuse("the key is wrong".into())),
        Err(KeyError::Io(e)) => Err(ReplayError::io(path, e)),
        Err(error) => Err(refuse(error.to_string())),
    }
}

impl Loaded {
    pub(super) fn summary(&self, frames: u64, end: u64) -> LogFile {
        LogFile {
            number: self.header.spec.number,
            path: self.path.clone(),
            file_id: self.header.spec.file_id,
            key_slot: self.header.spec.key_slot,
            size: self.header.spec.size,
            frames,
            end,
        }
    }

    /// Reads `len` bytes at `offset`; `None` where the file ends before.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Option<Vec<u8>>, ReplayError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(ReplayError::io(&self.path, e)),
        }
    }
}
