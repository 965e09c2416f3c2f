//! Ordering purges, listing and showing them.

use std::ops::Range;

use redb::ReadTransaction;
use serde_json::json;

use super::decide::{By, Wanted, check_clock, decide};
use super::plan::{Aim, Plan, plan};
use super::row::{self, JobKey, PurgeRow, PurgeStatus};
use super::select::What;
use super::{schedule, work};
use crate::Engine;
use crate::catalog::{hex, unhex};
use crate::credentials::{Permission, Principal};
use crate::error::{Error, Result};
use crate::forget::Why;

/// What somebody wants purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeOrder {
    /// The class; for what is due, all classes if absent.
    pub class: Option<u16>,
    /// Which of its records.
    pub selection: Selection,
    /// Why. Shown with the purge, not in the log.
    pub note: String,
    /// Whether records younger than the minimum of a policy that is not in compliance mode may go too, with the approval of a
    /// second person.
    pub bypass: bool,
}

/// Which records of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those that are older than the maximum, now and without grace.
    Due,
    /// Those received before this time, Unix milliseconds.
    Before(u64),
    /// Those with these seqs, ascending and apart.
    Ranges(Vec<Range<u64>>),
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered {
    /// The purges that were begun: their records are gone, the rest follows.
    pub purges: Vec<PurgeStatus>,
}

/// Some purges of a tenant, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct PurgePage {
    /// The purges.
    pub items: Vec<PurgeStatus>,
    /// Where to go on; `None` at the end.
    pub cursor: Option<String>,
}

impl Engine {
    /// Says what a purge would do, without doing it.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Conflict`] where the rules forbid it, or as reads.
    pub fn plan_purge(&self, tenant: &str, by: &Principal, order: &PurgeOrder) -> Result<Vec<Plan>> {
        by.check(tenant, Permission::Purge)?;
        check_clock(&self.inner)?;
        let wanted = self.wanted(tenant, order)?;
        let tenant = self.inner.tenant(tenant)?;
        let _deciding = tenant.deciding.lock();
        let aim = match order.selection {
            Selection::Due => Aim::Expire,
            _ => Aim::Purge,
        };
        let plans = wanted
            .iter()
            .map(|(class, what)| plan(&self.inner, &tenant, *class, what, aim));
        plans.filter_map(Result::transpose).collect()
    }

    /// Purges records of a tenant. They are gone on return; files, keys and receipt follow.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::Conflict`] where the rules forbid it, [`Error::ApprovalNeeded`], or as appends
    /// and changes of the catalog.
    pub fn purge(&self, tenant: &str, by: &Principal, order: &PurgeOrder) -> Result<Ordered> {
        by.check(tenant, Permission::Purge)?;
        let inner = &self.inner;
        let wanted = self.wanted(tenant, order)?;
        let parameters = parameters(order);
        let expired = order.selection == Selection::Due;
        let tenant = inner.tenant(tenant)?;
        let mut purges = Vec::new();
        for (class, what) in wanted {
            let wanted = match expired {
                true => Wanted::Schedule,
                false => Wanted::Purge(By {
                    principal: by,
                    bypass: order.bypass,
                    note: &order.note,
                    parameters: &parameters,
                }),
            };
            if let Some(key) = decide(inner, &tenant, class, &what, wanted)? {
                purges.push(self.status_of(&key)?);
            }
        }
        Ok(Ordered { purges })
    }

    /// Lists the purges of a tenant, newest first, from where an earlier page ended.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::InvalidCursor`], or as reads.
    pub fn purges(
        &self,
        tenant: &str,
        by: &Principal,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<PurgePage> {
        by.check(tenant, Permission::SeeTenant)?;
        let before = cursor
            .map(|cursor| unhex(cursor).ok_or(Error::InvalidCursor))
            .transpose()?;
        let tenant = self.inner.tenant(tenant)?;
        let mut rows = row::list(
            &self.inner.catalog.read()?,
            &tenant.id,
            Why::Purged,
            before,
            limit.saturating_add(1),
        )?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let cursor = rows.last().filter(|_| more).map(|(id, _)| hex(id));
        let items = rows
            .into_iter()
            .map(|(id, row)| PurgeStatus::of(&id, row))
            .collect();
        Ok(PurgePage { items, cursor })
    }

    /// Tells how a purge stands.
    ///
    /// # Errors
    /// [`Error::UnknownTenant`], [`Error::Forbidden`], [`Error::NotFound`], or as reads.
    pub fn purge_status(&self, tenant: &str, by: &Principal, id: &str) -> Result<PurgeStatus> {
        by.check(tenant, Permission::SeeTenant)?;
        let tenant = self.inner.tenant(tenant)?;
        self.status_of(&(tenant.id, row::parse_id(id)?))
    }

    /// The receipt of a purge: an in-toto statement in a DSSE envelope, signed by the key of the tenant's log.
    ///
    /// # Errors
    /// As [`Engine::purge_status`]; [`Error::Conflict`] as long as there is none.
    pub fn purge_receipt(&self, tenant: &str, by: &Principal, id: &str) -> Result<String> {
        by.check(tenant, Permission::SeeTenant)?;
        let tenant = self.inner.tenant(tenant)?;
        let key = (tenant.id, row::parse_id(id)?);
        let txn = self.inner.catalog.read()?;
        purge(&txn, &key)?;
        row::receipt(&txn, &key)?.ok_or_else(|| Error::Conflict {
            code: "no_receipt_yet",
            message: "the receipt is signed once the records are out of every file and every key: look again"
                .to_owned(),
        })
    }

    /// Does what the background thread does, for [`crate::OpenMode::Inline`]: purges what is due, and goes on with every purge as
    /// far as it gets. Returns how many are not done.
    ///
    /// # Errors
    /// As reads.
    pub fn purge_tick(&self) -> Result<u64> {
        while work::tick(&self.inner) {}
        loop {
            let begun = schedule::run(&self.inner)?.begun;
            while work::tick(&self.inner) {}
            if begun == 0 {
                break;
            }
        }
        Ok(self.inner.purges.open.lock().len() as u64)
    }

    fn status_of(&self, key: &JobKey) -> Result<PurgeStatus> {
        Ok(PurgeStatus::of(&key.1, purge(&self.inner.catalog.read()?, key)?))
    }

    /// What an order means, class by class. What it may mean of the tail is flushed first.
    fn wanted(&self, tenant: &str, order: &PurgeOrder) -> Result<Vec<(u16, What)>> {
        let invalid = |message: &str| {
            Err(Error::Invalid {
                code: "invalid_purge",
                message: message.to_owned(),
            })
        };
        let what = match &order.selection {
            Selection::Due => None,
            Selection::Before(0) => return invalid("nothing was received before 1970"),
            Selection::Before(before_ms) => Some(What::Until {
                until_ms: before_ms - 1,
                cut_ms: Some(before_ms - 1),
            }),
            Selection::Ranges(ranges) => {
                let filled = ranges.iter().all(|range| range.start < range.end);
                if ranges.is_empty() || !filled || !ranges.is_sorted_by(|a, b| a.end < b.start) {
                    return invalid("ranges ascend, are apart from each other and not empty");
                }
                Some(What::Ranges(ranges.clone()))
            }
        };
        self.flush_tenant(tenant)?;
        let loaded = self.inner.tenant(tenant)?;
        let rules = loaded.rules.load();
        match (what, order.class) {
            (Some(_), None) => invalid("name the class"),
            (Some(what), Some(class)) => Ok(vec![(class, what)]),
            (None, class) => {
                let policies = rules.policies().map(|found| &found.policy);
                let of_class = policies.filter(|policy| class.is_none_or(|class| class == policy.class));
                Ok(of_class
                    .filter_map(|policy| {
                        let What::Until { until_ms, .. } = schedule::due(&self.inner, policy)? else {
                            return None;
                        };
                        let cut_ms = Some(until_ms);
                        Some((policy.class, What::Until { until_ms, cut_ms }))
                    })
                    .collect())
            }
        }
    }
}

/// The job of that key, if it is a purge.
fn purge(txn: &ReadTransaction, key: &JobKey) -> Result<PurgeRow> {
    let row = row::get(txn, key)?;
    Some(row)
        .filter(|row| row.why() == Why::Purged)
        .ok_or(Error::NotFound("purge"))
}

/// What the approval of an order covers.
fn parameters(order: &PurgeOrder) -> serde_json::Value {
    let (before_ms, ranges) = match &order.selection {
        Selection::Due => (None, None),
        Selection::Before(before_ms) => (Some(*before_ms), None),
        Selection::Ranges(ranges) => {
            let pairs: Vec<[u64; 2]> = ranges.iter().map(|range| [range.start, range.end]).collect();
            (None, Some(pairs))
        }
    };
    json!({ "class": order.class, "before_ms": before_ms, "ranges": ranges, "reason": order.note })
}
