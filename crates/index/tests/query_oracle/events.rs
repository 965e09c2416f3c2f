//! Random events, and what can be read in them.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};

use crate::support::START_MS;

pub(crate) const WORDS: [&str; 7] = ["alpha", "beta", "gamma", "alphabet", "Delta", "résumé", "al"];
pub(crate) const ACTIONS: [&str; 5] = ["login", "s3.get_object", "s3.put_object", "s3x.get", "iam.get_o"];
pub(crate) const OUTCOMES: [&str; 4] = ["success", "failure", "denied", "unknown"];
pub(crate) const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.6", "10.1.2.3", "2001:db8::7"];
const SEPARATORS: [&str; 3] = [" ", "-", ", "];

/// A scalar of a free-form value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Whole(i64),
    Quarter(i64),
    Text(String),
    Bool(bool),
}

impl Scalar {
    fn json(&self) -> String {
        match self {
            Self::Text(text) => format!("\"{text}\""),
            // A number is the same however it is written.
            Self::Whole(number) if number % 3 == 0 => format!("{number}.0"),
            other => other.text(),
        }
    }

    /// The text by which it is compared.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Quarter(number) => (*number as f64 / 4.0).to_string(),
            Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) action: usize,
    pub(crate) outcome: usize,
    pub(crate) human: bool,
    pub(crate) actor: u8,
    pub(crate) name: Option<String>,
    pub(crate) ip: Option<usize>,
    pub(crate) status: Option<u16>,
    pub(crate) sizes: Vec<Scalar>,
    pub(crate) deep: Option<Scalar>,
    pub(crate) tags: Vec<Scalar>,
    pub(crate) total: Option<Scalar>,
    pub(crate) note: Option<String>,
    pub(crate) reason: String,
    pub(crate) second: Option<u8>,
}

impl Event {
    pub(crate) fn json(&self) -> String {
        let mut parts = vec![
            format!("\"action\":\"{}\"", ACTIONS[self.action]),
            format!("\"outcome\":\"{}\"", OUTCOMES[self.outcome]),
        ];
        let name = self
            .name
            .as_ref()
            .map_or(String::new(), |name| format!(",\"name\":\"{name}\""));
        let ty = if self.human { "user" } else { "service" };
        parts.push(format!(
            "\"actor\":{{\"type\":\"{ty}\",\"id\":\"id-{}\"{name}}}",
            self.actor
        ));
        let targets: Vec<String> = (0..)
            .zip(&self.sizes)
            .map(|(n, size)| {
                format!(
                    "{{\"type\":\"file\",\"id\":\"f{n}\",\"attributes\":{{\"size\":{}}}}}",
                    size.json()
                )
            })
            .collect();
        if !targets.is_empty() {
            parts.push(format!("\"targets\":[{}]", targets.join(",")));
        }
        let mut context = Vec::new();
        context.extend(self.ip.map(|ip| format!("\"ip\":\"{}\"", ADDRESSES[ip])));
        context.extend(
            self.status
                .map(|status| format!("\"http\":{{\"status\":{status}}}")),
        );
        if !context.is_empty() {
            parts.push(format!("\"context\":{{{}}}", context.join(",")));
        }
        let mut metadata = Vec::new();
        metadata.extend(
            self.deep
                .as_ref()
                .map(|deep| format!("\"deep\":{{\"n\":{}}}", deep.json())),
        );
        if !self.tags.is_empty() {
            let tags: Vec<String> = self.tags.iter().map(Scalar::json).collect();
            metadata.push(format!("\"tag\":[{}]", tags.join(",")));
        }
        if !metadata.is_empty() {
            parts.push(format!("\"metadata\":{{{}}}", metadata.join(",")));
        }
        let mut order = Vec::new();
        order.extend(
            self.total
                .as_ref()
                .map(|total| format!("\"total\":{}", total.json())),
        );
        order.extend(self.note.as_ref().map(|note| format!("\"note\":\"{note}\"")));
        if !order.is_empty() {
            parts.push(format!("\"payload\":{{\"order\":{{{}}}}}", order.join(",")));
        }
        if !self.reason.is_empty() {
            parts.push(format!("\"justification\":\"{}\"", self.reason));
        }
        parts.extend(
            self.second
                .map(|s| format!("\"occurred_at\":\"2026-11-21T00:00:{s:02}.250Z\"")),
        );
        format!("{{{}}}", parts.join(","))
    }

    pub(crate) fn occurred_ms(&self, seq: u64) -> u64 {
        let day_before = START_MS - 86_400_000;
        self.second
            .map_or(START_MS + seq * 1000, |s| day_before + u64::from(s) * 1000 + 250)
    }

    /// Values of a path that a reader may see.
    pub(crate) fn at(&self, path: &str, personal: bool) -> Vec<Scalar> {
        let sees = personal || !self.human;
        match path {
            "metadata.deep.n" => self.deep.iter().cloned().collect(),
            "metadata.tag" => self.tags.clone(),
            "payload.order.total" if sees => self.total.iter().cloned().collect(),
            "payload.order.note" if sees => self.note.iter().cloned().map(Scalar::Text).collect(),
            "targets.attributes.size" => self.sizes.clone(),
            "metadata.deep" | "metadata" | "payload.order" => {
                let below: &[&str] = match path {
                    "metadata.deep" => &["metadata.deep.n"],
                    "metadata" => &["metadata.deep.n", "metadata.tag"],
                    _ => &["payload.order.total", "payload.order.note"],
                };
                below.iter().flat_map(|path| self.at(path, personal)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The words of every readable string that a reader may see.
    pub(crate) fn strings(&self, personal: bool) -> Vec<Vec<String>> {
        let sees = personal || !self.human;
        let mut strings = vec![ACTIONS[self.action].to_owned(), self.reason.clone()];
        for n in 0..self.sizes.len() {
            strings.extend(["file".to_owned(), format!("f{n}")]);
        }
        if sees {
            strings.push(format!("id-{}", self.actor));
            strings.extend(self.name.clone());
            strings.extend(self.note.clone());
        }
        let free = self.sizes.iter().chain(&self.tags).chain(&self.deep);
        for scalar in free.chain(self.total.iter().filter(|_| sees)) {
            if let Scalar::Text(text) = scalar {
                strings.push(text.clone());
            }
        }
        strings.iter().map(|text| words(text)).collect()
    }
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

pub(crate) fn a_text(longest: usize) -> impl Strategy<Value = String> {
    prop::collection::vec((0..WORDS.len(), 0..SEPARATORS.len()), 0..longest).prop_map(|words| {
        let mut text = String::new();
        for (at, (word, separator)) in words.into_iter().enumerate() {
            if at > 0 {
                text.push_str(SEPARATORS[separator]);
            }
            text.push_str(WORDS[word]);
        }
        text
    })
}

fn a_scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        (-6..12_i64).prop_map(Scalar::Whole),
        (-9..9_i64).prop_map(|n| Scalar::Quarter(4 * n + 1)),
        a_text(3).prop_map(Scalar::Text),
        (-6..12_i64).prop_map(|n| Scalar::Text(n.to_string())),
        any::<bool>().prop_map(Scalar::Bool),
    ]
}

pub(crate) fn an_event() -> impl Strategy<Value = Event> {
    let who = (
        any::<bool>(),
        0..5_u8,
        prop::option::of(a_text(3).prop_filter("a name", |name| !name.is_empty())),
    );
    let what = (
        0..ACTIONS.len(),
        0..OUTCOMES.len(),
        prop::collection::vec(a_scalar(), 0..3),
        a_text(6),
    );
    let whence = (
        prop::option::of(0..ADDRESSES.len()),
        prop::option::of(prop_oneof![Just(200_u16), Just(404), Just(403), Just(500)]),
        prop::option::of(0..60_u8),
    );
    let free = (
        prop::option::of(a_scalar()),
        prop::collection::vec(a_scalar(), 0..3),
        prop::option::of(a_scalar()),
        prop::option::of(a_text(5)),
    );
    (who, what, whence, free).prop_map(
        |(
            (human, actor, name),
            (action, outcome, sizes, reason),
            (ip, status, second),
            (deep, tags, total, note),
        )| Event {
            action,
            outcome,
            human,
            actor,
            name,
            ip,
            status,
            sizes,
            deep,
            tags,
            total,
            note,
            reason,
            second,
        },
    )
}
