//! `attestore-verify heads`.

use std::path::Path;

use attestore_verify::{Trust, VerifiedSlot, verify_later, verify_slot_proof};
use serde_json::json;

use crate::args::{HeadsArgs, Output, TrustArgs};
use crate::commands::consistency::hashes;
use crate::failure::Failure;
use crate::{files, output};

/// Checks a slot proof; with an earlier one of the log, also that the head extends the earlier head.
pub fn run(args: &HeadsArgs, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let (tenant, heads) = trust.tenant_and_heads()?;
    let verify = |path: &Path| slot(path, &tenant, &heads);
    let later = verify(&args.file)?;
    let mut text = said(&later);
    let mut report = json!({ "slot": later });
    if let Some(path) = &args.earlier {
        let earlier = verify(path)?;
        let proof = args.proof.as_deref().map(|path| {
            hashes(&files::read_text(path)?)
                .ok_or_else(|| Failure::doubt(format!("{}: not hashes in base64", path.display())))
        });
        let proof = proof.transpose()?.unwrap_or_default();
        verify_later(&earlier, &later, &proof).map_err(|error| Failure::doubt(error.to_string()))?;
        text = format!(
            "{text}, and extends the {} of round {}",
            earlier.size, earlier.round
        );
        report["earlier"] = json!(earlier);
    }
    output::holds(&text, &report, output)
}

fn slot(path: &Path, tenant: &Trust, heads: &Trust) -> Result<VerifiedSlot, Failure> {
    verify_slot_proof(&files::read_text(path)?, tenant, heads)
        .map_err(|error| Failure::doubt(format!("{}: {error}", path.display())))
}

fn said(slot: &VerifiedSlot) -> String {
    format!(
        "in round {} of {}, cosigned by {}, the head of {} is the tree of {} and no other",
        slot.round,
        slot.heads_origin,
        super::witnessed(&slot.witnesses),
        slot.origin,
        slot.size,
    )
}
