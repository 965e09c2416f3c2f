//! `attestore-verify proof`.

use std::path::PathBuf;

use attestore_verify::verify_tlog_proof_with;

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::{files, output};

/// Checks `.tlog-proof` files; ends at the first that does not hold.
pub fn run(paths: &[PathBuf], trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let trust = trust.trust()?;
    for path in paths {
        let verified = verify_tlog_proof_with(&files::read_text(path)?, &trust)
            .map_err(|error| Failure::doubt(format!("{}: {error}", path.display())))?;
        let text = format!(
            "record {} of {} is in the signed tree of {}, cosigned by {}, and its bytes open its commitment",
            verified.index,
            verified.origin,
            verified.size,
            super::witnessed(&verified.witnesses),
        );
        output::holds(&text, &verified, output)?;
    }
    Ok(())
}
