//! The fields of an index: `_mapping`, `_field_caps`, and the index itself.
//!
//! Listed are the fields that queries know, under their own names and those of ECS, and the paths that the index policy
//! lists. Fields that tell who a person is are left out for callers that do not see personal values.

use std::collections::BTreeMap;
use std::sync::Arc;

use attestore_engine::Principal;
use attestore_engine::search::{FieldHolds, fields};
use attestore_engine::tenant::TenantInfo;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::answer::{Answered, Json, Refusal, answer};
use super::glob::glob;
use super::index::{self, Names};
use super::params::Params;
use super::search::read;
use super::source::patterns;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

const BODY_BYTES_MAX: usize = 64 << 10;

/// Fields by which people are known. Others, as `actor.id`, name machines as well, and show `[personal]` where they do not.
const ABOUT_PEOPLE: [&str; 11] = [
    "actor.credential_id",
    "actor.email",
    "actor.name",
    "actor.on_behalf_of.email",
    "actor.on_behalf_of.id",
    "actor.on_behalf_of.name",
    "context.host",
    "context.ip",
    "context.session_id",
    "context.user_agent",
    "data_subjects.id",
];

/// A field as an index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Where the values are.
    pub path: String,
    /// What they are.
    pub holds: FieldHolds,
    /// It can be sorted and aggregated by.
    pub column: bool,
}

impl Mapped {
    /// The type that Elasticsearch has for it.
    pub const fn kind(&self) -> &'static str {
        match self.holds {
            FieldHolds::Strings => "keyword",
            FieldHolds::Words => "text",
            FieldHolds::Numbers => "long",
            FieldHolds::Times => "date",
            FieldHolds::Addresses => "ip",
        }
    }
}

/// The fields of a tenant by all their names.
///
/// # Errors
/// As reading the index policy.
pub async fn mapped(
    app: &App,
    by: &Arc<Principal>,
    index: &str,
) -> Result<BTreeMap<String, Mapped>, Refusal> {
    let personal = by.may_see_personal();
    let mut all = BTreeMap::new();
    for field in fields() {
        if personal || !ABOUT_PEOPLE.contains(&field.path) {
            let mapped = Mapped {
                path: field.path.to_owned(),
                holds: field.holds,
                column: field.column,
            };
            all.insert(field.name.to_owned(), mapped);
        }
    }
    let (engine, principal, tenant) = (app.engine().clone(), Arc::clone(by), index.to_owned());
    let policy = wire::blocking(move || engine.index_policy(&tenant, &principal)).await?;
    for path in policy.paths {
        // A payload belongs to all whom its record is about.
        if personal || !path.starts_with("payload.") {
            let mapped = Mapped {
                path: path.clone(),
                holds: FieldHolds::Strings,
                column: true,
            };
            all.insert(path, mapped);
        }
    }
    Ok(all)
}

/// `_mapping`.
pub async fn mapping(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&[])?;
    let mut all = Map::new();
    for info in index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await? {
        let mappings = properties(&mapped(&app, &caller.principal, &info.name).await?);
        all.insert(info.name, json!({"mappings": mappings}));
    }
    Ok(Json(Value::Object(all)))
}

/// The names as a tree. Names above which others stand are left out: they are objects there.
fn properties(fields: &BTreeMap<String, Mapped>) -> Value {
    let mut root = Map::new();
    for (name, field) in fields {
        let below = format!("{name}.");
        let is_object = fields
            .range(below.clone()..)
            .next()
            .is_some_and(|(next, _)| next.starts_with(&below));
        if is_object {
            continue;
        }
        let leaf = match name == &field.path {
            true if field.column || field.holds == FieldHolds::Words => json!({"type": field.kind()}),
            true => json!({"type": field.kind(), "doc_values": false}),
            false => json!({"type": "alias", "path": field.path}),
        };
        insert(&mut root, name, leaf);
    }
    json!({"properties": root})
}

fn insert(properties: &mut Map<String, Value>, name: &str, leaf: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        properties.insert(name.to_owned(), leaf);
        return;
    };
    let object = properties
        .entry(first)
        .or_insert_with(|| json!({"properties": {}}));
    if let Some(inner) = object.get_mut("properties").and_then(Value::as_object_mut) {
        insert(inner, rest, leaf);
    }
}

/// `_field_caps`.
pub async fn field_caps(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&[
        "fields",
        "include_unmapped",
        "filters",
        "types",
        "include_empty_fields",
    ])?;
    let bytes = read(&app, &headers, body, BODY_BYTES_MAX).await?;
    let body: Map<String, Value> = wire::document(&bytes, "invalid_json")?;
    if let Some(name) = body.keys().find(|name| *name != "fields") {
        return Err(Refusal::parsing(format!("_field_caps does not support [{name}]")));
    }
    let wanted = match (body.get("fields"), params.list("fields")) {
        (Some(list), _) => patterns(list).ok_or_else(|| Refusal::parsing("[fields] are patterns"))?,
        (None, Some(list)) => list.into_iter().map(str::to_owned).collect(),
        (None, None) => vec!["*".to_owned()],
    };
    let mut indices = Vec::new();
    let mut fields = Map::new();
    for info in index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await? {
        for (name, field) in mapped(&app, &caller.principal, &info.name).await? {
            if wanted.iter().any(|pattern| glob(pattern, &name)) {
                let kind = field.kind();
                let caps = json!({
                    "type": kind, "metadata_field": false, "searchable": true, "aggregatable": field.column
                });
                fields.insert(name, json!({kind: caps}));
            }
        }
        indices.push(info.name);
    }
    if wanted.iter().any(|pattern| glob(pattern, "_id")) && !indices.is_empty() {
        let caps = json!({"type": "_id", "metadata_field": true, "searchable": true, "aggregatable": false});
        fields.insert("_id".to_owned(), json!({"_id": caps}));
    }
    Ok(Json(json!({"indices": indices, "fields": fields})))
}

/// An index: `GET` for mapping and settings, `HEAD` for whether it is there.
pub async fn index(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    method: Method,
    names: Names,
    params: Params,
) -> Result<Response, Refusal> {
    let caller = caller?;
    params.allow(&[])?;
    let tenants = index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await?;
    if method == Method::HEAD {
        return Ok(match tenants.is_empty() {
            true => answer(StatusCode::NOT_FOUND, &json!({})),
            false => answer(StatusCode::OK, &json!({})),
        });
    }
    let mut all = Map::new();
    for info in tenants {
        let mappings = properties(&mapped(&app, &caller.principal, &info.name).await?);
        let body = json!({"aliases": {}, "mappings": mappings, "settings": settings_of(&info)});
        all.insert(info.name, body);
    }
    Ok(Json(Value::Object(all)).into_response())
}

/// `_settings`.
pub async fn settings(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&[])?;
    let tenants = index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await?;
    let each = tenants
        .iter()
        .map(|info| (info.name.clone(), json!({"settings": settings_of(info)})));
    Ok(Json(Value::Object(each.collect())))
}

/// `_alias`: there are none.
pub async fn aliases(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&[])?;
    let tenants = index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await?;
    let each = tenants
        .into_iter()
        .map(|info| (info.name, json!({"aliases": {}})));
    Ok(Json(Value::Object(each.collect())))
}

/// `_resolve/index`.
pub async fn resolve(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&[])?;
    let tenants = index::readable(&app, &caller, &names, params.flag("ignore_unavailable")).await?;
    let each = tenants
        .into_iter()
        .map(|info| json!({"name": info.name, "attributes": ["open"]}));
    Ok(Json(
        json!({"indices": each.collect::<Vec<_>>(), "aliases": [], "data_streams": []}),
    ))
}

fn settings_of(info: &TenantInfo) -> Value {
    json!({"index": {
        "creation_date": info.created_ms.to_string(), "number_of_shards": "1", "number_of_replicas": "0",
        "uuid": info.id, "provided_name": info.name, "blocks": {"write": "false", "read_only_allow_delete": "false"},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_tree_with_aliases_where_they_are_no_objects() {
        let field = |path: &str, holds, column| Mapped {
            path: path.to_owned(),
            holds,
            column,
        };
        let fields = BTreeMap::from([
            ("actor".to_owned(), field("actor.id", FieldHolds::Strings, true)),
            (
                "actor.id".to_owned(),
                field("actor.id", FieldHolds::Strings, true),
            ),
            (
                "actor.name".to_owned(),
                field("actor.name", FieldHolds::Strings, false),
            ),
            (
                "source.ip".to_owned(),
                field("context.ip", FieldHolds::Addresses, true),
            ),
            (
                "@timestamp".to_owned(),
                field("@timestamp", FieldHolds::Times, true),
            ),
        ]);
        let expected = json!({"properties": {
            "@timestamp": {"type": "date"},
            "actor": {"properties": {
                "id": {"type": "keyword"},
                "name": {"type": "keyword", "doc_values": false},
            }},
            "source": {"properties": {"ip": {"type": "alias", "path": "context.ip"}}},
        }});
        assert_eq!(properties(&fields), expected);
    }
}
