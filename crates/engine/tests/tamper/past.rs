//! A tenant's history in the clear, for an insider to change and to write anew.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use attestore_engine::catalog::{FileRow, FileType, Update, hex};
use attestore_keys::Key;
use attestore_record::{Entry, commitment, view};
use attestore_segment::{
    Group, ResolvedSalt, Salt, SegBuilder, SegOptions, SegReader, SegRecord, SetKeyError, SetKeys,
    SubBuilder, SubOptions, SubReader,
};
use attestore_tlog::{Frontier, leaf_hash};

use crate::insider::{Insider, Owned, get, put};
use crate::store::Case;

/// A record with all that it was made of.
#[derive(Clone)]
pub(crate) struct Past {
    /// As it stands in the log; its commitment is recomputed when it is written.
    pub(crate) entry: Entry,
    pub(crate) public: Vec<u8>,
    pub(crate) salt: [u8; 32],
    pub(crate) groups: Vec<[u8; 32]>,
    /// Handles and bytes.
    pub(crate) personal: Vec<(Vec<[u8; 16]>, Vec<u8>)>,
}

/// How much of what depends on the records is made to fit them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// The sealed files.
    Files,
    /// And the entries.
    Entries,
    /// And the tree, the frontier and the root; a new head can be signed.
    Tree,
}

/// Moves all tails into segments with the program itself, without its register hearing of it, and hides that it ran.
pub(crate) fn settle(case: &Case<'_>) {
    let nonce = Insider::new(&case.disk)
        .catalog
        .instance()
        .unwrap()
        .unwrap()
        .start_nonce;
    let mut world = case.store.world(&case.disk, None);
    world.disk = case.disk.clone();
    // The second start begins a log without what the first one flushed.
    for _ in 0..2 {
        let engine = world.open();
        engine.flush().unwrap();
        engine.close().unwrap();
    }
    Insider::new(&case.disk).update(|update| update.instance.start_nonce = nonce);
}

/// Reads the records of a tenant that has no tail.
pub(crate) fn read(insider: &Insider, tenant: &Owned) -> Vec<Past> {
    let entries = get(&insider.disk, &tree_file(tenant, "entries"));
    let entries = entries.as_chunks::<44>().0;
    let mut past = BTreeMap::new();
    for row in insider.files_of(tenant, FileType::Seg) {
        let seg = SegReader::open(insider.open(tenant, &row)).unwrap();
        for seq in seg.seqs().unwrap() {
            let record = seg.get(seq).unwrap().unwrap();
            let id = view::open(&record.public).unwrap().id;
            let record = Past {
                entry: Entry::from_bytes(&entries[usize::try_from(seq).unwrap()]).unwrap(),
                salt: match record.salt {
                    ResolvedSalt::Explicit(salt) => salt,
                    ResolvedSalt::Generation(key) => {
                        commitment::salt(key.expose(), &id, commitment::PUBLIC_LABEL)
                    }
                },
                public: record.public,
                groups: record.groups,
                personal: Vec::new(),
            };
            past.insert(seq, record);
        }
    }
    for row in insider.files_of(tenant, FileType::Sub) {
        let sub = SubReader::open(insider.open(tenant, &row)).unwrap();
        sub.scan(0..u64::MAX, &Keys(insider, tenant), |seq, group| {
            if let Group::Opened { handles, bytes } = group {
                let record = past.get_mut(&seq).unwrap();
                let bytes = bytes.restore(&record.public).unwrap();
                record.personal.push((handles, bytes));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    past.into_values().collect()
}

/// Writes a history in place of a tenant's own, as one segment for each class.
pub(crate) fn write(insider: &Insider, tenant: &Owned, past: &[Past], depth: Depth) {
    let old = insider.files(tenant);
    let template = old.iter().find(|row| row.ty == FileType::Seg).unwrap().clone();
    old.iter().for_each(|row| insider.remove(tenant, row));
    let classes: std::collections::BTreeSet<u16> = past.iter().map(|record| record.entry.class).collect();
    for (at, class) in (0..).zip(classes) {
        let of_class = past
            .iter()
            .zip(0u64..)
            .filter(|(record, _)| record.entry.class == class);
        let records: Vec<(&Past, u64)> = of_class.collect();
        let times = records.iter().map(|(record, _)| record.entry.time_ms);
        let row = FileRow {
            set: tenant.row.next_set + at,
            generation: 0,
            class,
            min_seq: records.first().unwrap().1,
            max_seq: records.last().unwrap().1,
            count: records.len() as u64,
            min_time_ms: times.clone().min().unwrap(),
            max_time_ms: times.max().unwrap(),
            ..template.clone()
        };
        seal(insider, tenant, &records, row);
    }
    if depth >= Depth::Entries {
        write_tree(insider, tenant, past, depth);
    }
}

fn seal(insider: &Insider, tenant: &Owned, records: &[(&Past, u64)], row: FileRow) {
    let mut seg = SegBuilder::new(SegOptions::default()).unwrap();
    let mut sub: Vec<(u64, &Past)> = Vec::new();
    for (record, seq) in records {
        let stored = SegRecord {
            seq: *seq,
            salt: Salt::Explicit(record.salt),
            groups: &record.groups,
            public: &record.public,
            idempotency: None,
        };
        seg.push(stored).unwrap();
        sub.push((*seq, record));
    }
    insider.replace(tenant, None, row.clone(), |_| seg.finish().unwrap());
    let row = FileRow {
        ty: FileType::Sub,
        ..row
    };
    replace_sub(insider, tenant, None, row, &sub);
}

/// Seals the personal groups of records; none make no file.
pub(crate) fn replace_sub(
    insider: &Insider,
    tenant: &Owned,
    old: Option<&FileRow>,
    row: FileRow,
    records: &[(u64, &Past)],
) {
    if records.iter().all(|(_, record)| record.personal.is_empty()) {
        return;
    }
    insider.replace(tenant, old, row, |id| {
        let mut sub = SubBuilder::new(id, SubOptions::default()).unwrap();
        for (seq, record) in records {
            for (handles, bytes) in &record.personal {
                let key = insider.set_key(tenant, handles).unwrap();
                sub.push(*seq, handles, &key, &record.public, bytes).unwrap();
            }
        }
        sub.finish().unwrap()
    });
}

fn write_tree(insider: &Insider, tenant: &Owned, past: &[Past], depth: Depth) {
    let (mut entries, mut nodes, mut frontier) = (Vec::new(), Vec::new(), Frontier::new());
    for record in past {
        let bytes = record.entry().to_bytes();
        entries.extend_from_slice(&bytes);
        frontier.push_with(leaf_hash(&bytes), |level, _, hash| {
            if level == 8 {
                nodes.extend_from_slice(&hash.0);
            }
        });
    }
    put(&insider.disk, &tree_file(tenant, "entries"), &entries);
    if depth < Depth::Tree {
        return;
    }
    if !nodes.is_empty() {
        put(&insider.disk, &tree_file(tenant, "nodes.8"), &nodes);
    }
    insider.update(|update| put_head(update, tenant, &frontier));
}

/// Takes the last entry out of the count, with a frontier and a root that fit the rest.
pub(crate) fn count_less(insider: &Insider, tenant: &Owned) {
    let entries = get(&insider.disk, &tree_file(tenant, "entries"));
    let entries = entries.as_chunks::<44>().0;
    let mut frontier = Frontier::new();
    let kept = entries.split_last().unwrap().1;
    kept.iter().for_each(|entry| frontier.push(leaf_hash(entry)));
    insider.update(|update| put_head(update, tenant, &frontier));
}

fn put_head(update: &mut Update<'_>, tenant: &Owned, frontier: &Frontier) {
    let mut row = update.tenant(&tenant.id).unwrap().unwrap();
    row.flushed = frontier.size();
    row.frontier = hex(&frontier.to_bytes());
    row.root = hex(&frontier.root().0);
    row.next_set += 2;
    update.put_tenant(&tenant.id, &row).unwrap();
}

impl Past {
    /// The entry, with the commitment to what the record is now.
    fn entry(&self) -> Entry {
        let mut groups = self.groups.clone();
        let version = self.entry.version;
        Entry {
            commitment: commitment::record_commitment(version, &self.salt, &self.public, &mut groups),
            ..self.entry
        }
    }

    /// Another outcome of the event.
    pub(crate) fn change(&mut self) {
        let text = String::from_utf8(self.public.clone()).unwrap();
        let changed = match text.contains("\"success\"") {
            true => text.replace("\"success\"", "\"failure\""),
            false => text.replace("\"failure\"", "\"success\""),
        };
        assert_ne!(changed, text);
        self.public = changed.into_bytes();
    }
}

pub(crate) fn tree_file(tenant: &Owned, name: &str) -> PathBuf {
    Path::new("tenants").join(tenant.id.to_string()).join(name)
}

struct Keys<'a>(&'a Insider, &'a Owned);

impl SetKeys for Keys<'_> {
    fn set_key(&self, handles: &[[u8; 16]]) -> Result<Option<Key>, SetKeyError> {
        Ok(self.0.set_key(self.1, handles))
    }
}
