//! `GET /v1/tenants/{t}/tail`: records as they come, as server-sent events.
//!
//! Each connection is a cursor that is pulled: the next step is taken when the client has taken what came before. So a client
//! that is slow costs a number and the chunks under way, and misses nothing. See `docs/tail.md`.

use std::sync::Arc;
use std::time::Duration;

use attestore_engine::follow::{Follower, Start, Step};
use attestore_engine::{Engine, Error, Principal};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use utoipa::IntoParams;

use crate::ending::Ending;
use crate::guard::Caller;
use crate::peer::Peer;
use crate::places::Place;
use crate::problem::Problem;
use crate::server::App;
use crate::sse::{self, Chunk, Sink};
use crate::wire;

/// What a tail shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TailQuery {
    /// Lucene-like query, as for searches; empty matches everything.
    q: Option<String>,
    /// `now` (default), `beginning`, or the seq of the first record to look at.
    from: Option<String>,
    /// As the header `Last-Event-ID`, for clients that cannot set it; the header comes first.
    last_event_id: Option<String>,
}

/// Follow the log: records that match, as they become durable.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/tail", tag = "events",
    params(
        ("tenant" = String, Path),
        TailQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "go on after the event of this id; comes before `from`"),
    ),
    responses(
        (status = 200, description = "server-sent events: unnamed ones carry a record each, as items of searches; `progress` says how far the tail has come, `gap` names seqs that are no longer held, `end` says why the stream ends", body = String, content_type = "text/event-stream"),
        (status = 400, description = "a query that does not parse, or an event id that is not of this log", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "too many tails; see Retry-After", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn tail(
    State(app): State<App>,
    caller: Caller,
    peer: Peer,
    ending: Ending,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    Query(query): Query<TailQuery>,
) -> Result<Response, Problem> {
    let principal = Arc::clone(&caller.principal);
    let start = start(&headers, &query)?;
    let engine = app.engine().clone();
    let (name, by) = (tenant.clone(), Arc::clone(&principal));
    let q = query.q.unwrap_or_default();
    caller.seeks(q.clone());
    let follower = wire::blocking(move || engine.follow(&name, &by, &q, &start)).await?;
    let place = app.places().enter(&tenant, app.engine().places(&tenant).tails)?;
    let (sink, response) = sse::response();
    let tail = Tail {
        engine: app.engine().clone(),
        principal,
        position: follower.position(),
        told: Instant::now(),
        moved: false,
        behind: follower.behind(),
        beat: every(HEARTBEAT),
        check: every(CHECK),
        sink,
    };
    tokio::spawn(tail.run(follower, peer, ending, place));
    Ok(response)
}

fn start(headers: &HeaderMap, query: &TailQuery) -> Result<Start, Problem> {
    let bad = |code, detail: &str| Err(Problem::bad_request(code, detail));
    // An empty id is what a client has that was sent none yet.
    if let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) {
        return match id.to_str() {
            Ok(id) => Ok(Start::After(id.to_owned())),
            Err(_) => bad("invalid_event_id", "Last-Event-ID is not one of ours"),
        };
    }
    if let Some(id) = query.last_event_id.as_deref().filter(|id| !id.is_empty()) {
        return Ok(Start::After(id.to_owned()));
    }
    match query.from.as_deref() {
        None | Some("now") => Ok(Start::Now),
        Some("beginning") => Ok(Start::Beginning),
        Some(seq) if seq.bytes().all(|byte| byte.is_ascii_digit()) => match seq.parse() {
            Ok(seq) => Ok(Start::At(seq)),
            Err(_) => bad("invalid_from", "from is now, beginning or a seq"),
        },
        Some(_) => bad("invalid_from", "from is now, beginning or a seq"),
    }
}

/// A connection's state: a place in the log, and when what is due.
struct Tail {
    engine: Engine,
    principal: Arc<Principal>,
    sink: Sink,
    /// Up to where it has come.
    position: String,
    /// When the client was last told of it.
    told: Instant,
    /// Whether it has moved since.
    moved: bool,
    behind: u64,
    beat: Interval,
    check: Interval,
}

/// Why a tail ends.
enum End {
    /// The client is gone.
    Left,
    /// The server stops.
    Stopping,
    /// The credential was revoked or has expired.
    Credential,
    /// It cannot go on.
    Failed(Error),
}

/// How far a tail has come.
#[derive(Serialize)]
struct Progress {
    /// Records that are durable and were not looked at yet.
    behind: u64,
}

/// Records that are no longer held.
#[derive(Serialize)]
struct Gap {
    first: u64,
    last: u64,
}

/// Why the stream ends.
#[derive(Serialize)]
struct EndBody<'a> {
    reason: &'static str,
    detail: &'a str,
    /// For what failed: the problem's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl Tail {
    /// Serves until something ends it.
    async fn run(mut self, follower: Follower, peer: Peer, ending: Ending, place: Place) {
        let retry_ms = retry_ms(&place);
        let left = async {
            peer.left().await;
            tokio::time::sleep(LEFT_GRACE).await;
        };
        let end = tokio::select! {
            end = self.serve(follower, retry_ms) => end,
            () = ending.wait() => End::Stopping,
            () = left => End::Left,
        };
        self.end(&end, retry_ms);
        drop(place);
    }

    async fn serve(&mut self, mut follower: Follower, retry_ms: u64) -> End {
        let mut hello = Chunk::default();
        hello.retry(retry_ms);
        self.progress(&mut hello);
        if self.sink.send(hello).await.is_err() {
            return End::Left;
        }
        loop {
            let step;
            (follower, step) = match self.pull(follower).await {
                Ok(pulled) => pulled,
                Err(end) => return end,
            };
            let chunk = match self.chunk(&follower, step) {
                Ok(chunk) => chunk,
                Err(error) => return End::Failed(error),
            };
            if let Err(end) = self.send(chunk).await {
                return end;
            }
        }
    }

    /// Takes the next step; keeps the connection alive meanwhile.
    async fn pull(&mut self, follower: Follower) -> Result<(Follower, Step), End> {
        let pull = follower.pull(STEP_RECORDS, STEP_BYTES);
        tokio::pin!(pull);
        loop {
            tokio::select! {
                pulled = &mut pull => {
                    let pulled = pulled.map_err(End::Failed)?;
                    // What was read for a credential that has ended meanwhile is not shown.
                    self.allowed()?;
                    return Ok(pulled);
                }
                _ = self.beat.tick() => {
                    let mut chunk = Chunk::default();
                    if self.moved || self.behind > 0 { self.progress(&mut chunk) } else { chunk.comment("still here") }
                    self.sink.offer(chunk);
                }
                _ = self.check.tick() => self.allowed()?,
                () = self.sink.left() => return Err(End::Left),
            }
        }
    }

    /// Hands a chunk over, however long the client takes for the one before.
    async fn send(&mut self, chunk: Chunk) -> Result<(), End> {
        let (engine, principal) = (&self.engine, &self.principal);
        let sent = self.sink.send(chunk);
        tokio::pin!(sent);
        loop {
            tokio::select! {
                sent = &mut sent => return sent.map_err(|_| End::Left),
                _ = self.check.tick() => {
                    if !engine.still_works(principal) {
                        return Err(End::Credential);
                    }
                }
            }
        }
    }

    fn allowed(&self) -> Result<(), End> {
        if self.engine.still_works(&self.principal) {
            Ok(())
        } else {
            Err(End::Credential)
        }
    }

    /// Writes what a step found.
    fn chunk(&mut self, follower: &Follower, step: Step) -> Result<Chunk, Error> {
        let mut chunk = Chunk::default();
        let mut gaps = step.gaps.into_iter().peekable();
        let position = follower.position();
        let records = step.items.len();
        for item in step.items {
            while let Some(gap) = gaps.next_if(|gap| gap.start < item.seq) {
                self.gap(&mut chunk, follower, &gap);
            }
            let id = follower.position_before(item.seq.saturating_add(1));
            let body = wire::record(item).map_err(|problem| Error::Io(problem.detail))?;
            let data = serde_json::to_string(&body).map_err(|error| Error::Io(error.to_string()))?;
            chunk.event(None, Some(&id), &data);
        }
        for gap in gaps {
            self.gap(&mut chunk, follower, &gap);
        }
        metrics::counter!("attestore_tail_records_total").increment(records as u64);
        self.behind = follower.behind();
        self.moved |= position != self.position;
        self.position = position;
        if self.moved && self.told.elapsed() >= TELL {
            self.progress(&mut chunk);
        }
        Ok(chunk)
    }

    #[expect(clippy::unused_self, reason = "reads as what the tail does")]
    fn gap(&self, chunk: &mut Chunk, follower: &Follower, gap: &std::ops::Range<u64>) {
        let id = follower.position_before(gap.end);
        let body = Gap {
            first: gap.start,
            last: gap.end.saturating_sub(1),
        };
        chunk.event(Some("gap"), Some(&id), &json(&body));
    }

    /// Tells how far it has come: with its id, so that who comes back does not begin further back.
    fn progress(&mut self, chunk: &mut Chunk) {
        self.told = Instant::now();
        self.moved = false;
        let body = Progress { behind: self.behind };
        chunk.event(Some("progress"), Some(&self.position), &json(&body));
    }

    /// Says why the stream ends, if the client can still hear it.
    fn end(&mut self, end: &End, retry_ms: u64) {
        let failure;
        let (reason, detail, code) = match end {
            End::Left => return,
            End::Stopping => (
                "stopping",
                "the server stops; come back with the last event id",
                None,
            ),
            End::Credential => ("credential", "the credential was revoked or has expired", None),
            End::Failed(error) => {
                failure = wire::problem(error.clone());
                ("failed", failure.detail.as_str(), Some(failure.code))
            }
        };
        let mut chunk = Chunk::default();
        chunk.retry(retry_ms);
        chunk.event(Some("end"), None, &json(&EndBody { reason, detail, code }));
        self.sink.offer(chunk);
    }
}

fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default() // plain data of our own
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// How long a client waits before it comes back: not all at the same time.
fn retry_ms(place: &Place) -> u64 {
    RETRY_MS_MIN + place.number.wrapping_mul(RETRY_STEP_MS) % RETRY_SPREAD_MS
}

/// Records in one chunk, at most.
const STEP_RECORDS: usize = 512;
/// Bytes of events in one chunk, about: what a client that does not read keeps in memory is a few of these.
const STEP_BYTES: usize = 256 << 10;
/// How long a connection may be silent.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often is looked whether the credential still works.
const CHECK: Duration = Duration::from_secs(2);
/// How often a tail that moves tells how far it has come, at most.
const TELL: Duration = Duration::from_secs(5);
/// A client that closed its side is most likely gone.
const LEFT_GRACE: Duration = Duration::from_secs(1);
const RETRY_MS_MIN: u64 = 1000;
const RETRY_SPREAD_MS: u64 = 2000;
const RETRY_STEP_MS: u64 = 617;
