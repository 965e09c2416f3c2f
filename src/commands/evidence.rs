//! Evidence bundles, checked offline.

use std::path::Path;
use std::thread::available_parallelism;

use attestore_tlog::VerifierKey;
use attestore_verify::Trust;
use attestore_verify::bundle::{BundleOptions, verify_bundle};
use serde_json::json;

use crate::cli::Output;
use crate::failure::Failure;
use crate::files::Positions;
use crate::output;

/// Verifies a bundle and says what it proves.
pub fn verify(path: &Path, key: &VerifierKey, how: Output) -> Result<(), Failure> {
    let options = BundleOptions {
        threads: available_parallelism().map_or(1, usize::from),
        extract: None,
    };
    let report = verify_bundle(&Positions::open(path)?, &Trust::Key(key.clone()), options)
        .map_err(|error| Failure::damage(format!("{}: does not verify: {error}", path.display())))?;
    match how {
        Output::Table => {
            for sentence in report.sentences() {
                output::line(output::visible(&sentence))?;
            }
        }
        Output::Json | Output::Ndjson => {
            output::ndjson(&json!({"verified": report.is_sound(), "report": report}))?;
        }
    }
    if report.is_sound() {
        Ok(())
    } else {
        let what = format!("{}: the range is not complete", path.display());
        Err(Failure::damage(what))
    }
}

/// The command by which anybody verifies a bundle.
pub fn command(path: &Path, key: &VerifierKey) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    format!(
        "attestore-verify bundle {} --vkey {}",
        quoted(&path.display().to_string()),
        quoted(&key.to_string())
    )
}
