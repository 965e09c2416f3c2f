//! What is said about moves on the wire.

use attestore_engine::Engine;
use attestore_engine::moving::{ImportInfo, MoveInfo, PackageReport};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::wire;

/// A tenant that moves away.
#[derive(Debug, Serialize, ToSchema)]
pub struct MoveBody {
    /// Id of the move, as the invitation has it.
    id: String,
    /// `copying`: files are copied, everything goes on; `closing`, `closed`: its log takes nothing more; `packed`: the package is whole.
    state: &'static str,
    /// Whether a step is being worked on: of this move, or of another on this server.
    busy: bool,
    /// The invitation that it follows.
    invitation: Value,
    /// Why.
    reason: String,
    /// Id of the credential that began it.
    by: String,
    /// Ids of who closed it and who approved that.
    approved_by: Vec<String>,
    /// When it began, RFC 3339.
    begun_at: String,
    /// When the log ended, RFC 3339.
    closed_at: Option<String>,
    /// Seq of the record in its log that says so.
    control: Option<u64>,
    /// The key of its log: the import asks for it.
    vkey: String,
    /// Entries of the log at its end.
    size: Option<u64>,
    /// RFC 6962 root over them, hex.
    root: Option<String>,
    /// The last checkpoint, signed by the key of its log.
    checkpoint: Option<String>,
    /// Where the package is, within the data directory.
    folder: String,
    /// SHA-256 of its manifest, hex, once it is whole.
    package: Option<String>,
    /// Bytes that the package has.
    package_bytes: u64,
    /// What of the tenant is not in it.
    left_out: Vec<String>,
    /// Bytes that were copied in the step under way or the last one.
    copied: Option<u64>,
    /// Bytes that it has to copy.
    to_copy: Option<u64>,
}

/// A tenant that comes, or came.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportBody {
    /// Id of the move.
    id: String,
    /// `invited`, `importing`: nobody finds the tenant; `imported`: it is here.
    state: &'static str,
    /// Whether a step is being worked on: of this move, or of another on this server.
    busy: bool,
    /// To be handed to the server that has the tenant. Nothing in it is a secret, but it must not be exchanged for another on its way.
    invitation: Value,
    /// What for, as it was typed.
    note: String,
    /// Id of the credential that invited it.
    by: String,
    /// When, RFC 3339.
    invited_at: String,
    /// What came.
    imported: Option<ImportedBody>,
    /// Bytes that were taken up in the step under way.
    copied: Option<u64>,
    /// Bytes that there are to be taken up.
    to_copy: Option<u64>,
}

/// A tenant that came.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportedBody {
    /// Its opaque id, as it was there.
    tenant: String,
    /// Its name here.
    name: String,
    /// Id of the instance that it came from.
    from_instance: String,
    /// Name of its log there, under which earlier proofs verify.
    former_origin: String,
    /// Name of its log here.
    origin: String,
    /// Entries that came; the seq of the record of the new epoch.
    size: u64,
    /// RFC 6962 root over them, hex.
    root: String,
    /// SHA-256 of the manifest of its package, hex.
    package: String,
    /// Data subjects whose keys came.
    people: u64,
    /// Sealed files that came.
    files: u64,
    /// When, RFC 3339.
    at: String,
}

/// Tenants that come, or came.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportsBody {
    /// All of them.
    pub(super) items: Vec<ImportBody>,
}

/// What was found in a package.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageBody {
    /// Id of the move.
    id: String,
    /// Id of the instance that packed it.
    instance: String,
    /// The key that signed it: that of the tenant's log, as the package says.
    vkey: String,
    /// Entries of the log.
    size: u64,
    /// RFC 6962 root over them, hex.
    root: String,
    /// Sealed files.
    files: u64,
    /// Bytes of all.
    bytes: u64,
    /// Whether its rows were opened: only the server that invited can.
    opened: bool,
    /// Rows that were read then.
    rows: u64,
    /// What does not hold; empty if all does.
    problems: Vec<String>,
}

/// An invitation to make.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InviteBody {
    /// What for, at most 1024 bytes.
    pub(super) note: String,
}

/// A move to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    /// The `invitation` that the other server made.
    pub(super) invitation: Value,
    /// Why, 1 to 1024 bytes; in the tenant's log for good, so no names of people.
    pub(super) reason: String,
}

/// A tenant to let go of.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBody {
    /// The name of the tenant once more.
    pub(super) confirm: String,
    /// The receipt that the other server signed: a DSSE envelope.
    pub(super) receipt: Value,
}

/// A package to take up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeBody {
    /// The key of the tenant's log, as the server tells it that packed it.
    pub(super) vkey: String,
    /// Another name than it had there.
    pub(super) name: Option<String>,
}

/// Query parameters of an end.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AbortQuery {
    /// Why, 1 to 1024 bytes; on record for good, so no names of people.
    pub(super) reason: String,
}

/// Query parameters of a check.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CheckQuery {
    /// The key that has to have signed it. Without it, the one that the package names.
    pub(super) vkey: Option<String>,
}

/// A tenant that moves away, as it is told of.
pub(super) fn moved(engine: &Engine, info: MoveInfo) -> MoveBody {
    MoveBody {
        id: info.invitation.id.clone(),
        state: info.state.name(),
        busy: engine.is_moving(),
        invitation: serde_json::to_value(&info.invitation).unwrap_or_default(),
        reason: info.reason,
        by: info.by,
        approved_by: info.approved_by,
        begun_at: wire::rfc3339_ms(info.begun_ms),
        closed_at: info.closed_ms.map(wire::rfc3339_ms),
        control: info.control,
        vkey: info.vkey,
        size: info.head.as_ref().map(|(size, _)| *size),
        root: info.head.map(|(_, root)| root),
        checkpoint: info.checkpoint,
        folder: info.folder,
        package: info.package,
        package_bytes: info.package_bytes,
        left_out: info.left_out,
        copied: info.progress.map(|(copied, _)| copied),
        to_copy: info.progress.map(|(_, all)| all),
    }
}

/// A tenant that comes, as it is told of.
pub(super) fn incoming(engine: &Engine, info: ImportInfo) -> ImportBody {
    ImportBody {
        id: info.invitation.id.clone(),
        state: info.state.name(),
        busy: engine.is_moving(),
        invitation: serde_json::to_value(&info.invitation).unwrap_or_default(),
        note: info.note,
        by: info.by,
        invited_at: wire::rfc3339_ms(info.invited_ms),
        imported: info.imported.map(|came| ImportedBody {
            tenant: came.tenant,
            name: came.name,
            from_instance: came.from_instance,
            former_origin: came.former_origin,
            origin: came.origin,
            size: came.size,
            root: came.root,
            package: came.package,
            people: came.subjects,
            files: came.files,
            at: wire::rfc3339_ms(came.at_ms),
        }),
        copied: info.progress.map(|(copied, _)| copied),
        to_copy: info.progress.map(|(_, all)| all),
    }
}

impl From<PackageReport> for PackageBody {
    fn from(report: PackageReport) -> Self {
        Self {
            id: report.id,
            instance: report.instance,
            vkey: report.vkey,
            size: report.size,
            root: report.root,
            files: report.files,
            bytes: report.bytes,
            opened: report.opened,
            rows: report.rows,
            problems: report.problems,
        }
    }
}
