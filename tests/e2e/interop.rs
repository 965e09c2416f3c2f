//! The served log, verified over HTTP by software that we did not write: the crates `signed_note` and `tlog_tiles`, and
//! Go's `golang.org/x/mod/sumdb`.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles as theirs;

use crate::harness::{Client, Server, scale};

const LOG: &str = "/v1/tenants/default/log";

/// A server with a log that needs several tiles, partly flushed, partly in the tail.
fn filled() -> Server {
    let server = Server::start_with(
        &[],
        &[
            ("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "200000"),
            ("ATTESTORE_ENGINE__FLUSH_AGE_MS", "500"),
        ],
    );
    append(&server, 1, scale("ATTESTORE_EVENTS", 3000).min(20_000));
    server
}

fn append(server: &Server, seed: u64, count: u64) {
    let file = server.home().join(format!("trail-{seed}.ndjson"));
    let file = file.to_str().unwrap();
    server.cli_ok(&[
        "bench",
        "generate",
        "-n",
        &count.to_string(),
        "--seed",
        &seed.to_string(),
        "-o",
        file,
    ]);
    server.cli_ok(&["append", file, "--mapping", "cloudtrail"]);
}

struct Tiles<'a> {
    client: &'a Client,
    flip: Cell<bool>,
}

impl theirs::TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[theirs::Tile]) -> Result<Vec<Vec<u8>>, theirs::Error> {
        let mut contents = Vec::new();
        for tile in tiles {
            // Their paths carry the height, C2SP's do not.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let answer = self.client.get(&format!("{LOG}/{path}"));
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let mut bytes = answer.body;
            if self.flip.get() {
                bytes[5] ^= 1;
            }
            contents.push(bytes);
        }
        Ok(contents)
    }

    fn save_tiles(&self, _tiles: &[theirs::Tile], _data: &[Vec<u8>]) {}
}

fn head(client: &Client) -> theirs::Checkpoint {
    let vkey = client.get(&format!("{LOG}/vkey")).text();
    let checkpoint = client.get(&format!("{LOG}/checkpoint"));
    assert_eq!(checkpoint.status, 200, "{}", checkpoint.text());
    let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey.trim()).unwrap())]);
    let note = Note::from_bytes(&checkpoint.body).unwrap();
    let (verified, unknown) = note.verify(&verifiers).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    theirs::Checkpoint::from_bytes(note.text()).unwrap()
}

fn entry(client: &Client, seq: u64) -> Vec<u8> {
    let answer = client.get(&format!("/v1/tenants/default/events/{seq}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let hex = answer.json()["entry"].as_str().unwrap().to_owned();
    (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

#[test]
fn rust_crates_verify_inclusion_and_consistency_and_refuse_a_flipped_byte() {
    let server = filled();
    let client = server.client();
    let old = head(&client);
    append(&server, 2, 700);
    let new = head(&client);
    assert!(new.size() > old.size());
    let (size, root) = (new.size(), *new.hash());

    let tiles = Tiles {
        client: &client,
        flip: Cell::new(false),
    };
    let reader = theirs::TileHashReader::new(size, root, &tiles);
    for i in 0..20u64 {
        let seq = (i * 7919 + 13) % size;
        let proof = theirs::prove_record(size, seq, &reader).unwrap();
        theirs::check_record(&proof, size, root, seq, theirs::record_hash(&entry(&client, seq))).unwrap();
        let mut other = entry(&client, seq);
        other[20] ^= 1;
        assert!(theirs::check_record(&proof, size, root, seq, theirs::record_hash(&other)).is_err());
    }
    let proof = theirs::prove_tree(size, old.size(), &reader).unwrap();
    theirs::check_tree(&proof, size, root, old.size(), *old.hash()).unwrap();

    tiles.flip.set(true);
    let reader = theirs::TileHashReader::new(size, root, &tiles);
    assert!(
        theirs::prove_record(size, 5, &reader).is_err(),
        "a flipped byte in a tile went unnoticed"
    );
}

#[test]
fn go_sumdb_verifies_the_log_and_refuses_a_flipped_byte() {
    let packages = Path::new("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog");
    if Command::new("go").arg("version").output().is_err() || !packages.exists() {
        eprintln!("SKIPPED: Go or golang-golang-x-mod-dev is not installed; scripts/test installs them");
        return;
    }
    let server = filled();
    let client = server.client();
    let old = server.home().join("old-checkpoint");
    let vkey = client.get(&format!("{LOG}/vkey")).text();
    let go = |arguments: &[&str]| {
        let output = Command::new("go")
            .args([
                "run",
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/go/main.go"),
            ])
            .args(arguments)
            .env("GO111MODULE", "off")
            .env("GOPATH", "/usr/share/gocode")
            .env("GOCACHE", server.home().join("go-cache"))
            .env("ATTESTORE_LOG", format!("{}{LOG}", server.base()))
            .env("ATTESTORE_VKEY", vkey.trim())
            .env("ATTESTORE_CREDENTIAL", server.secret())
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code(), text)
    };
    let old = old.to_str().unwrap();
    let (code, text) = go(&["-save", old]);
    assert_eq!(code, Some(0), "{text}");
    append(&server, 3, 900);
    let (code, text) = go(&["-old", old, "-records", "40", "-tamper"]);
    assert_eq!(code, Some(0), "{text}");
}
