//! What is read, believed and reported behind the first invalid frame.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::log::{ALICE, BLOCK, Log, commit, payloads};
use attestore_disk::{DirEntry, Disk, File, LockGuard, Mode, sim::SimDisk};
use attestore_wal::{Position, ProblemKind, ReplayError, Source, file_path, replay};

/// A disk that counts the bytes that are read from it.
struct Counting {
    disk: SimDisk,
    bytes: Arc<AtomicU64>,
}

struct CountingFile {
    file: Arc<dyn File>,
    bytes: Arc<AtomicU64>,
}

impl File for CountingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buf, offset)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn is_direct(&self) -> bool {
        self.file.is_direct()
    }
}

impl Disk for Counting {
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(CountingFile {
            file: self.disk.open(path, mode)?,
            bytes: Arc::clone(&self.bytes),
        }))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        self.disk.len(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn sync_all(&self) -> io::Result<()> {
        self.disk.sync_all()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
    fn mode_bits(&self, path: &Path) -> io::Result<u32> {
        self.disk.mode_bits(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        self.disk.try_lock(path)
    }
}

/// Replays over a counting disk; returns how many bytes were read.
fn bytes_read(log: &Log) -> u64 {
    let bytes = Arc::new(AtomicU64::new(0));
    let disk = Counting {
        disk: log.disk.clone(),
        bytes: Arc::clone(&bytes),
    };
    let source = Source {
        disk: &disk,
        ..log.source()
    };
    drop(replay(&source, &mut drop));
    bytes.load(Ordering::Relaxed)
}

/// Gives a copied frame header, without any key, `sections` sections and the length that they need, and a good checksum.
fn with_sections(header: &[u8], sections: u16) -> Vec<u8> {
    let mut bytes = header.to_vec();
    let payload = u32::from(sections) * 48 + 4096;
    bytes[6..8].copy_from_slice(&sections.to_le_bytes());
    bytes[40..44].copy_from_slice(&payload.next_multiple_of(4096).to_le_bytes());
    bytes[44..48].copy_from_slice(&payload.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..124]);
    bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A file of 1024 blocks with one frame; returns the frame's block.
fn large_log() -> (Log, Vec<u8>) {
    let mut log = Log::new(3);
    log.size = 1024 * BLOCK;
    let mut writer = log.begin(Position::START, None).unwrap();
    commit(&mut writer, &[(ALICE, b"one")]).unwrap();
    let frame = log.read_file(&file_path(1))[4096..8192].to_vec();
    (log, frame)
}

#[test]
fn forged_headers_in_every_block_do_not_make_the_reader_read_the_file_many_times() {
    let (log, frame) = large_log();
    let forged = with_sections(&frame[..128], 2000);
    for block in 2..1024 {
        log.overwrite(1, block * BLOCK, &forged);
    }
    let read = bytes_read(&log);
    assert!(read <= 4 * log.size, "{read} bytes of a file of {}", log.size);
}

#[test]
fn an_authentic_header_copied_to_every_block_does_not_either() {
    let mut log = Log::new(3);
    log.size = 1024 * BLOCK;
    let mut writer = log.begin(Position::START, None).unwrap();
    commit(&mut writer, &[(ALICE, b"one")]).unwrap();
    commit(&mut writer, &vec![(ALICE, b"".as_slice()); 2000]).unwrap();
    let header = log.read_file(&file_path(1))[8192..8192 + 128].to_vec();
    for block in 30..1024 {
        log.overwrite(1, block * BLOCK, &header);
    }
    log.flip(1, BLOCK + 130, 1);
    let read = bytes_read(&log);
    assert!(read <= 4 * log.size, "{read} bytes of a file of {}", log.size);
    assert!(matches!(
        log.replay(),
        Err(ReplayError::Damage { offset: BLOCK, .. })
    ));
}

#[test]
fn forged_headers_do_not_hide_an_authentic_later_frame() {
    let (mut log, frame) = (Log::new(3), large_log().1);
    log.size = 64 * BLOCK;
    let mut writer = log.begin(Position::START, None).unwrap();
    for _ in 0..40 {
        commit(&mut writer, &[(ALICE, b"x")]).unwrap();
    }
    let own = log.read_file(&file_path(1))[4096..4096 + 128].to_vec();
    for block in (1..64).filter(|block| *block != 40) {
        let header = if block % 2 == 0 { &own } else { &frame[..128] };
        log.overwrite(1, block * BLOCK, &with_sections(header, 2000));
    }
    assert!(
        matches!(log.replay(), Err(ReplayError::Damage { offset: BLOCK, .. })),
        "the frame in block 40 says that everything before it was synced"
    );
}

#[test]
fn a_copied_frame_claims_nothing() {
    let mut log = Log::new(4);
    let mut writer = log.begin(Position::START, None).unwrap();
    for _ in 0..3 {
        commit(&mut writer, &[(ALICE, b"x")]).unwrap();
    }
    let bytes = log.read_file(&file_path(1));
    let (frames, outcome) = {
        log.overwrite(1, 9 * BLOCK, &bytes[3 * 4096..4 * 4096]);
        log.overwrite(1, 2 * BLOCK, &[0; 8192]);
        log.replay().unwrap()
    };
    assert_eq!(payloads(&frames), [b"x"]);
    assert_eq!(outcome.torn.map(|torn| torn.offset), Some(2 * BLOCK));
}

#[test]
fn the_header_of_a_torn_frame_vouches_for_the_frames_before_it() {
    let mut log = Log::new(5);
    let mut writer = log.begin(Position::START, None).unwrap();
    commit(&mut writer, &[(ALICE, b"acknowledged")]).unwrap();
    commit(&mut writer, &[(ALICE, &[1; 6000])]).unwrap();
    log.overwrite(1, 3 * BLOCK, &[0; 4096]); // the second half of the last frame did not arrive
    let (frames, outcome) = log.replay().unwrap();
    assert_eq!(payloads(&frames), [b"acknowledged"]);
    assert_eq!(outcome.torn.map(|torn| torn.offset), Some(2 * BLOCK));
    log.flip(1, BLOCK + 130, 1);
    assert!(matches!(
        log.replay(),
        Err(ReplayError::Damage { offset: BLOCK, .. })
    ));
    let (_, report) = log.scan();
    let kinds: Vec<_> = report.problems.iter().map(|p| (p.offset, p.kind)).collect();
    assert_eq!(kinds, [(BLOCK, ProblemKind::Damage)]);
    assert_eq!(report.torn.map(|torn| torn.offset), Some(2 * BLOCK));
}

#[test]
fn a_scan_of_a_file_with_damage_in_every_frame_reads_it_a_few_times_only() {
    let mut log = Log::new(6);
    log.size = 512 * BLOCK;
    let mut writer = log.begin(Position::START, None).unwrap();
    for _ in 0..500 {
        commit(&mut writer, &[(ALICE, b"x")]).unwrap();
    }
    for block in 1..500 {
        log.flip(1, block * BLOCK + 130, 1);
    }
    let bytes = Arc::new(AtomicU64::new(0));
    let disk = Counting {
        disk: log.disk.clone(),
        bytes: Arc::clone(&bytes),
    };
    let source = Source {
        disk: &disk,
        ..log.source()
    };
    let report = attestore_wal::scan(&source, &mut drop).unwrap();
    assert_eq!(report.problems.len(), 499);
    let read = bytes.load(Ordering::Relaxed);
    assert!(read <= 4 * log.size, "{read} bytes of a file of {}", log.size);
}
