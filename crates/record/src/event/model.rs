//! The event model, schema version 1.
//!
//! Strings are borrowed from the received bytes where they hold no escapes. Fields that a privacy policy may
//! take out of the public group are optional here, also where a client must send them.

use std::borrow::Cow;

/// Text of the event: borrowed when it was received without escapes.
pub type Text<'a> = Cow<'a, str>;

/// A free-form value: JSON text without insignificant white space, otherwise as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<'a>(pub(crate) Cow<'a, str>);

impl Raw<'_> {
    /// Returns the JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a client sends: who did what to what, when, from where, with what outcome.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Event<'a> {
    /// Unique per tenant; repeats within the server's window answer with the first receipt.
    pub idempotency_key: Option<Text<'a>>,
    /// Nanoseconds since 1970 in UTC; the server's time of receipt stands in when absent.
    pub occurred_at_ns: Option<i64>,
    /// What was done, as `resource.verb`.
    pub action: Text<'a>,
    /// Class of verb; derived from the action when the client does not say.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it came so.
    pub outcome_reason: Option<OutcomeReason<'a>>,
    /// How bad it is.
    pub severity: Option<Severity>,
    /// Who did it.
    pub actor: Actor<'a>,
    /// On what.
    pub targets: Vec<Target<'a>>,
    /// From where. These are claims of the sender.
    pub context: Context<'a>,
    /// What produced the event.
    pub source: Source<'a>,
    /// Why the actor says it was needed.
    pub justification: Option<Text<'a>>,
    /// What changed.
    pub changes: Vec<Change<'a>>,
    /// Whom the data is about.
    pub data_subjects: Vec<DataSubject<'a>>,
    /// How confidential the event is.
    pub classification: Option<Classification>,
    /// Kinds of data that were touched.
    pub data_categories: Vec<Text<'a>>,
    /// Bounded extra data, an object; indexed.
    pub metadata: Option<Raw<'a>>,
    /// The opaque original; stored.
    pub payload: Option<Raw<'a>>,
}

/// Why an action ended as it did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OutcomeReason<'a> {
    /// Machine-readable reason.
    pub code: Option<Text<'a>>,
    /// A sentence.
    pub message: Option<Text<'a>>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Actor<'a> {
    /// Kind of actor. The privacy policy names the kinds that are people.
    pub ty: Text<'a>,
    /// Required of clients; absent here only when it was taken out as personal.
    pub id: Option<Text<'a>>,
    /// Display name.
    pub name: Option<Text<'a>>,
    /// E-mail address.
    pub email: Option<Text<'a>>,
    /// The credential that was used.
    pub credential_id: Option<Text<'a>>,
    /// For whom the actor acted.
    pub on_behalf_of: Option<Principal<'a>>,
}

/// For whom an actor acted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Principal<'a> {
    /// Kind of principal.
    pub ty: Text<'a>,
    /// Required of clients.
    pub id: Option<Text<'a>>,
    /// Display name.
    pub name: Option<Text<'a>>,
    /// E-mail address.
    pub email: Option<Text<'a>>,
}

/// Something that the action was done to.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Target<'a> {
    /// Kind of target.
    pub ty: Text<'a>,
    /// Required of clients.
    pub id: Option<Text<'a>>,
    /// Display name.
    pub name: Option<Text<'a>>,
    /// More about it, an object.
    pub attributes: Option<Raw<'a>>,
}

/// From where.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Context<'a> {
    /// Address of the client, IPv4 or IPv6 text.
    pub ip: Option<Text<'a>>,
    /// Host name of the client, or the name of the service that called.
    pub host: Option<Text<'a>>,
    /// User agent.
    pub user_agent: Option<Text<'a>>,
    /// Country, region or site.
    pub location: Option<Text<'a>>,
    /// Session.
    pub session_id: Option<Text<'a>>,
    /// Request.
    pub request_id: Option<Text<'a>>,
    /// W3C trace id: 32 lower-case hex digits.
    pub trace_id: Option<Text<'a>>,
    /// W3C span id: 16 lower-case hex digits.
    pub span_id: Option<Text<'a>>,
    /// The HTTP request.
    pub http: Option<Http<'a>>,
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Http<'a> {
    /// Method.
    pub method: Option<Text<'a>>,
    /// Path, without scheme and authority.
    pub path: Option<Text<'a>>,
    /// Status code, 100 to 599.
    pub status: Option<u16>,
}

/// What produced the event.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Source<'a> {
    /// Service.
    pub service: Option<Text<'a>>,
    /// Its version.
    pub version: Option<Text<'a>>,
    /// The instance of it.
    pub instance: Option<Text<'a>>,
    /// Environment, as `prod`.
    pub environment: Option<Text<'a>>,
}

/// One changed value.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Change<'a> {
    /// Where, in the target's own terms.
    pub path: Text<'a>,
    /// Value before; JSON `null` is a value.
    pub old: Option<Raw<'a>>,
    /// Value after.
    pub new: Option<Raw<'a>>,
}

/// A person the data is about.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DataSubject<'a> {
    /// Kind of subject.
    pub ty: Text<'a>,
    /// Required of clients.
    pub id: Option<Text<'a>>,
    /// JSON pointers into this event: the fields that are about this subject.
    pub fields: Vec<Text<'a>>,
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every value, in schema order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the text used in events.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Returns the value with that text.
            pub fn from_name(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

names! {
    /// Class of verb.
    #[derive(Default)]
    Operation {
        /// Something new.
        Create = "create",
        /// One thing was read.
        Read = "read",
        /// Something was changed.
        Update = "update",
        /// Something was removed.
        Delete = "delete",
        /// Many things were read.
        List = "list",
        /// A session began.
        Login = "login",
        /// A session ended.
        Logout = "logout",
        /// A decision about access.
        Authorize = "authorize",
        /// Access was given.
        Grant = "grant",
        /// Access was taken.
        Revoke = "revoke",
        /// Data left the system.
        Export = "export",
        /// Data came into the system.
        Import = "import",
        /// Something was run.
        Execute = "execute",
        /// None of these.
        #[default]
        Other = "other",
    }
}

names! {
    /// What came of an action.
    #[derive(Default)]
    Outcome {
        /// It was done.
        #[default]
        Success = "success",
        /// It was tried and failed.
        Failure = "failure",
        /// It was not allowed.
        Denied = "denied",
        /// The sender does not know.
        Unknown = "unknown",
    }
}

names! {
    /// Severity, by the names of RFC 5424.
    Severity {
        /// For developers.
        Debug = "debug",
        /// Normal operation.
        Info = "info",
        /// Normal but significant.
        Notice = "notice",
        /// A warning.
        Warning = "warning",
        /// An error.
        Error = "error",
        /// A critical condition.
        Critical = "critical",
        /// Act at once.
        Alert = "alert",
        /// The system is unusable.
        Emergency = "emergency",
    }
}

names! {
    /// How confidential an event is.
    Classification {
        /// For everybody.
        Public = "public",
        /// For the organisation.
        Internal = "internal",
        /// For few.
        Confidential = "confidential",
        /// For named people.
        Restricted = "restricted",
    }
}

impl Operation {
    /// Derives the class of verb from the last part of an action: its first word that is a known verb.
    pub fn of_action(action: &str) -> Self {
        let last = action.rsplit('.').next().unwrap_or(action);
        last.split('_').find_map(Self::of_verb).unwrap_or(Self::Other)
    }

    fn of_verb(word: &str) -> Option<Self> {
        Some(match word {
            "create" | "created" | "add" | "added" | "insert" | "register" | "registered" | "new" | "put" => {
                Self::Create
            }
            "read" | "get" | "view" | "viewed" | "show" | "fetch" | "head" | "access" | "accessed" => {
                Self::Read
            }
            "update" | "updated" | "modify" | "modified" | "change" | "changed" | "edit" | "edited"
            | "set" | "patch" | "rename" | "renamed" | "enable" | "enabled" | "disable" | "disabled" => {
                Self::Update
            }
            "delete" | "deleted" | "remove" | "removed" | "destroy" | "destroyed" | "purge" | "purged" => {
                Self::Delete
            }
            "list" | "listed" | "search" | "query" | "describe" | "scan" => Self::List,
            "login" | "signin" | "logon" => Self::Login,
            "logout" | "signout" | "logoff" => Self::Logout,
            "authorize" | "authorized" | "approve" | "approved" => Self::Authorize,
            "grant" | "granted" | "assign" | "assigned" => Self::Grant,
            "revoke" | "revoked" | "unassign" | "unassigned" => Self::Revoke,
            "export" | "exported" | "download" | "downloaded" => Self::Export,
            "import" | "imported" | "upload" | "uploaded" => Self::Import,
            "execute" | "executed" | "run" | "invoke" | "invoked" | "start" | "started" | "stop"
            | "stopped" => Self::Execute,
            _ => return None,
        })
    }
}
