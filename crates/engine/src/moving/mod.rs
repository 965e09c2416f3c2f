//! Moving a tenant to another server: whole, verifiable, and never served under one origin by two.
//!
//! | file | what |
//! |---|---|
//! | `row` | what the catalog keeps, at both ends |
//! | `invite` | the target: whom a package is sealed for, and the key of the next epoch |
//! | `out` | the source: beginning, showing, taking it back, letting go |
//! | `closing` | the source: the end of the log, and the package |
//! | `again` | the source: a log that had ended goes on, since its move was taken back |
//! | `package`, `copy`, `rows` | what travels |
//! | `import` | the target: from a package to a tenant |
//! | `entries` | entries of a package, into the tenant's folder |
//! | `shapes` | whether rows are what their tables hold |
//! | `take` | rows and files of a package, into the catalog and the tenant's folder |
//! | `receipt` | what the target signs, and the source lets go for |
//! | `check` | a package, looked at with and without its key |
//!
//! # Durability
//! **At the source.** 1. A row, `copying`; sealed files and entries go into the package while everything goes on. 2. Under
//! [`Tenant::deciding`](crate::tenant::Tenant): a row, `closing`: from here on the log takes nothing but the server's last record of it,
//! also after a crash. 3. That record. 4. Every file of the WAL is freed; the last head is registered and signed, and the log's key names
//! the key that the target drew: one commit, `closed`. 5. What is missing of the package, its rows, and last its manifest; `packed`.
//! Each step is found undone and made by the next call. 6. With the target's receipt the tenant is destroyed.
//!
//! **At the target.** 1. The recipient's key and the next signing key, in the tree of keys; `invited`. 2. `importing`: files, subjects, and
//! rows of files, in many commits; nobody finds a tenant that has no row. 3. One commit: all other rows, the tenant's own, its name, and
//! that its new epoch is to be recorded; the recipient's key is destroyed; `imported`. 4. The record of the new epoch, first of all. 5. The
//! receipt. *A crash before 3 leaves what the next start throws away; after it, a tenant whose record the next start writes.*

mod again;
mod check;
mod closing;
mod copy;
mod entries;
mod import;
mod invite;
mod out;
mod package;
mod receipt;
mod row;
mod rows;
mod shapes;
mod take;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use attestore_disk::Disk;
use attestore_record::TenantId;
use parking_lot::{Mutex, MutexGuard};
use redb::ReadTransaction;

use crate::backup::folder;
use crate::catalog::{by_tenant, hex, tables, tenant_rows, unhex};
use crate::error::{Error, Result};
use crate::instance::{Engine, Inner};

pub use check::PackageReport;
pub use import::Imported;
pub use invite::{ImportInfo, Invitation};
pub use out::{Aborted, MoveInfo};
pub use row::{ImportState, MoveState};

/// Moves of an instance: one at a time.
#[derive(Default)]
pub(crate) struct Moves {
    working: Mutex<()>,
    done: AtomicU64,
    all: AtomicU64,
}

impl Moves {
    /// Begins a step, if nobody else is at one.
    ///
    /// # Errors
    /// [`Error::Conflict`] `move_busy`.
    fn alone(&self) -> Result<MutexGuard<'_, ()>> {
        self.working.try_lock().ok_or_else(|| {
            conflict(
                "move_busy",
                "a step of a move is under way on this server: wait until it is over",
            )
        })
    }

    /// Says how many bytes there are to be copied.
    fn begin(&self, all: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
    }

    fn went(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that were copied, and that are to be, of what is copied now or was last.
    fn progress(&self) -> (u64, u64) {
        (
            self.done.load(Ordering::Relaxed),
            self.all.load(Ordering::Relaxed),
        )
    }
}

impl Engine {
    /// Whether a step of a move is under way: of one tenant at a time.
    pub fn is_moving(&self) -> bool {
        self.inner.moves.working.is_locked()
    }
}

/// Where a log goes on that ended here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Origin of its next epoch.
    pub(crate) origin: String,
    /// Id of the instance that has it.
    pub(crate) instance: String,
    /// Whether the server's own last record of it is still to come.
    pub(crate) closing: bool,
}

impl Moved {
    /// What is answered to who wants something put into the log.
    pub(crate) fn error(&self) -> Error {
        Error::Conflict {
            code: "tenant_moved",
            message: format!(
                "the log ended here: it moves to the server {}, where it goes on as {}",
                self.instance, self.origin
            ),
        }
    }
}

/// Where the log of a tenant goes on, if it ended here.
///
/// # Errors
/// As reads.
pub(crate) fn closed(txn: &ReadTransaction, tenant: &TenantId) -> Result<Option<Moved>> {
    let row = by_tenant::get::<row::OutRow>(txn, tables::MOVES_OUT, tenant)?;
    row.filter(|row| row.state != MoveState::Copying)
        .map(|row| row.moved())
        .transpose()
}

/// At start: throws away what an import left that did not come to its end, and packages that belong to no move.
///
/// # Errors
/// As reads and changes of the catalog.
pub(crate) fn clean(inner: &Inner) -> Result<()> {
    let txn = inner.catalog.read()?;
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (_, out) in by_tenant::all::<row::OutRow>(&txn, tables::MOVES_OUT)? {
        known.insert(out.invitation.id);
    }
    let incoming = by_tenant::all::<row::InRow>(&txn, tables::MOVES_IN)?;
    drop(txn);
    for (id, row) in incoming {
        if row.state == ImportState::Importing {
            import::throw_away(inner, &hex(id.as_bytes()))?;
        }
        if row.state != ImportState::Imported {
            known.insert(hex(id.as_bytes()));
        }
    }
    let entries = match inner.disk.list(Path::new(MOVES)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        if unhex::<16>(&entry.name).is_some() && !known.contains(&entry.name) {
            remove_all(&*inner.disk, &folder_of(&entry.name))?;
        }
    }
    Ok(())
}

/// The folder of a package.
fn folder_of(id: &str) -> PathBuf {
    Path::new(MOVES).join(id)
}

/// Removes a folder with everything in it, if it is there.
fn remove_all(disk: &dyn Disk, dir: &Path) -> Result<()> {
    if !disk.exists(dir)? {
        return Ok(());
    }
    for entry in disk.list(dir)? {
        let path = dir.join(entry.name);
        match entry.is_dir {
            true => remove_all(disk, &path)?,
            false => folder::remove(disk, &path)?,
        }
    }
    disk.sync_dir(dir)?;
    disk.remove(dir)?;
    disk.sync_dir(dir.parent().unwrap_or(Path::new("")))?;
    Ok(())
}

/// The 16 bytes of a move's id, under which its row is.
fn key(id: &str) -> Result<TenantId> {
    let id = unhex(id).ok_or(Error::NotFound("move"))?;
    Ok(TenantId::from_bytes(id))
}

fn conflict(code: &'static str, message: impl Into<String>) -> Error {
    Error::Conflict {
        code,
        message: message.into(),
    }
}

fn invalid(code: &'static str, message: impl Into<String>) -> Error {
    Error::Invalid {
        code,
        message: message.into(),
    }
}

fn check_reason(reason: &str) -> Result<()> {
    match !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX {
        true => Ok(()),
        false => Err(invalid(
            "invalid_reason",
            format!("a reason has 1 to {REASON_BYTES_MAX} bytes"),
        )),
    }
}

/// How many rows of a tenant there are, in any table.
fn rows_of(inner: &Inner, tenant: &TenantId) -> Result<usize> {
    let found = tenant_rows::count(&inner.catalog.read()?, tenant)?;
    Ok(found.iter().map(|(_, rows)| rows).sum())
}

/// Where packages are, in the data directory.
const MOVES: &str = "moves";
const REASON_BYTES_MAX: usize = 1024;
