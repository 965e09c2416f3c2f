//! What of `_system` the people of one tenant see.

use crate::{
    Engine, Permission, Principal, Role, SYSTEM_TENANT, Scope,
    credentials::{Identity, Kind},
    error::Result,
    search::{SearchPage, SearchRequest},
};

impl Engine {
    /// Pages through the records of `_system` that are about a tenant. The request's query is replaced.
    ///
    /// # Errors
    /// [`crate::Error::UnknownTenant`], [`crate::Error::Forbidden`], and as searches.
    pub fn access_log(&self, tenant: &str, by: &Principal, request: SearchRequest) -> Result<SearchPage> {
        by.check(tenant, Permission::ReadAccessLog)?;
        let name = &self.inner.tenant(tenant)?.name;
        if name == SYSTEM_TENANT {
            by.check(SYSTEM_TENANT, Permission::Search)?;
        }
        // The tenant's name is one of ours: letters, digits, `_` and `-`.
        let q = format!("target.type:tenant AND target.id:\"{name}\"");
        let request = SearchRequest { q, ..request };
        let mut roles = vec![Role::Auditor];
        if by.may_see_personal() {
            roles.push(Role::Investigator);
        }
        let reader = Principal::of(Identity {
            kind: Kind::Internal,
            subject: Principal::INTERNAL.to_owned(),
            name: Principal::INTERNAL.to_owned(),
            roles,
            tenants: Scope::All,
            expires_at_ms: None,
        });
        self.search(SYSTEM_TENANT, &reader, &request)
    }
}
