//! Backups of the instance.

use attestore_engine::backup::{BackupInfo, BackupState, ShippingStatus};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// A backup.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupBody {
    /// Its id, 32 hex digits.
    id: String,
    /// `waiting`, `running`, `done` or `failed`.
    state: &'static str,
    /// When it was asked for, or its snapshot was taken, RFC 3339.
    at: String,
    /// Bytes copied so far.
    copied: u64,
    /// Bytes that are to be copied.
    to_copy: u64,
    /// Bytes of everything that it names.
    bytes: u64,
    /// Tenants in it.
    tenants: u64,
    /// Entries of their logs.
    entries: u64,
    /// Entries of the ledger that it covers.
    ledger: u64,
    /// For whom its keys are sealed.
    recipient: String,
    /// When its keys are destroyed, and the backup with them, if there is a newer one by then; RFC 3339.
    keys_until: Option<String>,
    /// Whether it was made only so that what is shipped has a backup to follow: it goes as soon as there is a newer one.
    base: bool,
    /// Why it was not made.
    error: Option<String>,
}

/// Backups, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupsBody {
    /// The backups.
    items: Vec<BackupBody>,
    /// How far the target is behind what was acknowledged; `null` where nothing is shipped between backups.
    shipping: Option<ShippingBody>,
}

/// What is shipped between backups.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShippingBody {
    /// Id of the backup that chunks follow; `null` until there is one since the start.
    follows: Option<String>,
    /// Chunks that follow it.
    chunks: u64,
    /// Bytes of these.
    chunk_bytes: u64,
    /// Entries that were acknowledged and are in neither a backup nor a chunk: what the loss of the machine would lose. `null` as long as
    /// the target could not be asked.
    lag_entries: Option<u64>,
    /// Bytes of those that are in memory, about.
    lag_bytes: u64,
    /// Everything that was acknowledged so many milliseconds ago is in the target; 0 if all is.
    lag_ms: Option<u64>,
    /// Milliseconds between two rounds at most.
    every_ms: u64,
    /// Why a backup is needed before chunks go on, if one is.
    waits_for_backup: Option<String>,
    /// Why the last round failed.
    error: Option<String>,
}

impl From<ShippingStatus> for ShippingBody {
    fn from(status: ShippingStatus) -> Self {
        Self {
            follows: status.follows,
            chunks: status.chunks,
            chunk_bytes: status.chunk_bytes,
            lag_entries: status.lag_entries,
            lag_bytes: status.lag_bytes,
            lag_ms: status.lag_ms,
            every_ms: status.every_ms,
            waits_for_backup: status.waits_for_backup,
            error: status.error,
        }
    }
}

impl From<BackupInfo> for BackupBody {
    fn from(backup: BackupInfo) -> Self {
        Self {
            id: backup.id,
            state: match backup.state {
                BackupState::Waiting => "waiting",
                BackupState::Running => "running",
                BackupState::Done => "done",
                BackupState::Failed => "failed",
            },
            at: wire::rfc3339_ms(backup.at_ms),
            copied: backup.progress.0,
            to_copy: backup.progress.1,
            bytes: backup.bytes,
            tenants: backup.tenants,
            entries: backup.entries,
            ledger: backup.ledger,
            recipient: backup.recipient,
            keys_until: backup.keys_until_ms.map(wire::rfc3339_ms),
            base: backup.base,
            error: backup.error,
        }
    }
}

/// Make a backup. It is made in the background; one at a time.
#[utoipa::path(
    post, path = "/v1/backups", tag = "operations",
    responses(
        (status = 202, description = "it is being made", body = BackupBody),
        (status = 409, description = "`no_backup_target`: no folder for backups is set; `backup_running`: one is being made already", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
) -> Result<(StatusCode, Json<BackupBody>), Problem> {
    let engine = app.engine().clone();
    let begun = wire::blocking(move || engine.start_backup(&caller.principal)).await?;
    Ok((StatusCode::ACCEPTED, Json(begun.into())))
}

/// List backups, with those that are under way or failed since the start.
#[utoipa::path(
    get, path = "/v1/backups", tag = "operations",
    responses(
        (status = 200, body = BackupsBody),
        (status = 409, description = "`no_backup_target`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`backup_target_unavailable`: the folder or bucket cannot be read now", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn list(State(app): State<App>, caller: Caller) -> Result<Json<BackupsBody>, Problem> {
    let engine = app.engine().clone();
    let found = wire::blocking(move || {
        Ok((
            engine.backups(&caller.principal)?,
            engine.shipping(&caller.principal)?,
        ))
    });
    let (backups, shipping) = found.await?;
    let items = backups.into_iter().map(BackupBody::from).collect();
    let shipping = shipping.map(ShippingBody::from);
    Ok(Json(BackupsBody { items, shipping }))
}

/// Show a backup and how far it is.
#[utoipa::path(
    get, path = "/v1/backups/{backup}", tag = "operations",
    params(("backup" = String, Path, description = "id of the backup")),
    responses(
        (status = 200, body = BackupBody),
        (status = 404, description = "there is none of that id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`no_backup_target`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`backup_target_unavailable`: the folder or bucket cannot be read now", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<BackupBody>, Problem> {
    let engine = app.engine().clone();
    let backup = wire::blocking(move || engine.backup(&id, &caller.principal)).await?;
    Ok(Json(backup.into()))
}
