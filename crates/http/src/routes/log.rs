//! `/v1/tenants/{t}/log/…`: the tenant's log as C2SP tlog-tiles, and consistency proofs.

use attestore_engine::Error;
use attestore_tlog::TilePath;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;
use crate::server::App;
use crate::wire;
use crate::witnesses::WitnessBody;

const TEXT: (header::HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
const OCTETS: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/octet-stream");

/// Query parameters of a checkpoint.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CheckpointQuery {
    /// Whether to get the newest that witnesses have cosigned, which may be smaller; 404 as long as there is none.
    #[serde(default)]
    witnessed: bool,
}

/// What is signed of a note.
fn body_of(note: &str) -> Option<&str> {
    note.rsplit_once("\n\n").map(|(body, _)| body)
}

/// The witnesses of a log.
#[derive(Debug, Serialize, ToSchema)]
pub struct WitnessesBody {
    /// Size of the newest checkpoint that enough of them cosigned.
    size: Option<u64>,
    /// Those of the policy that are asked.
    witnesses: Vec<WitnessBody>,
}

/// See which witnesses cosign a log, and how far they are.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/log/witnesses", tag = "proofs",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = WitnessesBody),
    ),
    security(("bearer" = []))
)]
pub async fn witnesses(
    State(app): State<App>,
    Path(tenant): Path<String>,
) -> Result<Json<WitnessesBody>, Problem> {
    let (engine, name) = (app.engine().clone(), tenant.clone());
    let cosigned = wire::blocking(move || engine.witnessed(&name)).await?;
    let cosigner = app.settings().witnesses.0.as_ref();
    Ok(Json(WitnessesBody {
        size: cosigned.map(|cosigned| cosigned.size),
        witnesses: cosigner
            .map(|cosigner| cosigner.states(&tenant))
            .unwrap_or_default(),
    }))
}

/// Get the newest signed tree head (C2SP tlog-checkpoint).
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/log/checkpoint", tag = "proofs",
    params(("tenant" = String, Path), CheckpointQuery),
    responses(
        (status = 200, description = "a signed note", body = String, content_type = "text/plain"),
        (status = 409, description = "rollback detected: nothing is signed", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn checkpoint(
    State(app): State<App>,
    Path(tenant): Path<String>,
    Query(query): Query<CheckpointQuery>,
) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let text = wire::blocking(move || {
        let cosigned = engine.witnessed(&tenant)?;
        if query.witnessed {
            let cosigned = cosigned.ok_or(Error::NotFound("witnessed checkpoint"))?;
            return Ok(cosigned.note.to_string());
        }
        let newest = engine.checkpoint(&tenant)?;
        // Of the same head there is nothing to choose.
        Ok(match cosigned {
            Some(cosigned) if body_of(&cosigned.note) == body_of(&newest) => cosigned.note.to_string(),
            _ => newest,
        })
    })
    .await?;
    Ok(([TEXT, (header::CACHE_CONTROL, "no-store")], text))
}

/// Get the key that verifies the log's checkpoints (C2SP signed-note verifier key).
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/log/vkey", tag = "proofs",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "text/plain"),
    ),
    security(("bearer" = []))
)]
pub async fn vkey(State(app): State<App>, Path(tenant): Path<String>) -> Result<impl IntoResponse, Problem> {
    let engine = app.engine().clone();
    let text = wire::blocking(move || engine.vkey(&tenant)).await?;
    Ok(([TEXT], format!("{text}\n")))
}

/// Get a tile or an entry bundle (C2SP tlog-tiles): `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/log/tile/{tile}", tag = "proofs",
    params(("tenant" = String, Path), ("tile" = String, Path, description = "e.g. `0/x001/234.p/5` or `entries/000`; slashes are part of it")),
    responses(
        (status = 200, body = serde_json::Value, content_type = "application/octet-stream"),
        (status = 404, description = "the log is not that large", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn tile(
    State(app): State<App>,
    Path((tenant, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let tile: TilePath = format!("tile/{path}")
        .parse()
        .map_err(|_| Problem::bad_request("invalid_tile", "not a tile path of C2SP tlog-tiles"))?;
    let engine = app.engine().clone();
    let full = match tile {
        TilePath::Tile(tile) => tile.is_full(),
        TilePath::Entries(bundle) => bundle.is_full(),
    };
    let bytes = wire::blocking(move || match tile {
        TilePath::Tile(tile) => engine.tile(&tenant, tile.level(), tile.index(), tile.width()),
        TilePath::Entries(bundle) => engine.entries(&tenant, bundle.index(), bundle.width()),
    })
    .await?;
    // What a full tile holds never changes; it still belongs to one caller.
    let cache = if full {
        "private, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    Ok(([OCTETS, (header::CACHE_CONTROL, cache)], bytes).into_response())
}

/// Query parameters of a consistency proof.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyQuery {
    /// Smaller tree size.
    from: u64,
    /// Larger tree size; default: the current size.
    to: Option<u64>,
}

/// A consistency proof.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsistencyBody {
    /// Smaller tree size.
    from: u64,
    /// Larger tree size.
    to: u64,
    /// Hashes of RFC 6962 section 2.1.2, hex, in order.
    proof: Vec<String>,
}

/// Prove that the tree of size `to` extends the tree of size `from`.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/log/consistency", tag = "proofs",
    params(("tenant" = String, Path), ConsistencyQuery),
    responses(
        (status = 200, body = ConsistencyBody),
    ),
    security(("bearer" = []))
)]
pub async fn consistency(
    State(app): State<App>,
    Path(tenant): Path<String>,
    Query(query): Query<ConsistencyQuery>,
) -> Result<Json<ConsistencyBody>, Problem> {
    let engine = app.engine().clone();
    let proof = wire::blocking(move || {
        let to = match query.to {
            Some(to) => to,
            None => engine.tenant(&tenant)?.size,
        };
        engine.consistency(&tenant, query.from, to)
    })
    .await?;
    let hashes = proof.hashes.iter().map(|h| wire::hex(h.as_bytes())).collect();
    Ok(Json(ConsistencyBody {
        from: proof.from,
        to: proof.to,
        proof: hashes,
    }))
}
