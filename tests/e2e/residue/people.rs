//! People with a canary in every field that can be about somebody.

use serde_json::{Value, json};

/// Somebody of whom every trace can be told from everybody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person(pub u64);

impl Person {
    /// Stands in every text that is about the person. One word, whoever cuts it into words.
    pub fn canary(self) -> String {
        format!("zq{:05}kanarie", self.0)
    }

    pub fn id(self) -> String {
        format!("{}-id", self.canary())
    }

    pub fn ip(self) -> String {
        format!("2001:db8:77a1:{:x}::77a1", self.0 + 1)
    }

    /// A number that nothing else has.
    pub fn number(self) -> u64 {
        880_000_000_000 + self.0 * 1009
    }

    /// What to look for.
    pub fn values(self) -> [String; 3] {
        [self.canary(), self.ip(), self.number().to_string()]
    }

    /// How events name the person: as one who acts, as one for whom somebody acts, and as somebody beside others.
    pub fn subjects(self) -> Value {
        json!([
            {"type": "user", "id": self.id()},
            {"type": "employee", "id": format!("{}-other", self.canary())},
            {"type": "customer", "id": self.id()},
        ])
    }

    /// An event about the person, and beside it about somebody else.
    pub fn event(self, n: u64, other: Self) -> Value {
        let (who, id) = (self.canary(), self.id());
        let declared = [
            "/justification",
            "/metadata/note",
            "/metadata/number",
            "/context/location",
            "/context/request_id",
            "/context/http/path",
            "/source/instance",
            "/targets/1/name",
            "/metadata/both",
        ];
        json!({
            "action": "file.read",
            "outcome": if n.is_multiple_of(3) { "denied" } else { "success" },
            "outcome_reason": {"code": "seat", "message": format!("no seat for {who}")},
            "actor": {
                "type": "user", "id": id, "name": format!("Ann {who}"), "email": format!("{who}@example.org"),
                "credential_id": format!("key-{who}"),
                "on_behalf_of": {
                    "type": "employee", "id": format!("{who}-other"), "name": format!("{who} herself"),
                    "email": format!("{who}@other.example"),
                },
            },
            "targets": [
                {"type": "user", "id": id, "name": format!("the file of {who}"), "attributes": {"nick": who}},
                {"type": "file", "id": format!("f{n}"), "name": format!("letter to {who}")},
            ],
            "context": {
                "ip": self.ip(), "host": format!("{who}.laptop.example"), "user_agent": format!("{who}-agent/1.0"),
                "session_id": format!("session-{who}"), "location": format!("desk of {who}"),
                "request_id": format!("request-{who}-{n}"),
                "http": {"method": "GET", "path": format!("/people/{who}"), "status": 200},
            },
            "source": {"service": "files", "instance": format!("pod-{who}")},
            "justification": format!("asked for by {who}"),
            "changes": [{"path": "/owner", "old": who, "new": {"who": who}}],
            "data_subjects": [
                {"type": "user", "id": id, "fields": declared},
                {"type": "customer", "id": other.id(), "fields": ["/metadata/both"]},
            ],
            "metadata": {
                "n": n, "note": format!("call {who} back"), "number": self.number(), "both": format!("of {who} and of {}", other.canary()),
                "contact": {"email": format!("{who}@contact.example")},
            },
            "payload": {"deep": [{"who": who}]},
        })
    }
}
