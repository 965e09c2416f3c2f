//! `attestore-verify statement`.

use std::path::Path;

use attestore_verify::statement::{StatementError, verify_statement};

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::{files, output};

/// Checks the receipt of a purge, the certificate of an erasure, or another signed statement.
pub fn run(file: &Path, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let chain = trust.chain()?;
    let text = files::read_text(file)?;
    // It may be older than the key in force.
    let mut verified = Err(StatementError::Unsigned);
    for trust in chain.all() {
        verified = match verified {
            Err(StatementError::Unsigned) => verify_statement(&text, trust),
            done => done,
        };
    }
    let verified = verified.map_err(|error| Failure::doubt(format!("{}: {error}", file.display())))?;
    let statement = &verified.statement;
    let subjects: Vec<_> = statement
        .subject
        .iter()
        .map(|subject| subject.name.as_str())
        .collect();
    let predicate = serde_json::to_string_pretty(&statement.predicate).unwrap_or_default();
    let text = format!(
        "{} signed a statement of type {} about {}:\n{predicate}",
        verified.origin,
        statement.predicate_type,
        subjects.join(", "),
    );
    output::holds(&text, &verified, output)
}
