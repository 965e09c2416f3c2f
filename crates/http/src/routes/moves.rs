//! Moving tenants between servers: what the one that lets go does, and the one that takes.

mod bodies;

use std::time::Duration;

use attestore_engine::moving::MoveInfo;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;

pub use self::bodies::{
    AbortQuery, CheckQuery, ConfirmBody, ImportBody, ImportsBody, InviteBody, MoveBody, PackageBody,
    StartBody, TakeBody,
};
use self::bodies::{incoming, moved};
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::routes::destroyed::DestroyedTenantBody;
use crate::server::App;
use crate::wire;

/// A step that may take long: what it came to, or `None` while it goes on without the client.
async fn step<T: Send + 'static>(
    work: impl FnOnce() -> attestore_engine::Result<T> + Send + 'static,
) -> Result<Option<T>, Problem> {
    match tokio::time::timeout(PATIENCE, wire::blocking(work)).await {
        Ok(done) => done.map(Some),
        Err(_) => Ok(None),
    }
}

/// Begin to move a tenant to another server: copies its files while everything goes on. Again, it copies what came since.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/move", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = StartBody,
    responses(
        (status = 200, description = "its files are copied", body = MoveBody),
        (status = 202, description = "they are being copied", body = MoveBody),
        (status = 409, description = "`own_log`, `same_server`, `rolled_back`, `move_running`, `move_busy`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<MoveBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: StartBody = wire::document(&bytes, "invalid_move")?;
    caller.tells(asked.reason.clone()).await?;
    let engine = app.engine().clone();
    let (name, by) = (tenant.clone(), caller.principal.clone());
    let invitation = asked.invitation.to_string();
    let work = move || engine.start_move(&name, &by, &invitation, &asked.reason);
    shown(&app, &caller, tenant, step(work).await?).await
}

/// End the log of a tenant that moves, and make its package whole. From here on it takes no records. Again, it goes on.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/move/close", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, description = "the package is whole", body = MoveBody),
        (status = 202, description = "it is being made; or it takes a second person: the request for approval", body = Value),
        (status = 404, description = "no such tenant, or it does not move", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`tenant_busy`, `move_busy`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn close(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<(StatusCode, Json<MoveBody>), Problem> {
    let engine = app.engine().clone();
    let (name, by) = (tenant.clone(), caller.principal.clone());
    let done = step(move || engine.close_move(&name, &by)).await?;
    shown(&app, &caller, tenant, done).await
}

async fn shown(
    app: &App,
    caller: &Caller,
    tenant: String,
    done: Option<MoveInfo>,
) -> Result<(StatusCode, Json<MoveBody>), Problem> {
    if let Some(info) = done {
        return Ok((StatusCode::OK, Json(moved(app.engine(), info))));
    }
    let (engine, by) = (app.engine().clone(), caller.principal.clone());
    let info = wire::blocking(move || engine.move_of(&tenant, &by)).await?;
    Ok((StatusCode::ACCEPTED, Json(moved(app.engine(), info))))
}

/// See how far the move of a tenant is.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/move", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = MoveBody),
        (status = 404, description = "no such tenant, or it does not move", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<MoveBody>, Problem> {
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.move_of(&tenant, &caller.principal)).await?;
    Ok(Json(moved(app.engine(), info)))
}

/// Let go of a tenant that another server has: it is destroyed here. Neither holds nor locks keep it, since what they keep is there.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/move/confirm", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = ConfirmBody,
    responses(
        (status = 200, description = "nobody finds it here any more", body = DestroyedTenantBody),
        (status = 400, description = "`not_confirmed`; `invalid_receipt`: not signed by the invited key, or about something else", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`not_packed`, `move_busy`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<DestroyedTenantBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: ConfirmBody = wire::document(&bytes, "invalid_move")?;
    let engine = app.engine().clone();
    let receipt = asked.receipt.to_string();
    let destroyed =
        wire::blocking(move || engine.confirm_move(&tenant, &caller.principal, &asked.confirm, &receipt))
            .await?;
    Ok(Json(destroyed.into()))
}

/// Take a move back, if nobody imported the package. A log that ended goes on in a new epoch.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/move", tag = "tenants",
    params(("tenant" = String, Path, description = "tenant name"), AbortQuery),
    responses(
        (status = 200, description = "`vkey`: that of the new epoch, if the log had ended; `restart`: whether that begins with the next start only", body = Value),
        (status = 404, description = "no such tenant, or it does not move", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn abort(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(query): Query<AbortQuery>,
) -> Result<Json<Value>, Problem> {
    caller.tells(query.reason.clone()).await?;
    let engine = app.engine().clone();
    let done = wire::blocking(move || engine.abort_move(&tenant, &caller.principal, &query.reason)).await?;
    Ok(Json(
        serde_json::json!({ "vkey": done.vkey, "restart": done.restart }),
    ))
}

/// Invite a tenant of another server: draws the keys for it.
#[utoipa::path(
    post, path = "/v1/moves", tag = "tenants",
    request_body = InviteBody,
    responses(
        (status = 201, description = "hand `invitation` to the other server", body = ImportBody),
    ),
    security(("bearer" = []))
)]
pub async fn invite(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ImportBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: InviteBody = wire::document(&bytes, "invalid_move")?;
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.invite_tenant(&caller.principal, &asked.note)).await?;
    Ok((StatusCode::CREATED, Json(incoming(app.engine(), info))))
}

/// List tenants that were invited from other servers, and that came.
#[utoipa::path(
    get, path = "/v1/moves", tag = "tenants",
    responses(
        (status = 200, body = ImportsBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(State(app): State<App>, caller: Caller) -> Result<Json<ImportsBody>, Problem> {
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.moves_in(&caller.principal)).await?;
    let items = all.into_iter().map(|info| incoming(app.engine(), info)).collect();
    Ok(Json(ImportsBody { items }))
}

/// See a tenant that was invited, or came.
#[utoipa::path(
    get, path = "/v1/moves/{move}", tag = "tenants",
    params(("move" = String, Path, description = "id of the move")),
    responses(
        (status = 200, body = ImportBody),
        (status = 404, description = "there is none of that id", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ImportBody>, Problem> {
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.move_in(&caller.principal, &id)).await?;
    Ok(Json(incoming(app.engine(), info)))
}

/// Take up a tenant whose package lies in `moves/<id>` of the data directory. Nobody finds it before all of it is here.
#[utoipa::path(
    post, path = "/v1/moves/{move}/import", tag = "tenants",
    params(("move" = String, Path, description = "id of the move")),
    request_body = TakeBody,
    responses(
        (status = 200, description = "it is here", body = ImportBody),
        (status = 202, description = "it is being taken up", body = ImportBody),
        (status = 400, description = "`no_package`, `invalid_package`, `invalid_vkey`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "there is no such move", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`tenant_known`, `name_taken`, `move_imported`, `move_busy`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn import(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ImportBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: TakeBody = wire::document(&bytes, "invalid_move")?;
    let engine = app.engine().clone();
    let (of, by) = (id.clone(), caller.principal.clone());
    let done = step(move || engine.import_move(&by, &of, &asked.vkey, asked.name.as_deref())).await?;
    if let Some(info) = done {
        return Ok((StatusCode::OK, Json(incoming(app.engine(), info))));
    }
    let engine = app.engine().clone();
    let info = wire::blocking(move || engine.move_in(&caller.principal, &id)).await?;
    Ok((StatusCode::ACCEPTED, Json(incoming(app.engine(), info))))
}

/// Get the receipt of a tenant that came: an in-toto statement in a DSSE envelope, signed by the key that its log goes on under. The server
/// that it came from lets go for it.
#[utoipa::path(
    get, path = "/v1/moves/{move}/receipt", tag = "tenants",
    params(("move" = String, Path, description = "id of the move")),
    responses(
        (status = 200, description = "DSSE envelope", body = Value, content_type = "application/vnd.dsse.envelope.v1+json"),
        (status = 409, description = "`not_imported`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn receipt(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let text = wire::blocking(move || engine.move_receipt(&caller.principal, &id)).await?;
    let kind = [(header::CONTENT_TYPE, "application/vnd.dsse.envelope.v1+json")];
    Ok((kind, text))
}

/// Check the package of a move in the data directory, at either end: signatures, every byte, and where this server has its key, that its
/// rows open.
#[utoipa::path(
    get, path = "/v1/moves/{move}/check", tag = "tenants",
    params(("move" = String, Path, description = "id of the move"), CheckQuery),
    responses(
        (status = 200, body = PackageBody),
        (status = 400, description = "`no_package`, `invalid_package`, `invalid_vkey`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn check(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<CheckQuery>,
) -> Result<Json<PackageBody>, Problem> {
    let engine = app.engine().clone();
    let report =
        wire::blocking(move || engine.check_package(&caller.principal, &id, query.vkey.as_deref())).await?;
    Ok(Json(report.into()))
}

/// Take an invitation back: what was packed for it opens for nobody any more. Of a tenant that came, forget how it did.
#[utoipa::path(
    delete, path = "/v1/moves/{move}", tag = "tenants",
    params(("move" = String, Path, description = "id of the move")),
    responses(
        (status = 204, description = "it is forgotten"),
        (status = 404, description = "there is none of that id", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn discard(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let engine = app.engine().clone();
    wire::blocking(move || engine.discard_move_in(&caller.principal, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How long an answer waits for a step; the step goes on without it.
const PATIENCE: Duration = Duration::from_secs(15);
