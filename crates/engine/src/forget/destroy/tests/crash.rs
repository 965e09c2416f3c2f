//! A destruction is interrupted at each of its operations on the disk: it never began or it comes to its end, and others are as they
//! were.

use attestore_disk::sim::{Fault, SimDisk, Snapshot};

use super::*;

fn prepared() -> (World, Snapshot) {
    let world = World::new(720);
    let engine = filled(&world);
    engine.close().unwrap();
    drop(engine);
    let snapshot = world.disk.snapshot();
    (world, snapshot)
}

fn sweep(fault: Fault) {
    let (mut world, snapshot) = prepared();
    world.disk = SimDisk::from_snapshot(&snapshot);
    let engine = open(&world);
    let first = world.disk.op_count();
    let destroyed = destroy(&world, &engine);
    assert_eq!(destroyed.state, DestroyedState::Done);
    let total = world.disk.op_count();
    let wanted = others(&world, &engine);
    assert!(total > first + 30, "operations {first} to {total}");
    println!("operations {first} to {total}, {fault:?}");
    drop(engine);
    for op in first..total {
        let context = format!("{fault:?} at operation {op}");
        println!("{context}");
        world.disk = SimDisk::from_snapshot(&snapshot);
        world.disk.fail_at(op, fault);
        let (engine, _) = world.start_with(eager());
        let told = engine.destroy_tenant("acme", &world.by, &order());
        let ended = told.is_ok();
        drop(engine);
        world.disk = world.disk.crash();
        if op.is_multiple_of(3) {
            world.disk.fail_at(op / 3 % 60, Fault::CrashTorn);
            drop(world.try_start_with(eager()));
            world.disk = world.disk.crash();
        }
        let engine = open(&world);
        engine.tick();
        let page = engine.destroyed_tenants(&world.by, None, 10).unwrap();
        match engine.tenant("acme") {
            Ok(info) => {
                assert!(!ended, "{context}: it was told to be destroyed");
                assert_eq!(info.size, destroyed.size, "{context}");
                assert!(page.items.is_empty(), "{context}: {:?}", page.items);
                assert_eq!(
                    engine.verify("acme", &mut |_, _| {}).unwrap().problems,
                    [],
                    "{context}"
                );
                world.append(&engine, "acme", &[event(1)]);
                destroy(&world, &engine);
            }
            Err(Error::UnknownTenant) => {
                assert_eq!(page.items.len(), 1, "{context}");
                assert_eq!(page.items[0].size, destroyed.size, "{context}");
                assert_eq!(page.items[0].state, DestroyedState::Done, "{context}");
            }
            Err(error) => panic!("{context}: {error}"),
        }
        let page = engine.destroyed_tenants(&world.by, None, 10).unwrap();
        let id = &page.items[0].id;
        let tenant = attestore_record::TenantId::from_bytes(crate::catalog::unhex(id).unwrap());
        let rows = tenant_rows::count(&engine.inner.catalog.read().unwrap(), &tenant).unwrap();
        assert_eq!(rows, [], "{context}");
        assert!(!world.disk.exists(&folder(id)).unwrap(), "{context}");
        assert_eq!(others(&world, &engine), wanted, "{context}");
        let said = |seq: &u64| {
            let record = engine.get(SYSTEM_TENANT, &world.by, Which::Seq(*seq)).unwrap();
            record.event.contains("tenant_destruction")
        };
        let size = engine.tenant(SYSTEM_TENANT).unwrap().size;
        let times = (0..size).filter(said).count();
        assert_eq!(times, 1, "{context}: it is on record once");
        engine.close().unwrap();
        drop(engine);
        if op.is_multiple_of(8) {
            assert_eq!(fsck(&world), Vec::<String>::new(), "{context}");
        }
        let engine = open(&world);
        assert!(
            matches!(engine.tenant("acme"), Err(Error::UnknownTenant)),
            "{context}"
        );
    }
}

#[test]
fn a_crash_before_any_operation_of_a_destruction_leaves_nothing_half_done() {
    sweep(Fault::CrashBefore);
}

#[test]
fn a_crash_inside_any_operation_of_a_destruction_leaves_nothing_half_done() {
    sweep(Fault::CrashTorn);
}

#[test]
fn a_crash_after_any_operation_of_a_destruction_leaves_nothing_half_done() {
    sweep(Fault::CrashAfter);
}

#[test]
fn an_error_of_any_operation_of_a_destruction_leaves_nothing_half_done() {
    sweep(Fault::Errno(5));
}
