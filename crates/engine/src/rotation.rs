//! Rotation of the root key: what makes destroyed keys unreadable for good.
//!
//! A destruction puts the pages on its path under fresh page keys, but an old copy of the catalog still opens with the root
//! that wrapped its root page key. So the root is replaced, and the old one destroyed. Every destruction is followed by a
//! rotation within `root_rotation_s`; an erasure asks for one at once.
//!
//! # Durability
//! 1. The next generation of the root is made, durable.
//! 2. One commit of the catalog wraps the root page key under it; then the catalog's own key is wrapped under it.
//! 3. Every older generation is destroyed. From here on old copies of the catalog do not open.
//!
//! A crash leaves the old generation, both, or the new one, never none. The next start goes on: its first commit wraps under
//! the newest generation, then the older ones are destroyed.
//!
//! # Errors
//! A root that cannot be replaced (a full disk, a folder that may only be read, a security module that is away) leaves the old one in
//! force and is tried again; a commit that fails stops the process, as everywhere. Commits never ask the holder of the root: it is in
//! memory. So while the holder is away, appends, flushes, new tenants and destructions of keys go on, and only what waits for a rotation
//! waits: that something which was destroyed is unreadable also in old copies.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attestore_keys::Provider;

use parking_lot::Mutex;

use crate::instance::Inner;
use crate::search::wake::Wake;
use crate::{Error, Result};

/// What is known of rotations.
#[derive(Default)]
pub(crate) struct Rotation {
    /// Held for a whole rotation.
    state: Mutex<State>,
    /// One more than when it was noticed that something was destroyed which no rotation covers, boot clock; 0 for not that is known.
    since_ms: AtomicU64,
    /// Not before this time, boot clock: the last attempt failed.
    pause_ms: AtomicU64,
    /// Why the holder of the root cannot be reached, as of the last look.
    unreachable: Mutex<Option<String>>,
    /// What the thread waits on that looks.
    pub(crate) looking: std::sync::Arc<Wake>,
}

impl Rotation {
    /// Why the holder of the root cannot be reached; `None` when it could be when it was last asked.
    pub(crate) fn unreachable(&self) -> Option<String> {
        self.unreachable.lock().clone()
    }
}

#[derive(Default)]
struct State {
    /// Destructions that the last rotation covers, and when the root before it was gone, Unix milliseconds.
    covered: Option<(u64, u64)>,
    /// Generations of which it is not known that they are gone.
    doubtful: Vec<u64>,
}

impl Inner {
    /// Replaces the root and destroys the old one. On return everything that committed transactions destroyed before the call
    /// is out of reach, also with old copies of the catalog. Returns when the old root was gone, Unix milliseconds.
    ///
    /// # Errors
    /// What the holder of the root says; nothing is out of reach then. [`Error::Stopped`].
    pub(crate) fn rotate_root(&self) -> Result<u64> {
        let mut state = self.rotation.state.lock();
        let destructions = self.catalog.destructions();
        if let Some((covered, gone_ms)) = state.covered
            && covered == destructions
        {
            return Ok(gone_ms);
        }
        self.replace(&mut state, destructions)
    }

    /// As [`Inner::rotate_root`], also when nothing was destroyed since the last rotation.
    ///
    /// # Errors
    /// As [`Inner::rotate_root`].
    pub(crate) fn replace_root(&self) -> Result<u64> {
        let mut state = self.rotation.state.lock();
        let destructions = self.catalog.destructions();
        self.replace(&mut state, destructions)
    }

    fn replace(&self, state: &mut State, destructions: u64) -> Result<u64> {
        self.check_running()?;
        self.root.next_generation()?;
        let (generation, now_ms) = (self.root.generation(), self.clock.now_ms());
        // Wraps the root page key under the new generation, too.
        self.change(|update| crate::keyring::root_made(update, generation, now_ms))?;
        let gone_ms = self.end_rotation(state)?;
        state.covered = Some((destructions, gone_ms));
        metrics::counter!("attestore_root_rotations_total").increment(1);
        Ok(gone_ms)
    }

    /// Goes on with a rotation that a crash interrupted: everything is wrapped under the newest generation once a commit was made.
    pub(crate) fn resume_rotation(&self) -> Result<()> {
        if self.root.generations().len() < 2 {
            return Ok(());
        }
        let row = self.catalog.instance()?;
        if row.is_some_and(|row| row.root_generation != self.root.generation()) {
            self.change(|_| Ok(()))?;
        }
        self.end_rotation(&mut self.rotation.state.lock()).map(drop)
    }

    /// Destroys every generation but the newest, under which the instance row is wrapped.
    fn end_rotation(&self, state: &mut State) -> Result<u64> {
        if let Err(error) = self.catalog.sealed().rewrap(&*self.root) {
            self.fail_stop(format!("catalog header: {error}"));
            return Err(Error::Stopped(error.to_string()));
        }
        let newest = self.root.generation();
        let older = self.root.generations().into_iter().filter(|old| *old < newest);
        state.doubtful.extend(older);
        while let Some(&old) = state.doubtful.last() {
            // A failure leaves it in doubt: the next attempt destroys it again.
            self.root.destroy(old)?;
            state.doubtful.pop();
        }
        Ok(self.clock.now_ms())
    }
}

/// Rotates when something was destroyed long enough ago.
pub(crate) fn tick(inner: &Inner) {
    let rotation = &inner.rotation;
    let now_ms = inner.clock.boot_ms();
    let covered = {
        let Some(state) = rotation.state.try_lock() else {
            return;
        };
        state.covered.map(|(covered, _)| covered)
    };
    if covered == Some(inner.catalog.destructions()) {
        rotation.since_ms.store(0, Ordering::Relaxed);
        return;
    }
    let since_ms = match rotation.since_ms.load(Ordering::Relaxed) {
        0 => {
            rotation
                .since_ms
                .store(now_ms.saturating_add(1), Ordering::Relaxed);
            now_ms
        }
        noticed => noticed - 1,
    };
    let due_ms = since_ms.saturating_add(inner.settings.root_rotation_s.saturating_mul(1000));
    if now_ms < due_ms || now_ms < rotation.pause_ms.load(Ordering::Relaxed) || inner.stopped().is_some() {
        return;
    }
    match inner.rotate_root() {
        Ok(_) => rotation.since_ms.store(0, Ordering::Relaxed),
        Err(error) => {
            tracing::error!(%error, "the root was not replaced: keys that were destroyed open in old copies still");
            rotation
                .pause_ms
                .store(now_ms.saturating_add(RETRY_MS), Ordering::Relaxed);
        }
    }
}

/// The background thread that asks the holder of the root whether it is there. It may hang as long as a network does.
pub(crate) fn run(inner: &Weak<Inner>) {
    let Some(wake) = inner.upgrade().map(|inner| inner.rotation.looking.clone()) else {
        return;
    };
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if inner.stopped().is_some() {
            return;
        }
        look(&inner);
        drop(inner);
        if wake.wait(LOOK) {
            return;
        }
    }
}

/// Asks the holder of the root whether it is there. Files are.
pub(crate) fn look(inner: &Inner) {
    if matches!(inner.root.provider(), Provider::File | Provider::Passphrase) {
        return;
    }
    let now = inner.root.reach().err().map(|error| error.to_string());
    let mut known = inner.rotation.unreachable.lock();
    match (&*known, &now) {
        (None, Some(why)) => tracing::error!(
            why,
            "the holder of the root key is away: the root is not replaced until it is back"
        ),
        (Some(_), None) => {
            tracing::info!("the holder of the root key is back");
            inner.rotation.pause_ms.store(0, Ordering::Relaxed);
        }
        _ => {}
    }
    let away = now.is_some();
    *known = now;
    drop(known);
    if !away {
        crate::handover::module::sweep(inner);
    }
}

/// How often the holder of the root is asked whether it is there.
const LOOK: Duration = Duration::from_secs(5);
/// How long a rotation that failed waits.
const RETRY_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
