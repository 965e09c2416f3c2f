//! What is done for the target between two backups, beside the chunks: a backup where they need one to follow, and sealed files ahead of
//! the next one.

use std::sync::atomic::Ordering;

use super::{Target, api, create, ship};
use crate::error::Result;
use crate::instance::Inner;

/// Makes a backup if chunks need one; copies sealed files that the target lacks.
pub(super) fn tick(inner: &Inner, target: &Target) {
    if target.ship_ms == 0 {
        return;
    }
    let backups = &inner.backups;
    let begun_ms = inner.clock.boot_ms();
    if begun_ms >= backups.base_pause_ms.load(Ordering::Relaxed) {
        let made = base(inner, target);
        let ended_ms = inner.clock.boot_ms();
        let pause_ms = match &made {
            Ok(false) => 0,
            // Records that need one may come all the time.
            Ok(true) => target.ship_ms.max(SHARE * ended_ms.saturating_sub(begun_ms)),
            Err(error) => {
                tracing::warn!(%error, "there is no backup for chunks to follow; it is tried again");
                RETRY_MS
            }
        };
        backups
            .base_pause_ms
            .store(ended_ms.saturating_add(pause_ms), Ordering::Relaxed);
    }
    let ahead_ms = backups.ahead_ms.load(Ordering::Relaxed);
    if begun_ms.saturating_sub(ahead_ms) < AHEAD_MS {
        return;
    }
    backups.ahead_ms.store(begun_ms, Ordering::Relaxed);
    let _one_at_a_time = backups.making.lock();
    if let Err(error) = create::ahead(inner, target) {
        tracing::debug!(%error, "sealed files are left to the next backup");
    }
}

/// Makes a backup if chunks need one; says whether they did.
fn base(inner: &Inner, target: &Target) -> Result<bool> {
    let Some(why) = ship::wanted(inner)? else {
        return Ok(false);
    };
    api::make_unasked(inner, target, Some(&why))?;
    Ok(true)
}

/// Of the time, backups that chunks need take one part in so many at most.
const SHARE: u64 = 10;
/// How long one that failed waits.
const RETRY_MS: u64 = 15_000;
/// How often sealed files are copied ahead.
const AHEAD_MS: u64 = 30_000;
