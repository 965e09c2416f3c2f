//! Indices: each is a tenant that the caller may read.

use std::convert::Infallible;
use std::sync::Arc;

use attestore_engine::tenant::TenantInfo;
use attestore_engine::{Permission, Principal};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::answer::Refusal;
use super::glob::glob;
use crate::guard::Caller;
use crate::server::App;
use crate::wire;

/// Tenants that a list or pattern may stand for.
const MATCHES_MAX: usize = 1000;
/// Tenants that are looked at for a pattern.
const LOOKED_AT_MAX: usize = 100_000;
/// Names in one list.
const NAMES_MAX: usize = 100;
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

/// The tenants that names stand for and the caller may read, by name. Patterns leave out names that begin with `_` or `.`
/// unless they do so too.
///
/// # Errors
/// 404 for a name that is not there, or that the caller may not know of; with `lenient`, only if all are. 403 without the
/// role.
pub async fn readable(
    app: &App,
    caller: &Caller,
    names: &Names,
    lenient: bool,
) -> Result<Vec<TenantInfo>, Refusal> {
    let mut found: Vec<TenantInfo> = Vec::new();
    let mut missing = None;
    if names.each().count() > NAMES_MAX {
        return Err(Refusal::argument(format!(
            "at most {NAMES_MAX} indices can be named"
        )));
    }
    for name in names.each() {
        let some = match name.contains('*') || name == "_all" {
            true => matching(app, &caller.principal, if name == "_all" { "*" } else { name }).await?,
            false => match named(app, caller, name).await {
                Ok(info) => vec![info],
                Err(refusal) if refusal.status() == 404 => {
                    missing.get_or_insert(refusal);
                    continue;
                }
                Err(refusal) => return Err(refusal),
            },
        };
        for info in some {
            if found.iter().all(|known| known.name != info.name) {
                found.push(info);
            }
        }
        if found.len() > MATCHES_MAX {
            return Err(Refusal::argument(format!(
                "the names stand for more than {MATCHES_MAX} indices"
            )));
        }
    }
    match missing {
        Some(refusal) if !lenient || found.is_empty() => Err(refusal),
        _ => {
            found.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(found)
        }
    }
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

async fn matching(app: &App, principal: &Arc<Principal>, pattern: &str) -> Result<Vec<TenantInfo>, Refusal> {
    let fits = |name: &str| {
        let hidden = name.starts_with(['_', '.']) && !pattern.starts_with(['_', '.']);
        !hidden && glob(pattern, name)
    };
    if !principal.may(Permission::Search) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "security_exception",
            "this needs the role reader or investigator",
        ));
    }
    let engine = app.engine().clone();
    if let Some(own) = principal.tenants.names() {
        let own: Vec<_> = own.iter().filter(|name| fits(name)).cloned().collect();
        let infos = move || own.iter().map(|name| engine.tenant(name)).collect();
        return Ok(wire::blocking(infos).await?);
    }
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..LOOKED_AT_MAX / PAGE {
        let engine = engine.clone();
        let from = after.clone();
        let page = wire::blocking(move || engine.tenants(from.as_deref(), PAGE)).await?;
        let last = page.len() < PAGE;
        after = page.last().map(|info| info.name.clone());
        found.extend(page.into_iter().filter(|info| fits(&info.name)));
        if last || found.len() > MATCHES_MAX {
            return Ok(found);
        }
    }
    Err(Refusal::argument(
        "there are too many indices to look for a pattern",
    ))
}
