//! Who is asking, and what that allows.
//!
//! A principal is made from a credential, from a token of an identity provider or from a client certificate. After that
//! nothing asks which: permissions are a set of bits, the scope a set of tenants. One with a scope does not learn that
//! other tenants exist.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    Role,
    permission::{Permission, Permissions},
};
use crate::{
    SYSTEM_TENANT,
    error::{Error, Result},
    heads::HEADS_TENANT,
};

/// How a principal was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// By one of our own credentials.
    Credential,
    /// By a token of an identity provider.
    Jwt,
    /// By a client certificate.
    Certificate,
    /// Not at all: the server itself.
    Internal,
}

impl Kind {
    /// Returns the name in records: the type of an actor.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Jwt => "jwt",
            Self::Certificate => "certificate",
            Self::Internal => "server",
        }
    }

    /// What ids of that kind begin with. Ids of credentials have no colon, so no foreign identity is one of them.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Credential | Self::Internal => "",
            Self::Jwt => "jwt:",
            Self::Certificate => "cert:",
        }
    }
}

/// Which tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every one, and the instance itself.
    All,
    /// Those of these names.
    Of(BTreeSet<String>),
}

impl Scope {
    /// One tenant.
    pub fn one(tenant: impl Into<String>) -> Self {
        Self::Of(BTreeSet::from([tenant.into()]))
    }

    /// Says whether a tenant is in it. `_system` is part of the instance: only [`Scope::All`] has it.
    pub fn has(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(tenants) => tenant != SYSTEM_TENANT && tenants.contains(tenant),
        }
    }

    /// Says whether everything in `other` is in it.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Of(_), Self::All) => false,
            (Self::Of(own), Self::Of(others)) => others.is_subset(own),
        }
    }

    /// The names, unless it is all.
    pub const fn names(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::All => None,
            Self::Of(names) => Some(names),
        }
    }

    /// The name, where there is one only.
    pub fn only(&self) -> Option<&str> {
        let names = self.names()?;
        names.first().filter(|_| names.len() == 1).map(String::as_str)
    }
}

/// Who somebody is, as whoever recognised them says: what a principal is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How they were recognised.
    pub kind: Kind,
    /// Their id among those of that kind: for tokens of identity providers issuer and subject, so that two issuers' subjects
    /// differ.
    pub subject: String,
    /// A name for people.
    pub name: String,
    /// Their roles.
    pub roles: Vec<Role>,
    /// Their tenants.
    pub tenants: Scope,
    /// When this ends, Unix milliseconds.
    pub expires_at_ms: Option<u64>,
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Goes into the public bytes of what it appends: a credential's id, or the id of a foreign identity after its kind.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// How it was recognised.
    pub kind: Kind,
    /// Its roles.
    pub roles: Vec<Role>,
    /// The tenants that it may know of.
    pub tenants: Scope,
    /// When it ends, Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    permissions: Permissions,
    purpose: Option<Purpose>,
}

/// For what data is read whose reading was restricted (Art. 18 (2) GDPR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To store it.
    Storage,
    /// The person agreed.
    Consent,
    /// To establish, exercise or defend legal claims.
    LegalClaims,
    /// To protect the rights of somebody else.
    ProtectOthers,
    /// An important public interest.
    PublicInterest,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [
        Self::Storage,
        Self::Consent,
        Self::LegalClaims,
        Self::ProtectOthers,
        Self::PublicInterest,
    ];

    /// Its name in requests and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Consent => "consent",
            Self::LegalClaims => "legal_claims",
            Self::ProtectOthers => "protect_others",
            Self::PublicInterest => "public_interest",
        }
    }

    /// The purpose of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

impl Principal {
    /// The id of the server itself; no credential has it.
    pub const INTERNAL: &'static str = "internal";

    /// The principal of an identity.
    pub fn of(identity: Identity) -> Self {
        let permissions = Permissions::of(&identity.roles);
        Self {
            id: format!("{}{}", identity.kind.prefix(), identity.subject),
            name: identity.name,
            kind: identity.kind,
            roles: identity.roles,
            tenants: identity.tenants,
            expires_at_ms: identity.expires_at_ms,
            permissions,
            purpose: None,
        }
    }

    /// The same, reading restricted data for a purpose.
    #[must_use]
    pub fn reading_for(mut self, purpose: Purpose) -> Self {
        self.purpose = Some(purpose);
        self
    }

    /// For what it reads restricted data, if it may and says so.
    pub fn purpose(&self) -> Option<Purpose> {
        self.purpose.filter(|_| self.may(Permission::ReadRestricted))
    }

    /// The server itself, as it appears in `_system`.
    pub fn internal() -> Self {
        Self::internal_as(&Role::ALL)
    }

    /// The server itself where it shall see no more than some roles do.
    pub(crate) fn internal_as(roles: &[Role]) -> Self {
        Self::of(Identity {
            kind: Kind::Internal,
            subject: Self::INTERNAL.to_owned(),
            name: Self::INTERNAL.to_owned(),
            roles: roles.to_vec(),
            tenants: Scope::All,
            expires_at_ms: None,
        })
    }

    /// What it may do, wherever its scope lets it.
    pub const fn permissions(&self) -> Permissions {
        self.permissions
    }

    /// Says whether the principal holds the permission, wherever its scope lets it.
    pub const fn may(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// Says whether the principal may know of the tenant.
    pub fn may_touch(&self, tenant: &str) -> bool {
        self.tenants.has(tenant)
    }

    /// Says whether the principal sees personal fields.
    pub const fn may_see_personal(&self) -> bool {
        self.may(Permission::SeePersonal)
    }

    /// Checks that the principal may do something to the tenant.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`] outside of its scope, [`Error::Forbidden`] without the permission.
    pub fn check(&self, tenant: &str, permission: Permission) -> Result<()> {
        if !self.may_touch(tenant) && !is_open(tenant, permission) {
            return Err(Error::UnknownTenant);
        }
        let needed = match tenant == SYSTEM_TENANT && permission.shows_records() {
            true => Permission::ReadSystem,
            false => permission,
        };
        match self.may(needed) {
            true => Ok(()),
            false => Err(Error::Forbidden),
        }
    }

    /// Checks that the principal may do something to the whole instance.
    ///
    /// # Errors
    /// [`Error::Forbidden`] also for who holds the permission for some tenants.
    pub fn check_instance(&self, permission: Permission) -> Result<()> {
        match self.tenants == Scope::All && self.may(permission) {
            true => Ok(()),
            false => Err(Error::Forbidden),
        }
    }
}

/// Whether it is for everybody who may do so anywhere: the log of heads and its records hold nothing of any tenant, and are what
/// everybody's slot proofs are checked against.
fn is_open(tenant: &str, permission: Permission) -> bool {
    tenant == HEADS_TENANT && matches!(permission, Permission::ReadLog | Permission::Prove)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(roles: &[Role], tenants: Scope) -> Principal {
        Principal::of(Identity {
            kind: Kind::Credential,
            subject: "c".into(),
            name: "n".into(),
            roles: roles.to_vec(),
            tenants,
            expires_at_ms: None,
        })
    }

    #[test]
    fn other_tenants_do_not_exist_for_a_scoped_principal() {
        let by = principal(
            &[Role::Reader],
            Scope::Of(["a", "c", SYSTEM_TENANT].map(str::to_owned).into()),
        );
        assert!(by.check("a", Permission::Read).is_ok());
        assert!(by.check("c", Permission::Read).is_ok());
        for tenant in ["b", SYSTEM_TENANT] {
            assert!(matches!(
                by.check(tenant, Permission::Read),
                Err(Error::UnknownTenant)
            ));
            assert!(matches!(
                by.check(tenant, Permission::Append),
                Err(Error::UnknownTenant)
            ));
        }
        assert!(matches!(by.check("a", Permission::Append), Err(Error::Forbidden)));
    }

    #[test]
    fn the_log_of_heads_is_open_to_who_may_read_logs_and_for_nothing_else() {
        for role in Role::ALL {
            let by = principal(&[role], Scope::one("a"));
            for permission in Permission::ALL {
                let open = matches!(permission, Permission::ReadLog | Permission::Prove);
                let expected = by.check("a", permission).is_ok() && open;
                assert_eq!(
                    by.check(HEADS_TENANT, permission).is_ok(),
                    expected,
                    "{role:?} {permission:?}"
                );
            }
            assert!(!by.may_touch(HEADS_TENANT));
        }
    }

    #[test]
    fn records_of_the_system_are_for_auditors_and_admins_of_the_instance() {
        for role in Role::ALL {
            let may = matches!(role, Role::Admin | Role::Auditor);
            for permission in Permission::ALL.into_iter().filter(|p| p.shows_records()) {
                let all = principal(&[role], Scope::All).check(SYSTEM_TENANT, permission);
                assert_eq!(all.is_ok(), may, "{role:?} {permission:?}");
                assert!(
                    principal(&[role], Scope::one("a"))
                        .check(SYSTEM_TENANT, permission)
                        .is_err()
                );
            }
        }
    }

    #[test]
    fn the_instance_is_for_who_has_all_of_it() {
        let by = |tenants| principal(&[Role::Admin], tenants).check_instance(Permission::SeeStatus);
        assert!(by(Scope::All).is_ok());
        assert!(matches!(by(Scope::one("a")), Err(Error::Forbidden)));
    }

    #[test]
    fn foreign_identities_never_have_the_id_of_a_credential() {
        let id = |kind| {
            let mut identity = Identity {
                kind,
                subject: Principal::INTERNAL.into(),
                name: String::new(),
                roles: Vec::new(),
                tenants: Scope::All,
                expires_at_ms: None,
            };
            identity.kind = kind;
            Principal::of(identity).id
        };
        assert_eq!(id(Kind::Jwt), "jwt:internal");
        assert_eq!(id(Kind::Certificate), "cert:internal");
    }

    #[test]
    fn scopes_cover_what_is_in_them() {
        let of = |names: &[&str]| Scope::Of(names.iter().map(|name| (*name).to_owned()).collect());
        assert!(Scope::All.covers(&Scope::All) && Scope::All.covers(&of(&["a"])));
        assert!(of(&["a", "b"]).covers(&of(&["a"])) && !of(&["a"]).covers(&of(&["a", "b"])));
        assert!(!of(&["a"]).covers(&Scope::All));
        assert_eq!((of(&["a"]).only(), of(&["a", "b"]).only()), (Some("a"), None));
    }
}
