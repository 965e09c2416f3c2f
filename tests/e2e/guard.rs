//! Who gets where: every route with every role, in the right tenant and in a wrong one, against the tables of the code.

use std::collections::BTreeMap;

use attestore_engine::credentials::{Permission, Permissions, Role, Scope};
use attestore_http::{Need, Reach, RouteClass, Row};
use serde_json::json;

use crate::harness::{Answer, Client, Server, event};
use crate::paths::path;

fn ask(client: &Client, row: &Row, tenant: &str) -> Answer {
    // The same id for all: refusals name it.
    let headers = [("content-type", "application/json"), ("x-request-id", "same")];
    let body: &[u8] = match row.method.as_str() {
        "GET" | "DELETE" => b"",
        _ => b"{}",
    };
    client.request(row.method.as_str(), &path(row, tenant), &headers, body)
}

/// Routes that ask for a permission. Tails answer without an end.
fn rows() -> impl Iterator<Item = (Row, Permission)> {
    let rows = attestore_http::table().into_iter();
    rows.filter_map(|row| match row.entry.need {
        Need::Permission(permission) if row.entry.class != RouteClass::Tail => Some((row, permission)),
        _ => None,
    })
}

fn credential(server: &Server, role: Role, tenants: &Scope) -> Client {
    let tenants = tenants
        .names()
        .map(|names| names.iter().cloned().collect::<Vec<_>>());
    let wanted = json!({"name": role.name(), "roles": [role.name()], "tenants": tenants});
    let made = server.client().post_json("/v1/credentials", &wanted);
    assert_eq!(made.status, 201, "{}", made.text());
    Client::new(server.base(), made.json()["secret"].as_str().unwrap())
}

fn tenant(server: &Server, name: &str) {
    let made = server
        .client()
        .request("PUT", &format!("/v1/tenants/{name}"), &[], b"{}");
    assert!(made.status < 300, "{}", made.text());
    let appended = server
        .client()
        .post_json(&format!("/v1/tenants/{name}/events"), &event(1));
    assert_eq!(appended.status, 201, "{}", appended.text());
}

#[test]
fn every_role_gets_where_the_tables_say_and_nowhere_else() {
    let server = Server::start();
    tenant(&server, "acme");
    tenant(&server, "other");
    let mut asked = 0;
    for scope in [Scope::one("acme"), Scope::All] {
        for role in Role::ALL {
            let client = credential(&server, role, &scope);
            let held = Permissions::of(&[role]);
            for (row, permission) in rows() {
                let may = match row.entry.reach {
                    Reach::Instance => held.has(permission) && scope == Scope::All,
                    Reach::Named => {
                        let system = permission.shows_records() && held.has(Permission::ReadSystem);
                        held.has(permission) || system
                    }
                    Reach::Tenant => held.has(permission),
                };
                let answer = ask(&client, &row, "acme");
                let what = format!("{} {} {} as {}", row.method, row.path, answer.text(), role.name());
                assert_ne!(answer.status, 401, "{what}");
                if !may {
                    // Those of other people's clients may also say that there is no such index.
                    assert_eq!(answer.status, 403, "{what}");
                } else if row.entry.reach != Reach::Named {
                    assert_ne!(answer.status, 403, "{what}");
                    assert!(!answer.text().contains("unknown_tenant"), "{what}");
                }
                asked += 1;
            }
        }
    }
    println!("{asked} requests");
}

#[test]
fn a_foreign_tenant_is_as_unknown_as_one_that_is_not_there() {
    let server = Server::start();
    tenant(&server, "acme");
    tenant(&server, "other");
    for role in Role::ALL {
        let client = credential(&server, role, &Scope::one("acme"));
        for (row, _) in rows().filter(|(row, _)| row.entry.reach == Reach::Tenant) {
            let foreign = ask(&client, &row, "other");
            let missing = ask(&client, &row, "nowhere");
            let system = ask(&client, &row, "_system");
            for answer in [&foreign, &missing, &system] {
                assert_eq!(
                    answer.status,
                    404,
                    "{} {} {}",
                    row.method,
                    row.path,
                    answer.text()
                );
                assert_eq!(answer.body, foreign.body, "{} {}", row.method, row.path);
            }
        }
    }
}

#[test]
fn the_description_says_what_each_operation_needs() {
    let api = Server::start().client().get("/openapi.json").json();
    let mut said = BTreeMap::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let needs = operation["x-attestore-permission"].as_str();
            let needs = needs.unwrap_or_else(|| panic!("{method} {path} does not say what it needs"));
            assert_eq!(
                needs == "public",
                operation["security"].is_null(),
                "{method} {path}"
            );
            said.insert((method.to_uppercase(), path.clone()), needs.to_owned());
        }
    }
    for row in attestore_http::table().into_iter().filter(|row| row.described) {
        let key = (row.method.to_string(), row.path.clone());
        assert_eq!(
            said.get(&key).map(String::as_str),
            Some(row.entry.permission_name()),
            "{key:?}"
        );
    }
    assert!(said.len() >= 40, "{}", said.len());
}

#[test]
fn credentials_live_through_the_command_line() {
    let server = Server::start();
    tenant(&server, "acme");
    tenant(&server, "other");
    let made = server.cli_ok(&[
        "credential",
        "create",
        "--tenant",
        "acme",
        "--tenant",
        "other",
        "--role",
        "reader",
        "--name",
        "both",
        "--network",
        "127.0.0.0/8",
    ]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["tenants"], json!(["acme", "other"]));
    let id = made["id"].as_str().unwrap();
    let first = Client::new(server.base(), made["secret"].as_str().unwrap());
    assert_eq!(first.get("/v1/tenants/other").status, 200);
    let rotated = server.cli_ok(&["credential", "rotate", id, "--overlap-s", "3600"]);
    let rotated: serde_json::Value = serde_json::from_str(&rotated).unwrap();
    let second = Client::new(server.base(), rotated["secret"].as_str().unwrap());
    for client in [&first, &second] {
        assert_eq!(client.get("/v1/tenants/acme").status, 200);
    }
    let listed = server.cli_ok(&["credential", "list", "--all", "--output", "json"]);
    assert!(listed.contains(id) && !listed.contains("secret"), "{listed}");
    let shown = server.cli_ok(&["credential", "show", id]);
    assert!(shown.contains("last_used_at"), "{shown}");
    server.cli_ok(&["credential", "revoke", id]);
    for client in [&first, &second] {
        client.get("/v1/tenants/acme").problem(401, "unauthenticated");
    }
    let away = server.client().post_json(
        "/v1/tenants/acme/credentials",
        &json!({"name": "away", "roles": ["reader"], "networks": ["192.0.2.0/24"]}),
    );
    let away = Client::new(server.base(), away.json()["secret"].as_str().unwrap());
    away.get("/v1/tenants/acme").problem(401, "unauthenticated");
}

#[test]
fn who_is_revoked_while_their_request_comes_makes_no_credential() {
    use std::io::{BufRead, BufReader, Read, Write};
    let server = Server::start();
    let wanted = json!({"name": "thief", "roles": ["admin"], "tenants": null});
    let made = server.client().post_json("/v1/credentials", &wanted).json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let body = wanted.to_string();
    let address = server.base().strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v1/credentials HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {secret}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .unwrap();
    let mut answer = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 100 "), "it was let in: {line}");
    let path = format!("/v1/credentials/{id}");
    assert_eq!(server.client().request("DELETE", &path, &[], b"").status, 204);
    stream.write_all(body.as_bytes()).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("HTTP/1.1 401 ") && rest.contains("unauthenticated"),
        "{rest}"
    );
    let all = server.client().get("/v1/credentials").json();
    let items = all["items"].as_array().unwrap();
    assert_eq!(
        items.iter().filter(|one| one["name"] == "thief").count(),
        1,
        "{all}"
    );
}

#[test]
fn no_later_start_makes_a_credential_whatever_became_of_the_first() {
    let mut server = Server::start();
    let id = &server.secret()["atst_".len()..][..attestore_engine::credentials::ID_CHARS];
    let path = format!("/v1/credentials/{id}");
    assert_eq!(server.client().request("DELETE", &path, &[], b"").status, 204);
    server.stop();
    server.run();
    server.stop();
    let file = server.home().join("asked-for");
    let mut bootstrap = crate::harness::binary();
    bootstrap
        .args(["credential", "bootstrap", "--data"])
        .arg(server.data());
    bootstrap.arg("--secret-file").arg(&file);
    assert!(bootstrap.output().unwrap().status.success());
    assert!(
        !bootstrap.output().unwrap().status.success(),
        "a file that is there is not written over, and no credential is made"
    );
    server.run();
    let client = Client::new(server.base(), std::fs::read_to_string(&file).unwrap().trim());
    let all = client.get("/v1/credentials").json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
}

#[test]
fn docs_access_md_has_the_table_of_roles() {
    const BEGIN: &str = "<!-- roles: made by a test -->\n";
    const END: &str = "<!-- end -->";
    let mut table = String::from("| permission |");
    for role in Role::ALL {
        table.push_str(&format!(" {} |", role.name()));
    }
    table.push_str(&format!("\n|---|{}\n", "---|".repeat(Role::ALL.len())));
    for permission in Permission::ALL {
        table.push_str(&format!("| `{}` |", permission.name()));
        for role in Role::ALL {
            let held = Permissions::of(&[role]).has(permission);
            table.push_str(if held { " ✓ |" } else { " |" });
        }
        table.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (now, after) = rest.split_once(END).unwrap();
    if std::env::var_os("ATTESTORE_UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(
            now == table,
            "docs/access.md is stale: run this test with ATTESTORE_UPDATE_DOCS=1"
        );
    }
}
