//! Everything that the keys of a data directory still open, in clear, and its raw bytes: what a search for leftovers of somebody
//! looks through. Nobody may have the directory open, and not a byte of it is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attestore_disk::{Disk, Mode};
use attestore_segment::{SegReader, SubReader};
use attestore_wal::{SectionBody, Source};
use redb::StorageBackend;

use super::fsck::TenantKeysOf;
use super::overlay::Overlay;
use crate::append::section;
use crate::catalog::Catalog;
use crate::catalog::storage::SealedStorage;
use crate::error::{Error, OpenError, Result};
use crate::heads::{HeadStore, register::Frozen};
use crate::instance::Inner;
use crate::read::readers::{self, segment_error};
use crate::read::records::{self, Personal, Record};
use crate::tenant::{FileSet, Tenant};
use crate::wal_files::CatalogKeys;
use crate::{Engine, OpenMode, Parts, Settings};

/// What kind of place bytes were found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A file as it is on disk, also where nothing counts it.
    Raw,
    /// A block of the catalog, also a free one.
    Catalog,
    /// A section of the WAL, with the personal groups in it that still open.
    Wal,
    /// A `.seg`: public groups.
    Public,
    /// A `.sub`: personal groups that still open.
    Personal,
    /// An `.idx`: terms, columns and everything else.
    Index,
    /// A file of an export, as it would be downloaded.
    Export,
    /// A record as a reader with every permission sees it.
    Record,
}

impl Place {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Raw,
        Self::Catalog,
        Self::Wal,
        Self::Public,
        Self::Personal,
        Self::Index,
        Self::Export,
        Self::Record,
    ];
}

/// Gets bytes, and where they were found: the kind of place and the file.
pub type Visit<'v> = dyn FnMut(Place, &Path, &[u8]) + 'v;

/// Visits everything that can be read of the data directory of `parts`.
///
/// # Errors
/// Whatever keeps something from being read: what was not looked at may hold anything.
pub fn expose(parts: &Parts, visit: &mut Visit<'_>) -> std::result::Result<(), OpenError> {
    raw(&*parts.disk, visit)?;
    let _lock = parts
        .disk
        .try_lock(Path::new("attestore.lock"))?
        .ok_or(OpenError::InUse)?;
    blocks(parts, visit)?;
    log(parts, visit)?;
    let register = parts
        .register
        .as_ref()
        .map(|store| Arc::new(Frozen(Arc::clone(store))) as Arc<dyn HeadStore>);
    let copy = Parts {
        disk: Arc::new(Overlay::new(Arc::clone(&parts.disk))),
        register,
        ..parts.clone()
    };
    let settings = Settings {
        indexing: false,
        ..Settings::default()
    };
    let (engine, _) = Engine::open_as(copy, settings, OpenMode::Inline)?;
    for info in engine.tenants(None, usize::MAX)? {
        let tenant = engine.inner.tenant(&info.name)?;
        sealed(&engine.inner, &tenant, visit)?;
        crate::exports::expose(&engine.inner, &tenant, &mut |path, bytes| {
            visit(Place::Export, path, bytes);
        })?;
    }
    Ok(())
}

/// Every byte of every file.
fn raw(disk: &dyn Disk, visit: &mut Visit<'_>) -> std::io::Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in disk.list(&folder)? {
            let path = folder.join(&entry.name);
            if entry.is_dir {
                folders.push(path);
                continue;
            }
            let file = disk.open(&path, Mode::Read)?;
            let length = file.len()?;
            let mut at = 0;
            // Windows overlap, so that nothing is missed at their ends.
            loop {
                let size = (length - at).min(WINDOW_BYTES);
                let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
                file.read_exact_at(&mut bytes, at)?;
                visit(Place::Raw, &path, &bytes);
                if at + size >= length {
                    break;
                }
                at += size - OVERLAP_BYTES;
            }
        }
    }
    Ok(())
}

/// The catalog below its store: pages that its tables use, and those that they used before.
fn blocks(parts: &Parts, visit: &mut Visit<'_>) -> std::result::Result<(), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&parts.disk)));
    let store = SealedStorage::open(&disk, &*parts.root, Arc::clone(&parts.entropy))
        .map_err(|error| OpenError::Key(error.to_string()))?;
    let length = store.len()?;
    let mut at = 0;
    while at < length {
        let size = (length - at).min(WINDOW_BYTES);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        store.read(at, &mut bytes)?;
        visit(Place::Catalog, Path::new("catalog"), &bytes);
        if at + size >= length {
            break;
        }
        at += size - OVERLAP_BYTES;
    }
    Ok(())
}

/// The log, as far back as there are files whose keys are there.
fn log(parts: &Parts, visit: &mut Visit<'_>) -> std::result::Result<(), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&parts.disk)));
    let catalog = Arc::new(Catalog::open(
        &disk,
        Arc::clone(&parts.root),
        Arc::clone(&parts.entropy),
    )?);
    let row = catalog.load()?;
    let keys = TenantKeysOf {
        parts,
        disk: &disk,
        catalog: &catalog,
    };
    let source = Source {
        disk: &*parts.disk,
        file_keys: &CatalogKeys(&catalog),
        section_keys: &keys,
        low: row.wal_low,
        claimed: None,
    };
    let mut failed = None;
    let scanned = attestore_wal::scan(&source, &mut |frame| {
        let path = attestore_wal::file_path(frame.position.wal);
        for (owner, body) in frame.sections {
            let SectionBody::Bytes(bytes) = body else { continue };
            visit(Place::Wal, &path, &bytes);
            let opened = opened_groups(parts, &disk, &catalog, owner, bytes, &mut |bytes| {
                visit(Place::Wal, &path, bytes);
            });
            if let Err(error) = opened {
                failed.get_or_insert(error);
            }
        }
    });
    scanned.map_err(|error| Error::damage(attestore_wal::DIR, 0, error.to_string()))?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// The personal groups of a section that keys in it or in the catalog open.
fn opened_groups(
    parts: &Parts,
    disk: &Arc<dyn Disk>,
    catalog: &Arc<Catalog>,
    owner: [u8; 16],
    payload: Vec<u8>,
    visit: &mut dyn FnMut(&[u8]),
) -> Result<()> {
    let id = attestore_record::TenantId::from_bytes(owner);
    let tenant = Tenant::load(catalog, &**disk, &*parts.entropy, id)?;
    let section = section::parse(payload)
        .map_err(|error| Error::damage(attestore_wal::DIR, 0, error.reason.to_owned()))?;
    for (handle, blind, key) in section.subjects {
        tenant.directory.recover(&tenant, handle, blind, key)?;
    }
    for record in &section.records {
        for group in &record.groups {
            // A subject whose key came in an earlier section that is gone by now is in the catalog, or gone itself.
            if let Ok(Some(key)) = tenant.set_key(&group.handles) {
                visit(&tenant.open_group(&key, &record.id, group)?);
            }
        }
    }
    Ok(())
}

/// The sealed files of a tenant, and its records as they are read.
fn sealed(inner: &Inner, tenant: &Arc<Tenant>, visit: &mut Visit<'_>) -> Result<()> {
    let view = tenant.view();
    for set in view.flushed.iter() {
        files(inner, tenant, set, visit)?;
        let path = set.seg.path.clone();
        records::scan_set(inner, tenant, set, |record| {
            of_record(&record, &path, visit);
            Ok(())
        })?;
    }
    let tail = PathBuf::from("tail");
    for seq in view.flushed_count()..view.size {
        if let Some(record) = view.tail.get(seq) {
            of_record(&records::from_tail(tenant, record, true)?, &tail, visit);
        }
    }
    Ok(())
}

fn of_record(record: &Record, path: &Path, visit: &mut Visit<'_>) {
    visit(Place::Record, path, &record.public);
    for group in &record.personal {
        if let Personal::Opened { bytes, .. } = group {
            visit(Place::Record, path, bytes);
        }
    }
}

fn files(inner: &Inner, tenant: &Arc<Tenant>, set: &FileSet, visit: &mut Visit<'_>) -> Result<()> {
    let body = |row| -> Result<_> {
        let container = readers::container(inner, tenant, row)?;
        let body = container.read(0..container.len()).map_err(segment_error)?;
        Ok((container, body))
    };
    let (container, bytes) = body(&set.seg)?;
    visit(Place::Public, &set.seg.path, &bytes);
    let reader = SegReader::open(container).map_err(segment_error)?;
    for number in 0..reader.blocks().len() {
        let block = reader.block(number).map_err(segment_error)?;
        for record in block.iter() {
            visit(
                Place::Public,
                &set.seg.path,
                &reader.public(&record).map_err(segment_error)?,
            );
        }
    }
    if let Some(row) = &set.sub {
        let (container, bytes) = body(row)?;
        visit(Place::Personal, &row.path, &bytes);
        let reader = SubReader::open(container).map_err(segment_error)?;
        for (place, raw) in reader.handle_sets().enumerate() {
            let handles: Vec<_> = raw
                .iter()
                .copied()
                .map(attestore_record::Handle::from_bytes)
                .collect();
            let Some(key) = tenant.set_key(&handles)? else {
                continue;
            };
            let opened = reader.groups_of_set(place, &key, |group| {
                visit(Place::Personal, &row.path, group.bytes.as_bytes());
                Ok::<(), attestore_segment::Error>(())
            });
            opened.map_err(segment_error)?;
        }
    }
    if let Some(row) = &set.idx {
        let (_, bytes) = body(row)?;
        crate::search::expose(bytes, &mut |bytes| visit(Place::Index, &row.path, bytes))?;
    }
    Ok(())
}

/// Bytes that are visited at once.
const WINDOW_BYTES: u64 = 8 << 20;
/// How far windows overlap.
const OVERLAP_BYTES: u64 = 4096;
