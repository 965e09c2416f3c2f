//! What a route needs.

use attestore_engine::Permission;
pub use attestore_limit::Class as RouteClass;

/// A route's row in the table: what it takes to get to its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The permission.
    pub need: Need,
    /// For whom it is counted.
    pub class: RouteClass,
    /// Where the permission must hold.
    pub reach: Reach,
    /// How its refusals are written.
    pub tongue: Tongue,
    /// When its record is written.
    pub recorded: Recorded,
}

/// What a caller must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing, not even a name.
    Public,
    /// A permission.
    Permission(Permission),
}

/// Where a permission must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// For the tenant that the path names.
    Tenant,
    /// For the whole instance.
    Instance,
    /// Somewhere. The handler says where.
    Named,
}

/// How refusals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// As problem documents.
    Problem,
    /// As Elasticsearch writes them.
    Elastic,
    /// As OTLP writes them.
    Otlp,
}

/// When the record of an act is handed over. Every record is durable before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Never: appends are records themselves, and what is public is nobody's act.
    Not,
    /// Before the handler starts, and durable before it does: for what changes something.
    First,
    /// Before the handler starts, durable while it works.
    Along,
    /// When the handler knows what is looked for, at the latest when it is done.
    Told,
}

impl Entry {
    /// Open to everybody.
    pub const fn public() -> Self {
        Self {
            need: Need::Public,
            class: RouteClass::Public,
            reach: Reach::Instance,
            tongue: Tongue::Problem,
            recorded: Recorded::Not,
        }
    }

    /// For who holds the permission for the tenant in the path.
    pub const fn tenant(permission: Permission, class: RouteClass) -> Self {
        Self {
            need: Need::Permission(permission),
            class,
            reach: Reach::Tenant,
            tongue: Tongue::Problem,
            recorded: match class {
                RouteClass::Append | RouteClass::Public => Recorded::Not,
                RouteClass::Admin => Recorded::First,
                RouteClass::Read | RouteClass::Proof | RouteClass::Export => Recorded::Along,
                RouteClass::Search | RouteClass::Tail => Recorded::Told,
            },
        }
    }

    /// For who holds the permission for the whole instance.
    pub const fn instance(permission: Permission, class: RouteClass) -> Self {
        Self {
            reach: Reach::Instance,
            ..Self::tenant(permission, class)
        }
    }

    /// For who holds the permission anywhere; the handler looks at the tenants that the request names.
    pub const fn named(permission: Permission, class: RouteClass) -> Self {
        Self {
            reach: Reach::Named,
            ..Self::tenant(permission, class)
        }
    }

    /// With refusals as Elasticsearch writes them. Which indices a request is about is known when it was read.
    #[must_use]
    pub const fn elastic(self) -> Self {
        let recorded = match self.recorded {
            Recorded::Not => Recorded::Not,
            _ => Recorded::Told,
        };
        Self {
            tongue: Tongue::Elastic,
            recorded,
            ..self
        }
    }

    /// With refusals as OTLP writes them.
    #[must_use]
    pub const fn otlp(self) -> Self {
        Self {
            tongue: Tongue::Otlp,
            ..self
        }
    }

    /// Recorded at another time than others of its class.
    #[must_use]
    pub const fn recorded(self, recorded: Recorded) -> Self {
        Self { recorded, ..self }
    }

    /// Name of the permission; `public` where none is needed.
    pub const fn permission_name(&self) -> &'static str {
        match self.need {
            Need::Public => "public",
            Need::Permission(permission) => permission.name(),
        }
    }
}
