//! Indices: each is a tenant that the caller may read.

use std::convert::Infallible;

use attestore_engine::tenant::TenantInfo;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::answer::Refusal;
use super::glob::glob;
use crate::guard::{Caller, TENANTS_MAX};
use crate::server::App;
use crate::wire;

/// Tenants that are looked at for a pattern.
const LOOKED_AT_MAX: usize = 100_000;
const PAGE: usize = 1000;

/// The index names of a request as they were written: a list with patterns; `*` when there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(String);

impl Names {
    /// Names out of a body.
    pub fn new(names: &str) -> Self {
        match names.trim() {
            "" | "_all" => Self("*".to_owned()),
            names => Self(names.to_owned()),
        }
    }

    /// No index in particular.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    fn each(&self) -> impl Iterator<Item = &str> {
        self.0.split(',').map(str::trim).filter(|name| !name.is_empty())
    }
}

impl<T: Send + Sync> FromRequestParts<T> for Names {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &T) -> Result<Self, Infallible> {
        let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
            return Ok(Self::new(""));
        };
        let name = params.iter().find(|(name, _)| *name == "index");
        Ok(Self::new(name.map_or("", |(_, value)| value)))
    }
}

/// The tenants that names stand for and the caller may read, by name: each is noted as read. Patterns leave out names that
/// begin with `_` or `.` unless they do so too, and what the caller may not read.
///
/// # Errors
/// 404 for a name that is not there, or that the caller may not know of; with `lenient`, only if all are. 403 without the
/// role. 400 for more than [`TENANTS_MAX`], before any is noted.
pub async fn readable(
    app: &App,
    caller: &Caller,
    names: &Names,
    lenient: bool,
) -> Result<Vec<TenantInfo>, Refusal> {
    let mut plain: Vec<&str> = Vec::new();
    let mut matched: Vec<TenantInfo> = Vec::new();
    for name in names.each() {
        if name.contains('*') || name == "_all" {
            let pattern = if name == "_all" { "*" } else { name };
            for info in matching(app, caller, pattern).await? {
                if matched.iter().all(|known| known.name != info.name) {
                    matched.push(info);
                }
            }
        } else if !plain.contains(&name) {
            plain.push(name);
        }
        matched.retain(|info| !plain.contains(&info.name.as_str()));
        if plain.len() + matched.len() > TENANTS_MAX {
            return Err(Refusal::argument(format!(
                "too_many_indices: the names stand for more than {TENANTS_MAX} indices"
            )));
        }
    }
    let mut found: Vec<TenantInfo> = Vec::new();
    let mut missing = None;
    for name in plain {
        match named(app, caller, name).await {
            Ok(info) => found.push(info),
            Err(refusal) if refusal.status() == 404 => {
                missing.get_or_insert(refusal);
            }
            Err(refusal) => return Err(refusal),
        }
    }
    match missing {
        Some(refusal) if !lenient || (found.is_empty() && matched.is_empty()) => return Err(refusal),
        _ => {}
    }
    for info in matched {
        caller.on(&info.name)?;
        found.push(info);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The one tenant that names stand for.
///
/// # Errors
/// As [`readable`], and 400 for several: their records have no common order.
pub async fn one(app: &App, caller: &Caller, names: &Names, lenient: bool) -> Result<TenantInfo, Refusal> {
    let mut found = readable(app, caller, names, lenient).await?;
    match (found.pop(), found.len()) {
        (Some(info), 0) => Ok(info),
        (None, _) => Err(Refusal::no_index(&names.0)),
        (Some(_), others) => Err(Refusal::argument(format!(
            "the names stand for {} indices: a search goes through one, name it",
            others + 1
        ))),
    }
}

async fn named(app: &App, caller: &Caller, name: &str) -> Result<TenantInfo, Refusal> {
    caller
        .on(name)
        .map_err(|problem| Refusal::from(problem).of_index(name))?;
    let engine = app.engine().clone();
    let tenant = name.to_owned();
    let info = wire::blocking(move || engine.tenant(&tenant)).await;
    info.map_err(|problem| Refusal::from(problem).of_index(name))
}

/// What a pattern stands for: nothing is noted of it yet.
async fn matching(app: &App, caller: &Caller, pattern: &str) -> Result<Vec<TenantInfo>, Refusal> {
    let fits = |name: &str| {
        let hidden = name.starts_with(['_', '.']) && !pattern.starts_with(['_', '.']);
        !hidden && glob(pattern, name) && caller.sees(name)
    };
    let engine = app.engine().clone();
    let mut found: Vec<TenantInfo> = Vec::new();
    if let Some(own) = caller.principal.tenants.names() {
        let own: Vec<_> = own.iter().filter(|name| fits(name)).cloned().collect();
        let infos = move || own.iter().map(|name| engine.tenant(name)).collect();
        found = wire::blocking(infos).await?;
        if found.is_empty() {
            caller.somewhere()?;
        }
        return Ok(found);
    }
    let mut after: Option<String> = None;
    for _ in 0..LOOKED_AT_MAX / PAGE {
        let engine = engine.clone();
        let from = after.clone();
        let page = wire::blocking(move || engine.tenants(from.as_deref(), PAGE)).await?;
        let last = page.len() < PAGE;
        after = page.last().map(|info| info.name.clone());
        found.extend(page.into_iter().filter(|info| fits(&info.name)));
        if last || found.len() > TENANTS_MAX {
            if found.is_empty() {
                caller.somewhere()?;
            }
            return Ok(found);
        }
    }
    Err(Refusal::argument(
        "there are too many indices to look for a pattern",
    ))
}
