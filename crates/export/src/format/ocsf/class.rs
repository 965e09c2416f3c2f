//! Which class and activity of OCSF an event is.

use super::event::{Event, Kind, Target};

/// A class: numbers and names are those of OCSF 1.8.0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) uid: u32,
    pub(super) name: &'static str,
    pub(super) category: u32,
    pub(super) category_name: &'static str,
    activities: &'static [(u32, &'static str)],
}

pub(super) static BASE_EVENT: Class = Class {
    uid: 0,
    name: "Base Event",
    category: 0,
    category_name: "Uncategorized",
    activities: &[],
};
pub(super) static ACCOUNT_CHANGE: Class = Class {
    uid: 3001,
    name: "Account Change",
    category: 3,
    category_name: IAM,
    activities: &[
        (1, "Create"),
        (2, "Enable"),
        (3, "Password Change"),
        (4, "Password Reset"),
        (5, "Disable"),
        (6, "Delete"),
        (7, "Attach Policy"),
        (8, "Detach Policy"),
        (9, "Lock"),
        (10, "MFA Factor Enable"),
        (11, "MFA Factor Disable"),
        (12, "Unlock"),
    ],
};
pub(super) static AUTHENTICATION: Class = Class {
    uid: 3002,
    name: "Authentication",
    category: 3,
    category_name: IAM,
    activities: &[(1, "Logon"), (2, "Logoff")],
};
pub(super) static ENTITY_MANAGEMENT: Class = Class {
    uid: 3004,
    name: "Entity Management",
    category: 3,
    category_name: IAM,
    activities: &[
        (1, "Create"),
        (2, "Read"),
        (3, "Update"),
        (4, "Delete"),
        (5, "Move"),
        (8, "Enable"),
        (9, "Disable"),
        (10, "Activate"),
        (11, "Deactivate"),
        (12, "Suspend"),
        (13, "Resume"),
    ],
};
pub(super) static USER_ACCESS: Class = Class {
    uid: 3005,
    name: "User Access Management",
    category: 3,
    category_name: IAM,
    activities: &[(1, "Assign Privileges"), (2, "Revoke Privileges")],
};
pub(super) static GROUP_MANAGEMENT: Class = Class {
    uid: 3006,
    name: "Group Management",
    category: 3,
    category_name: IAM,
    activities: &[
        (1, "Assign Privileges"),
        (2, "Revoke Privileges"),
        (3, "Add User"),
        (4, "Remove User"),
        (5, "Delete"),
        (6, "Create"),
    ],
};
pub(super) static API_ACTIVITY: Class = Class {
    uid: 6003,
    name: "API Activity",
    category: 6,
    category_name: APPLICATION,
    activities: &[(1, "Create"), (2, "Read"), (3, "Update"), (4, "Delete")],
};
pub(super) static DATASTORE_ACTIVITY: Class = Class {
    uid: 6005,
    name: "Datastore Activity",
    category: 6,
    category_name: APPLICATION,
    activities: &[
        (1, "Read"),
        (2, "Update"),
        (3, "Connect"),
        (4, "Query"),
        (5, "Write"),
        (6, "Create"),
        (7, "Delete"),
        (8, "List"),
        (9, "Encrypt"),
        (10, "Decrypt"),
    ],
};

#[cfg(test)]
pub(super) static ALL: [&Class; 8] = [
    &BASE_EVENT,
    &ACCOUNT_CHANGE,
    &AUTHENTICATION,
    &ENTITY_MANAGEMENT,
    &USER_ACCESS,
    &GROUP_MANAGEMENT,
    &API_ACTIVITY,
    &DATASTORE_ACTIVITY,
];

impl Class {
    /// Name of an activity.
    pub(super) fn activity_name(&self, activity: u32) -> &'static str {
        let known = self.activities.iter().find(|(id, _)| *id == activity);
        known.map_or("Other", |(_, name)| name)
    }

    /// The activities that have a name of their own.
    #[cfg(test)]
    pub(super) fn activities(&self) -> &'static [(u32, &'static str)] {
        self.activities
    }
}

/// Finds class and activity of an event. What a class requires and the event does not have leads to another class, at last to the
/// base event, which requires nothing.
pub(super) fn of(event: &Event<'_>) -> (&'static Class, u32) {
    let first = event.targets.first().map(Target::kind);
    let user = event.target(Kind::User).is_some();
    match &*event.operation {
        "login" => return (&AUTHENTICATION, 1),
        "logout" => return (&AUTHENTICATION, 2),
        "grant" | "revoke" => {
            let revoked = event.operation == "revoke";
            if event.target(Kind::Group).is_some() {
                let numbers = if user { [3, 4] } else { [1, 2] };
                return (&GROUP_MANAGEMENT, numbers[usize::from(revoked)]);
            }
            if user {
                return (&USER_ACCESS, 1 + u32::from(revoked));
            }
        }
        "create" | "update" | "delete" | "other" | "execute" => match first {
            Some(Kind::User) => return (&ACCOUNT_CHANGE, account_change(event)),
            Some(Kind::Group) => return (&GROUP_MANAGEMENT, group_management(event, user)),
            _ => {}
        },
        _ => {}
    }
    let from_somewhere = event.has_endpoint();
    if let Some(Kind::Database | Kind::Table | Kind::Bucket) = first
        && from_somewhere
    {
        return (&DATASTORE_ACTIVITY, datastore_activity(event));
    }
    if from_somewhere && (!event.http.0.is_empty() || first.is_none()) {
        return (&API_ACTIVITY, api_activity(event));
    }
    if first.is_some() {
        return (&ENTITY_MANAGEMENT, entity_management(event));
    }
    (&BASE_EVENT, OTHER)
}

fn account_change(event: &Event<'_>) -> u32 {
    let verb = event.verb();
    match &*event.operation {
        "create" => return 1,
        "delete" => return 6,
        _ => {}
    }
    let mfa = verb.contains("mfa") || event.action.contains(".mfa");
    match verb {
        _ if mfa && (verb.contains("disable") || verb.contains("remove")) => 11,
        _ if mfa && (verb.contains("enable") || verb.contains("add")) => 10,
        "enable" | "reactivate" | "activate" => 2,
        "password_change" | "change_password" | "set_password" => 3,
        "password_reset" | "reset_password" => 4,
        "disable" | "deactivate" | "suspend" => 5,
        "attach_policy" => 7,
        "detach_policy" => 8,
        "lock" => 9,
        "unlock" => 12,
        _ => OTHER,
    }
}

fn group_management(event: &Event<'_>, user: bool) -> u32 {
    let verb = event.verb();
    match &*event.operation {
        "create" if !user => 6,
        "delete" if !user => 5,
        _ if verb.starts_with("add") || user && verb == "create" => 3,
        _ if verb.starts_with("remove") || user && verb == "delete" => 4,
        _ => OTHER,
    }
}

fn datastore_activity(event: &Event<'_>) -> u32 {
    match (&*event.operation, event.verb()) {
        (_, "connect") => 3,
        (_, "query") => 4,
        (_, "encrypt") => 9,
        (_, "decrypt") => 10,
        ("read" | "export", _) => 1,
        ("update", _) => 2,
        ("execute", _) => 4,
        ("import", _) => 5,
        ("create", _) => 6,
        ("delete", _) => 7,
        ("list", _) => 8,
        _ => OTHER,
    }
}

fn api_activity(event: &Event<'_>) -> u32 {
    match &*event.operation {
        "create" => 1,
        "read" | "list" => 2,
        "update" => 3,
        "delete" => 4,
        _ => OTHER,
    }
}

fn entity_management(event: &Event<'_>) -> u32 {
    match (&*event.operation, event.verb()) {
        (_, "move") => 5,
        (_, "enable") => 8,
        (_, "disable") => 9,
        (_, "activate") => 10,
        (_, "deactivate") => 11,
        (_, "suspend") => 12,
        (_, "resume") => 13,
        ("create" | "import", _) => 1,
        ("read" | "list" | "export", _) => 2,
        ("update" | "grant" | "revoke", _) => 3,
        ("delete", _) => 4,
        _ => OTHER,
    }
}

/// An activity that the class has no number for.
pub(super) const OTHER: u32 = 99;
const IAM: &str = "Identity & Access Management";
const APPLICATION: &str = "Application Activity";
