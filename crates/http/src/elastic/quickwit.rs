//! What Quickwit's data source for Grafana asks besides searches: the indices and their fields.
//!
//! Its searches are Elasticsearch's, under `/api/v1/_elastic/`.

use attestore_engine::search::FieldHolds;
use attestore_engine::tenant::TenantInfo;
use axum::extract::State;
use serde_json::{Value, json};

use super::answer::{Answered, Json, Refusal};
use super::index::{self, Names};
use super::mapping::{Mapped, mapped};
use super::params::Params;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;

/// Version of the shapes here.
const VERSION: &str = "0.8";

/// `/api/v1/indexes`, all or those of patterns.
pub async fn indexes(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    params: Params,
) -> Answered<Vec<Value>> {
    let caller = caller?;
    params.allow(&["index_id_patterns", "index_id_pattern"])?;
    let patterns = params.get("index_id_patterns").or(params.get("index_id_pattern"));
    let names = Names::new(patterns.unwrap_or("*"));
    let mut all = Vec::new();
    for info in index::readable(&app, &caller, &names, false).await? {
        all.push(metadata(&app, &caller, &info).await?);
    }
    Ok(Json(all))
}

/// `/api/v1/indexes/{index}`.
pub async fn index(
    State(app): State<App>,
    caller: Result<Caller, Problem>,
    names: Names,
    params: Params,
) -> Answered<Value> {
    let caller = caller?;
    params.allow(&[])?;
    let info = index::one(&app, &caller, &names, false).await?;
    Ok(Json(metadata(&app, &caller, &info).await?))
}

async fn metadata(app: &App, caller: &Caller, info: &TenantInfo) -> Result<Value, Refusal> {
    let fields = mapped(app, &caller.principal, &info.name).await?;
    let own = fields.iter().filter(|(name, field)| **name == field.path);
    let mut tree = Tree::default();
    for (name, field) in own {
        tree.insert(name, field);
    }
    Ok(json!({
        "version": VERSION,
        "index_uid": format!("{}:{}", info.name, info.id),
        "index_config": {
            "version": VERSION,
            "index_id": info.name,
            "index_uri": "",
            "doc_mapping": {
                "mode": "dynamic", "timestamp_field": "@timestamp", "field_mappings": tree.mappings(),
                "tag_fields": [], "store_source": true, "index_field_presence": true,
            },
            "search_settings": {"default_search_fields": ["message"]},
        },
        "checkpoint": {},
        "create_timestamp": info.created_ms / 1000,
        "sources": [],
    }))
}

/// Fields by the parts of their names.
#[derive(Default)]
struct Tree {
    leaves: Vec<Value>,
    below: Vec<(String, Tree)>,
}

impl Tree {
    fn insert(&mut self, name: &str, field: &Mapped) {
        let Some((first, rest)) = name.split_once('.') else {
            self.leaves.push(leaf(name, field));
            return;
        };
        let place = match self.below.iter().position(|(known, _)| known == first) {
            Some(place) => place,
            None => {
                self.below.push((first.to_owned(), Self::default()));
                self.below.len() - 1
            }
        };
        if let Some((_, tree)) = self.below.get_mut(place) {
            tree.insert(rest, field);
        }
    }

    /// Plain fields come first, and of them the time: the data source looks no further than the first object.
    fn mappings(&self) -> Vec<Value> {
        let objects = self
            .below
            .iter()
            .map(|(name, tree)| json!({"name": name, "type": "object", "field_mappings": tree.mappings()}));
        self.leaves.iter().cloned().chain(objects).collect()
    }
}

fn leaf(name: &str, field: &Mapped) -> Value {
    match field.holds {
        FieldHolds::Times => json!({
            "name": name, "type": "datetime", "input_formats": ["rfc3339"], "output_format": "rfc3339",
            "fast_precision": "milliseconds", "fast": field.column, "stored": true, "indexed": true,
        }),
        FieldHolds::Numbers => {
            json!({"name": name, "type": "u64", "fast": field.column, "stored": true, "indexed": true})
        }
        FieldHolds::Addresses => {
            json!({"name": name, "type": "ip", "fast": field.column, "stored": true, "indexed": true})
        }
        FieldHolds::Words => json!({
            "name": name, "type": "text", "tokenizer": "default", "record": "position", "fast": false, "stored": false,
            "indexed": true,
        }),
        FieldHolds::Strings => json!({
            "name": name, "type": "text", "tokenizer": "raw", "record": "basic", "fast": field.column, "stored": true,
            "indexed": true,
        }),
    }
}
