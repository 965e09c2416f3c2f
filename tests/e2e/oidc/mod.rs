//! Tokens of a real OpenID provider (npm oidc-provider) against the real server: what is accepted, what is not, and what
//! happens when the provider changes its keys, errs, or is gone.
//!
//! `scripts/test` installs the provider under `target/node`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Client, Server, escape, event};

/// A provider in its own process.
struct Issuer {
    child: Child,
    url: String,
}

impl Issuer {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("node")
            .arg(root.join("tests/e2e/oidc/issuer.mjs"))
            .env("MODULES", root.join("target/node"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs: scripts/test installs it");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value = serde_json::from_str(&line).expect("the provider starts: scripts/test installs it");
        Self {
            child,
            url: said["url"].as_str().unwrap().to_owned(),
        }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, "")
    }

    /// A token for this client, scope and resource, by the client credentials grant.
    fn token_for(&self, client: &str, scope: &str, resource: &str) -> String {
        let body = format!(
            "grant_type=client_credentials&client_id={client}&client_secret=secret&scope={}&resource={}",
            escape(scope),
            escape(resource)
        );
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.client().request("POST", "/token", &kind, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    fn token(&self, scope: &str) -> String {
        self.token_for("siem", scope, "urn:attestore")
    }

    fn test(&self, path: &str) -> String {
        let answer = self.client().get(&format!("/test/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that believes the issuer. `more` are further settings of it.
fn believing(issuer: &Issuer, more: &str) -> Server {
    let url = &issuer.url;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attestore.toml");
    let settings = format!(
        r#"
[oidc]
allow_loopback_http = true

[[oidc.issuers]]
name = "corp"
issuer = "{url}"
audiences = ["attestore"]
algorithms = ["ES256"]
leeway_s = 0
keys_cooldown_s = 1
{more}

[[oidc.issuers.rules]]
claim = "scope"
equals = "audit.read"
roles = ["reader"]

[[oidc.issuers.rules]]
claim = "scope"
equals = "audit.write"
roles = ["ingest"]

[[oidc.issuers.rules]]
tenants_from = "/org/tenants"
"#
    );
    std::fs::write(&path, settings).unwrap();
    Server::start_with(&["--config", path.to_str().unwrap()], &[])
}

fn status(server: &Server, token: &str) -> u16 {
    let answer = Client::new(server.base(), token).get(EVENTS);
    if answer.status == 401 {
        answer.problem(401, "unauthenticated");
    }
    answer.status
}

/// Asks until the answer is the wanted one, for as long as the cool-down between fetches may take.
fn becomes(server: &Server, token: &str, want: u16) {
    let until = Instant::now() + Duration::from_secs(20);
    while status(server, token) != want {
        assert!(
            Instant::now() < until,
            "no {want} within 20 s: {}",
            server.log_text()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

const EVENTS: &str = "/v1/tenants/default/events";

#[test]
fn claims_decide_what_a_token_may_do() {
    let issuer = Issuer::start();
    let server = believing(&issuer, "");
    let with = |token: &str| Client::new(server.base(), token);
    let (reads, writes) = (issuer.token("audit.read"), issuer.token("audit.write"));

    let appended = with(&writes).post_json(EVENTS, &event(1));
    assert_eq!(appended.status, 201, "{}", appended.text());
    with(&writes).get(EVENTS).problem(403, "forbidden");
    with(&reads)
        .post_json(EVENTS, &event(2))
        .problem(403, "forbidden");
    assert_eq!(with(&reads).get(EVENTS).status, 200);
    assert_eq!(
        with(&issuer.token("audit.read audit.write")).get(EVENTS).status,
        200
    );

    // Its acts are on record under its issuer and subject, never to be taken for a credential.
    let account = server
        .client()
        .get("/v1/tenants/_system/events?limit=1000")
        .text();
    assert!(account.contains("jwt:corp:siem"), "{account}");

    // Another tenant does not exist, whether it does or not; nor does the server's own log.
    assert_eq!(
        server
            .client()
            .request("PUT", "/v1/tenants/acme", &[], b"{}")
            .status,
        201
    );
    for tenant in ["acme", "absent", "_system"] {
        let answer = with(&reads).get(&format!("/v1/tenants/{tenant}/events"));
        answer.problem(404, "unknown_tenant");
    }
    let theirs = issuer.token_for("billing", "audit.read", "urn:attestore");
    assert_eq!(with(&theirs).get("/v1/tenants/acme/events").status, 200);
    with(&theirs).get(EVENTS).problem(404, "unknown_tenant");
    with(&issuer.token("audit.admin"))
        .get(EVENTS)
        .problem(403, "forbidden");
    with(&reads).get("/v1/credentials").problem(403, "forbidden");
}

#[test]
fn forged_confused_and_misdirected_tokens_are_refused() {
    let issuer = Issuer::start();
    let server = believing(&issuer, "");
    let good = issuer.token("audit.read");
    assert_eq!(status(&server, &good), 200);
    for kind in [
        "hs256-pem",
        "hs256-x",
        "none",
        "none-signed",
        "own-key",
        "own-jwk",
        "jku",
        "tampered",
        "der",
        "zeros",
        "no-signature",
    ] {
        let forged = issuer.test(&format!("forge?kind={kind}&token={good}"));
        assert_ne!(forged, good);
        assert_eq!(status(&server, &forged), 401, "{kind}");
    }
    let misdirected = issuer.token_for("siem", "audit.read", "urn:other");
    assert_eq!(status(&server, &misdirected), 401, "another audience");
    for at in (0..good.len()).step_by(5) {
        let mut changed = good.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(status(&server, &changed), 401, "character {at}");
    }
    assert_eq!(status(&server, &good), 200);
    let log = server.log_text();
    let signature = good.rsplit_once('.').unwrap().1;
    assert!(!log.contains(signature), "tokens are not logged");
}

#[test]
fn a_token_works_in_its_time_only() {
    let issuer = Issuer::start();
    let server = believing(&issuer, "");
    issuer.test("clock?s=-3600");
    assert_eq!(status(&server, &issuer.token("audit.read")), 401, "expired");
    issuer.test("clock?s=3600");
    assert_eq!(
        status(&server, &issuer.token("audit.read")),
        401,
        "issued in the future"
    );
    // Ten minutes of life, of which seconds are left: it ends while the server knows it.
    issuer.test("clock?s=-595");
    let ending = issuer.token("audit.read");
    assert_eq!(status(&server, &ending), 200);
    becomes(&server, &ending, 401);
    issuer.test("clock?s=0");
    assert_eq!(status(&server, &issuer.token("audit.read")), 200);
}

#[test]
fn keys_may_rotate_and_old_ones_end() {
    let issuer = Issuer::start();
    let server = believing(&issuer, "recheck_s = 1\nkeys_fresh_s = 1\nkeys_stale_max_s = 5");
    let old = issuer.token("audit.read");
    assert_eq!(status(&server, &old), 200);
    issuer.test("rotate");
    becomes(&server, &issuer.token("audit.read"), 200);
    becomes(&server, &old, 401);
}

#[test]
fn without_its_issuer_tokens_work_for_a_while_and_credentials_always() {
    let issuer = Issuer::start();
    let server = believing(&issuer, "recheck_s = 1\nkeys_fresh_s = 1\nkeys_stale_max_s = 4");
    let token = issuer.token("audit.read");
    assert_eq!(status(&server, &token), 200);
    drop(issuer);
    assert_eq!(status(&server, &token), 200);
    becomes(&server, &token, 503);
    let refused = Client::new(server.base(), &token).get(EVENTS);
    refused.problem(503, "issuer_unavailable");
    assert_eq!(server.client().get(EVENTS).status, 200);
}

#[test]
fn without_settings_no_token_is_believed() {
    let issuer = Issuer::start();
    let server = Server::start();
    assert_eq!(status(&server, &issuer.token("audit.read")), 401);
}
