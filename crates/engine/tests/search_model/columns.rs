//! Values by which hits are sorted and aggregated.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::evaluate::{HIDDEN, Record, Who, all_at};

/// A value of a column. Ordered by type (truth values, numbers, addresses, texts), then by value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    Truth(bool),
    /// In nanoseconds.
    Time(i128),
    Number(f64),
    Address(u128),
    Text(String),
}

impl Key {
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Truth(a), Self::Truth(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.partial_cmp(b).unwrap(),
            (Self::Address(a), Self::Address(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Truth(_) => 0,
            Self::Time(_) | Self::Number(_) => 1,
            Self::Address(_) => 2,
            Self::Text(_) => 3,
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// As a bucket's key.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Truth(truth) => json!(u8::from(*truth)),
            Self::Time(ns) => json!(i64::try_from(ns.div_euclid(1_000_000)).unwrap()),
            Self::Number(number) => json!(number),
            Self::Address(bits) => {
                let address = std::net::IpAddr::V6(std::net::Ipv6Addr::from_bits(*bits));
                json!(address.to_canonical().to_string())
            }
            Self::Text(text) => json!(text),
        }
    }
}

/// What can be sorted by: its name, where it is, and what kind of values it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) at: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Seq,
    Occurred,
    Received,
    Text,
    Address,
    /// A path into a free-form value, mostly with numbers.
    NumberPath,
    /// One mostly with texts.
    TextPath,
}

impl Column {
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.kind, Kind::Seq | Kind::NumberPath)
    }

    pub(crate) fn is_time(&self) -> bool {
        matches!(self.kind, Kind::Occurred | Kind::Received)
    }

    /// The values of a record; a marker stands for those that `who` may not see.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn values(&self, record: &Record, who: Who) -> Vec<Key> {
        match self.kind {
            Kind::Seq => vec![Key::Number(record.seq as f64)],
            Kind::Occurred => vec![Key::Time(record.occurred_ns())],
            Kind::Received => vec![Key::Time(record.received_ns())],
            Kind::Address => record.address(who).map(Key::Address).into_iter().collect(),
            Kind::NumberPath | Kind::TextPath => path(record, who, self.at),
            Kind::Text => match self.at {
                "kind" => vec![Key::Text(record.kind.clone())],
                "protocol" => vec![Key::Text(record.protocol.to_owned())],
                "credential" => vec![Key::Text("tester000001".to_owned())],
                pointer => {
                    let found = all_at(&record.seen[who].event, pointer);
                    let texts = found.into_iter().filter_map(Value::as_str);
                    texts.map(|text| Key::Text(text.to_owned())).collect()
                }
            },
        }
    }

    /// The values of a record, each once.
    pub(crate) fn different(&self, record: &Record, who: Who) -> Vec<Key> {
        let mut values = self.values(record, who);
        values.sort_by(Key::compare);
        values.dedup();
        values
    }

    /// The value by which a record is sorted: of several, the one that comes first.
    pub(crate) fn sort_key(&self, record: &Record, who: Who, descending: bool) -> Option<Key> {
        let values = self.different(record, who);
        if descending { values.last() } else { values.first() }.cloned()
    }
}

fn path(record: &Record, who: Who, path: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    // Also what is hidden, as far as it is known where.
    hidden_too(record, who, &mut |found, value| {
        if found == path {
            keys.push(match value {
                Value::Bool(truth) => Key::Truth(*truth),
                Value::Number(number) => Key::Number(number.as_f64().unwrap()),
                value => Key::Text(value.as_str().unwrap().to_owned()),
            });
        }
    });
    keys
}

fn hidden_too(record: &Record, who: Who, each: &mut dyn FnMut(&str, &Value)) {
    fn walk(value: &Value, path: &str, each: &mut dyn FnMut(&str, &Value)) {
        match value {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|item| walk(item, path, each)),
            Value::Object(members) => {
                members
                    .iter()
                    .for_each(|(name, member)| walk(member, &format!("{path}.{name}"), each));
            }
            scalar => each(path, scalar),
        }
    }
    record.leaves(who, each);
    if record.kind == "event" {
        let event = &record.seen[who].event;
        let mut marked = |path: &str, value: &Value| {
            if value == HIDDEN {
                each(path, value);
            }
        };
        walk(&event["metadata"], "metadata", &mut marked);
        walk(&event["payload"], "payload", &mut marked);
    }
}

pub(crate) const COLUMNS: [Column; 26] = [
    of("seq", "", Kind::Seq),
    of("occurred_at", "", Kind::Occurred),
    of("@timestamp", "", Kind::Occurred),
    of("received_at", "", Kind::Received),
    of("action", "/action", Kind::Text),
    of("operation", "/operation", Kind::Text),
    of("event.outcome", "/outcome", Kind::Text),
    of("severity", "/severity", Kind::Text),
    of("actor.type", "/actor/type", Kind::Text),
    of("actor.id", "/actor/id", Kind::Text),
    of("user.id", "/actor/id", Kind::Text),
    of("targets.id", "/targets/*/id", Kind::Text),
    of("targets.type", "/targets/*/type", Kind::Text),
    of("source.ip", "", Kind::Address),
    of("host", "/context/host", Kind::Text),
    of("session_id", "/context/session_id", Kind::Text),
    of("service", "/source/service", Kind::Text),
    of("environment", "/source/environment", Kind::Text),
    of("classification", "/classification", Kind::Text),
    of("data_categories", "/data_categories/*", Kind::Text),
    of("kind", "kind", Kind::Text),
    of("protocol", "protocol", Kind::Text),
    of("metadata.n", "metadata.n", Kind::NumberPath),
    of("metadata.order.total", "metadata.order.total", Kind::NumberPath),
    of("metadata.team", "metadata.team", Kind::TextPath),
    of("payload.order.total", "payload.order.total", Kind::NumberPath),
];

const fn of(name: &'static str, at: &'static str, kind: Kind) -> Column {
    Column { name, at, kind }
}
