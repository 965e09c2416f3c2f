//! Somebody with every key edits what is gone: the directory alone shows it.

use attestore_disk::{Disk, Mode};
use attestore_keys::{NewKey, Slot};

use super::*;
use crate::catalog::{FileRow, tables};
use crate::instance::file_context;

/// A file as it was: its row, its bytes and its key.
type Kept = (FileRow, Vec<u8>, attestore_keys::Key);

/// An instance with a purge that is done, and the file that it dropped.
fn purged(seed: u64) -> (World, Engine, Vec<Kept>) {
    let world = World::new(seed);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    fill(&engine, &tenant, 1, 2000);
    fill(&engine, &tenant, 1, 2000);
    let view = tenant.view();
    let files = view.flushed.iter().filter(|set| set.min_seq() == 1);
    let kept = files.flat_map(|set| set.files()).map(|row| {
        let file = world.disk.open(&row.path, Mode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (row.clone(), bytes, engine.inner.file_key(&tenant, row).unwrap())
    });
    let kept: Vec<_> = kept.collect();
    assert!(kept.len() >= 2);
    let first = order(1, Selection::Ranges(std::iter::once(1..11).collect()));
    engine.purge("acme", &world.by, &first).unwrap();
    finish(&engine);
    assert_eq!(check(&world, &engine), (1..11).collect());
    (world, engine, kept)
}

/// What `verify` and `fsck` say after a start.
fn found(world: &World, engine: Engine) -> Vec<String> {
    drop(engine);
    let report = open(world).verify("acme", &mut |_, _| {}).unwrap();
    let reasons: Vec<_> = report
        .problems
        .into_iter()
        .map(|problem| problem.reason)
        .collect();
    let fsck = crate::check::fsck(&world.parts(), &mut |_, _, _| {}).unwrap();
    assert_eq!(
        fsck.exit_code(),
        if reasons.is_empty() { 0 } else { 3 },
        "{fsck:?}"
    );
    reasons
}

fn edit(engine: &Engine, row: Option<(u64, &str)>) {
    let tenant = engine.inner.tenant("acme").unwrap();
    let id = tenant.id;
    engine
        .inner
        .change(|update| {
            let mut table = update.txn().open_table(tables::GONE).unwrap();
            match row {
                None => drop(table.remove((id.as_bytes(), 1, 1)).unwrap()),
                Some((first, row)) => {
                    drop(table.insert((id.as_bytes(), 1, first), row.as_bytes()).unwrap());
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn untouched_it_is_sound() {
    let (world, engine, _) = purged(340);
    assert_eq!(found(&world, engine), Vec::<String>::new());
}

#[test]
fn a_row_of_what_is_gone_that_was_removed_is_found() {
    let (world, engine, _) = purged(341);
    edit(&engine, None);
    let reasons = found(&world, engine);
    assert!(
        reasons.iter().any(|reason| reason.contains("in no segment")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("of which the catalog does not know"))
    );
}

#[test]
fn a_row_of_what_is_gone_that_was_added_is_found() {
    for by in [0, 21] {
        let (world, engine, _) = purged(342);
        let row = format!(r#"{{"end":15,"why":"purged","by":{by},"records":3,"since_ms":1,"swept":false}}"#);
        edit(&engine, Some((12, &row)));
        let reasons = found(&world, engine);
        assert!(
            reasons.iter().any(|reason| reason.contains("does not say so")),
            "{reasons:?}"
        );
    }
}

#[test]
fn a_file_that_was_dropped_and_put_back_is_found_and_not_read() {
    let (world, engine, kept) = purged(343);
    let tenant = engine.inner.tenant("acme").unwrap();
    engine
        .inner
        .change(|update| {
            for (row, bytes, key) in &kept {
                let file = world.disk.open(&row.path, Mode::Create).unwrap();
                file.write_all_at(bytes, 0).unwrap();
                file.sync_data().unwrap();
                let context = file_context(&tenant, row.container_id()?, false);
                update.put_keys(&[NewKey {
                    slot: Slot(row.slot),
                    context,
                    wrap: Some(tenant.keys.ring().current()),
                    value: key,
                }])?;
                update.put_file(&tenant.id, row)?;
            }
            Ok(())
        })
        .unwrap();
    world.disk.sync_dir(&tenant.dir()).unwrap();
    drop(tenant);
    drop(engine);
    let engine = open(&world);
    assert_eq!(gone(&world, &engine), (1..11).collect());
    assert_eq!(count(&world, &engine, "actor.id:u1"), 3);
    let reasons = found(&world, engine);
    assert!(
        reasons
            .iter()
            .filter(|reason| reason.contains("gone, and still stored"))
            .count()
            >= 1,
        "{reasons:?}"
    );
}
