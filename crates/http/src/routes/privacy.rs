//! `/v1/tenants/{t}/privacy`: what is personal in a tenant's events, and what becomes of values that detectors find.

use std::collections::BTreeMap;

use attestore_engine::privacy::{
    Detection, PolicyChange, PrivacyPolicy, PrivacyStatus, PrivacyVersion, Proposal, Proposals, Rule,
    SAMPLE_DEFAULT, SAMPLE_MAX, Setting, SubjectRule, Suggestion,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// One rule: the fields at and beneath a path are about somebody.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleBody {
    /// JSON pointer into events; a segment `*` stands for any one name or index.
    #[schema(max_length = 512)]
    path: String,
    /// About whom.
    subject: SubjectBody,
}

/// About whom the fields of a rule are.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SubjectBody {
    /// The actor, when it is a person.
    Actor,
    /// The principal that the actor acts for, when it is a person.
    OnBehalfOf,
    /// Every declared data subject.
    Declared,
    /// Every subject of the event.
    All,
}

/// What the policy is to say, as a whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivacyChangeBody {
    /// The version that was looked at before: another one in force is answered with 412. Without it the change is made whatever
    /// is in force.
    #[serde(default)]
    version: Option<u32>,
    /// Actor types that are people, in any case.
    #[schema(max_items = 256)]
    human_types: Vec<String>,
    /// What is personal.
    #[schema(max_items = 256)]
    rules: Vec<RuleBody>,
    /// What becomes of values that detectors find: names of detectors with `off`, `flag`, `personal`, `redact` or `refuse`, or
    /// with an object of `sure` and `suspected`. A detector that is not named is off.
    #[serde(default)]
    #[schema(value_type = Object)]
    detect: BTreeMap<String, Setting>,
    /// Why, for the list of versions.
    #[serde(default)]
    #[schema(max_length = 1000)]
    reason: String,
    /// Whether the change may make less personal than was.
    #[serde(default)]
    confirm: bool,
}

/// The policy in force.
#[derive(Debug, Serialize, ToSchema)]
pub struct PrivacyBody {
    /// Its version; records name the one that they were encoded under.
    version: u32,
    /// Actor types that are people, lower case.
    human_types: Vec<String>,
    /// What is personal.
    rules: Vec<RuleBody>,
    /// What becomes of values that detectors find.
    #[schema(value_type = Object)]
    detect: BTreeMap<String, Setting>,
    /// What a change made less personal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A version of the policy.
#[derive(Debug, Serialize, ToSchema)]
pub struct PrivacyVersionBody {
    /// What it says.
    #[serde(flatten)]
    policy: PrivacyBody,
    /// Id of the credential that set it; not there for what the tenant started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<String>,
    /// When, RFC 3339.
    changed_at: String,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Seq of its record in the tenant's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// Whether it came into force. One that did not was prevented by a failure, and no record names it.
    in_force: bool,
}

/// Versions of the policy, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct PrivacyVersionsBody {
    /// At most 100.
    versions: Vec<PrivacyVersionBody>,
}

/// Which versions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct VersionsQuery {
    /// Only versions below this one.
    before: Option<u32>,
}

/// What to look through.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProposalsRequest {
    /// How many of the newest records.
    #[schema(minimum = 1, maximum = 100_000)]
    sample: u64,
}

impl Default for ProposalsRequest {
    fn default() -> Self {
        Self {
            sample: SAMPLE_DEFAULT,
        }
    }
}

/// What detectors find in the public fields of stored records. It holds no value of theirs.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProposalsBody {
    /// Records that were looked through.
    records: u64,
    /// Those of them with more text than is looked through of one.
    partially_scanned: u64,
    /// Whether there was no time or room for all.
    cut_short: bool,
    /// Field by field, those with the most hits first.
    proposals: Vec<ProposalBody>,
}

/// What one detector found in one field.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProposalBody {
    /// JSON pointer of the field. `*` stands for an index, and for a name that itself holds a value.
    path: String,
    /// The detector.
    detector: String,
    /// Sure hits.
    sure: u64,
    /// Suspected hits.
    suspected: u64,
    /// A rule to add to `rules`; not there where `detect` is the better place.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleBody>,
    /// A setting to add to `detect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    detect: Option<BTreeMap<String, String>>,
}

/// See what is personal, and what becomes of values that detectors find.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/privacy", tag = "privacy",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = PrivacyBody),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<PrivacyBody>, Problem> {
    let engine = app.engine().clone();
    let status = wire::blocking(move || engine.privacy(&tenant, &caller.principal)).await?;
    Ok(Json(status.into()))
}

/// Put a new version in force, for events that are appended from then on.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/privacy", tag = "privacy",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = PrivacyChangeBody,
    responses(
        (status = 200, description = "in force; durable, and logged in the tenant's log", body = PrivacyBody),
        (status = 409, description = "`confirmation_needed`: it makes less personal, and `confirm` is not set", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`changed`: another version is in force", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PrivacyBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: PrivacyChangeBody = wire::document(&bytes, "invalid_privacy_policy")?;
    caller
        .tells(serde_json::to_string(&wanted).map_err(wire::internal)?)
        .await?;
    let detect = Detection::try_from(wanted.detect).map_err(|error| {
        wire::problem(attestore_engine::Error::Invalid {
            code: "invalid_privacy_policy",
            message: error.to_string(),
        })
    })?;
    let change = PolicyChange {
        human_types: wanted.human_types,
        rules: wanted.rules.into_iter().map(Into::into).collect(),
        detect,
        reason: wanted.reason,
        based_on: wanted.version,
        confirm: wanted.confirm,
    };
    let engine = app.engine().clone();
    let status = wire::blocking(move || engine.set_privacy(&tenant, &caller.principal, change)).await?;
    Ok(Json(status.into()))
}

/// List the versions, newest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/privacy/versions", tag = "privacy",
    params(("tenant" = String, Path, description = "tenant name"), VersionsQuery),
    responses(
        (status = 200, body = PrivacyVersionsBody),
    ),
    security(("bearer" = []))
)]
pub async fn versions(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(query): Query<VersionsQuery>,
) -> Result<Json<PrivacyVersionsBody>, Problem> {
    let engine = app.engine().clone();
    let list = move || engine.privacy_versions(&tenant, &caller.principal, query.before);
    let versions = wire::blocking(list).await?;
    Ok(Json(PrivacyVersionsBody {
        versions: versions.into_iter().map(Into::into).collect(),
    }))
}

/// Look through the newest records for what the policy could cover.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/privacy/proposals", tag = "privacy",
    params(("tenant" = String, Path, description = "tenant name")),
    request_body = ProposalsRequest,
    responses(
        (status = 200, body = ProposalsBody),
    ),
    security(("bearer" = []))
)]
pub async fn proposals(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ProposalsBody>, Problem> {
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: ProposalsRequest = wire::document(&bytes, "invalid_sample")?;
    if !(1..=SAMPLE_MAX).contains(&wanted.sample) {
        return Err(wire::problem(attestore_engine::Error::Invalid {
            code: "invalid_sample",
            message: format!("a sample is of 1 to {SAMPLE_MAX} records"),
        }));
    }
    let engine = app.engine().clone();
    let look = move || engine.privacy_proposals(&tenant, &caller.principal, wanted.sample);
    Ok(Json(wire::blocking(look).await?.into()))
}

impl From<&PrivacyPolicy> for PrivacyBody {
    fn from(policy: &PrivacyPolicy) -> Self {
        Self {
            version: policy.version(),
            human_types: policy.human_types().to_vec(),
            rules: policy.rules().iter().cloned().map(Into::into).collect(),
            detect: policy.detection().clone().into(),
            warnings: Vec::new(),
        }
    }
}

impl From<PrivacyStatus> for PrivacyBody {
    fn from(status: PrivacyStatus) -> Self {
        Self {
            warnings: status.warnings,
            ..Self::from(&*status.policy)
        }
    }
}

impl From<PrivacyVersion> for PrivacyVersionBody {
    fn from(version: PrivacyVersion) -> Self {
        Self {
            policy: PrivacyBody::from(&version.policy),
            changed_by: Some(version.by).filter(|by| !by.is_empty()),
            changed_at: wire::rfc3339_ms(version.at_ms),
            reason: version.reason,
            seq: version.seq,
            in_force: version.in_force,
        }
    }
}

impl From<Proposals> for ProposalsBody {
    fn from(found: Proposals) -> Self {
        Self {
            records: found.records,
            partially_scanned: found.partially_scanned,
            cut_short: found.cut_short,
            proposals: found.proposals.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Proposal> for ProposalBody {
    fn from(proposal: Proposal) -> Self {
        let (rule, detect) = match proposal.suggestion {
            Suggestion::Rule(rule) => (Some(rule.into()), None),
            Suggestion::Redact(detector) => {
                let redact = (detector.as_str().to_owned(), "redact".to_owned());
                (None, Some(BTreeMap::from([redact])))
            }
        };
        Self {
            path: proposal.path,
            detector: proposal.detector.as_str().to_owned(),
            sure: proposal.sure,
            suspected: proposal.suspected,
            rule,
            detect,
        }
    }
}

impl From<Rule> for RuleBody {
    fn from(rule: Rule) -> Self {
        Self {
            path: rule.path,
            subject: match rule.subject {
                SubjectRule::Actor => SubjectBody::Actor,
                SubjectRule::OnBehalfOf => SubjectBody::OnBehalfOf,
                SubjectRule::Declared => SubjectBody::Declared,
                SubjectRule::All => SubjectBody::All,
            },
        }
    }
}

impl From<RuleBody> for Rule {
    fn from(rule: RuleBody) -> Self {
        Self {
            path: rule.path,
            subject: match rule.subject {
                SubjectBody::Actor => SubjectRule::Actor,
                SubjectBody::OnBehalfOf => SubjectRule::OnBehalfOf,
                SubjectBody::Declared => SubjectRule::Declared,
                SubjectBody::All => SubjectRule::All,
            },
        }
    }
}
