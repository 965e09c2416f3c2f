//! Principals and logs for the tests of what forgets.

use std::collections::BTreeMap;
use std::ops::Range;

use attestore_record::Kind;
use attestore_record::control::{Control, RetentionPolicy};

use crate::credentials::{Identity, Kind as Recognised, Principal, Role, Scope};
use crate::tenant::Tenant;
use crate::{Engine, forget::logged};

/// Somebody with an id and roles.
pub(crate) fn who(id: &str, roles: &[Role]) -> Principal {
    Principal::of(Identity {
        kind: Recognised::Credential,
        subject: id.to_owned(),
        name: id.to_owned(),
        roles: roles.to_vec(),
        tenants: Scope::All,
        expires_at_ms: None,
    })
}

/// Somebody who manages retention and holds.
pub(crate) fn manager() -> Principal {
    who("manager", &[Role::RetentionManager])
}

/// Somebody who may approve.
pub(crate) fn officer() -> Principal {
    who("officer", &[Role::PrivacyOfficer])
}

/// The retention policies that a log has, in its order.
pub(crate) fn policies(engine: &Engine, tenant: &Tenant) -> Vec<(u64, RetentionPolicy)> {
    let controls = logged::controls(&engine.inner, tenant, Kind::Policy, 0).unwrap();
    controls
        .into_iter()
        .filter_map(|(seq, control)| match control {
            Control::RetentionPolicy(policy) => Some((seq, policy)),
            _ => None,
        })
        .collect()
}

/// A hold as a log has it.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    pub(crate) ranges: Vec<Range<u64>>,
    pub(crate) classes: Vec<u16>,
    pub(crate) records: usize,
    pub(crate) released: usize,
}

/// The holds that a log has, by id.
pub(crate) fn holds(engine: &Engine, tenant: &Tenant) -> BTreeMap<String, Logged> {
    let mut found: BTreeMap<String, Logged> = BTreeMap::new();
    for (_, control) in logged::controls(&engine.inner, tenant, Kind::Hold, 0).unwrap() {
        match control {
            Control::Hold(hold) => {
                let logged = found.entry(hold.hold).or_default();
                logged.ranges.extend(hold.ranges.iter());
                logged.classes = hold.classes;
                logged.records += 1;
            }
            Control::HoldRelease(release) => found.entry(release.hold).or_default().released += 1,
            _ => {}
        }
    }
    found
}
