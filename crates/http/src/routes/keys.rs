//! `/v1/tenants/{t}/keys`: every key of a tenant, for how long they are used, rotating them.

use attestore_engine::keyring::{
    Cause, Compromised, JobState, KeyInfo, KeyKind, KeyList, KeyPolicy, Rotation, RotationOrder,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// The keys of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeysBody {
    /// By kind, the oldest first. Of `_system`, the root too.
    items: Vec<KeyBody>,
    /// The rotation under way; null if there is none.
    rotation: Option<RotationStateBody>,
    /// For how long they are used.
    policy: KeyPolicyBody,
    /// What is signed, sealed and hashed with. There is a choice of the last only.
    algorithms: AlgorithmsBody,
}

/// A key, or the keys of pages as one.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyBody {
    /// `tenant`: wraps every other key of the tenant. `buckets`: keys of the pages that those lie in. `signing`: signs the log. `root`.
    key: &'static str,
    /// Its number, from 1.
    generation: u64,
    /// The verifier key of one that signs.
    vkey: Option<String>,
    /// `current`; `retiring`: out of use for what is new; `retired`: destroyed.
    state: &'static str,
    /// When it was made, RFC 3339; null where that is not known.
    made_at: Option<String>,
    /// Until when it is to protect what is new, by the policy (originator use), RFC 3339.
    originator_until: Option<String>,
    /// Since when it protects nothing new; null while it does.
    originator_ended_at: Option<String>,
    /// Since when nothing is read with it (recipient use); null while something is, and of keys that signed: what checks their
    /// signatures is public.
    recipient_ended_at: Option<String>,
    /// Since when it is destroyed: of keys that wrap, since when old copies of the catalog do not lead to it either.
    destroyed_at: Option<String>,
    /// Since when it is not trusted.
    compromised_since: Option<String>,
    /// Why.
    compromised_reason: Option<String>,
    /// Whether its time is over and it is in use still.
    overdue: bool,
}

/// Algorithms.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlgorithmsBody {
    /// Of checkpoints.
    signing: &'static str,
    /// Of keys under keys, and of data.
    sealing: &'static str,
    /// Of commitments in new entries: `BLAKE3` or `HMAC-SHA-256`, as the policy says.
    commitments: &'static str,
}

/// What is to be rotated.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationRequestBody {
    /// `tenant`, `buckets` or `signing`; of `_system`, `root` too, and `buckets` are those of all tenants.
    key: String,
    /// Why. It stays in the log for good, so it names nobody; 1 to 256 bytes, and none for `signing`.
    reason: Option<String>,
}

/// A key that is not trusted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompromisedBody {
    /// `tenant`, `buckets` or `signing`; of `_system`, `root` too.
    key: String,
    /// What happened. It stays in the log for good, so it names nobody; 1 to 256 bytes.
    reason: String,
    /// Since when others may have it, RFC 3339; now if it is not given.
    since: Option<String>,
}

/// A rotation.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotationStateBody {
    /// The kind of key.
    key: &'static str,
    /// The number of the new key.
    generation: u64,
    /// `asked`; `wrapping`: the new key is in force, and what is old is brought under it (of a signing key: both sign); `unwrapped`: the former
    /// key is not in use any more; `destroyed`: no old copy leads to it.
    state: &'static str,
    /// `asked`, `due` or `compromised`.
    cause: &'static str,
    /// Id of who asked for it; `internal` for none.
    by: String,
    /// When it began, RFC 3339.
    started_at: String,
    /// Keys that were wrapped anew, or pages that were given fresh keys.
    done: u64,
    /// The record of it in the tenant's log.
    seq: Option<u64>,
}

/// For how long keys protect what is new. What is not given is rotated when somebody asks for it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyPolicyBody {
    /// Days of a tenant key, and of the keys of pages.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 36_500)]
    tenant_days: Option<u32>,
    /// Days of a signing key.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 36_500)]
    signing_days: Option<u32>,
    /// Days of the root, at most; of `_system` only.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 36_500)]
    root_days: Option<u32>,
    /// The hash function that new entries commit with: 1 BLAKE3, 2 HMAC-SHA-256; it stays what it is if it is not given.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2)]
    hash_version: Option<u8>,
    /// Whether a key whose time is over is rotated without being asked; true if it is not given. Otherwise the status tells of it.
    #[serde(default = "yes")]
    automatic: bool,
}

const fn yes() -> bool {
    true
}

impl From<KeyInfo> for KeyBody {
    fn from(key: KeyInfo) -> Self {
        let (since, reason) = key.compromised.unzip();
        Self {
            key: key.key.name(),
            generation: key.generation,
            vkey: key.vkey,
            state: key.state.name(),
            made_at: key.made_ms.map(wire::rfc3339_ms),
            originator_until: key.originator_until_ms.map(wire::rfc3339_ms),
            originator_ended_at: key.originator_ended_ms.map(wire::rfc3339_ms),
            recipient_ended_at: key.recipient_ended_ms.map(wire::rfc3339_ms),
            destroyed_at: key.destroyed_ms.map(wire::rfc3339_ms),
            compromised_since: since.map(wire::rfc3339_ms),
            compromised_reason: reason,
            overdue: key.overdue,
        }
    }
}

impl From<Rotation> for RotationStateBody {
    fn from(rotation: Rotation) -> Self {
        Self {
            key: rotation.key.name(),
            generation: rotation.generation,
            state: match rotation.state {
                JobState::Asked => "asked",
                JobState::Wrapping => "wrapping",
                JobState::Unwrapped => "unwrapped",
                JobState::Destroyed => "destroyed",
            },
            cause: match rotation.cause {
                Cause::Asked => "asked",
                Cause::Due => "due",
                Cause::Compromised => "compromised",
            },
            by: rotation.by,
            started_at: wire::rfc3339_ms(rotation.started_ms),
            done: rotation.done,
            seq: rotation.seq,
        }
    }
}

impl From<KeyPolicy> for KeyPolicyBody {
    fn from(policy: KeyPolicy) -> Self {
        Self {
            tenant_days: policy.tenant_days,
            signing_days: policy.signing_days,
            root_days: policy.root_days,
            hash_version: policy.hash_version,
            automatic: policy.automatic,
        }
    }
}

impl From<KeyList> for KeysBody {
    fn from(list: KeyList) -> Self {
        Self {
            items: list.items.into_iter().map(KeyBody::from).collect(),
            rotation: list.rotation.map(RotationStateBody::from),
            policy: list.policy.into(),
            algorithms: AlgorithmsBody {
                signing: "Ed25519",
                sealing: "AES-256-GCM",
                commitments: match list.hash_version {
                    2 => "HMAC-SHA-256",
                    _ => "BLAKE3",
                },
            },
        }
    }
}

fn kind(name: &str) -> Result<KeyKind, Problem> {
    KeyKind::from_name(name).ok_or_else(|| {
        let message = "`key` is `tenant`, `buckets`, `signing` or `root`";
        Problem::bad_request("invalid_rotation", message.to_owned())
    })
}

/// List the keys of a tenant: since when and until when each is used, and the rotation under way.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/keys", tag = "operations",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = KeysBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<KeysBody>, Problem> {
    let engine = app.engine().clone();
    let keys = wire::blocking(move || engine.keys(&tenant, &caller.principal)).await?;
    Ok(Json(keys.into()))
}

/// Rotate a key. When this answers, the new key is in force and the log has it; bringing what is old under it goes on by itself, and GET
/// tells how far it is. Data is not encrypted anew.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/keys/rotations", tag = "operations",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = RotationRequestBody,
    responses(
        (status = 202, body = RotationStateBody),
        (status = 409, description = "another rotation is under way, or the log takes nothing", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RotationStateBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: RotationRequestBody = wire::document(&bytes, "invalid_rotation")?;
    let order = RotationOrder {
        key: kind(&asked.key)?,
        reason: asked.reason,
    };
    let engine = app.engine().clone();
    let begun = wire::blocking(move || engine.rotate_keys(&tenant, &caller.principal, &order)).await?;
    Ok((StatusCode::ACCEPTED, Json(begun.into())))
}

/// Report that others may have a key: the log says since when it is not trusted, and it is rotated at once. Where the tenant wants that
/// destroying keys takes two persons, another one has to approve first.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/keys/compromised", tag = "operations",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = CompromisedBody,
    responses(
        (status = 202, body = RotationStateBody),
        (status = 409, description = "another rotation is under way, or the log takes nothing", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn compromised(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<RotationStateBody>), Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let asked: CompromisedBody = wire::document(&bytes, "invalid_rotation")?;
    let since = asked.since.as_deref();
    let since_ns = since.map(|since| wire::parse_time("since", since)).transpose()?;
    let since_ms = since_ns.map(|ns| u64::try_from(ns / 1_000_000).unwrap_or_default());
    let report = Compromised {
        key: kind(&asked.key)?,
        since_ms,
        reason: asked.reason,
    };
    let engine = app.engine().clone();
    let begun = wire::blocking(move || engine.key_compromised(&tenant, &caller.principal, &report)).await?;
    Ok((StatusCode::ACCEPTED, Json(begun.into())))
}

/// See for how long the keys of a tenant are used.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/keys/policy", tag = "operations",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = KeyPolicyBody),
    ),
    security(("bearer" = []))
)]
pub async fn policy(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<KeyPolicyBody>, Problem> {
    let engine = app.engine().clone();
    let policy = wire::blocking(move || engine.key_policy(&tenant, &caller.principal)).await?;
    Ok(Json(policy.into()))
}

/// Set for how long the keys of a tenant are used. What is due by that is rotated within a minute, unless it is not automatic.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/keys/policy", tag = "operations",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = KeyPolicyBody,
    responses(
        (status = 200, body = KeyPolicyBody),
    ),
    security(("bearer" = []))
)]
pub async fn set_policy(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<KeyPolicyBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: KeyPolicyBody = wire::document(&bytes, "invalid_key_policy")?;
    let policy = KeyPolicy {
        tenant_days: wanted.tenant_days,
        signing_days: wanted.signing_days,
        root_days: wanted.root_days,
        hash_version: wanted.hash_version,
        automatic: wanted.automatic,
    };
    let engine = app.engine().clone();
    let set = wire::blocking(move || engine.set_key_policy(&tenant, &caller.principal, &policy)).await?;
    Ok(Json(set.into()))
}
