//! The page for people: what the bundle says it is, and its first records. No scripts, nothing from elsewhere, prints.
//!
//! Shows public groups only, so that a bundle can be passed on with personal groups withheld without touching the page.

use std::fmt::Write as _;

use attestore_export::{ClaimKind, Manifest, rfc3339_ms};
use attestore_record::Entry;
use serde_json::Value;

use crate::opening::OpenedRecord;

/// Records that the page shows.
const ROWS_MAX: usize = 200;
/// Longest public group that is looked into for the page.
const PUBLIC_BYTES_MAX: usize = 256 << 10;
/// Longest text that it shows of a value, in characters.
const CELL_MAX: usize = 480;

/// Rows of the table, made while records are written.
#[derive(Debug, Default)]
pub(super) struct Rows {
    html: String,
    count: usize,
}

impl Rows {
    /// Adds a record, if there is room.
    pub(super) fn add(&mut self, seq: u64, record: &OpenedRecord) {
        if self.count == ROWS_MAX {
            return;
        }
        self.count += 1;
        let Ok(entry) = Entry::from_bytes(&record.entry) else {
            return;
        };
        let public = Some(&record.public).filter(|public| public.len() <= PUBLIC_BYTES_MAX);
        let public: Value = public
            .and_then(|public| serde_json::from_slice(public).ok())
            .unwrap_or_default();
        let text = |pointers: [&str; 2]| {
            let value = pointers.into_iter().find_map(|pointer| public.pointer(pointer));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (opened, all) = (
            record.groups.iter().filter(|group| group.is_opened()).count(),
            record.groups.len(),
        );
        self.html.push_str("<tr>");
        for cell in [
            seq.to_string(),
            rfc3339_ms(entry.time_ms),
            entry.kind.name().to_owned(),
            text(["/event/action", "/control/type"]),
            text(["/event/outcome", ""]),
            format!("{opened} of {all}"),
            text(["/id", ""]),
        ] {
            let _ = write!(self.html, "<td>{}</td>", escape(&cell));
        }
        self.html.push_str("</tr>\n");
    }
}

/// The page.
pub(super) fn page(manifest: &Manifest, rows: &Rows) -> String {
    let mut html = String::from(HEAD);
    let what = match manifest.claim.as_ref().map(|claim| claim.kind) {
        Some(ClaimKind::Range) => "All records of a range of the log, or why they are gone",
        Some(ClaimKind::Query) => "Records that matched a query",
        _ => "Records that were chosen one by one",
    };
    let _ = write!(
        html,
        "<h1>Evidence from an audit log</h1>\n<p>{}. Made by the log's own server: what this page says is proved by the other \
         members of the file, and only once they were verified with a key that you have from elsewhere.</p>\n<table class=\"head\">\n",
        escape(what)
    );
    let claim = manifest.claim.as_ref();
    let range = claim.and_then(|claim| claim.first_seq.zip(claim.end_seq));
    for (name, value) in [
        ("Tenant", manifest.tenant.clone()),
        ("Log", manifest.origin.clone()),
        (
            "Signed tree",
            format!("{} entries, root {}", manifest.tree_size, manifest.root),
        ),
        (
            "Range",
            range
                .map(|(first, end)| format!("seq {first} up to, without, {end}"))
                .unwrap_or_default(),
        ),
        ("Query (not verifiable)", manifest.query.clone()),
        ("From (not verifiable)", manifest.from.clone().unwrap_or_default()),
        ("To (not verifiable)", manifest.to.clone().unwrap_or_default()),
        ("Records", manifest.records.to_string()),
        (
            "Made",
            format!("{} for {}", manifest.finished_at, manifest.created_by),
        ),
    ] {
        if !value.is_empty() {
            let _ = writeln!(html, "<tr><th>{name}</th><td>{}</td></tr>", escape(&value));
        }
    }
    html.push_str(
        "</table>\n<h2>How to verify it</h2>\n<pre>attestore-verify bundle FILE --vkey KEY</pre>\n",
    );
    html.push_str("<p>or with any program that follows <i>Evidence bundles</i> of the documentation.</p>\n");
    let shown = u64::try_from(rows.count).unwrap_or(u64::MAX);
    let _ = write!(
        html,
        "<h2>Records</h2>\n<p>{} Public fields only; <code>attestore-verify extract FILE --seq N</code> takes out one record with its \
         proof.</p>\n",
        if shown < manifest.records {
            format!("The first {shown}.")
        } else {
            String::new()
        }
    );
    html.push_str(
        "<table>\n<thead><tr><th>seq</th><th>received</th><th>kind</th><th>action</th><th>outcome</th><th>personal groups open</th><th>id</th></tr></thead>\n<tbody>\n",
    );
    html.push_str(&rows.html);
    html.push_str("</tbody>\n</table>\n</body>\n</html>\n");
    html
}

/// Text as HTML shows it, cut if it is long; control characters and those that turn the direction of text become visible marks.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        if at == CELL_MAX {
            out.push('…');
            break;
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control()
                || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>Evidence from an audit log</title>
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

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_records_say_stays_text() {
        assert_eq!(
            escape("<script>alert('a\u{202e}\u{61c}\n\")&</script>"),
            "&lt;script&gt;alert(&#39;a\u{fffd}\u{fffd}\u{fffd}&quot;)&amp;&lt;/script&gt;"
        );
        assert!(escape(&"x".repeat(10_000)).len() < 1000);
    }
}
