//! Evidence bundles as exports: what they are about, and how that is checked before a job is made.

mod control;
pub(super) mod make;
pub(super) mod sink;

use std::sync::Arc;

use attestore_export::{Compression, Format};
use attestore_tlog::Policy;
use serde::{Deserialize, Serialize};

use super::api::ExportSpec;
use crate::credentials::{Permission, Principal};
use crate::forget::gone;
use crate::heads::checkpoint::{self, Signed};
use crate::read::{Which, find, snapshot};
use crate::tenant::Tenant;
use crate::{Engine, Error, Result};

/// What an evidence bundle is about, and what it is proved against. Other formats have the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What its records are chosen by.
    pub scope: EvidenceScope,
    /// Whether it is proved against the newest checkpoint that witnesses have cosigned, and not the newest signed one.
    pub witnessed: bool,
    /// A tlog-policy to propose to verifiers.
    pub policy: Option<String>,
}

/// What the records of an evidence bundle are chosen by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceScope {
    /// Query and times, as in other formats.
    #[default]
    Query,
    /// These seqs, ascending, each once.
    Records(Vec<u64>),
    /// All of a range of seqs, and the control records that say why some of it may be gone.
    Range {
        /// First seq.
        first: u64,
        /// First seq behind it.
        end: u64,
    },
}

impl EvidenceScope {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Records(_) => "set",
            Self::Range { .. } => "range",
        }
    }

    /// Size of the smallest tree that has all of it.
    fn size_min(&self) -> u64 {
        match self {
            Self::Query => 0,
            Self::Records(seqs) => seqs.last().map_or(0, |last| last.saturating_add(1)),
            Self::Range { end, .. } => *end,
        }
    }
}

impl Evidence {
    /// Whether it is what other formats have.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// A policy without what outsiders have no use for: where witnesses are asked, and other logs.
    pub fn proposed(policy: &Policy) -> String {
        let text = policy.to_string();
        let lines = text.lines().filter(|line| !line.starts_with("log "));
        let lines = lines.map(|line| match line.strip_prefix("witness ") {
            Some(rest) => {
                let kept: Vec<&str> = rest.split(' ').take(2).collect();
                format!("witness {}\n", kept.join(" "))
            }
            None => format!("{line}\n"),
        });
        lines.collect()
    }
}

/// Checks what is wanted of a bundle, and that other formats want nothing of it.
///
/// # Errors
/// [`Error::Invalid`].
pub(super) fn check(spec: &ExportSpec) -> Result<()> {
    let invalid = |message: &str| {
        Err(Error::Invalid {
            code: "invalid_export",
            message: message.to_owned(),
        })
    };
    if spec.format != Format::Evidence {
        return match spec.evidence.is_default() {
            true => Ok(()),
            false => invalid("records, range and checkpoint are for the format evidence"),
        };
    }
    if spec.fields.is_some() || spec.compression != Compression::None {
        return invalid("an evidence bundle has whole records, and is not compressed");
    }
    let queried = !spec.query.trim().is_empty() || spec.from_ns.is_some() || spec.to_ns.is_some();
    match &spec.evidence.scope {
        EvidenceScope::Query => Ok(()),
        _ if queried => invalid("query and times do not go with records or a range"),
        EvidenceScope::Records(seqs) if seqs.is_empty() => invalid("no record is named"),
        EvidenceScope::Records(seqs) if seqs.len() > RECORDS_MAX => {
            invalid("at most 1000 records can be named; use a query or a range")
        }
        EvidenceScope::Records(seqs) if !seqs.is_sorted_by(|a, b| a < b) => {
            invalid("records are not in order, or one is named twice")
        }
        EvidenceScope::Range { first, end } if first >= end => invalid("the range is empty"),
        EvidenceScope::Range { first, end } if end - first > RANGE_MAX => {
            invalid("a bundle has at most 10 million records")
        }
        EvidenceScope::Records(_) | EvidenceScope::Range { .. } => Ok(()),
    }
}

/// The checkpoint that an export is pinned to.
///
/// # Errors
/// [`Error::BeyondTree`] for what the log does not have, [`Error::Conflict`] for what no witnessed checkpoint covers.
pub(super) fn head(engine: &Engine, tenant: &Arc<Tenant>, evidence: &Evidence) -> Result<Signed> {
    let newest = checkpoint::newest(&engine.inner, tenant)?;
    let size_min = evidence.scope.size_min();
    if newest.size < size_min {
        return Err(Error::BeyondTree { size: newest.size });
    }
    if !evidence.witnessed {
        return Ok(newest);
    }
    match engine.witnessed(&tenant.name)? {
        Some(head) if head.size >= size_min.max(1) && head.size <= newest.size => Ok(head.into()),
        other => Err(Error::Conflict {
            code: "not_witnessed",
            message: format!(
                "witnesses have cosigned the first {} records of the log, which do not cover this export; wait for them, or \
                 ask for a signed checkpoint",
                other.map_or(0, |head| head.size)
            ),
        }),
    }
}

impl Engine {
    /// Finds the records that somebody names for an export: their seqs, ascending, each once.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::UnknownRecord`] for one that is not there, [`Error::Gone`],
    /// [`Error::Invalid`] for too many, or as reads.
    pub fn export_records(&self, tenant: &str, by: &Principal, named: &[Which]) -> Result<Vec<u64>> {
        by.check(tenant, Permission::Export)?;
        if named.len() > RECORDS_MAX {
            return Err(Error::Invalid {
                code: "invalid_export",
                message: format!("at most {RECORDS_MAX} records can be named; use a query or a range"),
            });
        }
        let tenant = self.inner.tenant(tenant)?;
        let mut seqs = Vec::with_capacity(named.len());
        for which in named {
            seqs.push(snapshot(&tenant, |view| {
                let seq = find::seq(&self.inner, &tenant, view, *which)?;
                gone::check(&self.inner, &tenant, view, seq).map(|()| seq)
            })?);
        }
        seqs.sort_unstable();
        seqs.dedup();
        Ok(seqs)
    }
}

/// Records that can be named, at most: as many as get a proof of their own.
const RECORDS_MAX: usize = attestore_verify::bundle::PROOFS_MAX;
const RANGE_MAX: u64 = attestore_verify::bundle::RECORDS_MAX;
