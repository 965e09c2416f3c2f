//! The source: a tenant that moves away.

use attestore_tlog::Hash;

use super::closing::{decide, end, flushed, pack, until_unchanged};
use super::row::OutRow;
use super::{
    Invitation, MoveState, again, check_reason, conflict, copy, folder_of, invalid, invite, receipt,
    remove_all,
};
use crate::catalog::{by_tenant, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::approvals::Approved;
use crate::forget::destroy::{self, DestroyedTenant};
use crate::heads::HEADS_TENANT;
use crate::instance::{Engine, Inner, SYSTEM_TENANT};
use crate::tenant::Tenant;

/// A tenant that moves away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveInfo {
    /// How far it is.
    pub state: MoveState,
    /// Where it goes.
    pub invitation: Invitation,
    /// Why, as it was typed.
    pub reason: String,
    /// Id of who began it.
    pub by: String,
    /// Ids of who closed it and who approved that.
    pub approved_by: Vec<String>,
    /// When it began, Unix milliseconds.
    pub begun_ms: u64,
    /// When the log ended, Unix milliseconds.
    pub closed_ms: Option<u64>,
    /// Seq of the record that says so.
    pub control: Option<u64>,
    /// The vkey of the log: the target asks for it.
    pub vkey: String,
    /// Entries of the log at its end, and the root over them, hex; once it is closed.
    pub head: Option<(u64, String)>,
    /// The last checkpoint, signed by the log's key; once it is closed.
    pub checkpoint: Option<String>,
    /// Where the package is, within the data directory.
    pub folder: String,
    /// SHA-256 of its manifest, hex, once it is whole.
    pub package: Option<String>,
    /// Bytes that the package has, once it is whole.
    pub package_bytes: u64,
    /// What is not in it, in words.
    pub left_out: Vec<String>,
    /// Bytes that were copied, and that there are, until it is whole.
    pub progress: Option<(u64, u64)>,
}

/// A move that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// The vkey of the log's new epoch, if the log had ended.
    pub vkey: Option<String>,
    /// Whether that begins only with the next start: somebody still used the log as it was.
    pub restart: bool,
}

impl Engine {
    /// Begins to move a tenant to the server that made the invitation, and copies its files while everything goes on. Again, it copies what
    /// came since.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`]; [`Error::Invalid`] `invalid_invitation`, `invalid_reason`; [`Error::Conflict`] `own_log`,
    /// `same_server`, `rolled_back`, `move_running`; as reads and changes of the catalog; what the disk says.
    pub fn start_move(
        &self,
        tenant: &str,
        by: &Principal,
        invitation: &str,
        reason: &str,
    ) -> Result<MoveInfo> {
        by.check(tenant, Permission::MoveTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        check_reason(reason)?;
        let invitation = Invitation::parse(invitation)?;
        if [SYSTEM_TENANT, HEADS_TENANT].contains(&tenant) {
            return Err(conflict("own_log", "the logs of the server itself do not move"));
        }
        if invitation.instance == invite::instance(inner)? {
            return Err(conflict("same_server", "this server made the invitation itself"));
        }
        let tenant = inner.tenant(tenant)?;
        if tenant.rolled_back().is_some() {
            let message = "the log was rolled back: fork it before, so that its last head is known";
            return Err(conflict("rolled_back", message));
        }
        let _working = inner.moves.alone()?;
        let row = match stored(inner, &tenant)? {
            Some(row) if row.invitation == invitation => row,
            Some(row) => {
                let message = format!("it moves already, by the invitation {}", row.invitation.id);
                return Err(conflict("move_running", message));
            }
            None => {
                let row = OutRow {
                    state: MoveState::Copying,
                    invitation,
                    reason: reason.to_owned(),
                    by: by.id.clone(),
                    approved_by: Vec::new(),
                    begun_ms: inner.clock.now_ms(),
                    log_from: 0,
                    control: None,
                    closed_ms: None,
                    size: 0,
                    root: String::new(),
                    checkpoint: String::new(),
                    handover: String::new(),
                    package: None,
                    package_bytes: 0,
                    left_out: Vec::new(),
                };
                put(inner, &tenant, &row)?;
                row
            }
        };
        if row.state == MoveState::Copying {
            let id = row.invitation.id.clone();
            inner.disk.create_dir_all(&folder_of(&id))?;
            until_unchanged(inner, &tenant, &mut |files| {
                let count = flushed(inner, &tenant)?;
                copy::blobs(inner, &id, files)?;
                copy::entries(inner, &tenant.id, &id, count)
            })?;
        }
        Ok(info(inner, &tenant, row))
    }

    /// Ends the log of a tenant that moves, and makes the package whole. From here on it takes no records, and is read as before. Again, it
    /// goes on where it was interrupted.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`], [`Error::NotFound`] where it does not move; [`Error::ApprovalNeeded`];
    /// [`Error::Conflict`] `tenant_busy` while something of it is under way that cannot be taken along; as flushes, appends, checkpoints and
    /// changes of the catalog; what the disk says.
    pub fn close_move(&self, tenant: &str, by: &Principal) -> Result<MoveInfo> {
        by.check(tenant, Permission::MoveTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        let tenant = inner.tenant(tenant)?;
        let _working = inner.moves.alone()?;
        let mut row = stored(inner, &tenant)?.ok_or(Error::NotFound("move"))?;
        if row.state == MoveState::Copying {
            decide(inner, &tenant, by, &mut row)?;
        }
        if row.state == MoveState::Closing {
            end(inner, &tenant, &mut row)?;
        }
        if row.state == MoveState::Closed {
            pack(inner, &tenant, &mut row)?;
        }
        Ok(info(inner, &tenant, row))
    }

    /// How far the move of a tenant is.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::UnknownTenant`], [`Error::NotFound`] where it does not move.
    pub fn move_of(&self, tenant: &str, by: &Principal) -> Result<MoveInfo> {
        by.check(tenant, Permission::MoveTenants)?;
        let inner = &self.inner;
        let tenant = inner.tenant(tenant)?;
        let row = stored(inner, &tenant)?.ok_or(Error::NotFound("move"))?;
        Ok(info(inner, &tenant, row))
    }

    /// Lets go of a tenant that another server has by now: destroys it here. Neither holds nor locks keep it, since what they keep is there.
    ///
    /// # Errors
    /// As [`Engine::move_of`]; [`Error::Invalid`] `not_confirmed`, and `invalid_receipt` for what is no receipt of this package by the key that
    /// was invited with; [`Error::Conflict`] `not_packed`; as [`Engine::destroy_tenant`].
    pub fn confirm_move(
        &self,
        tenant: &str,
        by: &Principal,
        confirm: &str,
        receipt: &str,
    ) -> Result<DestroyedTenant> {
        by.check(tenant, Permission::MoveTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        if confirm != tenant {
            return Err(invalid("not_confirmed", "say the name of the tenant once more"));
        }
        let (id, folder) = {
            let tenant = inner.tenant(tenant)?;
            let _working = inner.moves.alone()?;
            let row = stored(inner, &tenant)?.ok_or(Error::NotFound("move"))?;
            if row.state != MoveState::Packed {
                return Err(conflict(
                    "not_packed",
                    "its package is not whole yet: close it first",
                ));
            }
            receipt::check(receipt, &tenant, &row)?;
            let why = format!(
                "moved to the server {}, where its log goes on as {}: {}",
                row.invitation.instance,
                row.invitation.key()?.name(),
                row.reason
            );
            let approved = Approved {
                by: row.approved_by.clone(),
            };
            destroy::of_moved(inner, &tenant, by, approved, &why)?;
            (tenant.id, folder_of(&row.invitation.id))
        };
        // What a crash leaves of it goes at the next start.
        remove_all(&*inner.disk, &folder)?;
        metrics::counter!("attestore_tenants_moved_total", "direction" => "out").increment(1);
        self.destroyed_now(&id)
    }

    /// Takes a move back. A log that ended here goes on in a new epoch, since its key named another server's. The caller has made sure
    /// that nobody imported the package, which is not known here.
    ///
    /// # Errors
    /// As [`Engine::move_of`]; [`Error::Invalid`] `invalid_reason`; as [`Engine::fork`] and appends. After an error of the latter the log goes
    /// on with the next start.
    pub fn abort_move(&self, tenant: &str, by: &Principal, reason: &str) -> Result<Aborted> {
        by.check(tenant, Permission::MoveTenants)?;
        check_reason(reason)?;
        let inner = &self.inner;
        inner.check_running()?;
        let found = inner.tenant(tenant)?;
        let _working = inner.moves.alone()?;
        let row = stored(inner, &found)?.ok_or(Error::NotFound("move"))?;
        let mut done = Aborted {
            vkey: None,
            restart: false,
        };
        if row.state == MoveState::Copying {
            inner.change(|update| by_tenant::remove(update, tables::MOVES_OUT, &found.id))?;
        } else {
            again::settle(inner, &found, &row)?;
            let reason = format!("move {} was taken back: {reason}", row.invitation.id);
            let forked = self.fork_with(tenant, &reason, None, true, |update, id| {
                by_tenant::remove(update, tables::MOVES_OUT, id)
            })?;
            done.vkey = Some(forked.vkey);
            found.moved.store(None);
            done.restart = !again::go_on(inner, found)?;
        }
        remove_all(&*inner.disk, &folder_of(&row.invitation.id))?;
        Ok(done)
    }
}

fn stored(inner: &Inner, tenant: &Tenant) -> Result<Option<OutRow>> {
    by_tenant::get(&inner.catalog.read()?, tables::MOVES_OUT, &tenant.id)
}

/// Stores the row of a tenant that moves.
///
/// # Errors
/// As changes of the catalog.
pub(super) fn put(inner: &Inner, tenant: &Tenant, row: &OutRow) -> Result<()> {
    inner.change(|update| by_tenant::put(update, tables::MOVES_OUT, &tenant.id, row))
}

fn info(inner: &Inner, tenant: &Tenant, row: OutRow) -> MoveInfo {
    let closed = row.state >= MoveState::Closed;
    MoveInfo {
        state: row.state,
        vkey: tenant.keys.signing.load().verifier(&tenant.origin).to_string(),
        folder: folder_of(&row.invitation.id).display().to_string(),
        invitation: row.invitation,
        reason: row.reason,
        by: row.by,
        approved_by: row.approved_by,
        begun_ms: row.begun_ms,
        closed_ms: row.closed_ms,
        control: row.control,
        head: closed.then(|| (row.size, row.root.clone())),
        checkpoint: closed.then_some(row.checkpoint),
        progress: row.package.is_none().then(|| inner.moves.progress()),
        package: row.package,
        package_bytes: row.package_bytes,
        left_out: row.left_out,
    }
}

/// The root that a row names.
///
/// # Errors
/// Damage.
pub(super) fn root(text: &str) -> Result<Hash> {
    let root = unhex(text).ok_or_else(|| Error::damage("catalog", 0, "root of a log that moves"))?;
    Ok(Hash(root))
}
