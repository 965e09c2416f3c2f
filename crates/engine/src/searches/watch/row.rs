//! What the catalog keeps of watches. JSON, so that a later version can add fields. Catalogs from before there were any have no
//! such tables.

use attestore_keys::{Entropy, aead, derive, random_array};
use attestore_record::TenantId;
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, TableError};
use serde::{Deserialize, Serialize};

use super::{DEAD_LETTERS_MAX, EARLIER_MAX};
use crate::{
    catalog::{Catalog, Update, hex, json, of_tenant, storage, tables, unhex_vec},
    error::{Error, Result},
    forget::sealed,
    searches::row::SearchId,
    tenant::Tenant,
};

/// A watch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WatchRow {
    /// Name of the tenant.
    pub(crate) tenant: String,
    pub(crate) url: String,
    /// What messages are signed with, sealed under the tenant's key, hex.
    pub(crate) secret: String,
    pub(crate) enabled: bool,
    /// Whether messages hold the records' public fields, or only name them.
    pub(crate) records: bool,
    /// Counts what was set, from 1: who works for an older one stops.
    pub(crate) version: u64,
    pub(crate) changed_by: String,
    pub(crate) changed_ms: u64,
    /// The log that `next` is a place in.
    pub(crate) origin: String,
    /// Every match below it is in a message.
    pub(crate) next: u64,
    /// Queries that the search had before, oldest first, for the records that were there before it was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier: Vec<EarlierRow>,
    /// The message under way.
    pub(crate) pending: Option<PendingRow>,
    /// Dead letters that are to be sent once more.
    pub(crate) again: Vec<u64>,
    /// Number of the next dead letter.
    pub(crate) next_letter: u64,
    /// Why it was turned off, if not by somebody.
    pub(crate) turned_off: Option<String>,
    /// Since when nothing has succeeded.
    pub(crate) failing_since_ms: Option<u64>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_attempt_ms: Option<u64>,
    pub(crate) last_success_ms: Option<u64>,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    /// Dead letters that were dropped for newer ones.
    pub(crate) dropped: u64,
}

/// A query that a watched search had before it was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EarlierRow {
    pub(crate) query: String,
    /// The first seq that it is not asked of.
    pub(crate) until: u64,
}

impl WatchRow {
    /// Takes notice that its search is changed, whose query so far counts for the first `size` records.
    ///
    /// # Errors
    /// [`Error::TooMany`] for a watch that is so far behind that it has yet to ask many earlier queries.
    pub(crate) fn search_changes(&mut self, before: &str, after: &str, size: u64) -> Result<()> {
        // Who works for the search as it was stops, and so does what it has under way.
        self.version += 1;
        let asked = self.earlier.last().map_or(self.next, |earlier| earlier.until);
        if before == after || asked >= size {
            return Ok(());
        }
        if self.earlier.len() >= EARLIER_MAX {
            return Err(Error::TooMany {
                code: "watch_behind",
                message: format!(
                    "the watch has yet to look for what {EARLIER_MAX} earlier queries find: see why it is behind, or remove it"
                ),
            });
        }
        self.earlier.push(EarlierRow {
            query: before.to_owned(),
            until: size,
        });
        Ok(())
    }
}

/// A message that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingRow {
    pub(crate) id: String,
    pub(crate) made_ms: u64,
    /// Name that the search had when it was made: the same id says the same. None in rows of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Whether it holds the records' public fields; as for the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) views: Option<bool>,
    /// Seq and id of its records, ascending.
    pub(crate) records: Vec<(u64, String)>,
    /// First and last seqs that are no longer held and were not looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gaps: Vec<(u64, u64)>,
    pub(crate) attempts: u32,
    /// When it is to be sent.
    pub(crate) due_ms: u64,
}

impl PendingRow {
    /// Makes it another message, under another id, if it holds more of the records than the watch may send by now.
    pub(crate) fn narrow(&mut self, records: bool, entropy: &dyn Entropy) {
        if self.views.is_some_and(|views| views && !records) {
            self.id = message_id(entropy);
            self.views = Some(false);
        }
    }
}

/// An id for a new message.
pub(crate) fn message_id(entropy: &dyn Entropy) -> String {
    format!("msg_{}", hex(&random_array::<16>(entropy)))
}

/// A message that was given up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LetterRow {
    pub(crate) message: PendingRow,
    pub(crate) error: String,
    pub(crate) died_ms: u64,
}

/// A watch, or none.
///
/// # Errors
/// As reads.
pub(crate) fn watch(txn: &ReadTransaction, tenant: &TenantId, id: &SearchId) -> Result<Option<WatchRow>> {
    let table = match txn.open_table(tables::WATCHES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table.map_err(storage)?,
    };
    let row = table.get((tenant.as_bytes(), id)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// As [`watch`], within a change.
///
/// # Errors
/// As reads.
pub(crate) fn watch_in(update: &Update<'_>, tenant: &TenantId, id: &SearchId) -> Result<Option<WatchRow>> {
    let table = update.txn().open_table(tables::WATCHES).map_err(storage)?;
    let row = table.get((tenant.as_bytes(), id)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// How many watches a tenant has.
///
/// # Errors
/// As reads.
pub(crate) fn count_in(update: &Update<'_>, tenant: &TenantId) -> Result<usize> {
    let table = update.txn().open_table(tables::WATCHES).map_err(storage)?;
    let all = (tenant.as_bytes(), &[0; 16])..=(tenant.as_bytes(), &[0xFF; 16]);
    Ok(table.range(all).map_err(storage)?.count())
}

/// How many watches there are in all.
///
/// # Errors
/// As reads.
pub(crate) fn count_of_all_in(update: &Update<'_>) -> Result<usize> {
    let table = update.txn().open_table(tables::WATCHES).map_err(storage)?;
    Ok(usize::try_from(table.len().map_err(storage)?).unwrap_or(usize::MAX))
}

/// Every watch of every tenant.
///
/// # Errors
/// As reads.
pub(crate) fn all(catalog: &Catalog) -> Result<Vec<(TenantId, SearchId, WatchRow)>> {
    let txn = catalog.read()?;
    let table = match txn.open_table(tables::WATCHES) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table.iter().map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        let (tenant, id) = key.value();
        Ok((TenantId::from_bytes(*tenant), *id, json(row.value())?))
    })
    .collect()
}

/// Stores a watch.
///
/// # Errors
/// As writes.
pub(crate) fn put(update: &Update<'_>, tenant: &TenantId, id: &SearchId, row: &WatchRow) -> Result<()> {
    let bytes = encode(row)?;
    let mut table = update.txn().open_table(tables::WATCHES).map_err(storage)?;
    table
        .insert((tenant.as_bytes(), id), bytes.as_slice())
        .map_err(storage)?;
    Ok(())
}

/// Removes a watch with its dead letters; says whether there was one.
///
/// # Errors
/// As writes.
pub(crate) fn forget_in(update: &Update<'_>, tenant: &TenantId, id: &SearchId) -> Result<bool> {
    let mut table = update.txn().open_table(tables::WATCHES).map_err(storage)?;
    let there = table.remove((tenant.as_bytes(), id)).map_err(storage)?.is_some();
    let mut letters = update.txn().open_table(tables::WATCH_LETTERS).map_err(storage)?;
    letters
        .retain_in(letter_range(tenant, id), |_, _| false)
        .map_err(storage)?;
    Ok(there)
}

/// As [`forget_in`], for a tenant's saved search that is deleted.
///
/// # Errors
/// As writes.
pub(crate) fn forget(update: &Update<'_>, tenant: &TenantId, id: &SearchId) -> Result<()> {
    forget_in(update, tenant, id).map(drop)
}

/// The dead letters of a watch, oldest first.
///
/// # Errors
/// As reads.
pub(crate) fn letters(
    txn: &ReadTransaction,
    tenant: &TenantId,
    id: &SearchId,
) -> Result<Vec<(u64, LetterRow)>> {
    let table = match txn.open_table(tables::WATCH_LETTERS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table.range(letter_range(tenant, id)).map_err(storage)?;
    rows.map(|row| {
        let (key, row) = row.map_err(storage)?;
        Ok((key.value().2, json(row.value())?))
    })
    .collect()
}

/// Takes a dead letter out; `None` if there is none of that number.
///
/// # Errors
/// As writes.
pub(crate) fn take_letter(
    update: &Update<'_>,
    tenant: &TenantId,
    id: &SearchId,
    number: u64,
) -> Result<Option<LetterRow>> {
    let mut table = update.txn().open_table(tables::WATCH_LETTERS).map_err(storage)?;
    let row = table.remove((tenant.as_bytes(), id, number)).map_err(storage)?;
    row.map(|row| json(row.value())).transpose()
}

/// Adds a dead letter; the oldest go where there are too many.
///
/// # Errors
/// As writes.
pub(crate) fn bury(
    update: &Update<'_>,
    tenant: &TenantId,
    id: &SearchId,
    watch: &mut WatchRow,
    letter: &LetterRow,
) -> Result<()> {
    let bytes = encode(letter)?;
    let mut table = update.txn().open_table(tables::WATCH_LETTERS).map_err(storage)?;
    table
        .insert((tenant.as_bytes(), id, watch.next_letter), bytes.as_slice())
        .map_err(storage)?;
    watch.next_letter += 1;
    let mut numbers = Vec::new();
    for row in table.range(letter_range(tenant, id)).map_err(storage)? {
        numbers.push(row.map_err(storage)?.0.value().2);
    }
    for number in numbers
        .iter()
        .take(numbers.len().saturating_sub(DEAD_LETTERS_MAX))
    {
        table.remove((tenant.as_bytes(), id, *number)).map_err(storage)?;
        watch.dropped += 1;
        watch.again.retain(|again| again != number);
    }
    Ok(())
}

/// Seals a secret for its row.
pub(crate) fn seal(tenant: &Tenant, id: &SearchId, entropy: &dyn Entropy, secret: &[u8]) -> String {
    let key = derive(SECRET_CONTEXT, &[tenant.keys.ring().current().expose()]);
    hex(&aead::seal_random(&key, entropy, &aad(tenant, id), secret))
}

/// Opens a secret; it is the caller's to zeroise.
///
/// # Errors
/// Damage.
pub(crate) fn open(tenant: &Tenant, id: &SearchId, sealed: &str) -> Result<Vec<u8>> {
    let opened = unhex_vec(sealed).and_then(|sealed| {
        let ring = tenant.keys.ring();
        ring.each().find_map(|key| {
            let key = derive(SECRET_CONTEXT, &[key.expose()]);
            aead::open_random(&key, &aad(tenant, id), &sealed).ok()
        })
    });
    opened.ok_or_else(|| Error::damage("catalog", 0, "secret of a watch"))
}

/// Seals secrets that are not under the tenant's current key anew. The caller is alone with the watches.
///
/// # Errors
/// As writes; damage.
pub(crate) fn seal_again(update: &Update<'_>, tenant: &Tenant, entropy: &dyn Entropy) -> Result<()> {
    let rows = of_tenant::stored_of::<WatchRow>(update, tables::WATCHES, &tenant.id)?;
    for (id, mut watch) in rows {
        let sealed = sealed::again(tenant, SECRET_CONTEXT, &id, entropy, &watch.secret)?;
        if let Some(sealed) = sealed {
            watch.secret = sealed;
            put(update, &tenant.id, &id, &watch)?;
        }
    }
    Ok(())
}

fn aad(tenant: &Tenant, id: &SearchId) -> Vec<u8> {
    [tenant.id.as_bytes().as_slice(), id].concat()
}

type LetterKey<'a> = (&'a [u8; 16], &'a [u8; 16], u64);

fn letter_range<'a>(tenant: &'a TenantId, id: &'a SearchId) -> std::ops::RangeInclusive<LetterKey<'a>> {
    (tenant.as_bytes(), id, 0)..=(tenant.as_bytes(), id, u64::MAX)
}

fn encode(row: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(row).map_err(|error| Error::Io(error.to_string()))
}

const SECRET_CONTEXT: &str = "attestore 2026 watch secret v1";
