//! Slot proofs: that a witnessed round holds the head of a tenant's log.

use attestore_tlog::{SlotProof, slot_of};

use super::{HEADS_TENANT, salt};
use crate::{
    Appended, Engine, Principal,
    error::{Error, Result},
    heads::checkpoint::{self, Signed},
    read::{SignedReceipts, Which},
};

/// A tenant's head in the newest witnessed round.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The head, signed by the tenant's log itself.
    pub head: Signed,
    /// The slot proof, as text.
    pub proof: String,
}

impl Engine {
    /// Proves which head the newest witnessed round holds for a tenant's log.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`]; [`Error::NotFound`] as long as there is no witnessed round of this run, or none with the log;
    /// [`Error::Stopped`] if the log was rolled back.
    pub fn slot(&self, tenant: &str) -> Result<Slot> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let witnessed = match self.witnessed(HEADS_TENANT) {
            Ok(witnessed) => witnessed.ok_or(NO_ROUND)?,
            Err(Error::UnknownTenant) => return Err(NO_ROUND),
            Err(error) => return Err(error),
        };
        let round = inner.heads.rounds.newest(witnessed.size).ok_or(NO_ROUND)?;
        let slot = slot_of(&tenant.origin);
        let head = round.heads.get(&tenant.origin).copied();
        let (Some(head), Some(siblings)) = (head, round.tree.siblings(&slot)) else {
            // A log that was not loaded since the register was made comes into the next round.
            if tenant.name != HEADS_TENANT {
                inner.heads.published(&tenant);
            }
            return Err(NO_SLOT);
        };
        if let Some(reason) = tenant.rolled_back() {
            return Err(Error::Stopped(format!("no checkpoint is signed: {reason}")));
        }
        let head = checkpoint::sign(inner, &tenant, head)?;
        let log = inner.heads_log()?;
        let proof = SlotProof {
            salt: salt(&log, round.number, &slot),
            siblings,
            checkpoint: head.note.to_string(),
            round: self.witnessed_proof(HEADS_TENANT, &Principal::internal(), Which::Seq(round.seq))?,
        };
        Ok(Slot {
            head,
            proof: proof.to_text(),
        })
    }

    /// Receipts under the tenant's head in the newest witnessed round, and the slot proof of that; `None` as long as that does not
    /// cover `appended`.
    ///
    /// # Errors
    /// As [`Engine::slot`] but for what is not there yet.
    pub fn slot_receipts(
        &self,
        tenant: &str,
        appended: &Appended,
    ) -> Result<Option<(SignedReceipts, String)>> {
        let slot = match self.slot(tenant) {
            Ok(slot) => slot,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let tenant = self.inner.tenant(tenant)?;
        if slot.head.size < appended.tree.size || tenant.origin != appended.tree.origin {
            return Ok(None);
        }
        let receipts = self.receipts_under(&tenant, appended, slot.head)?;
        Ok(Some((receipts, slot.proof)))
    }
}

const NO_ROUND: Error = Error::NotFound("witnessed round of heads");
const NO_SLOT: Error = Error::NotFound("head of this log in the newest witnessed round");
