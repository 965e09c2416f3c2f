//! Edits of the catalog and of derived files, under the right seals.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use attestore_engine::catalog::{FileRow, FileType, SplitRow};
use attestore_index::{DocInput, IndexPolicy, SplitBuilder};
use attestore_keys::{Key, SlotKind};
use attestore_record::view;

use crate::insider::{Insider, Owned, context};
use crate::past::{self, Past};
use crate::store::{Case, Store, TENANTS};

/// Changes the rows of one file of a tenant in turn.
fn each_row(store: &Store, ty: FileType, change: impl Fn(&Insider, &Owned, &FileRow)) -> Vec<Case<'_>> {
    let rows = |case: &Case<'_>| {
        let insider = Insider::new(&case.disk);
        insider.files_of(&insider.tenant("acme"), ty)
    };
    let rows = rows(&store.case(""));
    let cases = rows.iter().map(|row| {
        let case = store.case(row.path.display().to_string());
        let insider = Insider::new(&case.disk);
        change(&insider, &insider.tenant("acme"), row);
        case
    });
    cases.collect()
}

pub(super) fn segment_removed(store: &Store) -> Vec<Case<'_>> {
    each_row(store, FileType::Seg, |insider, tenant, row| {
        let files = insider.files(tenant);
        let of_set = files.iter().filter(|other| other.set == row.set);
        of_set.for_each(|row| insider.remove(tenant, row));
    })
}

pub(super) fn range_narrowed(store: &Store) -> Vec<Case<'_>> {
    changed_rows(store, |row| row.max_seq -= 1)
}

pub(super) fn times_changed(store: &Store) -> Vec<Case<'_>> {
    changed_rows(store, |row| {
        row.min_time_ms += 86_400_000;
        row.max_time_ms += 86_400_000;
    })
}

fn changed_rows(store: &Store, change: impl Fn(&mut FileRow)) -> Vec<Case<'_>> {
    each_row(store, FileType::Seg, |insider, tenant, row| {
        let mut changed = row.clone();
        change(&mut changed);
        insider.update(|update| update.put_file(&tenant.id, &changed).unwrap());
    })
}

/// The tree is cut by its last entry, as if that had never been flushed.
pub(super) fn uncounted(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("acme");
    past::settle(&case);
    let insider = Insider::new(&case.disk);
    let tenant = insider.tenant("acme");
    past::count_less(&insider, &tenant);
    vec![case]
}

pub(super) fn names_swapped(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("acme and globex");
    let insider = Insider::new(&case.disk);
    let [one, other] = TENANTS.map(|name| insider.tenant(name).id);
    insider.update(|update| {
        update.put_tenant_name(TENANTS[0], &other).unwrap();
        update.put_tenant_name(TENANTS[1], &one).unwrap();
    });
    // What is read under a name is another tenant's.
    vec![Case { forged: true, ..case }]
}

pub(super) fn signing_key(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("acme");
    let insider = Insider::new(&case.disk);
    let tenant = insider.tenant("acme");
    insider.update(|update| {
        let key = Key::random(&*insider.entropy);
        let context = context(&tenant.id, SlotKind::Signing, [0; 16]);
        let slot = update.put_key(context, Some(&tenant.key), &key).unwrap();
        let row = attestore_engine::catalog::TenantRow {
            signing_slot: slot.0,
            ..tenant.row.clone()
        };
        update.put_tenant(&tenant.id, &row).unwrap();
    });
    vec![case]
}

pub(super) fn origin(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("acme");
    let insider = Insider::new(&case.disk);
    let tenant = insider.tenant("acme");
    insider.update(|update| {
        let mut row = tenant.row.clone();
        row.origin = format!("{}0", row.origin);
        update.put_tenant(&tenant.id, &row).unwrap();
    });
    // Every record names its origin.
    vec![Case { forged: true, ..case }]
}

/// The count at which the program would remove a file that others still need.
pub(super) fn shared_uncounted(store: &Store) -> Vec<Case<'_>> {
    let parts = |row: &FileRow| {
        row.is_part()
            .then(|| row.path.file_stem()?.to_str()?.parse::<u64>().ok())?
    };
    let cases = each_row(store, FileType::Seg, |insider, _, row| {
        if let Some(number) = parts(row) {
            insider.update(|update| assert!(update.add_l0_parts(number, -1).is_ok()));
        }
    });
    cases
        .into_iter()
        .filter(|case| case.what.starts_with("l0"))
        .collect()
}

/// The split of a segment is made again without one of its records.
pub(super) fn index_without(store: &Store) -> Vec<Case<'_>> {
    doctored(store, |records, seqs| drop(records.remove(&(seqs.start() + 1))))
}

/// The split of a segment is made again with the words of one record for another.
pub(super) fn index_other_words(store: &Store) -> Vec<Case<'_>> {
    doctored(store, |records, seqs| {
        let other = records[&(seqs.start() + 2)].clone();
        records.insert(seqs.start() + 1, other);
    })
}

fn doctored(store: &Store, change: fn(&mut BTreeMap<u64, Past>, RangeInclusive<u64>)) -> Vec<Case<'_>> {
    let case = store.case("");
    past::settle(&case);
    let insider = Insider::new(&case.disk);
    let past = past::read(&insider, &insider.tenant("acme"));
    drop(insider);
    each_row(store, FileType::Idx, |insider, tenant, row| {
        let seqs = row.min_seq..=row.max_seq;
        let own = seqs
            .clone()
            .map(|seq| (seq, past[usize::try_from(seq).unwrap()].clone()));
        let mut records = own.collect();
        change(&mut records, seqs);
        let mut split = SplitBuilder::new(&IndexPolicy::default()).unwrap();
        for (seq, record) in &records {
            let personal: Vec<&[u8]> = record
                .personal
                .iter()
                .map(|(_, bytes)| bytes.as_slice())
                .collect();
            let fields = view::fields(&record.public, &personal).unwrap();
            let doc = DocInput {
                seq: *seq,
                received_ms: record.entry.time_ms,
                class: record.entry.class,
                public: &fields.public,
                personal: &fields.personal,
            };
            split.add(&doc).unwrap();
        }
        let split = split.finish().unwrap();
        let (bundle, summary) = (split.bundle().unwrap(), split.summary());
        let new = FileRow {
            generation: row.generation + 1,
            split: Some(SplitRow {
                min_occurred_ns: summary.min_occurred_ns,
                max_occurred_ns: summary.max_occurred_ns,
                ..row.split.clone().unwrap()
            }),
            ..row.clone()
        };
        insider.replace(tenant, Some(row), new, |_| bundle);
    })
}

/// As an erasure does, but that nothing in the log says so.
pub(super) fn key_destroyed(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("a subject of acme");
    let insider = Insider::new(&case.disk);
    let destroyed = insider.destroy_a_subject(&insider.tenant("acme"), &[]);
    // What was about the subject shows as personal.
    destroyed
        .then_some(Case { forged: true, ..case })
        .into_iter()
        .collect()
}
