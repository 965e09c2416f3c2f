//! What is done about the end of the log: the torn tail goes to quarantine, the frames before it are made durable.

use std::path::{Path, PathBuf};

use attestore_disk::{AlignedBuf, Disk, Mode};

use super::{Loaded, ReplayError, TornTail, survey::Rest};
use crate::{
    Position, ZERO_FILL_BYTES,
    frame::parse_frame_header,
    names::{DIR, QUARANTINE, quarantine_path},
};

/// The end of the newest file.
pub(super) struct Last {
    pub(super) path: PathBuf,
    /// Everything before this offset is known to be synced.
    pub(super) synced: u64,
    pub(super) end: u64,
}

/// Tells what an unfinished write left behind `offset`, if anything shows it.
///
/// In a file that was filled with zeros, that is everything up to the last block that is not zero. In a recycled file older
/// bytes follow; only a frame header of this file shows an unfinished write there.
pub(super) fn torn(file: &Loaded, offset: u64, rest: &Rest) -> Result<Option<TornTail>, ReplayError> {
    let bytes = if file.header.recycled {
        unfinished_frame(file, offset)?
    } else {
        rest.end - offset
    };
    let path = file.path.clone();
    Ok((bytes > 0).then_some(TornTail {
        path,
        offset,
        bytes,
        quarantine: None,
    }))
}

fn unfinished_frame(file: &Loaded, offset: u64) -> Result<u64, ReplayError> {
    let Some(block) = file.read(offset, attestore_disk::BLOCK)? else {
        return Ok(0);
    };
    Ok(match parse_frame_header(&block) {
        Ok(header) if header.file_id == file.header.spec.file_id => {
            u64::from(header.length).min(file.len - offset)
        }
        _ => 0,
    })
}

/// Copies a torn tail to quarantine, synced. Repeated, it writes the same bytes again.
pub(super) fn quarantine(disk: &dyn Disk, torn: &TornTail) -> Result<TornTail, ReplayError> {
    let number = torn
        .path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(crate::parse_file_name)
        .unwrap_or(0);
    let path = quarantine_path(Position {
        wal: number,
        offset: torn.offset,
    });
    copy(disk, torn, &path).map_err(|e| ReplayError::io(&path, e))?;
    tracing::warn!(file = %torn.path.display(), offset = torn.offset, bytes = torn.bytes, copy = %path.display(),
        "cut an unfinished write from the end of the log");
    Ok(TornTail {
        quarantine: Some(path),
        ..torn.clone()
    })
}

fn copy(disk: &dyn Disk, torn: &TornTail, path: &Path) -> std::io::Result<()> {
    let dir = Path::new(QUARANTINE);
    disk.create_dir_all(dir)?;
    disk.sync_dir(Path::new(""))?;
    let from = disk.open(&torn.path, Mode::Read)?;
    let to = disk.open(path, Mode::ReadWriteCreate)?;
    let mut piece = vec![0; ZERO_FILL_BYTES];
    let mut done = 0;
    while done < torn.bytes {
        let len = usize::try_from(torn.bytes - done)
            .unwrap_or(ZERO_FILL_BYTES)
            .min(ZERO_FILL_BYTES);
        from.read_exact_at(&mut piece[..len], torn.offset + done)?;
        to.write_all_at(&piece[..len], done)?;
        done += len as u64;
    }
    to.set_len(torn.bytes)?;
    to.sync_data()?;
    disk.sync_dir(dir)
}

/// Writes the frames that are not known to be synced once more, the same bytes at the same place, and syncs the names.
///
/// After a failed sync the page cache can hold what the medium never got, and a later sync would say nothing. Only a new
/// write settles it.
pub(super) fn pin(disk: &dyn Disk, last: &Last) -> Result<(), ReplayError> {
    let io = |e| ReplayError::io(&last.path, e);
    if last.synced < last.end {
        rewrite(disk, last).map_err(io)?;
    }
    disk.sync_dir(Path::new(DIR)).map_err(|e| ReplayError::io(DIR, e))
}

fn rewrite(disk: &dyn Disk, last: &Last) -> std::io::Result<()> {
    let from = disk.open(&last.path, Mode::Read)?;
    let to = disk.open(&last.path, Mode::DirectSync)?;
    let mut piece = AlignedBuf::new();
    let mut offset = last.synced;
    while offset < last.end {
        let len = usize::try_from(last.end - offset)
            .unwrap_or(ZERO_FILL_BYTES)
            .min(ZERO_FILL_BYTES);
        piece.resize(len, 0);
        from.read_exact_at(&mut piece, offset)?;
        to.write_all_at(&piece, offset)?;
        offset += len as u64;
    }
    Ok(())
}
