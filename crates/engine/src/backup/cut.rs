//! The moment that a backup is of: a snapshot of the catalog, the sizes of all logs, and what the log's files hold.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use attestore_disk::{AlignedBuf, BLOCK, Disk, File, Mode};
use attestore_record::TenantId;
use attestore_segment::{FileWriter, PIECE_BYTES};
use attestore_tlog::Frontier;
use attestore_wal::{Position, file_path};

use super::folder;
use super::manifest::{LogSum, Sum};
use crate::catalog::{Snapshot, WalRow, hex, json, storage, tables};
use crate::error::{Error, Result};
use crate::instance::Inner;

/// What was taken at one moment.
pub(super) struct Cut {
    pub(super) snapshot: Snapshot,
    pub(super) made_ms: u64,
    pub(super) logs: Vec<LogSum>,
    /// Size and root of logs that are in memory.
    pub(super) heads: BTreeMap<TenantId, (u64, String)>,
    /// Origins and trees of these.
    pub(super) places: BTreeMap<TenantId, (String, Frontier)>,
}

/// Takes the snapshot. The caller holds the lock of flushes, so no file of the log is freed.
///
/// # Errors
/// As reads; what the folder says.
pub(super) fn cut(inner: &Inner, disk: &dyn Disk, id: &[u8; 16]) -> Result<Cut> {
    for _ in 0..SNAPSHOTS {
        let snapshot = inner.catalog.snapshot()?;
        let (end, heads, places) = {
            let committer = inner.committer.lock();
            let end = committer
                .watermark()
                .ok_or_else(|| Error::Stopped("the log is closed".into()))?;
            let (mut heads, mut places) = (BTreeMap::new(), BTreeMap::new());
            for tenant in inner.tenants.all() {
                let view = tenant.view();
                heads.insert(tenant.id, (view.size, hex(view.root.as_bytes())));
                places.insert(tenant.id, (tenant.origin.clone(), view.frontier.clone()));
            }
            (end, heads, places)
        };
        let files = log_files(&snapshot)?;
        // A file that was begun behind the snapshot has its key in the next one.
        if files.contains_key(&end.wal) {
            return Ok(Cut {
                made_ms: inner.clock.now_ms(),
                logs: logs(inner, disk, &hex(id), &files, end)?,
                heads,
                places,
                snapshot,
            });
        }
    }
    Err(Error::Io(
        "the log is faster than snapshots of the catalog".into(),
    ))
}

fn log_files(snapshot: &Snapshot) -> Result<BTreeMap<u64, WalRow>> {
    let table = snapshot.txn.open_table(tables::WAL).map_err(storage)?;
    let rows = table.range(snapshot.instance.wal_low..).map_err(storage)?;
    rows.map(|row| {
        let (number, row) = row.map_err(storage)?;
        Ok((number.value(), json(row.value())?))
    })
    .collect()
}

/// Copies what files of the log hold.
fn logs(
    inner: &Inner,
    disk: &dyn Disk,
    id: &str,
    files: &BTreeMap<u64, WalRow>,
    end: Position,
) -> Result<Vec<LogSum>> {
    let (mut copied, mut memory) = (Vec::new(), AlignedBuf::new());
    for (&number, row) in files.range(..=end.wal) {
        let from = file_path(number);
        // A number that was given out and not used.
        if number != end.wal && !inner.disk.exists(&from)? {
            continue;
        }
        let bytes = if number == end.wal { end.offset } else { row.size };
        let path = folder::log_path(id, number);
        let unhindered = |_| Ok(());
        let mut to = FileWriter::create(disk, &path, &unhindered)?;
        read(&*inner.disk, &from, 0, bytes, &mut memory, &mut |piece| {
            to.write(piece)
        })?;
        let written = to.finish(false).map_err(io::Error::from)?;
        copied.push(LogSum {
            number,
            size: row.size,
            sum: Sum {
                bytes: written.bytes,
                blake3: hex(&written.checksum),
            },
        });
    }
    Ok(copied)
}

/// Reads a range of a file in pieces, past the page cache: each file is read once.
///
/// # Errors
/// What the system and `each` say; `UnexpectedEof` for a file that ends before.
pub(super) fn read(
    disk: &dyn Disk,
    path: &Path,
    from: u64,
    bytes: u64,
    memory: &mut AlignedBuf,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let file = disk.open(path, Mode::ReadDirect)?;
    let end = from + bytes;
    let mut done = from;
    while done < end {
        // Up to where a piece ends, so that all but the first begin with a block.
        let len = (PIECE - done % PIECE).min(end - done);
        each(fill(&*file, done, len, memory)?)?;
        done += len;
    }
    Ok(())
}

/// Reads a range of a file into memory, whole blocks of it where it goes past the page cache.
///
/// # Errors
/// What the system says; `UnexpectedEof` for a file that ends before.
pub(super) fn fill<'a>(
    file: &dyn File,
    from: u64,
    len: u64,
    memory: &'a mut AlignedBuf,
) -> io::Result<&'a [u8]> {
    let begin = from - from % BLOCK as u64;
    let before = usize::try_from(from - begin).map_err(io::Error::other)?;
    let wanted = before + usize::try_from(len).map_err(io::Error::other)?;
    memory.resize(wanted.next_multiple_of(BLOCK), 0);
    let mut there = 0;
    // A file ends anywhere in its last block.
    while there < wanted {
        let piece = memory.len().min(there + PIECE_BYTES);
        match file.read_at(&mut memory[there..piece], begin + there as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => there += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(&memory[before..wanted])
}

const PIECE: u64 = PIECE_BYTES as u64;
/// Snapshots that are taken until one knows the file that the log is in.
const SNAPSHOTS: usize = 16;

#[cfg(test)]
mod tests {
    use attestore_disk::sim::SimDisk;

    use super::*;

    #[test]
    fn a_range_is_read_wherever_it_begins_and_a_file_that_ends_before_is_told() {
        let disk = SimDisk::new(1);
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * PIECE_BYTES + 4099).collect();
        let path = Path::new("f");
        let file = disk.open(path, Mode::Create).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let mut memory = AlignedBuf::new();
        let begins = [
            0,
            1,
            BLOCK - 1,
            BLOCK,
            BLOCK + 1,
            PIECE_BYTES - 1,
            PIECE_BYTES + BLOCK,
        ];
        let lengths = [
            0,
            1,
            BLOCK,
            BLOCK + 1,
            PIECE_BYTES - 1,
            PIECE_BYTES,
            PIECE_BYTES + 1,
        ];
        for (begin, length) in begins
            .into_iter()
            .flat_map(|begin| lengths.map(|length| (begin, length)))
        {
            let mut found = Vec::new();
            read(
                &disk,
                path,
                begin as u64,
                length as u64,
                &mut memory,
                &mut |piece| {
                    found.extend_from_slice(piece);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(found, bytes[begin..begin + length], "{begin}+{length}");
        }
        let beyond = read(
            &disk,
            path,
            4096,
            bytes.len() as u64 - 4095,
            &mut memory,
            &mut |_| Ok(()),
        );
        assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
