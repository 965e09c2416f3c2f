//! The routes: ranges, tags, states, permissions, refusals, and the commands around them.

use serde_json::{Value, json};

use super::{EXPORTS, done, fill, make, ndjson, show};
use crate::harness::{Client, Server};

fn credential(server: &Server, role: &str) -> Client {
    let path = "/v1/tenants/default/credentials";
    let made = server
        .client()
        .post_json(path, &json!({"name": role, "roles": [role]}));
    assert_eq!(made.status, 201, "{}", made.text());
    Client::new(server.base(), made.json()["secret"].as_str().unwrap())
}

#[test]
fn files_are_served_by_range_with_their_hash_as_tag() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 2000);
    let id = make(&client, &ndjson(""));
    let export = done(&client, &id);
    let path = format!(
        "{EXPORTS}/{id}/files/{}",
        export["files"][0]["name"].as_str().unwrap()
    );
    let whole = client.get(&path);
    assert_eq!(
        whole.body.len() as u64,
        export["files"][0]["bytes"].as_u64().unwrap()
    );
    let sha256 = export["files"][0]["sha256"].as_str().unwrap();
    let etag = format!("\"{sha256}\"");
    for (range, expected) in [
        ("bytes=0-9", &whole.body[..10]),
        ("bytes=300000-400000", &whole.body[300_000..=400_000]),
        ("bytes=-7", &whole.body[whole.body.len() - 7..]),
    ] {
        let part = client.request("GET", &path, &[("range", range), ("if-range", &etag)], &[]);
        assert_eq!((part.status, part.body.as_slice()), (206, expected), "{range}");
    }
    let other = client.request(
        "GET",
        &path,
        &[("range", "bytes=0-9"), ("if-range", "\"x\"")],
        &[],
    );
    assert_eq!((other.status, other.body.len()), (200, whole.body.len()));
    let same = client.request("GET", &path, &[("if-none-match", &etag)], &[]);
    assert_eq!((same.status, same.body.len()), (304, 0));
    let beyond = client.request("GET", &path, &[("range", "bytes=99999999-")], &[]);
    beyond.problem(416, "range_not_satisfiable");
    let manifest = client.get(&format!("{EXPORTS}/{id}/manifest"));
    assert_eq!(manifest.content_type, "application/json");
    assert_eq!(manifest.json()["files"][0]["sha256"], sha256);
    assert_eq!(
        manifest.body,
        client.get(&format!("{EXPORTS}/{id}/files/manifest.json")).body
    );
    for name in [
        "part-00001.ndjson",
        "part-00000.csv",
        "part-99999999999.ndjson",
        "..%2Fcatalog",
        "x",
    ] {
        client
            .get(&format!("{EXPORTS}/{id}/files/{name}"))
            .problem(404, "not_found");
    }
}

#[test]
fn personal_exports_are_for_investigators_and_other_tenants_see_none() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 20);
    let (reader, investigator) = (credential(&server, "reader"), credential(&server, "investigator"));
    let personal = make(&investigator, &ndjson("actor.id:u_3"));
    let plain = make(&reader, &ndjson(""));
    let (personal_export, plain_export) = (done(&client, &personal), done(&client, &plain));
    assert_eq!(
        (&personal_export["personal"], &plain_export["personal"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(personal_export["progress"]["written"], 1);
    let seen = show(&reader, &personal);
    assert_eq!(seen["query"], "[personal]");
    assert_eq!(
        (&seen["files"], &seen["progress"]["written"]),
        (&json!([]), &json!(null))
    );
    for file in [
        "manifest",
        "files/manifest.json",
        "files/manifest.note",
        "files/part-00000.ndjson",
    ] {
        reader
            .get(&format!("{EXPORTS}/{personal}/{file}"))
            .problem(403, "forbidden");
        assert_eq!(
            investigator.get(&format!("{EXPORTS}/{personal}/{file}")).status,
            200
        );
    }
    let file = reader
        .get(&format!("{EXPORTS}/{plain}/files/part-00000.ndjson"))
        .text();
    assert!(file.contains("[personal]") && !file.contains("u_3\""), "{file}");
    credential(&server, "ingest")
        .get(EXPORTS)
        .problem(403, "forbidden");
    client.request("PUT", "/v1/tenants/other", &[], b"{}");
    client
        .get(&format!("/v1/tenants/other/exports/{plain}"))
        .problem(404, "not_found");
    assert_eq!(client.get("/v1/tenants/other/exports").json()["items"], json!([]));
    reader
        .get(&format!("/v1/tenants/other/exports/{plain}"))
        .problem(404, "unknown_tenant");
    // Who exported and downloaded what stands in the log of the instance.
    let logged = client.all("_system", "action:export.create OR action:export.download");
    let actions: Vec<&str> = logged
        .iter()
        .map(|r| r["event"]["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions
            .iter()
            .filter(|action| **action == "export.create")
            .count(),
        2
    );
    assert!(actions.contains(&"export.download"), "{actions:?}");
    assert!(!logged.iter().any(|record| record.to_string().contains("u_3")));
}

#[test]
fn no_header_keeps_a_download_out_of_the_log() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 50);
    let id = make(&client, &ndjson(""));
    let export = done(&client, &id);
    let name = export["files"][0]["name"].as_str().unwrap();
    let etag = format!("\"{}\"", export["files"][0]["sha256"].as_str().unwrap());
    let path = format!("{EXPORTS}/{id}/files/{name}");
    let logged = || client.all("_system", "action:export.download").len();
    let before = logged();
    let ranges: [(u16, &[(&str, &str)]); 8] = [
        (200, &[]),
        (206, &[("range", "bytes=0-")]),
        (206, &[("range", "bytes=00-")]),
        (206, &[("range", "bytes=-99999999999")]),
        (206, &[("range", "bytes=1-")]),
        (200, &[("range", "bytes=5-3")]),
        (200, &[("range", "x")]),
        (200, &[("range", "bytes=9-"), ("if-range", "\"no\"")]),
    ];
    for (number, (status, headers)) in ranges.into_iter().enumerate() {
        assert_eq!(
            client.request("GET", &path, headers, &[]).status,
            status,
            "{headers:?}"
        );
        assert_eq!(logged(), before + number + 1, "{headers:?}");
    }
    let unread = [
        (304, "GET", Some(("if-none-match", etag.as_str()))),
        (416, "GET", Some(("range", "bytes=99999999-"))),
        (200, "HEAD", None),
    ];
    for (status, method, header) in unread {
        let answer = client.request(method, &path, header.as_slice(), &[]);
        assert_eq!(answer.status, status, "{header:?}");
    }
    assert_eq!(logged(), before + ranges.len());
}

#[test]
fn states_lead_only_where_they_should() {
    let server = Server::start();
    let client = server.client();
    fill(&client, 20);
    let id = make(&client, &ndjson(""));
    done(&client, &id);
    let path = format!("{EXPORTS}/{id}");
    client
        .request("POST", &format!("{path}/cancel"), &[], &[])
        .problem(409, "export_over");
    client
        .request("POST", &format!("{path}/resume"), &[], &[])
        .problem(409, "export_not_failed");
    let listed = client.get(EXPORTS).json();
    assert_eq!(listed["items"][0]["id"], id.as_str());
    assert_eq!(listed["items"][0]["files"], Value::Null);
    let text = server.cli_ok(&["export", "list"]);
    assert!(text.contains(&id) && text.contains("done"), "{text}");
    server.cli_ok(&["export", "delete", &id]);
    client.get(&path).problem(404, "not_found");
    let detached = server.cli_ok(&["export", "action:invoice.export", "--detach"]);
    done(&client, detached.trim());
    for (body, code, status) in [
        (json!({}), "invalid_export", 400),
        (json!({"format": "xml"}), "invalid_export", 400),
        (json!({"format": "csv", "extra": 1}), "invalid_export", 400),
        (
            json!({"format": "csv", "fields": ["nope"]}),
            "invalid_fields",
            400,
        ),
        (json!({"format": "csv", "query": "a:("}), "invalid_query", 400),
        (json!({"format": "csv", "from": "yesterday"}), "invalid_time", 400),
        (
            json!({"format": "ocsf", "fields": ["action"]}),
            "invalid_export",
            400,
        ),
    ] {
        client.post_json(EXPORTS, &body).problem(status, code);
    }
    let metrics = client.get("/metrics").text();
    assert!(metrics.contains("attestore_exports_total"), "{metrics}");
}
