//! Rotations, with crashes at every operation, and what old copies of the catalog are good for after.

use std::path::Path;
use std::sync::Arc;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{Clock, Disk, Mode};
use attestore_record::SubjectRef;

use crate::catalog::Catalog;
use crate::tenant::{Tenant, subject_context};
use crate::testing::{World, destroy, event};
use crate::{Engine, OpenError};

mod away;

const CATALOG: [&str; 4] = [
    "catalog",
    "catalog.journal.0",
    "catalog.journal.1",
    "catalog.versions",
];

/// Copies files of the catalog, and today's roots, to a disk of their own.
fn mixed(catalog: &SimDisk, roots: &SimDisk) -> SimDisk {
    let copy = SimDisk::new(99);
    let take = |from: &SimDisk, path: &Path| {
        let Ok(file) = from.open(path, Mode::Read) else {
            return;
        };
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let written = copy.open(path, Mode::Create).unwrap();
        written.write_all_at(&bytes, 0).unwrap();
        written.sync_data().unwrap();
    };
    copy.create_dir_all(Path::new("keys")).unwrap();
    for name in CATALOG {
        take(catalog, Path::new(name));
    }
    for path in roots.paths().into_iter().filter(|path| path.starts_with("keys")) {
        take(roots, &path);
    }
    copy.sync_all().unwrap();
    copy
}

/// Opens a copy of the catalog and takes the subject's key out of it.
fn key_in(
    copy: &SimDisk,
    tenant: &Tenant,
    handle: &[u8; 16],
    slot: attestore_keys::Slot,
) -> Result<(), OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(copy.clone());
    let entropy: Arc<dyn attestore_keys::Entropy> = Arc::new(attestore_keys::SeededEntropy::new(5));
    let root = Arc::new(crate::testing::root(&disk, &entropy, false)?);
    let catalog = Catalog::open(&disk, root, entropy)?;
    catalog.load()?;
    let context = subject_context(&tenant.id, &attestore_record::Handle::from_bytes(*handle));
    catalog.key(slot, &context, Some(tenant.keys.ring().current()))?;
    Ok(())
}

/// Whether a copy did not open because the root that it needs is gone.
fn is_missing(opened: &Result<(), OpenError>) -> bool {
    matches!(opened, Err(OpenError::Key(reason)) if reason.contains("root generation"))
}

/// An instance with a subject that is in the catalog; the disk as it was then; the subject's handle and slot.
fn prepared(world: &World) -> (Engine, Arc<Tenant>, SimDisk, [u8; 16], attestore_keys::Slot) {
    let engine = world.open(false);
    let tenant = world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1), event(2)]);
    engine.flush().unwrap();
    let subject = SubjectRef {
        ty: "user".into(),
        id: "u1".into(),
    };
    let found = tenant
        .directory
        .resolve(&tenant, &subject, &*engine.inner.entropy)
        .unwrap();
    let row = crate::tenant::handle_row(&tenant, &found.handle)
        .unwrap()
        .unwrap();
    let old = mixed(&world.disk, &world.disk);
    (engine, tenant, old, *found.handle.as_bytes(), row.slot)
}

#[test]
fn after_a_rotation_old_copies_of_the_catalog_open_nothing() {
    let world = World::new(1);
    let (engine, tenant, old, handle, slot) = prepared(&world);
    destroy(&engine, &tenant, &handle);
    key_in(&mixed(&old, &world.disk), &tenant, &handle, slot).expect("before the rotation it opens");
    let gone_ms = engine.inner.rotate_root().unwrap();
    assert_eq!(gone_ms, world.clock.now_ms());
    let refused = key_in(&mixed(&old, &world.disk), &tenant, &handle, slot);
    assert!(is_missing(&refused), "{refused:?}");
    let today = key_in(&mixed(&world.disk, &world.disk), &tenant, &handle, slot);
    let is_destroyed = |error: &OpenError| error.to_string().contains("destroyed");
    assert!(today.as_ref().is_err_and(is_destroyed), "{today:?}");
}

#[test]
fn nothing_is_rotated_when_nothing_was_destroyed_since() {
    let world = World::new(2);
    let (engine, tenant, _, handle, _) = prepared(&world);
    let first = engine.inner.rotate_root().unwrap();
    let (operations, root) = (world.disk.op_count(), engine.inner.root.generation());
    assert_eq!(engine.inner.rotate_root().unwrap(), first);
    assert_eq!(
        (world.disk.op_count(), engine.inner.root.generation()),
        (operations, root)
    );
    destroy(&engine, &tenant, &handle);
    engine.inner.rotate_root().unwrap();
    assert_eq!(engine.inner.root.generations(), [root + 1]);
}

#[test]
fn a_destruction_is_followed_by_a_rotation_in_time() {
    let world = World::new(3);
    let (engine, tenant, _, handle, _) = prepared(&world);
    engine.inner.rotate_root().unwrap();
    destroy(&engine, &tenant, &handle);
    let before = engine.inner.root.generation();
    engine.tick();
    world.clock.advance_ms(59_000);
    engine.tick();
    assert_eq!(engine.inner.root.generation(), before);
    world.clock.advance_ms(1_000);
    engine.tick();
    assert_eq!(engine.inner.root.generation(), before + 1);
}

#[test]
fn a_crash_at_any_operation_of_a_rotation_leaves_a_store_that_opens_and_what_was_destroyed_does_not() {
    for fault in [
        Fault::CrashBefore,
        Fault::CrashTorn,
        Fault::CrashAfter,
        Fault::Errno(5),
        Fault::Errno(28),
    ] {
        let mut op = 0;
        loop {
            let mut world = World::new(10 + op);
            let (engine, tenant, old, handle, slot) = prepared(&world);
            destroy(&engine, &tenant, &handle);
            world.disk.fail_at(world.disk.op_count() + op, fault);
            let first = world.disk.op_count();
            let rotated = engine.inner.rotate_root();
            let done = world.disk.op_count() - first <= op;
            drop(engine);
            world.disk = world.disk.crash();
            let refused = |disk: &SimDisk| is_missing(&key_in(&mixed(&old, disk), &tenant, &handle, slot));
            if rotated.is_ok() {
                assert!(refused(&world.disk), "operation {op}, {fault:?}");
            }
            if op % 3 == 0 {
                // Another crash while the start goes on with it.
                world
                    .disk
                    .fail_at(world.disk.op_count() + op / 2, Fault::CrashTorn);
                drop(world.try_start());
                world.disk = world.disk.crash();
            }
            let engine = world.open(false);
            assert_eq!(
                engine.inner.root.generations().len(),
                1,
                "operation {op}, {fault:?}"
            );
            engine.inner.rotate_root().unwrap();
            assert!(
                refused(&world.disk),
                "operation {op}, {fault:?}: after the next one"
            );
            assert!(
                engine.inner.catalog.sealed().scan().is_empty(),
                "operation {op}, {fault:?}"
            );
            if done {
                break;
            }
            op += 1;
        }
        assert!(op > 15, "{fault:?}: only {op} operations");
    }
}
