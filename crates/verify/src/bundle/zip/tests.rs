//! What is written is read, by ours and by others; nothing else is.

use super::{Archive, ReadAt, ZipWriter};

fn sample() -> Vec<u8> {
    let mut zip = ZipWriter::new(Vec::new());
    zip.member("a.txt", b"first").unwrap();
    zip.start("b/c.bin").unwrap();
    zip.write(&[1, 2]).unwrap();
    zip.write(&[3]).unwrap();
    zip.member("empty", b"").unwrap();
    let (bytes, written) = zip.finish().unwrap();
    assert_eq!(written, bytes.length());
    bytes
}

#[test]
fn members_come_back_as_they_were_written() {
    let bytes = sample();
    let archive = Archive::open(&bytes).unwrap();
    let read = |name| archive.read(archive.find(name).unwrap(), 10).unwrap();
    assert_eq!(
        (read("a.txt"), read("b/c.bin"), read("empty")),
        (b"first".to_vec(), vec![1, 2, 3], vec![])
    );
    assert_eq!(archive.members().len(), 3);
    assert!(archive.find("nothing").is_err());
    assert!(archive.read(archive.find("a.txt").unwrap(), 4).is_err());
    let mut part = [0; 2];
    let member = archive.find("b/c.bin").unwrap();
    archive.read_part(member, 1, &mut part).unwrap();
    assert_eq!(part, [2, 3]);
    assert!(
        archive.read_part(member, 2, &mut part).is_err(),
        "beyond the member"
    );
}

#[test]
fn every_flipped_byte_and_every_cut_is_seen() {
    let bytes = sample();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let read = Archive::open(&damaged).and_then(|archive| {
            let members = archive.members().iter();
            members
                .map(|member| archive.read(member, 10))
                .collect::<Result<Vec<_>, _>>()
        });
        assert!(read.is_err(), "byte {at}");
        assert!(Archive::open(&bytes[..at]).is_err(), "cut at {at}");
    }
    let padded = [&[0][..], &bytes].concat();
    assert!(Archive::open(&padded).is_err());
    let padded = [&bytes[..], &[0]].concat();
    assert!(Archive::open(&padded).is_err());
}

#[test]
fn names_stay_below_the_folder_and_come_once() {
    for name in [
        "",
        "/a",
        "a/",
        "../a",
        "a/../b",
        "a\\b",
        "a b",
        ".a",
        "ä",
        &"n".repeat(65),
    ] {
        assert!(ZipWriter::new(Vec::new()).start(name).is_err(), "{name:?}");
    }
    let mut zip = ZipWriter::new(Vec::new());
    zip.start("a").unwrap();
    assert!(zip.start("a").is_err());
}
