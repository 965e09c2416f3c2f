//! `POST /v1/tenants/{t}/events`: append.

use std::sync::Arc;

use attestore_engine::{Appended, ItemError, Mode, Receipt};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{Object, Ref, Schema};
use utoipa::{IntoParams, ToSchema};

use crate::guard::Caller;
use crate::problem::{FieldError, Problem};
use crate::routes::receipt::{self, Evidence, Wanted};
use crate::senders::{self, Incoming};
use crate::server::App;
use crate::wire::{self, Short, Tree};
use crate::{body, items};

/// Query parameters of an append.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AppendQuery {
    /// Mapping preset that turns foreign JSON into events, e.g. `cloudtrail`.
    mapping: Option<String>,
}

/// What an append answers for one event that was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptBody {
    /// Record id, UUIDv7.
    #[schema(value_type = String)]
    id: Short<36>,
    /// Index of the record in its tenant's log, from 0.
    seq: u64,
    /// When the server accepted it, RFC 3339, UTC, milliseconds.
    #[schema(value_type = String)]
    received_at: Short<32>,
    /// The 44-byte entry that the tree holds, hex.
    #[schema(value_type = String)]
    entry: Short<88>,
    /// The same event had been accepted before under this idempotency key.
    duplicate: bool,
    /// With a signed receipt: the inclusion proof of the entry in the checkpoint's tree (RFC 6962 section 2.1.1), base64, from
    /// the leaf's sibling to the root's child.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Vec<String>>,
}

/// Result of one event of a batch, in request order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ItemBody {
    /// Accepted.
    Accepted {
        /// Position in the request.
        index: usize,
        /// 201, or 200 for a duplicate.
        status: u16,
        #[serde(flatten)]
        /// The receipt.
        receipt: ReceiptBody,
    },
    /// Refused; nothing of it was stored.
    Refused {
        /// Position in the request.
        index: usize,
        /// HTTP status that this event alone would have got.
        status: u16,
        /// Why.
        error: FieldError,
    },
}

/// What an append answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppendBody {
    /// The receipt of a request that held a single event, as in `items[0]`.
    #[serde(flatten)]
    #[schema(schema_with = receipt_or_nothing)]
    receipt: Option<ReceiptBody>,
    /// One result per event, in request order.
    items: Vec<ItemBody>,
    /// At least one event was refused.
    errors: bool,
    /// Tree head that covers every record of this answer; not yet signed.
    tree: Tree,
    /// How far this answer goes. `durable`: every accepted event had been synced to the medium before it was made; the tree
    /// head is not evidence yet. `signed`: `checkpoint` and each item's `proof` are. `witnessed`: enough witnesses cosigned that
    /// checkpoint, or, with `slot`, a round of the log of heads that has it.
    durability: &'static str,
    /// With a signed receipt: the signed tree head (C2SP tlog-checkpoint) that the proofs lead to. It may cover more than
    /// `tree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    /// Where `witnessed` holds by the log of heads: the slot proof of `checkpoint`, in which the cosignatures are.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
    /// Why the receipt goes less far than was asked for; the events are durable all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt_failure: Option<String>,
}

/// A receipt's members, or none of them.
fn receipt_or_nothing() -> Schema {
    AnyOfBuilder::new()
        .description(Some(
            "The receipt of a request that held a single event, as in `items[0]`.",
        ))
        .item(Ref::from_schema_name("ReceiptBody"))
        .item(Object::new())
        .into()
}

/// Append events: one object, an array, or NDJSON; gzip and zstd bodies are welcome.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/events", tag = "events",
    params(("tenant" = String, Path, description = "tenant name"), AppendQuery,
        ("Attestore-Batch" = Option<String>, Header, description = "`atomic`: all events or none"),
        ("Prefer" = Option<String>, Header, description = "`receipt=signed` (RFC 7240): the answer carries a signed checkpoint and inclusion proofs; `receipt=witnessed, wait=10`: cosigned ones"),
        ("Idempotency-Key" = Option<String>, Header, description = "used for events that carry no idempotency_key of their own")),
    request_body(content((serde_json::Value = "application/json"), (serde_json::Value = "application/x-ndjson"))),
    responses(
        (status = 201, description = "all accepted, durable", body = AppendBody),
        (status = 200, description = "a batch with refused events (`errors: true`), or nothing but duplicates", body = AppendBody),
        (status = 400, description = "nothing stored", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "idempotency key used for another event, or rollback detected", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "an atomic batch with a refused event", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "overloaded or stopping; see Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "out of space for appends", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn append(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(query): Query<AppendQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    let mode = mode(&headers)?;
    let wanted = Wanted::of(&headers);
    let mapping = items::mapping(query.mapping.as_deref())?;
    let request_key = items::idempotency_key(&headers)?;
    let limits = &app.settings().body;
    let bytes = body::read(&headers, body, limits).await?;
    let split = items::split(&headers, &bytes, limits.events_max)?;

    let many = split.items.len() > 1;
    let records = split
        .items
        .into_iter()
        .enumerate()
        .map(|(index, bytes)| Incoming {
            record: Ok(bytes),
            mapping,
            key: request_key.as_ref().map(|key| {
                if many {
                    format!("{key}/{index}")
                } else {
                    key.clone()
                }
            }),
        })
        .collect();
    let protocol = query.mapping.as_deref().unwrap_or("native");
    let appended = senders::append(app.engine(), &tenant, &principal, protocol, records, mode).await?;
    let (appended, evidence) = receipt::evidence(&app, &tenant, appended, wanted).await?;
    answer(appended, split.single, &evidence)
}

fn mode(headers: &HeaderMap) -> Result<Mode, Problem> {
    let mut values = headers.get_all("attestore-batch").iter();
    match (values.next().map(HeaderValue::as_bytes), values.next()) {
        (None, _) => Ok(Mode::Each),
        (Some(value), None) if value.eq_ignore_ascii_case(b"atomic") => Ok(Mode::Atomic),
        _ => Err(Problem::bad_request(
            "invalid_header",
            "Attestore-Batch knows only `atomic`, once",
        )),
    }
}

/// The answer to an append: of a single event its receipt too, or why it was refused. `evidence` is
/// what a signed receipt has more.
pub fn answer(appended: Appended, single: bool, evidence: &Evidence) -> Result<Response, Problem> {
    let results = appended.items;
    let failed = results.iter().any(Result::is_err);
    if failed && single {
        let faults = results
            .into_iter()
            .enumerate()
            .filter_map(|(i, r)| Some((i, r.err()?)))
            .collect();
        return Err(refused_single(faults));
    }
    let count = results.len();
    let mut times = Times::default();
    let fresh = results
        .iter()
        .any(|r| matches!(r, Ok(receipt) if !receipt.duplicate));
    let receipt = match results.first() {
        Some(Ok(receipt)) if single => Some(receipt_body(receipt, &mut times, evidence.proof(0))),
        _ => None,
    };
    let items = results
        .into_iter()
        .enumerate()
        .map(|(index, result)| match result {
            Ok(receipt) => ItemBody::Accepted {
                index,
                status: if receipt.duplicate { 200 } else { 201 },
                receipt: receipt_body(&receipt, &mut times, evidence.proof(index)),
            },
            Err(error) => ItemBody::Refused {
                index,
                status: error.status,
                error: wire::field_error(index, error),
            },
        })
        .collect();
    let body = AppendBody {
        receipt,
        items,
        errors: failed,
        tree: Tree::from(&appended.tree),
        durability: evidence.durability(),
        checkpoint: evidence.checkpoint.clone(),
        slot: evidence.slot.clone(),
        receipt_failure: evidence.failure.clone(),
    };
    let status = if failed || !fresh {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let mut json = Vec::with_capacity(ANSWER_BYTES + count * ITEM_BYTES);
    serde_json::to_writer(&mut json, &body).map_err(wire::internal)?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = (status, headers, json).into_response();
    if evidence.checkpoint.is_some() {
        let applied = match evidence.witnessed {
            true => "receipt=witnessed",
            false => "receipt=signed",
        };
        let applied = HeaderValue::from_static(applied);
        response.headers_mut().insert("preference-applied", applied);
    }
    Ok(response)
}

fn receipt_body(receipt: &Receipt, times: &mut Times, proof: Option<Vec<String>>) -> ReceiptBody {
    ReceiptBody {
        id: Short::show(&receipt.id),
        seq: receipt.seq,
        received_at: times.show(receipt.received_at_ms),
        entry: Short::hex(&receipt.entry),
        duplicate: receipt.duplicate,
        proof,
    }
}

/// Shows times of receipt: those of one append are the same, but for repetitions.
#[derive(Default)]
struct Times(Option<(u64, Short<32>)>);

impl Times {
    fn show(&mut self, ms: u64) -> Short<32> {
        match self.0 {
            Some((same, shown)) if same == ms => shown,
            _ => self.0.insert((ms, Short::show(&wire::rfc3339_ms(ms)))).1,
        }
    }
}

fn refused_single(mut faults: Vec<(usize, ItemError)>) -> Problem {
    let Some((index, error)) = faults.pop() else {
        return wire::internal("a refusal without a fault");
    };
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    let place = if error.path.is_empty() {
        String::new()
    } else {
        format!("{}: ", error.path)
    };
    Problem::new(status, error.code, format!("{place}{}", error.message))
        .with_errors(vec![wire::field_error(index, error)])
}

/// Bytes of an answer beside its items, and of each item, about.
const ANSWER_BYTES: usize = 640;
const ITEM_BYTES: usize = 256;
