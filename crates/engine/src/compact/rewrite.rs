//! Writes the files of a compacted segment. Nothing names them yet.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_keys::{Key, NewKey, Slot, random_array};
use attestore_record::Handle;
use attestore_segment::compression::BlockOptions;
use attestore_segment::{
    FileWriter, SegBuilder, SegMeta, SegReader, SegRecord, SubReader, SubWriter, WriteError, container,
};
use zeroize::Zeroize;

use super::left::Left;
use super::plan::Plan;
use super::{Failure, pace};
use crate::catalog::{FileRow, FileType, hex};
use crate::forget::gone::Gone;
use crate::instance::{Inner, file_context};
use crate::read::readers::{self, segment_error};
use crate::read::tree;
use crate::tenant::{FileSet, Ring, Tenant};
use crate::{Error, Result};

/// The files of a segment, durable under their names; none if all its records are gone.
pub(super) struct Output {
    /// What was gone when it was written.
    pub(super) gone: Arc<Gone>,
    pub(super) files: Vec<Written>,
    /// Subjects that its personal groups are about.
    pub(super) handles: Vec<[u8; 16]>,
    /// Its idempotency run.
    pub(super) keys: Vec<u64>,
    /// How often subjects' keys had been destroyed when it was begun.
    pub(super) destructions: u64,
}

/// One of the files.
pub(super) struct Written {
    pub(super) row: FileRow,
    key: Key,
    id: [u8; 16],
}

impl Written {
    /// The key as it is hung into the tree.
    pub(super) fn new_key<'a>(&'a self, tenant: &Tenant, ring: &'a Ring) -> NewKey<'a> {
        NewKey {
            slot: Slot(self.row.slot),
            context: file_context(tenant, self.id, false),
            wrap: Some(ring.current()),
            value: &self.key,
        }
    }
}

impl Output {
    /// Nothing: for segments all of whose records are gone.
    pub(super) fn nothing(tenant: &Tenant) -> Self {
        Self {
            gone: tenant.gone.load_full(),
            destructions: tenant.destructions.load(Ordering::Acquire),
            files: Vec::new(),
            handles: Vec::new(),
            keys: Vec::new(),
        }
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.row.path.clone()).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.row.length).sum()
    }

    /// The segment as views have it; `None` only without a `.seg`.
    pub(super) fn file_set(&self) -> Option<FileSet> {
        let of = |ty| {
            self.files
                .iter()
                .map(|file| &file.row)
                .find(|row| row.ty == ty)
                .cloned()
        };
        let seg = of(FileType::Seg)?;
        Some(FileSet {
            set: seg.set,
            class: seg.class,
            seg,
            sub: of(FileType::Sub),
            idx: of(FileType::Idx),
        })
    }
}

/// Writes a plan's segment. On failure, the paths of what may have been written are returned too.
pub(super) fn rewrite(
    inner: &Inner,
    tenant: &Arc<Tenant>,
    plan: &Plan,
) -> Result<Output, (Vec<PathBuf>, Failure)> {
    let mut rewrite = Rewrite {
        inner,
        tenant,
        plan,
        set: tenant.next_sets(1).start,
        output: Output::nothing(tenant),
        destroyed: false,
        stays: None,
        paths: Vec::new(),
    };
    match rewrite.all() {
        Ok(()) => Ok(rewrite.output),
        Err(failure) => Err((rewrite.paths, failure)),
    }
}

struct Rewrite<'a> {
    inner: &'a Inner,
    tenant: &'a Arc<Tenant>,
    plan: &'a Plan,
    set: u64,
    output: Output,
    /// What the new segment holds.
    stays: Option<Stays>,
    /// Whether groups of destroyed sets of subjects stayed behind: their terms must too.
    destroyed: bool,
    paths: Vec<PathBuf>,
}

/// Bounds of the records that stay.
#[derive(Clone, Copy)]
struct Stays {
    seqs: (u64, u64),
    times_ms: (u64, u64),
    records: u64,
}

impl Rewrite<'_> {
    fn all(&mut self) -> Result<(), Failure> {
        self.seg()?;
        if self.output.files.is_empty() {
            return Ok(());
        }
        self.sub()?;
        self.idx()?;
        let dir = self.tenant.dir();
        self.inner
            .disk
            .sync_dir(&dir)
            .map_err(|error| Failure::Sync(format!("{}: {error}", dir.display())))
    }

    /// Public groups: every record as it was, in larger blocks.
    fn seg(&mut self) -> Result<(), Failure> {
        let mut builder = SegBuilder::new(BlockOptions::COMPACT).map_err(built)?;
        let lengths = self.plan.sets.iter().map(|set| set.seg.length).sum::<u64>();
        builder.reserve(usize::try_from(lengths).unwrap_or(0));
        self.train(&mut builder)?;
        let (mut public_bytes, mut left_records) = (0, 0);
        for set in &self.plan.sets {
            let unreadable = |error| Failure::of_set(set, segment_error(error));
            // Not through the cache of readers: what is read for the last time would only push others out.
            let reader = readers::container(self.inner, self.tenant, &set.seg)
                .map_err(|error| Failure::of_set(set, error))
                .and_then(|container| SegReader::open(container).map_err(unreadable))?;
            let left = self.left(set, &reader)?;
            for (generation, key) in reader.salt_keys() {
                if !left.takes_key(generation) {
                    builder.salt_key(generation, key).map_err(built)?;
                }
            }
            for (hash, seq) in reader.idempotency_all().map_err(unreadable)? {
                if left.has(seq) {
                    continue;
                }
                builder.idempotency(hash, seq);
                self.output.keys.push(hash);
            }
            for number in 0..reader.blocks().len() {
                self.check()?;
                let block = reader.block(number).map_err(unreadable)?;
                for record in block.iter().filter(|record| !left.has(record.seq)) {
                    let public = reader.public(&record).map_err(unreadable)?;
                    let salt = left
                        .salt(&reader, record.seq, record.salt, &public)
                        .map_err(|error| Failure::of_set(set, error))?;
                    let stored = SegRecord {
                        seq: record.seq,
                        salt,
                        groups: record.groups,
                        public: &public,
                        idempotency: None,
                    };
                    builder.push(stored).map_err(built)?;
                }
            }
            public_bytes += reader.meta().public_bytes.saturating_sub(left.public_bytes);
            left_records += left.records;
        }
        let meta = builder.meta();
        let expected = self.plan.records().saturating_sub(left_records);
        if (meta.records, meta.public_bytes) != (expected, public_bytes) {
            return Err(Failure::Later(Error::Io(
                "compaction: records were lost on the way".into(),
            )));
        }
        if meta.records == 0 {
            return Ok(());
        }
        self.stays = Some(self.stays(left_records, meta)?);
        let mut body = builder.finish().map_err(built)?;
        let (id, slot, key) = self.fresh();
        let written = self.write(FileType::Seg, id, slot, key, &body);
        body.zeroize();
        written
    }

    fn left(&self, set: &FileSet, reader: &SegReader) -> Result<Left, Failure> {
        Left::of(&self.output.gone, set, reader).map_err(|error| Failure::of_set(set, error))
    }

    /// Bounds of what stays: those of the plan unless something was left out.
    fn stays(&self, left_records: u64, meta: &SegMeta) -> Result<Stays, Failure> {
        let (Some(first), Some(last)) = (self.plan.sets.first(), self.plan.sets.last()) else {
            return Err(Failure::Overtaken);
        };
        let mut stays = Stays {
            seqs: (meta.first_seq, meta.last_seq),
            times_ms: (first.seg.min_time_ms, last.seg.max_time_ms),
            records: meta.records,
        };
        if left_records > 0 {
            let view = self.tenant.view();
            let reader = tree::reader(self.inner, self.tenant, &view);
            let time_ms = |seq| {
                let entry = reader.source().entry(seq).map_err(Failure::Later);
                entry.map(|entry| entry.time_ms)
            };
            stays.times_ms = (time_ms(stays.seqs.0)?, time_ms(stays.seqs.1)?);
        }
        Ok(stays)
    }

    /// Trains the dictionary on blocks from all over the sources.
    fn train(&self, builder: &mut SegBuilder) -> Result<(), Failure> {
        let (mut samples, mut sampled, mut public_bytes) = (Vec::new(), 0, 0);
        for set in &self.plan.sets {
            let unreadable = |error| Failure::of_set(set, segment_error(error));
            let reader = readers::container(self.inner, self.tenant, &set.seg)
                .map_err(|error| Failure::of_set(set, error))
                .and_then(|container| SegReader::open(container).map_err(unreadable))?;
            let left = self.left(set, &reader)?;
            let share = SAMPLE_BYTES_MAX / self.plan.sets.len() as u64;
            let blocks = reader.blocks().len();
            let every = (reader.meta().public_bytes / share.max(1)).max(1);
            for number in (0..blocks).step_by(usize::try_from(every).unwrap_or(blocks).max(1)) {
                self.check()?;
                let block = reader.block(number).map_err(unreadable)?;
                for record in block.iter().filter(|record| !left.has(record.seq)) {
                    let public = reader.public(&record).map_err(unreadable)?;
                    sampled += public.len() as u64;
                    samples.push(public);
                }
                if sampled > 2 * SAMPLE_BYTES_MAX {
                    break;
                }
            }
            public_bytes += reader.meta().public_bytes.saturating_sub(left.public_bytes);
        }
        let bytes = usize::try_from(public_bytes / PUBLIC_PER_DICTIONARY).unwrap_or(usize::MAX);
        if bytes < DICTIONARY_BYTES_MIN {
            return Ok(());
        }
        builder
            .train(samples.iter().map(Vec::as_slice), bytes)
            .map_err(built)
    }

    /// Personal groups: set by set of subjects, from one source after the other. Those of destroyed sets stay behind.
    fn sub(&mut self) -> Result<(), Failure> {
        let mut sources: Vec<(&Arc<FileSet>, SubReader)> = Vec::new();
        for set in &self.plan.sets {
            let Some(row) = &set.sub else { continue };
            let reader = readers::container(self.inner, self.tenant, row)
                .and_then(|container| SubReader::open(container).map_err(segment_error));
            sources.push((set, reader.map_err(|error| Failure::of_set(set, error))?));
        }
        let mut places: BTreeMap<Vec<[u8; 16]>, Vec<(usize, usize)>> = BTreeMap::new();
        for (source, (_, reader)) in sources.iter().enumerate() {
            for (place, handles) in reader.handle_sets().enumerate() {
                places.entry(handles.to_vec()).or_default().push((source, place));
            }
        }
        let given: u64 = sources.iter().map(|(_, reader)| reader.meta().groups).sum();
        let mut left = 0;
        let (id, slot, key) = self.fresh();
        let mut writer = SubWriter::new(id, BlockOptions::COMPACT_PERSONAL).map_err(built)?;
        for (raw, places) in places {
            self.check()?;
            let handles: Vec<Handle> = raw.iter().copied().map(Handle::from_bytes).collect();
            let Some(set_key) = self.tenant.set_key(&handles).map_err(Failure::Later)? else {
                self.destroyed = true;
                continue;
            };
            writer.begin_set(&raw, &set_key).map_err(built)?;
            for (source, place) in places {
                let Some((set, reader)) = sources.get(source) else {
                    continue;
                };
                let gone = self.output.gone.of_set(set);
                let is_left = |seq: u64| gone.iter().any(|seqs| seqs.contains(&seq));
                reader
                    .groups_of_set(place, &set_key, |group| {
                        if is_left(group.seq) {
                            left += 1;
                            return Ok(());
                        }
                        writer.push(group.seq, group.ordinal, &group.bytes)
                    })
                    .map_err(|error| Failure::of_set(set, segment_error(error)))?;
            }
            self.output.handles.extend(raw);
        }
        if !self.destroyed && writer.groups() + left != given {
            return Err(Failure::Later(Error::Io(
                "compaction: personal groups were lost on the way".into(),
            )));
        }
        self.output.handles.sort_unstable();
        self.output.handles.dedup();
        if writer.is_empty() {
            return Ok(());
        }
        drop(sources);
        let body = writer.finish().map_err(built)?;
        self.write(FileType::Sub, id, slot, key, &body)
    }

    /// The split. Without one the records are scanned until it is built: that is no reason not to compact.
    fn idx(&mut self) -> Result<(), Failure> {
        if !self.inner.settings.indexing {
            return Ok(());
        }
        let view = self.tenant.view();
        let stopped = || match self.is_stopped() {
            true => Err(Error::Deadline),
            false => Ok(()),
        };
        let split = crate::search::compacted(
            self.inner,
            self.tenant,
            &view,
            &self.output.gone,
            &self.plan.sets,
            self.destroyed,
            &stopped,
        );
        self.check()?;
        let split = match split {
            Ok(Some(split)) => split,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(tenant = %self.tenant.id, %error, "a compacted segment was not indexed");
                return Ok(());
            }
        };
        let row = crate::search::split_row(&split);
        let bundle = split
            .bundle()
            .map_err(|error| Failure::Later(Error::Io(format!("index: {error}"))))?;
        drop(split);
        let (id, slot, key) = self.fresh();
        self.write(FileType::Idx, id, slot, key, &bundle)?;
        if let Some(file) = self.output.files.last_mut() {
            file.row.split = Some(row);
        }
        Ok(())
    }

    fn fresh(&self) -> ([u8; 16], Slot, Key) {
        let entropy = &*self.inner.entropy;
        (
            random_array(entropy),
            self.inner.catalog.reserve(1),
            Key::random(entropy),
        )
    }

    /// Seals a body into a file of its own.
    fn write(
        &mut self,
        ty: FileType,
        id: [u8; 16],
        slot: Slot,
        key: Key,
        body: &[u8],
    ) -> Result<(), Failure> {
        let mut row = self.row(ty, id, slot).ok_or(Failure::Overtaken)?;
        let meta = readers::meta(self.tenant, &row).map_err(Failure::Later)?;
        self.paths.push(row.path.clone());
        let pace = |bytes: usize| pace(self.inner, bytes);
        let written = FileWriter::create(&*self.inner.disk, &row.path, &pace).and_then(|mut writer| {
            container::seal_to(&meta, &key, body, |bytes| writer.write(bytes))?;
            Ok(writer)
        });
        let written = written
            .map_err(WriteError::from)
            .and_then(|writer| writer.finish(true));
        let written = written.map_err(|error| match error {
            WriteError::Sync(error) => Failure::Sync(format!("{}: {error}", row.path.display())),
            error if self.is_stopped() => {
                drop(error);
                Failure::Stopped
            }
            error => Failure::Later(std::io::Error::from(error).into()),
        })?;
        row.length = written.bytes;
        row.checksum = hex(&written.checksum);
        self.output.files.push(Written { row, key, id });
        Ok(())
    }

    fn row(&self, ty: FileType, id: [u8; 16], slot: Slot) -> Option<FileRow> {
        let stays = self.stays?;
        let name = format!("{:016x}.{:08x}.{}", self.set, 0, ty.extension());
        Some(FileRow {
            ty,
            set: self.set,
            generation: 0,
            class: self.plan.class,
            path: self.tenant.dir().join(name),
            offset: 0,
            length: 0,
            id: hex(&id),
            slot: slot.0,
            min_seq: stays.seqs.0,
            max_seq: stays.seqs.1,
            count: stays.records,
            min_time_ms: stays.times_ms.0,
            max_time_ms: stays.times_ms.1,
            checksum: String::new(),
            rewrites: self
                .plan
                .sets
                .iter()
                .map(|set| set.seg.rewrites)
                .max()
                .unwrap_or(0)
                .saturating_add(1),
            gone_by: self.output.gone.newest(),
            split: None,
        })
    }

    fn check(&self) -> Result<(), Failure> {
        if self.is_stopped() {
            Err(Failure::Stopped)
        } else {
            Ok(())
        }
    }

    fn is_stopped(&self) -> bool {
        self.inner.compactor.wake.is_stopped() || self.inner.stopped().is_some()
    }
}

impl Failure {
    /// What kept a segment from being read: damage and wrong keys stay, the rest may pass.
    fn of_set(set: &FileSet, error: Error) -> Self {
        match error {
            Error::Damage { .. } | Error::Key(_) => Self::Unreadable(set.set, error),
            error => Self::Later(error),
        }
    }
}

fn built(error: attestore_segment::Error) -> Failure {
    Failure::Later(segment_error(error))
}

/// Bytes of public groups that a dictionary is trained on, about.
const SAMPLE_BYTES_MAX: u64 = 8 << 20;
/// Bytes of public groups for each byte of dictionary: about one in ten of what they take once compressed.
const PUBLIC_PER_DICTIONARY: u64 = 256;
/// A smaller dictionary is not worth the training.
const DICTIONARY_BYTES_MIN: usize = 1024;
