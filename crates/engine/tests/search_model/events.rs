//! Random events: every field, people and machines, ragged lists, values that look alike.

use serde_json::{Map, Value, json};

use crate::random::Random;

/// What the clock of a world shows at first, milliseconds since 1970: 2026-11-22T02:00:00Z.
pub(crate) const NOW_MS: u64 = 1_795_312_800_000;

pub(crate) const ACTIONS: [&str; 8] = [
    "auth.login",
    "auth.logout",
    "s3.get_object",
    "s3.put_object",
    "doc.update",
    "key.delete",
    "a.b.c",
    "login",
];
pub(crate) const OPERATIONS: [&str; 5] = ["create", "read", "update", "login", "other"];
pub(crate) const OUTCOMES: [&str; 4] = ["success", "failure", "denied", "unknown"];
pub(crate) const SEVERITIES: [&str; 4] = ["debug", "info", "warning", "critical"];
pub(crate) const CLASSIFICATIONS: [&str; 3] = ["public", "internal", "restricted"];
pub(crate) const TYPES: [&str; 6] = ["user", "service", "User", "role", "job", "employee"];
pub(crate) const IDS: [&str; 9] = [
    "u_1",
    "u_2",
    "U_1",
    "arn:aws:iam::1234:user/alice",
    "Alice Example",
    "zoë",
    "a*b",
    "699479d4-2a01-4e9e-bf31-4ec5dc88677e",
    "5",
];
pub(crate) const NAMES: [&str; 6] = [
    "Ann Example",
    "Bob",
    "Zoë Müller",
    "李雷",
    "O\"Brien (admin)",
    "ann example",
];
pub(crate) const EMAILS: [&str; 3] = ["ann@example.org", "bob@example.org", "zoë@müller.example"];
pub(crate) const IPS: [&str; 7] = [
    "10.0.0.1",
    "10.0.0.200",
    "10.1.2.3",
    "192.168.7.7",
    "2001:db8::1",
    "2001:db8:1::2",
    "::ffff:10.0.0.1",
];
pub(crate) const HOSTS: [&str; 4] = ["web-1.example.org", "web-2.example.org", "s3.amazonaws.com", "db"];
pub(crate) const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64)",
    "curl/8.5.0",
    "aws-cli/2.15.0 Python/3.11.6",
    "Mozilla/5.0",
];
pub(crate) const LOCATIONS: [&str; 3] = ["eu-central-1", "us-east-1", "Zürich"];
pub(crate) const SESSIONS: [&str; 3] = ["s-100", "s-200", "ASIAQ3EXAMPLE7"];
pub(crate) const REQUESTS: [&str; 3] = ["req-1", "req-2", "REQ-1"];
pub(crate) const TRACES: [&str; 2] = [
    "0af7651916cd43dd8448eb211c80319c",
    "ffffffffffffffffffffffffffffff01",
];
pub(crate) const SPANS: [&str; 2] = ["b7ad6b7169203331", "00000000000000aa"];
pub(crate) const METHODS: [&str; 3] = ["GET", "POST", "get"];
pub(crate) const PATHS: [&str; 3] = ["/login", "/api/v1/docs", "/a b?q=1"];
pub(crate) const SERVICES: [&str; 3] = ["billing", "s3.amazonaws.com", "auth-service"];
pub(crate) const VERSIONS: [&str; 3] = ["1.2.3", "1.2.10", "2"];
pub(crate) const ENVIRONMENTS: [&str; 2] = ["prod", "staging"];
pub(crate) const CODES: [&str; 3] = ["E42", "bad_password", "AccessDenied"];
pub(crate) const CATEGORIES: [&str; 4] = ["health", "finance", "pii", "a b"];
pub(crate) const TICKETS: [&str; 4] = ["SEC-12", "SEC-120", "ops-1", "5"];
pub(crate) const TEAMS: [&str; 3] = ["red", "blue", "Red"];
pub(crate) const TEXTS: [&str; 14] = [
    "Quarterly clean-up of the bucket",
    "wrong code, wrong password",
    "the wrong code again",
    "code wrong",
    "cleaning up",
    "Grüße aus ZÜRICH, ÉTÉ",
    "東京 の ログ",
    "s3.get-object",
    "id 699479d4-2a01-4E9E-bf31-4ec5dc88677e.",
    "token f2vaS6JPTLdKw37mgdFv5DyoXG70Bhv2oYdQdYMz5rhp297ibIqaToYq/m65r+tgjYs7KnXmTAk=",
    "x",
    "– … –",
    "visited 10.0.0.1 with req-1",
    "İstanbul ẞtraße",
];

/// A random event, `n` of its world; as the text that a client sends.
pub(crate) fn event(random: &mut Random, n: u64) -> Value {
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| {
        event.insert(name.into(), value);
    };
    if random.chance(20) {
        put("idempotency_key", json!(format!("idem-{n}")));
    }
    if random.chance(70) {
        put("occurred_at", json!(time(random)));
    }
    put("action", json!(random.pick(&ACTIONS)));
    if random.chance(40) {
        put("operation", json!(random.pick(&OPERATIONS)));
    }
    if random.chance(70) {
        put("outcome", json!(random.pick(&OUTCOMES)));
    }
    if random.chance(30) {
        let mut reason = Map::new();
        maybe(random, 70, &mut reason, "code", &CODES);
        maybe(random, 70, &mut reason, "message", &TEXTS);
        put("outcome_reason", Value::Object(reason));
    }
    if random.chance(40) {
        put("severity", json!(random.pick(&SEVERITIES)));
    }
    put("actor", actor(random));
    let targets: Vec<Value> = (0..[0, 1, 1, 2, 3][random.below(5)])
        .map(|_| target(random))
        .collect();
    if !targets.is_empty() {
        put("targets", Value::Array(targets));
    }
    if random.chance(70) {
        put("context", context(random));
    }
    if random.chance(40) {
        let mut source = Map::new();
        maybe(random, 80, &mut source, "service", &SERVICES);
        maybe(random, 50, &mut source, "version", &VERSIONS);
        maybe(random, 30, &mut source, "instance", &HOSTS);
        maybe(random, 50, &mut source, "environment", &ENVIRONMENTS);
        put("source", Value::Object(source));
    }
    if random.chance(25) {
        put("justification", json!(random.pick(&TEXTS)));
    }
    if random.chance(20) {
        let changes = (0..=random.below(2)).map(|_| {
            let mut change = Map::new();
            change.insert(
                "path".into(),
                json!(random.pick(&["/role", "/limits/max", "name"])),
            );
            if random.chance(70) {
                change.insert("old".into(), free(random, 1));
            }
            if random.chance(70) {
                change.insert("new".into(), free(random, 1));
            }
            Value::Object(change)
        });
        put("changes", changes.collect());
    }
    let metadata = random.chance(70).then(|| metadata(random));
    let mut fields = vec!["/justification", "/context/location", "/context/request_id"];
    if let Some(metadata) = metadata {
        for name in ["ticket", "team", "order", "n"] {
            if metadata.get(name).is_some_and(|value| !value.is_null()) {
                fields.push(match name {
                    "ticket" => "/metadata/ticket",
                    "team" => "/metadata/team",
                    "order" => "/metadata/order",
                    _ => "/metadata/n",
                });
            }
        }
        put("metadata", metadata);
    }
    let payload = random.chance(35).then(|| match random.below(4) {
        0 => json!(random.pick(&TEXTS)),
        _ => json!({"order": order(random), "note": random.pick(&TEXTS), "list": [free(random, 2)]}),
    });
    if let Some(payload) = payload {
        put("payload", payload);
    }
    if random.chance(20) {
        put("classification", json!(random.pick(&CLASSIFICATIONS)));
    }
    if random.chance(20) {
        let categories = (0..=random.below(2)).map(|_| json!(random.pick(&CATEGORIES)));
        put("data_categories", categories.collect());
    }
    if random.chance(25) {
        let subjects: Vec<Value> = (0..=random.below(1))
            .map(|_| {
                let mut subject = Map::new();
                subject.insert("type".into(), json!(random.pick(&TYPES)));
                subject.insert("id".into(), json!(random.pick(&IDS)));
                let chosen: Vec<&str> = fields
                    .iter()
                    .copied()
                    .filter(|path| event_has(&event, path) && random.chance(40))
                    .collect();
                if !chosen.is_empty() {
                    subject.insert("fields".into(), json!(chosen));
                }
                Value::Object(subject)
            })
            .collect();
        event.insert("data_subjects".into(), Value::Array(subjects));
    }
    Value::Object(event)
}

fn event_has(event: &Map<String, Value>, path: &str) -> bool {
    Value::Object(event.clone())
        .pointer(path)
        .is_some_and(|value| !value.is_null())
}

fn maybe(random: &mut Random, percent: usize, to: &mut Map<String, Value>, name: &str, from: &[&str]) {
    if random.chance(percent) {
        to.insert(name.into(), json!(random.pick(from)));
    }
}

/// A time of the six hours before the world began, or of another year; with any number of digits, and any offset.
fn time(random: &mut Random) -> String {
    let (day, hour) = *random.pick(&[
        ("2026-11-21", 23),
        ("2026-11-21", 22),
        ("2026-11-22", 0),
        ("2026-11-22", 1),
        ("2025-02-28", 12),
        ("1999-12-31", 23),
    ]);
    let (minute, second) = (random.below(4) * 15, *random.pick(&[0, 0, 1, 30, 59]));
    let fraction = random.pick(&["", "", ".5", ".000000001", ".999999999", ".123456"]);
    match random.below(3) {
        0 => format!("{day}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00"),
        _ => format!("{day}T{hour:02}:{minute:02}:{second:02}{fraction}Z"),
    }
}

fn actor(random: &mut Random) -> Value {
    let mut actor = person(random);
    maybe(random, 20, &mut actor, "credential_id", &SESSIONS);
    if random.chance(20) {
        actor.insert("on_behalf_of".into(), Value::Object(person(random)));
    }
    Value::Object(actor)
}

fn person(random: &mut Random) -> Map<String, Value> {
    let mut person = Map::new();
    person.insert("type".into(), json!(random.pick(&TYPES)));
    person.insert("id".into(), json!(random.pick(&IDS)));
    maybe(random, 50, &mut person, "name", &NAMES);
    maybe(random, 30, &mut person, "email", &EMAILS);
    person
}

fn target(random: &mut Random) -> Value {
    let mut target = Map::new();
    target.insert(
        "type".into(),
        json!(random.pick(&["bucket", "doc", "user", "s3_object"])),
    );
    target.insert("id".into(), json!(random.pick(&IDS)));
    maybe(random, 40, &mut target, "name", &NAMES);
    if random.chance(40) {
        let attributes =
            json!({"size": number(random), "tags": [random.pick(&TEAMS)], "note": random.pick(&TEXTS)});
        target.insert("attributes".into(), attributes);
    }
    Value::Object(target)
}

fn context(random: &mut Random) -> Value {
    let mut context = Map::new();
    maybe(random, 70, &mut context, "ip", &IPS);
    maybe(random, 30, &mut context, "host", &HOSTS);
    maybe(random, 50, &mut context, "user_agent", &AGENTS);
    maybe(random, 30, &mut context, "location", &LOCATIONS);
    maybe(random, 30, &mut context, "session_id", &SESSIONS);
    maybe(random, 30, &mut context, "request_id", &REQUESTS);
    maybe(random, 20, &mut context, "trace_id", &TRACES);
    maybe(random, 20, &mut context, "span_id", &SPANS);
    if random.chance(30) {
        let mut http = Map::new();
        maybe(random, 70, &mut http, "method", &METHODS);
        maybe(random, 70, &mut http, "path", &PATHS);
        if random.chance(70) {
            http.insert("status".into(), json!(random.pick(&[200, 201, 404, 500])));
        }
        context.insert("http".into(), Value::Object(http));
    }
    Value::Object(context)
}

fn metadata(random: &mut Random) -> Value {
    let mut metadata = Map::new();
    maybe(random, 60, &mut metadata, "ticket", &TICKETS);
    if random.chance(60) {
        metadata.insert("n".into(), number(random));
    }
    if random.chance(40) {
        let teams: Vec<&str> = (0..=random.below(2)).map(|_| *random.pick(&TEAMS)).collect();
        metadata.insert(
            "team".into(),
            if teams.len() == 1 {
                json!(teams[0])
            } else {
                json!(teams)
            },
        );
    }
    if random.chance(40) {
        metadata.insert("order".into(), order(random));
    }
    if random.chance(20) {
        metadata.insert(
            "a.b".into(),
            json!({"c": number(random), "": random.pick(&TEXTS)}),
        );
    }
    if random.chance(20) {
        metadata.insert("note".into(), json!(random.pick(&TEXTS)));
    }
    if random.chance(20) {
        metadata.insert(
            "flag".into(),
            random.pick(&[json!(true), json!(false), Value::Null]).clone(),
        );
    }
    if random.chance(20) {
        metadata.insert("mixed".into(), free(random, 2));
    }
    Value::Object(metadata)
}

fn order(random: &mut Random) -> Value {
    json!({"total": number(random), "lines": [{"sku": random.pick(&TICKETS)}, {"sku": random.pick(&TICKETS), "count": number(random)}]})
}

pub(crate) const NUMBERS: [&str; 11] = [
    "0",
    "1",
    "5",
    "5.0",
    "-3",
    "2.5",
    "1e3",
    "1000",
    "-0.25",
    "9007199254740992",
    "1e-7",
];

pub(crate) fn number(random: &mut Random) -> Value {
    let text = *random.pick(&NUMBERS);
    serde_json::from_str(text).unwrap()
}

/// Any JSON.
fn free(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.chance(50)),
        2 if random.chance(20) => json!(u64::MAX),
        2 => number(random),
        3 | 4 => json!(random.pick(&TEXTS)),
        5 => (0..random.below(3)).map(|_| free(random, depth - 1)).collect(),
        _ => {
            let names = ["k", "total", "Team", "note"];
            let members =
                (0..random.below(3)).map(|_| ((*random.pick(&names)).to_owned(), free(random, depth - 1)));
            Value::Object(members.collect())
        }
    }
}
