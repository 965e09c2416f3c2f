//! Go's `x/mod/sumdb` verifies a log that this crate wrote, over HTTP, through `tests/interop/go/main.go`.
//!
//! Ignored by default: needs Go and Debian's `golang-golang-x-mod-dev` below `/usr/share/gocode`.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
};

use attestore_tlog::{
    Checkpoint, Frontier, Hash, NodeReader, NoteSigner, TilePath, VerifierKey, entry_bundle, leaf_hash,
    resources, root_at, sign_checkpoint, tile_hashes,
};
use ed25519_dalek::{Signer as _, SigningKey};

const ORIGIN: &str = "attestore.example/go";
const CREDENTIAL: &str = "secret";

type Files = BTreeMap<String, Vec<u8>>;

struct Signer(SigningKey);

impl NoteSigner for Signer {
    fn name(&self) -> &str {
        ORIGIN
    }

    fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    fn sign(&self, msg: &[u8]) -> Result<[u8; 64], attestore_tlog::NoteError> {
        Ok(self.0.sign(msg).to_bytes())
    }
}

struct Nodes(BTreeMap<(u8, u64), Hash>);

impl NodeReader for Nodes {
    type Error = (u8, u64);

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        self.0.get(&(level, index)).copied().ok_or((level, index))
    }
}

fn signer() -> Signer {
    Signer(SigningKey::from_bytes(&[9; 32]))
}

fn vkey() -> String {
    VerifierKey::new(ORIGIN, signer().public()).unwrap().to_string()
}

fn entry(i: u64) -> [u8; 44] {
    let mut entry = [0x3c; 44];
    entry[36..].copy_from_slice(&i.to_be_bytes());
    entry
}

/// Everything a log of `size` entries serves, by path.
fn log(size: u64) -> Files {
    let mut tree = Frontier::new();
    let mut nodes = Nodes(BTreeMap::new());
    for i in 0..size {
        let leaf = leaf_hash(&entry(i));
        nodes.0.insert((0, i), leaf);
        tree.push_with(leaf, |level, index, hash| {
            nodes.0.insert((level, index), hash);
        });
    }
    let mut files = Files::new();
    for resource in resources(size) {
        let bytes = match resource {
            TilePath::Tile(tile) => tile_hashes(&nodes, tile)
                .unwrap()
                .iter()
                .flat_map(|hash| hash.0)
                .collect(),
            TilePath::Entries(bundle) => entry_bundle(&bundle.entries().map(entry).collect::<Vec<_>>()),
        };
        files.insert(resource.to_string(), bytes);
    }
    let head = Checkpoint::new(ORIGIN, size, root_at(&nodes, size).unwrap()).unwrap();
    files.insert(
        "checkpoint".into(),
        sign_checkpoint(&head, &signer()).unwrap().into_bytes(),
    );
    files
}

/// Serves the files below `/log/` to whoever shows the credential; returns the URL prefix.
fn serve(files: Arc<Mutex<Files>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let prefix = format!("http://{}/log", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let files = Arc::clone(&files);
            thread::spawn(move || answer(stream.unwrap(), &files));
        }
    });
    prefix
}

fn answer(mut stream: TcpStream, files: &Mutex<Files>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap())
        .lines()
        .map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = request
        .split(' ')
        .nth(1)
        .unwrap()
        .strip_prefix("/log/")
        .unwrap_or_default();
    let (status, body) = if headers.contains(&format!("Authorization: Bearer {CREDENTIAL}")) {
        let found = files.lock().unwrap().get(path).cloned();
        found.map_or((404, vec![]), |body| (200, body))
    } else {
        (401, vec![])
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), &body].concat());
}

fn go(arguments: &[&str], prefix: &str, vkey: &str, credential: &str) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/go/main.go");
    let output = Command::new("go")
        .arg("run")
        .arg(program)
        .args(["-log", prefix, "-vkey", vkey])
        .args(arguments)
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOFLAGS", "")
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .env("ATTESTORE_CREDENTIAL", credential)
        .output()
        .unwrap();
    #[expect(clippy::print_stdout, reason = "shown when a check fails")]
    {
        println!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    output
}

fn passes(arguments: &[&str], prefix: &str) {
    let output = go(arguments, prefix, &vkey(), CREDENTIAL);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("all checks passed\n"));
}

fn fails_at(check: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(
        text.lines()
            .any(|line| line.starts_with(&format!("FAIL {check}"))),
        "no FAIL {check} in {text}"
    );
}

#[test]
#[ignore = "needs Go and golang-golang-x-mod-dev"]
fn go_verifies_logs_of_all_shapes_and_their_growth() {
    let saved = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-checkpoint");
    let saved = saved.to_str().unwrap();
    let files = Arc::new(Mutex::new(log(1)));
    let prefix = serve(Arc::clone(&files));
    passes(&["-records", "2", "-save", saved], &prefix);
    for size in [2, 255, 256, 257, 1_000, 65_536, 70_000] {
        *files.lock().unwrap() = log(size);
        passes(&["-tamper", "-old", saved, "-save", saved], &prefix);
    }
    // The log shrinks: what was saved last is larger.
    *files.lock().unwrap() = log(1_000);
    fails_at(
        "consistency with",
        &go(&["-old", saved], &prefix, &vkey(), CREDENTIAL),
    );
}

#[test]
#[ignore = "needs Go and golang-golang-x-mod-dev"]
fn go_refuses_damage_absence_and_strangers() {
    let sound = log(600);
    let files = Arc::new(Mutex::new(sound.clone()));
    let prefix = serve(Arc::clone(&files));
    let run = || go(&["-records", "40", "-seed", "1"], &prefix, &vkey(), CREDENTIAL);

    files.lock().unwrap().get_mut("tile/0/001").unwrap()[77] ^= 1;
    fails_at("inclusion of record", &run());
    *files.lock().unwrap() = sound.clone();
    files.lock().unwrap().get_mut("tile/1/000.p/2").unwrap()[0] ^= 1;
    fails_at("root from tiles", &run());
    *files.lock().unwrap() = sound.clone();
    files.lock().unwrap().remove("tile/entries/002.p/88");
    fails_at("inclusion of record", &run());
    *files.lock().unwrap() = sound.clone();
    files.lock().unwrap().get_mut("checkpoint").unwrap()[0] ^= 1;
    fails_at("checkpoint note", &run());
    *files.lock().unwrap() = sound;

    let other = VerifierKey::new(
        ORIGIN,
        SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes(),
    )
    .unwrap();
    fails_at(
        "checkpoint note",
        &go(&[], &prefix, &other.to_string(), CREDENTIAL),
    );
    fails_at("fetch checkpoint", &go(&[], &prefix, &vkey(), "wrong"));
    passes(&[], &prefix);
}
