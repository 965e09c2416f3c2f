//! The head register as an object in a bucket, over a server that speaks S3 (PyPI: moto).

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Server, binary, copy, event};

const EVENTS: &str = "/v1/tenants/default/events";
pub const CREDENTIALS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "tester"),
    ("AWS_SECRET_ACCESS_KEY", "secret-of-tester"),
];

/// A store of other people's making.
pub struct Store {
    child: Child,
    pub port: u16,
}

impl Store {
    /// A store with an empty bucket.
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
        let child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("scripts/test installs Python packages");
        let store = Self { child, port };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "the store does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        let made = Command::new("curl")
            .args(["-sf", "-X", "PUT", &format!("http://127.0.0.1:{port}/audit")])
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "no bucket");
        store
    }

    fn register(&self) -> String {
        format!("s3://audit/heads/one?endpoint=http://127.0.0.1:{}", self.port)
    }

    fn server(&self) -> Server {
        Server::start_with(&["--head-register", &self.register()], &CREDENTIALS)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_bucket_remembers_what_a_restored_directory_does_not() {
    let store = Store::start();
    let mut server = store.server();
    let append = |server: &Server, n| server.client().post_json(EVENTS, &event(n));
    assert_eq!(
        server.client().get("/readyz").json()["warnings"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(append(&server, 0).status, 201);
    server.stop();
    let old = server.home().join("old");
    copy(&server.data(), &old);
    server.run();
    for n in 1..5 {
        assert_eq!(append(&server, n).status, 201);
        assert_eq!(
            server.client().get("/v1/tenants/default/log/checkpoint").status,
            200
        );
    }
    server.stop();
    std::fs::remove_dir_all(server.data()).unwrap();
    copy(&old, &server.data());
    server.run();
    let problem = append(&server, 9).problem(409, "rolled_back");
    assert!(problem["detail"].as_str().unwrap().contains('5'), "{problem}");
    server.stop();

    let data = server.data().to_str().unwrap().to_owned();
    let fsck = ["fsck", "--data", &data, "--head-register", &store.register()];
    let found = binary().args(fsck).envs(CREDENTIALS).output().unwrap();
    assert_eq!(
        found.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
    let fork = [
        "fork",
        "--data",
        &data,
        "--head-register",
        &store.register(),
        "--reason",
        "restored",
    ];
    let forked = binary().args(fork).envs(CREDENTIALS).output().unwrap();
    assert!(
        forked.status.success(),
        "{}",
        String::from_utf8_lossy(&forked.stderr)
    );
    server.run();
    assert_eq!(append(&server, 9).status, 201);
}

#[test]
fn a_copy_that_takes_the_register_over_stops_the_first() {
    let store = Store::start();
    let mut first = store.server();
    first.client().post_json(EVENTS, &event(0));
    first.stop();
    let home = tempfile::tempdir().unwrap();
    copy(&first.data(), &home.path().join("data"));
    copy(&first.home().join("credential"), &home.path().join("credential"));
    first.run();
    let mut second = Server::prepare(home);
    for (name, value) in CREDENTIALS {
        second.set_env(name, value);
    }
    second.set_env("ATTESTORE_HEAD_REGISTER", &store.register());
    second.run();
    assert!(second.log_text().contains("clone"), "{}", second.log_text());
    let refused = first.client();
    let begin = Instant::now();
    while refused.post_json(EVENTS, &event(1)).status == 201 {
        assert!(begin.elapsed() < Duration::from_secs(20), "the first goes on");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(
        first.log_text().contains("took over the head register"),
        "{}",
        first.log_text()
    );
}

#[test]
fn without_the_store_appends_are_durable_and_nothing_is_signed() {
    let mut store = Store::start();
    let server = store.server();
    assert_eq!(server.client().post_json(EVENTS, &event(0)).status, 201);
    store.child.kill().unwrap();
    store.child.wait().unwrap();
    let body = serde_json::to_vec(&event(1)).unwrap();
    let headers = [("content-type", "application/json"), ("prefer", "receipt=signed")];
    let answer = server.client().request("POST", EVENTS, &headers, &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["durability"], "durable", "{answer}");
    assert!(
        answer["receipt_failure"].as_str().unwrap().contains("register"),
        "{answer}"
    );
    assert_eq!(
        server.client().get("/v1/tenants/default/log/checkpoint").status,
        503
    );
    assert!(
        !server.log_text().contains("X-Amz-Signature"),
        "signed URLs are secrets"
    );
}

#[test]
fn a_register_that_makes_no_sense_or_has_no_credentials_is_said_at_once() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let serve = |register: &str| {
        let mut command = binary();
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--head-register",
                register,
                "--data",
            ])
            .arg(&data);
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (register, reason) in [
        ("s3://audit", "no key"),
        ("s3://audit/heads?endpoint=nowhere", "endpoint"),
        ("s3://audit/heads?acl=public", "acl"),
        ("s3://audit/heads", "AWS_ACCESS_KEY_ID"),
    ] {
        let (code, said) = serve(register);
        assert_eq!(code, Some(2), "{register}: {said}");
        assert!(said.contains(reason), "{register}: {said}");
    }
}
