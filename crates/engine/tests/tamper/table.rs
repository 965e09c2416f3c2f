//! The table in `docs/threat-model.md`.

use crate::edits::{Edit, Least};
use crate::judge::{By, Verdict};

/// One kind of edit.
pub(crate) struct Row {
    name: &'static str,
    least: Least,
    cases: usize,
    noticed: [usize; By::ALL.len()],
}

impl Row {
    pub(crate) fn new(edit: &Edit, verdicts: &[&Verdict]) -> Self {
        assert!(!verdicts.is_empty(), "{} was never made", edit.name);
        let count = |by| {
            verdicts
                .iter()
                .filter(|verdict| verdict.said(by).is_some())
                .count()
        };
        Self {
            name: edit.name,
            least: edit.least,
            cases: verdicts.len(),
            noticed: By::ALL.map(count),
        }
    }

    fn text(&self) -> String {
        let cell = |count: &usize| match *count {
            0 => "",
            count if count == self.cases => "yes",
            _ => "some",
        };
        let cells: Vec<_> = self.noticed.iter().map(cell).collect();
        format!(
            "| {} | {} | {} |\n",
            self.name,
            cells.join(" | "),
            self.least.name()
        )
    }
}

/// Compares the table in the document with the one that was found; with `ATTESTORE_UPDATE_DOCS=1`, writes it there.
#[expect(clippy::disallowed_methods, reason = "a test reads its own repository")]
pub(crate) fn compare(rows: &[Row]) {
    let mut table = String::from(
        "| edit | start, reads | `fsck` | `verify` | register | witness | outsider | it takes |\n|---|---|---|---|---|---|---|---|\n",
    );
    rows.iter().for_each(|row| table.push_str(&row.text()));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/threat-model.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the document has the table");
    let (found, after) = rest.split_once(END).expect("the table ends");
    if found == table {
        return;
    }
    assert!(
        std::env::var_os("ATTESTORE_UPDATE_DOCS").is_some(),
        "docs/threat-model.md says otherwise; ATTESTORE_UPDATE_DOCS=1 writes:\n{table}"
    );
    std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}

const BEGIN: &str = "<!-- edits: written by the tamper suite -->\n";
const END: &str = "<!-- end of edits -->\n";
