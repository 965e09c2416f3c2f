//! What the mapping needs of an event.

use std::borrow::Cow;

use crate::json::{Members, items};

/// An event, taken apart.
pub(super) struct Event<'a> {
    pub(super) all: Members<'a>,
    pub(super) action: Cow<'a, str>,
    pub(super) operation: Cow<'a, str>,
    pub(super) actor: Members<'a>,
    pub(super) targets: Vec<Target<'a>>,
    pub(super) context: Members<'a>,
    pub(super) http: Members<'a>,
    pub(super) source: Members<'a>,
}

/// A target.
pub(super) struct Target<'a>(pub(super) Members<'a>);

/// What a target is, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
    Database,
    Table,
    Bucket,
    Else,
}

impl<'a> Event<'a> {
    pub(super) fn of(text: &'a str) -> serde_json::Result<Self> {
        let all = Members::of(text)?;
        let context = all.inside("context")?;
        let targets = items(all.get("targets"))?;
        let targets = targets
            .into_iter()
            .map(|target| Members::of(target.get()).map(Target));
        Ok(Self {
            action: all.string("action").unwrap_or_default(),
            operation: all.string("operation").unwrap_or(Cow::Borrowed("other")),
            actor: all.inside("actor")?,
            targets: targets.collect::<Result<_, _>>()?,
            http: context.inside("http")?,
            source: all.inside("source")?,
            context,
            all,
        })
    }

    /// The first target of a kind.
    pub(super) fn target(&self, kind: Kind) -> Option<&Target<'a>> {
        self.targets.iter().find(|target| target.kind() == kind)
    }

    /// Last part of the action.
    pub(super) fn verb(&self) -> &str {
        self.action.rsplit('.').next().unwrap_or_default()
    }

    /// First part of the action.
    pub(super) fn noun(&self) -> &str {
        self.action.split('.').next().unwrap_or_default()
    }

    /// Whether the event says from where it was done.
    pub(super) fn has_endpoint(&self) -> bool {
        ["ip", "host"].iter().any(|name| self.context.get(name).is_some())
    }
}

impl Target<'_> {
    pub(super) fn kind(&self) -> Kind {
        let ty = self.0.string("type").unwrap_or_default().to_ascii_lowercase();
        // Types such as `AWS::S3::Bucket` and `iam/user` say what they are at their end.
        let end = ty
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default();
        match end {
            "user" | "account" | "iam_user" | "person" | "human" | "employee" | "customer" | "member"
            | "admin" | "administrator" | "contractor" | "subscriber" => Kind::User,
            "group" | "team" | "user_group" | "iam_group" => Kind::Group,
            "database" | "db" | "schema" | "dbinstance" | "dbcluster" => Kind::Database,
            "table" => Kind::Table,
            "bucket" | "collection" | "index" | "datastore" | "databucket" => Kind::Bucket,
            _ => Kind::Else,
        }
    }

    pub(super) fn has_attributes(&self) -> bool {
        self.0.get("attributes").is_some()
    }
}
