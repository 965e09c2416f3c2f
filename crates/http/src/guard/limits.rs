//! Where limits are asked. There are none yet.

use std::net::IpAddr;

use attestore_engine::Principal;
use axum::response::Response;

use super::entry::RouteClass;
use crate::problem::Problem;
use crate::server::App;

/// A request that limits let through.
pub(super) struct Admitted;

impl Admitted {
    /// Adds to the answer what is left.
    pub(super) fn mark(self, _answer: &mut Response) {}
}

/// The first place: before anybody is recognised.
///
/// # Errors
/// 429.
pub(super) fn address(_app: &App, _from: Option<IpAddr>, _class: RouteClass) -> Result<(), Problem> {
    Ok(())
}

/// The second place: somebody is recognised. `tenant` is the one in the path.
///
/// # Errors
/// 429 or 503.
pub(super) fn caller(
    _app: &App,
    _by: &Principal,
    _tenant: Option<&str>,
    _class: RouteClass,
) -> Result<Admitted, Problem> {
    Ok(Admitted)
}

/// Nobody was recognised.
pub(super) fn login_failed(_app: &App, _from: Option<IpAddr>) {}

/// Somebody was refused.
pub(super) fn denied(_app: &App, _by: &Principal) {}
