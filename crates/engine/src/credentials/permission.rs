//! Permissions, and the one table of which role holds which.
//!
//! A permission is what one kind of request needs. Routes name the permission that they need, engine calls check it again,
//! and nothing anywhere asks for a role. The table in `docs/access.md` is printed from [`TABLE`] by a test.

use super::Role;

/// What one kind of request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Permission {
    /// Appending events.
    Append,
    /// Reading a record, or a page of them in the order of the log.
    Read,
    /// Searching and aggregating, and what helps with it: fields, saved searches that are run.
    Search,
    /// Following records as they come.
    Tail,
    /// Taking a record with its opening and proof.
    Prove,
    /// Reading the log itself: checkpoints, tiles, entries, consistency proofs. They hold nobody's data.
    ReadLog,
    /// Exporting records into files, and fetching them.
    Export,
    /// Seeing how exports are doing, and ending one's own. What is in them takes [`Permission::Export`].
    SeeExports,
    /// Seeing fields about people, also in queries and exports.
    SeePersonal,
    /// Saving searches, and listing those that are saved.
    SaveSearches,
    /// Changing and deleting what others saved or exported; turning searches into watches.
    ManageSearches,
    /// Reading and changing what is indexed of a tenant's records.
    ManageIndex,
    /// Knowing that a tenant exists, how many records it has and how it is doing.
    SeeTenant,
    /// Making tenants.
    CreateTenants,
    /// Making, listing, rotating and revoking credentials of one's own scope.
    ManageCredentials,
    /// Reading who read, searched, exported and changed what of a tenant.
    ReadAccessLog,
    /// Reading the records of `_system`, in every way that other tenants' records are read.
    ReadSystem,
    /// Seeing how the instance is doing.
    SeeStatus,
    /// Seeing a tenant's quotas and what is used of them.
    SeeQuotas,
    /// Changing quotas.
    ManageQuotas,
    /// Having stored records hashed again, and seeing what that found.
    Verify,
    /// Changing the key that signs a log's checkpoints.
    ManageKeys,
    /// Saying that the server's clock, which stepped ahead, is right.
    ConfirmClock,
    /// Purging records before the schedule does.
    Purge,
    /// Erasing data subjects, and seeing erasures.
    Erase,
    /// Having all that is held about somebody put together for them, and fetching that.
    AccessRequests,
    /// Correcting what records say.
    Rectify,
    /// Restricting the reading of data about somebody, and ending that.
    Restrict,
    /// Reading restricted data, for a purpose.
    ReadRestricted,
    /// Seeing retention policies, legal holds, requests for approval, and what keeps a record.
    SeeRetention,
    /// Setting retention policies.
    ManageRetention,
    /// Weakening a retention policy in mode `governance`, with what setting it takes, and another person.
    BypassRetention,
    /// Placing and releasing legal holds.
    ManageHolds,
    /// Deciding about what others ask for that takes two persons.
    Approve,
    /// Setting which acts take two persons.
    ManageApprovals,
    /// Deciding what is personal, and what becomes of personal values in public fields.
    ManagePrivacy,
    /// Destroying tenants, with everything in them.
    DestroyTenants,
    /// Making backups, and seeing them.
    ManageBackups,
    /// Moving tenants to another server, and taking those of others.
    MoveTenants,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 39] = [
        Self::Append,
        Self::Read,
        Self::Search,
        Self::Tail,
        Self::Prove,
        Self::ReadLog,
        Self::Export,
        Self::SeeExports,
        Self::SeePersonal,
        Self::SaveSearches,
        Self::ManageSearches,
        Self::ManageIndex,
        Self::SeeTenant,
        Self::CreateTenants,
        Self::ManageCredentials,
        Self::ReadAccessLog,
        Self::ReadSystem,
        Self::SeeStatus,
        Self::SeeQuotas,
        Self::ManageQuotas,
        Self::Verify,
        Self::ManageKeys,
        Self::ConfirmClock,
        Self::Purge,
        Self::Erase,
        Self::AccessRequests,
        Self::Rectify,
        Self::Restrict,
        Self::ReadRestricted,
        Self::SeeRetention,
        Self::ManageRetention,
        Self::BypassRetention,
        Self::ManageHolds,
        Self::Approve,
        Self::ManageApprovals,
        Self::ManagePrivacy,
        Self::DestroyTenants,
        Self::ManageBackups,
        Self::MoveTenants,
    ];

    /// Returns the name in documents and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Search => "search",
            Self::Tail => "tail",
            Self::Prove => "prove",
            Self::ReadLog => "read_log",
            Self::Export => "export",
            Self::SeeExports => "see_exports",
            Self::SeePersonal => "see_personal",
            Self::SaveSearches => "save_searches",
            Self::ManageSearches => "manage_searches",
            Self::ManageIndex => "manage_index",
            Self::SeeTenant => "see_tenant",
            Self::CreateTenants => "create_tenants",
            Self::ManageCredentials => "manage_credentials",
            Self::ReadAccessLog => "read_access_log",
            Self::ReadSystem => "read_system",
            Self::SeeStatus => "see_status",
            Self::SeeQuotas => "see_quotas",
            Self::ManageQuotas => "manage_quotas",
            Self::Verify => "verify",
            Self::ManageKeys => "manage_keys",
            Self::ConfirmClock => "confirm_clock",
            Self::Purge => "purge",
            Self::Erase => "erase",
            Self::AccessRequests => "access_requests",
            Self::Rectify => "rectify",
            Self::Restrict => "restrict",
            Self::ReadRestricted => "read_restricted",
            Self::SeeRetention => "see_retention",
            Self::ManageRetention => "manage_retention",
            Self::BypassRetention => "bypass_retention",
            Self::ManageHolds => "manage_holds",
            Self::Approve => "approve",
            Self::ManageApprovals => "manage_approvals",
            Self::ManagePrivacy => "manage_privacy",
            Self::DestroyTenants => "destroy_tenants",
            Self::ManageBackups => "manage_backups",
            Self::MoveTenants => "move_tenants",
        }
    }

    /// Whether it shows records. On `_system` this takes [`Permission::ReadSystem`] instead.
    pub const fn shows_records(self) -> bool {
        matches!(
            self,
            Self::Read | Self::Search | Self::Tail | Self::Prove | Self::ReadLog | Self::Export
        )
    }

    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);
    /// All there are.
    pub const EVERY: Self = Self::new(&Permission::ALL);

    const fn new(of: &[Permission]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < of.len() {
            bits |= of[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// What the roles hold together.
    pub fn of(roles: &[Role]) -> Self {
        let held = TABLE.iter().filter(|(role, _)| roles.contains(role));
        held.fold(Self::NONE, |all, (_, some)| all.and(*some))
    }

    /// Says whether the permission is in it.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which role holds which permissions: the only place that says so.
pub const TABLE: [(Role, Permissions); 11] = {
    use Permission as P;
    const TENANT_ADMIN: Permissions = Permissions::new(&[
        P::SeeExports,
        P::SaveSearches,
        P::ManageSearches,
        P::ManageIndex,
        P::SeeTenant,
        P::ManageCredentials,
        P::ReadAccessLog,
        P::SeeQuotas,
        P::Verify,
        P::SeeRetention,
        P::Approve,
        P::ManageApprovals,
    ]);
    const OPERATOR: Permissions = Permissions::new(&[
        P::SeeTenant,
        P::CreateTenants,
        P::SeeStatus,
        P::SeeQuotas,
        P::ManageQuotas,
        P::Verify,
        P::ConfirmClock,
        P::ManageBackups,
    ]);
    const READER: Permissions = Permissions::new(&[
        P::Read,
        P::Search,
        P::Tail,
        P::Prove,
        P::ReadLog,
        P::Export,
        P::SeeExports,
        P::SaveSearches,
        P::SeeTenant,
        P::SeeQuotas,
        P::SeeRetention,
    ]);
    [
        (
            Role::Admin,
            TENANT_ADMIN.and(OPERATOR).and(Permissions::new(&[
                P::ReadSystem,
                P::ManageKeys,
                P::DestroyTenants,
                P::MoveTenants,
            ])),
        ),
        (
            Role::Ingest,
            Permissions::new(&[P::Append, P::SeeTenant, P::SeeQuotas]),
        ),
        (Role::Reader, READER),
        (
            Role::Investigator,
            READER.and(Permissions::new(&[P::SeePersonal, P::ReadRestricted])),
        ),
        (
            Role::Auditor,
            READER.and(Permissions::new(&[P::ReadAccessLog, P::ReadSystem, P::Verify])),
        ),
        (
            Role::PrivacyOfficer,
            Permissions::new(&[
                P::SeeTenant,
                P::ReadLog,
                P::Erase,
                P::AccessRequests,
                P::Rectify,
                P::Restrict,
                P::ManagePrivacy,
                P::SeeRetention,
                P::Approve,
            ]),
        ),
        (
            Role::RetentionManager,
            Permissions::new(&[
                P::SeeTenant,
                P::ReadLog,
                P::Purge,
                P::SeeRetention,
                P::ManageRetention,
                P::ManageHolds,
                P::Approve,
            ]),
        ),
        (Role::RetentionBypass, Permissions::new(&[P::BypassRetention])),
        (
            Role::KeyAdmin,
            Permissions::new(&[P::SeeTenant, P::ReadLog, P::SeeRetention, P::ManageKeys]),
        ),
        (Role::TenantAdmin, TENANT_ADMIN),
        (Role::Operator, OPERATOR),
    ]
};

/// Pairs of roles that no credential holds both of: who decides when records expire does not hold the keys too.
pub const APART: [(Role, Role); 1] = [(Role::RetentionManager, Role::KeyAdmin)];

const _: () = {
    let mut at = 0;
    while at < Permission::ALL.len() {
        assert!(
            Permission::ALL[at] as usize == at,
            "ALL is in the order of the numbers"
        );
        at += 1;
    }
    assert!(Permission::ALL.len() <= 64);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_one_row_and_every_permission_a_holder() {
        for role in Role::ALL {
            assert_eq!(TABLE.iter().filter(|row| row.0 == role).count(), 1, "{role:?}");
        }
        for permission in Permission::ALL {
            assert!(
                TABLE.iter().any(|(_, held)| held.has(permission)),
                "{permission:?}"
            );
        }
        let names: std::collections::BTreeSet<_> = Permission::ALL.map(Permission::name).into();
        assert_eq!(names.len(), Permission::ALL.len());
    }

    #[test]
    fn who_administers_or_operates_sees_no_records_of_tenants() {
        let content = Permission::ALL
            .into_iter()
            .filter(|p| p.shows_records() || *p == Permission::SeePersonal);
        for permission in content.filter(|p| *p != Permission::ReadLog) {
            for role in [
                Role::Admin,
                Role::TenantAdmin,
                Role::Operator,
                Role::KeyAdmin,
                Role::RetentionManager,
                Role::RetentionBypass,
                Role::Ingest,
            ] {
                assert!(
                    !Permissions::of(&[role]).has(permission),
                    "{role:?} {permission:?}"
                );
            }
        }
        let personal: Vec<_> = Role::ALL
            .into_iter()
            .filter(|role| Permissions::of(&[*role]).has(Permission::SeePersonal))
            .collect();
        assert_eq!(personal, [Role::Investigator]);
    }

    #[test]
    fn an_admin_holds_what_operators_and_tenant_admins_hold() {
        let both = Permissions::of(&[Role::Operator, Role::TenantAdmin]);
        assert_eq!(
            Permissions::of(&[Role::Admin]).and(both),
            Permissions::of(&[Role::Admin])
        );
    }
}
