//! `attestore-verify misbehaviour`.

use attestore_tlog::{Checkpoint, Hash, Misbehaviour, SignedNote, SubtreeReader, prefix_proof};
use attestore_verify::Trust;
use serde_json::json;

use super::consistency;
use crate::args::{MisbehaviourArgs, Output, TrustArgs};
use crate::failure::Failure;
use crate::files::{self, LogFolder, TreeFolder};
use crate::output;

/// Checks a proof of misbehaviour, or makes one of two checkpoints.
pub fn run(args: &MisbehaviourArgs, trust: &TrustArgs, output: Output) -> Result<(), Failure> {
    let chain = trust.chain()?;
    let doubt = |error: String| Failure::doubt(format!("{}: {error}", args.file.display()));
    let proof = match args.from.as_slice() {
        [one, other] => {
            let (one, other) = (files::read_text(one)?, files::read_text(other)?);
            let key = chain
                .all()
                .find_map(|trust| super::log::key(trust, &one))
                .ok_or_else(|| doubt("not signed by a key that is trusted".into()))?;
            let proof = Misbehaviour::new(key.clone(), &one, &other, hashes(args, &one, &other)?)
                .map_err(|error| Failure::doubt(error.to_string()))?;
            files::write_new(&args.file, &proof.to_text())?;
            proof
        }
        _ => Misbehaviour::parse(&files::read_text(&args.file)?).map_err(|error| doubt(error.to_string()))?,
    };
    if !chain.all().flat_map(Trust::keys).any(|key| key == proof.key()) {
        return Err(doubt(format!(
            "accuses {}, which is not the log that you named",
            proof.key()
        )));
    }
    let (old, new) = (proof.old(), proof.new_checkpoint());
    let text = format!(
        "{} signed two trees that contradict each other ({}): size {} root {}, size {} root {}",
        old.origin(),
        proof.reason(),
        old.size(),
        old.root(),
        new.size(),
        new.root()
    );
    let head =
        |checkpoint: &Checkpoint| json!({"size": checkpoint.size(), "root": checkpoint.root().to_string()});
    let report = json!({
        "origin": old.origin(), "vkey": proof.key().to_string(), "reason": proof.reason(), "old": head(old), "new": head(new),
    });
    output::holds(&text, &report, output)
}

/// The hashes that show what the larger tree begins with.
fn hashes(args: &MisbehaviourArgs, one: &str, other: &str) -> Result<Vec<Hash>, Failure> {
    let size = |note: &str| {
        let note = SignedNote::parse(note).map_err(|error| Failure::doubt(error.to_string()))?;
        let checkpoint =
            Checkpoint::from_text(note.text()).map_err(|error| Failure::doubt(error.to_string()))?;
        Ok::<_, Failure>(checkpoint.size())
    };
    let (a, b) = (size(one)?, size(other)?);
    let (old, new) = (a.min(b), a.max(b));
    if old == new || old == 0 {
        return Ok(Vec::new());
    }
    if let Some(folder) = &args.log {
        let folder = LogFolder(folder);
        let tree = SubtreeReader::new(TreeFolder { folder, size: new });
        return prefix_proof(&tree, old, new).map_err(|error| Failure::doubt(format!("--log: {error}")));
    }
    let Some(path) = &args.proof else {
        return Ok(Vec::new());
    };
    let hashes = consistency::hashes(&files::read_text(path)?);
    hashes.ok_or_else(|| Failure::doubt(format!("{}: not hashes in base64", path.display())))
}
