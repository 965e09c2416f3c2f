//! Turns of searches: how many run at once, of all tenants together and of one.
//!
//! A search keeps a core busy. Whoever asks more than the machine can answer waits in line with its own searches, first
//! come, first served, and leaves cores to other tenants and to appends. Who waits longer than the search itself may
//! take is sent away.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Searches of one tenant that run at once, per core.
const TENANT_PER_CORE: usize = 2;
/// Searches of all tenants that run at once, per core.
const ALL_PER_CORE: usize = 8;
/// Tenants in the table above which those without searches are forgotten.
const TENANTS_KEPT: usize = 1024;

/// Hands out turns.
pub struct Slots {
    all: Arc<Semaphore>,
    tenants: Mutex<HashMap<String, Own>>,
    of_tenant: usize,
}

/// The turns of a tenant, and how many there are.
struct Own {
    turns: Arc<Semaphore>,
    most: usize,
}

/// Leave to search; gives the turn back when it is dropped.
pub struct Turn {
    _tenant: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Default for Slots {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::new(cores * TENANT_PER_CORE, cores * ALL_PER_CORE)
    }
}

impl Slots {
    fn new(of_tenant: usize, all: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            tenants: Mutex::default(),
            of_tenant,
        }
    }

    /// Waits for a turn of the tenant, at most `patience`. `quota` is how many the tenant may have; never more than its share of
    /// the machine.
    ///
    /// # Errors
    /// 503 `search_busy`.
    pub async fn turn(&self, tenant: &str, quota: Option<u32>, patience: Duration) -> Result<Turn, Problem> {
        let own = self.of(tenant, quota);
        let both = async {
            let tenant = own.acquire_owned().await.ok()?;
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(Turn {
                _tenant: tenant,
                _all: all,
            })
        };
        match tokio::time::timeout(patience, both).await {
            Ok(Some(turn)) => Ok(turn),
            _ => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "search_busy",
                "other searches of this tenant take up its share of the machine; try again",
            )
            .retry_after_ms(1000)),
        }
    }

    fn of(&self, tenant: &str, quota: Option<u32>) -> Arc<Semaphore> {
        let quota = quota.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let most = quota.clamp(1, self.of_tenant);
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = tenants.get(tenant).filter(|own| own.most == most) {
            return Arc::clone(&own.turns);
        }
        if tenants.len() >= TENANTS_KEPT {
            // A permit or a waiter holds its semaphore, so these have none.
            tenants.retain(|_, own| Arc::strong_count(&own.turns) > 1);
        }
        // Turns that are out under another quota end by themselves.
        let turns = Arc::new(Semaphore::new(most));
        let own = Own {
            turns: Arc::clone(&turns),
            most,
        };
        tenants.insert(tenant.to_owned(), own);
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_PATIENCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn a_busy_tenant_leaves_turns_to_others() {
        let slots = Slots::new(2, 8);
        let first = slots.turn("busy", None, NO_PATIENCE).await.unwrap();
        let _second = slots.turn("busy", None, NO_PATIENCE).await.unwrap();
        let refused = slots.turn("busy", None, NO_PATIENCE).await.err().unwrap();
        assert_eq!((refused.status, refused.code), (503, "search_busy"));
        assert!(slots.turn("other", None, NO_PATIENCE).await.is_ok());
        drop(first);
        assert!(slots.turn("busy", None, NO_PATIENCE).await.is_ok());
    }

    #[tokio::test]
    async fn tenants_that_search_no_more_are_forgotten_and_others_are_not() {
        let slots = Slots::new(1, 8);
        let _kept = slots.turn("kept", None, NO_PATIENCE).await.unwrap();
        for n in 0..2 * TENANTS_KEPT {
            drop(slots.turn(&format!("t{n}"), None, NO_PATIENCE).await.unwrap());
        }
        assert!(slots.tenants.lock().unwrap().len() <= TENANTS_KEPT);
        assert!(
            slots.turn("kept", None, NO_PATIENCE).await.is_err(),
            "its turn is still out"
        );
    }

    #[tokio::test]
    async fn a_quota_bounds_turns_and_may_change() {
        let slots = Slots::new(4, 8);
        let _first = slots.turn("t", Some(1), NO_PATIENCE).await.unwrap();
        assert!(slots.turn("t", Some(1), NO_PATIENCE).await.is_err());
        assert!(slots.turn("t", Some(2), NO_PATIENCE).await.is_ok());
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(slots.turn("u", Some(100), NO_PATIENCE).await.unwrap());
        }
        assert!(
            slots.turn("u", Some(100), NO_PATIENCE).await.is_err(),
            "its share is 4"
        );
    }
}
