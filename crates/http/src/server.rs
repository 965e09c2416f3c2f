//! The router, and what every route can reach. Connections are served by [`crate::serve`].

use std::sync::Arc;
use std::time::Duration;

use attestore_engine::{Engine, Permission};
use attestore_limit::Trusted;
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::routes;

use crate::body;
use crate::describe;
use crate::elastic;
use crate::guard::{Entry, Recorded, RouteClass, Routes, Row, Tokens};
use crate::limits::Keeper;
use crate::metrics;
use crate::places::Places;
use crate::problem::Problem;
use crate::routes::{
    access_log, access_requests, append, approvals, backups, clock, corrections, credentials, destroyed,
    erasures, events, exports, heads, holds, index, keys, log, log_keys, moves, operations, privacy, purges,
    quota, restrictions, retention, scrub, search, searches, tail, tenants, unseal, watch,
};
use crate::senders::{bulk, cloudevents, otlp};
use crate::slots::Slots;
use crate::witnesses::Witnesses;

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Limits of request bodies.
    pub body: body::Limits,
    /// Connections served at once; those that keep a place for nothing make room for further ones.
    pub connections_max: usize,
    /// Connections of one address (IPv6: of one /64) at once.
    pub address_connections_max: usize,
    /// Requests on one connection, after which it is closed.
    pub connection_requests_max: u32,
    /// Time that a client has for TLS and for the head of a request.
    pub header_timeout: Duration,
    /// Time between an answer and the next request.
    pub idle_timeout: Duration,
    /// Who is believed about a client's address.
    pub proxies: Trusted,
    /// Time that requests under way get once the server is told to stop.
    pub drain_timeout: Duration,
    /// Tails at once, of all tenants.
    pub tails_max: usize,
    /// Tails of one tenant at once.
    pub tenant_tails_max: usize,
    /// How long the record of an act may take; after that the act is refused.
    pub audit_wait: Duration,
    /// Where webhooks may go beyond the internet.
    pub webhooks: attestore_webhook::Allowed,
    /// Identity providers whose tokens are accepted.
    pub tokens: Tokens,
    /// Rate limits. [`Keeper::run`] has to run for those that follow the load or are shared.
    pub limits: Keeper,
    /// Who cosigns checkpoints.
    pub witnesses: Witnesses,
    /// Lets everybody do everything, unrecorded and unlimited: to measure what the gate costs.
    #[cfg(feature = "bench-costs")]
    pub unguarded: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            body: body::Limits::default(),
            connections_max: 4096,
            address_connections_max: 1024,
            connection_requests_max: 100_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            proxies: Trusted::default(),
            drain_timeout: Duration::from_secs(20),
            tails_max: 1024,
            tenant_tails_max: 256,
            audit_wait: Duration::from_secs(2),
            webhooks: attestore_webhook::Allowed::default(),
            tokens: Tokens::default(),
            limits: Keeper::default(),
            witnesses: Witnesses::default(),
            #[cfg(feature = "bench-costs")]
            unguarded: false,
        }
    }
}

/// What every route can reach.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    engine: Engine,
    settings: Settings,
    metrics: Option<PrometheusHandle>,
    openapi: Bytes,
    slots: Slots,
    places: Places,
    signing: tokio::sync::Mutex<()>,
}

impl App {
    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn metrics(&self) -> Option<&PrometheusHandle> {
        self.0.metrics.as_ref()
    }

    /// Held by the request that has a head signed.
    pub(crate) fn signing(&self) -> &tokio::sync::Mutex<()> {
        &self.0.signing
    }

    /// Turns of searches.
    pub(crate) fn slots(&self) -> &Slots {
        &self.0.slots
    }

    /// Places of tails.
    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    pub(crate) fn openapi(&self) -> Bytes {
        self.0.openapi.clone()
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Attestore",
        description = "Append-only audit log with search, encryption, erasure and proofs. Errors are RFC 9457 problem documents with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&BearerScheme)
)]
struct Api;

struct BearerScheme;

impl utoipa::Modify for BearerScheme {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("a credential"))
            .build();
        api.components
            .get_or_insert_default()
            .add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// Every route and what it needs.
fn routes() -> Routes {
    use Permission as P;
    use RouteClass as C;
    const APPEND: Entry = Entry::tenant(P::Append, C::Append);
    const BULK: Entry = Entry::named(P::Append, C::Append).elastic();
    const SAVE: Entry = Entry::tenant(P::SaveSearches, C::Admin);
    const WATCH: Entry = Entry::tenant(P::ManageSearches, C::Admin);
    const LOG: Entry = Entry::tenant(P::ReadLog, C::Proof);
    const KEYS: Entry = Entry::tenant(P::ManageKeys, C::Admin);
    const ERASE: Entry = Entry::tenant(P::Erase, C::Admin);
    const ACCESS: Entry = Entry::tenant(P::AccessRequests, C::Admin);
    const RESTRICT: Entry = Entry::tenant(P::Restrict, C::Admin);
    const MOVE: Entry = Entry::tenant(P::MoveTenants, C::Admin);
    const MOVES: Entry = Entry::instance(P::MoveTenants, C::Admin);
    const EXPORT: Entry = Entry::tenant(P::Export, C::Export);
    const EXPORTS: Entry = Entry::tenant(P::SeeExports, C::Export);
    const CREDENTIALS: Entry = Entry::tenant(P::ManageCredentials, C::Admin);
    const WIDE: Entry = Entry::named(P::ManageCredentials, C::Admin);
    const PUBLIC: Entry = Entry::public();
    const RULES: Entry = Entry::tenant(P::SeeRetention, C::Read);
    const HOLDS: Entry = Entry::tenant(P::ManageHolds, C::Admin).recorded(Recorded::Told);
    Routes::new(Api::openapi())
        .route(APPEND, routes!(append::append))
        .route(Entry::tenant(P::Search, C::Search), routes!(events::search))
        .route(Entry::tenant(P::Read, C::Read), routes!(events::get))
        .route(Entry::tenant(P::Prove, C::Proof), routes!(events::proof))
        .route(Entry::tenant(P::Search, C::Search), routes!(search::search))
        .route(Entry::tenant(P::Tail, C::Tail), routes!(tail::tail))
        .route(SAVE.recorded(Recorded::Told), routes!(searches::create))
        .route(SAVE.recorded(Recorded::Along), routes!(searches::list))
        .route(SAVE.recorded(Recorded::Along), routes!(searches::get))
        .route(SAVE.recorded(Recorded::Told), routes!(searches::put))
        .route(SAVE, routes!(searches::delete))
        .route(Entry::tenant(P::Search, C::Search), routes!(searches::run))
        .route(WATCH, routes!(watch::put, watch::get, watch::delete))
        .route(WATCH.recorded(Recorded::Along), routes!(watch::dead))
        .route(WATCH, routes!(watch::redeliver))
        .route(WATCH, routes!(watch::delete_dead))
        .route(Entry::named(P::Append, C::Append).otlp(), routes!(otlp::logs))
        .route(APPEND.otlp(), routes!(otlp::tenant_logs))
        .route(APPEND, routes!(cloudevents::receive))
        .route(
            Entry::named(P::SeeTenant, C::Read).elastic(),
            routes!(elastic::root::root),
        )
        .route(BULK, routes!(bulk::bulk, bulk::bulk_put))
        .route(BULK, routes!(bulk::bulk_index, bulk::bulk_index_put))
        .route(
            Entry::tenant(P::ManageIndex, C::Admin),
            routes!(index::get, index::put),
        )
        .route(EXPORT.recorded(Recorded::Told), routes!(exports::create))
        .route(EXPORTS, routes!(exports::list))
        .route(EXPORTS, routes!(exports::get))
        .route(EXPORTS.recorded(Recorded::First), routes!(exports::delete))
        .route(EXPORTS.recorded(Recorded::First), routes!(exports::cancel))
        .route(EXPORTS.recorded(Recorded::First), routes!(exports::resume))
        .route(EXPORT, routes!(exports::manifest))
        .route(EXPORT, routes!(exports::file))
        .route(ERASE.recorded(Recorded::Told), routes!(erasures::create))
        .route(ERASE.recorded(Recorded::Along), routes!(erasures::list))
        .route(ERASE.recorded(Recorded::Along), routes!(erasures::get))
        .route(ERASE.recorded(Recorded::Along), routes!(erasures::certificate))
        .route(ERASE.recorded(Recorded::First), routes!(erasures::undo))
        .route(ACCESS.recorded(Recorded::Told), routes!(access_requests::create))
        .route(ACCESS.recorded(Recorded::Along), routes!(access_requests::list))
        .route(ACCESS.recorded(Recorded::Along), routes!(access_requests::get))
        .route(ACCESS.recorded(Recorded::First), routes!(access_requests::file))
        .route(ACCESS.recorded(Recorded::First), routes!(access_requests::delete))
        .route(
            Entry::tenant(P::Rectify, C::Admin).recorded(Recorded::Told),
            routes!(corrections::create),
        )
        .route(Entry::tenant(P::Read, C::Read), routes!(corrections::list))
        .route(RESTRICT.recorded(Recorded::Told), routes!(restrictions::create))
        .route(RESTRICT.recorded(Recorded::Along), routes!(restrictions::list))
        .route(RESTRICT.recorded(Recorded::First), routes!(restrictions::end))
        .route(LOG, routes!(log::checkpoint))
        .route(LOG, routes!(log::vkey))
        .route(LOG, routes!(log_keys::list))
        .route(KEYS, routes!(log_keys::rotate))
        .route(KEYS, routes!(log_keys::retire))
        .route(LOG, routes!(keys::list))
        .route(KEYS, routes!(keys::rotate))
        .route(KEYS, routes!(keys::compromised))
        .route(LOG, routes!(keys::policy))
        .route(KEYS, routes!(keys::set_policy))
        .route(LOG, routes!(log::witnesses))
        .route(LOG, routes!(log::consistency))
        .route(LOG, routes!(heads::slot))
        // A tile's path has slashes in it, which the description cannot say and the router does with a wildcard.
        .undescribed(
            LOG,
            "/v1/tenants/{tenant}/log/tile/{*tile}",
            &[Method::GET],
            get(log::tile),
        )
        .described(LOG, TileApi::openapi())
        .route(Entry::named(P::SeeTenant, C::Read), routes!(tenants::list))
        .route(Entry::instance(P::CreateTenants, C::Admin), routes!(tenants::put))
        .route(Entry::tenant(P::SeeTenant, C::Read), routes!(tenants::get))
        .route(
            Entry::tenant(P::DestroyTenants, C::Admin).recorded(Recorded::Told),
            routes!(destroyed::destroy),
        )
        .route(Entry::instance(P::ReadSystem, C::Read), routes!(destroyed::list))
        .route(Entry::instance(P::ReadSystem, C::Read), routes!(destroyed::get))
        .route(
            Entry::instance(P::ReadSystem, C::Read),
            routes!(destroyed::receipt),
        )
        .route(
            Entry::tenant(P::Verify, C::Admin),
            routes!(scrub::get, scrub::post),
        )
        .route(
            Entry::tenant(P::Purge, C::Admin).recorded(Recorded::Told),
            routes!(purges::create),
        )
        .route(Entry::tenant(P::SeeTenant, C::Read), routes!(purges::list))
        .route(Entry::tenant(P::SeeTenant, C::Read), routes!(purges::get))
        .route(Entry::tenant(P::SeeTenant, C::Read), routes!(purges::receipt))
        .route(Entry::tenant(P::SeeQuotas, C::Read), routes!(quota::get))
        .route(
            Entry::tenant(P::ManageQuotas, C::Admin).recorded(Recorded::Told),
            routes!(quota::put),
        )
        .route(RULES, routes!(retention::list))
        .route(RULES, routes!(retention::preview))
        .route(RULES, routes!(retention::explain))
        .route(
            Entry::tenant(P::ManageRetention, C::Admin).recorded(Recorded::Told),
            routes!(retention::put),
        )
        .route(RULES, routes!(holds::list))
        .route(RULES, routes!(holds::get))
        .route(HOLDS, routes!(holds::place))
        .route(HOLDS, routes!(holds::release))
        .route(RULES, routes!(approvals::list))
        .route(RULES, routes!(approvals::get))
        .route(RULES, routes!(approvals::get_policy))
        .route(
            Entry::tenant(P::ManageApprovals, C::Admin).recorded(Recorded::Told),
            routes!(approvals::put_policy),
        )
        .route(Entry::tenant(P::Approve, C::Admin), routes!(approvals::approve))
        .route(Entry::tenant(P::Approve, C::Admin), routes!(approvals::refuse))
        .route(Entry::tenant(P::SeeTenant, C::Read), routes!(privacy::get))
        .route(
            Entry::tenant(P::ManagePrivacy, C::Admin).recorded(Recorded::Told),
            routes!(privacy::put),
        )
        .route(
            Entry::tenant(P::ManagePrivacy, C::Read),
            routes!(privacy::versions),
        )
        .route(
            Entry::tenant(P::ManagePrivacy, C::Admin),
            routes!(privacy::proposals),
        )
        .route(CREDENTIALS, routes!(credentials::create))
        .route(CREDENTIALS.recorded(Recorded::Along), routes!(credentials::list))
        .route(CREDENTIALS, routes!(credentials::revoke))
        .route(CREDENTIALS, routes!(credentials::rotate))
        .route(WIDE, routes!(credentials::create_wide))
        .route(WIDE.recorded(Recorded::Along), routes!(credentials::list_wide))
        .route(WIDE.recorded(Recorded::Along), routes!(credentials::get_wide))
        .route(WIDE, routes!(credentials::revoke_wide))
        .route(WIDE, routes!(credentials::rotate_wide))
        .route(
            Entry::tenant(P::ReadAccessLog, C::Search).recorded(Recorded::Along),
            routes!(access_log::get),
        )
        .route(PUBLIC, routes!(operations::livez))
        .route(PUBLIC, routes!(operations::readyz))
        .route(PUBLIC, routes!(unseal::unseal))
        .route(
            Entry::instance(P::SeeStatus, C::Read),
            routes!(operations::status),
        )
        // Before it is in force nothing can be recorded but what the engine records of it.
        .route(
            Entry::instance(P::ConfirmClock, C::Admin).recorded(Recorded::Told),
            routes!(clock::confirm),
        )
        .route(MOVE.recorded(Recorded::Told), routes!(moves::start))
        .route(MOVE.recorded(Recorded::Along), routes!(moves::show))
        .route(MOVE.recorded(Recorded::First), routes!(moves::close))
        .route(MOVE.recorded(Recorded::First), routes!(moves::confirm))
        .route(MOVE.recorded(Recorded::Told), routes!(moves::abort))
        .route(MOVES.recorded(Recorded::First), routes!(moves::invite))
        .route(MOVES.recorded(Recorded::Along), routes!(moves::list))
        .route(MOVES.recorded(Recorded::Along), routes!(moves::get))
        .route(MOVES.recorded(Recorded::First), routes!(moves::import))
        .route(MOVES.recorded(Recorded::Along), routes!(moves::receipt))
        .route(MOVES.recorded(Recorded::Along), routes!(moves::check))
        .route(MOVES.recorded(Recorded::First), routes!(moves::discard))
        .route(
            Entry::instance(P::ManageBackups, C::Admin).recorded(Recorded::First),
            routes!(backups::create),
        )
        .route(Entry::instance(P::ManageBackups, C::Read), routes!(backups::list))
        .route(Entry::instance(P::ManageBackups, C::Read), routes!(backups::get))
        .route(PUBLIC, routes!(operations::show_metrics))
        .route(PUBLIC, routes!(operations::openapi))
        .and(elastic::routes)
}

/// The table of routes: what each needs.
#[must_use]
pub fn table() -> Vec<Row> {
    routes().rows().to_vec()
}

/// The served OpenAPI 3.1 document, as JSON. Its keys are sorted, so that every build and every start gives the same bytes.
///
/// # Panics
/// Never: the description is made of maps with text keys.
#[must_use]
pub fn openapi_json() -> String {
    let routes = routes();
    let rows = routes.rows().to_vec();
    let mut api = routes.into_openapi();
    describe::complete(&mut api, &rows);
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    // A map of serde_json is sorted; those of extensions are not, and change with every start.
    serde_json::to_value(&api)
        .and_then(|api| serde_json::to_string_pretty(&api))
        .expect("a description is JSON")
}

#[derive(OpenApi)]
#[openapi(paths(log::tile))]
struct TileApi;

/// Makes the router over an engine.
pub fn router(engine: Engine, settings: Settings, metrics: Option<PrometheusHandle>) -> Router {
    let app = App(Arc::new(Inner {
        places: Places::new(settings.tails_max, settings.tenant_tails_max),
        signing: tokio::sync::Mutex::default(),
        engine,
        settings,
        metrics,
        openapi: Bytes::from(openapi_json()),
        slots: Slots::default(),
    }));
    routes()
        .into_router(&app)
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(metrics::count))
        .with_state(app)
}

/// A router with one route, `POST /nop`, which reads its body and answers nothing: the floor for load measurements.
pub fn nop_router() -> Router {
    Router::new().route(
        "/nop",
        axum::routing::post(|_body: Bytes| async { StatusCode::CREATED }),
    )
}

async fn unknown_route(method: Method, uri: Uri) -> Response {
    if elastic::is_ours(&uri) {
        return elastic::elsewhere(&method);
    }
    Problem::new(
        StatusCode::NOT_FOUND,
        "route_not_found",
        "there is no such route; GET /openapi.json lists them",
    )
    .into_response()
}

async fn method_not_allowed(uri: Uri) -> Response {
    if elastic::is_ours(&uri) {
        return elastic::answer::Refusal::read_only().into_response();
    }
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "the route knows other methods",
    )
    .into_response()
}

/// Turns refusals of the framework's own extractors into problem documents.
pub(crate) async fn problems_only(response: Response) -> Response {
    let status = response.status();
    let is_ours = response.headers().contains_key(axum::http::header::CONTENT_TYPE)
        && response
            .headers()
            .get(axum::http::header::CONTENT_TYPE)
            .is_some_and(|v| v.as_bytes().starts_with(b"application/"));
    if !(status.is_client_error() || status.is_server_error()) || is_ours {
        return response;
    }
    let code = if status == StatusCode::BAD_REQUEST {
        "invalid_request"
    } else {
        "refused"
    };
    let body = axum::body::to_bytes(response.into_body(), 4096)
        .await
        .unwrap_or_default();
    let detail = String::from_utf8_lossy(&body).into_owned();
    Problem::new(status, code, detail).into_response()
}
