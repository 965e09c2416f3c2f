//! Who is asking, and what that allows.
//!
//! | role | allows |
//! |---|---|
//! | `ingest` | appending events |
//! | `reader` | reading and searching records; personal fields show as `[personal]` and cannot be searched |
//! | `investigator` | everything of `reader`, and personal fields |
//! | `admin` | tenants and credentials; no records. It may hand out any role, its own scope included |
//!
//! A principal without a tenant is one of the whole instance. One with a tenant does not learn that others exist.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a credential may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Manages tenants and credentials.
    Admin,
    /// Appends events.
    Ingest,
    /// Reads records without personal fields.
    Reader,
    /// Reads records with personal fields.
    Investigator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Ingest, Self::Reader, Self::Investigator];

    /// Finds the role of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Returns the name used on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Ingest => "ingest",
            Self::Reader => "reader",
            Self::Investigator => "investigator",
        }
    }
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Id of the credential; goes into the public bytes of what it appends.
    pub credential_id: String,
    /// Its name, for people.
    pub name: String,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Name of the only tenant it may touch; `None` for all.
    pub tenant: Option<String>,
}

impl Principal {
    /// The id of the server itself; no credential has it.
    pub const INTERNAL: &'static str = "internal";

    /// The server itself, as it appears in `_system`.
    pub fn internal() -> Self {
        Self {
            credential_id: Self::INTERNAL.to_owned(),
            name: Self::INTERNAL.to_owned(),
            roles: Role::ALL.to_vec(),
            tenant: None,
        }
    }

    /// Says whether the principal has the role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Says whether the principal may know of the tenant.
    pub fn may_touch(&self, tenant: &str) -> bool {
        self.tenant.as_deref().is_none_or(|own| own == tenant)
    }

    /// Says whether the principal sees personal fields.
    pub fn may_see_personal(&self) -> bool {
        self.has(Role::Investigator)
    }

    /// Says whether the principal manages the whole instance.
    pub fn is_instance_admin(&self) -> bool {
        self.tenant.is_none() && self.has(Role::Admin)
    }

    /// Checks that the principal may append to the tenant.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`] outside of its scope, [`Error::Forbidden`] without the role.
    pub fn check_append(&self, tenant: &str) -> Result<()> {
        self.check(tenant, &[Role::Ingest])
    }

    /// Checks that the principal may read the tenant's records.
    ///
    /// # Errors
    /// As [`Principal::check_append`].
    pub fn check_read(&self, tenant: &str) -> Result<()> {
        self.check(tenant, &[Role::Reader, Role::Investigator])
    }

    /// Checks that the principal may manage the tenant.
    ///
    /// # Errors
    /// As [`Principal::check_append`].
    pub fn check_admin(&self, tenant: &str) -> Result<()> {
        self.check(tenant, &[Role::Admin])
    }

    /// Checks that the principal may manage the instance: create tenants, see every credential.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn check_instance_admin(&self) -> Result<()> {
        if self.is_instance_admin() {
            Ok(())
        } else {
            Err(Error::Forbidden)
        }
    }

    fn check(&self, tenant: &str, any_of: &[Role]) -> Result<()> {
        if !self.may_touch(tenant) {
            return Err(Error::UnknownTenant);
        }
        if any_of.iter().any(|role| self.has(*role)) {
            Ok(())
        } else {
            Err(Error::Forbidden)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(roles: &[Role], tenant: Option<&str>) -> Principal {
        Principal {
            credential_id: "c".into(),
            name: "n".into(),
            roles: roles.to_vec(),
            tenant: tenant.map(str::to_owned),
        }
    }

    #[test]
    fn other_tenants_do_not_exist_for_a_scoped_principal() {
        let by = principal(&[Role::Reader], Some("a"));
        assert!(by.check_read("a").is_ok());
        assert!(matches!(by.check_read("b"), Err(Error::UnknownTenant)));
        assert!(matches!(by.check_append("b"), Err(Error::UnknownTenant)));
        assert!(matches!(by.check_append("a"), Err(Error::Forbidden)));
    }

    #[test]
    fn admin_reads_nothing_and_only_investigators_see_personal_fields() {
        let admin = principal(&[Role::Admin], None);
        assert!(matches!(admin.check_read("a"), Err(Error::Forbidden)));
        assert!(!admin.may_see_personal());
        assert!(!principal(&[Role::Reader], None).may_see_personal());
        assert!(principal(&[Role::Investigator], None).may_see_personal());
        assert!(principal(&[Role::Investigator], None).check_read("a").is_ok());
        assert!(
            principal(&[Role::Admin], Some("a"))
                .check_instance_admin()
                .is_err()
        );
    }
}
