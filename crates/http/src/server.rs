//! The router, and what every route can reach. Connections are served by [`crate::serve`].

use std::sync::Arc;
use std::time::Duration;

use attestore_engine::Engine;
use attestore_limit::Trusted;
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::body;
use crate::elastic;
use crate::metrics;
use crate::places::Places;
use crate::problem::Problem;
use crate::routes::{
    append, credentials, events, exports, index, log, operations, search, searches, tail, tenants, watch,
};
use crate::senders::{bulk, cloudevents, otlp};
use crate::slots::Slots;

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
    /// Where webhooks may go beyond the internet.
    pub webhooks: attestore_webhook::Allowed,
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
            webhooks: attestore_webhook::Allowed::default(),
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

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(append::append, events::search))
        .routes(routes!(events::get))
        .routes(routes!(events::proof))
        .routes(routes!(search::search))
        .routes(routes!(tail::tail))
        .routes(routes!(searches::create, searches::list))
        .routes(routes!(searches::get, searches::put, searches::delete))
        .routes(routes!(searches::run))
        .routes(routes!(watch::put, watch::get, watch::delete))
        .routes(routes!(watch::dead))
        .routes(routes!(watch::redeliver))
        .routes(routes!(watch::delete_dead))
        .routes(routes!(otlp::logs))
        .routes(routes!(otlp::tenant_logs))
        .routes(routes!(cloudevents::receive))
        .routes(routes!(elastic::root::root))
        .routes(routes!(bulk::bulk))
        .routes(routes!(bulk::bulk_index))
        .routes(routes!(index::get, index::put))
        .routes(routes!(exports::create, exports::list))
        .routes(routes!(exports::get, exports::delete))
        .routes(routes!(exports::cancel))
        .routes(routes!(exports::resume))
        .routes(routes!(exports::manifest))
        .routes(routes!(exports::file))
        .routes(routes!(log::checkpoint))
        .routes(routes!(log::vkey))
        .routes(routes!(log::consistency))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::put, tenants::get))
        .routes(routes!(credentials::create, credentials::list))
        .routes(routes!(credentials::revoke))
        .routes(routes!(operations::livez))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::status))
        .routes(routes!(operations::show_metrics))
        .routes(routes!(operations::openapi))
}

/// The served OpenAPI 3.1 document, as JSON.
#[must_use]
pub fn openapi_json() -> String {
    let mut api = described().into_openapi();
    // A tile's path has slashes in it, which the description cannot say and the router does with a wildcard.
    api.merge(TileApi::openapi());
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    api.to_pretty_json().unwrap_or_default()
}

#[derive(OpenApi)]
#[openapi(paths(log::tile))]
struct TileApi;

/// Makes the router over an engine.
pub fn router(engine: Engine, settings: Settings, metrics: Option<PrometheusHandle>) -> Router {
    let app = App(Arc::new(Inner {
        places: Places::new(settings.tails_max, settings.tenant_tails_max),
        engine,
        settings,
        metrics,
        openapi: Bytes::from(openapi_json()),
        slots: Slots::default(),
    }));
    let (router, _) = described().split_for_parts();
    router
        .route(
            "/v1/tenants/{tenant}/log/tile/{*tile}",
            axum::routing::get(log::tile),
        )
        // Clients differ in the slash and in the method.
        .route("/es/_bulk", axum::routing::put(bulk::bulk))
        .route("/es/{index}/_bulk", axum::routing::put(bulk::bulk_index))
        .merge(elastic::router())
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
