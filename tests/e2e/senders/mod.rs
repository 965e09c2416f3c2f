//! Other people's senders, from their own packages: every record arrives once, also when the server is killed meanwhile.
//!
//! `scripts/test` installs them: Python ones under `target/venv`, JavaScript ones under `target/node`, rsyslog from Debian.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Server, scale};

/// How often the server is killed under each sender.
const KILLS: usize = 3;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn with_server(mut command: Command, server: &Server) -> Command {
    command
        .env("ADDRESS", server.base())
        .env("CREDENTIAL", server.secret())
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command
}

fn python(server: &Server, client: &str, count: u64) -> Command {
    let mut command = Command::new(root().join("target/venv/bin/python"));
    command
        .arg(root().join("tests/e2e/senders/clients.py"))
        .args([client, &count.to_string()]);
    with_server(command, server)
}

fn node(server: &Server, client: &str, count: u64) -> Command {
    let mut command = Command::new("node");
    command
        .arg(root().join("tests/e2e/senders/clients.mjs"))
        .args([client, &count.to_string()])
        .env("MODULES", root().join("target/node"));
    with_server(command, server)
}

/// Runs a sender while the server is killed and started again, and checks that each of its records is there once.
fn each_record_arrives_once(prefix: &str, command: fn(&Server, &str, u64) -> Command, client: &str) {
    let count = scale("ATTESTORE_SENT", 1500);
    let mut server = Server::start();
    server.stay();
    let mut sender = command(&server, client, count).spawn().unwrap();
    for round in 0..KILLS {
        std::thread::sleep(Duration::from_millis(700 + 300 * round as u64));
        server.kill();
        server.run();
    }
    ended(&mut sender);
    check(&server, prefix, count);
}

fn ended(sender: &mut Child) {
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = sender.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(180) {
            sender.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    std::io::Read::read_to_string(&mut sender.stderr.take().unwrap(), &mut said).unwrap();
    assert!(status.success(), "{status}: {said}");
}

fn check(server: &Server, prefix: &str, count: u64) {
    let client = server.client();
    let search = json!({"query": format!("actor.id:{prefix}-*"), "limit": 1, "count": true,
        "aggs": {"actors": {"terms": {"field": "actor.id", "size": 5000}}}});
    let answer = client.request(
        "POST",
        "/v1/tenants/default/search",
        &[("content-type", "application/json")],
        search.to_string().as_bytes(),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    let buckets = answer.json()["aggregations"]["actors"]["buckets"].clone();
    let twice: Vec<&Value> = buckets
        .as_array()
        .unwrap()
        .iter()
        .filter(|bucket| bucket["doc_count"] != 1)
        .collect();
    assert_eq!(twice, Vec::<&Value>::new(), "records that arrived more than once");
    for n in [0, count / 2, count - 1] {
        assert_eq!(
            client.count("default", &format!("actor.id:{prefix}-{n}")),
            1,
            "{prefix}-{n}"
        );
    }
    assert_eq!(client.count("default", &format!("actor.id:{prefix}-*")), count);
}

#[test]
fn opentelemetry_for_python() {
    each_record_arrives_once("otel", python, "otel");
}

#[test]
fn opentelemetry_for_javascript() {
    each_record_arrives_once("otel-js", node, "otel");
}

#[test]
fn elasticsearch_for_python() {
    each_record_arrives_once("elasticsearch", python, "elasticsearch");
}

#[test]
fn opensearch_for_python() {
    each_record_arrives_once("opensearch", python, "opensearch");
}

#[test]
fn cloudevents_for_python() {
    each_record_arrives_once("cloudevents", python, "cloudevents");
}

#[test]
fn cloudevents_for_javascript() {
    let server = Server::start();
    let count = scale("ATTESTORE_SENT", 300);
    ended(&mut node(&server, "cloudevents", count).spawn().unwrap());
    check(&server, "cloudevents-js", count);
}

#[test]
fn rsyslog_with_omelasticsearch() {
    let count = scale("ATTESTORE_SENT", 1500);
    let mut server = Server::start();
    server.stay();
    let home = server.home().to_owned();
    let lines: String = (0..count)
        .map(|n| format!("session opened for rsyslog-{n}\n"))
        .collect();
    std::fs::write(home.join("in.log"), lines).unwrap();
    let conf = rsyslog_conf(&server, &home);
    let mut command = Command::new("/usr/sbin/rsyslogd");
    command
        .args(["-n", "-f"])
        .arg(conf)
        .arg("-i")
        .arg(home.join("rsyslogd.pid"));
    let mut sender = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..KILLS {
        std::thread::sleep(Duration::from_millis(500));
        server.kill();
        server.run();
    }
    let client = server.client();
    let begin = Instant::now();
    while client.count("default", "actor.id:rsyslog-*") < count && begin.elapsed() < Duration::from_secs(120)
    {
        std::thread::sleep(Duration::from_millis(200));
    }
    sender.kill().unwrap();
    sender.wait().unwrap();
    let errors = std::fs::read_to_string(home.join("errors.log")).unwrap_or_default();
    assert_eq!(errors, "", "what rsyslog could not deliver");
    check(&server, "rsyslog", count);
}

fn rsyslog_conf(server: &Server, home: &Path) -> PathBuf {
    let (host, port) = server
        .base()
        .strip_prefix("http://")
        .unwrap()
        .split_once(':')
        .unwrap();
    let conf = std::fs::read_to_string(root().join("tests/e2e/senders/rsyslog.conf"))
        .unwrap()
        .replace("@HOME@", home.to_str().unwrap())
        .replace("@HOST@", host)
        .replace("@PORT@", port)
        .replace("@CREDENTIAL@", server.secret());
    let path = home.join("rsyslog.conf");
    std::fs::write(&path, conf).unwrap();
    path
}
