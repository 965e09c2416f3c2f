//! Appends as callers see them: with threads, when pushed back, and when refused.
#![expect(clippy::unwrap_used, reason = "tests")]

mod gated;
mod lead;

use std::sync::Arc;

use attestore_disk::sim::{Fault, SimDisk};
use attestore_disk::{Disk, ManualClock, RealDisk};
use attestore_engine::{
    AppendError, Appended, Engine, Item, Mode, OpenMode, Parts, Principal, SYSTEM_TENANT, Settings,
};
use attestore_keys::{Entropy, FileRoot, SeededEntropy};
use bytes::Bytes;

const EVENT: &str = r#"{"action":"file.read","actor":{"type":"user","id":"u1"}}"#;

fn open(disk: Arc<dyn Disk>, clock: &ManualClock, settings: Settings, mode: OpenMode, seed: u64) -> Engine {
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(seed));
    let root = Arc::new(FileRoot::open_or_create(Arc::clone(&disk), "keys", Arc::clone(&entropy)).unwrap());
    let parts = Parts {
        disk,
        clock: Arc::new(clock.clone()),
        entropy,
        root,
        register: None,
    };
    Engine::open_as(parts, settings, mode).unwrap().0
}

fn inline(disk: &SimDisk, clock: &ManualClock, settings: Settings) -> Engine {
    let engine = open(Arc::new(disk.clone()), clock, settings, OpenMode::Inline, 1);
    engine.create_tenant("acme", &Principal::internal()).unwrap();
    engine
}

fn small() -> Settings {
    Settings {
        wal_file_bytes: 256 << 10,
        reserve_bytes: 0,
        indexing: false,
        ..Settings::default()
    }
}

fn append(engine: &Engine, events: &[&str], mode: Mode) -> Result<Appended, AppendError> {
    let item = |event: &&str| Item {
        bytes: Bytes::copy_from_slice(event.as_bytes()),
        fallback_key: None,
    };
    let items = events.iter().map(item).collect();
    engine.append_blocking("acme", &Principal::internal(), "native", items, mode)
}

#[test]
fn many_threads_append_and_nothing_is_lost_over_a_restart() {
    const THREADS: usize = 8;
    const APPENDS: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).unwrap());
    let clock = ManualClock::new(1_795_000_000_000);
    let settings = Settings {
        wal_file_bytes: 256 << 10,
        reserve_bytes: 0,
        ..Settings::default()
    };
    let engine = open(Arc::clone(&disk), &clock, settings.clone(), OpenMode::Threads, 1);
    engine.create_tenant("acme", &Principal::internal()).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                let mut seqs = Vec::new();
                for _ in 0..APPENDS {
                    let appended = append(&engine, &[EVENT, EVENT], Mode::Each).unwrap();
                    seqs.extend(appended.items.iter().map(|item| item.as_ref().unwrap().seq));
                    assert!(appended.tree.size > seqs[seqs.len() - 1]);
                }
                seqs
            })
        })
        .collect();
    engine.flush().unwrap();
    let mut seqs: Vec<u64> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    seqs.sort_unstable();
    let total = u64::try_from(2 * THREADS * APPENDS).unwrap();
    assert_eq!(seqs, (0..total).collect::<Vec<_>>());
    engine.close().unwrap();
    assert!(append(&engine, &[EVENT], Mode::Each).is_err(), "closed");
    drop(engine);
    let engine = open(disk, &clock, settings, OpenMode::Threads, 2);
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert_eq!((report.size, report.problems), (total, Vec::new()));
    engine.close().unwrap();
}

#[test]
fn one_bad_event_refuses_an_atomic_append_only() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let engine = inline(&disk, &clock, small());
    let each = append(&engine, &[EVENT, "{}", EVENT], Mode::Each).unwrap();
    assert_eq!(
        each.items.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    let atomic = append(&engine, &[EVENT, "{}", EVENT], Mode::Atomic).unwrap_err();
    assert!(matches!(&atomic, AppendError::Refused { errors } if errors.len() == 1 && errors[0].0 == 1));
    assert_eq!(append(&engine, &[EVENT], Mode::Each).unwrap().tree.size, 3);
}

#[test]
fn a_key_with_another_event_is_refused() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let engine = inline(&disk, &clock, small());
    let keyed = |n: u32| {
        format!(
            r#"{{"idempotency_key":"k","action":"a.b","actor":{{"type":"user","id":"u"}},"metadata":{{"n":{n}}}}}"#
        )
    };
    let (one, two) = (keyed(1), keyed(2));
    let first = append(&engine, &[&one, &one, &two], Mode::Each).unwrap();
    let receipt = *first.items[0].as_ref().unwrap();
    let again = *first.items[1].as_ref().unwrap();
    assert!(!receipt.duplicate && again.duplicate && again.entry == receipt.entry);
    assert_eq!(first.items[2].as_ref().unwrap_err().code, "idempotency_conflict");
    for _ in 0..3 {
        engine.flush().unwrap();
        let later = append(&engine, &[&one, &two, EVENT], Mode::Each).unwrap();
        assert_eq!(later.items[0].as_ref().unwrap().seq, receipt.seq);
        assert_eq!(later.items[1].as_ref().unwrap_err().code, "idempotency_conflict");
    }
    clock.advance_ms(25 * 3_600_000);
    assert!(
        !append(&engine, &[&two], Mode::Each).unwrap().items[0]
            .as_ref()
            .unwrap()
            .duplicate,
        "a day later"
    );
}

#[test]
fn a_key_of_a_quiet_tenant_is_free_after_a_day_wherever_its_event_is() {
    let keyed = |n: u32| {
        format!(
            r#"{{"idempotency_key":"k","action":"a.b","actor":{{"type":"user","id":"u"}},"metadata":{{"n":{n}}}}}"#
        )
    };
    for flushes in 0..3 {
        let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
        let engine = inline(&disk, &clock, small());
        let seq = |n: u32, mode| {
            let appended = append(&engine, &[&keyed(n)], mode)?;
            let receipt = appended.items.into_iter().next().unwrap();
            receipt
                .map(|receipt| receipt.seq)
                .map_err(|error| AppendError::Refused {
                    errors: vec![(0, error)],
                })
        };
        assert_eq!(seq(0, Mode::Each).unwrap(), 0);
        for _ in 0..flushes {
            engine.flush().unwrap();
        }
        clock.advance_ms(24 * 3_600_000);
        for mode in [Mode::Each, Mode::Atomic] {
            seq(1, mode).expect_err("still within the day");
        }
        clock.advance_ms(1);
        assert_eq!(seq(1, Mode::Atomic).unwrap(), 1, "after {flushes} flushes");
        assert_eq!(seq(1, Mode::Each).unwrap(), 1);
        seq(0, Mode::Each).expect_err("the key belongs to the newer event");
        clock.advance_ms(24 * 3_600_000 + 1);
        assert_eq!(seq(1, Mode::Each).unwrap(), 2, "the same event too");
    }
}

#[test]
fn a_key_is_free_after_a_day_and_then_belongs_to_its_newest_event() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let engine = inline(&disk, &clock, small());
    let keyed = |key: &str, n: u32| {
        format!(
            r#"{{"idempotency_key":"{key}","action":"a.b","actor":{{"type":"user","id":"u"}},"metadata":{{"n":{n}}}}}"#
        )
    };
    // What was flushed last is still known by itself.
    let flush_twice = || {
        for _ in 0..2 {
            engine.flush().unwrap();
            append(&engine, &[EVENT], Mode::Each).unwrap();
        }
    };
    append(&engine, &[&keyed("k", 1), &keyed("l", 1)], Mode::Each).unwrap();
    flush_twice();
    clock.advance_ms(25 * 3_600_000);
    let later = append(&engine, &[&keyed("k", 2)], Mode::Each).unwrap();
    let newest = *later.items[0].as_ref().unwrap();
    assert!(!newest.duplicate);
    flush_twice();
    engine.compact("acme").unwrap();
    let again = append(
        &engine,
        &[&keyed("k", 2), &keyed("k", 1), &keyed("l", 2)],
        Mode::Each,
    )
    .unwrap();
    let same = again.items[0].as_ref().unwrap();
    assert!(same.duplicate && same.seq == newest.seq, "{same:?}");
    assert_eq!(again.items[1].as_ref().unwrap_err().code, "idempotency_conflict");
    assert!(!again.items[2].as_ref().unwrap().duplicate);
}

#[test]
fn a_clock_step_ahead_stops_appends_until_confirmed() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let engine = inline(&disk, &clock, small());
    clock.set_now_ms(1_795_000_000_000 + 299_000);
    let first = append(&engine, &[EVENT], Mode::Each).unwrap();
    clock.set_now_ms(1_795_000_000_000 + 301_000);
    let refused = append(&engine, &[EVENT], Mode::Each).unwrap_err();
    assert!(
        matches!(refused, AppendError::ClockJump { ahead_ms: 301_000 }),
        "{refused}"
    );
    let by = Principal::internal();
    let said = |said_ms| engine.confirm_clock(&by, said_ms);
    let differs = said(1_795_000_000_000).unwrap_err();
    assert_eq!(differs.code(), "clock_differs");
    assert!(append(&engine, &[EVENT], Mode::Each).is_err(), "{differs}");
    assert_eq!(said(1_795_000_300_000).unwrap().ahead_ms, Some(301_000));
    append(&engine, &[EVENT], Mode::Each).unwrap();
    assert_eq!(said(0).unwrap().ahead_ms, None, "there is nothing to confirm");
    clock.set_now_ms(1_794_000_000_000);
    let back = append(&engine, &[EVENT], Mode::Each).unwrap();
    let time = |appended: &Appended| appended.items[0].as_ref().unwrap().received_at_ms;
    assert!(time(&back) >= time(&first), "time never runs backwards");
}

#[test]
fn a_clock_that_cannot_be_confirmed_on_record_is_not_confirmed() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let engine = inline(&disk, &clock, small());
    clock.set_now_ms(1_796_000_000_000);
    for op in 0..64 {
        disk.fail_at(disk.op_count() + op, Fault::Errno(5));
    }
    let by = Principal::internal();
    let refused = engine.confirm_clock(&by, 1_796_000_000_000);
    assert!(refused.is_err(), "{refused:?}");
    let still = append(&engine, &[EVENT], Mode::Each).unwrap_err();
    assert!(
        matches!(still, AppendError::ClockJump { .. } | AppendError::Stopped(_)),
        "{still}"
    );
}

#[test]
fn appends_stop_before_the_disk_is_full_and_resume_when_there_is_room() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    disk.set_capacity(64 << 20);
    let engine = inline(
        &disk,
        &clock,
        Settings {
            reserve_bytes: 4 << 20,
            ..small()
        },
    );
    append(&engine, &[EVENT], Mode::Each).unwrap();
    disk.set_capacity(3 << 20);
    clock.advance_ms(1000);
    assert!(matches!(
        append(&engine, &[EVENT], Mode::Each),
        Err(AppendError::NoSpace)
    ));
    engine
        .create_tenant("still-works", &Principal::internal())
        .unwrap();
    engine.flush().unwrap();
    disk.set_capacity(64 << 20);
    clock.advance_ms(1000);
    append(&engine, &[EVENT], Mode::Each).unwrap();
}

#[test]
fn a_failed_write_stops_the_engine() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let engine = inline(&disk, &clock, small());
    append(&engine, &[EVENT], Mode::Each).unwrap();
    disk.fail_at(disk.op_count(), Fault::Errno(5));
    assert!(matches!(
        append(&engine, &[EVENT], Mode::Each),
        Err(AppendError::Stopped(_))
    ));
    assert!(matches!(
        append(&engine, &[EVENT], Mode::Each),
        Err(AppendError::Stopped(_))
    ));
    assert!(engine.flush().is_err() && engine.ready().is_err());
}

#[test]
fn clients_do_not_append_to_the_system_tenant() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let engine = inline(&disk, &clock, small());
    let items = vec![Item {
        bytes: Bytes::from_static(EVENT.as_bytes()),
        fallback_key: None,
    }];
    let by = Principal::internal();
    let refused = engine
        .append_blocking(SYSTEM_TENANT, &by, "native", items, Mode::Each)
        .unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("forbidden", 403));
}

#[test]
fn a_second_process_is_refused() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let _engine = inline(&disk, &clock, small());
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(2));
    let root = Arc::new(FileRoot::open(Arc::clone(&disk), "keys", Arc::clone(&entropy)).unwrap());
    let parts = Parts {
        disk,
        clock: Arc::new(clock),
        entropy,
        root,
        register: None,
    };
    let refused = Engine::open_as(parts, small(), OpenMode::Inline).err().unwrap();
    assert_eq!(refused.exit_code(), 5);
}

#[test]
fn a_tail_of_many_new_subjects_is_recovered_into_small_files() {
    let (disk, clock) = (SimDisk::new(1), ManualClock::new(1_795_000_000_000));
    let settings = Settings {
        wal_file_bytes: 64 << 10,
        wal_budget_bytes: 64 << 20,
        ..small()
    };
    let engine = inline(&disk, &clock, settings.clone());
    for n in 0..2000 {
        let event = format!(r#"{{"action":"a","actor":{{"type":"user","id":"u{n}"}}}}"#);
        append(&engine, &[&event], Mode::Each).unwrap();
    }
    drop(engine);
    // Every start has other randomness.
    let reopened = |seed| {
        open(
            Arc::new(disk.clone()),
            &clock,
            settings.clone(),
            OpenMode::Inline,
            seed,
        )
    };
    let engine = reopened(2);
    assert_eq!(engine.tenant("acme").unwrap().size, 2000);
    append(
        &engine,
        &[r#"{"action":"a","actor":{"type":"user","id":"u7"}}"#],
        Mode::Each,
    )
    .unwrap();
    drop(engine);
    // Now in the tail of a tail that was written again; then in files.
    let engine = reopened(3);
    assert!(engine.verify("acme", &mut |_, _| {}).unwrap().is_sound());
    engine.flush().unwrap();
    let report = engine.verify("acme", &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.records, report.groups_opened), (2001, 2001));
}
