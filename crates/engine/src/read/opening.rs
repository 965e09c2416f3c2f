//! Opens the commitments of records for outsiders, and checks each opening before anybody else does.

use attestore_record::{Entry, Handle, commitment};
use attestore_verify::{GroupOpening, OpenedRecord, verify_opening};

use super::records::{Personal, Record, SetSalts};
use crate::error::{Error, Result};
use crate::tenant::Tenant;

/// Makes the opening of a record: its personal groups stand as bare commitments where `record` does not have them opened, or
/// where a key of their subjects was destroyed.
///
/// # Errors
/// [`Error::Damage`] if the record is not what its entry commits to; [`Error::Key`], [`Error::Io`].
pub(crate) fn opened(
    tenant: &Tenant,
    entry: &Entry,
    record: &Record,
    salts: &mut SetSalts,
) -> Result<OpenedRecord> {
    opened_of(tenant, entry, record, salts, |_| true)
}

/// As [`opened`], with the groups about some sets of subjects only; the others stand as bare commitments.
///
/// # Errors
/// As [`opened`].
pub(crate) fn opened_of(
    tenant: &Tenant,
    entry: &Entry,
    record: &Record,
    salts: &mut SetSalts,
    is_opened: impl Fn(&[Handle]) -> bool,
) -> Result<OpenedRecord> {
    let id = record.id()?;
    let mut withheld = record.commitments.clone();
    let mut groups = Vec::with_capacity(withheld.len());
    for group in &record.personal {
        let Personal::Opened { handles, bytes } = group else {
            continue;
        };
        if !is_opened(handles) {
            continue;
        }
        let Some(salt) = salts.salt(tenant, &id, handles)? else {
            continue;
        };
        let commitment = commitment::group_commitment(entry.version, &salt, bytes);
        withheld.retain(|other| *other != commitment);
        groups.push(GroupOpening::Opened {
            salt,
            bytes: bytes.clone(),
        });
    }
    groups.extend(
        withheld
            .into_iter()
            .map(|commitment| GroupOpening::Withheld { commitment }),
    );
    let seq = record.seq;
    let damaged = |reason: String| Error::damage("records", seq, format!("record {seq}: {reason}"));
    let salt = record.public_salt(tenant, &id)?;
    let opened = OpenedRecord::new(entry.to_bytes(), record.public.to_vec(), salt, groups)
        .map_err(|error| damaged(error.to_string()))?;
    verify_opening(&opened).map_err(|error| damaged(error.to_string()))?;
    Ok(opened)
}
