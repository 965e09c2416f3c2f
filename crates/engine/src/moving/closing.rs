//! The end of a log that moves away, and its package.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use attestore_keys::Key;
use attestore_record::Kind;
use attestore_record::entry::ENTRY_BYTES;
use attestore_segment::FileWriter;
use attestore_tlog::NoteError;
use serde::Serialize;
use serde_json::{Value, json};

use super::out::put;
use super::package::{self, Blob, Manifest};
use super::row::OutRow;
use super::{MoveState, Moved, conflict, copy, folder_of, invite, key, rows};
use crate::append::append_control;
use crate::backup::{dump, folder};
use crate::catalog::of_tenant;
use crate::catalog::{FileRow, TenantRow, by_tenant, encode, hex, tables};
use crate::credentials::Principal;
use crate::error::{Error, Result};
use crate::forget::approvals::{self, Operation, OperationKind};
use crate::forget::erase::ErasureRow;
use crate::forget::logged;
use crate::handover::{self, HandoverRow};
use crate::heads::checkpoint;
use crate::instance::Inner;
use crate::keyring::KeysRow;
use crate::tenant::Tenant;

/// The last record of a log that goes on elsewhere.
#[derive(Serialize)]
struct MoveControl<'a> {
    #[serde(rename = "type")]
    ty: &'static str,
    r#move: &'a str,
    to: To<'a>,
    reason: &'a str,
    ordered_by: &'a str,
    approved_by: &'a [String],
}

/// Where to.
#[derive(Serialize)]
struct To<'a> {
    instance: &'a str,
    vkey: &'a str,
}

/// The point from which the log takes nothing more.
///
/// # Errors
/// [`Error::Conflict`] `tenant_busy`, [`Error::ApprovalNeeded`]; as changes of the catalog.
pub(super) fn decide(inner: &Inner, tenant: &Arc<Tenant>, by: &Principal, row: &mut OutRow) -> Result<()> {
    let operation = Operation {
        kind: OperationKind::TenantMove,
        parameters: json!({ "tenant": tenant.name, "move": row.invitation.id, "vkey": row.invitation.vkey }),
    };
    settled(inner, tenant)?;
    let approved = approvals::require(inner, tenant, by, &operation)?;
    // Nobody lets go of anything or changes keys between the look and the row.
    let _deciding = tenant.deciding.lock();
    let _changing = inner.retiring.lock();
    settled(inner, tenant)?;
    if tenant.ending.load(Ordering::Acquire) || tenant.rolled_back().is_some() {
        return Err(Error::Changed("tenant"));
    }
    row.state = MoveState::Closing;
    row.approved_by = approved.by;
    row.log_from = tenant.view().size;
    put(inner, tenant, row)?;
    close(inner, tenant, row.moved()?);
    Ok(())
}

/// Says in memory that a log takes nothing more; between two frames.
pub(super) fn close(inner: &Inner, tenant: &Tenant, moved: Moved) {
    let _committer = inner.committer.lock();
    tenant.moved.store(Some(Arc::new(moved)));
}

/// Refuses as long as something is under way that a package cannot hold.
fn settled(inner: &Inner, tenant: &Tenant) -> Result<()> {
    let busy = |what: &str| {
        Err(conflict(
            "tenant_busy",
            format!("{what} of the tenant is under way: wait until it is over"),
        ))
    };
    let txn = inner.catalog.read()?;
    let erasures = of_tenant::of::<ErasureRow>(&txn, tables::ERASURES, &tenant.id)?;
    if erasures.iter().any(|(_, row)| !row.state.travels()) {
        return busy("an erasure");
    }
    let purges = tables::PURGES;
    let purges = of_tenant::of::<Value>(&txn, purges, &tenant.id)?;
    if purges.iter().any(|(_, row)| row["state"] != "done") {
        return busy("a purge");
    }
    let holds = of_tenant::of::<Value>(&txn, tables::HOLDS, &tenant.id)?;
    let halfway = |state: &Value| state == "placing" || state == "releasing";
    if holds.iter().any(|(_, row)| halfway(&row["state"])) {
        return busy("the placing or release of a hold");
    }
    let row = by_tenant::get::<TenantRow>(&txn, tables::TENANTS, &tenant.id)?.ok_or(Error::UnknownTenant)?;
    let rotated = by_tenant::get::<KeysRow>(&txn, tables::KEYS, &tenant.id)?;
    if row.former_key_slot.is_some() || rotated.is_some_and(|row| row.is_under_way()) {
        return busy("a rotation of keys");
    }
    let keys = by_tenant::get::<HandoverRow>(&txn, tables::HANDOVERS, &tenant.id)?;
    match keys.is_none_or(|keys| keys.is_settled()) {
        true => Ok(()),
        false => busy("a rotation of the log's key (retire the former key)"),
    }
}

/// Puts the end on record, and has the last head signed.
///
/// # Errors
/// As appends, flushes, checkpoints and changes of the catalog.
pub(super) fn end(inner: &Inner, tenant: &Arc<Tenant>, row: &mut OutRow) -> Result<()> {
    let _deciding = tenant.deciding.lock();
    close(inner, tenant, row.moved()?);
    let named = format!("\"move\":\"{}\"", row.invitation.id);
    let found = logged::find(inner, tenant, Kind::Key, row.log_from, &|public| {
        String::from_utf8_lossy(public).contains(&named)
    })?;
    row.control = match found {
        Some((seq, _)) => Some(seq),
        None => {
            let control = MoveControl {
                ty: "tenant_move",
                r#move: &row.invitation.id,
                to: To {
                    instance: &row.invitation.instance,
                    vkey: &row.invitation.vkey,
                },
                reason: &row.reason,
                ordered_by: &row.by,
                approved_by: &row.approved_by,
            };
            Some(append_control(inner, tenant, &row.by, Kind::Key, &control)?.seq)
        }
    };
    // Nobody has a last word after that.
    let moved = Moved {
        closing: false,
        ..row.moved()?
    };
    close(inner, tenant, moved);
    crate::flush::free_log(inner)?;
    let signed = checkpoint::newest(inner, tenant)?;
    let view = tenant.view();
    if signed.size != view.size || !view.tail.is_empty() {
        return Err(Error::Changed("tenant"));
    }
    let next = row.invitation.key()?;
    row.handover = handover::hand_over_to(tenant, &next, signed.size, signed.root)?;
    row.size = signed.size;
    row.root = hex(signed.root.as_bytes());
    row.checkpoint = signed.note.to_string();
    row.closed_ms = Some(inner.clock.now_ms());
    row.state = MoveState::Closed;
    put(inner, tenant, row)?;
    tracing::info!(tenant = %tenant.id, records = row.size, "the log of a tenant ended here");
    Ok(())
}

/// Makes the package whole: nothing of the tenant changes any more but where its files are.
///
/// # Errors
/// As reads and changes of the catalog; what the disk says.
pub(super) fn pack(inner: &Inner, tenant: &Arc<Tenant>, row: &mut OutRow) -> Result<()> {
    let id = row.invitation.id.clone();
    let number = key(&id)?;
    inner.disk.create_dir_all(&folder_of(&id))?;
    folder::remove(&*inner.disk, &package::manifest_path(&id))?;
    let mut packed: Option<(Key, Blob, Vec<Blob>, rows::Written)> = None;
    until_unchanged(inner, tenant, &mut |files| {
        let blobs = copy::blobs(inner, &id, files)?;
        copy::entries(inner, &tenant.id, &id, row.size)?;
        let txn = inner.catalog.read()?;
        if copy::file_rows(&txn, &tenant.id)? != files {
            return Err(Error::Io(
                "files of the tenant were replaced meanwhile".to_owned(),
            ));
        }
        let dump = Key::random(&*inner.entropy);
        let pace = |bytes: usize| crate::compact::pace(inner, bytes);
        let file = FileWriter::create(&*inner.disk, &package::rows_path(&id), &pace)?;
        let mut writer = dump::Writer::new(file, &dump, &*inner.entropy, *number.as_bytes())?;
        let written = rows::write(inner, tenant, &txn, &mut writer)?;
        let file = writer.finish()?;
        let of = Blob {
            id: package::ROWS.to_owned(),
            bytes: file.bytes,
            blake3: hex(&file.checksum),
        };
        packed = Some((dump, of, blobs, written));
        Ok(())
    })?;
    let (dump, of_rows, blobs, written) = packed.ok_or_else(|| Error::Io("nothing was packed".to_owned()))?;
    inner.disk.sync_all()?;
    let manifest = Manifest {
        attestore_package: package::FORMAT,
        directory: crate::formats::DATA_DIRECTORY,
        id: id.clone(),
        instance: invite::instance(inner)?,
        tenant: tenant.id.to_string(),
        origin: tenant.origin.clone(),
        epoch: tenant.epoch,
        size: row.size,
        root: row.root.clone(),
        checkpoint: row.checkpoint.clone(),
        vkeys: tenant.keys.signing.load().vkeys(&tenant.origin),
        handover: row.handover.clone(),
        recipient: row.invitation.recipient.clone(),
        escrow: package::seal_escrow(&row.invitation, &*inner.entropy, &dump)?,
        packed_ms: inner.clock.now_ms(),
        rows: of_rows,
        blobs,
    };
    let mut bytes = encode(&manifest)?;
    bytes.push(b'\n');
    let text = package::note_text(&tenant.origin, &bytes);
    let note = tenant.keys.signing.load().note(&tenant.origin, &text);
    let note = note.map_err(|error| match error {
        NoteError::Signer => inner.catalog.modules().unavailable(),
        error => Error::Stopped(format!("package: {error}")),
    })?;
    folder::write(&*inner.disk, &package::note_path(&id), note.as_bytes())?;
    folder::write(&*inner.disk, &package::manifest_path(&id), &bytes)?;
    row.package = Some(attestore_export::sha256_hex(&bytes));
    row.package_bytes = manifest.bytes();
    row.left_out = written.left_out;
    row.state = MoveState::Packed;
    put(inner, tenant, row)
}

/// Calls `copy` with the rows of a tenant's files, once more if compaction replaced some of them meanwhile.
///
/// # Errors
/// What `copy` returns; as reads.
pub(super) fn until_unchanged(
    inner: &Inner,
    tenant: &Tenant,
    copy: &mut dyn FnMut(&[FileRow]) -> Result<()>,
) -> Result<()> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        // The last one has nobody replace anything meanwhile.
        let _alone = (attempt == ATTEMPTS).then(|| inner.flushing.lock());
        let files = copy::file_rows(&inner.catalog.read()?, &tenant.id)?;
        let bytes: u64 = files.iter().map(|row| row.length).sum();
        let entries = flushed(inner, tenant)?.saturating_mul(ENTRY_BYTES as u64);
        inner.moves.begin(bytes.saturating_add(entries));
        let Err(error) = copy(&files) else { return Ok(()) };
        inner.check_running()?;
        let same = copy::file_rows(&inner.catalog.read()?, &tenant.id)? == files;
        if same || attempt == ATTEMPTS {
            return Err(error);
        }
    }
}

/// Records of a tenant that are in segments.
///
/// # Errors
/// As reads.
pub(super) fn flushed(inner: &Inner, tenant: &Tenant) -> Result<u64> {
    let row = by_tenant::get::<TenantRow>(&inner.catalog.read()?, tables::TENANTS, &tenant.id)?;
    row.map(|row| row.flushed).ok_or(Error::UnknownTenant)
}

/// How often is begun again, when compaction replaces files.
const ATTEMPTS: u32 = 8;
