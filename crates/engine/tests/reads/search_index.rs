//! Index policies, and splits that are built again.

use attestore_engine::{
    Engine, Error, OpenMode, Principal, Role, Settings, read::Which, search::SearchRequest,
};
use attestore_index::{IndexPolicy, TextIndex};

use crate::world::{World, append, append_range, everything, principal, reader, settings};

fn request(q: &str) -> SearchRequest {
    SearchRequest {
        q: q.into(),
        limit: 1000,
        want_count: true,
        ..SearchRequest::default()
    }
}

fn admin() -> Principal {
    principal(&[Role::Admin])
}

fn count(engine: &Engine, q: &str) -> (Option<u64>, bool) {
    let page = engine.search("acme", &everything(), &request(q)).unwrap();
    assert_eq!(page.count, Some(page.items.len() as u64));
    (page.count, page.scanned)
}

fn with_positions() -> IndexPolicy {
    IndexPolicy {
        text: TextIndex::Positions,
        paths: vec!["metadata.n".into()],
        ..IndexPolicy::default()
    }
}

/// Two segments and a tail, 40 phrases in each.
fn world_of_phrases(seed: u64) -> (World, Engine) {
    let world = World::new(seed);
    let engine = world.open();
    engine.create_tenant("acme", &everything()).unwrap();
    for round in 0..3u64 {
        let phrase = |n: u64| {
            format!(
                r#"{{"action":"note.add","actor":{{"type":"service","id":"noter"}},"justification":"one {} three {n}","metadata":{{"n":{n}}}}}"#,
                if n.is_multiple_of(2) { "two" } else { "2" }
            )
        };
        for batch in (0..80).map(phrase).collect::<Vec<_>>().chunks(16) {
            append(&engine, "acme", batch);
        }
        if round < 2 {
            engine.flush().unwrap();
        }
    }
    (world, engine)
}

#[test]
fn a_new_policy_answers_by_scanning_until_the_splits_are_built_again() {
    let (world, engine) = world_of_phrases(70);
    let phrase = "\"one two three\"";
    assert_eq!(count(&engine, phrase), (Some(120), true));
    let status = engine
        .set_index_policy("acme", &admin(), with_positions())
        .unwrap();
    assert_eq!(
        (status.sets, status.sets_pending, status.policy),
        (2, 2, with_positions())
    );
    assert_eq!(count(&engine, phrase), (Some(120), true));
    assert_eq!(engine.rebuild_index("acme").unwrap(), 2);
    assert_eq!(count(&engine, phrase), (Some(120), false));
    let status = engine.index_status("acme", &reader()).unwrap();
    assert_eq!((status.sets_pending, status.sets_rebuilt), (0, 2));
    assert_eq!(engine.rebuild_index("acme").unwrap(), 0);
    // It stays over a start, and is what later flushes index under.
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = world.open();
    assert_eq!(engine.index_policy("acme", &reader()).unwrap(), with_positions());
    assert_eq!(count(&engine, phrase), (Some(120), false));
    assert_eq!(engine.rebuild_index("acme").unwrap(), 0);
    let fewer = IndexPolicy::minimal();
    engine.set_index_policy("acme", &admin(), fewer).unwrap();
    engine.rebuild_index("acme").unwrap();
    assert_eq!(count(&engine, phrase), (Some(120), true));
    assert_eq!(count(&engine, "action:note.add"), (Some(240), false));
}

/// Words are indexed, their places are not: only records with all the words are read, and none but those in the window.
#[test]
fn a_phrase_without_places_reads_only_records_with_all_its_words() {
    let (_world, engine) = world_of_phrases(74);
    for (q, window, matching, read) in [
        ("\"one two three\"", None, 120, 120),
        ("\"one two three 42\"", None, 3, 3),
        ("\"three two\"", None, 0, 120),
        ("\"one two three 4\"*", None, 18, 18),
        ("\"one two three\" metadata.n:7", None, 0, 0),
        ("\"one two three\" metadata.n:42", None, 3, 3),
        ("\"one four\"", None, 0, 0),
        ("\"one two three\"", Some(i64::MAX), 0, 0),
    ] {
        let request = SearchRequest {
            from_ns: window,
            ..request(q)
        };
        let page = engine.search("acme", &everything(), &request).unwrap();
        assert_eq!(
            (page.count, page.explain.records_scanned),
            (Some(matching), read),
            "{q}"
        );
        assert_eq!(page.scanned, page.explain.scanned > 0);
    }
}

/// What is built again is written no faster than background work may write.
#[test]
fn splits_that_are_built_again_are_written_at_the_pace_of_background_work() {
    let world = World::new(75);
    let settings = Settings {
        background_bytes_per_s: 50_000,
        ..settings()
    };
    let engine = Engine::open_as(world.parts().unwrap(), settings, OpenMode::Threads)
        .unwrap()
        .0;
    engine.create_tenant("acme", &everything()).unwrap();
    append_range(&engine, "acme", 0..80);
    engine.flush().unwrap();
    let begin = std::time::Instant::now();
    engine
        .set_index_policy("acme", &admin(), with_positions())
        .unwrap();
    while engine.index_status("acme", &reader()).unwrap().sets_rebuilt == 0 {
        engine.rebuild_index("acme").unwrap();
    }
    // The clock stands still: what the flush wrote has not been made up for.
    assert!(begin.elapsed().as_millis() > 300, "{:?}", begin.elapsed());
    engine.close().unwrap();
}

#[test]
fn a_policy_is_logged_in_the_tenants_own_log() {
    let (_world, engine) = world_of_phrases(71);
    let before = engine.tenant("acme").unwrap().size;
    engine
        .set_index_policy("acme", &admin(), with_positions())
        .unwrap();
    let record = engine.get("acme", &reader(), Which::Seq(before)).unwrap();
    assert_eq!(record.kind, "policy");
    assert!(
        record.event.contains("index_policy") && record.event.contains("metadata.n"),
        "{}",
        record.event
    );
    assert_eq!(count(&engine, "kind:index_policy"), (Some(1), false));
    // The same policy again is no change.
    engine
        .set_index_policy("acme", &admin(), with_positions())
        .unwrap();
    assert_eq!(engine.tenant("acme").unwrap().size, before + 1);
    engine.flush().unwrap();
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!((report.problems, report.records), (Vec::new(), before + 1));
}

#[test]
fn only_administrators_set_a_policy_and_only_a_valid_one() {
    let (_world, engine) = world_of_phrases(72);
    let refused = engine.set_index_policy("acme", &reader(), with_positions());
    assert!(matches!(refused, Err(Error::Forbidden)));
    let wrong = IndexPolicy {
        paths: vec!["actor.id".into()],
        ..IndexPolicy::default()
    };
    let refused = engine.set_index_policy("acme", &admin(), wrong);
    assert!(
        matches!(
            refused,
            Err(Error::Invalid {
                code: "invalid_index_policy",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(
        engine.index_policy("acme", &admin()).unwrap(),
        IndexPolicy::default()
    );
}

#[test]
fn damaged_and_missing_splits_are_scanned_and_built_again() {
    let (world, engine) = world_of_phrases(73);
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let splits = idx_files(&world);
    assert_eq!(splits.len(), 3);
    for at in [100, 5000] {
        world.disk.flip(&splits[0], at, 0xff).unwrap();
    }
    attestore_disk::Disk::remove(&world.disk, &splits[1]).unwrap();
    let engine = world.open();
    assert_eq!(count(&engine, "action:note.add"), (Some(240), true));
    let status = engine.index_status("acme", &admin()).unwrap();
    assert_eq!((status.sets, status.sets_pending), (3, 2));
    assert_eq!(engine.rebuild_index("acme").unwrap(), 2);
    assert_eq!(count(&engine, "action:note.add"), (Some(240), false));
    let now = idx_files(&world);
    assert_eq!(now.len(), 3);
    assert!(
        !now.contains(&splits[0]) && !now.contains(&splits[1]),
        "a new generation each: {now:?}"
    );
    engine.close().unwrap();
    drop(engine);
    let engine = world.open();
    assert_eq!(count(&engine, "action:note.add"), (Some(240), false));
}

fn idx_files(world: &World) -> Vec<std::path::PathBuf> {
    let idx = |path: &std::path::PathBuf| path.extension().is_some_and(|ext| ext == "idx");
    world.disk.paths().into_iter().filter(idx).collect()
}

#[test]
fn a_crash_at_any_step_of_a_rebuild_loses_nothing() {
    use attestore_disk::sim::{Fault, SimDisk};
    let (mut world, engine) = world_of_phrases(74);
    engine
        .set_index_policy("acme", &admin(), with_positions())
        .unwrap();
    engine.flush().unwrap();
    engine.close().unwrap();
    drop(engine);
    let start = world.disk.snapshot();
    let register = world.register.snapshot();
    let mut finished = false;
    for step in 0.. {
        world.disk = SimDisk::from_snapshot(&start);
        world.register = SimDisk::from_snapshot(&register);
        let engine = world.open();
        let fault = match step % 3 {
            0 => Fault::CrashBefore,
            1 => Fault::CrashTorn,
            _ => Fault::CrashAfter,
        };
        world.disk.fail_at(world.disk.op_count() + step / 3, fault);
        let built = engine.rebuild_index("acme");
        finished = built.is_ok() && !world.disk.has_crashed();
        drop(engine);
        world.disk = world.disk.crash();
        let engine = world.open();
        assert_eq!(
            count(&engine, "\"one two three\"").0,
            Some(120),
            "seed 74, step {step}"
        );
        engine.rebuild_index("acme").unwrap();
        assert_eq!(
            count(&engine, "\"one two three\""),
            (Some(120), false),
            "seed 74, step {step}"
        );
        let report = engine.verify("acme", &mut |_, _| {}).unwrap();
        assert_eq!(report.problems, Vec::new(), "seed 74, step {step}");
        if finished {
            assert!(step > 30, "the sweep did something");
            break;
        }
    }
    assert!(finished);
}

#[test]
fn pages_go_on_while_splits_are_built_again() {
    let (_world, engine) = world_of_phrases(75);
    let mut request = SearchRequest {
        limit: 50,
        ..request("action:note.add")
    };
    let mut seqs = Vec::new();
    for round in 0.. {
        let page = engine.search("acme", &everything(), &request).unwrap();
        seqs.extend(page.items.iter().map(|item| item.seq));
        request.cursor = page.cursor;
        if request.cursor.is_none() {
            break;
        }
        let policy = if round % 2 == 0 {
            with_positions()
        } else {
            IndexPolicy::default()
        };
        engine.set_index_policy("acme", &admin(), policy).unwrap();
        append_range(&engine, "acme", 0..2);
        engine.rebuild_index("acme").unwrap();
    }
    assert_eq!(seqs, (0..240).rev().collect::<Vec<_>>());
}
