//! `attestore-verify consistency`.

use std::path::Path;

use attestore_tlog::{Checkpoint, Handover, HandoverReason, Hash, verify_consistency};
use attestore_verify::TrustError;
use serde_json::json;

use crate::args::{Output, TrustArgs};
use crate::failure::Failure;
use crate::{files, output};

/// Checks that one checkpoint extends another.
pub fn run(old: &Path, new: &Path, proof: &Path, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let chain = trust.chain()?;
    let doubt = |path: &Path, error: TrustError| Failure::doubt(format!("{}: {error}", path.display()));
    let before = chain.open_older(&files::read_text(old)?);
    let before = before.map_err(|error| doubt(old, error))?.checkpoint;
    let after = chain.now.open(&files::read_text(new)?);
    let after = after.map_err(|error| doubt(new, error))?.checkpoint;
    forked(&chain.handovers, &before, &after)?;
    let hashes = hashes(&files::read_text(proof)?)
        .ok_or_else(|| Failure::doubt(format!("{}: not hashes in base64", proof.display())))?;
    verify_consistency(before.size(), after.size(), before.root(), after.root(), &hashes)
        .map_err(|error| Failure::doubt(format!("{}: {error}", proof.display())))?;
    let text = format!(
        "the tree of {} of {} extends that of {}: nothing was altered, inserted or dropped",
        after.size(),
        after.origin(),
        before.size()
    );
    let report = json!({"origin": after.origin(), "old": before.size(), "new": after.size()});
    output::holds(&text, &report, output)
}

/// Checks that the handovers lead from the older checkpoint's origin to the newer one's, and that no fork left out what the older covers.
fn forked(handovers: &[Handover], before: &Checkpoint, after: &Checkpoint) -> Result<(), Failure> {
    let mut origin = before.origin();
    let forks = handovers
        .iter()
        .filter(|handover| handover.reason == HandoverReason::Fork);
    for fork in forks.skip_while(|fork| fork.origin != before.origin()) {
        if before.size() > fork.size {
            return Err(Failure::doubt(format!(
                "{} went on as {} with its first {} entries: of the older checkpoint's {}, the others are gone",
                fork.origin,
                fork.next.name(),
                fork.size,
                before.size()
            )));
        }
        if after.origin() == fork.next.name() && after.size() <= fork.size {
            return Err(Failure::doubt(format!(
                "{} has more than the {} entries that it began with, and the newer checkpoint does not",
                fork.next.name(),
                fork.size
            )));
        }
        if before.size() == fork.size && before.root() != fork.root {
            return Err(Failure::doubt(format!(
                "{} went on from another tree of {} entries than the older checkpoint's",
                fork.next.name(),
                fork.size
            )));
        }
        origin = fork.next.name();
    }
    if origin == after.origin() {
        Ok(())
    } else {
        Err(Failure::doubt(
            "the checkpoints are of different logs, so neither extends the other",
        ))
    }
}

/// Hashes of a proof: base64 or hexadecimal, one a line, or the first array of JSON.
pub fn hashes(text: &str) -> Option<Vec<Hash>> {
    if !text.trim_start().starts_with(['{', '[']) {
        return text.lines().map(hash).collect();
    }
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let array = ["proof", "hashes"]
        .into_iter()
        .find_map(|name| json.get(name))
        .unwrap_or(&json);
    array
        .as_array()?
        .iter()
        .map(|text| hash(text.as_str()?))
        .collect()
}

/// Servers hand out consistency proofs in hexadecimal, which is longer.
fn hash(text: &str) -> Option<Hash> {
    if text.len() != 2 * Hash::LEN || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Hash::from_base64(text);
    }
    let digits = text.as_bytes().chunks_exact(2);
    let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    Some(Hash(bytes.try_into().ok()?))
}
