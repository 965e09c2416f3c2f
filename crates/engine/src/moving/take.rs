//! Rows and sealed files of a package, into the catalog and the folder of a tenant that nobody finds yet. Sealed files get fresh keys in slots of
//! their own; what is in them stays as it is, byte for byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_disk::Mode;
use attestore_keys::{Key, NewKey, Slot, SlotContext, SlotKind};
use attestore_record::{Handle, HashVersion, TenantId};
use attestore_segment::{Container, ContainerMeta, ContainerType, FileWriter, container};
use redb::TableHandle;

use super::copy::dir;
use super::package::{Manifest, bad, blobs_path, rows_path};
use super::rows::{self, Head, part};
use super::shapes;
use crate::backup::dump;
use crate::catalog::directory::{HandleRow, HandleState};
use crate::catalog::{FileRow, FileType, hex, json, storage, tables, tenant_rows};
use crate::error::{Error, Result};
use crate::flush::adopt_subjects;
use crate::forget::erase::LeavingRow;
use crate::instance::Inner;
use crate::read::readers::segment_error;
use crate::tenant::{Subject, SubjectState};

/// Id of an erasure.
type ErasureId = [u8; 16];

/// What was taken up, and what is left for the last commit.
pub(super) struct Taken {
    pub(super) head: Head,
    pub(super) tenant_key: Key,
    pub(super) directory_key: Key,
    /// Rows of tables.
    pub(super) rows: Vec<(String, Vec<u8>, Vec<u8>)>,
    /// People who are to be erased, by erasure.
    pub(super) leaving: BTreeMap<ErasureId, Vec<LeavingRow>>,
    pub(super) subjects: u64,
    pub(super) files: u64,
}

/// Takes up every row of a package, with the files that rows name. In many commits: as long as the tenant has no row of its own, nobody
/// finds it.
///
/// # Errors
/// [`Error::Invalid`] `invalid_package`; as changes of the catalog; what the disk says.
pub(super) fn rows(inner: &Inner, tenant: &TenantId, manifest: &Manifest, dump: &Key) -> Result<Taken> {
    let mut taking = Taking {
        inner,
        tenant,
        id: &manifest.id,
        taken: None,
        people: Vec::new(),
        leaving: Vec::new(),
        erased: Vec::new(),
        files: Vec::new(),
    };
    let number = super::key(&manifest.id)?;
    let path = rows_path(&manifest.id);
    dump::read(
        &*inner.disk,
        &path,
        dump,
        number.as_bytes(),
        &mut |table, key, value| taking.row(table, key, value),
    )
    .map_err(|error| match error {
        Error::Damage { reason, .. } => bad(format!("its rows: {reason}")),
        error => error,
    })?;
    taking.finish()
}

struct Taking<'a> {
    inner: &'a Inner,
    tenant: &'a TenantId,
    id: &'a str,
    taken: Option<Taken>,
    people: Vec<Arc<Subject>>,
    leaving: Vec<(ErasureId, Arc<Subject>)>,
    erased: Vec<Handle>,
    files: Vec<(FileRow, Key)>,
}

impl Taking<'_> {
    fn row(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<()> {
        if table == rows::TENANT {
            return self.head(key, value);
        }
        let batch = match table {
            rows::FILE => {
                let file = self.file(Key::from_bytes(part(key, 0)?), json(value)?)?;
                self.files.push(file);
                self.files.len()
            }
            rows::SUBJECT => {
                self.people.push(subject(key)?);
                self.people.len()
            }
            rows::LEAVING => {
                let of = part(key, 0)?;
                self.leaving
                    .push((of, subject(key.get(16..).unwrap_or_default())?));
                self.leaving.len()
            }
            rows::ERASED => {
                self.erased.push(Handle::from_bytes(part(key, 0)?));
                self.erased.len()
            }
            table if rows::stays(table) => {
                // Who packed it does not name slots and files of ours.
                return Err(bad(format!("rows of {table} do not travel")));
            }
            table if table == tables::GONE.name() || table == tables::HOLD_RANGES.name() => {
                // There may be many of these, and nobody asks for them without the tenant.
                self.look(table, key, value)?;
                self.head_taken()?
                    .rows
                    .push((table.to_owned(), key.to_vec(), value.to_vec()));
                return self.put_waiting_rows();
            }
            table => {
                self.look(table, key, value)?;
                let row = (table.to_owned(), key.to_vec(), value.to_vec());
                self.head_taken()?.rows.push(row);
                return Ok(());
            }
        };
        match batch >= BATCH {
            true => self.commit(),
            false => Ok(()),
        }
    }

    /// Refuses a row that is none of its table, before any is stored that cannot be taken back.
    fn look(&self, table: &str, key: &[u8], value: &[u8]) -> Result<()> {
        shapes::check(table, value)?;
        match tenant_rows::is_key(self.tenant, table, key) {
            true => Ok(()),
            false => Err(bad(format!("a row of {table} under another key"))),
        }
    }

    fn head_taken(&mut self) -> Result<&mut Taken> {
        self.taken
            .as_mut()
            .ok_or_else(|| bad("its rows do not begin with the tenant"))
    }

    fn head(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut head: Head = json(value)?;
        if HashVersion::from_byte(head.row.hash_version).is_none() {
            return Err(bad(
                "its log commits with a hash function that this server does not know",
            ));
        }
        head.row.former_key_slot = None;
        head.row.bucket = (0, 0);
        head.row.lookup_bucket = (0, 0);
        self.taken = Some(Taken {
            head,
            tenant_key: Key::from_bytes(part(key, 0)?),
            directory_key: Key::from_bytes(part(key, 32)?),
            rows: Vec::new(),
            leaving: BTreeMap::new(),
            subjects: 0,
            files: 0,
        });
        Ok(())
    }

    /// Rows of what is gone and of what holds cover, a batch at a time.
    fn put_waiting_rows(&mut self) -> Result<()> {
        let (inner, tenant) = (self.inner, self.tenant);
        let taken = self.head_taken()?;
        let many = |table: &str| table == tables::GONE.name() || table == tables::HOLD_RANGES.name();
        if taken.rows.iter().filter(|(table, _, _)| many(table)).count() < BATCH {
            return Ok(());
        }
        let (now, later) = std::mem::take(&mut taken.rows)
            .into_iter()
            .partition(|(table, _, _): &(String, _, _)| many(table));
        taken.rows = later;
        put_rows(inner, tenant, now)
    }

    /// A sealed file, under a fresh key.
    fn file(&mut self, key: Key, mut row: FileRow) -> Result<(FileRow, Key)> {
        let inner = self.inner;
        let id = row.container_id().map_err(|_| bad("the id of a file"))?;
        let path = blobs_path(self.id).join(hex(&id));
        let damaged = |reason: String| bad(format!("the file {}: {reason}", row.id));
        let file = inner
            .disk
            .open(&path, Mode::Read)
            .map_err(|error| damaged(error.to_string()))?;
        let meta = ContainerMeta {
            ty: match row.ty {
                FileType::Seg => ContainerType::Seg,
                FileType::Sub => ContainerType::Sub,
                FileType::Idx => ContainerType::Idx,
            },
            id,
            slot: row.slot,
            tenant: *self.tenant.as_bytes(),
            class: row.class,
            set: row.set,
            generation: row.generation,
        };
        let opened = Container::open(file, &path, 0, row.length, &key, &meta);
        let opened = opened.map_err(|error| damaged(error.to_string()))?;
        let slot = inner.catalog.reserve(1);
        let fresh = Key::random(&*inner.entropy);
        let name = format!("{:016x}.{:08x}.{}", row.set, row.generation, row.ty.extension());
        row.path = dir(self.tenant).join(name);
        row.offset = 0;
        row.slot = slot.0;
        let meta = ContainerMeta { slot: slot.0, ..meta };
        let pace = |bytes: usize| crate::compact::pace(inner, bytes);
        let mut to = FileWriter::create(&*inner.disk, &row.path, &pace)?;
        container::reseal(&opened, &meta, &fresh, |bytes| {
            to.write(bytes).map_err(|source| attestore_segment::Error::Io {
                path: row.path.clone(),
                source,
            })
        })
        .map_err(|error| match error {
            // What came is not what was sealed.
            attestore_segment::Error::Damage { reason, .. } => bad(format!("the file {}: {reason}", row.id)),
            error => segment_error(error),
        })?;
        let written = to.finish(false).map_err(std::io::Error::from)?;
        row.length = written.bytes;
        row.checksum = hex(&written.checksum);
        inner.moves.went(written.bytes);
        Ok((row, fresh))
    }

    /// Stores what has gathered.
    fn commit(&mut self) -> Result<()> {
        let (inner, id) = (self.inner, self.tenant);
        let people = std::mem::take(&mut self.people);
        let leaving = std::mem::take(&mut self.leaving);
        let erased = std::mem::take(&mut self.erased);
        let files = std::mem::take(&mut self.files);
        if !files.is_empty() {
            // Rows name what is durable, so that what is thrown away is found.
            inner.disk.sync_all()?;
        }
        let taken = self.head_taken()?;
        let (head, key) = (&mut taken.head, &taken.tenant_key);
        let gone = inner.change(|update| {
            adopt_subjects(&*inner.entropy, update, (id, &mut head.row), key, &people, true)?;
            let going: Vec<Arc<Subject>> = leaving.iter().map(|(_, subject)| Arc::clone(subject)).collect();
            let gone = adopt_subjects(&*inner.entropy, update, (id, &mut head.row), key, &going, false)?;
            let slot = update.reserve(1);
            let mut handles = update.txn().open_table(tables::HANDLES).map_err(storage)?;
            for handle in &erased {
                let row = HandleRow {
                    state: HandleState::Destroyed,
                    slot,
                };
                handles
                    .insert((id.as_bytes(), handle.as_bytes()), row.to_bytes().as_slice())
                    .map_err(storage)?;
            }
            drop(handles);
            let keys: Vec<NewKey<'_>> = files
                .iter()
                .map(|(row, value)| {
                    let context = SlotContext {
                        kind: SlotKind::SealedFile,
                        tenant: *id.as_bytes(),
                        owner: row.container_id()?,
                    };
                    Ok(NewKey {
                        slot: Slot(row.slot),
                        context,
                        wrap: Some(key),
                        value,
                    })
                })
                .collect::<Result<_>>()?;
            update.put_keys(&keys)?;
            for (row, _) in &files {
                update.put_file(id, row)?;
            }
            Ok(gone)
        })?;
        taken.subjects += (people.len() + leaving.len()) as u64;
        taken.files += files.len() as u64;
        for ((erasure, subject), row) in leaving.iter().zip(&gone) {
            let row = LeavingRow::new(&subject.blind, row);
            taken.leaving.entry(*erasure).or_default().push(row);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Taken> {
        self.commit()?;
        shapes::check_files(super::copy::file_rows(&self.inner.catalog.read()?, self.tenant)?)?;
        let taken = self.taken.ok_or_else(|| bad("it has no rows"))?;
        let erasures = |id: &ErasureId| {
            let mut rows = taken.rows.iter();
            rows.any(|(table, key, _)| table == tables::ERASURES.name() && key[16..] == id[..])
        };
        match taken.leaving.keys().all(erasures) {
            true => Ok(taken),
            false => Err(bad("people who leave by no erasure")),
        }
    }
}

/// Stores rows of tables.
fn put_rows(inner: &Inner, tenant: &TenantId, rows: Vec<(String, Vec<u8>, Vec<u8>)>) -> Result<()> {
    inner.change(|update| {
        rows.iter()
            .try_for_each(|(table, key, value)| tenant_rows::put(update, tenant, table, key, value))
    })
}

/// A person: blind ‖ handle ‖ own key.
fn subject(bytes: &[u8]) -> Result<Arc<Subject>> {
    let handle = Handle::from_bytes(part(bytes, 32)?);
    let key = Key::from_bytes(part(bytes, 48)?);
    Ok(Subject::new(handle, part(bytes, 0)?, key, SubjectState::Stored))
}

/// Rows in one commit.
const BATCH: usize = 256;
