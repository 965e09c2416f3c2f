//! Where limits are asked.

use std::net::IpAddr;

use attestore_engine::Principal;
use attestore_limit::{Admission, Standing};
use axum::response::Response;

use super::entry::RouteClass;
use crate::problem::{self, Problem};
use crate::server::App;

/// A request that limits let through.
pub(super) struct Admitted {
    standing: Option<Standing>,
    /// Counts among those under way until the answer begins.
    _place: Admission,
}

impl Admitted {
    /// Adds to the answer what is left.
    pub(super) fn mark(self, answer: &mut Response) {
        if let Some(standing) = &self.standing {
            problem::mark(answer.headers_mut(), standing);
        }
    }
}

/// The first place: before anybody is recognised.
///
/// # Errors
/// 429.
pub(super) fn address(app: &App, from: Option<IpAddr>, class: RouteClass) -> Result<(), Problem> {
    app.settings().limits.address(from, class)
}

/// The second place: somebody is recognised. `tenant` is the one in the path; only who may touch it uses up its limits.
///
/// # Errors
/// 429 or 503.
pub(super) fn caller(
    app: &App,
    by: &Principal,
    tenant: Option<&str>,
    class: RouteClass,
) -> Result<Admitted, Problem> {
    let tenant = tenant.filter(|tenant| by.may_touch(tenant));
    let (standing, place) = app.settings().limits.caller(&by.id, tenant, class)?;
    Ok(Admitted {
        standing,
        _place: place,
    })
}

/// Nobody was recognised.
pub(super) fn login_failed(app: &App, from: Option<IpAddr>) {
    app.settings().limits.login_failed(from);
}

/// Somebody was refused.
pub(super) fn denied(app: &App, by: &Principal) {
    app.settings().limits.denied(&by.id);
}
