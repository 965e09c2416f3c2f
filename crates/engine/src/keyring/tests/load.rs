//! Every key is rotated while records are appended, read and erased.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::OpenMode;
use crate::testing::settings;

/// Waits until no rotation of the tenant is under way.
fn settled(world: &World, engine: &Engine, tenant: &str) {
    let begun = Instant::now();
    while engine.keys(tenant, &world.by).unwrap().rotation.is_some() {
        engine.inner.keyrings.wake.notify();
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_key_is_rotated_under_load_and_no_append_fails_or_is_lost() {
    let world = World::new(930);
    let (engine, tenant) = filled(&world);
    let first = records(&world, &engine, "acme");
    engine.close().unwrap();
    drop((engine, tenant));
    let (engine, _) = Engine::open_as(world.parts(), settings(), OpenMode::Threads).unwrap();
    let (stop, number) = (AtomicBool::new(false), AtomicU64::new(0));
    let seen = |number: u64| {
        format!(
            r#"{{"action":"load.test","actor":{{"type":"user","id":"w{number}","email":"w{number}@example.org"}},"metadata":{{"n":"<{number}>"}}}}"#
        )
    };
    let erased = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    world.append(&engine, "acme", &[seen(number)]);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
        }
        scope.spawn(|| {
            let mut seq = 0;
            while !stop.load(Ordering::Relaxed) {
                let size = engine.tenant("acme").unwrap().size;
                engine.get("acme", &world.by, Which::Seq(seq % size)).unwrap();
                seq += 7;
            }
        });
        let erasing = scope.spawn(|| {
            let mut erased = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(150));
                let who = number.load(Ordering::Relaxed) / 2;
                let request = ErasureRequest {
                    subjects: vec![user(&format!("w{who}"))],
                    basis: "Art. 17 GDPR".into(),
                    undo_s: 0,
                };
                match engine.erase("acme", &world.by, &request) {
                    Ok(_) => erased.push(who),
                    Err(Error::NotFound(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            erased
        });
        for _ in 0..3 {
            for (name, key) in [
                ("acme", KeyKind::Tenant),
                ("acme", KeyKind::Signing),
                ("acme", KeyKind::Buckets),
                (SYSTEM_TENANT, KeyKind::Tenant),
                (SYSTEM_TENANT, KeyKind::Buckets),
                (SYSTEM_TENANT, KeyKind::Root),
            ] {
                engine.rotate_keys(name, &world.by, &order(key)).unwrap();
                settled(&world, &engine, name);
            }
        }
        stop.store(true, Ordering::Relaxed);
        erasing.join().unwrap()
    });
    let appended = number.load(Ordering::Relaxed);
    println!("{appended} records, {} people erased", erased.len());
    assert!(appended > 50 && !erased.is_empty());
    engine.close().unwrap();
    drop(engine);

    let engine = world.open(false);
    for _ in 0..5 {
        engine.tick();
        world.clock.advance_ms(10_000);
    }
    let all = records(&world, &engine, "acme");
    assert_eq!(all[..first.len()], first, "what was there reads as before");
    for number in 0..appended {
        let found = all
            .iter()
            .filter(|record| record.contains(&format!("<{number}>")))
            .count();
        assert_eq!(found, 1, "record {number}");
        let shown = all
            .iter()
            .any(|record| record.contains(&format!("\"w{number}@example.org")));
        assert_eq!(shown, !erased.contains(&number), "person {number}");
    }
    assert_eq!(engine.verify("acme", &mut |_, _| {}).unwrap().problems, []);
    let keys = engine.keys("acme", &world.by).unwrap();
    let newest = keys.items.iter().rfind(|key| key.key == KeyKind::Tenant);
    assert_eq!(newest.map(|key| key.generation), Some(4));
    engine.close().unwrap();
    assert_eq!(fsck(&world), Vec::<String>::new());
}
