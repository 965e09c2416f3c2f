//! `/v1/tenants/{t}/retention`: how long records are kept, and what that means for one of them.

use attestore_engine::forget::rules::{ClassInfo, ClassSpec, Selector, Verdict, Warning};
use attestore_record::control::{Erasable, RetentionMode};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::approvals::ApprovalBody;
use super::events;
use crate::body;
use crate::guard::Caller;
use crate::problem::Problem;
use crate::server::App;
use crate::wire;

/// Who may go below the minimum.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeBody {
    /// Whoever may purge.
    #[default]
    None,
    /// Two people together, on record.
    Governance,
    /// Nobody.
    Compliance,
}

/// What of a record may be erased on request.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasableBody {
    /// All of it.
    Yes,
    /// Its personal groups.
    #[default]
    PersonalOnly,
    /// Nothing.
    No,
}

/// Which new events are of a class: those that match every list that is given.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SelectorBody {
    /// Actions; `*` stands for any characters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<String>,
    /// Categories of data, of which the event names one at least.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data_categories: Vec<String>,
    /// Classifications.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classifications: Vec<String>,
    /// Severities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    severities: Vec<String>,
}

/// A retention policy.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyBody {
    /// What people call the class.
    name: String,
    /// Records are not purged before they are so old, milliseconds.
    #[serde(default)]
    keep_min_ms: u64,
    /// Records are due once they are so old, milliseconds; null for never.
    #[serde(default)]
    keep_max_ms: Option<u64>,
    /// The law or contract that it follows.
    #[serde(default)]
    basis: String,
    /// How the minimum is locked.
    #[serde(default)]
    mode: ModeBody,
    /// What of a record may be erased on request.
    #[serde(default)]
    erasable: ErasableBody,
    /// Which new events are of the class; null for none, and for class 1, which takes what no other does.
    #[serde(default)]
    select: Option<SelectorBody>,
}

/// A class and its policy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClassBody {
    /// Its number, as entries and records have it.
    class: u16,
    #[serde(flatten)]
    policy: PolicyBody,
    /// Seq of the record of the policy in the tenant's log.
    seq: u64,
    /// Who approved it, where it weakened mode `governance`.
    approved_by: Vec<String>,
    /// Who set it.
    changed_by: String,
    /// When, RFC 3339.
    changed_at: String,
    /// What somebody should look at; only in the answer to a change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningBody>,
}

/// Something that somebody should look at.
#[derive(Debug, Serialize, ToSchema)]
pub struct WarningBody {
    /// Stable code.
    code: &'static str,
    /// A sentence.
    message: String,
}

/// The classes of a tenant that have a policy.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClassesBody {
    /// Ascending by class.
    items: Vec<ClassBody>,
}

/// What would go.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewBody {
    /// The moment, RFC 3339.
    at: String,
    /// By class; those without a maximum are left out.
    items: Vec<ClassPreviewBody>,
    /// Matches of every hold are counted below this seq.
    holds_known_until: u64,
}

/// What would go of a class.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClassPreviewBody {
    /// The class.
    class: u16,
    /// Records that are due, those that are held too.
    due_records: u64,
    /// Bytes of files that they take, about.
    due_bytes: u64,
    /// Segments that would go as a whole.
    whole_segments: u64,
    /// Those of the records that a hold keeps.
    held_records: u64,
    /// When the oldest of them was received, RFC 3339.
    oldest_at: Option<String>,
}

/// The moment of a preview.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct PreviewParams {
    /// RFC 3339 time or a date; now if it is not given.
    at: Option<String>,
}

/// What the rules say of a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictBody {
    /// Its seq.
    seq: u64,
    /// What kind of record it is.
    kind: &'static str,
    /// Its retention class.
    class: u16,
    /// When it was received, RFC 3339: what its age counts from.
    received_at: String,
    /// Its age, milliseconds.
    age_ms: u64,
    /// `control`: stays for ever; `held`; `kept`: younger than the minimum, or of a class without a policy; `may_go`: when somebody
    /// orders it; `due`: with the next purge; `purged`, `erased`: it is gone.
    standing: &'static str,
    /// The same in a sentence.
    explanation: String,
    /// Name of the class, if it has a policy.
    policy: Option<String>,
    /// Seq of the record of the policy in force.
    policy_seq: Option<u64>,
    /// The law or contract that it follows.
    basis: Option<String>,
    /// Until when it is not purged, RFC 3339; null for never.
    kept_until: Option<String>,
    /// When it falls due, RFC 3339; null for never.
    due_at: Option<String>,
    /// How the minimum is locked.
    lock: ModeBody,
    /// What of it may be erased on request, holds aside.
    erasable: ErasableBody,
    /// Holds that cover it.
    held_by: Vec<HeldByBody>,
    /// Index of the record in the log that says that it is gone.
    gone_by: Option<u64>,
    /// Since when no read shows it.
    gone_since: Option<String>,
}

/// A hold that covers a record.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldByBody {
    /// Id of the hold.
    id: String,
    /// What it is about.
    matter: String,
}

/// List retention policies.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/retention", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name")),
    responses(
        (status = 200, body = ClassesBody),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<ClassesBody>, Problem> {
    let engine = app.engine().clone();
    let all = wire::blocking(move || engine.retention(&tenant, &caller.principal)).await?;
    Ok(Json(ClassesBody {
        items: all.into_iter().map(|info| class_body(info, Vec::new())).collect(),
    }))
}

/// Set the retention policy of a class, and which new events are of it. `Attestore-Bypass-Governance: true` says that a lock in mode
/// `governance` is meant to be weakened: that takes the permission `bypass_retention` and a second person.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/retention/{class}", tag = "forgetting",
    params(
        ("tenant" = String, Path, description = "tenant name"),
        ("class" = u16, Path, description = "1 for events that no other class takes, 2 to 65535 for others"),
        ("Attestore-Bypass-Governance" = Option<bool>, Header, description = "`true` to weaken a lock in mode `governance`"),
    ),
    request_body = PolicyBody,
    responses(
        (status = 200, description = "in force, and in the tenant's log", body = ClassBody),
        (status = 202, description = "somebody else has to approve first", body = ApprovalBody),
        (status = 409, description = "`retention_locked`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, class)): Path<(String, u16)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ClassBody>, Problem> {
    let bypass = wire::bypasses_governance(&headers)?;
    let bytes = body::read(&headers, body, &app.settings().body).await?;
    let wanted: PolicyBody = wire::document(&bytes, "invalid_retention")?;
    let told = serde_json::json!({ "class": class, "policy": wanted, "bypass_governance": bypass });
    caller.tells(told.to_string()).await?;
    let spec = spec(class, wanted);
    let engine = app.engine().clone();
    let set = move || engine.set_retention(&tenant, &caller.principal, &spec, bypass);
    let (info, warnings) = wire::blocking(set).await?;
    Ok(Json(class_body(info, warnings)))
}

/// See what would go at a moment, by the policies and holds in force now.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/retention/preview", tag = "forgetting",
    params(("tenant" = String, Path, description = "tenant name"), PreviewParams),
    responses(
        (status = 200, body = PreviewBody),
    ),
    security(("bearer" = []))
)]
pub async fn preview(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Query(params): Query<PreviewParams>,
) -> Result<Json<PreviewBody>, Problem> {
    let at_ns = params.at.map(|at| wire::parse_time("at", &at)).transpose()?;
    let at_ms = at_ns.map(|ns| u64::try_from(ns / 1_000_000).unwrap_or(0));
    let engine = app.engine().clone();
    let preview = wire::blocking(move || engine.retention_preview(&tenant, &caller.principal, at_ms)).await?;
    let items = preview
        .classes
        .into_iter()
        .map(|(class, found)| ClassPreviewBody {
            class,
            due_records: found.due_records,
            due_bytes: found.due_bytes,
            whole_segments: found.whole_segments,
            held_records: found.held_records,
            oldest_at: found.oldest_ms.map(wire::rfc3339_ms),
        });
    Ok(Json(PreviewBody {
        at: wire::rfc3339_ms(preview.at_ms),
        items: items.collect(),
        holds_known_until: preview.holds_known_until,
    }))
}

/// Explain what the rules say of a record: policy, holds, lock, and until when.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events/{record}/retention", tag = "forgetting",
    params(("tenant" = String, Path), ("record" = String, Path, description = "seq or id")),
    responses(
        (status = 200, body = VerdictBody),
    ),
    security(("bearer" = []))
)]
pub async fn explain(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, record)): Path<(String, String)>,
) -> Result<Json<VerdictBody>, Problem> {
    let which = events::which(&record)?;
    let engine = app.engine().clone();
    let verdict = wire::blocking(move || engine.retention_verdict(&tenant, &caller.principal, which)).await?;
    Ok(Json(verdict.into()))
}

fn spec(class: u16, body: PolicyBody) -> ClassSpec {
    ClassSpec {
        class,
        name: body.name,
        keep_min_ms: body.keep_min_ms,
        keep_max_ms: body.keep_max_ms,
        basis: body.basis,
        mode: match body.mode {
            ModeBody::None => RetentionMode::None,
            ModeBody::Governance => RetentionMode::Governance,
            ModeBody::Compliance => RetentionMode::Compliance,
        },
        erasable: match body.erasable {
            ErasableBody::Yes => Erasable::Yes,
            ErasableBody::PersonalOnly => Erasable::PersonalOnly,
            ErasableBody::No => Erasable::No,
        },
        select: body.select.map(|select| Selector {
            actions: select.actions,
            data_categories: select.data_categories,
            classifications: select.classifications,
            severities: select.severities,
        }),
    }
}

fn class_body(info: ClassInfo, warnings: Vec<Warning>) -> ClassBody {
    let policy = info.policy;
    let warning = |warning: Warning| WarningBody {
        code: warning.code,
        message: warning.message,
    };
    ClassBody {
        class: policy.class,
        seq: info.seq,
        approved_by: policy.approved_by,
        changed_by: info.changed_by,
        changed_at: wire::rfc3339_ms(info.changed_ms),
        warnings: warnings.into_iter().map(warning).collect(),
        policy: PolicyBody {
            name: policy.name,
            keep_min_ms: policy.keep_min_ms,
            keep_max_ms: policy.keep_max_ms,
            basis: policy.basis,
            mode: policy.mode.into(),
            erasable: policy.erasable.into(),
            select: info.select.map(|select| SelectorBody {
                actions: select.actions,
                data_categories: select.data_categories,
                classifications: select.classifications,
                severities: select.severities,
            }),
        },
    }
}

impl From<RetentionMode> for ModeBody {
    fn from(mode: RetentionMode) -> Self {
        match mode {
            RetentionMode::None => Self::None,
            RetentionMode::Governance => Self::Governance,
            RetentionMode::Compliance => Self::Compliance,
        }
    }
}

impl From<Erasable> for ErasableBody {
    fn from(erasable: Erasable) -> Self {
        match erasable {
            Erasable::Yes => Self::Yes,
            Erasable::PersonalOnly => Self::PersonalOnly,
            Erasable::No => Self::No,
        }
    }
}

impl From<Verdict> for VerdictBody {
    fn from(verdict: Verdict) -> Self {
        let policy = verdict.policy.as_ref();
        Self {
            explanation: verdict.explanation(wire::rfc3339_ms),
            standing: verdict.standing.name(),
            policy: policy.map(|found| found.policy.name.clone()),
            policy_seq: policy.map(|found| found.seq),
            basis: policy.map(|found| found.policy.basis.clone()),
            seq: verdict.seq,
            kind: verdict.kind.name(),
            class: verdict.class,
            received_at: wire::rfc3339_ms(verdict.received_ms),
            age_ms: verdict.age_ms,
            kept_until: verdict.kept_until_ms.map(wire::rfc3339_ms),
            due_at: verdict.due_ms.map(wire::rfc3339_ms),
            lock: verdict.lock.into(),
            erasable: verdict.erasable.into(),
            gone_by: verdict.gone.map(|gone| gone.seq),
            gone_since: verdict.gone.map(|gone| wire::rfc3339_ms(gone.since_ms)),
            held_by: verdict
                .held_by
                .into_iter()
                .map(|by| HeldByBody {
                    id: by.id,
                    matter: by.matter,
                })
                .collect(),
        }
    }
}
