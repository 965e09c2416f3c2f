//! Compactions of whole instances: everything stays as it was, but for the files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use attestore_disk::Disk;
use attestore_disk::sim::Fault;
use attestore_keys::Slot;
use proptest::prelude::*;

use super::WINDOW_MS;
use crate::instance::file_context;
use crate::read::Which;
use crate::search::SearchRequest;
use crate::tenant::FileSet;
use crate::testing::{World, append_as, destroy, event, record_erasure, settings};
use crate::{Engine, Error, Settings};

const DAY_MS: u64 = WINDOW_MS;

/// What readers are told of a tenant, as far as it must not change.
#[derive(Debug, PartialEq)]
struct Seen {
    records: Vec<(String, String, [u8; 44])>,
    root: String,
    proofs: Vec<String>,
    counts: Vec<Option<u64>>,
}

fn see(world: &World, engine: &Engine, name: &str) -> Seen {
    let report = engine.verify(name, &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, []);
    let views: Vec<_> = (0..report.size)
        .map(|seq| engine.get(name, &world.by, Which::Seq(seq)).unwrap())
        .collect();
    for view in &views {
        assert_eq!(
            engine.get(name, &world.by, Which::Id(view.id)).unwrap().seq,
            view.seq
        );
    }
    let count = |q: &str| {
        let request = SearchRequest {
            q: q.to_owned(),
            limit: 1,
            want_count: true,
            ..SearchRequest::default()
        };
        engine.search(name, &world.by, &request).unwrap().count
    };
    Seen {
        proofs: (0..report.size)
            .step_by(7)
            .map(|seq| format!("{:?}", engine.proof(name, &world.by, Which::Seq(seq)).unwrap()))
            .collect(),
        records: views
            .into_iter()
            .map(|view| (view.id.to_string(), view.event, view.entry))
            .collect(),
        root: report.root.to_string(),
        counts: [
            "",
            "action:file.read",
            "actor.id:u1",
            "actor.id:u3",
            "actor.email:u2@example.org",
        ]
        .map(count)
        .to_vec(),
    }
}

/// Appends the same event many times, a few at once.
fn fill(world: &World, engine: &Engine, event: &str, count: usize) {
    for _ in 0..count / 10 {
        world.append(engine, "acme", &vec![event.to_owned(); 10]);
    }
}

fn sets(engine: &Engine, name: &str) -> Vec<FileSet> {
    let view = engine.inner.tenant(name).unwrap().view();
    view.flushed.iter().map(|set| FileSet::clone(set)).collect()
}

fn files(world: &World) -> BTreeSet<PathBuf> {
    let paths = world.disk.paths().into_iter();
    paths
        .filter(|path| {
            path.extension().is_some_and(|extension| {
                ["seg", "sub", "idx", "l0", "tmp"]
                    .iter()
                    .any(|known| extension == *known)
            })
        })
        .collect()
}

fn named(engine: &Engine, names: &[&str]) -> BTreeSet<PathBuf> {
    let rows = names.iter().flat_map(|name| sets(engine, name));
    rows.flat_map(|set| set.files().map(|row| row.path.clone()).collect::<Vec<_>>())
        .collect()
}

#[test]
fn many_segments_become_one_that_says_the_same() {
    let world = World::new(11);
    let engine = world.open(true);
    world.tenant(&engine, "acme");
    for round in 0..12u32 {
        let events: Vec<_> = (0..10 + round % 3).map(|n| event(n % 5)).collect();
        for _ in 0..3 {
            world.append(&engine, "acme", &events);
        }
        engine.flush().unwrap();
        world.clock.advance_ms(60_000);
    }
    world.append(&engine, "acme", &[event(1)]);
    let before = see(&world, &engine, "acme");
    let old = sets(&engine, "acme");
    assert!(old.len() >= 12 && old.iter().all(|set| set.idx.is_some()));
    let done = engine.compact("acme").unwrap();
    assert_eq!((done.sets_in, done.sets_out), (old.len() as u64, 1));
    assert!(done.bytes_out < done.bytes_in, "{done:?}");
    let new = sets(&engine, "acme");
    assert_eq!(new.len(), 1);
    assert!(new[0].sub.is_some() && new[0].idx.is_some() && new[0].seg.rewrites == 1);
    assert_eq!(see(&world, &engine, "acme"), before);
    assert_eq!(
        engine.compact("acme").unwrap(),
        super::Compacted::default(),
        "nothing is left to do"
    );
    // Nothing but what the catalog names is left, and the old keys are gone.
    assert_eq!(files(&world), named(&engine, &["acme", "_system"]));
    let acme = engine.inner.tenant("acme").unwrap();
    for row in old.iter().flat_map(|set| set.files()) {
        let context = file_context(&acme, row.container_id().unwrap(), row.is_part());
        let key = engine
            .inner
            .catalog
            .key(Slot(row.slot), &context, Some(acme.keys.ring().current()));
        assert!(
            matches!(key, Err(attestore_keys::Error::Destroyed { .. })),
            "{}",
            row.path.display()
        );
    }
    drop((acme, engine));
    let engine = world.open(true);
    assert_eq!(see(&world, &engine, "acme"), before);
}

#[test]
fn splits_are_merged_and_not_made_again() {
    let world = World::new(12);
    let engine = world.open(true);
    let acme = world.tenant(&engine, "acme");
    for _ in 0..4 {
        for _ in 0..6 {
            fill(&world, &engine, &event(1), 10);
        }
        engine.flush().unwrap();
    }
    let sets = acme.view().flushed.clone();
    assert!(sets.len() == 4 && sets.iter().all(|set| set.idx.is_some()));
    // Were the records read, this would be found.
    for set in sets.iter() {
        let row = &set.seg;
        world.disk.flip(&row.path, row.offset + 300, 1).unwrap();
    }
    let view = acme.view();
    let split = crate::search::compacted(
        &engine.inner,
        &acme,
        &view,
        &acme.gone.load(),
        &sets,
        false,
        &|| Ok(()),
    )
    .unwrap()
    .unwrap();
    assert_eq!(split.summary().docs, 240);
}

#[test]
fn parts_of_shared_files_become_files_of_their_tenants() {
    let world = World::new(13);
    let engine = world.open(false);
    let names = ["acme", "globex"];
    for name in names {
        world.tenant(&engine, name);
    }
    for _ in 0..3 {
        for name in names {
            world.append(&engine, name, &[event(1)]);
        }
        engine.flush().unwrap();
    }
    let before = names.map(|name| see(&world, &engine, name));
    assert!(sets(&engine, "acme").iter().all(|set| set.seg.is_part()));
    let l0 = |world: &World| files(world).iter().filter(|path| path.starts_with("l0")).count();
    assert_eq!(l0(&world), 3);
    engine.compact("acme").unwrap();
    assert_eq!(l0(&world), 3, "the other tenant's parts are still there");
    engine.compact("globex").unwrap();
    engine.compact("_system").unwrap();
    assert_eq!(l0(&world), 0);
    assert_eq!(names.map(|name| see(&world, &engine, name)), before);
}

#[test]
fn classes_stay_apart_and_no_segment_spans_more_than_a_window() {
    let world = World::new(14);
    let engine = world.open(true);
    let acme = world.tenant(&engine, "acme");
    for _ in 0..30 {
        for class in [0, 1, 1] {
            append_as(&engine, &acme, class, &vec![event(1); 12]);
        }
        engine.flush().unwrap();
        world.clock.advance_ms(DAY_MS / 7);
    }
    let before = see(&world, &engine, "acme");
    engine.compact("acme").unwrap();
    assert_eq!(see(&world, &engine, "acme"), before);
    let sets = sets(&engine, "acme");
    assert!(sets.len() < 15, "{}", sets.len());
    for set in &sets {
        assert!(set.seg.max_time_ms - set.seg.min_time_ms <= DAY_MS);
    }
    assert!(
        [0, 1]
            .iter()
            .all(|class| sets.iter().any(|set| set.class == *class))
    );
}

#[test]
fn what_was_destroyed_does_not_come_back() {
    let world = World::new(15);
    let engine = world.open(false);
    let acme = world.tenant(&engine, "acme");
    for _ in 0..3 {
        for subject in 1..4 {
            fill(&world, &engine, &event(subject), 20);
        }
        engine.flush().unwrap();
    }
    let handles: BTreeSet<[u8; 16]> = {
        let view = acme.view();
        let row = view.flushed[0].sub.clone().unwrap();
        let sub = engine.inner.readers.sub(&engine.inner, &acme, &row).unwrap();
        sub.handle_sets().flatten().copied().collect()
    };
    let gone = *handles.first().unwrap();
    destroy(&engine, &acme, &gone);
    record_erasure(&engine, &acme, 60);
    drop((acme, engine));
    let engine = world.open(false);
    let acme = engine.inner.tenant("acme").unwrap();
    let before = see(&world, &engine, "acme");
    let personal = before
        .records
        .iter()
        .filter(|(_, event, _)| event.contains("[personal]"))
        .count();
    assert_eq!(personal, 60);
    engine.compact("acme").unwrap();
    assert_eq!(see(&world, &engine, "acme"), before);
    let view = acme.view();
    assert_eq!(view.flushed.len(), 1);
    let row = view.flushed[0].sub.clone().unwrap();
    let sub = engine.inner.readers.sub(&engine.inner, &acme, &row).unwrap();
    assert!(!sub.holds(&gone) && handles.iter().skip(1).all(|handle| sub.holds(handle)));
}

#[test]
fn nothing_of_an_event_is_on_the_disk_in_clear() {
    let world = World::new(16);
    let engine = world.open(true);
    world.tenant(&engine, "acme");
    let canary = r#"{"action":"file.read","actor":{"type":"user","id":"canarysubject"},"metadata":{"note":"canarypublic"}}"#;
    for _ in 0..4 {
        fill(&world, &engine, canary, 30);
        engine.flush().unwrap();
    }
    engine.compact("acme").unwrap();
    for path in world.disk.paths() {
        let file = world.disk.open(&path, attestore_disk::Mode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for word in [b"canary".as_slice(), b"file.read"] {
            let found = bytes.windows(word.len()).any(|window| window == word);
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn a_key_stays_a_key_after_compaction() {
    let world = World::new(17);
    let engine = world.open(false);
    world.tenant(&engine, "acme");
    let keyed = |n: u32| {
        format!(r#"{{"idempotency_key":"k{n}","action":"a.b","actor":{{"type":"service","id":"s{n}"}}}}"#)
    };
    for n in 0..40 {
        world.append(&engine, "acme", &[keyed(n)]);
        if n % 5 == 4 {
            fill(&world, &engine, &event(2), 40);
            engine.flush().unwrap();
        }
    }
    engine.compact("acme").unwrap();
    drop(engine);
    let engine = world.open(false);
    for n in 0..40 {
        let again = world.try_append(&engine, "acme", &[keyed(n)]).unwrap();
        assert!(again.items[0].as_ref().unwrap().duplicate, "key {n}");
    }
}

#[test]
fn a_segment_that_cannot_be_read_is_reported_and_left() {
    let world = World::new(18);
    let engine = world.open(false);
    let acme = world.tenant(&engine, "acme");
    for _ in 0..5 {
        fill(&world, &engine, &event(1), 60);
        engine.flush().unwrap();
    }
    let damaged = acme.view().flushed[2].clone();
    let offset = damaged.seg.offset + 200;
    world.disk.flip(&damaged.seg.path, offset, 1).unwrap();
    assert!(matches!(engine.compact("acme"), Err(Error::Damage { .. })));
    let status = engine.status().unwrap().compaction;
    assert_eq!((status.failed, status.unreadable_sets), (1, 1));
    assert!(status.last_error.is_some_and(|error| error.contains("damaged")));
    // The others go on without it, and it stays what it was.
    engine.compact("acme").unwrap();
    let sets = acme.view().flushed.clone();
    assert_eq!(sets.len(), 3);
    assert_eq!(sets[1], damaged);
    world.disk.flip(&damaged.seg.path, offset, 1).unwrap();
    assert_eq!(see(&world, &engine, "acme").records.len(), 300);
}

#[test]
fn without_room_nothing_is_written_and_nothing_is_lost() {
    let mut survived = 0;
    for op in 0..40 {
        let world = World::new(19);
        let engine = world.open(false);
        assert!(engine.inner.guard.has_room(1 << 30) && !engine.inner.guard.has_room(1 << 60));
        world.tenant(&engine, "acme");
        for _ in 0..3 {
            fill(&world, &engine, &event(1), 60);
            engine.flush().unwrap();
        }
        let before = see(&world, &engine, "acme");
        let all = files(&world);
        world.disk.fail_at(world.disk.op_count() + op, Fault::Errno(28));
        let outcome = engine.compact("acme");
        world.disk.clear_faults();
        if engine.inner.stopped().is_none() && outcome.is_err() {
            survived += 1;
            assert_eq!(files(&world), all, "operation {op}");
            assert_eq!(see(&world, &engine, "acme"), before);
        }
        drop(engine);
        assert_reopens(&world, &before);
    }
    // A sync or commit that fails ends the process, a write that fails does not.
    assert!(survived > 5, "{survived}");
}

fn assert_reopens(world: &World, before: &Seen) {
    let engine = world.open(false);
    assert_eq!(see(world, &engine, "acme"), *before);
    engine.compact("acme").unwrap();
    assert_eq!(see(world, &engine, "acme"), *before);
}

#[test]
fn a_reader_of_an_older_view_is_sent_to_the_newer_one() {
    let world = World::new(20);
    let engine = world.open(true);
    let acme = world.tenant(&engine, "acme");
    for _ in 0..4 {
        fill(&world, &engine, &event(1), 60);
        engine.flush().unwrap();
    }
    let old = acme.view();
    // One is open already and goes on; the others cannot be opened any more.
    let open = engine
        .inner
        .readers
        .seg(&engine.inner, &acme, &old.flushed[0].seg)
        .unwrap();
    engine.compact("acme").unwrap();
    assert_eq!(open.block(0).unwrap().len(), open.blocks()[0].records as usize);
    for set in old.flushed.iter() {
        let opened = engine.inner.readers.seg(&engine.inner, &acme, &set.seg);
        assert!(matches!(opened, Err(Error::Io(_))), "neither damage nor a key");
    }
    let mut times = 0;
    let read = crate::read::snapshot(&acme, |view| {
        times += 1;
        let view = if times == 1 { &*old } else { view };
        crate::read::records::read(&engine.inner, &acme, view, 5, true).map(|record| record.seq)
    });
    assert!(
        matches!(read, Err(Error::Io(_))),
        "a snapshot that did not change is not taken again"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        tenant: usize,
        class: u16,
        count: usize,
        subject: u32,
    },
    Keyed {
        tenant: usize,
        key: u32,
    },
    Flush,
    Compact(usize),
    Later(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0usize..2, 0u16..2, 1usize..60, 0u32..5).prop_map(|(tenant, class, count, subject)| Step::Append {
            tenant,
            class,
            count,
            subject
        }),
        2 => (0usize..2, 0u32..6).prop_map(|(tenant, key)| Step::Keyed { tenant, key }),
        4 => Just(Step::Flush),
        3 => (0usize..2).prop_map(Step::Compact),
        2 => (0u64..DAY_MS).prop_map(Step::Later),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is done in whatever order: what was acknowledged reads, verifies, is found and counted, and its keys stay keys.
    #[test]
    fn everything_is_as_before(seed in 0u64..1_000_000, indexing in any::<bool>(), steps in proptest::collection::vec(step(), 1..30)) {
        const NAMES: [&str; 2] = ["acme", "globex"];
        let world = World::new(seed);
        let open = || {
            // Keys are remembered for as long as the test's days last.
            world.start_with(Settings { indexing, idempotency_hours: 24 * 400, ..settings() }).0
        };
        let mut engine = open();
        let mut logs: [Vec<String>; 2] = Default::default();
        let mut keys: BTreeMap<(usize, u32), u64> = BTreeMap::new();
        for name in NAMES {
            world.tenant(&engine, name);
        }
        for step in steps {
            match step {
                Step::Append { tenant, class, count, subject } => {
                    let loaded = engine.inner.tenant(NAMES[tenant]).unwrap();
                    let ids = append_as(&engine, &loaded, class, &vec![event(subject); count]);
                    logs[tenant].extend(ids.iter().map(ToString::to_string));
                }
                Step::Keyed { tenant, key } => {
                    let event = format!(r#"{{"idempotency_key":"k{key}","action":"a.b","actor":{{"type":"user","id":"u{key}"}}}}"#);
                    let appended = world.try_append(&engine, NAMES[tenant], &[event]).unwrap();
                    let receipt = appended.items[0].as_ref().unwrap();
                    let first = *keys.entry((tenant, key)).or_insert(receipt.seq);
                    prop_assert_eq!(receipt.seq, first);
                    if !receipt.duplicate {
                        logs[tenant].push(receipt.id.to_string());
                    }
                }
                Step::Flush => drop(engine.flush().unwrap()),
                Step::Compact(tenant) => drop(engine.compact(NAMES[tenant]).unwrap()),
                Step::Later(ms) => {
                    world.clock.advance_ms(ms);
                }
                Step::Restart => {
                    drop(engine);
                    engine = open();
                }
            }
        }
        for (name, ids) in NAMES.into_iter().zip(&logs) {
            let seen = see(&world, &engine, name);
            prop_assert_eq!(seen.records.iter().map(|(id, _, _)| id.clone()).collect::<Vec<_>>(), ids.clone());
            prop_assert_eq!(seen.counts[0], Some(ids.len() as u64));
            engine.compact(name).unwrap();
            prop_assert_eq!(see(&world, &engine, name), seen);
        }
        // What nothing names is gone.
        engine.compact("_system").unwrap();
        prop_assert_eq!(files(&world), named(&engine, &["acme", "globex", "_system"]));
    }
}
