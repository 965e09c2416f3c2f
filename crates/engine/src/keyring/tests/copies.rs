//! Old copies of the catalog beside today's root, and copies of old pages beside today's.

use std::path::Path;

use attestore_disk::sim::SimDisk;
use attestore_disk::{Disk, Mode};
use attestore_keys::{FileRoot, Key, SeededEntropy};

use super::*;
use crate::OpenError;
use crate::catalog::Catalog;
use crate::handover::signing_context;

const CATALOG: [&str; 4] = [
    "catalog",
    "catalog.journal.0",
    "catalog.journal.1",
    "catalog.versions",
];

/// Files of one catalog and the roots of another moment, on a disk of their own.
fn mixed(catalog: &SimDisk, roots: &SimDisk) -> SimDisk {
    let copy = SimDisk::new(77);
    copy.create_dir_all(Path::new("keys")).unwrap();
    let keys = roots.paths().into_iter().filter(|path| path.starts_with("keys"));
    let names = CATALOG
        .iter()
        .map(|name| (catalog, Path::new(name).to_path_buf()));
    for (from, path) in names.chain(keys.map(|path| (roots, path))) {
        let Ok(file) = from.open(&path, Mode::Read) else {
            continue;
        };
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let written = copy.open(&path, Mode::Create).unwrap();
        written.write_all_at(&bytes, 0).unwrap();
        written.sync_data().unwrap();
    }
    copy.sync_all().unwrap();
    copy
}

fn opened(copy: &SimDisk) -> Result<Catalog, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(copy.clone());
    let entropy = Arc::new(SeededEntropy::new(5));
    let root = Arc::new(FileRoot::open(Arc::clone(&disk), "keys", entropy.clone())?);
    let catalog = Catalog::open(&disk, root, entropy)?;
    catalog.load()?;
    Ok(catalog)
}

/// The key of the catalog's tree that leads to everything.
fn page_key(catalog: &Catalog) -> Key {
    catalog.snapshot().unwrap().root_page_key
}

#[test]
fn an_old_copy_of_the_catalog_with_todays_root_opens_nothing_after_any_rotation() {
    for key in [KeyKind::Tenant, KeyKind::Buckets] {
        let world = World::new(910);
        let (engine, _) = filled(&world);
        engine.inner.rotate_root().unwrap();
        let old = mixed(&world.disk, &world.disk);
        assert!(opened(&old).is_ok());
        rotated(&world, &engine, "acme", key);
        let refused = opened(&mixed(&old, &world.disk));
        assert!(
            matches!(&refused, Err(OpenError::Key(reason)) if reason.contains("root generation")),
            "{key:?}"
        );
    }
}

#[test]
fn old_pages_under_todays_root_page_key_and_the_old_tenant_key_open_no_key() {
    for key in [KeyKind::Tenant, KeyKind::Buckets] {
        let world = World::new(911);
        let (engine, tenant) = filled(&world);
        engine.flush().unwrap();
        let old = mixed(&world.disk, &world.disk);
        let former = tenant.keys.ring().current().duplicate();
        let slot = Slot(row(&engine, &tenant).signing_slot);
        let old = opened(&old).unwrap();
        old.key(slot, &signing_context(&tenant.id), Some(&former))
            .expect("before it opens");
        let before = page_key(&old);
        let name = if key == KeyKind::Buckets {
            SYSTEM_TENANT
        } else {
            "acme"
        };
        rotated(&world, &engine, name, key);
        let today = opened(&mixed(&world.disk, &world.disk)).unwrap();
        let now = page_key(&today);
        assert!(
            !now.ct_eq(&before),
            "{key:?}: the key of the root page is another"
        );
        // Today's keys of pages, on the pages as they were.
        let head = {
            let row = old.instance().unwrap().unwrap();
            attestore_keys::TreeHead {
                height: row.tree_height,
                next_slot: row.tree_next_slot,
            }
        };
        let tree = attestore_keys::KeyTree::load(now, head, Arc::new(SeededEntropy::new(6)));
        let txn = old.read().unwrap();
        let pages = Pages(txn.open_table(tables::PAGES).unwrap());
        let context = signing_context(&tenant.id);
        assert!(
            tree.get(&pages, slot, &context, Some(&former)).is_err(),
            "{key:?}"
        );
        if key == KeyKind::Tenant {
            // And the old tenant key, on the pages of today.
            let wrong = today.key(slot, &context, Some(&former));
            assert!(matches!(wrong, Err(attestore_keys::Error::WrongKey { .. })));
        }
    }
}

struct Pages(redb::ReadOnlyTable<u64, &'static [u8]>);

impl attestore_keys::PageStore for Pages {
    fn get(&self, page: attestore_keys::PageId) -> std::io::Result<Option<Vec<u8>>> {
        let found = self.0.get(page.0).unwrap();
        Ok(found.map(|bytes| bytes.value().to_vec()))
    }

    fn put(&mut self, _: attestore_keys::PageId, _: &[u8]) -> std::io::Result<()> {
        unreachable!()
    }

    fn remove(&mut self, _: attestore_keys::PageId) -> std::io::Result<()> {
        unreachable!()
    }
}
