//! The target: invitations, which say whom a package is sealed for and under which key the log goes on.

use attestore_keys::{Key, RecipientKey, SigningKey, Slot, SlotContext, SlotKind, random_array};
use attestore_record::TenantId;
use attestore_tlog::VerifierKey;
use serde::{Deserialize, Serialize};

use super::row::InRow;
use super::{ImportState, Imported, folder_of, import, invalid, key, receipt, remove_all};
use crate::Engine;
use crate::catalog::{Update, by_tenant, hex, tables, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::handover::{module, signing_context};
use crate::instance::Inner;
use crate::tenant::fresh_origin;

/// What a server hands over that takes a tenant. Nothing in it is a secret, but it has to come from that server: it says who can read what
/// is packed, and who signs for the log from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Version of its format.
    pub attestore_move: u32,
    /// Id of the move, 32 hex digits.
    pub id: String,
    /// Id of the instance that takes the tenant.
    pub instance: String,
    /// Whom the package is sealed for.
    pub recipient: String,
    /// The vkey of the log's next epoch.
    pub vkey: String,
}

/// A tenant that comes, or came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportInfo {
    /// How far it is.
    pub state: ImportState,
    /// What was handed over for it.
    pub invitation: Invitation,
    /// Why, as it was typed.
    pub note: String,
    /// Id of who invited it.
    pub by: String,
    /// When, Unix milliseconds.
    pub invited_ms: u64,
    /// What came.
    pub imported: Option<Imported>,
    /// Bytes that were read of the package, and that it has, while it is imported.
    pub progress: Option<(u64, u64)>,
}

impl Invitation {
    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Invalid`] `invalid_invitation`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason: String| invalid("invalid_invitation", format!("not an invitation: {reason}"));
        let found: Self = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        if found.attestore_move != FORMAT {
            let of = found.attestore_move;
            return Err(bad(format!("format {of}; this server knows format {FORMAT}")));
        }
        let ids = unhex::<16>(&found.id).is_some() && unhex::<16>(&found.instance).is_some();
        if !ids {
            return Err(bad("an id in it is none".to_owned()));
        }
        attestore_keys::Recipient::parse(&found.recipient).map_err(|error| bad(error.to_string()))?;
        VerifierKey::parse(&found.vkey).map_err(|error| bad(error.to_string()))?;
        Ok(found)
    }

    /// The text of it.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The key of the next epoch.
    ///
    /// # Errors
    /// Damage.
    pub(super) fn key(&self) -> Result<VerifierKey> {
        VerifierKey::parse(&self.vkey)
            .map_err(|error| Error::damage("catalog", 0, format!("an invitation: {error}")))
    }
}

impl Engine {
    /// Invites a tenant of another server: draws the key that its package is sealed for, and the key that its log goes on under.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::Invalid`] for a note that is too long, [`Error::TooMany`], or as changes of the catalog.
    pub fn invite_tenant(&self, by: &Principal, note: &str) -> Result<ImportInfo> {
        by.check_instance(Permission::MoveTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        if note.len() > super::REASON_BYTES_MAX {
            return Err(invalid("invalid_note", "a note has at most 1024 bytes"));
        }
        let id: [u8; 16] = random_array(&*inner.entropy);
        let private = Key::random(&*inner.entropy);
        // Its slot in the module is of the move until there is a tenant.
        let next = module::fresh(
            &inner.catalog,
            &*inner.entropy,
            &TenantId::from_bytes(id),
            &|| private.duplicate(),
            inner.settings.signing,
        )?;
        let recipient = RecipientKey::from_private(Key::from_bytes(*private.expose()))?.recipient();
        let origin = fresh_origin(&*inner.entropy);
        let vkey = VerifierKey::new(&origin, next.key.public());
        let vkey = vkey.map_err(|error| Error::Stopped(error.to_string()))?;
        let invitation = Invitation {
            attestore_move: FORMAT,
            id: hex(&id),
            instance: instance(inner)?,
            recipient: recipient.to_string(),
            vkey: vkey.to_string(),
        };
        let mut row = InRow {
            state: ImportState::Invited,
            invitation,
            note: note.to_owned(),
            by: by.id.clone(),
            imported_by: None,
            invited_ms: inner.clock.now_ms(),
            slots: None,
            tenant: None,
            imported: None,
            receipt: None,
        };
        inner.change(|update| {
            if open(update)? >= OPEN_MAX {
                return Err(Error::TooMany {
                    code: "too_many_moves",
                    message: format!("{OPEN_MAX} tenants are invited: discard some"),
                });
            }
            let recipient = update.put_key(context(&id), None, &private)?;
            let signing = next.keep(update, &TenantId::from_bytes(id), &private)?;
            row.slots = Some((recipient.0, signing.0));
            put(update, &row)
        })?;
        info(inner, row)
    }

    /// The tenants that come, or came.
    ///
    /// # Errors
    /// [`Error::Forbidden`], or as reads.
    pub fn moves_in(&self, by: &Principal) -> Result<Vec<ImportInfo>> {
        by.check_instance(Permission::MoveTenants)?;
        let inner = &self.inner;
        let rows = by_tenant::all::<InRow>(&inner.catalog.read()?, tables::MOVES_IN)?;
        rows.into_iter().map(|(_, row)| info(inner, row)).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// As [`Engine::moves_in`]; [`Error::NotFound`].
    pub fn move_in(&self, by: &Principal, id: &str) -> Result<ImportInfo> {
        by.check_instance(Permission::MoveTenants)?;
        info(&self.inner, stored(&self.inner, id)?)
    }

    /// What the source lets go for: an in-toto statement in a DSSE envelope, signed by the key of the log's epoch here.
    ///
    /// # Errors
    /// As [`Engine::move_in`]; [`Error::Conflict`] until the tenant is here.
    pub fn move_receipt(&self, by: &Principal, id: &str) -> Result<String> {
        by.check_instance(Permission::MoveTenants)?;
        let inner = &self.inner;
        let row = stored(inner, id)?;
        match row.receipt {
            Some(receipt) => Ok(receipt),
            None => receipt::store(inner, row),
        }
    }

    /// Takes an invitation back, or forgets a tenant that came long ago. What is packed for it opens for nobody any more.
    ///
    /// # Errors
    /// As [`Engine::move_in`], or as changes of the catalog.
    pub fn discard_move_in(&self, by: &Principal, id: &str) -> Result<()> {
        by.check_instance(Permission::MoveTenants)?;
        let inner = &self.inner;
        inner.check_running()?;
        let _working = inner.moves.alone()?;
        let mut row = stored(inner, id)?;
        if row.state == ImportState::Importing {
            import::throw_away(inner, id)?;
            row = stored(inner, id)?;
        }
        inner.change(|update| {
            destroy_keys(update, &mut row)?;
            by_tenant::remove(update, tables::MOVES_IN, &key(id)?)
        })?;
        remove_all(&*inner.disk, &folder_of(id))
    }
}

/// Destroys the keys of an invitation.
///
/// # Errors
/// As writes.
pub(super) fn destroy_keys(update: &mut Update<'_>, row: &mut InRow) -> Result<()> {
    if let Some((recipient, signing)) = row.slots.take() {
        update.destroy_keys(&[Slot(recipient), Slot(signing)])?;
    }
    Ok(())
}

/// The key of the next epoch of a log that comes.
pub(super) enum NextKey {
    /// Its seed.
    Seed(Key),
    /// Its slot, of a key in the security module.
    Module(Slot),
}

impl NextKey {
    /// Gives it to the tenant that came: returns its slot.
    ///
    /// # Errors
    /// As writes.
    pub(super) fn keep(&self, update: &mut Update<'_>, tenant: &TenantId, tenant_key: &Key) -> Result<Slot> {
        match self {
            Self::Seed(seed) => update.put_key(signing_context(tenant), Some(tenant_key), seed),
            Self::Module(slot) => module::pass_on(update, *slot, tenant, tenant_key),
        }
    }
}

/// The recipient's key and the next signing key.
///
/// # Errors
/// [`Error::Conflict`] once they are destroyed; damage; as reads.
pub(super) fn keys(inner: &Inner, row: &InRow) -> Result<(RecipientKey, NextKey)> {
    let (recipient, signing) = row
        .slots
        .ok_or_else(|| super::conflict("move_imported", "the tenant is here already"))?;
    let id = unhex(&row.invitation.id).ok_or(Error::NotFound("move"))?;
    let private = inner.catalog.key(Slot(recipient), &context(&id), None)?;
    let in_module = module::load(&inner.catalog, signing)?;
    let (next, public) = match in_module {
        Some(key) => (NextKey::Module(Slot(signing)), key.public()),
        None => {
            let context = signing_context(&TenantId::from_bytes(id));
            let seed = inner.catalog.key(Slot(signing), &context, Some(&private))?;
            let public = SigningKey::from_seed(&seed).public();
            (NextKey::Seed(seed), public)
        }
    };
    match public == row.invitation.key()?.public() {
        true => Ok((RecipientKey::from_private(private)?, next)),
        false => Err(Error::damage(
            "catalog",
            0,
            "the next key of a log that comes is another",
        )),
    }
}

/// Stores the row of a tenant that comes.
///
/// # Errors
/// As writes.
pub(super) fn put(update: &Update<'_>, row: &InRow) -> Result<()> {
    by_tenant::put(update, tables::MOVES_IN, &key(&row.invitation.id)?, row)
}

/// The row of a tenant that comes.
///
/// # Errors
/// [`Error::NotFound`], or as reads.
pub(super) fn stored(inner: &Inner, id: &str) -> Result<InRow> {
    by_tenant::get(&inner.catalog.read()?, tables::MOVES_IN, &key(id)?)?.ok_or(Error::NotFound("move"))
}

/// Id of this instance, hex.
///
/// # Errors
/// As reads.
pub(super) fn instance(inner: &Inner) -> Result<String> {
    let row = inner.catalog.instance()?;
    let row = row.ok_or_else(|| Error::damage("catalog", 0, "there is no instance in it"))?;
    Ok(row.id)
}

/// Invitations that nobody came for yet.
fn open(update: &Update<'_>) -> Result<usize> {
    use redb::ReadableTable;
    let table = update
        .txn()
        .open_table(tables::MOVES_IN)
        .map_err(crate::catalog::storage)?;
    let mut open = 0;
    for row in table.iter().map_err(crate::catalog::storage)? {
        let row: InRow = crate::catalog::json(row.map_err(crate::catalog::storage)?.1.value())?;
        open += usize::from(row.state != ImportState::Imported);
    }
    Ok(open)
}

fn info(inner: &Inner, row: InRow) -> Result<ImportInfo> {
    let importing = row.state == ImportState::Importing;
    Ok(ImportInfo {
        state: row.state,
        invitation: row.invitation,
        note: row.note,
        by: row.by,
        invited_ms: row.invited_ms,
        imported: row.imported,
        progress: importing.then(|| inner.moves.progress()),
    })
}

/// What the recipient's key of an invitation is bound to in the tree of keys.
const fn context(id: &[u8; 16]) -> SlotContext {
    SlotContext {
        kind: SlotKind::Other,
        tenant: [0; 16],
        owner: *id,
    }
}

const FORMAT: u32 = 1;
const OPEN_MAX: usize = 64;
