//! Places of connections that stay: how many there are, of all tenants together and of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use crate::problem::Problem;

/// Hands out places.
pub struct Places {
    taken: Arc<Mutex<Taken>>,
    all_max: usize,
    tenant_max: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    tenants: HashMap<String, usize>,
    /// Counts those that ever were.
    ever: u64,
}

/// A place; given back when it is dropped.
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    tenant: String,
    /// Its number among all that ever were.
    pub number: u64,
}

impl Places {
    /// Makes so many places, of which one tenant gets so many at most.
    pub fn new(all_max: usize, tenant_max: usize) -> Self {
        Self {
            taken: Arc::default(),
            all_max,
            tenant_max,
        }
    }

    /// Takes a place for a tenant that exists. `quota` is how many it may have, if that is fewer than others.
    ///
    /// # Errors
    /// 503 `too_many_tails`.
    pub fn enter(&self, tenant: &str, quota: Option<u32>) -> Result<Place, Problem> {
        let quota = quota.and_then(|most| usize::try_from(most).ok());
        let tenant_max = quota.unwrap_or(usize::MAX).min(self.tenant_max);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = taken.tenants.get(tenant).copied().unwrap_or_default();
        for (count, max, whose) in [
            (taken.all, self.all_max, "server"),
            (of_tenant, tenant_max, "tenant"),
        ] {
            if count >= max {
                metrics::counter!("attestore_tails_refused_total", "limit" => whose).increment(1);
                return Err(Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too_many_tails",
                    format!("this {whose} has {max} tails, which is the most; end one, or try later"),
                )
                .retry_after_ms(RETRY_AFTER_MS));
            }
        }
        taken.all += 1;
        taken.ever += 1;
        *taken.tenants.entry(tenant.to_owned()).or_default() += 1;
        show(taken.all);
        Ok(Place {
            taken: Arc::clone(&self.taken),
            tenant: tenant.to_owned(),
            number: taken.ever,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.tenants.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                taken.tenants.remove(&self.tenant);
            }
        }
        show(taken.all);
    }
}

fn show(count: usize) {
    metrics::gauge!("attestore_tails").set(u32::try_from(count).map_or(f64::MAX, f64::from));
}

const RETRY_AFTER_MS: u64 = 5000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_run_out_for_a_tenant_and_for_all_and_come_back() {
        let places = Places::new(3, 2);
        let first = places.enter("a", None).unwrap();
        let _second = places.enter("a", None).unwrap();
        let refused = places.enter("a", None).err().unwrap();
        assert_eq!((refused.status, refused.code), (503, "too_many_tails"));
        let _third = places.enter("b", None).unwrap();
        assert!(places.enter("b", None).is_err(), "the server is full");
        drop(first);
        assert_eq!(places.enter("a", None).unwrap().number, 4);
        assert_eq!(places.taken.lock().unwrap().all, 2);
        assert!(places.enter("c", Some(0)).is_err(), "its quota is none");
    }
}
