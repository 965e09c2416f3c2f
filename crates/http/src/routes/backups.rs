//! Backups of the instance.

use attestore_engine::backup::{BackupInfo, BackupState};
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
    /// Why it was not made.
    error: Option<String>,
}

/// Backups, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupsBody {
    /// The backups.
    items: Vec<BackupBody>,
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
    ),
    security(("bearer" = []))
)]
pub async fn list(State(app): State<App>, caller: Caller) -> Result<Json<BackupsBody>, Problem> {
    let engine = app.engine().clone();
    let backups = wire::blocking(move || engine.backups(&caller.principal)).await?;
    let items = backups.into_iter().map(BackupBody::from).collect();
    Ok(Json(BackupsBody { items }))
}

/// Show a backup and how far it is.
#[utoipa::path(
    get, path = "/v1/backups/{backup}", tag = "operations",
    params(("backup" = String, Path, description = "id of the backup")),
    responses(
        (status = 200, body = BackupBody),
        (status = 404, description = "there is none of that id", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`no_backup_target`", body = Problem, content_type = "application/problem+json"),
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
