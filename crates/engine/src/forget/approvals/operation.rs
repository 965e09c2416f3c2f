//! Acts, and when two of them are the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is to be done, and to what.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Kind of act.
    pub kind: OperationKind,
    /// Everything that makes it this act: an object. Two calls are the same act if these are equal.
    pub parameters: Value,
}

/// Kinds of acts that may take two persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Erasing a data subject or records.
    Erase,
    /// Purging records before their minimum. Always takes two.
    PurgeOverride,
    /// Releasing a legal hold.
    HoldRelease,
    /// Weakening a policy in mode `governance`. Always takes two.
    RetentionBypass,
    /// Destroying a tenant.
    TenantDestroy,
    /// Ending the log of a tenant here, since it moves to another server.
    TenantMove,
    /// Destroying a key.
    KeyDestroy,
    /// Letting one person alone do what took two. Always takes two.
    OnePerson,
}

impl OperationKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Erase,
        Self::PurgeOverride,
        Self::HoldRelease,
        Self::RetentionBypass,
        Self::TenantDestroy,
        Self::TenantMove,
        Self::KeyDestroy,
        Self::OnePerson,
    ];

    /// Finds the kind of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Erase => "erase",
            Self::PurgeOverride => "purge_override",
            Self::HoldRelease => "hold_release",
            Self::RetentionBypass => "retention_bypass",
            Self::TenantDestroy => "tenant_destroy",
            Self::TenantMove => "tenant_move",
            Self::KeyDestroy => "key_destroy",
            Self::OnePerson => "one_person",
        }
    }

    /// Whether it takes two whatever a tenant's policy says.
    pub const fn always(self) -> bool {
        matches!(
            self,
            Self::RetentionBypass | Self::PurgeOverride | Self::OnePerson
        )
    }
}

/// JSON in one spelling: names of members ascend, no white space.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            let members = names.into_iter().filter_map(|name| {
                let value = members.get(name)?;
                Some(format!("{}:{}", Value::from(name.as_str()), canonical(value)))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_makes_no_difference_and_that_of_lists_does() {
        let text = |json: &str| canonical(&serde_json::from_str(json).unwrap());
        assert_eq!(
            text(r#"{"b":[1,2],"a":{"d":null,"c":"x\""}}"#),
            r#"{"a":{"c":"x\"","d":null},"b":[1,2]}"#
        );
        assert_ne!(text("[1,2]"), text("[2,1]"));
    }

    #[test]
    fn kinds_have_the_names_that_rows_have() {
        for kind in OperationKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(OperationKind::from_name(kind.name()), Some(kind));
        }
    }
}
