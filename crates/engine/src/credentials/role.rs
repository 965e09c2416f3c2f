//! Roles: names for sets of permissions.

use serde::{Deserialize, Serialize};

use super::{Permission, Permissions, Scope, permission::APART};

/// What somebody is to an instance or a tenant. What it allows says [`super::permission::TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The first operator and tenant admin; hands out every role. Reads `_system`, and no tenant's records.
    Admin,
    /// Appends events.
    Ingest,
    /// Reads records without personal fields.
    Reader,
    /// Reads records with personal fields.
    Investigator,
    /// Verifies and exports, reads `_system` and access logs; no personal fields.
    Auditor,
    /// Looks after the rights of data subjects.
    PrivacyOfficer,
    /// Decides how long records are kept.
    RetentionManager,
    /// May weaken what mode `governance` locks, where it may set it: beside another role, and with a second person.
    RetentionBypass,
    /// Looks after keys.
    KeyAdmin,
    /// Looks after tenants: credentials, saved searches, index policy, access logs.
    TenantAdmin,
    /// Looks after the instance: status, tenants, quotas, limits. Sees no content.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 11] = [
        Self::Admin,
        Self::Ingest,
        Self::Reader,
        Self::Investigator,
        Self::Auditor,
        Self::PrivacyOfficer,
        Self::RetentionManager,
        Self::RetentionBypass,
        Self::KeyAdmin,
        Self::TenantAdmin,
        Self::Operator,
    ];

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
            Self::Auditor => "auditor",
            Self::PrivacyOfficer => "privacy_officer",
            Self::RetentionManager => "retention_manager",
            Self::RetentionBypass => "retention_bypass",
            Self::KeyAdmin => "key_admin",
            Self::TenantAdmin => "tenant_admin",
            Self::Operator => "operator",
        }
    }

    /// Whether who holds one of `roles` may give this one, for those tenants, to others, and take it away.
    ///
    /// Admins hand out every role, tenant admins all but those that would make others their equals or more, or show the
    /// records of `_system`, which who has all tenants and [`Permission::ReadSystem`] sees.
    pub fn is_handed_out_by(self, roles: &[Self], tenants: &Scope) -> bool {
        let system = *tenants == Scope::All && Permissions::of(&[self]).has(Permission::ReadSystem);
        let above = system
            || matches!(
                self,
                Self::Admin | Self::TenantAdmin | Self::Operator | Self::RetentionBypass
            );
        roles.contains(&Self::Admin) || (roles.contains(&Self::TenantAdmin) && !above)
    }

    /// Two of the roles that nobody holds both of, if there are such.
    pub fn conflict(roles: &[Self]) -> Option<(Self, Self)> {
        APART
            .into_iter()
            .find(|(one, other)| roles.contains(one) && roles.contains(other))
    }
}
