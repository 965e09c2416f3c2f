//! Purges of whole instances: what goes is gone everywhere, what stays is as it was, and the log says why.

mod crash;
mod erasure;
mod model;
mod tamper;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use attestore_export::{Compression, Format};
use attestore_record::control::RetentionMode;
use attestore_tlog::VerifierKey;
use attestore_verify::bundle::{BundleOptions, RangeReport, verify_bundle};
use attestore_verify::statement::{VerifiedStatement, verify_statement};
use attestore_verify::{Trust, verify_tlog_proof};

use super::{PurgeOrder, PurgeState, Selection};
use crate::compact;
use crate::exports::{Evidence, EvidenceScope, ExportSpec, ExportState};
use crate::forget::Why;
use crate::read::Which;
use crate::search::SearchRequest;
use crate::tenant::Tenant;
use crate::testing::{World, append_as, event, set_policy, settings};
use crate::{Engine, Error, Settings};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// No grace, and nobody looks but the test.
fn eager() -> Settings {
    Settings {
        indexing: true,
        purge_grace_hours: 0,
        ..settings()
    }
}

fn open(world: &World) -> Engine {
    world.start_with(eager()).0
}

fn trust(engine: &Engine) -> Trust {
    let key: VerifierKey = engine.vkey("acme").unwrap().parse().unwrap();
    Trust::Key(key)
}

/// Appends ten records of a class and flushes them into files of their own.
fn fill(engine: &Engine, tenant: &Arc<Tenant>, class: u16, length: usize) {
    let seed = tenant.view().size;
    // Nothing that packs well.
    let body = |n: u32| {
        let mut bytes = vec![0; length / 2];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes()).update(&n.to_le_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        crate::catalog::hex(&bytes)
    };
    let events: Vec<String> = (0..10)
        .map(|n| {
            let body = body(n);
            event(n % 4).replace(
                r#""action""#,
                &format!(r#""metadata":{{"body":"{body}"}},"action""#),
            )
        })
        .collect();
    append_as(engine, tenant, class, &events);
    engine.flush().unwrap();
}

/// What is left of an instance's purges is done until nothing is.
fn finish(engine: &Engine) {
    assert_eq!(engine.purge_tick().unwrap(), 0);
}

fn order(class: u16, selection: Selection) -> PurgeOrder {
    PurgeOrder {
        class: Some(class),
        selection,
        note: "case 7".into(),
        bypass: false,
    }
}

/// Which records are gone.
fn gone(world: &World, engine: &Engine) -> BTreeSet<u64> {
    let size = engine.tenant("acme").unwrap().size;
    let is_gone = |seq: &u64| match engine.get("acme", &world.by, Which::Seq(*seq)) {
        Ok(view) => {
            assert_eq!(view.seq, *seq);
            false
        }
        Err(Error::Gone { seq: of, why, .. }) => {
            assert_eq!((of, why), (*seq, Why::Purged));
            true
        }
        Err(error) => panic!("{seq}: {error}"),
    };
    (0..size).filter(is_gone).collect()
}

fn count(world: &World, engine: &Engine, q: &str) -> u64 {
    let request = SearchRequest {
        q: q.into(),
        limit: 1000,
        want_count: true,
        ..SearchRequest::default()
    };
    let page = engine.search("acme", &world.by, &request).unwrap();
    assert_eq!(page.count, Some(page.items.len() as u64));
    page.items.len() as u64
}

/// A bundle of everything there ever was, as an outsider sees it.
fn judged(world: &World, engine: &Engine) -> RangeReport {
    let end = engine.tenant("acme").unwrap().size;
    let spec = ExportSpec {
        query: String::new(),
        from_ns: None,
        to_ns: None,
        format: Format::Evidence,
        fields: None,
        compression: Compression::None,
        evidence: Evidence {
            scope: EvidenceScope::Range { first: 0, end },
            ..Evidence::default()
        },
    };
    let info = engine.create_export("acme", &world.by, spec).unwrap();
    while engine.export_tick() {}
    let info = engine.export("acme", &world.by, &info.id).unwrap();
    assert_eq!(info.state, ExportState::Done, "{:?}", info.fault);
    let file = engine
        .export_file("acme", &world.by, &info.id, &info.files[0].name)
        .unwrap();
    let all = 0..file.len();
    let file = file.download(&all).unwrap();
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < file.len() {
        bytes.extend(file.read(bytes.len() as u64, u64::MAX).unwrap());
    }
    engine.delete_export("acme", &world.by, &info.id).unwrap();
    while engine.export_tick() {}
    let report = verify_bundle(&bytes[..], &trust(engine), BundleOptions::default()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    report.range.unwrap()
}

/// Everybody agrees on how many records there are and how many went.
fn check(world: &World, engine: &Engine) -> BTreeSet<u64> {
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!(report.problems, []);
    let gone = gone(world, engine);
    let purged = gone.len() as u64;
    assert_eq!((report.purged, report.erased), (purged, 0));
    assert_eq!(report.live + purged, report.size);
    assert_eq!(count(world, engine, ""), report.live);
    let range = judged(world, engine);
    assert_eq!((range.purged, range.opened), (purged, range.end_seq - purged));
    assert_eq!(range.reasons_claimed_in_force, 0);
    gone
}

fn sealed(world: &World) -> BTreeSet<PathBuf> {
    let paths = world.disk.paths().into_iter();
    let is_sealed = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| ["seg", "sub", "idx"].iter().any(|known| extension == *known))
    };
    paths.filter(is_sealed).collect()
}

/// The receipt of the newest purge.
fn receipt(world: &World, engine: &Engine) -> VerifiedStatement {
    let page = engine.purges("acme", &world.by, None, 1).unwrap();
    let purge = &page.items[0];
    assert_eq!(purge.state, PurgeState::Done, "{purge:?}");
    let text = engine.purge_receipt("acme", &world.by, &purge.id).unwrap();
    verify_statement(&text, &trust(engine)).unwrap()
}

#[test]
fn what_is_older_than_the_maximum_goes_with_its_files_and_its_proofs_stay() {
    let world = World::new(301);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, Some(DAY_MS)), RetentionMode::None);
    for _ in 0..3 {
        fill(&engine, &tenant, 1, 2000);
        world.clock.advance_ms(DAY_MS / 2);
    }
    let proofs: Vec<String> = (0..31)
        .map(|seq| engine.proof("acme", &world.by, Which::Seq(seq)).unwrap())
        .collect();
    let before = sealed(&world);
    finish(&engine);
    // The policy is record 0; the first two flushes are due.
    let went = check(&world, &engine);
    assert_eq!(went, (1..21).collect());
    assert!(sealed(&world).len() < before.len());
    for proof in &proofs {
        verify_tlog_proof(proof, &engine.vkey("acme").unwrap()).unwrap();
    }
    let without = engine.proof("acme", &world.by, Which::Seq(5)).unwrap();
    assert!(verify_tlog_proof(&without, &engine.vkey("acme").unwrap()).is_err());
    assert_eq!(attestore_tlog::TlogProof::parse(&without).unwrap().extra, None);

    let receipt = receipt(&world, &engine);
    let says = &receipt.statement.predicate;
    assert_eq!(says["check"], serde_json::json!({"clean": true, "left": []}));
    assert_eq!(says["records"], 20);
    assert_eq!(says["ranges"], serde_json::json!([[1, 21]]));
    assert_eq!(says["reason"], "expired");
    assert_eq!(says["policy"]["control"]["keep_max_ms"], DAY_MS);
    assert!(says["unreadable_since"].is_string() && says["gone_since"].is_string());
    engine.close().unwrap();
    let engine = open(&world);
    assert_eq!(check(&world, &engine), went);
    finish(&engine);
    assert_eq!(check(&world, &engine), went);
}

#[test]
fn a_part_of_a_segment_goes_and_the_rest_is_written_again_without_its_salt_key() {
    let world = World::new(302);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    fill(&engine, &tenant, 1, 2000);
    fill(&engine, &tenant, 1, 2000);
    engine.compact("acme").unwrap();
    let ranges = order(1, Selection::Ranges(vec![3..5, 9..10, 18..40]));
    let plans = engine.plan_purge("acme", &world.by, &ranges).unwrap();
    assert_eq!((plans[0].records, plans[0].bytes_dropped), (6, 0));
    assert!(gone(&world, &engine).is_empty(), "a plan does nothing");
    let purges = engine.purge("acme", &world.by, &ranges).unwrap().purges;
    assert_eq!((purges[0].records, purges[0].state), (6, PurgeState::Recorded));
    // Hidden at once, also where the files still have them.
    let went: BTreeSet<u64> = [3, 4, 9, 18, 19, 20].into();
    assert_eq!(check(&world, &engine), went);
    finish(&engine);
    assert_eq!(check(&world, &engine), went);
    let view = tenant.view();
    for set in view.flushed.iter().filter(|set| set.class == 1) {
        let reader = engine
            .inner
            .readers
            .seg(&engine.inner, &tenant, &set.seg)
            .unwrap();
        assert_eq!(
            reader.salt_keys().count(),
            0,
            "the key would give the salts of what went"
        );
        assert_eq!((set.seg.count, reader.meta().records), (14, 14));
        assert!(set.idx.is_some());
    }
    assert_eq!(count(&world, &engine, "actor.id:u3"), 2);
    let receipt = receipt(&world, &engine);
    assert_eq!(receipt.statement.predicate["files"]["dropped"], 0);
    assert_eq!(receipt.statement.predicate["ordered_by"], world.by.id);
    // The rest goes as well; nothing of the class is left.
    let rest = order(1, Selection::Before(u64::MAX));
    engine.purge("acme", &world.by, &rest).unwrap();
    finish(&engine);
    assert_eq!(check(&world, &engine), (1..21).collect());
    assert!(tenant.view().flushed.iter().all(|set| set.class != 1));
}

#[test]
fn records_in_shared_files_and_in_the_tail_go_too_and_flushes_leave_them_out() {
    let world = World::new(303);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    for _ in 0..3 {
        append_as(&engine, &tenant, 1, &[event(1), event(2)]);
        engine.flush().unwrap();
    }
    append_as(&engine, &tenant, 1, &[event(3)]);
    let ranges = order(1, Selection::Ranges(vec![2..3, 7..8]));
    engine.purge("acme", &world.by, &ranges).unwrap();
    assert_eq!(check(&world, &engine), [2, 7].into());
    // The next flush puts the parts together before anything was swept.
    let many: Vec<String> = (0..40).map(|n| event(n % 4)).collect();
    append_as(&engine, &tenant, 1, &many);
    engine.flush().unwrap();
    assert!(
        tenant
            .view()
            .flushed
            .iter()
            .all(|set| set.class != 1 || !set.seg.is_part())
    );
    assert_eq!(check(&world, &engine), [2, 7].into());
    finish(&engine);
    assert_eq!(check(&world, &engine), [2, 7].into());
}

#[test]
fn a_compaction_leaves_out_what_is_gone_and_never_brings_it_back() {
    let world = World::new(304);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
    fill(&engine, &tenant, 1, 500);
    fill(&engine, &tenant, 1, 500);
    let ranges = order(1, Selection::Ranges(vec![2..4, 12..13]));
    engine.purge("acme", &world.by, &ranges).unwrap();
    engine.compact("acme").unwrap();
    let sets = tenant.view().flushed.iter().filter(|set| set.class == 1).count();
    assert_eq!(sets, 1);
    assert_eq!(check(&world, &engine), [2, 3, 12].into());
    finish(&engine);
    engine.close().unwrap();
    let engine = open(&world);
    assert_eq!(check(&world, &engine), [2, 3, 12].into());
}

#[test]
fn what_the_rules_forbid_does_not_go() {
    let world = World::new(305);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    let all = order(2, Selection::Before(u64::MAX));
    fill(&engine, &tenant, 2, 10);
    let code = |order: &PurgeOrder| match engine.purge("acme", &world.by, order) {
        Err(error) => error.code(),
        Ok(_) => "ok",
    };
    assert_eq!(code(&all), "no_policy");
    set_policy(&engine, &tenant, 2, (DAY_MS, None), RetentionMode::Compliance);
    assert_eq!(code(&all), "retention_locked");
    let bypass = PurgeOrder {
        bypass: true,
        ..all.clone()
    };
    assert_eq!(code(&bypass), "retention_locked");
    set_policy(&engine, &tenant, 2, (DAY_MS, None), RetentionMode::Governance);
    assert_eq!(code(&all), "retention_minimum");
    assert_eq!(code(&order(0, Selection::Before(u64::MAX))), "control_records");
    world.clock.set_now_ms(1_795_000_000_000 + 400 * DAY_MS);
    assert_eq!(code(&all), "clock_jump");
    assert_eq!(engine.purge_tick().unwrap(), 0);
    world.clock.set_now_ms(1_795_000_000_000);
    assert!(check(&world, &engine).is_empty());
    world.clock.advance_ms(DAY_MS);
    assert_eq!(code(&all), "ok");
    finish(&engine);
    assert_eq!(check(&world, &engine).len(), 10);
}

#[test]
fn a_segment_that_is_due_in_part_waits_for_the_grace_and_no_longer() {
    let world = World::new(306);
    let settings = Settings {
        purge_grace_hours: 6,
        ..eager()
    };
    let engine = world.start_with(settings).0;
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 1, (0, Some(DAY_MS)), RetentionMode::None);
    for _ in 0..4 {
        append_as(&engine, &tenant, 1, &vec![event(1); 40]);
        world.clock.advance_ms(3 * HOUR_MS);
    }
    engine.flush().unwrap();
    // The first records were appended 12 hours ago; they are due in 12 hours.
    world.clock.advance_ms(17 * HOUR_MS);
    finish(&engine);
    assert!(check(&world, &engine).is_empty());
    world.clock.advance_ms(HOUR_MS);
    finish(&engine);
    // Those due by now went with the first.
    assert_eq!(check(&world, &engine).len(), 120);
    world.clock.advance_ms(3 * HOUR_MS);
    finish(&engine);
    assert_eq!(check(&world, &engine).len(), 160);
}

#[test]
fn dropping_a_segment_costs_the_same_whatever_its_size() {
    let cost = |length: usize| {
        let world = World::new(307);
        let engine = open(&world);
        let tenant = world.tenant(&engine, "acme");
        set_policy(&engine, &tenant, 1, (0, None), RetentionMode::None);
        for _ in 0..4 {
            fill(&engine, &tenant, 1, length);
        }
        engine.compact("acme").unwrap();
        let bytes: u64 = tenant.view().flushed.iter().map(|set| set.seg.length).sum();
        let all = order(1, Selection::Before(u64::MAX));
        engine.purge("acme", &world.by, &all).unwrap();
        let ops = world.disk.op_count();
        assert_eq!(compact::drop_gone(&engine.inner, &tenant).unwrap().len(), 1);
        (world.disk.op_count() - ops, bytes)
    };
    let (small, small_bytes) = cost(900);
    let (large, large_bytes) = cost(4500);
    assert!(large_bytes > 3 * small_bytes, "{large_bytes} {small_bytes}");
    // By where its pages lie, a commit of the catalog takes a write more or less.
    assert!(large.abs_diff(small) <= 1, "{large} operations, {small} for less");
}

#[test]
fn what_is_gone_is_explained_as_gone_and_neither_previewed_nor_proposed() {
    let world = World::new(41);
    let engine = open(&world);
    let tenant = world.tenant(&engine, "acme");
    set_policy(&engine, &tenant, 2, (0, Some(10 * DAY_MS)), RetentionMode::None);
    let first = tenant.view().size;
    fill(&engine, &tenant, 2, 64);
    let verdict = |seq| {
        engine
            .retention_verdict("acme", &world.by, Which::Seq(seq))
            .unwrap()
    };
    assert_eq!(verdict(first).standing.name(), "may_go");
    let due = || {
        let at = world.clock_ms() + 20 * DAY_MS;
        let preview = engine.retention_preview("acme", &world.by, Some(at)).unwrap();
        let class = preview.classes[&2];
        (class.due_records, class.whole_segments)
    };
    assert_eq!(due(), (10, 1));
    let looked = || {
        engine
            .privacy_proposals("acme", &world.by, 10_000)
            .unwrap()
            .records
    };
    let before = looked();
    world.clock.advance_ms(1000);
    // Some of a segment, still in its file; then after it was written again; then all of it.
    engine
        .purge(
            "acme",
            &world.by,
            &order(2, Selection::Ranges(std::iter::once(first..first + 4).collect())),
        )
        .unwrap();
    let control = tenant.view().size - 1;
    for step in 0..2 {
        let gone = verdict(first + 3);
        let by = gone.gone.unwrap();
        assert_eq!((gone.standing.name(), by.seq), ("purged", control), "step {step}");
        assert!(gone.held_by.is_empty() && gone.due_ms.is_none() && gone.kept_until_ms.is_none());
        let explained = gone.explanation(|ms| ms.to_string());
        assert!(explained.contains(&format!("record {control}")), "{explained}");
        assert_eq!(verdict(first + 4).standing.name(), "may_go");
        assert_eq!(due().0, 6, "step {step}");
        finish(&engine);
    }
    let records_of_it = tenant.view().size - first - 10;
    assert_eq!(looked(), before - 4 + records_of_it);
    engine
        .purge(
            "acme",
            &world.by,
            &order(
                2,
                Selection::Ranges(std::iter::once(first + 4..first + 10).collect()),
            ),
        )
        .unwrap();
    assert_eq!(due(), (0, 0));
}
