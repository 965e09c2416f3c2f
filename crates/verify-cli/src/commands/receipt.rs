//! `attestore-verify receipt`.

use std::path::Path;

use attestore_tlog::TlogProof;
use attestore_verify::{OpenedRecord, verify_opening, verify_receipt};

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::{files, output};

/// Checks a signed receipt, and that a record is one of its entries.
pub fn run(file: &Path, record: Option<&Path>, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let trust = trust.trust()?;
    let doubt = |error: String| Failure::doubt(format!("{}: {error}", file.display()));
    let report =
        verify_receipt(&files::read_text(file)?, &trust).map_err(|error| doubt(error.to_string()))?;
    let mut about = String::new();
    if let Some(path) = record {
        let opened = opening(path)?;
        let wrong = |error: String| Failure::doubt(format!("{}: {error}", path.display()));
        let record = OpenedRecord::from_bytes(&opened).map_err(|error| wrong(error.to_string()))?;
        verify_opening(&record).map_err(|error| wrong(error.to_string()))?;
        let entry = report.entries.iter().find(|entry| entry.entry == record.entry);
        let entry = entry.ok_or_else(|| wrong("the receipt is not about this record".into()))?;
        about = format!("; the record given is entry {}", entry.seq);
    }
    let text = format!(
        "{} entries are in the signed tree of {} of {}, cosigned by {}{about}",
        report.entries.len(),
        report.size,
        report.origin,
        super::witnessed(&report.witnesses),
    );
    output::holds(&text, &report, output)
}

/// The opening of a record: as it is, or out of a `.tlog-proof`.
fn opening(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = files::read(path)?;
    if !bytes.starts_with(b"c2sp.org/tlog-proof@v1\n") {
        return Ok(bytes);
    }
    let doubt = |message: &str| Failure::doubt(format!("{}: {message}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| doubt("not text"))?;
    let proof = TlogProof::parse(&text).map_err(|error| doubt(&error.to_string()))?;
    proof.extra.ok_or_else(|| doubt("opens no record"))
}
