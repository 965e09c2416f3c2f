//! A small disk runs full: appends get 507 before it is, reads go on, appends resume when there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Server, event};

/// An ext4 file system in a file, mounted while this lives.
struct SmallDisk {
    mount: PathBuf,
}

impl SmallDisk {
    fn new(home: &Path, bytes: u64) -> Option<Self> {
        let (image, mount) = (home.join("small.img"), home.join("small"));
        std::fs::create_dir(&mount).unwrap();
        std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .output()
                .is_ok_and(|o| o.status.success())
        };
        let (image, at) = (image.to_str().unwrap(), mount.to_str().unwrap());
        let made = run("mkfs.ext4", &["-q", "-m", "0", image]) && run("mount", &["-o", "loop", image, at]);
        made.then_some(Self { mount })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.mount).status();
    }
}

#[test]
fn appends_stop_before_the_disk_is_full_and_resume_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::new(home.path(), 96 << 20) else {
        eprintln!("SKIPPED: loop devices are not allowed here");
        return;
    };
    let data = disk.mount.join("data");
    let filler = disk.mount.join("filler");
    std::fs::write(&filler, vec![0u8; 30 << 20]).unwrap();
    let mut server = Server::start_in(
        &data,
        &[
            ("ATTESTORE_ENGINE__WAL_FILE_BYTES", "2097152"),
            ("ATTESTORE_ENGINE__WAL_BUDGET_BYTES", "8388608"),
            ("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "1000000"),
            ("ATTESTORE_ENGINE__FLUSH_AGE_MS", "500"),
        ],
    );
    let client = server.client();
    let mut acknowledged = 0;
    let mut number = 0;
    let refused = loop {
        let lines: String = (0..200)
            .map(|_| {
                number += 1;
                noisy(number) + "\n"
            })
            .collect();
        let answer = client.post_ndjson("/v1/tenants/default/events", &lines);
        match answer.status {
            201 => acknowledged += 200,
            503 => std::thread::sleep(std::time::Duration::from_millis(100)),
            _ => break answer,
        }
        assert!(number < 1_000_000, "the disk never runs full");
    };
    refused.problem(507, "no_space");
    let free = free_bytes(&disk.mount);
    assert!(
        free > 1 << 20,
        "appends went on until the disk was full: {free} bytes left"
    );
    assert_eq!(client.count("default", ""), acknowledged, "reads go on");
    assert_eq!(client.get("/v1/tenants/default/events/0").status, 200);

    std::fs::remove_file(&filler).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = client.post_json("/v1/tenants/default/events", &event(1));
        if answer.status == 201 {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "appends do not resume: {}",
            answer.text()
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    server.stop();
    let out = crate::harness::binary()
        .args(["fsck", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    drop(server);
}

/// An event that does not compress.
fn noisy(n: u64) -> String {
    let mut event = event(n);
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise: String = (0..1500)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            char::from(b'a' + (x % 26) as u8)
        })
        .collect();
    event["metadata"]["noise"] = noise.into();
    event.to_string()
}

fn free_bytes(path: &Path) -> u64 {
    let out = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .nth(1)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}
