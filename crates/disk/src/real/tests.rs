//! The real disk on a temporary directory.

use super::*;
use crate::AlignedBuf;

fn disk() -> (tempfile::TempDir, RealDisk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(dir.path().join("data")).unwrap();
    (dir, disk)
}

#[test]
fn files_and_directories_are_private() {
    let (_dir, disk) = disk();
    disk.create_dir_all(Path::new("a/b")).unwrap();
    disk.open(Path::new("a/b/f"), Mode::Create).unwrap();
    assert_eq!(disk.mode_bits(Path::new("")).unwrap(), 0o700);
    assert_eq!(disk.mode_bits(Path::new("a/b")).unwrap(), 0o700);
    assert_eq!(disk.mode_bits(Path::new("a/b/f")).unwrap(), 0o600);
}

#[test]
fn open_modes_keep_their_promises() {
    let (_dir, disk) = disk();
    let path = Path::new("f");
    for mode in [Mode::Read, Mode::ReadWrite, Mode::DirectSync] {
        assert_eq!(
            disk.open(path, mode).err().unwrap().kind(),
            io::ErrorKind::NotFound
        );
    }
    disk.open(path, Mode::Create)
        .unwrap()
        .write_all_at(b"hello", 2)
        .unwrap();
    assert_eq!(
        disk.open(path, Mode::Create).err().unwrap().kind(),
        io::ErrorKind::AlreadyExists
    );
    let file = disk.open(path, Mode::ReadWriteCreate).unwrap();
    let mut buf = [9u8; 7];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"\0\0hello");
    assert_eq!(
        file.read_exact_at(&mut buf, 1).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    assert!(
        disk.open(path, Mode::Read)
            .unwrap()
            .write_all_at(b"x", 0)
            .is_err()
    );
}

#[test]
fn direct_writes_are_read_back_and_misaligned_ones_refused() {
    let (_dir, disk) = disk();
    let path = Path::new("f");
    disk.open(path, Mode::Create).unwrap().set_len(8192).unwrap();
    let direct = disk.open(path, Mode::DirectSync).unwrap();
    let mut buf = AlignedBuf::new();
    buf.resize(4096, 7);
    direct.write_all_at(&buf, 4096).unwrap();
    assert_eq!(
        direct.write_all_at(&buf[..512], 0).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    assert_eq!(
        direct.write_all_at(&buf, 512).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
    let mut read = [0u8; 8192];
    disk.open(path, Mode::Read)
        .unwrap()
        .read_exact_at(&mut read, 0)
        .unwrap();
    assert!(read[..4096].iter().all(|&b| b == 0) && read[4096..].iter().all(|&b| b == 7));
}

#[test]
fn a_new_file_is_written_directly_and_cut_to_its_length() {
    for dir in [tempfile::tempdir(), tempfile::tempdir_in("/dev/shm")] {
        let Ok(dir) = dir else { continue };
        let disk = RealDisk::new(dir.path()).unwrap();
        let path = Path::new("f");
        let file = disk.open(path, Mode::CreateDirect).unwrap();
        let mut buf = AlignedBuf::zeroed(8192);
        buf.fill(7);
        file.write_all_at(&buf, 0).unwrap();
        if file.is_direct() {
            let refused = file.write_all_at(&buf[..100], 8192).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
        file.set_len(5000).unwrap();
        file.sync_data().unwrap();
        assert_eq!(disk.len(path).unwrap(), 5000);
        let again = disk.open(path, Mode::CreateDirect).err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }
}

#[test]
fn direct_reads_find_what_was_written_wherever_they_begin_and_refuse_writes() {
    for dir in [tempfile::tempdir(), tempfile::tempdir_in("/dev/shm")] {
        let Ok(dir) = dir else { continue };
        let disk = RealDisk::new(dir.path()).unwrap();
        let path = Path::new("f");
        let bytes: Vec<u8> = (0..10_000u32).map(|n| n.to_le_bytes()[0]).collect();
        // Not synced: what is in the page cache only counts too.
        disk.open(path, Mode::Create)
            .unwrap()
            .write_all_at(&bytes, 0)
            .unwrap();
        let file = disk.open(path, Mode::ReadDirect).unwrap();
        let mut buf = AlignedBuf::zeroed(8192);
        assert_eq!(file.read_at(&mut buf, 4096).unwrap(), 10_000 - 4096);
        assert_eq!(buf[..10_000 - 4096], bytes[4096..]);
        assert_eq!(file.read_at(&mut buf, 12_288).unwrap(), 0);
        let mut odd = [0; 100];
        file.read_exact_at(&mut odd, 4097).unwrap();
        assert_eq!(odd, bytes[4097..4197]);
        file.read_exact_at(&mut buf[..4096], 0).unwrap();
        assert_eq!(buf[..4096], bytes[..4096]);
        assert!(file.write_all_at(&buf, 0).is_err());
    }
}

#[test]
fn a_refused_first_direct_write_falls_back_to_buffered() {
    // Memory files accept neither the flag nor need it: the handle is buffered from the start there.
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        return;
    };
    let disk = RealDisk::new(dir.path()).unwrap();
    disk.open(Path::new("f"), Mode::Create).unwrap();
    let file = disk.open(Path::new("f"), Mode::DirectSync).unwrap();
    file.write_all_at(&AlignedBuf::zeroed(4096), 0).unwrap();
    assert_eq!(file.len().unwrap(), 4096);
}

#[test]
fn a_lock_is_held_by_one_until_dropped() {
    let (_dir, disk) = disk();
    let path = Path::new("lock");
    let guard = disk.try_lock(path).unwrap().unwrap();
    assert!(disk.try_lock(path).unwrap().is_none());
    drop(guard);
    assert!(disk.try_lock(path).unwrap().is_some());
}

#[test]
fn list_is_sorted_and_rename_replaces() {
    let (_dir, disk) = disk();
    for name in ["b", "a", "c"] {
        disk.open(Path::new(name), Mode::Create)
            .unwrap()
            .write_all_at(name.as_bytes(), 0)
            .unwrap();
    }
    disk.create_dir_all(Path::new("d")).unwrap();
    disk.rename(Path::new("c"), Path::new("a")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    let names: Vec<_> = disk
        .list(Path::new(""))
        .unwrap()
        .into_iter()
        .map(|e| (e.name, e.is_dir, e.len))
        .collect();
    assert_eq!(
        names,
        [
            ("a".into(), false, 1),
            ("b".into(), false, 1),
            ("d".into(), true, 0)
        ]
    );
    disk.remove(Path::new("d")).unwrap();
    disk.remove(Path::new("b")).unwrap();
    assert_eq!(disk.list(Path::new("")).unwrap().len(), 1);
    assert_eq!(
        disk.list(Path::new("nope")).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
    assert!(disk.free_bytes().unwrap() > 0);
    disk.sync_all().unwrap();
}
