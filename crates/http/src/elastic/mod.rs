//! Other people's clients: enough of Elasticsearch's API, read-only, for its Python client, OpenSearch's, and Grafana's data
//! sources for Elasticsearch and Quickwit.
//!
//! | module | what |
//! |---|---|
//! | `root` | version, health |
//! | `index` | names and patterns: an index is a tenant that the caller may read |
//! | `search`, `request`, `run`, `hits` | `_search` and its kin: read, run, answered |
//! | `dsl`, `dates`, `sort`, `source`, `highlight` | parts of a request |
//! | `aggs` | aggregations, there and back |
//! | `mapping`, `cat`, `documents` | fields, lists, single records |
//! | `quickwit` | what Quickwit's data source asks besides |
//!
//! Everything is translated into the native search, which holds permissions, limits and deadlines. What has no translation is
//! refused by name. These routes are not in `openapi.json`: their description is Elasticsearch's own, as far as
//! `docs/elasticsearch.md` says.

mod aggs;
pub mod answer;
mod cat;
mod dates;
mod documents;
mod dsl;
mod glob;
mod highlight;
mod hits;
mod index;
mod mapping;
mod members;
mod params;
mod quickwit;
mod request;
pub mod root;
mod run;
mod search;
mod sort;
mod source;
mod token;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};

use crate::server::App;
use answer::Refusal;

/// The routes.
pub fn router() -> Router<App> {
    let mut router = Router::new()
        .route("/es/", get(root::root))
        .route(
            "/es/_search/scroll",
            read(search::scroll).merge(delete(search::free)),
        )
        .route("/es/_pit", delete(search::free))
        .route("/es/_search/point_in_time", delete(search::free))
        .route("/es/{index}/_pit", post(search::open_pit))
        .route("/es/{index}/_search/point_in_time", post(search::open_pit))
        .route("/es/{index}/_doc/{id}", get(documents::get))
        .route("/es/{index}/_source/{id}", get(documents::source))
        .route("/es/_cluster/health", get(root::health))
        .route("/es/_cluster/health/{index}", get(root::health))
        .route("/es/_cat/indices", get(cat::indices))
        .route("/es/_cat/indices/{index}", get(cat::indices))
        .route("/es/_resolve/index/{index}", get(mapping::resolve))
        .route("/es/{index}", get(mapping::index))
        .route("/api/v1/indexes", get(quickwit::indexes))
        .route("/api/v1/indexes/{index}", get(quickwit::index));
    // With and without an index, and for Quickwit's data source too.
    for base in [
        "/es",
        "/es/{index}",
        "/api/v1/_elastic",
        "/api/v1/_elastic/{index}",
    ] {
        let mut add = |name: &str, methods: MethodRouter<App>| {
            router = std::mem::take(&mut router).route(&format!("{base}/{name}"), methods);
        };
        add("_search", read(search::search));
        add("_msearch", read(search::msearch));
        add("_count", read(search::count));
        add("_field_caps", read(mapping::field_caps));
        add("_mapping", get(mapping::mapping));
        if base.starts_with("/es") {
            add("_mappings", get(mapping::mapping));
            add("_mget", read(documents::several));
            add("_settings", get(mapping::settings));
            add("_alias", get(mapping::aliases));
            add("_aliases", get(mapping::aliases));
        }
    }
    router.layer(middleware::from_fn(answer::media_type))
}

/// Searches are read with a body, which some clients send by `GET` and some by `POST`.
fn read<H, T>(handler: H) -> MethodRouter<App>
where
    H: axum::handler::Handler<T, App>,
    T: 'static,
{
    get(handler.clone()).post(handler)
}

/// Whether a path is one of other people's clients.
pub fn is_ours(uri: &Uri) -> bool {
    ["/es/", "/api/v1/"]
        .iter()
        .any(|base| uri.path().starts_with(base))
        || uri.path() == "/es"
}

/// What is answered where there is no route, or none for the method.
pub fn elsewhere(method: &Method) -> Response {
    let reads = [Method::GET, Method::HEAD].contains(method);
    match reads {
        true => Refusal::new(
            StatusCode::BAD_REQUEST,
            "illegal_argument_exception",
            format!("no handler found for this uri and method [{method}]"),
        ),
        false => Refusal::read_only(),
    }
    .into_response()
}

#[cfg(test)]
mod tests;
