//! The log as C2SP tlog-tiles serves it: checkpoint, tiles, entry bundles, consistency proofs.
//!
//! Nothing is served beyond the newest registered head: a client never holds a hash that no checkpoint may cover.

use attestore_tlog::{Bundle, Hash, Tile, consistency_proof, entry_bundle, tile_hashes};

use super::{snapshot, tree};
use crate::{
    Engine,
    error::{Error, Result},
    heads::checkpoint,
};

/// Proves that a log of `to` entries begins with that of `from` entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Size of the older tree.
    pub from: u64,
    /// Size of the newer tree.
    pub to: u64,
    /// The proof, as RFC 9162 orders it.
    pub hashes: Vec<Hash>,
}

impl Engine {
    /// Signs a checkpoint of everything durable. Blocks while the head register is written.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`]; [`Error::Stopped`] if the head cannot be registered, or the log was rolled back.
    pub fn checkpoint(&self, tenant: &str) -> Result<String> {
        let tenant = self.inner.tenant(tenant)?;
        Ok(checkpoint::newest(&self.inner, &tenant)?.note.to_string())
    }

    /// Returns the key that verifies the tenant's checkpoints, as C2SP signed-note writes it.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`].
    pub fn vkey(&self, tenant: &str) -> Result<String> {
        Ok(checkpoint::verifier(&*self.inner.tenant(tenant)?).to_string())
    }

    /// Returns the hashes of a tile.
    ///
    /// # Errors
    /// [`Error::BeyondTree`] unless a registered head covers all of it.
    pub fn tile(&self, tenant: &str, level: u8, index: u64, width: u16) -> Result<Vec<u8>> {
        let tenant = self.inner.tenant(tenant)?;
        let size = checkpoint::latest_size(&self.inner, &tenant);
        let tile = Tile::new(level, index, width).map_err(|_| Error::BeyondTree { size })?;
        snapshot(&tenant, |view| {
            if !tile.is_within(size.min(view.size)) {
                return Err(Error::BeyondTree { size });
            }
            let reader = tree::reader(&self.inner, &tenant, view);
            let hashes = tile_hashes(&reader, tile).map_err(tree::subtree_error)?;
            Ok(hashes.iter().flat_map(|hash| hash.0).collect())
        })
    }

    /// Returns a bundle of entries.
    ///
    /// # Errors
    /// As [`Engine::tile`].
    pub fn entries(&self, tenant: &str, index: u64, width: u16) -> Result<Vec<u8>> {
        let tenant = self.inner.tenant(tenant)?;
        let size = checkpoint::latest_size(&self.inner, &tenant);
        let bundle = Bundle::new(index, width).map_err(|_| Error::BeyondTree { size })?;
        snapshot(&tenant, |view| {
            if bundle.entries().end > size.min(view.size) {
                return Err(Error::BeyondTree { size });
            }
            let reader = tree::reader(&self.inner, &tenant, view);
            let entries = reader.source().entries(bundle.entries())?;
            Ok(entry_bundle(&entries))
        })
    }

    /// Proves that the log of `to` entries begins with that of `from` entries.
    ///
    /// # Errors
    /// [`Error::BeyondTree`] if `to` is beyond the log, [`Error::Invalid`] if `from` is larger than `to`.
    pub fn consistency(&self, tenant: &str, from: u64, to: u64) -> Result<ConsistencyProof> {
        if from > to {
            return Err(Error::Invalid {
                code: "invalid_range",
                message: "`from` is not larger than `to`".to_owned(),
            });
        }
        let tenant = self.inner.tenant(tenant)?;
        if to > checkpoint::latest_size(&self.inner, &tenant) {
            checkpoint::at_least(&self.inner, &tenant, to)?;
        }
        snapshot(&tenant, |view| {
            let reader = tree::reader(&self.inner, &tenant, view);
            let hashes =
                consistency_proof(&reader, from, to).map_err(|error| tree::build_error(error, view.size))?;
            Ok(ConsistencyProof { from, to, hashes })
        })
    }
}
