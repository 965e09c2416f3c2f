//! What other people's records become: one of each kind, the whole event compared.
#![expect(clippy::unwrap_used, reason = "tests")]

use attestore_record::Limits;
use attestore_record::event;
use attestore_record::mapping::Mapping;
use serde_json::{Value, json};

/// The event that a record becomes, without its payload, after checking that it is accepted and that the payload is the record.
fn mapped(preset: &str, record: &Value) -> Value {
    let text = record.to_string();
    let event = Mapping::builtin(preset).unwrap().apply(text.as_bytes()).unwrap();
    event::parse(&event, &Limits::DEFAULT, 1_800_000_000_000).unwrap();
    let mut event: Value = serde_json::from_slice(&event).unwrap();
    assert_eq!(
        event.as_object_mut().unwrap().remove("payload").as_ref(),
        Some(record)
    );
    event
}

#[test]
fn a_cloudevent_becomes_an_event() {
    let record = json!({
        "specversion": "1.0", "id": "A234-1234", "source": "/billing/eu", "type": "com.example.Invoice.Paid",
        "subject": "inv_17", "time": "2026-04-05T17:31:00Z", "actor": "ann",
        "data": {"amount": 12, "outcome": "denied"},
    });
    assert_eq!(
        mapped("cloudevents", &record),
        json!({
            "idempotency_key": "/billing/eu A234-1234", "occurred_at": "2026-04-05T17:31:00Z",
            "action": "com.example.invoice.paid", "outcome": "denied",
            "actor": {"type": "user", "id": "ann"},
            "targets": [{"type": "subject", "id": "inv_17"}],
            "source": {"service": "/billing/eu"},
            "metadata": {"cloudevents_type": "com.example.Invoice.Paid"},
        })
    );
}

#[test]
fn a_cloudevent_with_nothing_but_what_it_must_have_is_accepted() {
    let record = json!({"specversion": "1.0", "id": "1", "source": "urn:x", "type": "ping"});
    let event = mapped("cloudevents", &record);
    assert_eq!(event["actor"], json!({"type": "service", "id": "urn:x"}));
    assert_eq!(event.get("targets"), None);
}

#[test]
fn ids_that_are_too_long_for_a_key_do_not_run_into_each_other() {
    let keys = ["a", "b"].map(|end| {
        let source = format!("https://example.org/{}", "x".repeat(300));
        let id = format!("{}{end}", "y".repeat(300));
        let record = json!({"specversion": "1.0", "id": id, "source": source, "type": "ping"});
        mapped("cloudevents", &record)["idempotency_key"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    assert_ne!(keys[0], keys[1]);
    assert!(keys.iter().all(|key| key.len() <= 128));
}

#[test]
fn nested_and_dotted_ecs_documents_become_the_same_event() {
    let nested = json!({
        "@timestamp": "2026-11-22T02:06:14.123Z",
        "event": {"id": "e1", "action": "user-login", "outcome": "failure", "type": ["start"], "dataset": "auth"},
        "user": {"name": "ann"}, "source": {"ip": "203.0.113.9"},
        "host": {"name": "web-1"}, "service": {"name": "portal"}, "log": {"level": "WARN"},
    });
    let dotted = json!({
        "@timestamp": "2026-11-22T02:06:14.123Z",
        "event.id": "e1", "event.action": "user-login", "event.outcome": "failure", "event.dataset": "auth",
        "user.name": "ann", "source.ip": "203.0.113.9",
        "host.name": "web-1", "service.name": "portal", "log.level": "WARN",
    });
    let event = mapped("ecs", &nested);
    assert_eq!(
        event,
        json!({
            "occurred_at": "2026-11-22T02:06:14.123Z", "action": "user_login",
            "outcome": "failure", "severity": "warning",
            "actor": {"type": "user", "id": "ann", "name": "ann"},
            "context": {"ip": "203.0.113.9"},
            "source": {"service": "portal", "instance": "web-1"},
            "metadata": {"dataset": "auth"},
        })
    );
    assert_eq!(mapped("ecs", &dotted), event);
}

#[test]
fn what_rsyslog_sends_by_default_becomes_an_event() {
    let record = json!({
        "message": " session opened for user root", "fromhost": "web-1", "facility": "authpriv",
        "priority": "info", "timereported": "2026-11-22T02:06:14.123456+01:00", "timegenerated": "2026-11-22T02:06:15+01:00",
    });
    assert_eq!(
        mapped("ecs", &record),
        json!({
            "occurred_at": "2026-11-22T02:06:14.123456+01:00", "action": "authpriv.log", "outcome": "unknown",
            "actor": {"type": "host", "id": "web-1"},
            "source": {"instance": "web-1"},
            "metadata": {"facility": "authpriv"},
        })
    );
}

#[test]
fn a_document_that_says_nothing_is_kept_all_the_same() {
    assert_eq!(
        mapped("ecs", &json!({"@timestamp": "yesterday", "x": [1, {"y": null}]})),
        json!({"action": "log.record", "outcome": "unknown", "actor": {"type": "host", "id": "unknown"}})
    );
}

#[test]
fn an_otlp_record_becomes_an_event() {
    let record = json!({
        "resource": {"service.name": "checkout", "service.version": "2.1", "deployment.environment.name": "prod"},
        "scope": {"name": "audit"},
        "time": "2026-11-22T02:06:14.123456789Z", "event_name": "order.Refund", "severity_number": 13,
        "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174",
        "body": "refunded",
        "attributes": {"enduser.id": "u_42", "outcome": "success", "target.type": "order", "target.id": "o_1",
            "client.address": "2001:db8::1", "http.request.method": "POST", "url.path": "/refund"},
    });
    assert_eq!(
        mapped("otlp", &record),
        json!({
            "occurred_at": "2026-11-22T02:06:14.123456789Z", "action": "order.refund", "outcome": "success",
            "severity": "warning",
            "actor": {"type": "user", "id": "u_42"},
            "targets": [{"type": "order", "id": "o_1"}],
            "context": {"ip": "2001:db8::1", "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174",
                "http": {"method": "POST", "path": "/refund"}},
            "source": {"service": "checkout", "version": "2.1", "environment": "prod"},
            "metadata": {"scope": "audit"},
        })
    );
}

#[test]
fn an_otlp_record_without_anything_is_accepted() {
    let record = json!({"resource": {}, "scope": {}, "attributes": {}, "body": null});
    let event = mapped("otlp", &record);
    assert_eq!(
        event,
        json!({"action": "log.record", "outcome": "unknown", "actor": {"type": "service", "id": "unknown"}})
    );
}
