//! A small log over a simulated disk: keys by slot, tenants by owner, files numbered by a counter that survives crashes.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use attestore_disk::{Disk, Mode, sim::SimDisk};
use attestore_keys::{Key, SeededEntropy, derive, random_array};
use attestore_wal::{
    Error, FileKeys, FileSpec, Frame, FrameBuilder, KeyError, Outcome, Position, ReplayError, ScanReport,
    SectionBody, SectionKeys, Source, Writer, file_path, prepare, replay, scan,
};

pub(crate) const BLOCK: u64 = 4096;
pub(crate) const SIZE: u64 = 32 * BLOCK;
pub(crate) const ALICE: [u8; 16] = [0xa1; 16];
pub(crate) const BOB: [u8; 16] = [0xb0; 16];

/// Keys as the catalog would hold them.
#[derive(Default, Clone)]
pub(crate) struct Keys {
    files: BTreeMap<u64, [u8; 32]>,
    pub(crate) missing: Vec<[u8; 16]>,
    pub(crate) destroyed: Vec<[u8; 16]>,
    /// Owners whose key is another one now.
    pub(crate) spoiled: Vec<[u8; 16]>,
    /// Owners of those whose key before is known too.
    pub(crate) replaced: Vec<[u8; 16]>,
}

impl Keys {
    pub(crate) fn forget_file(&mut self, slot: u64) {
        self.files.remove(&slot);
    }

    pub(crate) fn spoil_file(&mut self, slot: u64) {
        self.files.insert(slot, [0xee; 32]);
    }
}

impl FileKeys for Keys {
    fn file_key(&self, slot: u64, _: &[u8; 16]) -> Result<Key, KeyError> {
        self.files
            .get(&slot)
            .map(|bytes| Key::from_bytes(*bytes))
            .ok_or(KeyError::Missing)
    }
}

impl SectionKeys for Keys {
    fn section_key(&self, owner: &[u8; 16]) -> Result<Key, KeyError> {
        if self.destroyed.contains(owner) {
            return Err(KeyError::Destroyed);
        }
        if self.missing.contains(owner) {
            return Err(KeyError::Missing);
        }
        if self.spoiled.contains(owner) {
            return Ok(Key::from_bytes([0xee; 32]));
        }
        Ok(tenant_key(owner))
    }

    fn former_section_key(&self, owner: &[u8; 16]) -> Option<Key> {
        self.replaced.contains(owner).then(|| tenant_key(owner))
    }
}

pub(crate) fn tenant_key(owner: &[u8; 16]) -> Key {
    derive("attestore 2026 test tenant key", &[owner])
}

/// A disk with a log on it.
pub(crate) struct Log {
    pub(crate) disk: SimDisk,
    pub(crate) keys: Keys,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) next_number: u64,
    pub(crate) low: u64,
    pub(crate) claimed: Option<Position>,
    pub(crate) size: u64,
}

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            keys: Keys::default(),
            entropy: Arc::new(SeededEntropy::new(seed)),
            next_number: 1,
            low: 1,
            claimed: None,
            size: SIZE,
        }
    }

    /// Begins the next file after `end`.
    pub(crate) fn begin(&mut self, end: Position, recycle: Option<&Path>) -> Result<Writer, Error> {
        let number = self.next_number;
        self.next_number += 1;
        let key: [u8; 32] = random_array(&*self.entropy);
        self.keys.files.insert(number * 10, key);
        let prepared = prepare(&self.disk, number, self.size, recycle)?;
        let spec = FileSpec {
            number,
            file_id: random_array(&*self.entropy),
            key_slot: number * 10,
            size: self.size,
        };
        let entropy = Arc::clone(&self.entropy);
        Writer::create(
            &self.disk,
            prepared,
            spec,
            Key::from_bytes(key),
            end,
            1_700_000_000_000,
            entropy,
        )
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            disk: &self.disk,
            file_keys: &self.keys,
            section_keys: &self.keys,
            low: self.low,
            claimed: self.claimed,
        }
    }

    pub(crate) fn replay(&self) -> Result<(Vec<Frame>, Outcome), ReplayError> {
        let mut frames = Vec::new();
        let outcome = replay(&self.source(), &mut |frame| frames.push(frame))?;
        Ok((frames, outcome))
    }

    pub(crate) fn scan(&self) -> (Vec<Frame>, ScanReport) {
        let mut frames = Vec::new();
        let report = scan(&self.source(), &mut |frame| frames.push(frame)).unwrap();
        (frames, report)
    }

    pub(crate) fn flip(&self, wal: u64, offset: u64, mask: u8) {
        self.disk.flip(file_path(wal), offset, mask).unwrap();
    }

    pub(crate) fn read_file(&self, path: &Path) -> Vec<u8> {
        let file = self.disk.open(path, Mode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Overwrites bytes of a file behind the log's back, on the medium.
    pub(crate) fn overwrite(&self, wal: u64, offset: u64, bytes: &[u8]) {
        let file = self.disk.open(&file_path(wal), Mode::ReadWrite).unwrap();
        file.write_all_at(bytes, offset).unwrap();
        file.sync_data().unwrap();
    }
}

/// Commits one frame with the given sections.
pub(crate) fn commit(writer: &mut Writer, sections: &[([u8; 16], &[u8])]) -> Result<Position, Error> {
    let mut frame = FrameBuilder::new();
    for (owner, bytes) in sections {
        frame.section(*owner, &tenant_key(owner), |buf| buf.extend_from_slice(bytes));
    }
    writer.commit(&mut frame)
}

/// The payloads of all frames, in order.
pub(crate) fn payloads(frames: &[Frame]) -> Vec<&[u8]> {
    let bodies = frames.iter().flat_map(|frame| &frame.sections);
    bodies
        .filter_map(|(_, body)| match body {
            SectionBody::Bytes(bytes) => Some(bytes.as_slice()),
            SectionBody::Destroyed => None,
        })
        .collect()
}
