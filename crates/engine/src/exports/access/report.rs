//! `report.html`: the same for people. No scripts, nothing from elsewhere, prints.

use std::fmt::Write as _;

use attestore_export::rfc3339_ms;
use attestore_verify::bundle::escape;
use serde_json::Value;

use super::account::Account;
use super::line::Seen;
use crate::exports::source::Found;

/// The records of the page, made while they are written.
#[derive(Default)]
pub(super) struct Rows {
    html: String,
    count: u64,
}

impl Rows {
    /// Adds a record, if there is room.
    pub(super) fn add(&mut self, found: &Found<'_>, seen: &Seen) {
        if self.count >= ROWS_MAX || self.html.len() >= BYTES_MAX {
            return;
        }
        self.count += 1;
        let event: Value = serde_json::from_str(&seen.disclosed.event).unwrap_or_default();
        let text = |pointer: &str| {
            let value = event.pointer(pointer).and_then(Value::as_str);
            escape(value.unwrap_or_default())
        };
        let _ = write!(
            self.html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>",
            found.record.seq,
            rfc3339_ms(found.entry.time_ms),
            text("/action"),
            text("/outcome"),
        );
        for group in &seen.own {
            let group: Value = serde_json::from_slice(group).unwrap_or_default();
            for (pointer, value) in group["fields"].as_object().into_iter().flatten() {
                // What today's policy takes out of a group of theirs is not shown here either.
                let taken_out = |concealed: &String| {
                    let rest = pointer.strip_prefix(concealed.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                if seen.disclosed.concealed.iter().any(taken_out) {
                    continue;
                }
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let _ = write!(self.html, "<b>{}</b> {}<br>", escape(pointer), escape(&value));
            }
        }
        let hidden = seen.withheld.len() + seen.disclosed.concealed.len();
        let _ = writeln!(self.html, "</td><td>{hidden}</td></tr>");
    }
}

/// The page.
pub(super) fn page(account: &Account, rows: &Rows) -> String {
    let mut html = String::from(HEAD);
    html.push_str("<h1>Data about you in an audit log</h1>\n<table class=\"head\">\n");
    let who: Vec<String> = account
        .subjects
        .iter()
        .map(|subject| format!("{}: {}", subject.ty, subject.id))
        .collect();
    for (name, value) in [
        ("About", who.join(", ")),
        ("Kept by", account.tenant.clone()),
        ("Put together", account.generated_at.clone()),
        ("Records", account.records.to_string()),
        (
            "Reading is restricted",
            if account.restricted { "yes" } else { "no" }.to_owned(),
        ),
        ("Log", account.origin.clone()),
        ("State of the log", format!("{} entries", account.tree_size)),
        (
            "Left out",
            format!(
                "{} groups of fields about others, {} about you and others together, {} erased; {} single fields",
                account.withheld.third_party,
                account.withheld.shared,
                account.withheld.erased,
                account.withheld.concealed
            ),
        ),
    ] {
        let _ = writeln!(html, "<tr><th>{name}</th><td>{}</td></tr>", escape(&value));
    }
    html.push_str("</table>\n");
    table(
        &mut html,
        "How long it is kept",
        &["Class", "Records", "Policy", "Basis", "At least", "At most"],
        account.retention.iter().map(|one| {
            let policy = one.policy.as_ref();
            vec![
                one.class.to_string(),
                one.records.to_string(),
                policy.map_or_else(
                    || "none: until one is set".to_owned(),
                    |policy| policy.name.clone(),
                ),
                policy.map(|policy| policy.basis.clone()).unwrap_or_default(),
                policy.map(|policy| age(policy.keep_min_ms)).unwrap_or_default(),
                policy
                    .map(|policy| policy.keep_max_ms.map_or_else(|| "for ever".to_owned(), age))
                    .unwrap_or_default(),
            ]
        }),
    );
    table(
        &mut html,
        "Where it came from",
        &["Protocol", "Sent with credential", "Records"],
        account.sources.iter().map(|one| {
            vec![
                one.protocol.clone(),
                one.credential.clone(),
                one.records.to_string(),
            ]
        }),
    );
    table(
        &mut html,
        "Kinds of data that the senders named",
        &["Kind", "Records"],
        account
            .categories
            .iter()
            .map(|one| vec![one.name.clone(), one.records.to_string()]),
    );
    let recipients = account.recipients.iter().flatten();
    table(
        &mut html,
        "Who was let see records of this log",
        &["Credential or identity", "Requests"],
        recipients.map(|one| {
            let requests = one
                .requests
                .iter()
                .map(|(what, count)| format!("{what}: {count}"));
            vec![one.id.clone(), requests.collect::<Vec<_>>().join(", ")]
        }),
    );
    let shown = match rows.count < account.records {
        true => format!("The first {}; all are in records.ndjson. ", rows.count),
        false => String::new(),
    };
    let _ = write!(
        html,
        "<h2>Records</h2>\n<p>{shown}The last column counts what was left out of a record. Long values are cut here, and whole in \
         records.ndjson.</p>\n<table>\n<thead><tr><th>seq</th><th>received</th><th>action</th><th>outcome</th><th>fields about \
         you</th><th>left out</th></tr></thead>\n<tbody>\n{}</tbody>\n</table>\n",
        rows.html
    );
    html.push_str("<h2>Notes</h2>\n<ul>\n");
    for note in &account.notes {
        let _ = writeln!(html, "<li>{}</li>", escape(note));
    }
    html.push_str("</ul>\n</body>\n</html>\n");
    html
}

fn table(html: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let _ = write!(html, "<h2>{title}</h2>\n<table>\n<thead><tr>");
    for head in heads {
        let _ = write!(html, "<th>{head}</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let _ = write!(html, "<td>{}</td>", escape(&cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n");
}

fn age(ms: u64) -> String {
    match ms / DAY_MS {
        0 => format!("{} h", ms / (DAY_MS / 24)),
        days => format!("{days} days"),
    }
}

const DAY_MS: u64 = 86_400_000;
const ROWS_MAX: u64 = 2000;
const BYTES_MAX: usize = 8 << 20;
const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>Data about you in an audit log</title>
<style>
body { font: 11pt/1.4 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
table { border-collapse: collapse; width: 100%; font-size: 9.5pt }
th, td { border: 1px solid #999; padding: .2em .5em; text-align: left; vertical-align: top; overflow-wrap: anywhere }
.head th { width: 14em }
thead { display: table-header-group }
tr { break-inside: avoid }
@media print { body { margin: 0; max-width: none } }
</style>
</head>
<body>
";
