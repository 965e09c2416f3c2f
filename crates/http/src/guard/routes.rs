//! The only way to a route.
//!
//! A handler gets its path together with an [`Entry`]: there is no call that takes a route without one, and the router inside
//! is handed out only when it is complete. The same rows make the table of routes and mark the API description.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::Method;
use axum::middleware;
use axum::routing::MethodRouter;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{OpenApi, Paths};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::entry::Entry;
use super::gate::{Gate, pass};
use crate::server::App;

/// Routes with their entries.
#[derive(Default)]
pub struct Routes {
    router: OpenApiRouter<App>,
    app: Arc<OnceLock<App>>,
    rows: Vec<Row>,
}

/// A row of the table of routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The method.
    pub method: Method,
    /// The path's template.
    pub path: String,
    /// What it needs.
    pub entry: Entry,
    /// Whether the API description has it.
    pub described: bool,
}

impl Routes {
    /// None yet, under the head of an API description.
    pub fn new(head: OpenApi) -> Self {
        Self {
            router: OpenApiRouter::with_openapi(head),
            app: Arc::default(),
            rows: Vec::new(),
        }
    }

    /// Adds one handler that describes itself, or several methods of one path with the same entry.
    #[must_use]
    pub fn route(mut self, entry: Entry, (schemas, mut paths, methods): UtoipaMethodRouter<App>) -> Self {
        mark(&mut paths, entry, &mut self.rows);
        let methods = methods.route_layer(middleware::from_fn_with_state(self.gate(entry), pass));
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    /// Adds a route that the description leaves out, because it belongs to other people's clients or cannot be described.
    #[must_use]
    pub fn undescribed(
        mut self,
        entry: Entry,
        path: &str,
        known: &[Method],
        methods: MethodRouter<App>,
    ) -> Self {
        let rows = known.iter().map(|method| Row {
            method: method.clone(),
            path: path.to_owned(),
            entry,
            described: false,
        });
        self.rows.extend(rows);
        let methods = methods.route_layer(middleware::from_fn_with_state(self.gate(entry), pass));
        self.router = self.router.route(path, methods);
        self
    }

    /// Adds the paths of handlers that are routed by [`Routes::undescribed`] to the description.
    #[must_use]
    pub fn described(mut self, entry: Entry, mut api: OpenApi) -> Self {
        mark(&mut api.paths, entry, &mut Vec::new());
        self.router.get_openapi_mut().merge(api);
        self
    }

    /// Puts a layer around the routes so far.
    #[must_use]
    pub fn around(mut self, wrap: impl FnOnce(OpenApiRouter<App>) -> OpenApiRouter<App>) -> Self {
        self.router = wrap(self.router);
        self
    }

    /// Adds the routes of another list.
    #[must_use]
    pub fn and(mut self, others: impl FnOnce(Self) -> Self) -> Self {
        let head = Self {
            router: OpenApiRouter::new(),
            app: Arc::clone(&self.app),
            rows: std::mem::take(&mut self.rows),
        };
        let others = others(head);
        self.router = self.router.merge(others.router);
        self.rows = others.rows;
        self
    }

    /// The table.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The description.
    pub fn into_openapi(self) -> OpenApi {
        self.router.into_openapi()
    }

    /// The router. Its gates ask this `app`.
    pub fn into_router(self, app: &App) -> Router<App> {
        // Set once: the router is handed out only here.
        let _ = self.app.set(app.clone());
        self.router.split_for_parts().0
    }

    fn gate(&self, entry: Entry) -> Gate {
        Gate {
            app: Arc::clone(&self.app),
            entry,
        }
    }
}

/// Says in the description what the operations need, and adds their rows.
fn mark(paths: &mut Paths, entry: Entry, rows: &mut Vec<Row>) {
    for (path, item) in &mut paths.paths {
        for (method, operation) in operations(item) {
            let mark = ExtensionsBuilder::new().add("x-attestore-permission", entry.permission_name());
            operation.extensions.get_or_insert_default().merge(mark.build());
            rows.push(Row {
                method,
                path: path.clone(),
                entry,
                described: true,
            });
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
