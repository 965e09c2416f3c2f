//! What a request for an evidence bundle says beyond query and times, and how it is shown.

use attestore_engine::exports::{Evidence, EvidenceScope};
use attestore_engine::read::Which;
use attestore_engine::{Engine, Error, Principal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::routes::events;
use crate::server::App;

/// A record, by its seq or its id.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum RecordName {
    /// Its seq.
    Seq(u64),
    /// Its id, or its seq as text.
    Id(String),
}

/// A range of seqs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeBody {
    /// First seq.
    from: u64,
    /// First seq behind it.
    to: u64,
}

/// What a bundle is proved against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointBody {
    /// The newest checkpoint, signed for it.
    #[default]
    Signed,
    /// The newest checkpoint that witnesses have cosigned; 409 `not_witnessed` if it does not cover what is asked for.
    Witnessed,
}

/// What is wanted, before the records that are named are found.
pub(super) struct Wish {
    names: Option<Vec<Which>>,
    range: Option<RangeBody>,
    checkpoint: CheckpointBody,
    policy: Option<String>,
}

impl Wish {
    pub(super) fn new(
        records: Option<&[RecordName]>,
        range: Option<RangeBody>,
        checkpoint: CheckpointBody,
        app: &App,
    ) -> Result<Self, Problem> {
        if records.is_some() && range.is_some() {
            let what = "records and range do not go together";
            return Err(Problem::bad_request("invalid_export", what));
        }
        let which = |name: &RecordName| match name {
            RecordName::Seq(seq) => Ok(Which::Seq(*seq)),
            RecordName::Id(id) => events::which(id),
        };
        let names = records.map(|names| names.iter().map(which).collect::<Result<_, _>>());
        let witnesses = app.settings().witnesses.0.as_ref();
        let policy = witnesses.map(|cosigner| Evidence::proposed(&cosigner.policy()));
        Ok(Self {
            names: names.transpose()?,
            range,
            checkpoint,
            policy: policy.filter(|_| checkpoint == CheckpointBody::Witnessed),
        })
    }

    /// What is told of it on record, in place of a query.
    pub(super) fn terms(&self) -> Option<String> {
        if let Some(range) = self.range {
            return Some(format!("seq:[{} TO {}}}", range.from, range.to));
        }
        let names = self.names.as_ref()?.iter().map(|which| match which {
            Which::Seq(seq) => format!("seq:{seq}"),
            Which::Id(id) => format!("id:{id}"),
        });
        Some(names.collect::<Vec<_>>().join(" "))
    }

    /// Finds the records that are named.
    pub(super) fn found(self, engine: &Engine, tenant: &str, by: &Principal) -> Result<Evidence, Error> {
        let scope = match (self.names, self.range) {
            (Some(names), _) => EvidenceScope::Records(engine.export_records(tenant, by, &names)?),
            (None, Some(RangeBody { from, to })) => EvidenceScope::Range { first: from, end: to },
            (None, None) => EvidenceScope::Query,
        };
        Ok(Evidence {
            scope,
            witnessed: self.checkpoint == CheckpointBody::Witnessed,
            policy: self.policy,
        })
    }
}

/// A bundle's scope as it is shown: records, range.
pub(super) fn shown(scope: &EvidenceScope) -> (Option<Vec<u64>>, Option<RangeBody>) {
    match scope {
        EvidenceScope::Query => (None, None),
        EvidenceScope::Records(seqs) => (Some(seqs.clone()), None),
        EvidenceScope::Range { first, end } => (
            None,
            Some(RangeBody {
                from: *first,
                to: *end,
            }),
        ),
    }
}
