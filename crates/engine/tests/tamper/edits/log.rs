//! Edits of the log that appends go to, by frames.

use std::path::{Path, PathBuf};

use attestore_disk::sim::SimDisk;
use attestore_engine::catalog::{WalPosition, WalRow};
use attestore_keys::{Key, Slot, SlotContext, SlotKind, random_array};
use attestore_record::TenantId;
use attestore_wal::{
    FileKeys, FileSpec, Frame, FrameBuilder, KeyError, Position, SectionBody, SectionKeyError, SectionKeys,
    Source, Writer, parse_file_header, parse_frame_header,
};

use crate::insider::{Insider, context, get, put};
use crate::store::{Case, Store};

/// The file that was written last.
pub(super) fn newest(disk: &SimDisk) -> PathBuf {
    let written = |path: &PathBuf| path.starts_with("wal") && parse_file_header(&get(disk, path)).is_ok();
    disk.paths().into_iter().filter(written).max().unwrap()
}

/// Where the last frame ends; `None` of other files.
pub(super) fn end(disk: &SimDisk, path: &Path) -> Option<u64> {
    let frames = (path == newest(disk)).then(|| frames(&get(disk, path)))?;
    frames.last().map(|frame| frame.end as u64)
}

/// Where the frames are.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let id = parse_file_header(bytes).unwrap().spec.file_id;
    let (mut frames, mut at) = (Vec::new(), HEADER);
    while let Ok(frame) = parse_frame_header(&bytes[at..]) {
        if frame.file_id != id {
            break;
        }
        frames.push(at..at + frame.length as usize);
        at += frame.length as usize;
    }
    frames
}

/// Frames with records; the last one, which has none, closes the log.
fn filled(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = frames(bytes);
    frames.retain(|frame| !parse_frame_header(&bytes[frame.clone()]).unwrap().closing);
    frames
}

/// Which frames are edited: at each start, the catalog learns how much of the log is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frames {
    Known,
    Newer,
}

/// Rewrites the newest file of the log, once for each frame with records.
fn each(
    store: &Store,
    which: Frames,
    edit: impl Fn(&mut Vec<u8>, &[std::ops::Range<usize>], usize),
) -> Vec<Case<'_>> {
    let disk = SimDisk::from_snapshot(&store.disk);
    let path = newest(&disk);
    let bytes = get(&disk, &path);
    let known = Insider::new(&disk)
        .catalog
        .instance()
        .unwrap()
        .unwrap()
        .durable
        .offset;
    let frames = filled(&bytes);
    let of_kind = |at: &usize| match which {
        Frames::Known => (frames[*at].end as u64) < known,
        Frames::Newer => frames[*at].start as u64 >= known,
    };
    let cases = (0..frames.len()).filter(of_kind).filter_map(|at| {
        let case = store.case(format!("frame {at} of {}", frames.len()));
        let mut changed = bytes.clone();
        edit(&mut changed, &frames, at);
        put(&case.disk, &path, &changed);
        (changed != bytes).then_some(case)
    });
    cases.collect()
}

fn drop_frame(bytes: &mut Vec<u8>, frames: &[std::ops::Range<usize>], at: usize) {
    let length = bytes.len();
    bytes.drain(frames[at].clone());
    bytes.resize(length, 0);
}

fn cut_at(bytes: &mut [u8], frames: &[std::ops::Range<usize>], at: usize) {
    bytes[frames[at].start..].fill(0);
}

pub(super) fn dropped_known(store: &Store) -> Vec<Case<'_>> {
    each(store, Frames::Known, drop_frame)
}

pub(super) fn dropped_newer(store: &Store) -> Vec<Case<'_>> {
    each(store, Frames::Newer, drop_frame)
}

pub(super) fn cut_known(store: &Store) -> Vec<Case<'_>> {
    each(store, Frames::Known, |bytes, frames, at| {
        cut_at(bytes, frames, at)
    })
}

pub(super) fn cut_newer(store: &Store) -> Vec<Case<'_>> {
    each(store, Frames::Newer, |bytes, frames, at| {
        cut_at(bytes, frames, at)
    })
}

pub(super) fn reordered(store: &Store) -> Vec<Case<'_>> {
    each(store, Frames::Known, |bytes, frames, at| {
        let Some(next) = frames.get(at + 1) else { return };
        bytes[frames[at].start..next.end].rotate_left(frames[at].len());
    })
}

pub(super) fn duplicated(store: &Store) -> Vec<Case<'_>> {
    each(store, Frames::Known, |bytes, frames, at| {
        let frame = bytes[frames[at].clone()].to_vec();
        let length = bytes.len();
        bytes.splice(frames[at].end..frames[at].end, frame);
        bytes.truncate(length);
    })
}

/// As a start writes what it found into a new file, but for the last frame with records.
pub(super) fn resealed(store: &Store) -> Vec<Case<'_>> {
    let case = store.case("without its last frame");
    let insider = Insider::new(&case.disk);
    let mut row = insider.catalog.instance().unwrap().unwrap();
    let mut kept: Vec<Frame> = Vec::new();
    let keys = Keys(&insider);
    let source = Source {
        disk: &case.disk,
        file_keys: &keys,
        section_keys: &keys,
        low: row.wal_low,
        claimed: None,
    };
    let found = attestore_wal::replay(&source, &mut |frame| kept.push(frame)).unwrap();
    kept.retain(|frame| !frame.sections.is_empty());
    kept.pop();

    let (file_id, key) = (random_array(&*insider.entropy), Key::random(&*insider.entropy));
    let size = found.files.last().unwrap().size;
    let number = row.wal_next;
    let mut slot = Slot(0);
    insider.update(|update| {
        update.instance.wal_next += 1;
        slot = update.put_key(wal_key(file_id), None, &key).unwrap();
        let key_slot = slot.0;
        update
            .put_wal(
                number,
                &WalRow {
                    file_id,
                    key_slot,
                    size,
                },
            )
            .unwrap();
    });
    let spec = FileSpec {
        number,
        file_id,
        key_slot: slot.0,
        size,
    };
    attestore_wal::remove_unfinished(&case.disk).unwrap();
    let prepared = attestore_wal::prepare(&case.disk, number, size, None).unwrap();
    let mut writer = Writer::create(
        &case.disk,
        prepared,
        spec,
        key,
        found.end,
        0,
        insider.entropy.clone(),
    )
    .unwrap();
    for frame in kept {
        let mut builder = FrameBuilder::new();
        for (owner, body) in frame.sections {
            let SectionBody::Bytes(body) = body else { continue };
            let key = keys.section_key(&owner).unwrap();
            builder.section(owner, &key, |section| section.extend_from_slice(&body));
        }
        writer.commit(&mut builder).unwrap();
    }
    let Position { wal, offset } = writer.close_frame().unwrap();
    row.durable = WalPosition { wal, offset };
    insider.update(|update| {
        update.instance.durable = row.durable;
        update.free_wal_below(number).unwrap();
    });
    vec![case]
}

struct Keys<'a>(&'a Insider);

impl FileKeys for Keys<'_> {
    fn file_key(&self, slot: u64, file_id: &[u8; 16]) -> Result<Key, KeyError> {
        Ok(self.0.catalog.key(Slot(slot), &wal_key(*file_id), None).unwrap())
    }
}

impl SectionKeys for Keys<'_> {
    fn section_key(&self, owner: &[u8; 16]) -> Result<Key, SectionKeyError> {
        let id = TenantId::from_bytes(*owner);
        let mut slot = 0;
        self.0
            .update(|update| slot = update.tenant(&id).unwrap().unwrap().key_slot);
        let context = context(&id, SlotKind::TenantKey, [0; 16]);
        Ok(self.0.catalog.key(Slot(slot), &context, None).unwrap())
    }
}

fn wal_key(file_id: [u8; 16]) -> SlotContext {
    context(&TenantId::from_bytes([0; 16]), SlotKind::WalFile, file_id)
}

const HEADER: usize = 4096;
