//! The newest witnessed checkpoint of each log: one with enough cosignatures for the operator's policy.
//!
//! Who asks witnesses is not here; what they gave is kept, so that it is there after a restart, and whoever asks for evidence gets
//! a head that others have seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_record::TenantId;
use attestore_tlog::Hash;
use parking_lot::RwLock;
use redb::{ReadableTable, TableError};

use super::checkpoint::Signed;
use super::{Head, contradiction};
use crate::{
    Engine,
    catalog::{Catalog, storage, tables},
    error::{Error, Result},
    handover,
    read::tree,
};

/// A checkpoint with cosignatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Number of entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The note, with the log's signature and the cosignatures.
    pub note: Arc<str>,
}

/// Those of all logs that have any.
#[derive(Default)]
pub(crate) struct WitnessedHeads(RwLock<BTreeMap<TenantId, Arc<str>>>);

impl WitnessedHeads {
    /// Takes up what the catalog has.
    ///
    /// # Errors
    /// As reads.
    pub(crate) fn load(catalog: &Catalog) -> Result<Self> {
        let txn = catalog.read()?;
        let table = match txn.open_table(tables::WITNESSED) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Self::default()),
            table => table.map_err(storage)?,
        };
        let mut notes = BTreeMap::new();
        for row in table.iter().map_err(storage)? {
            let (tenant, note) = row.map_err(storage)?;
            notes.insert(TenantId::from_bytes(*tenant.value()), Arc::from(note.value()));
        }
        Ok(Self(RwLock::new(notes)))
    }

    /// Forgets that of a tenant that was destroyed.
    pub(super) fn forget(&self, tenant: &TenantId) {
        self.0.write().remove(tenant);
    }
}

impl Engine {
    /// Returns the newest witnessed checkpoint of a tenant's log.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`]; [`Error::Damage`] if what is kept is not by the log's key.
    pub fn witnessed(&self, tenant: &str) -> Result<Option<Witnessed>> {
        let tenant = self.inner.tenant(tenant)?;
        let note = self.inner.heads.witnessed.0.read().get(&tenant.id).cloned();
        let Some(note) = note else { return Ok(None) };
        let opened = (tenant.keys.signing.load())
            .open(&tenant.origin, &note)
            .map_err(|error| Error::damage("catalog", 0, format!("witnessed checkpoint: {error}")))?;
        Ok(Some(Witnessed {
            size: opened.size(),
            root: opened.root(),
            note,
        }))
    }

    /// Holds a log against a checkpoint that somebody else kept of it. If the log does not extend that, it was rolled back: its appends are
    /// refused from now on, until the log is forked, and the reason is returned.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless a key of this log signed it; as reads.
    pub fn hold_against(&self, tenant: &str, note: &str) -> Result<Option<String>> {
        let tenant = self.inner.tenant(tenant)?;
        let signing = tenant.keys.signing.load();
        let opened = signing
            .open(&tenant.origin, note)
            .map_err(|error| invalid(error.to_string()))?;
        let head = Head {
            size: opened.size(),
            root: opened.root(),
        };
        let reason = contradiction(&self.inner, &tenant, head, "signed")?;
        if let Some(reason) = &reason {
            handover::refuse(&self.inner, &tenant, reason)?;
        }
        Ok(reason)
    }

    /// Keeps a checkpoint that witnesses have cosigned, unless a newer one is kept. Durable on return.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless it is a checkpoint of this log as it is; as changes of the catalog.
    pub fn keep_witnessed(&self, tenant: &str, note: &str) -> Result<()> {
        let tenant = self.inner.tenant(tenant)?;
        let signing = tenant.keys.signing.load();
        let opened = signing
            .open(&tenant.origin, note)
            .map_err(|error| invalid(error.to_string()))?;
        let view = tenant.view();
        if tree::root_at(&self.inner, &tenant, &view, opened.size())? != opened.root() {
            return Err(invalid("not a checkpoint of this log as it is".to_owned()));
        }
        if let Some(kept) = self.witnessed(&tenant.name)?
            && kept.size >= opened.size()
        {
            return Ok(());
        }
        self.inner.catalog.update(|update| {
            let mut table = update.txn().open_table(tables::WITNESSED).map_err(storage)?;
            table.insert(tenant.id.as_bytes(), note).map_err(storage)?;
            Ok::<_, Error>(())
        })?;
        let mut notes = self.inner.heads.witnessed.0.write();
        notes.insert(tenant.id, Arc::from(note));
        Ok(())
    }
}

fn invalid(message: String) -> Error {
    Error::Invalid {
        code: "invalid_checkpoint",
        message,
    }
}

impl From<Witnessed> for Signed {
    fn from(witnessed: Witnessed) -> Self {
        Self {
            size: witnessed.size,
            root: witnessed.root,
            note: witnessed.note,
            frontier: None,
        }
    }
}
