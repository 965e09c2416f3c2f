//! Proofs of single records: inclusion in a signed tree, and the opening of the commitment.

use attestore_tlog::{TlogProof, inclusion_proof};

use super::{
    Which, find,
    opening::opened,
    records::{self, SetSalts},
    snapshot, tree,
};
use crate::{
    Engine,
    credentials::{Permission, Principal},
    error::{Error, Result},
    forget::hidden::Sight,
    heads::checkpoint,
    tenant::{Tenant, View},
};

impl Engine {
    /// Returns a `.tlog-proof` of a record: inclusion in a signed checkpoint, with the record's opening as extra data.
    /// Personal groups are opened for readers who see personal fields, and stand as bare commitments for others. The proof of a
    /// record that is gone has no opening: it shows that its entry is in the tree.
    ///
    /// # Errors
    /// As [`Engine::get`], but for records that are gone, and [`Engine::checkpoint`].
    pub fn proof(&self, tenant: &str, by: &Principal, which: Which) -> Result<String> {
        self.proof_under(tenant, by, which, false)
    }

    /// As [`Engine::proof`], with the newest checkpoint that witnesses have cosigned.
    ///
    /// # Errors
    /// As [`Engine::proof`]; [`Error::NotFound`] as long as none covers the record.
    pub fn witnessed_proof(&self, tenant: &str, by: &Principal, which: Which) -> Result<String> {
        self.proof_under(tenant, by, which, true)
    }

    fn proof_under(&self, tenant: &str, by: &Principal, which: Which, witnessed: bool) -> Result<String> {
        by.check(tenant, Permission::Prove)?;
        let cosigned = match witnessed {
            true => Some(self.witnessed(tenant)?.ok_or(NOT_WITNESSED)?),
            false => None,
        };
        let tenant = self.inner.tenant(tenant)?;
        snapshot(&tenant, |view| {
            let seq = find::seq(&self.inner, &tenant, view, which)?;
            let signed = match &cosigned {
                Some(cosigned) if cosigned.size > seq => cosigned.clone().into(),
                Some(_) => return Err(NOT_WITNESSED),
                None => checkpoint::at_least(&self.inner, &tenant, seq + 1)?,
            };
            let opening = match self.opening(&tenant, view, seq, Sight::of(by)) {
                // Its entry is in the tree for good; what opened it is not there any more.
                Err(Error::Gone { .. }) => None,
                opening => Some(opening?),
            };
            // The checkpoint may be of a later commit than the snapshot.
            let newer = tenant.view();
            let reader = tree::reader(&self.inner, &tenant, &newer);
            let hashes = inclusion_proof(&reader, seq, signed.size)
                .map_err(|error| tree::build_error(error, newer.size))?;
            let proof = TlogProof {
                extra: opening,
                index: seq,
                hashes,
                checkpoint: signed.note.to_string(),
            };
            Ok(proof.to_text())
        })
    }

    fn opening(&self, tenant: &Tenant, view: &View, seq: u64, sight: Sight) -> Result<Vec<u8>> {
        let entry = tree::reader(&self.inner, tenant, view).source().entry(seq)?;
        let mut record = records::read(&self.inner, tenant, view, seq, sight.personal)?;
        tenant.hidden.load().mask(&mut record, sight);
        let opened = opened(tenant, &entry, &record, &mut SetSalts::default())?;
        opened
            .to_bytes()
            .map_err(|error| Error::damage("records", seq, format!("record {seq}: {error}")))
    }
}

/// No checkpoint that covers it was cosigned yet.
const NOT_WITNESSED: Error = Error::NotFound("witnessed checkpoint");
