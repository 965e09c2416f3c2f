//! The spare file, seen from outside.

use std::path::{Path, PathBuf};

use attestore_disk::{Disk, Mode};

use crate::check::{ProblemKind, fsck};
use crate::testing::{World, event};

#[test]
fn a_spare_that_waits_is_no_stray_and_any_other_is() {
    let world = World::new(1);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    world.append(&engine, "acme", &[event(1)]);
    engine.tick();
    engine.close().unwrap();
    drop(engine);
    let spares = |world: &World| -> Vec<PathBuf> {
        let paths = world.disk.paths().into_iter();
        paths
            .filter(|path| path.extension().is_some_and(|found| found == "new"))
            .collect()
    };
    assert_eq!(spares(&world).len(), 1);
    assert_eq!(fsck(&world.parts(), &mut |_, _, _| {}).unwrap().problems, []);
    let stranger = Path::new("wal/00000000000000009999.new");
    world
        .disk
        .open(stranger, Mode::Create)
        .unwrap()
        .sync_data()
        .unwrap();
    let problems = fsck(&world.parts(), &mut |_, _, _| {}).unwrap().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem.kind == ProblemKind::Stray && problem.path == stranger)
    );
    drop(world.open(false));
    assert_eq!(spares(&world), [] as [PathBuf; 0], "a start removes them");
}
