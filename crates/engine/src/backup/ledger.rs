//! The ledger: what was let go of for good, in order, for backups that were made before.
//!
//! A commit that destroys keys for good adds an entry; entries stay. They are shipped to the target one by one, and the head
//! register holds how many there are and the last link, so that a restore knows whether it has the newest.
//!
//! # Format
//! ```text
//! file = "ATSTLEDG" ‖ version u16 LE = 1 ‖ zero[6] ‖ number u64 LE ‖ link before[32] ‖ link[32]
//!        ‖ nonce[12] ‖ AES-256-GCM(key, context, entry) ‖ tag[16] ‖ BLAKE3 of everything before[32]
//! link    = derive("attestore 2026 backup ledger link v1", [key, link before, number u64 LE, entry]); before the first: zeros
//! key     = derive("attestore 2026 backup ledger v1", [directory key of _system])
//! context = "attestore backup ledger v1" ‖ number u64 LE ‖ link before[32]
//! ```
//! An entry is JSON. In the register the ledger is the row `ledger/<id of the instance>`: number of entries, last link.
//!
//! # Durability
//! An entry is in the same commit as what it tells of. It is synced in the target before the register has it, and receipts and
//! certificates are signed only after that.

use std::path::Path;

use attestore_disk::Disk;
use attestore_keys::{Entropy, Key, aead, derive};
use attestore_record::control::{PurgeReason, Ranges, RetentionPolicy};
use attestore_tlog::Hash;
use redb::{ReadTransaction, ReadableTable, TableError};
use serde::{Deserialize, Serialize};

use super::folder;
use crate::catalog::{Update, encode, json, storage, tables};
use crate::error::{Error, Result};
use crate::forget::Why;
use crate::forget::destroy::DestroyedRow;
use crate::heads::{Head, RegisterError};
use crate::instance::{Inner, SYSTEM_TENANT};

/// An entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// When, Unix milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) fact: Fact,
}

/// What was let go of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Fact {
    /// Both keys of each of these data subjects.
    Subjects {
        /// Id of the tenant, hex.
        tenant: String,
        /// Hex.
        handles: Vec<String>,
        basis: String,
        requested_by: String,
        approved_by: Vec<String>,
        requested_ms: u64,
    },
    /// Whole records.
    Records(Box<Records>),
    /// A tenant with everything in it.
    Tenant {
        /// Its id, hex.
        tenant: String,
        row: Box<DestroyedRow>,
    },
    /// A credential.
    Credential {
        /// Its id.
        id: String,
    },
}

/// Whole records that were let go of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Records {
    /// Id of the tenant, hex.
    pub(crate) tenant: String,
    pub(crate) class: u16,
    pub(crate) ranges: Ranges,
    pub(crate) why: Why,
    pub(crate) reason: PurgeReason,
    /// The policy that was in force.
    pub(crate) policy: Option<RetentionPolicy>,
    /// On what ground they were erased.
    pub(crate) basis: Option<String>,
    pub(crate) by: String,
    pub(crate) approved_by: Vec<String>,
    pub(crate) note: String,
    /// The log that they stood in, and the record of it there.
    pub(crate) origin: String,
    pub(crate) seq: u64,
}

/// How far the ledger is in the target.
#[derive(Default)]
pub(crate) struct Shipped {
    /// Whether the target was compared with the catalog.
    checked: bool,
    count: u64,
    link: [u8; 32],
}

/// Adds an entry to what is about to be committed.
///
/// # Errors
/// As writes.
pub(crate) fn note(update: &Update<'_>, at_ms: u64, fact: Fact) -> Result<()> {
    let mut table = update.txn().open_table(tables::LEDGER).map_err(storage)?;
    let last = table
        .last()
        .map_err(storage)?
        .map_or(0, |(number, _)| number.value());
    let row = encode(&Entry { at_ms, fact })?;
    table.insert(last + 1, row.as_slice()).map_err(storage)?;
    Ok(())
}

/// Entries of the catalog, from the one after `after` on: number and bytes.
///
/// # Errors
/// As reads.
pub(super) fn rows(txn: &ReadTransaction, after: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let table = match txn.open_table(tables::LEDGER) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table.map_err(storage)?,
    };
    let rows = table.range(after.saturating_add(1)..).map_err(storage)?;
    rows.map(|row| {
        let (number, bytes) = row.map_err(storage)?;
        Ok((number.value(), bytes.value().to_vec()))
    })
    .collect()
}

/// Puts every entry that the target lacks there; returns how many it has. 0 without a target.
///
/// # Errors
/// [`Error::Conflict`] for a target with a ledger of another course; what the target says. What is there stays.
pub(crate) fn ship(inner: &Inner) -> Result<u64> {
    let Some(target) = inner.backups.target() else {
        return Ok(0);
    };
    let mut shipped = inner.backups.shipped.lock();
    let instance = instance(inner)?;
    let key = key(&inner.tenant(SYSTEM_TENANT)?.keys.directory);
    let disk = &*target.disk;
    if !shipped.checked {
        folder::prepare(disk, &instance)?;
        *shipped = compare(inner, disk, &key)?;
    }
    for (number, bytes) in rows(&inner.catalog.read()?, shipped.count)? {
        let (file, link) = seal(&*inner.entropy, &key, number, &shipped.link, &bytes);
        if let Err(error) = folder::write(disk, &folder::ledger_path(number), &file) {
            // What is there is looked at again.
            shipped.checked = false;
            return Err(error);
        }
        shipped.count = number;
        shipped.link = link;
    }
    let head = Head {
        size: shipped.count,
        root: Hash(shipped.link),
    };
    let name = register_row(&instance);
    if shipped.count > 0 && inner.heads.register().head(&name) != Some(head) {
        match inner.heads.register().advance(&[(&name, head)]) {
            // Restored without the newest ledger: the register knows one of another course, until this one is longer.
            Err(error @ (RegisterError::Backwards { .. } | RegisterError::Forked { .. })) => {
                tracing::warn!(%error, "the head register has another ledger: a restore will be refused unless it is forced");
            }
            registered => registered?,
        }
    }
    Ok(shipped.count)
}

/// Ships what was just committed. What cannot be shipped yet is tried again, and nothing is signed about it before.
pub(crate) fn ship_soon(inner: &Inner) {
    if let Err(error) = ship(inner) {
        tracing::warn!(%error, "the ledger of what was let go of is not in the backups' folder yet; it is tried again");
    }
}

/// How many entries wait for being shipped.
///
/// # Errors
/// As reads.
pub(super) fn waiting(inner: &Inner) -> Result<u64> {
    let shipped = inner.backups.shipped.lock().count;
    let last = count(&inner.catalog.read()?)?;
    Ok(last.saturating_sub(shipped))
}

/// How many entries the catalog has.
///
/// # Errors
/// As reads.
pub(crate) fn count(txn: &ReadTransaction) -> Result<u64> {
    match txn.open_table(tables::LEDGER) {
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        table => {
            let table = table.map_err(storage)?;
            let last = table.last().map_err(storage)?;
            Ok(last.map_or(0, |(number, _)| number.value()))
        }
    }
}

/// Finds out how much of the catalog's ledger the target has.
fn compare(inner: &Inner, disk: &dyn Disk, key: &Key) -> Result<Shipped> {
    let there = chain(disk)?;
    let (mut link, mut count) = ([0; 32], 0);
    for (number, bytes) in rows(&inner.catalog.read()?, 0)? {
        if number > there.count {
            break;
        }
        link = link_of(key, &link, number, &bytes);
        count = number;
    }
    if !there.problems.is_empty() || there.count != count || there.link != link {
        return Err(Error::Conflict {
            code: "other_ledger",
            message: "the folder for backups has a ledger that is not this instance's as it is now: verify it, or give backups a new folder"
                .to_owned(),
        });
    }
    Ok(Shipped {
        checked: true,
        count,
        link,
    })
}

/// The link of an entry of the catalog's; zeros for none.
///
/// # Errors
/// As reads.
pub(super) fn link_at(inner: &Inner, key: &Key, number: u64) -> Result<[u8; 32]> {
    let rows = rows(&inner.catalog.read()?, 0)?;
    let rows = rows.iter().take_while(|(at, _)| *at <= number);
    Ok(rows.fold([0; 32], |link, (at, bytes)| link_of(key, &link, *at, bytes)))
}

/// What a target has of a ledger, as far as it shows without the key.
#[derive(Default)]
pub(super) struct Chain {
    /// Entries that follow one another from the first on.
    pub(super) count: u64,
    /// The link of the last of these.
    pub(super) link: [u8; 32],
    /// What does not hold: file and reason.
    pub(super) problems: Vec<(std::path::PathBuf, String)>,
}

/// Goes over the ledger in a target.
///
/// # Errors
/// What the system says.
pub(super) fn chain(disk: &dyn Disk) -> Result<Chain> {
    let mut chain = Chain::default();
    for name in folder::names(disk, Path::new(folder::LEDGER))?.into_keys() {
        if folder::is_unfinished(&name) {
            continue;
        }
        let path = Path::new(folder::LEDGER).join(&name);
        let next = chain.count + 1;
        let file = folder::read(disk, &path)?;
        let reason = match parse(&file) {
            _ if path != folder::ledger_path(next) => format!("entry {next} is missing before it"),
            Err(reason) => reason.to_owned(),
            Ok(parts) if parts.number != next || parts.before != chain.link => {
                "it does not follow the entry before it".to_owned()
            }
            Ok(parts) => {
                chain.count = next;
                chain.link = parts.link;
                continue;
            }
        };
        chain.problems.push((path, reason));
        break;
    }
    Ok(chain)
}

/// Opens the ledger in a target: its entries, as far as they follow one another.
///
/// # Errors
/// Damage; what the system says.
pub(super) fn open(disk: &dyn Disk, key: &Key, count: u64) -> Result<Vec<(u64, Vec<u8>)>> {
    let mut entries = Vec::new();
    for number in 1..=count {
        let path = folder::ledger_path(number);
        let file = folder::read(disk, &path)?;
        let damage = |reason: &str| Error::damage(&path, 0, reason);
        let parts = parse(&file).map_err(damage)?;
        let entry = aead::open_random(key, &context(number, &parts.before), parts.sealed)
            .map_err(|_| damage("an entry of the ledger is not authentic"))?;
        if link_of(key, &parts.before, number, &entry) != parts.link {
            return Err(damage("an entry of the ledger has another link"));
        }
        json::<Entry>(&entry).map_err(|_| damage("an entry of the ledger is of a newer version"))?;
        entries.push((number, entry));
    }
    Ok(entries)
}

struct Parts<'a> {
    number: u64,
    before: [u8; 32],
    link: [u8; 32],
    sealed: &'a [u8],
}

fn parse(file: &[u8]) -> std::result::Result<Parts<'_>, &'static str> {
    let (body, hash) = file.split_last_chunk::<32>().ok_or("it is cut short")?;
    if blake3::hash(body).as_bytes() != hash {
        return Err("it has another hash than it says");
    }
    let (head, rest) = body.split_first_chunk::<16>().ok_or("it is cut short")?;
    if *head != HEAD {
        return Err("it is no entry of a ledger, or of a newer version");
    }
    let (number, rest) = rest.split_first_chunk::<8>().ok_or("it is cut short")?;
    let (before, rest) = rest.split_first_chunk::<32>().ok_or("it is cut short")?;
    let (link, sealed) = rest.split_first_chunk::<32>().ok_or("it is cut short")?;
    Ok(Parts {
        number: u64::from_le_bytes(*number),
        before: *before,
        link: *link,
        sealed,
    })
}

fn seal(
    entropy: &dyn Entropy,
    key: &Key,
    number: u64,
    before: &[u8; 32],
    entry: &[u8],
) -> (Vec<u8>, [u8; 32]) {
    let link = link_of(key, before, number, entry);
    let mut file = HEAD.to_vec();
    file.extend_from_slice(&number.to_le_bytes());
    file.extend_from_slice(before);
    file.extend_from_slice(&link);
    file.extend_from_slice(&aead::seal_random(key, entropy, &context(number, before), entry));
    let hash = blake3::hash(&file);
    file.extend_from_slice(hash.as_bytes());
    (file, link)
}

fn link_of(key: &Key, before: &[u8; 32], number: u64, entry: &[u8]) -> [u8; 32] {
    let parts: [&[u8]; 4] = [key.expose(), before, &number.to_le_bytes(), entry];
    *derive("attestore 2026 backup ledger link v1", &parts).expose()
}

fn context(number: u64, before: &[u8; 32]) -> Vec<u8> {
    [
        b"attestore backup ledger v1",
        number.to_le_bytes().as_slice(),
        before,
    ]
    .concat()
}

/// The key of the ledger.
pub(super) fn key(system_directory: &Key) -> Key {
    derive("attestore 2026 backup ledger v1", &[system_directory.expose()])
}

/// Its name in the head register.
pub(super) fn register_row(instance: &str) -> String {
    format!("{REGISTER_PREFIX}{instance}")
}

pub(super) fn instance(inner: &Inner) -> Result<String> {
    let row = inner.catalog.instance()?;
    Ok(row
        .ok_or_else(|| Error::damage("catalog", 0, "no instance row"))?
        .id)
}

/// What rows of the head register begin with that are no logs.
pub(crate) const REGISTER_PREFIX: &str = "ledger/";
const HEAD: [u8; 16] = *b"ATSTLEDG\x01\0\0\0\0\0\0\0";
