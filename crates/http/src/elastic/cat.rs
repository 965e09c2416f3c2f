//! `_cat/indices`.

use attestore_engine::tenant::TenantInfo;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::answer::{Json, PRODUCT, Refusal};
use super::index::{self, Names};
use super::params::Params;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;

/// Columns with their short names; those that are shown unless others are asked for come first.
const COLUMNS: [(&str, &[&str]); 12] = [
    ("health", &["h"]),
    ("status", &["s"]),
    ("index", &["i", "idx"]),
    ("uuid", &["id"]),
    ("pri", &["p", "shards.primary", "shardsPrimary"]),
    ("rep", &["r", "shards.replica", "shardsReplica"]),
    ("docs.count", &["dc", "docsCount"]),
    ("docs.deleted", &["dd", "docsDeleted"]),
    ("store.size", &["ss", "storeSize"]),
    ("pri.store.size", &[]),
    ("creation.date", &["cd"]),
    ("creation.date.string", &["cds"]),
];
const SHOWN: usize = 10;

/// `_cat/indices`, as text or JSON.
pub async fn indices(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = caller?;
    params.allow(&[
        "format",
        "h",
        "v",
        "s",
        "bytes",
        "time",
        "health",
        "pri",
        "include_unloaded_segments",
    ])?;
    let columns = columns(&params)?;
    if params
        .get("s")
        .is_some_and(|by| !["index", "i", "index:asc"].contains(&by))
    {
        return Err(Refusal::argument("indices are sorted by [index] only"));
    }
    let tenants = index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await?;
    let green = app.engine().ready().is_ok();
    let health = if green { "green" } else { "red" };
    let fits = params.get("health").is_none_or(|wanted| wanted == health);
    let tenants: Vec<TenantInfo> = tenants.into_iter().filter(|_| fits).collect();
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let json = match params.get("format") {
        Some("json") => true,
        Some("text" | "txt") => false,
        Some(_) => return Err(Refusal::argument("[format] is json or text")),
        None => accepts.starts_with("application/"),
    };
    if json {
        let rows = tenants.iter().map(|info| {
            let row = columns
                .iter()
                .map(|column| ((*column).to_owned(), cell(info, health, column)));
            Value::Object(row.collect::<Map<_, _>>())
        });
        return Ok(Json(rows.collect::<Vec<_>>()).into_response());
    }
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let mut rows: Vec<Vec<String>> = Vec::new();
    if params.flag("v") {
        rows.push(columns.iter().map(|column| (*column).to_owned()).collect());
    }
    rows.extend(tenants.iter().map(|info| {
        let row = columns.iter().map(|column| text(cell(info, health, column)));
        row.collect()
    }));
    let plain = [
        PRODUCT,
        (
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/plain; charset=UTF-8"),
        ),
    ];
    Ok((StatusCode::OK, plain, table(&rows)).into_response())
}

fn columns(params: &Params) -> Result<Vec<&'static str>, Refusal> {
    let Some(wanted) = params.list("h") else {
        return Ok(COLUMNS.iter().take(SHOWN).map(|(name, _)| *name).collect());
    };
    let named = |wanted: &str| {
        let found = COLUMNS
            .iter()
            .find(|(name, short)| *name == wanted || short.contains(&wanted));
        found
            .map(|(name, _)| *name)
            .ok_or_else(|| Refusal::argument(format!("there is no column [{wanted}]")))
    };
    wanted.into_iter().map(named).collect()
}

fn cell(info: &TenantInfo, health: &str, column: &str) -> Value {
    Value::from(match column {
        "health" => health.to_owned(),
        "status" => "open".to_owned(),
        "index" => info.name.clone(),
        "uuid" => info.id.clone(),
        "pri" => "1".to_owned(),
        "rep" | "docs.deleted" => "0".to_owned(),
        "docs.count" => info.size.to_string(),
        "creation.date" => info.created_ms.to_string(),
        "creation.date.string" => crate::wire::rfc3339_ms(info.created_ms),
        // Tenants share files.
        _ => return Value::Null,
    })
}

fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        out.push_str(cells.collect::<Vec<_>>().join(" ").trim_end());
        out.push('\n');
    }
    out
}
