//! What the catalog keeps of an access request beside the job. JSON, so that a later version can add fields.

use attestore_keys::{Entropy, Key, Slot, aead, derive};
use attestore_record::{Handle, SubjectRef};
use hashbrown::HashSet;
use serde::{Deserialize, Serialize};

use super::AccessKind;
use crate::catalog::{hex, unhex, unhex_vec};
use crate::exports::row::{JobKey, JobRow};
use crate::forget::erase::Recipient;
use crate::instance::{Inner, file_context};
use crate::tenant::Tenant;
use crate::{Error, Result};

/// Of a job that is an access request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AccessRow {
    pub(crate) kind: AccessKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) basis: Option<String>,
    /// For how long the file is kept, milliseconds.
    pub(crate) keep_ms: u64,
    /// How many handles the person has.
    pub(crate) number: u64,
    /// [`Asked`], sealed under the key of the job's files, hex; `None` once that is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sealed: Option<String>,
    /// Who was let see records of the tenant; `None` when `_system` could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recipients: Option<Vec<Recipient>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fetched_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fetched_by: Option<String>,
}

/// Whom a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Types and ids, as they were asked for.
    pub(super) people: Vec<(String, String)>,
    /// Hex.
    handles: Vec<String>,
}

impl Asked {
    pub(super) fn new(people: &[SubjectRef], handles: &[Handle]) -> Self {
        Self {
            people: people
                .iter()
                .map(|person| (person.ty.clone(), person.id.clone()))
                .collect(),
            handles: handles.iter().map(|handle| hex(handle.as_bytes())).collect(),
        }
    }

    /// Seals it under the key of the job's files.
    ///
    /// # Errors
    /// When it does not serialise.
    pub(super) fn seal(&self, key: &JobKey, file_key: &Key, entropy: &dyn Entropy) -> Result<String> {
        let bytes = serde_json::to_vec(self).map_err(|error| Error::Io(error.to_string()))?;
        let under = derive(CONTEXT, &[file_key.expose()]);
        Ok(hex(&aead::seal_random(&under, entropy, &aad(key), &bytes)))
    }

    /// Opens it.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn open(row: &AccessRow, key: &JobKey, file_key: &Key) -> Result<Self> {
        let under = derive(CONTEXT, &[file_key.expose()]);
        let sealed = row.sealed.as_deref().and_then(unhex_vec);
        let opened = sealed.and_then(|sealed| aead::open_random(&under, &aad(key), &sealed).ok());
        let asked = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        asked.ok_or_else(|| Error::damage("catalog", 0, "whom an access request is about"))
    }

    pub(super) fn subjects(&self) -> Vec<SubjectRef> {
        let people = self.people.iter();
        people.map(|(ty, id)| SubjectRef::new(ty, id.as_str())).collect()
    }

    /// The person's handles.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn handles(&self) -> Result<HashSet<[u8; 16]>> {
        let handles = self.handles.iter().map(|text| unhex(text));
        let handles: Option<HashSet<[u8; 16]>> = handles.collect();
        handles.ok_or_else(|| Error::damage("catalog", 0, "handles of an access request"))
    }
}

/// Whether what a job has written, or is to write, is to go with somebody of `handles`. Of an access request it is known whom it is
/// about; where that does not open, it goes.
pub(in crate::exports) fn concerns(
    inner: &Inner,
    tenant: &Tenant,
    key: &JobKey,
    row: &JobRow,
    handles: &[Handle],
) -> bool {
    let Some(access) = &row.access else { return true };
    let opened = || -> Result<HashSet<[u8; 16]>> {
        let slot = row.slot.ok_or(Error::NotFound("access request"))?;
        let context = file_context(tenant, key.1, false);
        let file_key = tenant.keys.open(&inner.catalog, Slot(slot), &context)?;
        Asked::open(access, key, &file_key)?.handles()
    };
    opened().map_or(true, |about| {
        handles.iter().any(|handle| about.contains(handle.as_bytes()))
    })
}

fn aad(key: &JobKey) -> Vec<u8> {
    [key.0.as_bytes().as_slice(), &key.1].concat()
}

const CONTEXT: &str = "attestore 2026 access request v1";

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"kind":"access","basis":"Art. 15","keep_ms":5,"number":1,"sealed":"00","recipients":[{"id":"c","requests":[["read",2]]}]}"#;

    #[test]
    fn rows_have_golden_bytes() {
        let row: AccessRow = serde_json::from_str(ROW).unwrap();
        assert_eq!(serde_json::to_string(&row).unwrap(), ROW);
    }
}
