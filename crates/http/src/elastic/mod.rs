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

use attestore_engine::Permission;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};

use crate::guard::{Entry, RouteClass, Routes};
use crate::server::App;
use answer::Refusal;

/// The routes.
pub fn routes(routes: Routes) -> Routes {
    const GET: &[Method] = &[Method::GET];
    const POST: &[Method] = &[Method::POST];
    const DELETE: &[Method] = &[Method::DELETE];
    const BOTH: &[Method] = &[Method::GET, Method::POST];
    const SEES: Entry = Entry::named(Permission::SeeTenant, RouteClass::Read).elastic();
    const READS: Entry = Entry::named(Permission::Read, RouteClass::Read).elastic();
    const LOOKS: Entry = Entry::named(Permission::Search, RouteClass::Read).elastic();
    const SEARCHES: Entry = Entry::named(Permission::Search, RouteClass::Search).elastic();
    let mut routes = routes
        .undescribed(SEES, "/es/", GET, get(root::root))
        .undescribed(SEARCHES, "/es/_search/scroll", BOTH, read(search::scroll))
        .undescribed(LOOKS, "/es/_search/scroll", DELETE, delete(search::free))
        .undescribed(LOOKS, "/es/_pit", DELETE, delete(search::free))
        .undescribed(LOOKS, "/es/_search/point_in_time", DELETE, delete(search::free))
        .undescribed(LOOKS, "/es/{index}/_pit", POST, post(search::open_pit))
        .undescribed(
            LOOKS,
            "/es/{index}/_search/point_in_time",
            POST,
            post(search::open_pit),
        )
        .undescribed(READS, "/es/{index}/_doc/{id}", GET, get(documents::get))
        .undescribed(READS, "/es/{index}/_source/{id}", GET, get(documents::source))
        .undescribed(SEES, "/es/_cluster/health", GET, get(root::health))
        .undescribed(SEES, "/es/_cluster/health/{index}", GET, get(root::health))
        .undescribed(LOOKS, "/es/_cat/indices", GET, get(cat::indices))
        .undescribed(LOOKS, "/es/_cat/indices/{index}", GET, get(cat::indices))
        .undescribed(LOOKS, "/es/_resolve/index/{index}", GET, get(mapping::resolve))
        .undescribed(LOOKS, "/es/{index}", GET, get(mapping::index))
        .undescribed(LOOKS, "/api/v1/indexes", GET, get(quickwit::indexes))
        .undescribed(LOOKS, "/api/v1/indexes/{index}", GET, get(quickwit::index));
    // With and without an index, and for Quickwit's data source too.
    for base in [
        "/es",
        "/es/{index}",
        "/api/v1/_elastic",
        "/api/v1/_elastic/{index}",
    ] {
        let mut add = |entry: Entry, name: &str, known: &[Method], methods: MethodRouter<App>| {
            let (before, path) = (std::mem::take(&mut routes), format!("{base}/{name}"));
            routes = before.undescribed(entry, &path, known, methods);
        };
        add(SEARCHES, "_search", BOTH, read(search::search));
        add(SEARCHES, "_msearch", BOTH, read(search::msearch));
        add(SEARCHES, "_count", BOTH, read(search::count));
        add(LOOKS, "_field_caps", BOTH, read(mapping::field_caps));
        add(LOOKS, "_mapping", GET, get(mapping::mapping));
        if base.starts_with("/es") {
            add(LOOKS, "_mappings", GET, get(mapping::mapping));
            add(READS, "_mget", BOTH, read(documents::several));
            add(LOOKS, "_settings", GET, get(mapping::settings));
            add(LOOKS, "_alias", GET, get(mapping::aliases));
            add(LOOKS, "_aliases", GET, get(mapping::aliases));
        }
    }
    routes.around(|router| router.layer(middleware::from_fn(answer::media_type)))
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
