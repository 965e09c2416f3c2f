//! Whose turn it is to look: a few at once, first come, first served, and those that read old records apart from those that
//! keep up. So nobody who catches up from years ago, and nobody's costly filter, makes the others late. Followers of one tenant
//! wait for one another first: however many there are, no other tenant waits for more than a few of them.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Follower, Step};
use crate::error::{Error, Result};

/// The turns of one instance's, or of one tenant's followers.
pub(crate) struct Turns {
    live: Arc<Semaphore>,
    old: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            live: Arc::new(Semaphore::new(cores)),
            old: Arc::new(Semaphore::new((cores / 2).max(1))),
        }
    }
}

impl Turns {
    /// Waits for a turn.
    async fn turn(&self, live: bool) -> Result<OwnedSemaphorePermit> {
        let lane = Arc::clone(if live { &self.live } else { &self.old });
        lane.acquire_owned().await.map_err(|_| Error::Cancelled)
    }
}

/// Tells the work under way to end when it is dropped.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Follower {
    /// Waits for records to look at and for a turn, and takes a step. When the future is dropped, the work under way ends soon
    /// and the follower is gone.
    ///
    /// # Errors
    /// As [`Follower::step`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with timers.
    pub async fn pull(mut self, limit: usize, bytes: usize) -> Result<(Self, Step)> {
        self.changed().await;
        if let Some(at) = self.again_at {
            tokio::time::sleep_until(at).await;
        }
        let live = self.is_live();
        let own = self.tenant.feed.turns.turn(live).await?;
        let turn = (own, self.engine.inner.turns.turn(live).await?);
        let gone = Gone(Arc::default());
        let flag = Arc::clone(&gone.0);
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn; // kept until the work ends, also when nobody waits for it any more
            let step = self.step(limit, bytes, &|| flag.load(Ordering::Relaxed));
            (self, step)
        });
        let (mut follower, step) = work.await.map_err(|error| Error::Io(error.to_string()))?;
        drop(gone);
        let step = step?;
        follower.again_at = follower.again_in(&step).map(|wait| Instant::now() + wait);
        Ok((follower, step))
    }

    /// How long to leave the next step, if at all.
    fn again_in(&self, step: &Step) -> Option<Duration> {
        // Who has more than it took keeps on: the turns are its pace.
        (self.is_live() && step.items.is_empty() || self.behind() <= COALESCED).then(|| self.pace())
    }
}

/// So few records are left to come together with the next ones.
const COALESCED: u64 = 4096;
