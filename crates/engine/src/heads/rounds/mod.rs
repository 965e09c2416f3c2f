//! The log of heads: rounds that commit to the head of every tenant's log, so that witnesses follow one log for all.
//!
//! A round is a control record in the log of the tenant [`HEADS_TENANT`], with the root of a tree in which each log has the slot that
//! its origin gives it ([`attestore_tlog::SlotTree`]). Its leaves are salted anew in every round: who holds the path of one slot
//! learns nothing of the others, not even which of them moved.
//!
//! # Durability
//! A round has heads that the register holds, so their records are durable and the heads may leave. Its record is durable before
//! the checkpoint that covers it is signed, as in every log; the witnesses cosign that. A crash in between leaves a round that
//! nobody sees a slot of. Trees are kept in memory only: after a start the next round replaces them. Proofs that were handed out need
//! none of them.
//!
//! # Errors
//! What appends, the register and the catalog say.

mod slot;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use attestore_keys::derive;
use attestore_record::{
    Kind,
    control::{Import, TenantHeads},
};
use attestore_tlog::{Checkpoint, Hash, SlotTree, head_commitment, slot_of};
use parking_lot::{Mutex, RwLock};

use super::{Head, stop_on};
use crate::{
    Engine, Principal, append,
    error::{Error, Result},
    read::Which,
    tenant::Tenant,
};

pub use slot::Slot;

/// Name of the tenant whose log is the log of heads. It is made with the first round.
pub const HEADS_TENANT: &str = "_heads";

/// The rounds of this run.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Held while a round is made: there is one at a time.
    making: Mutex<()>,
    /// The newest witnessed one and those after it, ascending.
    kept: RwLock<Vec<Arc<Round>>>,
}

/// A round that is on record.
struct Round {
    number: u64,
    /// Index of its record in the log of heads.
    seq: u64,
    /// The head of each origin.
    heads: BTreeMap<String, Head>,
    tree: SlotTree,
}

impl Engine {
    /// Makes a round if a head moved since the last one, and returns its number. Durable on return; not witnessed yet.
    ///
    /// # Errors
    /// As appends; [`Error::Stopped`] if the heads cannot be registered.
    pub fn make_round(&self) -> Result<Option<u64>> {
        let inner = &self.inner;
        inner.check_running()?;
        let rounds = &inner.heads.rounds;
        let _making = rounds.making.lock();
        let log = inner.heads_log()?;
        let registered = inner.heads.register_moved();
        registered.inspect_err(|error| stop_on(inner, error))?;
        let mut heads = inner.heads.register.rows();
        heads.remove(&log.origin);
        // What is no log.
        heads.retain(|origin, _| !origin.starts_with(crate::backup::ledger::REGISTER_PREFIX));
        let last = rounds.kept.read().last().cloned();
        let number = match last {
            Some(last) if last.heads == heads => return Ok(None),
            Some(last) => last.number,
            None if heads.is_empty() => return Ok(None),
            None => self.last_recorded(&log)?,
        };
        let number = number.saturating_add(1);
        let tree = tree(&log, number, &heads)?;
        let control = Import::TenantHeads(TenantHeads {
            round: number,
            root: tree.root().to_string(),
            tenants: heads.len() as u64,
        });
        let by = Principal::INTERNAL;
        let receipt = append::append_control(inner, &log, by, Kind::CheckpointImport, &control)?;
        let round = Round {
            number,
            seq: receipt.seq,
            heads,
            tree,
        };
        let witnessed = self.witnessed(HEADS_TENANT)?.map_or(0, |kept| kept.size);
        rounds.keep(round, witnessed);
        Ok(Some(number))
    }

    /// Number of the newest round in the log; 0 before the first.
    fn last_recorded(&self, log: &Tenant) -> Result<u64> {
        let by = Principal::internal();
        for seq in (0..log.view().size).rev() {
            let record = self.get(HEADS_TENANT, &by, Which::Seq(seq))?;
            if record.kind == Kind::CheckpointImport.name() {
                let Import::TenantHeads(round) = serde_json::from_str(&record.event)
                    .map_err(|error| Error::damage("records", seq, format!("record {seq}: {error}")))?;
                return Ok(round.round);
            }
        }
        Ok(0)
    }
}

impl Rounds {
    fn keep(&self, round: Round, witnessed_size: u64) {
        let mut kept = self.kept.write();
        kept.push(Arc::new(round));
        let covered = kept.partition_point(|round| round.seq < witnessed_size);
        kept.drain(..covered.saturating_sub(1));
        if kept.len() > KEPT_MAX {
            // Not the witnessed one, not the newest: witnesses that come back go on with that.
            kept.remove(1);
        }
    }

    /// The newest round that a log of heads of that size has.
    fn newest(&self, size: u64) -> Option<Arc<Round>> {
        let kept = self.kept.read();
        kept.iter().rev().find(|round| round.seq < size).cloned()
    }
}

fn tree(log: &Tenant, number: u64, heads: &BTreeMap<String, Head>) -> Result<SlotTree> {
    let mut leaves = Vec::with_capacity(heads.len());
    for (origin, head) in heads {
        let slot = slot_of(origin);
        let salt = salt(log, number, &slot);
        leaves.push((slot, head_commitment(&salt, &unsigned(origin, head)?)));
    }
    SlotTree::new(leaves).map_err(|error| Error::Stopped(error.to_string()))
}

fn unsigned(origin: &str, head: &Head) -> Result<Checkpoint> {
    Checkpoint::new(origin, head.size, head.root)
        .map_err(|error| Error::Stopped(format!("checkpoint: {error}")))
}

/// Of one slot in one round. Whoever lacks the keys of the log of heads cannot tell it from chance.
fn salt(log: &Tenant, number: u64, slot: &Hash) -> [u8; 32] {
    let secret = log.keys.directory.expose();
    let number = number.to_be_bytes();
    let key = derive(
        "attestore 2026 heads salt v1",
        &[secret, log.origin.as_bytes(), &number, slot.as_bytes()],
    );
    *key.expose()
}

/// Rounds whose trees are kept, about 200 bytes for each log.
const KEPT_MAX: usize = 4;
