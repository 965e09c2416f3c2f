//! Somebody who holds the root key: opens the catalog and everything below it, and seals what was changed again.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, Mode};
use attestore_engine::Error;
use attestore_engine::catalog::{Catalog, FileRow, FileType, TenantRow, Update, hex};
use attestore_keys::{
    Entropy, FileRoot, Key, NewKey, SeededEntropy, Slot, SlotContext, SlotKind, random_array,
};
use attestore_record::TenantId;
use attestore_segment::{Container, ContainerMeta, ContainerType, container};
use redb::TableDefinition;

const FILES: TableDefinition<(&[u8; 16], u64, u32, u8), &[u8]> = TableDefinition::new("files");
const HANDLES: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> = TableDefinition::new("handles");

/// See the module's head.
pub(crate) struct Insider {
    pub(crate) catalog: Catalog,
    pub(crate) disk: SimDisk,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// A tenant and its key.
pub(crate) struct Owned {
    pub(crate) id: TenantId,
    pub(crate) row: TenantRow,
    pub(crate) key: Key,
}

impl Insider {
    pub(crate) fn new(disk: &SimDisk) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(0x5eed ^ disk.op_count()));
        let at: Arc<dyn Disk> = Arc::new(disk.clone());
        let root = FileRoot::open_or_create(Arc::clone(&at), "keys", Arc::clone(&entropy)).unwrap();
        let catalog = Catalog::open(&at, Arc::new(root), Arc::clone(&entropy)).unwrap();
        catalog.load().unwrap();
        Self {
            catalog,
            disk: disk.clone(),
            entropy,
        }
    }

    /// Changes the catalog as the program would.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Update<'_>)) {
        let changed = self.catalog.update(|update| {
            change(update);
            Ok::<_, Error>(())
        });
        changed.unwrap();
    }

    pub(crate) fn tenant(&self, name: &str) -> Owned {
        let mut found = None;
        self.update(|update| {
            let id = update.tenant_named(name).unwrap().unwrap();
            found = Some((id, update.tenant(&id).unwrap().unwrap()));
        });
        let (id, row) = found.unwrap();
        let context = context(&id, SlotKind::TenantKey, [0; 16]);
        let key = self.catalog.key(Slot(row.key_slot), &context, None).unwrap();
        Owned { id, row, key }
    }

    /// The files of a tenant, the newest generation of each.
    pub(crate) fn files(&self, tenant: &Owned) -> Vec<FileRow> {
        let txn = self.catalog.read().unwrap();
        let table = txn.open_table(FILES).unwrap();
        let id = tenant.id.as_bytes();
        let rows = table.range((id, 0, 0, 0)..=(id, u64::MAX, u32::MAX, u8::MAX));
        let rows = rows
            .unwrap()
            .map(|row| serde_json::from_slice(row.unwrap().1.value()));
        rows.collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn files_of(&self, tenant: &Owned, ty: FileType) -> Vec<FileRow> {
        let mut rows = self.files(tenant);
        rows.retain(|row| row.ty == ty);
        rows
    }

    pub(crate) fn open(&self, tenant: &Owned, row: &FileRow) -> Container {
        let file = self.disk.open(&row.path, Mode::Read).unwrap();
        let id = row.container_id().unwrap();
        let context = context(&tenant.id, kind(row), id);
        let key = self
            .catalog
            .key(Slot(row.slot), &context, Some(&tenant.key))
            .unwrap();
        let meta = meta(tenant, row, id);
        Container::open(file, &row.path, row.offset, row.length, &key, &meta).unwrap()
    }

    /// Seals what `body` makes for a fresh id under a fresh key, into a file of its own that takes the place of `old`; `row`
    /// says the rest.
    pub(crate) fn replace(
        &self,
        tenant: &Owned,
        old: Option<&FileRow>,
        mut row: FileRow,
        body: impl FnOnce([u8; 16]) -> Vec<u8>,
    ) {
        let id: [u8; 16] = random_array(&*self.entropy);
        let key = Key::random(&*self.entropy);
        let slot = self.catalog.reserve(1);
        if let Some(old) = old {
            self.remove(tenant, old);
        }
        let name = format!("{:016x}.{:08x}.{}", row.set, row.generation, row.ty.extension());
        row.path = Path::new("tenants").join(tenant.id.to_string()).join(name);
        (row.offset, row.id, row.slot) = (0, hex(&id), slot.0);
        let sealed = container::seal(&meta(tenant, &row, id), &key, &body(id));
        row.length = sealed.len() as u64;
        row.checksum = hex(&blake3::hash(&sealed).as_bytes()[..16]);
        put(&self.disk, &row.path, &sealed);
        self.update(|update| {
            let new = NewKey {
                slot,
                context: context(&tenant.id, SlotKind::SealedFile, id),
                wrap: Some(&tenant.key),
                value: &key,
            };
            update.put_keys(&[new]).unwrap();
            update.put_file(&tenant.id, &row).unwrap();
        });
    }

    /// Takes a file out of the catalog and off the disk.
    pub(crate) fn remove(&self, tenant: &Owned, row: &FileRow) {
        let mut last = true;
        self.update(|update| {
            update.remove_file(&tenant.id, row).unwrap();
            if row.is_part() {
                let number = row.path.file_stem().unwrap().to_str().unwrap();
                let number = number.parse().unwrap();
                last = update.add_l0_parts(number, -1).unwrap() == 0;
            }
        });
        if last {
            self.disk.remove(&row.path).unwrap();
        }
    }

    /// The key of a set of subjects; `None` when one of them was destroyed.
    pub(crate) fn set_key(&self, tenant: &Owned, handles: &[[u8; 16]]) -> Option<Key> {
        let keys: Option<Vec<Key>> = handles
            .iter()
            .map(|handle| self.subject(tenant, handle))
            .collect();
        let keys = keys?;
        let keys: Vec<_> = keys.iter().map(Key::expose).collect();
        Some(Key::from_bytes(attestore_record::commitment::set_key(&keys)))
    }

    fn subject(&self, tenant: &Owned, handle: &[u8; 16]) -> Option<Key> {
        let slot = Slot(self.slot_of(tenant, handle));
        let context = context(&tenant.id, SlotKind::Subject, *handle);
        self.catalog.key(slot, &context, Some(&tenant.key)).ok()
    }

    /// Destroys the key of a subject that the catalog knows, none of `but`, and says that it was; false if it knows none.
    pub(crate) fn destroy_a_subject(&self, tenant: &Owned, but: &[[u8; 16]]) -> bool {
        let handles = {
            let txn = self.catalog.read().unwrap();
            let table = txn.open_table(HANDLES).unwrap();
            let id = tenant.id.as_bytes();
            let rows = table.range((id, &[0; 16])..=(id, &[255; 16])).unwrap();
            rows.map(|row| *row.unwrap().0.value().1).collect::<Vec<_>>()
        };
        let Some(handle) = handles.iter().find(|handle| !but.contains(handle)) else {
            return false;
        };
        let slot = self.slot_of(tenant, handle);
        self.update(|update| {
            let row = [&[1, 2][..], &slot.to_le_bytes()].concat();
            let mut table = update.txn().open_table(HANDLES).unwrap();
            table
                .insert((tenant.id.as_bytes(), handle), row.as_slice())
                .unwrap();
            drop(table);
            update.destroy_keys(&[Slot(slot)]).unwrap();
        });
        true
    }

    /// Version, state and slot: the row of a handle.
    fn slot_of(&self, tenant: &Owned, handle: &[u8; 16]) -> u64 {
        let txn = self.catalog.read().unwrap();
        let table = txn.open_table(HANDLES).unwrap();
        let row = table.get((tenant.id.as_bytes(), handle)).unwrap().unwrap();
        u64::from_le_bytes(row.value()[2..10].try_into().unwrap())
    }
}

pub(crate) fn context(tenant: &TenantId, kind: SlotKind, owner: [u8; 16]) -> SlotContext {
    SlotContext {
        kind,
        tenant: *tenant.as_bytes(),
        owner,
    }
}

fn kind(row: &FileRow) -> SlotKind {
    match row.is_part() {
        true => SlotKind::Part,
        false => SlotKind::SealedFile,
    }
}

fn meta(tenant: &Owned, row: &FileRow, id: [u8; 16]) -> ContainerMeta {
    ContainerMeta {
        ty: match row.ty {
            FileType::Seg => ContainerType::Seg,
            FileType::Sub => ContainerType::Sub,
            FileType::Idx => ContainerType::Idx,
        },
        id,
        slot: row.slot,
        tenant: *tenant.id.as_bytes(),
        class: row.class,
        set: row.set,
        generation: row.generation,
    }
}

/// Replaces a file's content.
pub(crate) fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk.open(path, Mode::ReadWriteCreate).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

/// A file's content.
pub(crate) fn get(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Mode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}
