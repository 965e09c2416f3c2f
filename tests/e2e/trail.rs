//! Real CloudTrail records (a ragged sample) and many generated ones: none refused, found by what investigators ask for,
//! counts equal a recount by jq, and every record re-hashed from disk.

use std::process::Command;

use crate::harness::{Server, binary, scale};

const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crates/record/tests/data/cloudtrail-sample.ndjson"
);

fn jq(filter: &str, files: &[&str]) -> u64 {
    let out = Command::new("jq")
        .args(["-n", &format!("[inputs | select({filter})] | length")])
        .args(files)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_trail_is_found_counted_and_verified() {
    let events = scale("ATTESTORE_EVENTS", 20_000);
    let mut server = Server::start_with(&[], &[("ATTESTORE_ENGINE__FLUSH_TAIL_BYTES", "4000000")]);
    let generated = server.home().join("generated.ndjson");
    let generated = generated.to_str().unwrap();
    server.cli_ok(&[
        "bench",
        "generate",
        "-n",
        &events.to_string(),
        "--seed",
        "11",
        "-o",
        generated,
    ]);
    for file in [SAMPLE, generated] {
        let out = server.cli_ok(&["append", file, "--mapping", "cloudtrail", "--output", "json"]);
        let out: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out["refused"], 0, "{file}: {out}");
    }
    let files = [SAMPLE, generated];
    let cases = [
        ("", "true"),
        (
            "action:s3.get_object",
            r#".eventSource == "s3.amazonaws.com" and .eventName == "GetObject""#,
        ),
        ("action:iam.*", r#".eventSource == "iam.amazonaws.com""#),
        (
            "actor.name:user-00001",
            r#".userIdentity.userName == "user-00001" or ((.userIdentity.arn // "") | endswith("/user-00001"))"#,
        ),
        ("outcome:failure OR outcome:denied", ".errorCode != null"),
        ("ip:10.0.0.0/8", r#".sourceIPAddress | test("^10\\.")"#),
        (
            "source.service:kms.amazonaws.com",
            r#".eventSource == "kms.amazonaws.com""#,
        ),
        ("terraform", r#".userAgent | test("terraform"; "i")"#),
        (
            "outcome:success AND action:kms.decrypt",
            r#".errorCode == null and .eventName == "Decrypt" and .eventSource == "kms.amazonaws.com""#,
        ),
    ];
    let check = |server: &Server| {
        for (query, filter) in cases {
            assert_eq!(
                server.client().count("default", query),
                jq(filter, &files),
                "{query}"
            );
        }
        let day = server.client().get(
            "/v1/tenants/default/events?limit=1&count=true&from=2026-01-01T00:10:00Z&to=2026-01-01T00:20:00Z",
        );
        assert_eq!(
            day.json()["count"].as_u64(),
            Some(jq(
                r#".eventTime >= "2026-01-01T00:10:00Z" and .eventTime < "2026-01-01T00:20:00Z""#,
                &files
            )),
            "a time range"
        );
    };
    check(&server);
    server.kill();
    server.run();
    check(&server);
    server.stop();

    let out = binary()
        .args(["verify", "--output", "json", "--data"])
        .arg(server.data())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        report["report"]["records"].as_u64(),
        Some(jq("true", &files)),
        "{report}"
    );
}
