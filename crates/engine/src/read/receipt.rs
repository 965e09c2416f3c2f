//! Signed receipts: what an append returned, under a signed tree head.

use std::sync::Arc;

use attestore_tlog::{Frontier, Hash, NodeReader, SubtreeError, inclusion_proof};

use super::tree;
use crate::{
    Appended, Engine,
    error::{Error, Result},
    heads::checkpoint,
    tenant::Tenant,
};

/// Makes evidence of an append: anybody with the log's key can check that the records' entries are in the signed tree.
#[derive(Clone, Debug)]
pub struct SignedReceipts {
    /// The signed checkpoint.
    pub checkpoint: Arc<str>,
    /// Number of entries that it covers.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// For each item of the append in order, the inclusion proof of its entry; of one that was refused, none.
    pub proofs: Vec<Option<Vec<Hash>>>,
}

impl Engine {
    /// Signs a tree head that covers `appended`, once the head register holds it, and proves each record in it. Blocks while
    /// the register is written; appends that do so together share one write.
    ///
    /// # Errors
    /// [`Error::Stopped`] if the head cannot be registered: the records are durable all the same. Else as
    /// [`Engine::checkpoint`].
    pub fn sign_receipts(&self, tenant: &str, appended: &Appended) -> Result<SignedReceipts> {
        let tenant = self.inner.tenant(tenant)?;
        if tenant.origin != appended.tree.origin {
            return Err(Error::UnknownTenant);
        }
        let signed = checkpoint::at_least(&self.inner, &tenant, appended.tree.size)?;
        self.receipts_under(&tenant, appended, signed)
    }

    /// As [`Engine::sign_receipts`], under a head that was signed already; `None` if none of those kept covers `appended`. Writes
    /// nothing and waits for nobody.
    ///
    /// # Errors
    /// As reads.
    pub fn signed_receipts(&self, tenant: &str, appended: &Appended) -> Result<Option<SignedReceipts>> {
        let tenant = self.inner.tenant(tenant)?;
        if tenant.origin != appended.tree.origin {
            return Err(Error::UnknownTenant);
        }
        let signed = checkpoint::covering(&self.inner, &tenant, appended.tree.size);
        signed
            .map(|signed| self.receipts_under(&tenant, appended, signed))
            .transpose()
    }

    /// As [`Engine::sign_receipts`], with the newest witnessed checkpoint; `None` as long as that does not cover `appended`.
    ///
    /// # Errors
    /// As reads.
    pub fn witnessed_receipts(&self, tenant: &str, appended: &Appended) -> Result<Option<SignedReceipts>> {
        let Some(witnessed) = self.witnessed(tenant)? else {
            return Ok(None);
        };
        let tenant = self.inner.tenant(tenant)?;
        if witnessed.size < appended.tree.size || tenant.origin != appended.tree.origin {
            return Ok(None);
        }
        self.receipts_under(&tenant, appended, witnessed.into()).map(Some)
    }

    pub(crate) fn receipts_under(
        &self,
        tenant: &Tenant,
        appended: &Appended,
        signed: checkpoint::Signed,
    ) -> Result<SignedReceipts> {
        let proofs = super::snapshot(tenant, |view| {
            let reader = Edge {
                frontier: signed.frontier.as_ref().unwrap_or(&view.frontier),
                reader: tree::reader(&self.inner, tenant, view),
            };
            let prove = |seq| {
                inclusion_proof(&reader, seq, signed.size)
                    .map_err(|error| tree::build_error(error, view.size))
            };
            let items = appended.items.iter();
            items
                .map(|item| item.as_ref().ok().map(|receipt| prove(receipt.seq)).transpose())
                .collect()
        })?;
        Ok(SignedReceipts {
            checkpoint: signed.note,
            size: signed.size,
            root: signed.root,
            proofs,
        })
    }
}

/// Reads the tree near its newest leaves: what their paths share is at hand and is not put together again for each receipt.
struct Edge<'a> {
    frontier: &'a Frontier,
    reader: tree::Reader<'a>,
}

impl NodeReader for Edge<'_> {
    type Error = SubtreeError<Error>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let peak = self.frontier.peak(level, index);
        peak.map_or_else(|| self.reader.node(level, index), Ok)
    }
}
