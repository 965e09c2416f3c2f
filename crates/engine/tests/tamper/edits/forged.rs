//! Edits of history, made to fit by somebody with every key.

use attestore_disk::sim::SimDisk;
use attestore_engine::catalog::FileType;
use attestore_record::control::{self, Control, Erasure, ErasureScope, Ranges};
use attestore_record::entry::CLASS_CONTROL;
use attestore_record::{Entry, Envelope, Kind, RecordId};

use crate::insider::{Insider, Owned};
use crate::past::{self, Depth, Past};
use crate::store::{Case, Store};
use crate::world::append_range;

pub(super) fn file_only(store: &Store) -> Vec<Case<'_>> {
    forge(store, Depth::Files, |past| past[MIDDLE].change())
}

pub(super) fn entry_too(store: &Store) -> Vec<Case<'_>> {
    forge(store, Depth::Entries, |past| past[MIDDLE].change())
}

pub(super) fn changed(store: &Store) -> Vec<Case<'_>> {
    forge(store, Depth::Tree, |past| past[MIDDLE].change())
}

pub(super) fn dropped(store: &Store) -> Vec<Case<'_>> {
    forge(store, Depth::Tree, |past| drop(past.remove(MIDDLE)))
}

pub(super) fn inserted(store: &Store) -> Vec<Case<'_>> {
    forge(store, Depth::Tree, |past| {
        past.insert(MIDDLE, past[MIDDLE + 3].clone())
    })
}

pub(super) fn reordered(store: &Store) -> Vec<Case<'_>> {
    forge(store, Depth::Tree, |past| past.swap(MIDDLE, MIDDLE + 1))
}

pub(super) fn time(store: &Store) -> Vec<Case<'_>> {
    forge(store, Depth::Tree, |past| {
        let (before, _) = past.split_at_mut(MIDDLE);
        before.iter_mut().for_each(|record| record.entry.time_ms -= 1000);
    })
}

/// A subject's key goes, and an erasure that nobody asked for stands in the middle of the log, as if it had always been there.
pub(super) fn excused(store: &Store) -> Vec<Case<'_>> {
    erased(store, |past, erasure| past.insert(past.len() - 1, erasure))
}

/// The same at the end of the log, with all before it as it was: a statement of whoever runs the log, signed and on record.
pub(super) fn excused_now(store: &Store) -> Vec<Case<'_>> {
    erased(store, Vec::push)
}

fn erased(store: &Store, put: impl Fn(&mut Vec<Past>, Past)) -> Vec<Case<'_>> {
    let case = store.case("acme");
    past::settle(&case);
    let insider = Insider::new(&case.disk);
    let tenant = insider.tenant("acme");
    let mut past = past::read(&insider, &tenant);
    // Of a subject that the last record is not about.
    let last = past.last().unwrap();
    let but: Vec<[u8; 16]> = last
        .personal
        .iter()
        .flat_map(|(handles, _)| handles.clone())
        .collect();
    let erasure = erasure(&tenant, last.entry, past.len() as u64);
    put(&mut past, erasure);
    past::write(&insider, &tenant, &past, Depth::Tree);
    insider.destroy_a_subject(&tenant, &but);
    vec![Case { forged: true, ..case }]
}

/// The register is deleted, and the program started once: it knows the new heads then.
pub(super) fn with_register(store: &Store) -> Vec<Case<'_>> {
    changed(store).into_iter().map(with_new_register).collect()
}

/// A record is appended, the power fails before the register hears of it, and then it is changed.
pub(super) fn unknown(store: &Store) -> Vec<Case<'_>> {
    let mut case = store.case("acme");
    let world = store.world(&case.disk, Some(&case.register));
    append_range(&world.open(), "acme", 0..1);
    (case.disk, case.register) = (world.disk, world.register);
    past::settle(&case);
    let insider = Insider::new(&case.disk);
    let tenant = insider.tenant("acme");
    let mut past = past::read(&insider, &tenant);
    past.last_mut().unwrap().change();
    past::write(&insider, &tenant, &past, Depth::Tree);
    vec![Case { forged: true, ..case }]
}

pub(super) fn groups_removed(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("acme");
    past::settle(&case);
    let insider = Insider::new(&case.disk);
    let tenant = insider.tenant("acme");
    let mut past = past::read(&insider, &tenant);
    let row = insider.files_of(&tenant, FileType::Sub).swap_remove(0);
    past[usize::try_from(row.min_seq + 1).unwrap()].personal.clear();
    let seqs = row.min_seq..=row.max_seq;
    let records: Vec<(u64, &Past)> = seqs
        .map(|seq| (seq, &past[usize::try_from(seq).unwrap()]))
        .collect();
    past::replace_sub(&insider, &tenant, Some(&row), row.clone(), &records);
    // What is gone shows as personal.
    vec![Case { forged: true, ..case }]
}

fn forge(store: &Store, depth: Depth, change: impl Fn(&mut Vec<Past>)) -> Vec<Case<'_>> {
    let case = store.case("acme");
    past::settle(&case);
    let insider = Insider::new(&case.disk);
    let tenant = insider.tenant("acme");
    let mut past = past::read(&insider, &tenant);
    change(&mut past);
    past::write(&insider, &tenant, &past, depth);
    vec![Case { forged: true, ..case }]
}

fn with_new_register(case: Case<'_>) -> Case<'_> {
    let mut world = case.store.world(&case.disk, None);
    world.register = SimDisk::new(5);
    world.open().close().unwrap();
    Case {
        disk: world.disk,
        register: world.register,
        ..case
    }
}

fn erasure(tenant: &Owned, near: Entry, records: u64) -> Past {
    let envelope = Envelope {
        id: RecordId::new(near.time_ms, [7; 10]),
        tenant: tenant.id,
        protocol: "internal",
        credential_id: "internal",
    };
    let control = Control::Erasure(Erasure {
        scope: ErasureScope::Subject,
        policy: None,
        ranges: Ranges::default(),
        records,
        basis: "none".to_owned(),
        approved_by: vec!["somebody".to_owned()],
    });
    Past {
        entry: Entry {
            kind: Kind::Erasure,
            class: CLASS_CONTROL,
            ..near
        },
        public: control::encode(&envelope, &control).unwrap(),
        salt: [9; 32],
        groups: Vec::new(),
        personal: Vec::new(),
    }
}

/// A record that every store has, and others around it.
const MIDDLE: usize = 9;
