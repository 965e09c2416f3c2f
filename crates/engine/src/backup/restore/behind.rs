//! What was appended behind a backup: its chunks become files of the write-ahead log, behind those that the backup has.
//!
//! The directory then is as after a crash in which nothing was flushed since the backup, and opens as such: every root is computed
//! anew and compared, and a log with a gap does not open.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_disk::Disk;
use attestore_keys::{Key, Slot, SlotContext, SlotKind, random_array};
use attestore_record::TenantId;
use attestore_wal::{FileSpec, FrameBuilder, Position, Writer};
use serde::{Deserialize, Serialize};

use super::super::chunk::{self, Chunks, Found, Piece};
use super::super::escrow::Escrow;
use super::super::manifest::Manifest;
use crate::Parts;
use crate::catalog::{Catalog, TenantRow, WalRow, by_tenant, tables, unhex};
use crate::error::{Error, OpenError, Result};
use crate::wal_files::file_context;

/// Which chunks are to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UseChunks {
    /// All of them; one that does not hold refuses the restore.
    #[default]
    All,
    /// Those before the first that does not hold.
    Sound,
    /// None.
    None,
}

/// What chunks gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Behind {
    /// How many were used.
    pub(super) chunks: u64,
    /// Everything that was acknowledged before is there; Unix milliseconds.
    pub(super) at_ms: Option<u64>,
    /// One past the last seq of logs, by the tenant's id, hex.
    pub(super) ends: BTreeMap<String, u64>,
    /// The first one that does not hold.
    pub(super) bad: Option<String>,
}

/// Goes over the chunks behind a backup without a key, and says how many entries the ledger has to have for them.
///
/// # Errors
/// [`Error::Damage`] for one that does not hold, where all are wanted; what the target says.
pub(super) fn ledger(from: &dyn Disk, manifest: &Manifest, wanted: UseChunks) -> Result<u64> {
    let mut least = 0;
    let mut bad = None;
    each(from, manifest, wanted, &mut bad, &mut |_, found| {
        least = least.max(found.head.ledger);
        Ok(())
    })?;
    Ok(least)
}

/// Writes what the chunks have into the log of a data directory whose catalog was filled. Durable on return.
///
/// # Errors
/// Damage of the target; what the system says.
pub(super) fn install(
    from: &dyn Disk,
    parts: &Parts,
    catalog: &Catalog,
    manifest: &Manifest,
    escrow: &Escrow,
    wanted: UseChunks,
) -> Result<Behind, OpenError> {
    let mut behind = Behind::default();
    let Some(last) = manifest.logs.last() else {
        return Ok(behind);
    };
    let mut log = Log {
        parts,
        catalog,
        end: Position {
            wal: last.number,
            offset: last.sum.bytes,
        },
        tenants: BTreeMap::new(),
        pieces: Vec::new(),
        bytes: 0,
    };
    let mut key = chunk::first_key(&escrow.dump);
    let mut bad = None;
    each(from, manifest, wanted, &mut bad, &mut |path, found| {
        let pieces = found
            .open(&key)
            .map_err(|reason| Error::damage(path, 0, reason))?;
        key = chunk::next_key(&key);
        for piece in pieces {
            log.take(piece)?;
        }
        behind.chunks += 1;
        behind.at_ms = Some(found.head.at_ms);
        for span in found.head.logs {
            behind.ends.insert(span.tenant, span.end);
        }
        Ok(())
    })?;
    log.write()?;
    behind.bad = bad;
    Ok(behind)
}

type EachChunk<'a> = dyn FnMut(&std::path::Path, Found) -> Result<()> + 'a;

fn each(
    from: &dyn Disk,
    manifest: &Manifest,
    wanted: UseChunks,
    bad: &mut Option<String>,
    act: &mut EachChunk<'_>,
) -> Result<()> {
    if wanted == UseChunks::None {
        return Ok(());
    }
    let id =
        unhex(&manifest.id).ok_or_else(|| Error::damage(super::folder::BACKUPS, 0, "id of the backup"))?;
    let mut chunks = Chunks::of(from, &manifest.id, id)?;
    loop {
        let done = match chunks.next() {
            Ok(None) => return Ok(()),
            Ok(Some((path, found))) => act(&path, found),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {}
            Err(error @ Error::Damage { .. }) if wanted == UseChunks::Sound => {
                *bad = Some(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// The log behind what the backup has of it.
struct Log<'a> {
    parts: &'a Parts,
    catalog: &'a Catalog,
    end: Position,
    tenants: BTreeMap<[u8; 16], Key>,
    pieces: Vec<Piece>,
    bytes: u64,
}

impl Log<'_> {
    fn take(&mut self, piece: Piece) -> Result<()> {
        self.bytes += piece.section.len() as u64;
        self.pieces.push(piece);
        match self.bytes > FILE_BYTES || self.pieces.len() >= PIECES_MAX {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// Writes what was taken into a file of its own, in one frame.
    fn write(&mut self) -> Result<()> {
        if self.pieces.is_empty() {
            return Ok(());
        }
        let mut frame = FrameBuilder::new();
        for piece in std::mem::take(&mut self.pieces) {
            let key = self.tenant_key(piece.tenant)?;
            frame.section(piece.tenant, &key, |buf| buf.extend_from_slice(&piece.section));
        }
        self.bytes = 0;
        let block = attestore_disk::BLOCK as u64;
        // The header and the closing frame.
        let size = frame.bytes_len().next_multiple_of(block) + 4 * block;
        let (spec, key) = self.file(size)?;
        let Parts {
            disk, clock, entropy, ..
        } = self.parts;
        let prepared = attestore_wal::prepare(&**disk, spec.number, spec.size, None).map_err(failed)?;
        let mut writer = Writer::create(
            &**disk,
            prepared,
            spec,
            key,
            self.end,
            clock.now_ms(),
            Arc::clone(entropy),
        )
        .map_err(failed)?;
        writer.commit(&mut frame).map_err(failed)?;
        self.end = writer.close_frame().map_err(failed)?;
        Ok(())
    }

    /// A file of the log, with its key in the catalog.
    fn file(&self, size: u64) -> Result<(FileSpec, Key)> {
        let file_id: [u8; 16] = random_array(&*self.parts.entropy);
        let key = Key::random(&*self.parts.entropy);
        let spec = self.catalog.update::<_, Error>(|update| {
            let number = update.instance.wal_next;
            update.instance.wal_next += 1;
            let slot = update.put_key(file_context(file_id), None, &key)?;
            let row = WalRow {
                file_id,
                key_slot: slot.0,
                size,
            };
            update.put_wal(number, &row)?;
            Ok(FileSpec {
                number,
                file_id,
                key_slot: slot.0,
                size,
            })
        })?;
        Ok((spec, key))
    }

    fn tenant_key(&mut self, id: [u8; 16]) -> Result<Key> {
        if let Some(key) = self.tenants.get(&id) {
            return Ok(key.duplicate());
        }
        let tenant = TenantId::from_bytes(id);
        let row: Option<TenantRow> = by_tenant::get(&self.catalog.read()?, tables::TENANTS, &tenant)?;
        let missing = || {
            Error::damage(
                super::folder::CHUNKS,
                0,
                format!("the backup has no tenant {tenant}"),
            )
        };
        let context = SlotContext {
            kind: SlotKind::TenantKey,
            tenant: id,
            owner: [0; 16],
        };
        let slot = Slot(row.ok_or_else(missing)?.key_slot);
        let key = self.catalog.key(slot, &context, None)?;
        self.tenants.insert(id, key.duplicate());
        Ok(key)
    }
}

fn failed(error: attestore_wal::Error) -> Error {
    Error::Io(format!("wal: {error}"))
}

/// Bytes of sections in one file, about.
const FILE_BYTES: u64 = 32 << 20;
/// Sections in one frame.
const PIECES_MAX: usize = 10_000;
