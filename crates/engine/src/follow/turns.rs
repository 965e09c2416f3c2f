//! Whose turn it is to look: a few at once, first come, first served, and those that read old records apart from those that
//! keep up. So nobody who catches up from years ago, and nobody's costly filter, makes the others late.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::{Follower, Step};
use crate::error::{Error, Result};

/// The turns of one instance's followers.
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
        let turns = &self.engine.inner.turns;
        let lane = Arc::clone(if self.is_live() { &turns.live } else { &turns.old });
        let turn = lane.acquire_owned().await;
        let turn = turn.map_err(|_| Error::Cancelled)?;
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
