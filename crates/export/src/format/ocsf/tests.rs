//! Every class, checked against the requirements of the schema, and golden lines.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::class::ALL;
use super::*;
use crate::Format;
use crate::format::tests::{file, options, record};

/// Names, numbers and requirements of the public schema.
#[derive(Deserialize)]
struct Schema {
    version: String,
    classes: BTreeMap<u32, ClassFacts>,
    objects: BTreeMap<String, ObjectFacts>,
}

#[derive(Deserialize)]
struct ClassFacts {
    name: String,
    category: u32,
    category_name: String,
    required: Vec<String>,
    at_least_one: Vec<String>,
    activities: BTreeMap<u32, String>,
    attributes: Vec<String>,
}

#[derive(Deserialize)]
struct ObjectFacts {
    required: Vec<String>,
    at_least_one: Vec<String>,
    attributes: Vec<String>,
}

fn schema() -> Schema {
    serde_json::from_str(include_str!("schema.json")).unwrap()
}

fn ocsf(event: &str) -> Value {
    let bytes = file(&options(Format::Ocsf, &[]), &[record(event)]);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Which object of the schema a member is.
fn object_of(member: &str) -> Option<&str> {
    Some(match member {
        "src_endpoint" => "network_endpoint",
        "entity" => "managed_entity",
        "resources" => "resource_details",
        "metadata" | "product" | "actor" | "user" | "session" | "api" | "http_request" | "url" | "group"
        | "service" | "database" | "databucket" | "table" => member,
        _ => return None,
    })
}

fn check_object(schema: &Schema, member: &str, value: &Value) {
    let Some(facts) = object_of(member).map(|name| &schema.objects[name]) else {
        return;
    };
    for value in value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
    {
        let names = members(value);
        for name in &names {
            assert!(
                facts.attributes.iter().any(|known| known == name),
                "{member}.{name}"
            );
            check_object(schema, name, &value[*name]);
        }
        for required in &facts.required {
            assert!(
                names.contains(&required.as_str()),
                "{member}.{required} in {value}"
            );
        }
        let one = &facts.at_least_one;
        assert!(
            one.is_empty() || one.iter().any(|name| names.contains(&name.as_str())),
            "{member} needs one of {one:?}: {value}"
        );
    }
}

/// Checks an event against the schema; returns class and activity.
fn check(event: &Value) -> (u64, u64) {
    let schema = schema();
    let class = event["class_uid"].as_u64().unwrap();
    let facts = &schema.classes[&u32::try_from(class).unwrap()];
    let names = members(event);
    for required in &facts.required {
        assert!(
            names.contains(&required.as_str()),
            "{class} requires {required}: {event}"
        );
    }
    let one = &facts.at_least_one;
    assert!(
        one.is_empty() || one.iter().any(|name| names.contains(&name.as_str())),
        "{class} needs one of {one:?}: {event}"
    );
    for name in &names {
        assert!(
            facts.attributes.iter().any(|known| known == name),
            "{class} has no {name}"
        );
        check_object(&schema, name, &event[*name]);
    }
    let activity = event["activity_id"].as_u64().unwrap();
    assert_eq!(
        facts.activities[&u32::try_from(activity).unwrap()],
        event["activity_name"]
    );
    assert_eq!(event["class_name"], facts.name);
    assert_eq!(event["category_name"], facts.category_name);
    assert_eq!(event["category_uid"], facts.category);
    assert_eq!(event["type_uid"], class * 100 + activity);
    assert_eq!(event["metadata"]["version"], schema.version);
    (class, activity)
}

#[test]
fn classes_are_those_of_the_schema() {
    let schema = schema();
    assert_eq!(schema.version, VERSION);
    assert_eq!(ALL.len(), schema.classes.len());
    for class in ALL {
        let facts = &schema.classes[&class.uid];
        assert_eq!(
            (class.name, class.category, class.category_name),
            (facts.name.as_str(), facts.category, facts.category_name.as_str())
        );
        for (number, name) in class.activities() {
            assert_eq!(facts.activities[number], *name, "{}", class.name);
        }
    }
}

#[test]
fn every_event_gets_the_class_that_fits_and_what_that_requires() {
    let ann = r#""actor":{"type":"user","id":"u1","name":"Ann","email":"a@example.org"}"#;
    let web = r#""context":{"ip":"192.0.2.1","user_agent":"curl","http":{"method":"post","path":"/x","status":201}}"#;
    let target = |ty: &str| format!(r#""targets":[{{"type":"{ty}","id":"t1","name":"T"}}]"#);
    let (user, group, bucket, table, invoice) = (
        target("user"),
        target("team"),
        target("AWS::S3::Bucket"),
        target("table"),
        target("invoice"),
    );
    let user_role = r#""targets":[{"type":"user","id":"u2"},{"type":"role","id":"r1","name":"Admin"}]"#;
    let group_user = r#""targets":[{"type":"group","id":"g1"},{"type":"user","id":"u2"}]"#;
    for (action, operation, rest, expected) in [
        ("session.login", "login", "", (3002, 1)),
        ("session.login", "login", &*user, (3002, 1)),
        ("session.logout", "logout", web, (3002, 2)),
        ("user.create", "create", &*user, (3001, 1)),
        ("user.delete", "delete", &*user, (3001, 6)),
        ("user.disable", "update", &*user, (3001, 5)),
        ("user.password_reset", "update", &*user, (3001, 4)),
        ("user.mfa_enable", "update", &*user, (3001, 10)),
        ("user.mfa_disable", "update", &*user, (3001, 11)),
        ("user.rename", "update", &*user, (3001, 99)),
        ("role.grant", "grant", user_role, (3005, 1)),
        ("access.revoke", "revoke", &*user, (3005, 2)),
        ("team.create", "create", &*group, (3006, 6)),
        ("team.delete", "delete", &*group, (3006, 5)),
        ("team.grant", "grant", &*group, (3006, 1)),
        ("team.add_member", "update", group_user, (3006, 3)),
        ("team.member.grant", "grant", group_user, (3006, 3)),
        ("team.remove_member", "update", group_user, (3006, 4)),
        ("invoice.create", "create", &*invoice, (3004, 1)),
        ("invoice.read", "read", &*invoice, (3004, 2)),
        ("invoice.grant", "grant", &*invoice, (3004, 3)),
        ("user.read", "read", &*user, (3004, 2)),
        ("invoice.approve", "execute", &*invoice, (3004, 99)),
        ("health.check", "read", web, (6003, 2)),
        ("health.check", "execute", web, (6003, 99)),
        ("health.check", "read", "", (0, 99)),
    ] {
        let rest = if rest.is_empty() {
            String::new()
        } else {
            format!(",{rest}")
        };
        let event =
            format!(r#"{{"action":"{action}","operation":"{operation}","outcome":"success",{ann}{rest}}}"#);
        assert_eq!(check(&ocsf(&event)), expected, "{event}");
    }
    for (store, operation, expected) in [
        (&bucket, "read", (6005, 1)),
        (&bucket, "delete", (6005, 7)),
        (&table, "list", (6005, 8)),
        (&table, "execute", (6005, 4)),
        (&target("database"), "create", (6005, 6)),
        (&invoice, "update", (6003, 3)),
    ] {
        let event = format!(
            r#"{{"action":"a.b","operation":"{operation}","outcome":"success",{ann},{store},{web}}}"#
        );
        assert_eq!(check(&ocsf(&event)), expected, "{event}");
    }
}

#[test]
fn withheld_fields_break_no_rule() {
    let event = r#"{"action":"invoice.read","operation":"read","outcome":"denied","outcome_reason":{"message":"[personal]"},"actor":{"type":"user","id":"[personal]","email":"[personal]"},"targets":[{"type":"invoice","id":"1"}],"context":{"ip":"[personal]","http":{"method":"GET"}},"payload":"[personal]"}"#;
    let mapped = ocsf(event);
    assert_eq!(check(&mapped), (6003, 2));
    assert_eq!(mapped["src_endpoint"], serde_json::json!({"name": "[personal]"}));
    assert_eq!(mapped["actor"]["user"]["email_addr"], Value::Null);
    assert_eq!(
        (&mapped["status_id"], &mapped["unmapped"]["outcome"]),
        (&2.into(), &"denied".into())
    );
}

#[test]
fn control_records_are_base_events() {
    let control = Record {
        kind: "policy",
        ..record(r#"{"type":"index_policy","index":{"text":"words"}}"#)
    };
    let bytes = file(&options(Format::Ocsf, &[]), &[control]);
    let mapped: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(check(&mapped), (0, 99));
    assert_eq!(mapped["unmapped"]["control"]["type"], "index_policy");
    assert_eq!(mapped["message"], "policy");
}

#[test]
fn golden_line() {
    let mapped = file(
        &options(Format::Ocsf, &[]),
        &[record(crate::format::tests::EVENT)],
    );
    assert_eq!(
        String::from_utf8(mapped).unwrap(),
        concat!(
            r#"{"activity_id":99,"activity_name":"Other","category_uid":6,"category_name":"Application Activity","class_uid":6003,"class_name":"API Activity","#,
            r#""type_uid":600399,"type_name":"API Activity: Other","severity_id":0,"severity":"Unknown","time":1795341600500,"message":"invoice.export","#,
            r#""status_id":1,"status":"Success","metadata":{"version":"1.8.0","product":{"name":"Attestore","vendor_name":"Attestore"},"uid":"019400aa-0000-7000-8000-000000000001","#,
            r#""sequence":7,"log_name":"log","tenant_uid":"acme","logged_time":1795000000123,"original_time":"2026-11-22T10:00:00.5Z","event_code":"invoice.export"},"#,
            r#""actor":{"user":{"uid":"u_1","name":"=Ann, \"B\"","type_id":1,"type":"User"}},"src_endpoint":{"ip":"192.0.2.1"},"http_request":{"http_method":"GET"},"#,
            r#""api":{"operation":"invoice.export"},"http_response":{"code":200},"resources":[{"uid":"1","type":"invoice"},{"uid":"2","name":"x","type":"invoice"}],"#,
            r#""unmapped":{"operation":"export","actor_type":"user","on_behalf_of":{"type":"user","id":"@boss"},"metadata":{"n":1.50,"a.b":{"c":"-1"}},"payload":null}}"#,
            "\n"
        )
    );
}
