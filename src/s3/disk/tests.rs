//! A bucket that does what it should, and one that does not.

mod fake;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use attestore_disk::{BLOCK, Disk, Mode};
use rusty_s3::{Bucket, Credentials, UrlStyle};
use ureq::Agent;

use self::fake::{Fake, Fault};
use super::store::{AWAY, Store};
use super::{S3Disk, unsupported};
use crate::s3::Place;

fn bucket(port: u16, name: &str) -> S3Disk {
    let endpoint = format!("http://127.0.0.1:{port}").parse().unwrap();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0);
    let mut disk = S3Disk::at(Place {
        agent: config.build().into(),
        bucket: Bucket::new(endpoint, UrlStyle::Path, name.to_owned(), "us-east-1").unwrap(),
        key: "backups/one/".to_owned(),
        credentials: Credentials::new("tester", "secret-of-tester"),
    });
    disk.part = 16 * BLOCK;
    disk.store = std::sync::Arc::new(Store {
        place: disk.store.place.clone(),
        pause: Duration::from_millis(1),
    });
    disk
}

fn store() -> (Fake, S3Disk) {
    let fake = Fake::start();
    let disk = bucket(fake.port, "audit");
    (fake, disk)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

/// As files are written: in pieces of whole blocks, cut at the end, and then named.
fn write(disk: &S3Disk, path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = format!("{path}.tmp");
    let file = disk.open(Path::new(&temporary), Mode::CreateDirect)?;
    for (at, piece) in bytes.chunks(3 * BLOCK).enumerate() {
        let mut piece = piece.to_vec();
        piece.resize(piece.len().next_multiple_of(BLOCK), 0);
        file.write_all_at(&piece, (at * 3 * BLOCK) as u64)?;
    }
    file.set_len(bytes.len() as u64)?;
    assert_eq!(file.len()?, bytes.len() as u64);
    file.sync_data()?;
    disk.rename(Path::new(&temporary), Path::new(path))
}

fn read(disk: &S3Disk, path: &str) -> std::io::Result<Vec<u8>> {
    let file = disk.open(Path::new(path), Mode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Short, as long as two parts, and as long as many with a bit.
const LENGTHS: [usize; 4] = [10, 16 * BLOCK, 32 * BLOCK, 70 * BLOCK + 5];

#[test]
fn what_is_written_is_read_and_nothing_is_there_before_it_has_its_name() {
    let (fake, disk) = store();
    for len in LENGTHS.into_iter().chain([0]) {
        let wanted = bytes(len);
        let path = format!("blobs/aa/{len}");
        let temporary = format!("{path}.tmp");
        let file = disk.open(Path::new(&temporary), Mode::CreateDirect).unwrap();
        file.write_all_at(&bytes(40 * BLOCK), 0).unwrap();
        assert!(fake.state.lock().objects.keys().all(|key| !key.contains(&path)));
        drop(file);
        write(&disk, &path, &wanted).unwrap();
        assert_eq!(read(&disk, &path).unwrap(), wanted, "{len}");
        assert_eq!(fake.object(&format!("backups/one/{path}")).unwrap(), wanted);
        assert_eq!(disk.len(Path::new(&path)).unwrap(), len as u64);
    }
    assert!(
        fake.state.lock().uploads.is_empty(),
        "what was given up is told to the store"
    );
    assert_eq!(fake.state.lock().blind, 0, "every write says what it replaces");
}

#[test]
fn a_file_is_read_anywhere_and_one_that_changes_meanwhile_is_an_error() {
    let (fake, disk) = store();
    let wanted = bytes(1 << 20);
    write(&disk, "catalogs/c", &wanted).unwrap();
    let file = disk.open(Path::new("catalogs/c"), Mode::Read).unwrap();
    for at in [0, 5, 262_143, 262_144, 900_000, 1, (1 << 20) - 3] {
        let mut piece = [0; 3];
        file.read_exact_at(&mut piece, at as u64).unwrap();
        assert_eq!(piece, wanted[at..at + 3], "{at}");
    }
    let mut beyond = [0; 2];
    assert_eq!(file.read_at(&mut beyond, 1 << 20).unwrap(), 0);
    let begin = disk.open(Path::new("catalogs/c"), Mode::Read).unwrap();
    write(&disk, "catalogs/c", &bytes(5)).unwrap();
    let error = begin.read_exact_at(&mut [0; 3], 900_000).unwrap_err();
    assert_eq!(error.kind(), AWAY, "{error}");
    assert!(error.to_string().contains("412"), "{error}");
    drop(fake);
}

#[test]
fn folders_are_listed_page_by_page() {
    let (_fake, disk) = store();
    for name in [
        "blobs/aa/1",
        "blobs/aa/2",
        "blobs/bb/3",
        "blobs/bb/4",
        "blobs/cc/5",
        "ledger/1",
        "mark",
    ] {
        write(&disk, name, name.as_bytes()).unwrap();
    }
    let names = |dir: &str| -> Vec<(String, bool, u64)> {
        let found = disk.list(Path::new(dir)).unwrap().into_iter();
        found.map(|entry| (entry.name, entry.is_dir, entry.len)).collect()
    };
    let folder = |name: &str| (name.to_owned(), true, 0);
    assert_eq!(names("blobs"), [folder("aa"), folder("bb"), folder("cc")]);
    assert_eq!(
        names(""),
        [folder("blobs"), folder("ledger"), ("mark".to_owned(), false, 4)]
    );
    assert_eq!(names("blobs/bb").len(), 2);
    assert!(names("nothing").is_empty());
    let below = disk.list_below(Path::new("blobs")).unwrap();
    let below: Vec<String> = below
        .into_iter()
        .map(|(folder, entry)| format!("{folder}/{}", entry.name))
        .collect();
    assert_eq!(below, ["aa/1", "aa/2", "bb/3", "bb/4", "cc/5"]);
    assert!(disk.exists(Path::new("blobs")).unwrap() && disk.exists(Path::new("mark")).unwrap());
    assert!(!disk.exists(Path::new("blob")).unwrap() && !disk.exists(Path::new("mar")).unwrap());
    disk.remove(Path::new("mark")).unwrap();
    assert!(!disk.exists(Path::new("mark")).unwrap());
    let missing = disk.open(Path::new("mark"), Mode::Read).map(drop).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn a_store_that_is_busy_twice_is_asked_again() {
    let busy = Fault::Answer(503, "SlowDown");
    for kind in ["PUT", "BEGIN", "PART", "END", "GET", "LIST", "HEAD", "DELETE"] {
        let (fake, disk) = store();
        fake.plan(&[(kind, busy), (kind, busy)]);
        for len in LENGTHS {
            let path = format!("logs/{len}");
            write(&disk, &path, &bytes(len)).unwrap();
            assert_eq!(read(&disk, &path).unwrap(), bytes(len), "{kind}");
        }
        assert_eq!(disk.list(Path::new("logs")).unwrap().len(), LENGTHS.len());
        assert_eq!(disk.len(Path::new("logs/10")).unwrap(), 10);
        disk.remove(Path::new("logs/10")).unwrap();
        assert!(fake.count(kind) >= 3, "{kind}");
    }
}

#[test]
fn a_connection_that_is_cut_in_an_upload_loses_nothing() {
    for fault in [Fault::Cut, Fault::Lost, Fault::Damage] {
        for kind in ["PUT", "PART", "END"] {
            if kind == "END" && matches!(fault, Fault::Damage) {
                continue;
            }
            let (fake, disk) = store();
            fake.plan(&[(kind, fault), (kind, fault)]);
            for len in LENGTHS {
                let path = format!("logs/{len}");
                write(&disk, &path, &bytes(len)).unwrap();
                assert_eq!(
                    fake.object(&format!("backups/one/{path}")).unwrap(),
                    bytes(len),
                    "{kind}"
                );
            }
            assert!(fake.state.lock().uploads.is_empty());
        }
    }
}

#[test]
fn an_answer_that_is_cut_is_read_again() {
    let (fake, disk) = store();
    write(&disk, "logs/1", &bytes(5000)).unwrap();
    fake.plan(&[("GET", Fault::Lost), ("GET", Fault::Cut)]);
    assert_eq!(read(&disk, "logs/1").unwrap(), bytes(5000));
    assert_eq!(fake.count("GET"), 3);
}

#[test]
fn a_store_that_refuses_is_told_with_bucket_key_status_and_code_and_leaves_nothing() {
    for (len, kind) in [
        (10, "PUT"),
        (70 * BLOCK, "BEGIN"),
        (70 * BLOCK, "PART"),
        (70 * BLOCK, "END"),
    ] {
        let (fake, disk) = store();
        fake.state.lock().always = Some((kind, Fault::Answer(403, "AccessDenied")));
        let error = write(&disk, "blobs/aa/1", &bytes(len)).unwrap_err();
        assert_eq!(error.kind(), AWAY);
        let said = error.to_string();
        for part in [
            "s3://audit/backups/one/blobs/aa/1",
            "403",
            "AccessDenied",
            "because of",
        ] {
            assert!(said.contains(part), "{kind}: {said}");
        }
        assert!(!said.contains("X-Amz") && !said.contains("secret"), "{said}");
        assert_eq!(fake.count(kind), 1, "a refusal is not asked again");
        let state = fake.state.lock();
        assert!(state.objects.is_empty() && state.uploads.is_empty(), "{kind}");
    }
    let (fake, disk) = store();
    write(&disk, "mark", b"m").unwrap();
    fake.state.lock().always = Some(("*", Fault::Answer(503, "SlowDown")));
    let error = disk.open(Path::new("mark"), Mode::Read).map(drop).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("failed 5 times, the last time with 503"),
        "{error}"
    );
    assert_eq!((error.kind(), fake.count("GET")), (AWAY, 5));
    for error in [
        disk.list(Path::new("")).map(drop).unwrap_err(),
        disk.len(Path::new("mark")).map(drop).unwrap_err(),
        disk.exists(Path::new("mark")).map(drop).unwrap_err(),
        disk.remove(Path::new("mark")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), AWAY, "{error}");
    }
}

#[test]
fn a_bucket_that_is_not_there_is_never_taken_for_an_object_that_is_not() {
    let (fake, _) = store();
    let disk = bucket(fake.port, "other");
    for error in [
        disk.open(Path::new("mark"), Mode::Read).map(drop).unwrap_err(),
        disk.exists(Path::new("mark")).map(drop).unwrap_err(),
        disk.list(Path::new("")).map(drop).unwrap_err(),
        write(&disk, "mark", b"m").unwrap_err(),
    ] {
        assert_eq!(error.kind(), AWAY);
        assert!(error.to_string().contains("s3://other/backups/one"), "{error}");
        assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    }
    // And nobody listens.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let error = bucket(port, "audit")
        .open(Path::new("mark"), Mode::Read)
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), AWAY, "{error}");
    assert!(
        error.to_string().contains("s3://audit/backups/one/mark"),
        "{error}"
    );
}

#[test]
fn what_a_bucket_cannot_do_is_refused() {
    let (_fake, disk) = store();
    let path = Path::new("logs/1.tmp");
    let kind = |error: std::io::Error| assert_eq!(error.kind(), unsupported().kind());
    let file = disk.open(path, Mode::Create).unwrap();
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    kind(file.write_all_at(&[1; BLOCK], 0).unwrap_err());
    kind(file.set_len(2 * BLOCK as u64).unwrap_err());
    kind(disk.rename(path, Path::new("logs/2")).unwrap_err());
    kind(
        disk.open(Path::new("logs/1"), Mode::Create)
            .map(drop)
            .unwrap_err(),
    );
    kind(disk.try_lock(Path::new("lock")).map(drop).unwrap_err());
    write(&disk, "logs/3", &bytes(100)).unwrap();
    let over = disk.open(Path::new("logs/3"), Mode::ReadWrite).unwrap();
    over.write_all_at(&[0; 50], 0).unwrap();
    kind(over.sync_data().unwrap_err());
    over.write_all_at(&[0; 50], 50).unwrap();
    over.sync_data().unwrap();
    assert_eq!(read(&disk, "logs/3").unwrap(), [0; 100]);
}
