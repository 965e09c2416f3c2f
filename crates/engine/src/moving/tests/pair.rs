//! A whole move, of which either server may crash at any operation: somebody who repeats the commands brings it to its end, and at no
//! moment do two servers take records for the tenant.

use attestore_disk::sim::{Fault, SimDisk, Snapshot};

use super::*;

/// Two servers before a move, as their disks hold them.
struct Before {
    from: Snapshot,
    to: Snapshot,
    invited: ImportInfo,
}

impl Before {
    fn new(seed: u64) -> Self {
        let pair = Pair::new(seed);
        filled(&pair.from).close().unwrap();
        let target = open(&pair.to);
        let invited = invite(&pair, &target);
        target.close().unwrap();
        drop(target);
        Self {
            from: pair.from.disk.snapshot(),
            to: pair.to.disk.snapshot(),
            invited,
        }
    }

    fn pair(&self, seed: u64) -> Pair {
        let mut pair = Pair::new(seed);
        for (world, snapshot) in [(&mut pair.from, &self.from), (&mut pair.to, &self.to)] {
            world.disk = SimDisk::from_snapshot(snapshot);
            world.clock.advance_ms(60_000);
        }
        pair
    }

    /// Goes on with the move from where it is, as somebody who repeats every command; to its end, or to what fails first.
    fn go_on(&self, pair: &Pair, source: &Engine, target: &Engine) -> Result<(), Error> {
        let (here, there) = (&pair.from.by, &pair.to.by);
        let id = &self.invited.invitation.id;
        if source.tenant("acme").is_err() && let_go(&pair.from, source)? {
            return Ok(());
        }
        source.start_move(
            "acme",
            here,
            &self.invited.invitation.to_text(),
            "a larger machine",
        )?;
        let packed = source.close_move("acme", here)?;
        if target.move_in(there, id)?.state != ImportState::Imported {
            try_carry(pair, &folder_of(id))?;
            target.import_move(there, id, &packed.vkey, None)?;
        }
        let receipt = target.move_receipt(there, id)?;
        source.confirm_move("acme", here, "acme", &receipt).map(drop)
    }
}

/// Whether a server let go of the tenant.
fn let_go(world: &World, engine: &Engine) -> Result<bool, Error> {
    let page = engine.destroyed_tenants(&world.by, None, 10)?;
    Ok(page.items.iter().any(|item| item.name == "acme"))
}

/// As `carry`, of disks that may fail.
fn try_carry(pair: &Pair, dir: &Path) -> std::io::Result<()> {
    let (from, to) = (&pair.from.disk, &pair.to.disk);
    to.create_dir_all(dir)?;
    for entry in from.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            try_carry(pair, &path)?;
            continue;
        }
        let file = from.open(&path, FileMode::Read)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap()];
        file.read_exact_at(&mut bytes, 0)?;
        if to.exists(&path)? {
            to.remove(&path)?;
        }
        let file = to.open(&path, FileMode::Create)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
    }
    to.sync_dir(dir)?;
    to.sync_dir(dir.parent().unwrap_or(Path::new("")))
}

/// Whether a server takes records for the tenant.
fn takes(world: &World, engine: &Engine) -> bool {
    let appended = world.try_append(engine, "acme", &[event(3)]);
    appended.is_ok_and(|appended| appended.items.iter().all(Result::is_ok))
}

#[test]
fn a_crash_of_either_server_at_any_operation_never_leaves_two_that_take_records() {
    let before = Before::new(960);
    let totals = {
        let pair = before.pair(960);
        let (source, target) = (open(&pair.from), open(&pair.to));
        let begin = [pair.from.disk.op_count(), pair.to.disk.op_count()];
        before.go_on(&pair, &source, &target).unwrap();
        assert!(source.tenant("acme").is_err());
        [
            pair.from.disk.op_count() - begin[0],
            pair.to.disk.op_count() - begin[1],
        ]
    };
    assert!(totals.iter().all(|total| *total > 100), "{totals:?} operations");
    let faults = [Fault::CrashBefore, Fault::CrashTorn, Fault::CrashAfter];
    for (server, total) in totals.into_iter().enumerate() {
        let mut seen = [false; 3];
        for (share, fault) in (0..).zip(faults) {
            for op in (share..total).step_by(STEP) {
                let context = format!("server {server}, {fault:?} at operation {op} of {total}");
                let mut pair = before.pair(960);
                let (source, target) = (open(&pair.from), open(&pair.to));
                let failing = if server == 0 { &pair.from } else { &pair.to };
                failing.disk.fail_at(failing.disk.op_count() + op, fault);
                let done = before.go_on(&pair, &source, &target);
                drop((source, target));
                let crashed = if server == 0 { &mut pair.from } else { &mut pair.to };
                crashed.disk = crashed.disk.crash();
                let (source, target) = (open(&pair.from), open(&pair.to));
                let taking = [takes(&pair.from, &source), takes(&pair.to, &target)];
                assert_ne!(taking, [true, true], "{context}");
                seen[usize::from(taking[0]) + 2 * usize::from(taking[1])] = true;
                let all = match source.tenant("acme") {
                    Ok(_) => events(&pair.from, &source, "acme"),
                    Err(_) => events(&pair.to, &target, "acme"),
                };
                before
                    .go_on(&pair, &source, &target)
                    .unwrap_or_else(|error| panic!("{context}: {error}; before: {done:?}"));
                source.tick();
                assert!(source.tenant("acme").is_err(), "{context}");
                let now = events(&pair.to, &target, "acme");
                assert_eq!(now[..all.len()], all[..], "{context}");
                assert!(takes(&pair.to, &target), "{context}");
                sound(&target, "acme");
                sound(&source, "other");
            }
        }
        // Nobody, for a while; then one of them.
        assert_eq!(seen, [true, server == 0, true], "server {server}");
    }
}

/// Operations between two that are tried with one fault.
const STEP: usize = 13;
