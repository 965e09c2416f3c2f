//! Receipts: how far the answer to an append goes, from durable over signed to witnessed.

use std::time::Duration;

use attestore_engine::read::SignedReceipts;
use attestore_engine::{Appended, Engine, Error};
use attestore_tlog::Hash;
use axum::http::HeaderMap;

use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// What a client wants of an append's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That the events are durable.
    Durable,
    /// A signed checkpoint and proofs.
    Signed,
    /// The same, cosigned by enough witnesses, for which it waits so long.
    Witnessed(Duration),
}

impl Wanted {
    /// Reads `Prefer` (RFC 7240 section 2). What is not known there is passed over, as that says.
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all("prefer").iter();
        let preferences: Vec<(String, &str)> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(|preference| {
                let preference = preference.split(';').next().unwrap_or_default();
                let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
                (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'))
            })
            .collect();
        // The first of a name counts.
        let said = |name: &str| {
            preferences
                .iter()
                .find(|(other, _)| other == name)
                .map(|(_, value)| *value)
        };
        match said("receipt") {
            Some("signed") => Self::Signed,
            Some("witnessed") => {
                let wait = said("wait").and_then(|wait| wait.parse().ok()).unwrap_or(WAIT_S);
                Self::Witnessed(Duration::from_secs(wait.min(WAIT_S_MAX)))
            }
            _ => Self::Durable,
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The signed checkpoint, with cosignatures if it is witnessed.
    pub checkpoint: Option<String>,
    /// Whether enough witnesses cosigned it.
    pub witnessed: bool,
    /// Where not the checkpoint itself but a round of heads is witnessed, the slot proof of it.
    pub slot: Option<String>,
    /// Why it goes less far than was asked for.
    pub failure: Option<String>,
    proofs: Vec<Option<Vec<Hash>>>,
}

impl Evidence {
    /// The rung that was reached.
    pub const fn durability(&self) -> &'static str {
        match (&self.checkpoint, self.witnessed) {
            (None, _) => "durable",
            (Some(_), false) => "signed",
            (Some(_), true) => "witnessed",
        }
    }

    /// The inclusion proof of an item, base64.
    pub fn proof(&self, index: usize) -> Option<Vec<String>> {
        let hashes = self.proofs.get(index)?.as_ref()?;
        Some(hashes.iter().map(Hash::to_base64).collect())
    }

    fn of(receipts: SignedReceipts, witnessed: bool) -> Self {
        Self {
            checkpoint: Some(receipts.checkpoint.to_string()),
            witnessed,
            slot: None,
            failure: None,
            proofs: receipts.proofs,
        }
    }
}

/// Makes the evidence that was asked for, or as much as there is: the events are durable in any case.
///
/// # Errors
/// Only if the work itself breaks down.
pub async fn evidence(
    app: &App,
    tenant: &str,
    appended: Appended,
    wanted: Wanted,
) -> Result<(Appended, Evidence), Problem> {
    let failure = match wanted {
        Wanted::Durable => return Ok((appended, Evidence::default())),
        Wanted::Signed => return signed(app, tenant, appended).await,
        Wanted::Witnessed(wait) => cosign(app, tenant, wait).await.err(),
    };
    let (engine, name) = (app.engine().clone(), tenant.to_owned());
    let (appended, cosigned) = tokio::task::spawn_blocking(move || {
        let cosigned = cosigned(&engine, &name, &appended);
        (appended, cosigned)
    })
    .await
    .map_err(wire::internal)?;
    let (appended, mut evidence) = match cosigned {
        Ok(Some(evidence)) => (appended, evidence),
        Ok(None) => signed(app, tenant, appended).await?,
        Err(error) => (appended, lacking(error)),
    };
    if !evidence.witnessed && evidence.failure.is_none() {
        evidence.failure = Some(failure.unwrap_or_else(|| "not witnessed yet".to_owned()));
    }
    Ok((appended, evidence))
}

/// Has a head signed that covers the append. One request at a time has that done, for whatever is durable then; the others find it
/// done when it is their turn.
async fn signed(app: &App, tenant: &str, appended: Appended) -> Result<(Appended, Evidence), Problem> {
    let engine = app.engine();
    let kept = |appended: &Appended| {
        if appended.items.len() > PROVED_AT_ONCE_MAX {
            return None;
        }
        let receipts = engine.signed_receipts(tenant, appended);
        let evidence = receipts.map(|receipts| receipts.map(|receipts| Evidence::of(receipts, false)));
        evidence.unwrap_or_else(|error| Some(lacking(error)))
    };
    if let Some(evidence) = kept(&appended) {
        return Ok((appended, evidence));
    }
    let _turn = app.signing().lock().await;
    if let Some(evidence) = kept(&appended) {
        return Ok((appended, evidence));
    }
    let (engine, tenant) = (engine.clone(), tenant.to_owned());
    tokio::task::spawn_blocking(move || {
        let receipts = engine.sign_receipts(&tenant, &appended);
        let evidence = receipts.map_or_else(lacking, |receipts| Evidence::of(receipts, false));
        (appended, evidence)
    })
    .await
    .map_err(wire::internal)
}

/// Evidence under the newest checkpoint that is witnessed by itself, else under the head in the newest witnessed round.
fn cosigned(
    engine: &Engine,
    tenant: &str,
    appended: &Appended,
) -> attestore_engine::Result<Option<Evidence>> {
    if let Some(receipts) = engine.witnessed_receipts(tenant, appended)? {
        return Ok(Some(Evidence::of(receipts, true)));
    }
    let slot = engine.slot_receipts(tenant, appended)?;
    Ok(slot.map(|(receipts, proof)| Evidence {
        slot: Some(proof),
        ..Evidence::of(receipts, true)
    }))
}

fn lacking(error: Error) -> Evidence {
    tracing::warn!(%error, "a receipt was not signed");
    let problem = wire::problem(error);
    Evidence {
        failure: Some(format!("{}: {}", problem.code, problem.detail)),
        ..Evidence::default()
    }
}

/// Has the newest checkpoint witnessed, waiting so long.
async fn cosign(app: &App, tenant: &str, wait: Duration) -> Result<(), String> {
    let Some(cosigner) = &app.settings().witnesses.0 else {
        return Err("this server has no witnesses".to_owned());
    };
    match tokio::time::timeout(wait, cosigner.cosign(tenant)).await {
        Ok(done) => done,
        Err(_) => Err(format!("not enough witnesses within {} s", wait.as_secs())),
    }
}

/// Records that are proved where others wait for the same thread: more are proved on one of their own.
const PROVED_AT_ONCE_MAX: usize = 32;
/// Seconds for which a witnessed receipt is waited for where the client does not say.
const WAIT_S: u64 = 10;
/// And at most.
const WAIT_S_MAX: u64 = 60;

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(lines: &[&'static str]) -> Wanted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", HeaderValue::from_static(line));
        }
        Wanted::of(&headers)
    }

    #[test]
    fn preferences_are_read_as_rfc_7240_writes_them() {
        assert_eq!(of(&[]), Wanted::Durable);
        assert_eq!(of(&["return=minimal"]), Wanted::Durable);
        assert_eq!(of(&["receipt=signed"]), Wanted::Signed);
        assert_eq!(of(&["return=minimal, Receipt = \"signed\"; x=1"]), Wanted::Signed);
        assert_eq!(of(&["receipt=notarised"]), Wanted::Durable);
        let witnessed = |s| Wanted::Witnessed(Duration::from_secs(s));
        assert_eq!(of(&["receipt=witnessed"]), witnessed(10));
        assert_eq!(of(&["wait=3", "receipt=witnessed"]), witnessed(3));
        assert_eq!(of(&["receipt=witnessed, wait=100000"]), witnessed(60));
        assert_eq!(of(&["receipt=witnessed, wait=-1"]), witnessed(10));
        assert_eq!(of(&["receipt=signed", "receipt=witnessed"]), Wanted::Signed);
    }
}
