//! Where limits are asked.

use std::net::IpAddr;
use std::sync::Arc;

use attestore_engine::Principal;
use attestore_engine::audit::Limited;
use attestore_limit::{Admission, Standing};
use axum::response::Response;
use parking_lot::Mutex;

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
    /// Adds to the answer what is left, unless it says already which limit refused it.
    pub(super) fn mark(self, answer: &mut Response) {
        if answer.headers().contains_key(attestore_limit::field::LIMIT) {
            return;
        }
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

/// Counts the tenants that a request names elsewhere than in its path.
pub(super) struct Meter {
    app: App,
    by: Arc<Principal>,
    class: RouteClass,
    counted: Mutex<Vec<String>>,
}

impl Meter {
    /// A request that was counted for `tenant` already, if for any.
    pub(super) fn new(app: App, by: Arc<Principal>, class: RouteClass, tenant: Option<&str>) -> Self {
        let counted = tenant.filter(|tenant| by.may_touch(tenant));
        Self {
            app,
            class,
            counted: Mutex::new(counted.map(str::to_owned).into_iter().collect()),
            by,
        }
    }

    /// Counts the request for that tenant too, once.
    ///
    /// # Errors
    /// 429.
    pub(super) fn count(&self, tenant: &str) -> Result<(), Problem> {
        let mut counted = self.counted.lock();
        if counted.iter().any(|one| one == tenant) {
            return Ok(());
        }
        let limits = &self.app.settings().limits;
        if let Err(problem) = limits.tenant(tenant, self.class) {
            let whom = Limited::Principal(self.by.id.clone());
            self.app.engine().limited(whom, self.class.name());
            return Err(problem);
        }
        counted.push(tenant.to_owned());
        Ok(())
    }

    /// The caller was refused a tenant.
    pub(super) fn denied(&self) {
        denied(&self.app, &self.by);
    }
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
