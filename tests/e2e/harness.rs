//! A server process of our own, and a small HTTP client for it.
//!
//! With `ATTESTORE_TEST_ROOT=softhsm` the root of every server is in SoftHSM 2, in a token of the test's own, unless the test says where
//! it is.

pub mod token;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a server may take to start before a test gives up.
const START_MAX: Duration = Duration::from_secs(60);

/// The binary under test; `ATTESTORE_BINARY` names another build of it, for tests that measure.
pub fn binary() -> Command {
    let built = || env!("CARGO_BIN_EXE_attestore").into();
    let mut command = Command::new(std::env::var_os("ATTESTORE_BINARY").unwrap_or_else(built));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    match std::env::var("ATTESTORE_TEST_ROOT").as_deref() {
        Ok("softhsm") => drop(command.envs(token::of_this_process())),
        Ok(other) => panic!("ATTESTORE_TEST_ROOT={other}: there is softhsm"),
        Err(_) => {}
    }
    command
}

/// Copies a folder as it is.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// A number that the tier sets through the environment.
pub fn scale(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |v| {
        v.parse().unwrap_or_else(|_| panic!("{name} is not a number"))
    })
}

/// A data directory, the credential file beside it and, while it runs, the server.
pub struct Server {
    home: TempDir,
    child: Option<Child>,
    base: String,
    secret: String,
    /// Everything that servers of this home wrote to their standard error.
    log: PathBuf,
    extra: Vec<String>,
    env: Vec<(String, String)>,
    data: Option<PathBuf>,
    /// The address that further servers of this home listen on, for clients that stay.
    stay: Option<String>,
}

impl Server {
    /// Starts a server with embedded defaults in a fresh directory.
    pub fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// Starts a server with more arguments and variables.
    pub fn start_with(extra: &[&str], env: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(tempfile::tempdir().unwrap());
        server.extra = extra.iter().map(ToString::to_string).collect();
        server.env = env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        server.run();
        server
    }

    /// Starts a server whose data directory lies elsewhere.
    pub fn start_in(data: &Path, env: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(tempfile::tempdir().unwrap());
        server.env = env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        server.data = Some(data.to_owned());
        server.run();
        server
    }

    /// Takes a directory without starting anything.
    pub fn prepare(home: TempDir) -> Self {
        let log = home.path().join("stderr.log");
        Self {
            home,
            child: None,
            base: String::new(),
            secret: String::new(),
            log,
            extra: Vec::new(),
            env: Vec::new(),
            data: None,
            stay: None,
        }
    }

    /// Starts the server and waits until it says where it listens. Returns how long that took.
    pub fn run(&mut self) -> Duration {
        self.try_run()
            .unwrap_or_else(|status| panic!("the server ended with {status}: {}", self.log_text()))
    }

    /// Starts the server on a directory that was restored: its root is in the open, and goes where the tests have it first.
    pub fn run_restored(&mut self) -> Duration {
        if std::env::var_os("ATTESTORE_TEST_ROOT").is_some() {
            let mut moving = binary();
            moving
                .args(["key", "move-root", "--to", "pkcs11", "--data"])
                .arg(self.data());
            moving.args(["--module", token::MODULE, "--label", token::LABEL]);
            let moved = moving.output().unwrap();
            assert!(moved.status.success(), "{moved:?}");
        }
        self.run()
    }

    /// As [`Server::run`], but a server that ends instead is an `Err`.
    pub fn try_run(&mut self) -> Result<Duration, ExitStatus> {
        let started = Instant::now();
        let credential = self.home.path().join("credential");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let mut command = binary();
        command
            .args([
                "serve",
                "--listen",
                self.stay.as_deref().unwrap_or("127.0.0.1:0"),
                "--data",
            ])
            .arg(self.data())
            .env("ATTESTORE_LOG__FORMAT", "json")
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .args(&self.extra)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if !credential.exists() {
            command.arg("--bootstrap-credential-file").arg(&credential);
        }
        let mut child = command.spawn().unwrap();
        let (found, address) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            use std::io::Write;
            let mut log = log;
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                let _ = writeln!(log, "{line}");
                let parsed: Value = serde_json::from_str(&line).unwrap_or_default();
                if ["serving", "sealed"]
                    .iter()
                    .any(|word| parsed["fields"]["message"] == *word)
                {
                    let _ = found.send(
                        parsed["fields"]["address"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned(),
                    );
                }
            }
        });
        loop {
            if let Ok(address) = address.recv_timeout(Duration::from_millis(20)) {
                self.base = format!("http://{address}");
                self.child = Some(child);
                self.secret = std::fs::read_to_string(&credential).unwrap().trim().to_owned();
                return Ok(started.elapsed());
            }
            if let Some(status) = child.try_wait().unwrap() {
                std::thread::sleep(Duration::from_millis(50));
                return Err(status);
            }
            assert!(
                started.elapsed() < START_MAX,
                "the server does not start: {}",
                self.log_text()
            );
        }
    }

    /// Makes every further server of this home listen where this one does.
    pub fn stay(&mut self) {
        self.stay = self.base.strip_prefix("http://").map(str::to_owned);
    }

    /// Makes further servers of this home listen there.
    pub fn listen_on(&mut self, address: &str) {
        self.stay = Some(address.to_owned());
    }

    /// Gives further servers of this home a variable.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a variable from further servers of this home.
    pub fn unset_env(&mut self, name: &str) {
        self.env.retain(|(other, _)| other != name);
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| self.home.path().join("data"))
    }

    /// The folder around it.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Process id of the running server.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Base URL, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The first credential: admin, ingest, reader and investigator.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Everything on standard error so far.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL, as a crash would end it.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM and wait: drains and closes.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let status = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(status.success());
        let status = child.wait().unwrap();
        assert!(
            status.success(),
            "the server ended with {status}: {}",
            self.log_text()
        );
    }

    /// Key of the default tenant's log.
    pub fn vkey(&self) -> String {
        let vkey = self.client().get("/v1/tenants/default/log/vkey");
        vkey.text().trim().to_owned()
    }

    /// A client with the first credential.
    pub fn client(&self) -> Client {
        Client::new(&self.base, &self.secret)
    }

    /// Runs a client command against this server.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = binary();
        command
            .args(arguments)
            .env("ATTESTORE_URL", &self.base)
            .env("ATTESTORE_CREDENTIAL", &self.secret);
        command.output().unwrap()
    }

    /// Runs a client command that must succeed and returns its standard output.
    pub fn cli_ok(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Requests under one credential.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    secret: String,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Answer {
    /// The first header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Asserts a problem document with this status and code, and returns it.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.content_type, "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(!problem["detail"].as_str().unwrap_or("").is_empty(), "{problem}");
        problem
    }
}

impl Client {
    pub fn new(base: &str, secret: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        Self {
            agent,
            base: base.to_owned(),
            secret: secret.to_owned(),
        }
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if !self.secret.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.secret));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = if body.is_empty() && matches!(method, "GET" | "DELETE") {
            self.agent.run(request.body(()).unwrap())?
        } else {
            self.agent.run(request.body(body).unwrap())?
        };
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes)?;
        let headers = response.headers().iter();
        let headers: Vec<(String, String)> = headers
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        let mut answer = Answer {
            status: response.status().as_u16(),
            content_type: String::new(),
            body: bytes,
            headers,
        };
        answer.content_type = answer.header("content-type").unwrap_or_default().to_owned();
        Ok(answer)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], &[])
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.request(
            "POST",
            path,
            &[("content-type", "application/json")],
            &serde_json::to_vec(body).unwrap(),
        )
    }

    pub fn post_ndjson(&self, path: &str, lines: &str) -> Answer {
        self.request(
            "POST",
            path,
            &[("content-type", "application/x-ndjson")],
            lines.as_bytes(),
        )
    }

    /// Counts what a query matches, by reading every page.
    pub fn count(&self, tenant: &str, query: &str) -> u64 {
        let answer = self.get(&format!(
            "/v1/tenants/{tenant}/events?limit=1&count=true&q={}",
            escape(query)
        ));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["count"].as_u64().unwrap()
    }

    /// All records that a query matches, oldest first.
    pub fn all(&self, tenant: &str, query: &str) -> Vec<Value> {
        let base = format!(
            "/v1/tenants/{tenant}/events?limit=1000&order=oldest&q={}",
            escape(query)
        );
        let (mut records, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = self.get(&format!("{base}{cursor}"));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let mut page = answer.json();
            let Value::Array(items) = page["items"].take() else {
                panic!("{page}")
            };
            records.extend(items);
            match page["cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", escape(next)),
                None => return records,
            }
        }
    }
}

/// Percent-encodes a query value.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

/// An event that is valid as it stands.
pub fn event(n: u64) -> Value {
    serde_json::json!({
        "action": "invoice.export", "actor": {"type": "user", "id": format!("u_{n}"), "name": "Ann"},
        "targets": [{"type": "invoice", "id": format!("inv_{n}")}], "outcome": "success",
        "context": {"ip": "203.0.113.9", "request_id": format!("req-{n}")}, "metadata": {"n": n},
    })
}
