//! `attestore checkpoint`.

use attestore_tlog::{Hash, VerifierKey, open_checkpoint, verify_consistency};
use serde_json::Value;

use crate::cli::{CheckpointArgs, OnTenant};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::{files, output};

/// Fetches the newest checkpoint, checks its signature and, where asked, that it extends an older one.
pub fn run(args: &CheckpointArgs) -> Result<(), Failure> {
    let client = Client::new(&args.on.remote)?;
    let key = key(&client, &args.on, args.vkey.as_deref())?;
    let text = client.get_text(&format!("{}/checkpoint", prefix(&args.on)))?;
    let head = open_checkpoint(&text, &key)
        .map_err(|e| Failure::damage(format!("the checkpoint does not verify: {e}")))?;
    if let Some(path) = &args.since {
        let old = open_checkpoint(&files::read_text(path)?, &key)
            .map_err(|e| Failure::damage(format!("{}: does not verify: {e}", path.display())))?;
        if old.size() > head.size() {
            return Err(Failure::damage(format!(
                "the log has {} records, but {} signed {}: it was rolled back",
                head.size(),
                path.display(),
                old.size()
            )));
        }
        let path_and_query = format!(
            "{}/consistency?from={}&to={}",
            prefix(&args.on),
            old.size(),
            head.size()
        );
        let proof = hashes(&client.get_json(&path_and_query)?)?;
        verify_consistency(old.size(), head.size(), old.root(), head.root(), &proof)
            .map_err(|e| Failure::damage(format!("the log does not extend {}: {e}", path.display())))?;
        output::note(format!(
            "extends the checkpoint of size {} in {}",
            old.size(),
            path.display()
        ));
    }
    if let Some(path) = &args.save {
        files::write_text(path, &text)?;
    }
    output::line(text.trim_end())
}

/// Path of a tenant's log.
pub fn prefix(on: &OnTenant) -> String {
    format!("/v1/tenants/{}/log", escape(&on.tenant))
}

/// The key that checkpoints must be signed with: the one given, or the one that the server tells.
pub fn key(client: &Client, on: &OnTenant, given: Option<&str>) -> Result<VerifierKey, Failure> {
    let told;
    let text = match given {
        Some(text) => text,
        None => {
            told = client.get_text(&format!("{}/vkey", prefix(on)))?;
            output::note("note: the key comes from the server itself; keep it and pass --vkey next time");
            told.trim()
        }
    };
    VerifierKey::parse(text).map_err(|e| Failure::usage(format!("not a verifier key: {e}")))
}

fn hashes(body: &Value) -> Result<Vec<Hash>, Failure> {
    let bad = || Failure::failed("the server's consistency proof is malformed");
    body["proof"]
        .as_array()
        .ok_or_else(bad)?
        .iter()
        .map(|h| h.as_str().and_then(unhex).ok_or_else(bad))
        .collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let mut bytes = [0u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(Hash::from(bytes))
}
