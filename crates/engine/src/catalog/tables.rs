//! The catalog's tables.

use redb::TableDefinition;

use super::by_tenant::ByTenant;

/// The instance row, under [`INSTANCE`]. JSON.
pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// Key of the instance row.
pub(crate) const INSTANCE: &str = "instance";
/// Pages of the tree of keys: page id to sealed page.
pub(crate) const PAGES: TableDefinition<u64, &[u8]> = TableDefinition::new("pages");
/// Tenant id to [`crate::catalog::TenantRow`]. JSON.
pub(crate) const TENANTS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("tenants");
/// Tenant name to tenant id.
pub(crate) const TENANT_NAMES: TableDefinition<&str, &[u8; 16]> = TableDefinition::new("tenant_names");
/// (tenant id, blind) to [`super::directory::DirectoryRow`].
pub(crate) const DIRECTORY: TableDefinition<(&[u8; 16], &[u8; 32]), &[u8]> =
    TableDefinition::new("directory");
/// (tenant id, handle) to [`super::directory::HandleRow`].
pub(crate) const HANDLES: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> = TableDefinition::new("handles");
/// (tenant id, set, generation, type) to [`crate::catalog::FileRow`]. JSON.
pub(crate) const FILES: TableDefinition<(&[u8; 16], u64, u32, u8), &[u8]> = TableDefinition::new("files");
/// Number of an `l0` file to how many parts in it are live.
pub(crate) const L0: TableDefinition<u64, u64> = TableDefinition::new("l0");
/// Number of a WAL file to [`crate::catalog::WalRow`]. JSON.
pub(crate) const WAL: TableDefinition<u64, &[u8]> = TableDefinition::new("wal");
/// Credential id to its row. JSON; owned by `credentials`.
pub(crate) const CREDENTIALS: TableDefinition<&str, &[u8]> = TableDefinition::new("credentials");
/// Tenant id to how far the scrub has come with it. JSON; owned by `scrub`, which gets along without the table.
pub(crate) const SCRUBS: ByTenant = TableDefinition::new("scrubs");
/// Tenant id to its newest witnessed checkpoint, a signed note; owned by `heads::witnessed`, which gets along without the table.
pub(crate) const WITNESSED: TableDefinition<&[u8; 16], &str> = TableDefinition::new("witnessed");
/// Tenant id to the keys of its log beside the current one. JSON; owned by `handover`, which gets along without the table.
pub(crate) const HANDOVERS: ByTenant = TableDefinition::new("handovers");
/// Slot of a signing key that is in a security module to where. JSON; owned by `handover::module`, which gets along without the table.
pub(crate) const MODULE_KEYS: TableDefinition<u64, &[u8]> = TableDefinition::new("module_keys");
/// Tenant id to the policy, the dates and the rotations of its keys. JSON; owned by `keyring`, which gets along without the table.
pub(crate) const KEYS: ByTenant = TableDefinition::new("keys");
/// Tenant id to its quota. JSON; owned by `quotas`, which gets along without the table.
pub(crate) const QUOTAS: ByTenant = TableDefinition::new("quotas");
/// Tenant id to its retention rules. JSON; owned by `forget::rules`, which gets along without the table.
pub(crate) const RETENTION: ByTenant = TableDefinition::new("retention");
/// (tenant id, class, first seq) to what is gone of the class from there on. JSON; owned by `forget::gone`, which gets along
/// without the table.
pub(crate) const GONE: TableDefinition<(&[u8; 16], u16, u64), &[u8]> = TableDefinition::new("gone");
/// (tenant id, hold id) to a legal hold. JSON; owned by `forget::holds`, which gets along without the table.
pub(crate) const HOLDS: OfTenant = TableDefinition::new("holds");
/// (tenant id, hold id, first seq) to ranges of seqs that the hold covers; owned by `forget::holds`.
pub(crate) const HOLD_RANGES: TableDefinition<OfTwoIds<u64>, &[u8]> = TableDefinition::new("hold_ranges");
/// (tenant id, approval id) to a request for approval. JSON; owned by `forget::approvals`, which gets along without the table.
pub(crate) const APPROVALS: OfTenant = TableDefinition::new("approvals");
/// Tenant id to which acts take two persons. JSON; owned by `forget::approvals`, which gets along without the table.
pub(crate) const APPROVAL_POLICIES: ByTenant = TableDefinition::new("approval_policies");
/// (tenant id, version) to a version of its privacy policy. JSON; owned by `privacy`, which gets along without the table.
pub(crate) const PRIVACY: TableDefinition<(&[u8; 16], u32), &[u8]> = TableDefinition::new("privacy");
/// A key of two ids and a number.
type OfTwoIds<N> = (&'static [u8; 16], &'static [u8; 16], N);

/// (tenant id, id of a purge) to its job. JSON; owned by `forget::purge`, which gets along without the table.
pub(crate) const PURGES: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> = TableDefinition::new("purges");
/// (tenant id, id of a purge) to its receipt, a DSSE envelope; owned by `forget::purge`.
pub(crate) const PURGE_RECEIPTS: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> =
    TableDefinition::new("purge_receipts");
/// (tenant id, export id) to its job. JSON; owned by `exports`, which gets along without the table.
pub(crate) const EXPORTS: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> = TableDefinition::new("exports");
/// (tenant id, export id, number) to a part. JSON; owned by `exports`.
pub(crate) const EXPORT_PARTS: TableDefinition<OfTwoIds<u32>, &[u8]> = TableDefinition::new("export_parts");
/// (tenant id, export id) to the bytes of its manifest; owned by `exports`.
pub(crate) const EXPORT_MANIFESTS: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> =
    TableDefinition::new("export_manifests");
/// (tenant id, id of a saved search) to its row. JSON; owned by `searches`, which gets along without the table.
pub(crate) const SEARCHES: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> = TableDefinition::new("searches");
/// (tenant id, id of a saved search) to its watch. JSON; owned by `searches::watch`, which gets along without the table.
pub(crate) const WATCHES: TableDefinition<(&[u8; 16], &[u8; 16]), &[u8]> = TableDefinition::new("watches");
/// (tenant id, id of a saved search, number) to a dead letter of its watch. JSON; owned by `searches::watch`.
pub(crate) const WATCH_LETTERS: TableDefinition<OfTwoIds<u64>, &[u8]> = TableDefinition::new("watch_letters");
/// (tenant id, erasure id) to its job. JSON; owned by `forget::erase`, which gets along without the table.
pub(crate) const ERASURES: OfTenant = TableDefinition::new("erasures");
/// (tenant id, restriction id) to it. JSON; owned by `forget::restrict`, which gets along without the table.
pub(crate) const RESTRICTIONS: OfTenant = TableDefinition::new("restrictions");
/// Tenant id to a tenant that was destroyed. JSON; owned by `forget::destroy`, which gets along without the table. The rows stay.
pub(crate) const DESTROYED: ByTenant = TableDefinition::new("destroyed");
/// Tenant id to its move to another server. JSON; owned by `moving`, which gets along without the table.
pub(crate) const MOVES_OUT: ByTenant = TableDefinition::new("moves_out");
/// Id of a move to the tenant that comes by it, or has come. JSON; owned by `moving`, which gets along without the table.
pub(crate) const MOVES_IN: ByTenant = TableDefinition::new("moves_in");
/// Number of an entry, from 1, to what was let go of for good. JSON; owned by `backup::ledger`, which gets along without the table.
pub(crate) const LEDGER: TableDefinition<u64, &[u8]> = TableDefinition::new("ledger");
/// A table of rows that each belong to a tenant and have an id of their own.
pub(crate) type OfTenant = TableDefinition<'static, (&'static [u8; 16], &'static [u8; 16]), &'static [u8]>;
