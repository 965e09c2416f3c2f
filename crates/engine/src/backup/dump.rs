//! The rows of the catalog in one file, sealed piece by piece.
//!
//! # Format
//! ```text
//! dump   = "ATSTDUMP" ‖ version u16 = 1 ‖ zero[6] ‖ id of the backup[16] ‖ pieces
//! piece  = length u32 ‖ last u8 ‖ nonce[12] ‖ AES-256-GCM(key of the dump, context, rows) ‖ tag[16]
//! context = "attestore backup catalog v1" ‖ id of the backup[16] ‖ number of the piece u64 ‖ last u8
//! row    = length of the table's name u8 ‖ name ‖ length of the key u32 ‖ key ‖ length of the value u32 ‖ value
//! ```
//! Little-endian. Rows come table by table, the first of each in the table `=`: its key is the name of the table, so that empty ones are
//! there again; keys and values as the store has them. Rows of exports are left out: their files are
//! in no backup.

use std::io;
use std::path::Path;

use attestore_disk::{Disk, Mode};
use attestore_keys::{Entropy, Key, aead};
use attestore_segment::{FileWriter, Written};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, TableHandle, WriteTransaction};

use crate::catalog::{storage, tables};
use crate::error::{Error, Result};

/// Calls a macro for each table that is written out, with its name.
macro_rules! every_table {
    ($each:ident) => {
        $each!(META);
        $each!(PAGES);
        $each!(TENANTS);
        $each!(TENANT_NAMES);
        $each!(DIRECTORY);
        $each!(HANDLES);
        $each!(FILES);
        $each!(L0);
        $each!(WAL);
        $each!(CREDENTIALS);
        $each!(SCRUBS);
        $each!(WITNESSED);
        $each!(HANDOVERS);
        $each!(MODULE_KEYS);
        $each!(QUOTAS);
        $each!(KEYS);
        $each!(RETENTION);
        $each!(GONE);
        $each!(HOLDS);
        $each!(HOLD_RANGES);
        $each!(APPROVALS);
        $each!(APPROVAL_POLICIES);
        $each!(PRIVACY);
        $each!(PURGES);
        $each!(PURGE_RECEIPTS);
        $each!(SEARCHES);
        $each!(WATCHES);
        $each!(WATCH_LETTERS);
        $each!(ERASURES);
        $each!(RESTRICTIONS);
        $each!(DESTROYED);
        $each!(MOVES_OUT);
        $each!(MOVES_IN);
        $each!(LEDGER);
    };
}

/// Tables that are in no backup.
const LEFT_OUT: [&str; 3] = ["exports", "export_parts", "export_manifests"];

/// Writes rows out.
pub(crate) struct Writer<'a> {
    file: FileWriter<'a>,
    key: &'a Key,
    entropy: &'a dyn Entropy,
    id: [u8; 16],
    number: u64,
    rows: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Begins a dump.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn new(
        mut file: FileWriter<'a>,
        key: &'a Key,
        entropy: &'a dyn Entropy,
        id: [u8; 16],
    ) -> Result<Self> {
        file.write(&head(&id))?;
        Ok(Self {
            file,
            key,
            entropy,
            id,
            number: 0,
            rows: Vec::new(),
        })
    }

    /// Writes every row of a snapshot.
    ///
    /// # Errors
    /// As reads; a table that is not known here; what the disk says.
    pub(crate) fn catalog(&mut self, txn: &ReadTransaction) -> Result<()> {
        let mut known: Vec<String> = LEFT_OUT.map(str::to_owned).into();
        macro_rules! take {
            ($table:ident) => {
                known.push(tables::$table.name().to_owned());
                self.table(txn, tables::$table)?;
            };
        }
        every_table!(take);
        for table in txn.list_tables().map_err(storage)? {
            if !known.iter().any(|known| known == table.name()) {
                return Err(Error::Io(format!(
                    "no backup knows of the table {}",
                    table.name()
                )));
            }
        }
        Ok(())
    }

    fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &mut self,
        txn: &ReadTransaction,
        definition: TableDefinition<K, V>,
    ) -> Result<()> {
        let table = match txn.open_table(definition) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table.map_err(storage)?,
        };
        self.row(EXISTS, definition.name().as_bytes(), &[])?;
        for row in table.iter().map_err(storage)? {
            let (key, value) = row.map_err(storage)?;
            let (key, value) = (key.value(), value.value());
            self.row(
                definition.name(),
                K::as_bytes(&key).as_ref(),
                V::as_bytes(&value).as_ref(),
            )?;
        }
        Ok(())
    }

    /// Writes a row.
    ///
    /// # Errors
    /// What the disk says; a row that is too long.
    pub(crate) fn row(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<()> {
        let too_long = |_| Error::Io("a row is too long for a backup".to_owned());
        self.rows.push(u8::try_from(table.len()).map_err(too_long)?);
        self.rows.extend_from_slice(table.as_bytes());
        for bytes in [key, value] {
            let len = u32::try_from(bytes.len()).map_err(too_long)?;
            self.rows.extend_from_slice(&len.to_le_bytes());
            self.rows.extend_from_slice(bytes);
        }
        match self.rows.len() >= PIECE_BYTES {
            true => self.piece(false),
            false => Ok(()),
        }
    }

    fn piece(&mut self, last: bool) -> Result<()> {
        let context = context(&self.id, self.number, u8::from(last));
        let sealed = aead::seal_random(self.key, self.entropy, &context, &self.rows);
        let len = u32::try_from(sealed.len()).map_err(|_| Error::Io("a piece is too long".to_owned()))?;
        self.file.write(&len.to_le_bytes())?;
        self.file.write(&[u8::from(last)])?;
        self.file.write(&sealed)?;
        self.number += 1;
        self.rows.clear();
        Ok(())
    }

    /// Ends it; it is durable once the file system was synced.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn finish(mut self) -> Result<Written> {
        self.piece(true)?;
        Ok(self.file.finish(false).map_err(io::Error::from)?)
    }
}

/// Is called with table, key and value of a row.
pub(crate) type EachRow<'a> = dyn FnMut(&str, &[u8], &[u8]) -> Result<()> + 'a;

/// Reads a dump: calls `each` with table, key and value of each row, in order.
///
/// # Errors
/// Damage, with the place in the file; what `each` returns.
pub(crate) fn read(
    disk: &dyn Disk,
    path: &Path,
    key: &Key,
    id: &[u8; 16],
    each: &mut EachRow<'_>,
) -> Result<()> {
    let file = disk.open(path, Mode::Read)?;
    let end = file.len()?;
    let damage = |at: u64, reason: &str| Error::damage(path, at, reason);
    let cut = |at: u64, reason: &str, error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damage(at, reason),
        _ => error.into(),
    };
    let mut begin = [0; HEAD];
    file.read_exact_at(&mut begin, 0)
        .map_err(|error| cut(0, "no dump of a catalog", error))?;
    if begin != head(id) {
        return Err(damage(0, "no dump of this backup's catalog"));
    }
    let (mut at, mut number) = (HEAD as u64, 0);
    loop {
        let mut prefix = [0; 5];
        file.read_exact_at(&mut prefix, at)
            .map_err(|error| cut(at, "the file ends before its last piece", error))?;
        let [a, b, c, d, last] = prefix;
        let len = u32::from_le_bytes([a, b, c, d]);
        if u64::from(len) > end.saturating_sub(at) || last > 1 {
            return Err(damage(at, "the beginning of a piece"));
        }
        let mut sealed = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_exact_at(&mut sealed, at + 5)
            .map_err(|error| cut(at, "a piece is cut short", error))?;
        let rows = aead::open_random(key, &context(id, number, last), &sealed)
            .map_err(|_| damage(at, "a piece is not authentic"))?;
        each_row(&rows, each).map_err(|error| match error {
            Some(error) => error,
            None => damage(at, "rows of a piece"),
        })?;
        at += 5 + u64::from(len);
        number += 1;
        if last == 1 {
            return match at == end {
                true => Ok(()),
                false => Err(damage(at, "something stands behind the last piece")),
            };
        }
    }
}

/// `None` is a piece that holds no rows.
fn each_row(mut rows: &[u8], each: &mut EachRow<'_>) -> std::result::Result<(), Option<Error>> {
    fn take<'a>(rows: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = rows.split_at_checked(len)?;
        *rows = rest;
        Some(taken)
    }
    fn long<'a>(rows: &mut &'a [u8]) -> Option<&'a [u8]> {
        let len = u32::from_le_bytes(take(rows, 4)?.try_into().ok()?);
        take(rows, usize::try_from(len).ok()?)
    }
    while let Some((len, rest)) = rows.split_first() {
        rows = rest;
        let name = take(&mut rows, usize::from(*len)).and_then(|name| std::str::from_utf8(name).ok());
        let row = name.and_then(|name| Some((name, long(&mut rows)?, long(&mut rows)?)));
        let (name, key, value) = row.ok_or(None)?;
        each(name, key, value).map_err(Some)?;
    }
    Ok(())
}

/// Puts a row back as it was.
///
/// # Errors
/// Damage for a table that no backup has; as writes.
pub(crate) fn put(txn: &WriteTransaction, table: &str, key: &[u8], value: &[u8]) -> Result<()> {
    macro_rules! put {
        ($table:ident) => {
            if table == tables::$table.name() {
                return insert(txn, tables::$table, key, value);
            }
        };
    }
    macro_rules! make {
        ($table:ident) => {
            if table == EXISTS && key == tables::$table.name().as_bytes() {
                return txn.open_table(tables::$table).map(drop).map_err(storage);
            }
        };
    }
    every_table!(put);
    every_table!(make);
    Err(Error::damage(
        "catalog",
        0,
        format!("a row of the unknown table {table}"),
    ))
}

fn insert<K: redb::Key + 'static, V: redb::Value + 'static>(
    txn: &WriteTransaction,
    definition: TableDefinition<K, V>,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    let mut table = txn.open_table(definition).map_err(storage)?;
    table
        .insert(K::from_bytes(key), V::from_bytes(value))
        .map_err(storage)?;
    Ok(())
}

fn head(id: &[u8; 16]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(b"ATSTDUMP");
    head[8..10].copy_from_slice(&1u16.to_le_bytes());
    head[16..].copy_from_slice(id);
    head
}

fn context(id: &[u8; 16], number: u64, last: u8) -> Vec<u8> {
    [
        b"attestore backup catalog v1",
        id.as_slice(),
        &number.to_le_bytes(),
        &[last],
    ]
    .concat()
}

/// Not a table: says that one exists.
const EXISTS: &str = "=";
const HEAD: usize = 32;
/// Rows that are sealed together, about.
const PIECE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use redb::TableHandle;

    use super::{LEFT_OUT, tables};

    #[test]
    fn every_table_is_written_out_or_left_out_on_purpose() {
        let source = include_str!("../catalog/tables.rs");
        let all: BTreeSet<&str> = source
            .split("TableDefinition::new(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        let mut known: BTreeSet<String> = LEFT_OUT.map(str::to_owned).into();
        macro_rules! know {
            ($table:ident) => {
                assert!(known.insert(tables::$table.name().to_owned()));
            };
        }
        every_table!(know);
        assert_eq!(all, known.iter().map(String::as_str).collect());
    }
}
